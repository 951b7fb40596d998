"""A month of pure token: a price that was always wrong is corrected, one that is missing stops one account only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local import sample
from tests.scenarios.house import House, event, rate, shown

pytestmark = pytest.mark.long

MONTH = "2026-08"
NAME = "ferry"


@pytest.fixture(scope="module")
def month(house: House) -> dict[str, Any]:
    """August at Ferry: the output price should have been 10.00, and heron uses a model without a price."""
    seen: dict[str, Any] = {}
    house.at("2026-07-30T09:00:00")
    wrong = [rate("gpt-4o", "input", "2.50"), rate("gpt-4o", "output", "1.00")]
    house.set_up(NAME, ["osprey", "heron"], "2026-08-01", wrong, plan=sample.plan("pure_token"))
    house.at("2026-08-10T12:00:00")
    house.publish(NAME, 2, "2026-08-16", [rate("gpt-4o", "output", "8.00")])
    house.at("2026-08-31T12:00:00")
    house.send(
        [
            event("osprey", "first", "2026-08-01T00:00:00Z", input=1_000_000, output=100_000),
            event("osprey", "before", "2026-08-15T23:59:59.9999999Z", output=1_000),
            event("osprey", "after", "2026-08-16T00:00:00Z", output=1_000),
            event("heron", "known", "2026-08-02T10:00:00Z", input=2_000_000),
            event("heron", "new", "2026-08-03T10:00:00Z", model="gpt-next", input=4_000),
        ]
    )
    seen["expected"] = house.trace("osprey", "first")
    correction: dict[str, Any] = {"supersedes": 1, "reason": "a zero was lost"}
    house.publish(NAME, 3, "2026-08-01", [rate("gpt-4o", "output", "10.00")], **correction)
    seen["expected after the correction"] = house.trace("osprey", "first")

    house.at("2026-09-01T05:00:00")
    seen["incomplete"] = house.run(NAME, MONTH)
    seen["parked"] = house.get(f"/v1/billing-runs/{NAME}.{MONTH}.final/parked", customer="heron")["items"]
    seen["while heron waits"] = house.invoices(NAME, "2026")
    house.publish(NAME, 4, "2026-08-01", [rate("gpt-next", "input", "5.00")])
    seen["sealed"] = house.run(NAME, MONTH)
    seen["invoices"] = house.invoices(NAME, "2026")
    too_late = {"version": 5, "currency": "USD", "effective_from": "2026-08-01", "supersedes": 3, "reason": "again"}
    too_late |= {"rates": [rate("gpt-4o", "output", "9.00")]}
    seen["too late"] = house.call("POST", f"/v1/rate-cards/{NAME}/versions", too_late)
    return seen


def test_a_correction_before_billing_changes_what_is_expected(month: dict[str, Any]) -> None:
    before, after = month["expected"], month["expected after the correction"]
    assert before["estimate"] is after["estimate"] is True
    assert [charge["exact"] for charge in before["charges"]] == ["2.5", "0.1"]  # 100,000 x 1.00 / 1M
    assert [charge["exact"] for charge in after["charges"]] == ["2.5", "1"]  # 100,000 x 10.00 / 1M


def test_lines_are_by_rate_version_and_the_wrong_price_is_on_none(month: dict[str, Any]) -> None:
    osprey = month["invoices"]["osprey"]
    assert shown(osprey, "class", "rate_version", "rate_effective_from", "quantity", "exact", "amount") == [
        ("input", "ferry@1", "2026-08-01", 1_000_000, "2.5", "2.50"),
        ("output", "ferry@3", "2026-08-01", 101_000, "1.01", "1.01"),  # 101,000 x 10.00 / 1M
        ("output", "ferry@2", "2026-08-16", 1_000, "0.008", "0.01"),  # 1,000 x 8.00 / 1M, and the cent left
    ]
    assert (osprey["net_exact"], osprey["net"]) == ("3.518", "3.52")


def test_the_books_have_revenue_by_meter(month: dict[str, Any], house: House) -> None:
    assert house.ledger(month["invoices"]["osprey"]) == {
        "customer:osprey:receivable": "3.52",
        "revenue:input": "-2.5",
        "revenue:output": "-1.018",  # 1.01 + 0.008
        "rounding": "-0.002",
    }


def test_a_missing_price_stops_one_account_and_the_other_is_billed(month: dict[str, Any]) -> None:
    run = month["incomplete"]
    assert (run["status"], run["accounts"]["by_status"]) == ("incomplete", {"bundled": 1, "failed": 1})
    [failed] = run["failed"]
    assert (failed["customer"], failed["code"]) == ("heron", "AccountParked")
    assert "no price for openai/gpt-next input" in failed["detail"]
    assert list(month["while heron waits"]) == ["osprey"]


def test_the_events_that_wait_for_the_price_are_listed(month: dict[str, Any]) -> None:
    [waiting] = month["parked"]
    assert (waiting["source"], waiting["id"]) == ("/gateway", "new")


def test_a_first_price_releases_the_account(month: dict[str, Any]) -> None:
    assert month["sealed"]["status"] == "sealed"
    assert shown(month["invoices"]["heron"], "model", "rate_version", "exact") == [
        ("gpt-4o", "ferry@1", "5"),  # 2,000,000 x 2.50 / 1M
        ("gpt-next", "ferry@4", "0.02"),  # 4,000 x 5.00 / 1M
    ]


def test_a_billed_month_is_not_corrected_by_another_price(month: dict[str, Any]) -> None:
    answer = month["too late"]
    assert answer.status == 409
    assert answer.json()["type"].endswith("RatesOverlap")
    assert "that period is billed" in answer.json()["detail"]


def test_an_event_names_the_correction_that_priced_it(month: dict[str, Any], house: House) -> None:
    [charge] = house.trace("osprey", "before")["charges"]
    assert (charge["rate_version"], charge["arithmetic"]) == ("ferry@3", "1,000 x 10.00 / 1,000,000 = 0.01 USD")


def test_every_bundle_verifies_offline(month: dict[str, Any], house: House, tmp_path: Path) -> None:
    for document in month["invoices"].values():
        report = house.verify(document["number"], tmp_path)
        assert report.ok, report.differences
