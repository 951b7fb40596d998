"""Billproof offline: check a bundle, explain a line, trace an event, rate usage in files.

`python -m lambdas.cli verify bundle.zip`. Needs Python and `lambdas.billing` only. Exit code 0: as it should be; 1: a
difference, named, nothing found, or usage that is not billed; 2: a file cannot be used, or the command is wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from lambdas import cli_rate
from lambdas.billing.archive import Archive
from lambdas.billing.bundle import DOES_NOT_PROVE, PROVES, block_names
from lambdas.billing.errors import BillingError, NotABundle
from lambdas.billing.explain import explain_charges, explain_exclusion, explain_line, explain_posting
from lambdas.billing.lines import INCLUDED
from lambdas.billing.verify import Facts, open_bundle, read_document, verify_bundle
from lambdas.cli_text import listed, printable

NOT_SIGNED = "signature not checked: this release has no signature yet"
OK, DIFFERENT, UNUSABLE = 0, 1, 2
_Value = TypeVar("_Value")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not have the letters
    about = options.bundle if "bundle" in options else "rate"
    try:
        return int(options.run(options))
    except NotABundle as error:
        print(f"{about}: no bundle. {error.value}; {error.remedy}")
        return UNUSABLE
    except cli_rate.Unusable as error:
        print(printable(str(error)))
        return UNUSABLE
    except OSError as error:
        print(f"{about}: cannot be read. {error.strerror or error}")
        return UNUSABLE
    except BillingError as error:
        print(f"{about}: {error}")
        return DIFFERENT


def verify(options: argparse.Namespace) -> int:
    """Replay a whole bundle and say what that shows."""
    report = verify_bundle(options.bundle)
    if options.json:
        differences = [difference._asdict() for difference in report.differences]
        facts = report.facts and report.facts._asdict()
        limits = {"proves": PROVES, "does_not_prove": DOES_NOT_PROVE, "signature": NOT_SIGNED}
        print(json.dumps({"ok": report.ok, "differences": differences, "facts": facts, **limits}, indent=2))
    elif report.facts is not None:
        print(_in_words(options.bundle, report.facts))
    else:
        difference = report.differences[0]
        row = "" if difference.row is None else f", row {difference.row}"
        print(f"{options.bundle}: DIFFERENT. The first difference:")
        print(f"  where     {difference.file}{row}, {difference.field}")
        print(f"  expected  {difference.expected}")
        print(f"  found     {difference.found}")
        print(NOT_SIGNED)
    return OK if report.ok else DIFFERENT


def explain(options: argparse.Namespace) -> int:
    """One line of the invoice in plain words."""
    with options.bundle.open("rb") as file:
        _, invoice = read_document(_opened(file), "invoice.json")
    line = _read(lambda: explain_line(invoice, options.line))
    print(json.dumps(line, indent=2) if options.json else printable(line["text"]))
    return OK


def trace(options: argparse.Namespace) -> int:
    """One event: as received, its charges, their lines, the journal entry."""
    with options.bundle.open("rb") as file:
        found = _read(lambda: trace_event(_opened(file), options.source, options.id))
    if found is None:
        print(f"No event with source {options.source} and id {options.id} in this bundle.")
        return DIFFERENT
    print(json.dumps(found, indent=2) if options.json else _read(lambda: _trace_in_words(found)))
    return OK


def rate(options: argparse.Namespace) -> int:
    """Usage in a file, priced by a plan and rate cards in files: charges, lines and invoice."""
    answer = cli_rate.answer(options)
    for text in answer.text:
        print(text)
    return answer.code


def trace_event(archive: Archive, source: str, event_id: str) -> dict[str, Any] | None:
    """Walk from an event to its journal entry inside a bundle; None when no usage row has this identity."""
    _, invoice = read_document(archive, "invoice.json")
    _, journal = read_document(archive, "journal.json")
    blocks = sum(name.startswith("usage/") for name in archive.names)
    for number in range(1, blocks + 1):
        usage_file, rated_file, excluded_file = block_names(number)
        usage = _row(archive, usage_file, source, event_id)
        if usage is None:
            continue
        time, _, _, revision, segment, received_at, payload_sha256, raw = json.loads(usage)
        found: dict[str, Any] = {
            "event": {
                "customer": invoice["customer"]["id"], "source": source, "id": event_id, "revision": revision,
                "time": time, "received_at": received_at, "segment": segment, "payload_sha256": payload_sha256,
                "raw": raw,
            },
            "charges": [],
            "excluded": None,
        }  # fmt: skip
        rated = _row(archive, rated_file, source, event_id)
        if rated is not None:
            found["charges"] = explain_charges(rated, invoice)
        else:
            excluded = _row(archive, excluded_file, source, event_id)
            found["excluded"] = excluded and explain_exclusion(excluded)
        lines = sorted({charge["line"] for charge in found["charges"]})
        found["lines"] = [explain_line(invoice, line) for line in lines]
        found["journal"] = [explain_posting(line, journal) for line in found["lines"]]
        return found
    return None


def _row(archive: Archive, file: str, source: str, event_id: str) -> str | None:
    for line in archive.rows(file):
        text = line.decode()
        if json.loads(text)[1:3] == [source, event_id]:
            return text
    return None


def _opened(file: BinaryIO) -> Archive:
    archive = open_bundle(file)
    archive.check_layout()
    return archive


def _read(step: Callable[[], _Value]) -> _Value:
    """These commands read a bundle without proving it; what cannot be read is for `verify` to name."""
    try:
        return step()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise NotABundle("content", repr(error), "run verify: it names what is wrong with this bundle") from None


def _in_words(bundle: Path, facts: Facts) -> str:
    excluded = ", ".join(f"{count:,} {reason}" for reason, count in sorted(facts.excluded.items())) or "none"
    versions = "".join(f"\n  rates {name}  SHA-256 {digest}" for name, digest in facts.rate_versions.items())
    return f"""{bundle}: OK. Invoice {facts.invoice} of {facts.customer} for {facts.period} follows from its evidence.
Computed again and found equal to the last digit:
  {facts.events:,} events in {facts.segments:,} segments and {facts.blocks:,} blocks
  {facts.rated:,} rated; excluded: {excluded}
  {facts.lines} lines, net exact {facts.net_exact}, net {facts.net}, total {facts.total} {facts.currency}
  the journal entry, and every file against the manifest
  contract     SHA-256 {facts.contract_hash}{versions}
  Merkle root  {facts.merkle_root}
  manifest     SHA-256 {facts.manifest_sha256}
This proves:
{listed(PROVES)}
It does not prove:
{listed(DOES_NOT_PROVE)}
{NOT_SIGNED}"""


def _trace_in_words(found: dict[str, Any]) -> str:
    event = found["event"]
    text = [
        f"Event {event['source']} {event['id']} of {event['customer']} at {event['time']}",
        f"  received {event['received_at']}, SHA-256 {event['payload_sha256']}",
        f"  as sent: {event['raw']}",
    ]
    if found["excluded"]:
        text.append(found["excluded"]["text"])
    elif not found["charges"]:
        text.append("Rated: all its quantities are zero, so there is nothing to charge.")
    for charge in found["charges"]:
        text.append(f"Charge on line {charge['line']}: {charge['cause']}, {charge['arithmetic']}")
        text.append(f"  {', '.join(_facts_of_charge(charge))}")
    text.extend(line["text"] for line in found["lines"])
    for posting in {entry["account"]: entry for entry in found["journal"]}.values():
        for leg in posting["postings"]:
            text.append(f"Journal {posting['transaction']}: {leg['amount']} from {leg['from']} to {leg['to']}")
    text.append("Read from the bundle as it stands; `verify` proves it.")
    return "\n".join(map(printable, text))


def _facts_of_charge(charge: Mapping[str, Any]) -> Iterator[str]:
    """What a charge follows from beside its arithmetic; what does not apply is left out."""
    yield f"rate version {charge['rate_version']}"
    yield f"contract version {charge['contract_version']}"
    if charge["tier"] is not None:
        yield "included" if charge["tier"] == INCLUDED else f"tier {charge['tier']}"
    if charge["position"] is not None:
        before = charge["position"]
        yield f"after {f'{before:,}' if isinstance(before, int) else before} counted in the period"
    if charge["attribute"] is not None:
        yield charge["attribute"]
    passed = charge["pass_through"]
    if passed is not None:
        cost = f"provider's cost {passed['cost']} {passed['currency']}"
        yield f"{cost} x {passed['markup']} = {passed['charged']}, margin {passed['margin']} {passed['currency']}"
        if passed["fx"] is not None:
            fx = passed["fx"]
            yield f"{fx['rate']} {fx['currency']} per {passed['currency']} ({fx['source']}, {fx['rate_version']})"


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lambdas.cli", description="Check a Billproof bundle, or rate usage in files, offline."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    cli_rate.add_options(_command(commands, rate))
    for run in (verify, explain, trace):
        command = _command(commands, run)
        command.add_argument("bundle", type=Path, help="the zip file of an invoice")
        command.add_argument("--json", action="store_true", help="print values instead of words")
        if run is explain:
            command.add_argument("--line", type=int, required=True, help="number of the line, from 1")
        if run is trace:
            command.add_argument("--source", required=True, help="source of the event")
            command.add_argument("--id", required=True, help="id of the event")
    return parser


def _command(commands: Any, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(run.__name__, help=run.__doc__)
    command.set_defaults(run=run)
    return command


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as `head` may stop before the end
    sys.exit(main())
