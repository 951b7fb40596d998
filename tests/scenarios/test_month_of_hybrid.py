"""A month of hybrid: tokens by class, calls in blocks, a tool and computing time, each on lines of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local import sample
from tests.scenarios.house import House, event, shown

pytestmark = pytest.mark.long

MONTH = "2026-08"
NAME = "kiosk"
GEMINI: dict[str, Any] = {"provider": "google", "model": "gemini-2.5-pro"}


@pytest.fixture(scope="module")
def month(house: House) -> dict[str, Any]:
    """Bobcat makes 1,102 calls, of which 100 are included: the second block of 1,000 begins with call 1,101."""
    house.at("2026-07-30T09:00:00")
    rates = sample.versions("hybrid")[0]["rates"]
    house.set_up(NAME, ["bobcat"], "2026-08-01", rates, plan=sample.plan("hybrid"), parked_usage="exclude")
    house.at("2026-08-31T12:00:00")
    busy: dict[str, Any] = {"input": 5_200, "output": 310, "call": 1, "compute_second": 42, "tool_call:web_search": 3}
    other: dict[str, Any] = {"tool_call:shell": 1}
    sent = house.send(
        [
            event("bobcat", "many", "2026-08-02T10:00:00Z", **GEMINI, input=1_000_000, output=100_000, call=1_100),
            event("bobcat", "busy", "2026-08-10T10:00:00Z", **GEMINI, **busy),
            event("bobcat", "idle", "2026-08-12T10:00:00Z", **GEMINI, call=1),
            event("bobcat", "tool", "2026-08-13T10:00:00Z", **GEMINI, call=1, **other),
        ]
    )
    house.at("2026-09-01T05:00:00")
    run = house.run(NAME, MONTH)
    return {"sent": sent, "run": run, "invoice": house.invoices(NAME, "2026")["bobcat"]}


def test_one_event_shows_which_meter_drove_which_charge(month: dict[str, Any], house: House) -> None:
    trace = house.trace("bobcat", "busy")
    charges = {charge["meter"]: (charge["quantity"], charge["exact"], charge["cause"]) for charge in trace["charges"]}
    assert charges == {
        "input": (5_200, "0.0065", "input tokens read by the model"),  # 5,200 x 1.25 / 1M
        "output": (310, "0.0031", "output tokens written by the model"),  # 310 x 10.00 / 1M
        "calls": (1, "0.5", "requests made"),  # begins the second block of 1,000
        "tool_calls": (3, "0.042", "calls of the tool web_search"),  # 3 x 14.00 / 1,000
        "compute_seconds": (42, "0.00126", "seconds of computing time"),  # 42 x 0.03 / 1,000
    }
    assert {entry["account"] for entry in trace["journal"]} == {f"revenue:{meter}" for meter in charges}


def test_a_call_inside_a_block_that_is_begun_costs_nothing_more(month: dict[str, Any], house: House) -> None:
    [charge] = house.trace("bobcat", "idle")["charges"]
    assert (charge["meter"], charge["quantity"], charge["position"], charge["exact"]) == ("calls", 1, 1_101, "0")


def test_every_meter_has_lines_of_its_own(month: dict[str, Any]) -> None:
    assert shown(month["invoice"], "meter", "class", "tier", "quantity", "blocks", "exact", "amount") == [
        ("input", "input", None, 1_005_200, None, "1.2565", "1.26"),  # 1,005,200 x 1.25 / 1M
        ("output", "output", None, 100_310, None, "1.0031", "1.00"),  # 100,310 x 10.00 / 1M
        ("calls", "call", "included", 100, None, "0", "0.00"),
        ("calls", "call", "1", 1_002, 2, "1", "1.00"),  # 2 x 0.50
        ("tool_calls", "tool_call:web_search", None, 3, None, "0.042", "0.04"),
        ("compute_seconds", "compute_second", None, 42, None, "0.00126", "0.00"),
    ]
    assert (month["invoice"]["net_exact"], month["invoice"]["net"]) == ("3.30286", "3.30")


def test_the_books_have_revenue_by_meter(month: dict[str, Any], house: House) -> None:
    assert house.ledger(month["invoice"]) == {
        "customer:bobcat:receivable": "3.3",
        "revenue:input": "-1.2565",
        "revenue:output": "-1.0031",
        "revenue:calls": "-1",
        "revenue:tool_calls": "-0.042",
        "revenue:compute_seconds": "-0.00126",
        "rounding": "0.00286",
    }


def test_one_more_call_may_begin_a_block_and_that_is_the_cliff(month: dict[str, Any]) -> None:
    assert month["invoice"]["cliff"] == {"charge": "calls", "exact": "0.5"}


def test_a_tool_without_a_price_is_left_out_and_never_billed_as_another(month: dict[str, Any], house: House) -> None:
    parked = month["sent"]["results"][3]["parked"]
    assert "no price for google/gemini-2.5-pro tool_call:shell" in parked["detail"]
    assert month["invoice"]["events"] == {"accepted": 4, "rated": 3, "excluded": {"parked": 1}}
    assert house.trace("bobcat", "tool")["state"] == "parked"


def test_the_bundle_verifies_offline(month: dict[str, Any], house: House, tmp_path: Path) -> None:
    assert month["run"]["status"] == "sealed"
    report = house.verify(month["invoice"]["number"], tmp_path)
    assert report.ok, report.differences
