"""Makes a key with all rights for all customers: the first one of a deployment, or one after all were lost.

Not behind the API: who may invoke this function directly has rights in the AWS account.
"""

from __future__ import annotations

from typing import Any

from lambdas.handlers import runtime, stores
from lambdas.handlers.api_keys import describe, make_key, read_key_name
from lambdas.handlers.entry import Event, task_entry
from lambdas.handlers.requests import ALL_CUSTOMERS
from lambdas.store.catalogue import Catalogue

OPERATOR_SCOPES = ("finance", "ingest", "operator")


def create_operator_key(name: Any, *, catalogue: Catalogue, now: str) -> dict[str, Any]:
    """A new key with its text, which is shown this once. Raises DocumentRefused for a missing or odd name."""
    made = make_key(catalogue, name=read_key_name(name), customer=ALL_CUSTOMERS, scopes=OPERATOR_SCOPES, now=now)
    return {**describe(made.key), "key": made.text}


def _create(event: Event) -> dict[str, Any]:
    return create_operator_key(event.get("name"), catalogue=stores.catalogue(), now=runtime.now())


handler = task_entry(_create)
