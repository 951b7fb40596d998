"""Checked events for tests of the usage store."""

from __future__ import annotations

import json
import random
from typing import Any

from lambdas.billing.canonical import sha256_hex
from lambdas.billing.usage import read_event
from lambdas.store.usage_items import Incoming
from tests.faults.world import event


def incoming(event_id: str = "e1", *, padding: str = "", **changes: Any) -> Incoming:
    """One event of acme as ingest hands it to the recorder. `padding` is white space in its raw text."""
    sent = event(event_id, **changes)
    raw = json.dumps(sent, ensure_ascii=False) + padding
    return Incoming(read_event(sent, None), raw, sha256_hex(raw.encode()))


def padding(noise: random.Random, length: int) -> str:
    """White space that compresses to about a quarter."""
    return "".join(noise.choices(" \t\r\n", k=length))


def many(number: int, **changes: Any) -> list[Incoming]:
    return [incoming(f"e{n}", **changes) for n in range(number)]


def at(day: int, hour: int = 0, month: int = 11) -> str:
    return f"2026-{month:02d}-{day:02d}T{hour:02d}:30:00Z"
