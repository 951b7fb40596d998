"""Refusals of the core. The class name is the error's code everywhere: HTTP problem, Step Functions, reports."""

from __future__ import annotations

from typing import NamedTuple


class BillingError(Exception):
    """Something the billing rules refuse; says which field, which value, and what would be right."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        self.field = clip(field)
        self.value = clip(value)
        self.remedy = remedy
        super().__init__(f"{self.field} = {self.value}: {remedy}")


class InvalidAmount(BillingError):
    """Text that is not a plain decimal amount, or a product that is not exact at 18 decimals."""


class InvalidTime(BillingError):
    """Text that is not an RFC 3339 time, or a boundary that is not at 00:00 UTC."""


class EventRejected(BillingError):
    """A usage event that cannot be read or may not be taken; nothing of it is stored."""


class DocumentRefused(BillingError):
    """A catalogue document (customer, plan, rate card, contract ...) that is not well formed."""


class UnknownClass(DocumentRefused):
    """A rate or a plan names a token class that does not exist."""


class PlanHasNoOpenTier(DocumentRefused):
    """The last tier of a price has a bound: usage above it would be billed too low (D8)."""


class PlanRefused(DocumentRefused):
    """A plan that could not be billed or proved as written."""


class UnitsMixed(PlanRefused):
    """A meter or a pool would add things of different units, such as tokens and calls (R1)."""


class MixedStories(PlanRefused):
    """A plan promises predictable spend and leaves the customer with variable cost (R13)."""


class CliffAboveLimit(DocumentRefused):
    """One more unit could raise the bill by more than the plan declares (R9)."""


class RatesOverlap(DocumentRefused):
    """A rate card version would give a moment two prices, or change a price that was in force."""


class AccountParked(BillingError):
    """An account has events that no price covers; it cannot be invoiced until a price is published."""


class EarlierPeriodOpen(BillingError):
    """An invoice goes on from the one of the month before, and months were not billed in that order."""


class RateMissing(BillingError):
    """A charge that is due has no price: the account cannot be invoiced until one is published."""


class TooManyLines(BillingError):
    """An invoice would have more lines than can be shown and checked."""


class InvariantBroken(BillingError):
    """Two records that must agree do not. Never repaired silently."""


class NotABundle(BillingError):
    """A file that is no evidence bundle at all, so there is nothing to compare."""


class Difference(NamedTuple):
    """One place where a bundle is not what it should be. Rows count from 1; None where a file has no rows."""

    file: str
    row: int | None
    field: str
    expected: str
    found: str


class BundleDiffers(BillingError):
    """A bundle is not what its own events, rates and contract make of it; says the first place where."""

    def __init__(self, difference: Difference) -> None:
        self.difference = difference
        row = "" if difference.row is None else f" row {difference.row}"
        super().__init__(
            f"{difference.file}{row} {difference.field}", difference.found, f"expected {difference.expected}"
        )


def clip(value: object, length: int = 120) -> str:
    """`value` as one short printable line, for messages; never the whole of a hostile input."""
    try:
        text = value.encode("ascii", "backslashreplace").decode() if isinstance(value, str) else ascii(value)
    except (RecursionError, ValueError):  # nested too deeply, or an integer too long to print
        return f"a {type(value).__name__} too large to show"
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= length else text[: length - 3] + "..."
