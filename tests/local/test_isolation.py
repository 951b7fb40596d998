"""The wall around the pretended account, and what is left behind."""

from __future__ import annotations

import os
import sys

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdas.handlers import runtime
from local import aws
from local.clock import Clock
from local.deploy import deploy
from local.deployment import Deployment
from local.errors import RealAwsRefused, UnresolvedReference
from tests.local.small_template import small_template


def test_a_failed_deployment_and_a_closed_one_leave_the_process_as_it_was() -> None:
    before, output = dict(os.environ), sys.stdout
    with pytest.raises(UnresolvedReference):
        deploy({**small_template(), "Outputs": {"Broken": {"Value": {"Ref": "Nobody"}}}})
    assert dict(os.environ) == before
    with deploy(small_template()):
        assert os.environ["AWS_ACCESS_KEY_ID"] == aws.ACCESS_KEY_ID
    assert dict(os.environ) == before
    assert sys.stdout is output


def test_nothing_leaves_this_machine(small: Deployment) -> None:
    with pytest.raises(RealAwsRefused, match="would have left this machine"):
        boto3.client("s3", endpoint_url="https://s3.example.com").list_buckets()
    elsewhere = boto3.client("dynamodb", region_name="eu-west-1")
    assert elsewhere.list_tables()["TableNames"] == []


def test_deployments_follow_each_other_with_nothing_left_over(running: Deployment) -> None:
    """The second is made inside another one here, and the outer one goes on working afterwards."""
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "inner"}}}}
    clock = Clock(frozen=True)
    with deploy(template, clock) as inner:
        assert inner.request("GET", "/v1/things/1").status == 404
        assert runtime.now().startswith(clock.now().strftime("%Y-%m-%dT%H:%M:%S"))
    assert running.request("GET", "/v1/things/1").status == 401
    assert runtime.now()[:10] == running.clock.now().strftime("%Y-%m-%d")
    table = running.stack.resources["Table"].physical_id
    with pytest.raises(ClientError, match="one item"):
        key = {"pk": {"S": "a"}, "sk": {"S": "b"}}
        delete = {"Delete": {"TableName": table, "Key": key}}
        aws.client("dynamodb").transact_write_items(TransactItems=[delete, delete])
