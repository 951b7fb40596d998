"""Section 4 compares like with like: the same charges, or no comparison; and says what it could not measure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import duckdb_month, others, rate_month
from bench.graduated import from_json_lines, from_parquet, make_segments, make_tables, terms
from bench.others import JSON_LINES, OURS, PARQUET, Comparison, Missing, Shard, Timed, TotalsDiffer
from bench.workload import PERIOD
from lambdas.billing.agreements import compile_agreement
from lambdas.billing.shards import summarize

EVENTS = 300


@pytest.fixture
def month(tmp_path: Path) -> Path:
    make_segments(tmp_path, EVENTS)
    make_tables(tmp_path, EVENTS, sample=30)
    return tmp_path


def lines_of_ours(month: Path, events: int = EVENTS) -> dict[str, Any]:
    contract, plans, rates = terms(events)
    totals = rate_month.rate_month(month, compile_agreement(PERIOD, [contract], plans, rates))
    lines = summarize(totals)["lines"]
    return {key: [line["events"], line["quantity"], line["amount"]] for key, line in lines.items()}


def test_duckdb_comes_to_the_same_charges_from_either_form(month: Path) -> None:
    ours = lines_of_ours(month)
    assert {key.split("|")[4] for key in ours} == {"included", "1", "2", "3"}  # the month goes through every tier
    for rows in (from_json_lines(month), from_parquet(month)):
        assert duckdb_month.rate_month(month, terms(EVENTS), rows) == ours


def test_duckdb_writes_each_charge_once(month: Path) -> None:
    lines = duckdb_month.rate_month(month, terms(EVENTS), from_json_lines(month))
    rows = (month / "charges.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + sum(charges for charges, _, _ in lines.values())  # a row of names first


def test_other_edges_are_other_charges(month: Path) -> None:
    """The comparison can fail: edges one event lower move units to another line."""
    assert duckdb_month.rate_month(month, terms(EVENTS - 1), from_json_lines(month)) != lines_of_ours(month)


def rounds(amount: str) -> list[dict[str, Any]]:
    return [{"seconds": 1, "peak_bytes": 0, "lines": {"input|1": [1, 10, amount]}}]


def test_contenders_that_differ_by_the_last_decimal_are_not_compared() -> None:
    found = {OURS: rounds("0.000000000000000001"), JSON_LINES: rounds("0.000000000000000002")}
    with pytest.raises(TotalsDiffer, match=r"line input\|1: ours .*0001'\], DuckDB .*0002'\]"):
        others._agreed(found)


def test_a_line_that_only_one_has_is_a_difference() -> None:
    other = [{**rounds("1")[0], "lines": {"input|1": [1, 10, "1"], "input|2": [1, 1, "0"]}}]
    with pytest.raises(TotalsDiffer, match=r"line input\|2: ours None"):
        others._agreed({OURS: rounds("1"), PARQUET: other})


def test_a_library_that_is_not_installed_is_reported_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "LIBRARY_PYTHON", others.ROOT / "nowhere" / "python")
    missing = others._library("litellm", Path("rows.json"), 1)
    assert missing == Missing("litellm", "there is no nowhere/python; `make bench` makes it")
    text = others.report(comparison(12.0, missing=[missing]))
    assert "\nNOT MEASURED: litellm: there is no nowhere/python; `make bench` makes it\n" in text


def comparison(
    library: float, *, duckdb: float = 1.0, peak: int = 0, missing: list[Missing] | None = None
) -> Comparison:
    """Ours takes 5 microseconds per event."""
    ours = Timed(OURS, 5.0, 0)
    contenders = [ours, Timed(JSON_LINES, duckdb, 0), Timed("library", library, None)]
    return Comparison(10, 1, {10: ours}, Shard(10, peak), contenders, missing or [], charges=20, lines=2)


@pytest.mark.parametrize(("duckdb", "verdict"), [(1.01, "reached"), (1.0, "reached"), (0.99, "NOT reached")])
def test_five_times_duckdb_is_still_within_the_aim(duckdb: float, verdict: str) -> None:
    assert f"ours <= 5 x: {verdict}" in others.report(comparison(40, duckdb=duckdb))


@pytest.mark.parametrize(("library", "verdict"), [(40.1, "reached"), (40.0, "reached"), (39.9, "NOT reached")])
def test_a_library_must_take_at_least_eight_times_as_long(library: float, verdict: str) -> None:
    assert f"it >= 8 x: {verdict}" in others.report(comparison(library))


@pytest.mark.parametrize(("peak", "verdict"), [(199_999_999, "reached"), (200_000_000, "NOT reached")])
def test_a_shard_must_stay_below_200_megabytes(peak: int, verdict: str) -> None:
    assert f"< 200: {verdict}" in others.report(comparison(40, peak=peak))
