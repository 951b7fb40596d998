"""Calls of the catalogue's handlers as API Gateway makes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from lambdas.handlers import authorize_request, create_operator_key, manage_catalogue

CONTEXT = SimpleNamespace(aws_request_id="request-1")
OPERATOR = {"key_id": "0" * 12, "customer": "*", "scopes": "finance ingest operator"}


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Mapping[str, str]


def call(route: str, body: Any = None, caller: Mapping[str, str] | None = OPERATOR, **parameters: str) -> Answer:
    """`body` is a JSON value, or text that is sent as it is. Parameters that the path does not name go in the query."""
    in_path = set(re.findall(r"{(\w+)}", route))
    event = {
        "version": "2.0",
        "routeKey": route,
        "pathParameters": {name: text for name, text in parameters.items() if name in in_path},
        "queryStringParameters": {name: text for name, text in parameters.items() if name not in in_path},
        "requestContext": {} if caller is None else {"authorizer": {"lambda": dict(caller)}},
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }
    answer = manage_catalogue.handler(event, CONTEXT)
    return Answer(answer["statusCode"], json.loads(answer["body"]), answer["headers"])


def authorize(authorization: Any) -> Any:
    """The authorizer's answer to a request with this Authorization header."""
    event = {"version": "2.0", "type": "REQUEST", "identitySource": [authorization]}
    return authorize_request.handler(event, CONTEXT)


def operator_key(event: Any) -> Any:
    return create_operator_key.handler(event, CONTEXT)
