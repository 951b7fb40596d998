"""What a handler may ask of its surroundings: environment, time, fresh names, logger, metrics. All asked here only.

Nothing is read at import. `local` moves the clock and gives each function its own environment through this module.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime

from lambdas.billing.times import from_datetime

environment: ContextVar[Mapping[str, str]] = ContextVar("environment", default=os.environ)
"""The environment of the function that is running."""

Clock = Callable[[], datetime]


def _system_clock() -> datetime:
    return datetime.now(UTC)


_clock: list[Clock] = [_system_clock]


def set_clock(clock: Clock | None) -> None:
    """Replace the clock of every handler in this process; None gives back the system's."""
    _clock[0] = clock or _system_clock


def now() -> str:
    """The present as a canonical time."""
    return from_datetime(_clock[0]())


def setting(name: str) -> str:
    """A required environment setting of this function; a missing one is a deployment error and says so."""
    value = environment.get().get(name, "")
    if not value:
        raise KeyError(f"environment setting {name} is missing; the stack must give it to this function")
    return value


def fresh_name() -> str:
    """A new unguessable name, 16 hex digits."""
    return secrets.token_hex(8)
