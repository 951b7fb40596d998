"""The sample month of `make run`: three customers on two plans, a rate change, and every way an event can end.

All of it is computed, so two runs send the same bytes. Times are in October 2026.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

PERIOD = "2026-10"
ENTITY = {
    "id": "billproof-demo",
    "name": "Demo Models Inc.",
    "address": "1 Example Street, Springfield",
    "country": "US",
    "invoice_prefix": "DEMO",
}
CUSTOMERS = (
    {"id": "acme", "name": "Acme Robotics"},
    {"id": "globex", "name": "Globex GmbH"},
    {"id": "initech", "name": "Initech Ltd"},
)
PLAN = {
    "id": "pay-as-you-go",
    "version": 1,
    "name": "Pay as you go",
    "model": "pure_token",
    "posture": "variable",
    "volatility_bearer": "customer",
}
TEAM_PLAN = {
    "id": "team",
    "version": 1,
    "name": "Team: included usage, graduated overage",
    "model": "custom",
    "posture": "variable",
    "volatility_bearer": "customer",
    "primary_meter": "output",
    "charges": [
        {"id": "input", "meter": "input", "kind": "graduated", "prices": "charge", "included": 2_000_000},
        {"id": "output", "meter": "output", "kind": "per_unit", "prices": "charge", "included": 500_000},
    ],
}
TEAM_CARD = "team"
TEAM_PRICES = {
    "version": 1,
    "currency": "USD",
    "effective_from": "2026-10-01",
    "rates": [
        {
            "charge": "input",
            "per": 1_000_000,
            "tiers": [{"up_to": 1_000_000, "price": "3.00"}, {"up_to": None, "price": "2.40"}],
        },
        {"charge": "output", "per": 1_000_000, "price": "12.00"},
    ],
}
CARD = "standard"
_PRICES = {
    ("openai", "gpt-4o"): {"input": "2.50", "cached_input": "1.25", "output": "10.00", "reasoning": "10.00"},
    ("anthropic", "claude-sonnet"): {
        "input": "3.00", "cached_input": "0.30", "cache_write_5m": "3.75", "output": "15.00",
    },
}  # fmt: skip
RATE_CARDS = (
    {
        "version": 1,
        "currency": "USD",
        "effective_from": "2026-10-01",
        "rates": [
            {"provider": provider, "model": model, "class": name, "price": price, "per": 1_000_000}
            for (provider, model), prices in _PRICES.items()
            for name, price in prices.items()
        ],
    },
    {
        "version": 2,
        "currency": "USD",
        "effective_from": "2026-10-16",
        "rates": [
            {"provider": "openai", "model": "gpt-4o", "class": "input", "price": "2.00", "per": 1_000_000},
            {"provider": "openai", "model": "gpt-4o", "class": "output", "price": "8.00", "per": 1_000_000},
        ],
    },
)
FIRST_PRICE = {
    "version": 3,
    "currency": "USD",
    "effective_from": "2026-10-01",
    "rates": [
        {"provider": "mistral", "model": "mistral-large", "class": name, "price": price, "per": 1_000_000}
        for name, price in (("input", "2.00"), ("output", "6.00"))
    ],
}
"""Published after usage of the model arrived: a first price may be back-dated and releases what was parked."""

EVENTS_PER_CUSTOMER = 1_500


class SampleEvent(NamedTuple):
    customer: str
    event: dict[str, Any]


def contract(customer: str) -> dict[str, Any]:
    """Contract version 1 of a sample customer; `initech` has the team plan."""
    team = customer == "initech"
    return {
        "customer": customer,
        "version": 1,
        "effective_from": "2026-10-01",
        "entity": ENTITY["id"],
        "currency": "USD",
        "plan": TEAM_PLAN["id"] if team else PLAN["id"],
        "plan_version": 1,
        "rate_card": TEAM_CARD if team else CARD,
        "usage_basis": "provider_reported",
        "late_usage": "hold",
        "parked_usage": "block",
        "volatility_bearer": "customer",
        "posture": "variable",
        "tax": {"category": "O", "rate": "0"},
    }


def usage_events() -> Iterator[SampleEvent]:
    """The month's good events, in order of time for each customer."""
    for customer in CUSTOMERS:
        for number in range(EVENTS_PER_CUSTOMER):
            yield SampleEvent(customer["id"], _event(customer["id"], number))


def troubled_events() -> Iterator[SampleEvent]:
    """One of each: sent twice, sent again changed, unreadable, and of a model that has no price yet."""
    again = _event("acme", 7)
    yield SampleEvent("acme", again)
    changed = _event("acme", 8)
    changed["data"]["quantities"]["output"] += 1
    yield SampleEvent("acme", changed)
    unreadable = _event("acme", EVENTS_PER_CUSTOMER)
    unreadable["data"]["quantities"]["input"] = -5
    yield SampleEvent("acme", unreadable)
    prompt = _event("acme", EVENTS_PER_CUSTOMER + 1)
    prompt["data"]["prompt"] = "Tell me a story"
    yield SampleEvent("acme", prompt)
    unpriced = _event("globex", EVENTS_PER_CUSTOMER)
    unpriced["data"] |= {"provider": "mistral", "model": "mistral-large", "quantities": {"input": 5200, "output": 610}}
    yield SampleEvent("globex", unpriced)


def _event(customer: str, number: int) -> dict[str, Any]:
    draw = hashlib.sha256(f"{customer}/{number}".encode()).digest()
    second = number * (31 * 86_400 - 60) // (EVENTS_PER_CUSTOMER + 10)
    day, rest = divmod(second, 86_400)
    hour, rest = divmod(rest, 3_600)
    time = f"2026-10-{day + 1:02d}T{hour:02d}:{rest // 60:02d}:{rest % 60:02d}.{draw[0]:03d}Z"
    sonnet = customer == "globex" and draw[1] % 3 == 0
    quantities = {"input": 200 + draw[2] * 17, "output": 20 + draw[3] * 5}
    if draw[4] % 2:
        quantities["cached_input"] = draw[4] * 40
    if sonnet and draw[5] % 4 == 0:
        quantities["cache_write_5m"] = draw[5] * 25
    if not sonnet and draw[6] % 5 == 0:
        quantities["reasoning"] = draw[6] * 12
    return {
        "specversion": "1.0",
        "id": f"req-{number:06d}",
        "source": "/gateway/eu-1",
        "type": "llm.usage.v1",
        "subject": customer,
        "time": time,
        "data": {
            "provider": "anthropic" if sonnet else "openai",
            "model": "claude-sonnet" if sonnet else "gpt-4o",
            "quantities": quantities,
            "attributes": {"environment": "production" if draw[7] % 4 else "staging"},
        },
    }
