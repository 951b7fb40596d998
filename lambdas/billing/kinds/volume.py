"""Volume: all units of the period have the price of the tier that the period's total falls into."""

from __future__ import annotations

from lambdas.billing.kinds.part import Part
from lambdas.billing.rate_cards import Rate


def parts(rate: Rate, position: int, quantity: int, total: int) -> list[Part]:
    """With `up_to` 10: a total of 10 puts every unit into tier 1, a total of 11 every unit into tier 2."""
    for number, tier in enumerate(rate.tiers, start=1):
        if tier.up_to is None or total <= tier.up_to:
            return [Part(number, quantity, quantity * tier.unit_price)]
    raise AssertionError("the last tier is open")  # documents refuse any other rate
