"""A deployed template: call its functions and its API, move its clock, look at its executions, close it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from local import executions, s3_links
from local.async_calls import AsyncCalls
from local.clock import Clock
from local.errors import ExecutionsStillRunning, LinkRefused
from local.event_bus import EventBus
from local.executions import Execution
from local.functions import Functions
from local.http_api import HttpApi
from local.http_messages import Request, Response
from local.server import Server
from local.stack import Stack
from local.streams import Streams

_log = logging.getLogger("local.deployment")

_PUMP_EVERY_S = 0.2
_CLOSE_WAIT_S = 10.0


class Deployment:
    """What `local.deploy.deploy` answers. Close it (or use it in `with`) to put everything back."""

    def __init__(
        self,
        *,
        stack: Stack,
        clock: Clock,
        functions: Functions,
        api: HttpApi,
        streams: Streams,
        bus: EventBus,
        calls: AsyncCalls,
        summary: str,
        undo: ExitStack,
        serving: list[str],
    ) -> None:
        self.stack = stack
        self.clock = clock
        self.functions = functions
        self.summary = summary
        self._api = api
        self._streams = streams
        self._bus = bus
        self._calls = calls
        self._undo = undo
        self._serving = serving
        self._server: Server | None = None
        self._pump_lock = threading.Lock()
        self._stop_pumping = threading.Event()
        self._pumping: threading.Thread | None = None

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The template's outputs, resolved."""
        return self.stack.outputs

    def invoke(self, function: str, event: Any) -> Any:
        """Call a function (logical id, name, ARN, or file name of its handler) and give back its answer.

        Raises FunctionFailed with Lambda's error type and message.
        """
        return self.functions.call(function, event)

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | str = b"",
    ) -> Response:
        """One call of the HTTP API without a socket. `path` may carry a query; what is not ASCII is encoded."""
        plain_path, _, query = path.partition("?")
        pairs = tuple(headers.items()) if isinstance(headers, Mapping) else tuple(headers)
        content = body.encode() if isinstance(body, str) else body
        return self._api.handle(
            Request(method, quote(plain_path, safe="/%:@!$&'()*+,;=~-._"), quote(query, safe=_QUERY), pairs, content)
        )

    def download(self, url: str) -> bytes:
        """What a presigned link gives now. Raises LinkRefused where S3 would answer 403."""
        bucket, key, query = s3_links.checked(url, "GET", self.clock)
        parts = urlsplit(url)
        answer = s3_links.answer(
            Request("GET", parts.path, parts.query), f"{parts.scheme}://{parts.netloc}", self.clock
        )
        if answer.status != 200:
            raise LinkRefused(str(answer.status), f"{bucket}/{key} {query}: {answer.text}")
        return answer.body

    def serve(self, port: int = 0) -> str:
        """Serve the API, and presigned links, on 127.0.0.1 and answer the URL; pump in the background meanwhile."""
        if self._server is None:
            self._server = Server(port, self._answer)
            self._serving[:] = [self._server.authority]
            self._stop_pumping.clear()
            self._pumping = threading.Thread(target=self._pump_for_ever, name="local-pump", daemon=True)
            self._pumping.start()
        return f"http://{self._server.authority}"

    def stop_serving(self) -> None:
        """Stop the server, after the requests it is answering."""
        if self._server is not None and self._pumping is not None:
            self._server.stop()
            self._stop_pumping.set()
            self._pumping.join()
            self._server = None
            self._serving.clear()

    def pump(self) -> int:
        """Fire due schedules, deliver streams and asynchronous calls until nothing is left. Answers how many."""
        total = 0
        with self._pump_lock:
            while moved := self._bus.fire_due_schedules() + self._calls.drain() + self._streams.pump():
                total += moved
        return total

    def executions(self) -> list[Execution]:
        """All state machine executions so far."""
        return executions.all_executions()

    def wait_for_executions(self, timeout: float = 60.0) -> list[Execution]:
        """All executions, once none is running. Raises ExecutionsStillRunning after `timeout` seconds."""
        return executions.wait(timeout)

    def close(self) -> None:
        """Stop everything and put the process back as it was. Executions get a few seconds to end."""
        self.stop_serving()
        try:
            executions.wait(_CLOSE_WAIT_S)
        except ExecutionsStillRunning:
            executions.stop_all()
        finally:
            self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD") and s3_links.is_link(request):
            return s3_links.answer(request, f"http://{self._serving[0]}", self.clock)
        return self._api.handle(request)

    def _pump_for_ever(self) -> None:
        while not self._stop_pumping.wait(_PUMP_EVERY_S):
            try:
                self.pump()
            except Exception:
                _log.exception("pumping failed; it goes on")


_QUERY = "/?:@!$&'()*+,;=~-._%"
