"""Ingest under deaths, lost answers and refusals at every write: a repetition ends as if nothing had happened (D2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from lambdas.store.recorder import MAX_TRIES
from tests.faults.injector import (
    Killed,
    cancelled,
    die,
    die_before,
    is_update,
    lose,
    lose_on_the_wire,
    refuse,
    watch,
)
from tests.faults.world import Answer, World, assert_invariants, event, logical_state, world

ACME = [
    event(f"a{n}", time=f"2026-11-{1 + n % 3:02d}T{n % 2:02d}:00:00Z", quantities={"input": n + 1}) for n in range(100)
]
UMBRA = [event(f"u{n}", subject="umbra", model="gpt-9") for n in range(5)]
FIRST = [*ACME[:60], event("bad", time="never"), *UMBRA, ACME[0], event("a1", quantities={"input": 999})]
"""60 + 5 events to store, one to reject, a duplicate and a conflict: two transactions."""
SECOND = ACME[30:]
"""Half of it is stored already; with 70 claims and what belongs to them, one transaction and what is left of it."""
STATUSES = [*["accepted"] * 60, "rejected", *["accepted"] * 5, "duplicate", "conflict"]


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as running:
        running.publish(["acme", "umbra"])
        yield running


@pytest.fixture
def billproof(published: World) -> World:
    published.forget_usage()
    return published


@pytest.fixture(scope="module")
def undisturbed(published: World) -> dict[str, Any]:
    """The state that every history must end in."""
    published.forget_usage()
    assert published.send(FIRST).statuses == STATUSES
    assert published.send(SECOND).statuses == ["duplicate"] * 30 + ["accepted"] * 40
    assert_invariants(published)
    return logical_state(published)


def writes_of_both() -> int:
    """Transactions that are applied when nothing goes wrong: acme, umbra, and what is new of the second."""
    return 3


def send_both(billproof: World) -> list[Answer]:
    return [billproof.send(FIRST), billproof.send(SECOND)]


def test_the_number_of_writes_is_the_one_that_the_faults_go_through(billproof: World) -> None:
    with watch() as calls:
        send_both(billproof)
    assert calls.writes == writes_of_both()


@pytest.mark.parametrize("number", range(1, writes_of_both() + 1))
@pytest.mark.parametrize("fault", [die, die_before], ids=["after", "before"])
def test_a_death_at_any_write_leaves_whole_transactions_only_and_the_repetition_completes_them(
    fault: Any, number: int, billproof: World, undisturbed: dict[str, Any]
) -> None:
    with fault(number) as calls, pytest.raises(Killed):
        send_both(billproof)
    assert calls.struck == 1
    assert_invariants(billproof)
    before = logical_state(billproof)["claims"]
    answers = send_both(billproof)
    assert [answer.status for answer in answers] == [200, 200]
    for answer, sent in zip(answers, (FIRST, SECOND), strict=True):
        fresh = {e["id"] for e, status in zip(sent, answer.statuses, strict=True) if status == "accepted"}
        assert len(fresh) == answer.body["accepted"]
    total = sum(answer.body["accepted"] for answer in answers)
    assert len(before) + total == len(undisturbed["claims"])  # each event is counted once
    assert logical_state(billproof) == undisturbed
    assert_invariants(billproof)


@pytest.mark.parametrize("number", range(1, writes_of_both() + 1))
@pytest.mark.parametrize("how", ["closed", "read timeout"])
def test_a_lost_answer_at_any_write_changes_no_status(
    how: str, number: int, billproof: World, undisturbed: dict[str, Any]
) -> None:
    with lose(number, how=how) as calls:
        first, second = send_both(billproof)
    assert calls.struck == 1
    assert (first.status, first.statuses) == (200, STATUSES)
    assert (second.status, second.statuses) == (200, ["duplicate"] * 30 + ["accepted"] * 40)
    assert logical_state(billproof) == undisturbed
    assert_invariants(billproof)


@pytest.mark.parametrize("number", range(1, writes_of_both() + 1))
def test_an_answer_lost_on_the_wire_changes_no_status(
    number: int, billproof: World, undisturbed: dict[str, Any]
) -> None:
    with lose_on_the_wire(number) as calls:
        first, second = send_both(billproof)
    assert calls.struck == 1
    assert (first.statuses, second.statuses) == (STATUSES, ["duplicate"] * 30 + ["accepted"] * 40)
    assert logical_state(billproof) == undisturbed
    assert_invariants(billproof)


def test_when_every_answer_is_lost_everything_is_stored_once_and_found_to_be_ours(
    billproof: World, undisturbed: dict[str, Any]
) -> None:
    with lose(1, times=1000):
        first, second = send_both(billproof)
    assert (first.statuses, second.statuses) == (STATUSES, ["duplicate"] * 30 + ["accepted"] * 40)
    assert logical_state(billproof) == undisturbed


REFUSALS: dict[str, Any] = {
    "throttled": "ThrottlingException",
    "not connected": "connect timeout",
    "conflict": cancelled("TransactionConflict", is_update),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("number", range(1, writes_of_both() + 2))
def test_a_write_that_is_refused_for_good_answers_503_stores_nothing_of_it_and_can_be_repeated(
    number: int, name: str, billproof: World, undisturbed: dict[str, Any]
) -> None:
    with refuse(number, REFUSALS[name], times=MAX_TRIES) as calls:
        answers = send_both(billproof)
    assert calls.struck == MAX_TRIES
    [refused] = [answer for answer in answers if answer.status == 503]
    assert refused.headers["retry-after"] == "1"
    assert (refused.body["type"], refused.body["status"]) == ("urn:billproof:problem:NotStored", 503)
    assert refused.body["not_stored"] == refused.statuses.count("not_stored") > 0
    assert refused.body["received"] == len(refused.body["results"])
    assert_invariants(billproof)
    assert [answer.status for answer in send_both(billproof)] == [200, 200]
    assert logical_state(billproof) == undisturbed
    assert_invariants(billproof)


def test_one_customers_refusal_leaves_the_other_customer_stored(billproof: World) -> None:
    with refuse(1, "ThrottlingException", times=MAX_TRIES):
        answer = billproof.send([event("a"), event("u", subject="umbra")])
    assert (answer.status, answer.statuses) == (503, ["not_stored", "accepted"])
    assert billproof.view("umbra").body["events"] == 1
    assert billproof.view("acme").body["events"] == 0


def test_a_repetition_in_pieces_and_in_another_order_ends_in_the_same_state(
    billproof: World, undisturbed: dict[str, Any]
) -> None:
    with die(1), suppress(Killed):
        send_both(billproof)
    everything = [e for e in [*FIRST, *SECOND] if e["id"] != "bad" and e["data"]["quantities"].get("input") != 999]
    for start in range(0, len(everything), 17):
        with lose(1), suppress(Killed):
            assert billproof.send(everything[start : start + 17][::-1]).status == 200
    assert logical_state(billproof) == undisturbed
