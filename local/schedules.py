"""Schedule expressions of EventBridge rules: `rate(...)` and the six-field `cron(...)`, in UTC."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from local.errors import UnsupportedSchedule

_RATE = re.compile(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)")
_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)}
_YEARS = range(1970, 2200)


@dataclass(frozen=True, slots=True)
class Rate:
    """Every so often, counted from when the rule was made."""

    step: timedelta

    def due(self, since: datetime, until: datetime, made_at: datetime) -> Iterator[datetime]:
        """Firing times in (since, until]."""
        passed = max(0, (since - made_at) // self.step)
        when = made_at + (passed + 1) * self.step
        while when <= until:
            yield when
            when += self.step


@dataclass(frozen=True, slots=True)
class Cron:
    """A six-field expression. `days` and `weekdays` are None where the field is `?`; `last_day` stands for `L`."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    last_day: bool
    months: frozenset[int]
    weekdays: frozenset[int] | None
    years: frozenset[int]

    def due(self, since: datetime, until: datetime, _made_at: datetime) -> Iterator[datetime]:
        """Firing times in (since, until]."""
        day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        while day <= until:
            if self._takes(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        when = day.replace(hour=hour, minute=minute)
                        if since < when <= until:
                            yield when
            day += timedelta(days=1)

    def _takes(self, day: datetime) -> bool:
        if day.month not in self.months or day.year not in self.years:
            return False
        if self.weekdays is not None:
            return (day.isoweekday() % 7) + 1 in self.weekdays
        if self.last_day and day.day == calendar.monthrange(day.year, day.month)[1]:
            return True
        return self.days is not None and day.day in self.days


def parse(expression: str) -> Rate | Cron:
    """Read a schedule expression. Raises UnsupportedSchedule for what is wrong or not implemented (`W`, `#`)."""
    rate = _RATE.fullmatch(expression)
    if rate:
        number, unit = int(rate[1]), rate[2]
        if number < 1 or (number == 1) == unit.endswith("s"):
            raise UnsupportedSchedule(f"{expression}: write rate(1 day) or rate(2 days)")
        return Rate(number * _UNITS[unit.removesuffix("s")])
    if not (expression.startswith("cron(") and expression.endswith(")")):
        raise UnsupportedSchedule(f"{expression}: only rate(...) and cron(...) are schedules here")
    fields = expression[5:-1].split()
    if len(fields) != 6:
        raise UnsupportedSchedule(f"{expression}: a cron of AWS has six fields, this has {len(fields)}")
    minute, hour, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise UnsupportedSchedule(f"{expression}: exactly one of day of month and day of week must be ?")
    last_day = day == "L"
    return Cron(
        minutes=_values(minute, range(60), {}, expression),
        hours=_values(hour, range(24), {}, expression),
        days=None if day in ("?", "L") else _values(day, range(1, 32), {}, expression),
        last_day=last_day,
        months=_values(month, range(1, 13), _MONTHS, expression),
        weekdays=None if weekday == "?" else _values(weekday, range(1, 8), _DAYS, expression),
        years=_values(year, _YEARS, {}, expression),
    )


def _values(field: str, allowed: range, names: dict[str, int], expression: str) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        base, _, step = part.partition("/")
        try:
            if base == "*":
                first, last = allowed.start, allowed.stop - 1
            elif "-" in base:
                low, high = base.split("-")
                first, last = _number(low, names), _number(high, names)
            else:
                first = _number(base, names)
                last = allowed.stop - 1 if step else first
            chosen = range(first, last + 1, int(step) if step else 1)
        except ValueError:
            raise UnsupportedSchedule(f"{expression}: field {field} is wrong or not implemented") from None
        if not chosen or first not in allowed or last not in allowed:
            raise UnsupportedSchedule(f"{expression}: field {field} is outside {allowed.start}-{allowed.stop - 1}")
        found.update(chosen)
    return frozenset(found)


def _number(text: str, names: dict[str, int]) -> int:
    return names[text.upper()] if text.upper() in names else int(text)
