"""Whole billing runs, step by step: what comes out, what a repetition changes, what one bad account stops."""

from __future__ import annotations

import io

import pytest

from lambdas.billing.errors import AccountParked
from lambdas.billing.journal import balances, postings_of
from lambdas.billing.money import format_amount
from lambdas.billing.verify import verify_bundle
from lambdas.handlers import stores
from lambdas.store import clients
from tests.handlers.months import (
    FROZEN_AT,
    OPENED_AT,
    RUN_ID,
    account_of,
    agree,
    everything_stored,
    execute,
    invoice_of,
    open_run_item,
    publish,
    set_up,
    step_bundle,
    step_draft,
    step_freeze,
    step_issue,
    step_open,
    step_rate,
    step_seal,
    use,
    use_all,
)
from tests.store.catalogue_documents import card, rate

pytestmark = pytest.mark.usefixtures("aws")


def use_worked_example_1(customer: str) -> None:
    """22,361,870 input and 4,088,665 output tokens, as in the Azure trace."""
    use(customer, "a", "2026-11-16T18:15:46.680590Z", input=22_000_000, output=4_000_000)
    use(customer, "b", "2026-11-17T00:00:00Z", input=361_870, output=88_665)


def test_worked_example_1_comes_out_as_invoice_and_postings() -> None:
    set_up("acme", tax="0.19")
    use_worked_example_1("acme")
    open_run_item()

    sealed = execute()

    assert sealed["status"] == "sealed"
    invoice = invoice_of("acme")
    assert invoice["number"] == "BP-2026-000001"
    assert invoice["issued_at"] == OPENED_AT
    assert [(line["exact"], line["amount"]) for line in invoice["lines"]] == [
        ("55.904675", "55.90"),
        ("40.88665", "40.89"),
    ]
    assert (invoice["net_exact"], invoice["net"], invoice["total"]) == ("96.791325", "96.79", "115.18")
    journal = stores.ledger().of_invoice("bp-us", OPENED_AT, "BP-2026-000001")
    assert {name: format_amount(amount) for name, amount in balances(postings_of(journal)).items()} == {
        "customer:acme:receivable": "115.18",
        "rounding": "0.001325",
        "revenue:input": "-55.904675",
        "revenue:output": "-40.88665",
        "tax_payable:bp-us": "-18.39",
    }


def test_sealed_totals_are_those_of_all_accounts() -> None:
    set_up("acme", "beta", "idle", tax="0.19", parked_usage="exclude")
    use_worked_example_1("acme")
    use("beta", "b", "2026-11-20T10:00:00Z", input=1_000_000, output=0)
    use("beta", "p", "2026-11-20T11:00:00Z", model="gpt-9", input=7)
    open_run_item()

    sealed = execute()

    assert sealed["failed"] == []
    assert sealed["totals"] == {
        "accounts": {"bundled": 2, "empty": 1},
        "events": {"accepted": 4, "rated": 3, "excluded": {}, "parked": 1},
        "quantities": {
            "accepted": {
                "openai/gpt-4o|input": 23_361_870,
                "openai/gpt-4o|output": 4_088_665,
                "openai/gpt-9|input": 7,
            },
            "rated": {"openai/gpt-4o|input": 23_361_870, "openai/gpt-4o|output": 4_088_665},
            "excluded": {"openai/gpt-9|input": 7},
        },
        "lines": 3,
        "money": {
            "USD": {
                "invoices": 2,
                "first": "BP-2026-000001",
                "last": "BP-2026-000002",
                "net_exact": format_amount(96_791325 * 10**12 + 25 * 10**17),
                "net": "99.29",
                "tax": "18.87",  # 18.39 + 0.48
                "total": "118.16",
                "receivable": "118.16",
                "revenue": "99.291325",
                "deferred": "0",
                "rounding": "-0.001325",
                "tax_payable": "18.87",
                "balance": "0",
            }
        },
    }
    seal = stores.evidence().get_json(f"runs/{RUN_ID}/seal.json")
    assert seal == {
        "run_id": RUN_ID, "entity": "bp-us", "period": "2026-11", "opened_at": OPENED_AT, **sealed["totals"]
    }  # fmt: skip


def test_a_rate_change_in_the_month_gives_two_lines() -> None:
    set_up("acme")
    publish(card(2, "2026-11-16", rate("input", "3.00")), now="2026-11-10T00:00:00.000000Z")
    use("acme", "before", "2026-11-15T23:59:59.9999999Z", input=1_000_000)
    use("acme", "after", "2026-11-16T00:00:00Z", input=2_000_000)
    open_run_item()

    execute()

    lines = invoice_of("acme")["lines"]
    assert [(line["rate_version"], line["quantity"], line["exact"]) for line in lines] == [
        ("std@1", 1_000_000, "2.5"),
        ("std@2", 2_000_000, "6"),
    ]


def test_every_step_done_twice_changes_nothing() -> None:
    set_up("acme", "beta")
    use_worked_example_1("acme")
    use("beta", "b", "2026-11-20T10:00:00Z", input=5)
    open_run_item()

    def twice(step: object, *arguments: object, **options: object) -> object:
        assert callable(step)
        first = step(*arguments, **options)
        before = everything_stored()
        second = step(*arguments, **options)
        assert everything_stored() == before
        assert second == first
        return first

    twice(step_open)
    for customer in ("acme", "beta"):
        twice(step_freeze, RUN_ID, customer)
        step_freeze(RUN_ID, customer, now="2026-12-01T07:00:00.000000Z")
        twice(step_rate, RUN_ID, customer, 1, 1)
        twice(step_draft, RUN_ID, customer)
    twice(step_issue)
    for customer in ("acme", "beta"):
        twice(step_bundle, RUN_ID, customer)
    twice(step_seal)
    before = everything_stored()
    assert execute(execution="one")["status"] == "sealed"
    assert everything_stored() == before


def test_a_second_execution_of_a_sealed_run_is_no_attempt_and_changes_nothing() -> None:
    set_up("acme")
    use_worked_example_1("acme")
    open_run_item()
    first = execute()
    before = everything_stored()

    second = execute(execution="two")

    assert second == first
    assert everything_stored() == before


def test_only_the_newest_attempt_seals_and_after_its_seal_no_account_is_added() -> None:
    set_up("acme")
    use_worked_example_1("acme")
    open_run_item()
    execute(execution="one")
    forget_that_the_run_is_sealed()
    stores.catalogue().create_customer({"id": "newer", "name": "Newer"}, now=OPENED_AT)
    agree("newer")

    step_open(execution="two")

    assert step_seal(attempt=1)["status"] == "open"
    assert step_seal(attempt=2)["status"] == "sealed"
    assert [account.customer for account in stores.billing().accounts(RUN_ID)] == ["acme"]


def forget_that_the_run_is_sealed() -> None:
    """As if the execution had died between the seal and the run's status."""
    clients.dynamodb().update_item(
        TableName="billproof-test-billing",
        Key={"pk": {"S": f"RUN#{RUN_ID}"}, "sk": {"S": "RUN"}},
        UpdateExpression="SET #status = :status REMOVE totals",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": "incomplete"}},
    )


def test_parked_usage_blocks_its_account_only_and_is_released_by_a_back_dated_price() -> None:
    set_up("acme", "beta", "gamma")
    use_worked_example_1("acme")
    use("beta", "known", "2026-11-20T10:00:00Z", input=1_000_000)
    use("beta", "new", "2026-11-20T11:00:00Z", model="gpt-9", output=3)
    use("gamma", "g", "2026-11-20T10:00:00Z", input=1_000_000)
    open_run_item()

    incomplete = execute()

    assert incomplete["status"] == "incomplete"
    [failed] = incomplete["failed"]
    assert (failed["customer"], failed["code"]) == ("beta", "AccountParked")
    assert "rate card std has no price for openai/gpt-9 output on 2026-11-20 (1 event: " in failed["detail"]
    assert incomplete["totals"]["events"] == {"accepted": 5, "rated": 4, "excluded": {}, "parked": 1}
    assert incomplete["totals"]["accounts"] == {"bundled": 2, "failed": 1}
    assert [invoice_of(name)["number"] for name in ("acme", "gamma")] == ["BP-2026-000001", "BP-2026-000002"]

    publish(card(2, "2026-11-01", rate("output", "20.00", model="gpt-9")), now="2026-12-02T00:00:00.000000Z")
    use("beta", "late", "2026-11-20T12:00:00Z", input=1_000_000, received_at="2026-12-02T00:00:00.000000Z")
    sealed = execute(execution="two", now="2026-12-02T01:00:00.000000Z")

    assert sealed["status"] == "sealed"
    assert sealed["failed"] == []
    assert sealed["totals"]["events"]["parked"] == 0
    invoice = invoice_of("beta")
    assert invoice["number"] == "BP-2026-000003"
    assert invoice["cutoff"] == FROZEN_AT
    assert {line["key"]: line["quantity"] for line in invoice["lines"]} == {
        "input|openai/gpt-4o|input|std@1": 1_000_000,
        "output|openai/gpt-9|output|std@2": 3,
    }


def test_parked_usage_is_released_also_after_the_next_month_is_sealed() -> None:
    set_up("acme")
    use("acme", "once", "2026-11-20T10:00:00Z", model="gpt-9", input=1_000_000)
    open_run_item()
    assert execute()["status"] == "incomplete"
    december = open_run_item("2026-12", opened_at="2027-01-01T06:00:00.000000Z")
    assert execute(december, now="2027-01-01T06:00:09.000000Z")["status"] == "sealed"

    publish(card(2, "2026-11-01", rate("input", "20.00", model="gpt-9")), now="2027-01-02T00:00:00.000000Z")

    assert execute(execution="two", now="2027-01-02T01:00:00.000000Z")["status"] == "sealed"
    assert invoice_of("acme")["total"] == "20.00"  # 1,000,000 x 20.00 / 1,000,000


def test_parked_usage_is_left_out_where_the_contract_says_so_and_the_invoice_says_so_too() -> None:
    set_up("acme", parked_usage="exclude")
    use("acme", "known", "2026-11-20T10:00:00Z", input=1_000_000)
    use("acme", "new", "2026-11-20T11:00:00Z", model="gpt-9", output=3)
    open_run_item()

    assert execute()["status"] == "sealed"

    assert invoice_of("acme")["events"] == {"accepted": 2, "rated": 1, "excluded": {"parked": 1}}


def test_a_draft_names_what_is_parked() -> None:
    set_up("acme")
    use("acme", "new", "2026-11-20T11:00:00Z", model="gpt-9", output=3)
    open_run_item()
    step_open()
    step_freeze(RUN_ID, "acme")
    step_rate(RUN_ID, "acme", 1, 1)

    with pytest.raises(AccountParked, match=r"openai/gpt-9 output on 2026-11-20 \(1 event: "):
        step_draft(RUN_ID, "acme")

    assert (account_of("acme").totals or {})["excluded"] == {"parked": 1}


def test_usage_before_the_contract_is_excluded_and_alone_makes_no_invoice() -> None:
    set_up("acme", effective_from="2026-11-10")
    use("acme", "early", "2026-11-09T23:59:59.999999Z", input=1_000_000)
    open_run_item()

    sealed = execute()

    assert sealed["status"] == "sealed"
    assert sealed["totals"]["accounts"] == {"empty": 1}
    assert sealed["totals"]["events"]["excluded"] == {"before_activation": 1}
    assert stores.billing().last_sequence("bp-us", 2026) == 0


def test_a_run_without_accounts_is_sealed() -> None:
    set_up()
    open_run_item()

    assert execute()["status"] == "sealed"


def test_a_customer_whose_contract_begins_later_is_not_in_the_run() -> None:
    set_up("acme")
    use_worked_example_1("acme")
    stores.catalogue().create_customer({"id": "newer", "name": "Newer"}, now="2026-10-01T00:00:00.000000Z")
    agree("newer", effective_from="2026-12-01")
    open_run_item()

    assert execute()["totals"]["accounts"] == {"bundled": 1}


def test_the_bundle_holds_all_shards_and_blocks_and_verifies() -> None:
    set_up("acme")
    for hour in range(4):
        use_all(
            "acme",
            [
                (f"{hour}-{n}", f"2026-11-16T{hour:02d}:{n:02d}:{n:02d}Z", {"input": 10 + n, "output": n})
                for n in range(12)
            ],
        )
    open_run_item()

    sealed = execute(shard_events=20, block_rows=5)

    assert sealed["status"] == "sealed"
    frozen = stores.evidence().get_json(f"runs/{RUN_ID}/acme/frozen-1.json")
    assert [shard["events"] for shard in frozen["shards"]] == [12, 12, 12, 12]
    invoice = stores.billing().invoice("BP-2026-000001")
    report = verify_bundle(io.BytesIO(stores.evidence().get(invoice.bundle_key)))
    assert report.ok
    facts = report.require_ok()
    assert (facts.events, facts.blocks) == (48, 4 * 3)
    assert facts.manifest_sha256 == invoice.manifest_sha256 == account_of("acme").manifest_sha256
    assert facts.merkle_root == invoice.merkle_root
