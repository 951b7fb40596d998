"""The usage that is measured: a gateway's events, the catalogue that prices them, and requests as API Gateway hands
them over. All of it is computed, so two runs measure the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

CUSTOMER = "acme-robotics"
PERIOD = "2026-11"
RUN_ID = "bench.2026-11.final"
CREATED = "2026-09-01T00:00:00.000000Z"
SOURCE = "//gateway.example.com/eu-1"

ENTITY = {
    "id": "bench",
    "name": "Bench Models Inc.",
    "address": "1 Example Street",
    "country": "US",
    "invoice_prefix": "BN",
}
CUSTOMER_DOCUMENT = {"id": CUSTOMER, "name": "Acme Robotics"}
PLAN = {
    "id": "tokens",
    "version": 1,
    "name": "Pure tokens",
    "model": "pure_token",
    "posture": "variable",
    "volatility_bearer": "customer",
}
CLASSES = ("input", "cached_input", "cache_write", "output", "reasoning")
MODELS = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
)
"""What the events name, in turn."""

MANY_MODELS = (
    *MODELS,
    ("openai", "gpt-5"),
    ("openai", "gpt-5-mini"),
    ("openai", "o4-mini"),
    ("anthropic", "claude-opus-4-1"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash"),
    ("mistral", "mistral-large-latest"),
    ("meta", "llama-4-maverick-instruct"),
)
"""What a customer with many models has in its counters at the end of a month."""

_PRICES = {"input": "2.50", "cached_input": "1.25", "cache_write": "3.75", "output": "10.00", "reasoning": "10.00"}
RATES = {
    "list@1": {
        "version": 1,
        "currency": "USD",
        "effective_from": "2026-10-01",
        "rates": [
            {"provider": provider, "model": model, "class": name, "price": _PRICES[name], "per": 1_000_000}
            for provider, model in MANY_MODELS
            for name in CLASSES
        ],
    },
    "list@2": {
        "version": 2,
        "currency": "USD",
        "effective_from": "2026-11-16",
        "rates": [
            {"provider": "openai", "model": "gpt-4o", "class": "output", "price": "8.00", "per": 1_000_000},
        ],
    },
}
CONTRACT = {
    "customer": CUSTOMER,
    "version": 1,
    "effective_from": "2026-10-01",
    "entity": ENTITY["id"],
    "currency": "USD",
    "plan": PLAN["id"],
    "plan_version": PLAN["version"],
    "rate_card": "list",
    "usage_basis": "provider_reported",
    "late_usage": "hold",
    "parked_usage": "block",
    "volatility_bearer": "customer",
    "posture": "variable",
    "tax": {"category": "S", "rate": "0.19"},
}


class Terms(NamedTuple):
    """What prices a month, as frozen: one contract version, plans by `plan@version`, rates by `card@version`."""

    contract: Mapping[str, Any]
    plans: Mapping[str, Any]
    rates: Mapping[str, Any]


TERMS = Terms(CONTRACT, {"tokens@1": PLAN}, RATES)


def usage_event(number: int, time: str) -> dict[str, Any]:
    """Event `number` as a gateway sends it: two to five classes, one attribute."""
    draw = hashlib.sha256(str(number).encode()).digest()
    provider, model = MODELS[draw[0] % len(MODELS)]
    quantities = {"input": 200 + draw[1] * 17, "output": 20 + draw[2] * 5}
    if draw[3] % 2:
        quantities["cached_input"] = draw[3] * 40
    if provider == "anthropic" and draw[4] % 4 == 0:
        quantities["cache_write"] = draw[4] * 25
    if model == "gpt-4o" and draw[5] % 4 == 0:
        quantities["reasoning"] = draw[5] * 12
    return {
        "specversion": "1.0",
        "type": "llm.usage.v1",
        "id": f"req_{draw[:12].hex()}",
        "source": SOURCE,
        "subject": CUSTOMER,
        "time": time,
        "datacontenttype": "application/json",
        "data": {
            "provider": provider,
            "model": model,
            "quantities": quantities,
            "attributes": {"environment": "production" if draw[6] % 4 else "staging"},
        },
    }


def events_of_an_hour(first: int, count: int, hour: str = "2026-11-20T14") -> list[dict[str, Any]]:
    """`count` events of one hour (`YYYY-MM-DDTHH`), numbered from `first`."""
    return [
        usage_event(n, f"{hour}:{n // 60 % 60:02d}:{n % 60:02d}.{n % 1_000_000:06d}Z")
        for n in range(first, first + count)
    ]


def month_of_counters(models: Sequence[tuple[str, str]], classes: Sequence[str]) -> list[dict[str, Any]]:
    """One event per model whose quantities are of the size that a month adds up to: the counters then have the
    attributes and the digits that they have at the month's end."""
    events = []
    for n, (provider, model) in enumerate(models):
        event = usage_event(10_000_000 + n, "2026-11-20T13:00:00.000000Z")
        quantities = dict.fromkeys(classes, 4_123_456_789 + n)
        event["data"] = {"provider": provider, "model": model, "quantities": quantities}
        events.append(event)
    return events


def body(events: Sequence[dict[str, Any]]) -> bytes:
    """A batch as a gateway sends it."""
    return json.dumps(events, separators=(",", ":")).encode()


def ingest_request(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """POST /v1/usage as API Gateway hands it to the function: headers in lower case, the body of a type it does not
    know as text in base64."""
    content = body(events)
    return {
        "version": "2.0",
        "routeKey": "POST /v1/usage",
        "rawPath": "/v1/usage",
        "headers": {"content-type": "application/cloudevents-batch+json", "content-length": str(len(content))},
        "requestContext": {
            "requestId": "JKJaXmPLvHcESHA=",
            "http": {"method": "POST", "path": "/v1/usage"},
            "authorizer": {"lambda": {"key_id": "0f1e2d3c4b5a", "customer": CUSTOMER, "scopes": "ingest customer"}},
        },
        "body": base64.b64encode(content).decode(),
        "isBase64Encoded": True,
    }
