"""Agreements about which price counts, about changes inside a period, and about settlement; one function for each."""

from __future__ import annotations

from typing import Any

from tests.sql.documents import (
    METERS,
    Agreed,
    Document,
    Prices,
    card,
    charge,
    contract,
    fee,
    flat,
    of_meters,
    others,
    plan,
)
from tests.sql.kinds_and_meters import EVENTS, PER_UNIT, every_kind
from tests.sql.random_usage import MODELS


def own_prices() -> Agreed:
    """A card of the customer's own, a lock on the list's prices, and corrections of what was always wrong."""
    draw = Prices("own prices")
    first = draw.of_classes(PER_UNIT, EVENTS, models=MODELS[:4])
    wrong = [rate for rate in first if rate["class"] in ("input", "output")]
    right = [{**rate, "price": draw.text()} for rate in wrong]
    changed = draw.of_classes(PER_UNIT, EVENTS, models=MODELS[:3])
    new_model = draw.of_classes(PER_UNIT, EVENTS, models=MODELS[4:])
    own = draw.of_classes({"output": "per_unit", "calls": "per_unit"}, EVENTS, models=MODELS[:2])
    return Agreed(
        "own prices, a lock and corrections",
        [contract(override_card="own", price_lock={"from": "2026-11-05", "until": "2026-11-21"})],
        plan(*others(prices="class")),
        card(1, "2026-10-01", first)
        | card(2, "2026-11-10", changed)
        | card(3, "2026-11-12", new_model)
        | card(4, "2026-10-01", right[::2], supersedes=1, reason="The price of another model.")
        | card(5, "2026-10-01", right[::4], supersedes=4, reason="Wrong once more.")
        | card(6, "2026-11-15", draw.of_classes(PER_UNIT, EVENTS, models=MODELS[4:]))
        | card(1, "2026-11-08", own, "own")
        | card(2, "2026-11-18", own[::3], "own"),
        edges=("2026-11-05", "2026-11-08", "2026-11-10", "2026-11-12", "2026-11-18", "2026-11-21"),
        shows=(
            "output|%|own@1",
            "output|%|own@2",
            "%|std@2",
            "%|mistral/large|%|std@3",
            "input|%|std@4",
            "input|%|std@5",
        ),
    )


def split_by_project() -> Agreed:
    """Lines by project, under charges of every kind."""
    agreed = every_kind("charge", 2)
    return agreed._replace(
        name="split by project",
        contracts=[contract(split_by="project")],
        shows=("%|included|project=alpha", '%|2|project=naïve "quoted" | ünï', "%|project=", "%|std@1"),
    )


def changed_plans() -> Agreed:
    """Basic, Pro from the 11th, a Pro of another version from the 23rd, and a fourth version for December.

    `input` keeps its id and its position (K8), `output` of Pro is another charge and starts at 0. `seat` is billed in
    advance and is kept, then given up; `base` changes its price inside a stretch.
    """
    draw = Prices("changed plans")
    rest = others("input", "output", "calls")
    basic = [flat("base", "arrears"), flat("seat", "advance"), charge("input", "graduated", prices="charge",
             included=3_000_000), charge("output", "volume", prices="charge", minimum="10.00", maximum="1500.00"),
             charge("calls", "package", prices="charge", included=700), *rest]  # fmt: skip
    pro = [charge("input", "graduated", prices="charge", included=20_000_001),
           charge("output", "volume", "output_pro", prices="charge"), flat("base_pro", "arrears"),
           flat("seat", "advance"), charge("calls", "package", prices="charge"), *rest]  # fmt: skip
    pro_2 = [*pro[:3], flat("support", "advance"), *pro[4:]]
    ids = {"input": ("input", "graduated"), "output": ("output", "volume"), "output_pro": ("output", "volume"),
           "calls": ("calls", "package"), **of_meters(*METERS[3:])}  # fmt: skip
    fees = [fee("base", "30.00"), fee("base_pro", "100.00"), fee("seat", "17.77"), fee("support", "250.00")]
    billed = {
        "charge": "seat", "contract_version": 1, "service_from": "2026-11-01", "service_to": "2026-12-01",
        "price": "17.77", "rate_version": "std@1", "rate_effective_from": "2026-10-01", "exact": "17.77",
    }  # fmt: skip
    return Agreed(
        "changed plans",
        [
            contract(1, "2026-08-01", "basic@1", discounts=[{"id": "welcome", "amount": "10.00"}]),
            contract(2, "2026-11-11", "pro@1", commitment={"amount": "900000.00", "counting": "period"},
                     discounts=[{"id": "loyal", "percent": "0.0775"}, {"id": "welcome", "amount": "20.01"}]),
            contract(3, "2026-11-23", "pro@2", commitment={"amount": "100000000.00", "counting": "period"},
                     split_by="team", discounts=[{"id": "loyal", "percent": "0.10", "charges": ["input"]}]),
            contract(4, "2026-12-01", "pro@2"),
        ],
        plan(*basic, name="basic@1", currency="USD") | plan(*pro, name="pro@1") | plan(*pro_2, name="pro@2"),
        card(1, "2026-10-01", [*draw.of_charges(ids, EVENTS), *fees])
        | card(2, "2026-11-16", draw.of_charges(ids, EVENTS)[::2])
        | card(3, "2026-11-20", [fee("base_pro", "110.00"), fee("base", "1.00")])
        | card(4, "2026-12-01", [fee("support", "260.00")]),
        edges=("2026-11-11", "2026-11-16", "2026-11-23"),
        shows=("input|%|contract@1|included", "input|%|contract@3|_|team=team-1", "output_pro|%|contract@2|_",
               "seat|%|unused", "support|std@1|2026-11-23", "support|std@4|2026-12-01", "base_pro|std@3|2026-11-23",
               "output|maximum", "loyal|discount|contract@2", "commitment|contract@3"),
        carried={"invoice": "BP-2026-000001", "hash": "0" * 64, "advance": [billed], "committed": None},
    )  # fmt: skip


def changed_pools() -> Agreed:
    """Two stretches with pools of the same names and other sizes, of units and of money, and a meter whose weight
    changes. Both state one commitment by term, which ends with the month."""
    draw = Prices("changed pools")
    pooled = [charge(meter, prices="charge") for meter in METERS if meter != "compute_seconds"]
    charges = [*pooled, charge("work", "graduated", included=100_000)]
    ids = {**of_meters(*METERS), "work": ("compute_seconds", "graduated")}

    def terms(units: int, money: str, weight: int) -> Document:
        pools = [{"id": "tokens", "charges": ["input", "output"], "quantity": units},
                 {"id": "money", "charges": ["calls", "tool_calls", "cache_storage"], "amount": money}]  # fmt: skip
        return {"included": pools, "meters": {"work": {"weights": {"compute_second": weight}}}, "currency": "USD"}

    commitment = {"amount": "90000000.00", "counting": "term", "months": 1}
    return Agreed(
        "changed pools",
        [contract(n, day, plan_name, commitment=commitment)
         for n, day, plan_name in ((1, "2026-11-01", "small@1"), (2, "2026-11-12", "large@1"))],
        plan(*charges, name="small@1", **terms(10_000_000, "100000.01", 2))
        | plan(*charges, name="large@1", **terms(200_000_000, "700000.01", 3)),
        card(1, "2026-10-01", draw.of_charges(ids, EVENTS)) | card(2, "2026-11-16", draw.of_charges(ids, EVENTS)),
        edges=("2026-11-12", "2026-11-16"),
        shows=("output|%|contract@2|included", "output|%|contract@2|1", "tool_calls|%|contract@1|included",
               "work|%|contract@2|_", "commitment|contract@2"),
    )  # fmt: skip


def limits_and_discounts(commitment: Document, carried: dict[str, Any] | None, since: str = "2026-11-16") -> Agreed:
    """A stub of 15 days with minimum, maximum, percentages of some and of all usage, fixed discounts, a commitment."""
    draw = Prices(f"limits {since}")
    charges = [
        flat("base", "arrears"), charge("input", prices="charge", maximum="90000.00"),
        charge("output", "graduated", prices="charge", minimum="99000000.00"), *others("input", "output"),
    ]  # fmt: skip
    discounts = [
        {"id": "five", "amount": "5.55"}, {"id": "tokens", "percent": "0.10", "charges": ["output", "input"]},
        {"id": "all", "percent": "0.0725"}, {"id": "once", "amount": "100.01"},
    ]  # fmt: skip
    return Agreed(
        f"limits, discounts, commitment by {commitment['counting']}",
        [contract(since=since, discounts=discounts, commitment=commitment)],
        plan(*charges, currency="USD"),
        card(1, "2026-10-01", [*draw.of_charges({**of_meters(*METERS), "output": ("output", "graduated")}, EVENTS),
                               fee("base", "49.99")]),
        edges=(since,),
        shows=("input|maximum", "output|minimum", "tokens|discount|%", "all|discount|%", "once|discount|%",
               "commitment|%"),
        carried=carried,
    )  # fmt: skip


def small_bill() -> Agreed:
    """So little is charged that the fixed discounts take all of it. A percentage of a tool call's price does not fit 18
    decimals: such events are parked."""
    draw = Prices("small bill")
    rates = draw.of_charges(of_meters(*METERS), 1_000)
    for rate in rates:
        rate |= {"per": 1_000_000, "price": "0.000000000001" if rate["charge"] == "tool_calls" else "0.000001"}
    discounts = [
        {"id": "tenth", "percent": "0.10"},
        {"id": "two", "amount": "1.00"},
        {"id": "three", "amount": "500.00"},
    ]
    return Agreed(
        "a small bill",
        [contract(discounts=discounts)],
        plan(*(charge(meter, prices="charge") for meter in METERS)),
        card(1, "2026-10-01", rates),
        events=1_000,
        shows=("tenth|%", "two|%"),
    )
