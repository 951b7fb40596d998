"""Blended unit (R9.3): input and output are counted in units by weights, and a unit has one price. The weights are part
of the plan version, so a change of them is a new version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdas.billing.classes import INPUT_CLASSES, OUTPUT_CLASSES
from lambdas.billing.errors import PlanRefused
from lambdas.billing.fields import check_choice
from lambdas.billing.models.template import Expanded, Placed, Template, base_fee

UNITS = "units"
_OF_THE_CHARGE = ("included", "minimum", "maximum")


def _expand(fields: Mapping[str, Any]) -> Expanded:
    check_choice(fields, "kind", ("per_unit", "graduated", "package"))
    weights = fields["weights"]
    for side, classes in (("input", INPUT_CLASSES), ("output", OUTPUT_CLASSES)):
        if isinstance(weights, Mapping) and not any(name in weights for name in classes):
            raise PlanRefused("weights", ", ".join(weights), f"a unit is across input and output: weigh {side} too")
    units = {"id": UNITS, "meter": UNITS, "kind": fields["kind"], "prices": "charge"}
    units |= {name: fields[name] for name in _OF_THE_CHARGE if name in fields}
    return Expanded(
        UNITS,
        [*base_fee(fields), Placed("", units)],
        meters={UNITS: ("", {"weights": weights})},
        controls=fields["controls"],
    )


BLENDED_UNIT = Template(
    required=frozenset({"weights", "kind", "controls"}),
    optional=frozenset({"base", *_OF_THE_CHARGE}),
    controls=frozenset({"output_input_ratio_above", "margin_floor"}),
    may_control=frozenset({"cliff_limit"}),
    expand=_expand,
)
