"""Dated prices (R10): which version of a rate card prices a class of a model at a moment, and what may be published.

A card is the list of its versions. A version states prices from its `effective_from` on; a price lasts until a later
version states the same class of the same model. So a version that changes one price lists one price.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from lambdas.billing.documents import Rate, RateCardVersion
from lambdas.billing.errors import DocumentRefused, RatesOverlap
from lambdas.billing.times import day_start

RateKey = tuple[str, str, str]
"""(provider, model, class), or ("", "", charge) for the price of a whole charge."""


class DatedRate(NamedTuple):
    """One price with the version that stated it."""

    start: str
    card: str
    version: int
    effective_from: str
    rate: Rate


class PriceHistory(NamedTuple):
    """All prices of one class of one model, oldest first; `starts` are the canonical times they begin."""

    starts: tuple[str, ...]
    prices: tuple[DatedRate, ...]

    def at(self, time: str) -> DatedRate | None:
        """The price in force at a canonical time: the last that has begun. None before the first."""
        position = bisect_right(self.starts, time)
        return self.prices[position - 1] if position else None


def price_histories(versions: Iterable[RateCardVersion]) -> dict[RateKey, PriceHistory]:
    """Index the versions of one card by (provider, model, class). Raises RatesOverlap for two prices of one start."""
    dated: dict[RateKey, list[DatedRate]] = {}
    for version in versions:
        start = day_start(version.effective_from)
        for rate in version.rates:
            key = (rate.provider, rate.model, rate.token_class or rate.charge)
            dated.setdefault(key, []).append(
                DatedRate(start, version.card, version.version, version.effective_from, rate)
            )
    histories: dict[RateKey, PriceHistory] = {}
    for key, prices in dated.items():
        prices.sort(key=lambda price: price.start)
        for earlier, later in pairwise(prices):
            if earlier.start == later.start:
                raise RatesOverlap(
                    "effective_from",
                    f"{later.effective_from} for {name_of(key)}",
                    f"versions {earlier.version} and {later.version} both price this from that day; choose another day",
                )
        histories[key] = PriceHistory(tuple(price.start for price in prices), tuple(prices))
    return histories


def check_publication(new: RateCardVersion, published: Sequence[RateCardVersion], *, now: str, open_since: str) -> None:
    """Refuse a version that would change what was in force.

    A version may begin in the future freely. It may begin in the past (`now` is the canonical time of publication)
    only to give a first price: where a price was in force at its start, it is refused. It may never begin before
    `open_since`, the start of the oldest period that is not billed yet. Raises DocumentRefused or RatesOverlap.
    """
    if published and new.version != published[-1].version + 1:
        raise DocumentRefused("version", new.version, f"the next version of this card is {published[-1].version + 1}")
    if not published and new.version != 1:
        raise DocumentRefused("version", new.version, "the first version of a card is 1")
    if published and new.currency != published[0].currency:
        raise DocumentRefused("currency", new.currency, f"this card is in {published[0].currency}; make another card")
    start = day_start(new.effective_from)
    price_histories([*published, new])  # refuses two prices from one day
    if start > now:
        return
    before = price_histories(published)
    if before and start < open_since:
        raise RatesOverlap(
            "effective_from",
            new.effective_from,
            f"that period is billed; prices can begin at {open_since[:10]} or later",
        )
    for rate in new.rates:
        key = (rate.provider, rate.model, rate.token_class or rate.charge)
        in_force = before[key].at(start) if key in before else None
        if in_force is not None:
            raise RatesOverlap(
                "effective_from",
                f"{new.effective_from} for {name_of(key)}",
                f"version {in_force.version} was in force then; a price in force is changed from a coming day on only",
            )


def name_of(key: RateKey) -> str:
    """`openai/gpt-4o/input`, or the charge's id."""
    return "/".join(part for part in key if part)
