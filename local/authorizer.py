"""The Lambda authorizer of the HTTP API: identity sources, simple responses, answers kept for a while."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from local.aws import ACCOUNT_ID, REGION
from local.clock import Clock
from local.errors import FunctionFailed, UnsupportedTarget
from local.functions import Functions
from local.http_messages import Matched, Response, message, shared_event
from local.stack import Resource


@dataclass(frozen=True, slots=True)
class Decision:
    """The authorizer's answer: its context for the function, or the response for the caller."""

    context: Mapping[str, Any] | None
    refusal: Response | None = None


class Authorizer:
    """One AWS::ApiGatewayV2::Authorizer."""

    def __init__(self, resource: Resource, functions: Functions, clock: Clock) -> None:
        properties = resource.properties
        wanted = {"AuthorizerType": "REQUEST", "AuthorizerPayloadFormatVersion": "2.0", "EnableSimpleResponses": True}
        for name, value in wanted.items():
            if properties.get(name) != value:
                raise UnsupportedTarget(f"{resource.logical_id}: {name} must be {value} here")
        self._functions = functions
        self._clock = clock
        self._function = functions.find(function_arn_in(properties["AuthorizerUri"]))
        self._sources: list[str] = list(properties.get("IdentitySource", []))
        self._ttl = timedelta(seconds=int(properties.get("AuthorizerResultTtlInSeconds", 300)))
        self._kept: dict[tuple[str, ...], tuple[datetime, Any]] = {}
        self._lock = threading.Lock()

    def decide(self, matched: Matched) -> Decision:
        """Ask the function, or a kept answer of the same identity. Missing identity: 401 without asking."""
        identity = [_source(name, matched) for name in self._sources]
        if not all(identity):
            return Decision(None, message(401, "Unauthorized"))
        key = tuple(identity)
        now = self._clock.now()
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and self._sources and now < kept[0]:
            answer = kept[1]
        else:
            event = {
                **shared_event(matched),
                "type": "REQUEST",
                "routeArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{matched.api_id}/$default/"
                f"{matched.request.method}{matched.request.path}",
                "identitySource": identity,
            }
            try:
                answer = self._functions.call(self._function.arn, event)
            except FunctionFailed:
                return Decision(None, message(500, "Internal Server Error"))
            with self._lock:
                self._kept[key] = (now + self._ttl, answer)
        return _decision(answer)


def function_arn_in(uri: str) -> str:
    """The function in an integration's or authorizer's URI, which is its ARN or a longer form around it."""
    return uri.rpartition("/functions/")[2].removesuffix("/invocations")


def _decision(answer: Any) -> Decision:
    if not isinstance(answer, dict) or not isinstance(answer.get("isAuthorized"), bool):
        return Decision(None, message(500, "Internal Server Error"))
    if not answer["isAuthorized"]:
        return Decision(None, message(403, "Forbidden"))
    return Decision(answer.get("context") or {})


def _source(name: str, matched: Matched) -> str:
    match name.split(".", 2):
        case ["$request", "header", header]:
            return matched.request.joined_headers().get(header.lower(), "")
        case ["$request", "querystring", parameter]:
            return matched.request.query_parameters().get(parameter, "")
        case ["$context", "routeKey"]:
            return matched.route_key
        case _:
            raise UnsupportedTarget(f"identity source {name} is not implemented in local/authorizer.py")
