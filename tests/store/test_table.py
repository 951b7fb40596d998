"""One table: keys that a batch leaves unread are asked for again, after a pause, and not for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import pytest
from botocore.client import BaseClient

from lambdas.store import clients
from lambdas.store.errors import TransientError
from lambdas.store.items import to_item
from lambdas.store.table import Table

pytestmark = pytest.mark.usefixtures("aws")
NAME = "billproof-test-billing"
KEYS = [to_item({"pk": f"INV#{number}", "sk": "INV"}) for number in range(5)]


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def table(pauses: list[float]) -> Table:
    table = Table(clients.dynamodb(), NAME, pauses.append)
    table.transact([table.put_action(key) for key in KEYS])
    return table


class Lazy:
    """Reads as many keys of a batch as `takes` says, call by call."""

    def __init__(self, *takes: int) -> None:
        self._takes = list(takes)
        self._make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def __call__(self, client: BaseClient, operation: str, parameters: Mapping[str, Any]) -> Any:
        keys = parameters["RequestItems"][NAME]["Keys"]
        take = self._takes.pop(0)
        rest = {NAME: {"Keys": keys[take:]}} if keys[take:] else {}
        if take == 0:
            return {"Responses": {}, "UnprocessedKeys": rest}
        request = {NAME: {"Keys": keys[:take], "ConsistentRead": True}}
        return self._make(client, operation, {"RequestItems": request}) | {"UnprocessedKeys": rest}


def read(table: Table, lazy: Lazy) -> list[dict[str, Any]]:
    def call(client: BaseClient, operation: str, parameters: Mapping[str, Any]) -> Any:
        return lazy(client, operation, parameters)

    with patch.object(BaseClient, "_make_api_call", call):
        return table.get_all(KEYS)


def test_unread_keys_are_read_after_a_pause_where_a_try_brought_nothing(table: Table, pauses: list[float]) -> None:
    assert read(table, Lazy(2, 0, 0, 1, 0, 2)) == KEYS
    assert len(pauses) == 3
    assert all(0.1 <= pause <= 0.2 for pause in pauses)


def test_a_fourth_try_in_a_row_that_brings_nothing_is_the_last(table: Table, pauses: list[float]) -> None:
    with pytest.raises(TransientError, match=f"table {NAME} is throttled"):
        read(table, Lazy(2, 0, 0, 0, 0))
    assert len(pauses) == 3
