"""Usage in a file comes to what the product would bill: the same events, the same lines, the same refusals."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.canonical import canonical_bytes
from lambdas.billing.errors import AccountParked, BillingError, DocumentRefused, InvalidTime, RateMissing
from lambdas.billing.explain import explain_charges
from lambdas.billing.offline import (
    Bill,
    Documents,
    agreement_of,
    bill_of,
    charges_of,
    check_agreed,
    default_contract,
    goes_on,
    period_of,
    read_carried,
    with_term,
)
from lambdas.billing.offline_usage import MAX_EVENT_BYTES, MOST_NAMED, OfflineUsage
from lambdas.billing.times import month_period
from lambdas.handlers import reading
from tests.billing.account import M, card, class_price, contract, plan, price, tiers
from tests.billing.month import CONTRACT, PLAN, RATES, RUN, Month, month_of, name_of, raw_event, sample_events

NOVEMBER = "2026-11"
DAY = "2026-11-05T00:00:00Z"


def usage_of(*lines: str | bytes, customer: str | None = "acme") -> OfflineUsage:
    usage = OfflineUsage(customer)
    usage.read(io.BytesIO(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines)))
    return usage


def documents(
    contracts: Sequence[Any] = (CONTRACT,), plans: Sequence[Any] = (PLAN,), rates: Mapping[str, Any] = RATES
) -> Documents:
    return Documents(contracts, {name_of(document): document for document in plans}, rates)


def bill(
    lines: Sequence[str],
    given: Documents | None = None,
    month: str = NOVEMBER,
    carried: Mapping[str, Any] | None = None,
) -> Bill:
    return bill_of(usage_of(*lines), agreement_of(month, given or documents()), carried)


def invoice(lines: Sequence[str], given: Documents | None = None, month: str = NOVEMBER, **more: Any) -> dict[str, Any]:
    found = bill(lines, given, month, **more)
    assert found.invoice is not None, found.blocked
    return found.invoice


def charges_in(month: Month) -> list[dict[str, Any]]:
    """The charges of a month of the product, from its evidence."""
    rated = [line for block in month.blocks for line in block.rated.decode().splitlines()]
    return [charge for line in rated for charge in explain_charges(line, month.invoice)]


# the same as the product


def assert_same(found: Bill, product: Month) -> None:
    """Lines, sums and charges, byte for byte; only run, parties and number are not there."""
    ours = found.invoice
    assert ours is not None
    apart = {"run_id", "cutoff", "entity", "customer", "number", "issued_at", "contract"}
    assert canonical_bytes(ours["lines"]) == canonical_bytes(product.invoice["lines"])
    assert {name: value for name, value in ours.items() if name not in apart} == {
        name: value for name, value in product.invoice.items() if name not in apart
    }
    assert [charge for charges in charges_of(found) for charge in charges] == [
        {**charge, "invoice": None} for charge in charges_in(product)
    ]


def test_a_month_comes_to_the_lines_of_the_product_byte_for_byte() -> None:
    assert_same(bill(sample_events()), month_of(sample_events()))


def test_the_order_of_the_file_does_not_matter() -> None:
    raws = sample_events()
    random.Random(3).shuffle(raws)
    assert_same(bill(raws), month_of(sample_events()))


@pytest.mark.parametrize("kind", ["per_unit", "package", "graduated", "volume"])
def test_positions_are_those_of_the_product_for_every_kind(kind: str) -> None:
    bounds = ((4_000, "3.00"), (None, "2.00")) if kind in ("graduated", "volume") else ((None, "3.00"),)
    charge: dict[str, Any] = {"id": "input", "meter": "input", "kind": kind, "prices": "charge", "included": 500}
    charges = [charge, {"id": "output", "meter": "output", "kind": "per_unit", "prices": "charge"}]
    sold = plan("tokens", charges, primary_meter="output")
    rates = card(1, "2026-11-01", tiers("input", *bounds, per=1_000), price("output", "9.00"))
    raws = [
        raw_event(f"e{n:02d}", f"2026-11-{2 + n % 28:02d}T10:00:00Z", {"input": 300, "output": n}) for n in range(40)
    ]
    shuffled = random.Random(7).sample(raws, len(raws))
    assert_same(bill(shuffled, documents(plans=[sold], rates=rates)), month_of(raws, plan=sold, rates=rates))


def test_fees_limits_discounts_commitment_and_attributes_are_those_of_the_product() -> None:
    sold = plan(
        "tokens",
        [
            {"id": "base", "kind": "flat", "timing": "arrears"},
            {"id": "input", "meter": "input", "kind": "per_unit", "minimum": "3.00"},
            {"id": "output", "meter": "output", "kind": "per_unit", "maximum": "0.01"},
        ],
        currency="USD",
    )
    rates = card(
        1, "2026-11-01", price("base", "30.00", per=1), class_price("input", "2.50"), class_price("output", "9")
    )
    terms = {
        "effective_from": "2026-11-01", "split_by": "project", "commitment": {"amount": "50.00", "counting": "period"},
        "discounts": [{"id": "tenth", "percent": "0.10"}, {"id": "five", "amount": "5.00"}],
    }  # fmt: skip
    event = json.loads(raw_event("a", DAY, {"input": 400, "output": 10_000}))
    event["data"]["attributes"] = {"project": "x"}
    raws = [json.dumps(event), raw_event("b", DAY, {"input": 400})]
    agreed = {**CONTRACT, **terms}
    found = bill(raws, documents([agreed], [sold], rates))
    assert_same(found, month_of(raws, contract=agreed, plan=sold, rates=rates))
    assert found.invoice is not None
    assert {line["source"] for line in found.invoice["lines"]} == {
        "fee", "usage", "minimum", "maximum", "discount", "commitment",
    }  # fmt: skip
    assert found.invoice["net_exact"] == "50"


# reading


def test_a_line_is_an_event_as_the_api_takes_it() -> None:
    usage = usage_of(*sample_events())
    assert (usage.lines, len(usage.events), usage.rejected.count) == (59, 59, 0)


@pytest.mark.parametrize(
    ("line", "field", "remedy"),
    [
        (b'{"specversion":"1.0"', "body", "not JSON"),
        (b"[]", "event", "a JSON object"),
        (b"null", "event", "a JSON object"),
        (b"\xff{}", "body", "UTF-8"),
        (b"\xef\xbb\xbf{}", "body", "not JSON"),
        (b"[" * 60_000, "body", "close every object"),
        (b"[" * 30_000 + b"]" * 30_000, "body", "nested too deeply"),
        (raw_event("a", DAY, {"input": 10**12 + 1}), "data.quantities.input", "a whole number"),
        (raw_event("a", DAY, {"input": 10**60}), "data.quantities.input", "a whole number"),
        (raw_event("a", DAY, {"input": 1}).replace(": 1}", ": 1.5}"), "data.quantities.input", "a whole number"),
        (raw_event("a", DAY, {"input": -1}), "data.quantities.input", "a whole number"),
        (raw_event("a", "2026-11-31T00:00:00Z", {"input": 1}), "time", "RFC 3339"),
        (raw_event("a", DAY, {"input": 1}, subject="other"), "subject", "a file of its own"),
        (raw_event("a", DAY, {"input": 1}, subject="not a customer"), "subject", "customer id"),
        (raw_event("a", DAY, {"input": 1}) + "{}", "body", "nothing after it"),
        (raw_event("a\\u001b", DAY, {"input": 1}).replace("\\\\u", "\\u"), "id", "no control characters"),
    ],
)
def test_what_cannot_be_taken_is_named_by_line_field_value_and_remedy_and_its_neighbours_are_read(
    line: str | bytes, field: str, remedy: str
) -> None:
    usage = usage_of(raw_event("before", DAY, {"input": 1}), line, "", raw_event("after", DAY, {"input": 2}))
    assert [row.id for row, _ in usage.events] == ["before", "after"]
    assert [number for _, number in usage.events] == [1, 4]
    [rejection] = usage.rejected.first
    assert (rejection.line, rejection.field) == (2, field)
    assert remedy in rejection.remedy
    assert rejection.value.isprintable()


def padded(length: int) -> bytes:
    """An event of exactly so many bytes, blanks inside."""
    raw = raw_event("a", DAY, {"input": 1}).encode()
    return raw[:-1] + b" " * (length - len(raw)) + b"}"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_an_event_may_have_as_many_bytes_as_the_api_takes_and_not_one_more(end: bytes) -> None:
    assert MAX_EVENT_BYTES == reading.MAX_EVENT_BYTES
    for length, accepted in ((MAX_EVENT_BYTES - 1, 1), (MAX_EVENT_BYTES, 1), (MAX_EVENT_BYTES + 1, 0)):
        usage = OfflineUsage("acme")
        usage.read(io.BytesIO(padded(length) + end))
        assert (len(usage.events), usage.rejected.count, usage.lines) == (accepted, 1 - accepted, 1)


@pytest.mark.parametrize("more", [1, 2, 3, MAX_EVENT_BYTES, 5 * MAX_EVENT_BYTES + 7])
def test_a_line_that_is_too_long_is_one_rejection_and_the_next_line_keeps_its_number(more: int) -> None:
    usage = usage_of(b"x" * (MAX_EVENT_BYTES + more), raw_event("a", DAY, {"input": 1}))
    assert [(r.line, r.field) for r in usage.rejected.first] == [(1, "event")]
    assert [number for _, number in usage.events] == [2]


def test_blank_lines_are_no_lines() -> None:
    usage = usage_of("", "  \t", raw_event("a", DAY, {"input": 1}), "")
    assert (usage.lines, [number for _, number in usage.events]) == (1, [3])


def test_the_same_event_counts_once_also_at_another_time_and_in_another_spelling() -> None:
    first = raw_event("a", DAY, {"input": 1, "output": 2})
    again = raw_event("a", "2026-12-05T00:00:00Z", {"output": 2, "input": 1}, note="x", subject="acme")
    usage = usage_of(first, again, raw_event("b", DAY, {"input": 1}))
    assert [repeat[:] for repeat in usage.duplicates.first] == [(2, 1, "//gateway/eu-1", "a")]
    assert (usage.conflicts.count, [number for _, number in usage.events]) == (0, [1, 3])
    assert invoice([first, again])["lines"][0]["quantity"] == 1


def test_other_content_under_the_same_identity_is_a_conflict_and_the_first_stands() -> None:
    lines = [raw_event("a", DAY, {"input": 1}), raw_event("a", DAY, {"input": 2}), raw_event("a", DAY, {"input": 1})]
    usage = usage_of(*lines)
    assert [repeat.line for repeat in usage.conflicts.first] == [2]
    assert [repeat.line for repeat in usage.duplicates.first] == [3]
    assert invoice(lines)["lines"][0]["quantity"] == 1


def test_another_source_is_another_identity() -> None:
    usage = usage_of(raw_event("a", DAY, {"input": 1}), raw_event("a", DAY, {"input": 1}, source="//gateway/eu-2"))
    assert len(usage.events) == 2


def test_all_are_counted_and_the_first_are_named() -> None:
    usage = usage_of(*(["x"] * (MOST_NAMED + 1)))
    assert (usage.rejected.count, len(usage.rejected.first)) == (MOST_NAMED + 1, MOST_NAMED)


def test_the_customer_is_the_one_that_events_name() -> None:
    silent, named = raw_event("a", DAY, {"input": 1}), raw_event("b", DAY, {"input": 1}, subject="acme")
    assert usage_of(silent, customer=None).customer == "offline"
    usage = usage_of(silent, named, raw_event("a", DAY, {"input": 1}, subject="acme"), customer=None)
    assert (usage.customer, len(usage.events), usage.duplicates.count) == ("acme", 2, 1)
    other = usage_of(named, raw_event("c", DAY, {"input": 1}, subject="offline"), customer=None)
    assert (other.customer, other.rejected.first[0].field) == ("acme", "subject")


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_are_too_strange(lines: list[bytes]) -> None:
    usage = usage_of(*lines)
    assert usage.lines == usage.rejected.count
    assert not usage.events


# the period


def test_the_period_is_that_of_the_earliest_event_wherever_it_stands() -> None:
    late, early = raw_event("b", "2026-12-01T00:00:00Z", {"input": 1}), raw_event("a", DAY, {"input": 1})
    assert period_of(usage_of(late, early), 1) == NOVEMBER
    assert period_of(usage_of(late), 1) == "2026-12"
    assert period_of(usage_of(raw_event("a", "2026-11-14T23:59:59Z", {"input": 1})), 15) == NOVEMBER
    assert period_of(usage_of(raw_event("a", "2026-11-15T00:00:00Z", {"input": 1})), 15) == "2026-12"
    with pytest.raises(DocumentRefused, match="--period"):
        period_of(usage_of("x"), 1)


def test_events_of_other_periods_are_counted_and_left_out() -> None:
    times = {
        "before": "2026-10-31T23:59:59.9999999Z", "first": "2026-11-01T00:00:00Z",
        "last": "2026-11-30T23:59:59.9999999Z", "after": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    raws = [raw_event(name, time, {"input": 1}) for name, time in times.items()]
    found = bill(raws, documents([{**CONTRACT, "effective_from": "2026-01-01"}]))
    assert [event.row.id for event in found.events] == ["first", "last"]
    assert found.left_out == {"2026-10": 1, "2026-12": 1}
    assert found.totals.rated == 2


def test_an_anchor_day_cuts_the_period() -> None:
    agreed = {**CONTRACT, "effective_from": "2026-01-01", "anchor_day": 15}
    times = ["2026-10-14T23:59:59Z", "2026-10-15T00:00:00Z", "2026-11-14T23:59:59Z", "2026-11-15T00:00:00Z"]
    raws = [raw_event(str(n), time, {"input": 1}) for n, time in enumerate(times)]
    found = bill(raws, documents([agreed]))
    assert [event.row.id for event in found.events] == ["1", "2"]
    assert found.invoice is not None
    assert (found.invoice["period_start"], found.invoice["period_end"]) == ("2026-10-15", "2026-11-15")


# what stops a bill


def test_usage_without_a_price_stops_the_bill_where_the_contract_blocks_and_names_events() -> None:
    lines = [
        raw_event("a", DAY, {"input": 1}),
        raw_event("b", DAY, {"video": 1}),
        raw_event("c", DAY, {"reasoning": 1}),
    ]
    found = bill(lines, documents([{**CONTRACT, "parked_usage": "block"}]))
    assert found.invoice is None
    assert isinstance(found.blocked, AccountParked)
    assert "class video is not known (1 events)" in found.blocked.remedy
    assert {(reason.code, reason.events.count) for reason in found.parked} == {("unknown_class", 1), ("no_price", 1)}
    assert [(event.line, event.row.id) for reason in found.parked for event in reason.events.first] == [
        (2, "b"), (3, "c"),
    ]  # fmt: skip
    assert list(charges_of(found)) == []


def test_one_reason_on_many_days_is_one_reason() -> None:
    lines = [raw_event(str(day), f"2026-11-{day:02d}T00:00:00Z", {"reasoning": 1}) for day in range(2, 30)]
    [reason] = bill(lines).parked
    assert (reason.detail, reason.events.count) == ("rate card std has no price for openai/gpt-4o reasoning", 28)


def test_usage_without_a_price_is_left_out_and_counted_where_the_contract_says_so() -> None:
    found = bill([raw_event("a", DAY, {"input": 1_000}), raw_event("b", DAY, {"video": 1})])
    assert found.invoice is not None
    assert found.invoice["events"] == {"accepted": 2, "rated": 1, "excluded": {"parked": 1}}
    assert found.invoice["net_exact"] == "0.0025"


def test_usage_before_the_contract_is_excluded_and_not_parked() -> None:
    found = bill([raw_event("a", "2026-11-01T23:59:59Z", {"video": 1})])
    assert (found.totals.excluded, found.parked, found.blocked) == ({"before_activation": 1}, [], None)


def test_a_fee_without_a_price_stops_the_bill() -> None:
    charges = [
        {"id": "base", "kind": "flat", "timing": "arrears"}, {"id": "input", "meter": "input", "kind": "per_unit"},
    ]  # fmt: skip
    rates = card(1, "2026-11-01", class_price("input", "2.50"))
    found = bill([raw_event("a", DAY, {"input": 1})], documents(plans=[plan("tokens", charges)], rates=rates))
    assert found.invoice is None
    assert isinstance(found.blocked, RateMissing)


# documents that belong together


def test_a_contract_is_made_of_plan_and_card_where_none_is_given() -> None:
    made = default_contract({**PLAN, "posture": "variable"}, "std", "USD", "offline", month_period(NOVEMBER))
    assert (made["effective_from"], made["parked_usage"], made["tax"]["rate"]) == ("2026-11-01", "block", "0")
    check_agreed(documents([made]))
    [first] = invoice([raw_event("a", "2026-11-01T00:00:00Z", {"input": M})], documents([made]))["lines"]
    assert (first["exact"], first["rate_version"]) == ("2.5", "std@1")


def test_a_contract_that_is_made_here_is_refused_as_the_product_refuses_it() -> None:
    made = default_contract(PLAN, "std", "EUR", "offline", month_period(NOVEMBER))
    with pytest.raises(DocumentRefused, match="std in USD"):
        check_agreed(documents([made]))


def test_a_plan_change_in_the_middle_prices_each_day_by_its_own_plan() -> None:
    one, two = (
        plan(name, [{"id": name, "meter": "input", "kind": "per_unit", "prices": "charge"}])
        for name in ("basic", "pro")
    )
    rates = card(1, "2026-11-01", price("basic", "2.00"), price("pro", "1.00"))
    contracts = [contract("pro", "2026-11-11", 2), contract("basic", "2026-11-01")]
    raws = [raw_event("a", "2026-11-10T23:59:59Z", {"input": M}), raw_event("b", "2026-11-11T00:00:00Z", {"input": M})]
    found = invoice(raws, documents(contracts, [one, two], rates))
    assert [(line["charge"], line["exact"]) for line in found["lines"]] == [("basic", "2"), ("pro", "1")]
    october = invoice([], documents(contracts, [one, two], rates), "2027-01")
    assert [entry["version"] for entry in october["contracts"]] == [2]


def test_what_begins_at_the_period_s_end_counts_only_where_a_fee_is_billed_in_advance() -> None:
    fee, usage = (
        {"id": "base", "kind": "flat", "timing": "advance"},
        {"id": "input", "meter": "input", "kind": "per_unit"},
    )
    rates = card(1, "2026-11-01", price("base", "10.00", per=1), class_price("input", "1.00"))
    rates |= card(2, "2026-12-01", price("base", "20.00", per=1))
    for charges, versions in (([usage], ["std@1"]), ([fee, usage], ["std@1", "std@2"])):
        given = documents([contract("team", "2026-11-01")], [plan("team", charges)], rates)
        found = invoice([], given)
        assert sorted(found["contract"]["rate_versions"]) == versions
        assert [line["exact"] for line in found["lines"]] == (["10", "20"] if len(charges) == 2 else [])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"plans": [PLAN, {**PLAN, "id": "other"}]}, r"plan = other@1: the contract names tokens@1"),
        ({"plans": [{**PLAN, "id": "other"}]}, r"plan = other@1: the contract names tokens@1"),
        ({"rates": {**RATES, "extra@1": RATES["std@1"]}}, r"rate card = extra: the contract names std"),
        ({"contracts": [{**CONTRACT, "effective_from": "2026-12-01"}]}, "no contract version is in force in 2026-11"),
        ({"contracts": [{**CONTRACT, "plan_version": 2}, CONTRACT]}, r"tokens@2"),
        ({"rates": {"std@9": RATES["std@1"]}}, "this document is named std@9"),
    ],
)
def test_what_does_not_belong_together_is_refused_and_nothing_is_left_out(change: dict[str, Any], match: str) -> None:
    with pytest.raises(DocumentRefused, match=match):
        agreement_of(NOVEMBER, documents(**change))


@pytest.mark.parametrize("month", ["", "2026-13", "2026-1", "9999-12", "0000-01"])
def test_a_period_that_is_none_is_refused(month: str) -> None:
    with pytest.raises(InvalidTime):
        agreement_of(month, documents())


# what goes on from an invoice


BASE = [{"id": "base", "kind": "flat", "timing": "advance"}, {"id": "input", "meter": "input", "kind": "per_unit"}]
BASE_RATES = card(1, "2026-01-01", price("base", "30.00", per=1), class_price("input", "1.00"))
TEAM = documents([contract("team", "2026-10-01")], [plan("team", BASE)], BASE_RATES)


def test_a_fee_that_the_invoice_before_billed_in_advance_is_not_billed_again() -> None:
    october = invoice([], TEAM, "2026-10")
    assert [line["service_from"] for line in october["lines"]] == ["2026-10-01", "2026-11-01"]
    agreement = agreement_of(NOVEMBER, TEAM)
    assert goes_on(agreement)
    carried = read_carried(json.loads(json.dumps(october)), agreement)
    november = invoice([], TEAM, carried=carried)
    assert [line["service_from"] for line in november["lines"]] == ["2026-12-01"]
    assert november["recognised"] == [{"charge": "base", "invoice": "offline", "exact": "30"}]
    assert read_carried(november["carried"], agreement) == carried


@pytest.mark.parametrize("change", [{"customer": {"id": "other"}}, {"customer": None}, {"currency": "EUR"}])
def test_an_invoice_of_somebody_else_or_in_other_money_is_refused(change: dict[str, Any]) -> None:
    october = invoice([], TEAM, "2026-10")
    with pytest.raises(DocumentRefused, match="an earlier invoice of acme in USD"):
        read_carried({**october, **change}, agreement_of(NOVEMBER, TEAM))


def test_only_a_contract_from_before_with_a_fee_in_advance_or_a_term_goes_on() -> None:
    assert not goes_on(agreement_of("2026-10", TEAM))
    assert not goes_on(agreement_of(NOVEMBER, documents([{**CONTRACT, "effective_from": "2026-01-01"}])))
    term = {"commitment": {"amount": "600.00", "counting": "term", "months": 12}}
    assert goes_on(agreement_of(NOVEMBER, documents([{**CONTRACT, "effective_from": "2026-01-01", **term}])))
    month = {"commitment": {"amount": "600.00", "counting": "period"}}
    assert not goes_on(agreement_of(NOVEMBER, documents([{**CONTRACT, "effective_from": "2026-01-01", **month}])))


def test_an_invoice_that_carries_nothing_gives_nothing() -> None:
    assert read_carried(month_of(sample_events()).invoice, agreement_of(NOVEMBER, documents())) is None


def test_a_term_that_runs_since_before_is_trued_up_at_its_end() -> None:
    term = {"commitment": {"amount": "600.00", "counting": "term", "months": 3}}
    given = documents([{**CONTRACT, "effective_from": "2026-09-01", **term}])
    agreement = agreement_of(NOVEMBER, given)
    raws = [raw_event("a", DAY, {"input": 40 * M})]

    def net(carried: Mapping[str, Any] | None) -> str:
        return str(invoice(raws, given, carried=with_term(carried, agreement, given))["lines"][-1]["exact"])

    assert net(None) == str(600 - 100)
    before = {"invoice": "A-1", "hash": "", "advance": [], "committed": {"from": "2026-09-01", "exact": "450"}}
    assert net(before) == str(600 - 450 - 100)
    assert with_term(None, agreement_of("2026-09", given), given) is None
    assert with_term(None, agreement, documents()) is None


ENTRY = {
    "charge": "base", "contract_version": 1, "service_from": "2026-11-01", "service_to": "2026-12-01", "price": "30.00",
    "rate_version": "std@1", "rate_effective_from": "2026-01-01", "exact": "30",
}  # fmt: skip
CARRIED = {"invoice": "A-1", "hash": "ab", "advance": [ENTRY], "committed": None}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ([], "body"),
        ({"advance": {}}, "advance"),
        ({"advance": [1]}, r"advance\[0\]"),
        ({"advance": [{**ENTRY, "more": 1}]}, r"advance\[0\]\.more"),
        ({"advance": [{**ENTRY, "charge": "other"}]}, r"advance\[0\]\.charge"),
        ({"advance": [{**ENTRY, "charge": ["base"]}]}, r"advance\[0\]\.charge"),
        ({"advance": [{**ENTRY, "contract_version": "1"}]}, r"advance\[0\]\.contract_version|contract_version"),
        ({"advance": [{**ENTRY, "service_from": "2026-11-02"}]}, r"advance\[0\]\.service_to"),
        ({"advance": [{**ENTRY, "service_to": "2026-12-02"}]}, r"advance\[0\]\.service_to"),
        ({"advance": [{**ENTRY, "service_to": None}]}, r"advance\[0\]\.service_to"),
        ({"advance": [{**ENTRY, "price": 30}]}, r"advance\[0\]\.price"),
        ({"advance": [{**ENTRY, "exact": "1e3"}]}, r"advance\[0\]\.exact"),
        ({"advance": [{**ENTRY, "rate_version": "std@2"}]}, r"advance\[0\]\.rate_version"),
        ({"advance": [{**ENTRY, "rate_version": {}}]}, r"advance\[0\]\.rate_version"),
        ({"advance": [{**ENTRY, "rate_effective_from": "2026"}]}, r"advance\[0\]\.rate_effective_from"),
        ({"committed": {"from": "2026-11-01"}}, r"committed\.exact"),
        ({"committed": {"from": "11", "exact": "1"}}, r"committed\.from"),
        ({"credit": "-1"}, "credit"),
        ({"invoice": None}, "invoice"),
        ({"hash": "\ud800"}, "hash"),
    ],
)
def test_what_is_carried_is_read_without_trust(change: Any, field: str) -> None:
    agreement = agreement_of(NOVEMBER, TEAM)
    assert read_carried(CARRIED, agreement) == CARRIED
    with pytest.raises(BillingError, match=f"^{field} ="):
        read_carried({**CARRIED, **change} if isinstance(change, dict) else change, agreement)


def test_a_fee_of_an_earlier_period_that_no_invoice_followed_is_earned() -> None:
    earlier = {**ENTRY, "service_from": "2026-10-01", "service_to": "2026-11-01"}
    carried = read_carried({**CARRIED, "advance": [earlier]}, agreement_of(NOVEMBER, TEAM))
    assert invoice([], TEAM, carried=carried)["recognised"] == [{"charge": "base", "invoice": "A-1", "exact": "30"}]


def test_an_invoice_with_text_that_cannot_be_encoded_is_still_read_or_refused() -> None:
    forward: dict[str, Any] = {"advance": [], "committed": None}
    parties = {"customer": {"id": "acme"}, "currency": "USD"}
    document = {"rules_version": "\ud800", "carried_forward": forward, **parties}
    found = read_carried(document, agreement_of(NOVEMBER, TEAM))
    assert found is not None
    assert (found["invoice"], len(found["hash"])) == ("offline", 64)


def test_the_period_of_the_samples_is_that_of_the_run() -> None:
    assert period_of(usage_of(*sample_events()), 1) == RUN["period"]
