"""What the stores say went wrong. Class names are the codes that HTTP and Step Functions see."""

from __future__ import annotations


class NotFound(Exception):
    """There is no such thing, or it is not yours to see."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"{what} {ascii(name)[1:-1][:120]} does not exist")


class ContentConflict(Exception):
    """The same key is stored with other content; nothing was written (D12)."""

    def __init__(self, what: str, name: str, stored_hash: str) -> None:
        self.stored_hash = stored_hash
        super().__init__(f"{what} {name} exists with other content (stored hash {stored_hash}); make a new version")


class TransientError(Exception):
    """Throttled, in conflict with another writer, or unreachable: the same call may succeed a moment later."""
