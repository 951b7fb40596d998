"""Stores of the function that is running, built from its own environment. Cheap: clients are kept, stores are not.

One function per store, so that a function asks only for the tables its role may reach. Nothing is cached here:
in `local` several functions with different environments share one process.
"""

from __future__ import annotations

from lambdas.handlers.runtime import environment, fresh_name, setting
from lambdas.store import clients
from lambdas.store.catalogue import Catalogue, SealedPeriods
from lambdas.store.outbox import Outbox
from lambdas.store.recorder import UsageRecorder
from lambdas.store.usage import UsageStore


def catalogue() -> Catalogue:
    """Entities, customers, keys, plans, rate cards and contracts."""
    return Catalogue(clients.dynamodb(), setting("CATALOGUE_TABLE"))


def sealed_periods() -> SealedPeriods:
    """Which periods are billed; reads the billing table only."""
    return SealedPeriods(clients.dynamodb(), setting("BILLING_TABLE"))


def recorder() -> UsageRecorder:
    """The writer of usage."""
    return UsageRecorder(clients.dynamodb(), setting("USAGE_TABLE"), setting("COUNTERS_TABLE"), fresh_name=fresh_name)


def usage() -> UsageStore:
    """Claims, segments and counters, to read. A function without the usage table reads counters only."""
    return UsageStore(clients.dynamodb(), environment.get().get("USAGE_TABLE", ""), setting("COUNTERS_TABLE"))


def outbox() -> Outbox:
    """Recorded alerts and the bus they are delivered to."""
    return Outbox(clients.dynamodb(), setting("OUTBOX_TABLE"), clients.event_bridge(), setting("BUS_NAME"))
