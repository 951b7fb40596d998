"""Many senders at once: each event is counted once, and every answer is true (R2, D2)."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lambdas.billing.usage import read_event
from tests.faults.injector import cancelled, is_update, lose, refuse
from tests.faults.world import Answer, World, assert_invariants, event, logical_state, world

THREADS = 32
EVENTS = 120
Events = list[dict[str, Any]]


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


def all_at_once(calls: list[Callable[[], Answer]]) -> list[Answer]:
    """Run the calls in as many threads, started together."""
    barrier = threading.Barrier(len(calls))

    def started(call: Callable[[], Answer]) -> Answer:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(started, call) for call in calls]]


def identity(sent: dict[str, Any]) -> tuple[str, str, str]:
    return sent["subject"], sent["source"], sent["id"]


def accepted_of(batches: list[Events], answers: list[Answer]) -> Counter[tuple[str, str, str]]:
    """How often each identity was answered as accepted."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for batch, answer in zip(batches, answers, strict=True):
        assert answer.status == 200
        for sent, status in zip(batch, answer.statuses, strict=True):
            assert status in ("accepted", "duplicate")
            counted[identity(sent)] += status == "accepted"
    return counted


def overlapping(chance: random.Random) -> list[Events]:
    """A batch per thread: every event is in about five of them, in another order each time."""
    pool = [
        event(
            f"e{n}",
            subject="umbra" if n % 5 == 0 else "acme",
            time=f"2026-11-{1 + n % 3:02d}T10:00:00Z",
            quantities={"input": 1, "output": n},
        )
        for n in range(EVENTS)
    ]
    batches = [chance.sample(pool, 20) for _ in range(THREADS)]
    left = {identity(sent) for sent in pool} - {identity(sent) for batch in batches for sent in batch}
    batches[0] += [sent for sent in pool if identity(sent) in left]
    return batches


@pytest.mark.long
def test_32_threads_with_overlapping_shuffled_batches_count_each_event_once(billproof: World) -> None:
    batches = overlapping(random.Random(1))
    answers = all_at_once([lambda batch=batch: billproof.send(batch) for batch in batches])  # type: ignore[misc]
    counted = accepted_of(batches, answers)
    assert len(counted) == EVENTS
    assert set(counted.values()) == {1}
    assert billproof.view("acme").body["events"] == EVENTS - EVENTS // 5
    assert billproof.view("umbra").body["events"] == EVENTS // 5
    [model] = billproof.view("acme").body["models"]
    assert model["quantities"] == {"input": EVENTS - EVENTS // 5, "output": sum(n for n in range(EVENTS) if n % 5)}


@pytest.mark.long
def test_the_state_after_many_threads_is_that_of_one(billproof: World) -> None:
    batches = overlapping(random.Random(9))
    all_at_once([lambda batch=batch: billproof.send(batch) for batch in batches])  # type: ignore[misc]
    together = logical_state(billproof)
    billproof.forget_usage()
    for batch in batches:
        billproof.send(batch)
    assert logical_state(billproof) == together


def test_identical_batches_sent_together_are_accepted_by_exactly_one_of_them_each_event(billproof: World) -> None:
    batch = [event(f"e{n}") for n in range(60)]
    answers = all_at_once([lambda: billproof.send(batch)] * 16)
    counted = accepted_of([batch] * 16, answers)
    assert set(counted.values()) == {1}
    assert billproof.view("acme").body["events"] == 60


def test_two_contents_of_one_identity_sent_together_leave_one_and_all_answers_name_it(billproof: World) -> None:
    contents = [event(quantities={"input": 1 + n % 2}) for n in range(THREADS)]
    answers = all_at_once([lambda sent=sent: billproof.send(sent) for sent in contents])  # type: ignore[misc]
    statuses = Counter(answer.result["status"] for answer in answers)
    assert statuses["accepted"] == 1
    [winner] = [read_event(s, None) for s, a in zip(contents, answers, strict=True) if a.statuses == ["accepted"]]
    for sent, answer in zip(contents, answers, strict=True):
        if answer.result["status"] != "accepted":
            assert answer.result["stored_hash"] == winner.content_hash
            same = read_event(sent, None).content_hash == winner.content_hash
            assert answer.result["status"] == ("duplicate" if same else "conflict")
    assert statuses == {"accepted": 1, "duplicate": THREADS // 2 - 1, "conflict": THREADS // 2}


@pytest.mark.long
def test_threads_under_conflicts_and_lost_answers_still_count_each_event_once(billproof: World) -> None:
    batches = overlapping(random.Random(3))
    with refuse(5, cancelled("TransactionConflict", is_update), times=40), lose(7, times=5):
        answers = all_at_once([lambda batch=batch: billproof.send(batch) for batch in batches])  # type: ignore[misc]
    for batch, answer in zip(batches, answers, strict=True):
        assert set(answer.statuses) <= {"accepted", "duplicate", "not_stored"}
        if answer.status == 503:
            assert billproof.send(batch).status == 200
    assert billproof.view("acme").body["events"] + billproof.view("umbra").body["events"] == EVENTS
