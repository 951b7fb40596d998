"""Items of moto's DynamoDB tables: how they are made, judged, changed and stored.

Every write of `local` goes through here: an item is never changed in place (a changed copy replaces it), sizes are
counted by DynamoDB's rules, and a stream record is written exactly for what was stored and differs.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from moto.dynamodb.comparisons import create_condition_expression_parser
from moto.dynamodb.exceptions import (
    HashKeyTooLong,
    InvalidAttributeTypeError,
    ItemSizeTooLarge,
    ItemSizeToUpdateTooLarge,
    MockValidationException,
    RangeKeyTooLong,
)
from moto.dynamodb.limits import HASH_KEY_MAX_LENGTH, RANGE_KEY_MAX_LENGTH
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.executors import UpdateExpressionExecutor
from moto.dynamodb.parsing.expressions import UpdateExpressionParser  # type: ignore[attr-defined]
from moto.dynamodb.parsing.validators import UpdateExpressionValidator

from local.dynamodb_updates import Attributes, Clause, apply_clauses, simple_update
from local.dynamodb_values import make_numbers_canonical, sort_value, typed, value_size

ITEM_LIMIT_BYTES = 400 * 1024

_PLACEHOLDER = re.compile(r"[#:][A-Za-z0-9_]+")

Condition = Callable[[Item | None], bool]
Key = tuple[DynamoType, DynamoType | None]


def key_of(table: Table, attributes: Mapping[str, Any], *, exactly: bool) -> Key:
    """The key in some attributes. Raises ValidationException where it is missing, mistyped, empty or too long."""
    names = table.table_key_attrs
    if exactly and set(attributes) != set(names):
        raise MockValidationException("The provided key element does not match the schema")
    parts = [_key_part(table, attributes, name) for name in names]
    return parts[0], parts[1] if len(parts) > 1 else None


def _key_part(table: Table, attributes: Mapping[str, Any], name: str) -> DynamoType:
    is_hash = name == table.hash_key_attr
    if name not in attributes:
        raise MockValidationException(f"One or more parameter values were invalid: Missing the key {name} in the item")
    part = typed(attributes[name])
    wanted = table.hash_key_type if is_hash else table.range_key_type
    if part.type != wanted:
        raise InvalidAttributeTypeError(name, expected_type=wanted, actual_type=part.type)
    if part.value in ("", b""):
        raise MockValidationException(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
            f"empty string value. Key: {name}"
        )
    size = value_size(part)
    if is_hash and size > HASH_KEY_MAX_LENGTH:
        raise HashKeyTooLong
    if not is_hash and size > RANGE_KEY_MAX_LENGTH:
        raise RangeKeyTooLong
    return part


def make_item(table: Table, key: Key, attributes: Mapping[str, Any]) -> Item:
    """A new item under its key (see `key_of`), checked and with canonical numbers."""
    item = _bare_item(key)
    made = _key_attributes(table, key)
    dict.update(item.attrs, {name: made.get(name) or typed(value) for name, value in attributes.items()})
    if item_size(item) > ITEM_LIMIT_BYTES:
        raise ItemSizeTooLarge
    return item


def _bare_item(key: Key) -> Item:
    item = object.__new__(Item)  # not Item(): moto would keep every one for ever
    item.hash_key, item.range_key = key
    item.attrs = LimitedSizeDict()
    return item


def condition_of(
    expression: str | None, names: Mapping[str, str] | None, values: Mapping[str, Any] | None
) -> Condition | None:
    """The condition of a write; None where it has none."""
    if expression is None:
        return None
    if not values:
        return _condition_without_values(expression, tuple((names or {}).items()))
    return _parsed_condition(expression, dict(names or {}), dict(values))


@lru_cache(maxsize=2048)
def _condition_without_values(expression: str, names: tuple[tuple[str, str], ...]) -> Condition:
    return _parsed_condition(expression, dict(names), {})


def _parsed_condition(expression: str, names: dict[str, str], values: dict[str, Any]) -> Condition:
    operation = create_condition_expression_parser(expression, names, values).parse()
    return lambda item: bool(operation.expr(item))


def check_placeholders(action: Mapping[str, Any]) -> None:
    """Raise ValidationException unless the `#names` and `:values` given are exactly those that the expressions use."""
    used: frozenset[str] = frozenset()
    for member in ("ConditionExpression", "UpdateExpression"):
        if member in action:
            used |= _placeholders(action[member])
    names, values = action.get("ExpressionAttributeNames"), action.get("ExpressionAttributeValues")
    for kind, given in (("Names", names), ("Values", values)):
        if given is not None and not given:
            raise MockValidationException(f"ExpressionAttribute{kind} must not be empty")
        unused = [name for name in given or {} if name not in used]
        if unused:
            raise MockValidationException(
                f"Value provided in ExpressionAttribute{kind} unused in expressions: keys: {{{', '.join(unused)}}}"
            )
    for placeholder in used:
        if placeholder not in ((names if placeholder[0] == "#" else values) or {}):
            kind = "name" if placeholder[0] == "#" else "value"
            raise MockValidationException(
                f"Invalid expression: An expression attribute {kind} used in it is not defined; "
                f"attribute {kind}: {placeholder}"
            )


@lru_cache(maxsize=2048)
def _placeholders(expression: str) -> frozenset[str]:
    return frozenset(_PLACEHOLDER.findall(expression))


def updated_item(
    table: Table,
    key: Key,
    current: Item | None,
    expression: str,
    *,
    names: Mapping[str, str] | None,
    values: Mapping[str, Any] | None,
) -> Item:
    """What an update makes of an item (or of nothing). The current item stays as it is."""
    clauses = simple_update(expression, names or {})
    if clauses is not None and not _touches_key(table, clauses, names or {}):
        item = _bare_item(key)
        before = current.attrs if current is not None else _key_attributes(table, key)
        after = apply_clauses(clauses, before, names or {}, values or {})
        dict.update(item.attrs, after)
        return _checked_update(item)
    item = _copy_or_new(table, key, current)
    parsed = UpdateExpressionParser.make(expression)
    validated = UpdateExpressionValidator(
        parsed,
        expression_attribute_names=dict(names or {}),
        expression_attribute_values=dict(values or {}),
        item=item,
        table=table,
    ).validate()
    validated.normalize()
    UpdateExpressionExecutor(validated, item, dict(names or {})).execute()
    return _checked_update(item)


def updated_by_attributes(table: Table, key: Key, current: Item | None, updates: dict[str, Any]) -> Item:
    """The same for the older AttributeUpdates."""
    item = _copy_or_new(table, key, current)
    item.validate_no_empty_key_values(updates, table.attribute_keys)
    item.update_with_attribute_updates(updates)
    return _checked_update(item)


def _touches_key(table: Table, clauses: tuple[Clause, ...], names: Mapping[str, str]) -> bool:
    return any(names.get(clause.attribute, clause.attribute) in table.table_key_attrs for clause in clauses)


def _key_attributes(table: Table, key: Key) -> Attributes:
    return {name: part for name, part in zip(table.table_key_attrs, key, strict=False) if part is not None}


def _copy_or_new(table: Table, key: Key, current: Item | None) -> Item:
    item = _bare_item(key)
    if current is None:
        dict.update(item.attrs, _key_attributes(table, key))
    else:
        for name, value in current.attrs.items():
            dict.__setitem__(item.attrs, name, value.__deepcopy__({}))
    return item


def _checked_update(item: Item) -> Item:
    for value in item.attrs.values():
        make_numbers_canonical(value)
    if item_size(item) > ITEM_LIMIT_BYTES:
        raise ItemSizeToUpdateTooLarge
    return item


def current_item(table: Table, key: Key) -> Item | None:
    """The stored item, or None. Unlike moto's own this leaves no empty partition behind."""
    found: Any = table.items.get(key[0])
    if found is None or key[1] is None:
        return found  # type: ignore[no-any-return]
    return found.get(key[1])  # type: ignore[no-any-return]


def store(table: Table, old: Item | None, new: Item | None) -> None:
    """Put `new` where `old` is (None: nothing there, or nothing shall be), with its stream record."""
    item = new if new is not None else old
    if item is None:
        return
    _place(table, item, new)
    if table.stream_shard is not None and (old is None or new is None or old.attrs != new.attrs):
        table.stream_shard.add(old, new)


def _place(table: Table, item: Item, new: Item | None) -> None:
    hash_key, range_key = item.hash_key, item.range_key
    if range_key is None:
        if new is None:
            table.items.pop(hash_key, None)
        else:
            table.items[hash_key] = new  # type: ignore[assignment]
        return
    partition = table.items[hash_key]
    order = _orders(table).get(hash_key)
    if new is not None:
        if order is not None and range_key not in partition:
            insort(order, range_key, key=sort_value)
        partition[range_key] = new
        return
    partition.pop(range_key, None)
    if order is not None:
        at = bisect_left(order, sort_value(range_key), key=sort_value)
        if at < len(order) and order[at] == range_key:
            del order[at]
    if not partition:
        del table.items[hash_key]
        _orders(table).pop(hash_key, None)


def _orders(table: Table) -> dict[DynamoType, list[DynamoType]]:
    orders: dict[DynamoType, list[DynamoType]] | None = table.__dict__.get("local_orders")
    if orders is None:
        orders = table.__dict__["local_orders"] = {}
    return orders


def ordered_range_keys(table: Table, hash_key: DynamoType) -> list[DynamoType]:
    """The sort keys of a partition in order; kept in order from the first call on."""
    orders = _orders(table)
    order = orders.get(hash_key)
    if order is None:
        order = sorted(table.items.get(hash_key, {}), key=sort_value)
        if order:
            orders[hash_key] = order
    return order


def item_size(item: Item) -> int:
    """An item's size in bytes by DynamoDB's published rules; counted once."""
    size: int | None = getattr(item, "local_size", None)
    if size is None:
        size = sum(len(name.encode()) + value_size(value) for name, value in item.attrs.items())
        item.local_size = size  # type: ignore[attr-defined]
    return size
