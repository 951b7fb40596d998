"""Tables and bucket: encrypted, recoverable, locked; and what each stage adds."""

from __future__ import annotations

from tests.stacks.template import Template

NAMES = ("usage", "counters", "catalogue", "billing", "ledger", "outbox")


def test_there_are_six_tables_named_after_the_stage(template: Template) -> None:
    names = {table["TableName"] for table in template.properties("AWS::DynamoDB::Table")}
    assert names == {f"billproof-local-{name}" for name in NAMES}


def test_every_table_is_encrypted_and_recoverable_to_any_second(template: Template) -> None:
    for table in template.properties("AWS::DynamoDB::Table"):
        assert table["SSESpecification"] == {"SSEEnabled": True}
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_every_table_has_the_same_keys_and_is_paid_per_request(template: Template) -> None:
    for table in template.properties("AWS::DynamoDB::Table"):
        keys = [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
        assert keys == [("pk", "HASH"), ("sk", "RANGE")]
        assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_only_the_counters_are_streamed(template: Template) -> None:
    streams = {
        table["TableName"]: table["StreamSpecification"]["StreamViewType"]
        for table in template.properties("AWS::DynamoDB::Table")
        if "StreamSpecification" in table
    }
    assert streams == {"billproof-local-counters": "NEW_IMAGE"}


def test_buckets_are_encrypted_private_and_reached_by_tls_only(template: Template) -> None:
    buckets = template.of_type("AWS::S3::Bucket")
    policies = {policy["Bucket"]["Ref"]: policy for policy in template.properties("AWS::S3::BucketPolicy")}
    assert set(policies) == set(buckets)
    for name, bucket in buckets.items():
        assert bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
        denials = [
            statement for statement in policies[name]["PolicyDocument"]["Statement"] if statement["Effect"] == "Deny"
        ]
        assert [denial["Condition"] for denial in denials] == [{"Bool": {"aws:SecureTransport": "false"}}]


def test_evidence_is_versioned_and_locked(template: Template) -> None:
    [evidence] = [bucket for bucket in template.properties("AWS::S3::Bucket") if "ObjectLockEnabled" in bucket]
    assert evidence["VersioningConfiguration"] == {"Status": "Enabled"}
    assert evidence["ObjectLockEnabled"] is True


def test_the_lock_cannot_be_lifted_by_anyone_in_prod_only(by_stage: dict[str, Template]) -> None:
    locks = {}
    for stage, template in by_stage.items():
        [evidence] = [bucket for bucket in template.properties("AWS::S3::Bucket") if "ObjectLockEnabled" in bucket]
        locks[stage] = evidence["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert locks == {
        "local": {"Mode": "GOVERNANCE", "Days": 1},
        "dev": {"Mode": "GOVERNANCE", "Days": 1},
        "prod": {"Mode": "COMPLIANCE", "Days": 3653},
    }


def test_only_in_prod_do_tables_and_buckets_outlive_the_stack(by_stage: dict[str, Template]) -> None:
    for stage, template in by_stage.items():
        in_prod = stage == "prod"
        tables = template.of_type("AWS::DynamoDB::Table").values()
        assert {table["Properties"]["DeletionProtectionEnabled"] for table in tables} == {in_prod}
        kept = [*tables, *template.of_type("AWS::S3::Bucket").values(), *template.of_type("AWS::KMS::Key").values()]
        assert {resource["DeletionPolicy"] for resource in kept} == {"Retain" if in_prod else "Delete"}
