"""The usage view: current when the answer has left, by day, model and class, and only for who may see it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.handlers import runtime
from tests.faults.injector import operation, refuse
from tests.faults.world import World, event, world
from tests.store.catalogue_documents import card, rate

EMPTY: dict[str, Any] = {"events": 0, "models": [], "days": []}


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as running:
        running.publish(["acme", "umbra"])
        yield running


@pytest.fixture
def billproof(published: World) -> World:
    published.forget_usage()
    return published


def test_a_customer_without_usage_sees_an_empty_month(billproof: World) -> None:
    answer = billproof.view("acme")
    assert answer.status == 200
    assert answer.body == {
        "customer": "acme", "from": "2026-11-01", "to": "2026-11-30", "as_of": "2026-11-16T12:00:00.000000Z", **EMPTY,
    }  # fmt: skip


def test_each_accepted_answer_is_in_the_view_at_once(billproof: World) -> None:
    for number in range(1, 6):
        answer = billproof.send([event(f"a{number}"), event(f"b{number}"), event("a1"), event("bad", time="never")])
        assert answer.body["accepted"] == 2
        view = billproof.view("acme").body
        assert view["events"] == 2 * number
        [model] = view["models"]
        assert model["quantities"] == {"input": 374 * 2 * number, "output": 44 * 2 * number}


def test_usage_is_shown_by_day_model_and_class(billproof: World) -> None:
    first, second = "2026-11-01T00:00:00Z", "2026-11-02T23:59:59.999999Z"
    billproof.send(
        [
            event("1", time=first, quantities={"output": 2, "reasoning": 3, "cached_input": 5, "input": 7, "call": 1}),
            event("2", time=first, quantities={"input": 10}),
            event("3", time=first, model="a/b", provider="azure", quantities={"input": 20}),
            event("4", time=second, quantities={"input": 100, "output": 0}),
        ]
    )
    body = billproof.view("acme", period="2026-11").body
    gpt = {"provider": "openai", "model": "gpt-4o", "service_tier": "standard"}
    azure = {**gpt, "provider": "azure", "model": "a/b", "events": 1, "quantities": {"input": 20}, "tokens": 20}
    on_first: dict[str, Any] = {
        **gpt,
        "events": 2,
        "quantities": {"input": 7 + 10, "cached_input": 5, "output": 2, "reasoning": 3, "call": 1},
        "tokens": 7 + 10 + 5 + 2 + 3,
    }
    assert list(on_first["quantities"]) == list(body["days"][0]["models"][1]["quantities"])  # in the order of classes
    on_second = {**gpt, "events": 1, "quantities": {"input": 100, "output": 0}, "tokens": 100}
    assert [(day["day"], day["events"], day["models"]) for day in body["days"]] == [
        ("2026-11-01", 3, [azure, on_first]),
        ("2026-11-02", 1, [on_second]),
    ]
    both = {
        **gpt,
        "events": 3,
        "quantities": {"input": 117, "cached_input": 5, "output": 2, "reasoning": 3, "call": 1},
        "tokens": 127,
    }
    assert (body["events"], body["models"]) == (4, [azure, both])


def test_calls_are_never_added_to_tokens(billproof: World) -> None:
    billproof.send(event(quantities={"call": 3}))
    [model] = billproof.view("acme").body["models"]
    assert (model["tokens"], model["quantities"]) == (0, {"call": 3})


def test_each_service_tier_of_a_model_has_an_entry_of_its_own(billproof: World) -> None:
    billproof.send(
        [
            event("1", quantities={"input": 1}, service_tier="flex"),
            event("2", quantities={"input": 20, "output": 3}, service_tier="batch"),
            event("3", quantities={"input": 400}, service_tier="standard"),
            event("4", quantities={"input": 5000}),
            event("5", quantities={"input": 60000}, service_tier="batch"),
            event("6", quantities={"input": 7}, service_tier="priority", model="a"),
        ]
    )
    body = billproof.view("acme").body
    of_tiers = [("a", "priority", 1, {"input": 7}, 7),
                ("gpt-4o", "standard", 2, {"input": 400 + 5000}, 5400),
                ("gpt-4o", "batch", 2, {"input": 20 + 60000, "output": 3}, 60023),
                ("gpt-4o", "flex", 1, {"input": 1}, 1)]  # fmt: skip
    expected = [
        {"provider": "openai", "model": m, "service_tier": t, "events": e, "quantities": q, "tokens": n}
        for m, t, e, q, n in of_tiers
    ]
    assert body["models"] == expected
    assert [day["models"] for day in body["days"]] == [expected]


def test_calls_of_tools_seconds_and_storage_are_shown_in_order_and_are_no_tokens(billproof: World) -> None:
    quantities = {"cache_storage_token_hour": 9, "tool_call:web": 2, "compute_second": 5, "tool_call:a": 3, "call": 1}
    billproof.send(event(quantities={**quantities, "input": 7}))
    [model] = billproof.view("acme").body["models"]
    assert model["tokens"] == 7
    assert list(model["quantities"].items()) == [
        ("input", 7),
        ("call", 1),
        ("tool_call:a", 3),
        ("tool_call:web", 2),
        ("compute_second", 5),
        ("cache_storage_token_hour", 9),
    ]


def test_usage_without_a_price_is_named_with_its_tier(billproof: World) -> None:
    billproof.send([event(model="new", quantities={"input": 1}, service_tier="batch"), event("e2")])
    [day] = billproof.view("acme").body["days"]
    assert [(found["class"], found["reason"]) for found in day["unpriced"]] == [("openai/new|input|batch", "no_price")]


def test_usage_without_a_price_is_listed_with_its_reason_by_day(billproof: World) -> None:
    billproof.send(
        [
            event("1", time="2026-11-01T10:00:00Z", model="new", quantities={"input": 1, "output": 0}),
            event("2", time="2026-11-01T10:00:00Z", quantities={"input": 1}),
            event("3", time="2026-11-02T10:00:00Z", quantities={"input": 1, "mystery": 2}),
            event("4", time="2026-11-03T10:00:00Z", quantities={"input": 1, "call": 1}),
        ]
    )
    days = {day["day"]: day["unpriced"] for day in billproof.view("acme").body["days"]}
    where = "rate card std has no price for openai/"
    assert days == {
        "2026-11-01": [
            {"class": "openai/new|input", "reason": "no_price", "detail": f"{where}new input on 2026-11-01"},
        ],
        "2026-11-02": [
            {"class": "openai/gpt-4o|mystery", "reason": "unknown_class", "detail": "class mystery is not known"},
        ],
        "2026-11-03": [
            {
                "class": "openai/gpt-4o|call",
                "reason": "no_charge",
                "detail": "plan pure@1 has no charge for class call",
            },
        ],
    }  # fmt: skip


def test_usage_before_activation_is_shown_and_waits_for_no_price(billproof: World) -> None:
    billproof.add_customer("later", contract={"effective_from": "2026-11-10"})
    answer = billproof.send(event(subject="later", time="2026-11-09T23:59:59Z", model="new"))
    assert "parked" not in answer.result
    [day] = billproof.view("later").body["days"]
    assert (day["events"], day["unpriced"]) == (1, [])


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ({}, ["2026-11-01", "2026-11-16", "2026-11-30"]),
        ({"period": "2026-11"}, ["2026-11-01", "2026-11-16", "2026-11-30"]),
        ({"period": "2026-10"}, ["2026-10-31"]),
        ({"period": "2026-12"}, ["2026-12-01"]),
        ({"from": "2026-11-01", "to": "2026-11-01"}, ["2026-11-01"]),
        ({"from": "2026-10-31", "to": "2026-11-16"}, ["2026-10-31", "2026-11-01", "2026-11-16"]),
        ({"from": "2026-11-17", "to": "2026-11-29"}, []),
        (
            {"from": "2026-01-01", "to": "2026-12-31"},
            ["2026-10-31", "2026-11-01", "2026-11-16", "2026-11-30", "2026-12-01"],
        ),
        ({"from": "2024-01-01", "to": "2024-12-31"}, []),
    ],
)
def test_both_ends_of_a_range_are_included(query: dict[str, str], days: list[str], billproof: World) -> None:
    billproof.clock.move_to(datetime(2026, 12, 1, 12, tzinfo=UTC))
    times = ["2026-10-31T23:59:59.999999Z", "2026-11-01T00:00:00Z", "2026-11-16T12:00:00Z",
             "2026-11-30T23:59:59.999999Z", "2026-12-01T00:00:00Z"]  # fmt: skip
    billproof.send([event(str(n), time=time) for n, time in enumerate(times)])
    billproof.clock.move_to(datetime(2026, 11, 16, 12, tzinfo=UTC))
    assert [day["day"] for day in billproof.view("acme", **query).body["days"]] == days


MONTH = "give a calendar month such as 2026-11"
DAY = "give a UTC calendar day such as 2026-11-16; changes happen at 00:00 UTC"
ONE = "give both from and to, or period, or none"


@pytest.mark.parametrize(
    ("query", "field", "remedy"),
    [
        ({"period": "2026-13"}, "period", MONTH),
        ({"period": "2026-1"}, "period", MONTH),
        ({"period": "2026"}, "period", MONTH),
        ({"period": "0000-01"}, "period", MONTH),
        ({"period": "\uff12026-11"}, "period", MONTH),
        ({"period": ""}, "period", MONTH),
        ({"period": "2026-11#"}, "period", MONTH),
        ({"from": "2026-11-01"}, "to", ONE),
        ({"to": "2026-11-01"}, "from", ONE),
        ({"from": "2026-11-01", "to": "2026-11-30", "period": "2026-11"}, "period", ONE),
        ({"from": "2026-11-01", "period": "2026-11"}, "period", ONE),
        ({"from": "2026-11-31", "to": "2026-12-01"}, "from", DAY),
        ({"from": "2026-11-01", "to": "tomorrow"}, "to", DAY),
        ({"from": "2026-11-01", "to": ""}, "to", DAY),
        ({"from": "2026-11-01T00:00:00Z", "to": "2026-11-02"}, "from", DAY),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "to", "from 2026-11-02, a view has 1 to 366 days"),
        ({"from": "2025-01-01", "to": "2026-01-02"}, "to", "from 2025-01-01, a view has 1 to 366 days"),
        ({"from": "0001-01-01", "to": "9999-12-31"}, "to", "from 0001-01-01, a view has 1 to 366 days"),
    ],
)  # fmt: skip
def test_a_bad_range_is_refused_and_says_why(query: dict[str, str], field: str, remedy: str, billproof: World) -> None:
    answer = billproof.view("acme", **query)
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.body["field"] == field
    assert answer.body["remedy"].startswith(remedy)


def test_a_customer_sees_its_own_usage_and_no_other(billproof: World) -> None:
    billproof.send([event(), event(subject="umbra", quantities={"input": 5})])
    assert billproof.view("acme", key="acme").body["models"][0]["quantities"] == {"input": 374, "output": 44}
    assert billproof.view("umbra", key="umbra").body["models"][0]["quantities"] == {"input": 5}
    for key in ("umbra", "acm", "acme2", "ACME"):
        answer = billproof.view("acme", key=key)
        assert (answer.status, answer.body["detail"]) == (403, "this key is for another customer")


@pytest.mark.parametrize(
    ("scopes", "status"), [("customer", 200), ("finance", 200), ("operator", 200), ("ingest", 403), ("", 403)]
)
def test_scopes_decide_who_may_look(scopes: str, status: int, billproof: World) -> None:
    assert billproof.view("acme", scopes=scopes).status == status


@pytest.mark.parametrize("customer", ["nobody", "acme#", "", "a" * 65, "\ud800", "../acme", "acme\n"])
def test_an_unknown_customer_is_not_found(customer: str, billproof: World) -> None:
    answer = billproof.view(customer)
    assert (answer.status, answer.body["type"]) == (404, "urn:billproof:problem:NotFound")


def test_a_key_of_one_customer_does_not_learn_which_others_exist(billproof: World) -> None:
    assert billproof.view("umbra", key="acme").body == billproof.view("nobody", key="acme").body


def test_a_view_that_cannot_be_read_says_so_and_is_never_a_zero(billproof: World) -> None:
    billproof.send(event())
    with refuse(1, "ThrottlingException", operation("Query", "GetItem"), times=100):
        answer = billproof.view("acme")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert "events" not in answer.body


def test_a_price_published_now_is_in_the_next_view(billproof: World) -> None:
    billproof.send(event(model="released", quantities={"input": 1}))
    assert billproof.view("acme").body["days"][0]["unpriced"] != []
    billproof.publish_prices(card(2, "2026-11-01", rate("input", "1.00", model="released")))
    assert billproof.view("acme").body["days"][0]["unpriced"] == []
    assert billproof.view("acme").body["as_of"] == runtime.now()
