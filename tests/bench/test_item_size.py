"""Sizes and units against the worked examples of DynamoDB's documentation, and both sides of each edge."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from bench.item_size import UnknownAttributeType, item_size, number_size, read_units, value_size, write_units

KB = 1024


def test_the_documentation_s_item_of_a_colour_and_a_size_has_23_bytes() -> None:
    item = {"shirt-color": {"S": "R"}, "shirt-size": {"S": "M"}}
    assert item_size(item) == len("shirt-color") + 1 + len("shirt-size") + 1 == 23


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": ""}, 0),
        ({"S": "naïve"}, 6),
        ({"S": "😀"}, 4),
        ({"B": b"\x00\x01\x02"}, 3),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"L": []}, 3),
        ({"M": {}}, 3),
        ({"L": [{"S": "ab"}, {"N": "7"}]}, 3 + (1 + 2) + (1 + 2)),
        ({"M": {"name": {"S": "ab"}}}, 3 + (1 + len("name") + 2)),
        ({"SS": ["ab", "c"]}, 3),
        ({"NS": ["7", "123"]}, 2 + 3),
    ],
)
def test_each_type_has_its_published_size(value: dict[str, Any], size: int) -> None:
    assert value_size(value) == size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 1),
        ("7", 1 + 1),
        ("27", 1 + 1),
        ("123", 2 + 1),
        ("1234", 2 + 1),
        ("12000000", 1 + 1),  # zeros at the end are trimmed
        ("0.0012", 1 + 1),  # and at the beginning
        ("-27", 1 + 1 + 1),
        ("1" * 38, 19 + 1),
    ],
)
def test_a_number_has_a_byte_for_two_digits_and_one(text: str, size: int) -> None:
    assert number_size(text) == size


def test_a_type_without_a_published_size_is_refused_by_name() -> None:
    with pytest.raises(UnknownAttributeType, match="X"):
        value_size({"X": 1})


@pytest.mark.parametrize(
    ("size", "units"), [(0, 1), (1, 1), (KB, 1), (KB + 1, 2), (2 * KB, 2), (3 * KB + KB // 2, 4), (400 * KB, 400)]
)
def test_a_write_is_a_unit_per_started_kilobyte_and_twice_that_in_a_transaction(size: int, units: int) -> None:
    assert write_units(size) == units
    assert write_units(size, transactional=True) == 2 * units


@pytest.mark.parametrize(
    ("size", "units"),
    [
        (0, 1),
        (4 * KB, 1),
        (4 * KB + 1, 2),
        (8 * KB, 2),  # the documentation: 8 KB is 2 strong, 1 eventual
        (40 * KB + 800, 11),  # the documentation: a query of 40.8 KB counts as 44 KB
    ],
)
def test_a_strong_read_is_a_unit_per_started_four_kilobytes_and_an_eventual_one_half_of_it(
    size: int, units: int
) -> None:
    assert read_units(size, strong=True) == units
    assert read_units(size, strong=False) == Fraction(units, 2)
