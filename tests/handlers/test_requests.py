"""Query parameters are bounded before a key is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lambdas.handlers import billing_runs, read_invoices, trace_charge
from lambdas.handlers.requests import MAX_QUERY_LENGTH
from tests.faults import limits
from tests.handlers.http_calls import FINANCE, call

pytestmark = pytest.mark.usefixtures("aws")
LONGEST, TOO_LONG = "\U0001f600" * MAX_QUERY_LENGTH, "x" * (MAX_QUERY_LENGTH + 1)


@pytest.mark.parametrize(
    ("handler", "route", "query", "status"),
    [
        (read_invoices.handler, "GET /v1/invoices", {"customer": "{}"}, 200),
        (read_invoices.handler, "GET /v1/invoices", {"customer": "acme", "cursor": "{}"}, 200),
        (read_invoices.handler, "GET /v1/invoices", {"entity": "{}"}, 200),
        (billing_runs.handler, "GET /v1/billing-runs", {"cursor": "{}"}, 200),
        (trace_charge.handler, "GET /v1/trace/event", {"customer": "{}", "source": "{}", "id": "{}"}, 404),
        (trace_charge.handler, "GET /v1/trace/line", {"invoice": "{}", "line": "1"}, 404),
    ],
)
def test_an_overlong_parameter_is_refused_and_the_longest_one_fits_into_a_key(
    handler: Callable[[dict[str, Any], Any], Any], route: str, query: dict[str, str], status: int
) -> None:
    longest = {name: value.replace("{}", LONGEST) for name, value in query.items()}
    too_long = {name: value.replace("{}", TOO_LONG) for name, value in query.items()}
    with limits.enforced():
        assert call(handler, route, FINANCE, **longest).status == status
    answer = call(handler, route, FINANCE, **too_long)
    assert (answer.status, answer.body["remedy"]) == (422, f"at most {MAX_QUERY_LENGTH} characters")
