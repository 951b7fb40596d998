"""What was sent beside hostile events, and what is just inside the limits, is stored and counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.handlers import stores
from tests.faults.world import BATCH, World, assert_invariants, event, world
from tests.handlers.hostile_events import REJECTED, as_text, raw, text_of


@pytest.fixture(scope="module")
def busy() -> Iterator[World]:
    """A world in which the good neighbours are stored."""
    with world() as running:
        running.publish()
        yield running


@pytest.mark.parametrize("name", [name for name in REJECTED if name != "65,537 bytes"])
def test_a_bad_event_never_fails_its_neighbours(name: str, busy: World) -> None:
    case, field, *_ = REJECTED[name]
    good = [as_text(event(f"{name} {side}")) for side in ("left", "right")]
    answer = busy.send(f"[{good[0]}, {text_of(case)},{good[1]}]", headers={"content-type": BATCH})
    assert answer.status == 200
    assert answer.statuses == ["accepted", "rejected", "accepted"]
    assert [result["index"] for result in answer.body["results"]] == [0, 1, 2]
    assert answer.body["results"][1]["field"] == field
    assert (answer.body["received"], answer.body["accepted"], answer.body["rejected"]) == (3, 2, 1)


def test_after_all_of_them_only_the_neighbours_are_stored(busy: World) -> None:
    assert_invariants(busy)
    stored = {item["pk"]["S"] for item in busy.items("usage") if item["pk"]["S"].startswith("E#")}
    assert len(stored) in (0, 2 * (len(REJECTED) - 1))  # 0: this test runs alone
    assert stores.usage().claim("acme", "/gateway/eu-1", "e1") is None


@pytest.mark.parametrize(
    "nested",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 20_000 + "1" + "}" * 20_000,
        '[{"]":"\\"}"},' * 5_000 + "1" + "]" * 5_000,
    ],
    ids=["100,000 arrays", "20,000 objects", "brackets in strings"],
)
def test_an_event_nested_beyond_reading_never_fails_its_neighbours(nested: str, busy: World) -> None:
    good = [as_text(event(f"deep {len(nested)} {side}")) for side in ("left", "right")]
    answer = busy.send(f"[{good[0]},{nested} ,{good[1]}]", headers={"content-type": BATCH})
    assert (answer.status, answer.statuses) == (200, ["accepted", "rejected", "accepted"])
    assert answer.body["results"][1]["field"] == "event"


def test_a_customers_key_cannot_store_for_another_customer(busy: World) -> None:
    busy.add_customer("umbra")
    mine, theirs = event("key 1", subject=None), event("key 2", subject="umbra")
    answer = busy.send([mine, theirs, event("key 3")], key="acme")
    assert answer.statuses == ["accepted", "rejected", "accepted"]
    rejected = answer.body["results"][1]
    assert (rejected["field"], rejected["value"]) == ("subject", "umbra")
    assert rejected["remedy"] == "this key belongs to another customer; leave subject out or use that customer's key"
    assert stores.usage().claim("umbra", "/gateway/eu-1", "key 2") is None
    assert stores.usage().claim("acme", "/gateway/eu-1", "key 2") is None
    assert stores.usage().claim("acme", "/gateway/eu-1", "key 1") is not None


# name: change of a good event, stored time
TAKEN: dict[str, tuple[dict[str, Any], str]] = {
    "zero": ({"quantities": {"input": 0}}, "2026-11-16T10:15:46.680590Z"),
    "minus zero": ({"quantities": {"input": raw("-0")}}, "2026-11-16T10:15:46.680590Z"),
    "the largest quantity": ({"quantities": {"input": 10**12}}, "2026-11-16T10:15:46.680590Z"),
    "32 classes": ({"quantities": {f"c{n}": 1 for n in range(32)}}, "2026-11-16T10:15:46.680590Z"),
    "eight attributes of 64": ({"attributes": {f"a{n}": "é" * 64 for n in range(8)}}, "2026-11-16T10:15:46.680590Z"),
    "no attributes": ({"attributes": None}, "2026-11-16T10:15:46.680590Z"),
    "a long source": ({"source": "/" * 256}, "2026-11-16T10:15:46.680590Z"),
    "odd Unicode": ({"source": "urn:🦊:ﬁ\u200d\u0301\u00a0"}, "2026-11-16T10:15:46.680590Z"),
    "a model of 128": ({"model": "é" * 128}, "2026-11-16T10:15:46.680590Z"),
    "a model with slash and hash": ({"model": "org/model#1:0 β"}, "2026-11-16T10:15:46.680590Z"),
    "no datacontenttype": ({"datacontenttype": None}, "2026-11-16T10:15:46.680590Z"),
    "vendor JSON": ({"datacontenttype": "application/vnd.x+json; charset=utf-8"}, "2026-11-16T10:15:46.680590Z"),
    "null attributes are unset": (
        {"datacontenttype": raw("null"), "dataschema": raw("null"), "traceparent": raw("null")},
        "2026-11-16T10:15:46.680590Z",
    ),
    "extensions": ({"traceparent": "00-x", "sampled": True, "hops": 3}, "2026-11-16T10:15:46.680590Z"),
    "the account's first instant": ({"time": "2026-09-30T00:00:00Z"}, "2026-09-30T00:00:00.000000Z"),
    "300 s ahead": ({"time": "2026-11-16T12:05:00.0000009Z"}, "2026-11-16T12:05:00.000000Z"),
    "lower case": ({"time": "2026-11-16t10:00:00.5z"}, "2026-11-16T10:00:00.500000Z"),
    "offset": ({"time": "2026-11-01T00:30:00+01:00"}, "2026-10-31T23:30:00.000000Z"),
    "western offset": ({"time": "2026-10-31T23:30:00-01:00"}, "2026-11-01T00:30:00.000000Z"),
    "unknown offset": ({"time": "2026-11-16T10:00:00-00:00"}, "2026-11-16T10:00:00.000000Z"),
    "30 fractional digits": ({"time": f"2026-10-31T23:59:59.{'9' * 30}Z"}, "2026-10-31T23:59:59.999999Z"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_just_inside_the_limits_is_taken(name: str, busy: World) -> None:
    changes, time = TAKEN[name]
    sent = event(f"taken {name}", **changes)
    assert busy.send(as_text(sent)).statuses == ["accepted"]
    claim = stores.usage().claim("acme", sent["source"], sent["id"])
    assert claim is not None and claim.time == time


def test_nine_fractional_digits_at_the_edge_of_the_month_stay_in_november(busy: World) -> None:
    busy.clock.move_to(datetime(2026, 12, 1, tzinfo=UTC))
    busy.add_customer("edge")
    assert busy.send(event(subject="edge", time="2026-11-30T23:59:59.999999999Z")).status == 200
    assert [day["day"] for day in busy.view("edge", period="2026-11").body["days"]] == ["2026-11-30"]
    assert busy.view("edge", period="2026-12").body["days"] == []


def test_exactly_the_largest_event_request_and_batch_are_taken(busy: World) -> None:
    for number, padding in enumerate((65_536, 65_535)):
        text = as_text(event(f"large {number}"))
        assert busy.send(text + " " * (padding - len(text))).status == 200
    text = "[" + ",".join(as_text(event(f"batch {n}")) for n in range(500))
    answer = busy.send(text + " " * (999_999 - len(text)) + "]", headers={"content-type": BATCH})
    assert (answer.status, answer.body["accepted"]) == (200, 500)
    assert_invariants(busy)
