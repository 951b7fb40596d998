"""State machines in moto's interpreter, with functions in process."""

from __future__ import annotations

import json
import uuid
from typing import Any

import boto3
import pytest

from local.deployment import Deployment
from local.errors import ExecutionsStillRunning
from local.executions import Execution
from tests.local import handlers


def _run(small: Deployment, items: list[dict[str, Any]], last: dict[str, Any]) -> Execution:
    bucket = small.outputs["Bucket"]
    key = f"lists/{uuid.uuid4()}.json"
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(items).encode())
    name = str(uuid.uuid4())
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=small.stack.resources["Machine"].physical_id,
        name=name,
        input=json.dumps({"bucket": bucket, "key": key, "last": last}),
    )
    [execution] = [found for found in small.wait_for_executions(timeout=60) if found.name == name]
    return execution


def test_a_distributed_map_reads_its_items_from_s3_and_calls_the_function(small: Deployment) -> None:
    execution = _run(small, [{"n": n} for n in range(5)], {"n": 99})
    assert execution.status == "SUCCEEDED"
    output = json.loads(execution.output or "")
    assert sorted(result["done"] for result in output["results"]) == [0, 1, 2, 3, 4]
    assert output["last"] == {"done": 99, "tries": 1}


def test_retry_goes_by_the_error_s_class_name(small: Deployment) -> None:
    execution = _run(small, [{"n": 1, "mode": "retry"}], {"n": 2})
    assert execution.status == "SUCCEEDED"
    assert json.loads(execution.output or "")["results"] == [{"done": 1, "tries": 3}]


@pytest.mark.parametrize(("mode", "error"), [("fail", "ValueError"), ("killed", "Runtime.ExitError")])
def test_catch_takes_errors_and_killed_processes_and_the_others_go_on(small: Deployment, mode: str, error: str) -> None:
    execution = _run(small, [{"n": 1, "mode": mode}, {"n": 2}], {"n": 3})
    assert execution.status == "SUCCEEDED"
    results = json.loads(execution.output or "")["results"]
    [caught] = [result["error"] for result in results if "error" in result]
    assert caught["Error"] == error
    assert json.loads(caught["Cause"])["errorType"] == error
    assert len(results) == 2
    assert sum(1 for call in handlers.calls["steps"] if call["n"] == 1) == 1


def test_an_uncaught_error_fails_the_execution_and_can_be_read(small: Deployment) -> None:
    execution = _run(small, [], {"n": 1, "mode": "fail"})
    assert execution.status == "FAILED"
    assert execution.error == "ValueError"
    assert "a business error" in (execution.cause or "")
    assert "FAILED: ValueError" in str(execution)


def test_a_killed_process_fails_the_execution_and_does_not_hang_it(small: Deployment) -> None:
    execution = _run(small, [], {"n": 1, "mode": "killed"})
    assert (execution.status, execution.error) == ("FAILED", "Runtime.ExitError")


def test_waiting_ends_with_the_names_of_what_still_runs(small: Deployment) -> None:
    bucket = small.outputs["Bucket"]
    boto3.client("s3").put_object(Bucket=bucket, Key="slow.json", Body=b'[{"n":1,"mode":"retry"}]')
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=small.stack.resources["Machine"].physical_id,
        name="slow-one",
        input=json.dumps({"bucket": bucket, "key": "slow.json", "last": {}}),
    )
    with pytest.raises(ExecutionsStillRunning, match="slow-one"):
        small.wait_for_executions(timeout=0.2)
    assert small.wait_for_executions(timeout=60)[-1].status == "SUCCEEDED"


def test_starting_the_same_name_again_answers_the_same_execution_for_the_same_input(small: Deployment) -> None:
    states = boto3.client("stepfunctions")
    machine = small.stack.resources["Machine"].physical_id
    bucket = small.outputs["Bucket"]
    boto3.client("s3").put_object(Bucket=bucket, Key="none.json", Body=b"[]")
    start = {
        "stateMachineArn": machine,
        "name": "once",
        "input": json.dumps({"bucket": bucket, "key": "none.json", "last": {"n": 1}}),
    }
    first = states.start_execution(**start)
    assert states.start_execution(**start)["executionArn"] == first["executionArn"]
    small.wait_for_executions()
