"""The cost arithmetic against amounts computed by hand."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from bench.cost import GB, MILLION, CostLine, Measured, Prices, cost_lines, duration_s, read_prices, report
from bench.request_units import OtherReads, RequestUse

PRICES = Prices(
    {
        "region": "nowhere",
        "as_of": "a test",
        "api_gateway": {"per_million_requests": "1.00", "metered_bytes": 524_288},
        "lambda": {"per_million_requests": "0.20", "per_gb_second": "0.00001", "full_core_mb": 2048},
        "dynamodb": {
            "per_million_write_units": "0.625",
            "per_million_read_units": "0.125",
            "per_gb_month": "0.25",
            "backup_per_gb_month": "0.20",
        },
        "s3": {"per_gb_month": "0.02", "per_thousand_puts": "0.005", "per_thousand_gets": "0.0004"},
        "logs": {"per_gb": "0.50", "stored_per_gb_month": "0.03"},
        "step_functions": {"per_thousand_transitions": "0.025"},
        "xray": {"per_million_traces": "5.00"},
        "transfer": {"per_gb": "0.09"},
        "assumed": {
            "cpu_factor": "2",
            "transaction_wait_ms": "8",
            "transaction_wait_ms_per_action": "0.5",
            "ingest_mb": 1024,
            "run_mb": 2048,
            "watch_mb": 512,
            "watch_ms_per_record": "10",
            "records_per_watch": "20",
            "customers_per_watch": "5",
            "key_checks_per_request": "0.02",
            "key_check_mb": 512,
            "key_check_ms": "20",
            "cold_starts_per_request": "0.001",
            "traced_requests": "0.05",
            "platform_log_bytes": 400,
            "platform_log_events": 3,
            "access_log_bytes": 420,
            "log_event_overhead_bytes": 26,
            "log_months": "12",
            "log_compression": "0.15",
            "months_kept": "12",
            "events_per_account_month": 1_000_000,
            "transitions_per_account": 12,
            "transitions_per_shard": 2,
            "bundle_downloads": "1",
        },
    }
)

REQUEST = RequestUse(
    batch=10,
    counters="new",
    counter_bytes=(300, 300),
    claim_units=Fraction(20),
    segment_units=Fraction(4),
    counter_units=Fraction(4),
    read_units=Fraction(0),
    transactions=Fraction(1),
    counter_writes=Fraction(2),
    stored_bytes=Fraction(5000),
    run_read_units=Fraction(2),
    request_bytes=4000,
    response_bytes=2500,
    log_bytes=900,
    log_events=2,
)
MEASURED = Measured(
    request=REQUEST,
    others=OtherReads(cold=Fraction(5), authorizer=Fraction(1), watched=Fraction(4)),
    handler_us_per_event=Fraction(100),
    rate_us_per_event=Fraction(30),
    bundle_us_per_event=Fraction(70),
    evidence_bytes_per_event=Fraction(140),
    bundle_bytes_per_event=Fraction(130),
)
REQUESTS = 100_000
"""A million events, ten in each."""


def usd(name: str, measured: Measured = MEASURED) -> Fraction:
    return next(line.usd for line in cost_lines(PRICES, measured) if line.name == name)


def with_request(**changes: int | Fraction) -> Measured:
    return MEASURED._replace(request=REQUEST._replace(**changes))  # type: ignore[arg-type]


def test_writes_cost_units_times_the_price_of_a_unit() -> None:
    assert usd("DynamoDB writes") == REQUESTS * (20 + 4 + 4) * Fraction("0.625") / MILLION  # 1.75


def test_reads_are_those_of_the_run_the_watch_and_their_share_of_key_checks_and_cold_starts() -> None:
    units = 0 + 2 + Fraction("0.001") * 5 + Fraction("0.02") * 1 + Fraction(2, 20) * 5 * 4
    assert usd("DynamoDB reads") == REQUESTS * units * Fraction("0.125") / MILLION


@pytest.mark.parametrize(("size", "started"), [(0, 1), (524_288, 1), (524_289, 2), (1_000_000, 2)])
def test_a_request_is_metered_in_started_512_kilobytes(size: int, started: int) -> None:
    assert usd("API Gateway requests", with_request(request_bytes=size)) == REQUESTS * started * Fraction(1, MILLION)


def test_a_function_with_half_a_core_takes_twice_as_long_and_one_with_two_no_less_than_one_core() -> None:
    assert duration_s(PRICES, Fraction(1000), Fraction(2048)) == Fraction(1000 * 2, MILLION)
    assert duration_s(PRICES, Fraction(1000), Fraction(1024)) == Fraction(1000 * 2 * 2, MILLION)
    assert duration_s(PRICES, Fraction(1000), Fraction(4096)) == Fraction(1000 * 2, MILLION)


def test_ingest_is_billed_for_computing_and_waiting() -> None:
    computing_ms = Fraction(100 * 10 * 2 * 2, 1000)  # events x factor, on half a core: 4 ms
    waiting_ms = 8 + Fraction("0.5") * (10 + 1 + 2)  # claims, segment, counters: 14.5 ms
    gb_seconds = (computing_ms + waiting_ms) / 1000 * 1  # 1,024 MB
    assert usd("Lambda ingest_usage") == REQUESTS * (gb_seconds * Fraction("0.00001") + Fraction("0.20") / MILLION)


def test_key_checks_and_stream_records_have_their_share_of_invocations() -> None:
    request_usd = Fraction("0.20") / MILLION
    check = Fraction("0.020") / 2 * Fraction("0.00001") + request_usd  # 20 ms of half a GB
    watch = Fraction("0.200") / 2 * Fraction("0.00001") + request_usd  # 20 records of 10 ms
    expected = REQUESTS * Fraction("0.02") * check + REQUESTS * 2 / Fraction(20) * watch
    assert usd("Lambda key check, counters' watch") == expected


def test_logs_are_paid_when_written_and_while_kept() -> None:
    size = Fraction(900 + 400 + 420 + (2 + 3 + 1) * 26, GB)
    kept = Fraction("0.15") * 12 * Fraction("0.03")
    traces = Fraction("0.05") * 5 / MILLION
    assert usd("CloudWatch logs, X-Ray") == REQUESTS * (size * (Fraction("0.50") + kept) + traces)


def test_a_run_s_functions_are_billed_per_event_on_one_core() -> None:
    assert usd("billing run: Lambda") == Fraction(100 * 2) * 2 * Fraction("0.00001")  # 200 s of 2 GB


def test_blocks_transitions_and_one_download_of_the_bundle() -> None:
    blocks = 100 * 3 * (Fraction("0.005") + Fraction("0.0004")) / 1000
    transitions = (1 * 12 + Fraction(MILLION, 80_000) * 2) * Fraction("0.025") / 1000
    download = Fraction(130 * MILLION, GB) * Fraction("0.09")
    assert usd("billing run: S3, Step Functions, download") == blocks + transitions + download


def test_storage_is_paid_for_each_month_kept() -> None:
    items = Fraction(REQUESTS * 5000, GB) * (Fraction("0.25") + Fraction("0.20")) * 12
    objects = Fraction((140 + 130) * MILLION, GB) * Fraction("0.02") * 12
    assert usd("storage kept: DynamoDB with backup") == items
    assert usd("storage kept: S3") == objects


def test_the_table_ends_with_the_sum_of_its_lines_rounded_once() -> None:
    total = sum((line.usd for line in cost_lines(PRICES, MEASURED)), Fraction(0))
    mills = int(total * 1000 + Fraction(1, 2))
    assert report(PRICES, [MEASURED]).splitlines()[-1].split() == ["total", f"{mills // 1000}.{mills % 1000:03d}"]


def test_every_amount_in_the_file_is_exact() -> None:
    prices = read_prices()
    assert all(isinstance(line, CostLine) and line.usd > 0 for line in cost_lines(prices, MEASURED))


def test_a_float_in_the_file_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"s3\.per_gb_month = 0\.023"):
        Prices({"s3": {"per_gb_month": 0.023}})("s3", "per_gb_month")


@pytest.mark.parametrize(
    ("assumed", "function"),
    [
        ("ingest_mb", "ingest_usage"),
        ("run_mb", "rate_shard"),
        ("run_mb", "build_bundle"),
        ("watch_mb", "watch_limits"),
        ("key_check_mb", "authorize_request"),
    ],
)
def test_functions_have_the_memory_that_the_cost_assumes(assumed: str, function: str, template_path: Path) -> None:
    resources = json.loads(template_path.read_text(encoding="utf-8"))["Resources"].values()
    found = [
        resource["Properties"]["MemorySize"]
        for resource in resources
        if resource["Type"] == "AWS::Lambda::Function"
        and resource["Properties"].get("Handler") == f"lambdas.handlers.{function}.handler"
    ]
    assert found == [read_prices().assumed(assumed)]
