"""Fifth step: add the shards up and draft the invoice, or report why there can be none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdas.billing.agreements import Agreement
from lambdas.billing.errors import AccountParked, InvariantBroken
from lambdas.billing.invoice import Draft, draft_document, is_empty
from lambdas.billing.rating import Totals
from lambdas.billing.shards import add_summary, add_sums, quantities_by_class
from lambdas.handlers import stores
from lambdas.handlers.entry import task_entry
from lambdas.handlers.run_records import frozen_agreement, read_frozen, read_summary
from lambdas.store.billing import Billing
from lambdas.store.billing_items import FROZEN, PENDING, AccountNotReady
from lambdas.store.evidence import Evidence, draft_key

_NAMED_REASONS = 5


def draft_invoice(run_id: str, customer: str, *, billing: Billing, evidence: Evidence) -> dict[str, Any]:
    """Draft a frozen account; one with nothing to charge becomes empty. Raises AccountParked where events have no price
    and the contract says that this blocks, InvariantBroken where what was rated is not what was frozen."""
    account = billing.account(run_id, customer)
    if account.status == PENDING:
        raise AccountNotReady(account, FROZEN)
    if account.status == FROZEN:
        frozen = read_frozen(evidence, run_id, customer, account.freeze)
        agreement = frozen_agreement(frozen)
        totals, parked = Totals(), dict[str, int]()
        for shard in frozen["shards"]:
            summary = read_summary(evidence, frozen, shard["n"])
            add_summary(totals, summary, agreement)
            add_sums(parked, summary["parked"])
        check_complete(frozen, totals)
        facts = _facts(totals, agreement)
        if totals.parked and agreement.blocks_parked:
            billing.record_totals(account, facts)
            raise _parked(customer, totals.parked, parked)
        draft = draft_document(draft_of(frozen, agreement), totals)
        if not is_empty(draft):
            facts["lines"] = len(draft["lines"])
            key = draft_key(run_id, customer, account.freeze)
            digest = evidence.put_json_once(key, draft)
            billing.record_draft(account, {**facts, **_money(draft)}, key, digest)
        else:
            billing.record_empty(account, facts)
        account = billing.account(run_id, customer)
    return {"run_id": run_id, "customer": customer, "status": account.status}


def check_complete(frozen: Mapping[str, Any], totals: Totals) -> None:
    """Invariants 1 and 3: every frozen event and unit is rated, excluded or parked, and nothing else is."""
    events = totals.rated + sum(totals.excluded.values())
    if events != frozen["events"]:
        raise InvariantBroken(f"events of {frozen['customer']}", events, f"{frozen['events']} were frozen")
    billed = quantities_by_class(totals)
    add_sums(billed, totals.excluded_quantities)
    sums: dict[str, int] = {}
    for segment in frozen["segments"]:
        add_sums(sums, segment["sums"])
    for name in sorted({*billed, *sums}):
        if billed.get(name, 0) != sums.get(name, 0):
            raise InvariantBroken(
                f"{name} of {frozen['customer']}", billed.get(name, 0), f"{sums.get(name, 0)} were frozen"
            )


def draft_of(frozen: Mapping[str, Any], agreement: Agreement) -> Draft:
    """What an invoice says besides its lines, from the frozen inputs."""
    return Draft(
        run_id=frozen["run_id"],
        cutoff=frozen["cutoff"],
        entity=frozen["entity"],
        customer=frozen["customer_document"],
        agreement=agreement,
        carried=frozen["carried"],
    )


def _facts(totals: Totals, agreement: Agreement) -> dict[str, Any]:
    """What sealing adds up over all accounts."""
    return {
        "rated": totals.rated,
        "excluded": dict(totals.excluded),
        "quantities": quantities_by_class(totals),
        "excluded_quantities": dict(totals.excluded_quantities),
        "lines": 0,
        "currency": agreement.last.contract.currency,
        "parked_usage": "block" if agreement.blocks_parked else "exclude",
    }


def _money(draft: Mapping[str, Any]) -> dict[str, Any]:
    (tax,) = draft["tax"]
    return {"net_exact": draft["net_exact"], "net": draft["net"], "tax": tax["amount"], "total": draft["total"]}


def _parked(customer: str, events: int, reasons: Mapping[str, int]) -> AccountParked:
    named = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    text = "; ".join(f"{detail} ({count} events)" for detail, count in named[:_NAMED_REASONS])
    if len(named) > _NAMED_REASONS:
        text += f"; and {len(named) - _NAMED_REASONS} more"
    return AccountParked(
        f"parked events of {customer}", events, f"{text}. Publish a first price for them and resume the run"
    )


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return draft_invoice(event["run_id"], event["customer"], billing=stores.billing(), evidence=stores.evidence())


handler = task_entry(_handle)
