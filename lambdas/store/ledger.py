"""The ledger table: journal transactions, appended and never changed (R19, D11).

There is no method that updates or deletes. A transaction is appended inside the DynamoDB transaction of what it
records, so a posting without its invoice, or an invoice without its posting, cannot exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.billing.canonical import canonical_json, content_hash
from lambdas.billing.errors import InvariantBroken
from lambdas.store.errors import NotFound, translate
from lambdas.store.items import from_item, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Ledger:
    """Repository of the ledger table: one partition for each issuing entity and month of the transactions' time."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def append(self, entity: str, transaction: Mapping[str, Any]) -> dict[str, Any]:
        """The action that appends a journal transaction, for the DynamoDB transaction it belongs to. It holds only
        where this id is not posted yet."""
        body = {name: value for name, value in transaction.items() if name != "hash"}
        item = {
            "pk": _partition(entity, transaction["time"]),
            "sk": transaction["id"],
            "body": canonical_json(body),
            "hash": transaction["hash"],
        }
        return {
            "Put": {
                "TableName": self._table,
                "Item": to_item(item),
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }

    def of_invoice(self, entity: str, issued_at: str, number: str) -> dict[str, Any]:
        """The journal transaction of an invoice. Raises NotFound, or InvariantBroken where its hash is not its
        content's."""
        key = {"pk": _partition(entity, issued_at), "sk": f"invoice:{number}"}
        try:
            answer = self._client.get_item(TableName=self._table, Key=to_item(key), ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise translate(error) from error
        if "Item" not in answer:
            raise NotFound("journal transaction", key["sk"])
        return _read(answer["Item"])

    def transactions(self, entity: str, month: str) -> Iterator[dict[str, Any]]:
        """All journal transactions of an issuing entity in a calendar month, by id."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": to_item({":pk": _partition(entity, month)}),
            "ConsistentRead": True,
        }
        while True:
            try:
                answer = self._client.query(**request)
            except (ClientError, BotoCoreError) as error:
                raise translate(error) from error
            for item in answer["Items"]:
                yield _read(item)
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _partition(entity: str, time: str) -> str:
    return f"J#{entity}#{time[:7]}"


def _read(item: Mapping[str, Any]) -> dict[str, Any]:
    values = from_item(item)
    body: dict[str, Any] = json.loads(values["body"])
    if content_hash(body) != values["hash"]:
        raise InvariantBroken("journal transaction", values["sk"], f"its content must have the hash {values['hash']}")
    return {**body, "hash": values["hash"]}
