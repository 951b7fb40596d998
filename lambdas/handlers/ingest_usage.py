"""POST /v1/usage: one event or a batch; each is accepted, duplicate, conflict or rejected (R2-R5, D1, D2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from lambdas.billing.errors import EventRejected
from lambdas.billing.times import from_datetime, to_datetime
from lambdas.billing.usage import UsageEvent
from lambdas.handlers import runtime, stores
from lambdas.handlers.entry import count, http_entry
from lambdas.handlers.pricing_cache import PricingCache
from lambdas.handlers.problems import Response, problem
from lambdas.handlers.reading import Read, Reading, TooLarge, UnsupportedMode, read_request
from lambdas.handlers.requests import body_of, caller_of
from lambdas.store.catalogue import Catalogue
from lambdas.store.recorder import UsageRecorder

MAX_AHEAD_S = 300
"""How far an event's time may lie ahead of ours: clocks differ, usage of the future does not exist."""

_STATUSES = ("accepted", "duplicate", "conflict", "rejected", "not_stored")
_caches: dict[str, PricingCache] = {}


class Stores(NamedTuple):
    recorder: UsageRecorder
    catalogue: Catalogue
    cache: PricingCache


class _Work(NamedTuple):
    """One request under way: its events, and the result of each."""

    events: list[Read]
    results: list[dict[str, Any]]
    stores: Stores
    now: str


def ingest_usage(
    body: bytes, headers: Mapping[str, str], key_customer: str | None, *, stores: Stores, now: str
) -> Response:
    """Read, check and store the events of one request; the answer has one result per event, in order.

    `key_customer` is the customer of the API key, None for a key for all. 200 when every event is decided; 503 with
    Retry-After when one is not known to be stored (repeating the request is safe). A single event that is rejected or
    in conflict answers 422 or 409 as a problem; in a batch the result says so and the batch answers 200.
    """
    try:
        reading = read_request(body, headers, key_customer)
    except TooLarge as error:
        return problem(413, "TooLarge", str(error))
    except UnsupportedMode as error:
        return problem(415, "UnsupportedMode", str(error))
    except EventRejected as error:
        return problem(400, "UnreadableBody", str(error), field=error.field, value=error.value, remedy=error.remedy)
    results: list[dict[str, Any]] = [{} for _ in reading.events]
    work = _Work(reading.events, results, stores, now)
    by_customer: dict[str, list[int]] = {}
    for position, read in enumerate(reading.events):
        rejection = read.rejection or _refused(read, stores, now)
        if rejection is not None:
            results[position] = _rejected(position, read, rejection)
        elif read.incoming is not None:
            by_customer.setdefault(read.incoming.event.customer, []).append(position)
    parked = 0
    for customer, positions in by_customer.items():
        parked += _store(customer, positions, work)
    return _answer(reading, results, parked)


def _refused(read: Read, stores: Stores, now: str) -> EventRejected | None:
    """What only the account and the clock can tell: unknown customer, time before the account or in the future."""
    assert read.incoming is not None  # noqa: S101 - an event without rejection was read
    event = read.incoming.event
    created_at = stores.cache.created_at(stores.catalogue, event.customer)
    if created_at is None:
        return EventRejected("subject", event.customer, "no such customer; create it first or correct the subject")
    if event.time < created_at:
        return EventRejected("time", event.time, f"the customer's account exists since {created_at}; check the clock")
    if event.time > from_datetime(to_datetime(now) + timedelta(seconds=MAX_AHEAD_S)):
        return EventRejected("time", event.time, f"more than {MAX_AHEAD_S} s ahead of {now}; check the sender's clock")
    return None


def _store(customer: str, positions: list[int], work: _Work) -> int:
    """Store one customer's events and write their results; answers how many of the accepted ones are parked."""
    incoming = [item for position in positions if (item := work.events[position].incoming) is not None]
    outcomes = work.stores.recorder.record(customer, incoming, work.now)
    accepted: list[UsageEvent] = []
    places: list[int] = []
    for position, item, outcome in zip(positions, incoming, outcomes, strict=True):
        result = {"index": position, "id": item.event.id, "source": item.event.source, "status": outcome.status}
        if outcome.status == "accepted":
            result["hash"] = item.event.content_hash
            accepted.append(item.event)
            places.append(position)
        elif outcome.status in ("duplicate", "conflict"):
            result |= {"stored_hash": outcome.stored_hash, "stored_time": outcome.stored_time}
            if outcome.status == "conflict":
                result |= {"hash": item.event.content_hash, "detail": _CONFLICT}
        work.results[position] = result
    parked = 0
    for position, unpriced in zip(places, work.stores.cache.unpriced(work.stores.catalogue, accepted), strict=True):
        if unpriced is not None:
            work.results[position]["parked"] = {"reason": unpriced.code, "detail": unpriced.detail}
            parked += 1
    return parked


_CONFLICT = (
    "an event with this source and id is stored with other content; nothing was changed. "
    "Send a new event under an id of its own."
)


def _rejected(position: int, read: Read, rejection: EventRejected) -> dict[str, Any]:
    return {
        "index": position,
        **read.name,
        "status": "rejected",
        "detail": str(rejection),
        "field": rejection.field,
        "value": rejection.value,
        "remedy": rejection.remedy,
    }


def _answer(reading: Reading, results: list[dict[str, Any]], parked: int) -> Response:
    totals = {status: sum(1 for result in results if result["status"] == status) for status in _STATUSES}
    count(
        EventsAccepted=totals["accepted"],
        EventsDuplicate=totals["duplicate"],
        EventsConflict=totals["conflict"],
        RejectedEvents=totals["rejected"],
        EventsNotStored=totals["not_stored"],
        ParkedEvents=parked,
    )
    body: dict[str, Any] = {"received": len(results), **totals, "parked": parked, "results": results}
    if totals["not_stored"]:
        detail = "some events are not known to be stored; send the same request again, that is safe"
        return problem(503, "NotStored", detail, {"retry-after": "1"}, **body)
    if not reading.batch and totals["rejected"]:
        return problem(422, "EventRejected", results[0]["detail"], None, **body)
    if not reading.batch and totals["conflict"]:
        return problem(409, "EventConflict", results[0]["detail"], None, **body)
    return Response(200, body)


def _handle(event: dict[str, Any]) -> Response:
    caller = caller_of(event)
    caller.require("ingest")
    table = runtime.setting("CATALOGUE_TABLE")
    cache = _caches.setdefault(table, PricingCache())
    return ingest_usage(
        body_of(event),
        event.get("headers") or {},
        caller.bound_customer,
        stores=Stores(stores.recorder(), stores.catalogue(), cache),
        now=runtime.now(),
    )


handler = http_entry(_handle)
