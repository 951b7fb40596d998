"""Property tests of the core: the same examples on every machine, no stopwatch."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("billing", deadline=None, derandomize=True, database=None)
settings.load_profile("billing")
