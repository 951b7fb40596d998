"""The movable clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from local.clock import Clock

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


def test_a_clock_ticks_on_from_where_it_was_moved() -> None:
    clock = Clock(NOON)
    first = clock.now()
    second = clock.now()
    assert NOON <= first <= second < NOON + timedelta(seconds=5)


def test_a_frozen_clock_stands_and_still_moves() -> None:
    clock = Clock(NOON, frozen=True)
    assert clock.now() == clock.now()
    start = clock.now()
    clock.advance(timedelta(hours=2))
    assert clock.now() == start + timedelta(hours=2)
    clock.move_to(NOON)
    assert clock.now() == NOON
    clock.unfreeze()
    assert NOON <= clock.now() < NOON + timedelta(seconds=5)


def test_times_are_answered_in_utc_whatever_zone_they_were_given_in() -> None:
    clock = Clock(frozen=True)
    clock.move_to(datetime(2026, 3, 15, 14, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == NOON
    assert clock.now().utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Clock().move_to(datetime(2026, 3, 15))  # noqa: DTZ001
