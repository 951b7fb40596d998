"""A recorded LLM trace (CSV with TIMESTAMP, ContextTokens, GeneratedTokens) as usage events.

An event's id comes from the row's content and how often that content has occurred so far, so the same file gives the
same identities in whatever order it is sent.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
SOURCE = "/trace/recorded"


class UnreadableTrace(Exception):
    """The file is not a trace: says which line and what is wrong."""


def read_trace(path: Path, customer: str, provider: str = "openai", model: str = "gpt-4o") -> list[dict[str, Any]]:
    """The file's requests as CloudEvents of one customer, in the file's order. Raises UnreadableTrace."""
    seen: Counter[tuple[str, ...]] = Counter()
    events: list[dict[str, Any]] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise UnreadableTrace(f"{path}: column {', '.join(missing)} is missing; a trace has {', '.join(COLUMNS)}")
        for row in reader:
            content = tuple(row[name] or "" for name in COLUMNS)
            time, context, generated = content
            if not (context.isdecimal() and generated.isdecimal()):
                raise UnreadableTrace(
                    f"{path} line {reader.line_num}: token counts are whole numbers, not {content[1:]}"
                )
            seen[content] += 1
            digest = hashlib.sha256("|".join(content).encode()).hexdigest()[:20]
            events.append(
                {
                    "specversion": "1.0",
                    "id": f"{digest}-{seen[content]}",
                    "source": SOURCE,
                    "type": "llm.usage.v1",
                    "subject": customer,
                    "time": time.replace(" ", "T") + "Z",
                    "data": {
                        "provider": provider,
                        "model": model,
                        "quantities": {"input": int(context), "output": int(generated)},
                    },
                }
            )
    if not events:
        raise UnreadableTrace(f"{path}: holds no requests")
    return events
