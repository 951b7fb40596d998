"""Catalogue documents as frozen values: entity, customer, plan, rate card version, contract version.

Each `read_*` takes a parsed JSON object with a closed schema and raises DocumentRefused (or a more exact error)
that names the field, the value and the remedy. `content_hash` of the document is the hash of its canonical form.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from lambdas.billing.classes import CLASSES
from lambdas.billing.errors import DocumentRefused, PlanHasNoOpenTier, UnknownClass
from lambdas.billing.fields import NAME, check_choice, check_match, check_text, closed, currency_of, version_of
from lambdas.billing.money import ONE, minor_digits, multiply, parse_amount, price_per_unit
from lambdas.billing.times import day_start
from lambdas.billing.usage import CUSTOMER_ID, MODEL_RULE, PROVIDER, is_model

_PREFIX = re.compile(r"[A-Z][A-Z0-9]{0,11}", re.ASCII)
MAX_RATES = 1000
MAX_TIERS = 20
MAX_BOUND = 10**15


class Tier(NamedTuple):
    """One price of a rate: for units up to and including `up_to` of what the charge counts; None is open (D8)."""

    up_to: int | None
    price: str
    block_price: int
    """Exact price of a block, in 10**-18."""
    unit_price: int
    """Exact price of one unit, in 10**-18."""


class Rate(NamedTuple):
    """Prices per block of `per` units: of one class of one model, or (`charge`, the rest empty) of all that a charge
    counts. One open tier is a plain price."""

    provider: str
    model: str
    token_class: str
    charge: str
    per: int
    tiers: tuple[Tier, ...]


class RateCardVersion(NamedTuple):
    """Prices in force from `effective_from` on, until a later version prices the same class of the same model."""

    card: str
    version: int
    currency: str
    effective_from: str
    rates: tuple[Rate, ...]


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
    fields = closed(document, required={"id", "name", "address", "country", "invoice_prefix"})
    check_match(fields, "id", NAME, "letters, digits, '.', '_', '-'")
    check_text(fields, "name")
    check_text(fields, "address")
    check_match(fields, "country", re.compile(r"[A-Z]{2}"), "an ISO 3166 country code such as US")
    check_match(fields, "invoice_prefix", _PREFIX, "1 to 12 upper-case letters and digits, such as BP")
    return fields


def read_customer(document: Any) -> dict[str, Any]:
    """A customer: id and name; `mode` live or test, for ever (R46)."""
    fields = closed(document, required={"id", "name"}, optional={"mode"})
    check_match(fields, "id", CUSTOMER_ID, "letters, digits, '.', '_', '-', at most 64")
    check_text(fields, "name")
    fields.setdefault("mode", "live")
    check_choice(fields, "mode", ("live",))
    return fields


def read_rate_card_version(card: str, document: Any) -> RateCardVersion:
    """One version of a rate card. Unknown classes, doubled keys and inexact prices are refused."""
    fields = closed(document, required={"version", "currency", "effective_from", "rates"})
    if not NAME.fullmatch(card):
        raise DocumentRefused("rate card", card, "letters, digits, '.', '_', '-', at most 64")
    version = version_of(fields)
    currency = currency_of(fields)
    day_start(fields["effective_from"])
    entries = fields["rates"]
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_RATES:
        raise DocumentRefused("rates", entries, f"a list of 1 to {MAX_RATES} rates")
    rates: list[Rate] = []
    seen: set[tuple[str, str, str]] = set()
    for position, entry in enumerate(entries):
        rate = _rate(entry, f"rates[{position}]")
        key = (rate.provider, rate.model, rate.token_class or rate.charge)
        if key in seen:
            named = "/".join(part for part in key if part)
            raise DocumentRefused(f"rates[{position}]", named, "one rate for each provider, model and class, or charge")
        seen.add(key)
        rates.append(rate)
    return RateCardVersion(card, version, currency, fields["effective_from"], tuple(rates))


def read_contract(document: Any) -> Contract:
    """A contract version. Every policy is written out; nothing is defaulted."""
    names = set(Contract._fields) - {"tax_category", "tax_rate"} | {"tax"}
    fields = closed(document, required=names)
    check_match(fields, "customer", CUSTOMER_ID, "a customer id")
    version = version_of(fields)
    day_start(fields["effective_from"])
    for field in ("entity", "plan", "rate_card"):
        check_match(fields, field, NAME, "an id of the catalogue")
    currency = currency_of(fields)
    plan_version = version_of(fields, "plan_version")
    check_choice(fields, "usage_basis", ("provider_reported",))
    check_choice(fields, "late_usage", ("hold",))
    check_choice(fields, "parked_usage", ("block", "exclude"))
    check_choice(fields, "volatility_bearer", ("customer", "seller"))
    check_choice(fields, "posture", ("predictable", "variable"))
    tax = closed(fields["tax"], required={"category", "rate"}, at="tax.")
    check_match(tax, "category", re.compile(r"[A-Z]{1,3}"), "a tax category code such as S, Z, E, AE or O", at="tax.")
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
    priced = {"tiers"} if isinstance(entry, dict) and "tiers" in entry else {"price"}
    whole = isinstance(entry, dict) and "charge" in entry
    named = {"charge"} if whole else {"provider", "model", "class"}
    fields = closed(entry, required={*named, *priced, "per"}, at=f"{at}.")
    per = fields["per"]
    if type(per) is not int or per not in (1, 1_000, 1_000_000):
        raise DocumentRefused(f"{at}.per", per, "the block of a price is 1, 1000 or 1000000 units")
    tiers = _tiers(fields.get("tiers", [{"up_to": None, "price": fields.get("price")}]), per, at, "tiers" in fields)
    if whole:
        check_match(fields, "charge", NAME, "the id of a charge of a plan", at=f"{at}.")
        return Rate("", "", "", fields["charge"], per, tiers)
    check_match(fields, "provider", PROVIDER, "lower-case letters, digits, '.', '_', '-'", at=f"{at}.")
    if not is_model(fields["model"]):
        raise DocumentRefused(f"{at}.model", fields["model"], MODEL_RULE)
    name = fields["class"]
    if not isinstance(name, str) or name not in CLASSES:
        raise UnknownClass(f"{at}.class", name, f"known classes: {', '.join(CLASSES)}")
    return Rate(fields["provider"], fields["model"], name, "", per, tiers)


def _tiers(entries: Any, per: int, at: str, listed: bool) -> tuple[Tier, ...]:
    """Tiers with rising inclusive bounds, the last one open (D8)."""
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_TIERS:
        raise DocumentRefused(f"{at}.tiers", entries, f"a list of 1 to {MAX_TIERS} tiers")
    tiers: list[Tier] = []
    for position, entry in enumerate(entries):
        where = f"{at}.tiers[{position}]" if listed else at
        fields = closed(entry, required={"up_to", "price"}, at=f"{where}.")
        up_to, last = fields["up_to"], position == len(entries) - 1
        if last and up_to is not None:
            raise PlanHasNoOpenTier(f"{where}.up_to", up_to, "the last tier is open: null")
        floor = tiers[-1].up_to if tiers else 0
        if not last and (type(up_to) is not int or floor is None or not floor < up_to <= MAX_BOUND):
            raise DocumentRefused(f"{where}.up_to", up_to, f"a whole number above the bound before, {floor}")
        price = parse_amount(fields["price"], f"{where}.price")
        if price < 0:
            raise DocumentRefused(f"{where}.price", fields["price"], "a price is zero or more")
        tiers.append(Tier(up_to, fields["price"], price, price_per_unit(price, per, f"{where}.price")))
    return tuple(tiers)
