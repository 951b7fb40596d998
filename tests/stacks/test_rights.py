"""Least privilege: who may do what, read from every policy of the template."""

from __future__ import annotations

import pytest

from stacks.billing_stack import ACCESS
from tests.stacks.template import Statement, Template

EDITS = {
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:UpdateItem",
}

KNOW_NO_RESOURCE = {
    "xray:GetSamplingRules": "sampling rules belong to the account",
    "xray:GetSamplingTargets": "sampling rules belong to the account",
    "xray:PutTelemetryRecords": "traces belong to the account",
    "xray:PutTraceSegments": "traces belong to the account",
    "dynamodb:ListStreams": "lists the account's streams",
    "logs:CreateLogDelivery": "vended logs of the state machine",
    "logs:DeleteLogDelivery": "vended logs of the state machine",
    "logs:DescribeLogGroups": "vended logs of the state machine",
    "logs:DescribeResourcePolicies": "vended logs of the state machine",
    "logs:GetLogDelivery": "vended logs of the state machine",
    "logs:ListLogDeliveries": "vended logs of the state machine",
    "logs:PutResourcePolicy": "vended logs of the state machine",
    "logs:UpdateLogDelivery": "vended logs of the state machine",
}


def touching(template: Template, table: str) -> list[Statement]:
    [logical_id] = [
        name
        for name, found in template.of_type("AWS::DynamoDB::Table").items()
        if found["Properties"]["TableName"] == f"billproof-local-{table}"
    ]
    return [
        statement
        for statement in template.role_statements()
        if any(f'"{logical_id}"' in resource for resource in statement.resources)
    ]


def test_nobody_may_edit_or_delete_a_ledger_item(template: Template) -> None:
    statements = touching(template, "ledger")
    assert statements
    for statement in statements:
        assert not EDITS.intersection(statement.actions), statement.policy


def test_the_ledger_itself_refuses_edits_by_anyone(template: Template) -> None:
    ledger = template.only("AWS::DynamoDB::Table", "StoresLedger")["Properties"]
    [denial] = ledger["ResourcePolicy"]["PolicyDocument"]["Statement"]
    assert (denial["Effect"], denial["Principal"]) == ("Deny", {"AWS": "*"})
    assert set(denial["Action"]) == EDITS


def test_only_issue_invoices_writes_to_the_ledger(template: Template) -> None:
    writers = {
        statement.policy for statement in touching(template, "ledger") if "dynamodb:PutItem" in statement.actions
    }
    issue = {statement.policy for statement in template.function_statements("issue_invoices")}
    assert writers == issue


def test_no_function_deletes_from_any_table(template: Template) -> None:
    for statement in template.role_statements():
        assert not (EDITS - {"dynamodb:UpdateItem"}).intersection(statement.actions), statement.policy


def test_no_role_has_a_wildcard_action(template: Template) -> None:
    for statement in template.role_statements():
        assert statement.effect == "Allow"
        assert not [action for action in statement.actions if "*" in action], statement.policy


def test_only_actions_that_know_no_resource_are_allowed_on_all_of_them(template: Template) -> None:
    for statement in template.role_statements():
        if '"*"' in statement.resources:
            unexplained = set(statement.actions) - set(KNOW_NO_RESOURCE)
            assert not unexplained, statement.policy


def test_no_role_has_a_managed_policy(template: Template) -> None:
    for role in template.properties("AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role


def test_every_function_has_its_rights_stated(template: Template) -> None:
    assert set(ACCESS) == set(template.functions())


@pytest.mark.parametrize(
    ("file", "stores"),
    [
        ("authorize_request", {"CATALOGUE_TABLE"}),
        ("ingest_usage", {"USAGE_TABLE", "COUNTERS_TABLE", "CATALOGUE_TABLE"}),
        ("view_usage", {"COUNTERS_TABLE", "CATALOGUE_TABLE"}),
        ("manage_catalogue", {"CATALOGUE_TABLE", "BILLING_TABLE"}),
        ("create_operator_key", {"CATALOGUE_TABLE"}),
        ("billing_runs", {"BILLING_TABLE", "CATALOGUE_TABLE", "EVIDENCE_BUCKET", "STATE_MACHINE_ARN"}),
        ("read_invoices", {"BILLING_TABLE", "EVIDENCE_BUCKET"}),
        ("watch_limits", {"CATALOGUE_TABLE", "OUTBOX_TABLE", "BUS_NAME"}),
        ("rate_shard", {"USAGE_TABLE", "EVIDENCE_BUCKET"}),
        ("issue_invoices", {"BILLING_TABLE", "LEDGER_TABLE", "EVIDENCE_BUCKET"}),
        ("build_bundle", {"BILLING_TABLE", "LEDGER_TABLE", "EVIDENCE_BUCKET"}),
        ("fail_account", {"BILLING_TABLE"}),
        ("seal_run", {"BILLING_TABLE", "LEDGER_TABLE", "EVIDENCE_BUCKET"}),
    ],
)
def test_a_function_knows_only_the_stores_it_uses(template: Template, file: str, stores: set[str]) -> None:
    common = {"STAGE", "LOG_LEVEL", "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE"}
    assert set(template.functions()[file]["Environment"]["Variables"]) == common | stores


@pytest.mark.parametrize(("store", "action"), [("Usage", "PutItem"), ("Counters", "UpdateItem")])
def test_ingest_writes_usage_and_reads_none(template: Template, store: str, action: str) -> None:
    [found] = [
        statement
        for statement in template.function_statements("ingest_usage")
        if any(f"Stores{store}" in resource for resource in statement.resources)
    ]
    assert found.actions == (f"dynamodb:{action}",)


def test_ledger_items_are_appended_by_one_function_that_cannot_read_them(template: Template) -> None:
    [found] = [
        statement
        for statement in template.function_statements("issue_invoices")
        if any("StoresLedger" in resource for resource in statement.resources)
    ]
    assert found.actions == ("dynamodb:PutItem",)


def test_only_build_bundle_writes_bundles(template: Template) -> None:
    writers = {
        statement.policy
        for statement in template.role_statements()
        if "s3:PutObject" in statement.actions and any("/bundles/*" in resource for resource in statement.resources)
    }
    assert writers == {statement.policy for statement in template.function_statements("build_bundle")}


def test_billing_runs_reads_what_runs_recorded_and_neither_bundles_nor_writes(template: Template) -> None:
    on_objects = [
        (statement.actions, resource)
        for statement in template.function_statements("billing_runs")
        for resource in statement.resources
        if "StoresEvidence" in resource and statement.actions != ("s3:ListBucket",)
    ]
    [(actions, resource)] = on_objects
    assert actions == ("s3:GetObject",)
    assert "/runs/*" in resource


def test_a_reader_of_evidence_is_told_that_an_object_is_missing_rather_than_forbidden(template: Template) -> None:
    for file, access in ACCESS.items():
        actions = {action for statement in template.function_statements(file) for action in statement.actions}
        assert ("s3:ListBucket" in actions) == bool(access.evidence_get), file


def test_alarms_can_publish_to_the_encrypted_topic(template: Template) -> None:
    topic = template.only("AWS::SNS::Topic")["Properties"]
    key = template.of_type("AWS::KMS::Key")[topic["KmsMasterKeyId"]["Fn::GetAtt"][0]]["Properties"]
    policies = [
        key["KeyPolicy"]["Statement"],
        template.only("AWS::SNS::TopicPolicy")["Properties"]["PolicyDocument"]["Statement"],
    ]
    for statements in policies:
        allowed = [each["Principal"] for each in statements if each["Effect"] == "Allow"]
        assert {"Service": "cloudwatch.amazonaws.com"} in allowed
    for statement in policies[0]:
        assert "Condition" not in statement
    [publish] = [each for each in policies[1] if each["Action"] == "sns:Publish" and each["Effect"] == "Allow"]
    assert publish["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
