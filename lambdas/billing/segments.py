"""Segments: the stored form of accepted events of one customer and event hour (D2), and their digest (D4).

A segment holds its events twice in compressed JSON: `rows` for rating and `raws` as received for evidence, plus sums
per class. The digest covers the events as received; rows and sums follow from them and `verify` recomputes both.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lambdas.billing.canonical import canonical_json, encode_string, sha256_hex
from lambdas.billing.classes import STANDARD
from lambdas.billing.errors import EventRejected, InvariantBroken
from lambdas.billing.rating import ClassKey, UsageRow, add_quantities
from lambdas.billing.strict_json import parse
from lambdas.billing.usage import UsageEvent, from_binary_mode

MAX_SEGMENT_BYTES = 300_000
"""Stored size above which a segment is split; a DynamoDB item may have 400 KB."""


class StoredEvent(NamedTuple):
    """One accepted event with its payload exactly as received and that payload's SHA-256 (R3)."""

    row: UsageRow
    raw: str
    """The JSON text of the event; for binary mode the JSON object `{"headers": ..., "body": ...}`."""
    payload_sha256: str


class Segment(NamedTuple):
    """Events of one customer and hour that arrived together. `key` is where it is stored."""

    key: str
    received_at: str
    events: int
    digest: str
    sums: dict[ClassKey, int]
    rows: bytes
    raws: bytes


def make_segment(key: str, received_at: str, events: Sequence[StoredEvent]) -> Segment:
    """Pack events in the given order. Pure: the same events, key and time give the same bytes."""
    sums: dict[ClassKey, int] = {}
    for event in events:
        row = event.row
        add_quantities(sums, row.provider, row.model, row.quantities, row.service_tier)
    rows = zlib.compress(canonical_json([_stored(event.row) for event in events]).encode(), 6)
    raws = zlib.compress(canonical_json([event.raw for event in events]).encode(), 6)
    digest = segment_digest(received_at, ((e.row.source, e.row.id, e.row.revision, e.payload_sha256) for e in events))
    return Segment(key, received_at, len(events), digest, sums, rows, raws)


def segment_digest(received_at: str, events: Iterable[tuple[str, str, int, str]]) -> str:
    """SHA-256 over the time received and the sorted (source, id, revision, payload SHA-256) of the events."""
    return sha256_hex(canonical_json([received_at, sorted(events)]).encode())


def _stored(row: UsageRow) -> tuple[Any, ...]:
    """The members of a row, without those at its end that say nothing: no attributes, and then the standard tier."""
    if row.attributes:
        return row
    return row[:-1] if row.service_tier != STANDARD else row[:-2]


def read_rows(rows: bytes) -> list[UsageRow]:
    """The rows of a segment, for rating."""
    return [UsageRow(*row) for row in json.loads(zlib.decompress(rows))]


def read_segment(segment: Segment) -> list[StoredEvent]:
    """Unpack a segment and check it against its own digest, count and sums. Raises InvariantBroken."""
    rows = read_rows(segment.rows)
    raws: list[str] = json.loads(zlib.decompress(segment.raws))
    if not len(rows) == len(raws) == segment.events:
        raise InvariantBroken(f"segment {segment.key}", len(rows), f"it must hold {segment.events} events")
    events = [StoredEvent(row, raw, sha256_hex(raw.encode())) for row, raw in zip(rows, raws, strict=True)]
    sums: dict[ClassKey, int] = {}
    for row in rows:
        add_quantities(sums, row.provider, row.model, row.quantities, row.service_tier)
    if sums != segment.sums:
        raise InvariantBroken(f"segment {segment.key}", "sums", "its sums must be those of its events")
    digest = segment_digest(
        segment.received_at, ((e.row.source, e.row.id, e.row.revision, e.payload_sha256) for e in events)
    )
    if digest != segment.digest:
        raise InvariantBroken(f"segment {segment.key}", digest, f"its digest must be {segment.digest}")
    return events


def row_of(event: UsageEvent, revision: int = 0) -> UsageRow:
    """The rating row of a checked event."""
    return UsageRow(
        event.time,
        event.source,
        event.id,
        revision,
        event.provider,
        event.model,
        event.quantities,
        event.service_tier,
        event.attributes,
    )


def usage_line(event: StoredEvent, segment_key: str, received_at: str) -> str:
    """The bundle's line for one event as received: `[time, source, id, revision, segment, received, sha256, raw]`."""
    row = event.row
    return (
        f'["{row.time}",{encode_string(row.source)},{encode_string(row.id)},{row.revision},{encode_string(segment_key)},'
        f'{encode_string(received_at)},"{event.payload_sha256}",{encode_string(event.raw)}]\n'
    )


def read_raw(raw: str) -> Any:
    """Parsed JSON of a stored raw payload of either mode, ready for `usage.read_event`. Raises EventRejected."""
    value = parse(raw)
    if not (isinstance(value, dict) and value.keys() == {"headers", "body"}):
        return value
    headers, body = value["headers"], value["body"]
    if not isinstance(headers, dict) or not all(type(text) is str for text in (body, *headers.values())):
        raise EventRejected("event", value, "binary mode is kept as text headers and a text body")
    return from_binary_mode(headers, parse(body))
