"""What an account's invoice must know of the one before: fees it billed in advance, and what counted for a commitment.

Only plans with a fee in advance, and commitments over a term, carry anything; all other months stay independent of each
other (decision 0065). Where something is carried, months are billed in order, each once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lambdas.billing.commitments import counted_before, term_start
from lambdas.billing.documents import Contract
from lambdas.billing.errors import EarlierPeriodOpen
from lambdas.billing.periods import month_of
from lambdas.billing.plans import Plan
from lambdas.billing.times import Period, day_start, month_after, month_before
from lambdas.handlers.run_records import read_invoice
from lambdas.store.billing import Billing
from lambdas.store.billing_items import EMPTY, FAILED, SEALED
from lambdas.store.errors import NotFound
from lambdas.store.evidence import Evidence


def carried_forward(
    customer: str,
    period: Period,
    contracts: Sequence[Contract],
    plans: Mapping[str, Plan],
    *,
    billing: Billing,
    evidence: Evidence,
) -> dict[str, Any] | None:
    """Number, hash and `carried_forward` of the account's last invoice before `period`; None where there is none, or
    where nothing can be carried (then nothing is read).

    `contracts` are all versions of the customer, oldest first; `plans` has, as `plan@version`, the plan of each that
    begins by the period's end. Raises EarlierPeriodOpen where an earlier month must be billed first, or a
    later one has been: then this invoice and that one would both bill the same fee.
    """
    carrying = _carrying(period, contracts, plans)
    if not carrying:
        return None
    first = contracts[0]
    later = later_account(customer, period.name, first.entity, billing)
    if later is not None:
        raise EarlierPeriodOpen(
            f"period of {customer}",
            period.name,
            f"the account in {final_run(first.entity, later)} has gone ahead, and a fee in advance would be on two "
            "invoices. Where that account fails, resume this run; where it is invoiced, this month is for correction",
        )
    if all(day_start(version.effective_from) == period.end for version in carrying):
        return None
    carried = _last_invoice(customer, period.name, first, billing=billing, evidence=evidence)
    term = term_start(contracts, period.start)
    committed = counted_before(None if carried is None else carried["committed"], term, period.start)
    if carried is None and committed is None:
        return None
    return {**(carried or {"invoice": "", "hash": "", "advance": [], "credit": "0"}), "committed": committed}


def later_account(customer: str, month: str, entity: str, billing: Billing) -> str | None:
    """A later month that has an account of this customer; None without one. An account that failed does not count: it
    is frozen again, and then finds the month that was to be billed first."""
    while True:
        month = month_after(month)
        account = billing.find_account(final_run(entity, month), customer)
        if account is not None and account.status != FAILED:
            return month
        if account is None and _status(entity, month, billing) is None:
            return None


def final_run(entity: str, month: str) -> str:
    """The id of an entity's final run of a month."""
    return f"{entity}.{month}.final"


def _carrying(period: Period, contracts: Sequence[Contract], plans: Mapping[str, Plan]) -> list[Contract]:
    """Versions with a commitment over a term, or a fee in advance, also ended ones: what they count, or give back, may
    go on after them."""
    began = [version for version in contracts if day_start(version.effective_from) <= period.end]
    return [
        version
        for version in began
        if (version.commitment is not None and version.commitment.months is not None)
        or plans[f"{version.plan}@{version.plan_version}"].in_advance
    ]


def _last_invoice(
    customer: str, month: str, first: Contract, *, billing: Billing, evidence: Evidence
) -> dict[str, Any] | None:
    """Of a month that was sealed before the contract was agreed there is no account and never will be: it is passed
    over, as its usage is late."""
    first_month = month_of(day_start(first.effective_from), first.anchor_day)
    still_open = None
    for earlier in _months_back(month, month_before(first_month)):
        account = billing.find_account(final_run(first.entity, earlier), customer)
        if account is None:
            if earlier >= first_month and _status(first.entity, earlier, billing) != SEALED:
                still_open = earlier
        elif account.number == "" and account.status != EMPTY:
            still_open = earlier
        elif still_open is not None:
            break
        elif account.status != EMPTY:
            invoice = billing.invoice(account.number)
            document = read_invoice(evidence, invoice)
            carried = document.get("carried_forward", {"advance": [], "committed": None, "credit": "0"})
            return {"invoice": invoice.number, "hash": invoice.document_hash, **carried}
    if still_open is not None:
        raise EarlierPeriodOpen(
            f"period of {customer}",
            month,
            f"bill {still_open} first, in run {final_run(first.entity, still_open)}, then resume this run: fees in "
            "advance and commitments over a term go on from invoice to invoice",
        )
    return None


def _months_back(month: str, last: str) -> Iterator[str]:
    while month > last:
        month = month_before(month)
        yield month


def _status(entity: str, month: str, billing: Billing) -> str | None:
    try:
        return billing.run(final_run(entity, month)).status
    except NotFound:
        return None
