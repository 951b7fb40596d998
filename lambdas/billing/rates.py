"""Dated prices (R10): which version of a rate card prices something at a moment, and what may be published.

A card is the list of its versions. A version states prices from its `effective_from` on; a price lasts until a later
version states the same. So a version that changes one price lists one price. A version that supersedes another is a
correction: what it lists stands in place of that version's, from the same day.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from lambdas.billing.errors import DocumentRefused, RatesOverlap
from lambdas.billing.rate_cards import FxRate, Rate, RateCardVersion, RateKey
from lambdas.billing.times import day_start


class DatedRate(NamedTuple):
    """One price with the version that stated it."""

    start: str
    card: str
    version: int
    effective_from: str
    rate: Rate

    @property
    def name(self) -> str:
        """`card@version`"""
        return f"{self.card}@{self.version}"


class PriceHistory(NamedTuple):
    """All prices of one key, oldest first; `starts` are the canonical times they begin."""

    starts: tuple[str, ...]
    prices: tuple[DatedRate, ...]

    def at(self, time: str) -> DatedRate | None:
        """The price in force at a canonical time: the last that has begun. None before the first."""
        position = bisect_right(self.starts, time)
        return self.prices[position - 1] if position else None


NO_PRICES = PriceHistory((), ())


class DatedFx(NamedTuple):
    """One exchange rate with the version that stated it."""

    card: str
    version: int
    effective_from: str
    rate: FxRate

    @property
    def name(self) -> str:
        """`card@version`"""
        return f"{self.card}@{self.version}"


def price_histories(versions: Iterable[RateCardVersion]) -> dict[RateKey, PriceHistory]:
    """Index the versions of one card by what they price. Raises RatesOverlap for two prices of one start."""
    dated: dict[RateKey, dict[int, DatedRate]] = {}
    for version in sorted(versions, key=lambda version: version.version):
        start = day_start(version.effective_from)
        for rate in version.rates:
            prices = dated.setdefault(rate.key, {})
            if version.supersedes is not None:
                prices.pop(version.supersedes, None)
            prices[version.version] = DatedRate(start, version.card, version.version, version.effective_from, rate)
    histories: dict[RateKey, PriceHistory] = {}
    for key, by_version in dated.items():
        ordered = sorted(by_version.values(), key=lambda price: price.start)
        for earlier, later in pairwise(ordered):
            if earlier.start == later.start:
                raise RatesOverlap(
                    "effective_from",
                    f"{later.effective_from} for {key}",
                    f"versions {earlier.version} and {later.version} both price this from that day; choose another day",
                )
        histories[key] = PriceHistory(tuple(price.start for price in ordered), tuple(ordered))
    return histories


def fx_at(versions: Iterable[RateCardVersion], foreign: str, time: str) -> DatedFx | None:
    """The exchange rate for one unit of `foreign` that is in force at a canonical time; None before the first. Of two
    that begin on one day, the later version is a correction of the other."""
    quoted = [
        (day_start(version.effective_from), version.version, DatedFx(version.card, version.version, day, rate))
        for version in versions
        for rate in version.fx
        if rate.foreign == foreign and day_start(day := version.effective_from) <= time
    ]
    return max(quoted)[2] if quoted else None


def check_publication(
    new: RateCardVersion,
    published: Sequence[RateCardVersion],
    *,
    now: str,
    open_since: str,
    first_since: str | None = None,
) -> None:
    """Refuse a version that would change what was in force.

    A version may begin in the future freely. It may begin in the past (`now` is the canonical time of publication)
    only to give a first price, or to supersede a version that was always wrong: then it begins on the same day and
    lists only what that version lists. Nothing may begin before `open_since`, the start of the oldest period that is
    not billed yet, and a first price not before `first_since`: where accounts have anchor days, the start of the oldest
    period of any of them. Raises DocumentRefused or RatesOverlap.
    """
    if published and new.version != published[-1].version + 1:
        raise DocumentRefused("version", new.version, f"the next version of this card is {published[-1].version + 1}")
    if not published and new.version != 1:
        raise DocumentRefused("version", new.version, "the first version of a card is 1")
    if published and new.currency != published[0].currency:
        raise DocumentRefused("currency", new.currency, f"this card is in {published[0].currency}; make another card")
    start = day_start(new.effective_from)
    if new.supersedes is not None:
        _check_correction(new, published)
    price_histories([*published, new])  # refuses two prices from one day
    if new.supersedes is None:
        _check_fx(new, published, now)
    if start > now:
        return
    since = open_since if new.supersedes is not None or first_since is None else first_since
    if published and start < since:
        raise RatesOverlap(
            "effective_from", new.effective_from, f"that period is billed; prices can begin at {since[:10]} or later"
        )
    if new.supersedes is not None:
        return
    before = price_histories(published)
    for rate in new.rates:
        in_force = before[rate.key].at(start) if rate.key in before else None
        if in_force is not None:
            raise RatesOverlap(
                "effective_from",
                f"{new.effective_from} for {rate.key}",
                f"version {in_force.version} was in force then; a price in force is changed from a coming day on only, "
                f"and one that was always wrong by a version that supersedes {in_force.version}",
            )


def _check_correction(new: RateCardVersion, published: Sequence[RateCardVersion]) -> None:
    """A correction replaces prices of one version, on the day that version states, and no others."""
    wrong = published[new.supersedes - 1] if new.supersedes is not None else new
    if new.effective_from != wrong.effective_from:
        remedy = f"version {wrong.version} begins on {wrong.effective_from}; so does its correction"
        raise DocumentRefused("effective_from", new.effective_from, remedy)
    listed = {rate.key for rate in wrong.rates}
    for rate in new.rates:
        if rate.key not in listed:
            raise DocumentRefused("rates", str(rate.key), f"version {wrong.version} has no such price to supersede")
    quoted = {quote.foreign for quote in wrong.fx}
    for quote in new.fx:
        if quote.foreign not in quoted:
            raise DocumentRefused("fx", quote.foreign, f"version {wrong.version} has no such rate to supersede")
    for other in published:
        if other.supersedes == wrong.version:
            taken = {rate.key for rate in other.rates} & {rate.key for rate in new.rates}
            if taken or {quote.foreign for quote in other.fx} & {quote.foreign for quote in new.fx}:
                remedy = f"version {other.version} superseded it; supersede that one"
                raise DocumentRefused("supersedes", wrong.version, remedy)


def _check_fx(new: RateCardVersion, published: Sequence[RateCardVersion], now: str) -> None:
    start = day_start(new.effective_from)
    for quote in new.fx:
        for other in published:
            if other.effective_from == new.effective_from and any(item.foreign == quote.foreign for item in other.fx):
                raise RatesOverlap(
                    "effective_from", f"{new.effective_from} for {quote.foreign}", f"version {other.version} states it"
                )
        in_force = fx_at(published, quote.foreign, start)
        if start <= now and in_force is not None:
            raise RatesOverlap(
                "effective_from",
                f"{new.effective_from} for {quote.foreign}",
                f"version {in_force.version} was in force then; an exchange rate is given before the day it begins",
            )
