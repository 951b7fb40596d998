"""The state machine: its shape, and the machine itself run by moto with stand-ins for the functions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import boto3
import pytest
from moto import mock_aws
from moto.awslambda.models import LambdaBackend

from stacks.billing_run import TRANSIENT
from tests.stacks.template import Template, states

ACCOUNT = "123456789012"
BUCKET = "evidence-of-a-test"


def test_every_task_repeats_transient_errors_and_no_others(template: Template) -> None:
    tasks = {name: state for name, state in states(template.state_machine()) if state["Type"] == "Task"}
    assert len(tasks) == 12
    for name, task in tasks.items():
        [retry] = task["Retry"]
        assert retry["ErrorEquals"] == list(TRANSIENT), name
        assert (retry["MaxAttempts"], retry["BackoffRate"], retry["JitterStrategy"]) == (5, 2, "FULL"), name


def test_deployed_stages_wait_two_seconds_before_the_first_repetition(by_stage: dict[str, Template]) -> None:
    for stage, seconds in (("local", 1), ("dev", 2), ("prod", 2)):
        for _, state in states(by_stage[stage].state_machine()):
            for retry in state.get("Retry", []):
                assert retry["IntervalSeconds"] == seconds


def test_inside_of_accounts_every_error_is_reported_for_that_account(template: Template) -> None:
    caught = {
        "FreezeInputs": "ReportFailedFreeze",
        "PlanShards": "ReportFailedDraft",
        "MeasureShards": "ReportFailedDraft",
        "RateShards": "ReportFailedDraft",
        "DraftInvoice": "ReportFailedDraft",
        "BuildBundle": "ReportFailedBundle",
    }
    found = dict(states(template.state_machine()))
    for name, report in caught.items():
        assert found[name]["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": report}]


def test_a_failing_account_never_fails_a_map(template: Template) -> None:
    maps = [state for _, state in states(template.state_machine()) if "ItemReader" in state]
    assert len(maps) == 3
    for state in maps:
        assert state["ToleratedFailureCount"] == 10_000_000
        assert state["ItemReader"]["Parameters"] == {"Bucket.$": "$.bucket", "Key.$": "$.accounts_key"}
        assert state["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}
        assert state["ResultPath"] is None


def test_items_of_maps_end_with_nothing(template: Template) -> None:
    """A map that collects more than 256 KB fails, also where its result is discarded: aws/aws-cdk#24799."""
    ends = {
        name: state
        for map_state in (state for _, state in states(template.state_machine()) if state["Type"] == "Map")
        for name, state in map_state["ItemProcessor"]["States"].items()
        if state.get("End")
    }
    assert set(ends) == {
        "FreezeInputs", "ReportFailedFreeze", "MeasureShard", "RateShard", "DraftInvoice", "ReportFailedDraft",
        "BuildBundle", "ReportFailedBundle",
    }  # fmt: skip
    for name, state in ends.items():
        assert state["OutputPath"] is None, name


def test_a_run_leaves_half_of_an_accounts_functions_to_the_api(by_stage: dict[str, Template]) -> None:
    """An account runs 1,000 functions at once; what a run takes of them, ingest does not have."""
    for stage, template in by_stage.items():
        machine = dict(states(template.state_machine()))
        at_once = machine["DraftAccounts"]["MaxConcurrency"] * machine["RateShards"]["MaxConcurrency"]
        assert at_once <= 500, stage
        assert machine["RateShards"]["MaxConcurrency"] <= 40, stage


def test_executions_are_logged_without_their_data_and_traced(template: Template) -> None:
    machine = template.only("AWS::StepFunctions::StateMachine")["Properties"]
    assert machine["StateMachineName"] == "billproof-local-billing-run"
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["TracingConfiguration"] == {"Enabled": True}


def test_the_first_of_each_month_opens_runs(template: Template) -> None:
    rule = template.only("AWS::Events::Rule", "BillingRunMonthly")["Properties"]
    assert rule["ScheduleExpression"] == "cron(0 6 1 * ? *)"
    [target] = rule["Targets"]
    billing_runs = template.of_type("AWS::Lambda::Function")[target["Arn"]["Fn::GetAtt"][0]]["Properties"]
    assert billing_runs["Handler"] == "lambdas.handlers.billing_runs.handler"
    assert target["InputTransformer"] == {
        "InputPathsMap": {"time": "$.time"},
        "InputTemplate": '{"scheduled_at":<time>}',
    }


class StandInError(Exception):
    """Its text is the error's name as Step Functions sees it."""


@dataclass
class StandIns:
    """Stands in for the nine functions; `fail` says what goes wrong."""

    customers: list[str]
    status: str = "sealed"
    rounds_of_issue: int = 2
    fail: Callable[[str, dict[str, Any]], None] = lambda function, payload: None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def answer(self, function: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((function, payload))
        self.fail(function, payload)
        match function:
            case "OpenRun":
                return {"run_id": payload["run_id"], "attempt": 3, "bucket": BUCKET, "accounts_key": "accounts.json"}
            case "FreezeInputs":
                customer = payload["customer"]
                shards = [] if customer == "quiet" else [{"n": 1}, {"n": 2}]
                measured = shards if customer == "tiered" else []
                return {"customer": customer, "freeze": "f1", "shards": shards, "to_measure": measured}
            case "IssueInvoices":
                self.rounds_of_issue -= 1
                return {"run_id": payload["run_id"], "remaining": self.rounds_of_issue}
            case "SealRun":
                return {"run_id": payload["run_id"], "status": self.status, "invoices": 7}
        return {}

    def payloads(self, function: str) -> list[dict[str, Any]]:
        return sorted((payload for name, payload in self.calls if name == function), key=json.dumps)


@pytest.fixture
def run(template: Template) -> Iterator[Callable[[StandIns], dict[str, Any]]]:
    """Runs one execution of the template's machine to its end and answers its description."""
    definition = template.state_machine()
    names = template.of_type("AWS::Lambda::Function")
    for _, state in states(definition):
        if state["Type"] == "Task":
            handler = names[state["Resource"]]["Properties"]["Handler"].split(".")[2]
            name = "".join(word.capitalize() for word in handler.split("_"))
            state["Resource"] = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}"

    def execute(stand_ins: StandIns) -> dict[str, Any]:
        def invoke(_self: Any, function: str, _qualifier: Any, body: Any, _headers: Any, answered: Any) -> bytes:
            try:
                return json.dumps(stand_ins.answer(function.rsplit(":", maxsplit=1)[-1], json.loads(body))).encode()
            except StandInError as error:
                answered["x-amz-function-error"] = "Unhandled"
                return json.dumps({"errorType": str(error), "errorMessage": "as the test wants"}).encode()

        accounts = json.dumps([{"customer": customer} for customer in stand_ins.customers])
        with mock.patch.object(LambdaBackend, "invoke", invoke):
            s3 = boto3.client("s3", "us-east-1")
            s3.create_bucket(Bucket=BUCKET)
            s3.put_object(Bucket=BUCKET, Key="accounts.json", Body=accounts)
            step_functions = boto3.client("stepfunctions", "us-east-1")
            machine = step_functions.create_state_machine(
                name="run", definition=json.dumps(definition), roleArn=f"arn:aws:iam::{ACCOUNT}:role/run"
            )
            execution = step_functions.start_execution(
                stateMachineArn=machine["stateMachineArn"], name="first", input=json.dumps({"run_id": "r1"})
            )
            for _ in range(600):
                described = step_functions.describe_execution(executionArn=execution["executionArn"])
                if described["status"] != "RUNNING":
                    return dict(described)
                time.sleep(0.1)
        raise TimeoutError("the execution did not end within a minute")

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
            yield execute


def test_a_run_without_accounts_is_sealed(run: Callable[[StandIns], dict[str, Any]]) -> None:
    stand_ins = StandIns(customers=[], rounds_of_issue=1)
    ended = run(stand_ins)
    assert ended["status"] == "SUCCEEDED"
    assert [name for name, _ in stand_ins.calls] == ["OpenRun", "IssueInvoices", "SealRun"]


def test_every_task_gets_exactly_what_it_needs(run: Callable[[StandIns], dict[str, Any]]) -> None:
    stand_ins = StandIns(customers=["acme"])
    ended = run(stand_ins)
    item = {"run_id": "r1", "attempt": 3, "customer": "acme"}
    assert stand_ins.payloads("OpenRun") == [{"run_id": "r1", "execution": "first"}]
    assert stand_ins.payloads("FreezeInputs") == [item, item]
    assert stand_ins.payloads("MeasureShard") == []
    assert stand_ins.payloads("RateShard") == [
        {"run_id": "r1", "customer": "acme", "freeze": "f1", "n": 1},
        {"run_id": "r1", "customer": "acme", "freeze": "f1", "n": 2},
    ]
    assert stand_ins.payloads("DraftInvoice") == [{"run_id": "r1", "customer": "acme"}]
    assert stand_ins.payloads("BuildBundle") == [item]
    assert stand_ins.payloads("SealRun") == [{"run_id": "r1", "attempt": 3}]
    assert json.loads(ended["output"]) == {"run_id": "r1", "status": "sealed", "invoices": 7}


def test_everyone_is_frozen_before_anyone_is_rated(run: Callable[[StandIns], dict[str, Any]]) -> None:
    stand_ins = StandIns(customers=["acme", "beta", "quiet"])
    run(stand_ins)
    names = [name for name, _ in stand_ins.calls]
    assert names[1:4] == ["FreezeInputs"] * 3
    assert names.index("RateShard") > 3


def test_shards_are_all_measured_before_one_is_rated_where_prices_depend_on_positions(
    run: Callable[[StandIns], dict[str, Any]],
) -> None:
    stand_ins = StandIns(customers=["tiered"])
    run(stand_ins)
    names = [name for name, _ in stand_ins.calls]
    assert sorted(names[names.index("MeasureShard") :][:4]) == ["MeasureShard"] * 2 + ["RateShard"] * 2
    assert names.index("RateShard") > max(n for n, name in enumerate(names) if name == "MeasureShard")
    assert stand_ins.payloads("MeasureShard") == stand_ins.payloads("RateShard")


def test_an_account_without_usage_is_drafted_too(run: Callable[[StandIns], dict[str, Any]]) -> None:
    stand_ins = StandIns(customers=["quiet"])
    run(stand_ins)
    assert stand_ins.payloads("RateShard") == []
    assert stand_ins.payloads("DraftInvoice") == [{"run_id": "r1", "customer": "quiet"}]


def test_issuing_goes_on_until_nothing_remains(run: Callable[[StandIns], dict[str, Any]]) -> None:
    stand_ins = StandIns(customers=[], rounds_of_issue=3)
    run(stand_ins)
    assert stand_ins.payloads("IssueInvoices") == [{"run_id": "r1"}] * 3


@pytest.mark.parametrize("failing", ["FreezeInputs", "RateShard", "DraftInvoice", "BuildBundle"])
def test_a_business_error_is_reported_once_and_stops_nobody_else(
    run: Callable[[StandIns], dict[str, Any]], failing: str
) -> None:
    def fail(function: str, payload: dict[str, Any]) -> None:
        if function == failing and payload["customer"] == "beta":
            raise StandInError("UnknownModel")

    stand_ins = StandIns(customers=["acme", "beta"], status="incomplete", fail=fail)
    ended = run(stand_ins)
    reports = stand_ins.payloads("FailAccount")
    # freeze_inputs is asked twice: a failed freeze is repeated, and reported again, by PlanShards
    assert len(reports) == (2 if failing == "FreezeInputs" else 1)
    for report in reports:
        assert report["error"].pop("Cause")
        assert report == {"run_id": "r1", "attempt": 3, "customer": "beta", "error": {"Error": "UnknownModel"}}
    assert {"run_id": "r1", "attempt": 3, "customer": "acme"} in stand_ins.payloads("BuildBundle")
    assert (ended["status"], ended["error"]) == ("FAILED", "RunIncomplete")


def test_a_transient_error_is_repeated_until_it_heals(run: Callable[[StandIns], dict[str, Any]]) -> None:
    failures = iter([True, False])

    def fail(function: str, payload: dict[str, Any]) -> None:
        if function == "DraftInvoice" and next(failures):
            raise StandInError("TransientError")

    stand_ins = StandIns(customers=["acme"], fail=fail)
    assert run(stand_ins)["status"] == "SUCCEEDED"
    assert len(stand_ins.payloads("DraftInvoice")) == 2
    assert stand_ins.payloads("FailAccount") == []


def test_an_error_outside_of_accounts_fails_the_run(run: Callable[[StandIns], dict[str, Any]]) -> None:
    def fail(function: str, payload: dict[str, Any]) -> None:
        if function == "IssueInvoices":
            raise StandInError("NumberGap")

    ended = run(StandIns(customers=["acme"], fail=fail))
    assert (ended["status"], ended["error"]) == ("FAILED", "NumberGap")
