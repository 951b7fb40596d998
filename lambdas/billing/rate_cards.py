"""Rate card versions as frozen values (R10): prices of classes or charges, with tiers, and exchange rates.

Tiers, service tiers and prompt sizes are part of what a price is for, so each changes by date like any other price.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from lambdas.billing.classes import STANDARD, TIERS, class_of
from lambdas.billing.errors import DocumentRefused, PlanHasNoOpenTier, UnknownClass
from lambdas.billing.fields import NAME, check_choice, check_match, check_text, closed, currency_of, version_of
from lambdas.billing.money import ONE, minor_digits, multiply, parse_amount, price_per_unit
from lambdas.billing.times import day_start
from lambdas.billing.usage import MAX_QUANTITY, MODEL_RULE, PROVIDER, is_model

MAX_RATES = 1000
MAX_FX = 50
MAX_TIERS = 20
MAX_BOUND = 10**15
_FX_STEP: int = ONE // 10**6


class Tier(NamedTuple):
    """One price of a rate: for units up to and including `up_to` of what the charge counts; None is open (D8)."""

    up_to: int | None
    price: str
    block_price: int
    """Exact price of a block, in 10**-18."""
    unit_price: int
    """Exact price of one unit, in 10**-18."""


class RateKey(NamedTuple):
    """What a price is for: a class of a model, or (no provider, no model) a charge by its id; of one service tier and
    for requests whose prompt is above a size."""

    provider: str
    model: str
    name: str
    service_tier: str = STANDARD
    prompt_above: int = 0

    def __str__(self) -> str:
        """`openai/gpt-4o/input`, or the charge's id, and what it is limited to."""
        text = "/".join(part for part in (self.provider, self.model, self.name) if part)
        if self.service_tier != STANDARD:
            text += f" ({self.service_tier})"
        return f"{text} (prompt above {self.prompt_above})" if self.prompt_above else text


class Rate(NamedTuple):
    """Prices per block of `per` units of what `key` names. One open tier is a plain price."""

    key: RateKey
    per: int
    tiers: tuple[Tier, ...]


class FxRate(NamedTuple):
    """One unit of the `foreign` currency in units of the card's currency; `rate` is the text, `exact` 10**-18."""

    foreign: str
    rate: str
    exact: int
    source: str
    """Name of the table that it was taken from, such as fx-2027-02-09."""


class RateCardVersion(NamedTuple):
    """Prices in force from `effective_from` on, until a later version prices the same. One that `supersedes` another
    corrects it: its prices stand in place of that version's from the same day."""

    card: str
    version: int
    currency: str
    effective_from: str
    rates: tuple[Rate, ...]
    fx: tuple[FxRate, ...] = ()
    supersedes: int | None = None


def read_rate_card_version(card: str, document: Any) -> RateCardVersion:
    """One version of a rate card. Unknown classes, doubled keys and inexact prices are refused."""
    kinds = {name for name in ("rates", "fx") if isinstance(document, dict) and name in document} or {"rates"}
    fields = closed(
        document, required={"version", "currency", "effective_from", *kinds}, optional={"supersedes", "reason"}
    )
    if not NAME.fullmatch(card):
        raise DocumentRefused("rate card", card, "letters, digits, '.', '_', '-', at most 64")
    version = version_of(fields)
    currency = currency_of(fields)
    day_start(fields["effective_from"])
    rates = [_rate(entry, f"rates[{n}]") for n, entry in enumerate(_listed(fields, "rates", MAX_RATES))]
    seen: set[RateKey] = set()
    for position, rate in enumerate(rates):
        if rate.key in seen:
            raise DocumentRefused(
                f"rates[{position}]", str(rate.key), "one rate for each provider, model and class, or charge"
            )
        seen.add(rate.key)
    fx = [_fx(entry, currency, f"fx[{n}]") for n, entry in enumerate(_listed(fields, "fx", MAX_FX))]
    for position, quote in enumerate(fx):
        if any(quote.foreign == other.foreign for other in fx[:position]):
            raise DocumentRefused(f"fx[{position}].foreign", quote.foreign, "one rate for each currency")
    supersedes = None
    if "supersedes" in fields or "reason" in fields:
        closed(fields, required={*fields, "supersedes", "reason"})
        supersedes = version_of(fields, "supersedes")
        check_text(fields, "reason")
        if supersedes >= version:
            raise DocumentRefused("supersedes", supersedes, f"an earlier version than {version}")
    return RateCardVersion(card, version, currency, fields["effective_from"], tuple(rates), tuple(fx), supersedes)


def _listed(fields: dict[str, Any], name: str, most: int) -> list[Any]:
    if name not in fields:
        return []
    entries = fields[name]
    if not isinstance(entries, list) or not 0 < len(entries) <= most:
        raise DocumentRefused(name, entries, f"a list of 1 to {most} rates")
    return entries


def _rate(entry: Any, at: str) -> Rate:
    priced = {"tiers"} if isinstance(entry, dict) and "tiers" in entry else {"price"}
    whole = isinstance(entry, dict) and "charge" in entry
    named = {"charge"} if whole else {"provider", "model", "class"}
    fields = closed(entry, required={*named, *priced, "per"}, optional={"service_tier", "prompt_above"}, at=f"{at}.")
    per = fields["per"]
    if type(per) is not int or per not in (1, 1_000, 1_000_000):
        raise DocumentRefused(f"{at}.per", per, "the block of a price is 1, 1000 or 1000000 units")
    fields.setdefault("service_tier", STANDARD)
    check_choice(fields, "service_tier", TIERS, at=f"{at}.")
    above = fields.get("prompt_above", 0)
    if type(above) is not int or not 0 <= above <= MAX_QUANTITY:
        raise DocumentRefused(f"{at}.prompt_above", above, "a whole number of tokens, such as 200000")
    tiers = _tiers(fields.get("tiers", [{"up_to": None, "price": fields.get("price")}]), per, at, "tiers" in fields)
    if whole:
        check_match(fields, "charge", NAME, "the id of a charge of a plan", at=f"{at}.")
        return Rate(RateKey("", "", fields["charge"], fields["service_tier"], above), per, tiers)
    check_match(fields, "provider", PROVIDER, "lower-case letters, digits, '.', '_', '-'", at=f"{at}.")
    if not is_model(fields["model"]):
        raise DocumentRefused(f"{at}.model", fields["model"], MODEL_RULE)
    name = fields["class"]
    if not isinstance(name, str) or class_of(name) is None:
        raise UnknownClass(f"{at}.class", name, "a class of usage such as input, output or tool_call:web_search")
    return Rate(RateKey(fields["provider"], fields["model"], name, fields["service_tier"], above), per, tiers)


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


def _fx(entry: Any, currency: str, at: str) -> FxRate:
    fields = closed(entry, required={"foreign", "price", "source"}, at=f"{at}.")
    foreign = currency_of({"currency": fields["foreign"]})
    if foreign == currency:
        raise DocumentRefused(f"{at}.foreign", foreign, "another currency than the card's")
    check_match(fields, "source", NAME, "the name of a table, such as fx-2027-02-09", at=f"{at}.")
    exact = parse_amount(fields["price"], f"{at}.price")
    if exact <= 0 or exact % _FX_STEP:
        raise DocumentRefused(
            f"{at}.price", fields["price"], "above zero, at most 6 decimals: it multiplies prices (K2)"
        )
    multiply(ONE // int(10 ** minor_digits(foreign)), exact, f"{at}.price")
    return FxRate(foreign, fields["price"], exact, fields["source"])
