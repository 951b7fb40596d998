"""Asynchronous function calls: a queue, Lambda's retries, and the dead-letter queue for what failed to the end."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from local.aws import client
from local.errors import FunctionFailed, UnsupportedTarget
from local.functions import Functions

ATTEMPTS = 3
"""The first try and Lambda's two retries."""


class AsyncCalls:
    """Events waiting for functions. Nothing runs until `drain()`; retries follow at once, without AWS's waits."""

    def __init__(self, functions: Functions, dead_letter_arns: Mapping[str, str]) -> None:
        self._functions = functions
        self._dead_letter_arns = dead_letter_arns
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
        for _ in range(ATTEMPTS):
            try:
                self._functions.call(function, event)
            except FunctionFailed:
                continue
            return
        if function in self._dead_letter_arns:
            send(self._dead_letter_arns[function], event)


def send(arn: str, body: Any) -> None:
    """Put a JSON message into the queue or topic that a dead-letter or destination ARN names."""
    service, name = arn.split(":")[2], arn.rpartition(":")[2]
    text = json.dumps(body, ensure_ascii=False)
    if service == "sqs":
        sqs = client("sqs")
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], MessageBody=text)
    elif service == "sns":
        client("sns").publish(TopicArn=arn, Message=text)
    else:
        raise UnsupportedTarget(f"{arn}: only queues and topics can take failed events here")
