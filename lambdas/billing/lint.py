"""Plan lint: what a plan leaves open when it is published, and what plan, contract and prices are together when a
contract is agreed (R8, R9, R13). Prices are asked of the `Pricing` that will rate the usage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from lambdas.billing.classes import CLASSES, STANDARD, TOOL_CALL, class_order
from lambdas.billing.cliffs import cliff_of
from lambdas.billing.documents import Contract
from lambdas.billing.errors import CliffAboveLimit, DocumentRefused
from lambdas.billing.lines import ClassPrice
from lambdas.billing.meters import ALL_TOOLS, Meter, common_class
from lambdas.billing.money import ONE, format_amount, multiply, parse_amount
from lambdas.billing.plans import Charge, Plan
from lambdas.billing.pricing import Pricing
from lambdas.billing.rate_cards import Rate, RateCardVersion, RateKey
from lambdas.billing.rates import NO_PRICES, PriceHistory, price_histories
from lambdas.billing.times import day_start

_ANY = "any"
"""Stands for a provider, a model or a tool where a charge has one price for all of them."""

_DIVIDED_UNIT: int = ONE // 10**12
"""What a bound that is shared out is rounded to (K2); times a percentage of four decimals it stays exact."""

Histories = Mapping[RateKey, PriceHistory]


class Cliff(NamedTuple):
    """Largest rise of the bill by one more unit of a charge, in 10**-18 of the contract's currency."""

    charge: str
    exact: int


class Lint(NamedTuple):
    """What an agreement was found to be. `cliff` is the largest of `cliffs`, which has one for each usage charge with a
    price; None where none has. `unpriced` names what the plan counts and the cards have no price for when the contract
    begins, `provider/model/class`: such usage is parked."""

    cliff: Cliff | None
    cliffs: tuple[Cliff, ...]
    unpriced: tuple[str, ...]
    notes: tuple[str, ...]


def lint_plan(plan: Plan) -> list[str]:
    """What an operator should know of a published plan, one sentence each."""
    notes = [f"primary meter {plan.primary_meter}: {_counted(plan.primary)}"]
    known = {name for charge in plan.charges for name in charge.classes}.union(plan.refused)
    left = [name for name in CLASSES if name not in known]
    if ALL_TOOLS not in known:
        left.append(f"{ALL_TOOLS} (tools not named)" if any(map(_is_tool, known)) else ALL_TOOLS)
    if left:
        notes.append(f"counted by no charge, so usage of it is parked: {', '.join(left)}")
    whole = [charge.id for charge in plan.charges if charge.prices == "charge"]
    if whole:
        notes.append(f"priced by charge, so the contract's rate card must price: {', '.join(whole)}")
    if any(charge.prices == "cost" for charge in plan.charges):
        notes.append("passes the provider's cost through, so the contract must name a cost_card")
    for charge in plan.charges:
        if charge.kind == "volume":
            notes.append(f"{charge.id} has volume prices: one more unit can change the price of all units before it")
    return notes


def lint_agreement(
    plan: Plan, contract: Contract, versions: Sequence[RateCardVersion], cost_versions: Sequence[RateCardVersion] = ()
) -> Lint:
    """Check a contract with its plan and all published versions of the cards it names: `versions` of the rate card, the
    override card and the exchange rates, `cost_versions` of the provider's cost. Prices in force from the contract's
    first day on count.

    Raises DocumentRefused for currencies, posture or bearer that differ, charges without any price, prices that do not
    fit their charge, discounts of no charge, products of more than 18 decimals; CliffAboveLimit for a cliff above the
    one that the plan declares.
    """
    _check_terms(plan, contract, cost_versions)
    agreed = _Agreed(plan, contract, versions, cost_versions)
    cliffs = [cliff for charge in plan.charges for cliff in agreed.check(charge)]
    cliff = max(cliffs, key=lambda cliff: cliff.exact, default=None)
    limit = plan.controls.get("cliff_limit")
    if limit is not None and cliff is not None and cliff.exact > parse_amount(limit):
        risen = f"one more unit of {cliff.charge} can raise the bill by {format_amount(cliff.exact)}"
        raise CliffAboveLimit("cliff_limit", limit, f"{risen}; declare that or lower the price")
    return Lint(cliff, tuple(cliffs), tuple(agreed.unpriced()), tuple(dict.fromkeys(agreed.notes)))


def _check_terms(plan: Plan, contract: Contract, cost_versions: Sequence[RateCardVersion]) -> None:
    if plan.currency is not None and plan.currency != contract.currency:
        remedy = f"plan {plan.id}@{plan.version} states amounts in {plan.currency}; both must be the same"
        raise DocumentRefused("currency", contract.currency, remedy)
    for field in ("posture", "volatility_bearer"):
        if getattr(contract, field) != getattr(plan, field):
            remedy = f"plan {plan.id}@{plan.version} says {getattr(plan, field)}; both must be the same"
            raise DocumentRefused(field, getattr(contract, field), remedy)
    passing = [charge.id for charge in plan.charges if charge.prices == "cost"]
    if passing and contract.cost_card is None:
        raise DocumentRefused("cost_card", None, f"{passing[0]} passes cost through: name the card of the costs")
    foreign = {version.currency for version in cost_versions} - {contract.currency}
    if passing and foreign and contract.fx_card is None:
        raise DocumentRefused("fx_card", None, f"costs are in {foreign.pop()}: name the card of the exchange rates")
    usage = {charge.id for charge in plan.charges if charge.kind != "flat"}
    for charge in plan.charges:
        for name in ("minimum", "maximum"):
            bound = getattr(charge, name)
            if bound is not None and parse_amount(bound) % _DIVIDED_UNIT and _discounted(charge, contract):
                remedy = f"at most 12 decimals where a percentage is taken off, in plan {plan.id}@{plan.version}"
                raise DocumentRefused("discounts", f"{name} {bound} of charge {charge.id}", remedy)
    for position, discount in enumerate(contract.discounts):
        for name in discount.charges:
            if name not in usage:
                remedy = f"a usage charge of plan {plan.id}@{plan.version}: {', '.join(sorted(usage))}"
                raise DocumentRefused(f"discounts[{position}].charges", name, remedy)


def _discounted(charge: Charge, contract: Contract) -> bool:
    """Whether a percentage discount counts from a charge."""
    return any(
        discount.percent is not None and (not discount.charges or charge.id in discount.charges)
        for discount in contract.discounts
    )


class _Agreed:
    """One agreement under the lint; collects notes."""

    def __init__(
        self,
        plan: Plan,
        contract: Contract,
        versions: Sequence[RateCardVersion],
        cost_versions: Sequence[RateCardVersion],
    ) -> None:
        self.plan, self.contract = plan, contract
        self.notes: list[str] = []
        self._pricing = Pricing(contract, plan, [*versions, *cost_versions])
        listed = [version for version in versions if version.card == contract.rate_card]
        own = [version for version in versions if version.card == contract.override_card]
        self._cards = (price_histories(listed), price_histories(own))
        self._costs = (price_histories(cost_versions),)
        self._starts: dict[tuple[str, ...], set[str]] = {}
        for card in (*self._cards, *self._costs):
            for key, history in card.items():
                self._starts.setdefault(key[:4], set()).update(history.starts)
        self._begin = day_start(contract.effective_from)
        if "margin_floor" in plan.controls and contract.cost_card is None:
            self.notes.append("the contract names no cost_card: the margin floor cannot be watched")

    def check(self, charge: Charge) -> Iterator[Cliff]:
        """The cliff of a charge, if it has a price. Raises for prices that do not fit it, or none where one is due."""
        if charge.kind == "flat":
            self._check_flat(charge)
            return
        found: list[ClassPrice] = []
        first: str | None = None
        for asked in self._asked(charge):
            for time in self._times(self._key_of(charge, asked)):
                price = self._price(charge, asked, time)
                if price is not None:
                    found.append(price)
                    first = time if first is None else min(first, time)
        if charge.prices == "charge":
            self._check_begins(charge, first)
        blocks = {price.rate.per for price in found}
        if charge.kind == "package" and len(blocks) > 1:
            sizes = ", ".join(str(per) for per in sorted(blocks))
            remedy = "one block size: all that the charge counts stands in one row of blocks, by whichever class begun"
            raise DocumentRefused("rate_card", f"charge {charge.id} in blocks of {sizes}", remedy)
        if found:
            yield Cliff(charge.id, max(_cliffs(charge, found)))

    def unpriced(self) -> list[str]:
        """What the plan counts for a model that a card prices otherwise, and has no price when the contract begins."""
        missing: set[RateKey] = set()
        for charge in self.plan.charges:
            cards = self._cards_of(charge)
            if charge.prices == "charge":
                continue
            keys = [key for card in cards for key in card if key.provider]
            names = [name for name in charge.classes if name != ALL_TOOLS]
            if ALL_TOOLS in charge.classes:
                names += sorted({key.name for key in keys if _is_tool(key.name)})
            for provider, model in {(key.provider, key.model) for key in keys}:
                if charge.providers and provider not in charge.providers:
                    continue
                for name in names:
                    for tier in charge.service_tiers or (STANDARD,):
                        asked = RateKey(provider, model, name, tier)
                        if not self.plan.refuses(name) and self._find(asked, self._begin) == "no_price":
                            missing.add(asked)
        return [
            str(key) for key in sorted(missing, key=lambda key: (*key[:2], class_order(key.name), key.service_tier))
        ]

    def _asked(self, charge: Charge) -> Iterator[RateKey]:
        """What to ask the price of, so that every price of the charge is an answer."""
        for key in {key: None for card in self._cards_of(charge) for key in card}:
            if charge.service_tiers and key.service_tier not in charge.service_tiers:
                continue
            if charge.prices == "charge":
                asked = list(self._asked_as_whole(charge, key))
            else:
                fits = not charge.providers or key.provider in charge.providers
                asked = [key] if key.provider and fits and common_class([key.name], charge.classes) else []
            if asked and key.prompt_above:
                self.notes.append(
                    f"{charge.id}: the token that takes a prompt above {key.prompt_above} reprices its whole request; "
                    "the cliff leaves that out"
                )
            yield from asked

    def _asked_as_whole(self, charge: Charge, key: RateKey) -> Iterator[RateKey]:
        """One question for each class of a charge that has one price for all of them."""
        if key.provider or key.name != charge.id:
            return
        provider = charge.providers[0] if charge.providers else _ANY
        for name in charge.classes:
            if not self.plan.refuses(name):
                named = f"{TOOL_CALL}{_ANY}" if name == ALL_TOOLS else name
                yield RateKey(provider, _ANY, named, key.service_tier, key.prompt_above)

    def _price(self, charge: Charge, asked: RateKey, time: str) -> ClassPrice | None:
        price = self._pricing.find(asked, time)
        if isinstance(price, ClassPrice):
            return price
        if price.code == "wrong_price":
            field = "cost_card" if charge.prices == "cost" else "rate_card"
            raise DocumentRefused(field, str(self._key_of(charge, asked)), price.detail)
        if price.code == "no_exchange_rate":
            self.notes.append(f"{price.detail}: usage of {charge.id} is parked, and its cliff is not known")
            cost = self._costs[0].get(asked, NO_PRICES).at(time)
            if cost is not None and charge.markup is not None:
                multiply(cost.rate.tiers[0].unit_price, parse_amount(charge.markup), f"cost x markup of {charge.id}")
        return None

    def _find(self, asked: RateKey, time: str) -> str:
        price = self._pricing.find(asked, time)
        return "" if isinstance(price, ClassPrice) else price.code

    def _check_flat(self, charge: Charge) -> None:
        first: str | None = None
        for time in self._times(RateKey("", "", charge.id)):
            dated = self._pricing.flat_rate(charge, time)
            if dated is None:
                continue
            first = first or time
            if len(dated.rate.tiers) > 1 or dated.rate.per != 1:
                raise DocumentRefused("rate_card", charge.id, f"{dated.name}: a flat fee has one price, per 1")
        self._check_begins(charge, first)

    def _check_begins(self, charge: Charge, first: str | None) -> None:
        if first is None:
            remedy = f"publish a price of charge {charge.id} of plan {self.plan.id}@{self.plan.version} first"
            raise DocumentRefused("rate_card", self.contract.rate_card, remedy)
        if first > self._begin:
            self.notes.append(f"charge {charge.id} has no price before {first[:10]}")

    def _cards_of(self, charge: Charge) -> tuple[Histories, ...]:
        return self._costs if charge.prices == "cost" else self._cards

    def _key_of(self, charge: Charge, asked: RateKey) -> RateKey:
        return RateKey("", "", charge.id, *asked[3:]) if charge.prices == "charge" else asked

    def _times(self, key: RateKey) -> list[str]:
        """The contract's begin, and every later time at which a price of this key, or of another prompt size, may
        change."""
        changes = self._starts.get(key[:4], set()).union(self.contract.price_lock or ())
        return [self._begin, *sorted(time for time in changes if time > self._begin)]


def _cliffs(charge: Charge, prices: Iterable[ClassPrice]) -> Iterator[int]:
    """By weight: one more of a class counts as many units as the class weighs."""
    by_weight: dict[int, list[Rate]] = {}
    for price in prices:
        by_weight.setdefault(price.weight, []).append(price.rate)
    for weight, rates in by_weight.items():
        yield cliff_of(charge.kind, rates, weight)


def _counted(meter: Meter) -> str:
    if meter.weights:
        return ", ".join(f"{weight} x {name}" for name, weight in meter.weights.items())
    return ", ".join(meter.classes)


def _is_tool(name: str) -> bool:
    return name.startswith(TOOL_CALL)
