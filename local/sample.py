"""The sample month of `make run`: five customers, each on a plan of another model, and every way an event can end.

Plans and rates are the files in `local/plans`. The rest is computed, so two runs send the same bytes. Times are in
October 2026.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lambdas.billing.plans import read_plan

PLANS = Path(__file__).parent / "plans"
_OTHER_CARDS = {"cost_card": "costs", "fx_card": "fx"}
"""What a contract names beside its rate card, where there is such a file."""
PERIOD = "2026-10"
FIRST_DAY = "2026-10-01"
EVENTS_PER_CUSTOMER = 900
ENTITY = {
    "id": "billproof-demo",
    "name": "Demo Models Inc.",
    "address": "1 Example Street, Springfield",
    "country": "US",
    "invoice_prefix": "DEMO",
}


class Account(NamedTuple):
    """A customer, the model that its plan is made from, and the terms that its contract has beside the plan."""

    id: str
    name: str
    model: str
    terms: Mapping[str, Any] = MappingProxyType({})

    @property
    def customer(self) -> dict[str, str]:
        return {"id": self.id, "name": self.name}


ACME = Account("acme", "Acme Robotics", "pure_token")
ACCOUNTS = (
    ACME,
    Account("globex", "Globex GmbH", "base_included"),
    Account("hooli", "Hooli Agents", "hybrid"),
    Account("initech", "Initech Ltd", "blended_unit", {"commitment": {"amount": "20.00", "counting": "period"}}),
    Account(
        "umbrella",
        "Umbrella Labs",
        "prepaid_credits",
        {"split_by": "environment", "discounts": [{"id": "launch", "percent": "0.10"}]},
    ),
)


class SampleEvent(NamedTuple):
    customer: str
    event: dict[str, Any]


def plan(model: str) -> dict[str, Any]:
    """The sample plan of a model, as published."""
    document: dict[str, Any] = json.loads((PLANS / f"{model}.plan.json").read_text("utf-8"))
    return document


def card(model: str, kind: str = "rates") -> str:
    """The name of a card: that of the plan, for its prices; with `-costs` or `-fx` for the others."""
    return str(plan(model)["id"]) + ("" if kind == "rates" else f"-{kind}")


def versions(model: str, kind: str = "rates") -> list[dict[str, Any]]:
    """All versions of a card, first to last; none where the model has no such card."""
    path = PLANS / f"{model}.{kind}.json"
    documents: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return documents


def first_price() -> dict[str, Any]:
    """The last version of acme's card. It is published after usage of the model arrived: a first price may be
    back-dated, and releases what was parked."""
    return versions(ACME.model)[-1]


def published_before() -> Iterator[tuple[str, dict[str, Any]]]:
    """Card and version of everything that is published before there is usage."""
    for account in ACCOUNTS:
        for kind in ("rates", *_OTHER_CARDS.values()):
            for version in versions(account.model, kind):
                if account != ACME or version != first_price():
                    yield card(account.model, kind), version


def contract(account: Account, first_day: str = FIRST_DAY) -> dict[str, Any]:
    """Contract version 1 of an account. Posture and bearer of volatility are the plan's."""
    agreed = plan(account.model)
    return {
        "customer": account.id,
        "version": 1,
        "effective_from": first_day,
        "entity": ENTITY["id"],
        "currency": "USD",
        "plan": agreed["id"],
        "plan_version": agreed["version"],
        "rate_card": card(account.model),
        "usage_basis": "provider_reported",
        "late_usage": "hold",
        "parked_usage": "block",
        "volatility_bearer": agreed["volatility_bearer"],
        "posture": agreed["posture"],
        "tax": {"category": "O", "rate": "0"},
        **{name: card(account.model, kind) for name, kind in _OTHER_CARDS.items() if versions(account.model, kind)},
        **account.terms,
    }


def is_prepaid(account: Account) -> bool:
    return read_plan(plan(account.model)).funding == "prepaid"


def usage_events() -> Iterator[SampleEvent]:
    """The month's good events, in order of time for each customer."""
    for account in ACCOUNTS:
        for number in range(EVENTS_PER_CUSTOMER):
            yield SampleEvent(account.id, _event(account, number))


def troubled_events() -> Iterator[SampleEvent]:
    """One of each: sent twice, sent again changed, unreadable, with a prompt, and of a model that has no price yet."""
    again = _event(ACME, 7)
    yield SampleEvent(ACME.id, again)
    changed = _event(ACME, 8)
    changed["data"]["quantities"]["output"] += 1
    yield SampleEvent(ACME.id, changed)
    unreadable = _event(ACME, EVENTS_PER_CUSTOMER)
    unreadable["data"]["quantities"]["input"] = -5
    yield SampleEvent(ACME.id, unreadable)
    prompt = _event(ACME, EVENTS_PER_CUSTOMER + 1)
    prompt["data"]["prompt"] = "Tell me a story"
    yield SampleEvent(ACME.id, prompt)
    unpriced = _event(ACME, EVENTS_PER_CUSTOMER + 2)
    unpriced["data"] |= {"provider": "mistral", "model": "mistral-large", "quantities": {"input": 5200, "output": 610}}
    yield SampleEvent(ACME.id, unpriced)


def _event(account: Account, number: int) -> dict[str, Any]:
    draw = hashlib.sha256(f"{account.id}/{number}".encode()).digest()
    second = number * (31 * 86_400 - 60) // (EVENTS_PER_CUSTOMER + 10)
    day, rest = divmod(second, 86_400)
    hour, rest = divmod(rest, 3_600)
    return {
        "specversion": "1.0",
        "id": f"req-{number:06d}",
        "source": "/gateway/eu-1",
        "type": "llm.usage.v1",
        "subject": account.id,
        "time": f"{PERIOD}-{day + 1:02d}T{hour:02d}:{rest // 60:02d}:{rest % 60:02d}.{draw[0]:03d}Z",
        "data": {
            **_REQUESTS[account.model](draw),
            "attributes": {"environment": "production" if draw[7] % 4 else "staging"},
        },
    }


def _two_models(draw: bytes) -> dict[str, Any]:
    """Every third request is for claude-sonnet, which writes its cache and does not reason."""
    if draw[1] % 3:
        return _gpt_4o(draw)
    quantities = _cached(draw)
    if draw[5] % 4 == 0:
        quantities["cache_write_5m"] = draw[5] * 25
    return {"provider": "anthropic", "model": "claude-sonnet", "quantities": quantities}


def _gpt_4o(draw: bytes) -> dict[str, Any]:
    quantities = _cached(draw)
    if draw[6] % 5 == 0:
        quantities["reasoning"] = draw[6] * 12
    return {"provider": "openai", "model": "gpt-4o", "quantities": quantities}


def _agent(draw: bytes) -> dict[str, Any]:
    """A call with its computing time; every fourth one searches the web."""
    quantities = {**_tokens(draw), "call": 1, "compute_second": draw[5] % 60}
    if draw[6] % 4 == 0:
        quantities["tool_call:web_search"] = 1 + draw[6] % 3
    return {"provider": "google", "model": "gemini-2.5-pro", "quantities": quantities}


def _often_batch(draw: bytes) -> dict[str, Any]:
    """Every third request is of the batch tier."""
    tier = {} if draw[1] % 3 else {"service_tier": "batch"}
    return {"provider": "openai", "model": "gpt-4o", "quantities": _tokens(draw), **tier}


def _tokens(draw: bytes) -> dict[str, int]:
    return {"input": 200 + draw[2] * 17, "output": 20 + draw[3] * 5}


def _cached(draw: bytes) -> dict[str, int]:
    return _tokens(draw) | ({"cached_input": draw[4] * 40} if draw[4] % 2 else {})


_REQUESTS: Mapping[str, Callable[[bytes], dict[str, Any]]] = {
    "pure_token": _two_models,
    "base_included": _gpt_4o,
    "hybrid": _agent,
    "blended_unit": _gpt_4o,
    "prepaid_credits": _often_batch,
}
