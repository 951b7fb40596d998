"""What must never be taken as usage: each with the exact answer, nothing stored, and its neighbours unharmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lambdas.handlers.ingest_usage import handler
from tests.faults.world import BATCH, SINGLE, World, event, world
from tests.handlers.hostile_events import REJECTED, as_text, text_of


@pytest.fixture(scope="module")
def empty() -> Iterator[World]:
    """A world in which nothing is ever stored as usage."""
    with world() as running:
        running.publish()
        yield running


@pytest.mark.parametrize("name", REJECTED)
def test_a_rejected_event_is_answered_exactly_and_nothing_is_stored(name: str, empty: World) -> None:
    case, field, value, remedy = REJECTED[name]
    before = empty.items("catalogue")
    answer = empty.send(text_of(case))
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.body["type"] == "urn:billproof:problem:EventRejected"
    assert (answer.body["received"], answer.body["rejected"], answer.body["accepted"]) == (1, 1, 0)
    result = answer.result
    assert (result["status"], result["field"]) == ("rejected", field)
    assert result["value"].startswith(value) and (len(value) < 10 or len(result["value"]) <= 120)
    assert remedy in result["remedy"]
    assert answer.body["detail"] == result["detail"] == f"{result['field']} = {result['value']}: {result['remedy']}"
    assert empty.usage_is_empty()
    assert empty.items("catalogue") == before


def test_each_of_500_bad_events_has_its_answer(empty: World) -> None:
    answer = empty.send("[" + ",".join(["0"] * 500) + "]", headers={"content-type": BATCH})
    assert (answer.status, answer.body["received"], answer.body["rejected"]) == (200, 500, 500)
    assert {result["field"] for result in answer.body["results"]} == {"event"}
    assert empty.usage_is_empty()


GOOD = as_text(event())
# name: body, headers, status, code, field, part of the detail
REFUSED: dict[str, tuple[Any, dict[str, str], int, str, str, str]] = {
    "1,000,001 bytes": (
        "[" + " " * 999_999 + "]", {"content-type": BATCH}, 413, "TooLarge", "",
        "the body has 1000001 bytes; send at most 1000000 in one request",
    ),
    "501 events": (
        "[" + ",".join(["0"] * 501) + "]", {"content-type": BATCH}, 413, "TooLarge", "",
        "the batch has 501 events; send at most 500 in one request",
    ),
    "not JSON": ("hello", {"content-type": SINGLE}, 400, "UnreadableBody", "body", "not JSON: Expecting value"),
    "no body": ("", {"content-type": SINGLE}, 400, "UnreadableBody", "body", "not JSON: Expecting value"),
    "empty batch body": ("", {"content-type": BATCH}, 400, "UnreadableBody", "body", "a batch is a JSON array of"),
    "two values": (GOOD + GOOD, {"content-type": SINGLE}, 400, "UnreadableBody", "body", "nothing after it"),
    "one event as batch": (GOOD, {"content-type": BATCH}, 400, "UnreadableBody", "body", "a JSON array of events"),
    "open batch": (f"[{GOOD}", {"content-type": BATCH}, 400, "UnreadableBody", "body", "close the array"),
    "comma at the end": (f"[{GOOD},]", {"content-type": BATCH}, 400, "UnreadableBody", "body", "not JSON"),
    "no comma": (f"[{GOOD}{GOOD}]", {"content-type": BATCH}, 400, "UnreadableBody", "body", "by commas"),
    "more after the batch": (f"[{GOOD}] x", {"content-type": BATCH}, 400, "UnreadableBody", "body", "nothing after it"),
    "single quotes": ("{'id': 1}", {"content-type": SINGLE}, 400, "UnreadableBody", "body", "not JSON"),
    "leading zero": ('{"a": 01}', {"content-type": SINGLE}, 400, "UnreadableBody", "body", "not JSON"),
    "byte order mark": (
        "\ufeff" + GOOD, {"content-type": SINGLE}, 400, "UnreadableBody", "body", "body = \\ufeff{",
    ),
    "UTF-16": (GOOD.encode("utf-16"), {"content-type": SINGLE}, 400, "UnreadableBody", "body", "send UTF-8 JSON"),
    "a stray byte": (
        GOOD.encode().replace(b"gpt", b"\xff"), {"content-type": SINGLE}, 400, "UnreadableBody", "body", "send UTF-8",
    ),
    "an encoded surrogate": (
        GOOD.encode().replace(b"gpt", b"\xed\xa0\x80gpt"), {"content-type": SINGLE}, 400, "UnreadableBody", "body",
        "send UTF-8",
    ),
    "an overlong NUL": (b"\xc0\x80", {"content-type": BATCH}, 400, "UnreadableBody", "body", "send UTF-8"),
    "a NUL": ("\0" + GOOD, {"content-type": SINGLE}, 400, "UnreadableBody", "body", "not JSON"),
    "a bare control character": (
        GOOD.replace("gpt", "g\x01pt"), {"content-type": SINGLE}, 400, "UnreadableBody", "body",
        "Invalid control character",
    ),
    "a bare line feed in a batch": (
        f"[{GOOD.replace('gpt', chr(10) + 'gpt')}]", {"content-type": BATCH}, 400, "UnreadableBody", "body",
        "Invalid control character",
    ),
    "100,000 arrays": (
        "[" * 100_000 + "]" * 100_000, {"content-type": SINGLE}, 400, "UnreadableBody", "body", "nested too deeply",
    ),
    "100,000 arrays left open": (
        "[" * 100_000, {"content-type": BATCH}, 400, "UnreadableBody", "body", "close every object and array",
    ),
    "an open string in the depth": (
        "[" * 100_000 + '"' + '\\"' * 100_000, {"content-type": BATCH}, 400, "UnreadableBody", "body",
        "close every object",
    ),
    "no content type": (GOOD, {}, 415, "UnsupportedMode", "", "send application/cloudevents+json (one event)"),
    "plain JSON": (GOOD, {"content-type": "application/json"}, 415, "UnsupportedMode", "", "with ce-* headers"),
    "a form": (
        "a=b", {"content-type": "application/x-www-form-urlencoded"}, 415, "UnsupportedMode", "", "with ce-* headers",
    ),
    "Avro": (GOOD, {"content-type": "application/cloudevents+avro"}, 415, "UnsupportedMode", "", "with ce-* headers"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_that_cannot_be_read_is_refused_as_a_whole(name: str, empty: World) -> None:
    body, headers, status, code, field, detail = REFUSED[name]
    before = empty.stored()
    answer = empty.send(body, headers=headers, in_base64=isinstance(body, bytes))
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (answer.body["type"], answer.body["status"]) == (f"urn:billproof:problem:{code}", status)
    assert detail in answer.body["detail"]
    assert answer.body.get("field", "") == field
    assert "results" not in answer.body
    assert empty.stored() == before


def test_a_body_that_is_no_base64_is_refused(empty: World) -> None:
    request = {
        "headers": {"content-type": SINGLE},
        "isBase64Encoded": True,
        "body": "é",
        "requestContext": {"authorizer": {"lambda": {"key_id": "k", "customer": "*", "scopes": "ingest"}}},
    }
    answer = json.loads(handler(request, None)["body"])
    assert (answer["status"], answer["field"], answer["remedy"]) == (422, "body", "the body could not be decoded")


def test_an_empty_batch_is_a_batch_of_nothing(empty: World) -> None:
    answer = empty.send(" [ ] ", headers={"content-type": BATCH})
    assert (answer.status, answer.body["received"], answer.body["results"]) == (200, 0, [])
    assert empty.usage_is_empty()


@pytest.mark.parametrize("scopes", ["", "customer", "operator finance customer", "ingestion"])
def test_a_key_without_the_scope_stores_nothing(scopes: str, empty: World) -> None:
    answer = empty.send(event(), scopes=scopes)
    assert (answer.status, answer.body["type"]) == (403, "urn:billproof:problem:Forbidden")
    assert answer.body["detail"].startswith("this key needs the scope ingest; it has ")
    assert empty.usage_is_empty()


def test_a_request_that_was_not_authorised_stores_nothing(empty: World) -> None:
    contexts: list[dict[str, Any]] = [
        {},
        {"authorizer": None},
        {"authorizer": {"lambda": None}},
        {"authorizer": {"lambda": {}}},
    ]
    for context in contexts:
        request = {"headers": {"content-type": SINGLE}, "body": GOOD, "requestContext": context}
        assert handler(request, None)["statusCode"] == 403
    assert empty.usage_is_empty()


def test_a_key_of_an_unknown_customer_stores_nothing(empty: World) -> None:
    answer = empty.send(event(subject=None), key="ghost")
    assert (answer.status, answer.result["field"], answer.result["value"]) == (422, "subject", "ghost")
    assert empty.usage_is_empty()


def test_what_was_sent_is_found_in_no_answer_in_full_and_hostile_names_are_left_out(empty: World) -> None:
    answer = empty.send(as_text(event(id="\ud800" * 10, source="x" * 5000, data="y" * 5000)))
    assert answer.result["field"] == "id"
    assert "id" not in answer.result
    assert answer.result["source"] == "x" * 256
    assert len(json.dumps(answer.body)) < 2000
