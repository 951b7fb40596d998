"""What a handler reads from an API Gateway event (payload format 2.0): caller, body, parameters."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from lambdas.billing.errors import DocumentRefused, EventRejected
from lambdas.billing.strict_json import decode_text, parse
from lambdas.handlers.problems import Forbidden

ALL_CUSTOMERS = "*"
MAX_QUERY_LENGTH = 256
"""Of a query parameter: no id is longer, and every key made with one is within DynamoDB's limits."""


class Caller(NamedTuple):
    """Who calls, as the authorizer answered: key id, bound customer (`*` for all), scopes."""

    key_id: str
    customer: str
    scopes: frozenset[str]

    def require(self, *scopes: str) -> None:
        """Raise Forbidden unless the key has at least one of the scopes."""
        if self.scopes.isdisjoint(scopes):
            raise Forbidden(f"this key needs the scope {' or '.join(scopes)}; it has {', '.join(sorted(self.scopes))}")

    def require_customer(self, customer: str) -> None:
        """Raise Forbidden unless the key is for this customer or for all."""
        if self.customer not in (ALL_CUSTOMERS, customer):
            raise Forbidden("this key is for another customer")

    @property
    def bound_customer(self) -> str | None:
        """The one customer of the key; None for a key for all."""
        return None if self.customer == ALL_CUSTOMERS else self.customer


def caller_of(event: Mapping[str, Any]) -> Caller:
    """The authorizer's answer. A request without one cannot reach a handler through the API and is refused."""
    try:
        answer = event["requestContext"]["authorizer"]["lambda"]
        return Caller(answer["key_id"], answer["customer"], frozenset(answer["scopes"].split()))
    except (KeyError, TypeError, AttributeError):
        raise Forbidden("the request was not authorised") from None


def body_of(event: Mapping[str, Any]) -> bytes:
    """The body's bytes, whatever way API Gateway handed them over."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise EventRejected("body", "base64", "the body could not be decoded") from None


def json_body(event: Mapping[str, Any]) -> Any:
    """The parsed JSON body of a catalogue call; raises DocumentRefused where it is not JSON."""
    try:
        return parse(decode_text(body_of(event)))
    except EventRejected as error:
        raise DocumentRefused(error.field, error.value, error.remedy) from None


def path_parameter(event: Mapping[str, Any], name: str) -> str:
    return str((event.get("pathParameters") or {})[name])


def query_parameter(event: Mapping[str, Any], name: str) -> str | None:
    """Raises DocumentRefused for more than 256 characters."""
    value = (event.get("queryStringParameters") or {}).get(name)
    if value is not None and len(value) > MAX_QUERY_LENGTH:
        raise DocumentRefused(name, value, f"at most {MAX_QUERY_LENGTH} characters")
    return None if value is None else str(value)


def required_query(event: Mapping[str, Any], name: str) -> str:
    """A query parameter that must be there and not empty."""
    value = query_parameter(event, name)
    if not value:
        raise DocumentRefused(name, value, f"give ?{name}=...")
    return value
