"""JSON as sent, kept exactly and judged strictly: no doubles, no silent duplicate keys, no NaN.

The standard parser is told to hand numbers and objects over instead of guessing: what is wrong inside one event
is found while that event is checked, so a bad event never makes its neighbours unreadable.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lambdas.billing.errors import EventRejected

_SPACE = re.compile(r"[ \t\n\r]*")
_BRACKET_OR_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_LONGEST_INTEGER = 40
MAX_DEPTH = 32
"""Deepest nesting of arrays and objects that is read; an event has four levels."""


class NotAnInteger(str):
    """A JSON number that is no plain integer, as it was written: `1.5`, `1e3`, `NaN`, or one of 41 digits."""

    __slots__ = ()


class TooDeep(str):
    """What stands for a value that is nested too deeply to be read."""

    __slots__ = ()


class Duplicated(dict[str, Any]):
    """An object in which a key stood more than once; `key` names the first such key."""

    key = ""


def _integer(text: str) -> int | NotAnInteger:
    return int(text) if len(text) <= _LONGEST_INTEGER else NotAnInteger(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    doubled = Duplicated(result)
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            doubled.key = key
            break
        seen.add(key)
    return doubled


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=NotAnInteger, parse_int=_integer, parse_constant=NotAnInteger
)


def decode_text(body: bytes) -> str:
    """UTF-8 text of a body; raises EventRejected where it is not UTF-8."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EventRejected("body", body[error.start : error.start + 8], "send UTF-8 JSON") from None


def parse(text: str) -> Any:
    """One JSON value that fills the whole text."""
    value, end = _value_at(text, _skip(text, 0))
    if _skip(text, end) != len(text):
        raise EventRejected("body", text[end : end + 40], "send one JSON value and nothing after it")
    return value


def split_array(text: str) -> list[tuple[str, Any]]:
    """The elements of a JSON array, each with its text exactly as it was sent. Raises EventRejected otherwise.

    An element that is nested too deeply is a TooDeep, so that its neighbours stay readable.
    """
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise EventRejected("body", text[at : at + 40], "a batch is a JSON array of events")
    at = _skip(text, at + 1)
    elements: list[tuple[str, Any]] = []
    if text[at : at + 1] != "]":
        while True:
            value, end = _element_at(text, at)
            elements.append((text[at:end], value))
            at = _skip(text, end)
            mark = text[at : at + 1]
            if mark == "]":
                break
            if mark != ",":
                raise EventRejected(
                    "body", text[at : at + 40], "separate the events of a batch by commas and close the array"
                )
            at = _skip(text, at + 1)
    if _skip(text, at + 1) != len(text):
        raise EventRejected("body", text[at + 1 : at + 40], "send one JSON array and nothing after it")
    return elements


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # noqa: S101 - the pattern matches the empty text
    return match.end()


def _value_at(text: str, at: int) -> tuple[Any, int]:
    value, end = _element_at(text, at)
    if isinstance(value, TooDeep):
        raise EventRejected("body", "deeply nested", "not an event: nested too deeply")
    return value, end


def _element_at(text: str, at: int) -> tuple[Any, int]:
    """A value, or TooDeep in its place. The bound is ours: how deep Python's parser goes depends on its version."""
    try:
        value, end = _decoded_at(text, at)
    except RecursionError:
        return TooDeep("deeply nested"), _end_of_nested(text, at)
    brackets = text.count("[", at, end) + text.count("{", at, end)
    if brackets > MAX_DEPTH and _depth(text, at, end) > MAX_DEPTH:
        return TooDeep("deeply nested"), end
    return value, end


def _decoded_at(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise EventRejected(
            "body", text[error.pos : error.pos + 40], f"not JSON: {error.msg} at character {error.pos}"
        ) from None


def _depth(text: str, at: int, end: int) -> int:
    """How deeply the value between `at` and `end` is nested."""
    depth = deepest = 0
    for match in _BRACKET_OR_STRING.finditer(text, at, end):
        mark = match.group()
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest


def _end_of_nested(text: str, at: int) -> int:
    """Where the object or array that begins at `at` ends, by counting brackets outside of strings."""
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text, at):
        mark = match.group()
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
            if not depth:
                return match.end()
    raise EventRejected("body", "deeply nested", "close every object and array")
