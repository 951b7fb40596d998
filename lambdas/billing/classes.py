"""Token classes and other counted things (R1), their units, and the two meters of a pure-token plan.

Classes are disjoint: cached input is not part of `input`, reasoning is not part of `output`. What a provider
includes in what is undone where the usage is read, not here.
"""

from __future__ import annotations

from typing import NamedTuple


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
    TokenClass("call", "call", "one request"),
)

CLASSES = {item.name: item for item in _ALL}
CLASS_ORDER = {item.name: position for position, item in enumerate(_ALL)}
INPUT_CLASSES = tuple(item.name for item in _ALL[:7])
OUTPUT_CLASSES = tuple(item.name for item in _ALL[7:12])
