"""Sealing compares accounts, invoices and ledger with each other: a run in which two of them disagree is not sealed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lambdas.billing.canonical import canonical_json, content_hash
from lambdas.handlers import seal_run, stores
from lambdas.store import clients
from tests.handlers.months import (
    RUN_ID,
    execute,
    open_run_item,
    set_up,
    step_bundle,
    step_draft,
    step_freeze,
    step_issue,
    step_open,
    step_rate,
    step_seal,
    use,
)

pytestmark = pytest.mark.usefixtures("aws")
ACCOUNT = ("billing", f"RUN#{RUN_ID}", "A#acme")
INVOICE = ("billing", "INV#BP-2026-000001", "INV")
POSTING = ("ledger", "J#bp-us#2026-12", "invoice:BP-2026-000001")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """The metrics that sealing emits."""
    metrics: list[dict[str, int]] = []
    monkeypatch.setattr(seal_run, "count", lambda **values: metrics.append(values))
    return metrics


def bundled() -> None:
    set_up("acme", tax="0.19")
    use("acme", "a", "2026-11-16T18:15:46.680590Z", input=22_361_870, output=4_088_665)
    open_run_item()
    step_open()
    step_freeze(RUN_ID, "acme")
    step_rate(RUN_ID, "acme", 1, 1)
    step_draft(RUN_ID, "acme")
    step_issue()
    step_bundle(RUN_ID, "acme")


def change(item: tuple[str, str, str], attribute: str, edit: Callable[[Any], Any]) -> None:
    """What the stores never do: edit a record. JSON attributes are edited as values."""
    table, pk, sk = item
    name, key = f"billproof-test-{table}", {"pk": {"S": pk}, "sk": {"S": sk}}
    stored = clients.dynamodb().get_item(TableName=name, Key=key)["Item"]
    text = stored[attribute]["S"]
    as_json = text.startswith("{")
    edited = edit(json.loads(text) if as_json else text)
    stored[attribute] = {"S": canonical_json(edited) if as_json else edited}
    if table == "ledger":
        stored["hash"] = {"S": content_hash(edited)}
    clients.dynamodb().put_item(TableName=name, Item=stored)


def remove(item: tuple[str, str, str]) -> None:
    table, pk, sk = item
    clients.dynamodb().delete_item(TableName=f"billproof-test-{table}", Key={"pk": {"S": pk}, "sk": {"S": sk}})


def with_amount(amount: str) -> Callable[[Any], Any]:
    def edit(body: Any) -> Any:
        body["postings"][0]["amount"] = amount
        return body

    return edit


@pytest.mark.parametrize(
    ("disagree", "named"),
    [
        (lambda: change(ACCOUNT, "totals", lambda t: {**t, "rated": 2}), "rated + excluded + parked is 2, expected 1"),
        (
            lambda: change(ACCOUNT, "sums", lambda s: {**s, "openai/gpt-4o|input": 1}),
            "openai/gpt-4o|input is 22361870, expected 1",
        ),
        (
            lambda: change(ACCOUNT, "totals", lambda t: {**t, "net_exact": "96.79132"}),
            "posted revenue and deferred is 96.791325, expected 96.79132",
        ),
        (lambda: change(ACCOUNT, "totals", lambda t: {**t, "tax": "18.40"}), "net + tax is 115.19, expected 115.18"),
        (lambda: change(INVOICE, "total", lambda _: "115.19"), "invoiced total is 115.19, expected 115.18"),
        (lambda: change(INVOICE, "manifest_sha256", lambda _: "0"), "bundle of the invoice is 0"),
        (
            lambda: change(POSTING, "body", with_amount("55")),
            "posted revenue and deferred is 95.88665, expected 96.791325",
        ),
        (lambda: remove(POSTING), "invoice, posting and totals is missing"),
        (lambda: remove(INVOICE), "invoice number 1 of bp-us in 2026 is missing"),
    ],
)
def test_a_disagreement_is_named_counted_and_keeps_the_run_open(
    disagree: Callable[[], None], named: str, counted: list[dict[str, int]]
) -> None:
    bundled()
    disagree()

    answer = step_seal()

    assert answer["status"] == "incomplete"
    assert any(named in fault for fault in answer["totals"]["broken"]), answer["totals"]["broken"]
    assert counted == [{"InvariantBroken": len(answer["totals"]["broken"])}]
    assert stores.evidence().find_json(f"runs/{RUN_ID}/seal.json") is None


def test_an_edited_posting_whose_hash_was_not_edited_is_named_too(counted: list[dict[str, int]]) -> None:
    bundled()
    table, pk, sk = POSTING
    clients.dynamodb().update_item(
        TableName=f"billproof-test-{table}",
        Key={"pk": {"S": pk}, "sk": {"S": sk}},
        UpdateExpression="SET body = :body",
        ExpressionAttributeValues={":body": {"S": "{}"}},
    )

    answer = step_seal()

    assert answer["status"] == "incomplete"
    assert answer["totals"]["broken"][0].startswith("journal transaction = invoice:BP-2026-000001")
    assert counted[0]["InvariantBroken"] > 0


def test_without_a_disagreement_the_metric_says_so(counted: list[dict[str, int]]) -> None:
    bundled()
    assert step_seal()["status"] == "sealed"
    assert counted == [{"InvariantBroken": 0}]


def test_an_account_that_failed_on_an_invariant_is_counted_too(counted: list[dict[str, int]]) -> None:
    set_up("acme")
    use("acme", "a", "2026-11-16T18:15:46.680590Z", input=1)
    clients.dynamodb().update_item(
        TableName="billproof-test-counters",
        Key={"pk": {"S": "C#acme"}, "sk": {"S": "D#2026-11-16#0"}},
        UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    open_run_item()

    answer = execute()

    assert answer["status"] == "incomplete"
    assert [failed["code"] for failed in answer["failed"]] == ["InvariantBroken"]
    assert counted == [{"InvariantBroken": 1}]


def test_a_run_names_its_largest_quantities_and_adds_up_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are named by senders: without a bound, one of them could keep a run from being stored, and so sealed."""
    monkeypatch.setattr(seal_run, "MAX_QUANTITIES", 1)
    bundled()
    answer = step_seal()
    assert answer["status"] == "sealed"
    assert answer["totals"]["quantities"] == {
        "accepted": {"openai/gpt-4o|input": 22_361_870, "others": 4_088_665},
        "rated": {"openai/gpt-4o|input": 22_361_870, "others": 4_088_665},
        "excluded": {"others": 0},
    }
    sealed = stores.evidence().get_json(f"runs/{RUN_ID}/seal.json")["quantities"]
    assert sealed["accepted"] == {"openai/gpt-4o|input": 22_361_870, "openai/gpt-4o|output": 4_088_665}


def test_two_hundred_quantities_are_all_named() -> None:
    accepted = {f"p/m{n:03d}|input": n for n in range(seal_run.MAX_QUANTITIES)}
    assert seal_run.bounded({"accepted": accepted, "rated": {}}) == {"accepted": accepted, "rated": {}}
    more = {**accepted, "p/zero|input": 7}
    assert seal_run.bounded({"accepted": more})["accepted"] == {
        name: quantity for name, quantity in more.items() if quantity
    } | {"others": 0}


def test_the_state_machine_is_told_the_status_alone() -> None:
    bundled()
    attempt = stores.billing().run(RUN_ID).attempt
    assert seal_run.handler({"run_id": RUN_ID, "attempt": attempt}, None) == {"run_id": RUN_ID, "status": "sealed"}
