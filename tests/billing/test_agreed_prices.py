"""Which price counts: prompt sizes, service tiers, filters, the customer's own card, price locks, corrections."""

from __future__ import annotations

import io
from typing import Any

import pytest

from lambdas.billing.errors import DocumentRefused, RatesOverlap
from lambdas.billing.lines import ClassPrice, Unpriced
from lambdas.billing.money import ONE, format_amount
from lambdas.billing.rate_cards import RateKey, read_rate_card_version
from lambdas.billing.rates import check_publication
from lambdas.billing.verify import verify_bundle
from tests.billing.account import (
    Json,
    M,
    agreed,
    card,
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

TOKENS: Json = {
    "id": "tokens", "version": 1, "name": "Tokens", "model": "pure_token", "posture": "variable",
    "volatility_bearer": "customer",
}  # fmt: skip
INPUT = RateKey("openai", "gpt-4o", "input")


def net(contract_terms: Json, rates: Json, *rows: object, document: Json = TOKENS) -> str:
    agreement = agreed("2026-11", [contract(document["id"], "2026-11-01", **contract_terms)], [document], rates)
    return str(invoiced(agreement, rows)["net_exact"])  # type: ignore[arg-type]


LONG = card(
    1,
    "2026-01-01",
    class_price("input", "2.00"),
    class_price("cached_input", "1.00"),
    class_price("output", "10.00"),
    class_price("input", "4.00", prompt_above=200_000),
    class_price("output", "15.00", prompt_above=200_000),
)


@pytest.mark.parametrize(
    ("prompt", "cached", "expected"),
    [
        (199_999, 0, 199_999 * 2 + 10 * 10),
        (200_000, 0, 200_000 * 2 + 10 * 10),  # the size itself is not above it
        (200_001, 0, 200_001 * 4 + 10 * 15),  # the whole request
        (100_000, 100_000, 100_000 * 2 + 100_000 * 1 + 10 * 10),
        (100_000, 100_001, 100_000 * 4 + 100_001 * 1 + 10 * 15),  # cached input has no dearer price of its own
    ],
)
def test_a_prompt_above_the_size_puts_the_whole_request_at_the_higher_price(
    prompt: int, cached: int, expected: int
) -> None:
    row = used("2026-11-10", input=prompt, cached_input=cached, output=10)
    assert net({}, LONG, row) == format_amount(expected * ONE // M)


def test_the_line_of_large_prompts_says_so_and_keeps_the_other_apart() -> None:
    agreement = agreed("2026-11", [contract("tokens", "2026-11-01")], [TOKENS], LONG)
    invoice = invoiced(agreement, [used("2026-11-10", input=1), used("2026-11-11", input=200_001)])
    assert [(line["prompt_above"], line["unit_price"], line["quantity"]) for line in invoice["lines"]] == [
        (None, "2.00", 1),
        (200_000, "4.00", 200_001),
    ]
    assert "prompt above 200,000 tokens" in invoice["lines"][1]["cause"]


def test_a_service_tier_has_its_own_price_and_without_one_its_usage_is_parked() -> None:
    rates = card(1, "2026-01-01", class_price("input", "2.00"), class_price("input", "1.00", service_tier="batch"))
    agreement = agreed("2026-11", [contract("tokens", "2026-11-01")], [TOKENS], rates)
    rows = [used(f"2026-11-1{n}", tier=tier, input=M) for n, tier in enumerate(("standard", "batch", "flex"))]
    totals, texts = rated(agreement, rows)
    assert [line.amount for line in totals.lines.values()] == [2 * 10**18, 10**18]
    assert (
        '"parked","rate card std has no price for openai/gpt-4o input of service tier flex on 2026-11-12"' in texts[2]
    )
    lines = invoiced(agreement, rows)["lines"]
    assert [(line["service_tier"], line["key"]) for line in lines] == [
        ("batch", "input|openai/gpt-4o|input|std@1|batch"),
        ("standard", "input|openai/gpt-4o|input|std@1"),
    ]


def test_charges_of_one_class_are_told_apart_by_tier_and_provider() -> None:
    document = plan(
        "filtered",
        [
            {"id": "batch", "meter": "input", "kind": "per_unit", "prices": "charge",
             "filter": {"service_tiers": ["batch"]}},
            {"id": "other", "meter": "input", "kind": "per_unit", "prices": "charge",
             "filter": {"service_tiers": ["standard"], "providers": ["openai"]}},
        ],
    )  # fmt: skip
    rates = card(1, "2026-01-01", price("batch", "1.00", service_tier="batch"), price("other", "2.00"))
    agreement = agreed("2026-11", [contract("filtered", "2026-11-01")], [document], rates)
    rows = [
        used("2026-11-10", input=M),
        used("2026-11-11", tier="batch", input=M),
        used("2026-11-12", "mistral/large", input=M),
    ]
    totals, texts = rated(agreement, rows)
    assert [(line.price.charge.id, line.amount // 10**18) for line in totals.lines.values()] == [
        ("other", 2),
        ("batch", 1),
    ]
    assert "plan filtered@1 has no charge for class input" in texts[2]


OWN = {
    **card(1, "2026-01-01", class_price("input", "2.00"), class_price("output", "10.00")),
    **card(2, "2026-11-16", class_price("input", "3.00"), class_price("output", "12.00")),
    **card(1, "2026-11-11", class_price("input", "1.50"), name="acme"),
}


def prices(terms: Json, rates: Json, *days: str, key: RateKey = INPUT) -> list[str]:
    pricing = agreed("2026-11", [contract("tokens", "2026-11-01", **terms)], [TOKENS], rates).at(f"{days[0]}T")
    found = [pricing.find(key, f"{day}T00:00:00.000000Z") for day in days]
    return [price.only.price if isinstance(price, ClassPrice) and price.only else "none" for price in found]


def test_the_customers_own_price_counts_from_its_day_on_and_leaves_other_classes_alone() -> None:
    terms = {"override_card": "acme"}
    assert prices(terms, OWN, "2026-11-10", "2026-11-11", "2026-11-16") == ["2.00", "1.50", "1.50"]
    output = INPUT._replace(name="output")
    assert prices(terms, OWN, "2026-11-10", "2026-11-16", key=output) == ["10.00", "12.00"]


def test_a_price_lock_holds_the_cards_prices_of_its_first_day_until_its_end() -> None:
    listed = {name: document for name, document in OWN.items() if name.startswith("std")}
    lock = {"price_lock": {"from": "2026-11-01", "until": "2026-11-20"}}
    assert prices(lock, listed, "2026-11-15", "2026-11-16", "2026-11-19", "2026-11-20") == [
        "2.00", "2.00", "2.00", "3.00",
    ]  # fmt: skip


def test_what_had_no_price_on_the_locks_first_day_takes_the_first_it_gets() -> None:
    rates = {
        **card(1, "2026-11-05", class_price("input", "2.00")),
        **card(2, "2026-11-10", class_price("input", "3.00")),
    }
    lock = {"price_lock": {"from": "2026-11-01", "until": "2026-12-01"}}
    assert prices(lock, rates, "2026-11-04", "2026-11-05", "2026-11-10") == ["none", "2.00", "2.00"]


def test_a_lock_does_not_hold_back_the_customers_own_price() -> None:
    terms = {"override_card": "acme", "price_lock": {"from": "2026-11-01", "until": "2026-12-01"}}
    assert prices(terms, OWN, "2026-11-10", "2026-11-11") == ["2.00", "1.50"]


WRONG = card(1, "2026-11-01", class_price("input", "200.00"), class_price("output", "10.00"))
MENDED = card(2, "2026-11-01", class_price("input", "2.00"), supersedes=1, reason="decimal point")


def correction(day: str, token_class: str) -> Json:
    return card(2, day, class_price(token_class, "2"), supersedes=1, reason="decimal point")


def version(document: Json) -> object:
    [(name, content)] = document.items()
    return read_rate_card_version(name.partition("@")[0], content)


def publish(new: Json, *published: Json, now: str = "2026-11-10T00:00:00.000000Z", since: str = "2026-11-01") -> None:
    versions = [version(document) for document in published]
    check_publication(version(new), versions, now=now, open_since=f"{since}T00:00:00.000000Z")  # type: ignore[arg-type]


def test_a_correction_stands_in_place_of_what_was_always_wrong_and_names_itself() -> None:
    publish(MENDED, WRONG)
    agreement = agreed("2026-11", [contract("tokens", "2026-11-01")], [TOKENS], {**WRONG, **MENDED})
    lines = invoiced(agreement, [used("2026-11-01", input=M, output=M)])["lines"]
    assert [(line["class"], line["rate_version"], line["exact"]) for line in lines] == [
        ("input", "std@2", "2"),
        ("output", "std@1", "10"),
    ]


def test_without_supersedes_a_price_in_force_is_not_changed_backwards() -> None:
    with pytest.raises(RatesOverlap, match="supersedes"):
        publish(card(2, "2026-11-02", class_price("input", "2.00")), WRONG)


@pytest.mark.parametrize(
    ("new", "since", "remedy"),
    [
        (MENDED, "2026-12-01", "that period is billed"),
        (
            card(2, "2026-11-02", class_price("input", "2"), supersedes=1, reason="x"),
            "2026-11-01",
            "begins on 2026-11-01",
        ),
        (card(2, "2026-11-01", class_price("reasoning", "2"), supersedes=1, reason="x"), "2026-11-01", "no such price"),
    ],
)
def test_a_correction_that_corrects_something_else_is_refused(new: Json, since: str, remedy: str) -> None:
    with pytest.raises(DocumentRefused, match=remedy):
        publish(new, WRONG, since=since)


def test_what_was_superseded_is_superseded_once_and_the_correction_can_be_corrected() -> None:
    again = card(3, "2026-11-01", class_price("input", "2.10"), supersedes=1, reason="x")
    with pytest.raises(DocumentRefused, match="version 2 superseded it"):
        publish(again, WRONG, MENDED)
    chained = card(3, "2026-11-01", class_price("input", "2.10"), supersedes=2, reason="x")
    publish(chained, WRONG, MENDED)
    agreement = agreed("2026-11", [contract("tokens", "2026-11-01")], [TOKENS], {**WRONG, **MENDED, **chained})
    assert shown(invoiced(agreement, [used("2026-11-01", input=M)])) == [("input", "2.1", "2.10")]


def test_an_attribute_splits_lines_and_usage_without_it_has_a_line_of_its_own() -> None:
    rates = card(1, "2026-01-01", class_price("input", "2.00"))
    agreement = agreed("2026-11", [contract("tokens", "2026-11-01", split_by="project")], [TOKENS], rates)
    rows = [
        used("2026-11-10", attributes={"project": "red"}, input=M),
        used("2026-11-11", attributes={"project": "blue|=x"}, input=2 * M),
        used("2026-11-12", attributes={"environment": "production"}, input=3 * M),
        used("2026-11-13", attributes={"project": "red"}, input=4 * M),
    ]
    lines = invoiced(agreement, rows)["lines"]
    assert [(line["attribute"], line["quantity"] // M, line["events"]) for line in lines] == [
        (None, 3, 1),
        ("project=blue|=x", 2, 1),
        ("project=red", 5, 2),
    ]


def test_tools_are_charged_by_name() -> None:
    document = plan("tools", [{"id": "tools", "meter": "tool_calls", "kind": "per_unit", "prices": "class"}],
                    primary_meter="tool_calls")  # fmt: skip
    rates = card(1, "2026-01-01", class_price("tool_call:web_search", "0.01", per=1))
    agreement = agreed("2026-11", [contract("tools", "2026-11-01")], [document], rates)
    found = used("2026-11-10")._replace(quantities={"tool_call:web_search": 3})
    other = used("2026-11-11")._replace(quantities={"tool_call:shell": 1})
    totals, texts = rated(agreement, [found, other])
    assert [line.amount for line in totals.lines.values()] == [3 * 10**16]
    assert "no price for openai/gpt-4o tool_call:shell" in texts[1]


def test_only_so_many_names_of_tools_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambdas.billing.pricing._MOST_CLASSES", 2)
    charges = [{"id": name, "meter": name, "kind": "per_unit", "prices": "charge"} for name in ("input", "tool_calls")]
    rates = card(1, "2026-01-01", price("input", "1"), price("tool_calls", "2", per=1))
    pricing = agreed("2026-11", [contract("t", "2026-11-01")], [plan("t", charges)], rates).at("2026-11-02T")
    for n in range(5):
        found = pricing.priced("openai", "gpt-4o", {f"tool_call:t{n}": 1, "tool_call:a": 3}, "2026-11-02T")
        assert not isinstance(found, Unpriced)
        assert [(one.rate.tiers[0].price, quantity) for one, quantity in found] == [("2", 3), ("2", 1)]
    assert [len(classes) for classes in pricing._models.values()] == [1]


def test_refused_classes_are_named_as_refused() -> None:
    document = {**TOKENS, "refused": ["input_audio"]}
    rates = card(1, "2026-01-01", class_price("input_audio", "2.00"))
    agreement = agreed("2026-11", [contract("tokens", "2026-11-01")], [document], rates)
    found = agreement.at("2026-11-10").find(INPUT._replace(name="input_audio"), "2026-11-10T00:00:00.000000Z")
    assert found == Unpriced("refused_class", "plan tokens@1 refuses class input_audio")


def test_a_bundle_with_tiers_prompts_attributes_and_corrections_replays() -> None:
    rates = {**LONG, **card(2, "2026-11-16", class_price("input", "1.00", service_tier="batch"))}
    rates |= card(3, "2026-11-16", class_price("input", "0.90", service_tier="batch"), supersedes=2, reason="typo")
    raws = []
    for n in range(60):
        data: Json = {
            "provider": "openai", "model": "gpt-4o", "quantities": {"input": 199_990 + n % 20, "output": n},
            "attributes": {"project": f"p{n % 3}"} if n % 5 else {},
        }  # fmt: skip
        if n % 4 == 0 and n > 30:
            data["service_tier"] = "batch"
            data["quantities"].pop("output")
        raws.append(raw_event(f"e{n:02d}", f"2026-11-{2 + n // 3:02d}T10:{n:02d}:00Z", {}, data=data))
    month = month_of(raws, contract=contract("tokens", "2026-11-01", split_by="project"), rates=rates)
    assert {line["attribute"] for line in month.invoice["lines"]} == {None, "project=p0", "project=p1", "project=p2"}
    assert {line["rate_version"] for line in month.invoice["lines"]} == {"std@1", "std@3"}
    report = verify_bundle(io.BytesIO(month.bundle()))
    assert report.ok, report.differences


def test_a_rate_in_tiers_under_a_filter_still_counts_all_units_of_its_charge() -> None:
    document = plan("t", [{"id": "input", "meter": "input", "kind": "graduated", "prices": "charge"}])
    rates = card(1, "2026-01-01", tiers("input", (M, "2.00"), (None, "1.00")))
    assert (
        net({}, rates, used("2026-11-02", input=M), used("2026-11-03", "other/model", input=M), document=document)
        == "3"
    )


@pytest.mark.parametrize(
    ("kind", "included", "expected"),
    [
        # version 1: graduated to 16 November with 100 included, 60 used before and 140 after
        ("per_unit", 0, [("included", 50), ("1", 10), ("1", 140)]),  # 100 x 15/30 included, all of them used before
        ("per_unit", 100, [("included", 60), ("included", 40), ("1", 100)]),
        ("graduated", 100, [("included", 60), ("included", 40), ("1", 50), ("2", 50)]),
    ],
)
def test_a_position_goes_on_in_the_next_contract_version_whatever_its_kind(
    kind: str, included: int, expected: list[tuple[str, int]]
) -> None:
    def version(name: str, kind: str, included: int) -> Json:
        charge = {"id": "input", "meter": "input", "kind": kind, "prices": "charge", "included": included}
        return plan(name, [charge])

    rates = card(1, "2026-01-01", tiers("input", (50, "2"), (None, "1"), per=1))
    own = card(1, "2026-01-01", price("input", "2", per=1), name="own")
    terms = {"override_card": "own"} if kind == "per_unit" else {}
    agreement = agreed(
        "2026-11",
        [contract("first", "2026-11-01"), contract("second", "2026-11-16", 2, **terms)],
        [version("first", "graduated", 100), version("second", kind, included)],
        {**rates, **(own if terms else {})},
    )
    invoice = invoiced(agreement, [used("2026-11-10", input=60), used("2026-11-20", input=140)])
    assert [(line["tier"], line["quantity"]) for line in invoice["lines"]] == expected
    assert invoice["positions"] == {"input": 200}


def test_a_lock_holds_back_dearer_long_prompts_that_came_later() -> None:
    rates = {
        **card(1, "2026-01-01", class_price("input", "2.00")),
        **card(2, "2026-11-10", class_price("input", "5.00", prompt_above=100)),
    }
    lock = {"price_lock": {"from": "2026-11-01", "until": "2026-11-25"}}
    long = INPUT._replace(prompt_above=100)
    assert prices(lock, rates, "2026-11-09", "2026-11-10", "2026-11-24", "2026-11-25", key=long) == [
        "2.00", "2.00", "2.00", "5.00",
    ]  # fmt: skip
    assert prices({}, rates, "2026-11-09", "2026-11-10", key=long) == ["2.00", "5.00"]


def fx_card(version: int, day: str, rate: str, **more: Any) -> Json:
    return card(version, day, name="fx", fx=[{"foreign": "EUR", "price": rate, "source": "ecb"}], **more)


def test_an_exchange_rate_that_was_mistyped_is_superseded_on_its_own_day() -> None:
    wrong, mended = fx_card(1, "2026-11-01", "11.7"), fx_card(2, "2026-11-01", "1.17", supersedes=1, reason="typo")
    publish(mended, wrong)
    with pytest.raises(DocumentRefused, match="version 2 superseded it"):
        publish(fx_card(3, "2026-11-01", "1.18", supersedes=1, reason="again"), wrong, mended)
    with pytest.raises(RatesOverlap, match="that period is billed"):
        publish(mended, wrong, since="2026-12-01")
    with pytest.raises(RatesOverlap):
        publish(fx_card(2, "2026-11-01", "1.17"), wrong)
    passing: Json = {"id": "cost", "meter": "input", "kind": "pass_through", "markup": "1"}
    costs = card(1, "2026-11-01", class_price("input", "1.00"), name="cost", currency="EUR")
    terms = contract("p", "2026-11-01", cost_card="cost", fx_card="fx")
    agreement = agreed("2026-11", [terms], [plan("p", [passing])], {**costs, **wrong, **mended})
    [line] = invoiced(agreement, [used("2026-11-02", input=M)])["lines"]
    assert (line["exact"], line["pass_through"]["fx"]["rate_version"]) == ("1.17", "fx@2")


@pytest.mark.parametrize(("rate", "taken"), [("1.123456", True), ("1.1234567", False), ("0", False)])
def test_an_exchange_rate_has_at_most_six_decimals(rate: str, taken: bool) -> None:
    if taken:
        assert read_rate_card_version("fx", fx_card(1, "2026-11-01", rate)["fx@1"]).fx[0].rate == rate
    else:
        with pytest.raises(DocumentRefused, match="at most 6 decimals"):
            read_rate_card_version("fx", fx_card(1, "2026-11-01", rate)["fx@1"])


def test_blocks_that_change_their_size_within_a_period_park_usage_instead_of_giving_units_away() -> None:
    document = plan("b", [{"id": "input", "meter": "input", "kind": "package", "prices": "charge"}])
    rates = {
        **card(1, "2026-11-01", price("input", "1", per=1_000)),
        **card(2, "2026-11-16", price("input", "9", per=M)),
    }
    rows = [used("2026-11-15", input=1_500_300), used("2026-11-16", input=400)]
    november = agreed("2026-11", [contract("b", "2026-11-01")], [document], rates)
    _, texts = rated(november, rows)
    assert '"1501"' in texts[0]
    assert '"parked","rate std@2 of charge input changes blocks of 1000 within a period' in texts[1]
    december = agreed("2026-12", [contract("b", "2026-11-01")], [document], rates)
    assert shown(invoiced(december, [used("2026-12-16", input=400)])) == [("input", "9", "9.00")]
