"""What goes into one transaction (D2): everything of an event together, inside DynamoDB's limits."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.store.usage_items import Incoming
from lambdas.store.usage_plan import MAX_ACTIONS, MAX_EXPRESSION_BYTES, Plan, Tables, chunks, make_request, plan
from tests.faults import limits
from tests.store.usage_events import at, incoming, many, padding

TABLES = Tables("usage", "counters")
NOW = "2026-11-16T12:00:00.000000Z"


def names() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):016x}"


def plans(events: Sequence[Incoming]) -> list[Plan]:
    request = make_request("acme", NOW, events)
    return [plan(request, part, 0, TABLES, names()) for part in chunks(request, range(len(events)))]


def kinds(planned: Plan) -> tuple[int, int, int]:
    """Claims, segments, counters."""
    claims = sum(1 for action in planned.actions if "h" in action.get("Put", {}).get("Item", {}))
    updates = sum(1 for action in planned.actions if "Update" in action)
    return claims, len(planned.actions) - claims - updates, updates


# what: events, (claims, segments, counters) of each transaction
SHAPES: dict[str, tuple[list[Incoming], list[tuple[int, int, int]]]] = {
    "one event": (many(1), [(1, 1, 2)]),
    "two events of one hour": (many(2), [(2, 1, 2)]),
    "97 of one hour fill a transaction": (many(97), [(97, 1, 2)]),
    "98 of one hour need two": (many(98), [(97, 1, 2), (1, 1, 2)]),
    "500 of one hour need six": (many(500), [(97, 1, 2)] * 5 + [(15, 1, 2)]),
    "two hours of a day": ([incoming("a", time=at(1, 1)), incoming("b", time=at(1, 2))], [(2, 2, 2)]),
    "two days": ([incoming("a", time=at(1)), incoming("b", time=at(2))], [(2, 2, 3)]),
    "two months": ([incoming("a", time=at(1)), incoming("b", time=at(1, month=10))], [(2, 2, 4)]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_transaction_holds_a_claim_per_event_a_segment_per_hour_and_a_counter_per_day_and_month(name: str) -> None:
    events, expected = SHAPES[name]
    assert [kinds(planned) for planned in plans(events)] == expected


def test_500_events_over_31_days_and_24_hours_are_each_planned_once_and_every_transaction_fits() -> None:
    hours = [(day, hour) for day in range(1, 32) for hour in range(24)]
    chosen = random.Random(7).sample(hours, 500)
    events = [incoming(f"e{n}", time=at(day, hour, month=10)) for n, (day, hour) in enumerate(chosen)]
    request = make_request("acme", NOW, events)
    parts = chunks(request, range(500))
    assert sorted(itertools.chain(*parts)) == list(range(500))
    for planned in plans(events):
        assert planned.fits
        assert len(planned.actions) <= MAX_ACTIONS
        limits.check("TransactWriteItems", {"TransactItems": planned.actions})
    assert len(parts) <= 12  # in time order: a claim and a segment each, few counters


def test_a_transaction_never_names_an_item_twice() -> None:
    events = [incoming(f"e{n}", time=at(1 + n % 3, n % 24)) for n in range(60)]
    for planned in plans(events):
        keys = []
        for action in planned.actions:
            [request] = action.values()
            key = request.get("Key") or {name: request["Item"][name] for name in ("pk", "sk")}
            keys.append((request["TableName"], key["pk"]["S"], key["sk"]["S"]))
        assert len(keys) == len(set(keys))


def test_a_segment_over_300_kb_is_split_and_claims_follow_their_part() -> None:
    noise = random.Random(1)
    events = [incoming(f"e{n}", padding=padding(noise, 45_000)) for n in range(32)]  # about 16 kB compressed
    [planned] = plans(events)
    segments = [a["Put"]["Item"] for a in planned.actions if "rows" in a.get("Put", {}).get("Item", {})]
    assert len(segments) == 2
    assert [int(segment["n"]["N"]) for segment in segments] == [16, 16]
    assert all(len(segment["rows"]["B"]) + len(segment["raws"]["B"]) <= 300_000 for segment in segments)
    claims = [action["Put"]["Item"] for action in planned.actions[:32]]
    assert planned.claimed == list(range(32))
    assert [int(claim["i"]["N"]) for claim in claims] == [*range(16), *range(16)]
    assert [claim["s"]["S"] for claim in claims] == [planned.segment_keys[n // 16] for n in range(32)]
    limits.check("TransactWriteItems", {"TransactItems": planned.actions})


def test_the_names_of_the_sums_count_for_the_size_of_a_segment() -> None:
    noise = random.Random(2)
    wide = {f"{'c' * 60}{n}": 1 for n in range(32)}
    events = [
        incoming(f"e{n}", padding=padding(noise, 42_000), model=chr(0x1F600 + n) * 128, quantities=wide)
        for n in range(16)
    ]
    [planned] = plans(events)
    for action in planned.actions:
        if "Put" in action:
            limits.check("PutItem", action["Put"])


def test_a_transaction_whose_counters_name_too_many_models_does_not_fit() -> None:
    quantities = {"input": 1, "cached_input": 2, "output": 3, "reasoning": 4}
    events = [incoming(f"e{n}", model=f"m{n}", quantities=quantities) for n in range(97)]
    [planned] = plans(events)
    assert not planned.fits
    with pytest.raises(limits.OverTheLimit, match="bytes of UpdateExpression; at most 4096"):
        limits.check("TransactWriteItems", {"TransactItems": planned.actions})
    [half] = plans(events[:48])
    assert half.fits
    limits.check("TransactWriteItems", {"TransactItems": half.actions})


@pytest.mark.parametrize(("events", "additions", "fits"), [(9, 290, True), (10, 322, False)])
def test_an_expression_has_at_most_300_additions_however_short_it_is(events: int, additions: int, fits: bool) -> None:
    [planned] = plans([incoming(f"e{n}", quantities={f"c{n}_{k}": 1 for k in range(32)}) for n in range(events)])
    updates = [action["Update"] for action in planned.actions if "Update" in action]
    assert [len(update["ExpressionAttributeNames"]) for update in updates] == [additions] * 2
    assert all(len(update["UpdateExpression"]) < MAX_EXPRESSION_BYTES for update in updates)
    assert planned.fits == fits


def test_the_widest_single_event_fits() -> None:
    wide = {f"tool_call:{'c' * 54}{n:02d}": 10**12 for n in range(32)}
    attributes = {f"{'a' * 63}{n}": "é" * 64 for n in range(8)}
    [planned] = plans([incoming(model="é" * 128, quantities=wide, service_tier="priority", attributes=attributes)])
    assert planned.fits
    assert max(len(a["Update"]["UpdateExpression"]) for a in planned.actions if "Update" in a) < MAX_EXPRESSION_BYTES
    limits.check("TransactWriteItems", {"TransactItems": planned.actions})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 28), st.integers(0, 23), st.sampled_from([10, 11])), min_size=1, max_size=150))
def test_whatever_the_times_every_event_is_planned_once_and_counted_in_its_day_and_month(
    times: list[tuple[int, int, int]],
) -> None:
    events = [incoming(f"e{n}", time=at(day, hour, month)) for n, (day, hour, month) in enumerate(times)]
    request = make_request("acme", NOW, events)
    parts = chunks(request, range(len(events)))
    assert sorted(itertools.chain(*parts)) == list(range(len(events)))
    counted: dict[str, int] = {}
    for part in parts:
        planned = plan(request, part, 3, TABLES, names())
        assert len(planned.actions) <= MAX_ACTIONS
        assert sorted(planned.claimed) == sorted(part)
        for action in planned.actions:
            if "Update" in action:
                sk = action["Update"]["Key"]["sk"]["S"]
                names_of = action["Update"]["ExpressionAttributeNames"]
                [at_n] = [alias for alias, name in names_of.items() if name == "n"]
                amount = action["Update"]["ExpressionAttributeValues"][":" + at_n[1:]]["N"]
                counted[sk] = counted.get(sk, 0) + int(amount)
    expected: dict[str, int] = {}
    for day, _, month in times:
        for sk in (f"D#2026-{month}-{day:02d}#3", f"P#2026-{month}#3"):
            expected[sk] = expected.get(sk, 0) + 1
    assert counted == expected
