"""Months of base fee, included usage and overage: the fee in advance, the edge of what is included, a plan change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local import sample
from tests.scenarios.house import House, contract, event, shown

pytestmark = pytest.mark.long

NAME = "depot"
PRO = "depot-pro"
TEAM: dict[str, Any] = sample.plan("base_included")


@pytest.fixture(scope="module")
def months(house: House) -> dict[str, Any]:
    """Yak uses more than is included in August and changes to Pro on 11 September; gnu uses just what is included."""
    seen: dict[str, Any] = {}
    house.at("2026-07-30T09:00:00")
    house.set_up(NAME, ["yak", "gnu"], "2026-08-01", sample.versions("base_included")[0]["rates"], plan=TEAM)
    house.at("2026-08-01T05:00:00")
    house.run(NAME, "2026-07")
    seen["july"] = house.invoices(NAME, "2026", "2026-07")

    house.at("2026-08-31T12:00:00")
    house.send(
        [
            event("yak", "first", "2026-08-02T10:00:00Z", input=1_999_400, output=400_000),
            event("yak", "edge", "2026-08-20T10:00:00Z", input=1_000),
            event("yak", "last", "2026-08-30T10:00:00Z", input=1_749_600, output=100_001),
            event("gnu", "all", "2026-08-30T10:00:00Z", input=2_000_000, output=10),
        ]
    )
    seen["expected"] = house.trace("yak", "edge")
    house.at("2026-09-01T05:00:00")
    house.run(NAME, "2026-08")
    seen["august"] = house.invoices(NAME, "2026", "2026-08")

    house.at("2026-09-05T09:00:00")
    meters = [{**TEAM["meters"][0], "included": 8_000_000}, {**TEAM["meters"][1], "included": 2_000_000}]
    house.post("/v1/plans", {**TEAM, "id": PRO, "meters": meters})
    house.publish(
        PRO,
        1,
        "2026-09-11",
        [
            {"charge": "base", "price": "249.00", "per": 1},
            {"charge": "input", "price": "2.50", "per": 1_000_000},
            {"charge": "output", "price": "10.00", "per": 1_000_000},
        ],
    )
    house.post("/v1/contracts", contract(NAME, "yak", "2026-09-11", version=2, plan=PRO, rate_card=PRO))
    house.at("2026-09-30T12:00:00")
    house.send(
        [
            event("yak", "on-team", "2026-09-10T23:59:59Z", input=2_500_000, output=100),
            event("yak", "on-pro", "2026-09-11T00:00:00Z", input=4_000_000),
        ]
    )
    house.at("2026-10-01T05:00:00")
    seen["run"] = house.run(NAME, "2026-09")
    seen["september"] = house.invoices(NAME, "2026", "2026-09")
    return seen


def test_the_first_fee_is_billed_before_its_month_and_deferred(months: dict[str, Any], house: House) -> None:
    july = months["july"]["yak"]
    assert shown(july, "charge", "service_from", "service_to", "exact") == [("base", "2026-08-01", "2026-09-01", "99")]
    assert house.ledger(july) == {"customer:yak:receivable": "99", "deferred:base": "-99"}


def test_the_first_months_invoice_has_its_overage_and_the_next_months_fee(months: dict[str, Any]) -> None:
    august = months["august"]["yak"]
    assert shown(august, "charge", "tier", "quantity", "exact", "amount") == [
        ("base", None, 1, "99", "99.00"),
        ("input", "included", 2_000_000, "0", "0.00"),
        ("input", "1", 1_000_000, "3", "3.00"),  # 1,000,000 x 3.00 / 1M
        ("input", "2", 3_750_000 - 3_000_000, "1.8", "1.80"),  # 750,000 x 2.40 / 1M
        ("output", "included", 500_000, "0", "0.00"),
        ("output", "1", 1, "0.000012", "0.00"),  # 1 x 12.00 / 1M
    ]
    assert shown(august, "service_from", "service_to")[0] == ("2026-09-01", "2026-10-01")
    assert (august["net_exact"], august["total"]) == ("103.800012", "103.80")


def test_a_fee_is_earned_in_the_month_it_serves(months: dict[str, Any], house: House) -> None:
    august = months["august"]["yak"]
    number = months["july"]["yak"]["number"]
    assert august["recognised"] == [{"charge": "base", "invoice": number, "exact": "99"}]
    assert house.ledger(august) == {
        "customer:yak:receivable": "103.8",
        "deferred:base": "0",  # 99 of August earned, 99 of September deferred
        "revenue:base": "-99",
        "revenue:input": "-4.8",  # 3 + 1.8
        "revenue:output": "-0.000012",
        "rounding": "0.000012",
    }


def test_there_is_no_overage_line_while_included_usage_is_left(months: dict[str, Any]) -> None:
    gnu = months["august"]["gnu"]
    assert shown(gnu, "charge", "tier", "quantity", "exact") == [
        ("base", None, 1, "99"),
        ("input", "included", 2_000_000, "0"),  # the last unit that is included
        ("output", "included", 10, "0"),
    ]
    left = [(item["name"], item["left"], item["resets_on"]) for item in gnu["included"]]
    assert left == [("input", 0, "2026-09-01"), ("output", 499_990, "2026-09-01")]


def test_the_event_that_crosses_the_edge_is_split_and_traced(months: dict[str, Any], house: House) -> None:
    trace = house.trace("yak", "edge")
    parts = [(charge["tier"], charge["quantity"], charge["position"], charge["exact"]) for charge in trace["charges"]]
    assert parts == [("included", 600, 1_999_400, "0"), ("1", 400, 2_000_000, "0.0012")]  # 400 x 3.00 / 1M
    line = house.get("/v1/trace/line", invoice=months["august"]["yak"]["number"], line="3")
    assert [(item["id"], item["quantity"]) for item in line["events"]] == [("edge", 400), ("last", 999_600)]


def test_before_the_bill_the_price_of_an_event_at_the_edge_is_not_guessed(months: dict[str, Any]) -> None:
    assert (months["expected"]["state"], months["expected"]["charges"]) == ("unbilled", [])
    assert "charge input depends on the month's other usage" in months["expected"]["reason"]


def test_terms_of_overage_and_the_bound_of_the_cliff_are_on_the_invoice(months: dict[str, Any]) -> None:
    august = months["august"]["yak"]
    assert august["contract"]["terms"] == {name: TEAM[name] for name in ("overage_terms", "cliff_limit")}
    assert august["cliff"] == {"charge": "output", "exact": "0.000012"}  # 12.00 / 1M


def test_a_plan_change_gives_unused_days_back_and_shares_out_the_new_fee(months: dict[str, Any]) -> None:
    fees = [line for line in months["september"]["yak"]["lines"] if line["source"] == "fee"]
    members = ("contract_version", "service_from", "service_to", "exact", "account")
    assert [tuple(fee[name] for name in members) for fee in fees] == [
        (2, "2026-09-11", "2026-10-01", "166", "revenue:base"),  # 249.00 x 20/30
        (1, "2026-09-11", "2026-10-01", "-66", "deferred:base"),  # 99.00 x 20/30 back
        (2, "2026-10-01", "2026-11-01", "249", "deferred:base"),
    ]


def test_a_plan_change_shares_out_what_is_included_and_keeps_the_position(months: dict[str, Any]) -> None:
    september = months["september"]["yak"]
    usage = [line for line in september["lines"] if line["source"] == "usage"]
    members = ("charge", "contract_version", "tier", "quantity", "exact")
    assert [tuple(line[name] for name in members) for line in usage] == [
        ("input", 1, "included", 2_500_000, "0"),
        ("input", 2, "included", 3_500_000, "0"),  # up to (2,000,000 x 10 + 8,000,000 x 20) / 30 = 6,000,000
        ("input", 2, "1", 500_000, "1.25"),  # 500,000 x 2.50 / 1M
        ("output", 1, "included", 100, "0"),
    ]
    assert [item["included"] for item in september["included"]] == [6_000_000, 1_500_000]
    assert september["net_exact"] == "350.25"  # 166 - 66 + 249 + 1.25


def test_what_was_earned_and_what_goes_back_empties_the_deferred_fee(months: dict[str, Any], house: House) -> None:
    september = months["september"]["yak"]
    number = months["august"]["yak"]["number"]
    assert september["recognised"] == [{"charge": "base", "invoice": number, "exact": "33"}]  # 99.00 x 10/30
    assert house.ledger(september) == {
        "customer:yak:receivable": "350.25",
        "deferred:base": "-150",  # 33 earned + 66 back of September's 99, 249 deferred for October
        "revenue:base": "-199",  # 33 + 166
        "revenue:input": "-1.25",
    }


def test_every_run_is_sealed_and_every_bundle_verifies_offline(
    months: dict[str, Any], house: House, tmp_path: Path
) -> None:
    assert months["run"]["status"] == "sealed"
    for month in ("july", "august", "september"):
        for document in months[month].values():
            report = house.verify(document["number"], tmp_path)
            assert report.ok, report.differences
