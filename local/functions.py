"""Lambda functions of the template, called in this process from this checkout.

Owns: import by handler string, the function's own environment, the context object, sizes, errors as Lambda words them.
Does not own: permissions (`local.rights`); limits of memory and time (a handler sees its time left; nothing stops it).
"""

from __future__ import annotations

import contextvars
import importlib
import json
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lambdas.handlers import runtime
from local import output
from local.aws import REGION, function_arn
from local.errors import FunctionFailed, UnknownFunction
from local.output import FunctionLog

RESPONSE_LIMIT_BYTES = 6_291_556
REQUEST_LIMIT_BYTES = 6_291_456
_KEPT_FAILURES = 200


@dataclass(frozen=True, slots=True)
class Function:
    """One AWS::Lambda::Function, resolved."""

    logical_id: str
    name: str
    handler: str
    memory_mb: int
    timeout_s: int
    environment: Mapping[str, str]

    @property
    def arn(self) -> str:
        return function_arn(self.name)

    def full_environment(self) -> dict[str, str]:
        """What the template gives, and what the Lambda service adds. Credentials and paths are not in it."""
        return {
            **self.environment,
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "TZ": ":UTC",
            "_HANDLER": self.handler,
        }


@dataclass(slots=True)
class Context:
    """The context object of one invocation."""

    function_name: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    log_group_name: str
    deadline_s: float
    function_version: str = "$LATEST"
    log_stream_name: str = "local"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's Timeout; never below zero."""
        return max(0, int((self.deadline_s - time.monotonic()) * 1000))


class Functions:
    """All functions of a deployment, and the failures of their calls."""

    def __init__(self, functions: list[Function], log: FunctionLog) -> None:
        self.log = log
        self._by_name: dict[str, Function] = {}
        for function in functions:
            for name in (function.logical_id, function.name, function.arn):
                self._by_name[name] = function
        self.all = tuple(functions)
        self.failures: deque[FunctionFailed] = deque(maxlen=_KEPT_FAILURES)

    def find(self, name: str) -> Function:
        """By logical id, name, ARN (a qualifier is allowed), handler string, or the name of the handler's file."""
        found = self._by_name.get(name)
        if found is None and name.startswith("arn:"):
            found = self._by_name.get(":".join(name.split(":")[:7]))
        if found is None:
            matching = [f for f in self.all if name in (f.handler, f.handler.split(".")[-2])]
            found = matching[0] if len(matching) == 1 else None
        if found is None:
            raise UnknownFunction(f"no function {name}; there are {', '.join(sorted(f.logical_id for f in self.all))}")
        return found

    def call(self, name: str, event: Any) -> Any:
        """Call a function with an event and give back its answer, both passed through JSON as Lambda does.

        Raises FunctionFailed with Lambda's error type for whatever goes wrong inside, also for a BaseException
        (`Runtime.ExitError`: the process ended). Only Ctrl-C in the main thread passes through.
        """
        function = self.find(name)
        try:
            return json.loads(self.call_raw(function, _encoded(event)))
        except FunctionFailed as failure:
            self.failures.append(failure)
            self.log.write(f"[ERROR] {failure}\n{''.join(failure.stack)}")
            raise

    def call_raw(self, function: Function, payload: bytes) -> bytes:
        """The same with bytes on both sides."""
        if len(payload) > REQUEST_LIMIT_BYTES:
            raise FunctionFailed(
                function.name, "RequestTooLargeException", f"{len(payload)} bytes are over {REQUEST_LIMIT_BYTES}"
            )
        context = Context(
            function_name=function.name,
            invoked_function_arn=function.arn,
            memory_limit_in_mb=function.memory_mb,
            log_group_name=f"/aws/lambda/{function.name}",
            deadline_s=time.monotonic() + function.timeout_s,
        )
        answer = contextvars.Context().run(_run, function, json.loads(payload), context, self.log)
        if len(answer) > RESPONSE_LIMIT_BYTES:
            raise FunctionFailed(
                function.name,
                "Function.ResponseSizeTooLarge",
                f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT_BYTES} bytes).",
            )
        return answer


def _run(function: Function, event: Any, context: Context, log: FunctionLog) -> bytes:
    runtime.environment.set(function.full_environment())
    output.current.set(log)
    output.route()
    try:
        answer = _import(function)(event, context)
    except FunctionFailed:
        raise
    except Exception as error:
        raise FunctionFailed(
            function.name, type(error).__name__, str(error), traceback.format_exception(error)
        ) from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        raise FunctionFailed(
            function.name,
            "Runtime.ExitError",
            f"RequestId: {context.aws_request_id} Error: Runtime exited with {type(error).__name__}: {error}",
            traceback.format_exception(error),
        ) from error
    try:
        return json.dumps(answer, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise FunctionFailed(function.name, "Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def _import(function: Function) -> Any:
    module_name, _, attribute = function.handler.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise FunctionFailed(
            function.name, "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise FunctionFailed(
            function.name, "Runtime.HandlerNotFound", f"Handler '{attribute}' missing on module '{module_name}'"
        ) from error


def _encoded(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")
