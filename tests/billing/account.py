"""One account's period on paper: contract versions, plans, prices and usage in, the invoice out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lambdas.billing.agreements import Agreement, compile_agreement
from lambdas.billing.invoice import Draft, draft_document, issued_document
from lambdas.billing.rating import Positions, Totals, UsageRow, measure_event, rate_event
from tests.billing.month import CONTRACT, CUSTOMER, ENTITY, name_of

M = 1_000_000
Json = dict[str, Any]


def plan(plan_id: str, charges: Sequence[Json], *, primary_meter: str = "input", **more: Any) -> Json:
    """A plan of listed charges, version 1."""
    return {
        "id": plan_id,
        "version": 1,
        "name": plan_id,
        "model": "custom",
        "posture": "variable",
        "volatility_bearer": "customer",
        "primary_meter": primary_meter,
        "charges": list(charges),
        **more,
    }


def contract(plan_id: str, day: str, version: int = 1, **more: Any) -> Json:
    """A contract version with that plan from that day on; no tax."""
    named: Json = {"version": version, "effective_from": day, "plan": plan_id, "tax": {"category": "O", "rate": "0"}}
    return {**CONTRACT, **named, **more}


def card(version: int, day: str, *rates: Json, name: str = "std", currency: str = "USD", **more: Any) -> Json:
    """One version of a rate card, by its name."""
    document = {"version": version, "currency": currency, "effective_from": day, **more}
    if rates:
        document["rates"] = list(rates)
    return {f"{name}@{version}": document}


def price(charge: str, price: str, per: int = M, **more: Any) -> Json:
    return {"charge": charge, "per": per, "price": price, **more}


def tiers(charge: str, *bounds: tuple[int | None, str], per: int = M) -> Json:
    return {"charge": charge, "per": per, "tiers": [{"up_to": up_to, "price": text} for up_to, text in bounds]}


def class_price(token_class: str, price: str, per: int = M, model: str = "openai/gpt-4o", **more: Any) -> Json:
    provider, _, name = model.partition("/")
    return {"provider": provider, "model": name, "class": token_class, "per": per, "price": price, **more}


def used(
    time: str,
    model: str = "openai/gpt-4o",
    *,
    tier: str = "standard",
    attributes: Mapping[str, str] | None = None,
    event_id: str = "",
    **quantities: int,
) -> UsageRow:
    """Usage at a day or a time of it."""
    at = time if "T" in time else f"{time}T12:00:00.000000Z"
    provider, _, name = model.partition("/")
    return UsageRow(at, "//gateway", event_id or at, 0, provider, name, quantities, tier, attributes or {})


def agreed(month: str, contracts: Sequence[Json], plans: Sequence[Json], rates: Json) -> Agreement:
    return compile_agreement(month, contracts, {name_of(document): document for document in plans}, rates)


def rated(agreement: Agreement, rows: Sequence[UsageRow]) -> tuple[Totals, list[str]]:
    """The totals and the evidence lines of usage, in its order of time."""
    ordered = sorted(rows, key=lambda row: row[:3])
    counted: dict[str, int] = {}
    for row in ordered:
        measure_event(row, agreement.at(row.time), counted)
    totals, positions = Totals(), Positions({}, counted)
    return totals, [rate_event(row, agreement.at(row.time), totals, positions).text for row in ordered]


def invoiced(agreement: Agreement, rows: Sequence[UsageRow], *, carried: Json | None = None, number: int = 1) -> Json:
    """The issued invoice of a period."""
    totals, _ = rated(agreement, rows)
    month = agreement.period.name
    draft = Draft(f"billproof-us.{month}.final", f"{agreement.period.end}", ENTITY, CUSTOMER, agreement, carried)
    return issued_document(
        draft_document(draft, totals), number=f"BP-2026-{number:06d}", issued_at=agreement.period.end
    )


def shown(invoice: Json) -> list[tuple[str, str, str]]:
    """Charge, exact and displayed amount of every line."""
    return [(line["charge"], line["exact"], line["amount"]) for line in invoice["lines"]]


def carried_from(invoice: Json) -> Json:
    """What the next invoice takes over from this one."""
    return {"invoice": invoice["number"], "hash": "of " + invoice["number"], **invoice["carried_forward"]}
