"""A billing run of a plan whose prices depend on positions: measured in shards, rated in shards, equal to the whole."""

from __future__ import annotations

import pytest

from lambdas.handlers import stores
from lambdas.handlers.trace_charge import trace_line
from lambdas.store.errors import NotFound
from tests.handlers.months import (
    RUN_ID,
    everything_stored,
    execute,
    open_run_item,
    set_up,
    step_freeze,
    step_measure,
    step_open,
    step_rate,
    use,
)
from tests.store.catalogue_documents import CONTRACT, CUSTOMER, ENTITY

pytestmark = pytest.mark.usefixtures("aws")
NOW = "2026-10-01T00:00:00.000000Z"
PLAN = {
    "id": "tiered",
    "version": 1,
    "name": "Included and graduated",
    "model": "custom",
    "posture": "variable",
    "volatility_bearer": "customer",
    "primary_meter": "output",
    "charges": [
        {"id": "input", "meter": "input", "kind": "graduated", "prices": "charge", "included": 10_000_000},
        {"id": "output", "meter": "output", "kind": "per_unit", "prices": "charge", "included": 2_000_000},
    ],
}
CARD = {
    "version": 1,
    "currency": "USD",
    "effective_from": "2026-10-01",
    "rates": [
        {
            "charge": "input",
            "per": 1_000_000,
            "tiers": [{"up_to": 5_000_000, "price": "0.60"}, {"up_to": None, "price": "0.50"}],
        },
        {"charge": "output", "per": 1_000_000, "price": "2.40"},
    ],
}


def included_month() -> None:
    """17,250,000 input and 2,000,001 output tokens in eleven events over eleven hours."""
    catalogue = stores.catalogue()
    catalogue.create_entity(ENTITY, now=NOW)
    catalogue.create_customer(CUSTOMER, now=NOW)
    catalogue.publish_plan(PLAN, now=NOW)
    catalogue.publish_rate_card("tiers", CARD, now=NOW, periods=stores.sealed_periods())
    catalogue.agree_contract(
        {**CONTRACT, "effective_from": "2026-11-01", "plan": "tiered", "rate_card": "tiers"}, now=NOW
    )
    inputs = [600, *[1_725_000] * 9, 1_724_400]  # together 17,250,000
    for n, quantity in enumerate(inputs):
        time = f"2026-11-{2 * n + 1:02d}T{n:02d}:00:00Z"
        use("acme", f"e{n}", time, input=quantity, output=2_000_001 if n == 3 else 0)
    open_run_item()


def test_included_units_and_tiers_are_billed_as_worked_out_by_hand_however_the_month_is_cut() -> None:
    included_month()
    assert execute(shard_events=2)["status"] == "sealed"
    document = stores.evidence().get_json(f"runs/{RUN_ID}/acme/invoice.json")
    lines = [(line["charge"], line["tier"], line["quantity"], line["exact"]) for line in document["lines"]]
    assert lines == [
        ("input", "included", 10_000_000, "0"),
        ("input", "1", 5_000_000, "3"),
        ("input", "2", 2_250_000, "1.125"),
        ("output", "included", 2_000_000, "0"),
        ("output", "1", 1, "0.0000024"),
    ]
    assert document["net_exact"] == "4.1250024"
    assert document["positions"] == {"input": 17_250_000, "output": 2_000_001}


def test_the_events_of_a_line_are_listed_with_their_positions() -> None:
    included_month()
    assert execute(shard_events=2)["status"] == "sealed"
    invoice = stores.billing().invoice(stores.billing().account(RUN_ID, "acme").number)
    answer = trace_line(invoice, 2, None, billing=stores.billing(), ledger=stores.ledger(), evidence=stores.evidence())
    events = answer["events"]
    assert sum(event["quantity"] for event in events) == 5_000_000
    assert events[0]["position"] == 10_000_000
    assert [event["position"] for event in events] == sorted(event["position"] for event in events)


def test_a_shard_is_not_rated_before_all_are_measured() -> None:
    included_month()
    step_open(RUN_ID, "one")
    plan = step_freeze(RUN_ID, "acme", shard_events=4)
    assert plan["to_measure"] == plan["shards"] == [{"n": 1}, {"n": 2}, {"n": 3}]
    step_measure(RUN_ID, "acme", 1, 1)
    with pytest.raises(NotFound):
        step_rate(RUN_ID, "acme", 1, 1)


def test_measuring_twice_changes_nothing() -> None:
    included_month()
    step_open(RUN_ID, "one")
    step_freeze(RUN_ID, "acme")
    step_measure(RUN_ID, "acme", 1, 1)
    before = everything_stored()
    step_measure(RUN_ID, "acme", 1, 1)
    assert everything_stored() == before


def test_a_plan_of_one_price_per_class_is_not_measured() -> None:
    set_up("acme")
    use("acme", "in", "2026-11-16T00:00:00Z", input=1)
    open_run_item()
    step_open(RUN_ID, "one")
    assert step_freeze(RUN_ID, "acme")["to_measure"] == []
