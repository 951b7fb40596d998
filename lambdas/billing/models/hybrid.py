"""Hybrid (R9.4): tokens, and calls or computing beside them as gates; one charge for each meter, so every line says
which meter drove it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdas.billing.charges import KINDS
from lambdas.billing.errors import PlanRefused
from lambdas.billing.fields import check_choice, closed
from lambdas.billing.models.pure_token import token_charges
from lambdas.billing.models.template import Expanded, Placed, Template, base_fee

GATES = ("calls", "tool_calls", "compute_seconds", "cache_storage")


def _expand(fields: Mapping[str, Any]) -> Expanded:
    check_choice(fields, "tokens", ("class", "charge"))
    gates = fields["gates"]
    if not isinstance(gates, list) or not 0 < len(gates) <= len(GATES):
        raise PlanRefused("gates", gates, f"a list of 1 to {len(GATES)} gates")
    charges = [*base_fee(fields), *token_charges(fields["tokens"])]
    taken: set[str] = set()
    for position, gate in enumerate(gates):
        at = f"gates[{position}]."
        own = closed(gate, required={"meter", "kind"}, optional={"prices", "included", "minimum", "maximum"}, at=at)
        check_choice(own, "meter", GATES, at=at)
        check_choice(own, "kind", KINDS, at=at)
        if own["meter"] in taken:
            raise PlanRefused(f"{at}meter", own["meter"], "each meter once")
        taken.add(own["meter"])
        charges.append(Placed(at, {"id": own["meter"], **own}))
    return Expanded("output", charges, controls=fields.get("controls", {}))


HYBRID = Template(
    required=frozenset({"tokens", "gates"}),
    optional=frozenset({"base", "controls"}),
    controls=frozenset(),
    may_control=frozenset({"cliff_limit"}),
    expand=_expand,
)
