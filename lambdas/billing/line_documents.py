"""A legal line as values of the invoice document. Every line has every member; what does not apply is null."""

from __future__ import annotations

from typing import Any

from lambdas.billing.agreements import Agreement
from lambdas.billing.classes import STANDARD, class_of
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.lines import INCLUDED, LinePrice, PassThrough
from lambdas.billing.money import format_amount, format_minor, multiply, parse_amount
from lambdas.billing.steps import FEE, Line

MEMBERS = (
    "line", "key", "source", "charge", "account", "meter", "provider", "model", "class", "service_tier",
    "prompt_above", "attribute", "unit", "cause", "kind", "tier", "quantity", "weight", "blocks", "unit_price", "per",
    "rate_version", "rate_effective_from", "rate_hash", "contract_version", "service_from", "service_to", "resets_on",
    "pass_through", "events", "arithmetic", "exact", "amount",
)  # fmt: skip
"""Members of a line, in the order of lines.csv."""


def line_document(number: int, line: Line, displayed: int, agreement: Agreement) -> dict[str, Any]:
    """Line `number` of an invoice, shown as `displayed` (10**-18, in minor units)."""
    document: dict[str, Any] = dict.fromkeys(MEMBERS)
    document |= {
        "line": number,
        "key": line.key,
        "source": line.source,
        "charge": line.charge,
        "account": line.account,
        "cause": line.cause,
        "kind": line.source,
        "contract_version": line.contract_version,
        "events": line.events,
        "arithmetic": line.arithmetic or None,
        "exact": format_amount(line.amount),
        "amount": format_minor(displayed, agreement.last.contract.currency),
    }
    if line.price is not None:
        document |= _usage(line, line.price, agreement)
    if line.source == FEE and line.fee is not None:
        document |= {
            "kind": "flat",
            "unit": "period",
            "quantity": 1,
            "unit_price": line.fee.price,
            "per": 1,
            "rate_version": line.fee.rate_version,
            "rate_effective_from": line.fee.effective_from,
            "rate_hash": _hash(agreement, line.fee.rate_version),
            "service_from": line.fee.start[:10],
            "service_to": line.fee.end[:10],
        }
    return document


def _usage(line: Line, price: LinePrice, agreement: Agreement) -> dict[str, Any]:
    asked, dated, charge = price.of.asked, price.dated, price.charge
    known = class_of(asked.name)
    return {
        "meter": charge.meter,
        "provider": asked.provider,
        "model": asked.model,
        "class": asked.name,
        "service_tier": asked.service_tier,
        "prompt_above": dated.rate.key.prompt_above or None,
        "attribute": price.attribute,
        "unit": charge.unit,
        "cause": _cause(price, known.cause if known else asked.name),
        "kind": charge.kind,
        "tier": price.tier,
        "quantity": line.quantity,
        "weight": price.weight if charge.weights else None,
        "blocks": line.blocks,
        "unit_price": price.price,
        "per": dated.rate.per,
        "rate_version": dated.name,
        "rate_effective_from": dated.effective_from,
        "rate_hash": _hash(agreement, dated.name),
        "resets_on": agreement.period.end[:10] if price.tier == INCLUDED else None,
        "pass_through": None if price.of.passed is None else _passed(line, price, price.of.passed, agreement),
    }


def _cause(price: LinePrice, cause: str) -> str:
    asked, above = price.of.asked, price.dated.rate.key.prompt_above
    if asked.service_tier != STANDARD:
        cause += f", service tier {asked.service_tier}"
    return f"{cause}, in requests with a prompt above {above:,} tokens" if above else cause


def _passed(line: Line, price: LinePrice, passed: PassThrough, agreement: Agreement) -> dict[str, Any]:
    """Cost and margin of a pass-through line, in the provider's currency and in the contract's."""
    tier = price.dated.rate.tiers[0]
    cost = line.quantity * tier.unit_price
    charged = multiply(cost, parse_amount(passed.markup), "cost x markup")
    document: dict[str, Any] = {
        "currency": passed.currency,
        "unit_cost": tier.price,
        "markup": passed.markup,
        "cost": format_amount(cost),
        "charged": format_amount(charged),
        "margin": format_amount(charged - cost),
        "fx": None,
    }
    if passed.fx is not None:
        local = multiply(cost, passed.fx.rate.exact, "cost x exchange rate")
        document["fx"] = {
            "currency": agreement.last.contract.currency,
            "rate": passed.fx.rate.rate,
            "source": passed.fx.rate.source,
            "rate_version": passed.fx.name,
            "rate_hash": _hash(agreement, passed.fx.name),
            "cost": format_amount(local),
            "margin": format_amount(line.amount - local),
        }
    return document


def _hash(agreement: Agreement, name: str) -> str:
    try:
        return agreement.hashes.rates[name]
    except KeyError:
        raise InvariantBroken("rate version", name, "every line's rate version is among those of the invoice") from None
