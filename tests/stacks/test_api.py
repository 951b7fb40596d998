"""The HTTP API: every route behind the key check, logged and throttled."""

from __future__ import annotations

import json

from tests.stacks.template import Template


def test_every_route_asks_for_a_key(template: Template) -> None:
    [authorizer] = template.of_type("AWS::ApiGatewayV2::Authorizer")
    routes = template.properties("AWS::ApiGatewayV2::Route")
    assert len(routes) == 29
    for route in routes:
        assert route["AuthorizationType"] == "CUSTOM", route["RouteKey"]
        assert route["AuthorizerId"] == {"Ref": authorizer}, route["RouteKey"]


def test_there_is_no_catch_all_route(template: Template) -> None:
    keys = [route["RouteKey"] for route in template.properties("AWS::ApiGatewayV2::Route")]
    assert len(set(keys)) == len(keys)
    assert not [key for key in keys if key.startswith("ANY") or key == "$default" or "+}" in key]


def test_the_key_check_answers_simply_and_is_cached_for_a_minute(template: Template) -> None:
    authorizer = template.only("AWS::ApiGatewayV2::Authorizer")["Properties"]
    assert authorizer["EnableSimpleResponses"] is True
    assert authorizer["AuthorizerPayloadFormatVersion"] == "2.0"
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    assert authorizer["AuthorizerResultTtlInSeconds"] == 60


def test_functions_get_payload_version_2(template: Template) -> None:
    for integration in template.properties("AWS::ApiGatewayV2::Integration"):
        assert integration["PayloadFormatVersion"] == "2.0"


def test_requests_are_throttled_and_logged_without_their_key(template: Template) -> None:
    stage = template.only("AWS::ApiGatewayV2::Stage")["Properties"]
    assert stage["StageName"] == "$default"
    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 1000, "ThrottlingRateLimit": 1000}
    fields = json.loads(stage["AccessLogSettings"]["Format"]).values()
    assert "$context.requestId" in fields
    assert not [field for field in fields if "header" in field.lower()]


def test_no_other_site_may_call_from_a_browser(template: Template) -> None:
    assert "CorsConfiguration" not in template.only("AWS::ApiGatewayV2::Api")["Properties"]
