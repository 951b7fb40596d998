"""Calls of functions through the Lambda API (Step Functions, boto3), answered by `local.functions`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from moto.awslambda.models import LambdaBackend

from local.errors import FunctionFailed
from local.functions import Functions


@contextmanager
def answered_in_process(functions: Functions, enqueue: Callable[[str, Any], None]) -> Iterator[None]:
    """Replace moto's Lambda invocation (which wants Docker).

    A failing function answers as Lambda does: FunctionError `Unhandled` with errorType, errorMessage and stackTrace,
    by which the state machine's Retry and Catch go. Asynchronous calls are handed to `enqueue(function, event)`.
    """

    def invoke(  # noqa: PLR0917 - moto's signature
        backend: LambdaBackend,
        function_name: str,
        qualifier: str | None,
        body: Any,
        headers: Any,
        response_headers: dict[str, Any],
    ) -> bytes | None:
        backend.get_function(function_name, qualifier)  # raises what Lambda raises when there is none
        event = json.loads(body) if body else {}
        kind = headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind == "DryRun":
            return b""
        if kind == "Event":
            enqueue(functions.find(function_name).name, event)
            return b""
        try:
            return json.dumps(functions.call(function_name, event), ensure_ascii=False).encode()
        except FunctionFailed as failure:
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps(as_lambda_error(failure)).encode()

    with patch.object(LambdaBackend, "invoke", invoke):
        yield


def as_lambda_error(failure: FunctionFailed) -> dict[str, Any]:
    """The payload of a failed call."""
    return {"errorType": failure.error_type, "errorMessage": failure.message, "stackTrace": failure.stack[-20:]}
