"""State machine executions as moto's interpreter ran them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from local.aws import client
from local.errors import ExecutionsStillRunning

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution; `error` and `cause` say why it failed."""

    arn: str
    name: str
    status: str
    input: str
    output: str | None
    error: str | None
    cause: str | None

    def __str__(self) -> str:
        why = f": {self.error}: {self.cause}" if self.error or self.cause else ""
        return f"{self.name} {self.status}{why}"


def all_executions() -> list[Execution]:
    """Every execution of every state machine of the account, in the order of their starts."""
    states = client("stepfunctions")
    found = [states.describe_execution(executionArn=arn) for arn in _arns(None)]
    found.sort(key=lambda described: described["startDate"])
    return [_execution(described) for described in found]


def wait(timeout_s: float) -> list[Execution]:
    """All executions, once none is running any more. Raises ExecutionsStillRunning after the timeout."""
    deadline = time.monotonic() + timeout_s
    while running := _arns("RUNNING"):
        if time.monotonic() > deadline:
            raise ExecutionsStillRunning(f"after {timeout_s} s: {', '.join(running)}")
        time.sleep(_POLL_S)
    return all_executions()


def stop_all() -> None:
    """Stop what is still running; its threads end at their next step."""
    for arn in _arns("RUNNING"):
        client("stepfunctions").stop_execution(executionArn=arn, error="LocalClosed", cause="the deployment was closed")


def _arns(status: str | None) -> list[str]:
    states = client("stepfunctions")
    narrowed: dict[str, Any] = {"statusFilter": status} if status else {}
    pages = states.get_paginator("list_executions")
    return [
        execution["executionArn"]
        for machine in states.list_state_machines()["stateMachines"]
        for page in pages.paginate(stateMachineArn=machine["stateMachineArn"], **narrowed)
        for execution in page["executions"]
    ]


def _execution(described: dict[str, Any]) -> Execution:
    return Execution(
        arn=described["executionArn"],
        name=described["name"],
        status=described["status"],
        input=described["input"],
        output=described.get("output"),
        error=described.get("error"),
        cause=described.get("cause"),
    )
