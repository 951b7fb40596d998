"""Plain tables: the first column to the left, numbers to the right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

WIDTH = 120


def heading(text: str) -> str:
    return f"\n{text}\n{'=' * len(text)}"


def paragraph(text: str) -> str:
    return fill(" ".join(text.split()), WIDTH)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [tuple(headers), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def times(ratio: float) -> str:
    return f"{ratio:.2f} x"


def verdict(reached: bool) -> str:
    return "reached" if reached else "NOT reached"
