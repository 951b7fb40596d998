"""Class keys: one name for a quantity of a model, a class and a service tier, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.classes import TIERS
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.rating import ClassName, add_quantities, class_key, split_class_key
from lambdas.billing.usage import CLASS_NAME, PROVIDER, is_model


def test_a_key_names_the_tier_only_where_it_is_not_standard() -> None:
    assert class_key("openai", "gpt-4o", "input") == "openai/gpt-4o|input"
    assert class_key("openai", "gpt-4o", "input", "standard") == "openai/gpt-4o|input"
    assert class_key("openai", "gpt-4o", "input", "batch") == "openai/gpt-4o|input|batch"
    assert class_key("openai", "gpt-4o", "tool_call:web", "flex") == "openai/gpt-4o|tool_call:web|flex"


@given(
    st.from_regex(PROVIDER, fullmatch=True),
    st.text(min_size=1, max_size=128).filter(is_model) | st.sampled_from(["a/b", "/", "//", "input", "batch"]),
    st.from_regex(CLASS_NAME, fullmatch=True),
    st.sampled_from(TIERS),
)
def test_whatever_an_event_may_name_comes_back_from_its_key(provider: str, model: str, name: str, tier: str) -> None:
    assert split_class_key(class_key(provider, model, name, tier)) == ClassName(provider, model, name, tier)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "input",
        "openai/gpt-4o",
        "openai|input",
        "openai/gpt-4o|input|standard",
        "openai/gpt-4o|input|Batch",
        "openai/gpt-4o|input|",
        "openai/gpt-4o|input|batch|batch",
        "|openai/gpt-4o|input",
    ],
)
def test_a_text_that_no_key_reads_like_is_named(key: str) -> None:
    with pytest.raises(InvariantBroken) as caught:
        split_class_key(key)
    assert caught.value.field == "class key"
    assert caught.value.value == key


def test_quantities_of_different_tiers_are_never_added_up() -> None:
    sums = {"openai/gpt-4o|input": 1}
    add_quantities(sums, "openai", "gpt-4o", {"input": 20, "output": 3})
    add_quantities(sums, "openai", "gpt-4o", {"input": 400}, "batch")
    add_quantities(sums, "openai", "gpt-4o", {"input": 5000}, "batch")
    add_quantities(sums, "openai", "gpt-4o", {"input": 60000}, "flex")
    assert sums == {
        "openai/gpt-4o|input": 1 + 20,
        "openai/gpt-4o|output": 3,
        "openai/gpt-4o|input|batch": 400 + 5000,
        "openai/gpt-4o|input|flex": 60000,
    }
