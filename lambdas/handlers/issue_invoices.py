"""Sixth step: give drafts their numbers, one after the other in account order (D13).

Number, invoice, posting and the account's status are one transaction. The document is a function of what that
transaction stores, so it is written afterwards and can be made again by any later step.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from lambdas.billing.canonical import content_hash
from lambdas.billing.invoice import invoice_number, issued_document
from lambdas.billing.journal import invoice_transaction
from lambdas.handlers import stores
from lambdas.handlers.entry import logger, task_entry
from lambdas.handlers.run_records import read_draft, read_invoice
from lambdas.store.billing import Billing
from lambdas.store.billing_items import DRAFTED, ISSUED, Account, Invoice, Run
from lambdas.store.errors import TransientError
from lambdas.store.evidence import Evidence, invoice_key
from lambdas.store.ledger import Ledger

MAX_INVOICES = 100
MAX_TRIES = 40
_LONGEST_PAUSE_S = 0.4


def issue_invoices(
    run_id: str,
    *,
    billing: Billing,
    ledger: Ledger,
    evidence: Evidence,
    limit: int = MAX_INVOICES,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Issue the next drafts of a run, at most `limit`; `remaining` is how many are left for the next call.

    An account that cannot be issued is reported on itself and leaves no gap: it never had a number. Raises
    TransientError where repeating the call will help.
    """
    run = billing.run(run_id)
    drafted = [account for account in billing.accounts(run_id) if account.status == DRAFTED]
    for account in drafted[:limit]:
        try:
            issue_invoice(run, account, billing=billing, ledger=ledger, evidence=evidence, pause=pause)
        except TransientError:
            raise
        except Exception as error:
            logger().exception("account not issued", extra={"run_id": run_id, "customer": account.customer})
            failure = {"code": type(error).__name__, "detail": str(error)[:1000]}
            billing.record_failure(run_id, account.customer, account.attempt, failure)
    return {"run_id": run_id, "remaining": max(len(drafted) - limit, 0)}


def issue_invoice(
    run: Run,
    account: Account,
    *,
    billing: Billing,
    ledger: Ledger,
    evidence: Evidence,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Issue one draft and write its document. What an earlier or a parallel try has done is found in the account's own
    state, so a lost answer never costs a second number."""
    draft = read_draft(evidence, account.draft_key, account.draft_hash)
    year, prefix = int(run.opened_at[:4]), draft["entity"]["invoice_prefix"]
    for _ in range(MAX_TRIES):
        current = billing.account(run.run_id, account.customer)
        if current.status != DRAFTED or current.draft_hash != account.draft_hash:
            break
        sequence = billing.last_sequence(run.entity, year) + 1
        document = issued_document(draft, number=invoice_number(prefix, year, sequence), issued_at=run.opened_at)
        invoice = _invoice(run, current, document, year, sequence)
        posting = ledger.append(run.entity, invoice_transaction(document))
        try:
            if billing.issue(invoice, prefix=prefix, account=current, posting=posting):
                continue
        except TransientError:
            logger().warning("answer of an issue was lost", extra={"run_id": run.run_id, "customer": account.customer})
        pause(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - jitter, no secret
    else:
        raise TransientError(
            f"the invoice numbers of {run.entity} in {year} are being taken by others; repeat the call"
        )
    issued = billing.account(run.run_id, account.customer)
    if issued.status == ISSUED:
        write_document(billing.invoice(issued.number), evidence)


def write_document(invoice: Invoice, evidence: Evidence) -> dict[str, Any]:
    """The document of an issued invoice, stored under its key."""
    document = read_invoice(evidence, invoice)
    evidence.put_json_once(invoice.document_key, document)
    return document


def _invoice(run: Run, account: Account, document: dict[str, Any], year: int, sequence: int) -> Invoice:
    return Invoice(
        number=document["number"],
        entity=run.entity,
        year=year,
        sequence=sequence,
        customer=account.customer,
        period=run.period,
        run_id=run.run_id,
        issued_at=run.opened_at,
        currency=document["currency"],
        net=document["net"],
        total=document["total"],
        draft_key=account.draft_key,
        draft_hash=account.draft_hash,
        document_key=invoice_key(run.run_id, account.customer),
        document_hash=content_hash(document),
    )


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return issue_invoices(event["run_id"], billing=stores.billing(), ledger=stores.ledger(), evidence=stores.evidence())


handler = task_entry(_handle)
