"""Freezing: what is fixed, when, and what is late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from lambdas.billing.errors import InvariantBroken
from lambdas.billing.segments import Segment
from lambdas.handlers import stores
from lambdas.handlers.freeze_inputs import documents_in_force, freeze_inputs
from lambdas.store import clients
from lambdas.store.errors import NotFound
from lambdas.store.usage import UsageStore
from lambdas.store.usage_items import DayCounters, SegmentHead
from tests.handlers.months import (
    FROZEN_AT,
    RUN_ID,
    account_of,
    agree,
    fail,
    open_run_item,
    publish,
    set_up,
    step_freeze,
    step_open,
    use,
    use_all,
)
from tests.store.catalogue_documents import card, rate

pytestmark = pytest.mark.usefixtures("aws")
LATER = "2026-12-02T00:00:00.000000Z"


def frozen(freeze: int = 1, customer: str = "acme") -> dict[str, object]:
    document: dict[str, object] = stores.evidence().get_json(f"runs/{RUN_ID}/{customer}/frozen-{freeze}.json")
    return document


def opened(*customers: str) -> None:
    set_up(*customers)
    open_run_item()
    step_open()


def test_the_first_instant_of_the_period_is_in_and_the_first_after_it_is_not() -> None:
    set_up("acme")
    use("acme", "before", "2026-10-31T23:59:59.999999Z", input=1)
    use("acme", "first", "2026-11-01T00:00:00Z", input=10)
    use("acme", "last", "2026-11-30T23:59:59.9999996Z", input=100)
    use("acme", "after", "2026-12-01T00:00:00Z", input=1000)
    open_run_item()
    step_open()

    step_freeze(RUN_ID, "acme")

    assert account_of("acme").sums == {"openai/gpt-4o|input": 110}
    assert frozen()["events"] == 2
    assert frozen()["cutoff"] == FROZEN_AT


def test_the_first_writer_decides_and_a_second_freeze_answers_the_first() -> None:
    opened("acme")
    use("acme", "in", "2026-11-16T00:00:00Z", input=1)
    first = step_freeze(RUN_ID, "acme")
    use("acme", "late", "2026-11-16T00:00:01Z", input=1, received_at=LATER)

    assert step_freeze(RUN_ID, "acme", now=LATER) == first
    assert frozen()["events"] == 1


def test_a_death_between_the_frozen_list_and_the_status_loses_nothing() -> None:
    opened("acme")
    use("acme", "in", "2026-11-16T00:00:00Z", input=1)
    step_freeze(RUN_ID, "acme")
    before = frozen()
    pretend_the_status_was_not_written("acme")
    use("acme", "late", "2026-11-16T00:00:01Z", input=1, received_at=LATER)

    step_freeze(RUN_ID, "acme", now=LATER)

    assert frozen() == before
    assert account_of("acme").status == "frozen"
    assert account_of("acme").events == 1


def pretend_the_status_was_not_written(customer: str) -> None:
    clients.dynamodb().update_item(
        TableName="billproof-test-billing",
        Key={"pk": {"S": f"RUN#{RUN_ID}"}, "sk": {"S": f"A#{customer}"}},
        UpdateExpression="SET #status = :pending REMOVE events, sums, frozen_freeze",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":pending": {"S": "pending"}},
    )


@pytest.mark.parametrize("status_was_written", [True, False])
def test_a_freeze_after_a_failure_keeps_events_and_cutoff_and_reads_prices_again(status_was_written: bool) -> None:
    opened("acme")
    use("acme", "in", "2026-11-16T00:00:00Z", input=1)
    step_freeze(RUN_ID, "acme")
    if not status_was_written:
        pretend_the_status_was_not_written("acme")
    fail(RUN_ID, "acme", 1, RuntimeError("boom"))
    publish(card(2, "2026-11-01", rate("input", "1.00", model="gpt-9")), now=LATER)
    use("acme", "late", "2026-11-16T00:00:01Z", input=1, received_at=LATER)

    step_open(RUN_ID, "two")
    plan = step_freeze(RUN_ID, "acme", now=LATER)

    assert plan["freeze"] == 2
    kept = ("cutoff", "segments", "events", "shards")
    assert {name: frozen(2)[name] for name in kept} == {name: frozen(1)[name] for name in kept}
    assert set(frozen(1)["rates"]) == {"std@1"}  # type: ignore[call-overload]
    assert set(frozen(2)["rates"]) == {"std@1", "std@2"}  # type: ignore[call-overload]
    assert frozen(2)["frozen_at"] == LATER


def test_a_failed_or_finished_account_has_no_shards_to_rate() -> None:
    opened("acme")
    use("acme", "in", "2026-11-16T00:00:00Z", input=1)
    assert step_freeze(RUN_ID, "acme")["shards"] == [{"n": 1}]

    fail(RUN_ID, "acme", 1, RuntimeError("boom"))

    assert step_freeze(RUN_ID, "acme") == {
        "run_id": RUN_ID, "customer": "acme", "freeze": 1, "status": "failed", "shards": [], "to_measure": []
    }  # fmt: skip


def test_versions_in_force_are_those_that_can_price_the_period_and_were_published() -> None:
    set_up("acme")
    publish(card(2, "2026-11-30", rate("input", "3.00")), now="2026-11-10T00:00:00.000000Z")
    publish(card(3, "2026-12-01", rate("input", "4.00")), now="2026-11-11T00:00:00.000000Z")

    def versions(now: str) -> set[str]:
        return set(documents_in_force(stores.catalogue(), "acme", "2026-11", now)["rates"])

    assert versions(FROZEN_AT) == {"std@1", "std@2"}
    assert versions("2026-11-09T23:59:59.999999Z") == {"std@1"}


def test_the_contract_of_a_period_is_the_last_that_began_before_its_end() -> None:
    set_up("acme")
    stores.catalogue().agree_contract(
        {**contract_of("acme"), "version": 2, "effective_from": "2026-12-01"}, now="2026-11-15T00:00:00.000000Z"
    )

    def version(period: str) -> int:
        [document] = documents_in_force(stores.catalogue(), "acme", period, LATER)["contracts"]
        return int(document["version"])

    assert (version("2026-11"), version("2026-12")) == (1, 2)
    with pytest.raises(NotFound, match="contract in force for customer acme"):
        version("2026-09")


def contract_of(customer: str) -> dict[str, object]:
    return stores.catalogue().contracts(customer)[0].document


def test_shards_are_cut_at_hours_and_a_crowded_hour_at_seconds() -> None:
    set_up("acme")
    for hour, events in ((1, 3), (2, 3), (3, 9), (4, 1)):
        use_all("acme", [(f"{hour}-{n}", f"2026-11-16T{hour:02d}:00:{n:02d}.5Z", {"input": 1}) for n in range(events)])
    open_run_item()
    step_open()

    step_freeze(RUN_ID, "acme", shard_events=6)

    shards = frozen()["shards"]
    assert isinstance(shards, list)
    assert [(s["from"][8:19], s["to"][8:19], s["events"]) for s in shards] == [
        ("01T00:00:00", "16T03:00:00", 6),
        ("16T03:00:00", "16T03:00:06", 6),
        ("16T03:00:06", "01T00:00:00", 4),
    ]


class SkewedUsage(UsageStore):
    """A store whose counters or segments are not what they should be."""

    def __init__(self, real: UsageStore, *, before: int, segments: int, after: int) -> None:
        self._real = real
        self._counts = iter((before, after))
        self._events = segments

    def day_counters(self, customer: str, first_day: str, last_day: str) -> dict[str, DayCounters]:
        events = next(self._counts)
        return {"2026-11-16": DayCounters(events, {}, {"openai/gpt-4o|input": 10 * events})}

    def segment_heads(self, customer: str, days: Sequence[str]) -> list[SegmentHead]:
        events = self._events
        sums = {"openai/gpt-4o|input": 10 * events}
        return [SegmentHead("S#acme#2026-11-16#0|00a", "d", events, sums)] if events else []

    def read_segments(self, keys: Sequence[str]) -> Iterator[Segment]:
        raise AssertionError("not needed")


@pytest.mark.parametrize(("before", "segments", "after"), [(2, 2, 2), (2, 2, 3), (2, 3, 3), (0, 0, 0)])
def test_counters_around_the_segments_may_move_only_as_events_arrive(before: int, segments: int, after: int) -> None:
    opened("acme")
    freeze_with(SkewedUsage(stores.usage(), before=before, segments=segments, after=after))
    assert account_of("acme").events == segments


@pytest.mark.parametrize(("before", "segments", "after"), [(3, 2, 3), (2, 3, 2), (1, 0, 1), (0, 1, 0)])
def test_counters_and_segments_that_disagree_stop_the_account(before: int, segments: int, after: int) -> None:
    opened("acme")
    with pytest.raises(InvariantBroken, match="counter events of customer acme in 2026-11"):
        freeze_with(SkewedUsage(stores.usage(), before=before, segments=segments, after=after))
    assert account_of("acme").status == "pending"


def freeze_with(usage: UsageStore) -> None:
    freeze_inputs(
        RUN_ID,
        "acme",
        billing=stores.billing(),
        catalogue=stores.catalogue(),
        usage=usage,
        evidence=stores.evidence(),
        now=FROZEN_AT,
    )


def test_an_account_that_came_after_the_first_attempt_is_taken_by_the_next() -> None:
    opened("acme")
    stores.catalogue().create_customer({"id": "beta", "name": "Beta"}, now="2026-10-01T00:00:00.000000Z")
    agree("beta")

    assert [account.customer for account in stores.billing().accounts(RUN_ID)] == ["acme"]
    key = step_open(RUN_ID, "two")["accounts_key"]

    assert stores.evidence().get_json(key) == [{"customer": "acme"}, {"customer": "beta"}]
