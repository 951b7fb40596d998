"""A month of a graduated plan, rated by us, by DuckDB and by two price libraries in the same run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from bench.graduated import SAMPLE
from bench.rating import AIM_BYTES
from bench.tables import heading, paragraph, table, times, verdict
from lambdas.billing.shards import MAX_SHARD_EVENTS

ROOT = Path(__file__).resolve().parent.parent
LIBRARY_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
"""Where `make bench` installs bench/requirements.txt."""
AIM_DUCKDB, AIM_LIBRARY = 5, 8

OURS = "ours"
JSON_LINES = f"DuckDB {duckdb.__version__}, from JSON lines"
PARQUET = f"DuckDB {duckdb.__version__}, from Parquet"
_COMMANDS = {
    OURS: ("bench.rate_month",),
    JSON_LINES: ("bench.duckdb_month", "json_lines"),
    PARQUET: ("bench.duckdb_month", "parquet"),
}
_LIBRARIES = {"genai-prices": "calc_price", "litellm": "cost_per_token"}


class Size(NamedTuple):
    """How much is measured: months of growing size, each as often as `rounds` says; the one of `compared` events is
    also rated by the others, `sample` of its events by the price libraries. `shard` is the events of a full shard."""

    rounds: dict[int, int]
    compared: int
    sample: int
    shard: int


FULL = Size(
    {10_000: 5, 100_000: 3, 1_000_000: 3, 3_000_000: 2}, compared=1_000_000, sample=20_000, shard=MAX_SHARD_EVENTS
)
QUICK = Size({500: 1, 2_000: 1}, compared=2_000, sample=100, shard=2_000)


class TotalsDiffer(Exception):
    """Two contenders came to different charges: there is nothing to compare."""


class Timed(NamedTuple):
    """The best round of one contender. Price libraries are not asked for their memory."""

    name: str
    us_per_event: float
    peak_bytes: int | None


class Missing(NamedTuple):
    """A price library that could not be measured, and why."""

    name: str
    why: str


class Shard(NamedTuple):
    """A shard of the plan with all its events in one hour, measured and rated as the state machine does it: what the
    process grew by."""

    events: int
    peak_bytes: int


class Comparison(NamedTuple):
    """`growth` is ours by size of the month; `contenders` begins with ours; `charges` and `lines` are what they agree
    on."""

    events: int
    sample: int
    growth: dict[int, Timed]
    shard: Shard
    contenders: list[Timed]
    missing: list[Missing]
    charges: int
    lines: int


def measure(size: Size, progress: Callable[[str], None]) -> Comparison:
    """Every round of every contender in a process of its own. Raises TotalsDiffer."""
    growth = {
        events: _ours_alone(events, rounds, progress)
        for events, rounds in size.rounds.items()
        if events != size.compared
    }
    with tempfile.TemporaryDirectory(prefix="billproof-bench-") as folder:
        progress(f"rating {size.compared:,} graduated events: make")
        _run("bench.graduated", folder, size.compared, size.sample)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in _COMMANDS}
        for turn in range(size.rounds[size.compared]):
            for name, (module, *arguments) in _COMMANDS.items():  # they take turns
                progress(f"rating {size.compared:,} graduated events: {name}, round {turn + 1}")
                found[name].append(_run(module, folder, size.compared, *arguments))
        lines = _agreed(found)
        contenders = [_best(name, size.compared, rounds) for name, rounds in found.items()]
        libraries = []
        for name in _LIBRARIES:
            progress(f"pricing {size.sample:,} of them: {name}")
            libraries.append(_library(name, Path(folder) / SAMPLE, size.rounds[size.compared]))
        contenders += [library for library in libraries if isinstance(library, Timed)]
        missing = [library for library in libraries if isinstance(library, Missing)]
    growth[size.compared] = contenders[0]
    charges = sum(events for events, _, _ in lines.values())
    progress(f"rating a shard of {size.shard:,} graduated events in one hour")
    shard = _shard(size.shard)
    in_order = dict(sorted(growth.items()))
    return Comparison(size.compared, size.sample, in_order, shard, contenders, missing, charges, len(lines))


def _ours_alone(events: int, rounds: int, progress: Callable[[str], None]) -> Timed:
    with tempfile.TemporaryDirectory(prefix="billproof-bench-") as folder:
        progress(f"rating {events:,} graduated events")
        _run("bench.graduated", folder, events)
        return _best(OURS, events, [_run("bench.rate_month", folder, events) for _ in range(rounds)])


def _shard(events: int) -> Shard:
    with tempfile.TemporaryDirectory(prefix="billproof-bench-") as folder:
        _run("bench.phases", "make", folder, events, 1, "graduated")
        return Shard(events, _run("bench.phases", "rate", folder)["peak_bytes"])


def _best(name: str, events: int, rounds: Iterable[dict[str, Any]]) -> Timed:
    best = min(rounds, key=lambda measured: float(measured["seconds"]))
    return Timed(name, best["seconds"] / events * 1e6, best["peak_bytes"])


def _agreed(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[Any]]:
    """The lines that all came to: charges, quantity and exact amount of each."""
    ours: dict[str, list[Any]] = found[OURS][0]["lines"]
    for name, rounds in found.items():
        for measured in rounds:
            for key in sorted(ours.keys() | measured["lines"].keys()):
                if ours.get(key) != measured["lines"].get(key):
                    raise TotalsDiffer(f"line {key}: ours {ours.get(key)}, {name} {measured['lines'].get(key)}")
    return ours


def _library(name: str, rows: Path, rounds: int) -> Timed | Missing:
    if not LIBRARY_PYTHON.exists():
        return Missing(name, f"there is no {LIBRARY_PYTHON.relative_to(ROOT)}; `make bench` makes it")
    command = [str(LIBRARY_PYTHON), "-m", "bench.price_libraries", name, str(rows), str(rounds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    if done.returncode:
        return Missing(name, done.stderr.strip().rpartition("\n")[2])
    measured = json.loads(done.stdout)
    return Timed(f"{name} {measured['version']}, {_LIBRARIES[name]}", min(measured["seconds"]) * 1e6, None)


def _run(module: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    measured: dict[str, Any] = json.loads(done.stdout or "{}")
    return measured


def report(comparison: Comparison) -> str:
    """The section's text."""
    text = f"""
{comparison.events:,} events of a plan with two meters, input and output, each graduated in three tiers after included
units; {comparison.charges:,} charges on {comparison.lines} lines. Ours: the period measured, then segments decoded, put
in order, each event's line of evidence written to a file, totals by line. DuckDB, on one thread: rows loaded, positions
by a window over the same order, split at the same edges, DECIMAL with 18 places, a CSV row for each charge, totals by
line. Charges, quantity and exact amount of every line were equal, else this would have failed. JSON lines are text, as
our rows are; Parquet spares it the decoding. Price libraries: only the call is timed, on {comparison.sample:,} of the
events, already decoded, at list prices, without positions, tiers or output. CPU time, each round in a process of its
own (the libraries' rounds in one), taking turns; the best counts. Peak memory is what the process grew by.
"""
    parts = [heading("4. Rating against others"), paragraph(text), "", _contenders(comparison.contenders)]
    parts += [paragraph(f"NOT MEASURED: {missing.name}: {missing.why}") for missing in comparison.missing]
    return "\n".join([*parts, "", _growth(comparison.growth), "", _memory(comparison.shard)])


def _contenders(contenders: Sequence[Timed]) -> str:
    ours = contenders[0]
    rows = []
    for timed in contenders:
        ratio = timed.us_per_event / ours.us_per_event
        aim, peak = "", "" if timed.peak_bytes is None else _megabytes(timed.peak_bytes)
        slower = times(1 / ratio)
        if timed.name in (JSON_LINES, PARQUET):
            aim = f"ours <= {AIM_DUCKDB} x: {verdict(1 / ratio <= AIM_DUCKDB)}"
        elif timed is not ours:
            aim = f"it >= {AIM_LIBRARY} x: {verdict(ratio >= AIM_LIBRARY)}"
        rows.append((timed.name, slower, times(ratio), aim, f"{timed.us_per_event:.1f}", peak))
    return table(("contender", "ours to it", "it to ours", "aim", "us/event", "peak MB"), rows)


def _growth(growth: dict[int, Timed]) -> str:
    first = next(iter(growth.values()))
    return table(
        ("events, ours", "time/event to first", "us/event", "peak MB"),
        [
            (
                f"{events:,}",
                times(timed.us_per_event / first.us_per_event),
                f"{timed.us_per_event:.1f}",
                _megabytes(timed.peak_bytes or 0),
            )
            for events, timed in growth.items()
        ],
    )


def _memory(shard: Shard) -> str:
    reached = verdict(shard.peak_bytes < AIM_BYTES)
    row = f"{shard.events:,}", _megabytes(shard.peak_bytes), f"< {AIM_BYTES // 1_000_000}: {reached}"
    return table(("events of a shard, all in one hour", "peak MB", "aim"), [row])


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:.1f}"
