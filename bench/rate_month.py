"""Our side of section 4, in a process of its own: a month rated in one run, from stored segments to lines in a file.

    python -m bench.rate_month FOLDER EVENTS

prints what it measured and the totals of every line as one JSON object.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from time import process_time
from typing import Any

from bench.graduated import read_segments, terms
from bench.memory import peak_bytes, resident_bytes
from bench.workload import PERIOD
from lambdas.billing.agreements import Agreement, compile_agreement
from lambdas.billing.rating import Positions, Totals, measure_event, measure_sums, rate_event
from lambdas.billing.segments import read_rows
from lambdas.billing.shards import summarize


def rate_month(folder: Path, agreement: Agreement) -> Totals:
    """Both passes of the billing run: what the period counts, then each event rated where it stands, hour by hour."""
    counted: dict[str, int] = {}
    for segment in read_segments(folder):
        start = f"{segment.hour}:00:00.000000Z"
        if not measure_sums(segment.sums, start, agreement.at(start), counted):
            for row in read_rows(segment.rows):
                measure_event(row, agreement.at(row.time), counted)
    positions, totals = Positions({}, counted), Totals()
    with (folder / "lines").open("wb") as out:
        for _, hour in groupby(read_segments(folder), key=lambda segment: segment.hour):
            rows = [row for segment in hour for row in read_rows(segment.rows)]
            rows.sort(key=lambda row: row[:3])
            lines = [rate_event(row, agreement.at(row.time), totals, positions).text for row in rows]
            out.write("".join(lines).encode())
    return totals


def main(folder: str, events: str) -> None:
    memory, begun = resident_bytes(), process_time()
    contract, plans, rates = terms(int(events))
    totals = rate_month(Path(folder), compile_agreement(PERIOD, [contract], plans, rates))
    measured: dict[str, Any] = {"seconds": process_time() - begun, "peak_bytes": peak_bytes() - memory}
    lines = summarize(totals)["lines"]
    measured["lines"] = {key: [line["events"], line["quantity"], line["amount"]] for key, line in lines.items()}
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
