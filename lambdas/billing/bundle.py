"""The evidence bundle of one invoice: what is in it, in which bytes, in which order (DESIGN section 6).

`documents` makes every file that follows from the invoice and its inputs; `write_bundle` writes them around the
blocks of events, and `verify` makes them again and compares. So there is one place that knows what a bundle says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from lambdas.billing.archive import ArchiveWriter
from lambdas.billing.canonical import canonical_bytes, sha256_hex
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.journal import plain_text_journal
from lambdas.billing.line_documents import MEMBERS
from lambdas.billing.merkle import MerkleTree
from lambdas.billing.money import format_amount, parse_amount

FORMAT = "billproof-bundle-1"
MANIFEST = "MANIFEST.json"
BLOCK_ROWS = 10_000
"""Most usage rows of one block; its rated and excluded files split the same rows."""

_FROZEN = ("run_id", "customer", "period", "cutoff", "carried", "segments")
_SEGMENT = ("key", "digest", "events", "sums")

_COLUMNS = tuple(name for name in MEMBERS if name not in ("key", "provider", "pass_through"))

PROVES = (
    "each event is read again from its text as received; its time, identity and SHA-256 are those recorded",
    "the events are exactly those of the frozen segments, each once; accepted = rated + excluded",
    "each charge is quantity x the price in force at the event's time, to the last digit",
    "lines, net, tax, total and the journal entry follow from those charges by the billing rules",
    "no byte of any file changed since the manifest was made from them",
)
DOES_NOT_PROVE = (
    "that the provider's token counts are true",
    "that every request is here: compare your own receipts (source and id) with the usage files",
    "that the contract is what you signed: compare the hash of your copy with the one above",
    "what an earlier invoice handed on (`carried` in invoice.json): compare its hash with that invoice",
    "who made this bundle: this release has no signature yet",
)


class Block(NamedTuple):
    """At most 10,000 events in (time, source, id) order: as received, and their rated and excluded lines."""

    usage: bytes
    rated: bytes
    excluded: bytes


class Manifest(NamedTuple):
    """The manifest of a written bundle and the SHA-256 of its bytes, which stands for the whole bundle."""

    document: dict[str, Any]
    sha256: str

    @property
    def merkle_root(self) -> str:
        return str(self.document["merkle_root"])


def write_bundle(
    out: BinaryIO,
    *,
    invoice: Mapping[str, Any],
    contracts: Sequence[Mapping[str, Any]],
    plans: Mapping[str, Mapping[str, Any]],
    rates: Mapping[str, Mapping[str, Any]],
    journal: Mapping[str, Any],
    frozen: Mapping[str, Any],
    blocks: Iterable[Block],
) -> Manifest:
    """Write the bundle of an issued invoice to `out` (seekable, empty). `contracts` are the versions
    in order; `plans` maps `plan@version` and `rates` `card@version` to documents.

    The same arguments give the same content. Of `frozen` the run, customer, period, cut-off and segments are kept.
    Holds one block in memory. Checks counts only: `verify_bundle` checks the rest. Raises InvariantBroken.
    """
    tree = MerkleTree()
    excluded = 0
    with ArchiveWriter(out) as archive:
        inputs = documents(
            invoice=invoice, contracts=contracts, plans=plans, rates=rates, journal=journal, frozen=frozen
        )
        for name, content in inputs.items():
            archive.add(name, content)
        for number, block in enumerate(blocks, start=1):
            usage_rows, rated_rows, excluded_rows = (_rows(content) for content in block)
            if len(usage_rows) != len(rated_rows) + len(excluded_rows) or len(usage_rows) > BLOCK_ROWS:
                raise InvariantBroken(
                    f"block {number}",
                    f"{len(usage_rows)} usage, {len(rated_rows)} rated, {len(excluded_rows)} excluded rows",
                    f"every event is rated or excluded, at most {BLOCK_ROWS} in a block",
                )
            for row in rated_rows:
                tree.append(row)
            excluded += len(excluded_rows)
            for name, content in zip(block_names(number), block, strict=True):
                archive.add(name, content)
        counted = [tree.size + excluded, tree.size, excluded]
        events = invoice["events"]
        billed = [events["accepted"], events["rated"], sum(events["excluded"].values())]
        if counted != billed:
            raise InvariantBroken("accepted, rated, excluded", counted, f"the invoice says {billed}")
        manifest = manifest_document(invoice, archive.files, tree)
        content = canonical_bytes(manifest)
        archive.add(MANIFEST, content)
    return Manifest(manifest, sha256_hex(content))


def block_names(number: int) -> tuple[str, str, str]:
    """The three files of a block, numbered from 1 over the whole invoice."""
    return f"usage/{number:05d}.jsonl", f"rated/{number:05d}.jsonl", f"excluded/{number:05d}.jsonl"


def documents(
    *,
    invoice: Mapping[str, Any],
    contracts: Sequence[Mapping[str, Any]],
    plans: Mapping[str, Mapping[str, Any]],
    rates: Mapping[str, Mapping[str, Any]],
    journal: Mapping[str, Any],
    frozen: Mapping[str, Any],
) -> dict[str, bytes]:
    """Every file but the blocks and the manifest, by name, in the order of the bundle."""
    segments = [{name: segment[name] for name in _SEGMENT} for segment in frozen["segments"]]
    return {
        "invoice.json": canonical_bytes(invoice),
        "lines.csv": lines_csv(invoice),
        **{contract_file(document["version"]): canonical_bytes(document) for document in contracts},
        **{plan_file(name): canonical_bytes(plans[name]) for name in in_version_order(plans)},
        **{rate_file(name): canonical_bytes(rates[name]) for name in in_version_order(rates)},
        "frozen.json": canonical_bytes({**{name: frozen[name] for name in _FROZEN}, "segments": segments}),
        "journal.json": canonical_bytes(journal),
        "journal.txt": plain_text_journal(journal).encode(),
        "VERIFY.md": verify_text(invoice).encode(),
    }


def contract_file(version: int) -> str:
    return f"contracts/{version}.json"


def plan_file(name: str) -> str:
    return f"plans/{name}.json"


def rate_file(name: str) -> str:
    return f"rates/{name}.json"


def in_version_order(names: Iterable[str]) -> list[str]:
    """`card@version` names, version 10 after version 9."""
    return sorted(names, key=lambda name: (name.rpartition("@")[0], len(name), name))


def manifest_document(
    invoice: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], tree: MerkleTree
) -> dict[str, Any]:
    """What MANIFEST.json says: the hash of every file, the commitment over the rated lines, counts and sums."""
    meters: dict[str, dict[str, Any]] = {}
    units: dict[str, int] = {}
    for line in invoice["lines"]:
        meter = meters.setdefault(line["meter"] or line["charge"], {"quantity": 0, "exact": "0"})
        meter["quantity"] += line["quantity"] or 0
        meter["exact"] = format_amount(parse_amount(meter["exact"]) + parse_amount(line["exact"]))
        if line["class"] is not None:
            units[line["class"]] = units.get(line["class"], 0) + line["quantity"]
    return {
        "format": FORMAT,
        "rules_version": invoice["rules_version"],
        "invoice": invoice["number"],
        "run_id": invoice["run_id"],
        "customer": invoice["customer"]["id"],
        "period": invoice["period"],
        "cutoff": invoice["cutoff"],
        "files": {name: dict(entry) for name, entry in files.items()},
        "merkle_root": tree.root().hex(),
        "rated_events": tree.size,
        "excluded_events": sum(invoice["events"]["excluded"].values()),
        "sums": {"meters": meters, "classes": units},
    }


def lines_csv(invoice: Mapping[str, Any]) -> bytes:
    """The legal lines for a spreadsheet; what does not apply to a line is empty. No cell begins a formula: `model`
    begins with the provider, an attribute with its name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, "currency"))
    for line in invoice["lines"]:
        model = None if line["model"] is None else f"{line['provider']}/{line['model']}"
        cells = {**line, "model": model}
        writer.writerow([*(cells[column] for column in _COLUMNS), invoice["currency"]])
    return text.getvalue().encode()


def verify_text(invoice: Mapping[str, Any]) -> str:
    """VERIFY.md: how anyone checks this bundle, and what that shows and does not show (R43)."""
    number = invoice["number"]
    proves, not_proved = ("\n".join(f"- {text}" for text in texts) for texts in (PROVES, DOES_NOT_PROVE))
    return f"""# Check invoice {number} yourself

Customer {invoice["customer"]["id"]}, period {invoice["period"]}, billing rules version {invoice["rules_version"]}.
Net exact {invoice["net_exact"]}, net {invoice["net"]}, total {invoice["total"]} {invoice["currency"]}.
Contract version {invoice["contract"]["version"]}, SHA-256 {invoice["contract"]["hash"]}.

You need Python 3.11 or newer and a copy of Billproof; no network, no account, no other package.

    python -m lambdas.cli verify {number}.zip
    python -m lambdas.cli explain {number}.zip --line 1
    python -m lambdas.cli trace {number}.zip --source SOURCE --id ID

`verify` computes everything again from the events, rates and contract in the bundle and names the first difference.

It proves that the invoice follows from them and that nothing changed since:
{proves}

It does not prove:
{not_proved}
"""


def _rows(content: bytes) -> list[bytes]:
    *rows, rest = content.split(b"\n")
    if rest:
        raise InvariantBroken("block", rest[:40], "every row ends with a line feed")
    return rows
