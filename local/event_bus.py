"""EventBridge rules: events that were put, and schedules, to their targets.

Owns: matching through moto's patterns, inputs and transformers, delivery, dead letters, schedules by the movable clock.
Queues and log groups are delivered to at once, functions and state machines at the next `pump`.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from moto.events.models import Rule

from local.async_calls import AsyncCalls, send
from local.aws import ACCOUNT_ID, PARTITION, REGION, client
from local.clock import Clock
from local.errors import UnknownFunction, UnsupportedTarget
from local.functions import Functions
from local.schedules import Cron, Rate, parse
from local.stack import Resource, Stack

_PLACEHOLDER = re.compile(r"<([\w.\-]+)>")
_QUOTE = re.compile(r'(?<!\\)"')


class EventBus:
    """All rules of a stack."""

    def __init__(self, stack: Stack, functions: Functions, calls: AsyncCalls, clock: Clock) -> None:
        self._functions = functions
        self._calls = calls
        self._clock = clock
        self._made_at = self._evaluated_until = clock.now()
        self._lock = threading.Lock()
        rules = stack.of_type("AWS::Events::Rule")
        self._targets = {rule.physical_id: list(rule.properties.get("Targets", [])) for rule in rules}
        self._schedules: list[tuple[Resource, Rate | Cron]] = [
            (rule, parse(rule.properties["ScheduleExpression"]))
            for rule in rules
            if "ScheduleExpression" in rule.properties and rule.properties.get("State", "ENABLED") == "ENABLED"
        ]
        for rule in rules:
            for target in self._targets[rule.physical_id]:
                _kind(target["Arn"])

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Replace moto's delivery, which knows neither Lambda nor inputs, and ignores disabled rules."""

        def send_to_targets(rule: Rule, original_event: Any, transform_input: bool = True) -> None:
            if rule.state == "ENABLED" and rule.event_pattern.matches_event(original_event):
                event = {name: value for name, value in original_event.items() if name != "ingestion-time"}
                event["time"] = self._time_text(event.get("time"))
                for target in self._targets.get(rule.name, []):
                    self._deliver(target, event, rule.arn)

        with patch.object(Rule, "send_to_targets", send_to_targets):
            yield

    def fire_due_schedules(self) -> int:
        """Fire, in the order of their times, all schedules due since the last call. Answers how many fired.

        An event's `time` is the scheduled time, whatever the clock says by then.
        """
        with self._lock:
            since, until = self._evaluated_until, self._clock.now()
            if until <= since:
                return 0
            self._evaluated_until = until
        due = [(when, rule) for rule, schedule in self._schedules for when in schedule.due(since, until, self._made_at)]
        for when, rule in sorted(due, key=lambda pair: pair[0]):
            arn = f"arn:{PARTITION}:events:{REGION}:{ACCOUNT_ID}:rule/{rule.physical_id}"
            event = {
                "version": "0",
                "id": str(uuid.uuid4()),
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "account": ACCOUNT_ID,
                "time": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "region": REGION,
                "resources": [arn],
                "detail": {},
            }
            for target in self._targets[rule.physical_id]:
                self._deliver(target, event, arn)
        return len(due)

    def _time_text(self, given: Any) -> str:
        """moto gives an event without a time the machine's; here it gets the movable clock's."""
        if isinstance(given, str):
            return given
        when = self._clock.now()
        if isinstance(given, (int, float)) and abs(given - datetime.now(UTC).timestamp()) > 60:
            when = datetime.fromtimestamp(given, UTC)
        return when.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _deliver(self, target: Mapping[str, Any], event: dict[str, Any], rule_arn: str) -> None:
        arn, body = target["Arn"], _input(target, event)
        try:
            match _kind(arn):
                case "lambda":
                    self._calls.add(self._functions.find(arn).name, body)
                case "sqs" | "sns":
                    send(arn, body)
                case "logs":
                    self._log(arn.split(":log-group:")[1].split(":")[0], body)
                case "states":
                    client("stepfunctions").start_execution(
                        stateMachineArn=arn, name=str(uuid.uuid4()), input=json.dumps(body)
                    )
        except (UnknownFunction, client("sqs").exceptions.ClientError) as error:
            dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
            if dead_letters is None:
                raise
            send(dead_letters, {**event, "_error": str(error), "_rule": rule_arn})

    def _log(self, group: str, body: Any) -> None:
        logs, stream = client("logs"), str(uuid.uuid4())
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        # the machine's time: CloudWatch refuses events that are days old
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        line = {"timestamp": now_ms, "message": json.dumps(body, ensure_ascii=False)}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[line])


def _kind(arn: str) -> str:
    service = arn.split(":")[2]
    if service not in ("lambda", "sqs", "sns", "logs", "states"):
        raise UnsupportedTarget(f"{arn}: rules cannot reach this kind of target here")
    return service


def _input(target: Mapping[str, Any], event: dict[str, Any]) -> Any:
    if "Input" in target:
        return json.loads(target["Input"])
    if "InputPath" in target:
        return _at(target["InputPath"], event)
    transformer = target.get("InputTransformer")
    if transformer is None:
        return event
    values = {name: _at(path, event) for name, path in transformer.get("InputPathsMap", {}).items()}
    template = transformer["InputTemplate"]

    known = {**values, "aws.events.event.json": event}

    def replace(match: re.Match[str]) -> str:
        if match[1] not in known:
            return match[0]
        text = json.dumps(known[match[1]], ensure_ascii=False)
        inside_quotes = len(_QUOTE.findall(template, 0, match.start())) % 2
        return text.removeprefix('"').removesuffix('"') if inside_quotes else text

    return json.loads(_PLACEHOLDER.sub(replace, template))


def _at(path: str, event: dict[str, Any]) -> Any:
    """The value under a simple `$.a.b` path."""
    found: Any = event
    for name in path.removeprefix("$").split("."):
        if name:
            found = found.get(name) if isinstance(found, dict) else None
    return found
