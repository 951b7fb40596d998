"""Price kinds at, below and above every edge, and positions that survive cutting a period into shards (D8, K7, K8)."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.errors import BillingError, DocumentRefused, InvariantBroken, PlanHasNoOpenTier
from lambdas.billing.money import format_amount, parse_amount
from lambdas.billing.plans import KINDS
from lambdas.billing.pricing import Pricing
from lambdas.billing.rate_cards import read_rate_card_version
from lambdas.billing.rating import Positions, Totals, UsageRow, measure_event, rate_event
from lambdas.billing.shards import add_summary, shard_positions, summarize
from tests.billing.month import CONTRACT, agreement_of, pricing_of, row

M = 1_000_000
DAY = "2026-11-10T00:00:00.000000Z"


def plan(*charges: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "tokens",
        "version": 1,
        "name": "Tiers",
        "model": "custom",
        "posture": "variable",
        "volatility_bearer": "customer",
        "primary_meter": "output",
        "charges": list(charges),
    }


def charge(charge_id: str, kind: str, *, prices: str = "charge", **more: Any) -> dict[str, Any]:
    return {"id": charge_id, "meter": charge_id, "kind": kind, "prices": prices, **more}


def tiers(charge_id: str, *bounds: tuple[int | None, str], per: int = M) -> dict[str, Any]:
    return {"charge": charge_id, "per": per, "tiers": [{"up_to": up_to, "price": price} for up_to, price in bounds]}


def card(version: int, day: str, *rates: dict[str, Any]) -> dict[str, Any]:
    return {f"std@{version}": {"version": version, "currency": "USD", "effective_from": day, "rates": list(rates)}}


OUTPUT_FREE = {"charge": "output", "per": M, "price": "0"}


def input_pricing(kind: str, *bounds: tuple[int | None, str], included: int = 0, per: int = M) -> Pricing:
    """Only input has a price worth testing: of this kind."""
    documents = plan(charge("input", kind, included=included), charge("output", "per_unit"))
    return pricing_of(plan=documents, rates=card(1, "2026-11-01", tiers("input", *bounds, per=per), OUTPUT_FREE))


def bill(pricing: Pricing, *quantities: int) -> Totals:
    """Rate events of these input quantities, one after the other."""
    return rate_all(pricing, [row(f"e{n:06d}", DAY, {"input": quantity}) for n, quantity in enumerate(quantities)])[0]


def rate_all(pricing: Pricing, events: Sequence[UsageRow]) -> tuple[Totals, list[str]]:
    counted: dict[str, int] = {}
    for event in events:
        measure_event(event, pricing, counted)
    totals, positions = Totals(), Positions({}, counted)
    return totals, [rate_event(event, pricing, totals, positions).text for event in events]


def amount(totals: Totals) -> str:
    return format_amount(sum(line.amount for line in totals.lines.values()))


def of_tiers(totals: Totals) -> dict[str | None, int]:
    return {line.price.tier: line.quantity for line in totals.lines.values()}


GRADUATED = ((5 * M, "0.60"), (None, "0.50"))


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (1, {"1": 1}),
        (5 * M - 1, {"1": 5 * M - 1}),
        (5 * M, {"1": 5 * M}),  # the bound is inclusive: unit 5,000,000 is tier 1
        (5 * M + 1, {"1": 5 * M, "2": 1}),
    ],
)
def test_graduated_units_have_the_price_of_their_own_tier(used: int, expected: dict[str, int]) -> None:
    totals = bill(input_pricing("graduated", *GRADUATED), used)
    assert of_tiers(totals) == expected
    exact = expected.get("1", 0) * parse_amount("0.60") // M + expected.get("2", 0) * parse_amount("0.50") // M
    assert amount(totals) == format_amount(exact)


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (10 * M - 1, (10 * M - 1) * parse_amount("1.00") // M),
        (10 * M, 10 * parse_amount("1.00")),
        (10 * M + 1, (10 * M + 1) * parse_amount("0.80") // M),  # 8.0000008: it falls by 1.9999992
        (14 * M, 14 * parse_amount("0.80")),
    ],
)
def test_volume_puts_all_units_into_the_tier_of_the_total(used: int, expected: int) -> None:
    half = used // 2
    totals = bill(input_pricing("volume", (10 * M, "1.00"), (None, "0.80")), half, used - half)
    assert amount(totals) == format_amount(expected)
    assert len(totals.lines) == 1


@pytest.mark.parametrize(
    ("quantities", "blocks"),
    [((1,), 1), ((M - 1,), 1), ((M,), 1), ((M + 1,), 2), ((M, 1), 2), ((7_250_000,), 8), ((1, 1, M - 2, 1), 2)],
)
def test_a_package_is_charged_by_blocks_begun(quantities: tuple[int, ...], blocks: int) -> None:
    totals = bill(input_pricing("package", (None, "0.60")), *quantities)
    [line] = totals.lines.values()
    assert (line.quantity, line.blocks) == (sum(quantities), blocks)
    assert line.amount == blocks * parse_amount("0.60")


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (999, {"included": 999}),
        (1000, {"included": 1000}),  # no overage line while included balance is left
        (1001, {"included": 1000, "1": 1}),
    ],
)
def test_included_units_come_first_and_cost_nothing(used: int, expected: dict[str, int]) -> None:
    totals = bill(input_pricing("graduated", (500, "2"), (None, "1"), included=1000, per=1), used)
    assert of_tiers(totals) == expected
    assert amount(totals) == str(expected.get("1", 0) * 2)


def test_tiers_count_what_is_left_after_included_units() -> None:
    totals = bill(input_pricing("graduated", (500, "2"), (None, "1"), included=1000, per=1), 1501)
    assert of_tiers(totals) == {"included": 1000, "1": 500, "2": 1}
    assert amount(totals) == str(500 * 2 + 1 * 1)


def test_the_event_that_crosses_the_edge_is_split_and_both_parts_are_recorded_with_their_positions() -> None:
    pricing = input_pricing("graduated", *GRADUATED, included=10 * M)
    _, texts = rate_all(pricing, [row("a", DAY, {"input": 9_999_400}), row("b", DAY, {"input": 1_000})])
    assert json.loads(texts[1])[4] == [
        ["input|openai/gpt-4o|input|std@1|included", 600, "0", 9_999_400],
        ["input|openai/gpt-4o|input|std@1|1", 400, format_amount(400 * parse_amount("0.60") // M), 10 * M],
    ]


def test_a_month_of_included_and_graduated_overage_adds_up_as_worked_out_by_hand() -> None:
    documents = plan(charge("input", "graduated", included=10 * M), charge("output", "per_unit", included=2 * M))
    output = {"charge": "output", "per": M, "price": "2.40"}
    pricing = pricing_of(plan=documents, rates=card(1, "2026-11-01", tiers("input", *GRADUATED), output))
    totals, _ = rate_all(pricing, [row("a", DAY, {"input": 17_250_000, "output": 2_000_001})])
    lines = [
        (line.price.charge.id, line.price.tier, line.quantity, format_amount(line.amount))
        for line in totals.lines.values()
    ]
    assert lines == [
        ("input", "included", 10_000_000, "0"),
        ("input", "1", 5_000_000, "3"),  # 5,000,000 x 0.60 / 1M
        ("input", "2", 2_250_000, "1.125"),  # 2,250,000 x 0.50 / 1M
        ("output", "included", 2_000_000, "0"),
        ("output", "1", 1, "0.0000024"),  # 1 x 2.40 / 1M
    ]


def test_a_rate_change_keeps_the_position() -> None:
    documents = plan(charge("input", "graduated"), charge("output", "per_unit"))
    rates = card(1, "2026-11-01", tiers("input", (10 * M, "1.00"), (None, "0.80")), OUTPUT_FREE)
    rates |= card(2, "2026-11-16", tiers("input", (10 * M, "0.90"), (None, "0.70")))
    pricing = pricing_of(plan=documents, rates=rates)
    events = [
        row("a", "2026-11-15T23:59:59.999999Z", {"input": 8 * M}),
        row("b", "2026-11-16T00:00:00.000000Z", {"input": 6 * M}),
    ]
    totals, _ = rate_all(pricing, events)
    amounts = {
        (f"std@{line.price.dated.version}", line.price.tier): format_amount(line.amount)
        for line in totals.lines.values()
    }
    assert amounts == {("std@1", "1"): "8", ("std@2", "1"): "1.8", ("std@2", "2"): "2.8"}  # 12.60 and not 13.40


def test_classes_of_a_meter_share_its_position_in_class_order() -> None:
    pricing = input_pricing("graduated", (100, "2"), (None, "1"), per=1)
    _, texts = rate_all(pricing, [row("a", DAY, {"input": 60, "cached_input": 80})])
    assert json.loads(texts[0])[4] == [
        ["input|openai/gpt-4o|cached_input|std@1|1", 80, "160", 0],
        ["input|openai/gpt-4o|input|std@1|1", 20, "40", 80],
        ["input|openai/gpt-4o|input|std@1|2", 40, "40", 100],
    ]


def test_excluded_events_do_not_move_positions() -> None:
    pricing = input_pricing("graduated", (10, "2"), (None, "1"), per=1)
    early = row("a", "2026-11-01T00:00:00.000000Z", {"input": 10})  # the contract begins on the second
    parked = row("b", DAY, {"input": 10, "call": 1})
    totals, _ = rate_all(pricing, [early, parked, row("c", DAY, {"input": 10})])
    assert totals.excluded == {"before_activation": 1, "parked": 1}
    assert of_tiers(totals) == {"1": 10}


def test_a_charge_by_position_is_never_rated_without_positions() -> None:
    with pytest.raises(InvariantBroken, match="measure the period first"):
        rate_event(row("a", DAY, {"input": 1}), input_pricing("graduated", *GRADUATED), Totals())
    with pytest.raises(InvariantBroken, match="position of charge input"):
        rate_event(
            row("a", DAY, {"input": 2}), input_pricing("graduated", *GRADUATED), Totals(), Positions({}, {"input": 1})
        )


def test_tiers_under_a_kind_without_tiers_park_the_usage() -> None:
    totals, [text] = rate_all(input_pricing("package", *GRADUATED), [row("a", DAY, {"input": 1})])
    assert totals.parked == 1
    assert "charge input is package" in text


SIZES = st.lists(st.integers(min_value=0, max_value=400), min_size=1, max_size=30)


@pytest.mark.parametrize("kind", KINDS)
@given(sizes=SIZES, included=st.sampled_from([0, 1, 100, 1000]), cut=st.integers(min_value=0, max_value=30))
def test_shards_come_to_the_same_charges_as_the_whole(kind: str, sizes: list[int], included: int, cut: int) -> None:
    bounds = ((150, "3"), (700, "2"), (None, "1")) if kind in ("graduated", "volume") else ((None, "3"),)
    pricing = input_pricing(kind, *bounds, included=included, per=1)
    documents = plan(charge("input", kind, included=included), charge("output", "per_unit"))
    rates = card(1, "2026-11-01", tiers("input", *bounds, per=1), OUTPUT_FREE)
    agreement = agreement_of(plan=documents, rates=rates)
    events = [row(f"e{n:03d}", DAY, {"input": size, "cached_input": size % 7}) for n, size in enumerate(sizes)]
    whole, texts = rate_all(pricing, events)
    parts = [part for part in (events[:cut], events[cut:]) if part]
    measures = []
    for part in parts:
        measures.append(dict[str, int]())
        for event in part:
            measure_event(event, pricing, measures[-1])
    merged, again = Totals(), list[str]()
    for n, part in enumerate(parts, start=1):
        totals, positions = Totals(), shard_positions(measures, n)
        again += [rate_event(event, pricing, totals, positions).text for event in part]
        add_summary(merged, json.loads(json.dumps(summarize(totals))), agreement)
    assert again == texts
    assert summarize(merged) == summarize(whole)


@given(sizes=SIZES, included=st.sampled_from([0, 1, 100, 1000]))
def test_graduated_units_equal_a_count_one_by_one(sizes: list[int], included: int) -> None:
    totals = bill(input_pricing("graduated", (150, "3"), (700, "2"), (None, "1"), included=included, per=1), *sizes)
    used = max(0, sum(sizes) - included)
    assert amount(totals) == str(sum(3 if unit <= 150 else 2 if unit <= 700 else 1 for unit in range(1, used + 1)))


@given(sizes=SIZES, more=st.integers(min_value=0, max_value=500))
def test_a_graduated_bill_never_falls_as_usage_grows(sizes: list[int], more: int) -> None:
    pricing = input_pricing("graduated", (150, "3"), (700, "2"), (None, "1"), included=50, per=1)
    assert parse_amount(amount(bill(pricing, *sizes))) <= parse_amount(amount(bill(pricing, *sizes, more)))


@pytest.mark.parametrize("kind", ["graduated", "volume", "per_unit", "package"])
def test_splitting_an_event_does_not_change_the_total(kind: str) -> None:
    bounds = ((150, "3"), (None, "1")) if kind in ("graduated", "volume") else ((None, "3"),)
    pricing = input_pricing(kind, *bounds, included=40, per=1)
    draw = random.Random(7)
    for _ in range(200):
        whole, part = draw.randrange(1, 400), draw.randrange(0, 400)
        assert amount(bill(pricing, whole)) == amount(bill(pricing, min(part, whole), whole - min(part, whole)))


@pytest.mark.parametrize(
    ("entry", "error", "field"),
    [
        (tiers("input", (10, "1")), PlanHasNoOpenTier, "rates[0].tiers[0].up_to"),
        (tiers("input", (10, "1"), (20, "1")), PlanHasNoOpenTier, "rates[0].tiers[1].up_to"),
        (tiers("input", (None, "1"), (None, "1")), DocumentRefused, "rates[0].tiers[0].up_to"),
        (tiers("input", (10, "1"), (10, "1"), (None, "1")), DocumentRefused, "rates[0].tiers[1].up_to"),
        (tiers("input", (0, "1"), (None, "1")), DocumentRefused, "rates[0].tiers[0].up_to"),
        (tiers("input", (10, "-1"), (None, "1")), DocumentRefused, "rates[0].tiers[0].price"),
        (tiers("input"), DocumentRefused, "rates[0].tiers"),
        ({"charge": "input", "per": 1, "price": "1", "tiers": []}, DocumentRefused, "rates[0].price"),
        ({"charge": "input", "class": "input", "per": 1, "price": "1"}, DocumentRefused, "rates[0].class"),
    ],
)
def test_prices_that_could_bill_too_little_or_two_things_are_refused(
    entry: dict[str, Any], error: type[BillingError], field: str
) -> None:
    document = {"version": 1, "currency": "USD", "effective_from": "2026-11-01", "rates": [entry]}
    with pytest.raises(error) as refusal:
        read_rate_card_version("std", document)
    assert (type(refusal.value), refusal.value.field) == (error, field)


def test_the_contract_used_here_begins_on_the_second() -> None:
    assert CONTRACT["effective_from"] == "2026-11-02"


def test_models_beyond_what_is_remembered_are_priced_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambdas.billing.pricing._MOST_MODELS", 2)
    events = [row(f"e{n}", DAY, {"input": 10}, f"openai/m{n % 5}") for n in range(20)]
    totals, _ = rate_all(input_pricing("graduated", (150, "3"), (None, "1"), per=1), events)
    assert amount(totals) == str(150 * 3 + 50 * 1)
    assert len({line.price.of.asked.model for line in totals.lines.values()}) == 5
