"""Lines and charges in plain words with their arithmetic (R14, R31). Pure: evidence in, words and values out.

Nothing is computed anew here but the product that is shown: amounts are those of the invoice and the rated line, and
a product that is not the recorded amount raises InvariantBroken instead of being explained away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lambdas.billing.errors import DocumentRefused, InvariantBroken
from lambdas.billing.money import (
    format_amount,
    format_minor,
    minor_digits,
    parse_amount,
    price_per_unit,
    round_half_away,
)
from lambdas.billing.pricing import INCLUDED

_OF_LINE = (
    "charge", "meter", "provider", "model", "class", "unit", "cause", "kind", "tier", "unit_price", "per",
    "rate_version", "rate_effective_from", "rate_hash", "contract_version",
)  # fmt: skip


def explain_line(invoice: Mapping[str, Any], line_number: int) -> dict[str, Any]:
    """A legal line as values, `arithmetic` and a sentence in `text`. Raises DocumentRefused for no such line.

    Displayed lines are shares of the net, which is rounded once (K3); where a share is not the line's own rounding,
    the sentence says so.
    """
    lines = invoice["lines"]
    if not 0 < line_number <= len(lines):
        raise DocumentRefused("line", line_number, f"invoice {invoice['number']} has lines 1 to {len(lines)}")
    line = lines[line_number - 1]
    exact = _product(line["quantity"], line["blocks"], line, line["exact"])
    arithmetic = f"{exact} -> {line['amount']} {invoice['currency']}"
    model = f"{line['provider']}/{line['model']}"
    text = (
        f"Line {line_number} charges {line['quantity']:,} {_units(line)} ({line['cause']}, {model}) of "
        f"{line['events']:,} events {_priced(line, invoice['currency'])} of "
        f"rate version {line['rate_version']} in force from {line['rate_effective_from']}: {arithmetic}."
    )
    rounded = round_half_away(parse_amount(line["exact"]), minor_digits(invoice["currency"]))
    if rounded != parse_amount(line["amount"]):
        text += (
            f" Alone it would round to {format_minor(rounded, invoice['currency'])}; all lines together are rounded "
            f"once, {invoice['net_exact']} -> {invoice['net']}, and the lines are made to add up to that."
        )
    return {
        "invoice": invoice["number"],
        "customer": invoice["customer"]["id"],
        "period": invoice["period"],
        "currency": invoice["currency"],
        **{name: line[name] for name in ("line", *_OF_LINE, "quantity", "events", "exact", "amount")},
        "arithmetic": arithmetic,
        "text": text,
    }


def explain_charges(rated_line_text: str, invoice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The charges of one event from its rated line, each with the legal line it is part of, cause and arithmetic.

    An event of quantity zero has no charges. Raises InvariantBroken where the invoice has no such line.
    """
    time, source, event_id, revision, charges = json.loads(rated_line_text)
    lines = {line["key"]: line for line in invoice["lines"]}
    explained = []
    for key, quantity, exact, *position in charges:
        line = lines.get(key)
        if line is None:
            raise InvariantBroken("charge", key, f"invoice {invoice['number']} has no such line")
        explained.append(
            {
                "customer": invoice["customer"]["id"],
                "source": source,
                "id": event_id,
                "revision": revision,
                "time": time,
                "invoice": invoice["number"],
                "line": line["line"],
                **{name: line[name] for name in _OF_LINE},
                "quantity": quantity,
                "position": position[0] if position else None,
                "exact": exact,
                "currency": invoice["currency"],
                "arithmetic": f"{_product(quantity, _blocks(line, exact), line, exact)} {invoice['currency']}",
            }
        )
    return explained


def explain_exclusion(excluded_line_text: str) -> dict[str, Any]:
    """Why an event is not charged, from its excluded line."""
    time, source, event_id, revision, reason, detail = json.loads(excluded_line_text)
    return {
        "source": source,
        "id": event_id,
        "revision": revision,
        "time": time,
        "reason": reason,
        "detail": detail,
        "text": f"Not charged ({reason.replace('_', ' ')}): {detail}.",
    }


def explain_posting(line: Mapping[str, Any], journal: Mapping[str, Any]) -> dict[str, Any]:
    """Where a line's exact amount is in the journal: in the revenue of its meter, together with that meter's lines."""
    account = f"revenue:{line['meter']}"
    return {
        "transaction": journal["id"],
        "hash": journal["hash"],
        "account": account,
        "postings": [posting for posting in journal["postings"] if account in (posting["from"], posting["to"])],
    }


def _priced(line: Mapping[str, Any], currency: str) -> str:
    """How a line is priced, up to the name of its rate version."""
    price = f"{line['unit_price']} {currency} per {line['per']:,}"
    if line["tier"] == INCLUDED:
        return f"as included units of charge {line['charge']}, beside the prices"
    if line["blocks"] is not None:
        return f"in {line['blocks']:,} blocks begun, at {price} whole, the price"
    if line["tier"] is not None:
        return f"in tier {line['tier']} ({line['kind']}) at {price}, the price"
    return f"at {price}, the price"


def _blocks(line: Mapping[str, Any], exact: str) -> int | None:
    """Blocks that one charge of a package line began, from its amount."""
    price = parse_amount(line["unit_price"])
    if line["blocks"] is None:
        return None
    return parse_amount(exact) // price if price else 0


def _product(quantity: int, blocks: int | None, line: Mapping[str, Any], exact: str) -> str:
    """`22,361,870 x 2.50 / 1,000,000 = 55.904675`, or `8 blocks x 0.60 = 4.8`, checked."""
    price = parse_amount(line["unit_price"])
    if blocks is not None:
        amount, shown = format_amount(blocks * price), f"{blocks:,} blocks x {line['unit_price']}"
    else:
        divisor = "" if line["per"] == 1 else f" / {line['per']:,}"
        amount = format_amount(quantity * price_per_unit(price, line["per"]))
        shown = f"{quantity:,} x {line['unit_price']}{divisor}"
    if amount != exact:
        raise InvariantBroken("exact amount", exact, f"{shown} is {amount}")
    return f"{shown} = {exact}"


def _units(line: Mapping[str, Any]) -> str:
    return f"{line['unit']}s" if line["quantity"] != 1 else str(line["unit"])
