"""A month of prepaid credits: service tiers apart, lines split by project, a discount. Credits themselves come later,
so the month is invoiced as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local import sample
from tests.scenarios.house import House, event, rate, shown

pytestmark = pytest.mark.long

MONTH = "2026-08"
NAME = "arcade"


@pytest.fixture(scope="module")
def month(house: House) -> dict[str, Any]:
    """August at Arcade: newt's usage by project and service tier, and a tier that has no price at first."""
    seen: dict[str, Any] = {}
    house.at("2026-07-30T09:00:00")
    terms: dict[str, Any] = {"split_by": "project", "discounts": [{"id": "launch", "percent": "0.10"}]}
    rates = sample.versions("prepaid_credits")[0]["rates"]
    house.set_up(NAME, ["newt"], "2026-08-01", rates, plan=sample.plan("prepaid_credits"), **terms)
    house.at("2026-08-31T12:00:00")
    search, chat = {"attributes": {"project": "search"}}, {"attributes": {"project": "chat"}}
    seen["sent"] = house.send(
        [
            event("newt", "search", "2026-08-02T10:00:00Z", data=search, input=1_000_000, output=100_000),
            event("newt", "night", "2026-08-03T02:00:00Z", data={**search, "service_tier": "batch"}, input=2_000_000),
            event("newt", "chat", "2026-08-04T10:00:00Z", data=chat, output=50_000),
            event("newt", "nobody", "2026-08-05T10:00:00Z", input=100),
            event("newt", "hurry", "2026-08-06T10:00:00Z", data={**chat, "service_tier": "priority"}, input=1_000),
        ]
    )
    seen["view"] = house.get("/v1/customers/newt/usage", period=MONTH)
    house.publish(NAME, 2, "2026-08-01", [{**rate("gpt-4o", "input", "4.25"), "service_tier": "priority"}])
    house.at("2026-09-01T05:00:00")
    seen["run"] = house.run(NAME, MONTH)
    seen["invoice"] = house.invoices(NAME, "2026")["newt"]
    return seen


def test_a_plan_of_credits_publishes_how_they_burn(month: dict[str, Any], house: House) -> None:
    plan = house.get(f"/v1/plans/{NAME}/versions/1")["document"]
    assert plan["controls"]["burn_order"][0] == "priority"


def test_lines_are_by_service_tier_and_by_the_one_attribute_that_the_contract_names(month: dict[str, Any]) -> None:
    members = ("class", "service_tier", "attribute", "quantity", "exact")
    assert [line for line in shown(month["invoice"], *members) if line[0]] == [
        ("input", "batch", "project=search", 2_000_000, "2.5"),  # 2,000,000 x 1.25 / 1M
        ("input", "priority", "project=chat", 1_000, "0.00425"),  # 1,000 x 4.25 / 1M
        ("input", "standard", None, 100, "0.00025"),  # 100 x 2.50 / 1M
        ("input", "standard", "project=search", 1_000_000, "2.5"),
        ("output", "standard", "project=chat", 50_000, "0.5"),  # 50,000 x 10.00 / 1M
        ("output", "standard", "project=search", 100_000, "1"),
    ]


def test_the_discount_is_a_line_of_its_own_and_takes_a_tenth_of_all_usage(month: dict[str, Any]) -> None:
    last = month["invoice"]["lines"][-1]
    assert (last["source"], last["charge"], last["exact"]) == ("discount", "launch", "-0.65045")  # 0.10 x 6.5045
    assert (month["invoice"]["net_exact"], month["invoice"]["net"]) == ("5.85405", "5.85")


def test_a_tier_without_a_price_waits_and_is_never_billed_at_the_standard_price(month: dict[str, Any]) -> None:
    parked = month["sent"]["results"][4]["parked"]
    assert (month["sent"]["parked"], parked["reason"]) == (1, "no_price")
    assert "service tier priority" in parked["detail"]
    assert {model["service_tier"] for model in month["view"]["models"]} == {"standard", "batch", "priority"}


def test_the_books_have_the_discount_against_revenue(month: dict[str, Any], house: House) -> None:
    assert house.ledger(month["invoice"]) == {
        "customer:newt:receivable": "5.85",
        "revenue:input": "-5.0045",  # 2.5 + 0.00425 + 0.00025 + 2.5
        "revenue:output": "-1.5",
        "contra_revenue:discount": "0.65045",
        "rounding": "0.00405",
    }


def test_the_bundle_verifies_offline(month: dict[str, Any], house: House, tmp_path: Path) -> None:
    assert month["run"]["status"] == "sealed"
    report = house.verify(month["invoice"]["number"], tmp_path)
    assert report.ok, report.differences
