"""Parked events of an account, from the blocks that its last freeze was rated into (R5, R16)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lambdas.billing.agreements import Agreement
from lambdas.billing.bundle import block_names
from lambdas.billing.canonical import encode_string
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.lines import Unpriced
from lambdas.billing.pricing import prompt_size
from lambdas.billing.rate_cards import RateKey
from lambdas.billing.rating import PARKED, UsageRow
from lambdas.billing.segments import read_raw, row_of
from lambdas.billing.usage import read_event
from lambdas.handlers.paging import Wanted, place_of
from lambdas.handlers.run_records import (
    BlockEntry,
    block_entries,
    frozen_agreement,
    frozen_of,
    read_block_file,
)
from lambdas.store.billing_items import Account
from lambdas.store.errors import NotFound
from lambdas.store.evidence import Evidence

MAX_BLOCKS_READ = 5
"""Most blocks that one page is collected from: a bound on one request's work."""


def parked_page(account: Account, wanted: Wanted, evidence: Evidence) -> dict[str, Any]:
    """A page of an account's parked events, in their order: what has no price, why, and where that is recorded.

    A page may hold fewer events than asked for, even none, while there is a `cursor` to go on with. Raises NotFound
    before the account's freeze is rated.
    """
    frozen = frozen_of(evidence, account)
    if frozen is None:
        raise NotFound("frozen usage of account", f"{account.customer} in {account.run_id}")
    try:
        events, following = _collect(evidence, frozen, place_of(wanted.cursor), wanted.limit)
    except NotFound as error:
        raise NotFound("complete rating of account", f"{account.customer} in {account.run_id} ({error})") from None
    return {
        "run_id": account.run_id,
        "customer": account.customer,
        "status": account.status,
        "freeze": frozen["freeze"],
        "items": events,
        "cursor": None if following is None else f"{following[0]}.{following[1]}",
    }


def _collect(
    evidence: Evidence, frozen: Mapping[str, Any], start: tuple[int, int], limit: int
) -> tuple[list[dict[str, Any]], tuple[int, int] | None]:
    """Parked events from `start` (block, row) on, and where the next page begins."""
    agreement = frozen_agreement(frozen)
    events: list[dict[str, Any]] = []
    read = 0
    for entry in block_entries(evidence, frozen):
        if entry.number < start[0] or not entry.facts["excluded"]:
            continue
        if read == MAX_BLOCKS_READ:
            return events, (entry.number, 1)
        read += 1
        first_row = start[1] if entry.number == start[0] else 1
        for number, row, detail in _parked(evidence, frozen, entry, first_row):
            if len(events) == limit:
                return events, (entry.number, number)
            file = block_names(entry.number)[2]
            events.append({**_event(row, detail, agreement), "evidence": {"file": file, "row": number}})
    return events, None


def _parked(
    evidence: Evidence, frozen: Mapping[str, Any], entry: BlockEntry, first_row: int
) -> Iterator[tuple[int, UsageRow, str]]:
    """The parked events of a block from a row of its excluded file on: that row, the event as received, the detail."""
    excluded = [json.loads(line) for line in read_block_file(evidence, frozen, entry, "excluded").splitlines()]
    parked = [(n, line) for n, line in enumerate(excluded, start=1) if n >= first_row and line[4] == PARKED]
    received = iter(read_block_file(evidence, frozen, entry, "usage").splitlines() if parked else ())
    for number, (time, source, event_id, revision, _, detail) in parked:
        prefix = f'["{time}",{encode_string(source)},{encode_string(event_id)},{revision},'.encode()
        line = next((line for line in received if line.startswith(prefix)), None)  # both files are in one order
        if line is None:
            raise InvariantBroken("event", f"{time} {source} {event_id}", "an excluded event stands among the received")
        event = read_event(read_raw(json.loads(line)[7]), frozen["customer"])
        yield number, row_of(event, revision), detail


def _event(row: UsageRow, detail: str, agreement: Agreement) -> dict[str, Any]:
    unpriced = _unpriced(row, detail, agreement)
    return {
        "time": row.time,
        "source": row.source,
        "id": row.id,
        "revision": row.revision,
        "provider": row.provider,
        "model": row.model,
        "service_tier": row.service_tier,
        **unpriced,
        "detail": detail,
        "quantities": dict(row.quantities),
    }


def _unpriced(row: UsageRow, detail: str, agreement: Agreement) -> dict[str, str]:
    """The class that the recorded detail is about, and the code of the reason. Raises InvariantBroken where the frozen
    prices have another answer than the record."""
    pricing = agreement.at(row.time)
    above = max(0, prompt_size(row.quantities) - 1)
    for name in sorted(row.quantities):
        if row.quantities[name]:
            asked = RateKey(row.provider, row.model, name, row.service_tier, above)
            found = pricing.find(asked, row.time)
            if isinstance(found, Unpriced) and found.detail == detail:
                return {"class": name, "reason": found.code}
    raise InvariantBroken("parked event", f"{row.time} {row.source} {row.id}", f"the frozen prices must say: {detail}")
