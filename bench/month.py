"""A month of one account, frozen and ready to be rated, with as many events as asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

from bench import workload
from bench.disk import evidence_store, write_segments
from lambdas.billing.canonical import sha256_hex
from lambdas.billing.rating import UsageRow
from lambdas.billing.segments import Segment, StoredEvent, make_segment
from lambdas.billing.shards import MAX_SHARD_EVENTS, Span, plan_shards
from lambdas.billing.times import month_period
from lambdas.handlers.freeze_inputs import hour_of
from lambdas.store.evidence import frozen_key

SEGMENT_EVENTS = 100
"""Events of a request, and so of a segment: the same density for every size of month."""
_HOURS = 30 * 24
_RECEIVED_AT = "2026-11-30T23:59:59.000000Z"
_CUTOFF = "2026-12-01T06:00:00.000000Z"


def make_month(
    folder: Path,
    events: int,
    *,
    hours: int = _HOURS,
    shard_events: int = MAX_SHARD_EVENTS,
    terms: workload.Terms = workload.TERMS,
) -> None:
    """Write segments and frozen inputs to `folder`. Requests are spread evenly over `hours`."""
    heads: list[dict[str, Any]] = []

    def noted() -> Iterator[Segment]:
        for segment in _segments(events, hours):
            heads.append({"key": segment.key, "digest": segment.digest, "events": segment.events, "sums": segment.sums})
            yield segment

    write_segments(folder, noted())
    period = month_period(workload.PERIOD)
    spans = [
        Span(f"{hour}:00:00.000000Z", sum(head["events"] for head in of_hour))
        for hour, of_hour in groupby(heads, key=lambda head: hour_of(head["key"]))
    ]
    shards = plan_shards(period, spans, shard_events)
    evidence_store(folder).put_json_once(
        frozen_key(workload.RUN_ID, workload.CUSTOMER, 1),
        {
            "run_id": workload.RUN_ID,
            "customer": workload.CUSTOMER,
            "period": workload.PERIOD,
            "freeze": 1,
            "frozen_at": _CUTOFF,
            "cutoff": _CUTOFF,
            "segments": heads,
            "events": events,
            "shards": [{"n": s.n, "from": s.start, "to": s.end, "events": s.events} for s in shards],
            "entity": workload.ENTITY,
            "customer_document": {**workload.CUSTOMER_DOCUMENT, "mode": "live"},
            "contracts": [terms.contract],
            "plans": terms.plans,
            "rates": terms.rates,
            "carried": None,
            "unsplit": False,
        },
    )


def _segments(events: int, hours: int) -> Iterator[Segment]:
    draw = Random(20261101)
    requests = -(-events // SEGMENT_EVENTS)
    for request in range(requests):
        day, hour = divmod(request * min(hours, requests) // requests, 24)
        numbers = range(request * SEGMENT_EVENTS, min(events, (request + 1) * SEGMENT_EVENTS))
        moment = f"2026-11-{day + 1:02d}T{hour:02d}"
        yield make_segment(
            f"S#{workload.CUSTOMER}#2026-11-{day + 1:02d}#0|{hour:02d}#{request:016x}",
            _RECEIVED_AT,
            [
                _event(n, f"{moment}:{draw.randrange(60):02d}:{draw.randrange(60):02d}.{draw.randrange(10**6):06d}Z")
                for n in numbers
            ],
        )


def _event(number: int, time: str) -> StoredEvent:
    event = workload.usage_event(number, time)
    data = event["data"]
    row = UsageRow(time, event["source"], event["id"], 0, data["provider"], data["model"], data["quantities"])
    raw = json.dumps(event, separators=(",", ":"))
    return StoredEvent(row, raw, sha256_hex(raw.encode()))
