"""Accounts that the deployed state machine cannot bill: each says what is missing, and a first price lets it go on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.house import House, contract, event, rate

pytestmark = pytest.mark.long

NAME, MONTH = "stopped", "2026-03"
RUN = f"/v1/billing-runs/{NAME}.{MONTH}.final"
BASED: dict[str, Any] = {
    "version": 1,
    "name": "Base fee in arrears",
    "model": "custom",
    "posture": "variable",
    "volatility_bearer": "customer",
    "primary_meter": "input",
    "charges": [
        {"id": "base", "kind": "flat", "timing": "arrears"},
        {"id": "input", "meter": "input", "kind": "per_unit"},
    ],
}
BASE = {"charge": "base", "price": "30.00", "per": 1}


@pytest.fixture(scope="module")
def march(house: House) -> dict[str, Any]:
    """The base fee has a price from April on only, and a model that Lynx uses has none."""
    seen: dict[str, Any] = {}
    house.at("2026-02-25T09:00:00")
    house.set_up(NAME, [], "2026-03-01", [rate("gpt-4o", "input", "2.00")], plan=BASED)
    house.publish(NAME, 2, "2026-04-01", [BASE])
    house.publish("stopped-cost", 1, "2026-03-01", [rate("gpt-4o", "input", "1.00"), rate("gpt-9", "input", "1.00")])
    for customer in ("lynx", "otter"):
        house.post("/v1/customers", {"id": customer, "name": customer.title()})
        house.post("/v1/contracts", contract(NAME, customer, "2026-03-01", cost_card="stopped-cost"))
    house.at("2026-03-31T12:00:00")
    house.send(
        [
            event("lynx", "known", "2026-03-05T10:00:00Z", input=1_000_000),
            event("lynx", "new", "2026-03-06T10:00:00Z", model="gpt-9", input=1_000_000),
            event("otter", "known", "2026-03-05T10:00:00Z", input=1_000_000),
        ]
    )
    house.at("2026-04-01T05:00:00")
    seen["stopped"] = house.run(NAME, MONTH)
    seen["parked"] = house.get(f"{RUN}/parked", customer="lynx")
    house.publish(NAME, 3, "2026-03-01", [BASE, rate("gpt-9", "input", "5.00")])
    seen["sealed"] = house.run(NAME, MONTH)
    seen["accounts"] = {account["customer"]: account for account in house.get(f"{RUN}/accounts")["items"]}
    return seen


def test_a_base_fee_without_a_price_is_an_error_that_says_what_to_publish(march: dict[str, Any]) -> None:
    assert march["stopped"]["status"] == "incomplete"
    assert march["stopped"]["accounts"]["by_status"] == {"failed": 2}
    errors = {failed["customer"]: failed for failed in march["stopped"]["failed"]}
    assert errors["otter"] == {
        "customer": "otter",
        "status": "failed",
        "code": "RateMissing",
        "detail": "charge base = no price on 2026-03-01: publish its price in rate card stopped "
        "(a first price may begin in the past), then resume the run",
    }


def test_parked_events_are_named_in_the_error_and_listed_by_the_call_it_names(march: dict[str, Any]) -> None:
    [error] = [failed for failed in march["stopped"]["failed"] if failed["customer"] == "lynx"]
    assert error["code"] == "AccountParked"
    assert f"GET {RUN}/parked?customer=lynx" in error["detail"]
    assert "gpt-9 input on 2026-03-06 (1 event: /gateway new at 2026-03-06T10:00:00.000000Z)" in error["detail"]
    assert [(item["id"], item["model"], item["class"]) for item in march["parked"]["items"]] == [
        ("new", "gpt-9", "input")
    ]


def test_first_prices_let_both_go_on(march: dict[str, Any], house: House) -> None:
    assert (march["sealed"]["status"], march["sealed"]["failed"]) == ("sealed", [])
    documents = house.invoices(NAME, "2026", MONTH)
    assert documents["otter"]["net_exact"] == "32"  # 30.00 + 2.00
    assert documents["lynx"]["net_exact"] == "37"  # 30.00 + 2.00 + 5.00


def test_margins_are_shown_to_the_seller(march: dict[str, Any], house: House) -> None:
    margins = {name: account["totals"]["controls"]["margin"] for name, account in march["accounts"].items()}
    assert {name: margin["margin"] for name, margin in margins.items()} == {"lynx": "35", "otter": "31"}
    for path in ("accounts", "parked"):
        assert house.call("GET", f"{RUN}/{path}", key=house.key_of("lynx"), customer="lynx").status == 403
