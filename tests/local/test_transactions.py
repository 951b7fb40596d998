"""TransactWriteItems: all or nothing, limits, tokens, threads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.deployment import Deployment
from tests.local import handlers

Item = dict[str, Any]


def _db() -> Any:
    return boto3.client("dynamodb")


def _key(pk: str, sk: str = "-") -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _put(table: str, pk: str, **attributes: Item) -> Item:
    return {
        "Put": {
            "TableName": table,
            "Item": {**_key(pk), **attributes},
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def _add(table: str, pk: str, number: str, attribute: str = "n") -> Item:
    return {
        "Update": {
            "TableName": table,
            "Key": _key(pk),
            "UpdateExpression": "ADD #n :n",
            "ExpressionAttributeNames": {"#n": attribute},
            "ExpressionAttributeValues": {":n": {"N": number}},
        }
    }


def _transact(*actions: Item, **others: Any) -> None:
    _db().transact_write_items(TransactItems=list(actions), **others)


def _refused(*actions: Item, **others: Any) -> tuple[str, list[Item]]:
    """The error's code and the cancellation reasons."""
    with pytest.raises(ClientError) as caught:
        _transact(*actions, **others)
    response: Any = caught.value.response
    return response["Error"]["Code"], response.get("CancellationReasons", [])


def _contents(*tables: str) -> str:
    return json.dumps([_db().scan(TableName=table)["Items"] for table in tables], default=repr)


def test_all_reasons_are_given_in_order_with_the_old_images(table: str) -> None:
    old = {**_key("taken"), "h": {"B": b"\x00\xff"}, "n": {"N": "1"}}
    _db().put_item(TableName=table, Item=old)
    quiet = _put(table, "taken 2")
    del quiet["Put"]["ReturnValuesOnConditionCheckFailure"]
    _db().put_item(TableName=table, Item=_key("taken 2"))
    code, reasons = _refused(_put(table, "new"), _put(table, "taken"), quiet, _add(table, "counter", "1"))
    assert code == "TransactionCanceledException"
    assert [reason["Code"] for reason in reasons] == [
        "None",
        "ConditionalCheckFailed",
        "ConditionalCheckFailed",
        "None",
    ]
    assert reasons[1]["Item"] == old
    assert reasons[1]["Message"] == "The conditional request failed"
    assert "Item" not in reasons[2]
    assert "Item" not in _db().get_item(TableName=table, Key=_key("new"))


def test_an_update_that_cannot_be_done_cancels_with_validation_error(table: str) -> None:
    _db().put_item(TableName=table, Item={**_key("text"), "n": {"S": "text"}})
    before = _contents(table)
    code, reasons = _refused(_put(table, "beside"), _add(table, "text", "1"))
    assert (code, reasons[1]["Code"]) == ("TransactionCanceledException", "ValidationError")
    assert _contents(table) == before


def test_a_cancelled_transaction_leaves_no_trace_in_tables_or_streams(
    small: Deployment, table: str, streamed: str
) -> None:
    _db().put_item(TableName=table, Item=_key("first"))
    before = _contents(table, streamed)
    for _ in range(3):
        code, _ = _refused(_put(streamed, "phantom"), _add(streamed, "phantom counter", "1"), _put(table, "first"))
        assert code == "TransactionCanceledException"
    small.pump()
    assert _contents(table, streamed) == before
    assert handlers.calls["records"] == []


def test_what_was_applied_is_in_the_stream_once_in_order(small: Deployment, streamed: str) -> None:
    _transact(_put(streamed, "s1"), _add(streamed, "s2", "1"))
    delete = {"Delete": {"TableName": streamed, "Key": _key("s1")}}
    check = {
        "ConditionCheck": {
            "TableName": streamed,
            "Key": _key("s3"),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }
    _transact(_add(streamed, "s2", "2"), delete, check)
    small.pump()
    seen = [(r["eventName"], r["dynamodb"]["Keys"]["pk"]["S"]) for r in handlers.calls["records"]]
    assert seen == [("INSERT", "s1"), ("INSERT", "s2"), ("MODIFY", "s2"), ("REMOVE", "s1")]
    assert handlers.calls["records"][2]["dynamodb"]["NewImage"]["n"] == {"N": "3"}
    assert handlers.calls["records"][2]["dynamodb"]["OldImage"]["n"] == {"N": "1"}


_Wrong = Callable[[str], list[Item]]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda table: [_put(table, f"limit {n}") for n in range(101)],
        lambda table: [_put(table, "twice"), _add(table, "twice", "1")],
        lambda table: [_put(table, f"large {n}", b={"B": bytes(399_000)}) for n in range(11)],
        lambda table: [{"Put": {"TableName": table, "Item": {"pk": {"S": "no sort key"}}}}],
        lambda table: [{"Put": {"TableName": table, "Item": {"pk": {"N": "1"}, "sk": {"S": "-"}}}}],
        lambda table: [{"Delete": {"TableName": table, "Key": {**_key("a"), "x": {"S": "y"}}}}],
        lambda table: [{"Put": {"TableName": table, "Item": _key("")}}],
        lambda table: [{**_put(table, "a"), **_add(table, "b", "1")}],
        lambda table: [
            {
                "ConditionCheck": {
                    "TableName": table,
                    "Key": _key("a"),
                    "ConditionExpression": "attribute_exists(#undefined)",
                }
            }
        ],
        lambda table: [
            {
                "Put": {
                    "TableName": table,
                    "Item": _key("a"),
                    "ConditionExpression": "attribute_exists(pk)",
                    "ExpressionAttributeNames": {"#unused": "x"},
                }
            }
        ],
    ],
    ids=[
        "101 actions",
        "same item twice",
        "over 4 MB",
        "no sort key",
        "key of another type",
        "key with another member",
        "empty key",
        "two operations in one",
        "undefined name",
        "unused name",
    ],
)
def test_what_aws_refuses_as_invalid_is_refused_and_changes_nothing(table: str, wrong: _Wrong) -> None:
    before = _contents(table)
    assert _refused(*wrong(table))[0] == "ValidationException"
    assert _contents(table) == before


def test_an_item_over_400_kb_cancels_with_validation_error(table: str) -> None:
    code, reasons = _refused(_put(table, "huge", b={"B": bytes(410_000)}))
    assert (code, reasons[0]["Code"]) == ("TransactionCanceledException", "ValidationError")


def test_an_unknown_table_is_named_as_not_found(table: str) -> None:
    assert _refused(_put(table, "x"), _put("nothing", "x"))[0] == "ResourceNotFoundException"


def test_the_same_token_again_does_nothing_and_another_content_is_refused(small: Deployment, table: str) -> None:
    token = "token-1"
    _transact(_add(table, "token", "1"), ClientRequestToken=token)
    small.clock.advance(timedelta(minutes=9))
    _transact(_add(table, "token", "1"), ClientRequestToken=token)
    assert _refused(_add(table, "token", "2"), ClientRequestToken=token)[0] == "IdempotentParameterMismatchException"
    assert _db().get_item(TableName=table, Key=_key("token"))["Item"]["n"] == {"N": "1"}


def test_a_token_is_forgotten_after_ten_minutes_and_after_a_cancellation(small: Deployment, table: str) -> None:
    _transact(_add(table, "old token", "1"), ClientRequestToken="token-2")
    small.clock.advance(timedelta(minutes=11))
    _transact(_add(table, "old token", "1"), ClientRequestToken="token-2")
    assert _db().get_item(TableName=table, Key=_key("old token"))["Item"]["n"] == {"N": "2"}
    _db().put_item(TableName=table, Item=_key("in the way"))
    assert _refused(_put(table, "in the way"), ClientRequestToken="token-3")[0] == "TransactionCanceledException"
    _db().delete_item(TableName=table, Key=_key("in the way"))
    _transact(_put(table, "in the way"), ClientRequestToken="token-3")


def test_40_threads_that_take_numbers_get_40_distinct_numbers(table: str) -> None:
    """Each reads the sequence and moves it on under the condition that nobody else did; the rest try again."""
    _db().put_item(TableName=table, Item={**_key("sequence"), "n": {"N": "0"}})
    client = _db()

    def take(worker: int) -> int:
        while True:
            last = int(client.get_item(TableName=table, Key=_key("sequence"), ConsistentRead=True)["Item"]["n"]["N"])
            move_on = {
                "Update": {
                    "TableName": table,
                    "Key": _key("sequence"),
                    "UpdateExpression": "SET n = :next",
                    "ConditionExpression": "n = :last",
                    "ExpressionAttributeValues": {":next": {"N": str(last + 1)}, ":last": {"N": str(last)}},
                }
            }
            try:
                client.transact_write_items(TransactItems=[move_on, _put(table, f"number {last + 1}")])
            except client.exceptions.TransactionCanceledException:
                continue
            return last + 1

    with ThreadPoolExecutor(40) as pool:
        numbers = list(pool.map(take, range(40)))
    assert sorted(numbers) == list(range(1, 41))


def test_40_threads_adding_at_once_lose_nothing(table: str) -> None:
    client = _db()
    with ThreadPoolExecutor(40) as pool:
        for done in [
            pool.submit(client.transact_write_items, TransactItems=[_add(table, "sum", "0.1")]) for _ in range(200)
        ]:
            done.result()
    assert client.get_item(TableName=table, Key=_key("sum"))["Item"]["n"] == {"N": "20"}


def test_transactions_do_not_become_slower_with_the_size_of_the_table(table: str) -> None:
    """No times are asserted, only that 3,000 items go in by hundreds and are all there; the times are printed."""
    client, spent = _db(), []
    for batch in range(30):
        actions = [_put(table, f"bulk {batch} {n}", h={"B": bytes(32)}) for n in range(99)]
        started = time.perf_counter()
        client.transact_write_items(TransactItems=[*actions, _add(table, "bulk", "99")])
        spent.append(time.perf_counter() - started)
    print(f"first ten {sum(spent[:10]) * 100:.1f} ms, last ten {sum(spent[-10:]) * 100:.1f} ms each")  # noqa: T201
    assert client.get_item(TableName=table, Key=_key("bulk"))["Item"]["n"] == {"N": str(99 * 30)}
