"""Controls of an account in a whole run: recorded for the seller, logged when crossed, in no invoice and no bundle; and
a fee without a price, which stops its account."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest

from lambdas.billing.verify import verify_bundle
from lambdas.handlers import billing_runs, stores
from lambdas.store.evidence import bundle_key
from tests.handlers.http_calls import FINANCE, OPERATOR, Answer, call, customer_key
from tests.handlers.months import (
    RUN_ID,
    START,
    account_of,
    agree,
    execute,
    invoice_of,
    open_run_item,
    publish,
    set_up,
    use,
)
from tests.store.catalogue_documents import CUSTOMER, ENTITY, card, rate

pytestmark = pytest.mark.usefixtures("aws")
M = 1_000_000
UNITS = {
    "id": "units",
    "version": 1,
    "name": "Units",
    "model": "blended_unit",
    "posture": "variable",
    "volatility_bearer": "seller",
    "weights": {"input": 1, "output": 4},
    "kind": "per_unit",
    "controls": {"output_input_ratio_above": "0.5", "margin_floor": "0.30"},
}
FOR_UNITS = {"plan": "units", "volatility_bearer": "seller", "rate_card": "units", "cost_card": "prov"}
LATER = "2026-12-02T00:00:00.000000Z"


def publish_card(name: str, document: dict[str, Any], *, now: str = START) -> None:
    stores.catalogue().publish_rate_card(name, document, now=now, periods=stores.sealed_periods())


def sold_by_unit(*costs: dict[str, Any], **contract: Any) -> None:
    """Acme on blended units at 10.00 per million; 2.00 and 8.00 is what a million of input and of output cost."""
    catalogue = stores.catalogue()
    catalogue.create_entity(ENTITY, now=START)
    catalogue.publish_plan(UNITS, now=START)
    publish_card("units", card(1, "2026-10-01", {"charge": "units", "price": "10.00", "per": M}))
    rates = costs or (rate("input", "2.00"), rate("output", "8.00"))
    publish_card("prov", card(1, "2026-10-01", *rates))
    catalogue.create_customer(CUSTOMER, now=START)
    agree("acme", **{**FOR_UNITS, **contract})
    open_run_item()


def controls_of(customer: str = "acme") -> dict[str, Any]:
    found: dict[str, Any] = (account_of(customer).totals or {})["controls"]
    return found


def logged(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    """What was said beside a message, each time."""
    return [vars(record) for record in caplog.records if record.getMessage() == message]


def counted(text: str) -> dict[str, int]:
    """The metrics that were emitted, added up."""
    sums: dict[str, int] = {}
    for line in [json.loads(line) for line in text.splitlines() if line.startswith("{")]:
        for metrics in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            for metric in metrics["Metrics"]:
                [value] = line[metric["Name"]]
                sums[metric["Name"]] = sums.get(metric["Name"], 0) + int(value)
    return sums


def files_of_bundle(number: str) -> dict[str, bytes]:
    data = stores.evidence().get(bundle_key(number))
    assert verify_bundle(io.BytesIO(data)).ok
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# controls


def test_what_is_within_its_limits_is_recorded_and_calls_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    sold_by_unit()
    use("acme", "a", "2026-11-16T10:00:00Z", input=M, output=M // 2)
    assert execute()["status"] == "sealed"

    controls = controls_of()
    assert controls["output_input_ratio"] == {
        "input": M, "output": M // 2, "value": "0.5", "above": "0.5", "crossed": False,
    }  # fmt: skip
    margin = controls["margin"]
    assert (margin["earned"], margin["cost"], margin["share"]) == ("30", "6", "0.8")  # 3M units; 2.00 + 4.00
    assert controls["repricing_due"] is False
    assert {"ControlsCrossed", "MarginsUnknown"}.isdisjoint(counted(capsys.readouterr().out))


def test_crossed_controls_are_logged_and_counted(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    sold_by_unit(rate("input", "2.00"), rate("output", "60.00"))
    use("acme", "a", "2026-11-16T10:00:00Z", input=M, output=M)
    execute()

    controls = controls_of()
    assert controls["repricing_due"] is True
    # 5M units earn 50.00; 2.00 + 60.00 are the cost
    assert controls["reasons"] == [
        "output/input is 1 (1,000,000 to 1,000,000 tokens): above 0.5 of plan units@1",
        "margin -0.24 (-12 of 50 USD earned, cost 62): below 0.30 of plan units@1",
    ]
    assert counted(capsys.readouterr().out)["ControlsCrossed"] == 2
    [line] = logged(caplog, "control crossed")
    assert (line["customer"], line["plan"], line["reasons"]) == ("acme", "units@1", controls["reasons"])


def test_a_missing_cost_is_named_logged_and_counted(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    sold_by_unit(rate("input", "2.00"))
    use("acme", "a", "2026-11-16T10:00:00Z", input=M, output=1)
    assert execute()["status"] == "sealed"

    margin = controls_of()["margin"]
    assert (margin["costs"], margin["cost"], margin["margin"]) == ({"USD": "2"}, None, None)
    assert margin["missing"][0]["detail"] == "cost card prov has no price for openai/gpt-4o output"
    assert counted(capsys.readouterr().out)["MarginsUnknown"] == 1
    [line] = logged(caplog, "margin not known")
    assert (line["customer"], line["missing"]) == ("acme", margin["missing"])


def test_costs_change_by_day_and_by_prompt_also_over_shards_and_blocks() -> None:
    sold_by_unit(rate("input", "2.00"), {**rate("input", "4.00"), "prompt_above": 200_000})
    publish_card("prov", card(2, "2026-11-16", rate("input", "3.00")), now="2026-11-01T00:00:00.000000Z")
    for n, (day, prompt) in enumerate([(15, 200_000), (15, 200_001), (16, 200_000), (16, 200_001)]):
        use("acme", f"e{n}", f"2026-11-{day}T{n:02d}:00:00Z", input=prompt)
    execute(shard_events=1)
    # 200,000 x 2.00 + 200,001 x 4.00 + 200,000 x 3.00 + 200,001 x 4.00, per million
    assert controls_of()["margin"]["cost"] == "2.600008"


def test_costs_are_frozen_with_the_inputs() -> None:
    """A cost published after the freeze, for the frozen month, counts from the next freeze on."""
    sold_by_unit(rate("input", "2.00"))
    use("acme", "a", "2026-11-16T10:00:00Z", input=M, output=M)
    use("acme", "b", "2026-11-16T11:00:00Z", model="gpt-9", video=1)
    execute()
    assert account_of("acme").status == "failed"
    publish_card("prov", card(2, "2026-11-01", rate("output", "8.00")), now=LATER)

    frozen = [stores.evidence().get_json(f"runs/{RUN_ID}/acme/frozen-1.json")]
    execute(execution="two", now="2026-12-02T01:00:00.000000Z")
    frozen.append(stores.evidence().get_json(f"runs/{RUN_ID}/acme/frozen-2.json"))

    assert [sorted(inputs["costs"]) for inputs in frozen] == [["prov@1"], ["prov@1", "prov@2"]]
    assert [sorted(inputs["rates"]) for inputs in frozen] == [["units@1"], ["units@1"]]


def test_a_plan_that_passes_nothing_through_keeps_its_costs_out_of_invoice_and_bundle() -> None:
    sold_by_unit(rate("input", "2.1234"), rate("output", "8.1234"))
    use("acme", "a", "2026-11-16T10:00:00Z", input=M, output=M // 2)
    execute()

    assert controls_of()["margin"]["cost"] == "6.1851"  # 2.1234 + 8.1234 / 2
    invoice = invoice_of("acme")
    assert set(invoice["contract"]["rate_versions"]) == {"units@1"}
    files = files_of_bundle(invoice["number"])
    assert [name for name in files if name.startswith("rates/")] == ["rates/units@1.json"]
    for name, content in files.items():
        for secret in (b"2.1234", b"8.1234", b"6.1851", b"repricing_due", b"prov@1"):
            assert secret not in content, (name, secret)


def test_a_plan_that_passes_cost_through_has_it_in_the_bundle_and_watches_it_all_the_same() -> None:
    passing = {
        "id": "passing", "version": 1, "name": "Passing", "model": "custom", "posture": "variable",
        "volatility_bearer": "customer", "primary_meter": "input",
        "charges": [{"id": "input", "meter": "input", "kind": "pass_through", "markup": "1.20"}],
    }  # fmt: skip
    stores.catalogue().publish_plan(passing, now=START)
    publish_card("prov", card(1, "2026-10-01", rate("input", "2.00")))
    set_up("acme", plan="passing", cost_card="prov")
    use("acme", "a", "2026-11-16T10:00:00Z", input=M)
    open_run_item()
    assert execute()["status"] == "sealed"

    margin = controls_of()["margin"]
    assert (margin["earned"], margin["cost"], margin["margin"]) == ("2.4", "2", "0.4")
    files = files_of_bundle(invoice_of("acme")["number"])
    assert "rates/prov@1.json" in files


def test_usage_that_makes_no_invoice_has_controls_too() -> None:
    sold_by_unit(rate("input", "2.00"), rate("input_image", "9.00"), parked_usage="exclude")
    use("acme", "a", "2026-11-16T10:00:00Z", input_image=M)
    execute()
    assert account_of("acme").status == "empty"
    assert controls_of()["margin"]["margin"] == "-9"
    assert controls_of()["repricing_due"] is True


# the call that shows them


def accounts(caller: Mapping[str, str] = OPERATOR, /, *, run_id: str = RUN_ID, **query: str) -> Answer:
    return call(billing_runs.handler, "GET /v1/billing-runs/{id}/accounts", caller, id_=run_id, **query)


def test_accounts_are_shown_with_totals_and_controls() -> None:
    sold_by_unit()
    use("acme", "a", "2026-11-16T10:00:00Z", input=M, output=M // 2)
    execute()

    answer = accounts(FINANCE)

    assert answer.status == 200
    [shown] = answer.body["items"]
    totals = shown.pop("totals")
    assert shown == {
        "customer": "acme", "status": "bundled", "freeze": 1, "events": 1, "number": "BP-2026-000001", "error": None,
    }  # fmt: skip
    assert totals["controls"] == controls_of()
    assert (totals["net_exact"], totals["rated"], totals["lines"]) == ("30", 1, 2)
    assert not {"quantities", "excluded_quantities"} & set(totals)
    assert answer.body["cursor"] is None


def test_an_account_that_is_not_rated_or_failed_is_shown_without_controls() -> None:
    set_up("acme", "beta")
    use("beta", "new", "2026-11-20T11:00:00Z", model="gpt-9", output=3)
    open_run_item()
    execute()
    acme, beta = accounts().body["items"]
    assert (acme["customer"], acme["status"], acme["number"], acme["error"]) == ("acme", "empty", None, None)
    assert (beta["status"], beta["error"]["code"]) == ("failed", "AccountParked")
    assert beta["totals"]["excluded"] == {"parked": 1}
    assert "controls" not in beta["totals"]


def test_accounts_are_listed_in_pages() -> None:
    names = ["a", "a-b", "a.b", "a0", "ab", "b"]
    set_up(*names)
    open_run_item()
    execute()
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        body = accounts(limit="2", **cursor).body
        assert len(body["items"]) == 2
        seen += [account["customer"] for account in body["items"]]
        if body["cursor"] is None:
            break
        cursor = {"cursor": body["cursor"]}
    assert seen == sorted(names)


@pytest.mark.parametrize(
    ("query", "status"),
    [({"cursor": "\u00fc"}, 422), ({"cursor": "~"}, 422), ({"limit": "0"}, 422), ({"run_id": "nothing"}, 404)],
)
def test_accounts_that_cannot_be_listed_are_refused(query: dict[str, Any], status: int) -> None:
    set_up("acme")
    open_run_item()
    assert accounts(**query).status == status


def test_no_customer_sees_costs() -> None:
    set_up("acme")
    open_run_item()
    assert accounts(customer_key("acme")).status == 403


# a fee without a price


def flat(timing: str) -> dict[str, Any]:
    return {
        "id": "based", "version": 1, "name": "Based", "model": "custom", "posture": "variable",
        "volatility_bearer": "customer", "primary_meter": "input",
        "charges": [
            {"id": "base", "kind": "flat", "timing": timing}, {"id": "input", "meter": "input", "kind": "per_unit"},
        ],
    }  # fmt: skip


BASE = {"charge": "base", "price": "30.00", "per": 1}


def test_a_fee_without_a_price_stops_its_account_and_says_what_to_publish() -> None:
    stores.catalogue().publish_plan(flat("arrears"), now=START)
    set_up("beta")
    publish(card(2, "2026-12-01", BASE), now=START)  # a month late
    stores.catalogue().create_customer({"id": "acme", "name": "Acme"}, now=START)
    agree("acme", plan="based", effective_from="2026-11-01")
    use("acme", "a", "2026-11-16T10:00:00Z", input=M)
    use("beta", "b", "2026-11-16T10:00:00Z", input=M)
    open_run_item()

    incomplete = execute()

    assert incomplete["status"] == "incomplete"
    [failed] = incomplete["failed"]
    assert failed == {
        "customer": "acme",
        "status": "failed",
        "code": "RateMissing",
        "detail": "charge base = no price on 2026-11-01: publish its price in rate card std "
        "(a first price may begin in the past), then resume the run",
    }
    assert incomplete["totals"]["events"] == {"accepted": 2, "rated": 2, "excluded": {}, "parked": 0}
    assert incomplete["totals"]["accounts"] == {"bundled": 1, "failed": 1}

    publish(card(3, "2026-11-01", BASE), now=LATER)
    sealed = execute(execution="two", now="2026-12-02T01:00:00.000000Z")

    assert sealed["status"] == "sealed"
    assert invoice_of("acme")["net_exact"] == "32.5"  # 30.00 + 1,000,000 x 2.50 / 1,000,000


def test_a_fee_in_advance_needs_a_price_when_the_next_period_begins() -> None:
    stores.catalogue().publish_plan(flat("advance"), now=START)
    set_up()
    publish(card(2, "2026-12-02", BASE), now=START)
    stores.catalogue().create_customer({"id": "acme", "name": "Acme"}, now=START)
    agree("acme", plan="based", effective_from="2026-12-01")
    open_run_item()

    [failed] = execute()["failed"]
    assert (failed["code"], failed["detail"].partition(":")[0]) == (
        "RateMissing",
        "charge base = no price on 2026-12-01",
    )

    publish(card(3, "2026-12-01", BASE), now=LATER)
    assert execute(execution="two", now="2026-12-02T01:00:00.000000Z")["status"] == "sealed"
    assert invoice_of("acme")["net_exact"] == "30"
