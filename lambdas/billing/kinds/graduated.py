"""Graduated: each unit has the price of the tier that its position falls into; bounds are inclusive (D8)."""

from __future__ import annotations

from lambdas.billing.kinds.part import Part
from lambdas.billing.rate_cards import Rate


def parts(rate: Rate, position: int, quantity: int, total: int) -> list[Part]:
    """With `up_to` 10: at position 8, five units are two of tier 1 (units 9 and 10) and three of tier 2."""
    found: list[Part] = []
    for number, tier in enumerate(rate.tiers, start=1):
        room = quantity if tier.up_to is None else min(quantity, max(0, tier.up_to - position))
        if room:
            found.append(Part(number, room, room * tier.unit_price))
            position += room
            quantity -= room
        if not quantity:
            break
    return found
