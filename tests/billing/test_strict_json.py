"""JSON as sent: every text kept, nothing guessed, nothing but EventRejected raised."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambdas.billing.errors import EventRejected
from lambdas.billing.strict_json import Duplicated, NotAnInteger, TooDeep, decode_text, parse, split_array

SPACES = st.text(alphabet=" \t\r\n", max_size=3)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**39) + 1, 10**40 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spaced_json(draw: st.DrawFn) -> str:
    """One JSON value the way some client may have written it."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
    return json.dumps(draw(VALUES), ensure_ascii=draw(st.booleans()), separators=separators)


@given(st.lists(spaced_json(), max_size=5), st.lists(SPACES, min_size=12, max_size=12))
def test_the_elements_of_a_batch_keep_their_text_to_the_byte(elements: list[str], spaces: list[str]) -> None:
    between = iter(spaces)
    body = next(between) + "[" + ",".join(next(between) + text + next(between) for text in elements) + "]" + spaces[-1]
    assert [text for text, _ in split_array(body)] == elements
    assert [value for _, value in split_array(body)] == [json.loads(text) for text in elements]


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{}", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]]", "[1],", "[1] x", "][", "[1;2]", "1", '"["',
        "[\u00a01]", "\ufeff[]", "[NaN", "[nul]", "['a']", '["\n"]', "[01]", "[1.]", "[+1]", "[0x1]", '["\\x"]',
    ],
)  # fmt: skip
def test_what_is_no_array_of_values_is_rejected(text: str) -> None:
    with pytest.raises(EventRejected):
        split_array(text)


@pytest.mark.parametrize(
    "text", ["1.0", "1e3", "-0.5", "1E-2", "NaN", "Infinity", "-Infinity", "1" * 41, "-" + "1" * 40]
)
def test_a_number_that_is_no_plain_integer_stays_text(text: str) -> None:
    value = parse(f'{{"a": {text}}}')["a"]
    assert isinstance(value, NotAnInteger)
    assert value == text


def test_an_integer_of_forty_characters_is_still_read() -> None:
    assert parse("1" * 40) == int("1" * 40)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "a": 1}', "a"),
        ('{"b": 0, "a": 1, "c": 2, "a": 3, "b": 4}', "a"),
        ('{"a": 1, "\\u0061": 2}', "a"),
        ('{"": 1, "": 2}', ""),
    ],
)
def test_a_doubled_key_is_remembered_by_the_object(text: str, key: str) -> None:
    value = parse(text)
    assert isinstance(value, Duplicated)
    assert value.key == key


def test_a_doubled_key_deep_inside_does_not_hide() -> None:
    value = parse('{"a": [{"b": {"c": 1, "c": 2}}]}')
    assert not isinstance(value, Duplicated)
    assert isinstance(value["a"][0]["b"], Duplicated)


@given(st.binary(max_size=40))
@example(b"\xff\xfe[\x00]\x00")
@example(b"\xed\xa0\x80")
@example(b'"\\ud800"')
def test_any_bytes_are_a_value_or_rejected(body: bytes) -> None:
    for read in (parse, split_array):
        try:
            read(decode_text(body))
        except EventRejected as error:
            assert str(error).isascii()


@given(st.text(alphabet='{}[]",:\\u0dD8eE1.+-ntf \n', max_size=30))
def test_any_text_of_json_characters_is_a_value_or_rejected(text: str) -> None:
    for read in (parse, split_array):
        try:
            read(text)
        except EventRejected as error:
            assert str(error).isascii()


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_deep_nesting_is_rejected_and_never_a_crash(opening: str) -> None:
    closing = {"[": "]", '{"a":': "}", '[{"a":': "}]"}[opening]
    for depth in (10, 100_000):
        for text in (opening * depth, opening * depth + "1" + closing * depth):
            try:
                parse(text)
                assert depth == 10
            except EventRejected as error:
                assert len(str(error)) < 400


@pytest.mark.parametrize(
    "deep", ["[" * 33 + "]" * 33, "[" * 9000 + "]" * 9000, '{"a":' * 9000 + '"}]\\""' + "}" * 9000]
)
def test_a_deeply_nested_event_leaves_its_neighbours_readable(deep: str) -> None:
    first, second, third = split_array(f'[{{"a": 1}}, {deep} ,"x"]')
    assert (first, third) == (('{"a": 1}', {"a": 1}), ('"x"', "x"))
    assert second[0] == deep
    assert isinstance(second[1], TooDeep)


def test_nesting_is_read_up_to_32_levels_on_every_python() -> None:
    assert parse("[" * 32 + "]" * 32) != []
    with pytest.raises(EventRejected, match="nested too deeply"):
        parse("[" * 33 + "]" * 33)
    assert parse("[" + "[]," * 100 + '"[[[["]')[-1] == "[[[["  # many are not deep, and text is not nesting
