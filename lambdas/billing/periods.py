"""Billing periods of an account by its anchor day, and shares of a period in whole UTC days (rules K9 and K11).

An anchor day is 1 to 31, as the contract was read. A month without that day has the change on its last day, and the
next month has it on the anchor day again: anchor 31 gives 31 Jan, 28 Feb, 31 Mar, 30 Apr.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable
from datetime import date

from lambdas.billing.money import ONE
from lambdas.billing.times import Period, day_start, month_after, month_before, month_period

_SHARE_UNIT: int = ONE // 10**12
"""What a divided amount is rounded to (K2)."""


def account_period(month: str, anchor_day: int) -> Period:
    """The one period of an account that ends in the run's month: after its first instant, at the latest with its end.

    Anchor 1: `2027-02` -> [1 Feb, 1 Mar). Anchor 15: [15 Jan, 15 Feb). Anchor 31: [31 Jan, 28 Feb). Its name is the
    month's, also where most of its days lie in the month before. Raises InvalidTime for what is no calendar month.
    """
    calendar_month = month_period(month)
    if anchor_day == 1:
        return calendar_month
    return Period(month, _change(month_before(month), anchor_day), _change(month, anchor_day))


def month_of(time: str, anchor_day: int) -> str:
    """The month whose run bills a canonical time: the inverse of `account_period`.

    Anchor 15: the last instant of 14 Feb -> `2027-02`, the first of 15 Feb -> `2027-03`.
    """
    month = time[:7]
    if anchor_day == 1 or time < _change(month, anchor_day):
        return month
    return month_after(month)


def next_period(period: Period, anchor_day: int) -> Period:
    """The account's period that begins where this one ends."""
    return account_period(month_after(period.name), anchor_day)


def period_before(period: Period, anchor_day: int) -> Period:
    """The account's period that ends where this one begins."""
    return account_period(month_before(period.name), anchor_day)


def periods_after(start: str, months: int, anchor_day: int) -> str:
    """The change of period that comes `months` periods after another one. Anchor 31: 28 Feb and one month -> 31 Mar."""
    month = start[:7]
    for _ in range(months):
        month = month_after(month)
    return _change(month, anchor_day)


def day_count(start: str, end: str) -> int:
    """Whole UTC days from one canonical day start to another."""
    return (date.fromisoformat(end[:10]) - date.fromisoformat(start[:10])).days


def prorate_amount(exact: int, days: int, of: int) -> int:
    """The share of an exact amount for `days` of the `of` days of the period it is for (K11): at 12 decimals, half
    away from zero. 100.00 x 20/30 = 66.666666666667. The whole period is the amount itself, with all its decimals."""
    if days == of:
        return exact
    share = (2 * abs(exact) * days + of * _SHARE_UNIT) // (2 * of * _SHARE_UNIT) * _SHARE_UNIT
    return -share if exact < 0 else share


def prorate_sum(amounts_by_days: Iterable[tuple[int, int]], of: int) -> int:
    """What is due in a period of `of` days, from the exact amount for a whole period and the days of each stretch:
    added up, then divided once; exact where it divides, else as `prorate_amount`. The same on all days is that."""
    total = sum(exact * days for exact, days in amounts_by_days)
    return total // of if total % of == 0 else prorate_amount(total, 1, of)


def prorate_units(units_by_days: Iterable[tuple[int, int]], of: int) -> int:
    """Units included in a period of `of` days, from the units and the days of each stretch: added up, then up to the
    next whole unit, once (K11). 20,000,000 x 20/30 = 13,333,334; the same units in every stretch are those units."""
    return -(-sum(units * days for units, days in units_by_days) // of)


def _change(month: str, anchor_day: int) -> str:
    last = monthrange(int(month[:4]), int(month[5:]))[1]
    return day_start(f"{month}-{min(anchor_day, last):02d}")
