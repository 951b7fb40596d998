"""Included usage and graduated overage, from the catalogue to a verified bundle, on the deployed template."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdas.billing.explain import explain_line
from tests.scenarios.house import House, contract, event

pytestmark = pytest.mark.long
NAME = "harbour"


def test_included_usage_and_overage_are_billed_by_position_and_traced(house: House, tmp_path: Path) -> None:
    house.at("2026-02-27T09:00:00")
    house.post(
        "/v1/entities",
        {"id": NAME, "name": "Harbour", "address": "2 Pier", "country": "US", "invoice_prefix": "HB"},
    )
    charges = [
        {"id": "input", "meter": "input", "kind": "graduated", "prices": "charge", "included": 10_000_000},
        {"id": "output", "meter": "output", "kind": "package", "prices": "charge"},
    ]
    plan = {
        "id": NAME,
        "version": 1,
        "name": "Team",
        "model": "custom",
        "posture": "variable",
        "volatility_bearer": "customer",
        "primary_meter": "output",
        "charges": charges,
    }
    house.post("/v1/plans", plan)
    tiers = [{"up_to": 5_000_000, "price": "0.60"}, {"up_to": None, "price": "0.50"}]
    rates = [
        {"charge": "input", "per": 1_000_000, "tiers": tiers},
        {"charge": "output", "per": 1_000_000, "price": "2.40"},
    ]
    house.publish(NAME, 1, "2026-03-01", rates)
    house.post("/v1/customers", {"id": "seal", "name": "Seal"})
    house.post("/v1/contracts", contract(NAME, "seal", "2026-03-01"))

    house.at("2026-03-31T12:00:00")
    sent = [
        event("seal", "edge", "2026-03-20T10:00:00Z", input=1_000),
        event("seal", "first", "2026-03-02T10:00:00Z", input=9_999_400, output=1_000_000),
        event("seal", "last", "2026-03-30T10:00:00Z", input=7_249_600, output=1),
    ]
    assert house.send(sent)["accepted"] == 3
    waiting = house.get("/v1/trace/event", customer="seal", source="/gateway", id="edge")
    assert (waiting["state"], waiting["charges"]) == ("unbilled", [])
    assert "charge input depends on the month's other usage" in waiting["reason"]
    house.at("2026-04-01T05:00:00")
    run = house.run(NAME, "2026-03")
    assert run["status"] == "sealed"

    document = house.invoices(NAME, "2026")["seal"]
    lines = [
        (line["charge"], line["tier"], line["quantity"], line["blocks"], line["exact"]) for line in document["lines"]
    ]
    assert lines == [
        ("input", "included", 10_000_000, None, "0"),
        ("input", "1", 5_000_000, None, "3"),  # 5,000,000 x 0.60 / 1M
        ("input", "2", 3_250_000 - 1_000_000, None, "1.125"),  # 2,250,000 x 0.50 / 1M
        ("output", "1", 1_000_001, 2, "4.8"),  # two blocks begun
    ]
    assert document["net_exact"] == "8.925"
    assert document["total"] == "8.93"
    trace = house.get("/v1/trace/event", customer="seal", source="/gateway", id="edge")
    parts = [(charge["tier"], charge["quantity"], charge["position"], charge["exact"]) for charge in trace["charges"]]
    assert parts == [("included", 600, 9_999_400, "0"), ("1", 400, 10_000_000, "0.00024")]
    assert "included usage" in explain_line(document, 1)["text"]
    report = house.verify(document["number"], tmp_path)
    assert report.ok, report.differences


def test_tiers_without_an_open_end_are_refused(house: House) -> None:
    answer = house.call(
        "POST",
        "/v1/rate-cards/leaky/versions",
        {
            "version": 1,
            "currency": "USD",
            "effective_from": "2027-03-01",
            "rates": [{"charge": "input", "per": 1, "tiers": [{"up_to": 10, "price": "1"}]}],
        },
    )
    assert answer.status == 422
    assert answer.json()["type"].endswith("PlanHasNoOpenTier")
    assert answer.json()["field"] == "rates[0].tiers[0].up_to"
