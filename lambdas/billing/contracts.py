"""When a contract version may follow another (R8, R11). Contracts are versions; none is ever changed."""

from __future__ import annotations

from collections.abc import Sequence

from lambdas.billing.charges import Charge
from lambdas.billing.commitments import term_start
from lambdas.billing.documents import Contract
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.periods import account_period, month_of, periods_after
from lambdas.billing.plans import Plan
from lambdas.billing.times import day_start


def check_contract(
    new: Contract, earlier: Sequence[Contract], *, plan: Plan, plan_before: Plan | None, now: str
) -> None:
    """Refuse a version that does not follow the customer's `earlier` ones (oldest first).

    The first may begin on any day, also a past one. A later one begins on any UTC day after `now` and after the one
    before it, and keeps entity, currency and anchor day: an account's invoices are of one series, one currency and one
    row of periods. `plan` is the plan it names and `plan_before` that of the version before it; where they define the
    primary meter differently, it begins with a billing period (R8). A commitment by term begins with a billing period
    and stands until its end; tax, and what a charge's position counts, change with a billing period too. Raises
    DocumentRefused.
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
        _check_within_a_period(new, last, plan, plan_before, period.end[:10])
    if plan_before is not None and not _same_meter(plan, plan_before) and begin != period.start:
        remedy = (
            f"it counts the primary meter {plan.primary_meter} differently than {plan_before.id}@{plan_before.version} "
            f"counts {plan_before.primary_meter}, so it begins with a billing period, such as {period.end[:10]}"
        )
        raise DocumentRefused("effective_from", new.effective_from, remedy)


def _check_within_a_period(
    new: Contract, last: Contract, plan: Plan, plan_before: Plan | None, next_start: str
) -> None:
    """What one invoice cannot hold twice: two taxes, or two meanings of one charge's position."""
    remedy = f"it changes with a billing period only, such as {next_start}"
    if (new.tax_category, new.tax_rate) != (last.tax_category, last.tax_rate):
        raise DocumentRefused("tax", f"{new.tax_category} {new.tax_rate}", remedy)
    before = {charge.id: charge for charge in plan_before.charges} if plan_before is not None else {}
    for charge in plan.charges:
        was = before.get(charge.id)
        if was is None:
            continue
        if was.unit != charge.unit:
            raise DocumentRefused("plan", f"charge {charge.id} in {charge.unit}", f"it was in {was.unit}; {remedy}")
        if _included_in(was) != _included_in(charge):
            raise DocumentRefused("plan", f"charge {charge.id}", f"what shares its included usage is another; {remedy}")


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
