"""Fifth step: add the shards up and draft the invoice, or report why there can be none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdas.billing.agreements import Agreement
from lambdas.billing.costs import CostPrices, LongPrompts, add_long_prompts
from lambdas.billing.errors import AccountParked, InvariantBroken, RateMissing, TooManyLines, clip
from lambdas.billing.invoice import Draft, draft_document, is_empty
from lambdas.billing.rating import Totals
from lambdas.billing.shards import add_summary, add_sums, quantities_by_class
from lambdas.billing.watch import watch
from lambdas.handlers import stores
from lambdas.handlers.entry import count, logger, task_entry
from lambdas.handlers.freeze_inputs import hour_of
from lambdas.handlers.rate_shard import MAX_FIRST_PARKED
from lambdas.handlers.run_records import frozen_agreement, frozen_cards, read_frozen, read_summary
from lambdas.store.billing import Billing
from lambdas.store.billing_items import FROZEN, PENDING, AccountNotReady
from lambdas.store.evidence import Evidence, draft_key, unsplit_key

_NAMED_REASONS = 5
_NAME_LENGTH = 60
"""Of a source or an id in an error's text."""


def draft_invoice(run_id: str, customer: str, *, billing: Billing, evidence: Evidence) -> dict[str, Any]:
    """Draft a frozen account; one with nothing to charge becomes empty. Its controls are recorded beside its totals.

    Raises AccountParked where events have no price and the contract says that this blocks, RateMissing where a charge
    that is due has none, TooManyLines where an attribute splits them into too many (the next freeze leaves them whole),
    InvariantBroken where what was rated is not what was frozen.
    """
    account = billing.account(run_id, customer)
    if account.status == PENDING:
        raise AccountNotReady(account, FROZEN)
    if account.status == FROZEN:
        frozen = read_frozen(evidence, run_id, customer, account.freeze)
        agreement = frozen_agreement(frozen)
        totals, parked, long_prompts = Totals(), _Parked(), LongPrompts()
        for shard in frozen["shards"]:
            summary = read_summary(evidence, frozen, shard["n"])
            add_summary(totals, summary, agreement)
            parked.add(summary)
            add_long_prompts(long_prompts, summary.get("long_prompts", {}))
        check_complete(frozen, totals)
        facts = _facts(totals, agreement)
        if totals.parked and agreement.blocks_parked:
            billing.record_totals(account, facts)
            raise parked.error(run_id, customer, totals.parked)
        try:
            draft = draft_document(draft_of(frozen, agreement), totals)
        except RateMissing as error:
            billing.record_totals(account, facts)
            remedy = f"{error.remedy} (a first price may begin in the past), then resume the run"
            raise RateMissing(error.field, error.value, remedy) from error
        except TooManyLines as error:
            evidence.put_first(unsplit_key(run_id, customer), {"lines": error.value})
            raise
        facts["controls"] = _controls(frozen, agreement, totals, draft, long_prompts)
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


class _Parked:
    """Parked events of an account by reason, from the summaries of its shards in their order."""

    def __init__(self) -> None:
        self._events: dict[str, int] = {}
        self._first: dict[str, list[list[str]]] = {}

    def add(self, summary: Mapping[str, Any]) -> None:
        add_sums(self._events, summary["parked"])
        for detail, events in summary.get("first_parked", {}).items():
            first = self._first.setdefault(detail, [])
            first += events[: MAX_FIRST_PARKED - len(first)]

    def error(self, run_id: str, customer: str, events: int) -> AccountParked:
        """What to do comes first: a long text is cut at its end."""
        named = sorted(self._events, key=lambda detail: (-self._events[detail], detail))
        text = "; ".join(self._reason(detail) for detail in named[:_NAMED_REASONS])
        if len(named) > _NAMED_REASONS:
            text += f"; and {len(named) - _NAMED_REASONS} more reasons"
        listed = f"GET /v1/billing-runs/{run_id}/parked?customer={customer} lists them"
        return AccountParked(
            f"parked events of {customer}",
            events,
            f"publish a first price for them and resume the run; {listed}. {text}",
        )

    def _reason(self, detail: str) -> str:
        events = self._events[detail]
        first = ", ".join(
            f"{clip(source, _NAME_LENGTH)} {clip(event_id, _NAME_LENGTH)} at {time}"
            for time, source, event_id in self._first.get(detail, ())
        )
        shown = f"first {first}" if events > MAX_FIRST_PARKED else first
        return f"{detail} ({events} event{'' if events == 1 else 's'}: {shown})"


def _controls(
    frozen: Mapping[str, Any], agreement: Agreement, totals: Totals, draft: Mapping[str, Any], long_prompts: LongPrompts
) -> dict[str, Any]:
    """The controls of a draft; each that is crossed, and a margin that is not known, is logged and counted."""
    cards = frozen_cards(frozen)
    days: dict[str, dict[str, int]] = {}
    for segment in frozen["segments"]:
        add_sums(days.setdefault(hour_of(segment["key"])[:10], {}), segment["sums"])
    costs = CostPrices(agreement, cards).of_usage(days, long_prompts)
    controls = watch(agreement, totals, draft, costs, cards)
    names = {"run_id": frozen["run_id"], "customer": frozen["customer"], "plan": controls["plan"]}
    if controls["reasons"]:
        logger().warning("control crossed", extra={**names, "reasons": controls["reasons"]})
    margin = controls["margin"]
    unknown = margin is not None and margin["margin"] is None
    if unknown:
        logger().warning("margin not known", extra={**names, "missing": margin["missing"]})
    count(ControlsCrossed=len(controls["reasons"]), MarginsUnknown=int(unknown))
    return controls


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return draft_invoice(event["run_id"], event["customer"], billing=stores.billing(), evidence=stores.evidence())


handler = task_entry(_handle)
