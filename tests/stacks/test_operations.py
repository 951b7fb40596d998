"""Alerts and alarms: what goes wrong reaches a person."""

from __future__ import annotations

import ast

import pytest

from stacks.settings import ROOT
from tests.stacks.template import Template


def test_every_alarm_calls_the_operators(template: Template) -> None:
    [topic] = template.of_type("AWS::SNS::Topic")
    alarms = template.properties("AWS::CloudWatch::Alarm")
    assert alarms
    for alarm in alarms:
        assert alarm["AlarmActions"] == [{"Ref": topic}], alarm["AlarmName"]


@pytest.mark.parametrize("metric", ["InvariantBroken", "ParkedEvents", "EventsNotStored", "RejectedEvents"])
def test_money_metrics_are_watched_where_powertools_writes_them(template: Template, metric: str) -> None:
    [alarm] = [each for each in template.properties("AWS::CloudWatch::Alarm") if each.get("MetricName") == metric]
    assert alarm["Namespace"] == "Billproof"
    assert alarm["Dimensions"] == [{"Name": "service", "Value": "billproof"}]
    assert alarm["Statistic"] == "Sum"
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert alarm["Threshold"] == (100 if metric == "RejectedEvents" else 0)


def test_what_is_watched_is_what_handlers_emit(template: Template) -> None:
    emitted = {
        keyword.arg
        for path in (ROOT / "lambdas").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "count"
        for keyword in call.keywords
    }
    alarms = template.properties("AWS::CloudWatch::Alarm")
    assert {alarm["MetricName"] for alarm in alarms if alarm.get("Namespace") == "Billproof"} <= emitted


def test_every_function_is_watched_for_errors_and_throttles(template: Template) -> None:
    watched = {
        (dimension["Value"]["Ref"], alarm["MetricName"])
        for alarm in template.properties("AWS::CloudWatch::Alarm")
        if alarm.get("Namespace") == "AWS/Lambda"
        for dimension in alarm["Dimensions"]
    }
    functions = template.of_type("AWS::Lambda::Function")
    assert watched == {(name, metric) for name in functions for metric in ("Errors", "Throttles")}


def test_every_queue_is_watched_encrypted_and_reached_by_tls_only(template: Template) -> None:
    queues = template.of_type("AWS::SQS::Queue")
    watched = {
        alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for alarm in template.properties("AWS::CloudWatch::Alarm")
        if alarm.get("Namespace") == "AWS/SQS"
    }
    assert watched == set(queues)
    for queue in queues.values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert queue["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600
    for policy in template.properties("AWS::SQS::QueuePolicy"):
        assert policy["PolicyDocument"]["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_runs_that_fail_or_never_seal_are_watched(template: Template) -> None:
    alarms = {alarm["AlarmName"]: alarm for alarm in template.properties("AWS::CloudWatch::Alarm")}
    assert alarms["billproof-local-run-failed"]["MetricName"] == "ExecutionsFailed"
    # one alarm for each: a sum has no value while one of its metrics has none
    assert alarms["billproof-local-run-timed-out"]["MetricName"] == "ExecutionsTimedOut"
    assert alarms["billproof-local-run-aborted"]["MetricName"] == "ExecutionsAborted"
    assert alarms["billproof-local-api-5xx"]["MetricName"] == "5xx"


def test_every_alert_is_logged_from_a_bus_with_a_plain_name(template: Template) -> None:
    assert template.only("AWS::Events::EventBus")["Properties"]["Name"] == "billproof-local"
    rule = template.only("AWS::Events::Rule", "AlertsEveryAlert")["Properties"]
    assert rule["EventBusName"] == "billproof-local"
    assert rule["EventPattern"] == {"source": [{"prefix": ""}]}
    groups = [group["LogGroupName"] for group in template.properties("AWS::Logs::LogGroup")]
    assert "/billproof/local/alerts" in groups
    [policy] = template.properties("AWS::Logs::ResourcePolicy")
    assert "events.amazonaws.com" in str(policy["PolicyDocument"])
