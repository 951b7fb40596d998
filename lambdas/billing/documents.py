"""Catalogue documents as frozen values: entity, customer, contract version.

Each `read_*` takes a parsed JSON object with a closed schema and raises DocumentRefused (or a more exact error)
that names the field, the value and the remedy. `content_hash` of the document is the hash of its canonical form.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from lambdas.billing.errors import DocumentRefused
from lambdas.billing.fields import NAME, check_choice, check_match, check_text, closed, currency_of, version_of
from lambdas.billing.money import ONE, minor_digits, multiply, parse_amount
from lambdas.billing.terms import Commitment, Discount, PriceLock, read_commitment, read_discounts, read_price_lock
from lambdas.billing.times import day_start
from lambdas.billing.usage import CUSTOMER_ID

ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_PREFIX = re.compile(r"[A-Z][A-Z0-9]{0,11}", re.ASCII)


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
    anchor_day: int = 1
    """Day of the month that billing periods begin on, clamped to short months."""
    override_card: str | None = None
    """Rate card of this customer's own prices; where it has a price in force, that one counts."""
    cost_card: str | None = None
    """Rate card of the provider's prices: what pass-through charges are made from, and what margins are against."""
    fx_card: str | None = None
    price_lock: PriceLock | None = None
    split_by: str | None = None
    """The attribute whose values split invoice lines (R41)."""
    discounts: tuple[Discount, ...] = ()
    commitment: Commitment | None = None

    @property
    def cards(self) -> tuple[str, ...]:
        """Names of all rate cards that it prices from."""
        named = (self.rate_card, self.override_card, self.cost_card, self.fx_card)
        return tuple(dict.fromkeys(card for card in named if card is not None))


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


def read_contract(document: Any) -> Contract:
    """A contract version. Every policy is written out; nothing is defaulted."""
    optional = set(Contract._field_defaults)
    fields = closed(
        document, required={*Contract._fields, "tax"} - {"tax_category", "tax_rate"} - optional, optional=optional
    )
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
        tax_category=tax["category"], tax_rate=tax["rate"], **_optional_terms(fields),
    )  # fmt: skip


def _optional_terms(fields: dict[str, Any]) -> dict[str, Any]:
    """The terms of a contract that may be absent, as checked values."""
    terms: dict[str, Any] = {name: fields[name] for name in Contract._field_defaults if name in fields}
    if "anchor_day" in terms and (type(terms["anchor_day"]) is not int or not 0 < terms["anchor_day"] <= 31):
        raise DocumentRefused("anchor_day", terms["anchor_day"], "a day of the month, 1 to 31")
    for field in ("override_card", "cost_card", "fx_card"):
        if field in terms:
            check_match(terms, field, NAME, "the name of a rate card")
    if "split_by" in terms:
        check_match(terms, "split_by", ATTRIBUTE_NAME, "the name of one attribute of usage events, such as project")
    if "price_lock" in terms:
        terms["price_lock"] = read_price_lock(terms["price_lock"])
    if "discounts" in terms:
        terms["discounts"] = read_discounts(terms["discounts"])
    if "commitment" in terms:
        terms["commitment"] = read_commitment(terms["commitment"])
    return terms
