"""Readable but not priceable: stored, counted, parked with its reason; never a zero, never an error (R5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from lambdas.billing.classes import TIERS
from lambdas.billing.lines import Unpriced
from lambdas.billing.pricing import Pricing
from lambdas.billing.usage import read_event
from lambdas.handlers import stores
from lambdas.handlers.pricing_cache import Tariff
from tests.faults.injector import operation, refuse, watch
from tests.faults.world import CREATED, World, assert_invariants, event, world
from tests.store.catalogue_documents import CUSTOMER, card, rate

NO_PRICE = "rate card std has no price for openai/{} on 2026-11-16"


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as running:
        running.publish()
        yield running


@pytest.fixture
def billproof(published: World) -> Iterator[World]:
    """No usage yet. The catalogue, and what the function remembers of it, stay: tests of memory bring own customers."""
    published.forget_usage()
    yield published
    assert_invariants(published)


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"model": "gpt-9"}, "no_price", NO_PRICE.format("gpt-9 input")),
        ({"provider": "azure"}, "no_price", "rate card std has no price for azure/gpt-4o input on 2026-11-16"),
        ({"quantities": {"input": 1, "cache_write": 5}}, "no_price", NO_PRICE.format("gpt-4o cache_write")),
        ({"quantities": {"input": 1, "call": 1}}, "no_charge", "plan pure@1 has no charge for class call"),
        ({"quantities": {"tokens_of_tomorrow": 1}}, "unknown_class", "class tokens_of_tomorrow is not known"),
        ({"quantities": {"compute_second": 1}}, "no_charge", "plan pure@1 has no charge for class compute_second"),
        ({"quantities": {"tool_call:a": 1}}, "no_charge", "plan pure@1 has no charge for class tool_call:a"),
    ],
)
def test_an_event_without_a_price_is_accepted_counted_and_parked_with_its_reason(
    changes: dict[str, Any], reason: str, detail: str, billproof: World
) -> None:
    answer = billproof.send([event(**changes), event("priced")])
    assert answer.statuses == ["accepted", "accepted"]
    assert answer.body["parked"] == 1
    assert answer.body["results"][0]["parked"] == {"reason": reason, "detail": detail}
    assert "parked" not in answer.body["results"][1]
    assert billproof.view("acme").body["events"] == 2


@pytest.mark.parametrize("quantities", [{"input": 1, "cache_write": 0}, {"input": 0}, {"mystery": 0, "output": 2}])
def test_a_quantity_of_zero_needs_no_price(quantities: dict[str, int], billproof: World) -> None:
    assert billproof.send(event(quantities=quantities)).body["parked"] == 0


def test_the_price_of_one_tier_is_never_that_of_another(billproof: World) -> None:
    of_batch = {**rate("output", "5.00"), "service_tier": "batch"}
    prices = card(1, "2026-10-01", rate("input", "2.50"), of_batch)
    stores.catalogue().publish_rate_card("tiers", prices, now=CREATED, periods=stores.sealed_periods())
    billproof.add_customer("tiered", contract={"rate_card": "tiers"})
    sent = [
        event(f"{token_class} {tier}", subject="tiered", service_tier=tier, quantities={token_class: 1})
        for token_class in ("input", "output")
        for tier in TIERS
    ]
    reasons = [result.get("parked", {}).get("reason") for result in billproof.send(sent).body["results"]]
    assert reasons == [None, *["no_price"] * 3, "no_price", None, *["no_price"] * 2]
    [day] = billproof.view("tiered").body["days"]
    assert [found["class"].removeprefix("openai/gpt-4o|") for found in day["unpriced"]] == [
        "input|batch",
        "input|flex",
        "input|priority",
        "output",
        "output|flex",
        "output|priority",
    ]


def test_usage_that_only_the_customers_own_card_prices_is_not_parked(billproof: World) -> None:
    own = {**card(1, "2026-10-01", rate("input", "1.00")), "currency": "USD"}
    own["rates"][0]["model"] = "gpt-own"
    stores.catalogue().publish_rate_card("own", own, now=CREATED, periods=stores.sealed_periods())
    billproof.add_customer("special", contract={"override_card": "own"})
    sent = [event(model, subject="special", model=model, quantities={"input": 1}) for model in ("gpt-own", "gpt-4o")]
    assert billproof.send(sent).body["parked"] == 0
    assert billproof.send(event("other", model="gpt-own", quantities={"input": 1})).body["parked"] == 1


def test_an_event_is_asked_about_with_its_service_tier() -> None:
    asked: list[tuple[Any, ...]] = []

    class Prices:
        def unpriced(self, *arguments: Any) -> Unpriced:
            asked.append(arguments)
            return Unpriced("no_price", "none")

    tariff = Tariff(("2026-11-10T00:00:00.000000Z",), (cast("Pricing", Prices()),))
    tariff.unpriced(read_event(event(service_tier="flex"), None))
    tariff.unpriced_class("acme", "2026-11-10", "openai/gpt-4o|input|batch")
    tariff.unpriced_class("acme", "2026-11-10", "azure/a/b|tool_call:web")
    day = "2026-11-10T00:00:00.000000Z"
    assert asked == [
        ("openai", "gpt-4o", {"input": 374, "output": 44}, "2026-11-16T10:15:46.680590Z", "flex"),
        ("openai", "gpt-4o", {"input": 1}, day, "batch"),
        ("azure", "a/b", {"tool_call:web": 1}, day, "standard"),
    ]


def test_a_duplicate_of_a_parked_event_is_a_duplicate(billproof: World) -> None:
    billproof.send(event(model="gpt-9"))
    answer = billproof.send(event(model="gpt-9"))
    assert (answer.statuses, answer.body["parked"]) == (["duplicate"], 0)


def test_a_customer_without_a_contract_has_its_usage_stored_and_parked(billproof: World) -> None:
    stores.catalogue().create_customer({**CUSTOMER, "id": "new"}, now=CREATED)
    answer = billproof.send(event(subject="new"))
    assert answer.result["parked"] == {"reason": "no_contract", "detail": "customer new has no contract"}
    stores.catalogue().agree_contract(
        {**stores.catalogue().contracts("acme")[0].document, "customer": "new"}, now=CREATED
    )
    assert "parked" not in billproof.send(event("e2", subject="new")).result


def test_once_its_price_is_published_the_next_event_is_not_parked_though_prices_are_remembered(
    billproof: World,
) -> None:
    assert billproof.send(event("1")).body["parked"] == 0
    assert billproof.send(event("2", model="soon")).body["parked"] == 1
    assert billproof.send(event("3", model="soon")).body["parked"] == 1
    prices = [rate("input", "1.00", model="soon"), rate("output", "1.00", model="soon")]
    billproof.publish_prices(card(2, "2026-11-01", *prices))
    assert billproof.send(event("4", model="soon")).body["parked"] == 0
    assert billproof.send(event("5", model="soon", time="2026-10-31T23:59:59.999999Z")).body["parked"] == 1


def test_a_remembered_customer_costs_no_read_and_a_parked_event_looks_again(billproof: World) -> None:
    billproof.send(event("1"))
    with watch(operation("GetItem", "Query", "BatchGetItem")) as calls:
        billproof.send(event("2"))
    assert calls.writes == 0
    with watch(operation("GetItem", "Query", "BatchGetItem")) as calls:
        billproof.send(event("3", model="gpt-9"))
    assert calls.writes > 0


def test_an_unknown_customer_is_looked_up_once_per_request_and_again_in_the_next(billproof: World) -> None:
    with watch(operation("GetItem")) as calls:
        answer = billproof.send([event(f"e{n}", subject="nobody") for n in range(50)])
    assert answer.statuses == ["rejected"] * 50
    assert calls.writes == 1
    billproof.add_customer("nobody")
    assert billproof.send(event("e1", subject="nobody")).statuses == ["accepted"]


def test_a_new_contract_version_is_used_from_its_first_day(billproof: World) -> None:
    billproof.add_customer("moving")
    billproof.send(event("1", subject="moving"))  # version 1 is remembered
    catalogue = stores.catalogue()
    prices = card(1, "2026-10-01", rate("input", "1.00", model="gpt-9"))
    catalogue.publish_rate_card("other", prices, now="2026-11-16T12:00:00.000000Z", periods=stores.sealed_periods())
    second = {**catalogue.contracts("moving")[0].document, "version": 2, "effective_from": "2026-12-01"}
    catalogue.agree_contract({**second, "rate_card": "other"}, now="2026-11-16T12:00:00.000000Z")
    billproof.clock.move_to(datetime(2026, 12, 2, tzinfo=UTC))
    asked = {"subject": "moving", "model": "gpt-9", "quantities": {"input": 1}}
    assert billproof.send(event("2", time="2026-11-30T23:59:59Z", **asked)).body["parked"] == 1
    assert billproof.send(event("3", time="2026-12-01T00:00:00Z", **asked)).body["parked"] == 0


def test_when_customers_cannot_be_read_nothing_is_stored_and_each_event_says_so(billproof: World) -> None:
    billproof.add_customer("unread")
    batch = [event("1", subject="unread"), event("bad", time="never"), event("2", subject="unread-too")]
    with refuse(1, "ThrottlingException", operation("GetItem"), times=1000):
        answer = billproof.send(batch)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.body["type"] == "urn:billproof:problem:NotStored"
    assert answer.statuses == ["not_stored", "rejected", "not_stored"]
    assert [result.get("id") for result in answer.body["results"]] == ["1", "bad", "2"]
    assert billproof.usage_is_empty()
    assert billproof.send(batch).statuses == ["accepted", "rejected", "rejected"]


def test_a_remembered_customer_is_stored_while_another_cannot_be_read(billproof: World) -> None:
    billproof.add_customer("umbra")
    billproof.send(event("1"))
    with refuse(1, "ThrottlingException", operation("GetItem"), times=1000):
        answer = billproof.send([event("3", subject="umbra"), event("2"), event("4", subject="vega")])
    assert (answer.status, answer.statuses) == (503, ["not_stored", "accepted", "not_stored"])


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerError", "connect timeout"])
def test_when_prices_cannot_be_read_the_stored_event_is_still_accepted_and_says_what_is_not_known(
    code: str, billproof: World, caplog: pytest.LogCaptureFixture
) -> None:
    with refuse(1, code, operation("Query"), times=1000):
        answer = billproof.send(event(model="gpt-9"))
    assert (answer.status, answer.statuses) == (200, ["accepted"])
    assert "parked" not in answer.result
    assert answer.result["detail"].startswith("stored; whether it has a price could not be looked up just now")
    assert "prices not read" in caplog.messages
    assert billproof.view("acme").body["days"][0]["unpriced"] != []
    assert billproof.send(event("e2", model="gpt-9")).body["parked"] == 1
