"""Legal lines of usage: what one is named by, its one price (K3), and how quantities are charged on them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from lambdas.billing.canonical import encode_string
from lambdas.billing.classes import STANDARD
from lambdas.billing.kinds import graduated, package, per_unit, volume
from lambdas.billing.money import format_amount, multiply, parse_amount, price_per_unit
from lambdas.billing.plans import Charge
from lambdas.billing.rate_cards import Rate, RateKey, Tier
from lambdas.billing.rates import DatedFx, DatedRate

INCLUDED = "included"
_PARTS = {
    "per_unit": per_unit.parts, "pass_through": per_unit.parts, "package": package.parts,
    "graduated": graduated.parts, "volume": volume.parts,
}  # fmt: skip


class PassThrough(NamedTuple):
    """How a provider's cost in `currency` becomes a price: times `markup`, times the exchange rate where currencies
    differ (R13)."""

    currency: str
    markup: str
    fx: DatedFx | None

    def tier(self, cost: Rate) -> Tier:
        """The one price that a cost makes. Raises InvalidAmount where a unit of it needs more than 18 decimals."""
        price = multiply(cost.tiers[0].block_price, parse_amount(self.markup), "cost x markup")
        if self.fx is not None:
            multiply(cost.tiers[0].unit_price, self.fx.rate.exact, "cost x exchange rate")
            price = multiply(price, self.fx.rate.exact, "cost x markup x exchange rate")
        unit_price = price_per_unit(price, cost.per, "cost x markup x exchange rate")
        return Tier(None, format_amount(price), price, unit_price)


class Of(NamedTuple):
    """What the lines of one price have in common: who priced what, since which canonical time, by which versions."""

    charge: Charge
    asked: RateKey
    since: str
    dated: DatedRate
    contract_version: int
    passed: PassThrough | None

    def marks(self, contract_mark: str) -> list[str]:
        """The parts of the line's key: `input`, `openai/gpt-4o`, `input`, `std@1`, then what tells it from lines that
        have all these in common."""
        asked, above = self.asked, self.dated.rate.key.prompt_above
        marks = [self.charge.id, f"{asked.provider}/{asked.model}", asked.name, self.dated.name]
        if asked.service_tier != STANDARD:
            marks.append(asked.service_tier)
        if above:
            marks.append(f"prompt>{above}")
        return [*marks, contract_mark] if contract_mark else marks


class LinePrice(NamedTuple):
    """One legal line's identity and its one price (K3): charge x model x class x rate version x tier, and what else
    tells prices apart: service tier, prompt size, contract version, one attribute.

    `tier` is None where the charge has one price only, `included`, or the tier's number as text. `price` is the
    decimal text per block of the rate, `unit_price` that of one unit in 10**-18.
    """

    key: str
    encoded_key: str
    of: Of
    tier: str | None
    price: str
    unit_price: int
    value: int
    """What a unit is worth, in 10**-18: also on the line of included units, which costs nothing."""
    attribute: str | None

    @classmethod
    def of_price(cls, of: Of, key: str, tier: str | None, price: Tier, value: int) -> LinePrice:
        return cls(key, encode_string(key), of, tier, price.price, price.unit_price, value, None)

    def with_attribute(self, attribute: str) -> LinePrice:
        """The same price for events with this value of the splitting attribute, given as `name=value`."""
        key = f"{self.key}|{attribute}"
        return self._replace(key=key, encoded_key=encode_string(key), attribute=attribute)

    @property
    def charge(self) -> Charge:
        return self.of.charge

    @property
    def dated(self) -> DatedRate:
        return self.of.dated

    @property
    def weight(self) -> int:
        """Units that one of the class counts for."""
        return self.of.charge.weights.get(self.of.asked.name, 1)


class ClassPrice(NamedTuple):
    """How a class of a model is priced at a time. `only` is its line where there can be but one; otherwise `lines`
    holds the line of included units at 0 and that of each tier at its number.

    One of the class counts `weight` units. Of what is counted under `position` (the charge's id, or its pool's),
    `included` units come first; where included usage is money, `included_amount` is it, in 10**-18.
    """

    charge: Charge
    rate: Rate
    only: LinePrice | None
    lines: tuple[LinePrice, ...]
    weight: int
    included: int
    included_amount: int | None
    position: str
    bounds: tuple[int, ...]
    """Where tiers end: `up_to` of all but the last."""
    edges: tuple[int, ...]
    """Positions at which each of `lines` but the last ends, where position alone tells a unit's line; else empty."""

    def advance(self, units: int) -> int:
        """What these units move the position by: units, or their value where included usage is money."""
        return units if self.included_amount is None else units * self.rate.tiers[0].unit_price


class Charged(NamedTuple):
    """Part of an event's quantity on one line. `position` is where it stands: units counted before it, included ones
    too; in 10**-18 of money where included usage is money."""

    line: LinePrice
    quantity: int
    amount: int
    blocks: int | None
    position: int


class Unpriced(NamedTuple):
    """Why an event cannot be priced now. `code` is `unknown_class`, `refused_class`, `no_charge`, `no_price`,
    `no_exchange_rate` or `wrong_price`."""

    code: str
    detail: str


def line_of_all(price: ClassPrice, units: int, position: int, total: int) -> LinePrice | None:
    """The line that holds all of these units, where one does: `charged_parts` would charge them there, as one part at
    the line's unit price. None where they cross an edge, are sold in blocks, or what is included is money."""
    edges = price.edges
    if edges:
        place = bisect_right(edges, position)
        return price.lines[place] if place == len(edges) or position + units <= edges[place] else None
    included = price.included
    if position < included:
        return price.lines[0] if position + units <= included else None
    if price.charge.kind == "volume":
        return price.lines[bisect_left(price.bounds, total - included) + 1]
    return None


def charged_parts(price: ClassPrice, units: int, position: int, total: int) -> list[Charged]:
    """Split units at the edges of included usage and tiers (K7: tiers count what is left after included).

    `position` is what was counted before in the period and `total` what is counted in all of it, with included usage.
    The event that crosses the edge of included usage is split, and both parts are charged lines.
    """
    parts: list[Charged] = []
    covered = _covered(price, units, position)
    if covered:
        parts.append(Charged(price.lines[0], covered, 0, None, position))
        position += price.advance(covered)
    if units == covered:
        return parts
    if price.included_amount is not None:
        line = price.lines[1]
        parts.append(Charged(line, units - covered, (units - covered) * line.unit_price, None, position))
        return parts
    after, included = position - price.included, price.included
    for part in _PARTS[price.charge.kind](price.rate, after, units - covered, max(0, total - included)):
        line = price.lines[part.tier]
        parts.append(Charged(line, part.quantity, part.amount, part.blocks, position))
        position += part.quantity
    return parts


def _covered(price: ClassPrice, units: int, position: int) -> int:
    """How many of these units are included. Money includes a unit while any of it is left: with 0.0005 left and a unit
    price of 0.0002, three units."""
    if price.included_amount is None:
        return min(units, max(0, price.included - position))
    left, unit_price = price.included_amount - position, price.rate.tiers[0].unit_price
    if left <= 0:
        return 0
    return min(units, -(-left // unit_price)) if unit_price else units
