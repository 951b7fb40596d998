"""The billing table: one way through the states, once; runs, attempts, pages."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from botocore.exceptions import ReadTimeoutError

from lambdas.handlers import stores
from lambdas.store import clients
from lambdas.store.billing import Billing
from lambdas.store.billing_items import INCOMPLETE, SEALED, Account, Invoice, Run
from lambdas.store.errors import ContentConflict, NotFound, TransientError

pytestmark = pytest.mark.usefixtures("aws")
AT = "2026-12-01T06:00:00.000000Z"
RUN = Run("bp.2026-11.final", "bp", "2026-11", "final", AT, "key")
TOTALS = {"rated": 1}
ERROR = {"code": "Boom", "detail": "it did"}


@pytest.fixture
def billing(aws: None) -> Billing:
    store = stores.billing()
    store.create_run(RUN)
    store.begin_attempt(RUN.run_id, "one")
    store.add_accounts(RUN.run_id, ["acme"], 1)
    return store


def account() -> Account:
    return stores.billing().account(RUN.run_id, "acme")


def invoice(sequence: int = 1, customer: str = "acme") -> Invoice:
    return Invoice(
        number=f"BP-2026-{sequence:06d}", entity="bp", year=2026, sequence=sequence, customer=customer,
        period="2026-11", run_id=RUN.run_id, issued_at=AT, currency="USD", net="1.00", total="1.00",
        draft_key="d", draft_hash="h", document_key="k", document_hash="x",
    )  # fmt: skip


def bundled(manifest: str = "m") -> Invoice:
    return invoice()._replace(bundle_key="k", bundle_sha256="s", manifest_sha256=manifest, merkle_root="r")


def posting(name: str = "p") -> dict[str, object]:
    item = {"pk": {"S": "J#bp#2026-12"}, "sk": {"S": name}}
    return {
        "Put": {"TableName": "billproof-test-ledger", "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
    }


def freeze(store: Billing) -> None:
    store.record_frozen(account(), 2, {"a|b": 3})


def draft(store: Billing) -> None:
    freeze(store)
    store.record_draft(account(), TOTALS, "d", "h")


def issue(store: Billing) -> None:
    draft(store)
    assert store.issue(invoice(), prefix="BP", account=account(), posting=posting())


def test_an_account_goes_its_way_and_keeps_what_each_step_recorded(billing: Billing) -> None:
    assert account() == Account(RUN.run_id, "acme", "pending", 1, 1)
    freeze(billing)
    assert (account().status, account().events, account().sums, account().frozen_freeze) == (
        "frozen", 2, {"a|b": 3}, 1
    )  # fmt: skip
    billing.record_draft(account(), TOTALS, "d", "h")
    assert (account().status, account().totals, account().draft_key, account().draft_hash) == (
        "drafted", TOTALS, "d", "h"
    )  # fmt: skip
    assert billing.issue(invoice(), prefix="BP", account=account(), posting=posting())
    assert (account().status, account().number) == ("issued", "BP-2026-000001")
    assert billing.invoice("BP-2026-000001") == invoice()
    billing.record_bundle(bundled(), account())
    assert (account().status, account().manifest_sha256) == ("bundled", "m")
    assert billing.invoice("BP-2026-000001") == bundled()


@pytest.mark.parametrize(
    "too_late",
    [
        lambda store: store.record_frozen(account(), 9, {}),
        lambda store: store.record_totals(account(), {"rated": 9}),
        lambda store: store.record_empty(account(), {"rated": 9}),
        lambda store: store.record_draft(account(), {"rated": 9}, "other", "other"),
        lambda store: store.record_failure(RUN.run_id, "acme", 1, ERROR),
        lambda store: store.retry_account(account(), 2),
        lambda store: store.add_accounts(RUN.run_id, ["acme"], 2),
        lambda store: store.issue(invoice(2), prefix="BP", account=account(), posting=posting("q")),
    ],
)
def test_nothing_moves_a_finished_account(billing: Billing, too_late: Callable[[Billing], object]) -> None:
    issue(billing)
    billing.record_bundle(bundled(), account())
    before = account()
    too_late(billing)
    assert account() == before
    assert billing.last_sequence("bp", 2026) == 1


def test_a_move_for_another_freeze_is_no_move(billing: Billing) -> None:
    freeze(billing)
    stale = account()
    billing.record_failure(RUN.run_id, "acme", 1, ERROR)
    billing.retry_account(account(), 2)
    freeze(billing)

    billing.record_draft(stale, TOTALS, "old", "old")

    assert (account().status, account().freeze, account().draft_key) == ("frozen", 2, "")


def test_a_failure_is_recorded_once_and_a_new_attempt_clears_it(billing: Billing) -> None:
    freeze(billing)
    billing.record_failure(RUN.run_id, "acme", 1, ERROR)
    billing.record_failure(RUN.run_id, "acme", 1, {"code": "Other", "detail": ""})
    assert (account().status, account().error) == ("failed", ERROR)

    billing.retry_account(account(), 2)
    billing.retry_account(account(), 3)

    assert (account().status, account().error, account().freeze, account().attempt) == ("pending", None, 2, 2)


def test_a_failure_after_issue_keeps_the_invoice(billing: Billing) -> None:
    issue(billing)
    billing.record_failure(RUN.run_id, "acme", 1, ERROR)
    assert (account().status, account().number, account().error) == ("issued", "BP-2026-000001", ERROR)
    billing.record_bundle(bundled(), account())
    assert (account().status, account().error) == ("bundled", None)


def test_a_number_that_another_has_taken_is_not_written(billing: Billing) -> None:
    billing.add_accounts(RUN.run_id, ["beta"], 1)
    issue(billing)
    beta = billing.account(RUN.run_id, "beta")
    billing.record_frozen(beta, 0, {})
    billing.record_draft(beta, TOTALS, "d", "h")

    ready = billing.account(RUN.run_id, "beta")
    assert not billing.issue(invoice(1, "beta"), prefix="BP", account=ready, posting=posting("q"))
    assert not billing.issue(invoice(3, "beta"), prefix="BP", account=ready, posting=posting("q"))
    assert billing.issue(invoice(2, "beta"), prefix="BP", account=ready, posting=posting("q"))
    assert billing.last_sequence("bp", 2026) == 2


def test_a_posting_that_exists_without_its_number_is_loud(billing: Billing) -> None:
    draft(billing)
    clients.dynamodb().put_item(TableName="billproof-test-ledger", Item=posting()["Put"]["Item"])  # type: ignore[index]
    with pytest.raises(ContentConflict, match="BP-2026-000001"):
        billing.issue(invoice(), prefix="BP", account=account(), posting=posting())
    assert account().status == "drafted"


def test_other_facts_of_a_bundle_are_a_conflict(billing: Billing) -> None:
    issue(billing)
    billing.record_bundle(bundled(), account())
    billing.record_bundle(bundled(), account())
    with pytest.raises(ContentConflict):
        billing.record_bundle(bundled("other"), account())


def test_a_run_is_created_once(billing: Billing) -> None:
    again = billing.create_run(RUN._replace(opened_at="2027-01-01T00:00:00.000000Z", opened_by="other"))
    assert (again.opened_at, again.opened_by) == (AT, "key")
    assert [run.run_id for run in billing.runs(cursor=None, limit=10).items] == [RUN.run_id]


def test_each_execution_is_one_attempt(billing: Billing) -> None:
    begun = [billing.begin_attempt(RUN.run_id, name) for name in ("one", "two", "two", "one", "three")]
    assert begun == [1, 2, 2, 1, 3]


def test_executions_that_begin_at_once_get_an_attempt_each(billing: Billing) -> None:
    begun: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: begun.append(billing.begin_attempt(RUN.run_id, f"t{n}"))) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun) == [2, 3, 4, 5, 6, 7]


def test_a_sealed_run_stays_sealed_and_an_old_attempt_does_not_close_it(billing: Billing) -> None:
    billing.begin_attempt(RUN.run_id, "two")
    assert billing.close_run(RUN.run_id, 1, INCOMPLETE, {"a": 1}).status == "open"
    assert billing.close_run(RUN.run_id, 1, SEALED, {"a": 1}).status == "open"
    assert billing.close_run(RUN.run_id, 2, INCOMPLETE, {"a": 2}).status == INCOMPLETE
    billing.reopen(RUN.run_id)
    assert billing.close_run(RUN.run_id, 2, SEALED, {"a": 3}).status == SEALED
    assert billing.close_run(RUN.run_id, 2, INCOMPLETE, {"a": 4}) == billing.run(RUN.run_id)
    billing.reopen(RUN.run_id)
    assert (billing.run(RUN.run_id).status, billing.run(RUN.run_id).totals) == (SEALED, {"a": 3})


def test_a_start_is_counted_once_for_one_reading(billing: Billing) -> None:
    billing.count_start(RUN.run_id, 0)
    billing.count_start(RUN.run_id, 0)
    assert billing.run(RUN.run_id).starts == 1


def test_many_accounts_are_added_and_read_in_account_order(billing: Billing) -> None:
    names = [f"c{n:03d}" for n in range(230)]
    billing.add_accounts(RUN.run_id, list(reversed(names)), 1)
    billing.add_accounts(RUN.run_id, names, 1)
    assert [found.customer for found in billing.accounts(RUN.run_id)] == ["acme", *names]


@pytest.mark.parametrize("name", ["", "x" * 2000, "ü", "nothing"])
def test_names_that_cannot_exist_are_not_found(billing: Billing, name: str) -> None:
    for read in (billing.run, billing.invoice):
        with pytest.raises(NotFound):
            read(name)


def test_a_lost_answer_of_a_transaction_is_transient(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    draft(billing)

    def lose(**_: object) -> None:
        raise ReadTimeoutError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(clients.dynamodb(), "transact_write_items", lose)
    with pytest.raises(TransientError):
        billing.issue(invoice(), prefix="BP", account=account(), posting=posting())
