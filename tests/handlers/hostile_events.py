"""Events that must be rejected, as cases: what is sent, the field that is named, the value shown, the remedy."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.faults.world import event

WHOLE = "a whole number from 0 to 1000000000000, written as an integer"
NAME = "1 to 256 characters, no control characters or lone surrogates"
REQUIRED = "required: a non-empty string"
TIME = "give an RFC 3339 time such as 2026-11-16T18:15:46.680590Z"
NO_MOMENT = f"{TIME}; this is not a moment of the calendar"
MODEL = "required: 1 to 128 printable characters without '|'"
PROVIDER = "required: lower-case letters, digits, '.', '_', '-', such as openai"
QUANTITIES = 'required: an object such as {"input": 374, "output": 44}'
UNKNOWN = "unknown member; known: attributes, model, provider, quantities, service_tier. No prompts, no free text"
CLASS = "class names are lower-case letters, digits and '_'; calls of a tool are tool_call: and its name of at most 56"
TIER = "one of standard, batch, priority, flex; without it, standard"
EXTENSION = "CloudEvents extension names are lower-case letters and digits"
SCALAR = "an extension is a string, a boolean or an integer"
SCHEMA = "no control characters"


def raw(text: str) -> str:
    """JSON text that goes into the event as it stands."""
    return f"<<{text}>>"


def as_text(value: Any) -> str:
    return re.sub(r'"<<(.*?)>>"', lambda m: str(json.loads(f'"{m[1]}"')), json.dumps(value), flags=re.DOTALL)


def data(**members: Any) -> dict[str, Any]:
    return {"provider": "openai", "model": "gpt-4o", "quantities": {"input": 1}, **members}


# name: what is changed in a good event, the field that is named, the value that is shown, the remedy
REJECTED: dict[str, tuple[Any, str, str, str]] = {
    # quantities
    "NaN": (event(quantities={"input": raw("NaN")}), "data.quantities.input", "NaN", WHOLE),
    "Infinity": (event(quantities={"input": raw("Infinity")}), "data.quantities.input", "Infinity", WHOLE),
    "minus Infinity": (event(quantities={"input": raw("-Infinity")}), "data.quantities.input", "-Infinity", WHOLE),
    "negative": (event(quantities={"input": -1}), "data.quantities.input", "-1", WHOLE),
    "fractional": (event(quantities={"input": raw("1.5")}), "data.quantities.input", "1.5", WHOLE),
    "1e3": (event(quantities={"input": raw("1e3")}), "data.quantities.input", "1e3", WHOLE),
    "1E3": (event(quantities={"input": raw("1E3")}), "data.quantities.input", "1E3", WHOLE),
    "1.0": (event(quantities={"input": raw("1.0")}), "data.quantities.input", "1.0", WHOLE),
    "-0.0": (event(quantities={"input": raw("-0.0")}), "data.quantities.input", "-0.0", WHOLE),
    "one over the largest": (event(quantities={"input": 10**12 + 1}), "data.quantities.input", "1000000000001", WHOLE),
    "10**39": (event(quantities={"input": 10**39}), "data.quantities.input", "1" + "0" * 39, WHOLE),
    "10**40": (event(quantities={"input": 10**40}), "data.quantities.input", "1" + "0" * 40, WHOLE),
    "10**5000": (
        event(quantities={"input": raw("1" + "0" * 5000)}), "data.quantities.input", "1" + "0" * 116 + "...", WHOLE,
    ),
    "1e400": (event(quantities={"input": raw("1e400")}), "data.quantities.input", "1e400", WHOLE),
    "true as quantity": (event(quantities={"input": True}), "data.quantities.input", "True", WHOLE),
    "false as quantity": (event(quantities={"input": False}), "data.quantities.input", "False", WHOLE),
    "null as quantity": (event(quantities={"input": None}), "data.quantities.input", "None", WHOLE),
    "text as quantity": (event(quantities={"input": "5"}), "data.quantities.input", "5", WHOLE),
    "list as quantity": (event(quantities={"input": [5]}), "data.quantities.input", "[5]", WHOLE),
    "second quantity bad": (event(quantities={"input": 1, "output": -1}), "data.quantities.output", "-1", WHOLE),
    "no quantities": (event(data={"provider": "openai", "model": "m"}), "data.quantities", "None", QUANTITIES),
    "empty quantities": (event(quantities={}), "data.quantities", "{}", QUANTITIES),
    "quantities as list": (event(quantities=[1]), "data.quantities", "[1]", QUANTITIES),
    "33 classes": (
        event(quantities={f"c{n}": 1 for n in range(33)}), "data.quantities", "33 classes", "at most 32 classes",
    ),
    "upper-case class": (event(quantities={"Input": 1}), "data.quantities.Input", "1", CLASS),
    "empty class": (event(quantities={"": 1}), "data.quantities.", "1", CLASS),
    "class with |": (event(quantities={"a|b": 1}), "data.quantities.a|b", "1", CLASS),
    "class beyond ASCII": (event(quantities={"ïn": 1}), "data.quantities.\\xefn", "1", CLASS),
    "class with NUL": (event(quantities={"in\0": 1}), "data.quantities.in?", "1", CLASS),
    "class of 65": (event(quantities={"a" * 65: 1}), "data.quantities." + "a" * 65, "1", CLASS),
    "a tool without a name": (event(quantities={"tool_call:": 1}), "data.quantities.tool_call:", "1", CLASS),
    "any tool": (event(quantities={"tool_call:*": 1}), "data.quantities.tool_call:*", "1", CLASS),
    "tool of 57": (
        event(quantities={f"tool_call:{'a' * 57}": 1}), f"data.quantities.tool_call:{'a' * 57}", "1", CLASS,
    ),
    "tool in upper case": (event(quantities={"tool_call:Web": 1}), "data.quantities.tool_call:Web", "1", CLASS),
    "tool with |": (event(quantities={"tool_call:a|batch": 1}), "data.quantities.tool_call:a|batch", "1", CLASS),
    "tool with a line feed": (event(quantities={"tool_call:a\n": 1}), "data.quantities.tool_call:a?", "1", CLASS),
    "another class with a colon": (event(quantities={"call:web": 1}), "data.quantities.call:web", "1", CLASS),
    "half a second": (
        event(quantities={"compute_second": raw("0.5")}), "data.quantities.compute_second", "0.5", WHOLE,
    ),
    # service tier
    "unknown tier": (event(service_tier="turbo"), "data.service_tier", "turbo", TIER),
    "empty tier": (event(service_tier=""), "data.service_tier", "", TIER),
    "tier in upper case": (event(service_tier="Batch"), "data.service_tier", "Batch", TIER),
    "tier with a space": (event(service_tier="batch "), "data.service_tier", "batch ", TIER),
    "tier with NUL": (event(service_tier="batch\0"), "data.service_tier", "batch?", TIER),
    "tier with a surrogate": (event(service_tier="\ud800"), "data.service_tier", "\\ud800", TIER),
    "long tier": (event(service_tier="x" * 300), "data.service_tier", "x" * 117 + "...", TIER),
    "tier a number": (event(service_tier=raw("1.5")), "data.service_tier", "1.5", TIER),
    "tier an integer": (event(service_tier=0), "data.service_tier", "0", TIER),
    "tier true": (event(service_tier=True), "data.service_tier", "True", TIER),
    "tier a list": (event(service_tier=["batch"]), "data.service_tier", "['batch']", TIER),
    "tier an object": (event(service_tier={"a": 1}), "data.service_tier", "{'a': 1}", TIER),
    "tier outside data": (
        {**event(), "service_tier": "batch"}, "service_tier", "batch", EXTENSION,
    ),
    # data
    "no data": (event(data=None), "data", "None", "required: an object with provider, model and quantities"),
    "data null": (event(data=raw("null")), "data", "None", "required: an object with provider, model and quantities"),
    "data a list": (event(data=[1]), "data", "[1]", "required: an object with provider, model and quantities"),
    "data a string": (event(data="{}"), "data", "{}", "required: an object with provider, model and quantities"),
    "a prompt": (event(data=data(prompt="Hello")), "data.prompt", "Hello", UNKNOWN),
    "a cost": (event(data=data(cost=raw("0.01"))), "data.cost", "0.01", UNKNOWN),
    "a surrogate as member": (event(data=data(**{"\ud800": 1})), "data.\\ud800", "1", UNKNOWN),
    "base64 data": (
        event(data_base64="e30="), "data_base64", "present", "send usage as a JSON object in data",
    ),
    "no provider": (event(data={"model": "m", "quantities": {"input": 1}}), "data.provider", "None", PROVIDER),
    "upper-case provider": (event(provider="OpenAI"), "data.provider", "OpenAI", PROVIDER),
    "provider a number": (event(provider=raw("1.5")), "data.provider", "1.5", PROVIDER),
    "provider an integer": (event(provider=1), "data.provider", "1", PROVIDER),
    "provider with /": (event(provider="open/ai"), "data.provider", "open/ai", PROVIDER),
    "provider of 65": (event(provider="a" * 65), "data.provider", "a" * 65, PROVIDER),
    "no model": (event(data={"provider": "p", "quantities": {"input": 1}}), "data.model", "None", MODEL),
    "empty model": (event(model=""), "data.model", "", MODEL),
    "model of 129": (event(model="m" * 129), "data.model", "m" * 117 + "...", MODEL),
    "model with |": (event(model="a|b"), "data.model", "a|b", MODEL),
    "model a number": (event(model=raw("4.5")), "data.model", "4.5", MODEL),
    "model with a lone surrogate": (event(model="m\udfff"), "data.model", "m\\udfff", MODEL),
    "model with NUL": (event(model="m\0"), "data.model", "m?", MODEL),
    "model with a line separator": (event(model="m\u2028"), "data.model", "m\\u2028", MODEL),
    # attributes
    "nine attributes": (
        event(attributes={f"a{n}": "x" for n in range(9)}),
        "data.attributes", str({f"a{n}": "x" for n in range(9)}), "an object of at most 8 strings",
    ),
    "attribute of 65": (
        event(attributes={"project": "x" * 65}),
        "data.attributes.project", "x" * 65, "a string of at most 64 characters",
    ),
    "attribute a number": (
        event(attributes={"project": raw("1.5")}),
        "data.attributes.project", "1.5", "a string of at most 64 characters",
    ),
    "attribute with a surrogate": (
        event(attributes={"project": "\ud800"}),
        "data.attributes.project", "\\ud800", "a string of at most 64 characters",
    ),
    "attribute name": (
        event(attributes={"Project": "x"}),
        "data.attributes.Project", "x", "attribute names are lower-case letters, digits and '_'",
    ),
    "attribute named like a tool": (
        event(attributes={"tool_call:web": "x"}),
        "data.attributes.tool_call:web", "x", "attribute names are lower-case letters, digits and '_'",
    ),
    "attributes a list": (event(attributes=["x"]), "data.attributes", "['x']", "an object of at most 8 strings"),
    # identity
    "no id": (event(id=None), "id", "None", REQUIRED),
    "empty id": (event(id=""), "id", "", NAME),
    "id of 257": (event(id="x" * 257), "id", "x" * 117 + "...", NAME),
    "id a fraction": (event(id=raw("1.5")), "id", "1.5", REQUIRED),
    "id an integer": (event(id=7), "id", "7", REQUIRED),
    "id null": (event(id=raw("null")), "id", "None", REQUIRED),
    "id with NUL": (event(id="a\0b"), "id", "a?b", NAME),
    "id with a line feed": (event(id="a\nb"), "id", "a?b", NAME),
    "id with DEL": (event(id="a\x7f"), "id", "a?", NAME),
    "id with a C1 control": (event(id="a\x85"), "id", "a\\x85", NAME),
    "id with a lone surrogate": (event(id="\ud83d"), "id", "\\ud83d", NAME),
    "no source": (event(source=None), "source", "None", REQUIRED),
    "source a number": (event(source=raw("-1e5")), "source", "-1e5", REQUIRED),
    "source of 257": (event(source="/" * 257), "source", "/" * 117 + "...", NAME),
    # envelope
    "no specversion": (event(specversion=None), "specversion", "None", 'send CloudEvents with "specversion": "1.0"'),
    "specversion a number": (
        event(specversion=raw("1.0")), "specversion", "1.0", 'send CloudEvents with "specversion": "1.0"',
    ),
    "specversion 0.3": (event(specversion="0.3"), "specversion", "0.3", 'send CloudEvents with "specversion": "1.0"'),
    "no type": (event(type=None), "type", "None", 'the type of a usage event is "llm.usage.v1"'),
    "other type": (event(type="llm.usage.v2"), "type", "llm.usage.v2", 'the type of a usage event is "llm.usage.v1"'),
    "text data": (
        event(datacontenttype="text/plain"), "datacontenttype", "text/plain", "usage data is application/json",
    ),
    "datacontenttype a number": (event(datacontenttype=raw("1.5")), "datacontenttype", "1.5", REQUIRED),
    "free text as datacontenttype": (
        event(datacontenttype="application/json; " + "x" * 300),
        "datacontenttype", "application/json; " + "x" * 99 + "...", NAME,
    ),
    "an object as dataschema": (event(dataschema={"prompt": "Hi"}), "dataschema", "{'prompt': 'Hi'}", REQUIRED),
    "free text as dataschema": (event(dataschema="x" * 300), "dataschema", "x" * 117 + "...", NAME),
    "extension in upper case": (event(Trace="x"), "Trace", "x", EXTENSION),
    "extension with a hyphen": (event(**{"trace-id": "x"}), "trace-id", "x", EXTENSION),
    "extension without a name": (event(**{"": "x"}), "", "x", EXTENSION),
    "extension with a surrogate": (event(**{"\ud800": "x"}), "\\ud800", "x", EXTENSION),
    "null extension with a bad name": (event(Trace=raw("null")), "Trace", "None", EXTENSION),
    "extension an object": (event(trace={"a": 1}), "trace", "{'a': 1}", SCALAR),
    "extension a list": (event(trace=[1]), "trace", "[1]", SCALAR),
    "extension a fraction": (event(trace=raw("1.5")), "trace", "1.5", SCALAR),
    "extension NaN": (event(trace=raw("NaN")), "trace", "NaN", SCALAR),
    "extension with NUL": (event(trace="\0"), "trace", "?", "at most 256 characters, no control characters"),
    "free text as extension": (
        event(trace="x" * 257), "trace", "x" * 117 + "...", "at most 256 characters, no control characters",
    ),
    # customer
    "no customer": (
        event(subject=None), "subject", "None", "this key is for all customers: name the customer in subject",
    ),
    "unknown customer": (
        event(subject="nobody"), "subject", "nobody", "no such customer; create it first or correct the subject",
    ),
    "customer with a hash": (event(subject="acme#x"), "subject", "acme#x", "the subject is a customer id"),
    "customer of 65": (event(subject="a" * 65), "subject", "a" * 65, "the subject is a customer id"),
    "customer a number": (event(subject=raw("1.5")), "subject", "1.5", "the subject is a customer id"),
    "customer with a line feed": (event(subject="acme\n"), "subject", "acme?", "the subject is a customer id"),
    # time
    "no time": (event(time=None), "time", "None", TIME),
    "time null": (event(time=raw("null")), "time", "None", TIME),
    "time a number": (event(time=raw("1.5")), "time", "1.5", TIME),
    "only a day": (event(time="2026-11-16"), "time", "2026-11-16", TIME),
    "no offset": (event(time="2026-11-16T10:00:00"), "time", "2026-11-16T10:00:00", TIME),
    "a space for T": (event(time="2026-11-16 10:00:00Z"), "time", "2026-11-16 10:00:00Z", TIME),
    "comma fraction": (event(time="2026-11-16T10:00:00,5Z"), "time", "2026-11-16T10:00:00,5Z", TIME),
    "31 fractional digits": (
        event(time=f"2026-11-16T10:00:00.{'1' * 31}Z"), "time", f"2026-11-16T10:00:00.{'1' * 31}Z", TIME,
    ),
    "other digits": (
        event(time="\uff12026-11-16T10:00:00Z"), "time", "\\uff12026-11-16T10:00:00Z", TIME,
    ),
    "time with a line feed": (event(time="2026-11-16T10:00:00Z\n"), "time", "2026-11-16T10:00:00Z?", TIME),
    "year 0000": (event(time="0000-01-01T00:00:00Z"), "time", "0000-01-01T00:00:00Z", NO_MOMENT),
    "leap second": (event(time="2016-12-31T23:59:60Z"), "time", "2016-12-31T23:59:60Z", NO_MOMENT),
    "hour 24": (event(time="2026-11-15T24:00:00Z"), "time", "2026-11-15T24:00:00Z", NO_MOMENT),
    "30 February": (event(time="2026-02-30T00:00:00Z"), "time", "2026-02-30T00:00:00Z", NO_MOMENT),
    "offset of a day": (event(time="2026-11-16T10:00:00+24:00"), "time", "2026-11-16T10:00:00+24:00", NO_MOMENT),
    "offset of 60 minutes": (event(time="2026-11-16T10:00:00+01:60"), "time", "2026-11-16T10:00:00+01:60", NO_MOMENT),
    "before the calendar": (event(time="0001-01-01T00:00:00+01:00"), "time", "0001-01-01T00:00:00+01:00", NO_MOMENT),
    "after the calendar": (event(time="9999-12-31T23:59:59-01:00"), "time", "9999-12-31T23:59:59-01:00", NO_MOMENT),
    "far future": (
        event(time="9999-12-31T23:59:59Z"),
        "time", "9999-12-31T23:59:59.000000Z", "more than 300 s ahead of 2026-11-16T12:00:00.000000Z; check",
    ),
    "301 s ahead": (
        event(time="2026-11-16T12:05:00.000001Z"),
        "time", "2026-11-16T12:05:00.000001Z", "more than 300 s ahead of 2026-11-16T12:00:00.000000Z; check",
    ),
    "before the account": (
        event(time="2026-09-29T23:59:59.999999Z"),
        "time", "2026-09-29T23:59:59.999999Z", "account exists since 2026-09-30T00:00:00.000000Z; check the clock",
    ),
    # no object at all
    "a number": (7, "event", "7", "an event is a JSON object"),
    "a string": ("event", "event", "event", "an event is a JSON object"),
    "null": (None, "event", "None", "an event is a JSON object"),
    "a list": ([event()], "event", "[{", "an event is a JSON object"),
    "an empty object": ({}, "specversion", "None", 'send CloudEvents with "specversion": "1.0"'),
    # the same member twice
    "specversion twice": (raw('{"specversion":"1.0","specversion":"1.0"}'), "specversion", "more than once", "once"),
    "the first of several": (raw('{"b":1,"c":2,"c":3,"b":4}'), "c", "more than once", "give each member once"),
    "id twice": (as_text(event()).replace('"source"', '"id":"e2","source"'), "id", "more than once", "once"),
    "data twice": (as_text(event()).replace('"data":', '"data":{},"data":'), "data", "more than once", "once"),
    "provider twice": (
        as_text(event()).replace('"provider":', '"provider":"x","provider":'),
        "data.provider", "more than once", "once",
    ),
    "tier twice": (
        as_text(event(service_tier="batch")).replace('"service_tier":', '"service_tier":"flex","service_tier":'),
        "data.service_tier", "more than once", "once",
    ),
    "class twice": (
        as_text(event()).replace('"input":', '"input":1,"input":'), "data.quantities.input", "more than once", "once",
    ),
    "class twice, also escaped": (
        as_text(event()).replace('"input":', '"\\u0069nput":1,"input":'),
        "data.quantities.input", "more than once", "once",
    ),
    "attribute twice": (
        as_text(event(attributes={"a": "x"})).replace('"a":', '"a":"y","a":'),
        "data.attributes.a", "more than once", "once",
    ),
    "extension twice": (as_text(event(trace="x")).replace('"trace":', '"trace":"y","trace":'), "trace", "more", "once"),
    # size and depth
    "65,537 bytes": (
        as_text(event()) + " " * (65_536 - len(as_text(event()))) + " ", "event", "65537 bytes", "at most 65536 bytes",
    ),
    "nested in data": (event(data=raw("[" * 30 + "]" * 30)), "data", "[[[[", "required: an object"),
}  # fmt: skip


def text_of(case: Any) -> str:
    """The JSON text of a case: given as text where it starts like an object, else made of the value."""
    return case if isinstance(case, str) and case.startswith("{") else as_text(case)
