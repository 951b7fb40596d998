"""When a contract version may follow another (R8, R11). Contracts are versions; none is ever changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from lambdas.billing.charges import Charge
from lambdas.billing.commitments import term_start
from lambdas.billing.documents import Contract
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.periods import account_period, month_of, periods_after
from lambdas.billing.plans import Plan, pool_unit
from lambdas.billing.times import day_start


def check_contract(
    new: Contract, earlier: Sequence[Contract], *, plan: Plan, plans_before: Sequence[Plan], now: str
) -> None:
    """Refuse a version that does not follow the customer's `earlier` ones (oldest first).

    The first may begin on any day, also a past one. A later one begins on any UTC day after `now` and after the one
    before it, and keeps entity, currency and anchor day: an account's invoices are of one series, one currency and one
    row of periods. `plan` is the plan it names and `plans_before` those of `earlier`; where it defines the primary
    meter differently than the last of them, it begins with a billing period (R8). A commitment by term begins with a
    billing period and stands until its end; tax, and what a charge's position counts, change with a billing period
    too. Raises DocumentRefused.
    """
    _check_term(new, earlier)
    if not earlier:
        if new.version != 1:
            raise DocumentRefused("version", new.version, "the first contract version of a customer is 1")
        return
    last = earlier[-1]
    if new.version != last.version + 1:
        raise DocumentRefused("version", new.version, f"the customer's next contract version is {last.version + 1}")
    for field in ("entity", "currency"):
        was, wanted = getattr(last, field), getattr(new, field)
        if wanted != was:
            raise DocumentRefused(field, wanted, f"this customer's contracts are with {was}; make another customer")
    if new.anchor_day != last.anchor_day:
        remedy = f"this customer's periods begin on day {last.anchor_day}; make another customer"
        raise DocumentRefused("anchor_day", new.anchor_day, remedy)
    begin = day_start(new.effective_from)
    if begin <= now:
        raise DocumentRefused("effective_from", new.effective_from, f"a later version begins after today, {now[:10]}")
    if new.effective_from <= last.effective_from:
        raise DocumentRefused(
            "effective_from",
            new.effective_from,
            f"version {last.version} begins on {last.effective_from}; begin on a day after it",
        )
    period = account_period(month_of(begin, new.anchor_day), new.anchor_day)
    if begin != period.start:
        ends = [contract.effective_from for contract in earlier[1:]] + [new.effective_from]
        together = [other for other, end in zip(plans_before, ends, strict=True) if end > period.start[:10]]
        _check_within_a_period(new, last, plan, together, period.end[:10])
    plan_before = plans_before[-1]
    if not _same_meter(plan, plan_before) and begin != period.start:
        remedy = (
            f"it counts the primary meter {plan.primary_meter} differently than {plan_before.id}@{plan_before.version} "
            f"counts {plan_before.primary_meter}, so it begins with a billing period, such as {period.end[:10]}"
        )
        raise DocumentRefused("effective_from", new.effective_from, remedy)


def in_force(contracts: Sequence[Contract], first_day: str, last_day: str) -> list[Contract]:
    """The versions in force on one of these days, of all versions of a customer in order."""
    begun = [contract for contract in contracts if contract.effective_from <= last_day]
    return [
        contract
        for contract, after in zip_longest(begun, begun[1:])
        if after is None or after.effective_from > first_day
    ]


def _check_within_a_period(
    new: Contract, last: Contract, plan: Plan, together: Sequence[Plan], next_start: str
) -> None:
    """What one invoice cannot hold twice: two taxes, or two meanings of one position. `together` are the plans of the
    period's other versions: also one that is not the last may have a charge or a pool of the same id."""
    remedy = f"it changes with a billing period only, such as {next_start}"
    if (new.tax_category, new.tax_rate) != (last.tax_category, last.tax_rate):
        raise DocumentRefused("tax", f"{new.tax_category} {new.tax_rate}", remedy)
    for before in together:
        charges = {charge.id: charge for charge in before.charges}
        pools = {charge.pool.id: pool_unit(before, charge.pool) for charge in before.charges if charge.pool is not None}
        for charge in plan.charges:
            was = charges.get(charge.id)
            if was is not None:
                _check_same_position(was, charge, remedy)
            unit = None if charge.pool is None else pool_unit(plan, charge.pool)
            if charge.pool is not None and unit != pools.get(charge.pool.id, unit):
                remedy = f"it was in {pools[charge.pool.id]}; {remedy}"
                raise DocumentRefused("plan", f"included usage {charge.pool.id} in {unit}", remedy)


def _check_same_position(was: Charge, charge: Charge, remedy: str) -> None:
    """Refuse a charge of the same id whose position counts something else, or in other steps: a block that is begun
    must have been charged as a block."""
    if was.unit != charge.unit:
        raise DocumentRefused("plan", f"charge {charge.id} in {charge.unit}", f"it was in {was.unit}; {remedy}")
    if _included_in(was) != _included_in(charge):
        raise DocumentRefused("plan", f"charge {charge.id}", f"what shares its included usage is another; {remedy}")
    if was.kind != charge.kind and "package" in (was.kind, charge.kind):
        raise DocumentRefused("plan", f"charge {charge.id} as {charge.kind}", f"it was {was.kind}; {remedy}")


def _included_in(charge: Charge) -> tuple[str, bool] | None:
    """Which shared included usage a charge is part of, and whether it is money."""
    return None if charge.pool is None else (charge.pool.id, charge.pool.amount is not None)


def _check_term(new: Contract, earlier: Sequence[Contract]) -> None:
    """A commitment by term begins with a billing period, and stands until its term ends: what counts to it is added up
    invoice by invoice."""
    begin = day_start(new.effective_from)
    before = earlier[-1].commitment if earlier else None
    if new.commitment == before:
        return
    period = account_period(month_of(begin, new.anchor_day), new.anchor_day)
    if new.commitment is not None and new.commitment.months is not None and begin != period.start:
        remedy = f"a commitment by term begins with a billing period, such as {period.end[:10]}"
        raise DocumentRefused("effective_from", new.effective_from, remedy)
    if before is not None and before.months is not None:
        term = term_start(earlier, begin)
        if term != begin:
            ends = periods_after(term or begin, before.months, new.anchor_day)
            remedy = f"the commitment stands until {ends[:10]}; restate it, or begin then"
            raise DocumentRefused("commitment", "another commitment", remedy)


def _same_meter(plan: Plan, other: Plan) -> bool:
    """True where the primary meters count the same classes with the same weights, whatever they are called."""
    mine, theirs = plan.primary, other.primary
    return (set(mine.classes), dict(mine.weights)) == (set(theirs.classes), dict(theirs.weights))
