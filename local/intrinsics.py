"""Values of a CloudFormation template: parameters, conditions and intrinsic functions, resolved strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from local.aws import ACCOUNT_ID, PARTITION, REGION, URL_SUFFIX
from local.errors import UnresolvedReference

Reference = Callable[[str], Any]
Attribute = Callable[[str, str], Any]

NO_VALUE = object()
_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]*)\}")


class Resolver:
    """Resolves intrinsics; `reference(logical id)` and `attribute(logical id, name)` answer for resources.

    Anything it cannot resolve raises UnresolvedReference; nothing becomes empty.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        parameters: Mapping[str, Any],
        reference: Reference,
        attribute: Attribute,
        stack: Mapping[str, str],
    ) -> None:
        self._mappings = template.get("Mappings", {})
        self._conditions = template.get("Conditions", {})
        self._parameters = parameters
        self._reference = reference
        self._attribute = attribute
        self._pseudo = {
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Region": REGION,
            "AWS::Partition": PARTITION,
            "AWS::URLSuffix": URL_SUFFIX,
            "AWS::NoValue": NO_VALUE,
            **stack,
        }

    def __call__(self, value: Any) -> Any:
        """The value with every intrinsic replaced; members that are AWS::NoValue are left out."""
        if isinstance(value, list):
            return [item for item in map(self, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Ref" or name.startswith("Fn::") or name == "Condition":
                return self._function(name, argument)
        resolved = {key: self(member) for key, member in value.items()}
        return {key: member for key, member in resolved.items() if member is not NO_VALUE}

    def condition(self, name: str) -> bool:
        """The truth of a named condition."""
        if name not in self._conditions:
            raise UnresolvedReference(f"condition {name} is not in the template")
        return bool(self(self._conditions[name]))

    def _function(self, name: str, argument: Any) -> Any:
        method = getattr(self, "_" + name.replace("Fn::", "").lower(), None)
        if method is None:
            raise UnresolvedReference(f"{name} is not implemented in local/intrinsics.py")
        return method(argument)

    def _ref(self, name: str) -> Any:
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._parameters:
            return self._parameters[name]
        return self._reference(name)

    def _condition(self, name: str) -> bool:
        return self.condition(name)

    def _getatt(self, argument: Any) -> Any:
        logical_id, name = argument.split(".", 1) if isinstance(argument, str) else argument
        return self._attribute(logical_id, self(name))

    def _sub(self, argument: Any) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else argument

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            if name in variables:
                return str(self(variables[name]))
            return str(self._getatt(name) if "." in name else self._ref(name))

        return _SUBSTITUTION.sub(replace, text)

    def _join(self, argument: Any) -> str:
        return str(argument[0]).join(str(part) for part in self(argument[1]))

    def _select(self, argument: Any) -> Any:
        return self(argument[1])[int(self(argument[0]))]

    def _split(self, argument: Any) -> list[str]:
        return str(self(argument[1])).split(argument[0])

    def _findinmap(self, argument: Any) -> Any:
        name, first, second = (self(part) for part in argument[:3])
        try:
            return self(self._mappings[name][first][second])
        except KeyError:
            raise UnresolvedReference(f"mapping {name} has no {first}/{second}") from None

    def _if(self, argument: Any) -> Any:
        return self(argument[1] if self.condition(argument[0]) else argument[2])

    def _equals(self, argument: Any) -> bool:
        left, right = self(argument[0]), self(argument[1])
        return str(left) == str(right)

    def _not(self, argument: Any) -> bool:
        return not self(argument[0])

    def _and(self, argument: Any) -> bool:
        return all(map(self, argument))

    def _or(self, argument: Any) -> bool:
        return any(map(self, argument))

    def _tojsonstring(self, argument: Any) -> str:
        return json.dumps(self(argument), separators=(",", ":"))


def parameter_values(template: Mapping[str, Any], stored: Mapping[str, str]) -> dict[str, Any]:
    """The template's parameters at their defaults; those kept in SSM take the value `stored` under that name."""
    values: dict[str, Any] = {}
    for name, parameter in template.get("Parameters", {}).items():
        if "Default" not in parameter:
            raise UnresolvedReference(f"parameter {name} has no default; give it one, `local` passes no parameters")
        default = parameter["Default"]
        if str(parameter.get("Type", "String")).startswith("AWS::SSM::Parameter::Value"):
            if default not in stored:
                raise UnresolvedReference(f"parameter {name} reads SSM {default}, which local does not store")
            default = stored[default]
        values[name] = default
    return values
