"""The counters' stream: from the level of a counter to alerts, each crossing once (D5). So far: parked usage (R5)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lambdas.billing.rating import split_class_key
from lambdas.handlers import runtime, stores
from lambdas.handlers.entry import count, task_entry
from lambdas.handlers.pricing_cache import Tariff, load_tariff
from lambdas.store.catalogue import Catalogue
from lambdas.store.outbox import Alert, Outbox
from lambdas.store.usage_items import NO_COUNTERS, DayCounters, add_counters

PARKED = "usage.parked"


def watch_limits(images: Iterable[Mapping[str, Any]], *, catalogue: Catalogue, outbox: Outbox, now: str) -> int:
    """Record and deliver the alerts that these counter items call for; answers how many were delivered.

    Works on levels: the same image, an older one, or one delivered twice leads to the same recorded alerts. An alert
    of parked usage is one per customer, month, model, class and service tier, at the first price that is missing.
    """
    delivered = 0
    tariffs: dict[str, Tariff] = {}
    for image in images:
        pk, sk = image["pk"]["S"], image["sk"]["S"]
        if not sk.startswith("D#"):
            continue
        customer = pk[2:]
        if customer not in tariffs:
            tariffs[customer] = load_tariff(catalogue, customer)
        for alert in parked_alerts(customer, sk[2:12], add_counters(NO_COUNTERS, image), tariffs[customer]):
            if outbox.record(alert, now):
                outbox.deliver(alert.id, now)
                delivered += 1
    return delivered


def parked_alerts(customer: str, day: str, counted: DayCounters, tariff: Tariff) -> Iterator[Alert]:
    """One alert for each class of the day's usage that has no price now."""
    for key, quantity in sorted(counted.quantities.items()):
        if not quantity:
            continue
        reason = tariff.unpriced_class(customer, day, key)
        if reason is not None:
            named = split_class_key(key)
            identity = f"{PARKED}|{customer}|{day[:7]}|{key}"
            detail = {
                "customer": customer,
                "period": day[:7],
                "first_day": day,
                "provider": named.provider,
                "model": named.model,
                "class": named.token_class,
                "service_tier": named.service_tier,
                "reason": reason.code,
                "detail": reason.detail,
                "remedy": "publish a price for it; it may begin in the past of a period that is not billed yet",
            }
            yield Alert(hashlib.sha256(identity.encode()).hexdigest()[:32], PARKED, detail)


def _handle(event: dict[str, Any]) -> None:
    images = [record["dynamodb"]["NewImage"] for record in event["Records"] if "NewImage" in record["dynamodb"]]
    delivered = watch_limits(images, catalogue=stores.catalogue(), outbox=stores.outbox(), now=runtime.now())
    if delivered:
        count(AlertsDelivered=delivered)


handler = task_entry(_handle)
