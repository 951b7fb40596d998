"""The one way into a handler: structured log, metrics, trace, and errors as the caller understands them.

`http_entry` wraps functions behind the HTTP API (errors become RFC 9457 problems), `task_entry` those that Step
Functions, streams and rules call (errors keep their class name, which retries and catches go by).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from lambdas.handlers.problems import Response, problem_of

Event = dict[str, Any]
Handler = Callable[[Event, Any], Any]


@functools.cache
def logger() -> Logger:
    """The structured logger. Never give it a payload, a key or a header."""
    return Logger(service="billproof")


@functools.cache
def tracer() -> Tracer:
    """The tracer, with a subsegment for each call to AWS; off outside of Lambda."""
    return Tracer(service="billproof", patch_modules=("botocore",))


def count(**values: int) -> None:
    """Emit metrics (embedded metric format, namespace Billproof, dimension service=billproof), in one log line. What is
    zero is left out: alarms take missing data as good, and the line costs.

    Powertools' `Metrics` shares its values among all of its instances: threads of one process would mix theirs.
    """
    metrics = AmazonCloudWatchEMFProvider(namespace="Billproof", service="billproof")
    for name, value in values.items():
        if value:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    if any(values.values()):
        metrics.flush_metrics()


def _traced(function: Callable[[Event], Any]) -> AbstractContextManager[Any]:
    """A subsegment named by the handler's file. It is given no annotation and no metadata: no payload, no answer."""
    return tracer().provider.in_subsegment(f"## {function.__module__.rpartition('.')[2]}")


def http_entry(function: Callable[[Event], Response]) -> Handler:
    """A handler behind the HTTP API. Refusals become problems; the unforeseen is logged, raised, and answers 500."""

    @functools.wraps(function)
    def handler(event: Event, context: Any) -> dict[str, Any]:
        log = logger()
        request_id = getattr(context, "aws_request_id", "")
        try:
            with _traced(function):
                response = function(event)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                log.exception("unforeseen error", extra={"request_id": request_id, "route": event.get("routeKey")})
                raise
            response = problem
        log.info(
            "answered",
            extra={"request_id": request_id, "route": event.get("routeKey"), "status": response.status},
        )
        return response.as_lambda_proxy()

    return handler


def task_entry(function: Callable[[Event], Any]) -> Handler:
    """A handler called by Step Functions, a stream, a rule or directly; its errors are logged and raised as is."""

    @functools.wraps(function)
    def handler(event: Event, context: Any) -> Any:
        log = logger()
        request_id = getattr(context, "aws_request_id", "")
        try:
            with _traced(function):
                result = function(event)
        except Exception as error:
            log.exception("failed", extra={"request_id": request_id, "error": type(error).__name__})
            raise
        log.info("done", extra={"request_id": request_id, "task": function.__name__})
        return result

    return handler
