"""Per unit: every unit has the one price."""

from __future__ import annotations

from lambdas.billing.kinds.part import Part
from lambdas.billing.rate_cards import Rate


def parts(rate: Rate, position: int, quantity: int, total: int) -> list[Part]:
    """400 units at 0.60 per 1,000,000 are 0.00024, wherever they stand."""
    return [Part(1, quantity, quantity * rate.tiers[0].unit_price)]
