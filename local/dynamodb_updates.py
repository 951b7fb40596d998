"""Update expressions on whole attributes, read once per text; all others are left to moto.

moto's validation takes time quadratic in the number of clauses, and counters are updates of many clauses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from moto.dynamodb.exceptions import AttributeDoesNotExist, IncorrectDataType
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from local import dynamodb_numbers as numbers
from local.dynamodb_values import typed

Attributes = dict[str, DynamoType]

_TOKEN = re.compile(r"\s*(?:([#:][A-Za-z0-9_]+|[A-Za-z_][A-Za-z0-9_\-]*)|(.))", re.DOTALL)
_SECTIONS = ("SET", "ADD", "REMOVE")


class _NotSimple(Exception):
    """The expression needs moto's parser."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A value `:v`, an attribute, or `if_not_exists(attribute, value)`."""

    attribute: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class Clause:
    """One change of one attribute. `operator` joins two operands of a SET."""

    section: str
    attribute: str
    operands: tuple[Operand, ...] = ()
    operator: str = ""


def simple_update(expression: str, names: Mapping[str, str]) -> tuple[Clause, ...] | None:
    """The clauses of an expression that only names whole attributes; None for all others."""
    clauses = _clauses(expression)
    if clauses is None:
        return None
    targets = [names.get(clause.attribute, clause.attribute) for clause in clauses]
    return clauses if len(set(targets)) == len(targets) else None


@lru_cache(maxsize=2048)
def _clauses(expression: str) -> tuple[Clause, ...] | None:
    tokens = [name or symbol for name, symbol in _TOKEN.findall(expression.strip())]
    try:
        return tuple(_read(tokens))
    except (_NotSimple, IndexError):
        return None


def _read(tokens: list[str]) -> Iterator[Clause]:
    sections: set[str] = set()
    at = 0
    while at < len(tokens):
        section = tokens[at].upper()
        if section not in _SECTIONS or section in sections:
            raise _NotSimple
        sections.add(section)
        at += 1
        while True:
            clause, at = _clause(section, tokens, at)
            yield clause
            if at == len(tokens) or tokens[at] != ",":
                break
            at += 1


def _clause(section: str, tokens: list[str], at: int) -> tuple[Clause, int]:
    attribute = _attribute(tokens[at])
    at += 1
    match section:
        case "REMOVE":
            return Clause(section, attribute), at
        case "ADD":
            return Clause(section, attribute, (Operand(None, _value(tokens[at])),)), at + 1
        case _:
            if tokens[at] != "=":
                raise _NotSimple
            first, at = _operand(tokens, at + 1)
            if at < len(tokens) and tokens[at] in "+-":
                second, after = _operand(tokens, at + 1)
                return Clause(section, attribute, (first, second), tokens[at]), after
            return Clause(section, attribute, (first,)), at


def _operand(tokens: list[str], at: int) -> tuple[Operand, int]:
    token = tokens[at]
    if token == "if_not_exists":
        if tokens[at + 1] != "(" or tokens[at + 3] != "," or tokens[at + 5] != ")":
            raise _NotSimple
        return Operand(_attribute(tokens[at + 2]), _value(tokens[at + 4])), at + 6
    if token.startswith(":"):
        return Operand(None, token), at + 1
    return Operand(_attribute(token), None), at + 1


def _attribute(token: str) -> str:
    if token.startswith("#"):
        return token
    if not token[:1].isalpha() and not token.startswith("_"):
        raise _NotSimple
    if token.upper() in ReservedKeywords.get_reserved_keywords() or "-" in token:
        raise _NotSimple
    return token


def _value(token: str) -> str:
    if not token.startswith(":"):
        raise _NotSimple
    return token


def apply_clauses(
    clauses: tuple[Clause, ...], before: Attributes, names: Mapping[str, str], values: Mapping[str, Any]
) -> Attributes:
    """The attributes after the update; every operand is read from `before`, as DynamoDB does."""
    after = dict(before)

    def operand(of: Operand) -> DynamoType:
        if of.attribute is not None:
            found = before.get(names.get(of.attribute, of.attribute))
            if found is not None:
                return found
            if of.value is None:
                raise AttributeDoesNotExist
        return typed(values[str(of.value)])

    for clause in clauses:
        name = names.get(clause.attribute, clause.attribute)
        match clause.section:
            case "REMOVE":
                after.pop(name, None)
            case "ADD":
                after[name] = _added(before.get(name), operand(clause.operands[0]))
            case _ if clause.operator:
                combine = numbers.total if clause.operator == "+" else numbers.difference
                after[name] = _combined(combine, *map(operand, clause.operands))
            case _:
                after[name] = operand(clause.operands[0])
    return after


def _combined(combine: Callable[[str, str], str], left: DynamoType, right: DynamoType) -> DynamoType:
    if left.type != "N" or right.type != "N":
        raise IncorrectDataType
    return DynamoType({"N": combine(left.value, right.value)})


def _added(existing: DynamoType | None, value: DynamoType) -> DynamoType:
    if value.type not in ("N", "SS", "NS", "BS") or (existing is not None and existing.type != value.type):
        raise IncorrectDataType
    if existing is None:
        return value
    if value.type == "N":
        return DynamoType({"N": numbers.total(existing.value, value.value)})
    return DynamoType({value.type: existing.value + [item for item in value.value if item not in existing.value]})
