"""Opening, resuming and watching billing runs over HTTP and by the monthly rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.handlers import billing_runs, stores
from lambdas.handlers.billing_runs import execution_name
from lambdas.handlers.runtime import set_clock
from lambdas.store import clients
from lambdas.store.billing import Billing
from tests.handlers.http_calls import CONTEXT, FINANCE, OPERATOR, Answer, call, customer_key
from tests.handlers.months import RUN_ID, START, execute, publish, set_up, use
from tests.store.catalogue_documents import ENTITY, card, rate

NOVEMBER = {"entity": "bp-us", "period": "2026-11", "mode": "final"}
MONTHLY = {"scheduled_at": "2026-12-01T06:00:00Z"}


@pytest.fixture(autouse=True)
def machine(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A state machine whose executions run until they are stopped, on the first of December."""
    arn = clients.step_functions().create_state_machine(
        name="billing-run",
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/run",
    )["stateMachineArn"]
    monkeypatch.setenv("STATE_MACHINE_ARN", arn)
    set_clock(lambda: datetime(2026, 12, 1, 6, tzinfo=UTC))
    yield arn
    set_clock(None)


def executions(arn: str) -> dict[str, str]:
    found = clients.step_functions().list_executions(stateMachineArn=arn)["executions"]
    return {execution["name"]: execution["status"] for execution in found}


def end(arn: str, name: str) -> None:
    clients.step_functions().stop_execution(
        executionArn=f"{arn.replace(':stateMachine:', ':execution:')}:{name}", error="x", cause="y"
    )


def post(body: Any = NOVEMBER, caller: dict[str, str] = OPERATOR) -> Answer:
    return call(billing_runs.handler, "POST /v1/billing-runs", caller, body)


def get(run_id: str, caller: dict[str, str] = FINANCE) -> Answer:
    return call(billing_runs.handler, "GET /v1/billing-runs/{id}", caller, id_=run_id)


def test_a_post_opens_the_run_and_starts_one_execution(machine: str) -> None:
    set_up("acme")

    answer = post()

    assert answer.status == 202
    first = execution_name(RUN_ID, 1)
    assert executions(machine) == {first: "RUNNING"}
    assert answer.body == {
        "run_id": RUN_ID,
        "entity": "bp-us",
        "period": "2026-11",
        "mode": "final",
        "status": "open",
        "opened_at": "2026-12-01T06:00:00.000000Z",
        "opened_by": "000000000000",
        "attempt": 0,
        "execution": first,
        "totals": None,
        "accounts": {"total": 0, "by_status": {}},
        "failed": [],
    }


def test_a_post_while_an_execution_runs_starts_no_second(machine: str) -> None:
    set_up("acme")
    first = post()
    set_clock(lambda: datetime(2026, 12, 3, tzinfo=UTC))

    assert post() == first
    assert len(executions(machine)) == 1


def test_a_post_after_an_unfinished_execution_resumes_by_a_new_one(machine: str) -> None:
    set_up("acme")
    post()
    end(machine, execution_name(RUN_ID, 1))

    answer = post()

    assert answer.status == 202
    assert answer.body["execution"] == execution_name(RUN_ID, 2)
    assert executions(machine)[execution_name(RUN_ID, 2)] == "RUNNING"


def test_a_start_that_was_counted_and_never_made_is_made_by_the_next_post(machine: str) -> None:
    set_up("acme")
    post()
    end(machine, execution_name(RUN_ID, 1))
    stores.billing().count_start(RUN_ID, 1)

    assert post().body["execution"] == execution_name(RUN_ID, 2)
    assert stores.billing().run(RUN_ID).starts == 2


def test_a_sealed_run_is_answered_and_not_started_again(machine: str) -> None:
    set_up("acme")
    use("acme", "a", "2026-11-20T10:00:00Z", input=1_000_000)
    post()
    execute(execution=execution_name(RUN_ID, 1))
    end(machine, execution_name(RUN_ID, 1))

    answer = post()

    assert answer.status == 200
    assert answer.body["status"] == "sealed"
    assert answer.body["accounts"] == {"total": 1, "by_status": {"bundled": 1}}
    assert answer.body["totals"]["money"]["USD"]["total"] == "2.50"
    assert len(executions(machine)) == 1


def test_an_unfinished_run_names_its_failed_accounts(machine: str) -> None:
    set_up("acme", "beta")
    use("beta", "p", "2026-11-20T10:00:00Z", model="gpt-9", input=1)
    post()
    execute()

    body = get(RUN_ID).body

    assert body["status"] == "incomplete"
    assert body["accounts"]["by_status"] == {"empty": 1, "failed": 1}
    [failed] = body["failed"]
    assert (failed["customer"], failed["status"], failed["code"]) == ("beta", "failed", "AccountParked")

    publish(card(2, "2026-11-01", rate("input", "1", model="gpt-9")), now="2026-12-02T00:00:00.000000Z")
    execute(execution="two", now="2026-12-02T00:00:01.000000Z")
    assert get(RUN_ID).body["failed"] == []


def test_a_period_can_be_billed_from_its_last_instant_on() -> None:
    set_up("acme")
    set_clock(lambda: datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=UTC))
    refused = post()
    set_clock(lambda: datetime(2026, 12, 1, tzinfo=UTC))

    assert refused.status == 422
    assert refused.body["detail"] == (
        "period = 2026-11: this period ends at 2026-12-01T00:00:00.000000Z; bill it from then on"
    )
    assert get(RUN_ID).status == 404
    assert post().status == 202


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({**NOVEMBER, "mode": "shadow"}, 422, "shadow"),
        ({**NOVEMBER, "period": "2026-13"}, 422, "calendar month"),
        ({**NOVEMBER, "period": 202611}, 422, "calendar month"),
        ({**NOVEMBER, "entity": "nobody"}, 404, "entity nobody does not exist"),
        ({**NOVEMBER, "entity": 7}, 422, "entity"),
        ({**NOVEMBER, "more": 1}, 422, "an object with entity, period, mode"),
        ({"entity": "bp-us", "period": "2026-11"}, 422, "an object with entity, period, mode"),
        ([], 422, "an object with entity, period, mode"),
        ('{"entity":"bp-us","entity":"bp-us","period":"2026-11","mode":"final"}', 422, "each once"),
        ("not json", 422, "not JSON"),
    ],
)
def test_what_cannot_be_billed_is_refused_with_the_reason(body: Any, status: int, detail: str) -> None:
    set_up("acme")
    answer = post(body)
    assert (answer.status, detail in answer.body["detail"]) == (status, True), answer.body


def test_only_an_operator_opens_runs_and_finance_may_watch_them() -> None:
    set_up("acme")
    assert post(caller=FINANCE).status == 403
    assert post(caller=customer_key("acme", "customer ingest")).status == 403
    post()
    assert get(RUN_ID, FINANCE).status == get(RUN_ID, OPERATOR).status == 200
    assert get(RUN_ID, customer_key("acme")).status == 403
    assert get("bp-us.2026-10.final").status == get("ü" * 2000).status == 404


def test_runs_are_listed_in_pages() -> None:
    set_up("acme")
    for period in ("2026-09", "2026-10", "2026-11"):
        post({**NOVEMBER, "period": period})

    def page(**parameters: str) -> Any:
        return call(billing_runs.handler, "GET /v1/billing-runs", FINANCE, **parameters).body

    first = page(limit="2")
    assert [run["period"] for run in first["items"]] == ["2026-09", "2026-10"]
    rest = page(limit="2", cursor=first["cursor"])
    assert [run["period"] for run in rest["items"]] == ["2026-11"]
    assert rest["cursor"] is None
    assert call(billing_runs.handler, "GET /v1/billing-runs", FINANCE, limit="0").status == 422


def test_the_monthly_rule_bills_the_month_before_for_every_entity_once(machine: str) -> None:
    set_up("acme")
    stores.catalogue().create_entity({**ENTITY, "id": "bp-eu", "invoice_prefix": "BE"}, now=START)

    opened = billing_runs.handler(MONTHLY, CONTEXT)
    for name in executions(machine):
        end(machine, name)
    again = billing_runs.handler(MONTHLY, CONTEXT)

    assert opened == again == ["bp-eu.2026-11.final", "bp-us.2026-11.final"]
    assert set(executions(machine)) == {execution_name(run_id, 1) for run_id in opened}
    assert stores.billing().run(RUN_ID).opened_by == "schedule"


def test_an_entity_that_cannot_be_opened_does_not_stop_the_others(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up("acme")
    stores.catalogue().create_entity({**ENTITY, "id": "aa", "invoice_prefix": "AA"}, now=START)
    create_run = Billing.create_run

    def refuse(billing: Any, run: Any) -> Any:
        if run.entity == "aa":
            raise RuntimeError("no")
        return create_run(billing, run)

    monkeypatch.setattr(Billing, "create_run", refuse)
    with pytest.raises(RuntimeError, match="no"):
        billing_runs.handler(MONTHLY, CONTEXT)

    assert set(executions(machine)) == {execution_name(RUN_ID, 1)}


def test_execution_names_fit_step_functions_and_keep_runs_apart() -> None:
    longest = f"{'a.' * 32}.2026-11.final"
    names = {execution_name(run_id, 12345) for run_id in (longest, longest.replace(".", "_"), RUN_ID)}
    assert len(names) == 3
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,80}", name) for name in names)
