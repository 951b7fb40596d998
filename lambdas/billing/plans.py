"""Plans: lists of charges (D6). A model is a template that expands to charges; `custom` gives them itself."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lambdas.billing.classes import CLASSES, INPUT_CLASSES, OUTPUT_CLASSES
from lambdas.billing.errors import PlanRefused
from lambdas.billing.fields import NAME, check_choice, check_match, check_text, closed, version_of
from lambdas.billing.usage import MAX_QUANTITY

METERS = {
    "input": INPUT_CLASSES,
    "output": OUTPUT_CLASSES,
    "tokens": (*INPUT_CLASSES, *OUTPUT_CLASSES),
    "calls": ("call",),
}
"""Meters: named sums over disjoint classes of one unit."""

KINDS = ("per_unit", "package", "graduated", "volume")
MAX_CHARGES = 20
POSTURES = ("predictable", "variable")
BEARERS = ("customer", "seller")


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
    class). A flat charge has no meter and no classes.
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

    @property
    def positional(self) -> bool:
        """True where the price of a unit depends on how many came before it in the period (K8)."""
        return self.kind in ("package", "graduated", "volume") or self.included > 0 or self.pool is not None

    @property
    def unit(self) -> str:
        if self.weights:
            return "unit"
        return CLASSES[self.classes[0]].unit if self.classes else "period"

    @property
    def revenue(self) -> str:
        """What its revenue account is named after: the meter, or the charge itself where it counts nothing."""
        return self.meter or self.id


class Plan(NamedTuple):
    """A list of charges and a funding mode. The model is the template that the plan was made from."""

    id: str
    version: int
    name: str
    model: str
    primary_meter: str
    funding: str
    charges: tuple[Charge, ...]
    currency: str | None = None
    """Of the amounts that the plan itself states (minimum, maximum, included money, cliff limit)."""
    posture: str = "variable"
    volatility_bearer: str = "customer"
    controls: Mapping[str, Any] = MappingProxyType({})
    """Controls of its model (R9), as checked: watch limits and the like."""
    refused: tuple[str, ...] = ()
    """Classes that are refused explicitly: such usage is never priced."""

    @property
    def positional(self) -> bool:
        """True where events must be measured before they can be rated in shards."""
        return any(charge.positional for charge in self.charges)

    @property
    def in_advance(self) -> tuple[Charge, ...]:
        """Its flat charges that are billed before the period they serve."""
        return tuple(charge for charge in self.charges if charge.timing == "advance")


def read_plan(document: Any) -> Plan:
    """A plan. `pure_token` (R9.1) expands to one charge for input and one for output; `custom` lists its charges.

    Raises PlanRefused for a plan that could not be billed: two charges for one class, an unknown meter or kind.
    """
    custom = isinstance(document, dict) and document.get("model") == "custom"
    own = {"primary_meter", "charges"} if custom else set[str]()
    fields = closed(document, required={"id", "version", "name", "model", "posture", "volatility_bearer", *own})
    check_match(fields, "id", NAME, "letters, digits, '.', '_', '-'")
    version = version_of(fields)
    check_text(fields, "name")
    check_choice(fields, "posture", POSTURES)
    check_choice(fields, "volatility_bearer", BEARERS)
    told = {"posture": fields["posture"], "volatility_bearer": fields["volatility_bearer"]}
    if custom:
        charges, primary = _charges(fields["charges"]), fields["primary_meter"]
        if primary not in {charge.meter for charge in charges}:
            raise PlanRefused("primary_meter", primary, "the meter of one of the plan's charges")
        return Plan(fields["id"], version, fields["name"], "custom", primary, "invoiced", charges, **told)
    if fields["model"] != "pure_token":
        raise PlanRefused("model", fields["model"], 'the models offered so far are "pure_token" and "custom"')
    charges = (
        Charge("input", "input", INPUT_CLASSES, "per_unit"),
        Charge("output", "output", OUTPUT_CLASSES, "per_unit"),
    )
    return Plan(fields["id"], version, fields["name"], "pure_token", "output", "invoiced", charges, **told)


def _charges(entries: Any) -> tuple[Charge, ...]:
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_CHARGES:
        raise PlanRefused("charges", entries, f"a list of 1 to {MAX_CHARGES} charges")
    charges: list[Charge] = []
    counted: dict[str, str] = {}
    for position, entry in enumerate(entries):
        charge = _charge(entry, f"charges[{position}]")
        if any(charge.id == other.id for other in charges):
            raise PlanRefused(f"charges[{position}].id", charge.id, "each charge has an id of its own")
        for name in charge.classes:
            if name in counted:
                raise PlanRefused(
                    f"charges[{position}].meter", charge.meter, f"class {name} is already charged by {counted[name]}"
                )
            counted[name] = charge.id
        charges.append(charge)
    return tuple(charges)


def _charge(entry: Any, at: str) -> Charge:
    fields = closed(entry, required={"id", "meter", "kind", "prices"}, optional={"included"}, at=f"{at}.")
    check_match(fields, "id", NAME, "letters, digits, '.', '_', '-'", at=f"{at}.")
    check_choice(fields, "meter", tuple(METERS), at=f"{at}.")
    check_choice(fields, "kind", KINDS, at=f"{at}.")
    check_choice(fields, "prices", ("class", "charge"), at=f"{at}.")
    included = fields.get("included", 0)
    if type(included) is not int or not 0 <= included <= MAX_QUANTITY:
        raise PlanRefused(f"{at}.included", included, f"whole units of the meter, 0 to {MAX_QUANTITY}")
    classes = METERS[fields["meter"]]
    return Charge(fields["id"], fields["meter"], classes, fields["kind"], fields["prices"], included)
