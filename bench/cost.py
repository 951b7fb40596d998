"""AWS cost per million accepted events, from measured use and the prices and assumptions of `prices.toml`.

Money is exact: amounts are fractions made from decimal text and from whole numbers, rounded only to be printed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from bench.ingest import HANDLER, IngestCost
from bench.rating import RatedMonth
from bench.request_units import FEW, OtherReads, RequestUse, Units
from bench.tables import heading, paragraph, table
from lambdas.billing.shards import MAX_SHARD_EVENTS

MILLION = 1_000_000
GB = 2**30
_FILE = Path(__file__).with_name("prices.toml")


class Measured(NamedTuple):
    """What this run measured for requests of one size, and for the monthly run per event. CPU in microseconds."""

    request: RequestUse
    others: OtherReads
    handler_us_per_event: Fraction
    rate_us_per_event: Fraction
    bundle_us_per_event: Fraction
    """Building a bundle and verifying it, which `build_bundle` does too."""
    evidence_bytes_per_event: Fraction
    """Rated blocks in S3."""
    bundle_bytes_per_event: Fraction


class CostLine(NamedTuple):
    """One line of the table: what, and USD per million accepted events."""

    name: str
    usd: Fraction


class Prices:
    """The numbers of `prices.toml`, exact."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def __call__(self, section: str, name: str) -> Fraction:
        """Raises TypeError for a float: write amounts as text."""
        value = self._document[section][name]
        if not isinstance(value, str | int):
            raise TypeError(f"{section}.{name} = {value}: write it as text or as a whole number")
        return Fraction(value)

    def assumed(self, name: str) -> Fraction:
        return self("assumed", name)

    @property
    def source(self) -> str:
        return f"{self._document['region']}, {self._document['as_of']}"


def read_prices() -> Prices:
    return Prices(tomllib.loads(_FILE.read_text(encoding="utf-8")))


def cost_lines(prices: Prices, measured: Measured) -> list[CostLine]:
    """The lines of one batch size, in the order of the table."""
    requests = Fraction(MILLION, measured.request.batch)
    return [
        CostLine("API Gateway requests", _api(prices, measured.request, requests)),
        CostLine("Lambda ingest_usage", _ingest(prices, measured, requests)),
        CostLine("Lambda key check, counters' watch", _beside(prices, measured.request, requests)),
        CostLine("DynamoDB writes", _dynamodb_writes(prices, measured.request, requests)),
        CostLine("DynamoDB reads", _dynamodb_reads(prices, measured, requests)),
        CostLine("CloudWatch logs, X-Ray", _logs(prices, measured.request, requests)),
        CostLine(
            "answers to the internet", requests * _gb(measured.request.response_bytes) * prices("transfer", "per_gb")
        ),
        CostLine("billing run: Lambda", _run_lambda(prices, measured)),
        CostLine("billing run: S3, Step Functions, download", _run_requests(prices, measured)),
        CostLine("storage kept: DynamoDB with backup", _stored_items(prices, measured.request, requests)),
        CostLine("storage kept: S3", _stored_objects(prices, measured)),
    ]


def duration_s(prices: Prices, cpu_us: Fraction, memory_mb: Fraction) -> Fraction:
    """Seconds a function of this memory takes for CPU work that took `cpu_us` here: at most one core is used."""
    share = min(Fraction(1), memory_mb / prices("lambda", "full_core_mb"))
    return cpu_us / MILLION * prices.assumed("cpu_factor") / share


def invocation_usd(prices: Prices, seconds: Fraction, memory_mb: Fraction) -> Fraction:
    """One invocation, billed for its duration and as a request."""
    return (
        seconds * memory_mb / 1024 * prices("lambda", "per_gb_second")
        + prices("lambda", "per_million_requests") / MILLION
    )


def _api(prices: Prices, request: RequestUse, requests: Fraction) -> Fraction:
    started = max(1, -(-request.request_bytes // int(prices("api_gateway", "metered_bytes"))))
    return requests * started * prices("api_gateway", "per_million_requests") / MILLION


def _ingest(prices: Prices, measured: Measured, requests: Fraction) -> Fraction:
    memory, request = prices.assumed("ingest_mb"), measured.request
    actions = request.batch + request.transactions + request.counter_writes  # a segment in each transaction
    waiting_ms = request.transactions * prices.assumed("transaction_wait_ms") + actions * prices.assumed(
        "transaction_wait_ms_per_action"
    )
    seconds = duration_s(prices, measured.handler_us_per_event * request.batch, memory) + waiting_ms / 1000
    return requests * invocation_usd(prices, seconds, memory)


def _beside(prices: Prices, request: RequestUse, requests: Fraction) -> Fraction:
    memory = prices.assumed("key_check_mb")
    check = invocation_usd(prices, prices.assumed("key_check_ms") / 1000, memory)
    records = requests * request.counter_writes
    batch = prices.assumed("records_per_watch")
    watch = invocation_usd(prices, batch * prices.assumed("watch_ms_per_record") / 1000, prices.assumed("watch_mb"))
    return requests * prices.assumed("key_checks_per_request") * check + records / batch * watch


def _dynamodb_writes(prices: Prices, request: RequestUse, requests: Fraction) -> Fraction:
    return requests * request.write_units * prices("dynamodb", "per_million_write_units") / MILLION


def _dynamodb_reads(prices: Prices, measured: Measured, requests: Fraction) -> Fraction:
    others, request = measured.others, measured.request
    watches = request.counter_writes / prices.assumed("records_per_watch")
    units = (
        request.read_units
        + request.run_read_units
        + prices.assumed("cold_starts_per_request") * others.cold
        + prices.assumed("key_checks_per_request") * others.authorizer
        + watches * prices.assumed("customers_per_watch") * others.watched
    )
    return requests * units * prices("dynamodb", "per_million_read_units") / MILLION


def _logs(prices: Prices, request: RequestUse, requests: Fraction) -> Fraction:
    events = request.log_events + prices.assumed("platform_log_events") + 1
    size = (
        request.log_bytes
        + prices.assumed("platform_log_bytes")
        + prices.assumed("access_log_bytes")
        + events * prices.assumed("log_event_overhead_bytes")
    )
    stored = prices.assumed("log_compression") * prices.assumed("log_months") * prices("logs", "stored_per_gb_month")
    traces = prices.assumed("traced_requests") * prices("xray", "per_million_traces") / MILLION
    return requests * (_gb(size) * (prices("logs", "per_gb") + stored) + traces)


def _run_lambda(prices: Prices, measured: Measured) -> Fraction:
    memory = prices.assumed("run_mb")
    cpu = measured.rate_us_per_event + measured.bundle_us_per_event
    seconds = duration_s(prices, cpu, memory)
    return MILLION * seconds * memory / 1024 * prices("lambda", "per_gb_second")


def _run_requests(prices: Prices, measured: Measured) -> Fraction:
    """Blocks of 10,000 events are two or three objects, put once and read once; a bundle is downloaded."""
    objects = Fraction(MILLION, 10_000) * 3
    s3 = objects * (prices("s3", "per_thousand_puts") + prices("s3", "per_thousand_gets")) / 1000
    accounts = MILLION / prices.assumed("events_per_account_month")
    shards = Fraction(MILLION, MAX_SHARD_EVENTS)
    transitions = accounts * prices.assumed("transitions_per_account") + shards * prices.assumed(
        "transitions_per_shard"
    )
    steps = transitions * prices("step_functions", "per_thousand_transitions") / 1000
    download = MILLION * _gb(measured.bundle_bytes_per_event) * prices.assumed("bundle_downloads")
    return s3 + steps + download * prices("transfer", "per_gb")


def _stored_items(prices: Prices, request: RequestUse, requests: Fraction) -> Fraction:
    month = prices("dynamodb", "per_gb_month") + prices("dynamodb", "backup_per_gb_month")
    return requests * _gb(request.stored_bytes) * month * prices.assumed("months_kept")


def _stored_objects(prices: Prices, measured: Measured) -> Fraction:
    size = measured.evidence_bytes_per_event + measured.bundle_bytes_per_event
    return MILLION * _gb(size) * prices("s3", "per_gb_month") * prices.assumed("months_kept")


def _gb(size: Fraction | int) -> Fraction:
    return Fraction(size) / GB


def measured_of(ingest: Sequence[IngestCost], units: Units, months: Sequence[RatedMonth]) -> list[Measured]:
    """What the other sections measured; counters as after a month of a few models, the largest bundled month."""
    month = [month for month in months if month.bundle is not None][-1]
    assert month.bundle is not None and month.verify is not None
    events = month.month.events
    return [
        Measured(
            request=units.of(cost.batch, FEW),
            others=units.others,
            handler_us_per_event=_whole_ns(cost.seconds[HANDLER]),
            rate_us_per_event=_whole_ns(month.rate["seconds"] / events),
            bundle_us_per_event=_whole_ns((month.bundle["seconds"] + month.verify["seconds"]) / events),
            evidence_bytes_per_event=Fraction(month.rate["bytes"], events),
            bundle_bytes_per_event=Fraction(month.bundle["bytes"], events),
        )
        for cost in ingest
    ]


def _whole_ns(seconds: float) -> Fraction:
    """A measured time as microseconds, cut to whole nanoseconds: no float goes on into an amount."""
    return Fraction(round(seconds * 1e9), 1000)


def report(prices: Prices, measured: Sequence[Measured]) -> str:
    """The section's text."""
    columns = [cost_lines(prices, one) for one in measured]
    totals = [sum((line.usd for line in column), Fraction(0)) for column in columns]
    smallest = min(totals)
    rows = [(lines[0].name, *(_usd(line.usd) for line in lines)) for lines in zip(*columns, strict=True)]
    rows.append(("total", *map(_usd, totals)))
    rows.insert(0, ("total, to the cheapest size", *(f"{float(total / smallest):.2f} x" for total in totals)))
    costs = table(("USD per million events", *(f"{one.request.batch} per request" for one in measured)), rows)
    text = f"""
Prices and assumptions: bench/prices.toml
({prices.source}).
Request units, bytes and log lines as counted above (counters of {FEW}). Lambda durations: CPU of this
run x {float(prices.assumed("cpu_factor")):g}, by the function's share of a core, plus assumed waiting. Reading a stream
from Lambda is free. Storage is what a million events leave, kept for {prices.assumed("months_kept")} months. Not in it:
free tiers, alarms, custom metrics (6 names), duplicates and retries, support, taxes.
"""
    return f"""{heading("5. AWS cost per million accepted events")}
{paragraph(text)}

{costs}"""


def _usd(amount: Fraction) -> str:
    """Three decimals, halves away from zero."""
    mills = int(amount * 1000 + Fraction(1, 2))
    return f"{mills // 1000}.{mills % 1000:03d}"
