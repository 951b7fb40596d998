"""Reading usage: what is taken, what is rejected and why, and that nothing else can happen (R1-R4)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambdas.billing.classes import TIERS
from lambdas.billing.errors import EventRejected
from lambdas.billing.segments import read_raw
from lambdas.billing.strict_json import decode_text, parse, split_array
from lambdas.billing.usage import (
    MAX_QUANTITY,
    UsageEvent,
    from_binary_mode,
    identity_hash,
    read_event,
)

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "llm.usage.v1",
    "source": "//gateway/eu-1",
    "id": "req-1",
    "time": "2026-11-16T18:15:46.680590Z",
    "subject": "acme",
    "datacontenttype": "application/json",
    "traceparent": "00-abc-01",
    "data": {
        "provider": "openai",
        "model": "gpt-4o",
        "quantities": {"input": 374, "output": 44},
        "attributes": {"project": "search"},
    },
}
ABSENT = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """EVENT with the member at a dotted path replaced, or removed."""
    event: dict[str, Any] = json.loads(json.dumps(EVENT))
    *steps, last = path.split("/")
    target = event
    for step in steps:
        target = target[step]
    if value is ABSENT:
        del target[last]
    else:
        target[last] = value
    return event


def test_an_event_is_read_with_its_canonical_time_and_content_hash() -> None:
    event = read_event(EVENT, None)
    assert event == UsageEvent(
        "acme",
        "//gateway/eu-1",
        "req-1",
        "2026-11-16T18:15:46.680590Z",
        "openai",
        "gpt-4o",
        {"input": 374, "output": 44},
        {"project": "search"},
        event.content_hash,
        "standard",
    )
    assert len(event.content_hash) == 64


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("specversion", "0.3", "specversion"),
        ("specversion", ABSENT, "specversion"),
        ("type", "llm.usage.v2", "type"),
        ("type", ABSENT, "type"),
        ("id", "", "id"),
        ("id", 7, "id"),
        ("id", ABSENT, "id"),
        ("id", "x" * 257, "id"),
        ("id", "a\x00b", "id"),
        ("id", "a\nb", "id"),
        ("id", "a\x85b", "id"),
        ("id", "a\u2028b", "id"),
        ("id", "\ud800", "id"),
        ("source", "", "source"),
        ("source", None, "source"),
        ("time", ABSENT, "time"),
        ("time", 1763316946, "time"),
        ("time", "2026-11-16", "time"),
        ("time", "2026-11-31T00:00:00Z", "time"),
        ("subject", "", "subject"),
        ("subject", "a b", "subject"),
        ("subject", "x" * 65, "subject"),
        ("subject", 5, "subject"),
        ("datacontenttype", "text/plain", "datacontenttype"),
        ("datacontenttype", 1, "datacontenttype"),
        ("data_base64", "e30=", "data_base64"),
        ("Trace", "x", "Trace"),
        ("", "x", ""),
        ("traceparent", 1.5, "traceparent"),
        ("dataschema", 5, "dataschema"),
        ("data/quantities", {f"c{n}": 1 for n in range(33)}, "data.quantities"),
        ("traceparent", {}, "traceparent"),
        ("traceparent", "x" * 257, "traceparent"),
        ("traceparent", "\ud800", "traceparent"),
        ("data", ABSENT, "data"),
        ("data", [], "data"),
        ("data/prompt", "hello", "data.prompt"),
        ("data/provider", "OpenAI", "data.provider"),
        ("data/provider", ABSENT, "data.provider"),
        ("data/provider", "a/b", "data.provider"),
        ("data/model", "", "data.model"),
        ("data/model", "a|b", "data.model"),
        ("data/model", "x" * 129, "data.model"),
        ("data/model", "\udfff", "data.model"),
        ("data/model", ABSENT, "data.model"),
        ("data/quantities", ABSENT, "data.quantities"),
        ("data/quantities", {}, "data.quantities"),
        ("data/quantities", [1], "data.quantities"),
        ("data/quantities/input", -1, "data.quantities.input"),
        ("data/quantities/input", MAX_QUANTITY + 1, "data.quantities.input"),
        ("data/quantities/input", 10**4000, "data.quantities.input"),
        ("data/quantities/input", 1.0, "data.quantities.input"),
        ("data/quantities/input", True, "data.quantities.input"),
        ("data/quantities/input", "374", "data.quantities.input"),
        ("data/quantities/input", None, "data.quantities.input"),
        ("data/quantities/Input", 1, "data.quantities.Input"),
        ("data/attributes", [], "data.attributes"),
        ("data/attributes", {f"a{n}": "" for n in range(9)}, "data.attributes"),
        ("data/attributes/project", "x" * 65, "data.attributes.project"),
        ("data/attributes/project", 1, "data.attributes.project"),
        ("data/attributes/End-User", "x", "data.attributes.End-User"),
        ("data/attributes/tool_call:web", "x", "data.attributes.tool_call:web"),
        ("data/quantities/tool_call:", 1, "data.quantities.tool_call:"),
        ("data/quantities/tool_call:*", 1, "data.quantities.tool_call:*"),
        ("data/quantities/tool_call:" + "a" * 57, 1, "data.quantities.tool_call:" + "a" * 57),
        ("data/quantities/tool_call:a\n", 1, "data.quantities.tool_call:a?"),
        ("data/quantities/tool_call:a|b", 1, "data.quantities.tool_call:a|b"),
        ("data/quantities/tool_call:a:b", 1, "data.quantities.tool_call:a:b"),
        ("data/quantities/compute:second", 1, "data.quantities.compute:second"),
        ("data/quantities/compute_second", 1.5, "data.quantities.compute_second"),
        ("data/service_tier", "", "data.service_tier"),
        ("data/service_tier", "Batch", "data.service_tier"),
        ("data/service_tier", "batch ", "data.service_tier"),
        ("data/service_tier", "default", "data.service_tier"),
        ("data/service_tier", "standard|batch", "data.service_tier"),
        ("data/service_tier", "\ud800", "data.service_tier"),
        ("data/service_tier", 1, "data.service_tier"),
        ("data/service_tier", False, "data.service_tier"),
        ("data/service_tier", ["batch"], "data.service_tier"),
        ("data/service_tier", {"batch": 1}, "data.service_tier"),
    ],
)
def test_what_is_wrong_is_named(path: str, value: Any, field: str) -> None:
    with pytest.raises(EventRejected) as caught:
        read_event(changed(path, value), None)
    assert caught.value.field == field
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", "x" * 256),
        ("id", "naïve 😀"),
        ("subject", "x" * 64),
        ("datacontenttype", ABSENT),
        ("datacontenttype", "Application/JSON; charset=utf-8"),
        ("datacontenttype", "application/vnd.acme+json"),
        ("traceparent", True),
        ("traceparent", None),
        ("data/quantities", {f"c{n}": 1 for n in range(32)}),
        ("traceparent", 7),
        ("data/attributes", ABSENT),
        ("data/attributes", None),
        ("data/attributes", {f"a{n}": "" for n in range(8)}),
        ("data/quantities/input", 0),
        ("data/quantities/input", MAX_QUANTITY),
        ("data/quantities/a_new_class", 5),
        ("data/quantities/tool_call:0", 5),
        ("data/quantities/tool_call:" + "a" * 56, 5),
        ("data/quantities/compute_second", 5),
        ("data/quantities/cache_storage_token_hour", MAX_QUANTITY),
        ("data/service_tier", None),
        ("data/model", "x" * 128),
    ],
)
def test_what_is_right_is_taken(path: str, value: Any) -> None:
    assert read_event(changed(path, value), None).source == EVENT["source"]


@pytest.mark.parametrize("tier", TIERS)
def test_the_service_tier_is_as_sent(tier: str) -> None:
    assert read_event(changed("data/service_tier", tier), None).service_tier == tier


def test_an_event_without_a_tier_is_standard() -> None:
    assert read_event(EVENT, None).service_tier == "standard"
    assert read_event(changed("data/service_tier", None), None).service_tier == "standard"


def test_a_tier_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(EventRejected) as caught:
        read_event(changed("data/service_tier", "turbo"), None)
    assert str(caught.value) == (
        "data.service_tier = turbo: one of standard, batch, priority, flex; without it, standard"
    )


def test_the_content_is_the_data_as_sent_so_a_tier_written_out_is_other_content() -> None:
    def sha256(tier: str) -> str:
        text = (
            '["llm.usage.v1","acme",{"attributes":{"project":"search"},"model":"gpt-4o","provider":"openai",'
            f'"quantities":{{"input":374,"output":44}}{tier}}}]'
        )
        return hashlib.sha256(text.encode()).hexdigest()

    assert read_event(EVENT, None).content_hash == sha256("")
    for tier in TIERS:
        written = read_event(changed("data/service_tier", tier), None)
        assert written.content_hash == sha256(f',"service_tier":"{tier}"')


@pytest.mark.parametrize(
    ("text", "replacement", "field"),
    [
        ('"model": "gpt-4o"', '"service_tier": "batch", "service_tier": "batch", "model": "m"', "data.service_tier"),
        ('"model": "gpt-4o"', '"model": "m", "service_tier": 1.5', "data.service_tier"),
        ('"input": 374', '"tool_call:web": 1, "tool_call:web": 1', "data.quantities.tool_call:web"),
        ('"specversion": "1.0"', '"specversion": 1.0', "specversion"),
        ('"input": 374', '"input": 374.0', "data.quantities.input"),
        ('"input": 374', '"input": 3.74e2', "data.quantities.input"),
        ('"input": 374', '"input": NaN', "data.quantities.input"),
        ('"input": 374', f'"input": {"9" * 5000}', "data.quantities.input"),
        ('"input": 374', '"input": 374, "input": 374', "data.quantities.input"),
        ('"model": "gpt-4o"', '"model": "gpt-4o", "model": "gpt-4o"', "data.model"),
        ('"project": "search"', '"project": "a", "project": "b"', "data.attributes.project"),
        ('"id": "req-1"', '"id": "req-1", "id": "req-2"', "id"),
        ('"traceparent": "00-abc-01"', '"traceparent": 1.5', "traceparent"),
        ('"id": "req-1"', '"id": 1.5', "id"),
    ],
)
def test_what_json_readers_usually_let_through_is_named(text: str, replacement: str, field: str) -> None:
    sent = json.dumps(EVENT)
    assert text in sent
    with pytest.raises(EventRejected) as caught:
        read_event(parse(sent.replace(text, replacement)), None)
    assert caught.value.field == field


def test_the_customer_is_that_of_the_key_or_of_the_subject_and_they_may_not_differ() -> None:
    assert read_event(EVENT, "acme").customer == "acme"
    assert read_event(changed("subject", ABSENT), "acme").customer == "acme"
    with pytest.raises(EventRejected, match="belongs to another customer"):
        read_event(EVENT, "other")
    with pytest.raises(EventRejected, match="name the customer in subject"):
        read_event(changed("subject", ABSENT), None)


@pytest.mark.parametrize(
    ("path", "value", "same"),
    [
        ("time", "2026-11-17T00:00:00Z", True),
        ("traceparent", "another", True),
        ("datacontenttype", ABSENT, True),
        ("data/quantities", {"output": 44, "input": 374}, True),
        ("data/quantities/input", 375, False),
        ("data/model", "gpt-4o-mini", False),
        ("data/attributes/project", "ads", False),
        ("data/service_tier", "batch", False),
        ("subject", "other", False),
    ],
)
def test_the_content_hash_covers_customer_and_data_and_nothing_else(path: str, value: Any, same: bool) -> None:
    assert (read_event(changed(path, value), None).content_hash == read_event(EVENT, None).content_hash) == same


def test_the_identity_is_source_and_id_and_not_their_concatenation() -> None:
    assert identity_hash("a", "bc") != identity_hash("ab", "c")
    assert identity_hash('a","b', "c") != identity_hash("a", 'b","c')
    assert identity_hash("é", "x") != identity_hash("e\u0301", "x")


def test_binary_mode_gives_the_same_event() -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-type": "llm.usage.v1",
        "ce-source": "//gateway/eu-1",
        "ce-id": "req-1",
        "ce-time": EVENT["time"],
        "ce-subject": "acme",
        "content-type": "application/json",
    }
    body = json.dumps(EVENT["data"])
    assert read_event(from_binary_mode(headers, parse(body)), None) == read_event(EVENT, None)
    raw = json.dumps({"headers": headers, "body": body})
    assert read_event(read_raw(raw), None) == read_event(EVENT, None)


@pytest.mark.parametrize(("header", "text"), [("caf%C3%A9", "café"), ("50%", "50%"), ("%F0%9F%98%80", "😀")])
def test_binary_mode_headers_are_percent_decoded(header: str, text: str) -> None:
    assert from_binary_mode({"ce-id": header}, {})["id"] == text


@pytest.mark.parametrize("header", ["%ff", "%C3", "\ud800%41", "\udc80%41"])
def test_headers_that_are_not_utf8_are_rejected(header: str) -> None:
    with pytest.raises(EventRejected, match="UTF-8"):
        from_binary_mode({"ce-id": header}, {})


@pytest.mark.parametrize(
    "raw",
    [
        '{"headers": 1, "body": "{}"}',
        '{"headers": {"ce-id": 5}, "body": "{}"}',
        '{"headers": {"ce-id": "a"}, "body": {}}',
        '{"headers": {"ce-id": "a"}, "body": "{"}',
        '{"headers": {"ce-id": "a"}, "body": 1.5}',
        '{"headers": {}, "body": ""}',
        '{"body": "1", "headers": [1]}',
    ],
)
def test_a_kept_request_that_is_not_as_we_keep_it_is_rejected(raw: str) -> None:
    with pytest.raises(EventRejected):
        read_event(read_raw(raw), "acme")


# Whatever arrives, the answer is an event or a rejection that can be printed, logged and sent.

ANY_TEXT = st.text(max_size=6) | st.text(alphabet=st.characters(categories=["Cs", "Cc", "Zl", "Zp", "Lu"]), max_size=4)
ANY_KEY = st.sampled_from([*EVENT, "data_base64", "dataschema", *EVENT["data"], "headers", "body"]) | ANY_TEXT
ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**40, 10**45)
    | ANY_TEXT
    | st.sampled_from(["1.0", "acme"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_KEY, inner, max_size=4),
    max_leaves=10,
)
PATHS = [*EVENT, "data_base64", "dataschema", "x", "data/provider", "data/model", "data/quantities", "data/attributes",
         "data/quantities/input", "data/quantities/tool_call:web", "data/attributes/project",
         "data/service_tier"]  # fmt: skip


def assert_event_or_rejection(value: Any) -> None:
    for customer in ("acme", None):
        try:
            event = read_event(value, customer)
        except EventRejected as error:
            assert f"{error} {error.field} {error.value}".isascii()
            assert len(error.field) <= 120 and len(error.value) <= 120
        else:
            json.dumps(event, ensure_ascii=False).encode()


@given(ANY_VALUE)
def test_any_json_value_is_an_event_or_rejected(value: Any) -> None:
    assert_event_or_rejection(value)


@given(st.sampled_from(PATHS), ANY_VALUE)
def test_an_event_with_any_value_anywhere_is_an_event_or_rejected(path: str, value: Any) -> None:
    assert_event_or_rejection(changed(path, value))


@given(st.sampled_from(["", "data", "data/quantities", "data/attributes"]), ANY_KEY, ANY_VALUE)
def test_an_event_with_any_member_more_is_an_event_or_rejected(at: str, key: str, value: Any) -> None:
    event = json.loads(json.dumps(EVENT))
    target = event
    for step in filter(None, at.split("/")):
        target = target[step]
    target[key] = value
    assert_event_or_rejection(event)


@st.composite
def careless_json(draw: st.DrawFn) -> str:
    """JSON text with doubled keys, numbers of all kinds, escapes and spaces, at any level."""

    def text(depth: int) -> str:
        kind = draw(st.integers(0, 6 if depth else 4))
        if kind == 0:
            return json.dumps(draw(ANY_TEXT), ensure_ascii=True)
        if kind == 1:
            return draw(
                st.sampled_from(["0", "-0", "7", "1.0", "1e400", "NaN", "-Infinity", "9" * 50, "9" * 5000, "1e-9"])
            )
        if kind == 2:
            return draw(st.sampled_from(["null", "true", "false", '"\\ud83d"', '"\\ud83d\\ude00"', '"\\u0000"']))
        if kind in (3, 4):
            return json.dumps(draw(st.sampled_from(["1.0", "llm.usage.v1", "acme", EVENT["time"], "gpt-4o", "openai"])))
        if kind == 5:
            return "[" + ",".join(text(depth - 1) for _ in range(draw(st.integers(0, 3)))) + "]"
        members = [f"{json.dumps(draw(ANY_KEY))}: {text(depth - 1)}" for _ in range(draw(st.integers(0, 5)))]
        return "{" + ", ".join(members) + "}"

    return text(4)


@given(careless_json())
@example('{"headers": {"ce-id": "\\ud800%41"}, "body": "{}"}')
def test_any_json_text_is_an_event_or_rejected(text: str) -> None:
    for read in (parse, read_raw):
        try:
            value = read(text)
        except EventRejected as error:
            assert str(error).isascii()
        else:
            assert_event_or_rejection(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_events_or_rejected(body: bytes) -> None:
    try:
        text = decode_text(body)
        values = [parse(text)]
        values += [value for _, value in split_array(text)]
    except EventRejected as error:
        assert str(error).isascii()
    else:
        for value in values:
            assert_event_or_rejection(value)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"data":', '[{"a":'])
def test_no_depth_of_nesting_is_a_crash(opening: str) -> None:
    """Also at the depths where the parser just succeeds and whoever prints the value just does not."""
    closing = {"[": "]", "{": "}"}
    for depth in [*range(1, 60), *range(60, 1100), 50_000]:
        ends = "".join(closing[c] for c in reversed(opening) if c in closing)
        nested = opening * depth + "1" + ends * depth
        for text in (nested, json.dumps(EVENT)[:-1] + f', "deep": {nested}}}'):
            try:
                value = parse(text)
            except EventRejected:
                continue
            with pytest.raises(EventRejected):
                read_event(value, "acme")
