"""Time per event and peak memory of rating months of growing size, of their bundles, and of verifying them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.tables import heading, paragraph, table, times, verdict
from lambdas.billing.shards import MAX_SHARD_EVENTS

AIM_US = 8
AIM_BYTES = 200_000_000
"""What a shard may grow its process by."""
ROOT = Path(__file__).resolve().parent.parent


class Month(NamedTuple):
    """A month to measure: its events, the hours they are spread over, and whether to bundle and verify it too."""

    events: int
    hours: int
    bundled: bool

    @property
    def name(self) -> str:
        return f"{self.events:,}" if self.hours > 1 else f"{self.events:,} in one hour"


FULL = (
    Month(10_000, 720, True),
    Month(100_000, 720, True),
    Month(1_000_000, 720, False),
    Month(MAX_SHARD_EVENTS, 1, False),
)
QUICK = (Month(500, 720, False), Month(2_000, 720, True))


class RatedMonth(NamedTuple):
    """What each phase of a month printed; `bundle` and `verify` are None where the month was not bundled."""

    month: Month
    rate: dict[str, Any]
    bundle: dict[str, Any] | None
    verify: dict[str, Any] | None

    def us(self, phase: dict[str, Any], name: str = "seconds") -> float:
        """CPU microseconds per event."""
        return float(phase[name]) / self.month.events * 1e6


def measure(months: Sequence[Month], progress: Callable[[str], None]) -> list[RatedMonth]:
    """Each phase of each month in a process of its own."""
    return [_measure(month, progress) for month in months]


def _measure(month: Month, progress: Callable[[str], None]) -> RatedMonth:
    with tempfile.TemporaryDirectory(prefix="billproof-bench-") as folder:

        def phase(name: str, *arguments: object) -> dict[str, Any]:
            progress(f"rating {month.name} events: {name}")
            command = [sys.executable, "-m", "bench.phases", name, folder, *map(str, arguments)]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
            measured: dict[str, Any] = json.loads(done.stdout)
            return measured

        phase("make", month.events, month.hours)
        return RatedMonth(
            month=month,
            rate=phase("rate"),
            bundle=phase("bundle") if month.bundled else None,
            verify=phase("verify") if month.bundled else None,
        )


def report(months: Sequence[RatedMonth]) -> str:
    """The section's text."""
    first = months[0]
    rating = table(
        (
            "events",
            "time/event to first",
            "to printing the rows",
            "rating us/event",
            f"aim <= {AIM_US}",
            "whole step us/event",
            "shards",
            "peak MB",
            f"aim < {AIM_BYTES // 1_000_000}",
            "peak to first",
        ),
        [
            (
                rated.month.name,
                times(rated.us(rated.rate, "core_seconds") / first.us(first.rate, "core_seconds")),
                times(rated.rate["core_ratio"]),
                f"{rated.us(rated.rate, 'core_seconds'):.1f}",
                verdict(rated.us(rated.rate, "core_seconds") <= AIM_US) if rated.month.hours > 1 else "",
                f"{rated.us(rated.rate):.1f}",
                str(rated.rate["shards"]),
                _megabytes(rated.rate["peak_bytes"]),
                verdict(rated.rate["peak_bytes"] < AIM_BYTES),
                times(rated.rate["peak_bytes"] / first.rate["peak_bytes"]),
            )
            for rated in months
        ],
    )
    bundles = table(
        (
            "events",
            "build to rating step",
            "verify to rating step",
            "build us/event",
            "verify us/event",
            "build peak MB",
            "verify peak MB",
            "bundle bytes/event",
        ),
        [
            (
                rated.month.name,
                times(rated.us(bundle) / rated.us(rated.rate)),
                times(rated.us(verify) / rated.us(rated.rate)),
                f"{rated.us(bundle):.1f}",
                f"{rated.us(verify):.1f}",
                _megabytes(bundle["peak_bytes"]),
                _megabytes(verify["peak_bytes"]),
                f"{bundle['bytes'] / rated.month.events:.0f}",
            )
            for rated in months
            if (bundle := rated.bundle) is not None and (verify := rated.verify) is not None
        ],
    )
    text = f"""
"rating" is rows decoded and put in order, each event rated and its line of evidence written; "printing the rows" is
the same rows decoded, put in order and printed as JSON without rating. "Whole step" is rate_shard as the state machine
calls it: segments read and checked against their digests, events as received, blocks compressed and stored, summary.
A month above {MAX_SHARD_EVENTS:,} events is rated in several shards, one after the other in one process. "In one hour"
is the largest shard with all its events in one hour: an hour is held in memory at once. Segments hold 100 events.
Tables and bucket are files here; reading them counts in the whole step only. CPU time; peak memory is what the process
grew by; rating, bundle and verification of each month have a process of their own.
"""
    return f"""{heading("3. Rating: time per event and peak memory")}
{paragraph(text)}

{rating}

{bundles}"""


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:.1f}"
