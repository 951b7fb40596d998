"""Conditional writes and consistent reads of one table (D12)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.store.errors import TransientError, cancellation_codes, translate
from lambdas.store.items import Value, attribute

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_ACTIONS = 100
"""Most actions of a transaction, and most keys of a batch."""
_MAX_VAIN_TRIES = 3
_LONGEST_PAUSE_S = 0.2

Item = Mapping[str, Any]
Values = Mapping[str, Value]


class Table:
    """One table with keys pk and sk, all reads strongly consistent. Raises TransientError where a repetition may help.
    `pause` sleeps seconds while reads are throttled."""

    def __init__(self, client: DynamoDBClient, name: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._name = name
        self._pause = pause

    def put_action(self, item: Item) -> dict[str, Any]:
        """Put where nothing is."""
        return {"Put": {"TableName": self._name, "Item": dict(item), "ConditionExpression": "attribute_not_exists(pk)"}}

    def put_same_action(self, item: Item) -> dict[str, Any]:
        """Put, also over what is there: for an item that cannot differ."""
        return {"Put": {"TableName": self._name, "Item": dict(item)}}

    def update_action(self, key: Item, values: Values, expected: Values, remove: Sequence[str] = ()) -> dict[str, Any]:
        """Set and remove attributes where the item has the `expected` ones."""
        return {"Update": self._update_request(key, values, expected, remove)}

    def _update_request(self, key: Item, values: Values, expected: Values, remove: Sequence[str]) -> dict[str, Any]:
        names = {f"#{name}": name for name in (*values, *expected, *remove)}
        expression = "SET " + ", ".join(f"#{name} = :new_{name}" for name in values)
        if remove:
            expression += " REMOVE " + ", ".join(f"#{name}" for name in remove)
        return {
            "TableName": self._name,
            "Key": dict(key),
            "UpdateExpression": expression,
            "ConditionExpression": " AND ".join(f"#{name} = :old_{name}" for name in expected),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {
                **{f":new_{name}": attribute(value) for name, value in values.items()},
                **{f":old_{name}": attribute(value) for name, value in expected.items()},
            },
        }

    def update(self, key: Item, values: Values, expected: Values, remove: Sequence[str] = ()) -> bool:
        """True when written; False where the item is not as expected (perhaps by an earlier try of ours)."""
        try:
            self._client.update_item(**self._update_request(key, values, expected, remove))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise translate(error) from error
        except BotoCoreError as error:
            raise translate(error) from error
        return True

    def transact(self, actions: Sequence[Mapping[str, Any]]) -> list[str]:
        """The reason codes of a cancelled transaction; empty when it was written. Raises TransientError where the
        answer was lost."""
        items: Any = list(actions)
        try:
            self._client.transact_write_items(TransactItems=items)
        except ClientError as error:
            codes = cancellation_codes(error)
            if any(code == "ConditionalCheckFailed" for code in codes) or (
                codes and all(code in ("None", "TransactionConflict") for code in codes)
            ):
                return codes
            raise translate(error) from error
        except BotoCoreError as error:
            raise translate(error) from error
        return []

    def get(self, key: Item) -> dict[str, Any] | None:
        answer = self._call(self._client.get_item, TableName=self._name, Key=dict(key), ConsistentRead=True)
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def get_all(self, keys: Sequence[Item]) -> list[dict[str, Any]]:
        """The items of these keys in their order; those that do not exist are left out."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        pending = [dict(key) for key in keys]
        tries = 0
        while pending:
            request = {self._name: {"Keys": pending[:MAX_ACTIONS], "ConsistentRead": True}}
            answer = self._call(self._client.batch_get_item, RequestItems=request)
            got = answer["Responses"].get(self._name, [])
            found.update({(item["pk"]["S"], item["sk"]["S"]): item for item in got})
            unread = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
            tries = 0 if got else tries + 1
            if unread and tries > _MAX_VAIN_TRIES:
                raise TransientError(f"table {self._name} is throttled")
            if unread and not got:
                self._pause(random.uniform(_LONGEST_PAUSE_S / 2, _LONGEST_PAUSE_S))  # noqa: S311 - jitter, no secret
            pending = [*unread, *pending[MAX_ACTIONS:]]
        wanted = [(key["pk"]["S"], key["sk"]["S"]) for key in keys]
        return [found[name] for name in wanted if name in found]

    def query(self, request: Mapping[str, Any], limit: int | None = None) -> Iterator[dict[str, Any]]:
        """The items that `request` (a condition and its values) finds, the first `limit` of them, page by page."""
        arguments = {"TableName": self._name, "ConsistentRead": True, **request}
        left = limit
        while left is None or left > 0:
            if left is not None:
                arguments["Limit"] = left
            answer = self._call(self._client.query, **arguments)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            left = None if left is None else left - len(answer["Items"])

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return method(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise translate(error) from error
