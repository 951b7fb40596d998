"""The ledger: appended once, read with its hash checked, and without any way to change it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.billing.canonical import content_hash
from lambdas.billing.errors import InvariantBroken
from lambdas.handlers import stores
from lambdas.store import clients
from lambdas.store.errors import NotFound
from lambdas.store.ledger import Ledger

pytestmark = pytest.mark.usefixtures("aws")
TIME = "2026-12-01T06:00:00.000000Z"


def transaction(number: str, amount: str = "1.5") -> dict[str, Any]:
    body = {
        "id": f"invoice:{number}",
        "time": TIME,
        "currency": "USD",
        "reference": {"invoice": number},
        "postings": [{"from": "revenue:input", "to": "customer:acme:receivable", "amount": amount}],
    }
    return {**body, "hash": content_hash(body)}


def append(posting: dict[str, Any], entity: str = "bp-us") -> None:
    actions: Any = [stores.ledger().append(entity, posting)]
    clients.dynamodb().transact_write_items(TransactItems=actions)


def test_a_transaction_is_read_as_it_was_appended() -> None:
    append(transaction("BP-2026-000001"))
    assert stores.ledger().of_invoice("bp-us", TIME, "BP-2026-000001") == transaction("BP-2026-000001")


def test_an_id_is_posted_once_whatever_its_content() -> None:
    append(transaction("BP-2026-000001"))
    for again in (transaction("BP-2026-000001"), transaction("BP-2026-000001", "2")):
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            append(again)
    assert stores.ledger().of_invoice("bp-us", TIME, "BP-2026-000001") == transaction("BP-2026-000001")


def test_a_month_is_read_by_entity_in_the_order_of_ids() -> None:
    for number in ("BP-2026-000002", "BP-2026-000001"):
        append(transaction(number))
    append(transaction("BE-2026-000001"), entity="bp-eu")
    ids = [entry["id"] for entry in stores.ledger().transactions("bp-us", TIME[:7])]
    assert ids == ["invoice:BP-2026-000001", "invoice:BP-2026-000002"]
    assert list(stores.ledger().transactions("bp-us", "2026-11")) == []


def test_a_changed_transaction_is_noticed_when_it_is_read() -> None:
    append(transaction("BP-2026-000001"))
    clients.dynamodb().update_item(
        TableName="billproof-test-ledger",
        Key={"pk": {"S": "J#bp-us#2026-12"}, "sk": {"S": "invoice:BP-2026-000001"}},
        UpdateExpression="SET body = :body",
        ExpressionAttributeValues={":body": {"S": '{"amount":"0"}'}},
    )
    with pytest.raises(InvariantBroken, match="journal transaction"):
        stores.ledger().of_invoice("bp-us", TIME, "BP-2026-000001")
    with pytest.raises(InvariantBroken, match="journal transaction"):
        list(stores.ledger().transactions("bp-us", "2026-12"))


def test_what_was_not_posted_is_not_found() -> None:
    with pytest.raises(NotFound):
        stores.ledger().of_invoice("bp-us", TIME, "BP-2026-000001")


def test_the_store_has_no_way_to_change_or_delete() -> None:
    assert {name for name in vars(Ledger) if not name.startswith("_")} == {"append", "of_invoice", "transactions"}
