"""Attribute values of DynamoDB: checked and made once, hashed quickly, sized by the published rules."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from moto.dynamodb.exceptions import MockValidationException, SerializationException
from moto.dynamodb.models.dynamo_type import DynamoType

from local import dynamodb_numbers as numbers

_BY_VALUE = frozenset({"S", "B", "BOOL", "NULL"})


def typed(given: Mapping[str, Any]) -> DynamoType:
    """moto's value for an attribute value of a request, with canonical numbers. Raises what DynamoDB answers."""
    if len(given) != 1:
        raise MockValidationException(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported "
            "datatypes"
        )
    ((kind, content),) = given.items()
    match kind:
        case "S":
            if not isinstance(content, str):
                raise SerializationException("NUMBER_VALUE cannot be converted to String")
        case "N":
            content = canonical(content)
        case "L":
            content = [typed(member) for member in content]
        case "M":
            content = {name: typed(member) for name, member in content.items()}
        case "NS":
            content = _members(kind, [canonical(number) for number in content])
        case "SS" | "BS":
            content = _members(kind, content)
        case "NULL":
            if content is not True:
                raise MockValidationException("Null attribute value types must have the value of true")
    value = DynamoType.__new__(DynamoType)
    value.type, value.value = kind, content
    return value


def canonical(number: Any) -> str:
    """A number's one form. Raises SerializationException where it is no text."""
    if not isinstance(number, str):
        raise SerializationException("NUMBER_VALUE cannot be converted to String")
    return numbers.canonical(number)


def _members(kind: str, content: Sequence[Any]) -> list[Any]:
    if not content:
        raise MockValidationException("One or more parameter values were invalid: An set  may not be empty")
    if len(set(content)) != len(content):
        raise MockValidationException(
            f"One or more parameter values were invalid: Input collection {list(content)} of type {kind} "
            "contains duplicates"
        )
    return list(content)


def make_numbers_canonical(value: DynamoType) -> None:
    """The same for what moto's own parser made."""
    match value.type:
        case "N":
            value.value = canonical(value.value)
        case "NS":
            value.value = [canonical(number) for number in value.value]
        case "L":
            for member in value.value:
                make_numbers_canonical(member)
        case "M":
            for member in value.value.values():
                make_numbers_canonical(member)


def hash_of(value: DynamoType) -> int:
    """Takes the place of DynamoType.__hash__, which converts first."""
    return hash(value.value) if value.type in _BY_VALUE else hash(value.cast_value)


def are_equal(left: DynamoType, right: object) -> bool:
    """Takes the place of DynamoType.__eq__, likewise."""
    if not isinstance(right, DynamoType) or left.type != right.type:
        return False
    if left.type in _BY_VALUE or left.value == right.value:
        return bool(left.value == right.value)
    return bool(left.cast_value == right.cast_value)


def sort_value(key: DynamoType) -> Any:
    """What keys are ordered by: text by its code points, which is by its bytes, numbers by value."""
    return key.cast_value if key.type == "N" else raw_bytes(key.value) if key.type == "B" else key.value


def raw_bytes(value: str | bytes) -> bytes:
    """A binary's bytes; moto keeps some as they came over the wire."""
    return value if isinstance(value, bytes) else base64.b64decode(value)


def value_size(value: DynamoType) -> int:
    """A value's size in bytes by DynamoDB's published rules."""
    match value.type:
        case "S":
            return _text_size(value.value)
        case "N":
            return _number_size(value.value)
        case "B":
            return _binary_size(value.value)
        case "SS":
            return sum(map(_text_size, value.value))
        case "NS":
            return sum(map(_number_size, value.value))
        case "BS":
            return sum(map(_binary_size, value.value))
        case "L":
            return 3 + sum(1 + value_size(member) for member in value.value)
        case "M":
            return 3 + sum(1 + _text_size(name) + value_size(member) for name, member in value.value.items())
        case _:
            return 1


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _number_size(text: str) -> int:
    digits = text.lstrip("-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")


def _binary_size(value: str | bytes) -> int:
    return len(value) if isinstance(value, bytes) else len(value) * 3 // 4 - value[-2:].count("=")
