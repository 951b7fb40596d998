"""TransactWriteItems: all conditions first, then all writes, or none; nothing is copied that is not changed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.dynamodb.exceptions import (
    ERROR_TYPE_PREFIX,
    ItemSizeTooLarge,
    ItemSizeToUpdateTooLarge,
    MockValidationException,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table

from local.clock import Clock
from local.dynamodb_items import (
    Condition,
    Key,
    check_placeholders,
    condition_of,
    current_item,
    item_size,
    key_of,
    make_item,
    store,
    updated_item,
)

ACTIONS_LIMIT = 100
SIZE_LIMIT_BYTES = 4 * 1024 * 1024
TOKEN_LIFE = timedelta(minutes=10)

Reason = tuple[str | None, str | None, dict[str, Any] | None]
_FULFILLED: Reason = (None, None, None)


class IdempotentParameterMismatch(JsonRESTError):
    """A token came again with another content."""

    def __init__(self) -> None:
        super().__init__(
            ERROR_TYPE_PREFIX + "IdempotentParameterMismatchException",
            "The request uses the same client token as a previous, but non-identical request. "
            "Do not reuse a client token with different requests, unless the requests are identical",
        )


@dataclass(frozen=True, slots=True)
class _Action:
    """One action of a transaction, looked up."""

    kind: str
    request: Mapping[str, Any]
    table: Table
    key: Key
    current: Item | None


class Tokens:
    """Client request tokens of transactions that succeeded, kept ten minutes by the movable clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[bytes, datetime]] = {}

    def repeats(self, token: str | None, content: bytes) -> bool:
        """Whether this transaction was done already. Raises IdempotentParameterMismatch for another content."""
        if token is None:
            return False
        with self._lock:
            self._forget()
            seen = self._seen.get(token)
        if seen is None:
            return False
        if seen[0] != hashlib.sha256(content).digest():
            raise IdempotentParameterMismatch
        return True

    def remember(self, token: str | None, content: bytes) -> None:
        if token is not None:
            with self._lock:
                self._seen[token] = (hashlib.sha256(content).digest(), self._clock.now())

    def _forget(self) -> None:
        oldest = self._clock.now() - TOKEN_LIFE
        while self._seen:
            token = next(iter(self._seen))
            if self._seen[token][1] > oldest:
                return
            del self._seen[token]


def transact(backend: DynamoDBBackend, requests: list[dict[str, Any]]) -> None:
    """Do a transaction. Raises what DynamoDB answers; then nothing was written, to tables or streams."""
    if not requests:
        raise MockValidationException("1 validation error detected: transactItems must have at least one member")
    if len(requests) > ACTIONS_LIMIT:
        raise TooManyTransactionsException
    actions = _looked_up(backend, requests)
    conditions = [_condition(action.request) for action in actions]
    reasons: list[Reason] = []
    results: list[Item | None] = []
    size = 0
    for action, condition in zip(actions, conditions, strict=True):
        result = action.current
        if condition is not None and not condition(action.current):
            reasons.append(_failed_condition(action))
        else:
            try:
                result = _result(action)
                reasons.append(_FULFILLED)
            except (ItemSizeTooLarge, ItemSizeToUpdateTooLarge, MockValidationException) as error:
                reasons.append(("ValidationError", str(error.message), None))
        results.append(result)
        counted = result if result is not None else action.current
        size += item_size(counted) if counted is not None else 0
    if size > SIZE_LIMIT_BYTES:
        raise MockValidationException(
            "Transaction request is not valid: the aggregate size of the items in the transaction exceeded "
            f"{SIZE_LIMIT_BYTES} bytes"
        )
    if any(reason is not _FULFILLED for reason in reasons):
        raise TransactionCanceledException(reasons)
    for action, result in zip(actions, results, strict=True):
        if action.kind != "ConditionCheck":
            store(action.table, action.current, result)


def _looked_up(backend: DynamoDBBackend, requests: list[dict[str, Any]]) -> list[_Action]:
    actions: list[_Action] = []
    seen: set[tuple[str, Key]] = set()
    for request in requests:
        if len(request) != 1:
            raise TransactWriteSingleOpException
        kind, action = next(iter(request.items()))
        table = backend.get_table(action["TableName"])
        key = key_of(table, action["Item"] if kind == "Put" else action["Key"], exactly=kind != "Put")
        if (table.name, key) in seen:
            raise MultipleTransactionsException
        seen.add((table.name, key))
        actions.append(_Action(kind, action, table, key, current_item(table, key)))
    return actions


def _condition(request: Mapping[str, Any]) -> Condition | None:
    check_placeholders(request)
    return condition_of(
        request.get("ConditionExpression"),
        request.get("ExpressionAttributeNames"),
        request.get("ExpressionAttributeValues"),
    )


def _failed_condition(action: _Action) -> Reason:
    old = None
    if action.request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and action.current is not None:
        old = action.current.to_json()["Attributes"]
    return "ConditionalCheckFailed", "The conditional request failed", old


def _result(action: _Action) -> Item | None:
    """What the action leaves in place of the current item."""
    match action.kind:
        case "Put":
            return make_item(action.table, action.key, action.request["Item"])
        case "Update":
            return updated_item(
                action.table,
                action.key,
                action.current,
                action.request["UpdateExpression"],
                names=action.request.get("ExpressionAttributeNames"),
                values=action.request.get("ExpressionAttributeValues"),
            )
        case "Delete":
            return None
        case _:
            return action.current
