"""Random usage of one billing period, as a gateway would send it: seeded, so the same on every machine."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

MODELS = ("openai/gpt-4o", "openai/gpt-4o-mini", "anthropic/claude", "google/gemini", "mistral/large")
"""Models that the rate cards of `agreed` know, a busy one first."""
UNLISTED = "openai/gpt-next"
TIERS = ("standard", "batch", "priority", "flex")
PROMPT_STEP = 200_000
"""The prompt size around which requests are made."""
PROJECTS = ("alpha", "beta", "gamma", 'naïve "quoted" | ünï', "")

_SOURCES = ("//gateway/eu-1", "//gateway/eu-2", "//gateway/ü")
_OFFSETS = (0, 0, 0, 120, -330)


def random_events(
    seed: str, events: int, start: str, stop: str, edges: Sequence[str] = (), *, largest: bool = False
) -> Iterator[str]:
    """Events of `[start, stop)` as JSON text, in the order they arrive. `edges` are days at which something changes.

    Many events share a time with others; many stand just before and just after midnight of an edge, with digits after
    the sixth decimal, and in other time zones. With `largest`, the last event has the largest quantities there can be.
    """
    draw = random.Random(seed)
    begin, end = _midnight(start), _midnight(stop)
    instants = [begin + timedelta(hours=draw.randrange(_hours(begin, end))) for _ in range(max(4, events // 50))]
    midnights = [_midnight(day) for day in (start, stop, *edges)]
    for n in range(events - largest):
        moment = _moment(draw, begin, end, instants, midnights)
        yield json.dumps(_event(draw, n, moment), ensure_ascii=False)
    if largest:
        last = _event(draw, events, end - timedelta(microseconds=1))
        provider, _, model = MODELS[0].partition("/")
        last["data"] = {"provider": provider, "model": model, "quantities": {"input": 10**12, "output": 10**12}}
        yield json.dumps(last, ensure_ascii=False)


def _moment(
    draw: random.Random, begin: datetime, end: datetime, instants: list[datetime], midnights: list[datetime]
) -> datetime:
    chance = draw.random()
    if chance < 0.10:
        return draw.choice(instants)
    if chance < 0.14:
        edge = draw.choice(midnights) - draw.choice((timedelta(0), timedelta(microseconds=1)))
        return edge if begin <= edge < end else begin
    return begin + timedelta(microseconds=draw.randrange((end - begin) // timedelta(microseconds=1)))


def _event(draw: random.Random, n: int, moment: datetime) -> dict[str, Any]:
    named = UNLISTED if draw.random() < 0.02 else draw.choices(MODELS, (5, 3, 3, 2, 1))[0]
    provider, _, name = named.partition("/")
    data: dict[str, Any] = {"provider": provider, "model": name, "quantities": _quantities(draw)}
    tier = draw.choices(TIERS, (80, 10, 8, 2))[0]
    if tier != "standard" or draw.random() < 0.2:
        data["service_tier"] = tier
    if draw.random() < 0.8:
        data["attributes"] = {"project": draw.choice(PROJECTS), "team": f"team-{draw.randrange(3)}"}
    return {
        "specversion": "1.0",
        "type": "llm.usage.v1",
        "source": draw.choice(_SOURCES),
        "id": f"{draw.choice('aZé')}-{draw.randrange(10**6):06d}-{n}",
        "subject": "acme",
        "time": _as_sent(draw, moment),
        "data": data,
    }


def _quantities(draw: random.Random) -> dict[str, int]:
    """A chat, a chat that calls tools, computing, or a cache; sometimes nothing, or a class that nobody knows."""
    kind = draw.random()
    if kind < 0.08:
        found = {"compute_second": draw.randrange(1, 600), "call": 1}
    elif kind < 0.16:
        found = {"cache_storage_token_hour": draw.randrange(50_000), "cache_write_5m": draw.randrange(5_000)}
    else:
        found = {"output": draw.randrange(1, 3_000), "input": _prompt(draw)}
        if draw.random() < 0.9:
            found["call"] = 1
        if draw.random() < 0.4:
            found["cached_input"] = draw.randrange(4_000)
        if draw.random() < 0.3:
            found["reasoning"] = draw.randrange(8_000)
        if kind < 0.30:
            found["tool_call:web_search"] = draw.randrange(1, 9)
            found["tool_call:run.code-2"] = draw.randrange(3)
    if draw.random() < 0.01:
        found = dict.fromkeys(found, 0)
    if draw.random() < 0.01:
        found["video"] = draw.randrange(2)
    return found


def _prompt(draw: random.Random) -> int:
    """Mostly short; now and then at the step of a long prompt, one below or above it, or far above."""
    if draw.random() < 0.06:
        return draw.choice((PROMPT_STEP - 1, PROMPT_STEP, PROMPT_STEP + 1, 3 * PROMPT_STEP))
    return draw.randrange(6_000)


def _as_sent(draw: random.Random, moment: datetime) -> str:
    zone = timezone(timedelta(minutes=draw.choice(_OFFSETS)))
    local = moment.astimezone(zone)
    digits = f"{local.microsecond:06d}" + draw.choice(("", "", "9", "999"))
    fraction = "" if digits == "000000" and draw.random() < 0.5 else f".{digits}"
    sign, minutes = ("-", -1) if zone.utcoffset(None) < timedelta(0) else ("+", 1)
    hours, rest = divmod(minutes * (zone.utcoffset(None) // timedelta(minutes=1)), 60)
    offset = f"{sign}{hours:02d}:{rest:02d}" if hours or rest or draw.random() < 0.1 else "Z"
    return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{offset}"


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def _hours(begin: datetime, end: datetime) -> int:
    return (end - begin) // timedelta(hours=1)
