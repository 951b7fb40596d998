"""Classes: each with one unit, calls of tools by the tool's name, and an order for reading (R1)."""

from __future__ import annotations

import random

import pytest

from lambdas.billing.classes import CLASSES, STANDARD, TIERS, class_of, class_order


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("input", "token"),
        ("output", "token"),
        ("call", "call"),
        ("tool_call:web_search", "tool_call"),
        ("compute_second", "second"),
        ("cache_storage_token_hour", "token_hour"),
    ],
)
def test_each_class_is_counted_in_one_unit(name: str, unit: str) -> None:
    found = class_of(name)
    assert found is not None
    assert (found.name, found.unit) == (name, unit)


def test_every_listed_class_is_found() -> None:
    assert {name: class_of(name) for name in CLASSES} == CLASSES


def test_the_cause_of_a_tool_call_names_the_tool() -> None:
    found = class_of("tool_call:code.run-2")
    assert found is not None
    assert found.cause == "calls of the tool code.run-2"


@pytest.mark.parametrize("tool", ["a", "0", "a" * 56, "web_search", "0._-", "tool_call"])
def test_names_that_a_tool_may_have(tool: str) -> None:
    assert class_of(f"tool_call:{tool}") is not None


@pytest.mark.parametrize(
    "tool",
    ["", "a" * 57, "*", "A", "_a", ".a", "-a", "a b", "a|b", "a/b", "a:b", "a\n", "a\0", "\u00e4", "\u0661", "\ud800"],
)
def test_names_that_no_tool_has(tool: str) -> None:
    assert class_of(f"tool_call:{tool}") is None


@pytest.mark.parametrize("name", ["", "tool_call", "Input", "input:web", "call:web", "second", " input", "tool_call;a"])
def test_what_is_no_class_is_not_found(name: str) -> None:
    assert class_of(name) is None


def test_classes_are_read_in_the_order_of_the_list_with_tools_after_calls_and_the_unknown_last() -> None:
    names = [
        "input",
        "cached_input",
        "output",
        "call",
        "tool_call:a",
        "tool_call:web_search",
        "compute_second",
        "cache_storage_token_hour",
        "mystery",
        "tool_call",
    ]
    for seed in range(5):
        shuffled = random.Random(seed).sample(names, len(names))
        assert sorted(shuffled, key=class_order) == names


def test_the_tiers_are_four_and_standard_comes_first() -> None:
    assert TIERS == (STANDARD, "batch", "priority", "flex") == ("standard", "batch", "priority", "flex")
