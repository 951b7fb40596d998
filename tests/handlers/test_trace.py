"""Tracing: from an event to the journal, from a line to its events, in every state an event can have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.billing.canonical import sha256_hex
from lambdas.handlers import stores, trace_charge
from lambdas.handlers.runtime import set_clock
from tests.handlers.http_calls import FINANCE, OPERATOR, Answer, call, customer_key
from tests.handlers.months import (
    GATEWAY,
    OPENED_AT,
    RUN_ID,
    account_of,
    agree,
    execute,
    open_run_item,
    publish,
    set_up,
    step_freeze,
    step_open,
    use,
    use_all,
)
from tests.store.catalogue_documents import card, rate

pytestmark = pytest.mark.usefixtures("aws")
ACME = customer_key("acme")
RECEIVED_AT = "2026-11-30T12:00:00.000000Z"
LATER = "2026-12-02T00:00:00.000000Z"


@pytest.fixture(autouse=True)
def december() -> None:
    set_clock(lambda: datetime(2026, 12, 2, tzinfo=UTC))


def trace(event_id: str, caller: dict[str, str] = ACME, *, customer: str = "acme", source: str = GATEWAY) -> Answer:
    return call(trace_charge.handler, "GET /v1/trace/event", caller, customer=customer, source=source, id_=event_id)


def trace_line(invoice: str, line: str, caller: dict[str, str] = ACME, **parameters: str) -> Answer:
    return call(trace_charge.handler, "GET /v1/trace/line", caller, invoice=invoice, line=line, **parameters)


def billed() -> None:
    set_up("acme", parked_usage="exclude", effective_from="2026-11-02")
    use("acme", "both", "2026-11-16T18:15:46.680590Z", input=374, output=44)
    use("acme", "more", "2026-11-17T00:00:00Z", input=1_000_000)
    use("acme", "zero", "2026-11-17T00:00:01Z", input=0)
    use("acme", "early", "2026-11-01T23:59:59Z", input=5)
    use("acme", "parked", "2026-11-18T00:00:00Z", model="gpt-9", input=5)
    open_run_item()
    assert execute(block_rows=2)["status"] == "sealed"


def test_a_rated_event_leads_to_its_charges_lines_journal_and_bundle() -> None:
    billed()
    body = trace("both").body

    assert body["state"] == "rated"
    assert body["estimate"] is False
    received = body["received"]
    assert (received["at"], received["sha256"]) == (RECEIVED_AT, sha256_hex(received["raw"].encode()))
    assert body["time"] == "2026-11-16T18:15:46.680590Z"
    assert body["run_id"] == RUN_ID
    charges = [
        (charge["line"], charge["class"], charge["quantity"], charge["exact"], charge["cause"])
        for charge in body["charges"]
    ]
    assert charges == [
        (1, "input", 374, "0.000935", "input tokens read by the model"),
        (2, "output", 44, "0.00044", "output tokens written by the model"),
    ]
    assert [line["line"] for line in body["lines"]] == [1, 2]
    assert [(posting["transaction"], posting["account"]) for posting in body["journal"]] == [
        ("invoice:BP-2026-000001", "revenue:input"),
        ("invoice:BP-2026-000001", "revenue:output"),
    ]
    assert body["invoice"]["number"] == "BP-2026-000001"
    assert body["invoice"]["bundle"]["manifest_sha256"] == account_of("acme").manifest_sha256
    assert body["evidence"] == {"file": "rated/00001.jsonl", "row": 1}


def test_an_event_of_nothing_is_rated_without_charges() -> None:
    billed()
    assert (trace("zero").body["state"], trace("zero").body["charges"]) == ("rated", [])


@pytest.mark.parametrize(
    ("event_id", "state", "reason"),
    [("early", "excluded", "before_activation"), ("parked", "parked", "parked")],
)
def test_an_event_that_is_not_charged_says_why(event_id: str, state: str, reason: str) -> None:
    billed()
    body = trace(event_id).body
    assert (body["state"], body["estimate"]) == (state, False)
    assert body["exclusion"]["reason"] == reason
    assert body["evidence"]["file"].startswith("excluded/")


def test_the_trace_tells_what_was_recorded_and_not_what_would_be_computed_now() -> None:
    set_up("acme", parked_usage="exclude")
    stores.catalogue().create_customer({"id": "beta", "name": "Beta"}, now=OPENED_AT)
    agree("beta", parked_usage="block")  # keeps the run open, so that a price may still be back-dated
    for customer in ("acme", "beta"):
        use(customer, "known", "2026-11-18T00:00:00Z", input=1)
        use(customer, "parked", "2026-11-18T00:00:00Z", model="gpt-9", input=5)
    open_run_item()
    assert execute()["status"] == "incomplete"
    publish(card(2, "2026-11-01", rate("input", "9.99", model="gpt-9")), now=LATER)

    assert trace("parked").body["state"] == "parked"
    assert trace("parked", FINANCE, customer="beta").body["state"] == "unbilled"


def test_an_event_that_came_after_the_freeze_is_late_from_then_on() -> None:
    set_up("acme")
    use("acme", "in", "2026-11-16T00:00:00Z", input=1)
    open_run_item()
    step_open()
    step_freeze(RUN_ID, "acme")
    use("acme", "late", "2026-11-16T00:00:01Z", input=1, received_at=LATER)

    assert trace("in").body["state"] == "unbilled"
    for _ in range(2):
        body = trace("late").body
        assert body["state"] == "late"
        assert body["reason"] == "received after the cut-off of the run, 2026-12-01T06:00:09.000000Z"
        execute()


def test_usage_whose_contract_was_agreed_after_the_run_was_sealed_is_late_and_never_an_estimate() -> None:
    set_up("acme")
    stores.catalogue().create_customer({"id": "beta", "name": "Beta"}, now="2026-10-01T00:00:00.000000Z")
    use("beta", "early", "2026-11-16T00:00:00Z", input=1)
    open_run_item()
    assert execute()["status"] == "sealed"
    assert trace("early", FINANCE, customer="beta").body["state"] == "unbilled"  # no contract covers it
    agree("beta")
    body = trace("early", FINANCE, customer="beta").body
    assert (body["state"], body["run_id"]) == ("late", None)
    assert RUN_ID in body["reason"]


def test_before_the_run_a_charge_is_an_estimate_at_todays_prices() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-16T00:00:00Z", input=1_000_000)
    use("acme", "b", "2026-11-16T00:00:00Z", model="gpt-9", input=1_000_000)
    use("acme", "c", "2026-10-14T00:00:00Z", input=1_000_000)

    body = trace("a").body
    assert (body["state"], body["estimate"], body["run_id"]) == ("unbilled", True, None)
    assert body["charges"] == [
        {"key": "input|openai/gpt-4o|input|std@1", "quantity": 1_000_000, "exact": "2.5", "currency": "USD"}
    ]
    assert (trace("b").body["state"], trace("b").body["estimate"]) == ("parked", True)
    assert trace("c").body["exclusion"]["reason"] == "before_activation"

    publish(card(2, "2026-11-01", rate("input", "1", model="gpt-9")), now="2026-12-01T00:00:00.000000Z")
    assert trace("b").body["charges"][0]["exact"] == "1"


def test_usage_of_a_customer_without_a_contract_is_unbilled_and_says_so() -> None:
    set_up()
    stores.catalogue().create_customer({"id": "acme", "name": "Acme"}, now=OPENED_AT)
    use("acme", "a", "2026-11-16T00:00:00Z", input=1)

    body = trace("a").body
    assert (body["state"], body["charges"]) == ("unbilled", [])
    assert body["reason"] == "contract in force for customer acme does not exist"


def test_an_unknown_event_and_another_customers_are_not_shown() -> None:
    billed()
    assert trace("nothing").status == 404
    assert trace("both", source="elsewhere").status == 404
    assert trace("both", customer_key("beta")).status == 403
    assert trace("both", customer_key("beta"), customer="beta").status == 404
    assert trace("both", OPERATOR).status == 403
    assert trace("both", FINANCE).status == 200
    assert trace("", FINANCE).status == 422
    assert trace_line("BP-2026-000001", "1", customer_key("beta")).status == 404
    assert trace_line("BP-2026-000009", "1", FINANCE).status == 404


def test_a_line_leads_to_its_explanation_posting_and_events() -> None:
    billed()
    body = trace_line("BP-2026-000001", "1").body

    assert body["line"]["arithmetic"] == "1,000,374 x 2.50 / 1,000,000 = 2.500935 -> 2.50 USD"
    assert body["journal"]["account"] == "revenue:input"
    assert [(event["id"], event["quantity"], event["exact"]) for event in body["events"]] == [
        ("both", 374, "0.000935"),
        ("more", 1_000_000, "2.5"),
    ]
    assert body["cursor"] is None
    assert [event["id"] for event in trace_line("BP-2026-000001", "2").body["events"]] == ["both"]


@pytest.mark.parametrize(
    ("line", "more"), [("0", {}), ("3", {}), ("x", {}), ("1", {"cursor": "1"}), ("1", {"cursor": "a.b"})]
)
def test_no_such_line_or_cursor_is_refused(line: str, more: dict[str, str]) -> None:
    billed()
    assert trace_line("BP-2026-000001", line, ACME, **more).status == 422


def test_all_events_of_a_line_come_in_pages_each_once() -> None:
    set_up("acme")
    events: list[tuple[str, str, dict[str, int]]] = [
        (
            f"e{n:04d}",
            f"2026-11-16T{n % 3:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z",
            {"input": 1} | ({"output": 1} if n % 40 == 0 else {}),
        )
        for n in range(460)
    ]
    for start in range(0, len(events), 90):
        use_all("acme", events[start : start + 90])
    open_run_item()
    execute(shard_events=200, block_rows=30)

    def all_pages(line: str) -> tuple[list[str], list[int]]:
        found: list[str] = []
        sizes: list[int] = []
        more: dict[str, str] = {}
        while True:
            body: Any = trace_line("BP-2026-000001", line, ACME, **more).body
            found += [event["id"] for event in body["events"]]
            sizes.append(len(body["events"]))
            if body["cursor"] is None:
                return found, sizes
            more = {"cursor": body["cursor"]}

    ids, sizes = all_pages("1")
    assert sorted(ids) == [event[0] for event in events]
    assert max(sizes) <= 100
    assert sorted(all_pages("2")[0]) == [event[0] for event in events if "output" in event[2]]
