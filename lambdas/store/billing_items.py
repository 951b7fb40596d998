"""Items of the billing table: runs, accounts of runs, number sequences, invoices; their statuses and their keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.store.items import Value, from_item, to_item

PENDING, FROZEN, DRAFTED, ISSUED, BUNDLED, EMPTY, FAILED = (
    "pending", "frozen", "drafted", "issued", "bundled", "empty", "failed",
)  # fmt: skip
OPEN, INCOMPLETE, SEALED = "open", "incomplete", "sealed"

DONE = frozenset({BUNDLED, EMPTY})
"""Accounts that a run has nothing left to do for."""

RUN_LIST = "LIST#RUN"
"""The pk of the items that list runs by id, as sk."""

_JSON = frozenset({"error", "sums", "totals"})
"""Attributes that hold JSON text."""


class Run(NamedTuple):
    """One billing run: an issuing entity, a period, a mode. Times of everything it makes come from `opened_at`."""

    run_id: str
    entity: str
    period: str
    mode: str
    opened_at: str
    opened_by: str
    status: str = OPEN
    attempt: int = 0
    """How many executions have worked on it."""
    starts: int = 0
    """How many executions were asked for."""
    totals: Mapping[str, Any] | None = None


class Account(NamedTuple):
    """One customer of a run, and what the steps have recorded about it."""

    run_id: str
    customer: str
    status: str
    freeze: int
    attempt: int
    """The attempt that made it pending; a failure that an older attempt reports is stale."""
    frozen_freeze: int = 0
    """The last freeze that was made, 0 before the first."""
    events: int = 0
    sums: Mapping[str, int] = {}
    totals: Mapping[str, Any] | None = None
    draft_key: str = ""
    draft_hash: str = ""
    number: str = ""
    manifest_sha256: str = ""
    error: Mapping[str, str] | None = None


class Invoice(NamedTuple):
    """An issued invoice. Its document is `issued_document` of the draft it names, so it can always be made again."""

    number: str
    entity: str
    year: int
    sequence: int
    customer: str
    period: str
    run_id: str
    issued_at: str
    currency: str
    net: str
    total: str
    draft_key: str
    draft_hash: str
    document_key: str
    document_hash: str
    bundle_key: str = ""
    bundle_sha256: str = ""
    manifest_sha256: str = ""
    merkle_root: str = ""


class Page(NamedTuple):
    """Part of a list; `cursor` asks for the next part and is None on the last."""

    items: list[Any]
    cursor: str | None


class AccountNotReady(Exception):
    """A step was asked for before the step it builds on: `needs` is the status it starts from."""

    def __init__(self, account: Account, needs: str) -> None:
        super().__init__(
            f"account {account.customer} of run {account.run_id} is {account.status}; this step needs it {needs}. "
            "Resume the run: POST /v1/billing-runs"
        )


def new_account(run_id: str, customer: str, attempt: int) -> dict[str, Any]:
    values: Mapping[str, Value] = {
        "run_id": run_id,
        "customer": customer,
        "status": PENDING,
        "freeze": 1,
        "attempt": attempt,
    }
    return account_key(run_id, customer) | to_item(values)


def run_key(run_id: str) -> dict[str, Any]:
    return to_item({"pk": f"RUN#{run_id}", "sk": "RUN"})


def account_key(run_id: str, customer: str) -> dict[str, Any]:
    return to_item({"pk": f"RUN#{run_id}", "sk": f"A#{customer}"})


def sequence_key(entity: str, year: int) -> dict[str, Any]:
    return to_item({"pk": f"SEQ#{entity}#{year:04d}", "sk": "SEQ"})


def invoice_key(number: str) -> dict[str, Any]:
    return to_item({"pk": f"INV#{number}", "sk": "INV"})


def run_of(item: Mapping[str, Any]) -> Run:
    return Run(**_fields(item, Run._fields))


def account_of(item: Mapping[str, Any]) -> Account:
    return Account(**_fields(item, Account._fields))


def invoice_of(item: Mapping[str, Any]) -> Invoice:
    return Invoice(**_fields(item, Invoice._fields))


def _fields(item: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    values = {name: value for name, value in from_item(item).items() if name in names}
    return {name: json.loads(value) if name in _JSON else value for name, value in values.items()}
