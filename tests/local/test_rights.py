"""Functions have the rights of their role in the template, and no others."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdas.handlers import runtime
from local.clock import Clock
from local.deploy import deploy
from local.deployment import Deployment
from local.errors import UnjudgedCall, UnjudgedPolicy
from local.rights import Need, Rights, needs_of
from tests.local.small_template import small_template

KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}


def with_policy(*statements: dict[str, Any]) -> dict[str, Any]:
    """The small template, its functions' role with these statements."""
    template = small_template()
    template["Resources"]["Policy"] = {
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "PolicyName": "rights",
            "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)},
            "Roles": [{"Ref": "Role"}],
        },
    }
    return template


def statement(action: str | list[str], resource: Any, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource}


def inside(deployment: Deployment, call: Callable[[], Any]) -> Any:
    """Make a call as the function Echo."""
    function = deployment.functions.find("Echo")

    def run() -> Any:
        runtime.environment.set(function.full_environment())
        return call()

    return contextvars.Context().run(run)


def code_of(deployment: Deployment, call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as refused:
        inside(deployment, call)
    return str(refused.value.response["Error"]["Code"])


TABLE, BUCKET = {"Fn::GetAtt": ["Table", "Arn"]}, {"Fn::GetAtt": ["Bucket", "Arn"]}
OBJECTS = {"Fn::Join": ["", [BUCKET, "/runs/*"]]}


def test_a_call_that_no_statement_allows_is_refused_as_aws_refuses_it() -> None:
    with deploy(small_template()) as deployment:
        client, table = boto3.client("dynamodb"), deployment.stack.resources["Table"].physical_id
        client.get_item(TableName=table, Key=KEY)  # from outside of functions
        with pytest.raises(ClientError) as refused:
            inside(deployment, lambda: client.get_item(TableName=table, Key=KEY))
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
        arn = f"arn:aws:dynamodb:eu-central-1:123456789012:table/{table}"
        assert f"is not authorized to perform: dynamodb:GetItem on resource: {arn}" in str(refused.value)


def test_a_transaction_needs_the_right_of_each_of_its_actions() -> None:
    with deploy(with_policy(statement("dynamodb:Put*", TABLE))) as deployment:
        client, table = boto3.client("dynamodb"), deployment.stack.resources["Table"].physical_id
        put = {"Put": {"TableName": table, "Item": KEY}}
        other = {"pk": {"S": "a"}, "sk": {"S": "other"}}
        update = {"Update": {"TableName": table, "Key": other, "UpdateExpression": "REMOVE x"}}
        inside(deployment, lambda: client.transact_write_items(TransactItems=[put]))
        assert (
            code_of(deployment, lambda: client.transact_write_items(TransactItems=[put, update]))
            == "AccessDeniedException"
        )
        assert client.scan(TableName=table)["Count"] == 1


def test_objects_are_allowed_by_prefix_and_missing_ones_need_the_right_to_look() -> None:
    rights = [statement(["s3:GetObject", "s3:PutObject"], OBJECTS)]
    with deploy(with_policy(*rights)) as deployment:
        client, bucket = boto3.client("s3"), deployment.outputs["Bucket"]
        inside(deployment, lambda: client.put_object(Bucket=bucket, Key="runs/1", Body=b"x"))
        assert inside(deployment, lambda: client.get_object(Bucket=bucket, Key="runs/1"))["Body"].read() == b"x"
        assert code_of(deployment, lambda: client.get_object(Bucket=bucket, Key="bundles/1")) == "AccessDenied"
        assert code_of(deployment, lambda: client.get_object(Bucket=bucket, Key="runs/2")) == "AccessDenied"
        sign = {"Bucket": bucket, "Key": "bundles/1"}
        assert code_of(deployment, lambda: client.generate_presigned_url("get_object", sign)) == "AccessDenied"
    with deploy(with_policy(*rights, statement("s3:ListBucket", BUCKET))) as deployment:
        client, bucket = boto3.client("s3"), deployment.outputs["Bucket"]
        assert code_of(deployment, lambda: client.get_object(Bucket=bucket, Key="runs/2")) == "NoSuchKey"


def test_a_denial_wins_whether_it_is_the_roles_or_the_tables() -> None:
    template = with_policy(statement("*", "*"), statement("dynamodb:deleteitem", TABLE, "Deny"))
    template["Resources"]["Table"]["Properties"]["ResourcePolicy"] = {
        "PolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [{**statement("dynamodb:UpdateItem", "*", "Deny"), "Principal": {"AWS": "*"}}],
        }
    }
    with deploy(template) as deployment:
        client, table = boto3.client("dynamodb"), deployment.stack.resources["Table"].physical_id
        inside(deployment, lambda: client.put_item(TableName=table, Item=KEY))
        for call in (client.delete_item, client.update_item):
            assert code_of(deployment, lambda call=call: call(TableName=table, Key=KEY)) == "AccessDeniedException"  # type: ignore[misc]


def test_a_policy_with_a_condition_is_not_judged_but_refused() -> None:
    conditional = {**statement("s3:GetObject", "*"), "Condition": {"Bool": {"aws:SecureTransport": "true"}}}
    with pytest.raises(UnjudgedPolicy, match="Policy: Condition of a statement"):
        deploy(with_policy(conditional))


def test_a_table_policy_that_allows_is_not_judged_but_refused() -> None:
    template = small_template()
    allowing = {**statement("dynamodb:GetItem", "*"), "Principal": {"AWS": "123456789012"}}
    template["Resources"]["Table"]["Properties"]["ResourcePolicy"] = {"PolicyDocument": {"Statement": allowing}}
    with pytest.raises(UnjudgedPolicy, match="Table: of a table's policy"):
        deploy(template)


def test_a_call_whose_rights_are_unknown_is_refused() -> None:
    with pytest.raises(UnjudgedCall, match="sqs SendMessage"):
        needs_of("sqs", "SendMessage", {})


def test_the_rights_of_the_template_are_those_of_each_function(template_path: Path) -> None:
    with deploy(template_path, Clock()) as deployment:
        rights = Rights(deployment.stack)
        table = "arn:aws:dynamodb:eu-central-1:123456789012:table/billproof-local-"
        ingest = "billproof-local-ingest_usage"
        assert rights.allow(ingest, Need("dynamodb:PutItem", f"{table}usage"))
        assert not rights.allow(ingest, Need("dynamodb:GetItem", f"{table}usage"))
        assert not rights.allow(ingest, Need("dynamodb:PutItem", f"{table}ledger"))
        issue = "billproof-local-issue_invoices"
        assert rights.allow(issue, Need("dynamodb:PutItem", f"{table}ledger"))
        assert not rights.allow(issue, Need("dynamodb:UpdateItem", f"{table}ledger"))
