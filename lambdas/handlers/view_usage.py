"""GET /v1/customers/{id}/usage: accepted usage by day, model and class, current when the ingest answer has left."""

from __future__ import annotations

from datetime import date
from typing import Any

from lambdas.billing.classes import TIERS, class_of, class_order
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.rating import split_class_key
from lambdas.billing.times import day_start, month_period
from lambdas.handlers import runtime, stores
from lambdas.handlers.entry import http_entry
from lambdas.handlers.pricing_cache import Tariff, load_tariff
from lambdas.handlers.problems import Response
from lambdas.handlers.requests import caller_of, path_parameter, query_parameter
from lambdas.store.usage_items import NO_COUNTERS, DayCounters, merge_counters, model_key

MAX_DAYS = 366


def view_usage(
    customer: str, first_day: str, last_day: str, *, days: dict[str, DayCounters], tariff: Tariff, now: str
) -> dict[str, Any]:
    """The view of both days and all between. `unpriced` names classes that would be parked if rated now."""
    total = NO_COUNTERS
    for counted in days.values():
        total = merge_counters(total, counted)
    return {
        "customer": customer,
        "from": first_day,
        "to": last_day,
        "as_of": now,
        "events": total.events,
        "models": _models(total),
        "days": [
            {
                "day": day,
                "events": counted.events,
                "models": _models(counted),
                "unpriced": _unpriced(customer, day, counted, tariff),
            }
            for day, counted in sorted(days.items())
        ],
    }


def _models(counted: DayCounters) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, int], dict[str, int]] = {}
    for key, quantity in counted.quantities.items():
        provider, model, token_class, tier = split_class_key(key)
        found.setdefault((provider, model, TIERS.index(tier)), {})[token_class] = quantity
    return [
        {
            "provider": provider,
            "model": model,
            "service_tier": TIERS[tier],
            "events": counted.model_events.get(model_key(provider, model, TIERS[tier]), 0),
            "quantities": dict(sorted(classes.items(), key=lambda item: class_order(item[0]))),
            "tokens": sum(quantity for name, quantity in classes.items() if _is_token(name)),
        }
        for (provider, model, tier), classes in sorted(found.items())
    ]


def _is_token(name: str) -> bool:
    token_class = class_of(name)
    return token_class is not None and token_class.unit == "token"


def _unpriced(customer: str, day: str, counted: DayCounters, tariff: Tariff) -> list[dict[str, str]]:
    found = []
    for key, quantity in sorted(counted.quantities.items()):
        reason = tariff.unpriced_class(customer, day, key) if quantity else None
        if reason is not None:
            found.append({"class": key, "reason": reason.code, "detail": reason.detail})
    return found


def _days_asked(event: dict[str, Any], now: str) -> tuple[str, str]:
    """`?period=2026-11`, or `?from=2026-11-01&to=2026-11-16` (both included), or the present month."""
    first, last, period = (query_parameter(event, name) for name in ("from", "to", "period"))
    if first is None and last is None:
        days = month_period(now[:7] if period is None else period).days()
        return days[0], days[-1]
    if period is not None:
        raise DocumentRefused("period", period, "give both from and to, or period, or none")
    if first is None or last is None:
        raise DocumentRefused("from" if first is None else "to", None, "give both from and to, or period, or none")
    day_start(first, "from")
    day_start(last, "to")
    span = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
    if not 0 < span <= MAX_DAYS:
        raise DocumentRefused("to", last, f"from {first}, a view has 1 to {MAX_DAYS} days; ask for less at once")
    return first, last


def _handle(event: dict[str, Any]) -> Response:
    caller = caller_of(event)
    customer = path_parameter(event, "id")
    caller.require("customer", "finance", "operator")
    caller.require_customer(customer)
    now = runtime.now()
    first_day, last_day = _days_asked(event, now)
    catalogue = stores.catalogue()
    catalogue.customer(customer)
    days = stores.usage().day_counters(customer, first_day, last_day)
    tariff = load_tariff(catalogue, customer)
    return Response(200, view_usage(customer, first_day, last_day, days=days, tariff=tariff, now=now))


handler = http_entry(_handle)
