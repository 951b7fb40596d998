"""Third step, for plans whose prices depend on positions: what a shard moves each position by (K8).

The sums of all shards before one are where it begins, so shards can then be rated side by side and come to the same
charges as one pass over all events.
"""

from __future__ import annotations

from typing import Any

from lambdas.billing.rating import measure_event
from lambdas.billing.segments import read_rows
from lambdas.handlers import stores
from lambdas.handlers.entry import task_entry
from lambdas.handlers.rate_shard import read_frozen_segments, segments_within
from lambdas.handlers.run_records import frozen_agreement, read_frozen
from lambdas.store.evidence import Evidence, measure_key
from lambdas.store.usage import UsageStore


def measure_shard(
    run_id: str, customer: str, freeze: int, shard: int, *, usage: UsageStore, evidence: Evidence
) -> dict[str, Any]:
    """Count shard `shard` by charge unless its measure is there already. Reads rows only; order does not matter."""
    answer = {"run_id": run_id, "customer": customer, "freeze": freeze, "n": shard}
    key = measure_key(run_id, customer, freeze, shard)
    if evidence.find_json(key) is not None:
        return answer
    frozen = read_frozen(evidence, run_id, customer, freeze)
    agreement = frozen_agreement(frozen)
    limits = frozen["shards"][shard - 1]
    within = segments_within(frozen["segments"], limits["from"], limits["to"])
    counted: dict[str, int] = {}
    for segment in read_frozen_segments(usage, within):
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
