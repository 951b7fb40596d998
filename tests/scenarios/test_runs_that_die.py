"""A function of the billing run is killed after one of its writes, on the deployed template: the run heals itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.injector import die
from tests.scenarios.house import House, event, rate

pytestmark = pytest.mark.long


@pytest.mark.parametrize("fatal", [4, 6, 8, 11, 14, 17, 20, 23])
def test_a_killed_function_is_repeated_and_the_run_seals_with_one_invoice_each(
    house: House, tmp_path: Path, fatal: int
) -> None:
    name = f"crash{fatal}"
    house.at("2026-05-30T00:00:00")
    prices = [rate("gpt-4o", "input", "2.50"), rate("gpt-4o", "output", "10.00")]
    house.set_up(name, [f"{name}-a", f"{name}-b"], "2026-06-01", prices)
    house.at("2026-06-29T00:00:00")
    for customer in (f"{name}-a", f"{name}-b"):
        house.send([event(customer, "e1", "2026-06-10T10:00:00Z", input=1_000_000, output=1)])
    house.at("2026-06-30T23:59:00")
    house.deployment.clock.move_to(house.deployment.clock.now().replace(month=7, day=1, hour=1, minute=0))
    with die(fatal) as calls:
        run = house.run(name, "2026-06")
    assert calls.struck, f"there were fewer than {fatal} writes"
    if run["status"] != "sealed":
        run = house.run(name, "2026-06")
    assert run["status"] == "sealed", run
    documents = house.invoices(name, "2026")
    assert sorted(document["number"] for document in documents.values()) == [
        f"{name.upper()}-2026-000001",
        f"{name.upper()}-2026-000002",
    ]
    for document in documents.values():
        assert document["net_exact"] == "2.50001"  # 1,000,000 x 2.50 / 1M + 1 x 10.00 / 1M
        assert house.verify(document["number"], tmp_path).ok
