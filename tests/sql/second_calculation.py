"""Our calculation and the one in SQL, and what differs between them.

The SQL (`tables.sql`, `rating.sql`, `settlement.sql`) starts from the events as they were sent and from the documents
as plain tables. It shares nothing with the code that it checks: no price, no split, no order comes from there. All of
its numbers are whole (HUGEINT counts 10^-18).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from lambdas.billing.agreements import compile_agreement
from lambdas.billing.invoice import Draft, draft_document
from lambdas.billing.rating import Positions, Totals, measure_event, rate_event
from lambdas.billing.segments import read_raw, row_of
from lambdas.billing.usage import read_event
from tests.sql.documents import Agreed, Document
from tests.sql.random_usage import random_events

BUILT_IN_METERS = {
    "input": ("input", "cached_input", "cache_write", "cache_write_5m", "cache_write_1h", "input_audio", "input_image"),
    "output": ("output", "reasoning", "rejected_prediction", "output_audio", "output_image"),
    "calls": ("call",),
    "tool_calls": ("tool_call:*",),
    "compute_seconds": ("compute_second",),
    "cache_storage": ("cache_storage_token_hour",),
}
COMPARED = {
    "charges": "time, source, id, ordinal, line, units, amount, position",
    "fates": "time, source, id, fate",
    "shown": "line, key, source, charge, contract, quantity, events, blocks, amount, shown",
    "invoice": "net_exact, net, tax",
}
"""What must be equal: the table of each, and its columns."""
_SQL = Path(__file__).parent


def write_usage(agreed: Agreed, folder: Path) -> Path:
    """The events of an agreement as they are sent, one a line."""
    path = folder / "usage.jsonl"
    lines = random_events(agreed.name, agreed.events, agreed.start, agreed.stop, agreed.edges, largest=agreed.largest)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def our_calculation(agreed: Agreed, usage: Path, folder: Path) -> None:
    """Rate and settle; write the evidence of charges and exclusions as a bundle has it, and the draft invoice."""
    with usage.open(encoding="utf-8") as lines:
        rows = sorted((row_of(read_event(read_raw(line), "acme")) for line in lines), key=lambda row: row[:3])
    agreement = compile_agreement(agreed.month, agreed.contracts, agreed.plans, agreed.rates)
    counted: dict[str, int] = {}
    for row in rows:
        measure_event(row, agreement.at(row.time), counted)
    totals, positions = Totals(), Positions({}, counted)
    with (
        (folder / "rated.jsonl").open("w", encoding="utf-8") as rated,
        (folder / "excluded.jsonl").open("w", encoding="utf-8") as excluded,
    ):
        for row in rows:
            outcome = rate_event(row, agreement.at(row.time), totals, positions)
            (rated if outcome.rated else excluded).write(outcome.text)
    draft = Draft("run", "2027-06-01T00:00:00.000000Z", {"id": "us"}, {"id": "acme"}, agreement, agreed.carried)
    document = draft_document(draft, totals)
    (folder / "invoice.json").write_text(json.dumps(document), encoding="utf-8")


def plain_tables(agreed: Agreed, usage: Path) -> duckdb.DuckDBPyConnection:
    """A database with what the second calculation starts from."""
    database = duckdb.connect()
    database.execute("SET threads = 2")
    database.execute((_SQL / "tables.sql").read_text())
    sent = f"""
        INSERT INTO sent
        SELECT time, source, id, data.provider, data.model, data.service_tier, data.quantities, data.attributes
        FROM read_json('{usage}', format = 'newline_delimited', columns = {{
            time: 'VARCHAR', source: 'VARCHAR', id: 'VARCHAR', data: 'STRUCT(provider VARCHAR, model VARCHAR,
            service_tier VARCHAR, quantities MAP(VARCHAR, BIGINT), attributes MAP(VARCHAR, VARCHAR))'
        }})"""  # noqa: S608
    database.execute(sent)
    plans = agreed.plans if agreed.listed is None else agreed.listed
    rates, tiers, exchange_rates = _prices(agreed.rates)
    carried = agreed.carried or {"advance": [], "committed": None}
    committed = carried["committed"]
    for table, rows in {
        "run": [[f"{agreed.month}-01"]],
        "contracts": [_contract(document) for document in agreed.contracts],
        "discounts": [
            [document["version"], place, entry["id"], entry.get("percent"), entry.get("amount"), entry.get("charges")]
            for document in agreed.contracts
            for place, entry in enumerate(document.get("discounts", []))
        ],
        "plan_charges": [row for name, document in plans.items() for row in _charges(name, document)],
        "meters": [row for name, document in plans.items() for row in _meters(name, document)],
        "pools": [
            [name, pool["id"], pool["charges"], pool.get("quantity"), pool.get("amount")]
            for name, document in plans.items()
            for pool in document.get("included", [])
        ],
        "refused": [[name, entry] for name, document in plans.items() for entry in document.get("refused", [])],
        "rates": rates,
        "tiers": tiers,
        "exchange_rates": exchange_rates,
        "billed_fees": [
            [entry[name] for name in ("charge", "contract_version", "rate_version", "price", "exact")]
            for entry in carried["advance"]
        ],
        "counted_before": [] if committed is None else [[committed["from"], committed["exact"]]],
    }.items():
        if rows:
            database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608
    return database


def calculate(database: duckdb.DuckDBPyConnection) -> None:
    """The second calculation, from the plain tables to charges, lines and invoice."""
    for name in ("rating.sql", "settlement.sql"):
        database.execute((_SQL / name).read_text())


def read_ours(database: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """What our calculation wrote, beside the second one, in tables of the same columns."""
    invoice = json.loads((folder / "invoice.json").read_text(encoding="utf-8"))
    lines = "".join(f"{json.dumps(line)}\n" for line in invoice["lines"])
    (folder / "lines.jsonl").write_text(lines, encoding="utf-8")
    for view, name in {"rated": "rated", "excluded": "excluded", "lines_written": "lines"}.items():
        path = folder / f"{name}.jsonl"
        read = f"SELECT json FROM read_json_objects('{path}', format = 'newline_delimited')"  # noqa: S608
        database.execute(f"CREATE VIEW {view} AS {read}")
    database.execute((_SQL / "ours.sql").read_text())
    tax = [group["amount"] for group in invoice["tax"]]
    totals = [invoice["net_exact"], invoice["net"], *tax]
    database.execute("INSERT INTO our_invoice SELECT exact(?), exact(?), exact(?)", totals)


def differences(database: duckdb.DuckDBPyConnection, most: int = 10) -> list[tuple[Any, ...]]:
    """What only one calculation has: (table, whose, the columns compared), at most `most` of each table."""
    found = []
    for table, columns in COMPARED.items():
        both = f"SELECT {columns}, 1 AS ours FROM our_{table} UNION ALL SELECT {columns}, -1 AS ours FROM {table}"  # noqa: S608
        found += database.execute(
            f"""
            SELECT '{table}', if(sum(ours) > 0, 'ours', 'second'), {columns} FROM ({both})
            GROUP BY {columns} HAVING sum(ours) <> 0 ORDER BY ALL LIMIT {most}
            """  # noqa: S608
        ).fetchall()
    return found


def _contract(document: Mapping[str, Any]) -> list[Any]:
    lock, commitment = document.get("price_lock", {}), document.get("commitment", {})
    plan = f"{document['plan']}@{document['plan_version']}"
    return [
        document["version"], document["effective_from"], plan, document["currency"], document.get("anchor_day", 1),
        document["tax"]["rate"], document["rate_card"], document.get("override_card"), document.get("cost_card"),
        document.get("fx_card"), lock.get("from"), lock.get("until"), document.get("split_by"),
        commitment.get("amount"), commitment.get("months"),
    ]  # fmt: skip


def _charges(plan: str, document: Mapping[str, Any]) -> Iterator[list[Any]]:
    for place, entry in enumerate(document["charges"]):
        by = "cost" if entry["kind"] == "pass_through" else "charge"
        if entry["kind"] not in ("pass_through", "flat") and "weights" not in _own_meter(document, entry["meter"]):
            by = entry.get("prices", "class")
        only = entry.get("filter", {})
        yield [
            plan, place, entry["id"], entry.get("meter"), entry["kind"], by, entry.get("included", 0),
            entry.get("minimum"), entry.get("maximum"), entry.get("timing"), entry.get("markup"),
            only.get("service_tiers"), only.get("providers"),
        ]  # fmt: skip


def _meters(plan: str, document: Mapping[str, Any]) -> Iterator[list[Any]]:
    for meter, classes in BUILT_IN_METERS.items():
        yield from ([plan, meter, name, 1] for name in classes)
    for meter, definition in document.get("meters", {}).items():
        weights = definition.get("weights") or dict.fromkeys(definition["classes"], 1)
        yield from ([plan, meter, name, weight] for name, weight in weights.items())


def _own_meter(document: Mapping[str, Any], meter: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = document.get("meters", {}).get(meter, {})
    return found


def _prices(cards: Mapping[str, Document]) -> tuple[list[list[Any]], list[list[Any]], list[list[Any]]]:
    """Rows of rates, tiers and exchange rates. A rate has a number of its own, only to join its tiers to it."""
    rates: list[list[Any]] = []
    tiers: list[list[Any]] = []
    exchange_rates: list[list[Any]] = []
    for name, document in cards.items():
        card, version, day = name.partition("@")[0], document["version"], document["effective_from"]
        for entry in document.get("rates", []):
            rates.append([
                len(rates), card, version, document["currency"], day, document.get("supersedes"),
                entry.get("provider", ""), entry.get("model", ""), entry.get("class", entry.get("charge")),
                entry.get("service_tier", "standard"), entry.get("prompt_above", 0), entry["per"],
            ])  # fmt: skip
            listed = entry.get("tiers", [{"up_to": None, "price": entry.get("price")}])
            tiers += [[len(rates) - 1, n, tier["up_to"], tier["price"]] for n, tier in enumerate(listed, start=1)]
        for entry in document.get("fx", []):
            exchange_rates.append([card, version, day, entry["foreign"], entry["price"]])
    return rates, tiers, exchange_rates
