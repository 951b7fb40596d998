"""The worked examples of the billing rules to the last digit: fees, included usage, changes, discounts, costs."""

from __future__ import annotations

from lambdas.billing.explain import explain_line
from lambdas.billing.journal import balances, invoice_transaction, postings_of
from lambdas.billing.money import ONE, format_amount, parse_amount
from tests.billing.account import (
    Json,
    M,
    agreed,
    card,
    carried_from,
    class_price,
    contract,
    invoiced,
    plan,
    price,
    rated,
    shown,
    tiers,
    used,
)


def legs(invoice: Json) -> dict[str, str]:
    """Net debit of every account of the invoice's journal transaction."""
    sums = balances(postings_of(invoice_transaction(invoice)))
    return {account: format_amount(amount) for account, amount in sums.items()}


TEAM = plan(
    "team",
    [
        {"id": "base", "kind": "flat", "timing": "advance"},
        {"id": "input", "meter": "input", "kind": "graduated", "prices": "charge", "included": 10 * M},
        {"id": "output", "meter": "output", "kind": "per_unit", "prices": "charge", "included": 2 * M},
    ],
)
TEAM_CARD = card(
    1,
    "2026-10-01",
    price("base", "99.00", per=1),
    tiers("input", (5 * M, "0.60"), (None, "0.50")),
    price("output", "2.40"),
)


def billed_in_advance(month: str = "2026-10") -> Json:
    """The invoice before the first period: its base fee, nothing else."""
    return invoiced(agreed(month, [contract("team", "2026-11-01")], [TEAM], TEAM_CARD), [])


def test_example_2_base_fee_in_advance_with_included_and_graduated_overage() -> None:
    agreement = agreed("2026-11", [contract("team", "2026-11-01")], [TEAM], TEAM_CARD)
    usage = [used("2026-11-10", input=17_250_000, output=2_000_001)]
    invoice = invoiced(agreement, usage, carried=carried_from(billed_in_advance()))
    assert shown(invoice) == [
        ("base", "99", "99.00"),
        ("input", "0", "0.00"),
        ("input", "3", "3.00"),  # 5,000,000 x 0.60 / 1M
        ("input", "1.125", "1.13"),  # 2,250,000 x 0.50 / 1M; the missing cent goes to the larger remainder
        ("output", "0", "0.00"),
        ("output", "0.0000024", "0.00"),  # 1 x 2.40 / 1M
    ]
    assert (invoice["net_exact"], invoice["net"]) == ("103.1250024", "103.13")
    assert [invoice["lines"][0][name] for name in ("service_from", "service_to")] == ["2026-12-01", "2027-01-01"]
    assert [invoice["lines"][1][name] for name in ("quantity", "resets_on")] == [10 * M, "2026-12-01"]
    assert legs(invoice) == {
        "customer:acme:receivable": "103.13",
        "deferred:base": "0",  # 99.00 for December deferred, 99.00 of November recognised
        "revenue:base": "-99",
        "revenue:input": "-4.125",
        "revenue:output": "-0.0000024",
        "rounding": "-0.0049976",
    }


def test_example_2_the_first_fee_is_deferred_until_its_month_is_billed() -> None:
    first = billed_in_advance()
    assert shown(first) == [("base", "99", "99.00")]
    assert legs(first) == {"customer:acme:receivable": "99", "deferred:base": "-99"}
    assert "recognised" not in first


def test_example_2_the_event_that_crosses_the_edge_is_split() -> None:
    agreement = agreed("2026-11", [contract("team", "2026-11-01")], [TEAM], TEAM_CARD)
    rows = [used("2026-11-10", input=9_999_400), used("2026-11-11", input=1_000)]
    _, texts = rated(agreement, rows)
    assert '|std@1|included",600,"0",9999400],' in texts[1]
    assert '|std@1|1",400,"0.00024",10000000]]' in texts[1]


RATE_CHANGE = {
    **card(1, "2026-11-01", tiers("input", (10 * M, "1.00"), (None, "0.80"))),
    **card(2, "2026-11-16", tiers("input", (10 * M, "0.90"), (None, "0.70"))),
}
EIGHT_THEN_SIX = [
    used("2026-11-15T23:59:59.999999Z", input=8 * M),
    used("2026-11-16T00:00:00.000000Z", input=6 * M),
]


def of_kind(kind: str) -> Json:
    return plan("graded", [{"id": "input", "meter": "input", "kind": kind, "prices": "charge"}])


def test_example_3_a_rate_change_keeps_the_tiers_position() -> None:
    agreement = agreed("2026-11", [contract("graded", "2026-11-01")], [of_kind("graduated")], RATE_CHANGE)
    invoice = invoiced(agreement, EIGHT_THEN_SIX)
    lines = [(line["rate_version"], line["tier"], line["quantity"], line["exact"]) for line in invoice["lines"]]
    assert lines == [
        ("std@1", "1", 8 * M, "8"),
        ("std@2", "1", 2 * M, "1.8"),
        ("std@2", "2", 4 * M, "2.8"),
    ]
    assert invoice["net"] == "12.60"


def test_example_3_volume_prices_all_units_by_the_total_each_at_its_own_version() -> None:
    agreement = agreed("2026-11", [contract("graded", "2026-11-01")], [of_kind("volume")], RATE_CHANGE)
    assert invoiced(agreement, EIGHT_THEN_SIX)["net_exact"] == "10.6"  # 8 x 0.80 + 6 x 0.70
    for quantity, net in ((10 * M, "10"), (10 * M + 1, "8.0000008")):
        assert invoiced(agreement, [used("2026-11-02", input=quantity)])["net_exact"] == net


def test_example_3_a_plan_change_shares_out_fees_and_included_usage_by_days() -> None:
    def tariff(name: str, timing: str, included: int) -> Json:
        charges: list[Json] = [
            {"id": f"{name}-base", "kind": "flat", "timing": timing},
            {"id": name, "meter": "input", "kind": "per_unit", "prices": "charge", "included": included},
        ]
        return plan(name, charges)

    rates = card(
        1,
        "2026-11-01",
        price("basic-base", "30.00", per=1),
        price("basic", "2.00"),
        price("pro-base", "100.00", per=1),
        price("pro", "1.00"),
    )
    contracts = [contract("basic", "2026-10-01"), contract("pro", "2026-11-11", 2)]
    usage = [used("2026-11-05", input=1_200_000), used("2026-11-20", input=15 * M)]
    in_arrears = [tariff("basic", "arrears", 3 * M), tariff("pro", "arrears", 20 * M)]
    invoice = invoiced(agreed("2026-11", contracts, in_arrears, rates), usage)
    assert [line for line in shown(invoice) if line[1] != "0"] == [
        ("basic-base", "10", "10.00"),  # 30.00 x 10/30
        ("basic", "0.4", "0.40"),  # 1,000,000 of 3,000,000 included; 200,000 x 2.00 / 1M
        ("pro-base", "66.666666666667", "66.67"),  # 100.00 x 20/30, 12 decimals
        ("pro", "1.666666", "1.66"),  # 13,333,334 of 20,000,000 included; 1,666,666 x 1.00 / 1M
    ]
    assert (invoice["net_exact"], invoice["net"]) == ("78.733332666667", "78.73")
    assert [entry["included"] for entry in invoice["included"]] == [1_000_000, 13_333_334]
    assert [line["arithmetic"] for line in invoice["lines"] if line["kind"] == "flat"] == [
        "30.00 x 10/30 = 10",
        "100.00 x 20/30 = 66.666666666667",
    ]

    # Had the base been billed in advance, 1 November charged 30.00 and this invoice gives 20 days back.
    in_advance = [tariff("basic", "advance", 3 * M), tariff("pro", "arrears", 20 * M)]
    october = invoiced(agreed("2026-10", contracts[:1], in_advance[:1], {
        "std@1": {**rates["std@1"], "effective_from": "2026-10-01"}}), [])  # fmt: skip
    assert [line for line in shown(october) if line[0] == "basic-base"][-1] == ("basic-base", "30", "30.00")
    invoice = invoiced(agreed("2026-11", contracts, in_advance, rates), usage, carried=carried_from(october))
    back = next(line for line in invoice["lines"] if line["exact"].startswith("-"))
    assert [back[name] for name in ("charge", "exact", "service_from", "service_to", "account")] == [
        "basic-base", "-20", "2026-11-11", "2026-12-01", "deferred:basic-base",
    ]  # fmt: skip
    assert invoice["recognised"] == [{"charge": "basic-base", "invoice": "BP-2026-000001", "exact": "10"}]
    sums = legs(invoice)
    assert (sums["deferred:basic-base"], sums["revenue:basic-base"]) == ("30", "-10")


EXAMPLE_5 = plan(
    "five",
    [
        {"id": "base", "kind": "flat", "timing": "arrears"},
        {"id": "a", "meter": "input", "kind": "per_unit", "prices": "charge"},
        {"id": "b", "meter": "output", "kind": "per_unit", "prices": "charge", "minimum": "100.00"},
    ],
    currency="USD",
)
PRICES_5 = card(
    1, "2026-11-01", price("base", "50.00", per=1), price("a", "0.000001", per=1), price("b", "0.01", per=1)
)
TERMS_5: Json = {
    "discounts": [{"id": "loyal", "percent": "0.10"}, {"id": "welcome", "amount": "5.00"}],
    "commitment": {"amount": "600.00", "counting": "period"},
}
USAGE_5 = [used("2026-11-10", input=412_345_678, output=9_550)]


def test_example_5_minimum_discounts_and_commitment_in_this_order() -> None:
    agreement = agreed("2026-11", [contract("five", "2026-11-01", **TERMS_5)], [EXAMPLE_5], PRICES_5)
    invoice = invoiced(agreement, USAGE_5)
    assert shown(invoice) == [
        ("base", "50", "50.00"),
        ("a", "412.345678", "412.35"),
        ("b", "95.5", "95.50"),
        ("b", "4.5", "4.50"),  # to the minimum of 100.00
        ("loyal", "-51.2345678", "-51.24"),  # 10 % of 412.345678 + 100.00
        ("welcome", "-5", "-5.00"),
        ("commitment", "93.8888898", "93.89"),  # 600.00 - 506.1111102
    ]
    assert (invoice["net_exact"], invoice["net"]) == ("600", "600.00")
    assert invoice["lines"][-1]["events"] == 0
    assert "contract version 1" in invoice["lines"][-1]["cause"]


def test_example_5_a_contract_that_starts_in_mid_month_commits_to_its_days() -> None:
    agreement = agreed("2026-11", [contract("five", "2026-11-16", **TERMS_5)], [EXAMPLE_5], PRICES_5)
    lines = invoiced(agreement, [])["lines"]
    assert lines[-1]["arithmetic"].startswith("300 (for 15 of 30 days) - ")  # 600.00 x 15/30
    assert sum(parse_amount(line["exact"]) for line in lines) == 300 * ONE


def test_example_8_yen_anchor_day_stub_and_pass_through_with_exchange_rate() -> None:
    terms = plan(
        "yen",
        [
            {"id": "base", "kind": "flat", "timing": "arrears"},
            {"id": "cost", "meter": "input", "kind": "pass_through", "markup": "1.20"},
            {"id": "calls", "meter": "calls", "kind": "per_unit", "prices": "charge"},
        ],
    )
    rates = {
        **card(1, "2027-01-01", price("base", "10000", per=1), price("calls", "0.15", per=1), currency="JPY"),
        **card(1, "2027-01-01", class_price("input", "2.50"), name="provider"),
        **card(
            1, "2027-02-10", name="fx", currency="JPY",
            fx=[{"foreign": "USD", "price": "151.3275", "source": "fx-2027-02-09"}],
        ),
        **card(
            2, "2027-02-15", name="fx", currency="JPY",
            fx=[{"foreign": "USD", "price": "160", "source": "fx-2027-02-14"}],
        ),
    }  # fmt: skip
    agreement_terms: Json = {
        "currency": "JPY", "anchor_day": 31, "cost_card": "provider", "fx_card": "fx",
        "tax": {"category": "S", "rate": "0.10"},
    }  # fmt: skip
    agreement = agreed("2027-02", [contract("yen", "2027-02-10", **agreement_terms)], [terms], rates)
    invoice = invoiced(agreement, [used("2027-02-20", input=12_345_678, call=4_321)])
    assert (invoice["period_start"], invoice["period_end"]) == ("2027-01-31", "2027-02-28")
    assert shown(invoice) == [
        ("base", "6428.571428571429", "6428"),  # 10,000 x 18/28
        ("cost", "5604.721762635", "5605"),  # 12,345,678 x 2.50 / 1M x 1.20 x 151.3275
        ("calls", "648.15", "648"),  # 4,321 x 0.15
    ]
    [tax] = invoice["tax"]
    amounts = (invoice["net_exact"], invoice["net"], tax["amount"], invoice["total"])
    assert amounts == ("12681.443191206429", "12681", "1268", "13949")
    passed = invoice["lines"][1]["pass_through"]
    assert {name: passed[name] for name in ("currency", "cost", "charged", "margin", "markup")} == {
        "currency": "USD",
        "cost": "30.864195",  # 12,345,678 x 2.50 / 1M
        "charged": "37.037034",  # x 1.20
        "margin": "6.172839",
        "markup": "1.20",
    }
    assert (passed["fx"]["rate"], passed["fx"]["source"], passed["fx"]["rate_version"]) == (
        "151.3275", "fx-2027-02-09", "fx@1",
    )  # fmt: skip


def test_what_goes_back_beyond_the_charges_is_taken_off_the_next_invoice_and_no_invoice_is_negative() -> None:
    big = plan("big", [
        {"id": "big-base", "kind": "flat", "timing": "advance"},
        {"id": "big", "meter": "input", "kind": "per_unit", "prices": "charge"},
    ])  # fmt: skip
    small = plan("small", [{"id": "small", "meter": "input", "kind": "per_unit", "prices": "charge"}])
    rates = card(1, "2026-10-01", price("big-base", "300.00", per=1), price("big", "2.00"), price("small", "1.00"))
    contracts = [contract("big", "2026-11-01"), contract("small", "2026-11-11", 2)]
    october = invoiced(agreed("2026-10", contracts[:1], [big], rates), [])
    november = invoiced(
        agreed("2026-11", contracts, [big, small], rates),
        [used("2026-11-20", input=20 * M)],
        carried=carried_from(october),
    )
    assert [line[:2] for line in shown(november)] == [
        ("big-base", "-200"),  # 300.00 x 20/30 back
        ("small", "20"),
        ("credit", "180"),
    ]
    assert november["total"] == "0.00"
    assert november["carried_forward"]["credit"] == "180"
    sums = legs(november)
    assert (sums["deferred:credit"], sums["deferred:big-base"], sums["revenue:big-base"]) == ("-180", "300", "-100")

    december = invoiced(
        agreed("2026-12", contracts[1:], [small], rates), [used("2026-12-20", input=100 * M)],
        carried=carried_from(november),
    )  # fmt: skip
    assert [line[:2] for line in shown(december)] == [("small", "100"), ("credit", "-180"), ("credit", "80")]
    january = invoiced(
        agreed("2027-01", contracts[1:], [small], rates), [used("2027-01-20", input=100 * M)],
        carried=carried_from(december),
    )  # fmt: skip
    assert [line[:2] for line in shown(january)] == [("small", "100"), ("credit", "-80")]
    assert january["total"] == "20.00"
    assert "carried_forward" not in january
    assert "takes off a credit (fees that invoice BP-2026-000001 gave back" in explain_line(january, 2)["text"]
