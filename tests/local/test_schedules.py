"""Schedule expressions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local.errors import UnsupportedSchedule
from local.schedules import parse


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "since", "until", "expected"),
    [
        ("cron(0 6 1 * ? *)", "2026-01-15", "2026-03-01T06:00", ["2026-02-01T06:00", "2026-03-01T06:00"]),
        ("cron(0 6 1 * ? *)", "2026-03-01T06:00", "2026-03-31", []),
        ("cron(0 6 L * ? *)", "2026-02-01", "2026-03-30", ["2026-02-28T06:00"]),
        ("cron(0 6 L * ? *)", "2028-02-01", "2028-03-01", ["2028-02-29T06:00"]),
        ("cron(30 9 ? * MON-FRI *)", "2026-03-06", "2026-03-10", ["2026-03-06T09:30", "2026-03-09T09:30"]),
        ("cron(0 0 ? * 1 *)", "2026-03-01", "2026-03-09", ["2026-03-08T00:00"]),
        ("cron(0/20 8 * * ? *)", "2026-03-01T08:00", "2026-03-01T09:00", ["2026-03-01T08:20", "2026-03-01T08:40"]),
        ("cron(0 12 31 JAN,MAR,APR ? 2026)", "2025-01-01", "2027-12-31", ["2026-01-31T12:00", "2026-03-31T12:00"]),
        ("cron(*/30 */12 1 * ? *)", "2026-02-28", "2026-03-01T00:30", ["2026-03-01T00:00", "2026-03-01T00:30"]),
    ],
)
def test_cron(expression: str, since: str, until: str, expected: list[str]) -> None:
    due = parse(expression).due(_at(since), _at(until), _at(since))
    assert list(due) == [_at(text) for text in expected]


@pytest.mark.parametrize(
    ("expression", "step"),
    [
        ("rate(1 day)", timedelta(days=1)),
        ("rate(5 minutes)", timedelta(minutes=5)),
        ("rate(2 hours)", timedelta(hours=2)),
    ],
)
def test_a_rate_counts_from_when_the_rule_was_made(expression: str, step: timedelta) -> None:
    made = _at("2026-03-01T00:07")
    schedule = parse(expression)
    assert list(schedule.due(made, made + 2 * step, made)) == [made + step, made + 2 * step]
    assert list(schedule.due(made + step, made + step, made)) == []
    assert list(schedule.due(made + step / 2, made + step, made)) == [made + step]


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 6 1 * *)",
        "cron(0 6 1 * * *)",
        "cron(0 6 ? * ? *)",
        "cron(0 6 1W * ? *)",
        "cron(0 6 ? * 2#1 *)",
        "cron(60 6 1 * ? *)",
        "cron(0 6 1 13 ? *)",
        "rate(1 days)",
        "rate(5 minute)",
        "rate(0 minutes)",
        "rate(1 week)",
        "at(2026-03-01T00:00:00)",
    ],
)
def test_what_is_wrong_or_not_implemented_is_named(expression: str) -> None:
    with pytest.raises(UnsupportedSchedule) as caught:
        parse(expression)
    assert expression in str(caught.value)
