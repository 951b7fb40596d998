"""The three CloudEvents modes, and the payload kept exactly as it was received (R3, R4)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from lambdas.billing.segments import StoredEvent, read_raw, read_segment
from lambdas.billing.usage import read_event
from lambdas.handlers import stores
from tests.faults.world import BATCH, SINGLE, World, assert_invariants, event, world
from tests.handlers.hostile_events import as_text

SOURCE = "/gateway/eu-1"
DATA = '{ "quantities" : {"output":44,"input" : 374}, "provider":"openai","model":"gpt-4o" }'


@pytest.fixture(scope="module")
def billproof() -> Iterator[World]:
    with world() as running:
        running.publish()
        yield running


def kept(event_id: str, source: str = SOURCE) -> StoredEvent:
    """The stored event of an identity of acme."""
    claim = stores.usage().claim("acme", source, event_id)
    assert claim is not None
    [segment] = stores.usage().read_segments([claim.segment_key])
    stored = read_segment(segment)[claim.position]
    assert stored.payload_sha256 == claim.payload_sha256 == hashlib.sha256(stored.raw.encode()).hexdigest()
    assert read_event(read_raw(stored.raw), "acme").content_hash == claim.content_hash
    return stored


def binary(event_id: str, **changes: str) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": SOURCE,
        "ce-type": "llm.usage.v1",
        "ce-subject": "acme",
        "ce-time": "2026-11-16T10:15:46.680590Z",
    }
    return {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}


ODD = [
    '\n\t {"specversion":"1.0",  "type":"llm.usage.v1","id":"%s"\r\n,"source":"/gateway/eu-1","subject":"acme",'
    '"time":"2026-11-16T10:15:46Z", "zeta":"last\\u0041\\/", "alpha":"\\ud83d\\ude00é","n":-0,"b":true,"data":'
    + DATA
    + " }",
]


@pytest.mark.parametrize("in_base64", [False, True], ids=["plain", "base64"])
def test_a_structured_event_is_kept_byte_for_byte(in_base64: bool, billproof: World) -> None:
    text = ODD[0] % f"structured {in_base64}" + " \n"
    answer = billproof.send(text, in_base64=in_base64)
    assert (answer.status, answer.statuses) == (200, ["accepted"])
    assert kept(f"structured {in_base64}").raw == text


@pytest.mark.parametrize("in_base64", [False, True], ids=["plain", "base64"])
def test_each_event_of_a_batch_is_kept_byte_for_byte_without_what_is_between_them(
    in_base64: bool, billproof: World
) -> None:
    texts = [(ODD[0] % f"batch {in_base64} {n}").strip() for n in range(3)]
    answer = billproof.send(
        "\n [ " + " ,\r\n".join(texts) + "\t] ", headers={"content-type": BATCH}, in_base64=in_base64
    )
    assert (answer.status, answer.statuses) == (200, ["accepted"] * 3)
    for number, text in enumerate(texts):
        assert kept(f"batch {in_base64} {number}").raw == text


@pytest.mark.parametrize("in_base64", [False, True], ids=["plain", "base64"])
def test_a_binary_event_is_kept_with_its_headers_and_body_as_received(in_base64: bool, billproof: World) -> None:
    event_id = f"binary {in_base64}"
    headers = binary(event_id, ce_traceparent="00-0af7-01", ce_note="Euro%20%E2%82%AC%20100%25", authorization="secret")
    answer = billproof.send(f" {DATA}\n", headers={**headers, "x-forwarded-for": "10.0.0.1"}, in_base64=in_base64)
    assert (answer.status, answer.statuses) == (200, ["accepted"])
    raw = json.loads(kept(event_id).raw)
    assert raw == {"body": f" {DATA}\n", "headers": {k: v for k, v in headers.items() if k != "authorization"}}
    assert read_raw(kept(event_id).raw)["note"] == "Euro € 100%"


def test_the_three_modes_are_one_event(billproof: World) -> None:
    structured = json.loads(ODD[0] % "same")
    assert billproof.send(json.dumps(structured)).statuses == ["accepted"]
    assert billproof.send([structured]).statuses == ["duplicate"]
    answer = billproof.send(DATA, headers=binary("same", ce_time="2026-11-16T10:15:47Z"))
    assert (answer.status, answer.statuses) == (200, ["duplicate"])
    assert answer.result["stored_time"] == "2026-11-16T10:15:46.000000Z"


def test_percent_encoded_headers_name_the_same_event_as_plain_text(billproof: World) -> None:
    assert billproof.send(DATA, headers=binary("%C3%A9%F0%9F%A6%8A%2525")).statuses == ["accepted"]
    assert kept("é🦊%25").row.id == "é🦊%25"
    assert billproof.send(event("é🦊%25")).statuses == ["duplicate"]


@pytest.mark.parametrize(
    ("header", "event_id"),
    [
        ('"plain"', "plain"),
        ('"with \\"quotes\\" and \\\\"', 'with "quotes" and \\'),
        ('"%C3%A9"', "é"),
        ("%22kept%22", '"kept"'),
        ('"open', '"open'),
        ('a"b"', 'a"b"'),
        ('"a"b"', '"a"b"'),
        ("100%zz", "100%zz"),
    ],
)
def test_a_quoted_header_names_the_same_event_as_the_text_in_it(header: str, event_id: str, billproof: World) -> None:
    assert billproof.send(event(event_id)).statuses == ["accepted"]
    assert billproof.send(DATA, headers=binary(header)).statuses == ["duplicate"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ce_id": "%FF"}, "headers"),
        ({"ce_id": "%ED%A0%80"}, "headers"),
        ({"ce_id": ""}, "id"),
        ({"ce_id": "%00"}, "id"),
        ({"ce_time": "yesterday"}, "time"),
        ({"ce_specversion": "0.3"}, "specversion"),
        ({"ce_data_base64": "e30="}, "data-base64"),
        ({"ce_Trace": "x"}, "Trace"),
        ({"ce_": "x"}, ""),
        ({"content_type": "text/plain"}, "datacontenttype"),
        ({"ce_subject": "nobody"}, "subject"),
    ],
)
def test_a_bad_header_is_named(changes: dict[str, str], field: str, billproof: World) -> None:
    answer = billproof.send(DATA, headers=binary("bad", **changes))
    assert (answer.status, answer.statuses, answer.result["field"]) == (422, ["rejected"], field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", "body"),
        ("{", "body"),
        (DATA + DATA, "body"),
        ("[" * 100_000 + "]" * 100_000, "body"),
        ("7", "data"),
        ('{"provider":"openai"}', "data.model"),
        (DATA.replace('"input" :', '"input":1,"input" :'), "data.quantities.input"),
        (DATA + " " * 65_536, "event"),
    ],
    ids=["none", "open", "two", "deep", "number", "no model", "twice", "large"],
)
def test_a_bad_binary_body_is_named(body: str, field: str, billproof: World) -> None:
    answer = billproof.send(body, headers=binary("bad body"))
    assert (answer.status, answer.statuses, answer.result["field"]) == (422, ["rejected"], field)
    assert answer.result["id"] == "bad body"
    assert stores.usage().claim("acme", SOURCE, "bad body") is None


def test_a_binary_event_that_cannot_be_read_shows_no_hostile_name(billproof: World) -> None:
    answer = billproof.send("{", headers=binary("x" * 5000, ce_source="a\u0085b"))
    assert answer.result["id"] == "x" * 256
    assert "source" not in answer.result


def test_a_structured_event_cannot_pretend_to_be_a_kept_binary_one(billproof: World) -> None:
    disguised = {"headers": binary("disguised"), "body": DATA}
    assert billproof.send(as_text(disguised)).statuses == ["rejected"]
    assert stores.usage().claim("acme", SOURCE, "disguised") is None


@pytest.mark.parametrize(
    "content_type",
    [SINGLE, SINGLE.upper(), f"{SINGLE}; charset=utf-8", f" {SINGLE} ;charset=UTF-8", BATCH, f"{BATCH};charset=utf-8"],
)
def test_content_types_are_compared_without_case_and_parameters(content_type: str, billproof: World) -> None:
    one = as_text(event(f"type {content_type}"))
    body = f"[{one}]" if "batch" in content_type else one
    assert billproof.send(body, headers={"content-type": content_type}).statuses == ["accepted"]


def test_structured_wins_over_stray_event_headers(billproof: World) -> None:
    headers = {**binary("header"), "content-type": SINGLE}
    assert billproof.send(event("body"), headers=headers).result["id"] == "body"


def test_extensions_are_no_part_of_the_content(billproof: World) -> None:
    first: dict[str, Any] = event("extended", traceparent="00-1")
    assert billproof.send(first).statuses == ["accepted"]
    assert billproof.send({**first, "traceparent": "00-2", "other": True}).statuses == ["duplicate"]
    assert json.loads(kept("extended").raw)["traceparent"] == "00-1"


def test_a_body_in_base64_with_line_breaks_is_not_guessed_at(billproof: World) -> None:
    encoded = base64.encodebytes(as_text(event("lines")).encode()).decode()
    assert "\n" in encoded
    request = {
        "headers": {"content-type": SINGLE},
        "isBase64Encoded": True,
        "body": encoded,
        "requestContext": {"authorizer": {"lambda": {"key_id": "k", "customer": "*", "scopes": "ingest"}}},
    }
    from lambdas.handlers.ingest_usage import handler

    assert handler(request, None)["statusCode"] == 422


def test_everything_kept_can_be_read_again(billproof: World) -> None:
    assert_invariants(billproof)
