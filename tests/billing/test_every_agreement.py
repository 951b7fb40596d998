"""What holds for every agreement, whatever it is made of: order, shards, replay, and sums that add up exactly."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.agreements import Agreement
from lambdas.billing.money import parse_amount
from lambdas.billing.rating import Totals, UsageRow, add_quantities, measure_event, rate_event
from lambdas.billing.shards import add_summary, add_sums, quantities_by_class, shard_positions, summarize
from tests.billing.account import Json, agreed, card, class_price, contract, plan, price, rated, tiers
from tests.billing.month import issued

START = "2026-11-01"


def charge(charge_id: str, kind: str = "per_unit", meter: str = "", **more: Any) -> Json:
    return {"id": charge_id, "meter": meter or charge_id, "kind": kind, "prices": "charge", **more}


FEE: Json = {"id": "base", "kind": "flat", "timing": "arrears"}
GRADED = tiers("input", (300, "3"), (900, "2"), (None, "1"), per=1)
OUTPUT = price("output", "5", per=1)


def agreements() -> Iterator[tuple[str, Agreement]]:
    """One of each kind of story, and some of several."""
    both = [charge("input"), charge("output")]
    single = card(1, START, price("input", "2", per=1), OUTPUT)
    for pool in ({"quantity": 700}, {"amount": "1234.5"}):
        document = plan("p", both, included=[{"id": "both", "charges": ["input", "output"], **pool}], currency="USD")
        yield f"shared {next(iter(pool))}", agreed("2026-11", [contract("p", START)], [document], single)
    for kind in ("graduated", "volume", "package"):
        bounds = GRADED if kind != "package" else price("input", "9", per=1_000)
        document = plan("p", [charge("input", kind, included=250), charge("output"), FEE])
        rates = {**card(1, START, bounds, OUTPUT, price("base", "7.77", per=1))}
        rates |= card(2, "2026-11-16", GRADED if kind != "package" else price("input", "8", per=1_000))
        yield kind, agreed("2026-11", [contract("p", "2026-11-05", split_by="project")], [document], rates)
    blend = plan("b", [charge("units", "graduated", included=100)], primary_meter="units",
                 meters={"units": {"weights": {"input": 1, "cached_input": 3, "output": 4}}})  # fmt: skip
    del blend["charges"][0]["prices"]
    yield (
        "weights",
        agreed(
            "2026-11", [contract("b", START)], [blend], card(1, START, tiers("units", (999, "2"), (None, "1"), per=1))
        ),
    )
    passing = plan(
        "c", [{"id": "cost", "meter": "tokens", "kind": "pass_through", "markup": "1.25"}], primary_meter="tokens"
    )
    costs = card(1, START, class_price("input", "3"), class_price("output", "9"), name="cost", currency="EUR")
    fx = card(1, START, name="fx", fx=[{"foreign": "EUR", "price": "1.17", "source": "ecb"}])
    terms: Json = {"cost_card": "cost", "fx_card": "fx", "discounts": [{"id": "d", "percent": "0.05"}]}
    yield "pass-through", agreed("2026-11", [contract("c", START, **terms)], [passing], {**costs, **fx})
    versions = [
        contract("p", START),
        contract("q", "2026-11-12", 2),
        contract("q", "2026-11-20", 3, split_by="project"),
    ]
    plans = [
        plan("p", [charge("input", "graduated", included=200), charge("output"), FEE]),
        plan("q", [charge("input", "graduated", included=600), charge("output", "package"), FEE]),
    ]
    rates = card(1, START, GRADED, price("output", "50", per=1_000), price("base", "10", per=1))
    yield "three versions", agreed("2026-11", versions, plans, rates)
    listed = card(
        1, START, class_price("input", "2"), class_price("output", "4"),
        class_price("input", "1", service_tier="batch"), class_price("input", "6", prompt_above=60),
    )  # fmt: skip
    tokens = plan("t", [charge("input") | {"prices": "class"}, charge("output") | {"prices": "class", "included": 90}])
    own = card(1, "2026-11-09", class_price("input", "1.5"), name="own")
    lock: Json = {"override_card": "own", "price_lock": {"from": START, "until": "2026-11-25"}}
    yield "own prices", agreed("2026-11", [contract("t", START, **lock)], [tokens], {**listed, **own})


AGREEMENTS = dict(agreements())
QUANTITY = st.integers(min_value=0, max_value=120)
EVENT = st.tuples(
    st.integers(min_value=0, max_value=29), st.sampled_from(["standard", "standard", "batch", "flex"]),
    st.sampled_from([{}, {"project": "a"}, {"project": "b|1"}]), QUANTITY, QUANTITY, st.sampled_from([0, 0, 7]),
    st.sampled_from(["openai/gpt-4o", "openai/gpt-4o", "mistral/large"]),
)  # fmt: skip
EVENTS = st.lists(EVENT, max_size=25)


def rows_of(events: Sequence[tuple[int, str, dict[str, str], int, int, int, str]]) -> list[UsageRow]:
    rows = []
    for n, (day, tier, attributes, read, written, cached, model) in enumerate(events):
        provider, _, name = model.partition("/")
        quantities = {"input": read, "output": written, **({"cached_input": cached} if cached else {})}
        time = f"2026-11-{day + 1:02d}T00:00:00.000000Z"
        rows.append(UsageRow(time, "//gateway", f"e{n:03d}", 0, provider, name, quantities, tier, attributes))
    return rows


def in_shards(agreement: Agreement, rows: Sequence[UsageRow], days: Sequence[int]) -> tuple[Totals, list[str]]:
    """Measured and rated shard by shard, each from its summary as JSON."""
    ordered = sorted(rows, key=lambda row: row[:3])
    edges = ["", *(f"2026-11-{day:02d}" for day in sorted(set(days))), "9"]
    parts = [[row for row in ordered if start <= row.time < end] for start, end in pairwise(edges)]
    measures = []
    for part in parts:
        measures.append(dict[str, int]())
        for row in part:
            measure_event(row, agreement.at(row.time), measures[-1])
    measures = json.loads(json.dumps(measures))
    merged, texts = Totals(), []
    for number, part in enumerate(parts, start=1):
        totals, positions = Totals(), shard_positions(measures, number)
        texts += [rate_event(row, agreement.at(row.time), totals, positions).text for row in part]
        add_summary(merged, json.loads(json.dumps(summarize(totals))), agreement)
    return merged, texts


@pytest.mark.parametrize("name", AGREEMENTS)
@given(events=EVENTS, days=st.lists(st.integers(min_value=2, max_value=29), max_size=3), seed=st.integers(0, 99))
def test_order_of_arrival_shards_and_repetition_change_nothing(
    name: str, events: list[tuple[int, str, dict[str, str], int, int, int, str]], days: list[int], seed: int
) -> None:
    agreement, rows = AGREEMENTS[name], rows_of(events)
    whole, texts = rated(agreement, rows)
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    for totals, again in (rated(agreement, shuffled), rated(agreement, rows), in_shards(agreement, rows, days)):
        assert again == texts
        assert summarize(totals) == summarize(whole)
        assert issued(totals, agreement) == issued(whole, agreement)


@pytest.mark.parametrize("name", AGREEMENTS)
@given(events=EVENTS)
def test_charges_add_up_to_lines_and_lines_to_the_net_and_no_unit_is_lost(
    name: str, events: list[tuple[int, str, dict[str, str], int, int, int, str]]
) -> None:
    agreement, rows = AGREEMENTS[name], rows_of(events)
    totals, texts = rated(agreement, rows)
    sums: dict[str, list[int]] = {}
    for text in texts:
        outcome = json.loads(text)
        for key, units, amount, *_ in outcome[4] if len(outcome) == 5 else []:
            line = sums.setdefault(key, [0, 0, 0])
            line[0] += units
            line[1] += parse_amount(amount)
            line[2] += 1
    assert sums == {key: [line.quantity, line.amount, line.events] for key, line in totals.lines.items()}
    invoice = issued(totals, agreement)
    assert sum(parse_amount(line["exact"]) for line in invoice["lines"]) == parse_amount(invoice["net_exact"])
    assert sum(parse_amount(line["amount"]) for line in invoice["lines"]) == parse_amount(invoice["net"])
    assert parse_amount(invoice["net"]) >= 0
    counted = quantities_by_class(totals)
    add_sums(counted, totals.excluded_quantities)
    sent: dict[str, int] = {}
    for row in rows:
        add_quantities(sent, row.provider, row.model, row.quantities, row.service_tier)
    assert {name: n for name, n in counted.items() if n} == {name: n for name, n in sent.items() if n}
    assert not list(floats(json.loads(json.dumps(invoice))))


def floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from floats(item)


@pytest.mark.parametrize(
    "name", ["graduated", "weights", "shared quantity", "shared amount", "own prices", "pass-through"]
)
@given(events=EVENTS, more=EVENT)
def test_a_bill_never_falls_as_usage_grows(
    name: str,
    events: list[tuple[int, str, dict[str, str], int, int, int, str]],
    more: tuple[int, str, dict[str, str], int, int, int, str],
) -> None:
    """Not for volume prices, nor where a percentage or a price change turns on the order."""
    agreement = AGREEMENTS[name]
    if name == "graduated":
        more = (29, *more[1:])  # a later event takes no cheaper tier away from an earlier one
    smaller, larger = (issued(rated(agreement, rows_of(rows))[0], agreement) for rows in (events, [*events, more]))
    assert parse_amount(smaller["net_exact"]) <= parse_amount(larger["net_exact"])
