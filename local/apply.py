"""Applies what moto's CloudFormation drops, through the services' own APIs wherever they allow it.

One function per resource type; coverage.toml lists these properties as applied by local.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends

from local.aws import ACCOUNT_ID, PARTITION, REGION, client
from local.errors import UnsupportedTarget
from local.stack import Resource, Stack

Apply = Callable[[Resource, Mapping[str, Any]], None]


def apply_all(stack: Stack) -> None:
    """Apply to every resource what is listed as applied by local and is not behaviour of another module."""
    for resource in stack.resources.values():
        function = _APPLY.get(resource.type)
        if function is not None:
            function(resource, resource.properties)


def _table(resource: Resource, properties: Mapping[str, Any]) -> None:
    dynamodb = client("dynamodb")
    recovery = properties.get("PointInTimeRecoverySpecification")
    if recovery:
        dynamodb.update_continuous_backups(
            TableName=resource.physical_id, PointInTimeRecoverySpecification=dict(recovery)
        )
    policy = properties.get("ResourcePolicy")
    if policy:
        dynamodb.put_resource_policy(
            ResourceArn=f"arn:{PARTITION}:dynamodb:{REGION}:{ACCOUNT_ID}:table/{resource.physical_id}",
            Policy=json.dumps(policy["PolicyDocument"]),
        )
    encryption = properties.get("SSESpecification")
    if encryption:
        table = dynamodb_backends[ACCOUNT_ID][REGION].get_table(resource.physical_id)
        key = encryption.get("KMSMasterKeyId") or table._get_default_encryption_key(ACCOUNT_ID, REGION)
        table.sse_specification = {
            "Enabled": encryption["SSEEnabled"],
            "SSEType": encryption.get("SSEType", "KMS"),
            "KMSMasterKeyId": key,
        }


def _bucket(resource: Resource, properties: Mapping[str, Any]) -> None:
    s3, name = client("s3"), resource.physical_id
    if "VersioningConfiguration" in properties:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=properties["VersioningConfiguration"])
    if properties.get("ObjectLockEnabled"):
        bucket = s3_backends[ACCOUNT_ID][PARTITION].get_bucket(name)
        bucket.object_lock_enabled = True
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    if "ObjectLockConfiguration" in properties:
        s3.put_object_lock_configuration(
            Bucket=name, ObjectLockConfiguration=_lock_configuration(properties["ObjectLockConfiguration"])
        )
    if "PublicAccessBlockConfiguration" in properties:
        s3.put_public_access_block(
            Bucket=name, PublicAccessBlockConfiguration=properties["PublicAccessBlockConfiguration"]
        )
    if "OwnershipControls" in properties:
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=properties["OwnershipControls"])
    if "LoggingConfiguration" in properties:
        logging = properties["LoggingConfiguration"]
        target = {"TargetBucket": logging["DestinationBucketName"], "TargetPrefix": logging.get("LogFilePrefix", "")}
        s3.put_bucket_logging(Bucket=name, BucketLoggingStatus={"LoggingEnabled": target})
    if "LifecycleConfiguration" in properties:
        rules = [_lifecycle_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})


def _lock_configuration(configuration: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"ObjectLockEnabled": configuration.get("ObjectLockEnabled", "Enabled")}
    if "Rule" in configuration:
        answer["Rule"] = configuration["Rule"]
    return answer


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule in the words of the S3 API, which differ from those of the template."""
    answer: dict[str, Any] = {
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
    }
    for name, member in rule.items():
        match name:
            case "Status" | "Prefix":
                pass
            case "Id":
                answer["ID"] = member
            case "ExpirationInDays":
                answer["Expiration"] = {"Days": member}
            case _:
                raise UnsupportedTarget(f"lifecycle rule member {name} is not implemented in local/apply.py")
    return answer


def _bucket_policy(_resource: Resource, properties: Mapping[str, Any]) -> None:
    client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"]))


def _queue(resource: Resource, properties: Mapping[str, Any]) -> None:
    if "SqsManagedSseEnabled" in properties:
        client("sqs").set_queue_attributes(
            QueueUrl=resource.physical_id,
            Attributes={"SqsManagedSseEnabled": str(properties["SqsManagedSseEnabled"]).lower()},
        )


def _queue_policy(_resource: Resource, properties: Mapping[str, Any]) -> None:
    for url in properties["Queues"]:
        client("sqs").set_queue_attributes(
            QueueUrl=url, Attributes={"Policy": json.dumps(properties["PolicyDocument"])}
        )


def _topic_policy(_resource: Resource, properties: Mapping[str, Any]) -> None:
    for arn in properties["Topics"]:
        client("sns").set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(properties["PolicyDocument"])
        )


def _alarm(resource: Resource, properties: Mapping[str, Any]) -> None:
    client("cloudwatch").put_metric_alarm(**{**properties, "AlarmName": resource.physical_id})


def _log_group(resource: Resource, properties: Mapping[str, Any]) -> None:
    if "RetentionInDays" in properties:
        client("logs").put_retention_policy(
            logGroupName=resource.physical_id, retentionInDays=int(properties["RetentionInDays"])
        )


def _state_machine(resource: Resource, properties: Mapping[str, Any]) -> None:
    changes: dict[str, Any] = {}
    if "LoggingConfiguration" in properties:
        changes["loggingConfiguration"] = _lower_camel(properties["LoggingConfiguration"])
    if "TracingConfiguration" in properties:
        changes["tracingConfiguration"] = _lower_camel(properties["TracingConfiguration"])
    if changes:
        client("stepfunctions").update_state_machine(stateMachineArn=resource.physical_id, **changes)


def _lower_camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_lower_camel(item) for item in value]
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _lower_camel(member) for name, member in value.items()}
    return value


_APPLY: dict[str, Apply] = {
    "AWS::DynamoDB::Table": _table,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::StepFunctions::StateMachine": _state_machine,
}
