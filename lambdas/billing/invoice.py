"""From a settlement to an invoice document: net, displayed lines, tax, receivable (K1, K3, K4), in canonical JSON.

`draft_document` is everything but the number; `issued_document` adds number and date. Both the billing run and
`verify` call them, so an invoice is recomputed by the code that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement, Stretch
from lambdas.billing.cliffs import cliff_of
from lambdas.billing.commitments import carried_on
from lambdas.billing.errors import TooManyLines
from lambdas.billing.line_documents import line_document
from lambdas.billing.lines import INCLUDED
from lambdas.billing.money import apportion, format_amount, format_minor, minor_digits, parse_amount, tax_on
from lambdas.billing.rate_cards import Rate
from lambdas.billing.rating import LineTotal, Totals
from lambdas.billing.steps import Settlement, settle

RULES_VERSION = "1"
"""Version of the billing rules (D18). A released rule set is never changed, only followed by the next."""
MAX_LINES = 10_000
"""Legal lines of an invoice that an attribute splits: whoever sends usage chooses its values. What lines are without it
follows from models and prices, and is billed however many there are."""


class Draft(NamedTuple):
    """What a draft needs besides what was rated. Times are canonical.

    `carried` is what the account's previous invoice says that this one must know: its `invoice` number and `hash`, the
    fees it billed in `advance` and what counts to a `committed` amount; None where there is nothing to know.
    """

    run_id: str
    cutoff: str
    entity: Mapping[str, Any]
    customer: Mapping[str, Any]
    agreement: Agreement
    carried: Mapping[str, Any] | None = None


def draft_document(draft: Draft, totals: Totals) -> dict[str, Any]:
    """The invoice without number and date.

    Displayed lines add up to the displayed net; exact amounts stay beside. Raises TooManyLines, and what `settle`
    raises.
    """
    agreement = draft.agreement
    contract = agreement.last.contract
    settlement = settle(agreement, totals, draft.carried)
    lines = settlement.lines
    splitting = [stretch.contract.split_by for stretch in agreement.all if stretch.contract.split_by is not None]
    if splitting and len(lines) > MAX_LINES:
        most = f"at most {MAX_LINES} where lines are split; {splitting[-1]} makes too many"
        raise TooManyLines("lines", len(lines), f"{most}. Resume the run: it leaves lines unsplit")
    currency = contract.currency
    digits = minor_digits(currency)
    net = apportion([line.amount for line in lines], digits)
    tax = tax_on(net.total, parse_amount(contract.tax_rate), digits)
    return {
        "rules_version": RULES_VERSION,
        "run_id": draft.run_id,
        "period": agreement.period.name,
        "period_start": agreement.period.start[:10],
        "period_end": agreement.period.end[:10],
        "cutoff": draft.cutoff,
        "currency": currency,
        "entity": dict(draft.entity),
        "customer": dict(draft.customer),
        "contract": {
            **_contract(agreement.last, agreement),
            "rate_versions": dict(agreement.hashes.rates),
            "posture": contract.posture,
            "volatility_bearer": contract.volatility_bearer,
            "usage_basis": contract.usage_basis,
            "late_usage": contract.late_usage,
            "parked_usage": contract.parked_usage,
            "terms": {
                name: agreement.last.plan.controls[name]
                for name in ("overage_terms", "cliff_limit")
                if name in agreement.last.plan.controls
            },
        },
        "contracts": [
            {"from": stretch.start[:10], "to": stretch.end[:10], **_contract(stretch, agreement)}
            for stretch in agreement.stretches
        ],
        "lines": [
            line_document(number, line, displayed, agreement)
            for number, (line, displayed) in enumerate(zip(lines, net.parts, strict=True), start=1)
        ],
        "events": {
            "accepted": totals.rated + sum(totals.excluded.values()),
            "rated": totals.rated,
            "excluded": dict(totals.excluded),
        },
        "positions": _positions(totals),
        **({"unsplit": True} if agreement.unsplit else {}),
        "included": _included(totals, agreement),
        "cliff": _cliff(totals),
        **_carrying(draft.carried, settlement),
        "net_exact": format_amount(sum(line.amount for line in lines)),
        "net": format_minor(net.total, currency),
        "tax": [
            {
                "category": contract.tax_category,
                "rate": contract.tax_rate,
                "base": format_minor(net.total, currency),
                "amount": format_minor(tax, currency),
            }
        ],
        "total": format_minor(net.total + tax, currency),
    }


def is_empty(draft: Mapping[str, Any]) -> bool:
    """Whether there is nothing to invoice: no line, and nothing of an earlier invoice that this period earns."""
    return not draft["lines"] and "recognised" not in draft


def issued_document(draft: Mapping[str, Any], *, number: str, issued_at: str) -> dict[str, Any]:
    """The invoice: a draft with its number and the time of issue, which is the run's time (D13)."""
    return {**draft, "number": number, "issued_at": issued_at}


def invoice_number(prefix: str, year: int, sequence: int) -> str:
    """Gapless number of an issuing entity and year: BP-2026-000001."""
    return f"{prefix}-{year:04d}-{sequence:06d}"


def _contract(stretch: Stretch, agreement: Agreement) -> dict[str, Any]:
    contract = stretch.contract
    plan = f"{contract.plan}@{contract.plan_version}"
    return {
        "version": contract.version,
        "hash": agreement.hashes.contracts[contract.version],
        "plan": plan,
        "plan_hash": agreement.hashes.plans[plan],
    }


def _positions(totals: Totals) -> dict[str, int | str]:
    """What is counted in the period under each position, included usage too (K8): units, or the value of units as
    decimal text where included usage is money."""
    counted: dict[str, int] = {}
    money: set[str] = set()
    for total in totals.lines.values():
        charge = total.price.charge
        if charge.positional:
            counted[charge.position] = counted.get(charge.position, 0) + _moved(total)
            if charge.shares_money:
                money.add(charge.position)
    return {name: format_amount(value) if name in money else value for name, value in counted.items()}


def _moved(total: LineTotal) -> int:
    """What a line's usage moved its position by: units, or their value where included usage is money."""
    return total.quantity * total.price.value if total.price.charge.shares_money else total.quantity


def _included(totals: Totals, agreement: Agreement) -> list[dict[str, Any]]:
    """Every included quantity or amount of the period, what of it was used, and the day it is whole again."""
    used: dict[str, int] = {}
    for total in totals.lines.values():
        if total.price.tier == INCLUDED:
            name = total.price.charge.position
            used[name] = used.get(name, 0) + _moved(total)
    found: dict[str, dict[str, Any]] = {}
    resets_on = agreement.period.end[:10]
    for stretch in agreement.stretches:
        shares = stretch.pricing.shares
        for charge in stretch.plan.charges:
            pool = charge.pool
            if pool is None and not charge.included:
                continue
            name = charge.position
            whole = shares.charges[charge.id] if pool is None else shares.pools[pool.id]
            left = max(0, whole - used.get(name, 0))
            entry: dict[str, Any] = {"included": whole, "used": used.get(name, 0), "left": left}
            if charge.shares_money:
                entry = {key: format_amount(value) for key, value in entry.items()}
                unit = stretch.contract.currency
            else:
                unit = charge.unit
            charges = [charge.id] if pool is None else list(pool.charges)
            found[name] = {"name": name, "charges": charges, "unit": unit, **entry, "resets_on": resets_on}
    return list(found.values())


def _cliff(totals: Totals) -> dict[str, str] | None:
    """The largest rise of this bill by one more unit of anything it charges, and of which charge (R9.2)."""
    rates: dict[tuple[str, str, int], set[Rate]] = {}
    for total in totals.lines.values():
        price = total.price
        rate = price.dated.rate
        if price.of.passed is not None:
            rate = rate._replace(tiers=(price.of.passed.tier(rate),))
        rates.setdefault((price.charge.id, price.charge.kind, price.weight), set()).add(rate)
    cliffs = {name: cliff_of(name[1], list(found), name[2]) for name, found in sorted(rates.items())}
    if not cliffs:
        return None
    steepest = max(cliffs, key=lambda name: cliffs[name])
    return {"charge": steepest[0], "exact": format_amount(cliffs[steepest])}


def _carrying(carried: Mapping[str, Any] | None, settlement: Settlement) -> dict[str, Any]:
    """What the invoice takes over from the one before it, and what the next one must know of this one."""
    found: dict[str, Any] = {}
    if carried is not None:
        found["carried"] = dict(carried)
    if settlement.recognised:
        found["recognised"] = [
            {"charge": item.charge, "invoice": item.invoice, "exact": format_amount(item.amount)}
            for item in settlement.recognised
        ]
    if settlement.advance or settlement.committed is not None or settlement.credit:
        committed = settlement.committed
        found["carried_forward"] = {
            "advance": settlement.advance,
            "committed": None if committed is None else carried_on(committed),
            "credit": format_amount(settlement.credit),
        }
    return found
