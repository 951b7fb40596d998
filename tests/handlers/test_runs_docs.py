"""The examples of docs/api.md on runs, invoices and traces are sent, in their order, and answer what it says."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from lambdas.handlers import billing_runs, read_invoices, stores, trace_charge
from lambdas.handlers.billing_runs import execution_name
from lambdas.handlers.runtime import set_clock
from lambdas.store.executions import Executions
from tests.handlers.http_calls import FINANCE, OPERATOR, Answer, call
from tests.handlers.months import RUN_ID, START, execute, set_up, use
from tests.store.catalogue_documents import card, rate

API = Path(__file__).parents[2] / "docs" / "api.md"
PARTS = ("Billing runs", "Invoices", "Traces")
CALLS: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    **dict.fromkeys(billing_runs.CALLS, billing_runs.handler),
    **dict.fromkeys(read_invoices.CALLS, read_invoices.handler),
    **dict.fromkeys(trace_charge.CALLS, trace_charge.handler),
}


@pytest.fixture(autouse=True)
def world(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worked example 1 in two events, and one of a model without a price, at noon of the first of December."""
    set_clock(lambda: datetime(2026, 12, 1, 12, tzinfo=UTC))
    names = itertools.count(1)
    monkeypatch.setattr("lambdas.handlers.stores.fresh_name", lambda: f"{next(names):016x}")
    monkeypatch.setattr(Executions, "start", lambda *_: True)
    monkeypatch.setenv("STATE_MACHINE_ARN", "arn:aws:states:eu-central-1:123456789012:stateMachine:run")
    costs = card(1, "2026-10-01", rate("input", "1.25"), rate("output", "5.00"), rate("input", "1.00", model="gpt-9"))
    stores.catalogue().publish_rate_card("cost", costs, now=START, periods=stores.sealed_periods())
    set_up("acme", tax="0.19", parked_usage="exclude", cost_card="cost")
    use("acme", "a", "2026-11-16T18:15:46.680590Z", input=22_000_000, output=4_000_000)
    use("acme", "b", "2026-11-17T00:00:00Z", input=361_870, output=88_665)
    use("acme", "c", "2026-11-18T09:00:00Z", model="gpt-9", input=500_000)


def parts() -> str:
    text = API.read_text()
    found = [re.search(rf"^## {part}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL) for part in PARTS]
    return "".join(match[1] for match in found if match is not None)


def send(method: str, target: str, body: Any = None) -> Answer:
    url = urlsplit(target)
    for route, handler in CALLS.items():
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route)
        match = re.fullmatch(pattern, f"{method} {url.path}")
        if match:
            caller = OPERATOR if method == "POST" else FINANCE
            return call(handler, route, caller, body, **match.groupdict(), **dict(parse_qsl(url.query)))
    raise AssertionError(f"{method} {target} is not a call of these parts")


def check_holds(answer: Any, written: Any, at: str) -> None:
    """Every member that is written is answered so. `"..."` stands for anything: links, and the hash of the zip, which
    depends on the machine's zlib."""
    if isinstance(written, dict):
        assert set(written) <= set(answer), at
        for name, value in written.items():
            check_holds(answer[name], value, f"{at}.{name}")
    elif isinstance(written, list):
        assert len(answer) == len(written), at
        for number, value in enumerate(written):
            check_holds(answer[number], value, f"{at}[{number}]")
    elif written != "...":
        assert answer == written, at


def test_examples_answer_what_is_written() -> None:
    examples = re.split(r"^### `(\w+) (\S+)`$", parts(), flags=re.MULTILINE)[1:]
    assert len(examples) == 9 * 3
    for method, target, text in zip(examples[::3], examples[1::3], examples[2::3], strict=True):
        *bodies, expected = re.findall(r"^```json\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        answer = send(method, target, bodies[0] if bodies else None)
        assert f"\n{answer.status}" in text, target
        check_holds(answer.body, json.loads(expected), target)
        if method == "POST":
            assert execute(RUN_ID, execution_name(RUN_ID, 1), now="2026-12-01T12:00:01.000000Z")["status"] == "sealed"


def test_every_call_is_documented() -> None:
    for route in CALLS:
        method, path = route.split(" ")
        pattern = re.sub(r"{\w+}", r"[^/`\\s]+", path)
        assert re.search(rf"`{method} {pattern}[?`]", parts()), route
