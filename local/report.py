"""What `make run` prints: short sections, money aligned, progress while it works."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def step(title: str) -> None:
    print(f"\n== {title}", flush=True)


def fact(text: str) -> None:
    print(f"   {text}", flush=True)


def quoted(text: str) -> None:
    """Another program's output, as it came."""
    print(textwrap.indent(text.rstrip(), "   | "), flush=True)


@contextlib.contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A line that is written over on a terminal, and a line per tenth elsewhere."""
    shown = -1

    def moved(done: int) -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        if sys.stdout.isatty():
            print(f"\r   {done:,} of {total:,} {unit}", end="", flush=True)
        elif tenth > shown:
            fact(f"{done:,} of {total:,} {unit}")
        shown = tenth

    yield moved
    if sys.stdout.isatty():
        print()


def usage_totals(totals: Mapping[str, int]) -> None:
    names = ("accepted", "duplicate", "conflict", "rejected", "not_stored")
    fact(f"received {totals['received']:,}: " + ", ".join(f"{name} {totals[name]:,}" for name in names))
    if totals["parked"]:
        fact(f"parked {totals['parked']:,} of the accepted: no price yet, nothing is billed at zero")


_said: list[str] = []


def run_progress(run: Mapping[str, Any]) -> None:
    """The accounts of a run by state, printed when that changed."""
    states = ", ".join(f"{n} {state}" for state, n in sorted(run["accounts"]["by_status"].items()))
    text = f"{run['status']}: {states}"
    if states and text not in _said[-1:]:
        _said.append(text)
        fact(text)


def run_totals(run: Mapping[str, Any]) -> None:
    """Control totals of a run: accounts, events by fate, and for each currency the invoices and the ledger."""
    totals = run["totals"]
    events = totals["events"]
    excluded = sum(events["excluded"].values())
    fact("control totals")
    fact(f"accounts  {', '.join(f'{n} {status}' for status, n in sorted(totals['accounts'].items()))}")
    fact(
        f"events    {events['accepted']:,} accepted = {events['rated']:,} rated + {excluded:,} excluded"
        f" + {events['parked']:,} parked"
    )
    for currency, money in totals["money"].items():
        fact(f"invoices  {money['invoices']} in {currency}, {money['first']} to {money['last']}")
        fact(f"money     net {money['net']} (exact {money['net_exact']}) + tax {money['tax']} = total {money['total']}")
        fact(
            f"ledger    receivable {money['receivable']} = revenue {money['revenue']} + deferred {money['deferred']}"
            f" + tax {money['tax_payable']} + rounding {money['rounding']}"
        )


def invoice(document: Mapping[str, Any]) -> None:
    """An invoice as text, exact and displayed amounts side by side, then what is included and what can come on top."""
    contract = document["contract"]
    step(f"Invoice {document['number']}")
    fact(f"from  {document['entity']['name']}, {document['entity']['address']}, {document['entity']['country']}")
    fact(f"to    {document['customer']['name']} ({document['customer']['id']})")
    fact(
        f"for   {document['period']}, plan {contract['plan']}, contract version {contract['version']}, "
        f"{document['currency']}"
    )
    fact("")
    rows = [_row(line) for line in document["lines"]]
    rows.append(("", "net", "", "", "", "", document["net_exact"], document["net"]))
    for group in document["tax"]:
        rows.append(("", f"tax {group['category']} {group['rate']}", "", "", "", "", "", group["amount"]))
    rows.append(("", f"total {document['currency']}", "", "", "", "", "", document["total"]))
    for row in _aligned((("line", "for", "what", "quantity", "price", "rate", "exact", "amount"), *rows)):
        fact(row)
    fact("")
    events = document["events"]
    excluded = ", ".join(f"{n} {reason}" for reason, n in events["excluded"].items()) or "none"
    remark("events", f"{events['accepted']:,} accepted = {events['rated']:,} rated + excluded: {excluded}")
    for item in document["included"]:
        remark("included", _included(item))
    for earned in document.get("recognised", []):
        remark("earned", f"{earned['exact']} of {earned['charge']}, billed in advance on {earned['invoice']}")
    terms, cliff = contract["terms"], document["cliff"]
    if "overage_terms" in terms:
        remark("overage", terms["overage_terms"])
    if "cliff_limit" in terms and cliff is not None:
        text = f"one more unit of {cliff['charge']} raises this bill by at most {cliff['exact']}"
        remark("cliff", f"{text}; the plan declares {terms['cliff_limit']}")


def remark(name: str, text: str) -> None:
    """A remark under an invoice, broken into lines that stand below each other."""
    first, *rest = textwrap.wrap(text, 100) or [""]
    fact(f"{name:<8}  {first}")
    for line in rest:
        fact(f"{'':<8}  {line}")


def _row(line: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a line: usage of a model, a fee with the days it is for, or what plan or contract adds or takes."""
    amounts = line["exact"], line["amount"]
    if line["source"] == "usage":
        price = f"{line['unit_price']} / {_block(line['per'])}"
        model = f"{line['provider']}/{line['model']}"
        return (str(line["line"]), model, _what(line), f"{line['quantity']:,}", price, line["rate_version"], *amounts)
    if line["source"] == "fee":
        days = f"{line['service_from']} up to {line['service_to']}{_timing(line)}"
        price = f"{line['unit_price']} / period"
        return (str(line["line"]), line["charge"], days, "1", price, line["rate_version"], *amounts)
    name = line["charge"] if line["charge"] == line["source"] else f"{line['source']} {line['charge']}"
    return (str(line["line"]), name, line["arithmetic"], "", "", "", *amounts)


def _what(line: Mapping[str, Any]) -> str:
    """The class of a usage line and what tells it from lines of the same class."""
    parts = [line["class"]]
    if line["weight"] not in (None, 1):
        parts.append(f"{line['weight']} units each")
    if line["service_tier"] != "standard":
        parts.append(line["service_tier"])
    if line["prompt_above"] is not None:
        parts.append(f"prompt > {line['prompt_above']:,}")
    if line["attribute"] is not None:
        parts.append(line["attribute"])
    if line["tier"] == "included":
        parts.append("included")
    elif line["blocks"] is not None:
        parts.append(f"{line['blocks']:,} block{'' if line['blocks'] == 1 else 's'}")
    elif line["kind"] in ("graduated", "volume"):
        parts.append(f"tier {line['tier']}")
    return ", ".join(parts)


def _timing(line: Mapping[str, Any]) -> str:
    if not line["account"].startswith("deferred:"):
        return ""
    return ", not used" if line["exact"].startswith("-") else ", in advance"


def _included(item: Mapping[str, Any]) -> str:
    """`input: 500 of 2,000 tokens used, 1,500 left; resets on 2026-11-01`; money is decimal text."""
    used, whole, left = (
        f"{item[name]:,}" if isinstance(item[name], int) else item[name] for name in ("used", "included", "left")
    )
    unit = item["unit"] if isinstance(item["left"], str) else f"{item['unit'].replace('_', ' ')}s"
    return f"{item['name']}: {used} of {whole} {unit} used, {left} left; resets on {item['resets_on']}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows of a table, each column as wide as its widest cell; names and words to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(
            cell.ljust(width) if position in (1, 2) else cell.rjust(width)
            for position, (cell, width) in enumerate(cells)
        )


def controls(accounts: Sequence[Mapping[str, Any]]) -> None:
    """What plans have the seller watch, of the accounts of a run: output per input, margin, whether to reprice (R9)."""
    watched = [account for account in accounts if _is_watched(account["totals"]["controls"])]
    if watched:
        step("Controls: for the seller, on no invoice")
    for account in watched:
        found = account["totals"]["controls"]
        ratio, margin = found["output_input_ratio"], found["margin"]
        fact(f"{account['customer']}, plan {found['plan']}")
        if ratio["above"] is not None:
            tokens = f"{ratio['output']:,} output to {ratio['input']:,} input tokens"
            fact(f"ratio     {ratio['value']} ({tokens}); watched above {ratio['above']}")
        if margin is not None:
            earned = f"{margin['margin']} of {margin['earned']} {margin['currency']} earned"
            fact(f"margin    {earned}, cost {margin['cost']}; floor {margin['floor']}")
        for reason in found["reasons"]:
            fact(f"reprice   {reason}")


def _is_watched(found: Mapping[str, Any]) -> bool:
    margin = found["margin"]
    return found["output_input_ratio"]["above"] is not None or (margin is not None and margin["floor"] is not None)


def trace(answer: Mapping[str, Any]) -> None:
    """One event's walk from the request to the journal, as GET /v1/trace/event answers it."""
    received = answer["received"]
    fact(f"event     {answer['customer']} {answer['source']} {answer['id']} at {answer['time']}")
    fact(f"received  {received['at']}, payload SHA-256 {received['sha256']}")
    fact(f"state     {answer['state']}, run {answer['run_id']}")
    for charge in answer["charges"]:
        fact(f"charge    {charge['cause']}: {charge['arithmetic']}")
        fact(f"          rate {charge['rate_version']} (SHA-256 {charge['rate_hash'][:16]}...), line {charge['line']}")
    for line in answer["lines"]:
        fact(f"line {line['line']:<4} {line['arithmetic']}")
    for entry in answer["journal"]:
        for posting in entry["postings"]:
            fact(f"journal   {entry['transaction']}: {posting['from']} -> {posting['to']} {posting['amount']}")
    evidence = answer["evidence"]
    fact(f"proof     {evidence['file']} row {evidence['row']} of the bundle of {answer['invoice']['number']}")


def _block(per: int) -> str:
    return {1: "unit", 1_000: "1K", 1_000_000: "1M"}[per]
