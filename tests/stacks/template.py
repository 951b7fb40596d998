"""Reading a synthesized template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Statement:
    """One statement of one policy, with lists where the template may have single values."""

    policy: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    """As JSON texts, so that references to resources can be searched by logical id."""
    principal: Any
    condition: Any


@dataclass(frozen=True)
class Template:
    path: Path
    body: dict[str, Any]

    def of_type(self, resource_type: str) -> dict[str, dict[str, Any]]:
        return {name: found for name, found in self.body["Resources"].items() if found["Type"] == resource_type}

    def properties(self, resource_type: str) -> list[dict[str, Any]]:
        return [resource.get("Properties", {}) for resource in self.of_type(resource_type).values()]

    def only(self, resource_type: str, prefix: str = "") -> dict[str, Any]:
        [found] = [each for name, each in self.of_type(resource_type).items() if name.startswith(prefix)]
        return found

    def functions(self) -> dict[str, dict[str, Any]]:
        """Properties by name of the handler's file."""
        return {each["Handler"].split(".")[2]: each for each in self.properties("AWS::Lambda::Function")}

    def role_statements(self) -> list[Statement]:
        return [
            statement
            for name, policy in self.of_type("AWS::IAM::Policy").items()
            for statement in _statements(name, policy["Properties"]["PolicyDocument"])
        ]

    def function_statements(self, file: str) -> list[Statement]:
        role = self.functions()[file]["Role"]["Fn::GetAtt"][0]
        return [
            statement
            for name, policy in self.of_type("AWS::IAM::Policy").items()
            if {"Ref": role} in policy["Properties"]["Roles"]
            for statement in _statements(name, policy["Properties"]["PolicyDocument"])
        ]

    def state_machine(self) -> dict[str, Any]:
        """The definition, with the logical id of a function in place of its ARN."""
        parts = self.only("AWS::StepFunctions::StateMachine")["Properties"]["DefinitionString"]["Fn::Join"][1]
        definition: dict[str, Any] = json.loads("".join(_readable(part) for part in parts))
        return definition


def read_template(path: Path) -> Template:
    return Template(path=path, body=json.loads(path.read_text(encoding="utf-8")))


def states(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state of a definition, those inside of maps too."""
    for name, state in definition["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


def _readable(part: Any) -> str:
    if isinstance(part, str):
        return part
    if "Ref" in part:
        return "aws" if part["Ref"] == "AWS::Partition" else str(part["Ref"])
    return str(part["Fn::GetAtt"][0])


def _statements(policy: str, document: dict[str, Any]) -> Iterator[Statement]:
    for statement in document["Statement"]:
        yield Statement(
            policy=policy,
            effect=statement["Effect"],
            actions=tuple(_list(statement["Action"])),
            resources=tuple(json.dumps(resource) for resource in _list(statement["Resource"])),
            principal=statement.get("Principal"),
            condition=statement.get("Condition"),
        )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
