"""The meter counts what calls really wrote and read, by items counted by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from bench.account import surroundings, tables_in_memory
from bench.meter import NotCounted, metered

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLE = "billproof-bench-counters"
KEY: Any = {"pk": {"S": "C#acme"}, "sk": {"S": "D"}}


@pytest.fixture
def client() -> Iterator[DynamoDBClient]:
    with surroundings(), tables_in_memory() as client:
        yield client


def put(client: DynamoDBClient, text: str) -> None:
    item = {**KEY, "text": {"S": text}}
    client.transact_write_items(TransactItems=[{"Put": {"TableName": TABLE, "Item": item}}])


def test_a_put_that_shrinks_an_item_counts_the_larger_item_before_it(client: DynamoDBClient) -> None:
    put(client, "x" * 2000)
    with metered(client, boto3.client("dynamodb")) as meter:
        put(client, "x")
    assert meter.write_units == 2 * 2  # 2,017 bytes before: two started KB, in a transaction


def test_an_add_counts_the_whole_item_after_it(client: DynamoDBClient) -> None:
    put(client, "x" * 1002)  # pk 2 + 6, sk 2 + 1, text 4 + 1002: 1,017 bytes
    add: Any = {
        "TableName": TABLE,
        "Key": KEY,
        "UpdateExpression": "ADD #n :one",
        "ExpressionAttributeNames": {"#n": "name"},
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    with metered(client, boto3.client("dynamodb")) as meter:
        client.transact_write_items(TransactItems=[{"Update": add}])
        add["ExpressionAttributeNames"] = {"#n": "other"}
        client.transact_write_items(TransactItems=[{"Update": add}])
    assert [written.size for written in meter.written] == [1017 + 4 + 2, 1017 + 4 + 2 + 5 + 2]
    assert [written.units for written in meter.written] == [2 * 1, 2 * 2]
    assert meter.units_of("C") == 6
    assert meter.units_of("S") == 0


def test_a_query_counts_whole_items_whatever_it_projects(client: DynamoDBClient) -> None:
    put(client, "x" * 5000)
    query: dict[str, Any] = {
        "TableName": TABLE,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "C#acme"}},
        "ProjectionExpression": "sk",
    }
    with metered(client, boto3.client("dynamodb")) as meter:
        client.query(**query)
        client.query(**query, ConsistentRead=True)
    assert meter.read_units == 1 + 2  # 5,017 bytes are two started 4 KB; the first query is eventually consistent


def test_each_item_of_a_batch_counts_for_itself_the_missing_one_too(client: DynamoDBClient) -> None:
    put(client, "x" * 5000)
    keys = [KEY, {**KEY, "sk": {"S": "missing"}}]
    with metered(client, boto3.client("dynamodb")) as meter:
        client.batch_get_item(RequestItems={TABLE: {"Keys": keys, "ConsistentRead": True}})
    assert meter.read_units == 2 + 1
    assert meter.calls == {"BatchGetItem": 1}


def test_a_call_that_the_meter_does_not_know_is_refused(client: DynamoDBClient) -> None:
    with metered(client, boto3.client("dynamodb")), pytest.raises(NotCounted, match="DeleteItem"):
        client.delete_item(TableName=TABLE, Key=KEY)
