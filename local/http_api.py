"""The HTTP API of the template: routes, integrations, authorizers.

Owns: what API Gateway does between a request and a function, and back. Does not own: sockets (`local.server`),
throttling, access logs, CORS, other stages than $default.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from local.authorizer import Authorizer, function_arn_in
from local.clock import Clock
from local.errors import FunctionFailed, UnsupportedTarget
from local.functions import REQUEST_LIMIT_BYTES, Function, Functions
from local.http_messages import Matched, Request, Response, function_event, message, response_of
from local.stack import Resource, Stack

BODY_LIMIT_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Route:
    """One route: its pattern, its function, and its authorizer."""

    key: str
    method: str
    pattern: re.Pattern[str]
    rank: tuple[int, int, int]
    function: Function
    authorizer: Authorizer | None


class HttpApi:
    """The one AWS::ApiGatewayV2::Api of a stack."""

    def __init__(self, stack: Stack, functions: Functions, clock: Clock) -> None:
        apis = stack.of_type("AWS::ApiGatewayV2::Api")
        if len(apis) > 1:
            raise UnsupportedTarget(f"{len(apis)} APIs; only one can be served here")
        self._functions = functions
        self._clock = clock
        self.api_id = apis[0].physical_id if apis else ""
        for api in apis:
            _expect(api, "ProtocolType", "HTTP")
        for stage in stack.of_type("AWS::ApiGatewayV2::Stage"):
            _expect(stage, "StageName", "$default")
            _expect(stage, "AutoDeploy", True)
        authorizers = {
            resource.physical_id: Authorizer(resource, functions, clock)
            for resource in stack.of_type("AWS::ApiGatewayV2::Authorizer")
        }
        integrations = {
            resource.physical_id: _integration(resource, functions)
            for resource in stack.of_type("AWS::ApiGatewayV2::Integration")
        }
        routes = [_route(resource, integrations, authorizers) for resource in stack.of_type("AWS::ApiGatewayV2::Route")]
        self.routes = sorted(routes, key=lambda route: route.rank)

    def handle(self, request: Request) -> Response:
        """Answer a request as API Gateway with these routes would."""
        if len(request.body) > BODY_LIMIT_BYTES:
            return message(413, "Request Entity Too Large")
        found = self._find(request)
        if found is None:
            return message(404, "Not Found")
        route, matched = found
        context = None
        if route.authorizer is not None:
            decision = route.authorizer.decide(matched)
            if decision.refusal is not None:
                return decision.refusal
            context = decision.context
        return self._call(route, function_event(matched, context))

    def _find(self, request: Request) -> tuple[Route, Matched] | None:
        for route in self.routes:
            if route.method not in ("ANY", request.method):
                continue
            match = route.pattern.fullmatch(request.path)
            if match:
                parameters = {name: unquote(value) for name, value in match.groupdict().items()}
                return route, Matched(request, self.api_id, route.key, parameters, self._clock.now())
        return None

    def _call(self, route: Route, event: dict[str, Any]) -> Response:
        if len(json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")) > REQUEST_LIMIT_BYTES:
            return message(413, "Request Entity Too Large")
        try:
            return response_of(self._functions.call(route.function.arn, event))
        except (FunctionFailed, ValueError):
            return message(500, "Internal Server Error")


def _route(resource: Resource, integrations: dict[str, Function], authorizers: dict[str, Authorizer]) -> Route:
    properties = resource.properties
    key = properties["RouteKey"]
    function = integrations[properties["Target"].removeprefix("integrations/")]
    match properties.get("AuthorizationType", "NONE"):
        case "NONE":
            authorizer = None
        case "CUSTOM":
            authorizer = authorizers[properties["AuthorizerId"]]
        case other:
            raise UnsupportedTarget(f"{resource.logical_id}: AuthorizationType {other} is not implemented")
    if key == "$default":
        return Route(key, "ANY", re.compile(".*"), (2, 0, 1), function, authorizer)
    method, path = key.split(" ", 1)
    return Route(key, method, *_pattern(path, method), function, authorizer)


def _pattern(path: str, method: str) -> tuple[re.Pattern[str], tuple[int, int, int]]:
    """The path as an expression, and its rank: exact before greedy, fewer variables first, then ANY last."""
    parts = []
    for part in re.split(r"(\{[^}]+\})", path):
        variable = re.fullmatch(r"\{(\w+)(\+?)\}", part)
        if variable is None:
            parts.append(re.escape(part))
        else:
            parts.append(f"(?P<{variable[1]}>{'.+' if variable[2] else '[^/]+'})")
    greedy = int("+}" in path)
    return re.compile("".join(parts)), (greedy, path.count("{"), int(method == "ANY"))


def _integration(resource: Resource, functions: Functions) -> Function:
    _expect(resource, "IntegrationType", "AWS_PROXY")
    _expect(resource, "PayloadFormatVersion", "2.0")
    return functions.find(function_arn_in(resource.properties["IntegrationUri"]))


def _expect(resource: Resource, name: str, value: Any) -> None:
    if resource.properties.get(name) != value:
        raise UnsupportedTarget(f"{resource.logical_id}: {name} must be {value} here")
