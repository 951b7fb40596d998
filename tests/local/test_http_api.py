"""The HTTP API: routes, events, bodies, answers, and what API Gateway says by itself."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.deployment import Deployment
from local.http_messages import Matched, Request, function_event, response_of
from tests.local import handlers

GOOD = {"Authorization": "Bearer good"}


def _echoed(small: Deployment, *arguments: Any, **others: Any) -> dict[str, Any]:
    answer = small.request(*arguments, **others)
    assert answer.status == 200, answer.text
    event: dict[str, Any] = answer.json()["event"]
    return event


def test_no_route_is_404_in_api_gateway_s_words(small: Deployment) -> None:
    for method, path in (("GET", "/nothing"), ("DELETE", "/v1/things/1"), ("GET", "/v1/things/1/")):
        answer = small.request(method, path, GOOD)
        assert (answer.status, answer.json()) == (404, {"message": "Not Found"})


def test_the_event_is_payload_format_2(small: Deployment) -> None:
    event = _echoed(
        small,
        "POST",
        "/v1/things/caf%C3%A9%20au%20lait?a=1&a=2&b=%C3%A4&empty",
        [*GOOD.items(), ("X-Twice", "one"), ("x-twice", "two"), ("Cookie", "c=1; d=2"), ("User-Agent", "test")],
        b"",
    )
    http = event["requestContext"].pop("http")
    assert http == {
        "method": "POST",
        "path": "/v1/things/café au lait",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test",
    }
    context = event.pop("requestContext")
    assert event == {
        "version": "2.0",
        "routeKey": "POST /v1/things/{id}",
        "rawPath": "/v1/things/café au lait",
        "rawQueryString": "a=1&a=2&b=%C3%A4&empty",
        "headers": {"authorization": "Bearer good", "x-twice": "one,two", "user-agent": "test"},
        "cookies": ["c=1", "d=2"],
        "queryStringParameters": {"a": "1,2", "b": "ä", "empty": ""},
        "pathParameters": {"id": "café au lait"},
        "isBase64Encoded": False,
    }
    assert context["authorizer"] == {"lambda": {"key_id": "k1", "scopes": "ingest"}}
    assert context["routeKey"] == "POST /v1/things/{id}"
    assert context["stage"] == "$default"
    assert context["apiId"] == small.stack.resources["Api"].physical_id
    assert abs(context["timeEpoch"] / 1000 - small.clock.now().timestamp()) < 5


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("APPLICATION/JSON", True),
        ("text/csv", True),
        ("application/xml", True),
        ("application/javascript", True),
        ("application/cloudevents+json", False),
        ("application/cloudevents-batch+json", False),
        ("application/problem+json", False),
        ("application/x-www-form-urlencoded", False),
        ("application/octet-stream", False),
        (None, False),
    ],
)
def test_a_body_is_text_or_base64_by_its_type(small: Deployment, content_type: str | None, is_text: bool) -> None:
    body = '{"n":"ä"}'.encode()
    headers = {**GOOD, **({"Content-Type": content_type} if content_type else {})}
    event = _echoed(small, "POST", "/v1/things/1", headers, body)
    assert event["isBase64Encoded"] is not is_text
    assert event["body"] == (body.decode() if is_text else base64.b64encode(body).decode())


def test_the_more_exact_route_wins(small: Deployment) -> None:
    assert small.request("GET", "/v1/things/fixed").status == 500  # `answer` found no body, so it was called
    assert small.request("GET", "/v1/things/other").status == 401
    event = _echoed(small, "PUT", "/v1/files/a/b%2Fc")
    assert event["routeKey"] == "ANY /v1/files/{path+}"
    assert event["pathParameters"] == {"path": "a/b/c"}


def test_what_is_not_ascii_in_a_path_is_encoded_as_a_client_would(small: Deployment) -> None:
    assert _echoed(small, "GET", "/v1/things/café", GOOD)["pathParameters"] == {"id": "café"}


@pytest.mark.parametrize(
    ("key", "status", "body"),
    [
        (None, 401, {"message": "Unauthorized"}),
        ("bad", 403, {"message": "Forbidden"}),
        ("broken", 500, {"message": "Internal Server Error"}),
        ("odd", 500, {"message": "Internal Server Error"}),
    ],
)
def test_the_authorizer_s_answers(small: Deployment, key: str | None, status: int, body: Any) -> None:
    answer = small.request("GET", "/v1/things/1", {"Authorization": f"Bearer {key}"} if key else {})
    assert (answer.status, answer.json()) == (status, body)
    assert handlers.calls["echo"] == []


def test_without_an_identity_the_authorizer_is_not_asked(small: Deployment) -> None:
    small.request("GET", "/v1/things/1")
    assert handlers.calls["check_key"] == []


def test_the_authorizer_gets_a_request_event_without_a_body(small: Deployment) -> None:
    small.clock.advance(timedelta(minutes=5))
    small.request("POST", "/v1/things/7?x=1", GOOD, b"secret")
    [event] = handlers.calls["check_key"]
    assert event["type"] == "REQUEST"
    assert event["identitySource"] == ["Bearer good"]
    assert event["routeArn"].endswith("/$default/POST/v1/things/7")
    assert event["pathParameters"] == {"id": "7"}
    assert "body" not in event
    assert "authorizer" not in event["requestContext"]


def test_the_authorizer_s_answer_is_kept_for_its_ttl_by_the_movable_clock(small: Deployment) -> None:
    small.clock.advance(timedelta(minutes=5))
    small.clock.freeze()
    for _ in range(3):
        small.request("GET", "/v1/things/1", GOOD)
        small.request("GET", "/v1/things/1", {"Authorization": "Bearer bad"})
    assert len(handlers.calls["check_key"]) == 2
    small.clock.advance(timedelta(seconds=59))
    small.request("GET", "/v1/things/1", GOOD)
    assert len(handlers.calls["check_key"]) == 2
    small.clock.advance(timedelta(seconds=1))
    small.request("GET", "/v1/things/1", GOOD)
    assert len(handlers.calls["check_key"]) == 3
    small.clock.unfreeze()


@pytest.mark.parametrize(
    ("answer", "status", "content_type", "text"),
    [
        ({"some": "value"}, 200, "application/json", '{"some": "value"}'),
        ([1, 2], 200, "application/json", "[1, 2]"),
        ("plain", 200, "application/json", "plain"),
        (None, 200, "application/json", "null"),
        ({"statusCode": 204}, 204, "text/plain;charset=UTF-8", ""),
        ({"statusCode": "201", "body": "x"}, 201, "text/plain;charset=UTF-8", "x"),
        ({"statusCode": 200, "headers": {"Content-Type": "a/b"}, "body": "ä"}, 200, "a/b", "ä"),
    ],
)
def test_answers_of_functions(small: Deployment, answer: Any, status: int, content_type: str, text: str) -> None:
    got = small.request("POST", "/v1/answer", {"Content-Type": "application/json"}, json.dumps(answer))
    assert (got.status, got.headers["content-type"], got.text) == (status, content_type, text)


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": "many"},
        {"statusCode": 200, "body": "!", "isBase64Encoded": True},
    ],
)
def test_malformed_answers_are_500(small: Deployment, answer: Any) -> None:
    got = small.request("POST", "/v1/answer", {"Content-Type": "application/json"}, json.dumps(answer))
    assert (got.status, got.json()) == (500, {"message": "Internal Server Error"})


def test_a_failing_function_is_500_and_the_failure_can_be_read(small: Deployment) -> None:
    got = small.request("POST", "/v1/answer", {"Content-Type": "application/json"}, "not json")
    assert (got.status, got.json()) == (500, {"message": "Internal Server Error"})
    [failure] = small.functions.failures
    assert failure.error_type == "JSONDecodeError"
    assert any("handlers.py" in line for line in failure.stack)


def test_binary_answers_and_cookies(small: Deployment) -> None:
    got = small.request("GET", "/v1/binary")
    assert (got.status, got.body, got.cookies) == (201, b"\x00\xff\x01", ("a=1", "b=2"))
    assert got.headers == {"content-type": "application/octet-stream", "x-flag": "true"}


@pytest.mark.parametrize(
    ("size", "status"),
    [(1_000_000, 200), (6_400_000, 413), (10 * 1024 * 1024 + 1, 413)],
)
def test_bodies_over_lambda_s_and_api_gateway_s_limits_are_413(small: Deployment, size: int, status: int) -> None:
    body = json.dumps("x" * (size - 2))
    got = small.request("POST", "/v1/answer", {"Content-Type": "application/json"}, body)
    assert got.status == status


def test_a_failing_authorizer_is_asked_again_each_time(small: Deployment) -> None:
    for _ in range(2):
        small.request("GET", "/v1/things/1", {"Authorization": "Bearer broken"})
    assert len(handlers.calls["check_key"]) == 2


def test_requests_without_a_body_have_none_in_the_event() -> None:
    matched = Matched(Request("GET", "/x"), "api", "GET /x", {}, datetime(2026, 3, 1, tzinfo=UTC))
    event = function_event(matched, None)
    assert "body" not in event
    assert "authorizer" not in event["requestContext"]
    assert event["requestContext"]["time"] == "01/Mar/2026:00:00:00 +0000"
    assert response_of({"statusCode": 200, "body": None}).body == b""
