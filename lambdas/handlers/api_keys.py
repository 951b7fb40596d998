"""API keys (R39): `bp_{key_id}_{secret}`. The text is shown once; what is kept is the SHA-256 of the secret."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from lambdas.billing.errors import DocumentRefused
from lambdas.billing.strict_json import Duplicated
from lambdas.billing.usage import CUSTOMER_ID
from lambdas.handlers.requests import ALL_CUSTOMERS
from lambdas.store.catalogue import Catalogue
from lambdas.store.catalogue_items import ApiKey

CUSTOMER_SCOPES = ("customer", "ingest")
"""What a key of one customer may do: read its own usage, invoices and traces; send its own usage."""
SCOPES = ("customer", "finance", "ingest", "operator")
_TEXT = re.compile(r"bp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_MEMBERS = ("customer", "name", "scopes")
_MAX_NAME_LENGTH = 100


class KeyText(NamedTuple):
    """The two parts of a key's text."""

    key_id: str
    secret: str


class NewKey(NamedTuple):
    """A key that was just made, with the text that is shown this once."""

    key: ApiKey
    text: str


def parse_key_text(text: str) -> KeyText | None:
    """The parts of `bp_{12 hex digits}_{43 URL-safe characters}`; None for anything else."""
    match = _TEXT.fullmatch(text)
    return None if match is None else KeyText(*match.groups())


def secret_hash(secret: str) -> str:
    """What is stored of a secret. It has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode()).hexdigest()


def make_key(catalogue: Catalogue, *, name: str, customer: str, scopes: tuple[str, ...], now: str) -> NewKey:
    """Store a new random key. Each call makes another key; raises DocumentRefused for an unknown customer."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = catalogue.create_key(
        key_id=key_id, name=name, customer=customer, scopes=scopes, secret_hash=secret_hash(secret), now=now
    )
    return NewKey(key, f"bp_{key_id}_{secret}")


def read_key_request(document: Any) -> tuple[str, str, tuple[str, ...]]:
    """Name, customer (or `*`) and scopes of a key that is asked for. Raises DocumentRefused."""
    if not isinstance(document, Mapping):
        raise DocumentRefused("body", document, f"an object with {', '.join(_MEMBERS)}")
    if isinstance(document, Duplicated):
        raise DocumentRefused(document.key, "more than once", "give each member once")
    for member in document:
        if member not in _MEMBERS:
            raise DocumentRefused(member, document[member], f"unknown member; known: {', '.join(_MEMBERS)}")
    for member in _MEMBERS:
        if member not in document:
            raise DocumentRefused(member, None, "required")
    customer = document["customer"]
    if type(customer) is not str or not (customer == ALL_CUSTOMERS or CUSTOMER_ID.fullmatch(customer)):
        raise DocumentRefused("customer", customer, f"a customer id, or {ALL_CUSTOMERS} for a key for all customers")
    allowed = SCOPES if customer == ALL_CUSTOMERS else CUSTOMER_SCOPES
    return read_key_name(document["name"]), customer, _scopes(document["scopes"], allowed)


def read_key_name(name: Any) -> str:
    """A name that says who holds the key. A refusal does not quote it: someone may have pasted a key."""
    if type(name) is not str or not 0 < len(name) <= _MAX_NAME_LENGTH or not name.isprintable():
        raise DocumentRefused("name", "(not shown)", f"1 to {_MAX_NAME_LENGTH} printable characters")
    if _TEXT.search(name):
        raise DocumentRefused(
            "name", "(not shown)", "this holds the text of a key; name who uses it, and revoke that key"
        )
    return name


def describe(key: ApiKey) -> dict[str, Any]:
    """A key as it may be shown: without its secret's hash."""
    shown = {
        "key_id": key.key_id,
        "name": key.name,
        "customer": key.customer,
        "scopes": list(key.scopes),
        "created_at": key.created_at,
    }
    return shown if key.revoked_at is None else {**shown, "revoked_at": key.revoked_at}


def _scopes(scopes: Any, allowed: tuple[str, ...]) -> tuple[str, ...]:
    remedy = f"a list of one or more of: {', '.join(allowed)}"
    if not isinstance(scopes, list) or not scopes or len(scopes) > len(SCOPES):
        raise DocumentRefused("scopes", scopes, remedy)
    for scope in scopes:
        if type(scope) is not str or scope not in SCOPES:
            raise DocumentRefused("scopes", scope, remedy)
        if scope not in allowed:
            raise DocumentRefused("scopes", scope, f"only a key for all customers may have it; this key: {remedy}")
    return tuple(sorted(set(scopes)))
