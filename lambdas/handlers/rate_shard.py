"""Fourth step, in parallel: rate the frozen events of one shard and record every charge.

Reads the frozen list and the segments it names, nothing else. Events are held for one hour at a time; what is
written is blocks of at most 10,000 events and, last, the shard's summary.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement
from lambdas.billing.bundle import BLOCK_ROWS
from lambdas.billing.canonical import sha256_hex
from lambdas.billing.costs import CostPrices, LongPrompts, add_long_prompt
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.rating import PARKED, Positions, Totals, UsageRow, rate_event
from lambdas.billing.segments import Segment, read_segment, usage_line
from lambdas.billing.shards import add_totals, summarize
from lambdas.handlers import stores
from lambdas.handlers.entry import task_entry
from lambdas.handlers.freeze_inputs import hour_of
from lambdas.handlers.run_records import KINDS, frozen_agreement, frozen_cards, read_frozen, read_positions
from lambdas.store.evidence import Evidence, block_key, summary_key
from lambdas.store.usage import UsageStore

MAX_PARKED_DETAILS = 100
"""Most different reasons that a summary spells out; the number of parked events is always whole."""

MAX_FIRST_PARKED = 3
"""How many of the events parked for one reason are named, the earliest."""


class ShardNotes:
    """What a shard's summary tells the draft beside its totals: parked events by reason with the first of each, and,
    where a cost depends on a prompt's size, the quantities that came with large ones."""

    def __init__(self, steps: Mapping[tuple[str, str], tuple[int, ...]]) -> None:
        self.steps = steps
        self.long_prompts: LongPrompts = {}
        self._parked: dict[str, int] = {}
        self._first: dict[str, list[list[str]]] = {}

    def add_excluded(self, line: str) -> None:
        time, source, event_id, _, reason, detail = json.loads(line)
        if reason == PARKED and (detail in self._parked or len(self._parked) < MAX_PARKED_DETAILS):
            self._parked[detail] = self._parked.get(detail, 0) + 1
            first = self._first.setdefault(detail, [])
            if len(first) < MAX_FIRST_PARKED:
                first.append([time, source, event_id])

    def as_json(self) -> dict[str, Any]:
        return {"parked": self._parked, "first_parked": self._first, "long_prompts": self.long_prompts}


class FrozenRow(NamedTuple):
    """One frozen event: what rating needs, and its line of evidence."""

    row: UsageRow
    usage_line: str

    @property
    def name(self) -> tuple[str, str, str]:
        """Time, source and id: what events are ordered by, and what no two of an account share."""
        return self.row.time, self.row.source, self.row.id


def rate_shard(
    run_id: str,
    customer: str,
    freeze: int,
    shard: int,
    *,
    usage: UsageStore,
    evidence: Evidence,
    block_rows: int = BLOCK_ROWS,
) -> dict[str, Any]:
    """Rate shard `shard` unless its summary is there already. Raises InvariantBroken where the events are not the
    frozen ones."""
    answer = {"run_id": run_id, "customer": customer, "freeze": freeze, "n": shard}
    key = summary_key(run_id, customer, freeze, shard)
    if evidence.find_json(key) is not None:
        return answer
    frozen = read_frozen(evidence, run_id, customer, freeze)
    agreement = frozen_agreement(frozen)
    positions = read_positions(evidence, frozen, shard) if agreement.positional else None
    totals, notes = Totals(), ShardNotes(CostPrices(agreement, frozen_cards(frozen)).steps)
    blocks: list[dict[str, Any]] = []
    events = 0
    for n, rows in enumerate(_in_blocks(_ordered(frozen_rows(usage, frozen, shard)), block_rows), start=1):
        names = (run_id, customer, freeze, shard)
        block, block_totals = _rate_block(rows, agreement, positions, notes)
        for kind, lines in block.items():
            if lines:
                evidence.put_lines_once(block_key(*names, kind=kind, block=n), lines)
        blocks.append(_index(n, rows, block, block_totals))
        add_totals(totals, block_totals)
        events += len(rows)
    expected = frozen["shards"][shard - 1]["events"]
    if events != expected:
        raise InvariantBroken(f"events of shard {shard} of {customer}", events, f"{expected} were frozen")
    evidence.put_json_once(key, {**summarize(totals), **notes.as_json(), "blocks": blocks})
    return answer


def frozen_rows(usage: UsageStore, frozen: Mapping[str, Any], shard: int) -> Iterator[list[FrozenRow]]:
    """The events of a shard, one list for each hour, from segments that are exactly those of the frozen list."""
    limits = frozen["shards"][shard - 1]
    start, end = limits["from"], limits["to"]
    within = segments_within(frozen["segments"], start, end)
    for _, group in groupby(within, key=lambda segment: hour_of(segment["key"])):
        rows: list[FrozenRow] = []
        for segment in read_frozen_segments(usage, group):
            rows += [
                FrozenRow(event.row, usage_line(event, segment.key, segment.received_at))
                for event in read_segment(segment)
                if start <= event.row.time < end
            ]
        yield rows


def read_frozen_segments(usage: UsageStore, frozen: Iterable[Mapping[str, Any]]) -> Iterator[Segment]:
    """The stored segments of frozen ones, in their order. Raises InvariantBroken where one is not what was frozen."""
    digests = {segment["key"]: segment["digest"] for segment in frozen}
    for segment in usage.read_segments(list(digests)):
        expected = digests[segment.key]
        if segment.digest != expected:
            raise InvariantBroken(f"segment {segment.key}", segment.digest, f"it was frozen with digest {expected}")
        yield segment


def segments_within(segments: Iterable[Mapping[str, Any]], start: str, end: str) -> list[Mapping[str, Any]]:
    """The frozen segments that may hold events with `start` <= time < `end`: those of the hours it touches."""
    return [
        segment
        for segment in segments
        if start[:13] <= (hour := hour_of(segment["key"])) and f"{hour}:00:00.000000Z" < end
    ]


def _ordered(hours: Iterable[list[FrozenRow]]) -> Iterator[FrozenRow]:
    """All rows by (time, source, id). Raises InvariantBroken where two are the same event."""
    for rows in hours:
        rows.sort(key=lambda row: row.name)
        last = None
        for row in rows:
            if row.name == last:
                raise InvariantBroken("event", " ".join(row.name), "an event is stored once")
            last = row.name
            yield row


def _in_blocks(rows: Iterable[FrozenRow], size: int) -> Iterator[list[FrozenRow]]:
    block: list[FrozenRow] = []
    for row in rows:
        block.append(row)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _rate_block(
    rows: Iterable[FrozenRow], agreement: Agreement, positions: Positions | None, notes: ShardNotes
) -> tuple[dict[str, bytes], Totals]:
    """The three files of a block and what it adds up to; adds to `notes`."""
    totals = Totals()
    lines: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for row, line in rows:
        lines["usage"].append(line)
        rated, text = rate_event(row, agreement.at(row.time), totals, positions)
        lines["rated" if rated else "excluded"].append(text)
        if not rated:
            notes.add_excluded(text)
        if notes.steps:
            add_long_prompt(notes.long_prompts, row, notes.steps)
    return {kind: "".join(texts).encode() for kind, texts in lines.items()}, totals


def _index(n: int, rows: list[FrozenRow], block: Mapping[str, bytes], totals: Totals) -> dict[str, Any]:
    """What finds an event or a line's events in the block without reading it."""
    return {
        "n": n,
        "usage": len(rows),
        "rated": totals.rated,
        "excluded": sum(totals.excluded.values()),
        "first": list(rows[0].name),
        "last": list(rows[-1].name),
        "lines": {key: line.events for key, line in totals.lines.items()},
        "sha256": {kind: sha256_hex(lines) for kind, lines in block.items() if lines},
    }


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return rate_shard(
        event["run_id"],
        event["customer"],
        event["freeze"],
        event["n"],
        usage=stores.usage_segments(),
        evidence=stores.evidence(),
    )


handler = task_entry(_handle)
