"""An event is (customer, source, id) for ever: same content is a duplicate, other content a conflict (R2, D1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.billing.usage import read_event
from lambdas.handlers import stores
from tests.faults.world import World, assert_invariants, event, logical_state, world

TIME = "2026-11-16T10:15:46.680590Z"
OTHER = {"input": 375, "output": 44}


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as running:
        running.publish(["acme", "umbra"])
        yield running


@pytest.fixture
def billproof(published: World) -> Iterator[World]:
    published.forget_usage()
    yield published
    assert_invariants(published)


def hash_of(sent: dict[str, Any]) -> str:
    return read_event(sent, None).content_hash


def test_the_same_event_again_is_a_duplicate_and_changes_nothing(billproof: World) -> None:
    first = billproof.send(event())
    assert first.result == {
        "index": 0, "id": "e1", "source": "/gateway/eu-1", "status": "accepted", "hash": hash_of(event()),
    }  # fmt: skip
    before = billproof.stored()
    again = billproof.send(event())
    assert (again.status, again.body["duplicate"], again.body["accepted"]) == (200, 1, 0)
    assert again.result == {
        "index": 0, "id": "e1", "source": "/gateway/eu-1", "status": "duplicate",
        "stored_hash": hash_of(event()), "stored_time": TIME,
    }  # fmt: skip
    assert billproof.stored() == before


@pytest.mark.parametrize("time", ["2026-11-16T10:15:47Z", "2026-10-01T00:00:00Z", "2026-11-16T11:15:46.680590+01:00"])
def test_another_time_is_still_a_duplicate_and_the_first_time_is_named(time: str, billproof: World) -> None:
    billproof.send(event())
    before = billproof.stored()
    again = billproof.send(event(time=time))
    assert (again.result["status"], again.result["stored_time"]) == ("duplicate", TIME)
    assert billproof.stored() == before


def test_a_month_later_it_is_still_a_duplicate(billproof: World) -> None:
    billproof.send(event())
    billproof.clock.move_to(datetime(2030, 1, 1, tzinfo=UTC))
    assert billproof.send(event(time="2030-01-01T00:00:00Z")).statuses == ["duplicate"]


@pytest.mark.parametrize(
    "changes",
    [
        {"quantities": OTHER},
        {"quantities": {"input": 374, "output": 44, "reasoning": 0}},
        {"model": "gpt-4o-mini"},
        {"provider": "azure"},
        {"attributes": {"project": "x"}},
        {"service_tier": "batch"},
        {"service_tier": "standard"},
    ],
    ids=["quantity", "class", "model", "provider", "attribute", "tier", "tier written out"],
)
def test_other_content_is_a_conflict_that_names_both_hashes_and_changes_nothing(
    changes: dict[str, Any], billproof: World
) -> None:
    billproof.send(event())
    before = billproof.stored()
    answer = billproof.send(event(**changes))
    assert (answer.status, answer.headers["content-type"]) == (409, "application/problem+json")
    assert answer.body["type"] == "urn:billproof:problem:EventConflict"
    assert answer.result["status"] == "conflict"
    assert answer.result["stored_hash"] == hash_of(event())
    assert answer.result["hash"] == hash_of(event(**changes)) != hash_of(event())
    assert answer.result["stored_time"] == TIME
    assert "stored with other content; nothing was changed" in answer.result["detail"]
    assert billproof.stored() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"traceparent": "00-1"},
        {"datacontenttype": None},
        {"dataschema": "urn:x"},
        {"quantities": {"output": 44, "input": 374}},
    ],
    ids=["extension", "content type", "schema", "order of members"],
)
def test_what_is_not_billed_makes_no_conflict(changes: dict[str, Any], billproof: World) -> None:
    billproof.send(event())
    assert billproof.send(event(**changes)).statuses == ["duplicate"]


def test_the_content_hash_is_of_type_customer_and_data_as_anyone_can_compute_it(billproof: World) -> None:
    for customer in ("acme", "umbra"):
        content = (
            f'["llm.usage.v1","{customer}",'
            '{"model":"gpt-4o","provider":"openai","quantities":{"input":374,"output":44}}]'
        )
        answer = billproof.send(event(subject=customer))
        assert answer.result["hash"] == hashlib.sha256(content.encode()).hexdigest()


def test_identity_is_per_customer_and_source_and_exact(billproof: World) -> None:
    others = [
        event(),
        event(subject="umbra"),
        event(source="/gateway/eu-2"),
        event(source="/GATEWAY/eu-1"),
        event("E1"),
        event("e1 "),
        event("é"),
        event("e\u0301"),
        event('"'),
        event(id="1", source='/gateway/eu-1","e'),
    ]
    assert billproof.send(others).statuses == ["accepted"] * len(others)
    assert billproof.send(others).statuses == ["duplicate"] * len(others)
    assert billproof.view("umbra").body["events"] == 1


def test_a_gateway_may_leave_the_customer_to_its_key_and_it_is_the_same_event(billproof: World) -> None:
    assert billproof.send(event(subject=None), key="acme").statuses == ["accepted"]
    assert billproof.send(event(), key="*").statuses == ["duplicate"]


def test_within_one_batch_the_first_of_an_identity_stands(billproof: World) -> None:
    answer = billproof.send(
        [event(), event(time="2026-11-16T09:00:00Z"), event(quantities=OTHER), event("e2"), event()]
    )
    assert answer.statuses == ["accepted", "duplicate", "conflict", "accepted", "duplicate"]
    [_, duplicate, conflict, _, _] = answer.body["results"]
    assert (duplicate["stored_hash"], duplicate["stored_time"]) == (hash_of(event()), TIME)
    assert (conflict["stored_hash"], conflict["hash"]) == (hash_of(event()), hash_of(event(quantities=OTHER)))
    assert answer.body["received"] == 5
    assert [answer.body[name] for name in ("accepted", "duplicate", "conflict", "rejected")] == [2, 2, 1, 0]
    assert stores.usage().day_counters("acme", "2026-11-16", "2026-11-16")["2026-11-16"].events == 2


def test_within_one_batch_repetitions_of_a_stored_event_are_held_against_the_stored_one(billproof: World) -> None:
    billproof.send(event())
    answer = billproof.send([event(quantities=OTHER), event(), event(quantities=OTHER)])
    assert answer.statuses == ["conflict", "duplicate", "conflict"]
    assert {result["stored_hash"] for result in answer.body["results"]} == {hash_of(event())}
    assert {result["stored_time"] for result in answer.body["results"]} == {TIME}


def test_a_rejected_event_leaves_its_identity_free(billproof: World) -> None:
    answer = billproof.send([event(quantities={"input": -1}), event()])
    assert answer.statuses == ["rejected", "accepted"]


def test_half_of_a_batch_again_with_new_events_stores_the_new_ones_once(billproof: World) -> None:
    billproof.send([event(f"e{n}") for n in range(0, 60, 2)])
    answer = billproof.send([event(f"e{n}") for n in range(60)])
    assert answer.statuses == ["duplicate", "accepted"] * 30
    assert stores.usage().day_counters("acme", "2026-11-16", "2026-11-16")["2026-11-16"].events == 60


def test_all_kinds_in_one_batch_of_two_customers_each_in_its_place(billproof: World) -> None:
    billproof.send([event("old"), event("old", subject="umbra")])
    answer = billproof.send(
        [
            event("new"),
            event("old"),
            event("old", subject="umbra", quantities=OTHER),
            event("bad", time="never"),
            event("new", subject="umbra"),
            event("stranger", subject="stranger"),
        ]
    )
    assert answer.status == 200
    assert answer.statuses == ["accepted", "duplicate", "conflict", "rejected", "accepted", "rejected"]
    assert [result["index"] for result in answer.body["results"]] == list(range(6))
    assert [r["id"] for r in answer.body["results"]] == ["new", "old", "old", "bad", "new", "stranger"]
    names = ("accepted", "duplicate", "conflict", "rejected", "not_stored")
    assert answer.body["received"] == sum(answer.body[name] for name in names)


def test_sending_everything_again_in_another_order_changes_nothing(billproof: World) -> None:
    events = [event(f"e{n}", time=f"2026-11-{1 + n % 15:02d}T{n % 24:02d}:00:00Z") for n in range(120)]
    billproof.send(events)
    before = logical_state(billproof)
    assert set(billproof.send(events[::-1]).statuses) == {"duplicate"}
    assert logical_state(billproof) == before


def test_a_duplicate_with_a_lower_case_time_before_the_account_is_rejected_not_a_duplicate(billproof: World) -> None:
    billproof.send(event())
    assert billproof.send(event(time="2020-01-01t00:00:00z")).statuses == ["rejected"]
