"""The counters' watch: each crossing one recorded alert, delivered at least once as recorded (R5, R25, D5)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.handlers import stores
from lambdas.handlers.watch_limits import handler
from lambdas.store.errors import TransientError
from tests.faults.injector import Calls, Killed, die, die_before, lose, operation, refuse, watch
from tests.faults.world import World, event, world
from tests.store.catalogue_documents import card, rate


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as running:
        running.make_bus()
        running.publish(["acme", "umbra"])
        yield running


@pytest.fixture
def billproof(published: World) -> World:
    published.forget_usage()
    return published


def records(billproof: World) -> list[dict[str, Any]]:
    """The counters as they are now, as records of their stream."""
    return [
        {"eventName": "MODIFY", "dynamodb": {"Keys": {"pk": item["pk"], "sk": item["sk"]}, "NewImage": item}}
        for item in billproof.items("counters")
    ]


def deliver(found: list[dict[str, Any]]) -> None:
    handler({"Records": found}, SimpleNamespace(aws_request_id="r"))


def bodies(calls: Calls) -> list[dict[str, Any]]:
    """What came onto the bus."""
    entries = [e for call in calls.applied if call.operation == "PutEvents" for e in call.parameters["Entries"]]
    assert all(entry["DetailType"] == "usage.parked" for entry in entries)
    return [json.loads(entry["Detail"]) for entry in entries]


def crossings(found: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    return {(b["customer"], b["period"], f"{b['provider']}/{b['model']}", b["class"]) for b in found}


def test_parked_usage_is_alerted_with_all_that_an_operator_needs(billproof: World) -> None:
    billproof.send([event("1"), event("2", model="gpt-9", quantities={"input": 5, "output": 0})])
    with watch() as calls:
        deliver(records(billproof))
    [body] = bodies(calls)
    assert len(body.pop("alert_id")) == 32
    assert body == {
        "customer": "acme",
        "period": "2026-11",
        "first_day": "2026-11-16",
        "provider": "openai",
        "model": "gpt-9",
        "class": "input",
        "service_tier": "standard",
        "reason": "no_price",
        "detail": "rate card std has no price for openai/gpt-9 input on 2026-11-16",
        "remedy": "publish a price for it; it may begin in the past of a period that is not billed yet",
    }


def test_usage_of_each_tier_is_alerted_by_itself_and_once(billproof: World) -> None:
    new = {"model": "gpt-9", "quantities": {"input": 5}}
    billproof.send([event("1", **new), event("2", service_tier="batch", **new), event("3", service_tier="flex", **new)])
    with watch() as calls:
        deliver(records(billproof))
        deliver(records(billproof))
    found = bodies(calls)
    assert {(body["model"], body["class"], body["service_tier"]) for body in found} == {
        ("gpt-9", "input", "standard"),
        ("gpt-9", "input", "batch"),
        ("gpt-9", "input", "flex"),
    }
    assert len(found) == len({body["alert_id"] for body in found}) == 3


def test_priced_usage_alerts_nobody(billproof: World) -> None:
    billproof.send([event("1"), event("2", quantities={"input": 1, "reasoning": 2})])
    with watch() as calls:
        deliver(records(billproof))
    assert calls.writes == 0


def test_usage_before_activation_alerts_nobody(billproof: World) -> None:
    billproof.add_customer("later", contract={"effective_from": "2026-11-10"})
    billproof.send(event(subject="later", time="2026-11-09T10:00:00Z", model="gpt-9"))
    with watch() as calls:
        deliver(records(billproof))
    assert calls.writes == 0


def test_usage_without_any_contract_is_alerted(billproof: World) -> None:
    stores.catalogue().create_customer({"id": "bare", "name": "Bare"}, now="2026-09-30T00:00:00.000000Z")
    billproof.send(event(subject="bare", quantities={"input": 1}))
    with watch() as calls:
        deliver(records(billproof))
    [body] = bodies(calls)
    assert (body["customer"], body["reason"]) == ("bare", "no_contract")


MIXED = [
    event("1", model="gpt-9"),
    event("2", model="gpt-9", time="2026-11-15T00:00:00Z"),
    event("3", model="gpt-9", time="2026-10-15T00:00:00Z"),
    event("4", model="gpt-8", quantities={"input": 1, "call": 1}),
    event("5", subject="umbra", model="gpt-9", quantities={"input": 1}),
    event("6", quantities={"input": 1, "mystery": 2}),
    event("7"),
]
EXPECTED = {
    ("acme", "2026-11", "openai/gpt-9", "input"),
    ("acme", "2026-11", "openai/gpt-9", "output"),
    ("acme", "2026-10", "openai/gpt-9", "input"),
    ("acme", "2026-10", "openai/gpt-9", "output"),
    ("acme", "2026-11", "openai/gpt-8", "input"),
    ("acme", "2026-11", "openai/gpt-8", "call"),
    ("umbra", "2026-11", "openai/gpt-9", "input"),
    ("acme", "2026-11", "openai/gpt-4o", "mystery"),
}


@pytest.mark.parametrize("seed", range(4))
def test_each_crossing_is_recorded_once_however_often_and_in_whatever_order_records_come(
    seed: int, billproof: World
) -> None:
    chance = random.Random(seed)
    versions: list[dict[str, Any]] = []
    for sent in MIXED:  # every state of the counters on the way, as the stream has it
        billproof.send(sent)
        versions += records(billproof)
    redelivered = [record for record in versions for _ in range(chance.randint(1, 5))]
    chance.shuffle(redelivered)
    with watch() as calls:
        for start in range(0, len(redelivered), 10):
            deliver(redelivered[start : start + 10])
    found = bodies(calls)
    assert crossings(found) == EXPECTED
    assert len(found) == len(EXPECTED) == len(billproof.items("outbox"))
    assert len({body["alert_id"] for body in found}) == len(EXPECTED)


SOME = [MIXED[0], MIXED[4]]
SOME_EXPECTED = {crossing for crossing in EXPECTED if crossing[1:3] == ("2026-11", "openai/gpt-9")}
WRITES = 3 * len(SOME_EXPECTED)


def check_recorded_once_and_delivered(billproof: World, delivered: list[dict[str, Any]]) -> None:
    """Exactly one recorded alert per crossing, each delivered at least once, always with the recorded body."""
    recorded = {item["pk"]["S"].removeprefix("ALERT#"): item for item in billproof.items("outbox")}
    assert crossings([json.loads(item["body"]["S"]) for item in recorded.values()]) == SOME_EXPECTED
    assert len(recorded) == len(SOME_EXPECTED)
    assert {body["alert_id"] for body in delivered} == set(recorded)
    for body in delivered:
        assert body == json.loads(recorded[body["alert_id"]]["body"]["S"])
    assert all("delivered_at" in item for item in recorded.values())


@pytest.mark.parametrize("number", range(1, WRITES + 1))
@pytest.mark.parametrize("fault", [die, die_before, lose], ids=["death after", "death before", "lost answer"])
def test_after_an_interruption_at_any_write_the_redelivery_completes_the_same_alerts(
    fault: Any, number: int, billproof: World
) -> None:
    billproof.send(SOME)
    found = records(billproof)
    random.Random(number).shuffle(found)
    with fault(number) as calls, suppress(Killed, TransientError):
        deliver(found)
    assert calls.struck == 1
    delivered = bodies(calls)
    with watch() as calls:
        deliver(found)
    delivered += bodies(calls)
    check_recorded_once_and_delivered(billproof, delivered)
    assert len(delivered) <= len(SOME_EXPECTED) + 1


def test_a_failure_is_raised_so_that_the_stream_delivers_again(billproof: World) -> None:
    billproof.send(MIXED)
    for name, code in (("Query", "ThrottlingException"), ("PutItem", "InternalServerError"), ("PutEvents", "SlowDown")):
        with refuse(1, code, operation(name)), pytest.raises(TransientError):
            deliver(records(billproof))
    with watch() as calls:
        deliver(records(billproof))
    assert crossings(bodies(calls)) == EXPECTED


def test_records_that_are_no_day_of_a_counter_are_passed_over(billproof: World) -> None:
    billproof.send(MIXED)
    months = [r for r in records(billproof) if r["dynamodb"]["Keys"]["sk"]["S"].startswith("P#")]
    assert months
    removed = {"eventName": "REMOVE", "dynamodb": {"Keys": {"pk": {"S": "C#acme"}, "sk": {"S": "D#2026-11-16#0"}}}}
    with watch() as calls:
        deliver([*months, removed])
        deliver([])
    assert calls.writes == 0


def test_lanes_and_days_of_a_month_share_one_alert(billproof: World) -> None:
    [one] = _records_of(billproof, event("1", model="gpt-9", quantities={"input": 1}))
    lane = json.loads(json.dumps(one).replace("D#2026-11-16#0", "D#2026-11-16#7"))
    day = json.loads(json.dumps(one).replace("D#2026-11-16#0", "D#2026-11-17#0"))
    with watch() as calls:
        deliver([lane, day, one])
    assert len(bodies(calls)) == 1


def _records_of(billproof: World, sent: dict[str, Any]) -> list[dict[str, Any]]:
    billproof.send(sent)
    return [r for r in records(billproof) if r["dynamodb"]["Keys"]["sk"]["S"].startswith("D#")]


def test_a_price_published_before_the_record_comes_leaves_nothing_to_alert(billproof: World) -> None:
    found = _records_of(billproof, event("1", model="soon", quantities={"input": 1}))
    billproof.publish_prices(card(2, "2026-11-01", rate("input", "1.00", model="soon")))
    with watch() as calls:
        deliver(found)
    assert calls.writes == 0
