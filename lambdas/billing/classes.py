"""Token classes and other counted things (R1), their units, and the service tiers.

Classes are disjoint: cached input is not part of `input`, reasoning is not part of `output`. What a provider
includes in what is undone where the usage is read, not here. Tool calls have a class for each tool, whose name the
sender chooses: `tool_call:web_search`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

STANDARD = "standard"
TIERS = (STANDARD, "batch", "priority", "flex")
"""Service tiers: how a provider served a request. Prices of one tier never apply to another."""

TOOL_CALL = "tool_call:"
TOOL_NAME = r"[a-z0-9][a-z0-9_.-]{0,55}"


class TokenClass(NamedTuple):
    """One disjoint class of usage: its name, its unit, and what a charge for it says was the cause."""

    name: str
    unit: str
    cause: str


_ALL = (
    TokenClass("input", "token", "input tokens read by the model"),
    TokenClass("cached_input", "token", "input tokens read from the provider's cache"),
    TokenClass("cache_write", "token", "input tokens written to the provider's cache"),
    TokenClass("cache_write_5m", "token", "input tokens written to the five-minute cache"),
    TokenClass("cache_write_1h", "token", "input tokens written to the one-hour cache"),
    TokenClass("input_audio", "token", "audio input tokens"),
    TokenClass("input_image", "token", "image input tokens"),
    TokenClass("output", "token", "output tokens written by the model"),
    TokenClass("reasoning", "token", "reasoning tokens produced before the answer"),
    TokenClass("rejected_prediction", "token", "predicted output tokens that the model rejected"),
    TokenClass("output_audio", "token", "audio output tokens"),
    TokenClass("output_image", "token", "image output tokens"),
    TokenClass("call", "call", "requests made"),
    TokenClass("compute_second", "second", "seconds of computing time"),
    TokenClass("cache_storage_token_hour", "token_hour", "tokens kept in the provider's cache, times hours"),
)

CLASSES = {item.name: item for item in _ALL}
CLASS_ORDER = {item.name: position for position, item in enumerate(_ALL)}
INPUT_CLASSES = tuple(item.name for item in _ALL[:7])
OUTPUT_CLASSES = tuple(item.name for item in _ALL[7:12])

_TOOL_CALL = re.compile(TOOL_CALL + TOOL_NAME, re.ASCII)


def class_of(name: str) -> TokenClass | None:
    """The class of this name, `tool_call:<tool>` among them; None for a class that is not known."""
    found = CLASSES.get(name)
    if found is None and _TOOL_CALL.fullmatch(name):
        return TokenClass(name, "tool_call", f"calls of the tool {name.removeprefix(TOOL_CALL)}")
    return found


def class_order(name: str) -> tuple[int, str]:
    """Sorts class names as the list above has them: calls of tools follow `call`, by name, and what is not known
    comes last."""
    if _TOOL_CALL.fullmatch(name):
        return CLASS_ORDER["call"], name
    return CLASS_ORDER.get(name, len(_ALL)), name
