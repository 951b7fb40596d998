"""Exact money: rules K1 to K5 below, at and above each edge."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.errors import InvalidAmount
from lambdas.billing.money import (
    MINOR_DIGITS,
    ONE,
    apportion,
    format_amount,
    format_minor,
    minor_digits,
    multiply,
    parse_amount,
    price_per_unit,
    round_half_away,
    tax_on,
)
from lambdas.billing.strict_json import NotAnInteger

AMOUNTS = st.integers(-(10**38) + 1, 10**38 - 1)
DIGITS = st.sampled_from([0, 2, 3])


def money(text: str) -> int:
    return parse_amount(text)


# K1: half away from zero, to the minor unit of the currency.


@pytest.mark.parametrize(
    ("exact", "digits", "rounded"),
    [
        ("1.004999999999999999", 2, "1"),
        ("1.005", 2, "1.01"),
        ("1.005000000000000001", 2, "1.01"),
        ("1.015", 2, "1.02"),
        ("1.025", 2, "1.03"),  # half-even would say 1.02
        ("-1.004999999999999999", 2, "-1"),
        ("-1.005", 2, "-1.01"),  # towards plus infinity would say -1
        ("-1.005000000000000001", 2, "-1.01"),
        ("0.005", 2, "0.01"),
        ("0.004999999999999999", 2, "0"),
        ("0", 2, "0"),
        ("2.675", 2, "2.68"),  # as a double it is below the half
        ("0.499999999999999999", 0, "0"),
        ("0.5", 0, "1"),
        ("-0.5", 0, "-1"),
        ("12681.443191206429", 0, "12681"),
        ("1.2345", 3, "1.235"),
        ("1.2344999", 3, "1.234"),
    ],
)
def test_halves_go_away_from_zero(exact: str, digits: int, rounded: str) -> None:
    assert format_amount(round_half_away(money(exact), digits)) == rounded


@given(AMOUNTS, DIGITS)
def test_rounding_agrees_with_fractions_and_is_symmetric(exact: int, digits: int) -> None:
    rounded = round_half_away(exact, digits)
    unit = Fraction(1, 10**digits)
    value, away = Fraction(exact, ONE), abs(Fraction(exact, ONE)) / unit
    assert Fraction(rounded, ONE) == (1 if value >= 0 else -1) * int(away + Fraction(1, 2)) * unit
    assert round_half_away(-exact, digits) == -rounded
    assert round_half_away(rounded, digits) == rounded


@pytest.mark.parametrize(("currency", "digits"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3)])
def test_minor_digits_are_those_of_iso_4217(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits == MINOR_DIGITS[currency]


def test_a_currency_that_is_not_in_the_table_is_refused_by_name() -> None:
    with pytest.raises(InvalidAmount, match="XXX"):
        minor_digits("XXX")


# K2: products are exact at 18 decimals or refused.


def test_a_price_per_million_becomes_an_exact_price_per_unit() -> None:
    assert format_amount(price_per_unit(money("2.50"), 1_000_000)) == "0.0000025"
    assert format_amount(22_361_870 * price_per_unit(money("2.50"), 1_000_000)) == "55.904675"


@pytest.mark.parametrize(
    ("price", "per", "exact"),
    [("0.000000000001", 1_000_000, True), ("0.0000000000001", 1_000_000, False), ("0." + "0" * 17 + "1", 1, True),
     ("0." + "0" * 17 + "1", 1_000, False)],
)  # fmt: skip
def test_a_unit_price_of_more_than_18_decimals_is_refused(price: str, per: int, exact: bool) -> None:
    if exact:
        assert price_per_unit(money(price), per) * per == money(price)
    else:
        with pytest.raises(InvalidAmount, match="18 decimals"):
            price_per_unit(money(price), per)


def test_a_product_of_more_than_18_decimals_is_refused() -> None:
    assert multiply(money("0.000000001"), money("0.000000001")) == 1
    with pytest.raises(InvalidAmount, match="18 decimals"):
        multiply(money("0.0000000001"), money("0.000000001"))


# K3: the net is rounded once, the lines are apportioned to it.


@pytest.mark.parametrize(
    ("lines", "digits", "shown", "net"),
    [
        # worked example 1: one cent is left, the larger remainder gets it
        (["55.904675", "40.886650"], 2, ["55.90", "40.89"], "96.79"),
        # a tie: equal remainders, equal amounts, so line order
        (["0.335", "0.335", "0.335"], 2, ["0.34", "0.34", "0.33"], "1.01"),
        # a negative line: floored towards minus infinity
        (["10.004", "-3.007", "0.001"], 2, ["10.01", "-3.01", "0.00"], "7.00"),
        # equal remainders: the larger absolute amount comes first
        (["1.005", "2.005"], 2, ["1.00", "2.01"], "3.01"),
        (["1.005", "-2.005"], 2, ["1.00", "-2.00"], "-1.00"),
        # worked example 2: the cent goes to 0.005, not to 0.0000024
        (["99", "0", "3", "1.125", "0", "0.0000024"], 2, ["99.00", "0.00", "3.00", "1.13", "0.00", "0.00"], "103.13"),
        # worked example 5: discounts among the lines
        (["50", "412.345678", "95.5", "4.5", "-51.2345678", "-5", "93.8888898"], 2,
         ["50.00", "412.35", "95.50", "4.50", "-51.24", "-5.00", "93.89"], "600.00"),
        # worked example 8: no minor digits
        (["6428.571428571429", "5604.721762635", "648.15"], 0, ["6428", "5605", "648"], "12681"),
        ([], 2, [], "0.00"),
        (["0"], 2, ["0.00"], "0.00"),
        (["0.004"], 2, ["0.00"], "0.00"),
        (["0.005"], 2, ["0.01"], "0.01"),
        (["-0.005"], 2, ["-0.01"], "-0.01"),
    ],
)  # fmt: skip
def test_lines_add_up_to_the_net_that_was_rounded_once(
    lines: list[str], digits: int, shown: list[str], net: str
) -> None:
    result = apportion([money(line) for line in lines], digits)
    assert [format_minor(part, "USD" if digits else "JPY") for part in result.parts] == shown
    assert format_minor(result.total, "USD" if digits else "JPY") == net


@given(st.lists(AMOUNTS, max_size=40), DIGITS)
def test_apportioned_parts_add_up_whatever_the_lines_are(amounts: list[int], digits: int) -> None:
    result = apportion(amounts, digits)
    unit = ONE // 10**digits
    assert result.total == round_half_away(sum(amounts), digits)
    assert sum(result.parts) == result.total
    for amount, part in zip(amounts, result.parts, strict=True):
        assert part % unit == 0
        assert -unit < part - amount <= unit
        assert part == amount or amount % unit


@given(st.lists(st.integers(-10, 10).map(lambda n: n * ONE // 1000), max_size=12))
def test_a_line_with_a_smaller_remainder_never_gets_a_unit_before_a_larger_one(amounts: list[int]) -> None:
    unit = ONE // 100
    result = apportion(amounts, 2)
    got = [part > amount for amount, part in zip(amounts, result.parts, strict=True)]
    given_remainders = [amount % unit for amount, up in zip(amounts, got, strict=True) if up]
    kept_remainders = [amount % unit for amount, up in zip(amounts, got, strict=True) if not up]
    if given_remainders and kept_remainders:
        assert min(given_remainders) >= max(kept_remainders)


# K4: tax once per group, on displayed amounts.


@pytest.mark.parametrize(
    ("base", "rate", "digits", "tax"),
    [
        ("96.79", "0.19", 2, "18.39"),  # 18.3901
        ("1.01", "0.19", 2, "0.19"),  # per line it would be 0.06 + 0.06 + 0.06
        ("0.02", "0.19", 2, "0"),  # 0.0038
        ("0.03", "0.19", 2, "0.01"),  # 0.0057
        ("0.05", "0.10", 2, "0.01"),  # 0.005: half away from zero
        ("-0.05", "0.10", 2, "-0.01"),
        ("12681", "0.10", 0, "1268"),
        ("12685", "0.10", 0, "1269"),
        ("100", "0", 2, "0"),
    ],
)
def test_tax_is_rounded_once_for_its_group(base: str, rate: str, digits: int, tax: str) -> None:
    assert format_amount(tax_on(money(base), money(rate), digits)) == tax


def test_tax_of_the_group_is_not_the_sum_of_the_taxes_of_its_lines() -> None:
    lines = apportion([money("0.335")] * 3, 2)
    assert format_amount(tax_on(lines.total, money("0.19"), 2)) == "0.19"
    assert format_amount(sum(tax_on(part, money("0.19"), 2) for part in lines.parts)) == "0.18"


# K5: what a document shows is the difference of two rounded states (worked example 6).


def test_four_cancellations_of_four_thousandths_move_one_cent_once() -> None:
    states = [money(text) for text in ("96.791325", "96.787325", "96.783325", "96.779325", "96.775325")]
    shown = [round_half_away(state, 2) for state in states]
    assert [format_minor(after - before, "USD") for before, after in pairwise(shown)] == [
        "0.00",
        "-0.01",
        "0.00",
        "0.00",
    ]


@given(st.lists(AMOUNTS, min_size=1, max_size=20))
def test_a_chain_of_documents_never_drifts(states: list[int]) -> None:
    shown = [0, *(round_half_away(state, 2) for state in states)]
    assert sum(after - before for before, after in pairwise(shown)) == round_half_away(states[-1], 2)


# Text in, text out.


@given(AMOUNTS)
def test_an_amount_survives_being_written_and_read(exact: int) -> None:
    text = format_amount(exact)
    assert parse_amount(text) == exact
    assert set(text) <= set("-.0123456789")
    assert text != "-0"
    assert "." not in text or not text.endswith("0")


@given(st.integers(-(10**20) + 1, 10**20 - 1), st.sampled_from(["USD", "JPY", "KWD"]))
def test_a_displayed_amount_has_all_its_minor_digits(minor: int, currency: str) -> None:
    digits = minor_digits(currency)
    text = format_minor(minor * ONE // 10**digits, currency)
    assert len(text.partition(".")[2]) == digits
    assert parse_amount(text) == minor * ONE // 10**digits


def test_an_amount_below_the_minor_unit_cannot_be_displayed() -> None:
    with pytest.raises(InvalidAmount, match="round to 2 decimals first"):
        format_minor(money("0.001"), "USD")


@pytest.mark.parametrize(
    "text",
    [
        "", " 1", "1 ", "+1", "--1", "1.", ".5", "1e3", "1E3", "NaN", "Infinity", "1,000", "1_000", "0x10", "1\n",
        "1" * 21, "0." + "0" * 19, "\u0661", "\uff11", "\u00bd", 1, 1.5, True, None, b"1", ["1"], NotAnInteger("2.5"),
    ],
)  # fmt: skip
def test_what_is_not_plain_decimal_text_is_no_amount(text: object) -> None:
    with pytest.raises(InvalidAmount):
        parse_amount(text)


@pytest.mark.parametrize(
    ("text", "exact"),
    [("2.50", 2_500_000_000_000_000_000), ("-0", 0), ("0." + "0" * 17 + "1", 1), ("9" * 20, int("9" * 20) * ONE)],
)
def test_plain_decimal_text_is_read_exactly(text: str, exact: int) -> None:
    assert parse_amount(text) == exact
