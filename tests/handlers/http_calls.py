"""Calls of a handler as API Gateway makes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

CONTEXT = SimpleNamespace(aws_request_id="request-1")
OPERATOR = {"key_id": "0" * 12, "customer": "*", "scopes": "operator"}
FINANCE = {"key_id": "1" * 12, "customer": "*", "scopes": "finance"}


class Answer(NamedTuple):
    status: int
    body: Any


def customer_key(customer: str, scopes: str = "customer") -> dict[str, str]:
    return {"key_id": "2" * 12, "customer": customer, "scopes": scopes}


def call(
    handler: Callable[[dict[str, Any], Any], Any],
    route: str,
    caller: Mapping[str, str] | None,
    body: Any = None,
    **parameters: str,
) -> Answer:
    """Parameters that the path does not name go in the query; `id_` stands for `id`."""
    named = {name.rstrip("_"): text for name, text in parameters.items()}
    in_path = set(re.findall(r"{(\w+)}", route))
    event = {
        "version": "2.0",
        "routeKey": route,
        "pathParameters": {name: text for name, text in named.items() if name in in_path},
        "queryStringParameters": {name: text for name, text in named.items() if name not in in_path},
        "requestContext": {} if caller is None else {"authorizer": {"lambda": dict(caller)}},
        "body": None if body is None else body if isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }
    answer = handler(event, CONTEXT)
    return Answer(answer["statusCode"], json.loads(answer["body"]))
