"""Clients give up before those who wait for them do."""

from __future__ import annotations

from typing import Any

import pytest

from lambdas.handlers.stores import INGEST_PATIENCE_S
from lambdas.store import clients

FUNCTION_S = 29

pytestmark = pytest.mark.usefixtures("aws")


def test_a_call_to_dynamodb_with_all_its_tries_ends_while_ingest_can_still_answer() -> None:
    config: Any = clients.dynamodb().meta.config
    tries = config.retries["total_max_attempts"]
    pauses_s = sum(2**n for n in range(tries - 1))
    assert tries * (config.connect_timeout + config.read_timeout) + pauses_s == clients.LONGEST_CALL_S
    assert INGEST_PATIENCE_S + clients.LONGEST_CALL_S < FUNCTION_S
