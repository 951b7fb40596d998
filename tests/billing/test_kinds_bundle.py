"""A bundle of a plan with included units, tiers, volume and packages replays, and its positions cannot be forged."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from lambdas.billing.explain import explain_charges, explain_line
from lambdas.billing.verify import verify_bundle
from tests.billing.month import Month, month_of, raw_event
from tests.billing.test_kinds import OUTPUT_FREE, M, card, charge, plan, tiers

BOUNDS = ((5_000, "3.00"), (None, "2.00"))


def month(kind: str, included: int = 1_000) -> Month:
    """Forty events of 300 input units, half of them cached, over two blocks and two rate versions."""
    bounds = BOUNDS if kind in ("graduated", "volume") else ((None, "3.00"),)
    per = 1_000 if kind == "package" else M
    raws = [
        raw_event(
            f"e{n:02d}", f"2026-11-{2 + n % 28:02d}T10:{n:02d}:00Z", {"input": 150, "cached_input": 150, "output": n}
        )
        for n in range(40)
    ]
    rates = card(1, "2026-11-01", tiers("input", *bounds, per=per), OUTPUT_FREE)
    rates |= card(2, "2026-11-16", tiers("input", *[(up_to, "1.00") for up_to, _ in bounds], per=per))
    documents = plan(charge("input", kind, included=included), charge("output", "per_unit"))
    return month_of(raws, plan=documents, rates=rates, block_rows=25)


@pytest.mark.parametrize("kind", ["per_unit", "graduated", "volume", "package"])
def test_a_bundle_of_every_kind_replays(kind: str) -> None:
    made = month(kind)
    report = verify_bundle(io.BytesIO(made.bundle()))
    assert report.ok, report.differences
    assert made.invoice["positions"] == {"input": 40 * 300}
    assert sum(line["quantity"] for line in made.invoice["lines"] if line["charge"] == "input") == 40 * 300


@pytest.mark.parametrize("claimed", [40 * 300 - 1, 40 * 300 + 1, 0, 5_000, 10**9])
@pytest.mark.parametrize("kind", ["graduated", "volume"])
def test_a_forged_position_is_found_though_the_invoice_was_made_with_it(kind: str, claimed: int) -> None:
    made = month(kind)
    made.invoice["positions"]["input"] = claimed
    report = verify_bundle(io.BytesIO(made.bundle()))
    assert not report.ok
    assert report.differences[0].file in ("invoice.json", "rated/00001.jsonl", "rated/00002.jsonl")


@pytest.mark.parametrize("positions", [None, [], {"input": "12000"}, {"input": True}, {"input": 1.5}, {}])
def test_positions_that_are_none_are_named(positions: Any) -> None:
    made = month("volume")
    made.invoice["positions"] = positions
    if positions == {"input": 1.5}:
        made.invoice["positions"] = {"input": "1.5"}
    report = verify_bundle(io.BytesIO(made.bundle()))
    assert report.differences[0].file == "invoice.json"
    assert "position" in report.differences[0].field


def test_every_line_is_explained_with_arithmetic_that_holds() -> None:
    said = [explain_line(month(kind).invoice, 1)["text"] for kind in ("graduated", "package")]
    assert "as included usage of charge input" in said[0]
    graduated, package = month("graduated"), month("package")
    second = next(line for line in graduated.invoice["lines"] if line["tier"] == "1")
    assert f"in tier 1 (graduated) at 3.00 USD per {M:,}" in explain_line(graduated.invoice, second["line"])["text"]
    blocks = next(line for line in package.invoice["lines"] if line["blocks"])
    assert f"{blocks['blocks']:,} blocks x 3.00 =" in explain_line(package.invoice, blocks["line"])["arithmetic"]
    for made in (graduated, package, month("volume")):
        for block in made.blocks:
            for text in block.rated.decode().splitlines():
                charges = explain_charges(text, made.invoice)
                assert [c["position"] for c in charges if c["charge"] == "input"] == [
                    part[3] for part in json.loads(text)[4] if len(part) == 4
                ]
