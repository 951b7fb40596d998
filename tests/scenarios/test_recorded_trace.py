"""The real trace, sent badly: shuffled, from many threads, every fifth event twice, and the whole of it again."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from local.client import send_in_batches
from local.trace_file import read_trace
from tests.scenarios.house import House, line, rate

pytestmark = pytest.mark.long

TRACE = Path(
    os.environ.get("BILLPROOF_TRACE")
    or Path(__file__).parents[3] / "shared" / "data" / "azure_llm_inference_trace_2023_conv.csv"
)


@pytest.mark.skipif(not TRACE.exists(), reason=f"the recorded trace is not there: {TRACE} (set BILLPROOF_TRACE)")
def test_nineteen_thousand_requests_sent_badly_are_billed_once_and_exactly(house: House, tmp_path: Path) -> None:
    house.at("2023-11-01T00:00:00")
    house.set_up("azure", ["conv"], "2023-11-01", [rate("gpt-4o", "input", "2.50"), rate("gpt-4o", "output", "10.00")])
    house.at("2023-11-30T12:00:00")
    events: list[dict[str, Any]] = read_trace(TRACE, "conv")
    assert len(events) == 19_366
    order = random.Random(20231116)
    sent = [*events, *events[::5]]
    order.shuffle(sent)
    totals = send_in_batches(house.send, sent, threads=8)
    assert totals["accepted"] == 19_366
    assert totals["duplicate"] == len(events[::5])
    order.shuffle(events)
    again = send_in_batches(house.send, events, threads=8)
    assert (again["accepted"], again["duplicate"]) == (0, 19_366)

    house.at("2023-12-01T06:00:01")
    run = house.run("azure", "2023-11")
    assert run["status"] == "sealed"
    document = house.invoices("azure", "2023")["conv"]
    assert document["net_exact"] == "96.791325"  # 22,361,870 x 2.50 / 1M + 4,088,665 x 10.00 / 1M
    assert document["total"] == "96.79"
    assert (line(document, "input")["quantity"], line(document, "input")["amount"]) == (22_361_870, "55.90")
    assert (line(document, "output")["quantity"], line(document, "output")["amount"]) == (4_088_665, "40.89")
    report = house.verify(document["number"], tmp_path)
    assert report.ok, report.differences
