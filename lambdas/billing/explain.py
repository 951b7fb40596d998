"""Lines and charges in plain words with their arithmetic (R14, R31). Pure: evidence in, words and values out.

Nothing is computed anew here but the product that is shown: amounts are those of the invoice and the rated line, and
a product that is not the recorded amount raises InvariantBroken instead of being explained away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lambdas.billing.classes import class_of
from lambdas.billing.errors import DocumentRefused, InvariantBroken
from lambdas.billing.lines import INCLUDED
from lambdas.billing.money import (
    format_amount,
    format_minor,
    minor_digits,
    multiply,
    parse_amount,
    price_per_unit,
    round_half_away,
)

_OF_LINE = (
    "charge", "account", "meter", "provider", "model", "class", "service_tier", "prompt_above", "attribute", "unit",
    "cause", "kind", "tier", "weight", "unit_price", "per", "rate_version", "rate_effective_from", "rate_hash",
    "contract_version", "pass_through",
)  # fmt: skip


_CLAUSES = {
    "minimum": "brings charge {charge} up to its minimum",
    "maximum": "brings charge {charge} down to its maximum",
    "discount": "takes off discount {charge}",
    "commitment": "adds what is missing to the commitment",
}
"""What a line without events does, by its source."""


def explain_line(invoice: Mapping[str, Any], line_number: int) -> dict[str, Any]:
    """A legal line as values, `arithmetic` and a sentence in `text`. Raises DocumentRefused for no such line.

    Displayed lines are shares of the net, which is rounded once (K3); where a share is not the line's own rounding,
    the sentence says so.
    """
    lines = invoice["lines"]
    if not 0 < line_number <= len(lines):
        raise DocumentRefused("line", line_number, f"invoice {invoice['number']} has lines 1 to {len(lines)}")
    line = lines[line_number - 1]
    exact = line["arithmetic"] or _product(line["quantity"], line["blocks"], line, line["exact"])
    arithmetic = f"{exact} -> {line['amount']} {invoice['currency']}"
    text = f"Line {line_number} {_subject(line, invoice)}: {arithmetic}."
    if line["pass_through"] is not None:
        text += f" {_passed(line)}"
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
        **{name: line[name] for name in ("line", *_OF_LINE, "service_from", "service_to", "resets_on")},
        **{name: line[name] for name in ("quantity", "events", "exact", "amount")},
        "arithmetic": arithmetic,
        "text": text,
    }


def _subject(line: Mapping[str, Any], invoice: Mapping[str, Any]) -> str:
    """What a line is for, up to its arithmetic."""
    if line["source"] == "fee":
        what = "gives back" if line["exact"].startswith("-") else "charges"
        return (
            f"{what} {line['unit_price']} {invoice['currency']} per period ({line['cause']}), service from "
            f"{line['service_from']} until {line['service_to']} (that day not "
            f"included), at the price of rate version {line['rate_version']}"
        )
    if line["source"] == "credit":
        what = "takes off" if line["exact"].startswith("-") else "leaves to the next invoice"
        return f"{what} a credit ({line['cause']})"
    if line["source"] != "usage":
        clause = _CLAUSES[line["source"]].format(**line)
        return f"{clause}, as contract version {line['contract_version']} says ({line['cause']})"
    split = "" if line["attribute"] is None else f", {line['attribute']}"
    what = f"{line['cause']}{_weight(line)}, {line['provider']}/{line['model']}{split}"
    return (
        f"charges {_counted(line['quantity'], line['unit'])} ({what}) of {_counted(line['events'], 'event')} "
        f"{_priced(line, invoice)} of rate version {line['rate_version']} in force from {line['rate_effective_from']}"
    )


def _passed_event(line: Mapping[str, Any], quantity: int) -> dict[str, Any] | None:
    """Cost and margin of one event on a pass-through line, in the provider's currency (R13)."""
    passed = line["pass_through"]
    if passed is None:
        return None
    cost = quantity * price_per_unit(parse_amount(passed["unit_cost"]), line["per"])
    charged = multiply(cost, parse_amount(passed["markup"]), "cost x markup")
    named = {name: passed[name] for name in ("currency", "unit_cost", "markup", "fx")}
    amounts = {"cost": cost, "charged": charged, "margin": charged - cost}
    named["fx"] = named["fx"] and {name: passed["fx"][name] for name in ("currency", "rate", "source", "rate_version")}
    return {**named, **{name: format_amount(amount) for name, amount in amounts.items()}}


def _passed(line: Mapping[str, Any]) -> str:
    """How a pass-through price was made."""
    passed = line["pass_through"]
    fx = passed["fx"]
    text = f"The price is the provider's {passed['unit_cost']} {passed['currency']} x {passed['markup']}"
    if fx is not None:
        text += f" x {fx['rate']} {fx['currency']} per {passed['currency']} ({fx['source']}, {fx['rate_version']})"
    return f"{text}; cost {passed['cost']}, margin {passed['margin']} {passed['currency']}."


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
                "pass_through": _passed_event(line, quantity),
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
    """Where a line's exact amount is in the journal: on the account that it names, with the other lines of it."""
    account = line["account"]
    return {
        "transaction": journal["id"],
        "hash": journal["hash"],
        "account": account,
        "postings": [posting for posting in journal["postings"] if account in (posting["from"], posting["to"])],
    }


def _priced(line: Mapping[str, Any], invoice: Mapping[str, Any]) -> str:
    """How a line is priced, up to the name of its rate version."""
    currency = invoice["currency"]
    price = f"{line['unit_price']} {currency} per {line['per']:,}"
    if line["tier"] == INCLUDED:
        [shared] = [item["charges"] for item in invoice["included"] if line["charge"] in item["charges"]]
        of = f"of charge {line['charge']}" if len(shared) == 1 else f"that charges {', '.join(shared)} share"
        return f"as included usage {of}, whole again on {line['resets_on']}, beside the prices"
    if line["blocks"] is not None:
        begun = f"{_counted(line['blocks'], 'block')} of {line['per']:,} begun"
        return f"in {begun}, at {line['unit_price']} {currency} for each, the price"
    if line["tier"] is not None:
        kind = str(line["kind"]).replace("_", " ")
        where = "after what is included" if line["kind"] == "per_unit" else f"in tier {line['tier']}"
        return f"{where} ({kind}) at {price}, the price"
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


def _counted(number: int, unit: str) -> str:
    """`1 event`, `1,200 tool calls`."""
    words = unit.replace("_", " ")
    return f"{number:,} {words}" if number == 1 else f"{number:,} {words}s"


def _weight(line: Mapping[str, Any]) -> str:
    """How many units one of the class counts for, where the meter weighs it."""
    if line["weight"] is None:
        return ""
    known = class_of(line["class"])
    unit = "one" if known is None else known.unit.replace("_", " ")
    return f", {line['weight']:,} for each {unit} of the class"
