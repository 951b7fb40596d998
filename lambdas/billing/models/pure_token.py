"""Pure token (R9.1): input and output are charged apart, each class of each model at its own price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdas.billing.models.template import Expanded, Placed, Template


def token_charges(prices: Any = "class", at: str = "") -> list[Placed]:
    """One charge per unit for the meter `input` and one for `output`."""
    return [
        Placed(at, {"id": meter, "meter": meter, "kind": "per_unit", "prices": prices}) for meter in ("input", "output")
    ]


def _expand(fields: Mapping[str, Any]) -> Expanded:
    return Expanded("output", token_charges(), controls=fields.get("controls", {}))


PURE_TOKEN = Template(
    required=frozenset(),
    optional=frozenset({"controls"}),
    controls=frozenset(),
    may_control=frozenset({"cliff_limit"}),
    expand=_expand,
)
