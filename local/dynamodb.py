"""DynamoDB as moto has it, made atomic, exact and fast enough: one lock, own writes, own queries.

Owns: the replacements. Does not own: expressions (moto's parsers), secondary indexes' reads (moto's), TTL, throttling.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

from moto.core.responses import ActionResult
from moto.core.utils import method_names_from_class
from moto.dynamodb.comparisons import get_expected
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

from local import dynamodb_numbers, dynamodb_reads
from local.clock import Clock
from local.dynamodb_items import (
    condition_of,
    current_item,
    item_size,
    key_of,
    make_item,
    store,
    updated_by_attributes,
    updated_item,
)
from local.dynamodb_transactions import Tokens, transact
from local.dynamodb_values import are_equal, hash_of
from local.dynamodb_wire import WireResult

_one_call = threading.RLock()
"""Held by every DynamoDB call in this process. Moto checks and writes without any lock of its own."""


@contextmanager
def made_exact(clock: Clock) -> Iterator[None]:
    """Replace what moto's DynamoDB does wrong or slowly. All put back at the end."""
    with ExitStack() as replaced:
        for target, name, replacement in (*_writes(), *_reads(), *_values(), *_handler(Tokens(clock))):
            replaced.enter_context(patch.object(target, name, replacement))
        replaced.enter_context(patch("moto.dynamodb.responses.TRANSACTION_MAX_ITEMS", 100))
        replaced.enter_context(patch("moto.dynamodb.responses.DynamoResult", WireResult))
        # asked with every call, always with the same answer
        replaced.enter_context(patch("moto.core.responses.method_names_from_class", cache(method_names_from_class)))
        yield


_Replacement = tuple[Any, str, Any]


def _handler(tokens: Tokens) -> list[_Replacement]:
    call_action = DynamoHandler.call_action

    def call_action_alone(handler: DynamoHandler) -> Any:
        with _one_call:
            return call_action(handler)

    def transact_write_items(handler: DynamoHandler) -> ActionResult:
        token = handler.body.get("ClientRequestToken")
        content = handler.raw_body
        if not tokens.repeats(token, content):
            transact(handler.dynamodb_backend, handler.body["TransactItems"])
            tokens.remember(token, content)
        return ActionResult({})

    return [
        (DynamoHandler, "call_action", call_action_alone),
        (DynamoHandler, "transact_write_items", transact_write_items),
    ]


def _writes() -> list[_Replacement]:
    def put_item(  # noqa: PLR0917 - moto's signature
        table: Table,
        item_attrs: dict[str, Any],
        expected: dict[str, Any] | None = None,
        condition_expression: str | None = None,
        expression_attribute_names: dict[str, str] | None = None,
        expression_attribute_values: dict[str, Any] | None = None,
        overwrite: bool = False,
        return_values_on_condition_check_failure: str | None = None,
    ) -> Item:
        item = make_item(table, key_of(table, item_attrs, exactly=False), item_attrs)
        current = current_item(table, (item.hash_key, item.range_key))
        if not overwrite:
            _judge(
                current,
                expected=expected,
                expression=condition_expression,
                names=expression_attribute_names,
                values=expression_attribute_values,
                return_values=return_values_on_condition_check_failure,
            )
        store(table, current, item)
        return item

    def delete_item(table: Table, hash_key: DynamoType, range_key: DynamoType | None) -> Item | None:
        current = current_item(table, (hash_key, range_key))
        store(table, current, None)
        return current

    def update_item(  # noqa: PLR0917 - moto's signature
        backend: DynamoDBBackend,
        table_name: str,
        key: dict[str, dict[str, Any]],
        update_expression: str,
        expression_attribute_names: dict[str, Any],
        expression_attribute_values: dict[str, Any],
        attribute_updates: dict[str, Any] | None = None,
        expected: dict[str, Any] | None = None,
        condition_expression: str | None = None,
        return_values_on_condition_check_failure: str | None = None,
    ) -> Item:
        table = backend.get_table(table_name)
        typed = key_of(table, key, exactly=True)
        current = current_item(table, typed)
        _judge(
            current,
            expected=expected,
            expression=condition_expression,
            names=expression_attribute_names,
            values=expression_attribute_values,
            return_values=return_values_on_condition_check_failure,
        )
        if update_expression:
            names, values = expression_attribute_names, expression_attribute_values
            item = updated_item(table, typed, current, update_expression, names=names, values=values)
        else:
            item = updated_by_attributes(table, typed, current, attribute_updates or {})
        store(table, current, item)
        return item

    def transact_write_items(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        with _one_call:
            transact(backend, transact_items)

    return [
        (Table, "put_item", put_item),
        (Table, "delete_item", delete_item),
        (DynamoDBBackend, "update_item", update_item),
        (DynamoDBBackend, "transact_write_items", transact_write_items),
        # sizes are counted once, when an item is stored, and without counting base64 as content
        (LimitedSizeDict, "__setitem__", dict.__setitem__),
    ]


def _judge(
    current: Item | None,
    *,
    expected: dict[str, Any] | None,
    expression: str | None,
    names: dict[str, Any] | None,
    values: dict[str, Any] | None,
    return_values: str | None,
) -> None:
    condition = condition_of(expression, names, values)
    fulfilled = get_expected(expected or {}).expr(current) and (condition is None or condition(current))
    if not fulfilled:
        old = current.to_json()["Attributes"] if return_values == "ALL_OLD" and current is not None else None
        raise ConditionalCheckFailed(item=old)


def _reads() -> list[_Replacement]:
    query_of_index, project_nested = Table.query, Item.project

    def get_item(
        table: Table,
        hash_key: DynamoType,
        range_key: DynamoType | None = None,
        projection_expression: list[list[str]] | None = None,
    ) -> Item | None:
        item = current_item(table, (hash_key, range_key))
        return item.project(projection_expression) if item is not None and projection_expression else item

    def query(  # noqa: PLR0917 - moto's signature
        table: Table,
        hash_key: DynamoType | None,
        range_comparison: str | None,
        range_objs: list[DynamoType],
        limit: int,
        exclusive_start_key: dict[str, Any],
        scan_index_forward: bool,
        projection_expressions: list[list[str]] | None,
        index_name: str | None = None,
        consistent_read: bool = False,
        filter_expression: Any = None,
        **others: Any,
    ) -> dynamodb_reads.Page:
        known = {"hash_key_conditions", "range_key_conditions"}
        if index_name is not None or hash_key is None or set(others) - known:
            return query_of_index(
                table,
                hash_key,
                range_comparison,
                range_objs,
                limit,
                exclusive_start_key,
                scan_index_forward,
                projection_expressions,
                index_name,
                consistent_read,
                filter_expression,
                **others,
            )
        return dynamodb_reads.query(
            table,
            hash_key,
            comparison=range_comparison,
            operands=range_objs,
            limit=limit,
            start=exclusive_start_key,
            forward=scan_index_forward,
            projection=projection_expressions,
            filter_expression=filter_expression,
        )

    def project(item: Item, projection_expressions: list[list[str]]) -> Item:
        return dynamodb_reads.project(project_nested, item, projection_expressions)

    return [
        (Table, "get_item", get_item),
        (Table, "query", query),
        (Table, "all_items", dynamodb_reads.all_items),
        (Item, "project", project),
        (Item, "size", item_size),
    ]


def _values() -> list[_Replacement]:
    def add(left: DynamoType, right: DynamoType) -> DynamoType:
        return DynamoType({"N": dynamodb_numbers.total(left.value, right.value)})

    def subtract(left: DynamoType, right: DynamoType) -> DynamoType:
        return DynamoType({"N": dynamodb_numbers.difference(left.value, right.value)})

    return [
        (DynamoType, "__add__", add),
        (DynamoType, "__sub__", subtract),
        (DynamoType, "__hash__", hash_of),
        (DynamoType, "__eq__", are_equal),
    ]
