"""Time as text (rule K9, decision D9): RFC 3339 in, `YYYY-MM-DDTHH:MM:SS.ffffffZ` out, half-open periods.

The canonical text has a fixed width and is always UTC, so text order is time order and a prefix is a day (10
characters) or an hour (13 characters). Fractions of a second are truncated to microseconds, never rounded.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from lambdas.billing.errors import InvalidTime

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,30}))?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII)
_REMEDY = "give an RFC 3339 time such as 2026-11-16T18:15:46.680590Z"


class Period(NamedTuple):
    """A half-open billing period `[start, end)`; both are canonical times at 00:00 UTC."""

    name: str
    start: str
    end: str

    def contains(self, time: str) -> bool:
        """True from the first instant of the period up to, not including, its end."""
        return self.start <= time < self.end

    def days(self) -> list[str]:
        """Every UTC day of the period, `YYYY-MM-DD`."""
        first, after = date.fromisoformat(self.start[:10]), date.fromisoformat(self.end[:10])
        return [(first + timedelta(days=n)).isoformat() for n in range((after - first).days)]


def canonical_time(text: object, field: str = "time") -> str:
    """The UTC instant of an RFC 3339 text, truncated to microseconds.

    `2026-11-30T23:59:59.9999996Z` -> `2026-11-30T23:59:59.999999Z`: it still belongs to November.
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidTime(field, text, _REMEDY)
    day, clock, fraction, offset = match.groups()
    micros = (fraction or "")[:6].ljust(6, "0")
    try:
        if clock >= "24":
            raise ValueError("hour")  # newer Pythons read 24:00 as the next day
        moment = datetime.fromisoformat(f"{day}T{clock}+00:00")
        if offset in "Zz":
            return f"{day}T{clock}.{micros}Z"
        if int(offset[4:]) > 59 or int(offset[1:3]) > 23:
            raise ValueError("offset")
        shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:]))
        moment = moment - shift if offset[0] == "+" else moment + shift
    except (ValueError, OverflowError) as error:
        raise InvalidTime(field, text, f"{_REMEDY}; this is not a moment of the calendar ({error})") from None
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}.{micros}Z"


def from_datetime(moment: datetime) -> str:
    """Canonical text of an aware datetime."""
    utc = moment.astimezone(UTC)
    return f"{utc.year:04d}-{utc:%m-%dT%H:%M:%S.%f}Z"


def to_datetime(time: str) -> datetime:
    """The aware datetime of a canonical time."""
    return datetime.fromisoformat(time[:-1] + "+00:00")


def day_start(day: object, field: str = "effective_from") -> str:
    """`2026-11-16` -> its first instant. Anything but a calendar day is refused: changes happen at 00:00 UTC."""
    if isinstance(day, str) and _DAY.fullmatch(day):
        try:
            date.fromisoformat(day)
        except ValueError:
            pass
        else:
            return f"{day}T00:00:00.000000Z"
    raise InvalidTime(field, day, "give a UTC calendar day such as 2026-11-16; changes happen at 00:00 UTC")


def month_period(name: object, field: str = "period") -> Period:
    """The calendar month `2026-11` as `[1 Nov, 1 Dec)`."""
    if isinstance(name, str) and _MONTH.fullmatch(name) and "01" <= name[5:] <= "12" and "0001-01" <= name < "9999-12":
        year, month = int(name[:4]), int(name[5:])
        after = f"{year + month // 12:04d}-{month % 12 + 1:02d}-01"
        return Period(name, day_start(f"{name}-01"), day_start(after))
    raise InvalidTime(field, name, "give a calendar month such as 2026-11")


def month_before(time: str) -> str:
    """Name of the calendar month before the one that holds `time`, a canonical time or a month's name."""
    year, month = int(time[:4]), int(time[5:7])
    return month_period(f"{year - (month == 1):04d}-{(month - 2) % 12 + 1:02d}").name


def month_after(time: str) -> str:
    """Name of the calendar month after the one that holds `time`, a canonical time or a month's name."""
    year, month = int(time[:4]), int(time[5:7])
    return month_period(f"{year + month // 12:04d}-{month % 12 + 1:02d}").name


def day_before(time: str) -> str:
    """The UTC day before the one that holds `time`, `YYYY-MM-DD`."""
    return (date.fromisoformat(time[:10]) - timedelta(days=1)).isoformat()
