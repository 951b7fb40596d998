"""First step of a billing run: which accounts there are, and which this execution still has to do."""

from __future__ import annotations

from typing import Any

from lambdas.billing.documents import Contract
from lambdas.billing.periods import account_period
from lambdas.billing.plans import read_plan
from lambdas.handlers import stores
from lambdas.handlers.carried import later_account
from lambdas.handlers.entry import task_entry
from lambdas.store.billing import Billing
from lambdas.store.billing_items import DONE, FAILED, SEALED, Run
from lambdas.store.catalogue import Catalogue
from lambdas.store.evidence import Evidence, accounts_key, seal_key


def open_run(
    run_id: str, execution: str, *, billing: Billing, catalogue: Catalogue, evidence: Evidence
) -> dict[str, Any]:
    """Begin the attempt of this execution, once, and list its accounts in account order in S3.

    Accounts are the customers that `has_account_in` names. A later attempt also takes accounts whose contract came
    after the first; it gives failed accounts another freeze and leaves finished ones alone. An execution of a sealed
    run is no attempt: it goes over the last one's accounts again and changes nothing.
    """
    run = billing.run(run_id)
    sealed = run.status == SEALED
    attempt = run.attempt if sealed else billing.begin_attempt(run_id, execution)
    key = accounts_key(run_id, attempt)
    answer = {"run_id": run_id, "attempt": attempt, "bucket": evidence.bucket, "accounts_key": key}
    if sealed or evidence.find_json(key) is not None:
        return answer
    if evidence.find_json(seal_key(run_id)) is None:  # else only the run's status is left to write
        customers = [name for name in catalogue.accounts(run.entity) if _is_account(name, run, catalogue, billing)]
        billing.add_accounts(run_id, customers, attempt)
        for account in billing.accounts(run_id):
            if account.status == FAILED and account.attempt < attempt:
                billing.retry_account(account, attempt)
    billing.reopen(run_id)
    accounts = [account for account in billing.accounts(run_id) if account.status not in DONE]
    evidence.put_first(key, [{"customer": account.customer} for account in accounts])
    return answer


def has_account_in(month: str, first: Contract, catalogue: Catalogue) -> bool:
    """Whether the run of a month bills a customer, by the first contract version: it begins before the end of the
    customer's own period, or exactly there with a fee in advance, whose first one is on that invoice."""
    end = account_period(month, first.anchor_day).end[:10]
    return first.effective_from < end or (first.effective_from == end and _has_fee_in_advance(first, catalogue))


def _is_account(customer: str, run: Run, catalogue: Catalogue, billing: Billing) -> bool:
    """As `has_account_in`, but a first fee that a later month's invoice has billed meanwhile makes no account: that one
    could never be finished, and the run never sealed."""
    first = catalogue.contracts(customer)[0].contract
    if not has_account_in(run.period, first, catalogue):
        return False
    in_force = first.effective_from < account_period(run.period, first.anchor_day).end[:10]
    return in_force or later_account(customer, run.period, run.entity, billing) is None


def _has_fee_in_advance(contract: Contract, catalogue: Catalogue) -> bool:
    return bool(read_plan(catalogue.plan(contract.plan, contract.plan_version).document).in_advance)


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return open_run(
        event["run_id"],
        event["execution"],
        billing=stores.billing(),
        catalogue=stores.catalogue(),
        evidence=stores.evidence(),
    )


handler = task_entry(_handle)
