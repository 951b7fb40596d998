"""DynamoDB as `local` corrects it: numbers, sizes, queries, streams of single writes."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local import aws
from local.deployment import Deployment
from local.dynamodb_items import ITEM_LIMIT_BYTES
from tests.local import handlers

Item = dict[str, Any]


def _db() -> Any:
    return boto3.client("dynamodb")


def _key(pk: str, sk: str = "-") -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _get(table: str, pk: str, sk: str = "-") -> Item | None:
    found: Item | None = _db().get_item(TableName=table, Key=_key(pk, sk), ConsistentRead=True).get("Item")
    return found


def _add(table: str, pk: str, number: str) -> str:
    answer = _db().update_item(
        TableName=table,
        Key=_key(pk),
        UpdateExpression="ADD #n :n",
        ExpressionAttributeNames={"#n": "n"},
        ExpressionAttributeValues={":n": {"N": number}},
        ReturnValues="ALL_NEW",
    )
    text: str = answer["Attributes"]["n"]["N"]
    return text


@pytest.mark.parametrize(
    ("first", "second", "total"),
    [
        ("0.1", "0.2", "0.3"),
        ("99999999999999999999.999999999999999999", "0.000000000000000001", "100000000000000000000"),
        ("12345678901234567890", "0.123456789012345678", "12345678901234567890.123456789012345678"),
        ("1", "-1", "0"),
        ("-0.5", "0.25", "-0.25"),
        ("1E+3", "1E-3", "1000.001"),
    ],
)
def test_numbers_add_exactly_to_38_digits(table: str, first: str, second: str, total: str) -> None:
    pk = f"sum {first} {second}"
    _add(table, pk, first)
    assert _add(table, pk, second) == total
    stored = _get(table, pk)
    assert stored is not None
    assert stored["n"] == {"N": total}


def test_a_sum_of_more_than_38_digits_is_refused_and_changes_nothing(table: str) -> None:
    _add(table, "too exact", "1E+20")
    with pytest.raises(ClientError, match="38 significant digits"):
        _add(table, "too exact", "1E-20")
    stored = _get(table, "too exact")
    assert stored is not None
    assert stored["n"] == {"N": "100000000000000000000"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1.50", "1.5"), ("-0", "0"), ("007", "7"), ("1e2", "100"), ("+3", "3"), ("0.00012300", "0.000123")],
)
def test_numbers_are_kept_in_one_form(table: str, given: str, kept: str) -> None:
    item = {**_key("form"), "n": {"N": given}, "l": {"L": [{"M": {"n": {"N": given}}}]}, "s": {"NS": [given]}}
    _db().put_item(TableName=table, Item=item)
    stored = _get(table, "form")
    assert stored is not None
    assert (stored["n"]["N"], stored["l"]["L"][0]["M"]["n"]["N"], stored["s"]["NS"]) == (kept, kept, [kept])


@pytest.mark.parametrize("number", ["1" * 39, "1E+126", "1E-131", "NaN", "Infinity", "1_000", " 1", "x", ""])
def test_what_is_no_number_of_dynamodb_is_refused(table: str, number: str) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        _db().put_item(TableName=table, Item={**_key("refused"), "n": {"N": number}})
    assert _get(table, "refused") is None


@pytest.mark.parametrize(
    ("expression", "names", "values", "expected"),
    [
        ("SET a = :v", {}, {":v": {"S": "x"}}, {"a": {"S": "x"}, "n": {"N": "5"}}),
        ("SET #a = if_not_exists(#a, :v)", {"#a": "n"}, {":v": {"N": "1"}}, {"n": {"N": "5"}}),
        ("SET #a = if_not_exists(#a, :v) + :w", {"#a": "m"}, {":v": {"N": "1"}, ":w": {"N": "2"}},
         {"n": {"N": "5"}, "m": {"N": "3"}}),
        ("SET n = n - :v REMOVE x", {}, {":v": {"N": "0.1"}}, {"n": {"N": "4.9"}}),
        ("SET b = n, n = :v", {}, {":v": {"N": "7"}}, {"b": {"N": "5"}, "n": {"N": "7"}}),
        ("ADD s :s", {}, {":s": {"SS": ["b", "a"]}}, {"n": {"N": "5"}, "s": {"SS": ["b", "a"]}}),
        ("SET m.k = :v", {}, {":v": {"N": "1"}}, None),
        ("SET n = :v ADD n :v", {}, {":v": {"N": "1"}}, None),
        ("SET n = gone", {}, {}, None),
        ("ADD n :v", {}, {":v": {"S": "1"}}, None),
        ("ADD #0 :0", {"#0": "n"}, {":0": {"N": "1"}}, {"n": {"N": "6"}}),
        ("ADD #name :v", {"#name": "pk"}, {":v": {"N": "1"}}, None),
        ("SET name = :v", {}, {":v": {"N": "1"}}, None),
    ],
)  # fmt: skip
def test_update_expressions(table: str, expression: str, names: Item, values: Item, expected: Item | None) -> None:
    start = {**_key("update"), "n": {"N": "5"}}
    _db().put_item(TableName=table, Item=start)
    arguments: Item = {"TableName": table, "Key": _key("update"), "UpdateExpression": expression}
    if names:
        arguments["ExpressionAttributeNames"] = names
    if values:
        arguments["ExpressionAttributeValues"] = values
    if expected is None:
        with pytest.raises(ClientError, match="ValidationException"):
            _db().update_item(**arguments)
        assert _get(table, "update") == start
    else:
        _db().update_item(**arguments)
        assert _get(table, "update") == {**_key("update"), **expected}


def test_an_item_may_be_400_kb_and_not_more(table: str) -> None:
    overhead = len("pk") + len("size") + len("sk") + len("-") + len("b")
    fits = {**_key("size"), "b": {"B": bytes(ITEM_LIMIT_BYTES - overhead)}}
    _db().put_item(TableName=table, Item=fits)
    over = {**_key("size"), "b": {"B": bytes(ITEM_LIMIT_BYTES - overhead + 1)}}
    with pytest.raises(ClientError, match="Item size has exceeded"):
        _db().put_item(TableName=table, Item=over)


@pytest.fixture
def filled(table: str) -> str:
    """A partition of 1,000 items of about 2 kB, and others around it."""
    for start in range(0, 1000, 100):
        puts = [_put(table, "many", f"{n:04d}", "x" * 2000) for n in range(start, start + 100)]
        _db().transact_write_items(TransactItems=puts)
    _db().transact_write_items(TransactItems=[_put(table, "manx", "0001", "x"), _put(table, "manz", "0001", "x")])
    return table


def _put(table: str, pk: str, sk: str, text: str) -> Item:
    return {"Put": {"TableName": table, "Item": {**_key(pk, sk), "t": {"S": text}}}}


def _query(table: str, condition: str = "", values: Item | None = None, **others: Any) -> tuple[list[str], int]:
    """All sort keys of the partition `many` in the order they come, and the number of pages."""
    found: list[str] = []
    pages = 0
    start: Item = {}
    while True:
        page = _db().query(
            TableName=table,
            KeyConditionExpression=f"pk = :p{condition}",
            ExpressionAttributeValues={":p": {"S": "many"}, **(values or {})},
            ConsistentRead=True,
            **others,
            **start,
        )
        found += [item["sk"]["S"] for item in page["Items"]]
        pages += 1
        if "LastEvaluatedKey" not in page:
            return found, pages
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def test_a_query_pages_by_one_megabyte_in_the_order_of_sort_keys(filled: str) -> None:
    every = [f"{n:04d}" for n in range(1000)]
    assert _query(filled) == (every, 2)
    assert _query(filled, ScanIndexForward=False) == (every[::-1], 2)


def test_a_query_pages_by_limit_and_says_so_at_the_end_too(filled: str) -> None:
    found, pages = _query(filled, Limit=250)
    assert found == [f"{n:04d}" for n in range(1000)]
    assert pages == 5


@pytest.mark.parametrize(
    ("condition", "values", "first", "last"),
    [
        (" AND sk = :a", {":a": "0007"}, 7, 7),
        (" AND sk < :a", {":a": "0003"}, 0, 2),
        (" AND sk <= :a", {":a": "0003"}, 0, 3),
        (" AND sk > :a", {":a": "0997"}, 998, 999),
        (" AND sk >= :a", {":a": "0997"}, 997, 999),
        (" AND sk BETWEEN :a AND :b", {":a": "0010", ":b": "0012"}, 10, 12),
        (" AND begins_with(sk, :a)", {":a": "012"}, 120, 129),
    ],
)
def test_key_conditions(filled: str, condition: str, values: dict[str, str], first: int, last: int) -> None:
    typed = {name: {"S": value} for name, value in values.items()}
    expected = [f"{n:04d}" for n in range(first, last + 1)]
    assert _query(filled, condition, typed)[0] == expected
    assert _query(filled, condition, typed, ScanIndexForward=False)[0] == expected[::-1]


def test_a_filter_applies_after_the_page_was_read(filled: str) -> None:
    page = _db().query(
        TableName=filled,
        KeyConditionExpression="pk = :p",
        FilterExpression="sk <> :a",
        ExpressionAttributeValues={":p": {"S": "manx"}, ":a": {"S": "0001"}},
    )
    assert (page["Count"], page["ScannedCount"]) == (0, 1)


def test_projections_give_what_they_name(filled: str) -> None:
    answer = _db().get_item(
        TableName=filled, Key=_key("manx", "0001"), ProjectionExpression="#t", ExpressionAttributeNames={"#t": "t"}
    )
    assert answer["Item"] == {"t": {"S": "x"}}


def test_the_order_of_a_partition_follows_inserts_and_deletions(table: str) -> None:
    for sk in ("b", "d", "a"):
        _db().put_item(TableName=table, Item=_key("many-ordered", sk))
    query = {
        "TableName": table,
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "many-ordered"}},
    }
    assert [i["sk"]["S"] for i in _db().query(**query)["Items"]] == ["a", "b", "d"]
    _db().put_item(TableName=table, Item=_key("many-ordered", "c"))
    _db().delete_item(TableName=table, Key=_key("many-ordered", "a"))
    _db().delete_item(TableName=table, Key=_key("many-ordered", "nothing"))
    assert [i["sk"]["S"] for i in _db().query(**query)["Items"]] == ["b", "c", "d"]
    for sk in ("b", "c", "d"):
        _db().delete_item(TableName=table, Key=_key("many-ordered", sk))
    assert _db().query(**query)["Items"] == []
    keys = [item["pk"]["S"] for item in _db().scan(TableName=table)["Items"]]
    assert "many-ordered" not in keys
    assert keys == sorted(keys)


def test_a_batch_of_keys_beyond_16_mb_leaves_unprocessed_keys(table: str) -> None:
    for n in range(45):
        _db().put_item(TableName=table, Item={**_key("batch", f"{n:02d}"), "b": {"B": bytes(400_000)}})
    keys = [_key("batch", f"{n:02d}") for n in range(45)]
    answer = _db().batch_get_item(RequestItems={table: {"Keys": keys}})
    found, left = answer["Responses"][table], answer["UnprocessedKeys"][table]["Keys"]
    assert len(found) == 41
    assert len(found) + len(left) == 45
    with pytest.raises(ClientError, match="ValidationException"):
        _db().batch_get_item(RequestItems={table: {"Keys": [_key("batch", str(n)) for n in range(101)]}})


def test_binary_values_come_back_as_they_went(table: str) -> None:
    item = {**_key("binary"), "b": {"B": bytes(range(256))}, "m": {"M": {"b": {"B": b"\xff"}}}, "s": {"BS": [b"\x01"]}}
    _db().put_item(TableName=table, Item=item)
    assert _get(table, "binary") == item
    pages = _db().get_paginator("scan").paginate(TableName=table)
    [scanned] = [i for page in pages for i in page["Items"] if i["pk"]["S"] == "binary"]
    assert scanned == item


def test_the_old_item_comes_with_a_failed_condition(table: str) -> None:
    item = {**_key("once"), "b": {"B": b"\x01\x02"}}
    arguments = {
        "TableName": table,
        "Item": item,
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    _db().put_item(**arguments)
    with pytest.raises(ClientError) as caught:
        _db().put_item(**arguments)
    assert caught.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert caught.value.response["Item"] == item  # type: ignore[typeddict-item]


def test_writes_that_change_nothing_leave_no_stream_record_and_new_items_one(small: Deployment, streamed: str) -> None:
    for _ in range(2):
        _db().put_item(TableName=streamed, Item={**_key("same", "same"), "n": {"N": "1.0"}})
    _add(streamed, "counted", "1")
    _add(streamed, "counted", "0")
    _db().delete_item(TableName=streamed, Key=_key("nothing"))
    small.pump()
    events = [(r["eventName"], r["dynamodb"]["Keys"]["pk"]["S"]) for r in handlers.calls["records"]]
    assert events == [("INSERT", "same"), ("INSERT", "counted")]


def test_the_table_of_a_deployment_can_be_read_by_any_client(small: Deployment, table: str) -> None:
    assert table in aws.client("dynamodb").list_tables()["TableNames"]
    assert small.stack.resources["Table"].physical_id == table
