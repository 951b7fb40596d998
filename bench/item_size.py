"""Sizes and request units by DynamoDB's published rules (Developer Guide: "DynamoDB item sizes and formats", "Read and
write operations", "Capacity consumption"). Sizes of numbers are approximate there, and so here.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

READ_BYTES = 4096
WRITE_BYTES = 1024
STORED_OVERHEAD_BYTES = 100
"""Added to each item for billing storage; not counted for capacity."""


class UnknownAttributeType(Exception):
    """A DynamoDB attribute type that there is no published size for."""


def item_size(item: Mapping[str, Any]) -> int:
    """Bytes of an item in attribute form: UTF-8 of each attribute's name, plus its value."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value: Mapping[str, Any]) -> int:
    """Bytes of one attribute value such as `{"S": "M"}`."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "B":
            return len(content)
        case "N":
            return number_size(content)
        case "BOOL" | "NULL":
            return 1
        case "SS":
            return sum(len(member.encode()) for member in content)
        case "BS":
            return sum(len(member) for member in content)
        case "NS":
            return sum(number_size(member) for member in content)
        case "L":
            return 3 + sum(1 + value_size(member) for member in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_size(member) for name, member in content.items())
    raise UnknownAttributeType(kind)


def number_size(text: str) -> int:
    """One byte per two significant digits, and one; one more for a minus sign. Zeros at both ends are trimmed."""
    digits = text.lstrip("-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")


def write_units(size: int, *, transactional: bool = False) -> int:
    """Units of a write: one per started 1 KB of the larger of the item before and after; twice in a transaction."""
    return _started(size, WRITE_BYTES) * (2 if transactional else 1)


def read_units(size: int, *, strong: bool) -> Fraction:
    """Units of reading `size` bytes: one per started 4 KB, half of it where the read is eventually consistent."""
    return Fraction(_started(size, READ_BYTES), 1 if strong else 2)


def _started(size: int, block: int) -> int:
    return max(1, -(-size // block))
