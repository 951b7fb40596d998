"""DynamoDB's published limits, checked on every request, because moto lets most of them pass.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient

EXPRESSION_BYTES = 4096
ITEM_BYTES = 400 * 1024
ACTIONS = 100
TRANSACTION_BYTES = 4 * 1024 * 1024
PARTITION_KEY_BYTES = 2048
SORT_KEY_BYTES = 1024
SUBSTITUTIONS_BYTES = 2 * 1024 * 1024


class OverTheLimit(AssertionError):
    """AWS would answer ValidationException, however often the request is repeated."""


@contextmanager
def enforced() -> Iterator[None]:
    """Every DynamoDB request of this process is held against the limits before it is made."""
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def make_api_call(client: BaseClient, name: str, parameters: dict[str, Any]) -> Any:
        if client.meta.service_model.service_name == "dynamodb":
            check(name, parameters)
        return make(client, name, parameters)

    with patch.object(BaseClient, "_make_api_call", make_api_call):
        yield


def check(name: str, parameters: Mapping[str, Any]) -> None:
    if name == "TransactWriteItems":
        actions = [next(iter(action.values())) for action in parameters["TransactItems"]]
        _at_most(ACTIONS, len(actions), "actions of a transaction")
        _at_most(TRANSACTION_BYTES, sum(map(_sent_bytes, actions)), "bytes of a transaction")
        for action in actions:
            _check_write(action)
    elif name in ("PutItem", "UpdateItem", "DeleteItem", "Query", "GetItem"):
        _check_write(parameters)


def _check_write(request: Mapping[str, Any]) -> None:
    for member, value in request.items():
        if member.endswith("Expression"):
            _at_most(EXPRESSION_BYTES, len(value.encode()), f"bytes of {member}")
    item = request.get("Item") or request.get("Key") or {}
    _at_most(ITEM_BYTES, _bytes(item), f"bytes of item {item.get('pk')}")
    if item:
        _at_most(PARTITION_KEY_BYTES, len(item["pk"]["S"].encode()), "bytes of pk")
        _at_most(SORT_KEY_BYTES, len(item["sk"]["S"].encode()), "bytes of sk")
    if "KeyConditionExpression" in request:
        for name, value in request["ExpressionAttributeValues"].items():
            _at_most(PARTITION_KEY_BYTES if name == ":pk" else SORT_KEY_BYTES, _value_bytes(value), f"bytes of {name}")
    substitutions = sum(len(k) + len(str(v)) for k, v in request.get("ExpressionAttributeNames", {}).items())
    substitutions += sum(len(k) for k in request.get("ExpressionAttributeValues", {}))
    _at_most(SUBSTITUTIONS_BYTES, substitutions, "bytes of substitutions")


def _sent_bytes(request: Mapping[str, Any]) -> int:
    return sum(_bytes(request.get(m, {})) for m in ("Item", "Key", "ExpressionAttributeValues"))


def _bytes(item: Mapping[str, Any]) -> int:
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    if kind == "N":
        _at_most(38, len(content.lstrip("-").strip("0")), "digits of a number")
        return len(content) // 2 + 1
    return len(content.encode() if isinstance(content, str) else content)


def _at_most(limit: int, found: int, what: str) -> None:
    if found > limit:
        raise OverTheLimit(f"{found} {what}; at most {limit}")
