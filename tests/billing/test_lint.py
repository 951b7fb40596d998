"""Plan lint: the cliff at, below and above each edge, and what an agreement is refused for (R8, R9, R13)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.cliffs import cliff_of
from lambdas.billing.documents import read_contract
from lambdas.billing.errors import BillingError, CliffAboveLimit, DocumentRefused, InvalidAmount
from lambdas.billing.kinds import graduated, package, per_unit, volume
from lambdas.billing.lint import Cliff, Lint, lint_agreement, lint_plan
from lambdas.billing.money import format_amount, parse_amount
from lambdas.billing.plans import read_plan
from lambdas.billing.rate_cards import Rate, RateCardVersion, read_rate_card_version
from tests.billing.month import CONTRACT

M = 1_000_000
COMMON = {"id": "tokens", "version": 1, "name": "Plan", "posture": "variable", "volatility_bearer": "customer"}
Bounds = list[tuple[int | None, str]]


def plan_of(*charges: dict[str, Any], **more: Any) -> dict[str, Any]:
    primary = next((charge["meter"] for charge in charges if "meter" in charge), "")
    return {**COMMON, "model": "custom", "primary_meter": primary, "charges": list(charges), **more}


def whole(charge_id: str, kind: str, meter: str = "output", **more: Any) -> dict[str, Any]:
    """A charge with one price, or one set of tiers, for all that it counts."""
    return {"id": charge_id, "meter": meter, "kind": kind, "prices": "charge", **more}


def price(name: str, amount: str, model: str = "gpt-4o", per: int = M, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "model": model, "class": name, "price": amount, "per": per, **more}


def of_charge(charge_id: str, *bounds: tuple[int | None, str], per: int = M, **more: Any) -> dict[str, Any]:
    return {"charge": charge_id, "per": per, "tiers": [{"up_to": up, "price": text} for up, text in bounds], **more}


def card(*rates: dict[str, Any], name: str = "std", version: int = 1, day: str = "2026-01-01", **more: Any) -> Any:
    document = {"version": version, "currency": "USD", "effective_from": day, "rates": list(rates), **more}
    return read_rate_card_version(name, {key: value for key, value in document.items() if value != []})


def lint(
    plan: dict[str, Any], *versions: RateCardVersion, costs: tuple[RateCardVersion, ...] = (), **terms: Any
) -> Lint:
    return lint_agreement(read_plan(plan), read_contract({**CONTRACT, **terms}), versions, costs)


def cliffs(found: Lint) -> dict[str, str]:
    return {cliff.charge: format_amount(cliff.exact) for cliff in found.cliffs}


def rate_of(*bounds: tuple[int | None, str], per: int = 1) -> Rate:
    rates: tuple[Rate, ...] = card(of_charge("c", *bounds, per=per)).rates
    return rates[0]


# the cliff of one charge


@pytest.mark.parametrize(
    ("kind", "bounds", "per", "expected"),
    [
        ("per_unit", [(None, "0.60")], M, "0.0000006"),
        ("per_unit", [(None, "0")], M, "0"),
        ("package", [(None, "0.60")], M, "0.6"),
        ("package", [(None, "0.60")], 1, "0.6"),
        ("graduated", [(5 * M, "0.60"), (None, "0.50")], M, "0.0000006"),
        ("graduated", [(5 * M, "0.50"), (9 * M, "0.70"), (None, "0.60")], M, "0.0000007"),
        ("volume", [(10 * M, "1.00"), (None, "0.80")], M, "0.000001"),  # a fall of 1.9999992 is no cliff
        ("volume", [(10, "0.80"), (None, "1.00")], 1, "3"),  # 11 x 1.00 - 10 x 0.80
        ("volume", [(10, "1"), (20, "0.5"), (None, "0.8")], 1, "6.8"),  # 21 x 0.8 - 20 x 0.5
        ("volume", [(10, "1"), (None, "1")], 1, "1"),
    ],
)
def test_the_cliff_is_the_largest_rise_by_one_more_unit(kind: str, bounds: Bounds, per: int, expected: str) -> None:
    assert format_amount(cliff_of(kind, [rate_of(*bounds, per=per)])) == expected


@pytest.mark.parametrize(
    ("kind", "weight", "expected"),
    [
        ("per_unit", 4, "4"),
        ("graduated", 4, "4"),
        ("package", 9, "1"),  # nine units begin one block of ten at most ...
        ("package", 10, "1"),
        ("package", 11, "2"),  # ... and eleven can begin two
    ],
)
def test_one_more_of_a_class_counts_as_many_units_as_it_weighs(kind: str, weight: int, expected: str) -> None:
    rate = rate_of((None, "1"))._replace(per=10)
    assert format_amount(cliff_of(kind, [rate], weight)) == expected


PRICES = st.integers(min_value=0, max_value=9)

RATES = st.builds(
    lambda steps, last: rate_of(*bounds_of(steps), (None, str(last))),
    st.lists(st.tuples(st.integers(min_value=1, max_value=8), PRICES), max_size=4),
    PRICES,
)


def bounds_of(steps: list[tuple[int, int]]) -> Bounds:
    """Tiers from their widths and prices."""
    bounds: Bounds = []
    for width, amount in steps:
        bounds.append((sum(width for width, _ in steps[: len(bounds)]) + width, str(amount)))
    return bounds


@given(rates=st.lists(RATES, min_size=1, max_size=3), weight=st.integers(min_value=1, max_value=12))
def test_the_cliff_of_a_volume_price_is_that_of_every_position_tried(rates: list[Rate], weight: int) -> None:
    """All that was counted is of one class of a model, the next one of any."""

    def amount(rate: Rate, quantity: int, total: int) -> int:
        return sum(part.amount for part in volume.parts(rate, 0, quantity, total))

    rises = [
        amount(counted, units, units + weight)
        - amount(counted, units, units)
        + amount(one_more, weight, units + weight)
        for units in range(60)
        for counted in rates
        for one_more in rates
    ]
    assert cliff_of("volume", rates, weight) == max(rises)


@given(rate=RATES, kind=st.sampled_from(["per_unit", "package", "graduated"]))
def test_no_unit_raises_the_bill_by_more_than_the_cliff_and_one_does_by_as_much(rate: Rate, kind: str) -> None:
    if kind != "graduated":
        rate = rate._replace(tiers=rate.tiers[-1:], per=5 if kind == "package" else 1)
    parts = {"per_unit": per_unit.parts, "package": package.parts, "graduated": graduated.parts}[kind]
    rises = [sum(part.amount for part in parts(rate, units, 1, 60)) for units in range(60)]
    assert cliff_of(kind, [rate]) == max(rises)


def test_a_volume_charge_priced_by_class_rises_at_the_class_that_rises_most() -> None:
    """Ten units of b, then one more of a: a's price stays 5, b's goes from 1 to 2 for all ten: 10 x (2 - 1) + 5."""
    rates = [rate_of((None, "5")), rate_of((10, "1"), (None, "2"))]
    assert format_amount(cliff_of("volume", rates)) == "15"


# the cliff of an agreement


def test_the_cliff_of_a_plan_is_that_of_its_steepest_charge() -> None:
    """Worked example 2: input 0.60 and then 0.50 per 1M, output 2.40 per 1M; included units are no cliff."""
    plan = plan_of(whole("output", "per_unit", included=2 * M), whole("input", "graduated", "input", included=10 * M))
    rates = card(of_charge("input", (5 * M, "0.60"), (None, "0.50")), of_charge("output", (None, "2.40")))
    found = lint(plan, rates)
    assert cliffs(found) == {"output": "0.0000024", "input": "0.0000006"}
    assert found.cliff == Cliff("output", parse_amount("0.0000024"))


def test_a_charge_by_class_has_the_cliff_of_its_dearest_class_and_model() -> None:
    found = lint(plan_of({"id": "output", "meter": "output", "kind": "per_unit"}), card(
        price("output", "10.00"), price("output", "15.00", "big"), price("reasoning", "12.00"), price("input", "99.00")
    ))  # fmt: skip
    assert cliffs(found) == {"output": "0.000015"}


def test_prices_count_from_the_contracts_first_day_on() -> None:
    """The contract begins on 2 November: what was in force on that day counts, and all that is known to come."""
    plan = plan_of(whole("output", "per_unit"))
    past = card(of_charge("output", (None, "9.00")))
    at_start = card(of_charge("output", (None, "2.00")), version=2, day="2026-11-02")
    coming = card(of_charge("output", (None, "3.00")), version=3, day="2027-05-01")
    assert cliffs(lint(plan, past)) == {"output": "0.000009"}
    assert cliffs(lint(plan, past, at_start)) == {"output": "0.000002"}
    assert cliffs(lint(plan, past, at_start, coming)) == {"output": "0.000003"}


def test_an_own_price_of_the_customer_counts_in_place_of_the_cards() -> None:
    plan = plan_of(whole("output", "per_unit"))
    listed, own = card(of_charge("output", (None, "9.00"))), card(of_charge("output", (None, "2.00")), name="own")
    assert cliffs(lint(plan, listed, own, override_card="own")) == {"output": "0.000002"}


def test_a_locked_price_holds_until_the_lock_ends() -> None:
    plan = plan_of(whole("output", "per_unit"))
    versions = (
        card(of_charge("output", (None, "2"))),
        card(of_charge("output", (None, "3")), version=2, day="2026-12-01"),
    )
    short, long = ({"from": "2026-11-02", "until": day} for day in ("2027-01-01", "2027-12-01"))
    assert cliffs(lint(plan, *versions, price_lock=short)) == {"output": "0.000003"}
    third = card(of_charge("output", (None, "1")), version=3, day="2027-06-01")
    assert cliffs(lint(plan, *versions, third, price_lock=long)) == {"output": "0.000002"}


def test_a_weighted_charge_has_the_cliff_of_its_heaviest_class() -> None:
    plan = {
        **COMMON, "model": "blended_unit", "weights": {"input": 1, "output": 4}, "kind": "graduated",
        "controls": {"output_input_ratio_above": "0.5", "margin_floor": "0.30"},
    }  # fmt: skip
    found = lint(plan, card(of_charge("units", (M, "2.00"), (None, "1.00"))))
    assert cliffs(found) == {"units": format_amount(4 * parse_amount("0.000002"))}
    assert found.notes == ("the contract names no cost_card: the margin floor cannot be watched",)


def test_a_charge_behind_a_filter_has_only_the_prices_of_its_own_usage() -> None:
    plan = plan_of(
        {"id": "now", "meter": "output", "kind": "per_unit", "filter": {"service_tiers": ["standard"]}},
        {"id": "later", "meter": "output", "kind": "per_unit", "filter": {"service_tiers": ["batch"]}},
    )
    rates = card(
        price("output", "10.00"), price("output", "5.00", service_tier="batch"), price("output", "7.00", "small")
    )
    found = lint(plan, rates)
    assert cliffs(found) == {"now": "0.00001", "later": "0.000005"}
    assert "openai/small/output (batch)" in found.unpriced
    assert "openai/gpt-4o/output (batch)" not in found.unpriced


def test_a_charge_for_one_provider_leaves_out_the_models_of_others() -> None:
    plan = plan_of({"id": "output", "meter": "output", "kind": "per_unit", "filter": {"providers": ["anthropic"]}})
    claude = {"provider": "anthropic", "model": "claude", "class": "output", "price": "15.00", "per": M}
    found = lint(plan, card(price("output", "99.00"), claude))
    assert cliffs(found) == {"output": "0.000015"}
    assert {name.split("/")[0] for name in found.unpriced} == {"anthropic"}


def test_a_tool_is_priced_by_its_name_or_as_one_of_all() -> None:
    by_class = plan_of({"id": "tools", "meter": "tool_calls", "kind": "per_unit"})
    found = lint(by_class, card(price("tool_call:search", "0.01", per=1), price("tool_call:run", "0.03", "o3", per=1)))
    assert cliffs(found) == {"tools": "0.03"}
    assert found.unpriced == ("openai/gpt-4o/tool_call:run", "openai/o3/tool_call:search")
    assert cliffs(
        lint(plan_of(whole("tools", "per_unit", "tool_calls")), card(of_charge("tools", (None, "2"), per=1)))
    ) == {"tools": "2"}


def test_a_prompt_size_with_prices_of_its_own_is_noted_once() -> None:
    plan = plan_of({"id": "input", "meter": "input", "kind": "per_unit"})
    found = lint(plan, card(
        price("input", "1.25"), price("input", "2.50", prompt_above=200_000),
        price("cached_input", "0.10"), price("cached_input", "0.20", prompt_above=200_000),
        price("output", "9.00", prompt_above=100_000),
    ))  # fmt: skip
    assert cliffs(found) == {"input": "0.0000025"}
    (note,) = found.notes
    assert "above 200000 reprices its whole request" in note


@pytest.mark.parametrize(("limit", "fits"), [("0.0000023", False), ("0.0000024", True), ("0.0000025", True)])
def test_a_declared_bound_holds_or_there_is_no_agreement(limit: str, fits: bool) -> None:
    plan = plan_of(whole("output", "per_unit"), currency="USD", controls={"cliff_limit": limit})
    rates = card(of_charge("output", (None, "2.40")))
    if fits:
        assert cliffs(lint(plan, rates)) == {"output": "0.0000024"}
    else:
        with pytest.raises(CliffAboveLimit, match=r"one more unit of output can raise the bill by 0\.0000024"):
            lint(plan, rates)


# cost that is passed through

PASSED = plan_of({"id": "input", "meter": "input", "kind": "pass_through", "markup": "1.20"})
COST = card(price("input", "2.50"), name="costs")
YEN_COST = card(price("input", "300"), name="costs", currency="JPY")


def fx(amount: str, day: str = "2026-10-30") -> RateCardVersion:
    quote = {"foreign": "JPY", "price": amount, "source": "fx"}
    version: RateCardVersion = card(name="fx", day=day, fx=[quote])
    return version


LIST = card(price("output", "1"))


def test_a_passed_through_unit_costs_cost_times_markup() -> None:
    assert cliffs(lint(PASSED, LIST, costs=(COST,), cost_card="costs")) == {"input": "0.000003"}  # 2.50 x 1.20 / 1M


def test_a_foreign_cost_is_also_multiplied_by_the_exchange_rate() -> None:
    terms = {"cost_card": "costs", "fx_card": "fx"}
    found = lint(PASSED, LIST, fx("0.0066"), costs=(YEN_COST,), **terms)
    assert cliffs(found) == {"input": format_amount(300 * parse_amount("0.0066") * 12 // 10 // M)}
    assert found.notes == ()


def test_without_an_exchange_rate_yet_the_cliff_is_not_known() -> None:
    terms = {"cost_card": "costs", "fx_card": "fx"}
    found = lint(PASSED, LIST, fx("0.0066", day="2026-11-03"), costs=(YEN_COST,), **terms)
    assert (found.cliff, found.cliffs) == (None, ())
    (note,) = found.notes
    assert "no USD for JPY on 2026-11-02" in note


@pytest.mark.parametrize(
    ("versions", "costs", "terms", "field"),
    [
        ((LIST,), (), {}, "cost_card"),
        ((LIST,), (YEN_COST,), {"cost_card": "costs"}, "fx_card"),
    ],
)
def test_a_plan_that_passes_cost_through_needs_the_cards_for_it(
    versions: tuple[RateCardVersion, ...], costs: tuple[RateCardVersion, ...], terms: dict[str, Any], field: str
) -> None:
    with pytest.raises(DocumentRefused) as refusal:
        lint(PASSED, *versions, costs=costs, **terms)
    assert refusal.value.field == field


def test_a_model_without_a_cost_is_listed() -> None:
    costs = (card(price("input", "2.50"), price("output", "9", "big"), name="costs"),)
    found = lint(PASSED, LIST, costs=costs, cost_card="costs")
    assert "openai/big/input" in found.unpriced
    assert "openai/gpt-4o/input" not in found.unpriced


# what has no price


def test_what_the_plan_counts_for_a_model_on_the_card_and_has_no_price_is_listed() -> None:
    meters = {"both": {"classes": ["input", "output"]}}
    plan = plan_of({"id": "both", "meter": "both", "kind": "per_unit"}, meters=meters)
    coming = card(price("output", "1", "c"), version=2, day="2026-11-03")
    found = lint(plan, card(price("input", "1", "b"), price("output", "1", "a"), price("call", "1", "d")), coming)
    assert found.unpriced == (
        "openai/a/input", "openai/b/output", "openai/c/input", "openai/c/output", "openai/d/input", "openai/d/output",
    )  # fmt: skip


def test_a_price_from_the_first_day_is_there_and_one_from_the_second_is_not() -> None:
    plan = plan_of(
        {"id": "both", "meter": "both", "kind": "per_unit"}, meters={"both": {"classes": ["input", "output"]}}
    )
    prices = card(price("input", "1"))
    for day, unpriced in (("2026-11-02", ()), ("2026-11-03", ("openai/gpt-4o/output",))):
        assert lint(plan, prices, card(price("output", "1"), version=2, day=day)).unpriced == unpriced


def test_an_own_price_or_a_refusal_takes_a_class_off_the_list() -> None:
    meters = {"all": {"classes": ["input", "output", "reasoning"]}}
    plan = plan_of({"id": "all", "meter": "all", "kind": "per_unit"}, meters=meters, refused=["reasoning"])
    own = card(price("output", "1"), name="own")
    assert lint(plan, card(price("input", "1"))).unpriced == ("openai/gpt-4o/output",)
    assert lint(plan, card(price("input", "1")), own, override_card="own").unpriced == ()


def test_refusing_all_tools_refuses_each() -> None:
    plan = plan_of({"id": "tools", "meter": "tool_calls", "kind": "per_unit"}, refused=["tool_call:*"])
    found = lint(plan, card(price("tool_call:search", "1", per=1), price("input", "1", "o3")))
    assert (found.cliffs, found.unpriced) == ((), ())


def test_a_charge_priced_as_a_whole_leaves_no_class_without_a_price() -> None:
    assert (
        lint(plan_of(whole("output", "per_unit")), card(of_charge("output", (None, "1")), price("input", "1"))).unpriced
        == ()
    )


FEE = {"id": "fee", "kind": "flat", "timing": "arrears"}


@pytest.mark.parametrize(
    ("charges", "rates", "named"),
    [
        ([whole("output", "per_unit")], [price("output", "1")], "charge output"),
        ([whole("output", "per_unit"), FEE], [of_charge("output", (None, "1"))], "charge fee"),
        (
            [whole("output", "per_unit", filter={"service_tiers": ["batch"]})],
            [of_charge("output", (None, "1"))],
            "charge output",
        ),
    ],
)
def test_a_charge_priced_as_a_whole_without_any_price_is_refused(
    charges: list[dict[str, Any]], rates: list[dict[str, Any]], named: str
) -> None:
    with pytest.raises(DocumentRefused, match=f"publish a price of {named}") as refusal:
        lint(plan_of(*charges), card(*rates))
    assert refusal.value.field == "rate_card"


def test_a_first_price_that_comes_after_the_first_day_is_noted() -> None:
    fee = of_charge("fee", (None, "30"), per=1)
    on_time, late = (card(fee, version=2, day=day) for day in ("2026-11-02", "2026-11-03"))
    plan = plan_of(whole("output", "per_unit"), FEE)
    assert lint(plan, card(of_charge("output", (None, "1"))), on_time).notes == ()
    assert lint(plan, card(of_charge("output", (None, "1"))), late).notes == (
        "charge fee has no price before 2026-11-03",
    )


# prices that do not fit

TIERS: Bounds = [(10, "2"), (None, "1")]


@pytest.mark.parametrize(
    ("charges", "rates", "value"),
    [
        ([whole("output", "per_unit")], [of_charge("output", *TIERS)], "output"),
        ([whole("output", "package")], [of_charge("output", *TIERS)], "output"),
        ([whole("output", "volume"), FEE], [of_charge("output", *TIERS), of_charge("fee", *TIERS, per=1)], "fee"),
        ([whole("output", "volume"), FEE], [of_charge("output", *TIERS), of_charge("fee", (None, "30"))], "fee"),
        (
            [{"id": "output", "meter": "output", "kind": "per_unit"}],
            [
                {
                    "provider": "openai",
                    "model": "m",
                    "class": "output",
                    "per": 1,
                    "tiers": of_charge("x", *TIERS)["tiers"],
                }
            ],
            "openai/m/output",
        ),
    ],
)
def test_tiers_where_a_charge_has_one_price_are_refused(
    charges: list[dict[str, Any]], rates: list[dict[str, Any]], value: str
) -> None:
    with pytest.raises(DocumentRefused) as refusal:
        lint(plan_of(*charges), card(*rates))
    assert (refusal.value.field, refusal.value.value) == ("rate_card", value)


def test_tiers_of_a_cost_are_refused() -> None:
    costs = [{"provider": "openai", "model": "m", "class": "input", "per": 1, "tiers": of_charge("x", *TIERS)["tiers"]}]
    with pytest.raises(DocumentRefused) as refusal:
        lint(PASSED, LIST, costs=(card(*costs, name="costs"),), cost_card="costs")
    assert (refusal.value.field, refusal.value.value) == ("cost_card", "openai/m/input")


def test_tiers_that_no_contract_of_this_plan_meets_do_not_matter() -> None:
    plan = plan_of(whole("output", "per_unit"))
    old = card(of_charge("output", *TIERS), of_charge("other", *TIERS))
    assert cliffs(lint(plan, old, card(of_charge("output", (None, "1")), version=2, day="2026-11-02"))) == {
        "output": "0.000001"
    }


SIXTEEN = "0.0000000001"  # per 1,000,000: 16 decimals for a unit


@pytest.mark.parametrize(("percent", "exact"), [("0.1", True), ("0.12", True), ("0.125", False)])
def test_a_percentage_of_a_unit_price_needs_at_most_eighteen_decimals(percent: str, exact: bool) -> None:
    plan = plan_of(whole("output", "per_unit"))
    rates = card(of_charge("output", (None, SIXTEEN)))
    discounts = [{"id": "d", "percent": percent}]
    if exact:
        assert cliffs(lint(plan, rates, discounts=discounts)) == {"output": "0.0000000000000001"}
    else:
        with pytest.raises(DocumentRefused, match="18 decimals"):
            lint(plan, rates, discounts=discounts)


@pytest.mark.parametrize(("markup", "exact"), [("1.25", True), ("1.255", False)])
def test_a_marked_up_cost_needs_at_most_eighteen_decimals(markup: str, exact: bool) -> None:
    """Also while there is no exchange rate that would make a price of it."""
    plan = plan_of({"id": "input", "meter": "input", "kind": "pass_through", "markup": markup})
    terms: dict[str, Any] = {"cost_card": "costs", "fx_card": "fx"}
    same = (card(price("input", SIXTEEN), name="costs"),)
    yen = (card(price("input", SIXTEEN), name="costs", currency="JPY"),)
    late = fx("0.0066", day="2027-01-01")
    if exact:
        assert lint(plan, LIST, costs=same, **terms).cliff is not None
        assert lint(plan, LIST, late, costs=yen, **terms).cliff is None
    else:
        for costs in (same, yen):
            with pytest.raises((DocumentRefused, InvalidAmount), match="18 decimals"):
                lint(plan, LIST, late, costs=costs, **terms)


# terms that must agree


@pytest.mark.parametrize(
    ("plan", "terms", "field"),
    [
        ({"currency": "EUR"}, {}, "currency"),
        ({}, {"posture": "predictable"}, "posture"),
        ({}, {"volatility_bearer": "seller"}, "volatility_bearer"),
        ({}, {"currency": "EUR"}, "rate card"),
        ({}, {"discounts": [{"id": "d", "percent": "0.1", "charges": ["output", "input"]}]}, "discounts[0].charges"),
        ({}, {"discounts": [{"id": "d", "percent": "0.1", "charges": ["fee"]}]}, "discounts[0].charges"),
    ],
)
def test_plan_and_contract_say_the_same(plan: dict[str, Any], terms: dict[str, Any], field: str) -> None:
    rates = card(of_charge("output", (None, "1")), of_charge("fee", (None, "30"), per=1))
    charges = (whole("output", "per_unit"), FEE)
    assert lint(
        plan_of(*charges, currency="USD"), rates, discounts=[{"id": "d", "percent": "0.1", "charges": ["output"]}]
    )
    with pytest.raises(BillingError) as refusal:
        lint({**plan_of(*charges), **plan}, rates, **terms)
    assert refusal.value.field == field


# a published plan


def test_a_published_plan_says_what_it_counts_and_what_it_needs() -> None:
    plan = plan_of(
        whole("output", "volume"),
        {"id": "input", "meter": "input", "kind": "pass_through", "markup": "1.20"},
        {"id": "searches", "meter": "searches", "kind": "per_unit"},
        FEE,
        meters={"searches": {"classes": ["tool_call:search"]}},
        refused=["call"],
    )
    assert lint_plan(read_plan(plan)) == [
        "primary meter output: output, reasoning, rejected_prediction, output_audio, output_image",
        "counted by no charge, so usage of it is parked: compute_second, cache_storage_token_hour, "
        "tool_call:* (tools not named)",
        "priced by charge, so the contract's rate card must price: output, fee",
        "passes the provider's cost through, so the contract must name a cost_card",
        "output has volume prices: one more unit can change the price of all units before it",
    ]


def test_weights_are_part_of_what_a_primary_meter_is() -> None:
    plan = {
        **COMMON, "model": "blended_unit", "weights": {"output": 4, "input": 1}, "kind": "per_unit",
        "controls": {"output_input_ratio_above": "0.5", "margin_floor": "0.30"},
    }  # fmt: skip
    assert lint_plan(read_plan(plan))[0] == "primary meter units: 1 x input, 4 x output"
