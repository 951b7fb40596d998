"""DynamoDB's attribute form of plain values: text as S, whole numbers as N. Money is always text (D7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Value = str | int


def to_item(values: Mapping[str, Value | None] | Mapping[str, Value]) -> dict[str, Any]:
    """The attributes of these values; those that are None are left out."""
    return {name: attribute(value) for name, value in values.items() if value is not None}


def attribute(value: Value) -> dict[str, str]:
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of an item that `to_item` made."""
    return {name: int(typed["N"]) if "N" in typed else typed["S"] for name, typed in item.items()}
