"""What a contract makes of one event: a price for each class, or the reason why there is none.

`Pricing` is a contract version with its plan and the prices of its rate card, compiled for the rating loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lambdas.billing.canonical import encode_string
from lambdas.billing.classes import CLASSES
from lambdas.billing.documents import (
    Charge,
    Contract,
    Plan,
    RateCardVersion,
    read_contract,
    read_plan,
    read_rate_card_version,
)
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.rates import DatedRate, PriceHistory, RateKey, price_histories
from lambdas.billing.times import day_start


class LinePrice(NamedTuple):
    """One legal line's identity and its one unit price (K3): charge x model x class x rate version."""

    key: str
    encoded_key: str
    charge: Charge
    price: DatedRate
    unit_price: int


class Unpriced(NamedTuple):
    """Why an event cannot be priced now. `code` is `unknown_class`, `no_charge` or `no_price`."""

    code: str
    detail: str


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
        self._lines: dict[tuple[str, str, str, int], LinePrice] = {}

    def find(self, provider: str, model: str, token_class: str, time: str) -> LinePrice | Unpriced:
        """The line that a quantity of this class at this canonical time belongs to, or why there is none."""
        history = self._histories.get((provider, model, token_class))
        price = history.at(time) if history is not None else None
        if price is None:
            return self._unpriced(provider, model, token_class, time)
        cached = self._lines.get((provider, model, token_class, price.version))
        if cached is not None:
            return cached
        charge = self._charges.get(token_class)
        if charge is None:
            return Unpriced(
                "no_charge", f"plan {self.plan.id}@{self.plan.version} has no charge for class {token_class}"
            )
        key = f"{charge.id}|{provider}/{model}|{token_class}|{price.card}@{price.version}"
        line = LinePrice(key, encode_string(key), charge, price, price.rate.unit_price)
        self._lines[(provider, model, token_class, price.version)] = line
        return line

    def unpriced(self, provider: str, model: str, quantities: Mapping[str, int], time: str) -> Unpriced | None:
        """The first reason why an event with these quantities is parked, or None when all of it has a price."""
        for token_class, quantity in sorted(quantities.items()):
            if quantity:
                found = self.find(provider, model, token_class, time)
                if isinstance(found, Unpriced):
                    return found
        return None

    def _unpriced(self, provider: str, model: str, token_class: str, time: str) -> Unpriced:
        if token_class not in CLASSES:
            return Unpriced("unknown_class", f"class {token_class} is not known")
        where = f"rate card {self.contract.rate_card} has no price for {provider}/{model} {token_class} on {time[:10]}"
        return Unpriced("no_price", where)


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
