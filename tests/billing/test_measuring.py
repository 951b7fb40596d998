"""A segment's sums move positions exactly as its events do, or not at all (K8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lambdas.billing.pricing import Pricing
from lambdas.billing.rating import UsageRow, add_quantities, measure_event, measure_sums
from tests.billing.account import Json, agreed, card, class_price, contract, plan, price, tiers, used

HOUR = "2026-11-10T12:00:00.000000Z"
INPUT = {"id": "input", "meter": "input", "kind": "graduated", "prices": "charge", "included": 10}
OUTPUT = {"id": "output", "meter": "output", "kind": "package", "prices": "charge"}
GRADUATED = tiers("input", (100, "2"), (None, "1"))


def pricing(*rates: Json, charges: Sequence[Json] = (INPUT, OUTPUT), day: str = "2026-11-01", **more: Any) -> Pricing:
    document = plan("measured", charges, **more)
    return (
        agreed("2026-11", [contract("measured", day)], [document], card(1, "2026-11-01", *rates)).stretches[0].pricing
    )


def by_events(rows: Sequence[UsageRow], priced: Pricing) -> dict[str, int]:
    counted = {"input": 5}
    for row in rows:
        measure_event(row, priced, counted)
    return counted


def by_sums(rows: Sequence[UsageRow], priced: Pricing) -> dict[str, int] | None:
    """None where the sums are not enough; then nothing was added."""
    sums: dict[str, int] = {}
    for row in rows:
        add_quantities(sums, row.provider, row.model, row.quantities, row.service_tier)
    counted = {"input": 5}
    if measure_sums(sums, HOUR, priced, counted):
        return counted
    assert counted == {"input": 5}
    return None


ROWS = [
    used(HOUR, event_id="a", input=7, cached_input=30, output=4),
    used(HOUR, "anthropic/claude", event_id="b", input=100, output=0),
]


def test_sums_of_every_model_and_class_move_the_charge_that_counts_them() -> None:
    priced = pricing(GRADUATED, price("output", "3", per=1000))
    expected = {"input": 5 + 7 + 30 + 100, "output": 4}
    assert by_sums(ROWS, priced) == by_events(ROWS, priced) == expected


def test_money_that_is_included_moves_by_the_value_of_the_sums() -> None:
    priced = pricing(
        price("input", "2", per=1), price("output", "3", per=1),
        charges=[{**INPUT, "kind": "per_unit", "included": 0}, {**OUTPUT, "kind": "per_unit"}],
        currency="USD", included=[{"id": "credit", "charges": ["input", "output"], "amount": "50.00"}],
    )  # fmt: skip
    expected = {"input": 5, "pool:credit": ((7 + 30 + 100) * 2 + 4 * 3) * 10**18}
    assert by_sums(ROWS, priced) == by_events(ROWS, priced) == expected


def test_where_a_class_has_no_price_only_the_events_can_tell() -> None:
    """The first event is parked whole, with its input, and the sums do not know which input that was."""
    priced = pricing(GRADUATED, class_price("output", "3"), charges=[INPUT, {**OUTPUT, "prices": "class"}])
    rows = [used(HOUR, "meta/llama", event_id="a", input=7, output=1), used(HOUR, event_id="b", input=20, output=1)]
    assert by_sums(rows, priced) is None
    assert by_events(rows, priced) == {"input": 5 + 20, "output": 1}


def test_a_class_that_was_never_used_needs_no_price() -> None:
    priced = pricing(GRADUATED, price("output", "3", per=1000))
    rows = [used(HOUR, input=7, call=0)]
    assert by_sums(rows, priced) == by_events(rows, priced) == {"input": 5 + 7}


def test_another_service_tier_has_prices_of_its_own() -> None:
    rows = [used(HOUR, tier="batch", input=7)]
    standard_only = pricing(GRADUATED, price("output", "3"))
    assert by_sums(rows, standard_only) is None
    with_batch = pricing(GRADUATED, {**GRADUATED, "service_tier": "batch"}, price("output", "3"))
    assert by_sums(rows, with_batch) == by_events(rows, with_batch) == {"input": 5 + 7}


def test_where_a_price_depends_on_the_prompt_only_the_events_can_tell() -> None:
    priced = pricing(GRADUATED, price("output", "3", per=1000), price("output", "4", per=1000, prompt_above=100))
    assert by_sums(ROWS, priced) is None


@pytest.mark.parametrize(("day", "counted"), [("2026-11-10", {"input": 12}), ("2026-11-11", {"input": 5})])
def test_before_the_contract_nothing_counts(day: str, counted: dict[str, int]) -> None:
    priced = pricing(GRADUATED, price("output", "3"), day=day)
    rows = [used(HOUR, input=7)]
    assert by_sums(rows, priced) == by_events(rows, priced) == counted
