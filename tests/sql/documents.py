"""Documents of random agreements: contracts, plans of listed charges, rate cards with seeded prices."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tests.sql.random_usage import MODELS

TOKENS = ("input", "cached_input", "cache_write_5m", "output", "reasoning")
GATES = ("call", "tool_call:web_search", "tool_call:run.code-2", "compute_second", "cache_storage_token_hour")
CLASSES = (*TOKENS, *GATES)
METERS = ("input", "output", "calls", "tool_calls", "compute_seconds", "cache_storage")
CLASSES_OF = {
    "input": TOKENS[:3], "output": TOKENS[3:], "calls": GATES[:1], "tool_calls": GATES[1:3],
    "compute_seconds": GATES[3:4], "cache_storage": GATES[4:],
}  # fmt: skip
USED_OF = {
    "input": 4000, "output": 3000, "calls": 1, "tool_calls": 1, "compute_seconds": 20, "cache_storage": 2000
}  # fmt: skip
"""About how many units of a meter there are for each event: what makes tiers and included units matter."""
SOLD_TIERS = ("standard", "batch", "priority")
"""Service tiers that have prices; usage of others is parked."""

Document = dict[str, Any]


class Agreed(NamedTuple):
    """What one account has agreed for one month, and how much it uses. `edges` are days at which something changes.

    `listed` has plans of listed charges in place of those that name a template: what the template is known to mean.
    """

    name: str
    contracts: Sequence[Document]
    plans: Mapping[str, Document]
    rates: Mapping[str, Document]
    month: str = "2026-11"
    start: str = "2026-11-01"
    stop: str = "2026-12-01"
    edges: Sequence[str] = ("2026-11-16",)
    carried: Mapping[str, Any] | None = None
    listed: Mapping[str, Document] | None = None
    events: int = 8_000
    largest: bool = False
    shows: Sequence[str] = ()
    """What must be found in its charges and lines, so that agreeing about them means something."""


def contract(version: int = 1, since: str = "2026-11-03", plan: str = "plan@1", **terms: Any) -> Document:
    name, _, plan_version = plan.partition("@")
    return {
        "customer": "acme", "version": version, "effective_from": since, "entity": "billproof-us", "currency": "USD",
        "plan": name, "plan_version": int(plan_version), "rate_card": "std", "usage_basis": "provider_reported",
        "late_usage": "hold", "parked_usage": "exclude", "volatility_bearer": "customer", "posture": "variable",
        "tax": {"category": "S", "rate": "0.19"}, **terms,
    }  # fmt: skip


def plan(*charges: Document, name: str = "plan@1", model: str = "custom", **members: Any) -> dict[str, Document]:
    """A plan by its name. Without `model`, a plan of these charges."""
    plan_id, _, version = name.partition("@")
    document = {
        "id": plan_id, "version": int(version), "name": "Plan", "model": model, "posture": "variable",
        "volatility_bearer": "customer", **members,
    }  # fmt: skip
    if model == "custom":
        meter = next(entry["meter"] for entry in charges if "meter" in entry)
        document |= {"charges": list(charges), "primary_meter": members.get("primary_meter", meter)}
    return {name: document}


def charge(meter: str, kind: str = "per_unit", charge_id: str | None = None, **more: Any) -> Document:
    return {"id": charge_id or meter, "meter": meter, "kind": kind, **more}


def flat(charge_id: str, timing: str) -> Document:
    return {"id": charge_id, "kind": "flat", "timing": timing}


def others(*meters: str, prices: str = "charge") -> list[Document]:
    """A charge per unit for every meter that is not named."""
    return [charge(meter, prices=prices) for meter in METERS if meter not in meters]


def card(version: int, since: str, rates: Sequence[Document], name: str = "std", **more: Any) -> dict[str, Document]:
    document = {"version": version, "currency": "USD", "effective_from": since, **more}
    return {f"{name}@{version}": document | ({"rates": list(rates)} if rates else {})}


class Prices:
    """Seeded prices. Every price has few decimals, as a price list has."""

    def __init__(self, seed: str) -> None:
        self.draw = random.Random(seed)
        self.blocks: dict[str, int] = {}
        """Block size of each meter that is sold in blocks: a charge keeps it within a period."""

    def text(self, most: int = 4000) -> str:
        cents = self.draw.randrange(1, most)
        return f"{cents // 100}.{cents % 100:02d}"

    def per(self) -> int:
        return self.draw.choice((1_000, 1_000_000))

    def priced(self, meter: str, kind: str, events: int) -> Document:
        """Price of a meter, or tiers that so many events reach."""
        used = USED_OF[meter] * events
        if kind in ("graduated", "volume"):
            most = 2 * used if kind == "volume" else used
            bounds = sorted({self.draw.randrange(1, most + 1) for _ in range(self.draw.randrange(1, 5))})
            return {"per": 1_000, "tiers": [{"up_to": b, "price": self.text()} for b in (*bounds, None)]}
        if kind == "package":
            drawn = self.draw.choice((1_000, 1_000_000) if used > 100_000 else (1, 1_000))
            return {"per": self.blocks.setdefault(meter, drawn), "price": self.text()}
        return {"per": self.per() if USED_OF[meter] > 1 else 1, "price": self.text()}

    def of_classes(
        self, meters: Mapping[str, str], events: int, *, models: Sequence[str] = MODELS,
        service_tiers: Sequence[str] = SOLD_TIERS, **more: Any,
    ) -> list[Document]:  # fmt: skip
        """A rate for each class of each model and service tier; `meters` gives the kind of each meter."""
        return [
            {"class": name, "service_tier": tier, **_model(model), **self.priced(meter, kind, events), **more}
            for meter, kind in meters.items()
            for name in CLASSES_OF[meter]
            for model in models
            for tier in service_tiers
        ]  # fmt: skip

    def of_charges(
        self, charges: Mapping[str, tuple[str, str]], events: int, *, service_tiers: Sequence[str] = SOLD_TIERS,
        **more: Any,
    ) -> list[Document]:  # fmt: skip
        """A rate for each charge and service tier; `charges` gives meter and kind of each charge by its id."""
        return [
            {"charge": charge_id, "service_tier": tier, **self.priced(meter, kind, events), **more}
            for charge_id, (meter, kind) in charges.items()
            for tier in service_tiers
        ]


def of_meters(*meters: str, kind: str = "per_unit") -> dict[str, tuple[str, str]]:
    """Charges that are called as their meters."""
    return {meter: (meter, kind) for meter in meters}


def fee(charge_id: str, price: str) -> Document:
    return {"charge": charge_id, "per": 1, "price": price}


def _model(model: str) -> Document:
    provider, _, name = model.partition("/")
    return {"provider": provider, "model": name}
