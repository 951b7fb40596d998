"""POST /v1/usage: one event or a batch; each is accepted, duplicate, conflict or rejected (R2-R5, D1, D2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from lambdas.billing.errors import BillingError, EventRejected
from lambdas.billing.times import from_datetime, to_datetime
from lambdas.billing.usage import UsageEvent
from lambdas.handlers import runtime, stores
from lambdas.handlers.entry import count, http_entry, logger
from lambdas.handlers.pricing_cache import PricingCache, cache_of
from lambdas.handlers.problems import Response, problem
from lambdas.handlers.reading import Read, Reading, TooLarge, UnsupportedMode, read_request
from lambdas.handlers.requests import body_of, caller_of
from lambdas.store import clients
from lambdas.store.catalogue import Catalogue
from lambdas.store.errors import NotFound, TransientError
from lambdas.store.recorder import UsageRecorder
from lambdas.store.usage_items import Incoming

MAX_AHEAD_S = 300
"""How far an event's time may lie ahead of ours: clocks differ, usage of the future does not exist."""

_STATUSES = ("accepted", "duplicate", "conflict", "rejected", "not_stored")


class Stores(NamedTuple):
    recorder: UsageRecorder
    catalogue: Catalogue
    cache: PricingCache


class _Work(NamedTuple):
    """One request under way: the result of each event so far."""

    results: list[dict[str, Any]]
    stores: Stores
    now: str


class _Clock(NamedTuple):
    """Canonical times of a request: when it came, and the latest that its events may have."""

    now: str
    latest: str


class _Placed(NamedTuple):
    """An event that may be stored, and its position in the request."""

    position: int
    incoming: Incoming


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
    accounts = _accounts(reading.events, stores)
    clock = _Clock(now, from_datetime(to_datetime(now) + timedelta(seconds=MAX_AHEAD_S)))
    by_customer: dict[str, list[_Placed]] = {}
    for position, read in enumerate(reading.events):
        found = read.found if isinstance(read.found, EventRejected) else _judged(read.found, accounts, clock)
        if isinstance(found, Incoming):
            by_customer.setdefault(found.event.customer, []).append(_Placed(position, found))
        elif isinstance(found, EventRejected):
            results[position] = _rejected(position, read.name, found)
        else:
            results[position] = {"index": position, **read.name, "status": "not_stored"}
    work = _Work(results, stores, now)
    parked = sum(_store(customer, placed, work) for customer, placed in by_customer.items())
    return _answer(reading, results, parked)


def _accounts(events: list[Read], stores: Stores) -> dict[str, str | None]:
    """When each customer of a request was created, None where there is no such customer.

    Left out are customers that cannot be read just now: their events are not stored. After the first such, only
    those are taken that need no reading.
    """
    accounts: dict[str, str | None] = {}
    readable = True
    for customer in dict.fromkeys(read.found.event.customer for read in events if isinstance(read.found, Incoming)):
        if readable or stores.cache.remembers(customer):
            try:
                accounts[customer] = stores.cache.created_at(stores.catalogue, customer)
            except TransientError:
                readable = False
    return accounts


def _judged(incoming: Incoming, accounts: Mapping[str, str | None], clock: _Clock) -> Incoming | EventRejected | None:
    """What only account and clock can tell: unknown customer, time before the account or ahead; None for not known."""
    event = incoming.event
    if event.customer not in accounts:
        return None
    created_at = accounts[event.customer]
    if created_at is None:
        return EventRejected("subject", event.customer, "no such customer; create it first or correct the subject")
    if event.time < created_at:
        return EventRejected("time", event.time, f"the customer's account exists since {created_at}; check the clock")
    if event.time > clock.latest:
        remedy = f"more than {MAX_AHEAD_S} s ahead of {clock.now}; check the sender's clock"
        return EventRejected("time", event.time, remedy)
    return incoming


def _store(customer: str, events: list[_Placed], work: _Work) -> int:
    """Store one customer's events and write their results; answers how many of the accepted ones are parked."""
    outcomes = work.stores.recorder.record(customer, [placed.incoming for placed in events], work.now)
    accepted: list[UsageEvent] = []
    places: list[int] = []
    for (position, item), outcome in zip(events, outcomes, strict=True):
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
    try:
        prices = work.stores.cache.unpriced(work.stores.catalogue, accepted)
    except (TransientError, NotFound, BillingError) as error:
        # The events are stored; the counters' watch looks for their prices again and alerts.
        logger().warning("prices not read", extra={"error": type(error).__name__, "customer": customer})
        for position in places:
            work.results[position]["detail"] = _PRICES_NOT_READ
        return 0
    parked = 0
    for position, unpriced in zip(places, prices, strict=True):
        if unpriced is not None:
            work.results[position]["parked"] = {"reason": unpriced.code, "detail": unpriced.detail}
            parked += 1
    return parked


_CONFLICT = (
    "an event with this source and id is stored with other content; nothing was changed. "
    "Send a new event under an id of its own."
)
_PRICES_NOT_READ = "stored; whether it has a price could not be looked up just now, the usage view says so"


def _rejected(position: int, name: Mapping[str, Any], rejection: EventRejected) -> dict[str, Any]:
    return {
        "index": position,
        **name,
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
    cache = cache_of(clients.dynamodb(), runtime.setting("CATALOGUE_TABLE"))
    return ingest_usage(
        body_of(event),
        event.get("headers") or {},
        caller.bound_customer,
        stores=Stores(stores.recorder(), stores.catalogue(), cache),
        now=runtime.now(),
    )


handler = http_entry(_handle)
