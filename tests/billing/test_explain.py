"""Lines and charges in words whose arithmetic adds up (R14, R31)."""

from __future__ import annotations

import pytest

from lambdas.billing.errors import DocumentRefused, InvariantBroken
from lambdas.billing.explain import explain_charges, explain_exclusion, explain_line, explain_posting
from lambdas.billing.rating import Totals, rate_event
from tests.billing.month import month_of, pricing_of, row, sample_events

MONTH = month_of(sample_events())


def rated_text(quantities: dict[str, int]) -> str:
    return rate_event(row("a-3", "2026-11-20T00:00:00.000000Z", quantities), pricing_of(), Totals()).text


def test_a_line_says_quantity_times_price_and_what_is_shown() -> None:
    line = explain_line(MONTH.invoice, 6)
    assert line["arithmetic"] == "1,000,630 x 8.00 / 1,000,000 = 8.00504 -> 8.01 USD"
    assert line["text"] == (
        "Line 6 charges 1,000,630 tokens (output tokens written by the model, openai/gpt-4o) of 12 events at 8.00 USD "
        "per 1,000,000, the price of rate version std@2 in force from 2026-11-16: "
        "1,000,630 x 8.00 / 1,000,000 = 8.00504 -> 8.01 USD."
    )
    assert (line["invoice"], line["contract_version"], line["rate_version"]) == ("BP-2026-000001", 1, "std@2")
    assert line["rate_hash"] == MONTH.invoice["contract"]["rate_versions"]["std@2"]


def test_a_line_whose_share_is_not_its_own_rounding_says_why() -> None:
    invoice = month_of(
        [raw.replace('"output": 1000000', '"output": 1000425') for raw in sample_events()],
    ).invoice
    odd = [line for line in invoice["lines"] if "Alone it would round" in explain_line(invoice, line["line"])["text"]]
    for line in odd:
        assert explain_line(invoice, line["line"])["text"].endswith("and the lines are made to add up to that.")
    assert odd


def test_a_price_per_single_unit_is_not_divided() -> None:
    assert explain_line(MONTH.invoice, 4)["arithmetic"] == "276 x 0.000015 = 0.00414 -> 0.00 USD"


@pytest.mark.parametrize("number", [-1, 0, 7])
def test_there_are_only_the_lines_there_are(number: int) -> None:
    with pytest.raises(DocumentRefused, match="has lines 1 to 6"):
        explain_line(MONTH.invoice, number)


def test_each_charge_of_an_event_names_its_cause_and_everything_it_follows_from() -> None:
    first, second = explain_charges(rated_text({"output": 44, "input": 374}), MONTH.invoice)
    assert first == {
        "customer": "acme",
        "source": "//gateway/eu-1",
        "id": "a-3",
        "revision": 0,
        "time": "2026-11-20T00:00:00.000000Z",
        "invoice": "BP-2026-000001",
        "line": 2,
        "charge": "input",
        "account": "revenue:input",
        "meter": "input",
        "provider": "openai",
        "model": "gpt-4o",
        "class": "input",
        "service_tier": "standard",
        "prompt_above": None,
        "attribute": None,
        "unit": "token",
        "cause": "input tokens read by the model",
        "kind": "per_unit",
        "tier": None,
        "weight": None,
        "unit_price": "2.50",
        "per": 1_000_000,
        "rate_version": "std@1",
        "rate_effective_from": "2026-01-01",
        "rate_hash": MONTH.invoice["contract"]["rate_versions"]["std@1"],
        "contract_version": 1,
        "pass_through": None,
        "quantity": 374,
        "position": None,
        "exact": "0.000935",
        "currency": "USD",
        "arithmetic": "374 x 2.50 / 1,000,000 = 0.000935 USD",
    }
    assert (second["line"], second["rate_version"], second["arithmetic"]) == (
        6,
        "std@2",
        "44 x 8.00 / 1,000,000 = 0.000352 USD",
    )


def test_an_event_of_nothing_has_no_charges() -> None:
    assert explain_charges(rated_text({"input": 0}), MONTH.invoice) == []


def test_a_charge_that_is_on_no_line_or_is_not_its_product_is_not_explained_away() -> None:
    text = rated_text({"output": 44})
    with pytest.raises(InvariantBroken, match="has no such line"):
        explain_charges(text.replace("std@2", "std@3"), MONTH.invoice)
    with pytest.raises(InvariantBroken, match=r"44 x 8\.00 / 1,000,000 is 0\.000352"):
        explain_charges(text.replace("0.000352", "0.000353"), MONTH.invoice)


def test_an_exclusion_says_why_there_is_no_charge() -> None:
    event = row("x", "2026-11-20T00:00:00.000000Z", {"input": 1}, "openai/gpt-9")
    explained = explain_exclusion(rate_event(event, pricing_of(), Totals()).text)
    assert (explained["reason"], explained["id"]) == ("parked", "x")
    assert explained["text"] == (
        "Not charged (parked): rate card std has no price for openai/gpt-9 input on 2026-11-20."
    )


def test_a_line_leads_to_the_revenue_of_its_meter_in_the_journal() -> None:
    posting = explain_posting(explain_line(MONTH.invoice, 6), MONTH.journal)
    assert posting["transaction"] == "invoice:BP-2026-000001"
    assert posting["hash"] == MONTH.journal["hash"]
    assert posting["postings"] == [
        {"from": "revenue:output", "to": "customer:acme:receivable", "amount": "18.01625"},
    ]
