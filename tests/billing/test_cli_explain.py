"""`explain` and `trace` say every kind of line in words, on bundles of plans that have them all."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from lambdas.billing.verify import verify_bundle
from lambdas.cli import main
from tests.billing.account import M, card, class_price, plan, price, tiers
from tests.billing.forging import packed, unpacked
from tests.billing.month import CONTRACT, Month, month_of, raw_event

SOLD = plan(
    "tokens",
    [
        {"id": "base", "kind": "flat", "timing": "advance"},
        {"id": "input", "meter": "input", "kind": "pass_through", "markup": "1.20"},
        {
            "id": "output",
            "meter": "output",
            "kind": "graduated",
            "prices": "charge",
            "included": 1_000,
            "minimum": "9.00",
        },
        {"id": "calls", "meter": "calls", "kind": "package", "prices": "charge", "maximum": "1.00"},
        {"id": "units", "meter": "units", "kind": "per_unit", "prices": "charge"},
        {"id": "seconds", "meter": "compute_seconds", "kind": "per_unit", "prices": "charge"},
    ],
    meters={"units": {"weights": {"tool_call:search": 5}}},
    included=[{"id": "shared", "charges": ["units", "seconds"], "amount": "0.10"}],
    currency="USD",
)
RATES = {
    **card(
        1, "2026-01-01", price("base", "99.00", per=1), tiers("output", (500, "20.00"), (None, "10.00")),
        {**tiers("output", (500, "40.00"), (None, "30.00")), "prompt_above": 1_000},
        price("calls", "0.60", per=1_000), price("units", "0.01", per=1), price("seconds", "0.02", per=1),
    ),
    **card(1, "2026-01-01", class_price("input", "2.50"), name="cost", currency="EUR"),
    **card(1, "2026-10-30", name="fx", fx=[{"foreign": "EUR", "price": "1.0825", "source": "ecb-2026-10-30"}]),
}  # fmt: skip
TERMS: dict[str, Any] = {
    "effective_from": "2026-11-01", "cost_card": "cost", "fx_card": "fx", "split_by": "project",
    "discounts": [{"id": "loyal", "percent": "0.10"}, {"id": "pilot", "amount": "5.00"}],
    "commitment": {"amount": "600.00", "counting": "period"},
}  # fmt: skip
USAGE = [
    ("a", {"input": 500, "output": 1_200}, {}),
    ("b", {"input": 1_500, "output": 400}, {"project": "x"}),
    ("c", {"call": 1_200, "tool_call:search": 3, "compute_second": 1}, {}),
]


def made() -> Month:
    raws = []
    for n, (event_id, quantities, attributes) in enumerate(USAGE):
        event = json.loads(raw_event(event_id, f"2026-11-{2 + n:02d}T10:00:00Z", quantities))
        event["data"]["attributes"] = attributes
        raws.append(json.dumps(event))
    return month_of(raws, contract={**CONTRACT, **TERMS}, plan=SOLD, rates=RATES)


MONTH = made()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "all.zip"
    path.write_bytes(MONTH.bundle())
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def line_of(**members: Any) -> str:
    """The number of the one line with these members."""
    [line] = [line for line in MONTH.invoice["lines"] if members.items() <= line.items()]
    return str(line["line"])


def test_the_bundle_is_true() -> None:
    report = verify_bundle(io.BytesIO(MONTH.bundle()))
    assert report.ok, report.differences


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"source": "fee", "service_from": "2026-12-01"},
            "charges 99.00 USD per period (base fee base, in advance), service from 2026-12-01 until 2027-01-01 (that "
            "day not included), at the price of rate version std@1: 99.00 x 1 = 99 -> 99.00 USD.",
        ),
        (
            {"charge": "input", "attribute": "project=x"},
            "charges 1,500 tokens (input tokens read by the model, openai/gpt-4o, project=x) of 1 event at 3.2475 USD "
            "per 1,000,000, the price of rate version cost@1",
        ),
        (
            {"charge": "input", "attribute": None},
            "The price is the provider's 2.50 EUR x 1.20 x 1.0825 USD per EUR (ecb-2026-10-30, fx@1); cost 0.00125, "
            "margin 0.00025 EUR.",
        ),
        (
            {"charge": "output", "tier": "included"},
            "as included usage of charge output, whole again on 2026-12-01, beside the prices",
        ),
        (
            {"charge": "output", "tier": "2", "prompt_above": 1_000},
            "(output tokens written by the model, in requests with a prompt above 1,000 tokens, openai/gpt-4o, "
            "project=x) of 1 event in tier 2 (graduated) at 30.00 USD per 1,000,000",
        ),
        (
            {"source": "minimum"},
            "brings charge output up to its minimum, as contract version 1 says (charge output has a minimum of ",
        ),
        (
            {"source": "maximum"},
            "brings charge calls down to its maximum, as contract version 1 says (charge calls has a maximum of ",
        ),
        (
            {"charge": "calls", "source": "usage"},
            "in 2 blocks of 1,000 begun, at 0.60 USD for each, the price of rate version std@1",
        ),
        (
            {"charge": "units", "tier": "included"},
            "charges 8 units (calls of the tool search, 5 for each tool call of the class, openai/gpt-4o) of 1 "
            "event as included usage that charges units, seconds share, whole again on 2026-12-01",
        ),
        ({"charge": "units", "tier": "1"}, "of 1 event after what is included (per unit) at 0.01 USD per 1, the price"),
        ({"charge": "loyal"}, "takes off discount loyal, as contract version 1 says ("),
        ({"charge": "pilot"}, "takes off discount pilot, as contract version 1 says ("),
        ({"source": "commitment"}, "adds what is missing to the commitment, as contract version 1 says ("),
    ],
)
def test_every_kind_of_line_is_explained(
    bundle: Path, capsys: pytest.CaptureFixture[str], members: dict[str, Any], words: str
) -> None:
    number = line_of(**members)
    assert words in said(capsys, "explain", str(bundle), "--line", number)
    values = json.loads(said(capsys, "explain", str(bundle), "--line", number, "--json"))
    assert words in values["text"]
    assert members.items() <= {**values, "source": members.get("source")}.items()


def test_the_lines_add_up_to_the_commitment() -> None:
    assert MONTH.invoice["net"] == "600.00"


@pytest.mark.parametrize(
    ("event_id", "words"),
    [
        ("a", "  rate version cost@1, contract version 1, provider's cost 0.00125 EUR x 1.20 = 0.0015, "
              "margin 0.00025 EUR, 1.0825 USD per EUR (ecb-2026-10-30, fx@1)\n"),
        ("a", "  rate version std@1, contract version 1, included, after 0 counted in the period\n"),
        ("a", "  rate version std@1, contract version 1, tier 1, after 1,000 counted in the period\n"),
        ("b", "  rate version std@1, contract version 1, tier 2, after 1,500 counted in the period, project=x\n"),
        ("c", "  rate version std@1, contract version 1, included, after 0.02 counted in the period\n"),
        ("c", "  rate version std@1, contract version 1, tier 1, after 0 counted in the period\n"),
    ],
)  # fmt: skip
def test_a_trace_says_what_each_charge_follows_from(
    bundle: Path, capsys: pytest.CaptureFixture[str], event_id: str, words: str
) -> None:
    text = said(capsys, "trace", str(bundle), "--source", "//gateway/eu-1", "--id", event_id)
    assert words in text


def test_a_trace_without_position_attribute_or_cost_does_not_speak_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plain.zip"
    path.write_bytes(month_of([raw_event("a", "2026-11-05T00:00:00Z", {"input": M})]).bundle())
    text = said(capsys, "trace", str(path), "--source", "//gateway/eu-1", "--id", "a")
    assert "  rate version std@1, contract version 1\n" in text


@pytest.mark.parametrize(
    "change", [{"source": "magic"}, {"pass_through": {"fx": {}}}, {"tier": "included"}, {"weight": "x"}]
)
def test_a_line_that_no_invoice_has_is_for_verify_to_name(
    bundle: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    files = unpacked(bundle.read_bytes())
    invoice = json.loads(files["invoice.json"])
    line = next(line for line in invoice["lines"] if line["charge"] == "input")
    line.update(change)
    files["invoice.json"] = json.dumps(invoice, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    bundle.write_bytes(packed(files))
    assert main(["explain", str(bundle), "--line", str(line["line"])]) == 2
    assert "run verify" in capsys.readouterr().out
