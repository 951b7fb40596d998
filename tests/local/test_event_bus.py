"""EventBridge rules: patterns, targets, inputs, dead letters, schedules."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from local import aws
from local.deployment import Deployment
from tests.local import handlers


def _put(source: str, detail: Any, **others: Any) -> None:
    entry = {
        "Source": source,
        "DetailType": "Alert",
        "Detail": json.dumps(detail),
        "EventBusName": "small-bus",
        **others,
    }
    assert boto3.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def _messages(queue: str) -> list[Any]:
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found = []
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found.append(json.loads(message["Body"]))
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_a_matching_event_reaches_function_log_and_queue(small: Deployment) -> None:
    _put("billing", {"level": 4, "text": "ä"})
    assert handlers.calls["events"] == []
    small.pump()
    [event] = handlers.calls["events"]
    assert event["source"] == "billing"
    assert event["detail-type"] == "Alert"
    assert event["detail"] == {"level": 4, "text": "ä"}
    assert _messages("taken") == [{"level": 4, "text": "ä"}]
    events = aws.client("logs").filter_log_events(logGroupName="/small/alerts")["events"]
    assert [json.loads(line["message"])["id"] for line in events].count(event["id"]) == 1


def test_the_time_is_the_movable_clock_s_or_the_given_one(small: Deployment) -> None:
    small.clock.freeze()
    _put("billing", {"level": 5})
    given = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    _put("billing", {"level": 6}, Time=given)
    small.pump()
    times = [event["time"] for event in handlers.calls["events"]]
    assert times == [small.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"), "2026-02-03T04:05:06Z"]
    small.clock.unfreeze()


@pytest.mark.parametrize(("source", "detail"), [("billing", {"level": 3}), ("other", {"level": 9}), ("off", {})])
def test_other_events_and_disabled_rules_reach_nobody(small: Deployment, source: str, detail: Any) -> None:
    _messages("taken")
    _put(source, detail)
    small.pump()
    assert handlers.calls["events"] == []
    assert _messages("taken") == []


def test_what_cannot_be_delivered_goes_to_the_target_s_dead_letter_queue(small: Deployment) -> None:
    _put("lost", {"n": 1})
    [dead] = _messages("dead-events")
    assert dead["detail"] == {"n": 1}
    assert "no function" in dead["_error"]


def test_schedules_fire_all_that_is_due_in_order_with_the_scheduled_time(small: Deployment) -> None:
    start = datetime(2026, 6, 29, 13, tzinfo=UTC)
    small.clock.move_to(start)
    small.pump()
    handlers.calls.clear()
    small.clock.move_to(datetime(2026, 7, 2, 13, tzinfo=UTC))
    small.pump()
    monthly = {"at": "2026-07-01T06:00:00Z", "text": "at 2026-07-01T06:00:00Z!"}
    daily = {"daily": True}
    assert sorted(handlers.calls["events"], key=str) == sorted([daily, daily, daily, monthly], key=str)
    assert handlers.calls["events"].index(monthly) == 1
    handlers.calls.clear()
    small.pump()
    assert handlers.calls["events"] == []


def test_going_back_in_time_fires_nothing_twice(small: Deployment) -> None:
    small.clock.move_to(datetime(2026, 9, 1, 7, tzinfo=UTC))
    small.pump()
    handlers.calls.clear()
    small.clock.advance(timedelta(days=-40))
    small.pump()
    small.clock.move_to(datetime(2026, 9, 1, 7, tzinfo=UTC))
    small.pump()
    assert handlers.calls["events"] == []
