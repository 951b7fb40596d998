"""One lock around moto for all services but Lambda, whose calls run handlers that call moto again.

moto was not written for threads; under the interpreter's own lock this costs no speed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from moto.core.botocore_stubber import BotocoreStubber

_moto = threading.RLock()


@contextmanager
def one_call_at_a_time() -> Iterator[None]:
    """Serialise moto's answers while inside."""
    process_request = BotocoreStubber.process_request

    def process_alone(stubber: BotocoreStubber, request: Any) -> Any:
        if urlsplit(request.url).netloc.startswith("lambda."):
            return process_request(stubber, request)
        with _moto:
            return process_request(stubber, request)

    with patch.object(BotocoreStubber, "process_request", process_alone):
        yield
