"""What `make run` says when it cannot do what was asked, and how it shows a run's control totals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lambdas.billing.line_documents import MEMBERS
from local import report, run


class _Deployment:
    """One whose port is taken."""

    summary = "deployed"

    def serve(self, port: int) -> str:
        raise OSError(98, "Address already in use")


def test_a_port_in_use_is_said_and_another_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def deploy(*_: Any, **__: Any) -> Iterator[_Deployment]:
        yield _Deployment()

    monkeypatch.setattr(run, "deploy", deploy)
    assert run.main(["--once", "--port", "8787", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "port 8787: Address already in use. Take another: make run PORT=0\n"


def test_a_port_that_none_can_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run.main(["--port", "99999"])
    assert "a port is 0 to 65535" in capsys.readouterr().err


def test_an_unreadable_trace_ends_it_before_anything_is_deployed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["--input", str(tmp_path / "none.csv")]) == 2
    assert "none.csv: No such file" in capsys.readouterr().err


def test_ctrl_c_at_any_moment_ends_it_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "deploy", interrupted)
    assert run.main(["--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_control_totals_are_shown_with_events_money_and_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    money = {"invoices": 2, "first": "BP-2026-000001", "last": "BP-2026-000002", "net": "96.79"}
    money |= {"net_exact": "96.791325", "tax": "18.39", "total": "115.18"}
    money |= {"receivable": "115.18", "revenue": "97.791325", "deferred": "-1", "tax_payable": "18.39"}
    money |= {"rounding": "-0.001325"}
    events = {"accepted": 1_503, "rated": 1_500, "excluded": {"before_activation": 2}, "parked": 1}
    report.run_totals({"totals": {"accounts": {"bundled": 2}, "events": events, "lines": 3, "money": {"USD": money}}})
    shown = capsys.readouterr().out
    assert "2 bundled" in shown
    assert "1,503 accepted = 1,500 rated + 2 excluded + 1 parked" in shown
    assert "2 in USD, BP-2026-000001 to BP-2026-000002" in shown
    assert "net 96.79 (exact 96.791325) + tax 18.39 = total 115.18" in shown
    assert "receivable 115.18 = revenue 97.791325 + deferred -1 + tax 18.39 + rounding -0.001325" in shown


LINE: dict[str, Any] = dict.fromkeys(MEMBERS) | {
    "line": 1, "source": "usage", "charge": "input", "account": "revenue:input", "provider": "openai",
    "model": "gpt-4o", "class": "input", "service_tier": "standard", "kind": "per_unit", "quantity": 1_084,
    "per": 1_000_000, "unit_price": "2.50", "rate_version": "std@1", "exact": "0.00271", "amount": "0.00",
}  # fmt: skip
PARTY = {"id": "acme", "name": "Acme", "address": "1 Main St", "country": "US"}


def invoice(*lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What of an invoice document is printed."""
    return {
        "number": "BP-2026-000001", "entity": PARTY, "customer": PARTY, "period": "2026-11", "currency": "USD",
        "contract": {"version": 1, "plan": "pure@1", "terms": {}}, "lines": lines, "net_exact": "0.00271",
        "net": "0.00", "tax": [{"category": "S", "rate": "0.19", "amount": "0.00"}], "total": "0.00",
        "events": {"accepted": 1, "rated": 1, "excluded": {}}, "included": [], "cliff": None,
    } | more  # fmt: skip


def printed(document: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    report.invoice(document)
    return capsys.readouterr().out.splitlines()


def test_columns_of_a_printed_invoice_never_run_together(capsys: pytest.CaptureFixture[str]) -> None:
    wide = LINE | {"class": "cache_write_5m", "tier": "included", "quantity": 10**15, "model": "m" * 128}
    wide |= {"unit_price": "1000000.123456789012", "rate_version": f"{'c' * 64}@999999"}
    wide |= {"exact": "1000000123456789.012345678901234567", "amount": "1000000123456789.01"}
    rows = printed(invoice(wide, net_exact=wide["exact"], net=wide["amount"]), capsys)
    [row] = [row for row in rows if "mmm" in row]
    assert row.split() == [
        "1", f"openai/{'m' * 128}", "cache_write_5m,", "included", "1,000,000,000,000,000",
        "1000000.123456789012", "/", "1M",
        f"{'c' * 64}@999999", "1000000123456789.012345678901234567", "1000000123456789.01",
    ]  # fmt: skip
    assert {len(row) for row in rows if row.endswith(("amount", ".01", " 0.00"))} == {len(row)}


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ({}, ["openai/gpt-4o", "input", "1,084", "2.50 / 1M", "std@1"]),
        ({"service_tier": "batch"}, ["openai/gpt-4o", "input, batch"]),
        ({"prompt_above": 200_000}, ["openai/gpt-4o", "input, prompt > 200,000"]),
        ({"attribute": "project=search"}, ["openai/gpt-4o", "input, project=search"]),
        ({"weight": 1}, ["openai/gpt-4o", "input", "1,084"]),
        ({"weight": 4, "kind": "graduated", "tier": "2"}, ["openai/gpt-4o", "input, 4 units each, tier 2"]),
        ({"kind": "per_unit", "tier": "1"}, ["openai/gpt-4o", "input", "1,084"]),
        ({"kind": "graduated", "tier": "included"}, ["openai/gpt-4o", "input, included"]),
        ({"kind": "package", "tier": "1", "blocks": 1}, ["openai/gpt-4o", "input, 1 block"]),
        ({"kind": "package", "tier": "1", "blocks": 2}, ["openai/gpt-4o", "input, 2 blocks"]),
    ],
)
def test_a_usage_line_says_what_tells_it_from_others(
    line: dict[str, Any], cells: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    [row] = [row for row in printed(invoice(LINE | line), capsys) if "gpt-4o" in row]
    assert re.split(r" {2,}", row.strip())[1 : len(cells) + 1] == cells


@pytest.mark.parametrize(
    ("account", "exact", "days"),
    [
        ("revenue:base", "99", "2026-11-01 up to 2026-12-01"),
        ("deferred:base", "99", "2026-11-01 up to 2026-12-01, in advance"),
        ("deferred:base", "-99", "2026-11-01 up to 2026-12-01, not used"),
    ],
)
def test_a_fee_shows_the_days_it_is_for(
    account: str, exact: str, days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fee = LINE | {"source": "fee", "charge": "base", "account": account, "unit_price": "99.00", "exact": exact}
    fee |= {"service_from": "2026-11-01", "service_to": "2026-12-01"}
    [row] = [row for row in printed(invoice(fee), capsys) if "base" in row]
    assert re.split(r" {2,}", row.strip())[1:5] == ["base", days, "1", "99.00 / period"]


@pytest.mark.parametrize(
    ("source", "charge", "name"),
    [
        ("commitment", "commitment", "commitment"),
        ("discount", "launch", "discount launch"),
        ("minimum", "output", "minimum output"),
    ],
)
def test_what_contract_or_plan_add_or_take_shows_its_arithmetic(
    source: str, charge: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clause = LINE | {"source": source, "charge": charge, "arithmetic": "20 - 16.5 = 3.5"}
    [row] = [row for row in printed(invoice(clause), capsys) if name in row]
    assert re.split(r" {2,}", row.strip())[1:] == [name, "20 - 16.5 = 3.5", "0.00271", "0.00"]


def test_under_an_invoice_stand_included_usage_what_is_earned_and_the_terms_of_overage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokens = {"name": "input", "unit": "token", "used": 500, "included": 2_000, "left": 1_500}
    money = {"name": "pool:tokens", "unit": "USD", "used": "1.5", "included": "50", "left": "48.5"}
    terms = {"overage_terms": "Billed in arrears.", "cliff_limit": "0.0001"}
    more: dict[str, Any] = {
        "included": [item | {"resets_on": "2026-12-01"} for item in (tokens, money)],
        "recognised": [{"charge": "base", "invoice": "BP-2026-000000", "exact": "99"}],
        "contract": {"version": 1, "plan": "team@1", "terms": terms},
        "cliff": {"charge": "output", "exact": "0.000012"},
    }
    shown = [row.strip() for row in printed(invoice(LINE, **more), capsys)]
    assert shown[-5:] == [
        "included  input: 500 of 2,000 tokens used, 1,500 left; resets on 2026-12-01",
        "included  pool:tokens: 1.5 of 50 USD used, 48.5 left; resets on 2026-12-01",
        "earned    99 of base, billed in advance on BP-2026-000000",
        "overage   Billed in arrears.",
        "cliff     one more unit of output raises this bill by at most 0.000012; the plan declares 0.0001",
    ]


def account(**controls: Any) -> dict[str, Any]:
    """An account of a run, as far as its controls are printed."""
    ratio = {"input": 1_000, "output": 600, "value": "0.6", "above": None}
    found: dict[str, Any] = {"plan": "units@1", "output_input_ratio": ratio, "margin": None, "reasons": []}
    return {"customer": "acme", "totals": {"controls": found | controls}}


def test_controls_are_shown_where_a_plan_watches_something(capsys: pytest.CaptureFixture[str]) -> None:
    ratio = {"input": 1_000, "output": 600, "value": "0.6", "above": "0.5"}
    margin = {"margin": "2", "earned": "10", "currency": "USD", "cost": "8", "floor": "0.30"}
    report.controls([account(), account(output_input_ratio=ratio, margin=margin, reasons=["too little is left"])])
    assert [row.strip() for row in capsys.readouterr().out.splitlines()[2:]] == [
        "acme, plan units@1",
        "ratio     0.6 (600 output to 1,000 input tokens); watched above 0.5",
        "margin    2 of 10 USD earned, cost 8; floor 0.30",
        "reprice   too little is left",
    ]


def test_nothing_is_said_of_controls_where_no_plan_watches_anything(capsys: pytest.CaptureFixture[str]) -> None:
    report.controls([account(), account()])
    assert capsys.readouterr().out == ""
