"""A whole month in the customers' words, from the first request to sealed books, with everything that goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lambdas.billing.journal import balances, postings_of
from local.aws import client
from tests.scenarios.house import House, event, line, rate

pytestmark = pytest.mark.long

MONTH = "2026-11"
NAME = "lighthouse"


@pytest.fixture(scope="module")
def month(house: House) -> dict[str, Any]:
    """November at Lighthouse: what was answered on the way, by name."""
    seen: dict[str, Any] = {}
    house.at("2026-10-30T09:00:00")
    prices = [rate("gpt-4o", "input", "2.50"), rate("gpt-4o", "output", "10.00")]
    house.set_up(NAME, ["orca", "puffin"], "2026-11-01", prices)
    orca, puffin = house.key_of("orca"), house.key_of("puffin")

    house.at("2026-11-10T12:00:00")
    first = [
        event("orca", "a1", "2026-11-01T00:00:00Z", input=1_000_000, output=100_000),
        event("orca", "a2", "2026-11-10T11:00:00Z", input=2_000_001, output=0),
    ]
    seen["first"] = house.send(first, key=orca)
    seen["view"] = house.get("/v1/customers/orca/usage", key=orca, period=MONTH)
    later = event("orca", "a2", "2026-11-10T11:00:09Z", input=2_000_001, output=0)
    seen["again"] = house.send([*first[:1], later], key=orca)
    seen["changed"] = house.send([event("orca", "a1", "2026-11-01T00:00:00Z", input=7, output=100_000)], key=orca)
    bad = event("orca", "a3", "2026-11-10T11:30:00Z", input=-1)
    seen["mixed"] = house.send([bad, event("orca", "a4", "2026-11-10T11:30:00Z", output=1)], key=orca)
    seen["foreign"] = house.send([event("orca", "p0", "2026-11-10T11:30:00Z", input=1)], key=puffin)

    house.publish(NAME, 2, "2026-11-24", [rate("gpt-4o", "input", "2.00")])
    house.at("2026-11-30T23:50:00")
    seen["edges"] = house.send(
        [
            event("orca", "e1", "2026-11-23T23:59:59.9999999Z", input=1_000),
            event("orca", "e2", "2026-11-24T00:00:00Z", input=1_000),
            event("orca", "e3", "2026-11-30T23:49:59.9999996Z", input=500),
        ],
        key=orca,
    )
    seen["parked"] = house.send(
        [
            event("puffin", "p1", "2026-11-20T08:00:00Z", input=3_000_000),
            event("puffin", "p2", "2026-11-20T09:00:00Z", model="gpt-next", input=4_000, output=200),
        ],
        key=puffin,
    )

    house.at("2026-12-01T06:00:01")  # the monthly rule fires: nobody calls anything
    seen["incomplete"] = house.get(f"/v1/billing-runs/{NAME}.{MONTH}.final")
    [seen["machine"]] = [run for run in house.deployment.executions() if run.name.startswith(f"{NAME}_{MONTH}")]
    seen["late"] = house.send(
        [
            event("orca", "late", "2026-11-30T12:00:00Z", input=9_000_000),
            event("puffin", "late", "2026-11-30T12:00:00Z", input=9_000_000),
        ]
    )
    house.at("2026-12-02T10:00:00")
    house.publish(NAME, 3, "2026-11-01", [rate("gpt-next", "input", "5.00"), rate("gpt-next", "output", "20.00")])
    seen["sealed"] = house.run(NAME, MONTH)
    seen["invoices"] = house.invoices(NAME, "2026")
    return seen


def test_accepted_is_counted_when_the_answer_leaves(month: dict[str, Any]) -> None:
    assert month["first"]["accepted"] == 2
    assert month["view"]["events"] == 2
    [model] = month["view"]["models"]
    assert model["quantities"] == {"input": 1_000_000 + 2_000_001, "output": 100_000}
    assert [day["day"] for day in month["view"]["days"]] == ["2026-11-01", "2026-11-10"]


def test_a_repeated_event_is_a_duplicate_also_with_another_time(month: dict[str, Any]) -> None:
    assert month["again"]["duplicate"] == 2
    assert month["again"]["results"][1]["stored_time"] == "2026-11-10T11:00:00.000000Z"


def test_changed_content_is_a_conflict_that_names_the_stored_hash(month: dict[str, Any]) -> None:
    assert month["changed"]["conflict"] == 1
    [result] = month["changed"]["results"]
    assert result["stored_hash"] == month["first"]["results"][0]["hash"] != result["hash"]


def test_one_bad_event_does_not_fail_its_neighbour(month: dict[str, Any]) -> None:
    assert [result["status"] for result in month["mixed"]["results"]] == ["rejected", "accepted"]
    assert month["mixed"]["results"][0]["field"] == "data.quantities.input"


def test_another_customers_key_is_refused(month: dict[str, Any]) -> None:
    assert month["foreign"]["rejected"] == 1
    assert month["foreign"]["results"][0]["field"] == "subject"


def test_an_event_without_a_price_is_stored_and_parked(month: dict[str, Any]) -> None:
    assert month["parked"]["accepted"] == 2
    assert month["parked"]["parked"] == 1
    assert "gpt-next" in month["parked"]["results"][1]["parked"]["detail"]


def test_parked_usage_raises_one_alert_for_each_class(month: dict[str, Any], house: House) -> None:
    logs = client("logs")
    [group] = [
        g["logGroupName"] for g in logs.describe_log_groups()["logGroups"] if g["logGroupName"].endswith("/alerts")
    ]
    said = [e["message"] for e in logs.filter_log_events(logGroupName=group)["events"] if '"puffin"' in e["message"]]
    assert len(said) == 2
    assert sum("gpt-next" in message for message in said) == 2


def test_one_failing_account_is_reported_and_does_not_stop_the_other(month: dict[str, Any]) -> None:
    run = month["incomplete"]
    assert run["status"] == "incomplete"
    assert run["accounts"]["by_status"] == {"bundled": 1, "failed": 1}
    [failed] = run["failed"]
    assert failed["customer"] == "puffin"
    assert failed["code"] == "AccountParked"
    assert month["machine"].status == "FAILED"
    assert month["machine"].error == "RunIncomplete"


def test_the_fixed_account_is_issued_when_the_run_is_resumed(month: dict[str, Any]) -> None:
    assert month["sealed"]["status"] == "sealed"
    assert month["sealed"]["accounts"]["by_status"] == {"bundled": 2}
    numbers = {customer: document["number"] for customer, document in month["invoices"].items()}
    assert numbers == {"orca": "LIGHTHOUSE-2026-000001", "puffin": "LIGHTHOUSE-2026-000002"}


def test_a_rate_change_in_the_month_gives_two_lines(month: dict[str, Any]) -> None:
    orca = month["invoices"]["orca"]
    before, after = line(orca, "input", 1), line(orca, "input", 2)
    assert before["quantity"] == 1_000_000 + 2_000_001 + 1_000  # 23:59:59.9999999 is still the day before
    assert before["exact"] == "7.5025025"  # 3,001,001 x 2.50 / 1,000,000
    assert after["quantity"] == 1_000 + 500
    assert after["exact"] == "0.003"  # 1,500 x 2.00 / 1,000,000
    assert line(orca, "output")["exact"] == "1.00001"  # 100,001 x 10.00 / 1,000,000


def test_lines_add_up_to_the_net(month: dict[str, Any]) -> None:
    orca = month["invoices"]["orca"]
    assert orca["net_exact"] == "8.5055125"  # 7.5025025 + 0.003 + 1.00001
    assert orca["net"] == orca["total"] == "8.51"
    # Floors 7.50 + 0.00 + 1.00 = 8.50; the missing cent goes to the largest remainder, 0.003 of the second line.
    assert [item["amount"] for item in orca["lines"]] == ["7.50", "0.01", "1.00"]


def test_a_first_price_releases_what_was_parked(month: dict[str, Any]) -> None:
    puffin = month["invoices"]["puffin"]
    assert puffin["events"] == {"accepted": 2, "rated": 2, "excluded": {}}
    assert line(puffin, "input", 3, "gpt-next")["exact"] == "0.02"  # 4,000 x 5.00 / 1,000,000
    assert line(puffin, "output", 3, "gpt-next")["exact"] == "0.004"  # 200 x 20.00 / 1,000,000
    assert puffin["net_exact"] == "7.524"  # 3,000,000 x 2.50 / 1,000,000 + 0.024


def test_what_arrives_after_the_freeze_is_late_and_stays_out(month: dict[str, Any], house: House) -> None:
    assert month["late"]["accepted"] == 2
    for customer in ("orca", "puffin"):
        trace = house.get("/v1/trace/event", customer=customer, source="/gateway", id="late")
        assert trace["state"] == "late"
        assert month["invoices"][customer]["events"]["accepted"] == {"orca": 6, "puffin": 2}[customer]


def test_every_bundle_verifies_offline(month: dict[str, Any], house: House, tmp_path: Path) -> None:
    for document in month["invoices"].values():
        report = house.verify(document["number"], tmp_path)
        assert report.ok, report.differences


def test_journal_entries_balance_and_carry_the_totals(month: dict[str, Any], house: House) -> None:
    entries = [item for name, item in house.everything().items() if "ledger" in name.lower() and f"J#{NAME}" in name]
    assert len(entries) == 2
    for entry in entries:
        transaction = json.loads(entry["body"]["S"])
        sums = balances(postings_of(transaction))
        assert sum(sums.values()) == 0
        customer = transaction["reference"]["customer"]
        total = month["invoices"][customer]["total"]
        assert sums[f"customer:{customer}:receivable"] == int(total.replace(".", "")) * 10**16


def test_counters_are_the_sums_of_all_segments(month: dict[str, Any], house: House) -> None:
    stored = house.everything()
    for customer in ("orca", "puffin"):
        counted: dict[str, int] = {}
        monthly: dict[str, int] = {}
        segments: dict[str, int] = {}
        for name, item in stored.items():
            if f" C#{customer} " in name:
                target = counted if item["sk"]["S"].startswith("D#") else monthly
                for field, value in item.items():
                    if field.startswith("q:"):
                        target[field[2:]] = target.get(field[2:], 0) + int(value["N"])
            if f" S#{customer}#" in name:
                for key, quantity in json.loads(item["q"]["S"]).items():
                    segments[key] = segments.get(key, 0) + quantity
        assert counted == monthly == segments != {}


def test_traces_walk_both_ways(month: dict[str, Any], house: House) -> None:
    event_trace = house.get("/v1/trace/event", customer="orca", source="/gateway", id="a2")
    assert event_trace["state"] == "rated"
    [charge] = event_trace["charges"]
    assert charge["arithmetic"].startswith("2,000,001 x 2.50 / 1,000,000 = 5.0000025")
    number = month["invoices"]["orca"]["number"]
    line_trace = house.get("/v1/trace/line", invoice=number, line=str(charge["line"]))
    assert [item["id"] for item in line_trace["events"]] == ["a1", "a2", "e1"]


def test_customers_see_their_own_invoices_only(month: dict[str, Any], house: House) -> None:
    puffin = house.key_of("puffin")
    own, other = (month["invoices"][customer]["number"] for customer in ("puffin", "orca"))
    assert house.call("GET", f"/v1/invoices/{own}", key=puffin).status == 200
    assert house.call("GET", f"/v1/invoices/{other}", key=puffin).status == 404
    assert house.call("GET", f"/v1/invoices/{other}/bundle", key=puffin).status == 404
    assert house.call("GET", "/v1/customers/orca/usage", key=puffin).status == 403
    seen = house.call("GET", "/v1/trace/event", key=puffin, customer="orca", source="/gateway", id="a1")
    assert seen.status in (403, 404)


def test_running_it_all_again_changes_nothing(month: dict[str, Any], house: House) -> None:
    before = house.everything()
    answer = house.call("POST", "/v1/billing-runs", {"entity": NAME, "period": MONTH, "mode": "final"})
    assert (answer.status, answer.json()["status"]) == (200, "sealed")
    states = client("stepfunctions")
    states.start_execution(
        stateMachineArn=house.deployment.outputs["StateMachineArn"],
        name="again-by-hand",
        input=f'{{"run_id": "{NAME}.{MONTH}.final"}}',
    )
    house.settle()
    assert house.deployment.executions()[-1].status == "SUCCEEDED"
    assert house.everything() == before
