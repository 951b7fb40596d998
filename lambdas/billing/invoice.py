"""From rated totals to an invoice document: legal lines, net, tax, receivable (K1, K3, K4, K7), in canonical JSON.

`draft_document` is everything but the number; `issued_document` adds number and date. Both the billing run and
`verify` call them, so an invoice is recomputed by the code that made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.classes import CLASS_ORDER, CLASSES
from lambdas.billing.documents import Contract
from lambdas.billing.money import apportion, format_amount, format_minor, minor_digits, parse_amount, tax_on
from lambdas.billing.plans import Plan
from lambdas.billing.pricing import INCLUDED, LinePrice
from lambdas.billing.rating import Totals

RULES_VERSION = "1"
"""Version of the billing rules (D18). A released rule set is never changed, only followed by the next."""


class LineSum(NamedTuple):
    """One legal line before rounding: exact `amount` in 10**-18."""

    price: LinePrice
    quantity: int
    amount: int
    events: int
    blocks: int | None


class Draft(NamedTuple):
    """What a draft needs besides its lines. Times are canonical; hashes are hex SHA-256 of canonical documents."""

    run_id: str
    period: str
    cutoff: str
    entity: Mapping[str, Any]
    customer: Mapping[str, Any]
    contract: Contract
    contract_hash: str
    plan: Plan
    plan_hash: str
    rate_hashes: Mapping[str, str]
    """`card@version` -> content hash of that version."""


def line_sums(totals: Totals, plan: Plan) -> list[LineSum]:
    """The lines of rated totals in legal order: charge, provider, model, class, start of the price, tier."""
    charge_order = {charge.id: position for position, charge in enumerate(plan.charges)}
    sums = [LineSum(t.price, t.quantity, t.amount, t.events, t.blocks) for t in totals.lines.values()]

    def order(line: LineSum) -> tuple[int, str, str, int, str, int]:
        price = line.price
        tier = int(price.tier) if price.tier not in (None, INCLUDED) else 0
        charge = charge_order[price.charge.id]
        return charge, price.provider, price.model, CLASS_ORDER[price.token_class], price.dated.start, tier

    return sorted(sums, key=order)


def draft_document(draft: Draft, lines: Sequence[LineSum], totals: Totals) -> dict[str, Any]:
    """The invoice without number and date. Displayed lines add up to the displayed net; exact amounts stay beside."""
    currency = draft.contract.currency
    digits = minor_digits(currency)
    net = apportion([line.amount for line in lines], digits)
    tax = tax_on(net.total, parse_amount(draft.contract.tax_rate), digits)
    return {
        "rules_version": RULES_VERSION,
        "run_id": draft.run_id,
        "period": draft.period,
        "cutoff": draft.cutoff,
        "currency": currency,
        "entity": dict(draft.entity),
        "customer": dict(draft.customer),
        "contract": {
            "version": draft.contract.version,
            "hash": draft.contract_hash,
            "plan": f"{draft.plan.id}@{draft.plan.version}",
            "plan_hash": draft.plan_hash,
            "rate_versions": dict(draft.rate_hashes),
            "posture": draft.contract.posture,
            "volatility_bearer": draft.contract.volatility_bearer,
            "usage_basis": draft.contract.usage_basis,
            "late_usage": draft.contract.late_usage,
            "parked_usage": draft.contract.parked_usage,
        },
        "lines": [
            _line(number, line, displayed, draft)
            for number, (line, displayed) in enumerate(zip(lines, net.parts, strict=True), start=1)
        ],
        "events": {
            "accepted": totals.rated + sum(totals.excluded.values()),
            "rated": totals.rated,
            "excluded": dict(totals.excluded),
        },
        "positions": _positions(lines),
        "net_exact": format_amount(sum(line.amount for line in lines)),
        "net": format_minor(net.total, currency),
        "tax": [
            {
                "category": draft.contract.tax_category,
                "rate": draft.contract.tax_rate,
                "base": format_minor(net.total, currency),
                "amount": format_minor(tax, currency),
            }
        ],
        "total": format_minor(net.total + tax, currency),
    }


def issued_document(draft: Mapping[str, Any], *, number: str, issued_at: str) -> dict[str, Any]:
    """The invoice: a draft with its number and the time of issue, which is the run's time (D13)."""
    return {**draft, "number": number, "issued_at": issued_at}


def invoice_number(prefix: str, year: int, sequence: int) -> str:
    """Gapless number of an issuing entity and year: BP-2026-000001."""
    return f"{prefix}-{year:04d}-{sequence:06d}"


def _positions(lines: Sequence[LineSum]) -> dict[str, int]:
    """What each charge whose price depends on positions has counted in the period, included units too (K8)."""
    counted: dict[str, int] = {}
    for line in lines:
        charge = line.price.charge
        if charge.positional:
            counted[charge.id] = counted.get(charge.id, 0) + line.quantity
    return counted


def _line(number: int, line: LineSum, displayed: int, draft: Draft) -> dict[str, Any]:
    price, dated, charge = line.price, line.price.dated, line.price.charge
    version = f"{dated.card}@{dated.version}"
    return {
        "line": number,
        "key": line.price.key,
        "charge": charge.id,
        "meter": charge.meter,
        "provider": price.provider,
        "model": price.model,
        "class": price.token_class,
        "unit": CLASSES[price.token_class].unit,
        "cause": CLASSES[price.token_class].cause,
        "kind": charge.kind,
        "tier": price.tier,
        "quantity": line.quantity,
        "blocks": line.blocks,
        "unit_price": price.price,
        "per": dated.rate.per,
        "rate_version": version,
        "rate_effective_from": dated.effective_from,
        "rate_hash": draft.rate_hashes[version],
        "contract_version": draft.contract.version,
        "events": line.events,
        "exact": format_amount(line.amount),
        "amount": format_minor(displayed, draft.contract.currency),
    }
