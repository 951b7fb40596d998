"""What a contract makes of one event: a price for each class, or the reason why there is none.

`Pricing` is a contract version with its plan and the prices of its rate cards, compiled for the rating loop.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lambdas.billing.classes import INPUT_CLASSES, STANDARD, TOOL_CALL, class_of
from lambdas.billing.documents import Contract, read_contract
from lambdas.billing.errors import DocumentRefused, InvalidAmount
from lambdas.billing.lines import INCLUDED, ClassPrice, LinePrice, Of, PassThrough, Unpriced
from lambdas.billing.money import multiply
from lambdas.billing.plans import Charge, Plan, read_plan
from lambdas.billing.rate_cards import Rate, RateCardVersion, RateKey, Tier, read_rate_card_version
from lambdas.billing.rates import NO_PRICES, DatedRate, PriceHistory, fx_at, price_histories
from lambdas.billing.times import day_start

_MOST_MODELS = 10_000
"""Models remembered at once: where a charge prices every model, senders choose how many there are."""
_MOST_CLASSES = 256
"""Classes of a model remembered at once: where a charge counts all tools, senders choose their names."""
_MOST_LINES = 100_000
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ONE_PRICE = ("per_unit", "package", "pass_through")
_BY_POSITION = ("per_unit", "graduated")


class Shares(NamedTuple):
    """What is included over a period, after proration (K11): units by charge id; units or money by pool id. Where a
    charge or pool is not named, it is what the plan says for a whole period."""

    charges: Mapping[str, int] = _NOTHING
    pools: Mapping[str, int] = _NOTHING


class _DatedPrices(NamedTuple):
    """One class of one model over time: from `starts[n]` on `prices[n]`."""

    starts: tuple[str, ...]
    prices: tuple[ClassPrice | Unpriced | None, ...]


class Pricing:
    """Compiled prices of one contract version. Holds no state that rating changes, apart from lookup caches.

    `fixed_at` is the canonical time whose exchange rate holds, by default the contract's begin. `mark` tells its lines
    from those of another contract version of the same period.
    """

    def __init__(
        self,
        contract: Contract,
        plan: Plan,
        rate_cards: Iterable[RateCardVersion],
        *,
        shares: Shares = Shares(),  # noqa: B008 - frozen
        fixed_at: str | None = None,
        mark: str = "",
    ) -> None:
        if (plan.id, plan.version) != (contract.plan, contract.plan_version):
            raise DocumentRefused(
                "plan",
                f"{plan.id}@{plan.version}",
                f"the contract names {contract.plan}@{contract.plan_version}",
            )
        self.contract = contract
        self.activated = day_start(contract.effective_from)
        self.plan = plan
        self.shares = shares
        self.mark = mark
        self._cards = _cards_of(contract, rate_cards)
        self._list = price_histories(self._cards[contract.rate_card])
        self._override = price_histories(self._cards.get(contract.override_card or "", []))
        self._costs = price_histories(self._cards.get(contract.cost_card or "", []))
        self._fixed_at = fixed_at or self.activated
        every = (*self._list, *self._override, *self._costs)
        self._steps = tuple(sorted({key.prompt_above for key in every if key.prompt_above}))
        self._models: dict[tuple[str, str, str, int], dict[str, _DatedPrices]] = {}
        self._split: dict[tuple[str, str], LinePrice] = {}

    @property
    def by_prompt(self) -> bool:
        """True where some price is for requests with a prompt above a size."""
        return bool(self._steps)

    def find(self, asked: RateKey, time: str) -> ClassPrice | Unpriced:
        """How a class of a model is priced at this canonical time, in requests with a prompt above `prompt_above` and
        up to the next larger size that has a price of its own; or why it is not."""
        dated = self._dated_prices(asked)
        position = bisect_right(dated.starts, time)
        price = dated.prices[position - 1] if position else None
        return self._no_price(asked, time) if price is None else price

    def priced(
        self, provider: str, model: str, quantities: Mapping[str, int], time: str, service_tier: str = STANDARD
    ) -> list[tuple[ClassPrice, int]] | Unpriced:
        """The price of each quantity of an event, by class name; or why one of them has none. Zeros are left out."""
        step = bisect_left(self._steps, prompt_size(quantities)) if self._steps else 0
        known = self._models.get((provider, model, service_tier, step))
        if known is None:
            if len(self._models) >= _MOST_MODELS:
                self._models.clear()
            known = self._models[(provider, model, service_tier, step)] = {}
        found: list[tuple[ClassPrice, int]] = []
        for token_class in sorted(quantities):  # the order sent is not the order stored
            quantity = quantities[token_class]
            if quantity:
                dated = known.get(token_class)
                if dated is None:
                    if len(known) >= _MOST_CLASSES:
                        known.clear()
                    above = self._steps[step - 1] if step else 0
                    asked = RateKey(provider, model, token_class, service_tier, above)
                    dated = known[token_class] = self._dated_prices(asked)
                position = bisect_right(dated.starts, time)
                price = dated.prices[position - 1] if position else None
                if price is None:
                    return self._no_price(RateKey(provider, model, token_class, service_tier), time)
                if isinstance(price, Unpriced):
                    return price
                found.append((price, quantity))
        return found

    def unpriced(
        self, provider: str, model: str, quantities: Mapping[str, int], time: str, service_tier: str = STANDARD
    ) -> Unpriced | None:
        """The first reason why an event with these quantities is parked, or None when all of it has a price."""
        found = self.priced(provider, model, quantities, time, service_tier)
        return found if isinstance(found, Unpriced) else None

    def split(self, line: LinePrice, attributes: Mapping[str, str]) -> LinePrice:
        """The line of this price for an event's value of the attribute that splits lines (R41)."""
        name = self.contract.split_by
        value = attributes.get(name) if name is not None else None
        if value is None:
            return line
        found = self._split.get((line.key, value))
        if found is None:
            if len(self._split) >= _MOST_LINES:
                self._split.clear()
            found = self._split[(line.key, value)] = line.with_attribute(f"{name}={value}")
        return found

    def flat_rate(self, charge: Charge, time: str) -> DatedRate | None:
        """The price of a flat charge that is in force at a canonical time."""
        return self._rate_at(RateKey("", "", charge.id), time)

    def _charge(self, asked: RateKey) -> Charge | None:
        wildcard = f"{TOOL_CALL}*" if asked.name.startswith(TOOL_CALL) else asked.name
        for charge in self.plan.charges:
            if (
                (asked.name in charge.classes or wildcard in charge.classes)
                and (not charge.service_tiers or asked.service_tier in charge.service_tiers)
                and (not charge.providers or asked.provider in charge.providers)
            ):
                return charge
        return None

    def _dated_prices(self, asked: RateKey) -> _DatedPrices:
        """Every change of the price over time: each day on which one of the cards, or the price lock, may change it."""
        charge = self._charge(asked)
        if charge is None or self.plan.refuses(asked.name):
            return _DatedPrices(("",), (self._no_charge(asked),))
        key = key_of(charge, asked)
        histories = (self._costs,) if charge.prices == "cost" else (self._list, self._override)
        changes = {start for cards in histories for start in self._starts(cards, key)}
        starts = sorted({*changes, *(self.contract.price_lock or ())})
        return _DatedPrices(tuple(starts), tuple(self._price_at(charge, key, asked, start) for start in starts))

    def _price_at(self, charge: Charge, key: RateKey, asked: RateKey, start: str) -> ClassPrice | Unpriced | None:
        dated = self._cost_at(asked, start) if charge.prices == "cost" else self._rate_at(key, start)
        if dated is None:
            return None
        try:
            return self._class_price(charge, asked, start, dated)
        except InvalidAmount as error:
            return Unpriced("wrong_price", str(error))

    def _sizes(self, key: RateKey) -> Iterator[RateKey]:
        """The key at each prompt size that has prices, largest first, down to prices of any request."""
        for above in reversed(self._steps):
            if above <= key.prompt_above:
                yield key._replace(prompt_above=above)
        yield key._replace(prompt_above=0)

    def _starts(self, histories: Mapping[RateKey, PriceHistory], key: RateKey) -> Iterator[str]:
        for sized in self._sizes(key):
            yield from histories.get(sized, NO_PRICES).starts

    def _rate_at(self, key: RateKey, time: str) -> DatedRate | None:
        """The price in force: of the largest prompt size that has one; the customer's own before the card's."""
        at = self._locked(key, time)
        for sized in self._sizes(key):
            price = self._override.get(sized, NO_PRICES).at(time) or self._list.get(sized, NO_PRICES).at(at)
            if price is not None:
                return price
        return None

    def _locked(self, key: RateKey, time: str) -> str:
        """The time whose prices of the card hold. While a lock does, that is the lock's first day; for what had no
        price then, at any prompt size, the day of its first one."""
        lock = self.contract.price_lock
        if lock is None or not lock.start <= time < lock.end:
            return time
        return min(time, max(lock.start, min(self._starts(self._list, key), default=time)))

    def _cost_at(self, asked: RateKey, time: str) -> DatedRate | None:
        found = (self._costs.get(sized, NO_PRICES).at(time) for sized in self._sizes(asked))
        return next((cost for cost in found if cost is not None), None)

    def _class_price(self, charge: Charge, asked: RateKey, since: str, dated: DatedRate) -> ClassPrice | Unpriced:
        rate, passed = dated.rate, None
        begun = self._rate_at(key_of(charge, asked), self._fixed_at) if charge.kind == "package" else None
        if begun is not None and since > self._fixed_at and begun.rate.per != rate.per:
            detail = f"rate {dated.name} of charge {charge.id} changes blocks of {begun.rate.per} within a period"
            return Unpriced("wrong_price", f"{detail}; supersede it with the same block")
        if len(rate.tiers) > 1 and (charge.kind in _ONE_PRICE or charge.pool is not None):
            what = "shares included usage" if charge.pool is not None else f"is {charge.kind}"
            return Unpriced("wrong_price", f"rate {dated.name} has tiers and charge {charge.id} {what}")
        if charge.markup is not None:
            found = self._passed_through(charge.markup, dated)
            if isinstance(found, Unpriced):
                return found
            passed, rate = found, rate._replace(tiers=(found.tier(rate),))
        self._check_discounts(charge, rate)
        of = Of(charge, asked, since, dated, self.contract.version, passed)
        name = "|".join(of.marks(self.mark))

        def line(tier: str | None, price: Tier) -> LinePrice:
            return LinePrice.of_price(of, name if tier is None else f"{name}|{tier}", tier, price, value)

        value = rate.tiers[0].unit_price
        weight = charge.weights.get(asked.name, 1)
        if not charge.positional:
            return ClassPrice(charge, rate, line(None, rate.tiers[0]), (), weight, 0, None, charge.position, (), ())
        numbered = [line(str(n), tier) for n, tier in enumerate(rate.tiers, start=1)]
        bounds = tuple(tier.up_to for tier in rate.tiers if tier.up_to is not None)
        lines = (line(INCLUDED, Tier(None, "0", 0, 0)), *numbered)
        pool = charge.pool
        if pool is None:
            included = self.shares.charges.get(charge.id, charge.included)
            edges = (included, *(included + bound for bound in bounds)) if charge.kind in _BY_POSITION else ()
            return ClassPrice(charge, rate, None, lines, weight, included, None, charge.position, bounds, edges)
        whole = pool.quantity if pool.amount is None else pool.amount
        limit = self.shares.pools.get(pool.id, whole or 0)
        if pool.amount is None:
            return ClassPrice(charge, rate, None, lines, weight, limit, None, charge.position, (), (limit,))
        return ClassPrice(charge, rate, None, lines, weight, 0, limit, charge.position, (), ())

    def _passed_through(self, markup: str, cost: DatedRate) -> PassThrough | Unpriced:
        """Cost times markup, in the contract's currency at the exchange rate fixed for the period (R13)."""
        foreign = self._cards[cost.card][0].currency
        if foreign == self.contract.currency:
            return PassThrough(foreign, markup, None)
        fx = fx_at(self._cards.get(self.contract.fx_card or "", []), foreign, self._fixed_at)
        if fx is None:
            named = self.contract.fx_card or "(none named)"
            detail = f"fx card {named} has no {self.contract.currency} for {foreign} on {self._fixed_at[:10]}"
            return Unpriced("no_exchange_rate", detail)
        return PassThrough(foreign, markup, fx)

    def _check_discounts(self, charge: Charge, rate: Rate) -> None:
        """Every percentage of every unit must be exact (K2). Raises InvalidAmount."""
        for discount in self.contract.discounts:
            if discount.percent is not None and (not discount.charges or charge.id in discount.charges):
                for tier in rate.tiers:
                    multiply(tier.unit_price, discount.percent, f"discount {discount.id} of {charge.id}")

    def _no_charge(self, asked: RateKey) -> Unpriced:
        plan = f"plan {self.plan.id}@{self.plan.version}"
        if class_of(asked.name) is None:
            return Unpriced("unknown_class", f"class {asked.name} is not known")
        if self.plan.refuses(asked.name):
            return Unpriced("refused_class", f"{plan} refuses class {asked.name}")
        return Unpriced("no_charge", f"{plan} has no charge for class {asked.name}{_of_tier(asked)}")

    def _no_price(self, asked: RateKey, time: str) -> Unpriced:
        charge = self._charge(asked)
        if charge is None:
            return self._no_charge(asked)
        model = f"{asked.provider}/{asked.model} {asked.name}"
        what = f"{f'charge {charge.id}' if charge.prices == 'charge' else model}{_of_tier(asked)}"
        card = f"rate card {self.contract.rate_card}"
        if charge.prices == "cost":
            card = f"cost card {self.contract.cost_card or '(none named)'}"
        return Unpriced("no_price", f"{card} has no price for {what} on {time[:10]}")


def key_of(charge: Charge, asked: RateKey) -> RateKey:
    """What the price stands under: the class asked for, or the charge as a whole."""
    return asked if charge.prices != "charge" else RateKey("", "", charge.id, *asked[3:])


def prompt_size(quantities: Mapping[str, int]) -> int:
    """Tokens of a request's prompt: the sum of its input classes, cached ones too."""
    return sum(quantities.get(name, 0) for name in INPUT_CLASSES)


def read_cards(documents: Mapping[str, Any]) -> list[RateCardVersion]:
    """Rate card versions from documents by `card@version`. Raises DocumentRefused for a name that is not its own."""
    versions = []
    for name in sorted(documents):
        card, _, _ = name.rpartition("@")
        version = read_rate_card_version(card, documents[name])
        if name != f"{card}@{version.version}":
            raise DocumentRefused("version", version.version, f"this document is named {name}")
        versions.append(version)
    return versions


def compile_pricing(contract: Any, plan: Any, rate_cards: Mapping[str, Any]) -> Pricing:
    """Pricing of one contract version for whole periods, from parsed documents; `rate_cards` maps `card@version`."""
    return Pricing(read_contract(contract), read_plan(plan), read_cards(rate_cards))


def _cards_of(contract: Contract, versions: Iterable[RateCardVersion]) -> dict[str, list[RateCardVersion]]:
    """The versions by card. Raises DocumentRefused for a card that the contract does not name, or in a currency that it
    cannot price in; costs may be in any."""
    cards: dict[str, list[RateCardVersion]] = {contract.rate_card: []}
    for version in versions:
        fits = version.currency == contract.currency or version.card == contract.cost_card
        if version.card not in contract.cards or not fits:
            raise DocumentRefused(
                "rate card",
                f"{version.card} in {version.currency}",
                f"the contract names {', '.join(contract.cards)} in {contract.currency}",
            )
        cards.setdefault(version.card, []).append(version)
    return cards


def _of_tier(asked: RateKey) -> str:
    return "" if asked.service_tier == STANDARD else f" of service tier {asked.service_tier}"
