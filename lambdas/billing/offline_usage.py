"""Usage from a file, one CloudEvent a line, judged as POST /v1/usage judges it (R2-R5, D1).

Of an accepted event its row is kept and not its text. Every other line is counted, and the first of each fate are
named by their number in the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from sys import intern
from types import MappingProxyType
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

from lambdas.billing.canonical import canonical_json
from lambdas.billing.errors import EventRejected
from lambdas.billing.rating import UsageRow
from lambdas.billing.segments import read_raw, row_of
from lambdas.billing.strict_json import decode_text
from lambdas.billing.usage import UsageEvent, read_event

MAX_EVENT_BYTES = 64 * 1024
"""Longest event that POST /v1/usage takes."""
MOST_NAMED = 20
NOBODY = "offline"
"""The customer of a file in which no event names one."""

_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})
_Named = TypeVar("_Named")


class Rejection(NamedTuple):
    """A line that cannot be taken, and why."""

    line: int
    field: str
    value: str
    remedy: str


class Repeat(NamedTuple):
    """A line whose identity stands in an earlier line."""

    line: int
    first_line: int
    source: str
    id: str


class Numbered(NamedTuple):
    """An accepted event and the line it stands in."""

    row: UsageRow
    line: int


class Noted(Generic[_Named]):
    """Things of one kind: all are counted, the first are kept."""

    __slots__ = ("count", "first")

    def __init__(self) -> None:
        self.count = 0
        self.first: list[_Named] = []

    def add(self, item: _Named) -> None:
        self.count += 1
        if len(self.first) < MOST_NAMED:
            self.first.append(item)


class OfflineUsage:
    """The events of a file. `customer` is whose usage it is: as given, else the first that an event names.

    An identity counts once: a line that repeats it with the same content is a duplicate, one with other content is a
    conflict, and the first line stands.
    """

    def __init__(self, customer: str | None = None) -> None:
        self._customer = customer
        self.lines = 0
        self.events: list[Numbered] = []
        self.rejected = Noted[Rejection]()
        self.duplicates = Noted[Repeat]()
        self.conflicts = Noted[Repeat]()
        self._seen: dict[tuple[str, str], tuple[bytes, int]] = {}

    @property
    def customer(self) -> str:
        return self._customer or NOBODY

    def read(self, file: BinaryIO) -> None:
        """Take every line; blank ones do not count."""
        for number, line in _lines(file):
            self.lines += 1
            try:
                self._take(number, line)
            except EventRejected as error:
                self.rejected.add(Rejection(number, error.field, error.value, error.remedy))

    def sort(self) -> None:
        """Put the events in the order in which they are rated: the order of arrival never matters."""
        self.events.sort(key=lambda event: event.row[:3])

    def _take(self, number: int, line: bytes) -> None:
        if len(line) > MAX_EVENT_BYTES:
            value = f"more than {MAX_EVENT_BYTES} bytes"
            raise EventRejected("event", value, f"an event has at most {MAX_EVENT_BYTES} bytes")
        value = read_raw(decode_text(line))
        event = self._checked(value)
        identity, digest = (intern(event.source), event.id), _digest(value["data"])
        found, first_line = self._seen.setdefault(identity, (digest, number))
        if first_line != number:
            repeated = self.duplicates if found == digest else self.conflicts
            repeated.add(Repeat(number, first_line, event.source, event.id))
            return
        self.events.append(Numbered(_row(event), number))

    def _checked(self, value: Any) -> UsageEvent:
        """The event, of this account: a file is one bill, so another customer's event is refused."""
        names_customer = isinstance(value, dict) and value.get("subject") is not None
        event = read_event(value, None if names_customer else self.customer)
        if names_customer:
            if self._customer is not None and event.customer != self._customer:
                remedy = f"this bill is for {self._customer}: rate each customer's usage in a file of its own"
                raise EventRejected("subject", event.customer, remedy)
            self._customer = event.customer
        return event


def _digest(data: Any) -> bytes:
    """Content of an event (D1). Type and customer are part of it, and the same in all of a file."""
    return hashlib.sha256(canonical_json(data).encode()).digest()


def _row(event: UsageEvent) -> UsageRow:
    """The row, holding texts that are the same in many rows once."""
    quantities = {intern(name): quantity for name, quantity in event.quantities.items()}
    row = row_of(event)
    return row._replace(
        source=intern(row.source),
        provider=intern(row.provider),
        model=intern(row.model),
        quantities=quantities,
        attributes=row.attributes or _NO_ATTRIBUTES,
    )


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers from 1, without their ends. Of a line that is too long one byte more
    than an event may have."""
    number = 0
    while chunk := file.readline(MAX_EVENT_BYTES + 2):
        number += 1
        line = chunk.rstrip(b"\r\n")
        if len(chunk) == MAX_EVENT_BYTES + 2 and not chunk.endswith(b"\n"):
            line = chunk[: MAX_EVENT_BYTES + 1]
            while chunk and not chunk.endswith(b"\n"):
                chunk = file.readline(MAX_EVENT_BYTES)
        if line.strip():
            yield number, line
