"""Which run an account with an anchor day is in, and which run bills a moment of it."""

from __future__ import annotations

from typing import Any

import pytest

from lambdas.billing.times import month_after
from lambdas.handlers import stores, trace_charge
from lambdas.store import clients
from lambdas.store.billing_items import BUNDLED, FAILED
from tests.handlers.http_calls import FINANCE, call
from tests.handlers.months import (
    GATEWAY,
    OPENED_AT,
    RUN_ID,
    START,
    agree,
    execute,
    invoice_of,
    open_run_item,
    publish,
    set_up,
    step_open,
    use,
)
from tests.store.catalogue_documents import PLAN, card, rate

pytestmark = pytest.mark.usefixtures("aws")

DECEMBER = "bp-us.2026-12.final"
IN_ADVANCE = {
    **PLAN,
    "id": "advance",
    "model": "custom",
    "primary_meter": "output",
    "charges": [
        {"id": "base", "kind": "flat", "timing": "advance"},
        {"id": "output", "meter": "output", "kind": "per_unit"},
    ],
}


def offer_a_fee_in_advance() -> None:
    """The world without customers, a plan with a base fee of 30.00 in advance, and its price."""
    set_up()
    stores.catalogue().publish_plan(IN_ADVANCE, now=START)
    publish(card(2, "2026-10-01", {"charge": "base", "per": 1, "price": "30.00"}), now=START)


def customer(name: str, effective_from: str, *, plan: str = "pure", anchor_day: int = 1) -> None:
    stores.catalogue().create_customer({"id": name, "name": name.title()}, now=START)
    agree(name, effective_from=effective_from, plan=plan, anchor_day=anchor_day)


def accounts(run_id: str = RUN_ID) -> list[str]:
    return [account.customer for account in stores.billing().accounts(run_id)]


@pytest.mark.parametrize(
    ("anchor_day", "plan", "last_day"),
    [
        (1, "pure", "2026-11-30"),
        (1, "advance", "2026-12-01"),
        (15, "pure", "2026-11-14"),
        (15, "advance", "2026-11-15"),
        (31, "pure", "2026-11-29"),
        (31, "advance", "2026-11-30"),
    ],
)
def test_a_run_has_the_accounts_whose_contract_begins_in_their_period_or_with_a_fee_in_advance_at_its_end(
    anchor_day: int, plan: str, last_day: str
) -> None:
    offer_a_fee_in_advance()
    day_after = {"30": "2026-12-01", "01": "2026-12-02"}.get(last_day[8:], f"{last_day[:8]}{int(last_day[8:]) + 1:02d}")
    customer("in", last_day, plan=plan, anchor_day=anchor_day)
    customer("later", day_after, plan=plan, anchor_day=anchor_day)
    open_run_item()

    step_open()
    assert accounts() == ["in"]

    step_open(open_run_item("2026-12"))
    assert accounts(DECEMBER) == ["in", "later"]


def put_status(run_id: str, name: str, status: str) -> None:
    clients.dynamodb().update_item(
        TableName="billproof-test-billing",
        Key={"pk": {"S": f"RUN#{run_id}"}, "sk": {"S": f"A#{name}"}},
        UpdateExpression="SET #status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": status}},
    )


@pytest.mark.parametrize(("status", "taken"), [(BUNDLED, []), (FAILED, ["newer"])])
def test_a_first_fee_that_the_next_month_has_billed_makes_no_account(status: str, taken: list[str]) -> None:
    offer_a_fee_in_advance()
    open_run_item()
    step_open()
    customer("newer", "2026-12-01", plan="advance")
    step_open(open_run_item("2026-12"))
    put_status(DECEMBER, "newer", status)

    step_open(execution="two")

    assert accounts() == taken


def test_a_contract_in_force_makes_an_account_also_after_a_later_month() -> None:
    set_up()
    open_run_item()
    step_open()
    customer("newer", "2026-11-10")
    step_open(open_run_item("2026-12"))
    put_status(DECEMBER, "newer", BUNDLED)

    step_open(execution="two")

    assert accounts() == ["newer"]


@pytest.mark.parametrize(
    ("time", "run_id"),
    [
        ("2026-11-14T23:59:59.999999Z", RUN_ID),
        ("2026-11-15T00:00:00Z", DECEMBER),
        ("2026-11-30T23:59:59.999999Z", DECEMBER),
        ("2026-12-14T23:59:59.999999Z", DECEMBER),
        ("2026-12-15T00:00:00Z", None),
    ],
)
def test_an_event_is_traced_to_the_run_whose_period_holds_it(time: str, run_id: str | None) -> None:
    set_up()
    customer("acme", "2026-10-15", anchor_day=15)
    use("acme", "a", time, received_at="2026-12-31T00:00:00.000000Z", input=1)
    for month in ("2026-11", "2026-12"):
        step_open(open_run_item(month, opened_at=OPENED_AT))

    assert traced_run("a") == run_id


def test_an_event_before_a_contract_that_begins_later_is_in_no_run() -> None:
    set_up()
    customer("acme", "2026-11-15", anchor_day=15)
    use("acme", "a", "2026-11-14T23:59:59.999999Z", input=1)
    step_open(open_run_item())
    assert traced_run("a") is None


def traced_run(event_id: str) -> str | None:
    answer = call(trace_charge.handler, "GET /v1/trace/event", FINANCE, customer="acme", source=GATEWAY, id_=event_id)
    run_id: str | None = answer.body["run_id"]
    return run_id


# whole months


def bill(month: str, execution: str = "one") -> dict[str, Any]:
    after = month_after(month)
    run_id = open_run_item(month, opened_at=f"{after}-01T06:00:00.000000Z")
    sealed: dict[str, Any] = execute(run_id, execution, now=f"{after}-01T06:00:09.000000Z")
    return sealed


def with_usage_around_the_15th() -> None:
    offer_a_fee_in_advance()
    customer("acme", "2026-11-15", plan="advance", anchor_day=15)
    for event_id, time, output in (
        ("first", "2026-11-15T00:00:00Z", 1_000_000),
        ("last", "2026-12-14T23:59:59.999999Z", 100_000),
        ("next", "2026-12-15T00:00:00Z", 10_000),
    ):
        use("acme", event_id, time, received_at="2026-12-20T00:00:00.000000Z", output=output)


def test_months_from_the_15th_have_their_own_usage_and_the_next_months_fee() -> None:
    with_usage_around_the_15th()

    assert [bill(month)["status"] for month in ("2026-11", "2026-12", "2027-01")] == ["sealed"] * 3

    november, december, january = (
        invoice_of("acme", f"bp-us.{month}.final") for month in ("2026-11", "2026-12", "2027-01")
    )
    assert november["net_exact"] == "30"  # [15 Nov, 15 Dec)
    assert december["net_exact"] == "41"  # 30 + 1,100,000 x 10.00 / 1,000,000
    assert january["net_exact"] == "30.1"  # 30 + 10,000 x 10.00 / 1,000,000
    assert (december["period"], december["period_start"][:10], december["period_end"][:10]) == (
        "2026-12", "2026-11-15", "2026-12-15"
    )  # fmt: skip


def test_a_month_before_its_turn_fails_by_name_and_is_billed_when_the_one_before_is() -> None:
    with_usage_around_the_15th()
    bill("2026-11")
    early = bill("2027-01")

    [failed] = early["failed"]
    assert (failed["code"], early["status"]) == ("EarlierPeriodOpen", "incomplete")
    assert "bill 2026-12 first, in run bp-us.2026-12.final" in failed["detail"]

    assert bill("2026-12")["status"] == "sealed"
    assert bill("2027-01", "two")["status"] == "sealed"
    assert invoice_of("acme", "bp-us.2027-01.final")["net_exact"] == "30.1"


def test_a_first_fee_that_came_too_late_for_its_run_is_on_the_first_invoice_of_the_contract() -> None:
    offer_a_fee_in_advance()
    bill("2026-11")
    customer("acme", "2026-12-01", plan="advance")

    assert bill("2026-12")["status"] == "sealed"

    assert invoice_of("acme", "bp-us.2026-12.final")["net_exact"] == "60"  # December's fee and January's


def test_usage_after_an_anchor_day_is_given_its_first_price_though_the_month_is_sealed() -> None:
    set_up()
    customer("acme", "2026-10-01", anchor_day=15)
    use("acme", "new", "2026-11-20T10:00:00Z", reasoning=1_000_000)
    assert bill("2026-11")["status"] == "sealed"
    publish(card(2, "2026-11-20", rate("reasoning", "10.00")), now="2026-12-10T00:00:00.000000Z")

    assert bill("2026-12")["status"] == "sealed"

    assert invoice_of("acme", DECEMBER)["net_exact"] == "10"
