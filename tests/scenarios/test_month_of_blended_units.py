"""A month of blended units: input and output counted by weights, a commitment, and new weights from a month's start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local import sample
from tests.scenarios.house import House, contract, event, shown

pytestmark = pytest.mark.long

NAME = "mint"
COSTS = "mint-costs"
UNITS: dict[str, Any] = sample.plan("blended_unit")


@pytest.fixture(scope="module")
def months(house: House) -> dict[str, Any]:
    """Ibex uses 4,100,001 units in August, and a little in September, when a token of output counts five units."""
    seen: dict[str, Any] = {}
    house.at("2026-07-30T09:00:00")
    house.publish(COSTS, 1, "2026-08-01", sample.versions("blended_unit", "costs")[0]["rates"])
    rates = sample.versions("blended_unit")[0]["rates"]
    terms: dict[str, Any] = {"commitment": {"amount": "20.00", "counting": "period"}}
    house.set_up(NAME, ["ibex"], "2026-08-01", rates, plan=UNITS, cost_card=COSTS, **terms)
    house.at("2026-08-05T09:00:00")
    house.post("/v1/plans", {**UNITS, "id": NAME, "version": 2, "weights": {**UNITS["weights"], "output": 5}})
    changed = {"version": 2, "plan_version": 2, "volatility_bearer": "seller", "cost_card": COSTS}
    seen["too early"] = house.call("POST", "/v1/contracts", contract(NAME, "ibex", "2026-08-16", **terms, **changed))
    house.post("/v1/contracts", contract(NAME, "ibex", "2026-09-01", **changed))
    house.at("2026-08-31T12:00:00")
    house.send(
        [
            event("ibex", "first", "2026-08-03T10:00:00Z", input=400_001, output=100_000),
            event("ibex", "edge", "2026-08-10T10:00:00Z", input=100_000, output=50_000),
            event("ibex", "last", "2026-08-20T10:00:00Z", cached_input=3_000_000),
        ]
    )
    house.at("2026-09-01T05:00:00")
    seen["run"] = house.run(NAME, "2026-08")
    assert seen["run"]["failed"] == []
    seen["august controls"] = controls_of(house, "2026-08")
    seen["august"] = house.invoices(NAME, "2026", "2026-08")["ibex"]
    house.at("2026-09-30T12:00:00")
    house.send([event("ibex", "later", "2026-09-01T00:00:00Z", input=1_000, output=900)])
    house.at("2026-10-01T05:00:00")
    house.run(NAME, "2026-09")
    seen["september controls"] = controls_of(house, "2026-09")
    seen["september"] = house.invoices(NAME, "2026", "2026-09")["ibex"]
    return seen


def controls_of(house: House, month: str) -> dict[str, Any]:
    [account] = house.get(f"/v1/billing-runs/{NAME}.{month}.final/accounts")["items"]
    return dict(account["totals"]["controls"])


def test_units_are_counted_by_weight_across_input_and_output(months: dict[str, Any]) -> None:
    assert shown(months["august"], "source", "class", "weight", "tier", "quantity", "exact") == [
        ("usage", "input", 1, "included", 400_001 + 100_000, "0"),
        ("usage", "cached_input", 1, "1", 3_000_000 - 100_001, "8.1199972"),  # 2,899,999 x 2.80 / 1M
        ("usage", "cached_input", 1, "2", 100_001, "0.2200022"),  # 100,001 x 2.20 / 1M
        ("usage", "output", 4, "included", 4 * 100_000 + 99_999, "0"),
        ("usage", "output", 4, "1", 4 * 50_000 - 99_999, "0.2800028"),  # 100,001 x 2.80 / 1M
        ("commitment", None, None, None, None, "11.3799978"),  # 20.00 - 8.6200022
    ]
    assert (months["august"]["net_exact"], months["august"]["total"]) == ("20", "20.00")


def test_included_units_end_inside_a_token_of_output(months: dict[str, Any], house: House) -> None:
    charges = house.trace("ibex", "edge")["charges"]
    assert [(item["class"], item["tier"], item["quantity"], item["position"]) for item in charges] == [
        ("input", "included", 100_000, 800_001),  # 400,001 + 4 x 100,000 came before
        ("output", "included", 99_999, 900_001),
        ("output", "1", 100_001, 1_000_000),
    ]
    assert charges[2]["arithmetic"] == "100,001 x 2.80 / 1,000,000 = 0.2800028 USD"


def test_a_line_says_what_a_token_counts_for(months: dict[str, Any], house: House) -> None:
    line = house.get("/v1/trace/line", invoice=months["august"]["number"], line="5")["line"]
    assert "4 for each token" in line["text"]


def test_what_is_missing_to_the_commitment_has_an_account_of_its_own(months: dict[str, Any], house: House) -> None:
    assert house.ledger(months["august"]) == {
        "customer:ibex:receivable": "20",
        "revenue:units": "-8.6200022",
        "revenue:commitment": "-11.3799978",
    }


def test_the_seller_watches_ratio_and_margin_and_neither_is_on_the_invoice(months: dict[str, Any]) -> None:
    controls = months["august controls"]
    ratio, margin = controls["output_input_ratio"], controls["margin"]
    assert (ratio["input"], ratio["output"], ratio["above"], ratio["crossed"]) == (3_500_001, 150_000, "0.5", False)
    # 500,001 x 2.50 / 1M + 3,000,000 x 1.25 / 1M + 150,000 x 10.00 / 1M = 1.2500025 + 3.75 + 1.5
    assert (margin["earned"], margin["cost"], margin["margin"], margin["crossed"]) == (
        "20", "6.5000025", "13.4999975", False,
    )  # fmt: skip
    assert controls["repricing_due"] is False
    assert COSTS not in str(months["august"])


def test_a_month_with_much_output_and_nothing_earned_is_a_reason_to_reprice(months: dict[str, Any]) -> None:
    controls = months["september controls"]
    assert controls["output_input_ratio"]["value"] == "0.9"  # 900 / 1,000
    assert controls["margin"]["margin"] == "-0.0115"  # nothing - (1,000 x 2.50 / 1M + 900 x 10.00 / 1M)
    assert controls["repricing_due"] is True
    assert [reason.split()[0] for reason in controls["reasons"]] == ["output/input", "margin"]


def test_other_weights_begin_with_a_month(months: dict[str, Any]) -> None:
    answer = months["too early"]
    assert (answer.status, answer.json()["field"]) == (422, "effective_from")
    assert "2026-09-01" in answer.json()["remedy"]
    assert shown(months["september"], "class", "weight", "tier", "quantity") == [
        ("input", 1, "included", 1_000),
        ("output", 5, "included", 5 * 900),
    ]


def test_every_bundle_verifies_offline(months: dict[str, Any], house: House, tmp_path: Path) -> None:
    assert months["run"]["status"] == "sealed"
    for month in ("august", "september"):
        report = house.verify(months[month]["number"], tmp_path)
        assert report.ok, report.differences
