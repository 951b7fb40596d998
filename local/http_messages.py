"""Requests and responses of the HTTP API, and their form in Lambda's payload format 2.0."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from local.aws import ACCOUNT_ID, REGION

_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript"})
"""Besides text/*, the only types whose body reaches a function as text; all others, application/cloudevents+json
and no type at all included, arrive in base64 (observed on AWS, not in its documentation)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `path` is as sent (percent-encoded), `query` without its question mark."""

    method: str
    path: str
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    source_ip: str = "127.0.0.1"

    def joined_headers(self) -> dict[str, str]:
        """Header names in lower case, repeated ones joined by commas, without cookies."""
        joined: dict[str, str] = {}
        for name, value in self.headers:
            key = name.lower()
            if key != "cookie":
                joined[key] = f"{joined[key]},{value}" if key in joined else value
        return joined

    def cookies(self) -> list[str]:
        """Each cookie of each cookie header."""
        lines = [value for name, value in self.headers if name.lower() == "cookie"]
        return [cookie.strip() for line in lines for cookie in line.split(";") if cookie.strip()]

    def query_parameters(self) -> dict[str, str]:
        """Decoded query parameters, repeated ones joined by commas."""
        joined: dict[str, str] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True):
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        return joined


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cookies: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def message(status: int, text: str) -> Response:
    """An answer that API Gateway gives itself."""
    return Response(status, {"content-type": "application/json"}, json.dumps({"message": text}).encode())


@dataclass(frozen=True, slots=True)
class Matched:
    """A request with the route that takes it."""

    request: Request
    api_id: str
    route_key: str
    path_parameters: Mapping[str, str]
    now: datetime
    request_id: str = field(default_factory=lambda: base64.b64encode(uuid.uuid4().bytes).decode()[:15] + "=")


def shared_event(matched: Matched) -> dict[str, Any]:
    """The part of the event that functions and authorizers both get."""
    request = matched.request
    headers = request.joined_headers()
    domain = f"{matched.api_id}.execute-api.{REGION}.amazonaws.com"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": matched.route_key,
        "rawPath": unquote(request.path),
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": matched.api_id,
            "domainName": domain,
            "domainPrefix": matched.api_id,
            "http": {
                "method": request.method,
                "path": unquote(request.path),
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": matched.request_id,
            "routeKey": matched.route_key,
            "stage": "$default",
            "time": matched.now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(matched.now.timestamp() * 1000),
        },
    }
    optional = {
        "cookies": request.cookies(),
        "queryStringParameters": request.query_parameters(),
        "pathParameters": dict(matched.path_parameters),
    }
    return {**event, **{name: value for name, value in optional.items() if value}}


def function_event(matched: Matched, authorizer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The event of a Lambda integration."""
    event = shared_event(matched)
    if authorizer is not None:
        event["requestContext"]["authorizer"] = {"lambda": dict(authorizer)}
    event["isBase64Encoded"] = False
    body = matched.request.body
    if body:
        kind = event["headers"].get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith("text/") or kind in _TEXT_TYPES:
            event["body"] = body.decode("utf-8", "replace")
        else:
            event["body"], event["isBase64Encoded"] = base64.b64encode(body).decode(), True
    return event


def response_of(answer: Any) -> Response:
    """The response that a function's answer means. Raises ValueError where API Gateway would answer 500."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return Response(200, {"content-type": "application/json"}, text.encode())
    status = int(answer["statusCode"])
    body = answer.get("body")
    if body is None:
        body = ""
    if not isinstance(body, str):
        raise ValueError(f"the body is {type(body).__name__}, not a string")
    headers = {"content-type": "text/plain;charset=UTF-8"}
    headers |= {str(name).lower(): _header_text(value) for name, value in (answer.get("headers") or {}).items()}
    try:
        content = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
    except binascii.Error as error:
        raise ValueError(f"the body is said to be base64 and is not: {error}") from error
    return Response(status, headers, content, tuple(answer.get("cookies") or ()))


def _header_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
