"""Issuing: numbers without gap or double, whoever issues at the same time and whatever fails in between."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from lambdas.billing.errors import InvariantBroken
from lambdas.handlers import stores
from lambdas.handlers.issue_invoices import issue_invoices
from lambdas.store import clients
from lambdas.store.billing import AlreadyInvoiced, Billing
from lambdas.store.billing_items import Account, Invoice
from lambdas.store.errors import TransientError
from tests.handlers.months import (
    RUN_ID,
    account_of,
    execute,
    fail,
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

pytestmark = pytest.mark.usefixtures("aws")


def drafted(*customers: str, period: str = "2026-11") -> str:
    """A run of a period with a draft for each customer, who used something in it."""
    for customer in customers:
        use(customer, f"{period}-a", f"{period}-20T10:00:00Z", input=1_000_000)
    run_id = open_run_item(period)
    step_open(run_id, f"first of {period}")
    for account in stores.billing().accounts(run_id):
        plan = step_freeze(run_id, account.customer)
        for shard in plan["shards"]:
            step_rate(run_id, account.customer, plan["freeze"], shard["n"])
        step_draft(run_id, account.customer)
    return run_id


def numbers(run_id: str = RUN_ID) -> dict[str, str]:
    return {account.customer: account.number for account in stores.billing().accounts(run_id)}


def test_numbers_follow_the_account_order_and_a_call_issues_at_most_its_limit() -> None:
    set_up("carol", "alice", "bob")
    drafted("bob", "alice", "carol")

    assert step_issue(limit=2) == {"run_id": RUN_ID, "remaining": 1}
    assert numbers() == {"alice": "BP-2026-000001", "bob": "BP-2026-000002", "carol": ""}
    assert step_issue(limit=2) == {"run_id": RUN_ID, "remaining": 0}
    assert numbers()["carol"] == "BP-2026-000003"


def test_a_failed_account_does_not_hold_up_the_numbers_of_the_others() -> None:
    set_up("alice", "bob", "carol")
    drafted("alice", "bob", "carol")
    fail(RUN_ID, "bob", 1, RuntimeError("boom"))

    step_issue()

    assert numbers() == {"alice": "BP-2026-000001", "bob": "", "carol": "BP-2026-000002"}


def test_an_account_that_cannot_be_issued_is_reported_and_takes_no_number() -> None:
    set_up("alice", "bob")
    drafted("alice", "bob")
    account = account_of("alice")
    evidence = stores.evidence()
    draft = evidence.get(account.draft_key).replace(b'"quantity":1000000', b'"quantity":1000001')
    clients.s3().put_object(Bucket=evidence.bucket, Key=account.draft_key, Body=draft)

    assert step_issue() == {"run_id": RUN_ID, "remaining": 0}

    failed = account_of("alice")
    assert failed.status == "failed"
    assert (failed.error or {})["code"] == InvariantBroken.__name__
    assert numbers() == {"alice": "", "bob": "BP-2026-000001"}


def test_a_second_final_invoice_of_one_account_and_period_is_refused_by_name() -> None:
    set_up("alice")
    drafted("alice")
    put_period_item("alice", number="BP-2026-000009", run_id="another run")

    step_issue()

    error = account_of("alice").error or {}
    assert error["code"] == AlreadyInvoiced.__name__
    assert error["detail"] == "customer alice is invoiced for 2026-11 by BP-2026-000009 of run another run"
    assert stores.billing().last_sequence("bp-us", 2026) == 0


def put_period_item(customer: str, *, number: str, run_id: str) -> None:
    item = {"pk": f"ACC#{customer}", "sk": "2026-11#bp-us", "number": number, "run_id": run_id}
    clients.dynamodb().put_item(
        TableName="billproof-test-billing", Item={name: {"S": value} for name, value in item.items()}
    )


class UnluckyBilling(Billing):
    """Each issue is written, or not, and its answer is lost."""

    def __init__(self, *, written: bool, times: int) -> None:
        super().__init__(clients.dynamodb(), "billproof-test-billing")
        self._written = written
        self._times = times

    def issue(self, invoice: Invoice, *, prefix: str, account: Account, posting: Mapping[str, Any]) -> bool:
        if self._times and not self._written:
            self._times -= 1
            raise TransientError("never arrived")
        result = super().issue(invoice, prefix=prefix, account=account, posting=posting)
        if self._times:
            self._times -= 1
            raise TransientError("the answer was lost")
        return result


def issue_with(billing: Billing, run_id: str = RUN_ID) -> dict[str, Any]:
    pause: list[float] = []
    return issue_invoices(
        run_id, billing=billing, ledger=stores.ledger(), evidence=stores.evidence(), pause=pause.append
    )


@pytest.mark.parametrize("written", [True, False])
def test_a_lost_answer_never_costs_a_second_number(written: bool) -> None:
    set_up("alice", "bob")
    drafted("alice", "bob")

    assert issue_with(UnluckyBilling(written=written, times=3))["remaining"] == 0

    assert numbers() == {"alice": "BP-2026-000001", "bob": "BP-2026-000002"}
    assert [invoice_of(name)["number"] for name in ("alice", "bob")] == ["BP-2026-000001", "BP-2026-000002"]


def test_an_issue_that_never_gets_through_is_transient_and_leaves_the_draft() -> None:
    set_up("alice")
    drafted("alice")

    with pytest.raises(TransientError):
        issue_with(UnluckyBilling(written=False, times=1000))

    assert account_of("alice").status == "drafted"
    assert stores.billing().last_sequence("bp-us", 2026) == 0


def test_a_document_that_was_not_written_is_written_by_a_later_step() -> None:
    set_up("alice")
    drafted("alice")
    evidence = stores.evidence()
    evidence.put_json_once = lambda key, value: died()  # type: ignore[method-assign]
    with pytest.raises(Died):
        issue_invoices(RUN_ID, billing=stores.billing(), ledger=stores.ledger(), evidence=evidence)
    assert stores.evidence().find_json(f"runs/{RUN_ID}/alice/invoice.json") is None

    assert execute(execution="second")["status"] == "sealed"

    assert invoice_of("alice")["number"] == "BP-2026-000001"


class Died(BaseException):
    """The process is gone."""


def died() -> str:
    raise Died


def test_two_runs_issued_in_parallel_leave_no_gap_and_no_double_number() -> None:
    customers = [f"c{n:02d}" for n in range(12)]
    set_up(*customers)
    runs = [drafted(*customers, period=period) for period in ("2026-10", "2026-11")]

    issue_in_parallel([runs[0], runs[1], runs[0], runs[1]])

    given = [number for run_id in runs for number in numbers(run_id).values()]
    assert len(given) == 2 * 12
    assert sorted(given) == [f"BP-2026-{n:06d}" for n in range(1, 25)]
    for run_id in runs:
        in_account_order = list(numbers(run_id).values())
        assert in_account_order == sorted(in_account_order)
    journal = [entry["id"] for entry in stores.ledger().transactions("bp-us", "2026-12")]
    assert journal == [f"invoice:{number}" for number in sorted(given)]


def issue_in_parallel(run_ids: list[str]) -> None:
    failed: list[BaseException] = []
    barrier = threading.Barrier(len(run_ids))

    def work(run_id: str) -> None:
        billing, ledger, evidence = stores.billing(), stores.ledger(), stores.evidence()
        barrier.wait()
        try:
            while issue_invoices(run_id, billing=billing, ledger=ledger, evidence=evidence, limit=3)["remaining"]:
                pass
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(run_id,)) for run_id in run_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_each_year_and_each_entity_has_its_own_series() -> None:
    set_up("alice")
    drafted("alice", period="2026-10")
    step_issue("bp-us.2026-10.final")
    use("alice", "december", "2026-12-05T00:00:00Z", input=1_000_000, received_at="2026-12-05T00:00:01.000000Z")
    run_id = open_run_item("2026-12", opened_at="2027-01-01T06:00:00.000000Z")

    execute(run_id, now="2027-01-01T06:00:01.000000Z")

    assert numbers("bp-us.2026-10.final") == {"alice": "BP-2026-000001"}
    assert numbers(run_id) == {"alice": "BP-2027-000001"}


def test_failing_after_issue_keeps_the_invoice_and_a_resume_bundles_it() -> None:
    set_up("alice")
    drafted("alice")
    step_issue()

    assert fail(RUN_ID, "alice", 1, RuntimeError("boom"))["status"] == "issued"
    assert account_of("alice").number == "BP-2026-000001"
    sealed = execute(execution="second")

    assert sealed["status"] == "sealed"
    assert account_of("alice").error is None
    assert account_of("alice").freeze == 1


def test_an_old_attempt_cannot_fail_an_account_that_a_newer_one_works_on() -> None:
    set_up("alice")
    drafted("alice")
    fail(RUN_ID, "alice", 1, RuntimeError("first"))
    fail(RUN_ID, "alice", 1, RuntimeError("second"))
    assert (account_of("alice").error or {})["detail"] == "first"

    step_open(RUN_ID, "second")

    assert fail(RUN_ID, "alice", 1, RuntimeError("late"))["status"] == "pending"
    assert fail(RUN_ID, "alice", 2, RuntimeError("now"))["status"] == "failed"
