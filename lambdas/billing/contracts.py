"""When a contract version may follow another (R11). Contracts are versions; none is ever changed."""

from __future__ import annotations

from collections.abc import Sequence

from lambdas.billing.documents import Contract
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.times import day_start


def check_contract(new: Contract, earlier: Sequence[Contract], *, now: str) -> None:
    """Refuse a version that does not follow the customer's `earlier` ones (oldest first).

    The first may begin on any day, also a past one. A later one begins on the first of a month (so a period has one
    contract), after `now` and after the one before it, and keeps entity and currency: an account's invoices are of
    one series and one currency. Raises DocumentRefused.
    """
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
    if not new.effective_from.endswith("-01"):
        raise DocumentRefused("effective_from", new.effective_from, "a later version begins on the first of a month")
    if day_start(new.effective_from) <= now:
        raise DocumentRefused("effective_from", new.effective_from, f"a later version begins after today, {now[:10]}")
    if new.effective_from <= last.effective_from:
        raise DocumentRefused(
            "effective_from",
            new.effective_from,
            f"version {last.version} begins on {last.effective_from}; begin a month after it",
        )
