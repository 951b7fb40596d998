"""Rating: one event in, its rated charges (or its exclusion) out, as the exact line of evidence (R10, R14, K2).

The text of a rated line is the record: it is what the bundle carries, what the commitment covers, and what a replay
compares byte by byte. A rated line is `[time, source, id, revision, [[line key, quantity, amount], ...]]`, where a
charge whose price depends on its position has that as a fourth member; an excluded line is
`[time, source, id, revision, reason, detail]`. Unit price, block, meter, rate version, contract version and
cause of a charge are those of its line, because a legal line has exactly one of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from lambdas.billing.canonical import encode_string
from lambdas.billing.classes import STANDARD, TIERS
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.lines import Charged, ClassPrice, LinePrice, Unpriced, charged_parts, line_of_all
from lambdas.billing.money import format_amount
from lambdas.billing.pricing import Pricing

PARKED = "parked"
BEFORE_ACTIVATION = "before_activation"

ClassKey = str
"""The name of a quantity in segments, counters and totals: `provider/model|class`, and `provider/model|class|batch` for
a service tier that is not standard."""


class UsageRow(NamedTuple):
    """One usage event as rating needs it. Rows are ordered by (time, source, id)."""

    time: str
    source: str
    id: str
    revision: int
    provider: str
    model: str
    quantities: Mapping[str, int]
    service_tier: str = STANDARD
    attributes: Mapping[str, str] = MappingProxyType({})


class ClassName(NamedTuple):
    """What a class key names."""

    provider: str
    model: str
    token_class: str
    service_tier: str


class LineTotal:
    """What the rated charges of one line add up to; `amount` is exact, in 10**-18. `blocks` counts packages begun."""

    __slots__ = ("amount", "blocks", "events", "price", "quantity")

    def __init__(self, price: LinePrice) -> None:
        self.price = price
        self.quantity = 0
        self.amount = 0
        self.events = 0
        self.blocks: int | None = None


class Positions:
    """Where each charge stands (K8): `counted` so far in the period and `totals` of all of it, by charge id, in units
    of the meter with included ones. Rating moves `counted` on."""

    __slots__ = ("counted", "totals")

    def __init__(self, counted: Mapping[str, int], totals: Mapping[str, int]) -> None:
        self.counted = dict(counted)
        self.totals = totals

    def move(self, name: str, by: int) -> int:
        """Where `name` stands now; it then stands `by` further. Raises InvariantBroken past what the period counts."""
        position = self.counted.get(name, 0)
        after = self.counted[name] = position + by
        total = self.totals.get(name, 0)
        if after > total:
            raise InvariantBroken(f"position of charge {name}", after, f"the period counts {total}")
        return position


class Totals:
    """Running sums of a rating pass: lines by key, events by fate, quantities of what was excluded.

    Rated quantities are the lines' own; an event's quantity is in a line or among the excluded, never in both.
    """

    def __init__(self) -> None:
        self.lines: dict[str, LineTotal] = {}
        self.rated = 0
        self.excluded: dict[str, int] = {}
        self.excluded_quantities: dict[ClassKey, int] = {}

    @property
    def parked(self) -> int:
        """Events that no price covers."""
        return self.excluded.get(PARKED, 0)


class Rated(NamedTuple):
    """The evidence line of one event: `rated` tells which of the two forms `text` has. Ends with a line feed."""

    rated: bool
    text: str


def rate_event(row: UsageRow, pricing: Pricing, totals: Totals, positions: Positions | None = None) -> Rated:
    """Rate one event at the prices in force at its time and add it to `totals`.

    Quantities of zero make no charge. An event with any quantity that has no price is parked whole: a charge is
    never left out and never zero for want of a price (R5). `positions` are needed where the plan's charges depend on
    them, and events must then come in their order. Does not check identity or order.
    """
    time, source, event_id, revision, provider, model, quantities, service_tier, attributes = row
    if time < pricing.activated:
        return _exclude(row, BEFORE_ACTIVATION, f"contract begins {pricing.contract.effective_from}", totals)
    found = pricing.priced(provider, model, quantities, time, service_tier)
    if isinstance(found, Unpriced):
        return _exclude(row, PARKED, found.detail, totals)
    charges: list[str] = []
    split = pricing.split if pricing.contract.split_by is not None else None
    for price, quantity in found:
        units, line, at = quantity * price.weight, price.only, ""
        if line is None:
            if positions is None:
                raise InvariantBroken(
                    "charge", price.charge.id, "this charge depends on positions; measure the period first"
                )
            position = positions.move(price.position, price.advance(units))
            total = positions.totals.get(price.position, 0)
            line = line_of_all(price, units, position, total)
            if line is None:
                parts = charged_parts(price, units, position, total)
                charges += _in_parts(parts, pricing, attributes, totals, money=price.included_amount is not None)
                continue
            at = f",{position}"
        if split is not None:
            line = split(line, attributes)
        amount = units * line.unit_price
        _add(totals, line, units, amount)
        charges.append(f'[{line.encoded_key},{units},"{format_amount(amount)}"{at}]')
    totals.rated += 1
    return Rated(
        True,
        f'["{time}",{encode_string(source)},{encode_string(event_id)},{revision},[{",".join(charges)}]]\n',
    )


def _add(totals: Totals, line: LinePrice, units: int, amount: int) -> LineTotal:
    total = totals.lines.get(line.key)
    if total is None:
        total = totals.lines[line.key] = LineTotal(line)
    total.quantity += units
    total.amount += amount
    total.events += 1
    return total


def measure_event(row: UsageRow, pricing: Pricing, counted: dict[str, int]) -> None:
    """Add what the event moves each position by; nothing for an event that is excluded."""
    if row.time < pricing.activated:
        return
    found = pricing.priced(row.provider, row.model, row.quantities, row.time, row.service_tier)
    if not isinstance(found, Unpriced):
        _count(found, counted)


def measure_sums(sums: Mapping[ClassKey, int], hour: str, pricing: Pricing, counted: dict[str, int]) -> bool:
    """Add what all events of one segment move each position by, from its sums alone; `hour` is when its hour begins.

    Prices change at the beginning of a day only (K9), so where each class has a price no event of the hour is parked,
    and what the events count is what their sums count. False, and nothing is added, where only the events can tell: a
    class has no price, or prices depend on the size of a request's prompt.
    """
    if hour < pricing.activated:
        return True
    if pricing.by_prompt:
        return False
    moves: list[tuple[ClassPrice, int]] = []
    for key, quantity in sums.items():
        provider, model, token_class, service_tier = split_class_key(key)
        found = pricing.priced(provider, model, {token_class: quantity}, hour, service_tier)
        if isinstance(found, Unpriced):
            return False
        moves += found
    _count(moves, counted)
    return True


def _count(found: Iterable[tuple[ClassPrice, int]], counted: dict[str, int]) -> None:
    for price, quantity in found:
        if price.only is None:
            moved = price.advance(quantity * price.weight)
            counted[price.position] = counted.get(price.position, 0) + moved


def _in_parts(
    parts: Iterable[Charged], pricing: Pricing, attributes: Mapping[str, str], totals: Totals, *, money: bool
) -> list[str]:
    """One charge for each part of units that no one line holds; positions are of `money` or of units."""
    charges = []
    for part in parts:
        line = pricing.split(part.line, attributes)
        total = _add(totals, line, part.quantity, part.amount)
        if part.blocks is not None:
            total.blocks = (total.blocks or 0) + part.blocks
        at = f'"{format_amount(part.position)}"' if money else part.position
        charges.append(f'[{line.encoded_key},{part.quantity},"{format_amount(part.amount)}",{at}]')
    return charges


def class_key(provider: str, model: str, token_class: str, service_tier: str = STANDARD) -> ClassKey:
    key = f"{provider}/{model}|{token_class}"
    return key if service_tier == STANDARD else f"{key}|{service_tier}"


def split_class_key(key: ClassKey) -> ClassName:
    """What `class_key` put together. Raises InvariantBroken for a text that it never makes."""
    name, *rest = key.split("|")
    provider, slash, model = name.partition("/")
    if not slash or len(rest) not in (1, 2) or (len(rest) == 2 and rest[1] not in TIERS[1:]):
        raise InvariantBroken("class key", key, "it must read provider/model|class, or with |tier if not standard")
    return ClassName(provider, model, rest[0], rest[1] if len(rest) == 2 else STANDARD)


def add_quantities(
    sums: dict[ClassKey, int],
    provider: str,
    model: str,
    quantities: Mapping[str, int],
    service_tier: str = STANDARD,
) -> None:
    """Add one event's quantities to sums by class key."""
    prefix = f"{provider}/{model}|"
    suffix = "" if service_tier == STANDARD else f"|{service_tier}"
    for token_class, quantity in quantities.items():
        key = prefix + token_class + suffix
        sums[key] = sums.get(key, 0) + quantity


def _exclude(row: UsageRow, reason: str, detail: str, totals: Totals) -> Rated:
    totals.excluded[reason] = totals.excluded.get(reason, 0) + 1
    add_quantities(totals.excluded_quantities, row.provider, row.model, row.quantities, row.service_tier)
    text = (
        f'["{row.time}",{encode_string(row.source)},{encode_string(row.id)},{row.revision},'
        f"{encode_string(reason)},{encode_string(detail)}]\n"
    )
    return Rated(False, text)
