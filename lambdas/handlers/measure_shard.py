"""Third step, for plans whose prices depend on positions: what a shard moves each position by (K8).

The sums of all shards before one are where it begins, so shards can then be rated side by side and come to the same
charges as one pass over all events.
"""

from __future__ import annotations

from typing import Any

from lambdas.billing.rating import measure_event, measure_sums
from lambdas.billing.segments import read_rows
from lambdas.handlers import stores
from lambdas.handlers.entry import task_entry
from lambdas.handlers.freeze_inputs import hour_of
from lambdas.handlers.rate_shard import read_frozen_segments, segments_within
from lambdas.handlers.run_records import frozen_agreement, read_frozen
from lambdas.store.evidence import Evidence, measure_key
from lambdas.store.usage import UsageStore


def measure_shard(
    run_id: str, customer: str, freeze: int, shard: int, *, usage: UsageStore, evidence: Evidence
) -> dict[str, Any]:
    """Count shard `shard` by charge unless its measure is there already; order does not matter. Sums of the frozen
    segments are enough, but where an hour is cut or an event may be excluded; then rows are read."""
    answer = {"run_id": run_id, "customer": customer, "freeze": freeze, "n": shard}
    key = measure_key(run_id, customer, freeze, shard)
    if evidence.find_json(key) is not None:
        return answer
    frozen = read_frozen(evidence, run_id, customer, freeze)
    agreement = frozen_agreement(frozen)
    limits = frozen["shards"][shard - 1]
    within = segments_within(frozen["segments"], limits["from"], limits["to"])
    counted: dict[str, int] = {}
    to_read = []
    for frozen_segment in within:
        hour = hour_of(frozen_segment["key"])
        start, last = f"{hour}:00:00.000000Z", f"{hour}:59:59.999999Z"
        whole = limits["from"] <= start and last < limits["to"]
        if not (whole and measure_sums(frozen_segment["sums"], start, agreement.at(start), counted)):
            to_read.append(frozen_segment)
    for segment in read_frozen_segments(usage, to_read):
        for row in read_rows(segment.rows):
            if limits["from"] <= row.time < limits["to"]:
                measure_event(row, agreement.at(row.time), counted)
    evidence.put_json_once(key, counted)
    return answer


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return measure_shard(
        event["run_id"],
        event["customer"],
        event["freeze"],
        event["n"],
        usage=stores.usage_segments(),
        evidence=stores.evidence(),
    )


handler = task_entry(_handle)
