"""Who applies each resource and property of the template: moto, `local`, or nobody, and then why.

The table is coverage.toml. `check` refuses a template with anything that is not in it; `python -m local.coverage`
prints what is ignored.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from local.errors import BrokenCoverage, UnknownProperty, UnknownResource

TABLE = Path(__file__).with_name("coverage.toml")


class By(StrEnum):
    """Who applies something."""

    MOTO = "moto"
    LOCAL = "local"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Rule:
    """One property path (nested names joined by dots; `*` stands for any one name) and who applies it."""

    path: str
    by: By
    how: str


@dataclass(frozen=True, slots=True)
class TypeRules:
    """One resource type: who creates it, and its properties."""

    resource_type: str
    created_by: By
    how: str
    rules: Mapping[str, Rule]
    differs: tuple[str, ...] = ()

    def rule_for(self, path: str) -> Rule | None:
        """The rule listed for exactly this path."""
        parts = path.split(".")
        for rule in self.rules.values():
            wanted = rule.path.split(".")
            if len(wanted) == len(parts) and all(w in ("*", p) for w, p in zip(wanted, parts, strict=True)):
                return rule
        return None

    def goes_deeper(self, path: str) -> bool:
        """Whether some rule is about a part of this path's value."""
        depth = path.count(".") + 1
        heads = (".".join(rule.path.split(".")[:depth]) for rule in self.rules.values() if "." in rule.path)
        parts = path.split(".")
        return any(
            len(head.split(".")) == depth and all(w in ("*", p) for w, p in zip(head.split("."), parts, strict=True))
            for head in heads
        )


@dataclass(frozen=True, slots=True)
class Use:
    """One property as one resource of a template uses it."""

    logical_id: str
    resource_type: str
    path: str
    by: By
    how: str


@cache
def table() -> Mapping[str, TypeRules]:
    """The coverage table, checked for contradictions."""
    with TABLE.open("rb") as file:
        raw: dict[str, Any] = tomllib.load(file)
    return {name: _type_rules(name, entry) for name, entry in raw.items()}


def _type_rules(name: str, entry: dict[str, Any]) -> TypeRules:
    rules: dict[str, Rule] = {}
    created_by, how = By(entry["created_by"]), str(entry.get("how", ""))
    if created_by is By.IGNORED and not how:
        raise BrokenCoverage(f"{name} is ignored without a reason")
    listed = [(path, By.MOTO, "") for path in entry.get("moto", [])]
    listed += [(path, By.LOCAL, text) for path, text in entry.get("local", {}).items()]
    listed += [(path, By.IGNORED, text) for path, text in entry.get("ignored", {}).items()]
    for path, by, text in listed:
        if path in rules:
            raise BrokenCoverage(f"{name}.{path} is listed twice")
        if by is not By.MOTO and not text:
            raise BrokenCoverage(f"{name}.{path} is {by} without saying how or why")
        rules[path] = Rule(path, by, text)
    return TypeRules(name, created_by, how, rules, tuple(entry.get("differs", ())))


def check(template: Mapping[str, Any]) -> list[Use]:
    """Every property of every resource with who applies it.

    Raises UnknownResource or UnknownProperty, naming the logical id, for what the table does not list.
    """
    uses: list[Use] = []
    for logical_id, resource in template["Resources"].items():
        kind = resource["Type"]
        rules = table().get(kind)
        if rules is None:
            raise UnknownResource(logical_id, kind)
        if rules.created_by is By.IGNORED:
            uses.append(Use(logical_id, kind, "*", By.IGNORED, rules.how))
            continue
        for path, rule in _walk(resource.get("Properties", {}), "", rules, logical_id):
            uses.append(Use(logical_id, kind, path, rule.by, rule.how))
    return uses


def _walk(value: Any, path: str, rules: TypeRules, logical_id: str) -> Iterator[tuple[str, Rule]]:
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, path, rules, logical_id)
        return
    if path:
        rule = rules.rule_for(path)
        if rule is not None:
            yield path, rule
            return
        if not isinstance(value, dict) or not rules.goes_deeper(path):
            raise UnknownProperty(logical_id, rules.resource_type, path)
    for name, member in value.items():
        if name == "Fn::If":
            yield from _walk([part for part in member[1:] if part != {"Ref": "AWS::NoValue"}], path, rules, logical_id)
        else:
            yield from _walk(member, f"{path}.{name}" if path else name, rules, logical_id)


def one_line(uses: list[Use]) -> str:
    """What a deployment says about itself."""
    count = {by: sum(1 for use in uses if use.by is by) for by in By}
    return (
        f"{len({use.logical_id for use in uses})} resources: {count[By.MOTO]} properties applied by moto, "
        f"{count[By.LOCAL]} by local, {count[By.IGNORED]} IGNORED (python -m local.coverage says which and why)"
    )


def ignored_lines() -> list[str]:
    """All that is ignored, with its reason."""
    lines = []
    for kind, rules in sorted(table().items()):
        if rules.created_by is By.IGNORED:
            lines.append(f"{kind} (all of it): {rules.how}")
        lines += [f"{kind}.{rule.path}: {rule.how}" for rule in rules.rules.values() if rule.by is By.IGNORED]
    return lines


def differing_lines() -> list[str]:
    """All that is applied and behaves otherwise than in AWS."""
    return [f"{kind}: {text}" for kind, rules in sorted(table().items()) for text in rules.differs]


def main() -> int:
    """Print what the local machine ignores and does otherwise."""
    for title, lines in (("IGNORED", ignored_lines()), ("APPLIED, BUT OTHERWISE THAN IN AWS", differing_lines())):
        print(f"{title} ({len(lines)}):")
        for line in lines:
            print(f"  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
