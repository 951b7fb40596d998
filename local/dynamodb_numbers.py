"""Numbers as DynamoDB keeps them: exact to 38 significant digits, in one canonical form, or refused."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation

from moto.dynamodb.exceptions import MockValidationException

DIGITS = 38
_EXACT = Context(prec=400, Emax=MAX_EMAX, Emin=MIN_EMIN)
_LARGEST_EXPONENT = 125
_SMALLEST_EXPONENT = -130


def canonical(text: str) -> str:
    """The number as DynamoDB gives it back: no exponent, no needless zeros.

    Raises ValidationException for what is no number, has more than 38 significant digits, or is out of range.
    """
    if text.isascii() and text.isdigit() and len(text) <= DIGITS and (text[0] != "0" or text == "0"):
        return text
    try:
        if text != text.strip() or "_" in text:
            raise InvalidOperation
        number = Decimal(text)
        if not number.is_finite():
            raise InvalidOperation
    except InvalidOperation:
        raise MockValidationException(f"The parameter cannot be converted to a numeric value: {text}") from None
    return _checked(number)


def total(left: str, right: str) -> str:
    """left + right, exact."""
    return _checked(_EXACT.add(Decimal(left), Decimal(right)))


def difference(left: str, right: str) -> str:
    """left - right, exact."""
    return _checked(_EXACT.subtract(Decimal(left), Decimal(right)))


def _checked(number: Decimal) -> str:
    if not number:
        return "0"
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if len(digits) > DIGITS:
        raise MockValidationException("Attempting to store more than 38 significant digits in a Number")
    exponent = number.adjusted()
    if exponent > _LARGEST_EXPONENT:
        raise MockValidationException(
            "Number overflow. Attempting to store a number with magnitude larger than supported range"
        )
    if exponent < _SMALLEST_EXPONENT:
        raise MockValidationException(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range"
        )
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
