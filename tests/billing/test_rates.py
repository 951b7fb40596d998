"""Dated prices: which version is in force, and what may not be published (R10)."""

from __future__ import annotations

from typing import Any

import pytest

from lambdas.billing.errors import DocumentRefused, RatesOverlap
from lambdas.billing.rate_cards import RateCardVersion, RateKey, read_rate_card_version
from lambdas.billing.rates import check_publication, price_histories

NOW = "2026-11-10T12:00:00.000000Z"
OPEN_SINCE = "2026-11-01T00:00:00.000000Z"


def version(number: int, effective_from: str, *classes: str, currency: str = "USD") -> RateCardVersion:
    rates = [
        {"provider": "openai", "model": "gpt-4o", "class": name, "price": str(number), "per": 1_000_000}
        for name in classes or ("input",)
    ]
    document: dict[str, Any] = {
        "version": number,
        "currency": currency,
        "effective_from": effective_from,
        "rates": rates,
    }
    return read_rate_card_version("std", document)


def publish(new: RateCardVersion, *published: RateCardVersion) -> None:
    check_publication(new, published, now=NOW, open_since=OPEN_SINCE)


def test_a_price_lasts_until_a_later_version_states_the_same_class() -> None:
    history = price_histories([version(1, "2026-01-01", "input", "output"), version(2, "2026-11-16", "output")])
    at = "2026-11-16T00:00:00.000000Z"
    before = "2026-11-15T23:59:59.999999Z"
    for name, time, number in (("input", at, 1), ("output", before, 1), ("output", at, 2)):
        price = history[RateKey("openai", "gpt-4o", name)].at(time)
        assert price is not None and price.version == number
    assert history[RateKey("openai", "gpt-4o", "input")].at("2025-12-31T23:59:59.999999Z") is None


def test_versions_count_in_order_of_their_start_not_of_their_number() -> None:
    history = price_histories([version(1, "2026-06-01"), version(2, "2026-01-01")])[
        RateKey("openai", "gpt-4o", "input")
    ]
    assert [price.version for price in history.prices] == [2, 1]


def test_a_coming_version_is_published_freely() -> None:
    publish(version(1, "2026-12-01"))
    publish(version(2, "2026-11-11"), version(1, "2026-01-01"))
    with pytest.raises(RatesOverlap, match="version 1 was in force then"):
        publish(version(2, "2026-11-10"), version(1, "2026-01-01"))


def test_two_versions_cannot_price_one_class_from_one_day() -> None:
    with pytest.raises(RatesOverlap, match="versions 1 and 2"):
        publish(version(2, "2026-12-01"), version(1, "2026-12-01"))
    publish(version(2, "2026-12-01", "output"), version(1, "2026-12-01", "input"))


@pytest.mark.parametrize("day", ["2026-11-01", "2026-11-10"])
def test_a_price_in_force_is_not_changed_from_a_past_day(day: str) -> None:
    with pytest.raises(RatesOverlap, match="version 1 was in force then"):
        publish(version(2, day), version(1, "2026-01-01"))


def test_a_first_price_may_be_back_dated_within_the_open_period() -> None:
    publish(version(2, "2026-11-01", "output"), version(1, "2026-01-01", "input"))
    publish(version(2, "2026-11-02"), version(1, "2026-11-05"))  # before the first price there was none
    with pytest.raises(RatesOverlap, match="that period is billed"):
        publish(version(2, "2026-10-31", "output"), version(1, "2026-01-01", "input"))


def test_versions_are_numbered_without_gap_and_keep_their_currency() -> None:
    with pytest.raises(DocumentRefused, match="the first version of a card is 1"):
        publish(version(2, "2026-12-01"))
    for number in (1, 3):
        with pytest.raises(DocumentRefused, match="the next version of this card is 2"):
            publish(version(number, "2026-12-01"), version(1, "2026-01-01"))
    with pytest.raises(DocumentRefused, match="this card is in USD"):
        publish(version(2, "2026-12-01", currency="EUR"), version(1, "2026-01-01"))


@pytest.mark.parametrize(("day", "taken"), [("2026-10-14", False), ("2026-10-15", True), ("2026-11-01", True)])
def test_a_first_price_may_begin_where_an_account_with_an_anchor_day_is_not_billed(day: str, taken: bool) -> None:
    first = version(2, day, "reasoning")
    since = {"open_since": OPEN_SINCE, "first_since": "2026-10-15T00:00:00.000000Z"}
    if taken:
        check_publication(first, [version(1, "2026-01-01")], now=NOW, **since)
        with pytest.raises(RatesOverlap, match="supersedes 2"):
            check_publication(
                version(3, "2026-11-02", "reasoning"), [version(1, "2026-01-01"), first], now=NOW, **since
            )
    else:
        with pytest.raises(RatesOverlap, match="2026-10-15 or later"):
            check_publication(first, [version(1, "2026-01-01")], now=NOW, **since)
