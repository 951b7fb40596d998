"""Each event exactly once, whatever is retried, refused or lost: the recorder against DynamoDB (D2)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, SSLError

from lambdas.billing.segments import read_segment
from lambdas.handlers import stores
from lambdas.store import clients
from lambdas.store.recorder import LANES, MAX_TRIES, NOT_STORED, UsageRecorder
from tests.faults import limits
from tests.faults.injector import (
    Call,
    aws_error,
    cancelled,
    is_put,
    is_update,
    lose,
    lose_on_the_wire,
    on_table,
    refuse,
    watch,
)
from tests.faults.world import World, assert_invariants, logical_state, name_of, world
from tests.store.usage_events import at, incoming, many, padding

NOW = "2026-11-16T12:00:00.000000Z"
DAY = "2026-11-16"
ON_USAGE = on_table("usage")


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as running:
        yield running


@pytest.fixture
def tables(published: World) -> Iterator[World]:
    """Empty tables; whatever a test does to them, the invariants hold afterwards."""
    published.forget_usage()
    yield published
    assert_invariants(published)


NAMES = (f"{number:016x}" for number in itertools.count(1))


@dataclass
class Bench:
    """A recorder whose chance, pauses and clock are ours."""

    chance: random.Random = field(default_factory=lambda: random.Random(1))
    pauses: list[float] = field(default_factory=list)
    seconds: Iterator[float] = field(default_factory=lambda: itertools.repeat(0.0))
    until: float = 1.0
    names: Iterator[str] = NAMES

    def recorder(self) -> UsageRecorder:
        return UsageRecorder(
            clients.dynamodb(),
            name_of("usage"),
            name_of("counters"),
            fresh_name=lambda: next(self.names),
            pause=self.pauses.append,
            chance=self.chance.random,
            clock=lambda: next(self.seconds),
            until=self.until,
        )

    def record(self, events: list[Any], customer: str = "acme") -> list[str]:
        return [outcome.status for outcome in self.recorder().record(customer, events, NOW)]


def counted(day: str = DAY) -> int:
    return stores.usage().day_counters("acme", day, day)[day].events


def lanes(tables: World) -> set[str]:
    """Lanes of the day that have a counter."""
    return {item["sk"]["S"].rpartition("#")[2] for item in tables.items("counters")}


def test_accepted_means_claim_segment_and_counters_are_there_together(tables: World) -> None:
    [item] = many(1)
    assert Bench().record([item]) == ["accepted"]
    claim = stores.usage().claim("acme", item.event.source, item.event.id)
    assert claim is not None
    assert (claim.content_hash, claim.time) == (item.event.content_hash, item.event.time)
    [segment] = stores.usage().read_segments([claim.segment_key])
    assert read_segment(segment)[claim.position].raw == item.raw
    counters = stores.usage().day_counters("acme", DAY, DAY)[DAY]
    assert counters == (1, {"openai/gpt-4o": 1}, {"openai/gpt-4o|input": 374, "openai/gpt-4o|output": 44})


def test_no_events_write_nothing(tables: World) -> None:
    with watch() as calls:
        assert Bench().record([]) == []
    assert calls.made == []


def test_a_batch_of_one_hour_is_one_write_per_97_events(tables: World) -> None:
    with watch() as calls:
        assert set(Bench().record(many(500))) == {"accepted"}
    assert calls.writes == 6
    assert counted() == 500


def test_500_events_over_31_days_and_24_hours_are_all_counted_in_their_day(tables: World) -> None:
    hours = [(1 + n % 31, n % 24) for n in range(500)]
    events = [incoming(f"e{n}", time=at(day, hour, month=10)) for n, (day, hour) in enumerate(hours)]
    assert set(Bench().record(events)) == {"accepted"}
    days = stores.usage().day_counters("acme", "2026-10-01", "2026-10-31")
    assert {day: counters.events for day, counters in days.items()} == {
        f"2026-10-{day:02d}": sum(1 for d, _ in hours if d == day) for day in range(1, 32)
    }


def test_segments_over_300_kb_are_split_stored_and_read_back(tables: World) -> None:
    noise = random.Random(1)
    events = [incoming(f"e{n}", padding=padding(noise, 45_000)) for n in range(32)]  # about 16 kB compressed
    assert set(Bench().record(events)) == {"accepted"}
    heads = stores.usage().segment_heads("acme", [DAY])
    assert [head.events for head in heads] == [16, 16]
    raws = [
        stored.raw
        for segment in stores.usage().read_segments([h.key for h in heads])
        for stored in read_segment(segment)
    ]
    assert sorted(raws) == sorted(item.raw for item in events)


class Limited:
    """A DynamoDB that takes every transaction within its limits."""

    def __init__(self) -> None:
        self.taken: list[list[dict[str, Any]]] = []

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> None:
        limits.check("TransactWriteItems", {"TransactItems": TransactItems})
        self.taken.append(TransactItems)


def test_90_models_with_five_classes_each_are_stored_though_one_expression_cannot_name_them() -> None:
    quantities = {"input": 1, "cached_input": 2, "cache_write": 3, "output": 4, "reasoning": 5}
    events = [incoming(f"e{n}", model=f"m{n}", quantities=quantities) for n in range(90)]
    dynamodb = Limited()
    recorder = UsageRecorder(cast(Any, dynamodb), "usage", "counters", fresh_name=lambda: next(NAMES))
    assert {outcome.status for outcome in recorder.record("acme", events, NOW)} == {"accepted"}
    claims = [
        a["Put"]["Item"]["pk"]["S"]
        for taken in dynamodb.taken
        for a in taken
        if "h" in a.get("Put", {}).get("Item", {})
    ]
    assert len(dynamodb.taken) == 2
    assert len(claims) == len(set(claims)) == 90


def test_sums_stay_exact_far_beyond_a_double(tables: World) -> None:
    events = [incoming(f"e{n}", quantities={"input": 10**12 - n}) for n in range(500)]
    Bench().record(events)
    quantities = stores.usage().day_counters("acme", DAY, DAY)[DAY].quantities
    assert quantities == {"openai/gpt-4o|input": 500 * 10**12 - sum(range(500))}


@pytest.mark.parametrize("how", ["closed", "read timeout"])
@pytest.mark.parametrize("times", [1, 2, MAX_TRIES - 1])
def test_when_answers_are_lost_our_own_claims_are_found_and_the_events_are_accepted(
    how: str, times: int, tables: World
) -> None:
    with lose(1, how=how, times=times) as calls:
        assert set(Bench().record(many(20))) == {"accepted"}
    assert (calls.struck, calls.writes) == (1, 1)  # the repetition is cancelled by our own claims
    assert counted() == 20


def test_when_only_the_wire_loses_the_answer_the_sdk_repeats_and_the_events_are_accepted(tables: World) -> None:
    with lose_on_the_wire(1) as calls:
        assert set(Bench().record(many(20))) == {"accepted"}
    assert calls.struck == 1
    assert counted() == 20


def test_when_an_answer_of_a_half_duplicate_batch_is_lost_each_event_keeps_its_own_fate(tables: World) -> None:
    bench = Bench()
    bench.record(many(10))
    events = [*many(20), incoming("e3", quantities={"input": 1})]
    with lose(1, how="closed"):
        outcomes = bench.recorder().record("acme", events, NOW)
    assert [outcome.status for outcome in outcomes] == ["duplicate"] * 10 + ["accepted"] * 10 + ["conflict"]
    assert counted() == 20


def test_a_repeated_event_in_a_batch_whose_answer_is_lost_is_a_duplicate_not_accepted_twice(tables: World) -> None:
    with lose(1):
        assert Bench().record([incoming(), incoming(), incoming()]) == ["accepted", "duplicate", "duplicate"]


PASSING: dict[str, Any] = {
    "throttled": "ThrottlingException",
    "over the provisioned throughput": "ProvisionedThroughputExceededException",
    "over the request limit": "RequestLimitExceeded",
    "internal error": "InternalServerError",
    "unavailable": "ServiceUnavailable",
    "in progress": "TransactionInProgressException",
    "not connected": "connect timeout",
    "conflict on a counter": cancelled("TransactionConflict", is_update),
    "conflict on claims": cancelled("TransactionConflict", is_put),
    "throttled counter": cancelled("ThrottlingError", is_update),
    "counter over its throughput": cancelled("ProvisionedThroughputExceeded", is_update),
    "conflict everywhere": cancelled("TransactionConflict"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_tried_again_after_a_pause_and_stored_once(name: str, tables: World) -> None:
    bench = Bench()
    with refuse(1, PASSING[name], times=3) as calls:
        assert set(bench.record(many(5))) == {"accepted"}
    assert (calls.struck, calls.writes, len(bench.pauses)) == (3, 1, 3)
    assert all(0 <= pause <= 1 for pause in bench.pauses)
    assert counted() == 5


@pytest.mark.parametrize("name", PASSING)
def test_what_does_not_pass_is_not_stored_at_all_and_can_be_sent_again(name: str, tables: World) -> None:
    bench = Bench()
    with refuse(1, PASSING[name], times=MAX_TRIES) as calls:
        assert bench.recorder().record("acme", many(5), NOW) == [NOT_STORED] * 5
    assert (calls.struck, calls.writes, len(bench.pauses)) == (MAX_TRIES, 0, MAX_TRIES - 1)
    assert tables.usage_is_empty()
    assert set(bench.record(many(5))) == {"accepted"}
    assert counted() == 5


def test_each_part_of_a_large_batch_has_its_own_tries_and_its_own_fate(tables: World) -> None:
    bench = Bench()
    with refuse(2, "ThrottlingException", times=MAX_TRIES):
        statuses = bench.record(many(200))
    assert sorted(set(statuses)) == ["accepted", "not_stored"]
    assert counted() == statuses.count("accepted")
    assert set(bench.record(many(200))) == {"accepted", "duplicate"}
    assert counted() == 200


def test_conflicts_spread_the_counters_over_lanes_and_the_sums_are_those_of_all_lanes(tables: World) -> None:
    bench = Bench()
    for number in range(40):
        with refuse(1, cancelled("TransactionConflict", is_update)):
            assert bench.record([incoming(f"e{number}")]) == ["accepted"]
    assert lanes(tables) <= {str(lane) for lane in range(LANES)}
    assert len(lanes(tables)) > LANES // 2
    assert counted() == 40


def test_without_conflicts_one_lane_is_used(tables: World) -> None:
    for number in range(5):
        Bench().record([incoming(f"e{number}")])
    assert lanes(tables) == {"0"}


def test_a_conflict_together_with_existing_claims_decides_those_and_tries_only_the_rest(tables: World) -> None:
    bench = Bench()
    bench.record(many(3))
    stored = {c["pk"]["S"]: c for c in tables.items("usage") if c["pk"]["S"].startswith("E#")}

    def mixed(client: Any, call: Call) -> BaseException:
        reasons: list[dict[str, Any]] = []
        for action in call.parameters["TransactItems"]:
            [request] = action.values()
            old = stored.get(request.get("Item", {}).get("pk", {}).get("S"))
            if old is not None:
                reasons.append({"Code": "ConditionalCheckFailed", "Item": old})
            else:
                reasons.append({"Code": "TransactionConflict" if "Update" in action else "None"})
        return aws_error(client, call, "TransactionCanceledException", CancellationReasons=reasons)

    with refuse(1, mixed) as calls:
        assert bench.record(many(6)) == ["duplicate"] * 3 + ["accepted"] * 3
    assert (calls.struck, calls.writes) == (1, 1)
    assert counted() == 6


def test_when_all_events_are_decided_a_conflict_needs_no_pause(tables: World) -> None:
    bench = Bench()
    bench.record(many(2))
    stored = [item for item in tables.items("usage") if item["pk"]["S"].startswith("E#")]

    def decided(client: Any, call: Call) -> BaseException:
        found = {item["pk"]["S"]: item for item in stored}
        reasons: list[dict[str, Any]] = [
            {"Code": "ConditionalCheckFailed", "Item": found[action["Put"]["Item"]["pk"]["S"]]}
            for action in call.parameters["TransactItems"][:2]
        ]
        reasons += [{"Code": "TransactionConflict"}] * (len(call.parameters["TransactItems"]) - 2)
        return aws_error(client, call, "TransactionCanceledException", CancellationReasons=reasons)

    with refuse(1, decided):
        assert bench.record(many(2)) == ["duplicate"] * 2
    assert bench.pauses == []


@pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException", "ResourceNotFoundException"])
def test_what_repeating_cannot_mend_is_raised_at_once_and_nothing_is_stored(code: str, tables: World) -> None:
    bench = Bench()
    with refuse(1, code) as calls, pytest.raises(ClientError, match=code):
        bench.record(many(3))
    assert (calls.struck, bench.pauses) == (1, [])
    assert tables.usage_is_empty()


@pytest.mark.parametrize(
    "refusal",
    [
        cancelled("ValidationError", is_update, "Type mismatch for attribute to update"),
        cancelled("ItemCollectionSizeLimitExceeded", is_put),
        cancelled("AccessDenied", is_put),
        lambda client, call: aws_error(client, call, "TransactionCanceledException"),
        lambda client, call: aws_error(client, call, "TransactionCanceledException", CancellationReasons=[{}]),
    ],
    ids=["type mismatch", "collection size", "access", "no reasons", "too few reasons"],
)
def test_a_cancellation_that_repeating_cannot_mend_is_raised_and_nothing_is_stored(refusal: Any, tables: World) -> None:
    with refuse(1, refusal) as calls, pytest.raises(ClientError, match="TransactionCanceledException"):
        Bench().record(many(3))
    assert calls.struck == 1
    assert tables.usage_is_empty()


def test_a_bad_certificate_is_no_reason_to_lose_events(tables: World) -> None:
    with refuse(1, lambda _client, _call: SSLError(endpoint_url="https://aws.example", error=ValueError("x"))):
        assert Bench().record(many(1)) == ["accepted"]


def test_a_cancellation_without_any_reason_does_not_go_on_for_ever(tables: World) -> None:
    bench = Bench()
    with refuse(1, cancelled("None"), times=1000) as calls:
        assert set(bench.record(many(3))) == {"not_stored"}
    assert calls.struck == MAX_TRIES


def fill_counters(lane: int, period: str = "D#2026-11-16") -> None:
    """A counter item with room for no further model. Its names are of another customer's making."""
    names = [f"q:p/{'m' * 1000}{n}|input" for n in range(400)]
    item: dict[str, Any] = {name: {"N": "0"} for name in names[:395]}
    item |= {"pk": {"S": "C#acme"}, "sk": {"S": f"{period}#{lane}"}, "n": {"N": "0"}}
    size = sum(len(name) + 1 for name in item) + 20
    item["q:p/" + "f" * (409_600 - size - 20) + "|input"] = {"N": "0"}
    clients.dynamodb().put_item(TableName=name_of("counters"), Item=item)


def empty_counters(tables: World) -> None:
    """Take the fillers away again, so that only what was recorded is held against the invariants."""
    for item in tables.items("counters"):
        if item["n"]["N"] == "0":
            key = {"pk": item["pk"], "sk": item["sk"]}
            clients.dynamodb().delete_item(TableName=name_of("counters"), Key=key)


def test_when_a_counter_item_is_full_another_lane_takes_the_event(tables: World) -> None:
    fill_counters(0)
    bench = Bench(random.Random(3))
    assert set(bench.record(many(3))) == {"accepted"}
    assert counted() == 3
    empty_counters(tables)
    assert "0" not in lanes(tables)


@pytest.mark.parametrize("seed", range(5))
def test_when_all_lanes_in_use_are_full_there_are_more_and_nothing_is_refused(seed: int, tables: World) -> None:
    for lane in range(LANES):
        fill_counters(lane)
    bench = Bench(random.Random(seed))
    assert set(bench.record(many(3))) == {"accepted"}
    empty_counters(tables)
    [used] = lanes(tables)
    assert int(used) >= LANES
    assert counted() == 3
    assert [head.events for head in stores.usage().segment_heads("acme", [DAY])] == [3]


def test_after_its_time_a_recorder_begins_no_transaction(tables: World) -> None:
    bench = Bench(seconds=itertools.count(0.0, 0.4))  # looks at the clock before each: 0.0, 0.4, 0.8, 1.2
    with watch() as calls:
        statuses = bench.record(many(500))
    assert calls.writes == 3
    assert statuses.count("accepted") == counted() == 500 - statuses.count("not_stored") == 2 * 97 + 15
    assert set(Bench().record(many(500))) == {"accepted", "duplicate"}
    assert counted() == 500


def test_tries_end_with_the_time(tables: World) -> None:
    bench = Bench(seconds=itertools.count(0.0, 0.4))
    with refuse(1, "ThrottlingException", times=1000) as calls:
        assert set(bench.record(many(3))) == {"not_stored"}
    assert calls.struck == 3


def test_a_segment_is_never_written_over_another_name_is_taken(tables: World) -> None:
    bench = Bench(names=iter(["same", "same", "other"]))
    assert bench.record([incoming("e1")]) == ["accepted"]
    assert bench.record([incoming("e2")]) == ["accepted"]
    heads = stores.usage().segment_heads("acme", [DAY])
    assert [head.key.rpartition("#")[2] for head in heads] in (["same", "other"], ["other", "same"])


def test_customers_do_not_meet(tables: World) -> None:
    bench = Bench()
    assert bench.record([incoming()]) == ["accepted"]
    assert bench.record([incoming(subject="acme-2")], "acme-2") == ["accepted"]
    assert counted() == 1
    assert stores.usage().day_counters("acme-2", DAY, DAY)[DAY].events == 1


def test_two_histories_of_the_same_usage_end_in_the_same_state(tables: World) -> None:
    events = [incoming(f"e{n}", time=at(1 + n % 5, n % 24)) for n in range(150)]
    Bench().record(events)
    straight = logical_state(tables)
    tables.forget_usage()
    bench = Bench()
    for start in range(0, 150, 40):
        with refuse(1, cancelled("TransactionConflict", is_update)), lose(1):
            bench.record(events[start : start + 60])
    assert logical_state(tables) == straight
