"""Stores of the function that is running, built from its own environment. Cheap: clients are kept, stores are not.

One function per store, so that a function asks only for the tables its role may reach. Nothing is cached here:
in `local` several functions with different environments share one process.
"""

from __future__ import annotations

import time

from lambdas.handlers.runtime import environment, fresh_name, setting
from lambdas.store import clients
from lambdas.store.billing import Billing
from lambdas.store.catalogue import Catalogue
from lambdas.store.evidence import Evidence
from lambdas.store.executions import Executions
from lambdas.store.ledger import Ledger
from lambdas.store.outbox import Outbox
from lambdas.store.recorder import UsageRecorder
from lambdas.store.sealed_periods import SealedPeriods
from lambdas.store.usage import UsageStore

INGEST_PATIENCE_S = 12
"""The function has 29 s and API Gateway 30; one call of the SDK may still be under way (`clients.LONGEST_CALL_S`)."""


def catalogue() -> Catalogue:
    """Entities, customers, keys, plans, rate cards and contracts."""
    return Catalogue(clients.dynamodb(), setting("CATALOGUE_TABLE"))


def sealed_periods() -> SealedPeriods:
    """Which periods are billed; reads the billing table only."""
    return SealedPeriods(clients.dynamodb(), setting("BILLING_TABLE"))


def recorder() -> UsageRecorder:
    """The writer of usage, for one request: it begins nothing after `INGEST_PATIENCE_S`."""
    return UsageRecorder(
        clients.dynamodb(),
        setting("USAGE_TABLE"),
        setting("COUNTERS_TABLE"),
        fresh_name=fresh_name,
        until=time.monotonic() + INGEST_PATIENCE_S,
    )


def usage() -> UsageStore:
    """Claims, segments and counters, to read. A function without the usage table reads counters only."""
    return UsageStore(clients.dynamodb(), environment.get().get("USAGE_TABLE", ""), setting("COUNTERS_TABLE"))


def outbox() -> Outbox:
    """Recorded alerts and the bus they are delivered to."""
    return Outbox(clients.dynamodb(), setting("OUTBOX_TABLE"), clients.event_bridge(), setting("BUS_NAME"))


def usage_segments() -> UsageStore:
    """Claims and segments, for a function without the counters table."""
    return UsageStore(clients.dynamodb(), setting("USAGE_TABLE"), environment.get().get("COUNTERS_TABLE", ""))


def billing() -> Billing:
    """Runs, accounts of runs, numbers and invoices."""
    return Billing(clients.dynamodb(), setting("BILLING_TABLE"))


def ledger() -> Ledger:
    """Journal transactions."""
    return Ledger(clients.dynamodb(), setting("LEDGER_TABLE"))


def evidence() -> Evidence:
    """What runs have frozen, rated and bundled."""
    return Evidence(clients.s3(), setting("EVIDENCE_BUCKET"))


def executions() -> Executions:
    """Executions of the billing run."""
    return Executions(clients.step_functions(), setting("STATE_MACHINE_ARN"))
