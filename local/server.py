"""The HTTP API on a socket of this machine, and the files behind presigned links."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.http_api import BODY_LIMIT_BYTES
from local.http_messages import Request, Response, message

_log = logging.getLogger("local.server")

HOST = "127.0.0.1"
_IDLE_S = 60.0

Handle = Callable[[Request], Response]


class Server:
    """A threaded HTTP/1.1 server with keep-alive. `stop` waits for requests that are being answered."""

    def __init__(self, port: int, handle: Handle) -> None:
        self._server = _ThreadingServer((HOST, port), _handler_class(handle))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="local-http", daemon=True)
        self._thread.start()

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"{HOST}:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.finish()
        self._server.server_close()
        self._thread.join()


class _ThreadingServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._busy = threading.Condition()
        self._answering = 0

    def begin(self) -> None:
        with self._busy:
            self._answering += 1

    def end(self) -> None:
        with self._busy:
            self._answering -= 1
            self._busy.notify_all()

    def finish(self) -> None:
        """Wait until no request is being answered."""
        with self._busy:
            self._busy.wait_for(lambda: self._answering == 0, timeout=30)


def _handler_class(handle: Handle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "local"
        sys_version = ""
        timeout = _IDLE_S
        disable_nagle_algorithm = True
        wbufsize = -1
        server: _ThreadingServer

        def _answer(self) -> None:
            self.server.begin()
            try:
                self._send(self._respond())
            finally:
                self.server.end()

        def _respond(self) -> Response:
            body = self._body()
            if body is None:
                self.close_connection = True
                return message(413, "Request Entity Too Large")
            path, _, query = self.path.partition("?")
            headers = [(name, value) for name, value in self.headers.items()]
            try:
                return handle(Request(self.command, path, query, headers, body, self.client_address[0]))
            except Exception:
                _log.exception("%s %s", self.command, path)
                return message(500, "Internal Server Error")

        def _body(self) -> bytes | None:
            """The request's body; None where it is over the limit."""
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                return self._chunks()
            length = int(self.headers.get("Content-Length") or 0)
            return None if length > BODY_LIMIT_BYTES else self.rfile.read(length)

        def _chunks(self) -> bytes | None:
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
                if len(body) > BODY_LIMIT_BYTES:
                    return None
            while self.rfile.readline().strip():
                pass
            return body

        def _send(self, response: Response) -> None:
            self.send_response(response.status)
            for name, value in response.headers.items():
                if name not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            for cookie in response.cookies:
                self.send_header("set-cookie", cookie)
            length = response.headers.get("content-length", str(len(response.body)))
            self.send_header("content-length", length if self.command == "HEAD" else str(len(response.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)
            self.wfile.flush()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not logged; failures of functions are."""

    return Handler
