"""What a plan model is, and what it makes of a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from lambdas.billing.fields import closed


class Placed(NamedTuple):
    """A charge or pool as a custom plan would list it, with the place in the document it came from: a prefix of field
    names such as `gates[0].`, so that a refusal names what was written."""

    at: str
    entry: Any


class Expanded(NamedTuple):
    """A model's document as the parts of a custom plan. `meters` maps the name of a meter to its place and definition;
    `controls` are the document's own, found at `controls_at`."""

    primary_meter: Any
    charges: Sequence[Placed]
    meters: Mapping[str, tuple[str, Any]] = MappingProxyType({})
    pools: Sequence[Placed] = ()
    funding: Any = "invoiced"
    controls: Any = MappingProxyType({})
    controls_at: str = "controls."


class Template(NamedTuple):
    """A model: the members its documents have beyond those of every plan, the controls it must and may state, and
    `expand`, which gets a document whose member names are checked."""

    required: frozenset[str]
    optional: frozenset[str]
    controls: frozenset[str]
    may_control: frozenset[str]
    expand: Callable[[Mapping[str, Any]], Expanded]


def base_fee(fields: Mapping[str, Any]) -> list[Placed]:
    """The flat charge `base` where the document has one."""
    if "base" not in fields:
        return []
    base = closed(fields["base"], required={"timing"}, at="base.")
    return [Placed("base.", {"id": "base", "kind": "flat", "timing": base["timing"]})]
