"""Reading usage back: claims, counters and segments, whole and in order (D2, D3)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from lambdas.billing.errors import InvariantBroken
from lambdas.billing.segments import read_segment
from lambdas.handlers import stores
from lambdas.store import clients
from lambdas.store.errors import TransientError
from lambdas.store.recorder import UsageRecorder
from lambdas.store.usage import UsageStore
from lambdas.store.usage_items import DayCounters, Incoming
from tests.faults.injector import operation, refuse, watch
from tests.faults.world import World, name_of, world
from tests.store.usage_events import at, incoming, many, padding

NOW = "2026-11-16T12:00:00.000000Z"
NAMES = (f"{number:016x}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as running:
        yield running


@pytest.fixture
def usage(published: World) -> UsageStore:
    published.forget_usage()
    return stores.usage()


def record(events: list[Incoming], customer: str = "acme", lane: int = 0) -> None:
    """Store events on a lane: the first try is refused on lane 0 where another one is asked for."""
    recorder = UsageRecorder(
        clients.dynamodb(),
        name_of("usage"),
        name_of("counters"),
        fresh_name=lambda: next(NAMES),
        pause=lambda _seconds: None,
        chance=lambda: lane / 8,
    )
    with refuse(1, "ThrottlingException", times=1 if lane else 0):
        assert {outcome.status for outcome in recorder.record(customer, events, NOW)} == {"accepted"}


def test_a_free_identity_has_no_claim(usage: UsageStore) -> None:
    assert usage.claim("acme", "/gateway/eu-1", "e1") is None


def test_a_claim_is_found_by_the_exact_identity_only(usage: UsageStore) -> None:
    record(many(1))
    assert usage.claim("acme", "/gateway/eu-1", "e0") is not None
    for customer, source, event_id in (
        ("acm", "/gateway/eu-1", "e0"),
        ("acme", "/gateway/eu-1", "e"),
        ("acme", "/gateway/eu-", "1e0"),
        ("ACME", "/gateway/eu-1", "e0"),
    ):
        assert usage.claim(customer, source, event_id) is None


def test_counters_of_days_include_both_ends_and_no_other_day(usage: UsageStore) -> None:
    record([incoming(f"e{day}", time=at(day)) for day in (1, 2, 3, 9, 10)])
    found = usage.day_counters("acme", "2026-11-02", "2026-11-09")
    assert list(found) == ["2026-11-02", "2026-11-03", "2026-11-09"]
    one = DayCounters(1, {"openai/gpt-4o": 1}, {"openai/gpt-4o|input": 374, "openai/gpt-4o|output": 44})
    assert set(map(str, found.values())) == {str(one)}


def test_lanes_add_up(usage: UsageStore) -> None:
    record([incoming("a", quantities={"input": 1})])
    record([incoming("b", quantities={"input": 20, "output": 5})], lane=3)
    record([incoming("c", model="other", quantities={"input": 7})], lane=5)
    [counters] = usage.day_counters("acme", "2026-11-16", "2026-11-16").values()
    assert counters.events == 3
    assert counters.model_events == {"openai/gpt-4o": 2, "openai/other": 1}
    assert counters.quantities == {"openai/gpt-4o|input": 1 + 20, "openai/gpt-4o|output": 5, "openai/other|input": 7}


def test_counters_and_heads_keep_tiers_apart(usage: UsageStore) -> None:
    batch: dict[str, Any] = {"quantities": {"input": 20, "tool_call:web": 3}, "service_tier": "batch"}
    record([incoming("a", quantities={"input": 1}), incoming("b", **batch)])
    record([incoming("c", **batch), incoming("d", quantities={"input": 400}, service_tier="standard")], lane=3)
    [counters] = usage.day_counters("acme", "2026-11-16", "2026-11-16").values()
    assert counters.events == 4
    assert counters.model_events == {"openai/gpt-4o": 2, "openai/gpt-4o|batch": 2}
    sums = {"openai/gpt-4o|input|batch": 20, "openai/gpt-4o|tool_call:web|batch": 3}
    assert counters.quantities == {"openai/gpt-4o|input": 1 + 400, **{key: 2 * n for key, n in sums.items()}}
    first, second = usage.segment_heads("acme", ["2026-11-16"])
    assert first.sums == {"openai/gpt-4o|input": 1, **sums}
    assert second.sums == {"openai/gpt-4o|input": 400, **sums}


@pytest.mark.parametrize("other", ["acme-2", "acme.x", "acm", "acme0", "Acme"])
def test_customers_with_similar_names_do_not_meet(other: str, usage: UsageStore) -> None:
    record(many(3))
    record(many(2, subject=other), other)
    assert usage.day_counters("acme", "2026-11-01", "2026-11-30")["2026-11-16"].events == 3
    assert usage.day_counters(other, "2026-11-01", "2026-11-30")["2026-11-16"].events == 2
    assert sum(head.events for head in usage.segment_heads("acme", ["2026-11-16"])) == 3
    assert sum(head.events for head in usage.segment_heads(other, ["2026-11-16"])) == 2


def test_heads_come_by_day_hour_lane_and_id_and_say_what_they_hold(usage: UsageStore) -> None:
    record([incoming("late", time=at(2, 5)), incoming("early", time=at(2, 1)), incoming("first", time=at(1, 23))])
    record([incoming("lane", time=at(2, 1), quantities={"input": 9})], lane=4)
    record([incoming("again", time=at(2, 1))])
    heads = usage.segment_heads("acme", ["2026-11-01", "2026-11-02"])
    places = [(head.key.split("#")[2], head.key.partition("|")[2][:2], head.key.split("#")[3][0]) for head in heads]
    assert places == [
        ("2026-11-01", "23", "0"),
        ("2026-11-02", "01", "0"),
        ("2026-11-02", "01", "0"),
        ("2026-11-02", "01", "4"),
        ("2026-11-02", "05", "0"),
    ]
    assert [head.key for head in heads[1:3]] == sorted(head.key for head in heads[1:3])
    assert heads[3].sums == {"openai/gpt-4o|input": 9}
    for head, segment in zip(heads, usage.read_segments([head.key for head in heads]), strict=True):
        assert (head.key, head.digest, head.events) == (segment.key, segment.digest, segment.events)
        assert head.sums == segment.sums
        assert len(read_segment(segment)) == head.events


def test_heads_of_days_that_are_not_asked_for_are_left_out(usage: UsageStore) -> None:
    record([incoming(f"e{day}", time=at(day)) for day in (1, 2, 3)])
    heads = usage.segment_heads("acme", ["2026-11-01", "2026-11-03"])
    assert [head.key.split("#")[2] for head in heads] == ["2026-11-01", "2026-11-03"]
    assert usage.segment_heads("acme", []) == []
    assert usage.segment_heads("acme", ["2026-11-04"]) == []


def test_a_day_larger_than_a_page_is_read_whole_and_in_order(usage: UsageStore) -> None:
    noise = random.Random(4)
    for number in range(7):
        record([incoming(f"{number}.{n}", padding=padding(noise, 60_000)) for n in range(12)])
    with watch(operation("Query")) as calls:
        heads = usage.segment_heads("acme", ["2026-11-16"])
    assert calls.writes > 2  # more than one page
    assert sum(head.events for head in heads) == 7 * 12
    assert [head.key for head in heads] == sorted(head.key for head in heads)


def test_more_segments_than_one_read_takes_come_back_in_the_order_asked(usage: UsageStore) -> None:
    record([incoming(f"e{n}", time=at(1 + n % 28, n % 24)) for n in range(45)])
    record([incoming(f"f{n}", time=at(1 + n % 28, n % 24)) for n in range(45)])
    keys = [head.key for head in usage.segment_heads("acme", [f"2026-11-{day:02d}" for day in range(1, 29)])]
    assert len(keys) == 90
    random.Random(5).shuffle(keys)
    assert [segment.key for segment in usage.read_segments(keys)] == keys
    assert [segment.key for segment in usage.read_segments([keys[0], keys[1], keys[0]])] == [keys[0], keys[1], keys[0]]
    assert list(usage.read_segments([])) == []


def test_a_segment_that_is_gone_is_named_never_skipped(usage: UsageStore) -> None:
    record(many(1))
    [head] = usage.segment_heads("acme", ["2026-11-16"])
    with pytest.raises(InvariantBroken, match="a stored segment is never removed"):
        list(usage.read_segments([head.key, "S#acme#2026-11-16#0|10#gone"]))


def test_segments_that_dynamodb_did_not_get_to_are_asked_for_again(usage: UsageStore) -> None:
    record([incoming(f"e{n}", time=at(1 + n)) for n in range(20)])
    keys = [head.key for head in usage.segment_heads("acme", [f"2026-11-{day:02d}" for day in range(1, 21)])]
    make = BaseClient._make_api_call  # type: ignore[attr-defined]
    asked: list[int] = []

    def lazy(client: BaseClient, name: str, parameters: Mapping[str, Any]) -> Any:
        """Answers at most three of the keys, and none at the third call."""
        if name != "BatchGetItem":
            return make(client, name, parameters)
        [(table, request)] = parameters["RequestItems"].items()
        wanted = request["Keys"]
        asked.append(len(wanted))
        take = 0 if len(asked) == 3 else 3
        if not take:
            return {"Responses": {}, "UnprocessedKeys": {table: {"Keys": wanted}}}
        answer = make(client, name, {"RequestItems": {table: {**request, "Keys": wanted[:take]}}})
        rest = {table: {"Keys": wanted[take:]}} if wanted[take:] else {}
        return {**answer, "UnprocessedKeys": rest}

    pauses: list[float] = []
    store = UsageStore(clients.dynamodb(), name_of("usage"), name_of("counters"), pauses.append)
    with patch.object(BaseClient, "_make_api_call", lazy):
        assert [segment.key for segment in store.read_segments(keys)] == keys
    assert asked == [20, 17, 14, 14, 11, 8, 5, 2]
    assert len(pauses) == 1


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerError", "connect timeout"])
def test_reads_that_may_succeed_later_are_transient(code: str, usage: UsageStore) -> None:
    reads: dict[str, Callable[[], object]] = {
        "GetItem": lambda: usage.claim("acme", "s", "i"),
        "Query": lambda: usage.day_counters("acme", "2026-11-01", "2026-11-30"),
        "BatchGetItem": lambda: list(usage.read_segments(["S#acme#2026-11-16#0|10#x"])),
    }
    for name, read in reads.items():
        with refuse(1, code, operation(name)), pytest.raises(TransientError):
            read()


def test_reads_that_are_not_allowed_are_raised_as_they_are(usage: UsageStore) -> None:
    with refuse(1, "AccessDeniedException", operation("GetItem")), pytest.raises(ClientError, match="AccessDenied"):
        usage.claim("acme", "s", "i")


def test_every_read_is_consistent(usage: UsageStore) -> None:
    record(many(1))
    with watch(operation("GetItem", "Query", "BatchGetItem")) as calls:
        usage.claim("acme", "/gateway/eu-1", "e0")
        [head] = usage.segment_heads("acme", ["2026-11-16"])
        list(usage.read_segments([head.key]))
        usage.day_counters("acme", "2026-11-16", "2026-11-16")
    assert len(calls.made) == 5
    for call in calls.made:
        requests = call.parameters.get("RequestItems", {"": call.parameters}).values()
        assert all(request["ConsistentRead"] is True for request in requests)
