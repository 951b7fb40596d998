"""A recorded LLM trace (CSV with TIMESTAMP, ContextTokens, GeneratedTokens) as usage events.

An event's id comes from the row's content and how often that content has occurred so far, so the same file gives the
same identities in whatever order it is sent.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lambdas.billing.errors import InvalidTime
from lambdas.billing.times import canonical_time
from lambdas.billing.usage import MAX_QUANTITY

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
SOURCE = "/trace/recorded"


class UnreadableTrace(Exception):
    """The file is not a trace: says which line and what is wrong."""


def read_trace(path: Path, customer: str, provider: str = "openai", model: str = "gpt-4o") -> list[dict[str, Any]]:
    """The file's requests as CloudEvents of one customer, in the file's order. Raises UnreadableTrace."""
    seen: Counter[tuple[str, ...]] = Counter()
    events: list[dict[str, Any]] = []
    for line, content in _rows(path):
        time, context, generated = content
        seen[content] += 1
        digest = hashlib.sha256("|".join(content).encode()).hexdigest()[:20]
        events.append(
            {
                "specversion": "1.0",
                "id": f"{digest}-{seen[content]}",
                "source": SOURCE,
                "type": "llm.usage.v1",
                "subject": customer,
                "time": _time(time, path, line),
                "data": {
                    "provider": provider,
                    "model": model,
                    "quantities": {"input": _count(context, path, line), "output": _count(generated, path, line)},
                },
            }
        )
        if events[-1]["time"][:7] != events[0]["time"][:7]:
            raise UnreadableTrace(f"{path} line {line}: {time} is not in {events[0]['time'][:7]}; give one month")
    if not events:
        raise UnreadableTrace(f"{path}: holds no requests")
    return events


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each row's line number and its three columns as text; a cell that is missing is empty."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UnreadableTrace(f"{path}: no column {', '.join(missing)}; a trace has {', '.join(COLUMNS)}")
            for row in reader:
                yield reader.line_num, tuple(row[name] or "" for name in COLUMNS)
    except OSError as error:
        raise UnreadableTrace(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableTrace(f"{path}: not CSV in UTF-8 ({error})") from error


def _time(text: str, path: Path, line: int) -> str:
    time = text.replace(" ", "T") + "Z"
    try:
        canonical_time(time)
    except InvalidTime:
        raise UnreadableTrace(
            f"{path} line {line}: TIMESTAMP {text!a} is no time in UTC such as 2023-11-16 18:15:46.680"
        ) from None
    return time


def _count(text: str, path: Path, line: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) <= MAX_QUANTITY):
        raise UnreadableTrace(
            f"{path} line {line}: {text[:40]!a} is no token count; give a whole number up to {MAX_QUANTITY}"
        )
    return int(text)
