"""Usage events: CloudEvents 1.0 in, one checked `UsageEvent` out (R1-R4, D1, D19).

`read_event` is the only reader of usage. Ingest calls it on what arrives and `verify` calls it on the raw text in
the bundle, so both see the same event or both refuse it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from lambdas.billing.canonical import canonical_json, encode_string
from lambdas.billing.classes import STANDARD, TIERS, TOOL_CALL, TOOL_NAME
from lambdas.billing.errors import EventRejected, InvalidTime
from lambdas.billing.strict_json import Duplicated, NotAnInteger, TooDeep
from lambdas.billing.times import canonical_time

EVENT_TYPE = "llm.usage.v1"
MAX_QUANTITY = 10**12
MAX_CLASSES = 32
MAX_ATTRIBUTES = 8
MAX_ATTRIBUTE_LENGTH = 64
MAX_NAME_LENGTH = 256
MAX_MODEL_LENGTH = 128
MODEL_RULE = f"1 to {MAX_MODEL_LENGTH} printable characters without '|'"

CUSTOMER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
PROVIDER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
CLASS_NAME = re.compile(rf"[a-z][a-z0-9_]{{0,63}}|{TOOL_CALL}{TOOL_NAME}", re.ASCII)
_ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,64}", re.ASCII)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_JSON_TYPE = re.compile(r"(?i)application/(?:[a-z0-9.+-]+\+)?json(?:\s*;.*)?")
_KNOWN = frozenset(
    {
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "data",
        "data_base64",
    }
)
_DATA = frozenset({"provider", "model", "service_tier", "quantities", "attributes"})


class UsageEvent(NamedTuple):
    """The usage of one request as it will be billed. `time` is canonical; `content_hash` is hex SHA-256 (D1).

    `service_tier` is how the provider served it, one of `classes.TIERS`; standard where the event does not say.
    """

    customer: str
    source: str
    id: str
    time: str
    provider: str
    model: str
    quantities: dict[str, int]
    attributes: dict[str, str]
    content_hash: str
    service_tier: str = STANDARD


def read_event(value: Any, key_customer: str | None) -> UsageEvent:
    """Check one parsed CloudEvent. `key_customer` is the customer of the API key, None for a gateway's key.

    Raises EventRejected naming the field, the value and the remedy. Identity and content follow D1: the hash covers
    type, customer and data; not the time, not extensions.
    """
    if not isinstance(value, dict):
        remedy = "an event is not nested so deeply" if isinstance(value, TooDeep) else "an event is a JSON object"
        raise EventRejected("event", value, remedy)
    if isinstance(value, Duplicated):
        raise EventRejected(value.key, "more than once", "give each member once")
    specversion = value.get("specversion")
    if type(specversion) is not str or specversion != "1.0":
        raise EventRejected("specversion", specversion, 'send CloudEvents with "specversion": "1.0"')
    event_type = value.get("type")
    if event_type != EVENT_TYPE:
        raise EventRejected("type", event_type, f'the type of a usage event is "{EVENT_TYPE}"')
    identity = _text(value, "id", MAX_NAME_LENGTH)
    source = _text(value, "source", MAX_NAME_LENGTH)
    customer = _customer(value, key_customer)
    try:
        time = canonical_time(value.get("time"))
    except InvalidTime as error:
        raise EventRejected(error.field, error.value, error.remedy) from None
    if not value.keys() <= _KNOWN:
        _check_extensions(value)
    if value.get("datacontenttype") is not None:
        content_type = _text(value, "datacontenttype", MAX_NAME_LENGTH)
        if not _JSON_TYPE.fullmatch(content_type):
            raise EventRejected("datacontenttype", content_type, "usage data is application/json")
    if value.get("dataschema") is not None:
        _text(value, "dataschema", MAX_NAME_LENGTH)
    if "data_base64" in value:
        raise EventRejected("data_base64", "present", "send usage as a JSON object in data")
    data = value.get("data")
    provider, model, quantities, attributes, tier = _data(data)
    content = canonical_json([EVENT_TYPE, customer, data])
    digest = hashlib.sha256(content.encode()).hexdigest()
    return UsageEvent(customer, source, identity, time, provider, model, quantities, attributes, digest, tier)


def is_model(text: object) -> TypeGuard[str]:
    """Whether this can be a model's name, in an event as in a rate: what is taken in can be given a price."""
    return type(text) is str and 0 < len(text) <= MAX_MODEL_LENGTH and "|" not in text and not _UNPRINTABLE.search(text)


def from_binary_mode(headers: Mapping[str, str], data: Any) -> dict[str, Any]:
    """The structured form of a binary-mode event: `ce-*` headers (lower-case names) and the parsed body."""
    event: dict[str, Any] = {name[3:]: _header_text(text) for name, text in headers.items() if name.startswith("ce-")}
    if "content-type" in headers:
        event["datacontenttype"] = headers["content-type"]
    event["data"] = data
    return event


def identity_hash(source: str, event_id: str) -> str:
    """A fixed-length name for (source, id) inside one customer: SHA-256 of the canonical pair, hex."""
    return hashlib.sha256(f"[{encode_string(source)},{encode_string(event_id)}]".encode()).hexdigest()


def _customer(value: Mapping[str, Any], key_customer: str | None) -> str:
    subject = value.get("subject")
    if subject is None:
        if key_customer is None:
            raise EventRejected("subject", None, "this key is for all customers: name the customer in subject")
        return key_customer
    if type(subject) is not str or not CUSTOMER_ID.fullmatch(subject):
        raise EventRejected("subject", subject, "the subject is a customer id")
    if key_customer is not None and subject != key_customer:
        raise EventRejected(
            "subject",
            subject,
            "this key belongs to another customer; leave subject out or use that customer's key",
        )
    return subject


def _text(value: Mapping[str, Any], field: str, length: int) -> str:
    text = value.get(field)
    if type(text) is not str:
        raise EventRejected(field, text, "required: a non-empty string")
    if not text or len(text) > length or _UNPRINTABLE.search(text):
        raise EventRejected(field, text, f"1 to {length} characters, no control characters or lone surrogates")
    return text


def _check_extensions(value: Mapping[str, Any]) -> None:
    for name, item in value.items():
        if name in _KNOWN:
            continue
        if not _EXTENSION_NAME.fullmatch(name):
            raise EventRejected(name, item, "CloudEvents extension names are lower-case letters and digits")
        if item is None:  # an attribute that is null is one that is not set (CloudEvents JSON format 2.2)
            continue
        if isinstance(item, NotAnInteger) or not isinstance(item, str | bool | int):
            raise EventRejected(name, item, "an extension is a string, a boolean or an integer")
        if isinstance(item, str) and (len(item) > MAX_NAME_LENGTH or _UNPRINTABLE.search(item)):
            raise EventRejected(name, item, f"at most {MAX_NAME_LENGTH} characters, no control characters")


def _data(data: Any) -> tuple[str, str, dict[str, int], dict[str, str], str]:
    if not isinstance(data, dict):
        raise EventRejected("data", data, "required: an object with provider, model and quantities")
    if isinstance(data, Duplicated):
        raise EventRejected(f"data.{data.key}", "more than once", "give each member once")
    if not data.keys() <= _DATA:
        name = next(name for name in data if name not in _DATA)
        raise EventRejected(
            f"data.{name}",
            data[name],
            f"unknown member; known: {', '.join(sorted(_DATA))}. No prompts, no free text",
        )
    provider = data.get("provider")
    if type(provider) is not str or not PROVIDER.fullmatch(provider):
        raise EventRejected(
            "data.provider", provider, "required: lower-case letters, digits, '.', '_', '-', such as openai"
        )
    model = data.get("model")
    if not is_model(model):
        raise EventRejected("data.model", model, f"required: {MODEL_RULE}")
    tier = data.get("service_tier")
    if tier is None:
        tier = STANDARD
    elif tier not in TIERS:
        raise EventRejected("data.service_tier", tier, f"one of {', '.join(TIERS)}; without it, {STANDARD}")
    return provider, model, _quantities(data.get("quantities")), _attributes(data.get("attributes")), tier


def _quantities(quantities: Any) -> dict[str, int]:
    if not isinstance(quantities, dict) or not quantities:
        raise EventRejected("data.quantities", quantities, 'required: an object such as {"input": 374, "output": 44}')
    if len(quantities) > MAX_CLASSES:
        raise EventRejected("data.quantities", f"{len(quantities)} classes", f"at most {MAX_CLASSES} classes")
    if isinstance(quantities, Duplicated):
        raise EventRejected(f"data.quantities.{quantities.key}", "more than once", "give each class once")
    for name, quantity in quantities.items():
        if type(quantity) is not int or not 0 <= quantity <= MAX_QUANTITY:
            raise EventRejected(
                f"data.quantities.{name}",
                quantity,
                f"a whole number from 0 to {MAX_QUANTITY}, written as an integer",
            )
        if not CLASS_NAME.fullmatch(name):
            raise EventRejected(
                f"data.quantities.{name}",
                quantity,
                "class names are lower-case letters, digits and '_'; calls of a tool are tool_call: and its name of at "
                "most 56 lower-case letters, digits, '_', '.', '-'",
            )
    return quantities


def _attributes(attributes: Any) -> dict[str, str]:
    if attributes is None:
        return {}
    if not isinstance(attributes, dict) or len(attributes) > MAX_ATTRIBUTES:
        raise EventRejected("data.attributes", attributes, f"an object of at most {MAX_ATTRIBUTES} strings")
    if isinstance(attributes, Duplicated):
        raise EventRejected(f"data.attributes.{attributes.key}", "more than once", "give each attribute once")
    for name, text in attributes.items():
        if not _ATTRIBUTE_NAME.fullmatch(name):
            raise EventRejected(
                f"data.attributes.{name}", text, "attribute names are lower-case letters, digits and '_'"
            )
        if type(text) is not str or len(text) > MAX_ATTRIBUTE_LENGTH or _UNPRINTABLE.search(text):
            raise EventRejected(
                f"data.attributes.{name}", text, f"a string of at most {MAX_ATTRIBUTE_LENGTH} characters"
            )
    return attributes


def _header_text(text: str) -> str:
    """The text of a header value: a quoted string is unquoted, then percent-decoding is done once (CloudEvents HTTP
    binding 3.1.3.2)."""
    if _QUOTED.fullmatch(text):
        text = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    if "%" not in text:
        return text
    try:
        raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes([int(m.group(1), 16)]), text.encode())
        return raw.decode()
    except UnicodeError:
        raise EventRejected("headers", text, "percent-encode header values as UTF-8") from None
