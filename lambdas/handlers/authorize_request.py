"""Lambda authorizer of the HTTP API (payload format 2.0, simple response): an API key in, its rights out (D14).

The answer may be cached for 60 s by API Gateway; that is how long a revoked key may still be let in.
"""

from __future__ import annotations

import hmac
import re
from typing import Any

from lambdas.handlers import stores
from lambdas.handlers.api_keys import parse_key_text, secret_hash
from lambdas.handlers.entry import Event, task_entry
from lambdas.store.catalogue import Catalogue
from lambdas.store.errors import NotFound

_BEARER = re.compile(r"(?i:bearer) (\S{1,100})", re.ASCII)
_DENIED: dict[str, Any] = {"isAuthorized": False}


def authorize_request(authorization: object, *, catalogue: Catalogue) -> dict[str, Any]:
    """Who holds the key of an `Authorization: Bearer bp_...` header, and what it may do; denied for anything else.

    Raises TransientError where the catalogue cannot be asked: an answer would be cached, an error is not.
    """
    bearer = _BEARER.fullmatch(authorization) if isinstance(authorization, str) else None
    text = parse_key_text(bearer[1]) if bearer is not None else None
    if text is None:
        return _DENIED
    try:
        key = catalogue.key(text.key_id)
    except NotFound:
        return _DENIED
    if not hmac.compare_digest(key.secret_hash, secret_hash(text.secret)) or key.revoked_at is not None:
        return _DENIED
    context = {"key_id": key.key_id, "customer": key.customer, "scopes": " ".join(key.scopes)}
    return {"isAuthorized": True, "context": context}


def _authorize(event: Event) -> dict[str, Any]:
    identity = event.get("identitySource")
    authorization = identity[0] if isinstance(identity, list) and len(identity) == 1 else None
    return authorize_request(authorization, catalogue=stores.catalogue())


handler = task_entry(_authorize)
