"""A small HTTP client for the served API: what a user's own code would do, with the standard library."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

BATCH_TYPE = "application/cloudevents-batch+json"
BATCH = 100


class RequestFailed(Exception):
    """The API answered something else than was needed; shows the problem it sent."""


class Client:
    """Calls one API with one key. Connections are kept open, one per thread."""

    def __init__(self, url: str, key: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port
        self._headers = {"authorization": f"Bearer {key}"}
        self._local = threading.local()

    def get(self, path: str, **query: str) -> Any:
        """The JSON body of a GET that answered 200."""
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        return self._json("GET", target, None, "application/json")

    def post(self, path: str, body: Any) -> Any:
        """The JSON body of a POST that answered 2xx."""
        return self._json("POST", path, json.dumps(body).encode(), "application/json")

    def send_usage(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Send one batch of events; answers the body of POST /v1/usage."""
        answer: dict[str, Any] = self._json("POST", "/v1/usage", json.dumps(events).encode(), BATCH_TYPE)
        return answer

    def _json(self, method: str, target: str, body: bytes | None, content_type: str) -> Any:
        status, text = self._exchange(method, target, body, {"content-type": content_type})
        if not 200 <= status < 300:
            raise RequestFailed(f"{method} {target} answered {status}: {text.decode(errors='replace')[:500]}")
        return json.loads(text)

    def _exchange(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._host, self._port, timeout=120)
        connection.request(method, target, body, {**self._headers, **headers})
        response = connection.getresponse()
        return response.status, response.read()


def send_in_batches(
    send: Callable[[list[dict[str, Any]]], dict[str, Any]],
    events: Iterable[dict[str, Any]],
    *,
    threads: int = 4,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, int]:
    """Send events in batches from several threads; answers the totals by status. `progress` gets the events sent."""
    everything = list(events)
    batches = [everything[start : start + BATCH] for start in range(0, len(everything), BATCH)]
    totals: dict[str, int] = {}
    sent = 0
    with ThreadPoolExecutor(threads) as pool:
        for answer in pool.map(send, batches):
            for name, value in answer.items():
                if isinstance(value, int):
                    totals[name] = totals.get(name, 0) + value
            sent += answer["received"]
            progress(sent)
    return totals
