"""What a kind answers."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """Units of one tier (from 1) and their exact amount in 10**-18. Packages count `blocks` begun."""

    tier: int
    quantity: int
    amount: int
    blocks: int | None = None
