"""Controls of an account: output per input, cost and margin, when to reprice. Below, at and above limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from lambdas.billing.costs import CostPrices, LongPrompts, add_long_prompt, add_long_prompts
from lambdas.billing.invoice import Draft, draft_document
from lambdas.billing.pricing import read_cards
from lambdas.billing.rating import UsageRow, add_quantities
from lambdas.billing.watch import MAX_MISSING, MAX_MODELS, watch
from tests.billing.account import M, agreed, card, class_price, contract, plan, price, rated, used
from tests.billing.month import CUSTOMER, ENTITY

Json = dict[str, Any]
START = "2026-10-01"
UNITS: Json = {
    "id": "units",
    "version": 1,
    "name": "Units",
    "model": "blended_unit",
    "posture": "variable",
    "volatility_bearer": "seller",
    "weights": {"input": 1, "cached_input": 1, "output": 4, "reasoning": 4},
    "kind": "per_unit",
    "controls": {"output_input_ratio_above": "0.5", "margin_floor": "0.30"},
}
PRICES = card(1, START, price("units", "10.00"))
"""10.00 for a million units."""
COSTS = card(1, START, class_price("input", "2.00"), class_price("output", "8.00"), name="prov")
AGREED = contract("units", "2026-11-01", cost_card="prov")


def watched(
    *rows: UsageRow,
    contracts: Sequence[Json] = (AGREED,),
    plans: Sequence[Json] = (UNITS,),
    rates: Json = PRICES,
    costs: Json = COSTS,
    carried: Json | None = None,
) -> Json:
    """The controls of November with this usage. Prices and costs come apart, as a run freezes them."""
    agreement = agreed("2026-11", contracts, plans, rates)
    totals, _ = rated(agreement, rows)
    draft = draft_document(Draft("run", "2026-12-01", ENTITY, CUSTOMER, agreement, carried), totals)
    cards = read_cards({**rates, **costs})
    prices = CostPrices(agreement, cards)
    days: dict[str, dict[str, int]] = {}
    long_prompts: LongPrompts = {}
    for row in rows:
        add_quantities(days.setdefault(row.time[:10], {}), row.provider, row.model, row.quantities, row.service_tier)
        add_long_prompt(long_prompts, row, prices.steps)
    controls = watch(agreement, totals, draft, prices.of_usage(days, long_prompts), cards)
    return json.loads(json.dumps(controls))  # type: ignore[no-any-return]


def margin_of(*rows: UsageRow, **given: Any) -> Json:
    margin: Json = watched(*rows, **given)["margin"]
    return margin


# output per input


@pytest.mark.parametrize(
    ("output", "value", "crossed"),
    [(499_999, "0.499999", False), (500_000, "0.5", False), (500_001, "0.500001", True)],
)
def test_the_ratio_is_crossed_above_its_limit(output: int, value: str, crossed: bool) -> None:
    controls = watched(used("2026-11-03", input=600_000, cached_input=400_000, output=output))
    ratio = controls["output_input_ratio"]
    assert ratio == {"input": M, "output": output, "value": value, "above": "0.5", "crossed": crossed}
    assert controls["repricing_due"] is crossed
    assert len(controls["reasons"]) == crossed


def test_a_crossed_ratio_says_so_in_words() -> None:
    controls = watched(used("2026-11-03", input=M, output=400_000, reasoning=100_001), costs={})
    assert controls["reasons"] == ["output/input is 0.500001 (500,001 to 1,000,000 tokens): above 0.5 of plan units@1"]


def test_the_ratio_is_shown_to_twelve_decimals_and_decided_exactly() -> None:
    just_above = UNITS | {"controls": {**UNITS["controls"], "output_input_ratio_above": "0.333333333333"}}
    ratio = watched(used("2026-11-03", input=3, output=1), plans=[just_above])["output_input_ratio"]
    assert (ratio["value"], ratio["crossed"]) == ("0.333333333333", True)


def test_output_without_any_input_crosses_and_has_no_value() -> None:
    controls = watched(used("2026-11-03", output=1))
    assert controls["output_input_ratio"]["value"] is None
    assert controls["output_input_ratio"]["crossed"] is True
    assert controls["reasons"][0].startswith("output/input without any input (1 to 0 tokens)")


def test_a_period_without_usage_crosses_nothing() -> None:
    controls = watched()
    assert controls["output_input_ratio"]["crossed"] is False
    assert (controls["margin"]["cost"], controls["margin"]["crossed"]) == ("0", False)
    assert controls["repricing_due"] is False


# margin


@pytest.mark.parametrize(
    ("cost", "share", "crossed"),
    [("6.999999", "0.3000001", False), ("7.00", "0.3", False), ("7.000001", "0.2999999", True)],
)
def test_the_margin_is_crossed_below_its_floor(cost: str, share: str, crossed: bool) -> None:
    controls = watched(used("2026-11-03", input=M), costs=card(1, START, class_price("input", cost), name="prov"))
    margin = controls["margin"]
    assert margin["earned"] == "10"  # 1,000,000 units x 10.00 / 1,000,000
    assert (margin["share"], margin["floor"], margin["crossed"]) == (share, "0.30", crossed)
    assert controls["repricing_due"] is crossed


def test_cost_and_margin_are_by_model_and_together() -> None:
    costs = card(
        1, START, class_price("input", "2.00"), class_price("output", "8.00"),
        class_price("input", "1.00", model="google/gemini"), name="prov",
    )  # fmt: skip
    margin = margin_of(
        used("2026-11-03", input=M, output=M), used("2026-11-04", model="google/gemini", input=3 * M), costs=costs
    )
    assert margin["earned"] == "80"  # (1M + 4 x 1M + 3M) x 10.00 / 1M
    assert (margin["cost"], margin["margin"]) == ("13", "67")  # 2.00 + 8.00 + 3 x 1.00
    assert margin["models"] == [
        {
            "provider": "openai", "model": "gpt-4o", "charged": "50", "costs": {"USD": "10"}, "cost": "10",
            "margin": "40",
        },
        {
            "provider": "google", "model": "gemini", "charged": "30", "costs": {"USD": "3"}, "cost": "3",
            "margin": "27",
        },
    ]  # fmt: skip
    assert margin["other_models"] is None


def test_a_margin_below_its_floor_says_so_in_words() -> None:
    controls = watched(used("2026-11-03", input=M), costs=card(1, START, class_price("input", "8"), name="prov"))
    assert controls["reasons"] == ["margin 0.2 (2 of 10 USD earned, cost 8): below 0.30 of plan units@1"]


def test_a_cost_of_zero_is_a_price_and_not_a_missing_one() -> None:
    margin = margin_of(used("2026-11-03", input=M), costs=card(1, START, class_price("input", "0"), name="prov"))
    assert (margin["cost"], margin["share"], margin["missing"]) == ("0", "1", [])


def test_a_missing_cost_is_named_and_no_margin_is_made_of_the_others() -> None:
    only_input = card(1, START, class_price("input", "2.00"), name="prov")
    controls = watched(
        used("2026-11-03", input=M, output=5), used("2026-11-09", output=6), used("2026-11-12", input=M),
        costs=only_input,
    )  # fmt: skip
    margin = controls["margin"]
    assert margin["missing"] == [
        {
            "class": "openai/gpt-4o|output",
            "from": "2026-11-03",
            "to": "2026-11-09",
            "quantity": 5 + 6,
            "detail": "cost card prov has no price for openai/gpt-4o output",
        }
    ]
    assert (margin["costs"], margin["cost"], margin["margin"], margin["share"]) == ({"USD": "4"}, None, None, None)
    assert margin["crossed"] is None
    assert margin["models"][0]["margin"] is None
    assert controls["repricing_due"] is False


def test_a_cost_before_its_first_day_is_missing() -> None:
    late = card(1, "2026-11-04", class_price("input", "2.00"), name="prov")
    assert margin_of(used("2026-11-03T23:59:59.999999Z", input=M), costs=late)["missing"][0]["from"] == "2026-11-03"
    assert margin_of(used("2026-11-04T00:00:00.000000Z", input=M), costs=late)["cost"] == "2"


def test_a_cost_that_changes_in_the_month_counts_from_its_day() -> None:
    changed = COSTS | card(2, "2026-11-16", class_price("input", "3.00"), name="prov")
    margin = margin_of(
        used("2026-11-15T23:59:59.999999Z", input=M), used("2026-11-16T00:00:00.000000Z", input=M), costs=changed
    )
    assert margin["cost"] == "5"  # 2.00 on the 15th + 3.00 from the 16th


def test_a_corrected_cost_stands_in_place_of_the_wrong_one() -> None:
    wrong = card(2, START, class_price("input", "2.50"), name="prov", supersedes=1, reason="list price")
    assert margin_of(used("2026-11-03", input=M), costs=COSTS | wrong)["cost"] == "2.5"


def test_service_tiers_have_costs_of_their_own() -> None:
    batch = COSTS | card(2, START, class_price("input", "1.00", service_tier="batch"), name="prov")
    margin = margin_of(
        used("2026-11-03", input=M, event_id="a"), used("2026-11-03", input=M, tier="batch", event_id="b"),
        rates=PRICES | card(2, START, price("units", "5.00", service_tier="batch")), costs=batch,
    )  # fmt: skip
    assert (margin["earned"], margin["cost"]) == ("15", "3")
    missing = margin_of(used("2026-11-03", input=M, tier="flex"))["missing"]
    assert missing[0]["class"] == "openai/gpt-4o|input|flex"
    assert missing[0]["detail"] == "cost card prov has no price for openai/gpt-4o input of service tier flex"


@pytest.mark.parametrize(("prompt", "cost"), [(199_999, "0.399998"), (200_000, "0.4"), (200_001, "0.800004")])
def test_a_prompt_above_a_size_costs_the_higher_price_as_a_whole(prompt: int, cost: str) -> None:
    long_context = card(
        1, START, class_price("input", "2.00"), class_price("input", "4.00", prompt_above=200_000), name="prov"
    )
    margin = margin_of(used("2026-11-03", input=prompt), costs=long_context)
    assert margin["cost"] == cost  # prompt x 2.00 / 1M, above 200,000 tokens x 4.00 / 1M


def test_prompts_of_one_day_are_told_apart_and_shards_add_up() -> None:
    steps = {("openai", "gpt-4o"): (100, 1000)}
    rows = [used("2026-11-03", input=n, output=1, event_id=str(n)) for n in (100, 101, 1000, 1001)]
    whole: LongPrompts = {}
    parts: LongPrompts = {}
    for row in rows:
        add_long_prompt(whole, row, steps)
        part: LongPrompts = {}
        add_long_prompt(part, row, steps)
        add_long_prompts(parts, part)
    assert whole == parts == {
        "2026-11-03": {
            "100": {"openai/gpt-4o|input": 101 + 1000, "openai/gpt-4o|output": 2},
            "1000": {"openai/gpt-4o|input": 1001, "openai/gpt-4o|output": 1},
        }
    }  # fmt: skip


def test_a_cost_with_tiers_is_not_guessed_about() -> None:
    tiered = {"provider": "openai", "model": "gpt-4o", "class": "input", "per": M}
    tiered["tiers"] = [{"up_to": 10, "price": "2"}, {"up_to": None, "price": "1"}]
    margin = margin_of(used("2026-11-03", input=M), costs=card(1, START, tiered, name="prov"))
    assert margin["cost"] is None
    assert "prov@1 has tiers for openai/gpt-4o/input" in margin["missing"][0]["detail"]


def test_usage_that_is_not_charged_costs_all_the_same_but_not_before_the_contract() -> None:
    begun = contract("units", "2026-11-10", cost_card="prov")  # parked usage is excluded
    rows = [
        used("2026-11-09T23:59:59.999999Z", input=M),
        used("2026-11-10", input=M),
        used("2026-11-11", input_image=M),
    ]
    image = COSTS | card(2, START, class_price("input_image", "9.00"), name="prov")
    margin = margin_of(*rows, contracts=[begun], costs=image)
    assert (margin["earned"], margin["cost"]) == ("10", "11")  # 2.00 + 9.00 that has no price
    assert margin["models"][0]["charged"] == "10"


def test_usage_that_is_given_away_has_a_margin_below_every_floor_and_no_share() -> None:
    free = card(1, START, price("units", "0"))
    controls = watched(used("2026-11-03", input=M), rates=free)
    margin = controls["margin"]
    assert (margin["earned"], margin["margin"], margin["share"], margin["crossed"]) == ("0", "-2", None, True)
    assert controls["reasons"] == ["margin (no share) (-2 of 0 USD earned, cost 2): below 0.30 of plan units@1"]


# currencies

EURO_COSTS = card(1, START, class_price("input", "5.00"), name="prov", currency="EUR")
WITH_FX = contract("units", "2026-11-01", cost_card="prov", fx_card="fx")


def quoted(*days_and_rates: tuple[str, str]) -> Json:
    """Versions of the card of exchange rates: what one EUR costs in USD."""
    found: Json = {}
    for version, (day, rate) in enumerate(days_and_rates, start=1):
        found |= card(version, day, name="fx", fx=[{"foreign": "EUR", "price": rate, "source": f"table-{day}"}])
    return found


def test_costs_in_another_currency_are_reported_in_it_and_make_no_margin_without_a_rate() -> None:
    margin = margin_of(used("2026-11-03", input=M), costs=EURO_COSTS)
    assert (margin["currency"], margin["costs"], margin["cost"], margin["margin"]) == ("USD", {"EUR": "5"}, None, None)
    assert margin["missing"] == [{"detail": "no fx card is named, and it has no USD for EUR on 2026-11-01"}]
    assert margin["models"][0]["costs"] == {"EUR": "5"}
    assert margin["crossed"] is None


@pytest.mark.parametrize("first_day", ["2026-11-01", "2026-10-31"])
def test_a_rate_in_force_when_the_period_begins_makes_the_margin(first_day: str) -> None:
    fx = quoted((first_day, "1.10"), ("2026-11-02", "9.99"))
    margin = margin_of(used("2026-11-03", input=M), contracts=[WITH_FX], costs=EURO_COSTS | fx)
    assert (margin["costs"], margin["cost"], margin["margin"]) == ({"EUR": "5"}, "5.5", "4.5")  # 5.00 x 1.10
    assert margin["fx"] == {"EUR": {"rate": "1.10", "source": f"table-{first_day}", "rate_version": "fx@1"}}


def test_a_rate_that_begins_a_day_late_makes_no_margin() -> None:
    margin = margin_of(
        used("2026-11-03", input=M), contracts=[WITH_FX], costs=EURO_COSTS | quoted(("2026-11-02", "1.10"))
    )
    assert margin["margin"] is None
    assert margin["missing"] == [{"detail": "fx card fx has no USD for EUR on 2026-11-01"}]


def test_cost_cards_of_two_contract_versions_are_each_counted_in_their_currency() -> None:
    versions = [AGREED, contract("units", "2026-11-16", 2, cost_card="euro", fx_card="fx")]
    euro = card(1, START, class_price("input", "5.00"), name="euro", currency="EUR")
    rows = [used("2026-11-15T23:59:59.999999Z", input=M), used("2026-11-16T00:00:00.000000Z", input=M)]
    margin = margin_of(*rows, contracts=versions, costs=COSTS | euro | quoted((START, "1.10")))
    assert (margin["costs"], margin["cost"]) == ({"EUR": "5", "USD": "2"}, "7.5")  # 2.00 + 5.00 x 1.10


def test_days_of_a_contract_version_without_a_cost_card_are_missing() -> None:
    versions = [contract("units", "2026-11-01"), contract("units", "2026-11-16", 2, cost_card="prov")]
    margin = margin_of(used("2026-11-15", input=M), used("2026-11-16", input=M), contracts=versions)
    [missing] = margin["missing"]
    assert (missing["to"], missing["detail"]) == ("2026-11-15", "contract version 1 names no cost card")


def test_a_product_of_more_than_18_decimals_is_shown_to_12() -> None:
    tiny = card(1, START, class_price("input", "0.000000000000000003", per=1), name="prov", currency="EUR")
    fx = quoted((START, "1.000001"))
    margin = margin_of(used("2026-11-03", input=M - 1), contracts=[WITH_FX], costs=tiny | fx)
    assert margin["cost"] == "0.000000000003"  # 999,999 x 3e-18 x 1.000001 has more than 18 decimals


# what a period earns


@pytest.mark.parametrize("billed", [None, "30.00", "20.00"])
def test_a_fee_in_advance_counts_in_the_period_that_it_serves(billed: str | None) -> None:
    charges: list[Json] = [
        {"id": "base", "kind": "flat", "timing": "advance"},
        {"id": "input", "meter": "input", "kind": "per_unit"},
    ]
    rates = card(1, START, price("base", "30.00", per=1), class_price("input", "10.00"))
    carried = None if billed is None else {"invoice": "BP-1", "hash": "h", "committed": None, "advance": [base(billed)]}
    margin = margin_of(used("2026-11-03", input=M), plans=[plan("units", charges)], rates=rates, carried=carried)
    # 10.00 of usage + 30.00 for November, whichever invoice bills them; 30.00 for December are not earned yet
    assert margin["earned"] == "40"


def base(amount: str) -> Json:
    """The base fee of November, as October's invoice billed it."""
    return {
        "charge": "base",
        "contract_version": 1,
        "service_from": "2026-11-01",
        "service_to": "2026-12-01",
        "price": amount,
        "rate_version": "std@1",
        "rate_effective_from": START,
        "exact": amount,
    }


def test_discounts_lower_what_is_earned() -> None:
    half = contract("units", "2026-11-01", cost_card="prov", discounts=[{"id": "d", "percent": "0.50"}])
    margin = margin_of(used("2026-11-03", input=M), contracts=[half])
    assert (margin["earned"], margin["margin"], margin["share"]) == ("5", "3", "0.6")
    assert margin["models"][0]["charged"] == "10"


# which controls there are


def test_a_plan_without_controls_and_a_contract_without_a_cost_card_is_never_due() -> None:
    pure = plan("pure", [{"id": "input", "meter": "input", "kind": "per_unit"}])
    controls = watched(
        used("2026-11-03", input=1, output=0), contracts=[contract("pure", "2026-11-01")], plans=[pure],
        rates=card(1, START, class_price("input", "1")), costs={},
    )  # fmt: skip
    assert controls["margin"] is None
    assert controls["output_input_ratio"]["above"] is None
    assert (controls["plan"], controls["repricing_due"]) == ("pure@1", False)


def test_a_cost_card_alone_shows_the_margin_without_a_floor() -> None:
    pure = plan("pure", [{"id": "input", "meter": "input", "kind": "per_unit"}])
    margin = margin_of(
        used("2026-11-03", input=M), contracts=[contract("pure", "2026-11-01", cost_card="prov")], plans=[pure],
        rates=card(1, START, class_price("input", "1.00")),
    )  # fmt: skip
    assert (margin["margin"], margin["share"], margin["floor"], margin["crossed"]) == ("-1", "-1", None, False)


def test_a_floor_without_a_cost_card_says_what_is_missing() -> None:
    margin = margin_of(used("2026-11-03", input=M), contracts=[contract("units", "2026-11-01")])
    assert margin["missing"][0]["detail"] == "contract version 1 names no cost card"
    assert margin["crossed"] is None


def test_the_limits_are_those_of_the_plan_at_the_end_of_the_period() -> None:
    looser = UNITS | {"version": 2, "controls": {"output_input_ratio_above": "2", "margin_floor": "0"}}
    versions = [AGREED, contract("units", "2026-11-16", 2, plan_version=2, cost_card="prov")]
    controls = watched(used("2026-11-03", input=1, output=1), contracts=versions, plans=[UNITS, looser])
    assert controls["plan"] == "units@2"
    assert (controls["output_input_ratio"]["above"], controls["reasons"]) == ("2", [])


# bounds


def test_many_models_are_added_up_beyond_the_largest() -> None:
    rows = [
        used("2026-11-03", model=f"openai/m{n:03d}", input=(n + 1) * 1000, event_id=str(n))
        for n in range(MAX_MODELS + 2)
    ]
    costs = card(
        1, START, *(class_price("input", "1.00", model=f"openai/m{n:03d}") for n in range(MAX_MODELS + 2)), name="prov"
    )
    margin = margin_of(*rows, costs=costs)
    assert [model["model"] for model in margin["models"]] == [f"m{n:03d}" for n in range(MAX_MODELS + 1, 1, -1)]
    # the two smallest, 1,000 and 2,000 tokens
    assert margin["other_models"] == {
        "models": 2, "charged": "0.03", "costs": {"USD": "0.003"}, "cost": "0.003", "margin": "0.027",
    }  # fmt: skip


def test_many_missing_costs_are_counted_beyond_those_named() -> None:
    rows = [used("2026-11-03", model=f"openai/m{n:03d}", input=1, event_id=str(n)) for n in range(MAX_MISSING + 3)]
    margin = margin_of(*rows)
    assert (len(margin["missing"]), margin["more_missing"]) == (MAX_MISSING, 3)
