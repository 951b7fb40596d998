"""A bill that was rated offline, as text for people or as JSON, part by part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lambdas.billing.classes import STANDARD
from lambdas.billing.errors import BillingError
from lambdas.billing.lines import INCLUDED
from lambdas.billing.offline import Bill, charges_of
from lambdas.billing.offline_usage import Noted, Numbered, OfflineUsage, Repeat
from lambdas.cli_text import printable, table

_NAMED_EVENTS = 3
_NAMED_REASONS = 20
_CLAUSES = {
    "minimum": "up to its minimum",
    "maximum": "down to its maximum",
    "discount": "discount",
    "commitment": "true-up",
    "credit": "credit",
}
_COLUMNS = ("line", "charge", "model", "class / tier", "quantity", "unit price", "rate version", "exact", "amount")
_RIGHT = frozenset({"line", "quantity", "exact", "amount"})


def json_text(bill: Bill | None, usage: OfflineUsage, notes: Sequence[str]) -> Iterator[str]:
    """One JSON object, an event's charges at a time."""
    yield '{"charges": ['
    before = " "
    for charges in charges_of(bill) if bill else ():
        for charge in charges:
            yield before + json.dumps(charge)
            before = ","
    invoice, blocked = (bill.invoice, bill.blocked) if bill else (None, None)
    rest = {
        "lines": invoice["lines"] if invoice else [],
        "invoice": invoice,
        "blocked": _refusal(blocked) if blocked else None,
        "events": _events(bill, usage),
        "notes": list(notes),
    }
    yield "], " + json.dumps(rest, indent=2)[1:]


def _refusal(error: BillingError) -> dict[str, str]:
    return {"code": type(error).__name__, "field": error.field, "value": error.value, "remedy": error.remedy}


def _events(bill: Bill | None, usage: OfflineUsage) -> dict[str, Any]:
    """What became of every line. Counts are complete, lists have the first of each kind."""
    found: dict[str, Any] = {
        "lines": usage.lines,
        "accepted": len(usage.events),
        "duplicate": usage.duplicates.count,
        "conflict": usage.conflicts.count,
        "rejected": usage.rejected.count,
        "duplicates": [repeat._asdict() for repeat in usage.duplicates.first],
        "conflicts": [repeat._asdict() for repeat in usage.conflicts.first],
        "rejections": [rejection._asdict() for rejection in usage.rejected.first],
    }
    if bill:
        found |= {
            "in_period": len(bill.events),
            "other_months": dict(bill.left_out),
            "rated": bill.totals.rated,
            "excluded": dict(bill.totals.excluded),
            "parked": [
                {
                    "code": reason.code,
                    "detail": reason.detail,
                    "events": reason.events.count,
                    "first": [_named(event) for event in reason.events.first],
                }
                for reason in bill.parked
            ],
        }
    return found


def _named(event: Numbered) -> dict[str, Any]:
    row = event.row
    return {"line": event.line, "source": row.source, "id": row.id, "time": row.time}


def words(bill: Bill | None, usage: OfflineUsage, notes: Sequence[str], *, charges: bool) -> Iterator[str]:
    """The bill and its events as lines of text."""
    if bill:
        yield from _bill_in_words(bill)
        if charges:
            yield from _charges_in_words(bill)
        yield ""
    yield from map(printable, _events_in_words(bill, usage))
    yield from (f"Note: {note}." for note in notes)


def _bill_in_words(bill: Bill) -> Iterator[str]:
    agreement = bill.agreement
    period, contract = agreement.period, agreement.last.contract
    plans = ", ".join(dict.fromkeys(f"{s.plan.id}@{s.plan.version}" for s in agreement.all))
    yield printable(
        f"Usage of {contract.customer} in {period.name}, from {period.start[:10]} until {period.end[:10]} (that day "
        f"not included), plan {plans}. A calculation, not an issued invoice."
    )
    yield ""
    invoice = bill.invoice
    if invoice is None:
        yield f"No bill. {type(bill.blocked).__name__}: {printable(str(bill.blocked))}"
        return
    if invoice["lines"]:
        yield from table(_COLUMNS, [_cells(line, invoice) for line in invoice["lines"]], right=_RIGHT)
    else:
        yield "No lines: nothing to charge."
    yield ""
    currency = invoice["currency"]
    [tax] = invoice["tax"]
    sums = [
        ("exact", invoice["net_exact"]),
        ("net", invoice["net"]),
        (f"tax {tax['category']} {tax['rate']}", tax["amount"]),
    ]
    for name, amount in [*sums, ("total", invoice["total"])]:
        yield f"{name:<12} {amount} {currency}"
    yield ""
    for pool in invoice["included"]:
        used, whole, left = (_number(pool[name]) for name in ("used", "included", "left"))
        unit, charges = _unit(pool["unit"], pool["included"]), ", ".join(pool["charges"])
        yield printable(
            f"Included for {charges}: {used} of {whole} {unit} used, {left} left; whole again on {pool['resets_on']}."
        )
    if invoice["cliff"]:
        cliff = invoice["cliff"]
        yield f"One more unit raises this bill by at most {cliff['exact']} {currency} (charge {cliff['charge']})."


def _cells(line: Mapping[str, Any], invoice: Mapping[str, Any]) -> tuple[str, ...]:
    model = "" if line["provider"] is None else f"{line['provider']}/{line['model']}"
    quantity = "" if line["quantity"] is None else f"{line['quantity']:,}"
    if line["blocks"] is not None:
        quantity += f" in {line['blocks']:,} blocks"
    price = "" if line["unit_price"] is None else line["unit_price"]
    if line["per"] not in (None, 1):
        price += f" / {line['per']:,}"
    what = ", ".join(_what(line, several=len(invoice["contracts"]) > 1))
    rates = line["rate_version"] or ""
    return str(line["line"]), line["charge"], model, what, quantity, price, rates, line["exact"], line["amount"]


def _what(line: Mapping[str, Any], *, several: bool) -> Iterator[str]:
    """What a line is for, beside its charge and model."""
    if line["source"] == "fee":
        yield f"{line['service_from']} until {line['service_to']}"
        if line["exact"].startswith("-"):
            yield "unused"
    elif line["source"] != "usage":
        yield _CLAUSES[line["source"]]
    else:
        yield line["class"]
        if line["service_tier"] != STANDARD:
            yield line["service_tier"]
        if line["prompt_above"]:
            yield f"prompt > {line['prompt_above']:,}"
        if line["weight"]:
            yield f"weight {line['weight']:,}"
        if line["tier"] == INCLUDED:
            yield INCLUDED
        elif line["kind"] in ("graduated", "volume"):
            yield f"tier {line['tier']}"
        if line["attribute"]:
            yield line["attribute"]
    if several:
        yield f"contract {line['contract_version']}"


def _charges_in_words(bill: Bill) -> Iterator[str]:
    yield ""
    for charges in charges_of(bill):
        for charge in charges:
            at = "" if charge["position"] is None else f", after {_number(charge['position'])}"
            yield printable(
                f"{charge['time']} {charge['source']} {charge['id']}: line {charge['line']}, {charge['cause']}, "
                f"{charge['provider']}/{charge['model']}{at}: {charge['arithmetic']}"
            )


def _events_in_words(bill: Bill | None, usage: OfflineUsage) -> Iterator[str]:
    yield (
        f"Lines read: {usage.lines:,}. Accepted {len(usage.events):,}, duplicate {usage.duplicates.count:,}, "
        f"conflict {usage.conflicts.count:,}, rejected {usage.rejected.count:,}."
    )
    for rejection in usage.rejected.first:
        yield f"  line {rejection.line} rejected: {rejection.field} = {rejection.value}: {rejection.remedy}"
    yield from _more(usage.rejected, "rejected")
    for repeat in usage.conflicts.first:
        yield f"  line {repeat.line} conflict: {_first(repeat)} has other content; give each event an id of its own"
    yield from _more(usage.conflicts, "conflict")
    for repeat in usage.duplicates.first:
        yield f"  line {repeat.line} duplicate: {_first(repeat)} is the same event and is counted once"
    yield from _more(usage.duplicates, "duplicate")
    if bill is None:
        return
    excluded = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in bill.totals.excluded.items())
    yield f"Of this period: {len(bill.events):,}. Rated {bill.totals.rated:,}; excluded: {excluded or 'none'}."
    if bill.left_out:
        months = ", ".join(f"{month} {count:,}" for month, count in bill.left_out.items())
        yield f"Not of this period and left out, by calendar month: {months}."
    for reason in sorted(bill.parked, key=lambda reason: -reason.events.count)[:_NAMED_REASONS]:
        yield f"Parked, never billed at zero: {reason.events.count:,} events ({reason.code}): {reason.detail}."
        for row, line in reason.events.first[:_NAMED_EVENTS]:
            yield f"  line {line}: {row.source} {row.id} at {row.time}"
    if len(bill.parked) > _NAMED_REASONS:
        yield f"Parked for {len(bill.parked) - _NAMED_REASONS:,} other reasons too; --json names them all."


def _first(repeat: Repeat) -> str:
    return f"{repeat.source} {repeat.id} of line {repeat.first_line}"


def _more(noted: Noted[Any], what: str) -> Iterator[str]:
    if noted.count > len(noted.first):
        yield f"  and {noted.count - len(noted.first):,} more {what}"


def _number(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _unit(unit: str, number: int | str) -> str:
    """`tokens`; a currency stays as it is."""
    words = unit.replace("_", " ")
    return f"{words}s" if isinstance(number, int) and number != 1 else words
