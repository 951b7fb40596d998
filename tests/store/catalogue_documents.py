"""Documents for catalogue tests, each complete; a test changes the one member it is about."""

from __future__ import annotations

from typing import Any

ENTITY = {"id": "bp-us", "name": "Billproof Inc.", "address": "1 Main St", "country": "US", "invoice_prefix": "BP"}
CUSTOMER = {"id": "acme", "name": "Acme Corp."}
PLAN = {
    "id": "pure",
    "version": 1,
    "name": "Pure token",
    "model": "pure_token",
    "posture": "variable",
    "volatility_bearer": "customer",
}
CONTRACT = {
    "customer": "acme",
    "version": 1,
    "effective_from": "2026-10-15",
    "entity": "bp-us",
    "currency": "USD",
    "plan": "pure",
    "plan_version": 1,
    "rate_card": "std",
    "usage_basis": "provider_reported",
    "late_usage": "hold",
    "parked_usage": "block",
    "volatility_bearer": "customer",
    "posture": "variable",
    "tax": {"category": "S", "rate": "0.19"},
}


def rate(token_class: str, price: Any, *, model: str = "gpt-4o") -> dict[str, Any]:
    return {"provider": "openai", "model": model, "class": token_class, "price": price, "per": 1_000_000}


def card(version: int, effective_from: str, *rates: dict[str, Any], currency: str = "USD") -> dict[str, Any]:
    return {"version": version, "currency": currency, "effective_from": effective_from, "rates": list(rates)}


STANDARD = card(1, "2026-10-01", rate("input", "2.50"), rate("output", "10.00"))
