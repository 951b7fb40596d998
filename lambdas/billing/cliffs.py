"""The cliff of a charge: the largest rise of the bill by one more unit of what it counts (R9.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lambdas.billing.rate_cards import Rate


def cliff_of(kind: str, rates: Sequence[Rate], weight: int = 1) -> int:
    """The bound in 10**-18, for a charge of this kind with any of these prices; one more counts `weight` units.

    Included usage is no cliff: the first unit after it costs what every unit costs. Per unit 0.60 per 1,000,000:
    0.0000006. The same sold in blocks of 1,000,000: 0.60. Graduated: a unit of the dearest tier. Volume: also the step
    where one more unit changes the price of all units before it, if that raises the bill; a fall is none.
    """
    if kind == "package":
        return max(-(-weight // rate.per) * rate.tiers[0].block_price for rate in rates)
    if kind == "volume":
        return _volume_cliff(list(dict.fromkeys(rates)), weight)
    return weight * max(tier.unit_price for rate in rates for tier in rate.tiers)


def _volume_cliff(rates: Sequence[Rate], weight: int) -> int:
    """All units so far stand at the price that one more raises most, and the next is the dearest. Between bounds this
    is a straight line in the units so far, so it is largest at one of the ends. From the largest on, until fewer units
    could not rise by more: a charge priced by class may have many thousands of bounds."""

    def rise(units: int) -> int:
        after = [_unit_price(rate, units + weight) for rate in rates]
        change = max(new - _unit_price(rate, units) for rate, new in zip(rates, after, strict=True))
        return units * change + weight * max(after)

    steepest = max(_steepest(rate, weight) for rate in rates)
    dearest = weight * max(tier.unit_price for rate in rates for tier in rate.tiers)
    largest = 0
    for units in sorted({0, *_ends(rates, weight)}, reverse=True):
        if units * steepest + dearest <= largest:
            break
        largest = max(largest, rise(units))
    return largest


def _steepest(rate: Rate, weight: int) -> int:
    """Most that the price of a unit rises by when one more is counted, which crosses at most `weight` bounds."""
    prices = [tier.unit_price for tier in rate.tiers]
    later = [price - before for n, before in enumerate(prices) for price in prices[n + 1 : n + 1 + weight]]
    return max([0, *later])


def _ends(rates: Iterable[Rate], weight: int) -> Iterable[int]:
    for rate in rates:
        for tier in rate.tiers:
            if tier.up_to is not None:
                before = tier.up_to - weight
                yield from (units for units in (tier.up_to, tier.up_to + 1, before, before + 1) if units >= 0)


def _unit_price(rate: Rate, total: int) -> int:
    return next(tier.unit_price for tier in rate.tiers if tier.up_to is None or total <= tier.up_to)
