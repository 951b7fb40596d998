"""Plans: lists of charges (D6). A model is a template that expands to charges; `custom` gives them itself."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lambdas.billing.charges import KINDS, Charge, Pool, read_charges
from lambdas.billing.controls import read_controls
from lambdas.billing.errors import DocumentRefused, MixedStories, PlanRefused
from lambdas.billing.fields import NAME, check_choice, check_match, check_text, closed, currency_of, version_of
from lambdas.billing.meters import METERS, Meter, common_class, read_classes, read_meters
from lambdas.billing.models.base_included import BASE_INCLUDED
from lambdas.billing.models.blended_unit import BLENDED_UNIT
from lambdas.billing.models.custom import CUSTOM
from lambdas.billing.models.hybrid import HYBRID
from lambdas.billing.models.prepaid_credits import PREPAID_CREDITS
from lambdas.billing.models.pure_token import PURE_TOKEN
from lambdas.billing.models.template import Template
from lambdas.billing.pools import with_pools

__all__ = ["BEARERS", "KINDS", "METERS", "MODELS", "POSTURES", "Charge", "Plan", "Pool", "pool_unit", "read_plan"]

MODELS = {
    "pure_token": PURE_TOKEN,
    "base_included": BASE_INCLUDED,
    "blended_unit": BLENDED_UNIT,
    "hybrid": HYBRID,
    "prepaid_credits": PREPAID_CREDITS,
    "custom": CUSTOM,
}
POSTURES = ("predictable", "variable")
BEARERS = ("customer", "seller")
FUNDINGS = ("invoiced", "prepaid")
_COMMON = frozenset({"id", "version", "name", "model", "posture", "volatility_bearer"})


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

    @property
    def primary(self) -> Meter:
        """The definition of its primary meter, which is frozen with this version (R8)."""
        charge = next(charge for charge in self.charges if charge.meter == self.primary_meter)
        return Meter(charge.classes, charge.weights)

    def refuses(self, name: str) -> bool:
        """True where the plan says that a class is never priced, by its name or as one of all tools."""
        return common_class([name], self.refused) is not None


def read_plan(document: Any) -> Plan:
    """A plan of any model, with its charges. What could not be billed or proved as written is refused.

    Raises PlanRefused (two charges for one class, pools that do not fit, money without a currency), UnitsMixed for
    tokens added to calls, MixedStories, UnknownClass, InvalidAmount, DocumentRefused for what is not well formed.
    """
    template = _template_of(document)
    fields = closed(
        document,
        required=_COMMON | template.required,
        optional={"currency", "refused", *template.optional},
    )
    check_match(fields, "id", NAME, "letters, digits, '.', '_', '-'")
    version = version_of(fields)
    check_text(fields, "name")
    check_choice(fields, "posture", POSTURES)
    check_choice(fields, "volatility_bearer", BEARERS)
    currency = currency_of(fields) if "currency" in fields else None
    refused = read_classes(fields["refused"], "refused") if "refused" in fields else ()

    expanded = template.expand(fields)
    check_choice({"funding": expanded.funding}, "funding", FUNDINGS)
    meters = read_meters(expanded.meters)
    charges = with_pools(read_charges(expanded.charges, meters, currency), expanded.pools, currency)
    controls = read_controls(
        expanded.controls,
        required=template.controls,
        optional=template.may_control,
        currency=currency,
        at=expanded.controls_at,
    )
    plan = Plan(
        id=fields["id"], version=version, name=fields["name"], model=fields["model"],
        primary_meter=expanded.primary_meter, funding=expanded.funding, charges=charges, currency=currency,
        posture=fields["posture"], volatility_bearer=fields["volatility_bearer"],
        controls=MappingProxyType(controls), refused=refused,
    )  # fmt: skip
    _check_primary_meter(plan)
    _check_funding(plan)
    _check_story(plan)
    return plan


def pool_unit(plan: Plan, pool: Pool) -> str:
    """What a pool of a plan counts: `money`, or the unit that all its charges have."""
    if pool.amount is not None:
        return "money"
    return next(charge.unit for charge in plan.charges if charge.id == pool.charges[0])


def _template_of(document: Any) -> Template:
    if not isinstance(document, Mapping):
        raise DocumentRefused("body", document, "an object: a plan of one of the models")
    if "model" not in document:
        raise DocumentRefused("model", None, "required")
    model = document["model"]
    if not isinstance(model, str) or model not in MODELS:
        raise PlanRefused("model", model, f"one of the models {', '.join(MODELS)}")
    return MODELS[model]


def _check_primary_meter(plan: Plan) -> None:
    """R8: a plan names exactly one."""
    if type(plan.primary_meter) is not str or plan.primary_meter not in {
        charge.meter for charge in plan.charges if charge.meter
    }:
        raise PlanRefused("primary_meter", plan.primary_meter, "the meter of one of the plan's charges")


def _check_funding(plan: Plan) -> None:
    """With a volume price one more unit can lower the bill: credits that were burned would have to come back."""
    if plan.funding != "prepaid":
        for name in ("low_balance", "burn_order"):
            if name in plan.controls:
                raise PlanRefused(f"controls.{name}", plan.controls[name], "only for a plan that is prepaid")
        return
    for charge in plan.charges:
        if charge.kind == "volume":
            raise PlanRefused("funding", f"prepaid with {charge.id}", "a volume price cannot be prepaid; graduated can")


def _check_story(plan: Plan) -> None:
    """Refuse mixing the two stories: predictable spend for a customer who bears variable cost (R13)."""
    if plan.posture != "predictable":
        return
    remedy = 'a plan with variable cost for the customer has the posture "variable"'
    if plan.volatility_bearer == "customer":
        raise MixedStories("posture", "predictable while the customer bears volatility", remedy)
    for charge in plan.charges:
        if charge.kind == "pass_through":
            raise MixedStories("posture", f"predictable while {charge.id} passes the provider's cost through", remedy)
