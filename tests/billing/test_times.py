"""Time as text: truncated, UTC, half-open (K9)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.errors import InvalidTime
from lambdas.billing.times import (
    canonical_time,
    day_start,
    from_datetime,
    month_after,
    month_before,
    month_period,
    to_datetime,
)

CANONICAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-11-30T23:59:59.9999996Z", "2026-11-30T23:59:59.999999Z"),  # rounded, it would be December
        ("2026-11-30T23:59:59.999999Z", "2026-11-30T23:59:59.999999Z"),
        ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00.000000Z"),
        ("2026-11-15T23:59:59.9999999Z", "2026-11-15T23:59:59.999999Z"),
        ("2026-12-01T00:59:59.9999999+01:00", "2026-11-30T23:59:59.999999Z"),
        ("2026-11-30T23:00:00-01:00", "2026-12-01T00:00:00.000000Z"),
        ("2026-11-16t18:15:46.68059z", "2026-11-16T18:15:46.680590Z"),
        ("2026-11-16T18:15:46.1-00:00", "2026-11-16T18:15:46.100000Z"),
        ("2024-02-29T12:00:00+23:59", "2024-02-28T12:01:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_a_moment_is_utc_truncated_to_microseconds(text: str, canonical: str) -> None:
    assert canonical_time(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-11-30", "2026-11-30T23:59:59", "2026-11-30 23:59:59Z", "2026-11-30T23:59Z", "2026-11-31T00:00:00Z",
        "2026-02-29T00:00:00Z", "2026-11-30T24:00:00Z", "2026-11-30T24:00:00+00:00", "2026-11-30T23:60:00Z",
        "2026-11-30T23:59:60Z", "2026-11-30T23:59:59.Z", "2026-11-30T23:59:59,5Z", "2026-11-30T23:59:59+1:00",
        "2026-11-30T23:59:59+24:00", "2026-11-30T23:59:59+00:60", "2026-11-30T23:59:59+0000", "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", " 2026-11-30T23:59:59Z", "2026-11-30T23:59:59Z\n",
        "٢٠٢٦-11-30T23:59:59Z", "2026-W48-1T00:00:00Z", 1764547199, None, True, ["2026-11-30T23:59:59Z"],
    ],
)  # fmt: skip
def test_what_is_not_a_moment_is_refused_with_a_remedy(text: object) -> None:
    with pytest.raises(InvalidTime, match="RFC 3339"):
        canonical_time(text)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """An RFC 3339 text and what it means, worked out apart: digits cut off, offset subtracted."""
    local = draw(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 30))).replace(microsecond=0)  # noqa: DTZ001
    fraction = draw(st.text("0123456789", max_size=30))
    minutes = draw(st.integers(-1439, 1439))
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    suffix = (
        draw(st.sampled_from(["Z", "z"])) if minutes == 0 and draw(st.booleans()) else f"{sign}{hours:02}:{rest:02}"
    )
    text = f"{local.year:04}-{local:%m-%d}{draw(st.sampled_from('Tt'))}{local:%H:%M:%S}"
    text += f".{fraction}" if fraction else ""
    micros = int((fraction + "000000")[:6])
    moment = local.replace(tzinfo=timezone(timedelta(minutes=minutes))) + timedelta(microseconds=micros)
    return text + suffix, moment.astimezone(UTC)


@given(moments())
def test_canonical_time_agrees_with_a_slow_reading(moment: tuple[str, datetime]) -> None:
    text, meaning = moment
    canonical = canonical_time(text)
    assert CANONICAL.fullmatch(canonical)
    assert to_datetime(canonical) == meaning
    assert from_datetime(meaning) == canonical
    assert canonical_time(canonical) == canonical


@given(moments(), moments())
def test_order_of_canonical_texts_is_order_of_time(one: tuple[str, datetime], other: tuple[str, datetime]) -> None:
    assert (canonical_time(one[0]) < canonical_time(other[0])) == (one[1] < other[1])


@given(st.text(alphabet="0123456789-:+.TtZz ", max_size=40) | st.text(max_size=40))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        assert CANONICAL.fullmatch(canonical_time(text))
    except InvalidTime as error:
        assert error.field == "time"


@pytest.mark.parametrize(
    ("month", "start", "end", "days"),
    [
        ("2026-11", "2026-11-01T00:00:00.000000Z", "2026-12-01T00:00:00.000000Z", 30),
        ("2026-12", "2026-12-01T00:00:00.000000Z", "2027-01-01T00:00:00.000000Z", 31),
        ("2024-02", "2024-02-01T00:00:00.000000Z", "2024-03-01T00:00:00.000000Z", 29),
        ("2026-02", "2026-02-01T00:00:00.000000Z", "2026-03-01T00:00:00.000000Z", 28),
    ],
)
def test_a_month_is_half_open(month: str, start: str, end: str, days: int) -> None:
    period = month_period(month)
    assert (period.start, period.end, len(period.days())) == (start, end, days)
    assert period.contains(start)
    assert period.contains(f"{period.days()[-1]}T23:59:59.999999Z")
    assert not period.contains(end)
    assert not period.contains(f"{month_before(start)}-28T23:59:59.999999Z")


@pytest.mark.parametrize(
    "name", ["2026-00", "2026-13", "2026-1", "26-11", "2026-11-01", "", "0000-05", "9999-12", None, 202611]
)
def test_what_is_not_a_month_is_refused(name: object) -> None:
    with pytest.raises(InvalidTime, match="period = "):
        month_period(name)


@pytest.mark.parametrize(
    ("before", "after"),
    [("2026-11", "2026-12"), ("2026-12", "2027-01"), ("0009-12", "0010-01"), ("2027-01", "2027-02")],
)
def test_months_follow_each_other(before: str, after: str) -> None:
    assert month_after(before) == month_after(f"{before}-28T23:59:59.999999Z") == after
    assert month_before(after) == month_before(f"{after}-01T00:00:00.000000Z") == before


def test_months_end_with_the_calendar() -> None:
    with pytest.raises(InvalidTime, match="0000-12"):
        month_before("0001-01")
    with pytest.raises(InvalidTime, match="9999-12"):
        month_after("9999-11")


@pytest.mark.parametrize("day", ["2026-11-16T12:00:00Z", "2026-11-16T00:00:00Z", "2026-02-30", "20261116", "", None, 5])
def test_changes_happen_at_midnight_utc_only(day: object) -> None:
    assert day_start("2026-11-16") == "2026-11-16T00:00:00.000000Z"
    with pytest.raises(InvalidTime, match="00:00 UTC"):
        day_start(day)
