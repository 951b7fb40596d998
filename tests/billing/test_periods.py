"""Periods by anchor day, and what a part of a period costs and includes (K9, K11)."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.errors import InvalidTime
from lambdas.billing.money import ONE, parse_amount
from lambdas.billing.periods import (
    account_period,
    day_count,
    month_of,
    next_period,
    period_before,
    periods_after,
    prorate_amount,
    prorate_units,
)
from lambdas.billing.times import Period, day_start, from_datetime, month_period

ANCHORS = range(1, 32)
MONTHS = [f"{year}-{month:02d}" for year in range(2023, 2029) for month in range(1, 13)]  # two leap years


@pytest.mark.parametrize(
    ("month", "anchor_day", "start", "end"),
    [
        ("2027-02", 1, "2027-02-01", "2027-03-01"),
        ("2027-02", 2, "2027-01-02", "2027-02-02"),
        ("2027-02", 15, "2027-01-15", "2027-02-15"),
        ("2027-01", 15, "2026-12-15", "2027-01-15"),
        ("2027-01", 31, "2026-12-31", "2027-01-31"),
        ("2027-02", 31, "2027-01-31", "2027-02-28"),
        ("2027-03", 31, "2027-02-28", "2027-03-31"),  # no drift: not 28 Mar
        ("2027-04", 31, "2027-03-31", "2027-04-30"),
        ("2027-05", 31, "2027-04-30", "2027-05-31"),
        ("2028-02", 31, "2028-01-31", "2028-02-29"),
        ("2028-03", 31, "2028-02-29", "2028-03-31"),
        ("2027-02", 30, "2027-01-30", "2027-02-28"),
        ("2027-03", 30, "2027-02-28", "2027-03-30"),
        ("2027-02", 29, "2027-01-29", "2027-02-28"),
        ("2028-02", 29, "2028-01-29", "2028-02-29"),
        ("2027-02", 28, "2027-01-28", "2027-02-28"),
        ("2028-02", 28, "2028-01-28", "2028-02-28"),
    ],
)
def test_a_run_bills_the_period_that_ends_in_its_month(month: str, anchor_day: int, start: str, end: str) -> None:
    assert account_period(month, anchor_day) == Period(month, day_start(start), day_start(end))


@pytest.mark.parametrize("month", MONTHS)
def test_anchor_1_is_the_calendar_month(month: str) -> None:
    assert account_period(month, 1) == month_period(month)


@pytest.mark.parametrize("anchor_day", ANCHORS)
def test_periods_follow_each_other_without_gap_and_end_in_their_month(anchor_day: int) -> None:
    periods = [account_period(month, anchor_day) for month in MONTHS]
    for before, after in pairwise(periods):
        assert before.end == after.start
        assert next_period(before, anchor_day) == after
        assert period_before(after, anchor_day) == before
    for period in periods:
        month = month_period(period.name)
        assert month.start < period.end <= month.end


@pytest.mark.parametrize("anchor_day", ANCHORS)
def test_every_day_is_billed_by_the_run_whose_period_holds_it(anchor_day: int) -> None:
    for month in MONTHS:
        period = account_period(month, anchor_day)
        for day in period.days():
            assert month_of(f"{day}T00:00:00.000000Z", anchor_day) == month
            assert month_of(f"{day}T23:59:59.999999Z", anchor_day) == month


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)), st.sampled_from(ANCHORS))  # noqa: DTZ001
def test_every_moment_is_in_the_period_of_its_month(moment: datetime, anchor_day: int) -> None:
    time = from_datetime(moment)
    assert account_period(month_of(time, anchor_day), anchor_day).contains(time)


@pytest.mark.parametrize(
    ("time", "anchor_day", "month"),
    [
        ("2027-02-14T23:59:59.999999Z", 15, "2027-02"),
        ("2027-02-15T00:00:00.000000Z", 15, "2027-03"),
        ("2027-02-27T23:59:59.999999Z", 31, "2027-02"),
        ("2027-02-28T00:00:00.000000Z", 31, "2027-03"),
        ("2027-03-30T23:59:59.999999Z", 31, "2027-03"),
        ("2027-03-31T00:00:00.000000Z", 31, "2027-04"),
        ("2026-12-15T00:00:00.000000Z", 15, "2027-01"),
        ("2026-12-31T23:59:59.999999Z", 1, "2026-12"),
    ],
)
def test_a_moment_belongs_to_the_run_of_the_month_its_period_ends_in(time: str, anchor_day: int, month: str) -> None:
    assert month_of(time, anchor_day) == month


@pytest.mark.parametrize(("month", "anchor_day"), [("0001-01", 2), ("9999-12", 1), ("2027-13", 15), ("2027-2", 1)])
def test_a_period_that_the_calendar_does_not_have_is_refused(month: str, anchor_day: int) -> None:
    with pytest.raises(InvalidTime, match="calendar month"):
        account_period(month, anchor_day)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2027-02-10", "2027-02-10", 0),
        ("2027-02-10", "2027-02-28", 18),
        ("2027-01-31", "2027-02-28", 28),
        ("2028-02-28", "2028-03-01", 2),
    ],
)
def test_days_are_counted_whole_without_the_last(start: str, end: str, days: int) -> None:
    assert day_count(day_start(start), day_start(end)) == days


@pytest.mark.parametrize(
    ("amount", "days", "of", "share"),
    [
        ("30.00", 10, 30, "10"),
        ("100.00", 20, 30, "66.666666666667"),
        ("-100.00", 20, 30, "-66.666666666667"),
        ("100.00", 10, 30, "33.333333333333"),
        ("10000", 18, 28, "6428.571428571429"),
        ("600.00", 15, 30, "300"),
        ("99.00", 0, 30, "0"),
        ("0.000000000001", 15, 30, "0.000000000001"),  # a tie: half of the last decimal
        ("-0.000000000001", 15, 30, "-0.000000000001"),
        ("0.000000000001", 14, 30, "0"),
        ("0.000000000003", 15, 30, "0.000000000002"),  # 1.5 of the last decimal; half-even says the same
        ("0.000000000005", 15, 30, "0.000000000003"),  # 2.5 of it; half-even says 2
        ("0.123456789012345678", 30, 30, "0.123456789012345678"),
        ("0.123456789012345678", 15, 30, "0.061728394506"),
    ],
)
def test_a_share_of_an_amount_is_rounded_half_away_from_zero_at_12_decimals(
    amount: str, days: int, of: int, share: str
) -> None:
    assert prorate_amount(parse_amount(amount), days, of) == parse_amount(share)


@pytest.mark.parametrize("of", range(28, 32))
def test_two_shares_of_a_price_in_minor_units_are_the_price(of: int) -> None:
    for cents in range(1, 2000, 7):
        exact = cents * ONE // 100
        for days in range(of + 1):
            assert prorate_amount(exact, days, of) + prorate_amount(exact, of - days, of) == exact


@given(st.integers(0, 10**24), st.lists(st.integers(1, 31), min_size=1, max_size=31))
def test_shares_of_a_whole_miss_it_by_at_most_half_of_the_last_decimal_each(exact: int, stretches: list[int]) -> None:
    of = sum(stretches)
    shares = [prorate_amount(exact, days, of) for days in stretches]
    assert abs(sum(shares) - exact) <= len(stretches) * 10**6 // 2


@pytest.mark.parametrize(
    ("units_by_days", "of", "units"),
    [
        ([(3_000_000, 10)], 30, 1_000_000),
        ([(20_000_000, 20)], 30, 13_333_334),
        ([(3_000_000, 10), (3_000_000, 20)], 30, 3_000_000),
        ([(1, 10), (1, 10), (1, 10)], 30, 1),  # up to the next unit once, not three times
        ([(3_000_000, 10), (20_000_000, 20)], 30, 14_333_334),
        ([(29, 1)], 29, 1),
        ([(30, 1)], 29, 2),
        ([(0, 30)], 30, 0),
        ([], 30, 0),
    ],
)
def test_included_units_are_added_up_by_days_then_rounded_up_once(
    units_by_days: list[tuple[int, int]], of: int, units: int
) -> None:
    assert prorate_units(units_by_days, of) == units


@given(st.integers(0, 10**15), st.lists(st.integers(1, 31), min_size=1, max_size=31))
def test_the_same_units_in_all_stretches_of_a_period_are_those_units(units: int, stretches: list[int]) -> None:
    assert prorate_units([(units, days) for days in stretches], sum(stretches)) == units


@pytest.mark.parametrize("of", range(28, 32))
def test_a_stretch_of_any_length_includes_its_share_and_less_than_a_unit_more(of: int) -> None:
    for days in range(1, of):
        included = prorate_units([(10_000_000, days)], of)
        assert (included - 1) * of < 10_000_000 * days <= included * of


@pytest.mark.parametrize(
    ("start", "months", "anchor_day", "end"),
    [
        ("2026-11-01", 3, 1, "2027-02-01"),
        ("2027-02-28", 1, 31, "2027-03-31"),  # periods go on from the anchor day, not from the short month
        ("2027-01-31", 1, 31, "2027-02-28"),
        ("2027-01-31", 12, 31, "2028-01-31"),
    ],
)
def test_terms_end_with_periods(start: str, months: int, anchor_day: int, end: str) -> None:
    assert periods_after(f"{start}T00:00:00.000000Z", months, anchor_day) == f"{end}T00:00:00.000000Z"
