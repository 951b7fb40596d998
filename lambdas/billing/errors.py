"""Refusals of the core. The class name is the error's code everywhere: HTTP problem, Step Functions, reports."""

from __future__ import annotations


class BillingError(Exception):
    """Something the billing rules refuse; says which field, which value, and what would be right."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        self.field = field
        self.value = clip(value)
        self.remedy = remedy
        super().__init__(f"{field} = {self.value}: {remedy}")


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


class PlanRefused(DocumentRefused):
    """A plan that could not be billed or proved as written."""


class RatesOverlap(DocumentRefused):
    """A rate card version would give a moment two prices, or change a price that was in force."""


class AccountParked(BillingError):
    """An account has events that no price covers; it cannot be invoiced until a price is published."""


class InvariantBroken(BillingError):
    """Two records that must agree do not. Never repaired silently."""


def clip(value: object, length: int = 120) -> str:
    """`value` as one short printable line, for messages; never the whole of a hostile input."""
    text = ascii(value) if not isinstance(value, str) else value.encode("ascii", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= length else text[: length - 3] + "..."
