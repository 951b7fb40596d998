"""Charges: what a plan prices, and how. Prices themselves stand in rate cards (decision 0064)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from lambdas.billing.classes import TIERS
from lambdas.billing.controls import money_of
from lambdas.billing.errors import PlanRefused
from lambdas.billing.fields import NAME, check_choice, check_match, closed
from lambdas.billing.meters import Meter, common_class, unit_of
from lambdas.billing.models.template import Placed
from lambdas.billing.money import parse_amount
from lambdas.billing.usage import MAX_QUANTITY, PROVIDER

KINDS = ("per_unit", "package", "graduated", "volume")
"""Kinds that price units of a meter from a rate card."""
CHARGE_KINDS = (*KINDS, "flat", "pass_through")
TIMINGS = ("advance", "arrears")
_MAX_FILTER = 20
_ID = "letters, digits, '.', '_', '-'"


class Pool(NamedTuple):
    """Included usage that several charges share: `quantity` units, or `amount` of money in 10**-18; the other is
    None."""

    id: str
    charges: tuple[str, ...]
    quantity: int | None
    amount: int | None


class Charge(NamedTuple):
    """A priced rule of a plan: which meter, priced how, after how many included units per period.

    `prices` says where its prices stand: `class` (the rate card has one for each class of each model), `charge` (one
    price, or one set of tiers, for all that the meter counts) or `cost` (pass-through: the contract's cost card, by
    class). A flat charge has no meter and no classes; its price stands by charge.
    """

    id: str
    meter: str
    classes: tuple[str, ...]
    kind: str
    prices: str = "class"
    included: int = 0
    weights: Mapping[str, int] = MappingProxyType({})
    """Units that one of a class counts for, by class; empty where every class counts one."""
    service_tiers: tuple[str, ...] = ()
    """Filter: the service tiers it is for; empty for all."""
    providers: tuple[str, ...] = ()
    """Filter: the providers it is for; empty for all."""
    minimum: str | None = None
    maximum: str | None = None
    timing: str = ""
    """Of a flat charge: `advance` or `arrears`."""
    markup: str | None = None
    """Of a pass-through charge: what the provider's cost is multiplied by, such as 1.20."""
    pool: Pool | None = None
    keeps_position: bool = False
    """True where another contract version of the period has a charge of this id whose prices depend on positions."""

    @property
    def positional(self) -> bool:
        """True where the price of a unit depends on how many came before it in the period, or that of units after it
        may (K8)."""
        by_kind = self.kind in ("package", "graduated", "volume")
        return by_kind or self.included > 0 or self.pool is not None or self.keeps_position

    @property
    def position(self) -> str:
        """What its units are counted under: its own id, or the included usage that it shares."""
        return self.id if self.pool is None else f"pool:{self.pool.id}"

    @property
    def shares_money(self) -> bool:
        """True where the included usage that it shares is an amount of money."""
        return self.pool is not None and self.pool.amount is not None

    @property
    def unit(self) -> str:
        if self.weights:
            return "unit"
        return unit_of(self.classes[0]) if self.classes else "period"

    @property
    def revenue(self) -> str:
        """What its revenue account is named after: the meter, or the charge itself where it counts nothing."""
        return self.meter or self.id


def read_charges(placed: Sequence[Placed], meters: Mapping[str, Meter], currency: str | None) -> tuple[Charge, ...]:
    """The charges of a plan, in its order; no class is counted by two of them. Raises PlanRefused, DocumentRefused."""
    charges: list[Charge] = []
    for at, entry in placed:
        charge = _charge(entry, at, meters, currency)
        if any(charge.id == other.id for other in charges):
            raise PlanRefused(f"{at}id", charge.id, "each charge and each pool has an id of its own")
        for other in charges:
            common = None if _disjoint(charge, other) else common_class(charge.classes, other.classes)
            if common is not None:
                raise PlanRefused(f"{at}meter", charge.meter, f"class {common} is already charged by {other.id}")
        charges.append(charge)
    return tuple(charges)


def _disjoint(one: Charge, other: Charge) -> bool:
    """True where the filters of two charges let no usage through to both."""
    for mine, theirs in ((one.service_tiers, other.service_tiers), (one.providers, other.providers)):
        if mine and theirs and not set(mine) & set(theirs):
            return True
    return False


def _charge(entry: Any, at: str, meters: Mapping[str, Meter], currency: str | None) -> Charge:
    kind = entry.get("kind") if isinstance(entry, Mapping) else None
    if kind == "flat":
        return _flat(entry, at)
    required, optional = {"id", "meter", "kind"}, {"minimum", "maximum", "filter"}
    if kind == "pass_through":
        fields = closed(entry, required={*required, "markup"}, optional=optional, at=at)
    else:
        fields = closed(entry, required=required, optional={*optional, "prices", "included"}, at=at)
    check_match(fields, "id", NAME, _ID, at=at)
    check_choice(fields, "meter", tuple(meters), at=at)
    check_choice(fields, "kind", CHARGE_KINDS, at=at)
    meter = meters[fields["meter"]]
    charge = Charge(
        fields["id"], fields["meter"], meter.classes, fields["kind"],
        prices=_prices(fields, meter, at), included=_included(fields, at), weights=meter.weights,
    )  # fmt: skip
    if kind == "pass_through":
        charge = charge._replace(markup=_markup(fields["markup"], f"{at}markup"))
    return _limited(_filtered(charge, fields, at), fields, at, currency)


def _flat(entry: Any, at: str) -> Charge:
    fields = closed(entry, required={"id", "kind", "timing"}, at=at)
    check_match(fields, "id", NAME, _ID, at=at)
    check_choice(fields, "timing", TIMINGS, at=at)
    return Charge(fields["id"], "", (), "flat", prices="charge", timing=fields["timing"])


def _prices(fields: Mapping[str, Any], meter: Meter, at: str) -> str:
    if fields["kind"] == "pass_through":
        if meter.weights:
            raise PlanRefused(f"{at}meter", fields["meter"], "a provider's cost is by class; a meter without weights")
        return "cost"
    prices = {"prices": fields.get("prices", "charge" if meter.weights else "class")}
    check_choice(prices, "prices", ("charge",) if meter.weights else ("class", "charge"), at=at)
    return str(prices["prices"])


def _included(fields: Mapping[str, Any], at: str) -> int:
    included = fields.get("included", 0)
    if type(included) is not int or not 0 <= included <= MAX_QUANTITY:
        raise PlanRefused(f"{at}included", included, f"whole units of the meter, 0 to {MAX_QUANTITY}")
    return included


def _markup(text: Any, field: str) -> str:
    if parse_amount(text, field) <= 0:
        raise PlanRefused(field, text, 'what the cost is multiplied by, above zero, such as "1.20"')
    return str(text)


def _filtered(charge: Charge, fields: Mapping[str, Any], at: str) -> Charge:
    if "filter" not in fields:
        return charge
    filters = closed(fields["filter"], required=set(), optional={"service_tiers", "providers"}, at=f"{at}filter.")
    if not filters:
        raise PlanRefused(f"{at}filter", "{}", "service_tiers, providers or both; leave it out for all usage")
    for name, values in filters.items():
        if not isinstance(values, list) or not 0 < len(values) <= _MAX_FILTER:
            raise PlanRefused(f"{at}filter.{name}", values, f"a list of 1 to {_MAX_FILTER}")
        for position, value in enumerate(values):
            where = f"{at}filter.{name}[{position}]"
            if name == "providers":
                check_match({where: value}, where, PROVIDER, "lower-case letters, digits, '.', '_', '-'")
            else:
                check_choice({where: value}, where, TIERS)
            if value in values[:position]:
                raise PlanRefused(where, value, "each once")
    return charge._replace(
        service_tiers=tuple(filters.get("service_tiers", ())), providers=tuple(filters.get("providers", ()))
    )


def _limited(charge: Charge, fields: Mapping[str, Any], at: str, currency: str | None) -> Charge:
    limits = {
        name: money_of(fields[name], f"{at}{name}", currency) for name in ("minimum", "maximum") if name in fields
    }
    if len(limits) == 2 and limits["minimum"] > limits["maximum"]:
        raise PlanRefused(f"{at}minimum", fields["minimum"], f"at most the maximum, {fields['maximum']}")
    return charge._replace(minimum=fields.get("minimum"), maximum=fields.get("maximum"))
