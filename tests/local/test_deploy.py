"""Deploying: what is refused, what references become, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from local import aws
from local.deploy import deploy
from local.deployment import Deployment
from local.errors import (
    StackFailed,
    UnknownProperty,
    UnknownResource,
    UnresolvedReference,
    UnsupportedSchedule,
    UnsupportedTarget,
)
from tests.local.small_template import small_template


def test_an_unlisted_property_fails_the_deployment_by_name() -> None:
    template = small_template()
    template["Resources"]["Table"]["Properties"]["ContributorInsightsSpecification"] = {"Enabled": True}
    with pytest.raises(UnknownProperty) as caught:
        deploy(template)
    assert caught.value.logical_id == "Table"
    assert caught.value.path == "ContributorInsightsSpecification"
    for part in ("Table", "AWS::DynamoDB::Table", "ContributorInsightsSpecification", "local/coverage.toml"):
        assert part in str(caught.value)


def test_an_unlisted_part_of_a_listed_property_fails_too() -> None:
    template = small_template()
    mapping = template["Resources"]["Mapping"]["Properties"]
    mapping["DestinationConfig"]["OnSuccess"] = {"Destination": "arn:aws:sqs:eu-central-1:123456789012:x"}
    with pytest.raises(UnknownProperty, match=r"Mapping .* DestinationConfig\.OnSuccess"):
        deploy(template)


def test_a_property_hidden_in_a_condition_is_seen() -> None:
    template = small_template()
    hidden = {"Fn::If": ["IsLarge", {"OnSuccess": {}}, {"Ref": "AWS::NoValue"}]}
    template["Resources"]["Mapping"]["Properties"]["DestinationConfig"] = hidden
    with pytest.raises(UnknownProperty, match="OnSuccess"):
        deploy(template)


def test_an_unlisted_resource_type_fails_by_name() -> None:
    template = small_template()
    template["Resources"]["Wait"] = {"Type": "AWS::Scheduler::Schedule", "Properties": {}}
    with pytest.raises(UnknownResource, match=r"Wait: resource type AWS::Scheduler::Schedule"):
        deploy(template)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"Fn::GetAtt": ["Bucket", "Nothing"]}, "Nothing"),
        ({"Ref": "Nobody"}, "Nobody"),
        ({"Fn::ImportValue": "other-stack"}, "Fn::ImportValue"),
        ({"Fn::FindInMap": ["Sizes", "huge", "memory"]}, "huge"),
        ({"Ref": "OnlyLarge"}, "OnlyLarge"),
    ],
)
def test_what_cannot_be_resolved_fails_by_name(value: Any, named: str) -> None:
    template = small_template()
    template["Outputs"]["Broken"] = {"Value": value}
    with pytest.raises((UnresolvedReference, StackFailed), match=named):
        deploy(template)


def test_a_parameter_without_a_value_fails_by_name() -> None:
    template = small_template()
    template["Parameters"]["Owner"] = {"Type": "String"}
    with pytest.raises(UnresolvedReference, match="Owner"):
        deploy(template)


@pytest.mark.parametrize(
    ("logical_id", "change", "error"),
    [
        ("Monthly", {"ScheduleExpression": "cron(0 6 1W * ? *)"}, UnsupportedSchedule),
        ("Stage", {"StageName": "prod"}, UnsupportedTarget),
        ("Keys", {"EnableSimpleResponses": False}, UnsupportedTarget),
        ("EchoIntegration", {"PayloadFormatVersion": "1.0"}, UnsupportedTarget),
        ("Alerts", {"Targets": [{"Id": "x", "Arn": "arn:aws:kinesis:eu-central-1:1:stream/x"}]}, UnsupportedTarget),
    ],
)
def test_what_is_listed_but_would_behave_otherwise_here_is_refused(
    logical_id: str, change: dict[str, Any], error: type[Exception]
) -> None:
    template = small_template()
    template["Resources"][logical_id]["Properties"].update(change)
    with pytest.raises(error):
        deploy(template)


def test_references_to_what_moto_cannot_create_resolve_everywhere(small: Deployment) -> None:
    api = small.stack.resources["Api"].physical_id
    assert small.outputs == {
        "Url": f"https://{api}.execute-api.eu-central-1.amazonaws.com",
        "Bucket": small.stack.resources["Bucket"].physical_id,
        "Second": "b",
        "Text": f"{api}/${{literal}}/1+2",
        "Version": "30",
    }
    policy = aws.client("lambda").get_policy(FunctionName=small.stack.resources["Echo"].physical_id)["Policy"]
    assert f"arn:aws:execute-api:eu-central-1:123456789012:{api}/*/*" in policy


def test_a_false_condition_leaves_the_resource_out(small: Deployment) -> None:
    assert "OnlyLarge" not in small.stack.resources
    assert not any("only-large" in url for url in aws.client("sqs").list_queues()["QueueUrls"])


def test_the_deployment_says_in_one_line_what_it_ignores(small: Deployment) -> None:
    assert "resources" in small.summary
    assert "IGNORED" in small.summary
    assert "\n" not in small.summary
