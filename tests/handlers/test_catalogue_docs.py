"""The examples of docs/api.md's part on the catalogue are sent, in their order, and answer what it says."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lambdas.billing.plans import MODELS
from lambdas.handlers.manage_catalogue import CALLS
from lambdas.handlers.runtime import set_clock
from tests.handlers.catalogue_api import OPERATOR, call

API = Path(__file__).parents[2] / "docs" / "api.md"
JSON = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def catalogue_part() -> str:
    match = re.search(r"^## Catalogue$(.*?)(?=^## |\Z)", API.read_text(), re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


def route_of(method: str, path: str) -> tuple[str, dict[str, str]]:
    """The route that a path is sent to, with its parameters."""
    for route in CALLS:
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route)
        match = re.fullmatch(pattern, f"{method} {path}")
        if match:
            return route, match.groupdict()
    raise AssertionError(f"{method} {path} is not in the catalogue")


def test_examples_answer_what_is_written(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(lambda: datetime(2026, 11, 16, 12, tzinfo=UTC))
    monkeypatch.setattr("lambdas.handlers.api_keys.secrets.token_hex", lambda _: "0f3a5b7c9d1e")
    monkeypatch.setattr("lambdas.handlers.api_keys.secrets.token_urlsafe", lambda _: ("EXAMPLE-" * 6)[:43])
    examples = re.split(r"^### `(\w+) (\S+)`$", catalogue_part(), flags=re.MULTILINE)[1:]
    assert len(examples) == 8 * 3
    for method, path, text in zip(examples[::3], examples[1::3], examples[2::3], strict=True):
        route, parameters = route_of(method, path)
        *bodies, expected = JSON.findall(re.split("^### ", text, flags=re.MULTILINE)[0])
        answer = call(route, bodies[0] if bodies else None, OPERATOR, **parameters)
        assert f"\n{answer.status}" in text, path
        assert answer.body == json.loads(expected), path


def test_a_plan_of_every_model_is_shown_and_can_be_published(aws: None) -> None:
    set_clock(lambda: datetime(2026, 11, 16, 12, tzinfo=UTC))
    section = re.split("^### ", catalogue_part().partition("### Models of plans\n")[2], flags=re.MULTILINE)[0]
    plans = [json.loads(text) for text in JSON.findall(section)]
    for plan in plans:
        assert call("POST /v1/plans", plan, OPERATOR).status == 201, plan["id"]
    assert {"pure_token", *(plan["model"] for plan in plans)} == set(MODELS)
    assert all(f"`{model}`" in section for model in MODELS)


def test_every_call_is_documented() -> None:
    text = catalogue_part()
    for route in CALLS:
        method, path = route.split(" ")
        pattern = re.sub(r"{\w+}", r"[^/`\\s]+", re.escape(path).replace(r"\{", "{").replace(r"\}", "}"))
        assert re.search(f"`{method} {pattern}`", text), route
