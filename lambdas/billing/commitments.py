"""Commitments: the least amount of charges in a counting period, and the true-up to it (K7 step 8, K11).

What counts are charges after discounts and before any credit. A commitment counted by billing period is shared out by
the days it is agreed. One counted by term adds up over the invoices of the term and is trued up once, at its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement
from lambdas.billing.documents import Contract
from lambdas.billing.money import format_amount, parse_amount
from lambdas.billing.periods import periods_after, prorate_sum
from lambdas.billing.terms import Commitment
from lambdas.billing.times import day_start


class Committed(NamedTuple):
    """Where a commitment by term stands after this invoice: `[start, end)` of the term, what counts so far, in
    10**-18. `ends` is true where the term ends with this period."""

    commitment: Commitment
    start: str
    end: str
    counted: int
    ends: bool


class TrueUp(NamedTuple):
    """What is missing to a commitment, in 10**-18, and how it was found."""

    amount: int
    arithmetic: str


def committed_of(agreement: Agreement, counted: int, carried: Mapping[str, Any] | None) -> Committed | None:
    """The running commitment by term with `counted` of this invoice added; None where the contract has none.

    Terms begin and end with billing periods: the first with the contract version that states it, the next one where the
    last ended.
    """
    if not agreement.stretches:
        return None
    contract = agreement.last.contract
    commitment = contract.commitment
    if commitment is None or commitment.months is None:
        return None
    before = (carried or {}).get("committed")
    same = (stretch.start for stretch in agreement.stretches if stretch.contract.commitment == commitment)
    start, so_far = next(same), 0
    if before is not None:
        start, so_far = day_start(before["from"]), parse_amount(before["exact"])
    end = periods_after(start, commitment.months, contract.anchor_day)
    return Committed(commitment, start, end, so_far + counted, ends=end <= agreement.period.end)


def term_start(contracts: Sequence[Contract], at: str) -> str | None:
    """When the term that runs at the canonical time `at` began, from all contract versions in order; None where the
    version in force then has no commitment by term. Versions that restate a commitment go on with its term."""
    begun = [contract for contract in contracts if day_start(contract.effective_from) <= at]
    commitment = begun[-1].commitment if begun else None
    if commitment is None or commitment.months is None:
        return None
    start = ""
    for contract in reversed(begun):
        if contract.commitment != commitment:
            break
        start = day_start(contract.effective_from)
    while (end := periods_after(start, commitment.months, begun[-1].anchor_day)) <= at:
        start = end
    return start


def counted_before(committed: Mapping[str, str] | None, term: str | None, period_start: str) -> dict[str, str] | None:
    """What counts so far to the term that runs at a period's start, and began at `term`. `committed` is what the last
    invoice says, and may be of a term that ended in a month without an invoice; such months count nothing. None where
    the term begins with the period, or there is none."""
    if committed is not None and (term is None or committed["from"] == term[:10]):
        return dict(committed)
    return None if term is None or term == period_start else {"from": term[:10], "exact": "0"}


def carried_on(committed: Committed) -> dict[str, str]:
    """What the next invoice must know of it."""
    if committed.ends:
        return {"from": committed.end[:10], "exact": "0"}
    return {"from": committed.start[:10], "exact": format_amount(committed.counted)}


def true_up(agreement: Agreement, counted: Mapping[int, int], committed: Committed | None) -> TrueUp | None:
    """What this invoice must add to reach the commitment; None where nothing is missing or it is not due yet.

    `counted` are this invoice's charges after discounts by contract version: those of versions that commit to nothing
    count to nothing.
    """
    if committed is not None:
        return _missing(committed.commitment.amount, committed.counted, "") if committed.ends else None
    parts = [
        (stretch.contract.commitment.amount, stretch)
        for stretch in agreement.stretches
        if stretch.contract.commitment is not None and stretch.contract.commitment.months is None
    ]
    if not parts:
        return None
    due = prorate_sum([(amount, stretch.days) for amount, stretch in parts], agreement.days)
    days = sum(stretch.days for _, stretch in parts)
    share = "" if days == agreement.days else f" (for {days} of {agreement.days} days)"
    return _missing(due, sum(counted.get(stretch.contract.version, 0) for _, stretch in parts), share)


def _missing(due: int, counted: int, share: str) -> TrueUp | None:
    missing = due - counted
    if missing <= 0:
        return None
    arithmetic = f"{format_amount(due)}{share} - {format_amount(counted)} = {format_amount(missing)}"
    return TrueUp(missing, arithmetic)
