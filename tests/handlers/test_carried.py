"""What an invoice takes over from the one before, and in which order months are billed then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from lambdas.billing.documents import Contract, read_contract
from lambdas.billing.errors import EarlierPeriodOpen
from lambdas.billing.periods import account_period
from lambdas.billing.plans import Charge, read_plan
from lambdas.billing.times import month_after
from lambdas.handlers import stores
from lambdas.handlers.carried import carried_forward, later_account
from lambdas.store import clients
from lambdas.store.billing import Billing
from lambdas.store.billing_items import (
    BUNDLED,
    DRAFTED,
    EMPTY,
    FAILED,
    FROZEN,
    INCOMPLETE,
    ISSUED,
    OPEN,
    PENDING,
    SEALED,
)
from tests.handlers.months import (
    account_of,
    execute,
    invoice_of,
    open_run_item,
    set_up,
    step_draft,
    step_freeze,
    step_issue,
    step_open,
    step_rate,
    use,
)
from tests.store.catalogue_documents import CONTRACT, PLAN

pytestmark = pytest.mark.usefixtures("aws")

PURE = read_plan(PLAN)
PLANS = {
    "pure@1": PURE,
    "arrears@1": PURE._replace(charges=(*PURE.charges, Charge("base", "", (), "flat", timing="arrears"))),
    "advance@1": PURE._replace(charges=(*PURE.charges, Charge("base", "", (), "flat", timing="advance"))),
}
CARRIED = {"advance": [{"charge": "base", "amount": "99"}], "committed": {"from": "2026-10-15", "exact": "12.5"}}
TERM = {"amount": "600.00", "counting": "term", "months": 12}
UNREAD = cast(Billing, None)
"""No store at all: whatever reads it fails."""


def contract(version: int = 1, effective_from: str = "2026-10-15", plan: str = "advance", **terms: Any) -> Contract:
    return read_contract({**CONTRACT, "version": version, "effective_from": effective_from, "plan": plan, **terms})


def carried(month: str, *contracts: Contract, billing: Billing | None = None) -> dict[str, Any] | None:
    return carried_forward(
        "acme",
        account_period(month, contracts[0].anchor_day),
        contracts,
        PLANS,
        billing=billing or stores.billing(),
        evidence=stores.evidence(),
    )


def put_run(month: str, status: str = OPEN) -> str:
    run_id = open_run_item(month)
    set_values({"pk": f"RUN#{run_id}", "sk": "RUN"}, status=status)
    return run_id


def put_account(month: str, status: str) -> None:
    """An account of acme in the run of a month, as a step of that run has left it."""
    run_id = put_run(month)
    stores.billing().add_accounts(run_id, ["acme"], 1)
    set_values({"pk": f"RUN#{run_id}", "sk": "A#acme"}, status=status)


def set_values(key: Mapping[str, str], **values: str) -> None:
    clients.dynamodb().update_item(
        TableName="billproof-test-billing",
        Key={name: {"S": text} for name, text in key.items()},
        UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
        ExpressionAttributeNames={f"#{name}": name for name in values},
        ExpressionAttributeValues={f":{name}": {"S": text} for name, text in values.items()},
    )


def issue(month: str, carrying: Mapping[str, Any]) -> dict[str, Any]:
    """Acme's invoice of a month, issued with these facts for the next one."""
    use("acme", month, f"{month}-20T12:00:00Z", input=1_000_000)
    after = month_after(month)
    run_id = open_run_item(month, opened_at=f"{after}-01T06:00:00.000000Z")
    step_open(run_id)
    step_freeze(run_id, "acme", now=f"{after}-01T06:00:09.000000Z")
    step_rate(run_id, "acme", 1, 1)
    step_draft(run_id, "acme")
    draft = stores.evidence().get_json(account_of("acme", run_id).draft_key)
    key = f"runs/{run_id}/acme/f1/draft-carrying.json"
    digest = stores.evidence().put_json_once(key, {**draft, "carried_forward": carrying})
    set_values({"pk": f"RUN#{run_id}", "sk": "A#acme"}, draft_key=key, draft_hash=digest)
    step_issue(run_id)
    return invoice_of("acme", run_id)


# what is carried


@pytest.mark.parametrize(
    "versions",
    [
        [contract(plan="pure")],
        [contract(plan="arrears")],
        [contract(plan="pure", commitment={"amount": "600.00", "counting": "period"})],
        [contract(plan="pure"), contract(2, "2026-12-02", plan="advance")],
        [contract(plan="pure"), contract(2, "2026-12-02", plan="pure", commitment=TERM)],
    ],
)
def test_months_without_a_fee_in_advance_or_a_term_are_independent_and_read_nothing(versions: list[Contract]) -> None:
    assert carried("2026-11", *versions, billing=UNREAD) is None


@pytest.mark.parametrize(
    "versions",
    [
        [contract(plan="advance")],
        [contract(plan="pure", commitment=TERM)],
        [contract(plan="pure", commitment=TERM), contract(2, "2026-11-01", plan="pure")],
        [contract(plan="advance"), contract(2, "2026-11-02", plan="pure")],
        [contract(plan="pure"), contract(2, "2026-11-30", plan="advance")],
        [contract(plan="advance"), contract(2, "2026-11-01", plan="pure")],  # what a fee gave back may be left over
    ],
)
def test_the_invoice_before_says_what_is_carried_on(versions: list[Contract]) -> None:
    set_up("acme")
    october = issue("2026-10", CARRIED)

    found = carried("2026-11", *versions)

    digest = stores.billing().invoice(october["number"]).document_hash
    assert found == {"invoice": "BP-2026-000001", "hash": digest, **CARRIED}


def test_what_counted_to_a_term_that_ended_without_an_invoice_does_not_count_to_the_next_one() -> None:
    """The term of October and November was reached in October; November had no usage, so no invoice says it ended."""
    set_up("acme")
    term = {"amount": "600.00", "counting": "term", "months": 2}
    versions = [contract(effective_from="2026-10-01", plan="pure", commitment=term)]
    issue("2026-10", {"advance": [], "committed": {"from": "2026-10-01", "exact": "700"}, "credit": "0"})
    put_account("2026-11", EMPTY)
    put_account("2026-12", EMPTY)

    def counted(month: str) -> dict[str, str] | None:
        found = carried(month, *versions)
        assert found is not None
        committed: dict[str, str] | None = found["committed"]
        return committed

    assert counted("2027-01") == {"from": "2026-12-01", "exact": "0"}
    set_values({"pk": "RUN#bp-us.2026-12.final", "sk": "A#acme"}, status=FAILED)
    assert counted("2026-12") is None  # the term begins with this period
    set_values({"pk": "RUN#bp-us.2026-11.final", "sk": "A#acme"}, status=FAILED)
    assert counted("2026-11") == {"from": "2026-10-01", "exact": "700"}


def test_an_invoice_that_says_nothing_about_it_carries_nothing() -> None:
    set_up("acme")
    use("acme", "a", "2026-10-20T12:00:00Z", input=1_000_000)
    october = open_run_item("2026-10", opened_at="2026-11-01T06:00:00.000000Z")
    assert execute(october, now="2026-11-01T06:00:09.000000Z")["status"] == "sealed"
    assert account_of("acme", october).status == BUNDLED

    found = carried("2026-11", contract())

    assert found == {
        "invoice": "BP-2026-000001",
        "hash": stores.billing().invoice("BP-2026-000001").document_hash,
        "advance": [],
        "committed": None,
        "credit": "0",
    }


def test_a_month_without_an_invoice_is_passed_over() -> None:
    set_up("acme")
    issue("2026-10", CARRIED)
    put_account("2026-11", EMPTY)
    put_account("2026-12", EMPTY)

    found = carried("2027-01", contract())

    assert found is not None
    assert (found["invoice"], found["advance"]) == ("BP-2026-000001", CARRIED["advance"])


def test_without_any_invoice_since_the_first_contract_nothing_is_carried() -> None:
    put_account("2026-10", EMPTY)
    put_account("2026-11", EMPTY)
    assert carried("2026-12", contract()) is None


# months in order


def test_nothing_is_before_the_first_period_of_the_first_contract() -> None:
    put_run("2026-09")
    assert carried("2026-10", contract()) is None
    assert carried("2026-10", contract(effective_from="2026-10-01")) is None


def test_a_fee_billed_before_the_contract_began_is_carried_into_its_first_period() -> None:
    set_up("acme")
    issue("2026-10", CARRIED)
    found = carried("2026-11", contract(effective_from="2026-11-01"))
    assert found is not None
    assert found["advance"] == CARRIED["advance"]


def test_a_contract_that_begins_with_the_next_period_has_nothing_before_it() -> None:
    assert carried("2026-10", contract(effective_from="2026-11-01")) is None


def test_a_fee_in_advance_that_begins_with_the_next_period_needs_nothing_from_before_and_goes_before_it() -> None:
    versions = contract(plan="pure"), contract(2, "2026-12-01", plan="advance")
    assert carried("2026-11", *versions) is None
    put_account("2026-12", PENDING)
    with pytest.raises(EarlierPeriodOpen, match="has gone ahead"):
        carried("2026-11", *versions)


@pytest.mark.parametrize("run", [None, OPEN, INCOMPLETE])
def test_a_month_without_an_account_must_be_billed_first(run: str | None) -> None:
    put_account("2026-10", EMPTY)
    if run is not None:
        put_run("2026-11", run)
    with pytest.raises(EarlierPeriodOpen, match=r"2026-12: bill 2026-11 first, in run bp-us\.2026-11\.final"):
        carried("2026-12", contract())


@pytest.mark.parametrize("status", [PENDING, FROZEN, DRAFTED, FAILED])
@pytest.mark.parametrize("effective_from", ["2026-10-15", "2026-12-01"])  # the second's first fee is on November's
def test_an_unfinished_account_must_be_billed_first(status: str, effective_from: str) -> None:
    put_account("2026-10", EMPTY)
    put_account("2026-11", status)
    with pytest.raises(EarlierPeriodOpen, match="bill 2026-11 first"):
        carried("2026-12", contract(effective_from=effective_from))


def test_of_several_open_months_the_first_is_named() -> None:
    put_account("2026-12", FAILED)
    put_account("2026-10", EMPTY)
    with pytest.raises(EarlierPeriodOpen, match="bill 2026-11 first"):
        carried("2027-01", contract())


def test_an_open_month_is_not_passed_over_for_an_earlier_invoice() -> None:
    set_up("acme")
    issue("2026-10", CARRIED)
    put_account("2026-11", DRAFTED)
    put_account("2026-12", EMPTY)
    with pytest.raises(EarlierPeriodOpen, match="bill 2026-11 first"):
        carried("2027-01", contract())


def test_a_month_sealed_before_the_contract_was_agreed_can_never_be_billed_and_is_passed_over() -> None:
    set_up("acme")
    issue("2026-10", CARRIED)
    put_run("2026-11", SEALED)
    found = carried("2026-12", contract())
    assert found is not None
    assert found["invoice"] == "BP-2026-000001"


@pytest.mark.parametrize("effective_from", ["2026-10-15", "2026-12-01"])
@pytest.mark.parametrize("status", [PENDING, FROZEN, DRAFTED, ISSUED, BUNDLED, EMPTY])
def test_a_month_is_not_billed_after_a_later_one(status: str, effective_from: str) -> None:
    put_account("2026-10", EMPTY)
    put_account("2026-12", status)
    with pytest.raises(EarlierPeriodOpen, match=r"2026-11: .*bp-us\.2026-12\.final has gone ahead"):
        carried("2026-11", contract(effective_from=effective_from))


def test_a_later_account_that_failed_waits_for_this_one() -> None:
    put_account("2026-10", EMPTY)
    put_account("2026-12", FAILED)
    assert carried("2026-11", contract()) is None


def test_later_accounts_are_found_past_months_without_one() -> None:
    put_run("2026-12", SEALED)
    put_account("2027-01", FAILED)
    put_account("2027-02", ISSUED)
    assert later_account("acme", "2026-11", "bp-us", stores.billing()) == "2027-02"
    assert later_account("acme", "2027-02", "bp-us", stores.billing()) is None
    assert later_account("beta", "2026-11", "bp-us", stores.billing()) is None


@pytest.mark.parametrize(
    ("effective_from", "first_month"),
    [("2026-10-14", "2026-10"), ("2026-10-15", "2026-11"), ("2026-11-14", "2026-11"), ("2026-11-15", "2026-12")],
)
def test_with_an_anchor_day_the_first_period_is_the_one_that_holds_the_contracts_first_day(
    effective_from: str, first_month: str
) -> None:
    began = contract(effective_from=effective_from, anchor_day=15)
    assert carried(first_month, began) is None
    with pytest.raises(EarlierPeriodOpen, match=f"bill {first_month} first"):
        carried(month_after(first_month), began)
