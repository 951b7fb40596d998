"""First step of a billing run: which accounts there are, and which this execution still has to do."""

from __future__ import annotations

from typing import Any

from lambdas.billing.times import month_period
from lambdas.handlers import stores
from lambdas.handlers.entry import task_entry
from lambdas.store.billing import Billing
from lambdas.store.billing_items import DONE, FAILED, SEALED
from lambdas.store.catalogue import Catalogue
from lambdas.store.evidence import Evidence, accounts_key, seal_key


def open_run(
    run_id: str, execution: str, *, billing: Billing, catalogue: Catalogue, evidence: Evidence
) -> dict[str, Any]:
    """Begin the attempt of this execution, once, and list its accounts in account order in S3.

    Accounts are the customers with a contract in force in the period. A later attempt also takes accounts whose
    contract came after the first; it gives failed accounts another freeze and leaves finished ones alone. An
    execution of a sealed run is no attempt: it goes over the last one's accounts again and changes nothing.
    """
    run = billing.run(run_id)
    sealed = run.status == SEALED
    attempt = run.attempt if sealed else billing.begin_attempt(run_id, execution)
    key = accounts_key(run_id, attempt)
    answer = {"run_id": run_id, "attempt": attempt, "bucket": evidence.bucket, "accounts_key": key}
    if sealed or evidence.find_json(key) is not None:
        return answer
    if evidence.find_json(seal_key(run_id)) is None:  # else only the run's status is left to write
        end = month_period(run.period).end[:10]
        customers = [name for name in catalogue.accounts(run.entity) if _has_contract(catalogue, name, end)]
        billing.add_accounts(run_id, customers, attempt)
        for account in billing.accounts(run_id):
            if account.status == FAILED and account.attempt < attempt:
                billing.retry_account(account, attempt)
    billing.reopen(run_id)
    accounts = [account for account in billing.accounts(run_id) if account.status not in DONE]
    evidence.put_first(key, [{"customer": account.customer} for account in accounts])
    return answer


def _has_contract(catalogue: Catalogue, customer: str, end_day: str) -> bool:
    return any(version.contract.effective_from < end_day for version in catalogue.contracts(customer))


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return open_run(
        event["run_id"],
        event["execution"],
        billing=stores.billing(),
        catalogue=stores.catalogue(),
        evidence=stores.evidence(),
    )


handler = task_entry(_handle)
