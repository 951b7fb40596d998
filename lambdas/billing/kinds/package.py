"""Package: units are sold in blocks; a block that is begun is charged whole, to the event that begins it."""

from __future__ import annotations

from lambdas.billing.kinds.part import Part
from lambdas.billing.rate_cards import Rate


def parts(rate: Rate, position: int, quantity: int, total: int) -> list[Part]:
    """With blocks of 10: at position 10, one unit begins the second block; at position 11 nothing new begins."""
    blocks = -(-(position + quantity) // rate.per) - -(-position // rate.per)
    return [Part(1, quantity, blocks * rate.tiers[0].block_price, blocks)]
