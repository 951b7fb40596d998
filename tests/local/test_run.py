"""What `make run` says when it cannot do what was asked, and how it shows a run's control totals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

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
    money |= {"receivable": "115.18", "revenue": "96.791325", "tax_payable": "18.39", "rounding": "-0.001325"}
    events = {"accepted": 1_503, "rated": 1_500, "excluded": {"before_activation": 2}, "parked": 1}
    report.run_totals({"totals": {"accounts": {"bundled": 2}, "events": events, "lines": 3, "money": {"USD": money}}})
    shown = capsys.readouterr().out
    assert "2 bundled" in shown
    assert "1,503 accepted = 1,500 rated + 2 excluded + 1 parked" in shown
    assert "2 in USD, BP-2026-000001 to BP-2026-000002" in shown
    assert "net 96.79 (exact 96.791325) + tax 18.39 = total 115.18" in shown
    assert "receivable 115.18 = revenue 96.791325 + tax 18.39 + rounding -0.001325" in shown


def test_columns_of_a_printed_invoice_never_run_together(capsys: pytest.CaptureFixture[str]) -> None:
    line: dict[str, Any] = {
        "line": 1,
        "provider": "openai",
        "class": "cache_write_5m",
        "tier": "included",
        "quantity": 10**15,
        "per": 1_000_000,
    }
    line |= {"model": "m" * 128, "unit_price": "1000000.123456789012", "rate_version": f"{'c' * 64}@999999"}
    line |= {"exact": "1000000123456789.012345678901234567", "amount": "1000000123456789.01"}
    party = {"id": "acme", "name": "Acme", "address": "1 Main St", "country": "US"}
    document: dict[str, Any] = {
        "number": "BP-2026-000001",
        "entity": party,
        "customer": party,
        "period": "2026-11",
        "currency": "USD",
    }
    document |= {"contract": {"version": 1}, "lines": [line], "net_exact": line["exact"], "net": line["amount"]}
    document |= {"tax": [{"category": "S", "rate": "0.19", "amount": "1.00"}], "total": "2.00"}
    document |= {"events": {"accepted": 1, "rated": 1, "excluded": {}}}
    report.invoice(document)
    rows = capsys.readouterr().out.splitlines()
    [row] = [row for row in rows if "mmm" in row]
    assert row.split() == [
        "1", f"openai/{'m' * 128}", "cache_write_5m,", "included", "1,000,000,000,000,000",
        "1000000.123456789012", "/", "1M",
        f"{'c' * 64}@999999", "1000000123456789.012345678901234567", "1000000123456789.01",
    ]  # fmt: skip
    assert {len(row) for row in rows if row.endswith(("amount", ".01", "1.00", "2.00"))} == {len(row)}
