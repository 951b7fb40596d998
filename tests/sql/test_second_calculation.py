"""Two calculations of the same months, ours and one in SQL, charge by charge and line by line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from tests.sql import single_rules
from tests.sql.documents import Agreed
from tests.sql.everything import EVENTS, everything
from tests.sql.kinds_and_meters import (
    blended_template,
    by_service_tier,
    every_kind,
    included_money,
    long_prompts,
    one_volume,
    passed_through,
    per_unit_by_class,
    shared_units_and_money,
    weighted_unit,
)
from tests.sql.second_calculation import calculate, differences, our_calculation, plain_tables, read_ours, write_usage
from tests.sql.terms import changed_plans, changed_pools, limits_and_discounts, own_prices, small_bill, split_by_project

BY_PERIOD = {"amount": "200000000.00", "counting": "period"}
BY_TERM = {"amount": "900000000.00", "counting": "term", "months": 3}
TERM_SO_FAR = {
    "invoice": "BP-2026-000001",
    "hash": "0" * 64,
    "advance": [],
    "committed": {"from": "2026-09-01", "exact": "12345678.123456789"},
}
AGREEMENTS = (
    per_unit_by_class(), every_kind("charge", 0), every_kind("charge", 1), every_kind("class", 2),
    every_kind("class", 3), shared_units_and_money(), included_money(), weighted_unit("per_unit"),
    weighted_unit("package"), weighted_unit("graduated"), blended_template(), passed_through(), by_service_tier(),
    long_prompts(), own_prices(), split_by_project(), changed_plans(), changed_pools(),
    limits_and_discounts(BY_PERIOD, None), limits_and_discounts(BY_TERM, TERM_SO_FAR, "2026-09-01"), small_bill(),
)  # fmt: skip
SMALL = every_kind("charge", 0)._replace(name="a small month", events=2_000, shows=())


def calculated_twice(agreed: Agreed, folder: Path) -> duckdb.DuckDBPyConnection:
    usage = write_usage(agreed, folder)
    our_calculation(agreed, usage, folder)
    database = plain_tables(agreed, usage)
    calculate(database)
    read_ours(database, folder)
    return database


def compare(agreed: Agreed, folder: Path) -> None:
    """Both calculations agree, and the month has in it what the agreement is about."""
    with calculated_twice(agreed, folder) as database:
        assert differences(database) == []
        assert _one(database, "SELECT count(*) FROM our_fates") == agreed.events
        assert _one(database, "SELECT count(*) FROM our_fates WHERE fate = 'rated'") > agreed.events // 20
        for pattern in agreed.shows:
            assert _one(database, "SELECT count(*) FROM our_shown WHERE key LIKE ?", pattern), pattern
        check_that_all_numbers_are_whole(database)


def check_that_all_numbers_are_whole(database: duckdb.DuckDBPyConnection) -> None:
    columns = database.execute("SELECT table_name, column_name, data_type FROM information_schema.columns").fetchall()
    assert len(columns) > 200
    assert [column for column in columns if re.search("DOUBLE|FLOAT|REAL|DECIMAL", column[2])] == []


@pytest.mark.long
@pytest.mark.parametrize("agreed", AGREEMENTS, ids=lambda agreed: agreed.name)
def test_both_calculations_agree(agreed: Agreed, tmp_path: Path) -> None:
    compare(agreed, tmp_path)


@pytest.mark.long
def test_both_calculations_agree_on_a_month_of_200_000_events_in_which_everything_is_agreed(tmp_path: Path) -> None:
    assert EVENTS == 200_000
    compare(everything(), tmp_path)


def test_both_calculations_agree_where_the_total_is_at_the_bound_of_a_volume_and_one_beside_it(tmp_path: Path) -> None:
    with calculated_twice(one_volume(1), tmp_path) as database:
        total = _one(database, "SELECT sum(units) FROM our_charges WHERE line LIKE 'input|%|2'")
    for bound, tier in ((total - 1, 2), (total, 1), (total + 1, 1)):
        compare(one_volume(bound)._replace(shows=[f"input|%|{tier}"]), tmp_path)


@pytest.mark.parametrize(
    "agreed",
    [
        single_rules.percentages_of_two_charges,
        single_rules.maximum_in_one_stretch,
        single_rules.minimum_in_one_stretch,
        single_rules.included_from_the_second_version_on,
        single_rules.graduated_from_the_second_version_on,
        single_rules.long_prompts_during_a_lock,
    ],
)
def test_both_calculations_agree_on_a_single_rule(agreed: Callable[[], Agreed], tmp_path: Path) -> None:
    compare(agreed(), tmp_path)


@pytest.fixture(name="small")
def small_month(tmp_path: Path) -> Iterator[tuple[Path, duckdb.DuckDBPyConnection]]:
    """A month on which both agree: the folder of what we wrote, and the second calculation's plain tables."""
    usage = write_usage(SMALL, tmp_path)
    our_calculation(SMALL, usage, tmp_path)
    with plain_tables(SMALL, usage) as database:
        yield tmp_path, database


def test_one_unit_more_in_our_evidence_is_found(small: tuple[Path, duckdb.DuckDBPyConnection]) -> None:
    folder, database = small
    lines = (folder / "rated.jsonl").read_text(encoding="utf-8").splitlines()
    place, found = next((n, match) for n, line in enumerate(lines) if (match := re.search(r'\|1",(\d+),', line)))
    units = int(found[1])
    lines[place] = lines[place].replace(found[0], f'|1",{units + 1},', 1)
    (folder / "rated.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    calculate(database)
    read_ours(database, folder)
    ours, second = differences(database)
    assert (ours[:2], second[:2]) == (("charges", "ours"), ("charges", "second"))
    assert (ours[2:7], ours[8:]) == (second[2:7], second[8:])
    assert (ours[7], second[7]) == (units + 1, units)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("UPDATE tiers SET price = price || '1' WHERE rate = 0 AND tier = 2", {"charges", "shown", "invoice"}),
        ("UPDATE tiers SET up_to = up_to + 1 WHERE tier = 1", {"charges", "shown", "invoice"}),
        ("UPDATE plan_charges SET included = included + 1 WHERE charge = 'output'", {"charges", "shown", "invoice"}),
        ("UPDATE rates SET effective_from = effective_from - 1 WHERE version = 2", {"charges", "shown", "invoice"}),
        ("DELETE FROM sent WHERE id = (SELECT max(id) FROM sent)", {"charges", "fates", "shown", "invoice"}),
        ("UPDATE contracts SET effective_from = effective_from + 1", {"charges", "fates", "shown", "invoice"}),
        ("UPDATE contracts SET tax_rate = '0.1901'", {"invoice"}),
    ],
)
def test_a_change_in_what_the_second_calculation_starts_from_is_found(
    small: tuple[Path, duckdb.DuckDBPyConnection], change: str, where: set[str]
) -> None:
    folder, database = small
    database.execute(change)
    calculate(database)
    read_ours(database, folder)
    assert {difference[0] for difference in differences(database)} == where


def test_without_a_change_the_small_month_agrees(small: tuple[Path, duckdb.DuckDBPyConnection]) -> None:
    folder, database = small
    calculate(database)
    read_ours(database, folder)
    assert differences(database) == []


@pytest.mark.parametrize("name", ["tables", "rating", "settlement", "ours"])
def test_the_sql_never_divides_into_fractions(name: str) -> None:
    """`/` and avg make a DOUBLE, whatever they are given; `//` is the division of whole numbers."""
    text = (Path(__file__).parent / f"{name}.sql").read_text()
    code = re.sub(r"--.*|'[^']*'", "", text)
    assert re.findall(r"(?<!/)/(?!/)|\bavg\b|\bDOUBLE\b|\bFLOAT\b|\d\.\d", code) == []


def _one(database: duckdb.DuckDBPyConnection, query: str, *parameters: str) -> int:
    row = database.execute(query, parameters).fetchone()
    assert row is not None
    return int(row[0])
