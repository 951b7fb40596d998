"""Second step: fix what an account's invoice is made from, once (D4).

The list of segments with their digests, the cut-off and the versions in force are written to S3 and everything later
reads only that. What is not in the list is late. Asked again, the step answers what was fixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from lambdas.billing.contracts import in_force
from lambdas.billing.documents import Contract
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.periods import account_period
from lambdas.billing.plans import read_plan
from lambdas.billing.segments import read_rows
from lambdas.billing.shards import MAX_SHARD_EVENTS, Span, add_sums, plan_shards
from lambdas.billing.times import Period, day_before
from lambdas.handlers import runtime, stores
from lambdas.handlers.carried import carried_forward
from lambdas.handlers.entry import task_entry
from lambdas.handlers.run_records import frozen_agreement, read_frozen
from lambdas.store.billing import Billing
from lambdas.store.billing_items import FROZEN, PENDING, Account
from lambdas.store.catalogue import Catalogue
from lambdas.store.catalogue_items import ContractVersion
from lambdas.store.errors import NotFound
from lambdas.store.evidence import Evidence, frozen_key, unsplit_key
from lambdas.store.usage import UsageStore


def freeze_inputs(
    run_id: str,
    customer: str,
    *,
    billing: Billing,
    catalogue: Catalogue,
    usage: UsageStore,
    evidence: Evidence,
    now: str,
    shard_events: int = MAX_SHARD_EVENTS,
) -> dict[str, Any]:
    """Freeze an account that is pending; answer its shards where rating is still to do, else none, and the same as
    `to_measure` where the plan's prices depend on positions.

    The first freeze reads usage and sets the cut-off. A later one (after a failure) keeps both and reads only the
    catalogue again: a price published since then counts, an event received since then is late.
    """
    account = billing.account(run_id, customer)
    if account.status == PENDING:
        key = frozen_key(run_id, customer, account.freeze)
        frozen = evidence.find_json(key)
        if frozen is None:
            month = billing.run(run_id).period
            agreed = agreed_with(catalogue, customer)
            period = account_period(month, agreed[0].contract.anchor_day)
            documents = documents_in_force(catalogue, customer, month, now)
            carried = _carried(customer, period, catalogue=catalogue, billing=billing, evidence=evidence)
            earlier = _earlier_freeze(evidence, account)
            inputs = earlier or _read_usage(usage, customer, period, now, shard_events)
            kept = {name: inputs[name] for name in ("cutoff", "segments", "events", "shards")}
            facts = {"run_id": run_id, "customer": customer, "period": period.name, "freeze": account.freeze}
            facts["unsplit"] = evidence.find_json(unsplit_key(run_id, customer)) is not None
            frozen = evidence.put_first(key, {**facts, "frozen_at": now, **kept, **documents, "carried": carried})
        sums = _sums(frozen["segments"])
        billing.record_frozen(account, frozen["events"], sums)
        account = billing.account(run_id, customer)
    answer = {"run_id": run_id, "customer": customer, "freeze": account.freeze, "status": account.status}
    if account.status != FROZEN:
        return {**answer, "shards": [], "to_measure": []}
    frozen = read_frozen(evidence, run_id, customer, account.freeze)
    shards = [{"n": shard["n"]} for shard in frozen["shards"]]
    return {**answer, "shards": shards, "to_measure": shards if frozen_agreement(frozen).positional else []}


def agreed_with(catalogue: Catalogue, customer: str) -> list[ContractVersion]:
    """All contract versions of a customer, first to last. Raises NotFound where there is none."""
    agreed = catalogue.contracts(customer)
    if not agreed:
        raise NotFound("contract in force for customer", customer)
    return agreed


def documents_in_force(catalogue: Catalogue, customer: str, month: str, now: str) -> dict[str, Any]:
    """Entity, customer, the contract versions and plans of an account's period, and every rate card version that can
    price it, as published by `now`; where fees are billed in advance, also those that begin with the next period.

    `costs` are versions of cards that the contracts name and no charge is priced from: what the seller watches margins
    with. They are no input of the invoice, so they are in no bundle. Raises NotFound where no contract is in force.
    """
    agreed = agreed_with(catalogue, customer)
    period = account_period(month, agreed[0].contract.anchor_day)
    plans = _plans(catalogue, _in_force(agreed, period.start[:10], period.end[:10]))
    ahead = any(read_plan(document).in_advance for document in plans.values())
    last_day = period.end[:10] if ahead else day_before(period.end)
    versions = _in_force(agreed, period.start[:10], last_day)
    if not versions:
        raise NotFound("contract in force for customer", customer)
    contracts = [version.contract for version in versions]
    plans = _plans(catalogue, versions)
    pricing = {card for contract in contracts for card in _pricing_cards(contract, plans)}
    watching = {card for contract in contracts for card in contract.cards} - pricing
    return {
        "entity": catalogue.entity(contracts[-1].entity).document,
        "customer_document": catalogue.customer(customer).document,
        "contracts": [version.document for version in versions],
        "plans": plans,
        "rates": _published(catalogue, pricing, last_day, now),
        "costs": _published(catalogue, watching, last_day, now),
    }


def _pricing_cards(contract: Contract, plans: Mapping[str, Any]) -> list[str]:
    """Cards that charges are priced from: the provider's cost and exchange rates only where cost is passed through."""
    plan = read_plan(plans[f"{contract.plan}@{contract.plan_version}"])
    if any(charge.prices == "cost" for charge in plan.charges):
        return list(contract.cards)
    return [card for card in (contract.rate_card, contract.override_card) if card is not None]


def _published(catalogue: Catalogue, cards: Iterable[str], last_day: str, now: str) -> dict[str, Any]:
    """Versions that were published by `now` and begin by `last_day`, as `card@version`."""
    return {
        f"{card}@{published.version.version}": published.document
        for card in sorted(cards)
        for published in catalogue.rate_card(card)
        if published.version.effective_from <= last_day and published.published_at <= now
    }


def _in_force(agreed: Sequence[ContractVersion], first_day: str, last_day: str) -> list[ContractVersion]:
    """The contract versions in force on one of these days."""
    numbers = {contract.version for contract in in_force([v.contract for v in agreed], first_day, last_day)}
    return [version for version in agreed if version.contract.version in numbers]


def _plans(catalogue: Catalogue, versions: Sequence[ContractVersion]) -> dict[str, Any]:
    named = {(version.contract.plan, version.contract.plan_version) for version in versions}
    return {f"{plan}@{version}": catalogue.plan(plan, version).document for plan, version in sorted(named)}


def _carried(
    customer: str, period: Period, *, catalogue: Catalogue, billing: Billing, evidence: Evidence
) -> dict[str, Any] | None:
    """What the account's previous invoice says that this one must know."""
    agreed = agreed_with(catalogue, customer)
    begun = [version for version in agreed if version.contract.effective_from <= period.end[:10]]
    plans = {name: read_plan(document) for name, document in _plans(catalogue, begun).items()}
    contracts = [version.contract for version in agreed]
    return carried_forward(customer, period, contracts, plans, billing=billing, evidence=evidence)


def _earlier_freeze(evidence: Evidence, account: Account) -> dict[str, Any] | None:
    for freeze in range(account.freeze - 1, 0, -1):
        found: dict[str, Any] | None = evidence.find_json(frozen_key(account.run_id, account.customer, freeze))
        if found is not None:
            return found
    return None


def _read_usage(usage: UsageStore, customer: str, period: Period, now: str, shard_events: int) -> dict[str, Any]:
    """The segments of the period. Raises InvariantBroken where they and the counters cannot both be right: what was
    counted before they were read must be in them, and what is in them must be counted after."""
    days = period.days()
    before = _counted(usage, customer, days)
    heads = usage.segment_heads(customer, days)
    after = _counted(usage, customer, days)
    segments = [{"key": head.key, "digest": head.digest, "events": head.events, "sums": head.sums} for head in heads]
    sums = {"events": sum(head.events for head in heads), **_sums(segments)}
    for name in sorted({*before, *sums, *after}):
        if not before.get(name, 0) <= sums.get(name, 0) <= after.get(name, 0):
            raise InvariantBroken(
                f"counter {name} of customer {customer} in {period.name}",
                f"{before.get(name, 0)} to {after.get(name, 0)}",
                f"the segments of the period sum to {sums.get(name, 0)}",
            )
    shards = plan_shards(period, _spans(usage, segments, shard_events), shard_events)
    return {
        "cutoff": now,
        "segments": segments,
        "events": sums["events"],
        "shards": [{"n": s.n, "from": s.start, "to": s.end, "events": s.events} for s in shards],
    }


def _counted(usage: UsageStore, customer: str, days: Sequence[str]) -> dict[str, int]:
    counted = {"events": 0}
    for day in usage.day_counters(customer, days[0], days[-1]).values():
        add_sums(counted, {"events": day.events, **day.quantities})
    return counted


def _sums(segments: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for segment in segments:
        add_sums(sums, segment["sums"])
    return sums


def hour_of(segment_key: str) -> str:
    """`S#acme#2026-11-16#0|18ab12` -> `2026-11-16T18`: the hour that all events of a segment belong to."""
    pk, _, sk = segment_key.partition("|")
    return f"{pk.split('#')[2]}T{sk[:2]}"


def _spans(usage: UsageStore, segments: Sequence[Mapping[str, Any]], shard_events: int) -> Iterator[Span]:
    """Events by hour; an hour with more than a shard holds is counted by second, from the rows of that hour only."""
    for hour, group in groupby(segments, key=lambda segment: hour_of(segment["key"])):
        of_hour = list(group)
        events = sum(segment["events"] for segment in of_hour)
        if events <= shard_events:
            yield Span(f"{hour}:00:00.000000Z", events)
            continue
        seconds: Counter[str] = Counter()
        for segment in usage.read_segments([segment["key"] for segment in of_hour]):
            seconds.update(row.time[:19] for row in read_rows(segment.rows))
        for second, count in sorted(seconds.items()):
            yield Span(f"{second}.000000Z", count)


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return freeze_inputs(
        event["run_id"],
        event["customer"],
        billing=stores.billing(),
        catalogue=stores.catalogue(),
        usage=stores.usage(),
        evidence=stores.evidence(),
        now=runtime.now(),
    )


handler = task_entry(_handle)
