"""Text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """One line without control characters: what a file says must not steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def listed(texts: Sequence[str]) -> str:
    return "\n".join(f"  - {text}" for text in texts)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[str]) -> list[str]:
    """Lines of columns, each as wide as its widest cell; columns named in `right` are set to the right."""
    cells = [list(titles), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if title in right else cell.ljust(width)
            for title, cell, width in zip(titles, row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]
