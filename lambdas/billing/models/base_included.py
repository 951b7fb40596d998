"""Base fee with included usage and overage (R9.2). What is included stands at each meter, or is shared by all of them;
the terms of overage and the bound of the cliff at its edge are part of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdas.billing.charges import KINDS
from lambdas.billing.errors import PlanRefused
from lambdas.billing.fields import check_choice, closed
from lambdas.billing.meters import METERS
from lambdas.billing.models.template import Expanded, Placed, Template, base_fee

SHARED = "included"
_CONTROLS = frozenset({"overage_terms", "cliff_limit"})
_OF_A_CHARGE = ("prices", "included", "minimum", "maximum")


def _expand(fields: Mapping[str, Any]) -> Expanded:
    entries = fields["meters"]
    if not isinstance(entries, list) or not 0 < len(entries) <= len(METERS):
        raise PlanRefused("meters", entries, f"a list of 1 to {len(METERS)} meters")
    shared = "included" in fields
    charges: list[Placed] = []
    meters: list[str] = []
    for position, entry in enumerate(entries):
        at = f"meters[{position}]."
        optional = set(_OF_A_CHARGE) - ({"included"} if shared else set())
        own = closed(entry, required={"meter", "overage"}, optional=optional, at=at)
        check_choice(own, "meter", tuple(METERS), at=at)
        check_choice(own, "overage", ("per_unit",) if shared else KINDS, at=at)
        if own["meter"] in meters:
            raise PlanRefused(f"{at}meter", own["meter"], "each meter once")
        meters.append(own["meter"])
        charge = {"id": own["meter"], "meter": own["meter"], "kind": own["overage"]}
        charges.append(Placed(at, charge | {name: own[name] for name in _OF_A_CHARGE if name in own}))
    if not shared and not any(placed.entry.get("included") for placed in charges):
        raise PlanRefused("included", None, "include usage of a meter, or usage that all meters share")
    pools = []
    if shared:
        amount = isinstance(fields["included"], Mapping) and "amount" in fields["included"]
        pool = closed(fields["included"], required={"amount" if amount else "quantity"}, at="included.")
        pools = [Placed("included.", {"id": SHARED, "charges": meters, **pool})]
    return Expanded(
        fields.get("primary_meter", meters[0]),
        [*base_fee(fields), *charges],
        pools=pools,
        controls={name: fields[name] for name in _CONTROLS},
        controls_at="",
    )


BASE_INCLUDED = Template(
    required=frozenset({"base", "meters", *_CONTROLS}),
    optional=frozenset({"included", "primary_meter"}),
    controls=_CONTROLS,
    may_control=frozenset(),
    expand=_expand,
)
