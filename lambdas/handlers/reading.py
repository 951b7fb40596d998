"""From an HTTP request to events: the three CloudEvents modes and the limits of a request (R4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from lambdas.billing.canonical import canonical_json
from lambdas.billing.errors import EventRejected
from lambdas.billing.strict_json import decode_text, parse, split_array
from lambdas.billing.usage import UsageEvent, from_binary_mode, read_event
from lambdas.store.usage_items import Incoming

MAX_EVENTS = 500
MAX_REQUEST_BYTES = 1_000_000
MAX_EVENT_BYTES = 64 * 1024
_BATCH = "application/cloudevents-batch+json"
_STRUCTURED = "application/cloudevents+json"


class TooLarge(Exception):
    """A request over a limit: nothing of it is read."""


class UnsupportedMode(Exception):
    """A content type that is none of the three CloudEvents modes."""


class Read(NamedTuple):
    """One event of a request: checked, or why it is rejected. `name` is what could be read of its identity."""

    found: Incoming | EventRejected
    name: dict[str, Any]


class Reading(NamedTuple):
    events: list[Read]
    batch: bool


def read_request(body: bytes, headers: Mapping[str, str], key_customer: str | None) -> Reading:
    """The events of a request, in order. One bad event is one rejection; its neighbours are read.

    Raises TooLarge, UnsupportedMode, or EventRejected where the body as a whole is not UTF-8 JSON.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise TooLarge(f"the body has {len(body)} bytes; send at most {MAX_REQUEST_BYTES} in one request")
    content_type = headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type == _BATCH:
        elements = split_array(decode_text(body))
        if len(elements) > MAX_EVENTS:
            raise TooLarge(f"the batch has {len(elements)} events; send at most {MAX_EVENTS} in one request")
        return Reading([_read(raw, value, key_customer) for raw, value in elements], batch=True)
    if content_type == _STRUCTURED:
        text = decode_text(body)
        return Reading([_read(text, parse(text), key_customer)], batch=False)
    if "ce-specversion" in headers or "ce-id" in headers:
        return Reading([_read_binary(decode_text(body), headers, key_customer)], batch=False)
    raise UnsupportedMode(
        f"send {_STRUCTURED} (one event), {_BATCH} (a JSON array of events), or application/json with ce-* headers"
    )


def _read(raw: str, value: Any, key_customer: str | None) -> Read:
    name = _name(value)
    encoded = raw.encode("utf-8", "surrogatepass")
    if len(encoded) > MAX_EVENT_BYTES:
        rejection = EventRejected("event", f"{len(encoded)} bytes", f"an event has at most {MAX_EVENT_BYTES} bytes")
        return Read(rejection, name)
    try:
        event: UsageEvent = read_event(value, key_customer)
    except EventRejected as rejection:
        return Read(rejection, name)
    return Read(Incoming(event, raw, hashlib.sha256(encoded).hexdigest()), name)


def _read_binary(text: str, headers: Mapping[str, str], key_customer: str | None) -> Read:
    kept = {name: value for name, value in headers.items() if name.startswith("ce-") or name == "content-type"}
    raw = canonical_json({"headers": kept, "body": text})
    try:
        value = from_binary_mode(kept, parse(text))
    except EventRejected as rejection:
        return Read(rejection, _name({"id": headers.get("ce-id"), "source": headers.get("ce-source")}))
    return _read(raw, value, key_customer)


def _name(value: Any) -> dict[str, Any]:
    """What a sender needs to find the event again; cut to a bound, whatever was sent."""
    if not isinstance(value, dict):
        return {}
    found = {field: value.get(field) for field in ("id", "source")}
    return {field: text[:256] for field, text in found.items() if isinstance(text, str) and text.isprintable()}
