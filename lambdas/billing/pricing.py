"""What a contract makes of one event: a price for each class, or the reason why there is none.

`Pricing` is a contract version with its plan and the prices of its rate card, compiled for the rating loop.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lambdas.billing.canonical import encode_string
from lambdas.billing.classes import CLASSES, STANDARD
from lambdas.billing.documents import Contract, RateCardVersion, read_contract, read_rate_card_version
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.kinds import graduated, package, per_unit, volume
from lambdas.billing.plans import Charge, Plan, read_plan
from lambdas.billing.rates import DatedRate, PriceHistory, RateKey, price_histories
from lambdas.billing.times import day_start

INCLUDED = "included"
_MOST_MODELS = 10_000
"""Models remembered at once: where a charge prices every model, senders choose how many there are."""
_PARTS = {"per_unit": per_unit.parts, "package": package.parts, "graduated": graduated.parts, "volume": volume.parts}


class LinePrice(NamedTuple):
    """One legal line's identity and its one price (K3): charge x model x class x rate version x tier.

    `tier` is None where the charge has one price only, `included`, or the tier's number as text. `price` is the
    decimal text per block of the rate, `unit_price` that of one unit in 10**-18.
    """

    key: str
    encoded_key: str
    charge: Charge
    dated: DatedRate
    provider: str
    model: str
    token_class: str
    tier: str | None
    price: str
    unit_price: int


class ClassPrice(NamedTuple):
    """How a class of a model is priced at a time. `only` is its line where there can be but one; otherwise `lines`
    holds the line of included units at 0 and that of each tier at its number."""

    charge: Charge
    dated: DatedRate
    only: LinePrice | None
    lines: tuple[LinePrice, ...]


class Charged(NamedTuple):
    """Part of an event's quantity on one line. `position` is what the charge had counted before it, included units
    too; None where positions do not matter."""

    line: LinePrice
    quantity: int
    amount: int
    blocks: int | None = None
    position: int | None = None


class Unpriced(NamedTuple):
    """Why an event cannot be priced now. `code` is `unknown_class`, `no_charge`, `no_price` or `wrong_price`."""

    code: str
    detail: str


class _DatedPrices(NamedTuple):
    """One class of one model over time: from `starts[n]` on `prices[n]`."""

    starts: tuple[str, ...]
    prices: tuple[ClassPrice | Unpriced, ...]


class Pricing:
    """Compiled prices of one contract version. Holds no state that rating changes, apart from a lookup cache."""

    def __init__(self, contract: Contract, plan: Plan, rate_cards: Iterable[RateCardVersion]) -> None:
        if (plan.id, plan.version) != (contract.plan, contract.plan_version):
            raise DocumentRefused(
                "plan",
                f"{plan.id}@{plan.version}",
                f"the contract names {contract.plan}@{contract.plan_version}",
            )
        versions = list(rate_cards)
        for version in versions:
            if version.card != contract.rate_card or version.currency != contract.currency:
                raise DocumentRefused(
                    "rate card",
                    f"{version.card} in {version.currency}",
                    f"the contract names {contract.rate_card} in {contract.currency}",
                )
        self.contract = contract
        self.activated = day_start(contract.effective_from)
        self.plan = plan
        self._charges: Mapping[str, Charge] = {name: charge for charge in plan.charges for name in charge.classes}
        self._histories: Mapping[RateKey, PriceHistory] = price_histories(versions)
        self._models: dict[tuple[str, str], dict[str, _DatedPrices]] = {}

    def find(
        self, provider: str, model: str, token_class: str, time: str, service_tier: str = STANDARD
    ) -> ClassPrice | Unpriced:
        """How a quantity of this class at this canonical time is priced, or why it is not."""
        found = self.priced(provider, model, {token_class: 1}, time, service_tier)
        return found if isinstance(found, Unpriced) else found[0][0]

    def priced(
        self, provider: str, model: str, quantities: Mapping[str, int], time: str, service_tier: str = STANDARD
    ) -> list[tuple[ClassPrice, int]] | Unpriced:
        """The price of each quantity of an event, by class name; or why one of them has none. Zeros are left out."""
        known = self._models.get((provider, model))
        if known is None:
            if len(self._models) >= _MOST_MODELS:
                self._models.clear()
            known = self._models[(provider, model)] = {}
        found: list[tuple[ClassPrice, int]] = []
        for token_class in sorted(quantities):  # the order sent is not the order stored
            quantity = quantities[token_class]
            if quantity:
                dated = known.get(token_class)
                if dated is None:
                    dated = known[token_class] = self._dated_prices(provider, model, token_class)
                position = bisect_right(dated.starts, time)
                price = dated.prices[position - 1] if position else self._no_price(provider, model, token_class, time)
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

    def _dated_prices(self, provider: str, model: str, token_class: str) -> _DatedPrices:
        charge = self._charges.get(token_class)
        if charge is None:
            return _DatedPrices(("",), (self._no_charge(token_class),))
        key = (provider, model, token_class) if charge.prices == "class" else ("", "", charge.id)
        history = self._histories.get(key, PriceHistory((), ()))
        prices = [_class_price(charge, dated, provider, model, token_class) for dated in history.prices]
        return _DatedPrices(history.starts, tuple(prices))

    def _no_charge(self, token_class: str) -> Unpriced:
        if token_class not in CLASSES:
            return Unpriced("unknown_class", f"class {token_class} is not known")
        return Unpriced("no_charge", f"plan {self.plan.id}@{self.plan.version} has no charge for class {token_class}")

    def _no_price(self, provider: str, model: str, token_class: str, time: str) -> Unpriced:
        charge = self._charges[token_class]
        what = f"{provider}/{model} {token_class}" if charge.prices == "class" else f"charge {charge.id}"
        return Unpriced("no_price", f"rate card {self.contract.rate_card} has no price for {what} on {time[:10]}")


def charged_parts(price: ClassPrice, quantity: int, position: int, total: int) -> list[Charged]:
    """Split a quantity at the edges of included units and tiers (K7: tiers count what is left after included).

    `position` is what the charge counted before in the period and `total` what it counts in all of it, with included
    units. The event that crosses the edge of the included units is split, and both parts are charged lines.
    """
    charge = price.charge
    parts: list[Charged] = []
    covered = min(quantity, max(0, charge.included - position))
    if covered:
        parts.append(Charged(price.lines[0], covered, 0, None, position))
        position += covered
    if quantity > covered:
        after, left = position - charge.included, quantity - covered
        for part in _PARTS[charge.kind](price.dated.rate, after, left, max(0, total - charge.included)):
            line = price.lines[part.tier]
            parts.append(Charged(line, part.quantity, part.amount, part.blocks, position))
            position += part.quantity
    return parts


def compile_pricing(contract: Any, plan: Any, rate_cards: Mapping[str, Any]) -> Pricing:
    """Pricing from parsed documents as frozen in S3 or carried in a bundle; `rate_cards` maps `card@version`."""
    versions = []
    for name in sorted(rate_cards):
        card, _, _ = name.rpartition("@")
        version = read_rate_card_version(card, rate_cards[name])
        if name != f"{card}@{version.version}":
            raise DocumentRefused("version", version.version, f"this document is named {name}")
        versions.append(version)
    return Pricing(read_contract(contract), read_plan(plan), versions)


def _class_price(
    charge: Charge, dated: DatedRate, provider: str, model: str, token_class: str
) -> ClassPrice | Unpriced:
    tiers = dated.rate.tiers
    name = f"{charge.id}|{provider}/{model}|{token_class}|{dated.card}@{dated.version}"

    def line(tier: str | None, price: str, unit_price: int) -> LinePrice:
        key = name if tier is None else f"{name}|{tier}"
        return LinePrice(key, encode_string(key), charge, dated, provider, model, token_class, tier, price, unit_price)

    if len(tiers) > 1 and charge.kind in ("per_unit", "package"):
        detail = f"rate {dated.card}@{dated.version} has tiers and charge {charge.id} is {charge.kind}"
        return Unpriced("wrong_price", detail)
    if not charge.positional:
        return ClassPrice(charge, dated, line(None, tiers[0].price, tiers[0].unit_price), ())
    numbered = [line(str(n), tier.price, tier.unit_price) for n, tier in enumerate(tiers, start=1)]
    return ClassPrice(charge, dated, None, (line(INCLUDED, "0", 0), *numbered))
