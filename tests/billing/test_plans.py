"""Plans: what the models make of their documents, and what no plan may say (R1, R8, R9, R13)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdas.billing.classes import INPUT_CLASSES, OUTPUT_CLASSES
from lambdas.billing.errors import (
    BillingError,
    DocumentRefused,
    InvalidAmount,
    MixedStories,
    PlanRefused,
    UnitsMixed,
    UnknownClass,
)
from lambdas.billing.money import parse_amount
from lambdas.billing.plans import MODELS, Charge, Plan, Pool, read_plan
from lambdas.billing.strict_json import parse

M = 1_000_000
COMMON = {"id": "p", "version": 1, "name": "Plan", "posture": "variable", "volatility_bearer": "customer"}
BURN_ORDER = ["priority", "earliest_expiry", "promotional_before_paid", "earliest_effective", "id"]

PURE_TOKEN = {**COMMON, "model": "pure_token"}
BASE_INCLUDED = {
    **COMMON,
    "model": "base_included",
    "currency": "USD",
    "base": {"timing": "advance"},
    "meters": [
        {"meter": "input", "included": 10 * M, "overage": "graduated", "prices": "charge"},
        {"meter": "output", "included": 2 * M, "overage": "per_unit", "prices": "charge"},
    ],
    "overage_terms": "Usage above what is included is billed at the end of the month.",
    "cliff_limit": "0.01",
}
SHARED = {
    **BASE_INCLUDED,
    "meters": [{"meter": "input", "overage": "per_unit"}, {"meter": "output", "overage": "per_unit"}],
    "included": {"amount": "50.00"},
}
BLENDED_UNIT = {
    **COMMON,
    "model": "blended_unit",
    "weights": {"input": 1, "cached_input": 1, "output": 4, "reasoning": 4},
    "kind": "graduated",
    "included": 5 * M,
    "base": {"timing": "arrears"},
    "controls": {"output_input_ratio_above": "0.5", "margin_floor": "0.30"},
}
HYBRID = {
    **COMMON,
    "model": "hybrid",
    "currency": "USD",
    "tokens": "class",
    "gates": [
        {"meter": "calls", "kind": "package", "prices": "charge", "included": 1000},
        {"meter": "tool_calls", "kind": "per_unit", "minimum": "1.00"},
        {"meter": "compute_seconds", "kind": "per_unit", "prices": "charge"},
        {"meter": "cache_storage", "kind": "per_unit", "prices": "charge"},
    ],
}
PREPAID_CREDITS = {
    **COMMON,
    "model": "prepaid_credits",
    "currency": "USD",
    "controls": {"low_balance": "10.00", "burn_order": BURN_ORDER},
}
CUSTOM = {
    **COMMON,
    "model": "custom",
    "currency": "USD",
    "primary_meter": "output",
    "meters": {"searches": {"classes": ["tool_call:web_search", "tool_call:file_search"]}},
    "charges": [
        {"id": "access", "kind": "flat", "timing": "arrears"},
        {"id": "input", "meter": "input", "kind": "per_unit"},
        {"id": "output", "meter": "output", "kind": "per_unit", "minimum": "1.00", "maximum": "1000.00"},
        {"id": "searches", "meter": "searches", "kind": "volume", "prices": "charge"},
        {"id": "cost", "meter": "compute_seconds", "kind": "pass_through", "markup": "1.20"},
    ],
    "included": [{"id": "tokens", "charges": ["input", "output"], "quantity": 3 * M}],
}
EVERY_MODEL = [PURE_TOKEN, BASE_INCLUDED, SHARED, BLENDED_UNIT, HYBRID, PREPAID_CREDITS, CUSTOM]


def with_charges(*charges: dict[str, Any], primary: str = "output", **more: Any) -> dict[str, Any]:
    return {**COMMON, "model": "custom", "primary_meter": primary, "charges": list(charges), **more}


def usage(charge_id: str, kind: str = "per_unit", **more: Any) -> dict[str, Any]:
    return {"id": charge_id, "meter": charge_id, "kind": kind, **more}


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    target = copy
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return copy


def charge_of(plan: Plan, charge_id: str) -> Charge:
    (found,) = [charge for charge in plan.charges if charge.id == charge_id]
    return found


# what a model makes of its document


def test_pure_token_charges_input_and_output_apart_by_class() -> None:
    plan = read_plan(PURE_TOKEN)
    assert plan.charges == (
        Charge("input", "input", INPUT_CLASSES, "per_unit", prices="class"),
        Charge("output", "output", OUTPUT_CLASSES, "per_unit", prices="class"),
    )
    assert (plan.primary_meter, plan.funding, plan.positional, plan.in_advance) == ("output", "invoiced", False, ())


def test_base_included_is_a_base_fee_and_a_charge_for_each_meter() -> None:
    plan = read_plan(BASE_INCLUDED)
    assert plan.charges == (
        Charge("base", "", (), "flat", prices="charge", timing="advance"),
        Charge("input", "input", INPUT_CLASSES, "graduated", "charge", included=10 * M),
        Charge("output", "output", OUTPUT_CLASSES, "per_unit", "charge", included=2 * M),
    )
    assert (plan.primary_meter, plan.in_advance) == ("input", plan.charges[:1])
    assert plan.controls == {"overage_terms": BASE_INCLUDED["overage_terms"], "cliff_limit": "0.01"}
    assert (plan.charges[0].unit, plan.charges[0].revenue, plan.charges[1].revenue) == ("period", "base", "input")


@pytest.mark.parametrize(
    ("shared", "quantity", "amount"),
    [({"amount": "50.00"}, None, parse_amount("50.00")), ({"quantity": 3 * M}, 3 * M, None)],
)
def test_included_usage_that_meters_share_is_one_pool(shared: Any, quantity: int | None, amount: int | None) -> None:
    plan = read_plan({**SHARED, "included": shared, "primary_meter": "output"})
    pool = Pool("included", ("input", "output"), quantity, amount)
    assert [charge.pool for charge in plan.charges] == [None, pool, pool]
    assert [charge.positional for charge in plan.charges] == [False, True, True]
    assert plan.primary_meter == "output"


def test_a_blended_unit_weighs_input_and_output() -> None:
    plan = read_plan(BLENDED_UNIT)
    weights = {"input": 1, "cached_input": 1, "output": 4, "reasoning": 4}
    assert plan.charges[1] == Charge(
        "units", "units", tuple(weights), "graduated", "charge", included=5 * M, weights=weights
    )
    assert (plan.primary_meter, plan.charges[0].timing, plan.charges[1].unit) == ("units", "arrears", "unit")
    assert plan.controls == {"output_input_ratio_above": "0.5", "margin_floor": "0.30"}


def test_weights_do_not_depend_on_the_order_they_are_written_in() -> None:
    backwards = dict(reversed(BLENDED_UNIT["weights"].items()))  # type: ignore[attr-defined]
    assert read_plan({**BLENDED_UNIT, "weights": backwards}) == read_plan(BLENDED_UNIT)


def test_a_hybrid_has_one_charge_for_each_meter() -> None:
    plan = read_plan(HYBRID)
    assert [(charge.id, charge.meter, charge.kind, charge.prices, charge.unit) for charge in plan.charges] == [
        ("input", "input", "per_unit", "class", "token"),
        ("output", "output", "per_unit", "class", "token"),
        ("calls", "calls", "package", "charge", "call"),
        ("tool_calls", "tool_calls", "per_unit", "class", "tool_call"),
        ("compute_seconds", "compute_seconds", "per_unit", "charge", "second"),
        ("cache_storage", "cache_storage", "per_unit", "charge", "token_hour"),
    ]
    assert (charge_of(plan, "calls").included, charge_of(plan, "tool_calls").minimum) == (1000, "1.00")
    whole = read_plan({**HYBRID, "tokens": "charge", "base": {"timing": "advance"}})
    assert [charge.prices for charge in whole.charges[:3]] == ["charge", "charge", "charge"]


def test_prepaid_credits_charge_as_pure_token_and_burn_in_the_published_order() -> None:
    plan = read_plan(PREPAID_CREDITS)
    assert (plan.charges, plan.funding) == (read_plan(PURE_TOKEN).charges, "prepaid")
    assert plan.controls == {"low_balance": "10.00", "burn_order": tuple(BURN_ORDER)}


def test_a_custom_plan_lists_everything_itself() -> None:
    plan = read_plan(CUSTOM)
    pool = Pool("tokens", ("input", "output"), 3 * M, None)
    assert plan.charges == (
        Charge("access", "", (), "flat", prices="charge", timing="arrears"),
        Charge("input", "input", INPUT_CLASSES, "per_unit", pool=pool),
        Charge("output", "output", OUTPUT_CLASSES, "per_unit", minimum="1.00", maximum="1000.00", pool=pool),
        Charge("searches", "searches", ("tool_call:web_search", "tool_call:file_search"), "volume", "charge"),
        Charge("cost", "compute_seconds", ("compute_second",), "pass_through", "cost", markup="1.20"),
    )
    assert (plan.currency, plan.funding, plan.refused) == ("USD", "invoiced", ())


def test_fixed_access_with_stepwise_rates_is_a_custom_plan() -> None:
    plan = read_plan(with_charges({"id": "access", "kind": "flat", "timing": "advance"}, usage("output", "graduated")))
    assert [charge.kind for charge in plan.charges] == ["flat", "graduated"]


def test_every_plan_says_posture_bearer_and_what_it_refuses() -> None:
    plan = read_plan(
        {
            **PURE_TOKEN,
            "posture": "predictable",
            "volatility_bearer": "seller",
            "refused": ["input_audio", "tool_call:*"],
        }
    )
    assert (plan.posture, plan.volatility_bearer) == ("predictable", "seller")
    assert plan.refused == ("input_audio", "tool_call:*")


@pytest.mark.parametrize("document", EVERY_MODEL)
def test_a_plan_of_every_model_is_closed(document: dict[str, Any]) -> None:
    read_plan(document)
    for name in (*COMMON, "model", *MODELS[document["model"]].required):
        rest = {other: value for other, value in document.items() if other != name}
        with pytest.raises(DocumentRefused) as caught:
            read_plan(rest)
        assert (caught.value.field, caught.value.remedy) == (name, "required")
    with pytest.raises(DocumentRefused, match="unknown member"):
        read_plan({**document, "surprise": 1})
    with pytest.raises(DocumentRefused, match="more than once"):
        read_plan(parse(json.dumps(document)[:-1] + ', "name": "again"}'))


@pytest.mark.parametrize("other", [None, [], "x", 1, {}])
def test_a_plan_is_an_object_of_a_model(other: object) -> None:
    with pytest.raises(DocumentRefused):
        read_plan(other)


@pytest.mark.parametrize("document", EVERY_MODEL)
@pytest.mark.parametrize("value", [None, True, 1.5, -1, "", "\ud800", "x" * 300, [], {}, [[]], {"a": {}}, "a\nb", [{}]])
def test_no_value_of_any_member_breaks_the_reader(document: dict[str, Any], value: Any) -> None:
    for path in paths(document):
        try:
            read_plan(changed(document, path, value))
        except BillingError as refusal:
            assert str(refusal).isascii()


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every member of a document is, however deep."""
    found = [above] if above else []
    if isinstance(value, dict):
        for name, item in value.items():
            found += paths(item, (*above, name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            found += paths(item, (*above, position))
    return found


# what no plan may say

TIMES_TWO = {"id": "cost", "meter": "input", "kind": "pass_through", "markup": "2"}
FLAT = {"id": "fee", "kind": "flat", "timing": "advance"}


@pytest.mark.parametrize(
    ("charges", "error", "field"),
    [
        ([], PlanRefused, "charges"),
        ([usage(f"c{n}") for n in range(21)], PlanRefused, "charges"),
        ([usage("output"), usage("output")], PlanRefused, "charges[1].id"),
        ([usage("output"), {**usage("tokens"), "id": "all"}], PlanRefused, "charges[1].meter"),
        ([usage("input")], PlanRefused, "primary_meter"),
        ([{**usage("output"), "meter": "minutes"}], DocumentRefused, "charges[0].meter"),
        ([usage("output", "stairs")], DocumentRefused, "charges[0].kind"),
        ([usage("output", prices="plan")], DocumentRefused, "charges[0].prices"),
        ([usage("output", prices="cost")], DocumentRefused, "charges[0].prices"),
        ([usage("output", included=-1)], PlanRefused, "charges[0].included"),
        ([usage("output", included=True)], PlanRefused, "charges[0].included"),
        ([usage("output", included="5")], PlanRefused, "charges[0].included"),
        ([usage("output", included=10**12 + 1)], PlanRefused, "charges[0].included"),
        ([usage("output"), {**FLAT, "included": 1}], DocumentRefused, "charges[1].included"),
        ([usage("output"), {**FLAT, "meter": "calls"}], DocumentRefused, "charges[1].meter"),
        ([usage("output"), {**FLAT, "timing": "monthly"}], DocumentRefused, "charges[1].timing"),
        ([usage("output"), {**TIMES_TWO, "included": 1}], DocumentRefused, "charges[1].included"),
        ([usage("output"), {**TIMES_TWO, "prices": "class"}], DocumentRefused, "charges[1].prices"),
        ([usage("output"), {**TIMES_TWO, "markup": "0"}], PlanRefused, "charges[1].markup"),
        ([usage("output"), {**TIMES_TWO, "markup": 2}], InvalidAmount, "charges[1].markup"),
        ([usage("output", markup="2")], DocumentRefused, "charges[0].markup"),
        ([usage("output", filter={})], PlanRefused, "charges[0].filter"),
        ([usage("output", filter={"models": ["x"]})], DocumentRefused, "charges[0].filter.models"),
        ([usage("output", filter={"providers": []})], PlanRefused, "charges[0].filter.providers"),
        ([usage("output", filter={"providers": ["OpenAI"]})], DocumentRefused, "charges[0].filter.providers[0]"),
        ([usage("output", filter={"service_tiers": ["slow"]})], DocumentRefused, "charges[0].filter.service_tiers[0]"),
        (
            [usage("output", filter={"service_tiers": ["batch", "batch"]})],
            PlanRefused,
            "charges[0].filter.service_tiers[1]",
        ),
        ([FLAT], PlanRefused, "primary_meter"),
    ],
)
def test_charges_that_could_not_be_billed_are_refused(
    charges: list[dict[str, Any]], error: type[BillingError], field: str
) -> None:
    with pytest.raises(error) as refusal:
        read_plan(with_charges(*charges))
    assert (type(refusal.value), refusal.value.field) == (error, field)


@pytest.mark.parametrize(
    ("one", "other", "allowed"),
    [
        ({"service_tiers": ["standard"]}, {"service_tiers": ["batch", "flex"]}, True),
        ({"service_tiers": ["standard", "flex"]}, {"service_tiers": ["batch", "flex"]}, False),
        ({"providers": ["openai"]}, {"providers": ["anthropic"]}, True),
        ({"providers": ["openai"]}, {"service_tiers": ["batch"]}, False),
        ({"providers": ["openai"], "service_tiers": ["batch"]}, {"providers": ["openai"]}, False),
        ({"providers": ["openai"], "service_tiers": ["batch"]}, {"service_tiers": ["flex"]}, True),
    ],
)
def test_two_charges_count_one_class_only_behind_disjoint_filters(one: Any, other: Any, allowed: bool) -> None:
    document = with_charges(usage("output", filter=one), {**usage("output", filter=other), "id": "second"})
    if allowed:
        assert [charge.classes for charge in read_plan(document).charges] == [OUTPUT_CLASSES, OUTPUT_CLASSES]
        return
    with pytest.raises(PlanRefused, match="already charged by output"):
        read_plan(document)


def test_a_tool_is_not_charged_by_name_and_as_one_of_all() -> None:
    search = {"search": {"classes": ["tool_call:search"]}}
    for charges in ([usage("tool_calls"), usage("search")], [usage("search"), usage("tool_calls")]):
        with pytest.raises(PlanRefused, match="class tool_call:search is already charged"):
            read_plan(with_charges(*charges, primary="search", meters=search))


@pytest.mark.parametrize(
    ("meters", "error", "field"),
    [
        ({"m": {"classes": ["output", "call"]}}, UnitsMixed, "meters.m.classes"),
        ({"m": {"classes": ["call", "tool_call:search"]}}, UnitsMixed, "meters.m.classes"),
        ({"m": {"weights": {"output": 4, "call": 1}}}, UnitsMixed, "meters.m.weights"),
        ({"m": {"weights": {"output": 4, "tool_call:*": 1}}}, PlanRefused, "meters.m.weights.tool_call:*"),
        ({"m": {"weights": {"output": 0}}}, PlanRefused, "meters.m.weights.output"),
        ({"m": {"weights": {"output": 1_000_001}}}, PlanRefused, "meters.m.weights.output"),
        ({"m": {"weights": {"output": "4"}}}, PlanRefused, "meters.m.weights.output"),
        ({"m": {"weights": {"output": True}}}, PlanRefused, "meters.m.weights.output"),
        ({"m": {"weights": {"video": 4}}}, UnknownClass, "meters.m.weights.video"),
        ({"m": {"weights": {}}}, PlanRefused, "meters.m.weights"),
        ({"m": {"classes": ["video"]}}, UnknownClass, "meters.m.classes[0]"),
        ({"m": {"classes": ["tool_call:"]}}, UnknownClass, "meters.m.classes[0]"),
        ({"m": {"classes": ["output", "output"]}}, PlanRefused, "meters.m.classes[1]"),
        ({"m": {"classes": ["tool_call:*", "tool_call:search"]}}, PlanRefused, "meters.m.classes[1]"),
        ({"m": {"classes": []}}, PlanRefused, "meters.m.classes"),
        ({"m": {"classes": ["output"], "weights": {"output": 1}}}, DocumentRefused, "meters.m.classes"),
        ({"m": {}}, DocumentRefused, "meters.m.classes"),
        ({"output": {"classes": ["output"]}}, PlanRefused, "meters.output"),
        ({"a b": {"classes": ["output"]}}, DocumentRefused, "meters"),
        ([], PlanRefused, "meters"),
        ({f"m{n}": {"classes": ["output"]} for n in range(21)}, PlanRefused, "meters"),
    ],
)
def test_meters_that_could_not_be_counted_are_refused(meters: Any, error: type[BillingError], field: str) -> None:
    with pytest.raises(error) as refusal:
        read_plan(with_charges(usage("output"), meters=meters))
    assert (type(refusal.value), refusal.value.field) == (error, field)


@pytest.mark.parametrize("weight", [1, 1_000_000])
def test_a_weight_is_a_whole_number_up_to_a_million(weight: int) -> None:
    meters = {"units": {"weights": {"output": weight}}}
    (charge,) = read_plan(with_charges(usage("units"), primary="units", meters=meters)).charges
    assert (charge.weights, charge.prices, charge.unit) == ({"output": weight}, "charge", "unit")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"prices": "class"}, "charges[0].prices"), ({"kind": "pass_through", "markup": "1.20"}, "charges[0].meter")],
)
def test_a_weighted_meter_has_the_prices_of_its_charge_only(change: dict[str, Any], field: str) -> None:
    meters = {"units": {"weights": {"output": 4}}}
    with pytest.raises(DocumentRefused) as refusal:
        read_plan(with_charges(usage("units", **{"kind": "per_unit", **change}), primary="units", meters=meters))
    assert refusal.value.field == field


WEIGHED = {"a": {"weights": {"input": 1}}, "b": {"weights": {"output": 2}}, "c": {"classes": ["call"]}}


@pytest.mark.parametrize(
    ("charges", "pools", "error", "field"),
    [
        ([usage("output", "graduated")], [["output"]], PlanRefused, "included[0].charges[0]"),
        ([usage("output", "package")], [["output"]], PlanRefused, "included[0].charges[0]"),
        ([usage("output"), TIMES_TWO], [["output", "cost"]], PlanRefused, "included[0].charges[1]"),
        ([usage("output"), FLAT], [["fee"]], PlanRefused, "included[0].charges[0]"),
        ([usage("output", included=5)], [["output"]], PlanRefused, "included[0].charges[0]"),
        ([usage("output"), usage("input")], [["input"], ["output", "input"]], PlanRefused, "included[1].charges[1]"),
        ([usage("output"), usage("input")], [["output", "output"]], PlanRefused, "included[0].charges[1]"),
        ([usage("output")], [["input"]], DocumentRefused, "included[0].charges[0]"),
        ([usage("output")], [[]], PlanRefused, "included[0].charges"),
        ([usage("output"), usage("calls")], [["output", "calls"]], UnitsMixed, "included[0].charges"),
        ([usage("output"), usage("a")], [["output", "a"]], UnitsMixed, "included[0].charges"),
        ([usage("b"), usage("a"), usage("c")], [["b", "a"]], UnitsMixed, "included[0].charges"),
    ],
)
def test_included_usage_that_could_not_be_shared_is_refused(
    charges: list[dict[str, Any]], pools: list[list[str]], error: type[BillingError], field: str
) -> None:
    included = [{"id": f"pool{n}", "charges": names, "quantity": 5} for n, names in enumerate(pools)]
    with pytest.raises(error) as refusal:
        read_plan(with_charges(*charges, primary=charges[0]["meter"], included=included, meters=WEIGHED))
    assert (type(refusal.value), refusal.value.field) == (error, field)


def test_money_can_be_shared_by_charges_of_different_units() -> None:
    included = [{"id": "free", "charges": ["output", "calls"], "amount": "5.00"}]
    plan = read_plan(with_charges(usage("output"), usage("calls"), included=included, currency="USD"))
    assert {charge.pool for charge in plan.charges} == {Pool("free", ("output", "calls"), None, parse_amount("5.00"))}


@pytest.mark.parametrize(
    ("pool", "field"),
    [
        ({"id": "output", "quantity": 5}, "included[0].id"),
        ({"id": "a/b", "quantity": 5}, "included[0].id"),
        ({"id": "free", "quantity": 0}, "included[0].quantity"),
        ({"id": "free", "quantity": 10**12 + 1}, "included[0].quantity"),
        ({"id": "free", "quantity": "5"}, "included[0].quantity"),
        ({"id": "free", "amount": "0.00"}, "included[0].amount"),
        ({"id": "free", "amount": "-1"}, "included[0].amount"),
        ({"id": "free", "amount": 5}, "included[0].amount"),
        ({"id": "free", "amount": "5.00", "quantity": 5}, "included[0].quantity"),
        ({"id": "free"}, "included[0].quantity"),
    ],
)
def test_what_is_included_is_units_or_money_above_zero(pool: dict[str, Any], field: str) -> None:
    with pytest.raises(BillingError) as refusal:
        read_plan(with_charges(usage("output"), included=[{"charges": ["output"], **pool}], currency="USD"))
    assert refusal.value.field == field


def test_two_pools_have_two_ids() -> None:
    pools = [{"id": "free", "charges": [name], "quantity": 5} for name in ("input", "output")]
    with pytest.raises(PlanRefused, match="id of its own"):
        read_plan(with_charges(usage("input"), usage("output"), included=pools))


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"minimum": "10.01", "maximum": "10.00"}, "charges[0].minimum"),
        ({"minimum": "-0.01"}, "charges[0].minimum"),
        ({"maximum": "1e3"}, "charges[0].maximum"),
        ({"maximum": 5}, "charges[0].maximum"),
    ],
)
def test_limits_of_a_charge_that_contradict_are_refused(limits: dict[str, Any], field: str) -> None:
    with pytest.raises(BillingError) as refusal:
        read_plan(with_charges(usage("output", **limits), currency="USD"))
    assert refusal.value.field == field


def test_minimum_and_maximum_may_be_one_amount() -> None:
    (charge,) = read_plan(with_charges(usage("output", minimum="10.00", maximum="10.0"), currency="USD")).charges
    assert (charge.minimum, charge.maximum) == ("10.00", "10.0")


@pytest.mark.parametrize(
    "document",
    [
        with_charges(usage("output", minimum="1.00")),
        with_charges(usage("output", maximum="1.00")),
        with_charges(usage("output"), included=[{"id": "free", "charges": ["output"], "amount": "5.00"}]),
        {**PURE_TOKEN, "controls": {"cliff_limit": "0.01"}},
        {name: value for name, value in BASE_INCLUDED.items() if name != "currency"},
    ],
)
def test_money_in_a_plan_needs_the_plans_currency(document: dict[str, Any]) -> None:
    with pytest.raises(PlanRefused, match="state the currency of the plan") as refusal:
        read_plan(document)
    assert refusal.value.field == "currency"
    read_plan({**document, "currency": "USD"})


def test_a_volume_price_cannot_be_prepaid() -> None:
    """10,000,000 units at 1.00 and all at 0.80 from the next one on: a burn would have to be taken back."""
    with pytest.raises(PlanRefused, match="volume"):
        read_plan(with_charges(usage("output", "volume"), funding="prepaid"))
    assert read_plan(with_charges(usage("output", "graduated"), funding="prepaid")).funding == "prepaid"


@pytest.mark.parametrize(
    ("posture", "bearer", "charges", "mixed"),
    [
        ("predictable", "customer", [usage("output")], True),
        ("predictable", "seller", [usage("output"), TIMES_TWO], True),
        ("predictable", "seller", [usage("output")], False),
        ("variable", "customer", [usage("output"), TIMES_TWO], False),
        ("variable", "seller", [usage("output"), TIMES_TWO], False),
    ],
)
def test_predictable_spend_and_variable_cost_are_two_stories(
    posture: str, bearer: str, charges: list[dict[str, Any]], mixed: bool
) -> None:
    document = {**with_charges(*charges), "posture": posture, "volatility_bearer": bearer}
    if mixed:
        with pytest.raises(MixedStories) as refusal:
            read_plan(document)
        assert refusal.value.field == "posture"
    else:
        assert read_plan(document).posture == posture


@pytest.mark.parametrize(
    ("document", "path", "value", "field"),
    [
        (BASE_INCLUDED, ("base",), {"timing": "later"}, "base.timing"),
        (BASE_INCLUDED, ("base",), {"timing": "advance", "price": "9"}, "base.price"),
        (BASE_INCLUDED, ("meters", 1, "meter"), "input", "meters[1].meter"),
        (BASE_INCLUDED, ("meters", 1, "meter"), "tokens", "meters[1].meter"),
        (BASE_INCLUDED, ("meters", 1, "overage"), "flat", "meters[1].overage"),
        (BASE_INCLUDED, ("meters", 1, "included"), -1, "meters[1].included"),
        (BASE_INCLUDED, ("meters",), [{"meter": "output", "overage": "per_unit"}], "included"),
        (BASE_INCLUDED, ("primary_meter",), "calls", "primary_meter"),
        (BASE_INCLUDED, ("overage_terms",), "", "overage_terms"),
        (BASE_INCLUDED, ("cliff_limit",), "-1", "cliff_limit"),
        (SHARED, ("included",), {"amount": "0"}, "included.amount"),
        (SHARED, ("included",), {"quantity": 5, "id": "mine"}, "included.id"),
        (SHARED, ("meters", 0, "included"), 5, "meters[0].included"),
        (SHARED, ("meters", 0, "overage"), "graduated", "meters[0].overage"),
        (BLENDED_UNIT, ("kind",), "volume", "kind"),
        (BLENDED_UNIT, ("weights",), {"output": 4}, "weights"),
        (BLENDED_UNIT, ("weights",), {"input": 1, "cached_input": 1}, "weights"),
        (BLENDED_UNIT, ("weights",), {"input": 1, "output": 0}, "weights.output"),
        (BLENDED_UNIT, ("weights",), {"input": 1, "output": 4, "call": 1}, "weights"),
        (BLENDED_UNIT, ("included",), -1, "included"),
        (BLENDED_UNIT, ("controls", "output_input_ratio_above"), "0", "controls.output_input_ratio_above"),
        (BLENDED_UNIT, ("controls", "margin_floor"), "1", "controls.margin_floor"),
        (BLENDED_UNIT, ("controls", "margin_floor"), "-0.1", "controls.margin_floor"),
        (BLENDED_UNIT, ("controls",), {"margin_floor": "0.30"}, "controls.output_input_ratio_above"),
        (HYBRID, ("tokens",), "cost", "tokens"),
        (HYBRID, ("gates",), [], "gates"),
        (HYBRID, ("gates", 1, "meter"), "calls", "gates[1].meter"),
        (HYBRID, ("gates", 1, "meter"), "output", "gates[1].meter"),
        (HYBRID, ("gates", 0, "kind"), "flat", "gates[0].kind"),
        (HYBRID, ("gates", 0, "id"), "mine", "gates[0].id"),
        (HYBRID, ("controls",), {"low_balance": "5"}, "controls.low_balance"),
        (PREPAID_CREDITS, ("controls", "burn_order"), BURN_ORDER[::-1], "controls.burn_order"),
        (PREPAID_CREDITS, ("controls", "burn_order"), BURN_ORDER[:4], "controls.burn_order"),
        (PREPAID_CREDITS, ("controls", "low_balance"), "-1", "controls.low_balance"),
        (CUSTOM, ("funding",), "credit", "funding"),
        (CUSTOM, ("controls",), {"low_balance": "5"}, "controls.low_balance"),
        (CUSTOM, ("currency",), "XXX", "currency"),
        (PURE_TOKEN, ("refused",), ["video"], "refused[0]"),
        (PURE_TOKEN, ("refused",), ["tool_call:*", "tool_call:search"], "refused[1]"),
        (PURE_TOKEN, ("refused",), [], "refused"),
        (PURE_TOKEN, ("model",), "tiered", "model"),
        (PURE_TOKEN, ("model",), [], "model"),
        (PURE_TOKEN, ("posture",), "calm", "posture"),
        (PURE_TOKEN, ("volatility_bearer",), "nobody", "volatility_bearer"),
    ],
)
def test_a_refusal_names_the_place_in_the_document(
    document: dict[str, Any], path: tuple[Any, ...], value: Any, field: str
) -> None:
    with pytest.raises(BillingError) as refusal:
        read_plan(changed(document, path, value))
    assert refusal.value.field == field


@pytest.mark.parametrize("share", ["0", "0.999999999999999999"])
def test_a_margin_floor_is_a_share_below_one(share: str) -> None:
    plan = read_plan(changed(BLENDED_UNIT, ("controls", "margin_floor"), share))
    assert plan.controls["margin_floor"] == share


def test_a_model_that_is_not_offered_is_refused_by_name() -> None:
    with pytest.raises(PlanRefused, match=", ".join(MODELS)):
        read_plan({**PURE_TOKEN, "model": "prepaid"})
