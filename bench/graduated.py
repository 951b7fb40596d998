"""A month under a graduated two-meter plan, for section 4: what it is priced by, and its rows in the forms that the
contenders read. The same rows, in the same order, in each form.

    python -m bench.graduated FOLDER EVENTS [SAMPLE]

writes the segments and, with SAMPLE, the other forms.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import duckdb

from bench import workload
from lambdas.billing.canonical import canonical_json
from lambdas.billing.rating import ClassKey, add_quantities

SEGMENT_EVENTS = 100
"""Events of a request, and so of a segment."""
SEGMENTS, JSON_LINES, PARQUET, SAMPLE = "rows.segments", "rows.jsonl", "rows.parquet", "sample.json"
_HOURS = 30 * 24
_PER = 1_000_000

COLUMNS = {
    "time": "VARCHAR",
    "source": "VARCHAR",
    "id": "VARCHAR",
    "revision": "INTEGER",
    "provider": "VARCHAR",
    "model": "VARCHAR",
    "quantities": f"STRUCT({', '.join(f'{name} BIGINT' for name in sorted(workload.CLASSES))})",
}
"""The rows as DuckDB's columns. Times stay text, as in our rows: they are canonical, so their order is that of time."""


class Scale(NamedTuple):
    """Included units, and the inclusive bounds of tiers 1 and 2 after them, per event of the month."""

    included: int
    first: int
    second: int


_METERS = {
    "input": (Scale(500, 2_000, 4_000), ("2.50", "2.00", "1.50")),
    "output": (Scale(50, 200, 400), ("10.00", "8.00", "6.00")),
}
"""An event has about 5,300 input and 650 output tokens, so a month of any size goes through every tier."""


def terms(events: int) -> workload.Terms:
    """Input and output, both graduated in three tiers after included units, each with one price list for all models."""
    plan = {
        **workload.PLAN,
        "id": "graduated",
        "name": "Graduated input and output",
        "model": "custom",
        "primary_meter": "output",
        "charges": [
            {"id": name, "meter": name, "kind": "graduated", "prices": "charge", "included": scale.included * events}
            for name, (scale, _) in _METERS.items()
        ],
    }
    rates = [
        {
            "charge": name,
            "per": _PER,
            "tiers": [
                {"up_to": up_to, "price": price}
                for up_to, price in zip((scale.first * events, scale.second * events, None), prices, strict=True)
            ],
        }
        for name, (scale, prices) in _METERS.items()
    ]
    card = {"version": 1, "currency": "USD", "effective_from": "2026-10-01", "rates": rates}
    return workload.Terms({**workload.CONTRACT, "plan": "graduated"}, {"graduated@1": plan}, {"list@1": card})


class Segment(NamedTuple):
    """The rows of one request, all of one hour, compressed as they are stored, and their sums by class."""

    hour: str
    sums: dict[ClassKey, int]
    rows: bytes


def make_segments(folder: Path, events: int) -> None:
    """Write the rows as they are stored."""
    with (folder / SEGMENTS).open("wb") as segments:
        for rows in _requests(events):
            sums: dict[ClassKey, int] = {}
            for row in rows:
                add_quantities(sums, *row[4:7])
            packed = zlib.compress(canonical_json(rows).encode(), 6)
            segments.write(
                canonical_json([rows[0][0][: len("2026-11-01T00")], sums, len(packed)]).encode() + b"\n" + packed
            )


def make_tables(folder: Path, events: int, sample: int) -> None:
    """Write the same rows for DuckDB, and `sample` of them, evenly spread, for what is too slow for all."""
    chosen: list[list[Any]] = []
    with (folder / JSON_LINES).open("w", encoding="utf-8") as lines:
        for rows in _requests(events):
            lines.writelines(canonical_json(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows)
            chosen += rows[: max(1, len(rows) * sample // events)]
    (folder / SAMPLE).write_text(json.dumps(chosen), encoding="utf-8")
    with duckdb.connect() as database:
        database.execute(f"COPY (FROM {from_json_lines(folder)}) TO '{folder / PARQUET}' (FORMAT parquet)")


def read_segments(folder: Path) -> Iterator[Segment]:
    """The segments of the month in the order of their hours."""
    with (folder / SEGMENTS).open("rb") as file:
        while head := file.readline():
            hour, sums, size = json.loads(head)
            yield Segment(hour, sums, file.read(size))


def from_json_lines(folder: Path) -> str:
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
    return f"read_json('{folder / JSON_LINES}', format = 'newline_delimited', columns = {{{columns}}})"


def from_parquet(folder: Path) -> str:
    return f"read_parquet('{folder / PARQUET}')"


def _requests(events: int) -> Iterator[list[list[Any]]]:
    """Rows of one request after the other, spread evenly over the month; within a request in no order of time."""
    draw = Random(20261101)
    requests = -(-events // SEGMENT_EVENTS)
    for request in range(requests):
        day, hour = divmod(request * min(_HOURS, requests) // requests, 24)
        yield [
            _row(n, f"2026-11-{day + 1:02d}T{hour:02d}:{draw.randrange(60):02d}:{draw.randrange(60):02d}", draw)
            for n in range(request * SEGMENT_EVENTS, min(events, (request + 1) * SEGMENT_EVENTS))
        ]


def _row(number: int, second: str, draw: Random) -> list[Any]:
    event = workload.usage_event(number, f"{second}.{draw.randrange(10**6):06d}Z")
    data = event["data"]
    quantities = dict(sorted(data["quantities"].items()))
    return [event["time"], event["source"], event["id"], 0, data["provider"], data["model"], quantities]


def main(folder: str, events: str, *sample: str) -> None:
    make_segments(Path(folder), int(events))
    for count in sample:
        make_tables(Path(folder), int(events), int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
