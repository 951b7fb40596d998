"""Reads of moto's tables that do not sort and copy the whole table each time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

from local.dynamodb_items import item_size, ordered_range_keys
from local.dynamodb_values import sort_value

PAGE_LIMIT_BYTES = 1024 * 1024

Page = tuple[list[Item], int, dict[str, Any] | None]


def all_items(table: Table) -> list[Item]:
    """Every item, by partition and within it by sort key."""
    items: list[Item] = []
    for hash_key in sorted(table.items, key=sort_value):
        partition: Any = table.items[hash_key]
        if table.range_key_attr is None:
            items.append(partition)
        else:
            items += [partition[range_key] for range_key in ordered_range_keys(table, hash_key)]
    return items


def query(
    table: Table,
    hash_key: DynamoType,
    *,
    comparison: str | None,
    operands: list[DynamoType],
    limit: int | None,
    start: dict[str, Any] | None,
    forward: bool,
    projection: list[list[str]] | None,
    filter_expression: Any,
) -> Page:
    """One page of one partition: at most `limit` items or 1 MB read, filtered after that, as DynamoDB does."""
    partition: Any = table.items.get(hash_key, {})
    if table.range_key_attr is None:
        partition = {hash_key: partition} if partition else {}
        keys = list(partition)
    else:
        keys = ordered_range_keys(table, hash_key)
    first, last = _bounds(keys, comparison, operands)
    if start is not None and table.range_key_attr is not None:
        after = sort_value(DynamoType(start[table.range_key_attr]))
        if forward:
            first = max(first, bisect_right(keys, after, key=sort_value))
        else:
            last = min(last, bisect_left(keys, after, key=sort_value))
    positions = range(first, last) if forward else range(last - 1, first - 1, -1)
    read: list[Item] = []
    size = 0
    more = False
    for position in positions:
        if len(read) == limit or size >= PAGE_LIMIT_BYTES:
            more = True
            break
        item = partition[keys[position]]
        read.append(item)
        size += item_size(item)
    # DynamoDB says where to go on whenever the limit was reached, also where nothing follows
    last_key = table._get_last_evaluated_key(read[-1], None) if read and (more or len(read) == limit) else None
    found = read if filter_expression is None else [item for item in read if filter_expression.expr(item)]
    if projection:
        found = [item.project(projection) for item in found]
    return found, len(read), last_key


def _bounds(keys: list[DynamoType], comparison: str | None, operands: list[DynamoType]) -> tuple[int, int]:
    """The positions [first, last) of the sort keys that a key condition takes."""
    if comparison is None:
        return 0, len(keys)
    values = [sort_value(operand) for operand in operands]

    def at_least(value: Any) -> int:
        return bisect_left(keys, value, key=sort_value)

    def beyond(value: Any) -> int:
        return bisect_right(keys, value, key=sort_value)

    match comparison.upper():
        case "=" | "EQ":
            return at_least(values[0]), beyond(values[0])
        case "<" | "LT":
            return 0, at_least(values[0])
        case "<=" | "LE":
            return 0, beyond(values[0])
        case ">" | "GT":
            return beyond(values[0]), len(keys)
        case ">=" | "GE":
            return at_least(values[0]), len(keys)
        case "BETWEEN":
            return at_least(values[0]), beyond(values[1])
        case "BEGINS_WITH":
            first = last = at_least(values[0])
            while last < len(keys) and sort_value(keys[last]).startswith(values[0]):
                last += 1
            return first, last
        case other:
            raise NotImplementedError(f"key condition {other}")


def project(original: Callable[[Item, list[list[str]]], Item], item: Item, paths: list[list[str]]) -> Item:
    """A projection; whole attributes are taken as they are, only nested paths go through moto's conversion."""
    if any(len(path) != 1 or "[" in path[0] for path in paths):
        return original(item, paths)
    taken = object.__new__(Item)
    taken.hash_key, taken.range_key = item.hash_key, item.range_key
    taken.attrs = type(item.attrs)()
    for (name,) in paths:
        if name in item.attrs:
            dict.__setitem__(taken.attrs, name, item.attrs[name])
    return taken
