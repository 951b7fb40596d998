"""Terms of a contract that change amounts beside the prices: price lock, discounts, commitment (K7)."""

from __future__ import annotations

from typing import Any, NamedTuple

from lambdas.billing.errors import DocumentRefused
from lambdas.billing.fields import NAME, check_choice, check_match, closed
from lambdas.billing.money import ONE, parse_amount
from lambdas.billing.times import day_start

MAX_DISCOUNTS = 10
MAX_TERM_MONTHS = 60
_PERCENT_STEP = ONE // 10_000


class PriceLock(NamedTuple):
    """Prices of the rate card in force at `start` hold until `end` (canonical times); what had no price then takes the
    first that it gets."""

    start: str
    end: str


class Discount(NamedTuple):
    """`percent` (exact share in 10**-18, such as a tenth) of the usage charges named, or of all where none is named; or
    a fixed `amount` off all charges, once per period. The other one is None."""

    id: str
    percent: int | None
    amount: int | None
    charges: tuple[str, ...]


class Commitment(NamedTuple):
    """Least amount (10**-18) of charges in a counting period: each billing period (`months` None), or a term of so many
    months from the start of the contract version that states it first."""

    amount: int
    months: int | None


def read_price_lock(value: Any) -> PriceLock:
    fields = closed(value, required={"from", "until"}, at="price_lock.")
    start, end = day_start(fields["from"], "price_lock.from"), day_start(fields["until"], "price_lock.until")
    if start >= end:
        raise DocumentRefused("price_lock.until", fields["until"], f"a day after {fields['from']}")
    return PriceLock(start, end)


def read_discounts(value: Any) -> tuple[Discount, ...]:
    """Discounts are taken in the order percent, then fixed, whatever their order here (K7)."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_DISCOUNTS:
        raise DocumentRefused("discounts", value, f"a list of 1 to {MAX_DISCOUNTS} discounts")
    discounts: list[Discount] = []
    for position, entry in enumerate(value):
        discount = _discount(entry, f"discounts[{position}].")
        if any(discount.id == other.id for other in discounts):
            raise DocumentRefused(f"discounts[{position}].id", discount.id, "each discount has an id of its own")
        discounts.append(discount)
    return tuple(discounts)


def read_commitment(value: Any) -> Commitment:
    term = isinstance(value, dict) and value.get("counting") == "term"
    fields = closed(value, required={"amount", "counting", *({"months"} if term else ())}, at="commitment.")
    check_choice(fields, "counting", ("period", "term"), at="commitment.")
    amount = _positive(fields["amount"], "commitment.amount")
    if not term:
        return Commitment(amount, None)
    if type(fields["months"]) is not int or not 0 < fields["months"] <= MAX_TERM_MONTHS:
        raise DocumentRefused("commitment.months", fields["months"], f"whole months, 1 to {MAX_TERM_MONTHS}")
    return Commitment(amount, fields["months"])


def _discount(entry: Any, at: str) -> Discount:
    if isinstance(entry, dict) and "amount" in entry:
        fields = closed(entry, required={"id", "amount"}, at=at)
        check_match(fields, "id", NAME, "letters, digits, '.', '_', '-'", at=at)
        return Discount(fields["id"], None, _positive(fields["amount"], f"{at}amount"), ())
    fields = closed(entry, required={"id", "percent"}, optional={"charges"}, at=at)
    check_match(fields, "id", NAME, "letters, digits, '.', '_', '-'", at=at)
    percent = parse_amount(fields["percent"], f"{at}percent")
    if not 0 < percent <= ONE or percent % _PERCENT_STEP:
        raise DocumentRefused(
            f"{at}percent", fields["percent"], 'a share above "0" up to "1" with at most four decimals: "0.10"'
        )
    charges = _charges(fields.get("charges", []), f"{at}charges", "charges" in fields)
    return Discount(fields["id"], percent, None, charges)


def _charges(value: Any, at: str, listed: bool) -> tuple[str, ...]:
    if not isinstance(value, list) or (listed and not value) or len(value) > MAX_DISCOUNTS * 10:
        raise DocumentRefused(at, value, "a list of charge ids of the plan; leave it out for all usage charges")
    for position, name in enumerate(value):
        check_match({"": name}, "", NAME, "the id of a charge of the plan", at=f"{at}[{position}]")
        if name in value[:position]:
            raise DocumentRefused(f"{at}[{position}]", name, "each charge once")
    return tuple(value)


def _positive(text: Any, field: str) -> int:
    amount = parse_amount(text, field)
    if amount <= 0:
        raise DocumentRefused(field, text, "an amount above zero")
    return amount
