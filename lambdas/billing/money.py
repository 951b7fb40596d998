"""Exact money (rules K1-K4). An exact amount is an `int` that counts 10**-18 of the currency's major unit.

Multiplying such an amount by a whole quantity is exact by nature; nothing here uses a decimal context, so no
caller's precision setting can change a bill.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lambdas.billing.errors import InvalidAmount

DECIMALS = 18
ONE: int = 10**DECIMALS
_AMOUNT = re.compile(r"(-?)([0-9]{1,20})(?:\.([0-9]{1,18}))?", re.ASCII)

MINOR_DIGITS = {
    "AUD": 2, "BRL": 2, "CAD": 2, "CHF": 2, "CNY": 2, "CZK": 2, "DKK": 2, "EUR": 2, "GBP": 2, "HKD": 2,
    "INR": 2, "JPY": 0, "KRW": 0, "KWD": 3, "MXN": 2, "NOK": 2, "NZD": 2, "PLN": 2, "SEK": 2, "SGD": 2,
    "TND": 3, "USD": 2, "ZAR": 2,
}  # fmt: skip
"""ISO 4217 minor digits of the currencies that can be billed; others are refused by name."""


class Apportioned(NamedTuple):
    """A net amount and the displayed lines that add up to it, all in 10**-18."""

    total: int
    parts: tuple[int, ...]


def parse_amount(text: object, field: str = "amount") -> int:
    """`"2.50"` -> 2_500_000_000_000_000_000. Plain decimal text only: no exponent, sign `+`, float or blank."""
    match = _AMOUNT.fullmatch(text) if type(text) is str else None  # no NotAnInteger: 2.5 is not "2.5"
    if match is None:
        raise InvalidAmount(field, text, 'give plain decimal text such as "2.50", at most 18 decimals')
    sign, whole, fraction = match.groups()
    exact = int(whole) * ONE + int((fraction or "").ljust(DECIMALS, "0"))
    return -exact if sign else exact


def format_amount(exact: int) -> str:
    """All digits that matter: 55.904675, 0.0000024, 99, -5.1. Never an exponent, never trailing zeros."""
    if exact < 0:
        return f"-{format_amount(-exact)}"
    digits = str(exact)
    if exact < ONE:
        return "0." + digits.zfill(DECIMALS).rstrip("0") if exact else "0"
    fraction = digits[-DECIMALS:].rstrip("0")
    return f"{digits[:-DECIMALS]}.{fraction}" if fraction else digits[:-DECIMALS]


def format_minor(exact: int, currency: str) -> str:
    """A displayed amount with all minor digits: 96.79, 6429 (JPY). Raises if it is not in minor units."""
    digits = minor_digits(currency)
    unit = _minor_unit(digits)
    if exact % unit:
        raise InvalidAmount("displayed amount", format_amount(exact), f"round to {digits} decimals first")
    sign = "-" if exact < 0 else ""
    whole, fraction = divmod(abs(exact) // unit, 10**digits)
    return f"{sign}{whole}.{fraction:0{digits}d}" if digits else f"{sign}{whole}"


def minor_digits(currency: str) -> int:
    """Minor digits of a billable currency; raises InvalidAmount for one that is not in the table."""
    try:
        return MINOR_DIGITS[currency]
    except KeyError:
        known = ", ".join(MINOR_DIGITS)
        raise InvalidAmount("currency", currency, f"this currency is not billable; known: {known}") from None


def multiply(a: int, b: int, field: str = "product") -> int:
    """Exact product of two amounts (price x rate, K2). Raises InvalidAmount if 18 decimals do not hold it."""
    product, rest = divmod(a * b, ONE)
    if rest:
        raise InvalidAmount(
            field,
            f"{format_amount(a)} x {format_amount(b)}",
            "the product needs more than 18 decimals; use fewer decimals in the rate or the factor",
        )
    return product


def price_per_unit(price: int, per: int, field: str = "price") -> int:
    """Exact price of one unit from a price per block of `per` units: 2.50 per 1,000,000 -> 0.0000025 (D7)."""
    unit, rest = divmod(price, per)
    if rest:
        raise InvalidAmount(
            field,
            f"{format_amount(price)} per {per}",
            "one unit would need more than 18 decimals; use fewer decimals or another block",
        )
    return unit


def round_half_away(exact: int, digits: int) -> int:
    """K1: to `digits` decimals, half away from zero. 1.005 -> 1.01, -1.005 -> -1.01, 1.00499 -> 1.00."""
    unit = _minor_unit(digits)
    rounded = (2 * abs(exact) + unit) // (2 * unit) * unit
    return -rounded if exact < 0 else rounded


def apportion(amounts: Sequence[int], digits: int) -> Apportioned:
    """K3: round the sum once, then split it over the lines so that they add up to it.

    Each line is floored towards minus infinity; missing minor units go to the largest remainders, ties to the
    larger absolute amount, then to the earlier line. Three lines of 0.335 -> 1.01 = 0.34 + 0.34 + 0.33.
    """
    unit = _minor_unit(digits)
    total = round_half_away(sum(amounts), digits)
    parts = [amount // unit * unit for amount in amounts]
    missing = (total - sum(parts)) // unit
    order = sorted(range(len(amounts)), key=lambda i: (parts[i] - amounts[i], -abs(amounts[i]), i))
    for i in order[:missing]:
        parts[i] += unit
    return Apportioned(total, tuple(parts))


def tax_on(base: int, rate: int, digits: int) -> int:
    """K4: tax of one (category, rate) group on its displayed base, rounded once. 96.79 x 0.19 -> 18.39."""
    return round_half_away(multiply(base, rate, "tax"), digits)


def _minor_unit(digits: int) -> int:
    return ONE // int(10**digits)
