"""`cursor` and `limit` of a list call."""

from __future__ import annotations

from typing import Any, NamedTuple

from lambdas.billing.errors import DocumentRefused
from lambdas.handlers.requests import query_parameter

MAX_LIMIT = 100
DEFAULT_LIMIT = 50


class Wanted(NamedTuple):
    """The part of a list that is asked for: what follows `cursor`, at most `limit` entries."""

    cursor: str | None
    limit: int


def wanted_of(event: dict[str, Any]) -> Wanted:
    """Raises DocumentRefused for a limit that is not 1 to 100."""
    text = query_parameter(event, "limit") or str(DEFAULT_LIMIT)
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 0 < int(text) <= MAX_LIMIT):
        raise DocumentRefused("limit", text, f"a whole number from 1 to {MAX_LIMIT}")
    return Wanted(query_parameter(event, "cursor") or None, int(text))


def place_of(cursor: str | None) -> tuple[int, int]:
    """The block and the row that a page of recorded events begins at. Raises DocumentRefused."""
    if cursor is None:
        return 1, 1
    block, _, row = cursor.partition(".")
    if not block or not row:
        raise DocumentRefused("cursor", cursor, "give the cursor of the page before, as it was answered")
    return whole_number(block, "cursor"), whole_number(row, "cursor")


def whole_number(text: str, field: str) -> int:
    """A positive whole number of a query parameter. Raises DocumentRefused."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) > 0):
        raise DocumentRefused(field, text, "a whole number from 1")
    return int(text)
