"""One account that has agreed to everything at once, with a month of 200,000 events."""

from __future__ import annotations

from tests.sql.documents import Agreed, Document, Prices, card, charge, contract, fee, flat, plan
from tests.sql.random_usage import MODELS, PROMPT_STEP

EVENTS = 200_000


def everything() -> Agreed:
    """All kinds, prices by class, charge and cost, pools, long prompts, own prices, a lock, a correction, two contract
    versions, limits, discounts and a commitment, in euros with costs in dollars."""
    draw = Prices("everything")
    first, second = _plan("start@1", "100", 40_000_001), _plan("grow@1", "250", 300_000_000)
    by_charge = {
        "input": ("input", "graduated"),
        "calls": ("calls", "package"),
        "tool_calls": ("tool_calls", "per_unit"),
    }
    volume = {"output": "volume"}
    listed = draw.of_charges(by_charge, EVENTS) + draw.of_classes(volume, EVENTS)
    listed += draw.of_classes({"compute_seconds": "per_unit"}, EVENTS)
    listed += [fee("base", "99.00"), fee("seat", "12.34")]
    long = draw.of_charges({"input": ("input", "graduated")}, EVENTS, prompt_above=PROMPT_STEP)
    long += draw.of_classes(volume, EVENTS, models=MODELS[:2], service_tiers=["standard"], prompt_above=2 * PROMPT_STEP)
    wrong = [rate for rate in listed if rate.get("class") == "output"][::3]
    right = [{**rate, **draw.priced("output", "volume", EVENTS)} for rate in wrong]
    own = draw.of_classes(volume, EVENTS, models=MODELS[1:3], service_tiers=["standard", "batch"])
    own += draw.of_charges(
        {"input": ("input", "graduated")}, EVENTS, service_tiers=["batch"], prompt_above=PROMPT_STEP - 1
    )
    euro = {"currency": "EUR"}
    cards = {
        **card(1, "2026-10-01", listed + long, **euro),
        **card(2, "2026-11-16", draw.of_charges(by_charge, EVENTS), **euro),
        **card(3, "2026-10-01", right, supersedes=1, reason="Tiers of another class.", **euro),
        **card(4, "2026-11-21", draw.of_classes(volume, EVENTS), **euro),
        **card(1, "2026-11-09", own, "own", **euro),
        **card(1, "2026-10-01", draw.of_classes({"cache_storage": "per_unit"}, EVENTS), "cost"),
        **card(2, "2026-11-18", draw.of_classes({"cache_storage": "per_unit"}, EVENTS), "cost"),
        **card(1, "2026-10-30", [], "fx", fx=[{"foreign": "USD", "price": "0.9137", "source": "fx-1"}], **euro),
        **card(2, "2026-11-02", [], "fx", fx=[{"foreign": "USD", "price": "0.9246", "source": "fx-2"}], **euro),
    }
    terms = {
        "currency": "EUR", "override_card": "own", "cost_card": "cost", "fx_card": "fx",
        "discounts": [
            {"id": "tools", "percent": "0.25", "charges": ["tool_calls", "calls"]}, {"id": "all", "percent": "0.05"},
            {"id": "fixed", "amount": "77.77"},
        ],
    }  # fmt: skip
    return Agreed(
        "everything",
        [
            contract(1, "2026-11-02", "start@1", price_lock={"from": "2026-11-02", "until": "2026-11-26"}, **terms),
            contract(2, "2026-11-13", "grow@1", split_by="project",
                     commitment={"amount": "9000000000.00", "counting": "period"}, **terms),
        ],
        first | second,
        cards,
        edges=("2026-11-02", "2026-11-09", "2026-11-13", "2026-11-16", "2026-11-21"),
        events=EVENTS,
        shows=(
            "base|%|2026-11-02", "seat|%|2026-12-01", "input|%|prompt>200000|%|included", "output|%|prompt>400000|%",
            "output|%|own@1|%", "output|%|std@3|%", "output|%|std@4|%", "cache_storage|%|cost@2|%", "calls|maximum",
            "compute_seconds|%|included%", "compute_seconds|%|1|project=", "tools|discount|contract@2",
            "all|discount|contract@2", "fixed|discount|contract@2", "commitment|contract@2",
        ),
    )  # fmt: skip


def _plan(name: str, maximum: str, included: int) -> dict[str, Document]:
    pool = {"id": "extras", "charges": ["tool_calls", "compute_seconds"], "amount": f"{included // 1_000}.00"}
    return plan(
        flat("base", "arrears"), flat("seat", "advance"),
        charge("input", "graduated", prices="charge", included=included), charge("output", "volume", prices="class"),
        charge("calls", "package", prices="charge", included=1_000, minimum="1.00", maximum=f"{maximum}.00"),
        charge("tool_calls", prices="charge"), charge("compute_seconds", prices="class"),
        charge("cache_storage", "pass_through", markup="1.15"),
        name=name, included=[pool], currency="EUR",
    )  # fmt: skip
