"""Deploys a synthesized template on this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from moto import mock_aws
from moto.core.config import DefaultConfig

from lambdas.handlers import runtime
from local import coverage, stack
from local.apply import apply_all
from local.async_calls import AsyncCalls
from local.aws import walled
from local.bucket_policies import judged_without_conditions
from local.clock import Clock
from local.deployment import Deployment
from local.dynamodb import made_exact
from local.event_bus import EventBus
from local.functions import Function, Functions
from local.http_api import HttpApi
from local.invocations import answered_in_process
from local.output import FunctionLog, unroute
from local.rights import Rights, enforced
from local.s3_links import signed_here
from local.serialised import one_call_at_a_time
from local.stack import Resource, Stack
from local.streams import Streams

_MOTO: DefaultConfig = {
    "core": {"mock_credentials": False, "reset_boto3_session": True},
    "stepfunctions": {"execute_state_machine": True},
}


def deploy(
    template: Path | str | Mapping[str, Any], clock: Clock | None = None, *, log: Path | None = None
) -> Deployment:
    """Deploy a template (a file, or its content) and answer the running deployment.

    Raises UnknownResource or UnknownProperty for anything that coverage.toml does not account for, before anything
    is created. Deployments may follow each other in one process, or nest: the one made last is closed first, and
    until then answers for both. What functions print is kept in `functions.log`
    of the deployment, and in the file `log` where one is given.
    """
    content = template if isinstance(template, Mapping) else json.loads(Path(template).read_text("utf-8"))
    name = f"Local-{len(_clocks) + 1}" if isinstance(template, Mapping) else Path(template).name.partition(".")[0]
    uses = coverage.check(content)
    clock = clock or Clock()
    serving: list[str] = []
    undo = ExitStack()
    function_log = FunctionLog(log)
    undo.callback(function_log.close)
    undo.callback(unroute)
    try:
        undo.enter_context(walled())
        undo.enter_context(mock_aws(config=_MOTO))
        undo.enter_context(one_call_at_a_time())
        undo.enter_context(_quiet("moto.stepfunctions"))
        undo.enter_context(made_exact(clock))
        undo.enter_context(judged_without_conditions())
        undo.enter_context(signed_here(clock, lambda: serving[0] if serving else None))
        created = stack.create(content, name)
        apply_all(created)
        undo.enter_context(enforced(Rights(created)))
        functions = Functions([_function(r) for r in created.of_type("AWS::Lambda::Function")], function_log)
        calls = AsyncCalls(functions, _dead_letters(created))
        undo.enter_context(answered_in_process(functions, calls.add))
        bus = EventBus(created, functions, calls, clock)
        undo.enter_context(bus.delivering())
        deployment = Deployment(
            stack=created,
            clock=clock,
            functions=functions,
            api=HttpApi(created, functions, clock),
            streams=Streams(created, functions, clock),
            bus=bus,
            calls=calls,
            summary=coverage.one_line(uses),
            undo=undo,
            serving=serving,
        )
        undo.enter_context(_handlers_go_by(clock))
    except BaseException:
        undo.close()
        raise
    return deployment


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a logger quiet: what failed is in the executions, and coverage.toml says what is ignored."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


_clocks: list[Clock] = []


@contextmanager
def _handlers_go_by(clock: Clock) -> Iterator[None]:
    """Give the handlers this clock, and then again the one before."""
    _clocks.append(clock)
    runtime.set_clock(clock.now)
    try:
        yield
    finally:
        _clocks.pop()
        runtime.set_clock(_clocks[-1].now if _clocks else None)


def _function(resource: Resource) -> Function:
    properties = resource.properties
    return Function(
        logical_id=resource.logical_id,
        name=resource.physical_id,
        handler=properties["Handler"],
        memory_mb=int(properties.get("MemorySize", 128)),
        timeout_s=int(properties.get("Timeout", 3)),
        environment={k: str(v) for k, v in properties.get("Environment", {}).get("Variables", {}).items()},
    )


def _dead_letters(created: Stack) -> dict[str, str]:
    """The dead-letter ARN of each function that has one."""
    return {
        resource.physical_id: resource.properties["DeadLetterConfig"]["TargetArn"]
        for resource in created.of_type("AWS::Lambda::Function")
        if "DeadLetterConfig" in resource.properties
    }
