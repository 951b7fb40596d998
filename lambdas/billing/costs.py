"""What usage cost the seller (R13): quantities of a UTC day and class, times the provider's price of that day.

Costs are watched and never billed; a charge that passes cost through is priced in `pricing`. A cost that is not known
is named: it is never zero.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lambdas.billing.agreements import Agreement
from lambdas.billing.classes import STANDARD
from lambdas.billing.pricing import prompt_size
from lambdas.billing.rate_cards import RateCardVersion, RateKey
from lambdas.billing.rates import NO_PRICES, DatedRate, PriceHistory, price_histories
from lambdas.billing.rating import ClassKey, UsageRow, add_quantities, split_class_key
from lambdas.billing.shards import add_sums
from lambdas.billing.times import day_start

DaySums = Mapping[str, Mapping[ClassKey, int]]
"""Quantities by UTC day and class."""
LongPrompts = dict[str, dict[str, dict[ClassKey, int]]]
"""The part of them that came in requests with a prompt above a size at which a cost changes: by UTC day, by the largest
such size (decimal text, as JSON has it), by class."""


class Uncosted(NamedTuple):
    """Usage whose cost is not known: of one class, on days `first` to `last`, and why."""

    name: ClassKey
    first: str
    last: str
    quantity: int
    detail: str


class Costs(NamedTuple):
    """Cost in 10**-18 by (provider, model), then by the currency of the cost card; and what has no cost."""

    models: Mapping[tuple[str, str], Mapping[str, int]]
    uncosted: tuple[Uncosted, ...]

    @property
    def by_currency(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for amounts in self.models.values():
            add_sums(total, amounts)
        return total


class CostPrices:
    """The provider's prices on the cost cards that the contract versions of an agreement name."""

    def __init__(self, agreement: Agreement, versions: Iterable[RateCardVersion]) -> None:
        named = {stretch.contract.cost_card for stretch in agreement.stretches}
        cards: dict[str, list[RateCardVersion]] = {}
        for version in versions:
            if version.card in named:
                cards.setdefault(version.card, []).append(version)
        self._agreement = agreement
        self._currencies = {card: of_card[0].currency for card, of_card in cards.items()}
        self._histories: dict[str, dict[RateKey, PriceHistory]] = {
            card: price_histories(of_card) for card, of_card in cards.items()
        }
        self._steps = _prompt_steps(key for history in self._histories.values() for key in history)

    @property
    def steps(self) -> Mapping[tuple[str, str], tuple[int, ...]]:
        """Prompt sizes at which a cost of a model changes, smallest first; only models that have one."""
        return self._steps

    @property
    def named(self) -> bool:
        """True where a contract version of the period names a cost card."""
        return any(stretch.contract.cost_card is not None for stretch in self._agreement.stretches)

    def of_usage(self, days: DaySums, long_prompts: LongPrompts) -> Costs:
        """What all usage since the contract began cost, whether it was charged or not."""
        models: dict[tuple[str, str], dict[str, int]] = {}
        uncosted: dict[tuple[ClassKey, str], Uncosted] = {}
        begin = self._agreement.stretches[0].start[:10] if self._agreement.stretches else "9999"
        for day in sorted(days):
            if day < begin:
                continue
            for name, above, quantity in _by_prompt(days[day], long_prompts.get(day, {})):
                asked, found = self._find(name, above, day)
                if isinstance(found, DatedRate):
                    amounts = models.setdefault((asked.provider, asked.model), {})
                    cost = quantity * found.rate.tiers[0].unit_price
                    add_sums(amounts, {self._currencies[found.card]: cost})
                else:
                    before = uncosted.get((name, found), Uncosted(name, day, day, 0, found))
                    uncosted[(name, found)] = before._replace(last=day, quantity=before.quantity + quantity)
        return Costs(models, tuple(uncosted[key] for key in sorted(uncosted)))

    def _find(self, name: ClassKey, above: int, day: str) -> tuple[RateKey, DatedRate | str]:
        """The price of a class on a day, or why there is none."""
        provider, model, token_class, service_tier = split_class_key(name)
        asked = RateKey(provider, model, token_class, service_tier, above)
        time = day_start(day)
        contract = self._agreement.at(time).contract
        if contract.cost_card is None:
            return asked, f"contract version {contract.version} names no cost card"
        histories = self._histories.get(contract.cost_card, {})
        for size in (*reversed([step for step in self._steps.get((provider, model), ()) if step <= above]), 0):
            dated = histories.get(asked._replace(prompt_above=size), NO_PRICES).at(time)
            if dated is not None and len(dated.rate.tiers) > 1:
                return asked, f"{dated.name} has tiers for {dated.rate.key}, and a cost is one price"
            if dated is not None:
                return asked, dated
        tier = "" if service_tier == STANDARD else f" of service tier {service_tier}"
        return asked, f"cost card {contract.cost_card} has no price for {provider}/{model} {token_class}{tier}"


def add_long_prompt(sums: LongPrompts, row: UsageRow, steps: Mapping[tuple[str, str], tuple[int, ...]]) -> None:
    """Count an event whose prompt is larger than a size at which a cost of its model changes. A prompt of exactly that
    size is not."""
    sizes = steps.get((row.provider, row.model))
    position = bisect_left(sizes, prompt_size(row.quantities)) if sizes else 0
    if sizes and position:
        of_day = sums.setdefault(row.time[:10], {}).setdefault(str(sizes[position - 1]), {})
        add_quantities(of_day, row.provider, row.model, row.quantities, row.service_tier)


def add_long_prompts(sums: LongPrompts, more: Mapping[str, Mapping[str, Mapping[ClassKey, int]]]) -> None:
    """Add the counts of another shard."""
    for day, sizes in more.items():
        for size, quantities in sizes.items():
            add_sums(sums.setdefault(day, {}).setdefault(size, {}), quantities)


def _prompt_steps(keys: Iterable[RateKey]) -> dict[tuple[str, str], tuple[int, ...]]:
    sizes: dict[tuple[str, str], set[int]] = {}
    for key in keys:
        if key.provider and key.prompt_above:
            sizes.setdefault((key.provider, key.model), set()).add(key.prompt_above)
    return {model: tuple(sorted(found)) for model, found in sizes.items()}


def _by_prompt(
    sums: Mapping[ClassKey, int], long_prompts: Mapping[str, Mapping[ClassKey, int]]
) -> list[tuple[ClassKey, int, int]]:
    """Quantities of a day as (class, prompt size that was exceeded or 0, quantity), without zeros."""
    rest = dict(sums)
    parts: list[tuple[ClassKey, int, int]] = []
    for size, quantities in long_prompts.items():
        for name, quantity in quantities.items():
            parts.append((name, int(size), quantity))
            rest[name] = rest.get(name, 0) - quantity
    parts += [(name, 0, quantity) for name, quantity in rest.items()]
    return [part for part in parts if part[2]]
