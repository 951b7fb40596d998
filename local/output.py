"""What functions print (log lines, metrics), kept apart from what this process prints."""

from __future__ import annotations

import io
import sys
import threading
from collections import deque
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TextIO

_KEPT_LINES = 20_000


class FunctionLog:
    """The standard output of all functions of a deployment: the last lines, and a file where one was asked for."""

    def __init__(self, path: Path | None) -> None:
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._lock = threading.Lock()
        self._file: IO[str] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")

    def write(self, text: str) -> None:
        with self._lock:
            self.lines.extend(line for line in text.splitlines() if line.strip())
            if self._file is not None:
                self._file.write(text)
                self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


current: ContextVar[FunctionLog | None] = ContextVar("current", default=None)
"""The log of the function that is running in this context."""


class _Router(io.TextIOBase):
    """Standard output that sends a function's text to its log and all else where it went before."""

    def __init__(self, before: TextIO) -> None:
        self.before = before

    def _elsewhere(self) -> TextIO:
        """Where other text goes: loggers keep this router longer than it is standard output."""
        return self.before if isinstance(sys.stdout, _Router) else sys.stdout

    def write(self, text: str) -> int:
        log = current.get()
        if log is None:
            return self._elsewhere().write(text)
        log.write(text)
        return len(text)

    def flush(self) -> None:
        if current.get() is None:
            self._elsewhere().flush()

    def isatty(self) -> bool:
        return current.get() is None and self.before.isatty()

    def fileno(self) -> int:
        return self.before.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.before.encoding


def route() -> None:
    """Put the router in front of standard output, wherever that is by now (test runners exchange it)."""
    if not isinstance(sys.stdout, _Router):
        sys.stdout = _Router(sys.stdout)


def unroute() -> None:
    """Take the router away again."""
    if isinstance(sys.stdout, _Router):
        sys.stdout = sys.stdout.before
