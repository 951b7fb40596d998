"""Custom: the plan lists its meters, charges and pools itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdas.billing.controls import CONTROLS
from lambdas.billing.errors import PlanRefused
from lambdas.billing.meters import MAX_METERS
from lambdas.billing.models.template import Expanded, Placed, Template

MAX_CHARGES = 20
MAX_POOLS = 20


def _expand(fields: Mapping[str, Any]) -> Expanded:
    meters = fields.get("meters", {})
    if not isinstance(meters, Mapping) or len(meters) > MAX_METERS:
        raise PlanRefused("meters", meters, f"an object of at most {MAX_METERS} meters by name")
    return Expanded(
        fields["primary_meter"],
        _listed(fields["charges"], "charges", MAX_CHARGES),
        meters={name: (f"meters.{name}.", definition) for name, definition in meters.items()},
        pools=_listed(fields["included"], "included", MAX_POOLS) if "included" in fields else (),
        funding=fields.get("funding", "invoiced"),
        controls=fields.get("controls", {}),
    )


def _listed(entries: Any, field: str, most: int) -> list[Placed]:
    if not isinstance(entries, list) or not 0 < len(entries) <= most:
        raise PlanRefused(field, entries, f"a list of 1 to {most}")
    return [Placed(f"{field}[{position}].", entry) for position, entry in enumerate(entries)]


CUSTOM = Template(
    required=frozenset({"primary_meter", "charges"}),
    optional=frozenset({"meters", "included", "funding", "controls"}),
    controls=frozenset(),
    may_control=frozenset(CONTROLS),
    expand=_expand,
)
