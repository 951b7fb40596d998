"""Prepaid credits (R9.5): charged as pure token, paid by burning credits in the order that the plan publishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdas.billing.models.pure_token import token_charges
from lambdas.billing.models.template import Expanded, Template


def _expand(fields: Mapping[str, Any]) -> Expanded:
    return Expanded("output", token_charges(), funding="prepaid", controls=fields["controls"])


PREPAID_CREDITS = Template(
    required=frozenset({"currency", "controls"}),
    optional=frozenset(),
    controls=frozenset({"low_balance", "burn_order"}),
    may_control=frozenset({"cliff_limit"}),
    expand=_expand,
)
