"""The examples of docs/api.md's part on usage are sent, in their order, and answer what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdas.billing import usage
from lambdas.billing.classes import CLASSES, TIERS
from lambdas.handlers import reading
from tests.faults.world import World, world

API = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as made:
        made.publish()
        yield made


def usage_part() -> str:
    match = re.search(r"^## Usage$(.*?)(?=^## |\Z)", API.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


def test_examples_answer_what_is_written(published: World) -> None:
    published.forget_usage()
    examples = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", usage_part(), re.DOTALL))
    batch, answer, of_batch_tier, view, entry = examples
    sent = published.send(batch)
    assert sent.status == 200
    assert sent.body == answer
    seen = published.view("acme", period="2026-11")
    assert {**seen.body, "as_of": view["as_of"]} == view
    assert published.send(of_batch_tier).statuses == ["accepted"]
    seen_again = published.view("acme", period="2026-11")
    assert [model for model in seen_again.body["models"] if model not in view["models"]] == [entry]


def test_the_limits_it_names_are_those_of_the_code() -> None:
    text = usage_part()
    limits = [f"{reading.MAX_EVENTS} events", f"{reading.MAX_EVENT_BYTES // 1024} KB", f"{usage.MAX_CLASSES} classes"]
    limits += [f"{usage.MAX_ATTRIBUTES} attributes", f"{usage.MAX_NAME_LENGTH} characters"]
    for limit in (*limits, f"{usage.MAX_MODEL_LENGTH} characters"):
        assert limit in text, limit


def test_it_names_every_class_and_every_service_tier() -> None:
    text = usage_part()
    for name in (*CLASSES, *TIERS):
        assert f"`{name}`" in text, name
