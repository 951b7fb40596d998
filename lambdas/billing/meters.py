"""Meters: named sums over disjoint classes of one unit (R1), built in or defined by a plan; weights make units of
different classes comparable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from lambdas.billing.classes import CLASSES, INPUT_CLASSES, OUTPUT_CLASSES, TOOL_CALL, class_of, class_order
from lambdas.billing.errors import PlanRefused, UnitsMixed, UnknownClass
from lambdas.billing.fields import NAME, check_match, closed

ALL_TOOLS = f"{TOOL_CALL}*"
"""Stands for the class of every tool in the classes of a meter."""

METERS = {
    "input": INPUT_CLASSES,
    "output": OUTPUT_CLASSES,
    "tokens": (*INPUT_CLASSES, *OUTPUT_CLASSES),
    "calls": ("call",),
    "tool_calls": (ALL_TOOLS,),
    "compute_seconds": ("compute_second",),
    "cache_storage": ("cache_storage_token_hour",),
}
"""The meters that every plan has."""

MAX_METERS = 20
MAX_CLASSES = 50
MAX_WEIGHT = 1_000_000


class Meter(NamedTuple):
    """What a charge counts. `weights` (units per one of a class, by class) is empty where every class counts one."""

    classes: tuple[str, ...]
    weights: Mapping[str, int] = MappingProxyType({})


def unit_of(name: str) -> str:
    """The unit of a class, or of `tool_call:*`. Raises UnknownClass."""
    known = class_of(name)
    if known is None and name != ALL_TOOLS:
        raise UnknownClass("class", name, "a class of usage such as input, output or tool_call:web_search")
    return "tool_call" if known is None else known.unit


def common_class(some: Iterable[str], others: Sequence[str]) -> str | None:
    """The first class of `some` that `others` count too: the same name, or a tool and `tool_call:*`."""
    for name in some:
        for other in others:
            if name == other or (name.startswith(TOOL_CALL) and other == ALL_TOOLS):
                return name
            if name == ALL_TOOLS and other.startswith(TOOL_CALL):
                return other
    return None


def read_meters(definitions: Mapping[str, tuple[str, Any]]) -> dict[str, Meter]:
    """All meters of a plan: those that every plan has, and its own `definitions`, each with its place in the document.

    Raises UnitsMixed for classes of different units, UnknownClass, PlanRefused.
    """
    meters = {name: Meter(classes) for name, classes in METERS.items()}
    for name, (at, definition) in definitions.items():
        if name in METERS:
            raise PlanRefused(f"meters.{name}", name, "every plan has this meter; choose another name")
        check_match({"meters": name}, "meters", NAME, "a name of letters, digits, '.', '_', '-' for each meter")
        meters[name] = _meter(definition, at)
    return meters


def read_classes(value: Any, field: str) -> tuple[str, ...]:
    """A list of known, distinct classes; `tool_call:*` stands for every tool. Raises UnknownClass, PlanRefused."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_CLASSES:
        raise PlanRefused(field, value, f"a list of 1 to {MAX_CLASSES} classes")
    for position, name in enumerate(value):
        _check_class(name, f"{field}[{position}]")
        if common_class([name], value[:position]) is not None:
            raise PlanRefused(f"{field}[{position}]", name, "each class once")
    return tuple(value)


def _meter(definition: Any, at: str) -> Meter:
    weighted = isinstance(definition, Mapping) and "weights" in definition
    fields = closed(definition, required={"weights" if weighted else "classes"}, at=at)
    if weighted:
        weights = _weights(fields["weights"], f"{at}weights")
        return Meter(tuple(weights), MappingProxyType(weights))
    classes = read_classes(fields["classes"], f"{at}classes")
    _check_one_unit(classes, f"{at}classes")
    return Meter(classes)


def _weights(value: Any, field: str) -> dict[str, int]:
    if not isinstance(value, Mapping) or not 0 < len(value) <= MAX_CLASSES:
        raise PlanRefused(field, value, f"an object of 1 to {MAX_CLASSES} classes, each with its weight")
    weights = closed(value, required=set[str](), optional=set(value), at=f"{field}.")
    for name, weight in weights.items():
        _check_class(name, f"{field}.{name}")
        if name == ALL_TOOLS:
            raise PlanRefused(f"{field}.{name}", weight, "name each tool that has a weight")
        if type(weight) is not int or not 0 < weight <= MAX_WEIGHT:
            raise PlanRefused(f"{field}.{name}", weight, f"a whole number of units, 1 to {MAX_WEIGHT}")
    _check_one_unit(tuple(weights), field)
    return {name: weights[name] for name in sorted(weights, key=class_order)}


def _check_class(name: Any, field: str) -> None:
    if not isinstance(name, str) or (name != ALL_TOOLS and class_of(name) is None):
        raise UnknownClass(field, name, f"{', '.join(CLASSES)}, {TOOL_CALL}<tool> or {ALL_TOOLS}")


def _check_one_unit(classes: Sequence[str], field: str) -> None:
    for name in classes[1:]:
        if unit_of(name) != unit_of(classes[0]):
            raise UnitsMixed(
                field,
                f"{classes[0]} and {name}",
                f"a {unit_of(classes[0])} and a {unit_of(name)} cannot be added; make a meter for each",
            )
