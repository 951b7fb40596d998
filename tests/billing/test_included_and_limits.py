"""Shared included usage, weighted units, minimum, maximum, discounts, commitments: below, at and above every edge."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.documents import read_contract
from lambdas.billing.errors import DocumentRefused, InvalidAmount, RateMissing, TooManyLines
from lambdas.billing.explain import explain_charges, explain_line
from lambdas.billing.lines import charged_parts, line_of_all
from lambdas.billing.lint import lint_agreement
from lambdas.billing.money import ONE, format_amount, parse_amount
from lambdas.billing.plans import read_plan
from lambdas.billing.rate_cards import read_rate_card_version
from lambdas.billing.rating import UsageRow
from lambdas.billing.verify import verify_bundle
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
from tests.billing.month import month_of, raw_event

START = "2026-11-01"
Sold = tuple[str, str, int, str]


def two_meters(**included: object) -> Json:
    """Input at 2 and output at 10 the unit, with included usage for both together."""
    charges = [{"id": name, "meter": name, "kind": "per_unit", "prices": "charge"} for name in ("input", "output")]
    pool = {"id": "both", "charges": ["input", "output"], **included}
    return plan("pooled", charges, included=[pool], currency="USD")


POOLED = card(1, START, price("input", "2", per=1), price("output", "10", per=1))


def lines(document: Json, rates: Json, *rows: UsageRow) -> list[tuple[str, str | None, int, str]]:
    """Charge, tier, quantity and exact amount of every line of usage."""
    agreement = agreed("2026-11", [contract(document["id"], START)], [document], rates)
    invoice = invoiced(agreement, rows)
    names = ("charge", "tier", "quantity", "exact")
    return [tuple(line[name] for name in names) for line in invoice["lines"]]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (60, 39, [("input", "included", 60, "0"), ("output", "included", 39, "0")]),
        (60, 40, [("input", "included", 60, "0"), ("output", "included", 40, "0")]),
        (60, 41, [("input", "included", 60, "0"), ("output", "included", 40, "0"), ("output", "1", 1, "10")]),
        (
            101, 1,
            [("input", "included", 100, "0"), ("input", "1", 1, "2"), ("output", "1", 1, "10")],
        ),
    ],
)  # fmt: skip
def test_a_shared_quantity_is_used_in_the_order_of_events(
    first: int, second: int, expected: list[tuple[str, str, int, str]]
) -> None:
    rows = used("2026-11-02", input=first), used("2026-11-03", output=second)
    assert lines(two_meters(quantity=100), POOLED, *rows) == expected


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (24, [("input", "included", 24, "0")]),
        (25, [("input", "included", 25, "0")]),  # 24 x 2 = 48 < 49: some money is left, so unit 25 is included whole
        (26, [("input", "included", 25, "0"), ("input", "1", 1, "2")]),
    ],
)
def test_included_money_takes_a_unit_while_any_of_it_is_left(
    units: int, expected: list[tuple[str, str, int, str]]
) -> None:
    assert lines(two_meters(amount="49"), POOLED, used("2026-11-02", input=units)) == expected


def test_included_money_is_shared_by_charges_and_the_crossing_event_is_split() -> None:
    agreement = agreed("2026-11", [contract("pooled", START)], [two_meters(amount="49")], POOLED)
    rows = [used("2026-11-02", input=20), used("2026-11-03", output=2)]
    _, texts = rated(agreement, rows)
    assert json.loads(texts[0])[4] == [["input|openai/gpt-4o|input|std@1|included", 20, "0", "0"]]
    assert json.loads(texts[1])[4] == [["output|openai/gpt-4o|output|std@1|included", 1, "0", "40"], [
        "output|openai/gpt-4o|output|std@1|1", 1, "10", "50"]]  # fmt: skip
    [included] = invoiced(agreement, rows)["included"]
    assert included == {
        "name": "pool:both", "charges": ["input", "output"], "unit": "USD", "included": "49", "used": "50", "left": "0",
        "resets_on": "2026-12-01",
    }  # fmt: skip


def test_free_units_use_up_no_included_money() -> None:
    free = card(1, START, price("input", "0", per=1), price("output", "10", per=1))
    rows = used("2026-11-02", input=10**12), used("2026-11-03", output=5)
    assert lines(two_meters(amount="49"), free, *rows)[1:] == [("output", "included", 5, "0")]


WEIGHTED = plan(
    "blend",
    [{"id": "units", "meter": "units", "kind": "graduated", "included": 100}],
    primary_meter="units",
    meters={"units": {"weights": {"input": 1, "output": 4}}},
)
BLEND = card(1, START, tiers("units", (10, "3"), (None, "2"), per=1))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (20, [("units", "included", 20 + 80, "0")]),
        (21, [("units", "included", 100, "0"), ("units", "1", 4, "12")]),  # one output token more: 4 units x 3
        (24, [("units", "included", 100, "0"), ("units", "1", 10, "30"), ("units", "2", 6, "12")]),
    ],
)
def test_weighted_units_count_towards_included_and_tiers(
    output: int, expected: list[tuple[str, str, int, str]]
) -> None:
    found = lines(WEIGHTED, BLEND, used("2026-11-02", input=20), used("2026-11-03", output=output))
    sums: dict[tuple[str, str | None], list[int]] = {}
    for charge, tier, quantity, exact in found:
        total = sums.setdefault((charge, tier), [0, 0])
        total[0] += quantity
        total[1] += parse_amount(exact)
    assert [(*name, units, format_amount(amount)) for name, (units, amount) in sums.items()] == expected


def test_a_token_may_be_split_between_tiers_in_units_and_is_whole_again_in_the_sum() -> None:
    agreement = agreed("2026-11", [contract("blend", START)], [WEIGHTED], BLEND)
    invoice = invoiced(agreement, [used("2026-11-02", input=99), used("2026-11-03", output=1)])
    of_output = [
        (line["tier"], line["quantity"], line["weight"]) for line in invoice["lines"] if line["class"] == "output"
    ]
    assert of_output == [("included", 1, 4), ("1", 3, 4)]
    assert "4 for each token of the class" in explain_line(invoice, 2)["text"]


def limited(**bounds: str) -> Json:
    charge = {"id": "input", "meter": "input", "kind": "per_unit", "prices": "charge", **bounds}
    return plan("limited", [charge], currency="USD")


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (0, [("input", "100")]),
        (49, [("input", "98"), ("input", "2")]),
        (50, [("input", "100")]),
        (51, [("input", "102")]),
        (60, [("input", "120")]),
        (61, [("input", "122"), ("input", "-2")]),
    ],
)
def test_a_charge_is_brought_up_to_its_minimum_and_down_to_its_maximum(
    units: int, expected: list[tuple[str, str]]
) -> None:
    agreement = agreed(
        "2026-11", [contract("limited", START)], [limited(minimum="100.00", maximum="120.00")], POOLED_INPUT
    )
    assert [line[:2] for line in shown(invoiced(agreement, [used("2026-11-02", input=units)]))] == expected


POOLED_INPUT = card(1, START, price("input", "2", per=1))


def test_a_minimum_is_shared_out_over_the_days_it_is_agreed() -> None:
    agreement = agreed("2026-11", [contract("limited", "2026-11-21")], [limited(minimum="100.00")], POOLED_INPUT)
    assert shown(invoiced(agreement, [])) == [("input", "33.333333333333", "33.33")]  # 100.00 x 10/30


def discounted(units: int, *discounts: Json, fee: str = "0") -> list[tuple[str, str]]:
    charges: list[Json] = [{"id": "input", "meter": "input", "kind": "per_unit", "prices": "charge"}]
    charges.append({"id": "base", "kind": "flat", "timing": "arrears"})
    rates = card(1, START, price("input", "2", per=1), price("base", fee, per=1))
    agreement = agreed("2026-11", [contract("d", START, discounts=list(discounts))], [plan("d", charges)], rates)
    return [line[:2] for line in shown(invoiced(agreement, [used("2026-11-02", input=units)]))]


TENTH: Json = {"id": "tenth", "percent": "0.10"}
FIVE: Json = {"id": "five", "amount": "5.00"}


def test_percentages_count_usage_only_and_come_before_fixed_discounts_whatever_their_order() -> None:
    expected = [("input", "200"), ("base", "50"), ("tenth", "-20"), ("five", "-5")]
    assert discounted(100, FIVE, TENTH, fee="50") == expected


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (2, [("input", "4"), ("base", "0"), ("five", "-4")]),  # never more than there is to pay
        (3, [("input", "6"), ("base", "0"), ("five", "-5")]),
    ],
)
def test_a_fixed_discount_never_turns_the_bill_around(units: int, expected: list[tuple[str, str]]) -> None:
    assert discounted(units, FIVE) == expected


def test_percentages_of_one_charge_together_never_exceed_it() -> None:
    all_of_it: Json = {"id": "all", "percent": "1", "charges": ["input"]}
    assert discounted(1, TENTH, all_of_it) == [("input", "2"), ("base", "0"), ("tenth", "-0.2"), ("all", "-1.8")]


def test_a_price_whose_percentage_is_not_exact_parks_usage_instead_of_rounding() -> None:
    rates = card(1, START, class_price("input", "0.000000000001"))  # 10**-18 a unit
    document = plan("d", [{"id": "input", "meter": "input", "kind": "per_unit", "prices": "class"}])
    agreement = agreed("2026-11", [contract("d", START, discounts=[TENTH])], [document], rates)
    _, [text] = rated(agreement, [used("2026-11-02", input=1)])
    assert '"parked","discount tenth of input' in text


def committed(spent: int, **commitment: object) -> list[tuple[str, str]]:
    document = plan("c", [{"id": "input", "meter": "input", "kind": "per_unit", "prices": "charge"}])
    terms = {"amount": "100.00", "counting": "period", **commitment}
    agreement = agreed("2026-11", [contract("c", START, commitment=terms)], [document], POOLED_INPUT)
    return [line[:2] for line in shown(invoiced(agreement, [used("2026-11-02", input=spent)]))]


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (0, [("commitment", "100")]),
        (49, [("input", "98"), ("commitment", "2")]),
        (50, [("input", "100")]),
        (51, [("input", "102")]),
    ],
)
def test_a_commitment_adds_what_is_missing(units: int, expected: list[tuple[str, str]]) -> None:
    assert committed(units) == expected


def test_a_commitment_by_term_adds_up_over_invoices_and_is_trued_up_once_at_its_end() -> None:
    document = plan("c", [{"id": "input", "meter": "input", "kind": "per_unit", "prices": "charge"}])
    terms = contract("c", START, commitment={"amount": "300.00", "counting": "term", "months": 3})
    carried: Json | None = None
    found = []
    for month, units in (("2026-11", 10), ("2026-12", 60), ("2027-01", 20), ("2027-02", 5)):
        agreement = agreed(month, [terms], [document], POOLED_INPUT)
        invoice = invoiced(agreement, [used(f"{month}-10", input=units)], carried=carried)
        carried = carried_from(invoice)
        found.append(([line[:2] for line in shown(invoice)], carried["committed"]))
    assert found == [
        ([("input", "20")], {"from": "2026-11-01", "exact": "20"}),
        ([("input", "120")], {"from": "2026-11-01", "exact": "140"}),
        ([("input", "40"), ("commitment", "120")], {"from": "2027-02-01", "exact": "0"}),  # 300 - 180
        ([("input", "10")], {"from": "2027-02-01", "exact": "10"}),  # the next term
    ]


def test_a_flat_charge_without_a_price_stops_the_invoice_by_name() -> None:
    document = plan("f", [
        {"id": "base", "kind": "flat", "timing": "arrears"},
        {"id": "input", "meter": "input", "kind": "per_unit", "prices": "charge"},
    ])  # fmt: skip
    agreement = agreed("2026-11", [contract("f", START)], [document], POOLED_INPUT)
    with pytest.raises(RateMissing, match="charge base = no price on 2026-11-01: publish its price in rate card std"):
        invoiced(agreement, [])


def test_an_invoice_of_too_many_lines_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambdas.billing.invoice.MAX_LINES", 2)
    document = plan("s", [{"id": "input", "meter": "input", "kind": "per_unit", "prices": "charge"}])
    agreement = agreed("2026-11", [contract("s", START, split_by="user")], [document], POOLED_INPUT)
    rows = [used(f"2026-11-0{n}", attributes={"user": str(n)}, input=1) for n in (1, 2, 3)]
    assert len(invoiced(agreement, rows[:2])["lines"]) == 2
    with pytest.raises(TooManyLines, match="user makes too many"):
        invoiced(agreement, rows)


def test_a_cost_that_cannot_be_multiplied_exactly_parks_usage() -> None:
    document = plan("p", [{"id": "cost", "meter": "input", "kind": "pass_through", "markup": "1.234567"}])
    rates = {**POOLED_INPUT, **card(1, START, class_price("input", "0.000000000001"), name="prov")}
    agreement = agreed("2026-11", [contract("p", START, cost_card="prov")], [document], rates)
    _, [text] = rated(agreement, [used("2026-11-02", input=1)])
    assert '"parked"' in text and "18 decimals" in text


def every_story() -> list[tuple[Json, Json, Json]]:
    """Plan, contract terms, rates: a bundle of each must replay."""
    base: Json = {"id": "base", "kind": "flat", "timing": "arrears"}
    fee = price("base", "50.00", per=1)
    blended = {**WEIGHTED, "charges": [*WEIGHTED["charges"], base]}
    passing = plan("p", [{"id": "cost", "meter": "tokens", "kind": "pass_through", "markup": "1.2"}, base],
                   primary_meter="tokens")  # fmt: skip
    costs = card(1, START, class_price("input", "2.5"), class_price("output", "10"), name="prov", currency="EUR")
    fx = card(1, START, name="fx", fx=[{"foreign": "EUR", "price": "1.1234", "source": "ecb"}])
    return [
        (two_meters(quantity=1_000), {}, POOLED),
        (two_meters(amount="4321.5"), {"split_by": "project"}, POOLED),
        (blended, {"discounts": [TENTH, FIVE]}, card(1, START, tiers("units", (1_000, "3"), (None, "2"), per=1), fee)),
        (passing, {"cost_card": "prov", "fx_card": "fx"}, {**card(1, START, fee), **costs, **fx}),
        (limited(minimum="1000000"), {"commitment": {"amount": "2000000", "counting": "period"}}, POOLED_INPUT),
    ]


@pytest.mark.parametrize(("document", "terms", "rates"), every_story())
def test_a_bundle_of_every_story_replays_and_every_charge_and_line_is_explained(
    document: Json, terms: Json, rates: Json
) -> None:
    raws = [
        raw_event(f"e{n:02d}", f"2026-11-{2 + n % 28:02d}T10:{n:02d}:00Z", {"input": 150 + n, "output": 7 * n % 5})
        for n in range(40)
    ]
    month = month_of(raws, contract=contract(document["id"], "2026-11-02", **terms), plan=document, rates=rates,
                     block_rows=25)  # fmt: skip
    report = verify_bundle(io.BytesIO(month.bundle()))
    assert report.ok, report.differences
    for number, line in enumerate(month.invoice["lines"], start=1):
        assert explain_line(month.invoice, number)["exact"] == line["exact"]
    sums: dict[int, int] = {}
    for block in month.blocks:
        for text in block.rated.decode().splitlines():
            for charge in explain_charges(text, month.invoice):
                sums[charge["line"]] = sums.get(charge["line"], 0) + parse_amount(charge["exact"])
    usage = {line["line"]: parse_amount(line["exact"]) for line in month.invoice["lines"] if line["source"] == "usage"}
    assert sums == usage


PART = st.integers(min_value=0, max_value=60)


@given(kind=st.sampled_from(["per_unit", "graduated", "volume", "package"]), units=PART, position=PART, more=PART,
       included=PART)  # fmt: skip
def test_the_short_way_to_a_line_is_the_long_one(
    kind: str, units: int, position: int, more: int, included: int
) -> None:
    document = plan("k", [{"id": "input", "meter": "input", "kind": kind, "prices": "charge", "included": included}])
    bounds = ((10, "3"), (25, "2"), (None, "1")) if kind in ("graduated", "volume") else ((None, "3"),)
    agreement = agreed("2026-11", [contract("k", START)], [document], card(1, START, tiers("input", *bounds, per=1)))
    found = agreement.at("2026-11-02").priced("openai", "gpt-4o", {"input": 1}, "2026-11-02T00:00:00.000000Z")
    assert isinstance(found, list)
    [(class_price_found, _)] = found
    if class_price_found.only is None and units:
        total = position + units + more
        line = line_of_all(class_price_found, units, position, total)
        parts = charged_parts(class_price_found, units, position, total)
        if line is not None:
            assert [(part.line.key, part.quantity, part.amount) for part in parts] == [
                (line.key, units, units * line.unit_price)
            ]
        else:
            assert len(parts) > 1 or parts[0].blocks is not None


@given(quantities=st.lists(st.integers(min_value=0, max_value=40), min_size=1, max_size=12), cut=PART)
def test_splitting_an_event_at_any_place_changes_no_total(quantities: list[int], cut: int) -> None:
    document = plan("g", [{"id": "input", "meter": "input", "kind": "graduated", "prices": "charge", "included": 30}])
    rates = card(1, START, tiers("input", (50, "3"), (100, "2"), (None, "1"), per=1))
    agreement = agreed("2026-11", [contract("g", START)], [document], rates)

    def bill(parts: list[int]) -> int:
        rows = [used(f"2026-11-02T00:00:00.{n:06d}Z", input=part) for n, part in enumerate(parts)]
        totals, _ = rated(agreement, rows)
        return sum(line.amount for line in totals.lines.values())

    first = min(cut, quantities[0])
    assert bill(quantities) == bill([first, quantities[0] - first, *quantities[1:]])
    used_up = max(0, sum(quantities) - 30)
    expected = 3 * min(used_up, 50) + 2 * min(max(0, used_up - 50), 50) + max(0, used_up - 100)
    assert bill(quantities) == expected * ONE


def test_a_percentage_that_cannot_be_exact_over_a_minimum_is_an_error_and_not_a_rounding() -> None:
    rates = card(1, START, price("input", "2", per=1))
    document = limited(minimum="100.000000000000000001")
    agreement = agreed("2026-11", [contract("limited", START, discounts=[TENTH])], [document], rates)
    with pytest.raises(InvalidAmount, match="discount tenth"):
        invoiced(agreement, [])


@pytest.mark.parametrize(
    ("minimum", "charges", "taken"),
    [
        ("100.000000000001", None, True),
        ("100.0000000000001", None, False),
        ("100.0000000000001", ["output"], True),
    ],
)
def test_a_percentage_off_a_bound_that_it_could_not_divide_exactly_is_not_agreed(
    minimum: str, charges: list[str] | None, taken: bool
) -> None:
    output: Json = {"id": "output", "meter": "output", "kind": "per_unit", "prices": "charge"}
    document = limited(minimum=minimum)
    document["charges"] = [*document["charges"], output]
    rates = card(1, START, price("input", "2", per=1), price("output", "10", per=1))
    scope = {} if charges is None else {"charges": charges}
    terms = read_contract(contract("limited", START, discounts=[{**TENTH, **scope}]))
    cards = [read_rate_card_version("std", rates["std@1"])]
    if taken:
        lint_agreement(read_plan(document), terms, cards)
    else:
        with pytest.raises(DocumentRefused, match="at most 12 decimals where a percentage is taken off"):
            lint_agreement(read_plan(document), terms, cards)


def test_a_fee_for_the_next_period_counts_to_a_commitment_also_where_the_next_version_charges_it() -> None:
    base: Json = {"id": "base", "kind": "flat", "timing": "advance"}
    document = plan("b", [base, {"id": "input", "meter": "input", "kind": "per_unit", "prices": "charge"}])
    rates = card(1, START, price("base", "30", per=1), price("input", "2", per=1))
    committed: Json = {"commitment": {"amount": "100.00", "counting": "period"}}
    contracts = [contract("b", START, **committed), contract("b", "2026-12-01", 2, **committed)]
    agreement = agreed("2026-11", contracts, [document], rates)
    lines = [line[:2] for line in shown(invoiced(agreement, [used("2026-11-10", input=5)]))]
    assert lines == [("base", "30"), ("base", "30"), ("input", "10"), ("commitment", "30")]  # 100 - 30 - 30 - 10


def test_blocks_of_different_sizes_in_one_charge_are_refused() -> None:
    """Cached input in blocks of 1,000 would move the position past blocks of 1,000,000 that nobody had begun."""
    document = plan("p", [{"id": "input", "meter": "input", "kind": "package"}])
    terms = read_contract(contract("p", START))

    def check(cached_per: int) -> None:
        rates = card(1, START, class_price("input", "100"), class_price("cached_input", "1", per=cached_per))
        lint_agreement(read_plan(document), terms, [read_rate_card_version("std", rates["std@1"])])

    check(M)
    with pytest.raises(DocumentRefused, match="charge input in blocks of 1000, 1000000: one block size"):
        check(1_000)


def test_a_bundle_that_hides_the_position_of_free_units_is_a_difference_and_no_crash() -> None:
    document = plan(
        "tokens", [{"id": "input", "meter": "input", "kind": "per_unit"}],
        included=[{"id": "p", "charges": ["input"], "amount": "5"}], currency="USD",
    )  # fmt: skip
    free = card(1, "2026-01-01", class_price("input", "0"))
    month = month_of([raw_event("free", "2026-11-10T00:00:00Z", {"input": 5})], plan=document, rates=free)
    assert verify_bundle(io.BytesIO(month.bundle())).ok
    month.invoice["positions"].clear()
    [difference] = verify_bundle(io.BytesIO(month.bundle())).differences
    assert (difference.file, difference.field) == ("invoice.json", "positions.pool:p")


def test_a_percentage_off_one_charge_takes_nothing_from_another() -> None:
    charges = [{"id": name, "meter": name, "kind": "per_unit", "prices": "charge"} for name in ("input", "output")]
    terms: Json = {"discounts": [{"id": "all", "percent": "1", "charges": ["input"]}, {**TENTH, "charges": ["output"]}]}
    agreement = agreed("2026-11", [contract("d", START, **terms)], [plan("d", charges)], POOLED)
    invoice = invoiced(agreement, [used("2026-11-02", input=50, output=5)])
    assert [line[:2] for line in shown(invoice)] == [
        ("input", "100"),
        ("output", "50"),
        ("all", "-100"),
        ("tenth", "-5"),
    ]


def test_bounds_and_commitments_of_one_contract_version_count_what_that_version_charged() -> None:
    first = limited(maximum="100.00")
    second = {**limited(), "id": "unlimited", "version": 1}
    commitment: Json = {"commitment": {"amount": "90.00", "counting": "period"}}
    contracts = [contract("limited", START, **commitment), contract("unlimited", "2026-11-16", 2)]
    agreement = agreed("2026-11", contracts, [first, second], POOLED_INPUT)
    rows = [used("2026-11-10", input=10), used("2026-11-20", input=200)]
    assert [line[:2] for line in shown(invoiced(agreement, rows))] == [
        ("input", "20"),  # below 100.00 x 15/30
        ("input", "400"),
        ("commitment", "25"),  # 90.00 x 15/30 - 20
    ]
    above = invoiced(agreement, [used("2026-11-10", input=30)])
    assert [(line["kind"], line["arithmetic"]) for line in above["lines"]] == [
        ("per_unit", None),
        ("maximum", "100.00 x 15/30 - 60 = -10"),
    ]


@pytest.mark.parametrize("versions", [1, 2])
def test_a_contract_version_that_restates_everything_changes_no_amount(versions: int) -> None:
    terms: Json = {"discounts": [TENTH]}
    contracts = [contract("limited", START, **terms), contract("limited", "2026-11-16", 2, price_lock=LOCK, **terms)]
    agreement = agreed("2026-11", contracts[:versions], [limited(maximum="90.00")], POOLED_INPUT)
    invoice = invoiced(agreement, [used("2026-11-10", input=150), used("2026-11-20", input=25)])
    assert invoice["net_exact"] == "81"  # 300 + 50, down to 90, less a tenth


LOCK = {"from": START, "until": "2027-11-01"}


def test_a_percentage_of_what_a_maximum_took_away_is_not_added_to_the_bill() -> None:
    charges = [
        {"id": "input", "meter": "input", "kind": "per_unit", "prices": "charge", "maximum": "90.00"},
        {"id": "output", "meter": "output", "kind": "per_unit", "prices": "charge"},
    ]
    contracts = [contract("two", START), contract("two", "2026-11-16", 2, discounts=[TENTH])]
    agreement = agreed("2026-11", contracts, [plan("two", charges, currency="USD")], POOLED)
    invoice = invoiced(agreement, [used("2026-11-10", input=150), used("2026-11-20", input=25, output=5)])
    assert [line[:2] for line in shown(invoice)][-1] == ("tenth", "-5")  # of 5 x 10; input is at its maximum already
