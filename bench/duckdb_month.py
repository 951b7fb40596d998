"""DuckDB's side of section 4, in a process of its own: the same month in SQL, on one thread, from rows to a file.

    python -m bench.duckdb_month FOLDER EVENTS json_lines|parquet

prints what it measured and the totals of every line as one JSON object, in the form of `bench.rate_month`.

All arithmetic is on whole numbers and DECIMAL: `/`, `avg` and JSON numbers as decimals would be doubles.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import duckdb

from bench.graduated import from_json_lines, from_parquet, terms
from bench.memory import peak_bytes, resident_bytes
from bench.workload import CLASSES, Terms
from lambdas.billing.classes import INPUT_CLASSES
from lambdas.billing.money import ONE, format_amount, parse_amount

SOURCES: dict[str, Callable[[Path], str]] = {"json_lines": from_json_lines, "parquet": from_parquet}
_OPEN = 10**15
"""Where the last tier ends: above any position."""

TIERS = """
CREATE TABLE tiers (charge VARCHAR, tier VARCHAR, lower_bound BIGINT, upper_bound BIGINT, unit_price DECIMAL(19, 18))
"""

CHARGES = """
CREATE TEMP TABLE charges AS
WITH quantities AS (
    SELECT time, source, id, revision, provider || '/' || model AS model, {quantities} FROM {rows}
), positions AS (  -- one window: what each charge has counted when the event is done
    SELECT *, {counted} FROM quantities
    WINDOW ordered AS (ORDER BY time, source, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
), classes AS (  -- within the event in the order of class names
    SELECT time, source, id, revision, model, unnest([{classes}], recursive := true) FROM positions
), used AS (
    SELECT *, start + quantity AS stop FROM classes WHERE quantity > 0
)
SELECT time, source, id, revision,
       charge || '|' || model || '|' || class || '|{card}|' || tier AS line,
       least(stop, upper_bound) - greatest(start, lower_bound) AS quantity,
       (least(stop, upper_bound) - greatest(start, lower_bound))::DECIMAL(18, 0) * unit_price AS amount,
       greatest(start, lower_bound) AS position
FROM used JOIN tiers USING (charge)
WHERE start < upper_bound AND stop > lower_bound
"""

TOTALS = """
SELECT line, count(*), sum(quantity), sum(amount)::VARCHAR FROM charges GROUP BY line ORDER BY line
"""


def rate_month(folder: Path, agreed: Terms, rows: str) -> dict[str, Any]:
    """Split every quantity at the edges of included units and tiers, write the charges, and total them by line:
    (charges, quantity, amount)."""
    with duckdb.connect() as database:
        database.execute("SET threads = 1")
        database.execute(TIERS)
        database.executemany("INSERT INTO tiers VALUES (?, ?, ?, ?, ?)", _tiers(agreed))
        database.execute(_charges(agreed, rows))
        database.execute(f"COPY charges TO '{folder / 'charges.csv'}' (FORMAT csv)")
        totals = database.execute(TOTALS).fetchall()
    return {line: [charges, int(units), format_amount(parse_amount(amount))] for line, charges, units, amount in totals}


def _tiers(agreed: Terms) -> list[tuple[str, str, int, int, str]]:
    """Included units and tiers as ranges of positions, with the price of a unit as decimal text."""
    (card,), (plan,) = agreed.rates.values(), agreed.plans.values()
    included = {charge["id"]: charge["included"] for charge in plan["charges"]}
    rows = []
    for rate in card["rates"]:
        name = rate["charge"]
        rows.append((name, "included", 0, included[name], "0"))
        for number, tier in enumerate(rate["tiers"], start=1):
            upper = _OPEN if tier["up_to"] is None else included[name] + tier["up_to"]
            unit_price, rest = divmod(parse_amount(tier["price"]), rate["per"])
            assert not rest and unit_price < ONE
            rows.append((name, str(number), rows[-1][3], upper, format_amount(unit_price)))
    return rows


def _charges(agreed: Terms, rows: str) -> str:
    (card,) = agreed.rates
    names = sorted(CLASSES)
    counted: dict[str, list[str]] = {"input": [], "output": []}
    classes = []
    for name in names:
        counted["input" if name in INPUT_CLASSES else "output"].append(f"{name}_units")
    for charge, columns in counted.items():
        for n, column in enumerate(columns):
            start = f"{charge}_counted - ({' + '.join(columns[n:])})"
            name = column.removesuffix("_units")
            classes.append(f"{{charge: '{charge}', class: '{name}', quantity: {column}, start: {start}}}")
    return CHARGES.format(
        card=card,
        rows=rows,
        quantities=", ".join(f"coalesce(quantities.{name}, 0) AS {name}_units" for name in names),
        counted=", ".join(
            f"(sum({' + '.join(columns)}) OVER ordered)::BIGINT AS {charge}_counted"
            for charge, columns in counted.items()
        ),
        classes=", ".join(classes),
    )


def main(folder: str, events: str, form: str) -> None:
    memory, begun = resident_bytes(), process_time()
    lines = rate_month(Path(folder), terms(int(events)), SOURCES[form](Path(folder)))
    seconds = process_time() - begun
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes() - memory, "lines": lines}))


if __name__ == "__main__":
    main(*sys.argv[1:])
