"""Small agreements, each about one rule that is easily broken where two contract versions or two terms meet."""

from __future__ import annotations

from typing import Any

from tests.sql.documents import METERS, Agreed, Document, Prices, card, charge, contract, of_meters, plan
from tests.sql.random_usage import PROMPT_STEP

EVENTS = 1_000


def percentages_of_two_charges() -> Agreed:
    """Half off tool calls, and a tenth off input, which is less than that half: each counts for its own charge."""
    discounts = [
        {"id": "tools", "percent": "0.50", "charges": ["tool_calls"]},
        {"id": "input", "percent": "0.10", "charges": ["input"]},
    ]
    cheap = [{**rate, "per": 1_000_000, "price": "0.01"} for rate in _prices() if rate["charge"] == "input"]
    rates = [rate for rate in _prices() if rate["charge"] != "input"] + cheap
    return Agreed(
        "percentages of two charges",
        [contract(discounts=discounts)],
        _plan(),
        card(1, "2026-10-01", rates),
        events=EVENTS,
    )


def maximum_in_one_stretch() -> Agreed:
    """A maximum that only the first contract version has says nothing about usage under the second."""
    return _two_versions("maximum in one stretch", {"maximum": "9.00"}, {})


def minimum_in_one_stretch() -> Agreed:
    """Usage under the second contract version does not fill the minimum of the first."""
    return _two_versions("minimum in one stretch", {"minimum": "900000.00"}, {})


def included_from_the_second_version_on() -> Agreed:
    """K8 and K11: a charge has one position and one included quantity in the period, though the first of two versions
    has it per unit and includes nothing."""
    return _two_versions("included from the second version on", {}, {"included": 3_000_000})


def graduated_from_the_second_version_on() -> Agreed:
    """K8: what the charge counted while it was per unit is in its position when tiers begin."""
    agreed = _two_versions("graduated from the second version on", {}, {"kind": "graduated"})
    tiers = Prices("tiers").of_charges(of_meters("input", kind="graduated"), EVENTS)
    return agreed._replace(rates={**agreed.rates, **card(2, "2026-11-11", tiers)})


def long_prompts_during_a_lock() -> Agreed:
    """A price of long prompts that the list gets while it is locked: long prompts had a price on the lock's first day,
    that of any prompt, and keep it."""
    long = Prices("long").of_charges(of_meters("input"), EVENTS, prompt_above=PROMPT_STEP)
    return Agreed(
        "long prompts during a lock",
        [contract(price_lock={"from": "2026-11-05", "until": "2026-11-25"})],
        _plan(),
        card(1, "2026-10-01", _prices()) | card(2, "2026-11-10", long),
        events=EVENTS,
    )


def _two_versions(name: str, first: dict[str, Any], second: dict[str, Any]) -> Agreed:
    return Agreed(
        name,
        [contract(1, "2026-10-01", "plan@1"), contract(2, "2026-11-11", "plan@2")],
        _plan(**first) | _plan("plan@2", **second),
        card(1, "2026-10-01", _prices()),
        edges=("2026-11-11",),
        events=EVENTS,
    )


def _prices() -> list[Document]:
    return Prices("single rules").of_charges(of_meters(*METERS), EVENTS)


def _plan(name: str = "plan@1", **of_input: Any) -> dict[str, Document]:
    currency = {"currency": "USD"} if {"minimum", "maximum"} & of_input.keys() else {}
    charges = [charge("input", prices="charge", **of_input), *(charge(meter, prices="charge") for meter in METERS[1:])]
    return plan(*charges, name=name, **currency)
