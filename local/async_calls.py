"""Asynchronous function calls: a queue, the service's retries, and where an event goes that failed to the end."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.aws import client
from local.clock import Clock
from local.errors import FunctionFailed, UnsupportedTarget
from local.functions import Functions
from local.invocations import as_lambda_error


@dataclass(frozen=True, slots=True)
class AsyncSettings:
    """AWS::Lambda::EventInvokeConfig and DeadLetterConfig of one function."""

    retries: int = 2
    on_failure_arn: str | None = None
    dead_letter_arn: str | None = None


class AsyncCalls:
    """Events waiting for functions. Nothing runs until `drain()`; retries follow at once, without AWS's waits."""

    def __init__(self, functions: Functions, settings: Mapping[str, AsyncSettings], clock: Clock) -> None:
        self._functions = functions
        self._settings = settings
        self._clock = clock
        self._waiting: deque[tuple[str, Any]] = deque()
        self._lock = threading.Lock()

    def add(self, function: str, event: Any) -> None:
        with self._lock:
            self._waiting.append((function, event))

    def drain(self) -> int:
        """Run what is waiting now, and what it adds, in order. Answers how many events were taken."""
        taken = 0
        while True:
            with self._lock:
                if not self._waiting:
                    return taken
                function, event = self._waiting.popleft()
            taken += 1
            self._run(function, event)

    def _run(self, function: str, event: Any) -> None:
        settings = self._settings.get(self._functions.find(function).name, AsyncSettings())
        attempts = settings.retries + 1
        for _ in range(attempts):
            try:
                self._functions.call(function, event)
            except FunctionFailed as failure:
                last = failure
            else:
                return
        if settings.on_failure_arn:
            send(settings.on_failure_arn, self._failure_record(last, event, attempts, self._clock.now()))
        if settings.dead_letter_arn:
            send(settings.dead_letter_arn, event)

    def _failure_record(self, failure: FunctionFailed, event: Any, attempts: int, now: datetime) -> dict[str, Any]:
        return {
            "version": "1.0",
            "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "requestContext": {
                "functionArn": f"{self._functions.find(failure.function).arn}:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": attempts,
            },
            "requestPayload": event,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": as_lambda_error(failure),
        }


def send(arn: str, body: Any) -> None:
    """Put a JSON message where a destination or dead-letter ARN points: a queue or a topic."""
    service, name = arn.split(":")[2], arn.rpartition(":")[2]
    text = json.dumps(body, ensure_ascii=False)
    if service == "sqs":
        sqs = client("sqs")
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], MessageBody=text)
    elif service == "sns":
        client("sns").publish(TopicArn=arn, Message=text)
    else:
        raise UnsupportedTarget(f"{arn}: only queues and topics can take failed events here")
