"""Rating: the price in force at the event's time, nothing left out, the same bytes however it is cut (R5, R10, R14)."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.classes import CLASSES, INPUT_CLASSES, OUTPUT_CLASSES
from lambdas.billing.lines import ClassPrice, Unpriced
from lambdas.billing.money import ONE, format_amount, parse_amount
from lambdas.billing.rate_cards import RateKey
from lambdas.billing.rating import Rated, Totals, UsageRow, rate_event
from lambdas.billing.shards import add_summary, add_totals, summarize
from tests.billing.month import CONTRACT, PLAN, RATES, agreement_of, invoice_of, pricing_of, row

PRICING = pricing_of()
AGREEMENT = agreement_of()


def rated(event: UsageRow) -> Rated:
    return rate_event(event, PRICING, Totals())


def charges(event: UsageRow) -> list[list[object]]:
    outcome = rated(event)
    assert outcome.rated
    found: list[list[object]] = json.loads(outcome.text)[4]
    return found


def test_each_class_is_a_charge_of_quantity_times_price() -> None:
    event = row("a", "2026-11-10T00:00:00.000000Z", {"output": 44, "input": 374, "cached_input": 7})
    assert charges(event) == [
        ["input|openai/gpt-4o|cached_input|std@1", 7, format_amount(7 * parse_amount("1.25") // 10**6)],
        ["input|openai/gpt-4o|input|std@1", 374, format_amount(374 * parse_amount("2.50") // 10**6)],
        ["output|openai/gpt-4o|output|std@1", 44, format_amount(44 * parse_amount("10.00") // 10**6)],
    ]


def test_the_rated_line_is_compact_json_and_ends_with_a_line_feed() -> None:
    outcome = rated(row('say "ü"\\', "2026-11-10T00:00:00.000000Z", {"output": 1}))
    assert outcome.text == (
        '["2026-11-10T00:00:00.000000Z","//gateway/eu-1","say \\"ü\\"\\\\",0,'
        '[["output|openai/gpt-4o|output|std@1",1,"0.00001"]]]\n'
    )


@pytest.mark.parametrize(
    ("time", "version", "price"),
    [
        ("2026-11-15T23:59:59.999999Z", "std@1", "10"),
        ("2026-11-16T00:00:00.000000Z", "std@2", "8"),
        ("2026-11-16T00:00:00.000001Z", "std@2", "8"),
        ("2027-05-01T00:00:00.000000Z", "std@2", "8"),  # version 3 does not price output: version 2 stays in force
    ],
)
def test_the_version_in_force_at_the_time_of_the_event_prices_it(time: str, version: str, price: str) -> None:
    assert charges(row("a", time, {"output": 1_000_000})) == [[f"output|openai/gpt-4o|output|{version}", 10**6, price]]


@pytest.mark.parametrize(
    ("time", "is_rated"),
    [("2026-11-01T23:59:59.999999Z", False), ("2026-11-02T00:00:00.000000Z", True)],
)
def test_usage_before_the_contract_begins_is_excluded_with_that_reason(time: str, is_rated: bool) -> None:
    totals = Totals()
    outcome = rate_event(row("a", time, {"input": 5}), PRICING, totals)
    assert outcome.rated == is_rated
    if not is_rated:
        assert json.loads(outcome.text)[4:] == ["before_activation", "contract begins 2026-11-02"]
        assert totals.excluded_quantities == {"openai/gpt-4o|input": 5}
        assert not totals.lines


@pytest.mark.parametrize(
    ("quantities", "model", "time", "why"),
    [
        ({"input": 1}, "openai/gpt-9", "2026-11-10", "rate card std has no price for openai/gpt-9 input on 2026-11-10"),
        ({"input": 1, "reasoning": 1}, "openai/gpt-4o", "2026-11-10", "no price for openai/gpt-4o reasoning"),
        ({"input": 1, "video": 1}, "openai/gpt-4o", "2026-11-10", "class video is not known"),
        ({"input": 1}, "azure/gpt-4o", "2026-11-10", "no price for azure/gpt-4o input"),
    ],
)
def test_an_event_with_anything_unpriced_is_parked_whole(
    quantities: dict[str, int], model: str, time: str, why: str
) -> None:
    totals = Totals()
    event = row("a", f"{time}T00:00:00.000000Z", quantities, model)
    outcome = rate_event(event, PRICING, totals)
    assert not outcome.rated
    assert json.loads(outcome.text)[4] == "parked"
    assert why in json.loads(outcome.text)[5]
    assert (totals.rated, totals.parked, totals.lines) == (0, 1, {})
    found = PRICING.unpriced(event.provider, event.model, event.quantities, event.time)
    assert isinstance(found, Unpriced) and why in found.detail


def test_a_price_that_exists_without_a_charge_in_the_plan_parks_the_event() -> None:
    call = {"provider": "openai", "model": "gpt-4o", "class": "call", "price": "0.15", "per": 1}
    rates = {"std@1": {**RATES["std@1"], "rates": [*RATES["std@1"]["rates"], call]}}  # type: ignore[misc]
    found = pricing_of(rates=rates).find(RateKey("openai", "gpt-4o", "call"), "2026-11-10T00:00:00.000000Z")
    assert found == Unpriced("no_charge", "plan tokens@1 has no charge for class call")


def test_before_the_first_price_there_is_none() -> None:
    assert isinstance(PRICING.find(RateKey("openai", "gpt-4o", "input"), "2025-12-31T23:59:59.999999Z"), Unpriced)
    assert isinstance(PRICING.find(RateKey("openai", "gpt-4o", "input"), "2026-01-01T00:00:00.000000Z"), ClassPrice)


def test_a_quantity_of_zero_makes_no_charge_and_needs_no_price() -> None:
    assert charges(row("a", "2026-11-10T00:00:00.000000Z", {"input": 0, "video": 0})) == []


def test_a_price_of_zero_is_a_price() -> None:
    free = {"provider": "openai", "model": "free", "class": "input", "price": "0", "per": 1}
    rates = {**RATES, "std@1": {**RATES["std@1"], "rates": [*RATES["std@1"]["rates"], free]}}  # type: ignore[misc]
    totals = Totals()
    rate_event(row("a", "2026-11-10T00:00:00.000000Z", {"input": 9}, "openai/free"), pricing_of(rates=rates), totals)
    [line] = totals.lines.values()
    assert (line.quantity, line.amount, line.events) == (9, 0, 1)


def test_every_class_but_calls_belongs_to_one_meter_of_a_pure_token_plan() -> None:
    assert {*INPUT_CLASSES, *OUTPUT_CLASSES} == {name for name, item in CLASSES.items() if item.unit == "token"}
    assert not {*INPUT_CLASSES} & {*OUTPUT_CLASSES}


def test_the_order_in_which_classes_were_sent_does_not_matter() -> None:
    quantities = {"output": 44, "input": 374, "cached_input": 7}
    lines = {
        rated(row("a", "2026-11-10T00:00:00.000000Z", dict(order))).text
        for order in (list(quantities.items()), sorted(quantities.items()), sorted(quantities.items())[::-1])
    }
    assert len(lines) == 1


EVENTS = st.lists(
    st.builds(
        row,
        event_id=st.uuids().map(str),
        time=st.builds(
            "2026-11-{:02}T{:02}:00:00.000000Z".format, st.integers(1, 30), st.integers(0, 23)
        ),
        quantities=st.dictionaries(
            st.sampled_from(["input", "cached_input", "output", "reasoning"]), st.integers(0, 10**12), min_size=1
        ),
        model=st.sampled_from(["openai/gpt-4o", "anthropic/claude", "openai/gpt-9"]),
    ),
    max_size=30,
)  # fmt: skip


def pass_over(events: Sequence[UsageRow]) -> tuple[Totals, dict[str, str]]:
    totals = Totals()
    return totals, {event.id: rate_event(event, pricing_of(), totals).text for event in events}


def state(totals: Totals) -> object:
    lines = {key: (line.quantity, line.amount, line.events) for key, line in totals.lines.items()}
    return lines, totals.rated, totals.excluded, totals.excluded_quantities


@given(EVENTS, st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(events: list[UsageRow], dice: random.Random) -> None:
    shuffled = dice.sample(events, len(events))
    one, other = pass_over(events), pass_over(shuffled)
    assert one[1] == other[1]
    assert state(one[0]) == state(other[0])
    assert invoice_of(one[0]) == invoice_of(other[0])


@given(EVENTS, st.lists(st.integers(0, 30), max_size=4).map(sorted))
def test_shards_add_up_to_the_whole(events: list[UsageRow], cuts: list[int]) -> None:
    whole, texts = pass_over(events)
    added, summed = Totals(), Totals()
    edges = [0, *cuts, len(events)]
    for start, end in pairwise(edges):
        part, part_texts = pass_over(events[start:end])
        add_totals(added, part)
        add_summary(summed, json.loads(json.dumps(summarize(part))), AGREEMENT)
        assert all(texts[event_id] == text for event_id, text in part_texts.items())
    assert state(added) == state(summed) == state(whole)
    assert invoice_of(added) == invoice_of(summed) == invoice_of(whole)


@given(EVENTS)
def test_rating_again_gives_the_same_bytes(events: list[UsageRow]) -> None:
    assert pass_over(events)[1] == pass_over(events)[1]


@given(EVENTS)
def test_nothing_is_added_and_nothing_left_out(events: list[UsageRow]) -> None:
    totals, texts = pass_over(events)
    assert totals.rated + sum(totals.excluded.values()) == len(events)
    accepted = sum(quantity for event in events for quantity in event.quantities.values())
    in_lines = sum(line.quantity for line in totals.lines.values())
    assert in_lines + sum(totals.excluded_quantities.values()) == accepted
    amounts: dict[str, int] = {}
    for text in texts.values():
        outcome = json.loads(text)
        for key, quantity, exact in outcome[4] if len(outcome) == 5 else []:
            _, name, token_class, _ = key.split("|")
            provider, _, model = name.partition("/")
            price = PRICING.find(RateKey(provider, model, token_class), outcome[0])
            assert isinstance(price, ClassPrice) and price.only is not None
            assert parse_amount(exact) == quantity * price.only.unit_price
            amounts[key] = amounts.get(key, 0) + parse_amount(exact)
    assert amounts == {key: line.amount for key, line in totals.lines.items()}


def test_lines_stand_in_order_of_charge_model_class_and_price() -> None:
    events = [
        row("1", "2026-11-20T00:00:00.000000Z", {"output": 1, "input": 1, "cached_input": 1}),
        row("2", "2026-11-10T00:00:00.000000Z", {"output": 1}),
        row("3", "2026-11-10T00:00:00.000000Z", {"output": 1, "input": 1}, "anthropic/claude"),
    ]
    totals, _ = pass_over(events)
    assert [line["key"] for line in invoice_of(totals)["lines"]] == [
        "input|anthropic/claude|input|std@1",
        "input|openai/gpt-4o|input|std@1",
        "input|openai/gpt-4o|cached_input|std@1",
        "output|anthropic/claude|output|std@1",
        "output|openai/gpt-4o|output|std@1",
        "output|openai/gpt-4o|output|std@2",
    ]


def test_the_largest_quantity_at_the_finest_price_is_exact() -> None:
    finest = {"provider": "openai", "model": "m", "class": "input", "price": "0." + "0" * 11 + "1", "per": 10**6}
    rates = {"std@1": {**RATES["std@1"], "rates": [finest]}}
    totals = Totals()
    event = row("a", "2026-11-10T00:00:00.000000Z", {"input": 10**12}, "openai/m")
    for _ in range(3):
        rate_event(event, pricing_of(CONTRACT, PLAN, rates), totals)
    [line] = totals.lines.values()
    assert line.amount == 3 * ONE // 10**6
