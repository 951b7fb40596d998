"""From totals to invoice to journal: worked example 1 to the last digit (K1, K3, K4, K6)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.canonical import content_hash
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.invoice import invoice_number
from lambdas.billing.journal import balances, invoice_transaction, plain_text_journal, postings_of
from lambdas.billing.money import ONE, format_amount, parse_amount
from lambdas.billing.rating import Totals, rate_event
from tests.billing.month import CONTRACT, PLAN, RATES, invoice_of, pricing_of, row


def card(*prices: tuple[str, str, int], currency: str = "USD") -> dict[str, dict[str, Any]]:
    """A rate card with one input price for each (model, price, per)."""
    rates = [{"provider": "openai", "model": m, "class": "input", "price": p, "per": per} for m, p, per in prices]
    return {"std@1": {"version": 1, "currency": currency, "effective_from": "2026-01-01", "rates": rates}}


def billed(
    quantities: list[tuple[str, dict[str, int]]],
    *,
    rates: dict[str, Any] = RATES,
    tax: str = "0.19",
    currency: str = "USD",
) -> dict[str, Any]:
    """The invoice of one event for each (model, quantities)."""
    contract = {**CONTRACT, "currency": currency, "tax": {"category": "S", "rate": tax}}
    pricing, totals = pricing_of(contract, PLAN, rates), Totals()
    for n, (model, counted) in enumerate(quantities):
        rate_event(row(str(n), "2026-11-10T00:00:00.000000Z", counted, f"openai/{model}"), pricing, totals)
    return invoice_of(totals, contract=contract, rates=rates)


def amounts(invoice: dict[str, Any]) -> tuple[list[str], list[str], str, str, str, str]:
    [tax] = invoice["tax"]
    lines = invoice["lines"]
    exact, shown = [line["exact"] for line in lines], [line["amount"] for line in lines]
    return exact, shown, invoice["net_exact"], invoice["net"], tax["amount"], invoice["total"]


AZURE = [("gpt-4o", {"input": 22_361_870, "output": 4_088_665})]


@pytest.mark.parametrize(("tax", "vat", "gross"), [("0", "0.00", "96.79"), ("0.19", "18.39", "115.18")])
def test_worked_example_1_is_an_invoice_of_96_79(tax: str, vat: str, gross: str) -> None:
    assert amounts(billed(AZURE, tax=tax)) == (
        ["55.904675", "40.88665"],
        ["55.90", "40.89"],
        "96.791325",
        "96.79",
        vat,
        gross,
    )


def test_worked_example_1_posts_exact_revenue_and_the_rest_to_rounding() -> None:
    transaction = invoice_transaction(billed(AZURE, tax="0"))
    assert transaction["postings"] == [
        {"from": "revenue:input", "to": "customer:acme:receivable", "amount": "55.904675"},
        {"from": "revenue:output", "to": "customer:acme:receivable", "amount": "40.88665"},
        {"from": "customer:acme:receivable", "to": "rounding", "amount": "0.001325"},
    ]
    assert {account: format_amount(amount) for account, amount in balances(postings_of(transaction)).items()} == {
        "customer:acme:receivable": "96.79",
        "rounding": "0.001325",
        "revenue:input": "-55.904675",
        "revenue:output": "-40.88665",
    }


def test_vat_is_posted_beside() -> None:
    transaction = invoice_transaction(billed(AZURE))
    sums = balances(postings_of(transaction))
    assert format_amount(sums["customer:acme:receivable"]) == "115.18"
    assert format_amount(sums["tax_payable:billproof-us"]) == "-18.39"
    assert format_amount(sums["rounding"]) == "0.001325"


def test_three_equal_lines_of_a_third_of_a_cent_short_of_a_cent_share_it_in_line_order() -> None:
    rates = card(("a", "0.335", 1), ("b", "0.335", 1), ("c", "0.335", 1))
    invoice = billed([(model, {"input": 1}) for model in "abc"], rates=rates)
    assert amounts(invoice) == (["0.335"] * 3, ["0.34", "0.34", "0.33"], "1.005", "1.01", "0.19", "1.20")
    sums = balances(postings_of(invoice_transaction(invoice)))
    assert format_amount(sums["rounding"]) == "-0.005"  # half a minor unit is still allowed, in the other direction


def test_an_invoice_in_yen_has_no_minor_digits() -> None:
    rates = card(("a", "648.15", 1), ("b", "0.5", 1), currency="JPY")
    invoice = billed([("a", {"input": 1}), ("b", {"input": 1})], rates=rates, tax="0.10", currency="JPY")
    assert amounts(invoice) == (["648.15", "0.5"], ["648", "1"], "648.65", "649", "65", "714")


def test_an_invoice_in_dinars_has_three() -> None:
    invoice = billed([("a", {"input": 1})], rates=card(("a", "1.2345", 1), currency="KWD"), tax="0", currency="KWD")
    assert amounts(invoice) == (["1.2345"], ["1.235"], "1.2345", "1.235", "0.000", "1.235")


def test_an_empty_month_is_an_invoice_of_zero_without_postings() -> None:
    invoice = billed([])
    assert amounts(invoice) == ([], [], "0", "0.00", "0.00", "0.00")
    transaction = invoice_transaction(invoice)
    assert transaction["postings"] == []
    assert plain_text_journal(transaction) == "2026-12-01 * invoice:BP-2026-000001\n"


def test_usage_worth_less_than_half_a_cent_is_invoiced_at_zero_and_posted_exactly() -> None:
    invoice = billed([("gpt-4o", {"input": 1})], tax="0")
    assert amounts(invoice) == (["0.0000025"], ["0.00"], "0.0000025", "0.00", "0.00", "0.00")
    sums = balances(postings_of(invoice_transaction(invoice)))
    assert {account: format_amount(amount) for account, amount in sums.items()} == {
        "revenue:input": "-0.0000025",
        "rounding": "0.0000025",
        "customer:acme:receivable": "0",
    }


def test_the_plain_text_journal_shows_every_leg_and_balances() -> None:
    text = plain_text_journal(invoice_transaction(billed(AZURE)))
    assert text == (
        "2026-12-01 * invoice:BP-2026-000001\n"
        "    customer:acme:receivable    115.180000000000000000 USD\n"
        "    revenue:input    -55.904675000000000000 USD\n"
        "    revenue:output    -40.886650000000000000 USD\n"
        "    rounding    0.001325000000000000 USD\n"
        "    tax_payable:billproof-us    -18.390000000000000000 USD\n"
    )
    assert sum(parse_amount(line.split()[1]) for line in text.splitlines()[1:]) == 0


@given(
    st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
    st.lists(st.integers(0, 10**21), min_size=3, max_size=3),
    st.sampled_from(["0", "0.19", "0.077", "0.25"]),
)
def test_every_invoice_adds_up_and_every_transaction_balances(
    quantities: list[int], prices: list[int], tax: str
) -> None:
    rates = card(*((name, format_amount(price), 1) for name, price in zip("abc", prices, strict=True)))
    usage = [(name, {"input": quantity}) for name, quantity in zip("abc", quantities, strict=True)]
    invoice = billed(usage, rates=rates, tax=tax)
    exact, shown, net_exact, net, vat, total = amounts(invoice)
    assert sum(map(parse_amount, exact)) == parse_amount(net_exact)
    assert sum(map(parse_amount, shown)) == parse_amount(net)
    assert parse_amount(net) + parse_amount(vat) == parse_amount(total)
    assert 2 * abs(parse_amount(net) - parse_amount(net_exact)) <= ONE // 100
    sums = balances(postings_of(invoice_transaction(invoice)))
    assert sum(sums.values()) == 0
    assert sums.get("customer:acme:receivable", 0) == parse_amount(total)
    assert sums.get("revenue:input", 0) == -parse_amount(net_exact)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("net", "96.80", "rounded sum of the exact lines"), ("total", "115.19", "must be the invoice total")],
)
def test_an_invoice_that_does_not_add_up_is_not_posted(field: str, value: str, message: str) -> None:
    with pytest.raises(InvariantBroken, match=message):
        invoice_transaction({**billed(AZURE), field: value})


def test_the_transaction_names_its_invoice_by_hash_and_itself_by_its_own() -> None:
    invoice = billed(AZURE)
    transaction = invoice_transaction(invoice)
    assert transaction["reference"]["invoice_hash"] == content_hash(invoice)
    assert transaction.pop("hash") == content_hash(transaction)
    assert invoice_transaction(json.loads(json.dumps(invoice))) == invoice_transaction(invoice)


@pytest.mark.parametrize(
    "posting",
    [
        {"from": "a", "to": "b", "amount": "0"},
        {"from": "a", "to": "b", "amount": "-1"},
        {"from": "a", "to": "a", "amount": "1"},
    ],
)
def test_a_posting_moves_a_positive_amount_between_two_accounts(posting: dict[str, str]) -> None:
    with pytest.raises(InvariantBroken, match="positive amount between two accounts"):
        postings_of({"postings": [posting]})


def test_a_number_is_prefix_year_and_six_digits_or_more() -> None:
    assert invoice_number("BP", 2026, 1) == "BP-2026-000001"
    assert invoice_number("BP", 2026, 1_000_000) == "BP-2026-1000000"


def test_the_invoice_commits_to_the_contract_the_plan_and_every_rate_version() -> None:
    terms = billed(AZURE, tax="0.19")["contract"]
    assert terms["hash"] == content_hash(CONTRACT)
    assert terms["plan_hash"] == content_hash(PLAN)
    assert terms["rate_versions"] == {name: content_hash(document) for name, document in RATES.items()}
