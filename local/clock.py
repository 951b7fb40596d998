"""The clock that everything on the local machine goes by, and that tests move."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class Clock:
    """Time in UTC. It ticks with the machine's time until it is moved or frozen; after a move it ticks on from there.

    It does not wake anybody: schedules fire at the next `Deployment.pump()`.
    """

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        self._lock = threading.Lock()
        self._offset = timedelta(0)
        self._frozen_at: datetime | None = None
        if start is not None:
            self.move_to(start)
        if frozen:
            self.freeze()

    def now(self) -> datetime:
        with self._lock:
            return self._now()

    def _now(self) -> datetime:
        if self._frozen_at is not None:
            return self._frozen_at
        return datetime.now(UTC) + self._offset

    def move_to(self, when: datetime) -> None:
        """Set the time. `when` must know its zone; going back is allowed (schedules never fire twice)."""
        if when.tzinfo is None:
            raise ValueError(f"{when!r} has no time zone; give an aware time, e.g. tzinfo=UTC")
        with self._lock:
            if self._frozen_at is not None:
                self._frozen_at = when.astimezone(UTC)
            else:
                self._offset = when.astimezone(UTC) - datetime.now(UTC)

    def advance(self, step: timedelta) -> None:
        """Move the time by `step`."""
        with self._lock:
            if self._frozen_at is not None:
                self._frozen_at += step
            else:
                self._offset += step

    def freeze(self) -> None:
        """Stop the time where it is. Moves still work."""
        with self._lock:
            self._frozen_at = self._now()

    def unfreeze(self) -> None:
        """Let the time tick on from where it stands."""
        with self._lock:
            if self._frozen_at is not None:
                self._offset = self._frozen_at - datetime.now(UTC)
                self._frozen_at = None
