"""One phase of rating a month, alone in its process, so that time and peak memory are its own.

    python -m bench.phases PHASE FOLDER [EVENTS HOURS [graduated]]

prints what it measured as one JSON object. `make` must come first; `bundle` needs `rate`, `verify` needs `bundle`.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from bench import graduated, workload
from bench.disk import evidence_store, usage_store
from bench.memory import peak_bytes, resident_bytes
from bench.month import make_month
from lambdas.billing.bundle import write_bundle
from lambdas.billing.invoice import draft_document, issued_document
from lambdas.billing.journal import invoice_transaction
from lambdas.billing.rating import Totals, rate_event
from lambdas.billing.segments import Segment, read_rows
from lambdas.billing.shards import add_summary
from lambdas.billing.verify import verify_bundle
from lambdas.handlers.draft_invoice import draft_of
from lambdas.handlers.freeze_inputs import hour_of
from lambdas.handlers.measure_shard import measure_shard
from lambdas.handlers.rate_shard import rate_shard
from lambdas.handlers.run_records import block_entries, frozen_agreement, read_block, read_frozen, read_summary

_EVENTS_TO_REPEAT = 200_000
_MOST_ROUNDS = 20
"""Small months are rated several times, so that a figure stands on many events."""


def rate(folder: Path) -> dict[str, Any]:
    """The step `rate_shard`, shard after shard, as the state machine calls it (and before it `measure_shard`, where
    prices depend on positions); then, apart, rating itself."""
    usage, evidence = usage_store(folder), evidence_store(folder)
    frozen = read_frozen(evidence, workload.RUN_ID, workload.CUSTOMER, 1)
    positional = frozen_agreement(frozen).positional
    memory, begun = resident_bytes(), process_time()
    for shard in frozen["shards"] if positional else ():
        measure_shard(workload.RUN_ID, workload.CUSTOMER, 1, shard["n"], usage=usage, evidence=evidence)
    for shard in frozen["shards"]:
        rate_shard(workload.RUN_ID, workload.CUSTOMER, 1, shard["n"], usage=usage, evidence=evidence)
    seconds, peak = process_time() - begun, peak_bytes()
    summaries = [read_summary(evidence, frozen, shard["n"]) for shard in frozen["shards"]]
    assert sum(summary["rated"] for summary in summaries) == frozen["events"]
    return {
        "seconds": seconds,
        "peak_bytes": peak - memory,
        "shards": len(frozen["shards"]),
        "bytes": sum(path.stat().st_size for path in (folder / "evidence").rglob("shard-*/*")),
        **({} if positional else _core(folder, frozen)),
    }


def _core(folder: Path, frozen: Mapping[str, Any]) -> dict[str, Any]:
    """Rating itself: rows decoded and put in order, each rated, its line written; beside decoding the same rows and
    printing them again without rating. Reading segments from disk is not counted."""
    agreement = frozen_agreement(frozen)
    keys = [segment["key"] for segment in frozen["segments"]]

    def rated(segments: list[Segment]) -> bytes:
        rows = [row for segment in segments for row in read_rows(segment.rows)]
        rows.sort(key=lambda row: row[:3])
        return "".join([rate_event(row, agreement.at(row.time), totals).text for row in rows]).encode()

    def printed(segments: list[Segment]) -> bytes:
        rows = [row for segment in segments for row in json.loads(zlib.decompress(segment.rows))]
        rows.sort(key=lambda row: row[:3])
        return "\n".join([json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]).encode()

    ways: dict[str, Callable[[list[Segment]], bytes]] = {"rated": rated, "printed": printed}
    rounds: list[dict[str, float]] = []
    with (folder / "lines").open("wb") as out:
        for _ in range(min(_MOST_ROUNDS, max(1, _EVENTS_TO_REPEAT // frozen["events"]))):
            totals = Totals()
            seconds = dict.fromkeys(ways, 0.0)
            for segments in _hours(folder, keys):
                for way, call in ways.items():
                    begun = process_time()
                    out.write(call(segments))
                    seconds[way] += process_time() - begun
            out.truncate(0)
            rounds.append(seconds)
            assert totals.rated == frozen["events"]
    return {
        "core_seconds": median(seconds["rated"] for seconds in rounds),
        "core_ratio": median(seconds["rated"] / seconds["printed"] for seconds in rounds),
    }


def bundle(folder: Path) -> dict[str, Any]:
    """The bundle of the rated month, as `build_bundle` writes it."""
    evidence = evidence_store(folder)
    frozen = read_frozen(evidence, workload.RUN_ID, workload.CUSTOMER, 1)
    invoice = _invoice(folder, frozen)
    memory, begun = resident_bytes(), process_time()
    with (folder / "bundle.zip").open("wb") as out:
        write_bundle(
            out,
            invoice=invoice,
            contracts=frozen["contracts"],
            plans=frozen["plans"],
            rates=frozen["rates"],
            journal=invoice_transaction(invoice),
            frozen=frozen,
            blocks=(read_block(evidence, frozen, entry) for entry in block_entries(evidence, frozen)),
        )
    seconds = process_time() - begun
    return {"seconds": seconds, "peak_bytes": peak_bytes() - memory, "bytes": (folder / "bundle.zip").stat().st_size}


def verify(folder: Path) -> dict[str, Any]:
    memory, begun = resident_bytes(), process_time()
    facts = verify_bundle(folder / "bundle.zip").require_ok()
    return {"seconds": process_time() - begun, "peak_bytes": peak_bytes() - memory, "events": facts.events}


def _hours(folder: Path, keys: list[str]) -> Iterator[list[Segment]]:
    usage = usage_store(folder)
    for _, of_hour in groupby(keys, key=hour_of):
        yield list(usage.read_segments(list(of_hour)))


def _invoice(folder: Path, frozen: Mapping[str, Any]) -> dict[str, Any]:
    """What drafting and issuing make of the summaries."""
    agreement, totals = frozen_agreement(frozen), Totals()
    for shard in frozen["shards"]:
        add_summary(totals, read_summary(evidence_store(folder), frozen, shard["n"]), agreement)
    document = draft_document(draft_of(frozen, agreement), totals)
    return issued_document(document, number="BN-2026-000001", issued_at=frozen["cutoff"])


PHASES: dict[str, Callable[[Path], dict[str, Any]]] = {"rate": rate, "bundle": bundle, "verify": verify}


def main(phase: str, folder: str, *of_month: str) -> None:
    if phase == "make":
        events, hours = map(int, of_month[:2])
        agreed = graduated.terms(events) if "graduated" in of_month[2:] else workload.TERMS
        make_month(Path(folder), events, hours=hours, terms=agreed)
        print("{}")
    else:
        print(json.dumps(PHASES[phase](Path(folder))))


if __name__ == "__main__":
    main(*sys.argv[1:])
