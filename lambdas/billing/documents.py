"""Catalogue documents as frozen values: entity, customer, plan, rate card version, contract version.

Each `read_*` takes a parsed JSON object with a closed schema and raises DocumentRefused (or a more exact error)
that names the field, the value and the remedy. `content_hash` of the document is the hash of its canonical form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

from lambdas.billing.classes import CLASSES, INPUT_CLASSES, OUTPUT_CLASSES
from lambdas.billing.errors import DocumentRefused, PlanRefused, UnknownClass
from lambdas.billing.money import ONE, minor_digits, multiply, parse_amount, price_per_unit
from lambdas.billing.strict_json import Duplicated
from lambdas.billing.times import day_start
from lambdas.billing.usage import CUSTOMER_ID, MODEL_RULE, PROVIDER, is_model

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_PREFIX = re.compile(r"[A-Z][A-Z0-9]{0,11}", re.ASCII)
_FREE_TEXT = 200
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""Control characters, invisible ones and those that turn the direction of text. A list of ours: what Python calls
printable grows with its version, and a document that was read once must be readable for ever."""
MAX_RATES = 1000


class Rate(NamedTuple):
    """The price of one class of one model: `price` (decimal text) per block of `per` units."""

    provider: str
    model: str
    token_class: str
    price: str
    per: int
    unit_price: int
    """Exact price of one unit, in 10**-18."""


class RateCardVersion(NamedTuple):
    """Prices in force from `effective_from` on, until a later version prices the same class of the same model."""

    card: str
    version: int
    currency: str
    effective_from: str
    rates: tuple[Rate, ...]


class Charge(NamedTuple):
    """A priced rule of a plan: which meter (a named sum over disjoint classes), priced how (D6)."""

    id: str
    meter: str
    classes: tuple[str, ...]
    kind: str


class Plan(NamedTuple):
    """A list of charges and a funding mode. The model is the template that the plan was made from."""

    id: str
    version: int
    name: str
    model: str
    primary_meter: str
    funding: str
    charges: tuple[Charge, ...]


class Contract(NamedTuple):
    """What one customer agreed to, from `effective_from` on (R11). Every rated charge names its version."""

    customer: str
    version: int
    effective_from: str
    entity: str
    currency: str
    plan: str
    plan_version: int
    rate_card: str
    usage_basis: str
    late_usage: str
    parked_usage: str
    volatility_bearer: str
    posture: str
    tax_category: str
    tax_rate: str


def read_entity(document: Any) -> dict[str, Any]:
    """An issuing entity: id, name, address lines, country, invoice number prefix."""
    fields = _closed(document, required={"id", "name", "address", "country", "invoice_prefix"})
    _match(fields, "id", _NAME, "letters, digits, '.', '_', '-'")
    _text(fields, "name")
    _text(fields, "address")
    _match(fields, "country", re.compile(r"[A-Z]{2}"), "an ISO 3166 country code such as US")
    _match(fields, "invoice_prefix", _PREFIX, "1 to 12 upper-case letters and digits, such as BP")
    return fields


def read_customer(document: Any) -> dict[str, Any]:
    """A customer: id and name; `mode` live or test, for ever (R46)."""
    fields = _closed(document, required={"id", "name"}, optional={"mode"})
    _match(fields, "id", CUSTOMER_ID, "letters, digits, '.', '_', '-', at most 64")
    _text(fields, "name")
    fields.setdefault("mode", "live")
    _choice(fields, "mode", ("live",))
    return fields


def read_rate_card_version(card: str, document: Any) -> RateCardVersion:
    """One version of a rate card. Unknown classes, doubled keys and inexact prices are refused."""
    fields = _closed(document, required={"version", "currency", "effective_from", "rates"})
    if not _NAME.fullmatch(card):
        raise DocumentRefused("rate card", card, "letters, digits, '.', '_', '-', at most 64")
    version = _version(fields)
    currency = _currency(fields)
    day_start(fields["effective_from"])
    entries = fields["rates"]
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_RATES:
        raise DocumentRefused("rates", entries, f"a list of 1 to {MAX_RATES} rates")
    rates: list[Rate] = []
    seen: set[tuple[str, str, str]] = set()
    for position, entry in enumerate(entries):
        rate = _rate(entry, f"rates[{position}]")
        key = (rate.provider, rate.model, rate.token_class)
        if key in seen:
            raise DocumentRefused(f"rates[{position}]", "/".join(key), "one rate for each provider, model and class")
        seen.add(key)
        rates.append(rate)
    return RateCardVersion(card, version, currency, fields["effective_from"], tuple(rates))


def read_plan(document: Any) -> Plan:
    """A plan. `pure_token` (R9.1) is a template: it expands to one charge for input and one for output."""
    fields = _closed(document, required={"id", "version", "name", "model"})
    _match(fields, "id", _NAME, "letters, digits, '.', '_', '-'")
    version = _version(fields)
    _text(fields, "name")
    if fields["model"] != "pure_token":
        raise PlanRefused("model", fields["model"], 'the one model offered so far is "pure_token"')
    charges = (
        Charge("input", "input", INPUT_CLASSES, "per_unit"),
        Charge("output", "output", OUTPUT_CLASSES, "per_unit"),
    )
    return Plan(fields["id"], version, fields["name"], "pure_token", "output", "invoiced", charges)


def read_contract(document: Any) -> Contract:
    """A contract version. Every policy is written out; nothing is defaulted."""
    names = set(Contract._fields) - {"tax_category", "tax_rate"} | {"tax"}
    fields = _closed(document, required=names)
    _match(fields, "customer", CUSTOMER_ID, "a customer id")
    version = _version(fields)
    day_start(fields["effective_from"])
    for field in ("entity", "plan", "rate_card"):
        _match(fields, field, _NAME, "an id of the catalogue")
    currency = _currency(fields)
    plan_version = _version(fields, "plan_version")
    _choice(fields, "usage_basis", ("provider_reported",))
    _choice(fields, "late_usage", ("hold",))
    _choice(fields, "parked_usage", ("block", "exclude"))
    _choice(fields, "volatility_bearer", ("customer", "seller"))
    _choice(fields, "posture", ("predictable", "variable"))
    tax = _closed(fields["tax"], required={"category", "rate"}, at="tax.")
    _match(tax, "category", re.compile(r"[A-Z]{1,3}"), "a tax category code such as S, Z, E, AE or O", at="tax.")
    rate = parse_amount(tax["rate"], "tax.rate")
    if not 0 <= rate < parse_amount("1"):
        raise DocumentRefused("tax.rate", tax["rate"], 'a share from "0" to below "1", such as "0.19"')
    multiply(ONE // int(10 ** minor_digits(currency)), rate, "tax.rate")  # the tax on any net is exact (K2)
    return Contract(
        customer=fields["customer"], version=version, effective_from=fields["effective_from"], entity=fields["entity"],
        currency=currency, plan=fields["plan"], plan_version=plan_version, rate_card=fields["rate_card"],
        usage_basis=fields["usage_basis"], late_usage=fields["late_usage"], parked_usage=fields["parked_usage"],
        volatility_bearer=fields["volatility_bearer"], posture=fields["posture"],
        tax_category=tax["category"], tax_rate=tax["rate"],
    )  # fmt: skip


def _rate(entry: Any, at: str) -> Rate:
    fields = _closed(entry, required={"provider", "model", "class", "price", "per"}, at=f"{at}.")
    _match(fields, "provider", PROVIDER, "lower-case letters, digits, '.', '_', '-'", at=f"{at}.")
    if not is_model(fields["model"]):
        raise DocumentRefused(f"{at}.model", fields["model"], MODEL_RULE)
    name = fields["class"]
    if not isinstance(name, str) or name not in CLASSES:
        raise UnknownClass(f"{at}.class", name, f"known classes: {', '.join(CLASSES)}")
    price = parse_amount(fields["price"], f"{at}.price")
    if price < 0:
        raise DocumentRefused(f"{at}.price", fields["price"], "a price is zero or more")
    per = fields["per"]
    if type(per) is not int or per not in (1, 1_000, 1_000_000):
        raise DocumentRefused(f"{at}.per", per, "the block of a price is 1, 1000 or 1000000 units")
    return Rate(
        fields["provider"],
        fields["model"],
        name,
        fields["price"],
        per,
        price_per_unit(price, per, f"{at}.price"),
    )


def _closed(document: Any, *, required: Set[str], optional: Set[str] = frozenset(), at: str = "") -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise DocumentRefused(at.rstrip(".") or "body", document, f"an object with {', '.join(sorted(required))}")
    if isinstance(document, Duplicated):
        raise DocumentRefused(f"{at}{document.key}", "more than once", "give each member once")
    for name in document:
        if name not in required and name not in optional:
            known = ", ".join(sorted({*required, *optional}))
            raise DocumentRefused(f"{at}{name}", document[name], f"unknown member; known: {known}")
    for name in sorted(required):
        if name not in document:
            raise DocumentRefused(f"{at}{name}", None, "required")
    return dict(document)


def _match(fields: Mapping[str, Any], field: str, pattern: re.Pattern[str], remedy: str, at: str = "") -> None:
    if type(fields[field]) is not str or not pattern.fullmatch(fields[field]):
        raise DocumentRefused(f"{at}{field}", fields[field], remedy)


def _text(fields: Mapping[str, Any], field: str) -> None:
    text = fields[field]
    if type(text) is not str or not 0 < len(text) <= _FREE_TEXT or _UNSHOWABLE.search(text):
        raise DocumentRefused(field, text, f"1 to {_FREE_TEXT} printable characters")


def _choice(fields: Mapping[str, Any], field: str, choices: tuple[str, ...]) -> None:
    if fields[field] not in choices:
        raise DocumentRefused(field, fields[field], f"one of: {', '.join(choices)}")


def _version(fields: Mapping[str, Any], field: str = "version") -> int:
    version = fields[field]
    if type(version) is not int or not 0 < version < 10**6:
        raise DocumentRefused(field, version, "a whole number from 1")
    return version


def _currency(fields: Mapping[str, Any]) -> str:
    currency = fields["currency"]
    if type(currency) is not str:
        raise DocumentRefused("currency", currency, "an ISO 4217 code such as USD")
    minor_digits(currency)
    return currency
