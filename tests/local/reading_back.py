"""Reads each property that the coverage table calls applied back from the services' APIs, in the template's own words.

`READ` has one function per (type, property): what the deployed resource really has. What no API shows is in `SHOWN_BY`
with the test that shows its behaviour.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from local import aws
from local.stack import Resource

Read = Callable[[Resource], Any]


def _upper(value: Any) -> Any:
    """Member names as in templates (first letter in upper case)."""
    if isinstance(value, list):
        return [_upper(item) for item in value]
    if isinstance(value, dict):
        return {name[:1].upper() + name[1:]: _upper(member) for name, member in value.items()}
    return value


def _table(resource: Resource) -> Any:
    return aws.client("dynamodb").describe_table(TableName=resource.physical_id)["Table"]


def _table_stream(resource: Resource) -> Any:
    specification = dict(_table(resource)["StreamSpecification"])
    assert specification.pop("StreamEnabled") is True
    return specification


def _table_recovery(resource: Resource) -> Any:
    backups = aws.client("dynamodb").describe_continuous_backups(TableName=resource.physical_id)
    description = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    return {"PointInTimeRecoveryEnabled": description["PointInTimeRecoveryStatus"] == "ENABLED"}


def _table_policy(resource: Resource) -> Any:
    policy = aws.client("dynamodb").get_resource_policy(ResourceArn=_table(resource)["TableArn"])["Policy"]
    return {"PolicyDocument": json.loads(policy)}


def _bucket(call: str, *members: str) -> Read:
    def read(resource: Resource) -> Any:
        answer = getattr(aws.client("s3"), call)(Bucket=resource.physical_id)
        for member in members:
            answer = answer[member]
        answer.pop("ResponseMetadata", None)
        return answer

    return read


def _bucket_encryption(resource: Resource) -> Any:
    found = _bucket("get_bucket_encryption", "ServerSideEncryptionConfiguration")(resource)
    rules = [{"ServerSideEncryptionByDefault": r["ApplyServerSideEncryptionByDefault"]} for r in found["Rules"]]
    return {"ServerSideEncryptionConfiguration": rules}


def _bucket_logging(resource: Resource) -> Any:
    found = _bucket("get_bucket_logging", "LoggingEnabled")(resource)
    return {"DestinationBucketName": found["TargetBucket"], "LogFilePrefix": found["TargetPrefix"]}


def _bucket_lifecycle(resource: Resource) -> Any:
    rules = aws.client("s3").get_bucket_lifecycle_configuration(Bucket=resource.physical_id)["Rules"]
    return {"Rules": [{"ExpirationInDays": r["Expiration"]["Days"], "Status": r["Status"]} for r in rules]}


def _bucket_lock(resource: Resource) -> Any:
    found = _bucket("get_object_lock_configuration", "ObjectLockConfiguration")(resource)
    retention = found["Rule"]["DefaultRetention"]
    return {**found, "Rule": {"DefaultRetention": {name: value for name, value in retention.items() if value}}}


def _bucket_locked(resource: Resource) -> Any:
    found = _bucket("get_object_lock_configuration", "ObjectLockConfiguration")(resource)
    return found["ObjectLockEnabled"] == "Enabled"


def _bucket_policy(resource: Resource) -> Any:
    return json.loads(aws.client("s3").get_bucket_policy(Bucket=resource.properties["Bucket"])["Policy"])


def _function(*members: str) -> Read:
    def read(resource: Resource) -> Any:
        answer = aws.client("lambda").get_function_configuration(FunctionName=resource.physical_id)
        for member in members:
            answer = answer[member]
        return answer

    return read


def _layer(member: str) -> Read:
    def read(resource: Resource) -> Any:
        *_, name, version = resource.physical_id.split(":")
        return aws.client("lambda").get_layer_version(LayerName=name, VersionNumber=int(version))[member]

    return read


def _permission(member: str) -> Read:
    def read(resource: Resource) -> Any:
        name = resource.properties["FunctionName"]
        policy = json.loads(aws.client("lambda").get_policy(FunctionName=name)["Policy"])
        found = [_permission_of(statement) for statement in policy["Statement"]]
        [statement] = [p for p in found if p == {**dict(resource.properties), "FunctionName": p["FunctionName"]}]
        assert statement["FunctionName"].endswith(name.rpartition(":")[2])
        return name if member == "FunctionName" else statement[member]

    return read


def _permission_of(statement: dict[str, Any]) -> dict[str, Any]:
    return {
        "Action": statement["Action"],
        "FunctionName": statement["Resource"],
        "Principal": statement["Principal"]["Service"],
        "SourceArn": statement["Condition"]["ArnLike"]["AWS:SourceArn"],
    }


def _mapping(member: str) -> Read:
    def read(resource: Resource) -> Any:
        return aws.client("lambda").get_event_source_mapping(UUID=resource.physical_id)[member]

    return read


def _mapping_function(resource: Resource) -> Any:
    return _mapping("FunctionArn")(resource).rpartition(":")[2]


def _role(member: str) -> Read:
    def read(resource: Resource) -> Any:
        return aws.client("iam").get_role(RoleName=resource.physical_id)["Role"][member]

    return read


def _role_policy(resource: Resource) -> Any:
    [role] = resource.properties["Roles"]
    return aws.client("iam").get_role_policy(RoleName=role, PolicyName=resource.properties["PolicyName"])


def _machine(resource: Resource) -> Any:
    return aws.client("stepfunctions").describe_state_machine(stateMachineArn=resource.physical_id)


def _machine_definition(resource: Resource) -> Any:
    return json.loads(_machine(resource)["definition"])


def _rule(member: str) -> Read:
    def read(resource: Resource) -> Any:
        bus = resource.properties.get("EventBusName", "default")
        return aws.client("events").describe_rule(Name=resource.physical_id, EventBusName=bus)[member]

    return read


def _rule_pattern(resource: Resource) -> Any:
    return json.loads(_rule("EventPattern")(resource))


def _targets(member: str) -> Read:
    def read(resource: Resource) -> Any:
        bus = resource.properties.get("EventBusName", "default")
        targets = aws.client("events").list_targets_by_rule(Rule=resource.physical_id, EventBusName=bus)["Targets"]
        return [target[member] for target in targets]

    return read


def _bus_name(resource: Resource) -> Any:
    return aws.client("events").describe_event_bus(Name=resource.physical_id)["Name"]


def _log_group(member: str) -> Read:
    def read(resource: Resource) -> Any:
        groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=resource.physical_id)["logGroups"]
        [group] = [group for group in groups if group["logGroupName"] == resource.physical_id]
        return group[member]

    return read


def _log_policy(member: str) -> Read:
    def read(resource: Resource) -> Any:
        policies = aws.client("logs").describe_resource_policies()["resourcePolicies"]
        [policy] = [p for p in policies if p["policyName"] == resource.properties["PolicyName"]]
        return policy[member]

    return read


def _queue(member: str) -> Read:
    def read(resource: Resource) -> Any:
        answer = aws.client("sqs").get_queue_attributes(QueueUrl=resource.physical_id, AttributeNames=["All"])
        return answer["Attributes"][member]

    return read


def _queue_policies(resource: Resource) -> Any:
    [url] = resource.properties["Queues"]
    answer = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    return json.loads(answer["Attributes"]["Policy"])


def _topic(resource: Resource, arn: str | None = None) -> Any:
    return aws.client("sns").get_topic_attributes(TopicArn=arn or resource.physical_id)["Attributes"]


def _topic_policy(resource: Resource) -> Any:
    [arn] = resource.properties["Topics"]
    return json.loads(_topic(resource, arn)["Policy"])


def _alarm(member: str) -> Read:
    def read(resource: Resource) -> Any:
        [alarm] = aws.client("cloudwatch").describe_alarms(AlarmNames=[resource.physical_id])["MetricAlarms"]
        return alarm[member]

    return read


def _key(call: str, *members: str) -> Read:
    def read(resource: Resource) -> Any:
        more = {"PolicyName": "default"} if call == "get_key_policy" else {}
        answer = getattr(aws.client("kms"), call)(KeyId=resource.physical_id, **more)
        for member in members:
            answer = answer[member]
        return json.loads(answer) if call == "get_key_policy" else answer

    return read


_BLOCK = ("get_public_access_block", "PublicAccessBlockConfiguration")

READ: dict[tuple[str, str], Read] = {
    ("AWS::DynamoDB::Table", "TableName"): lambda r: _table(r)["TableName"],
    ("AWS::DynamoDB::Table", "KeySchema"): lambda r: _table(r)["KeySchema"],
    ("AWS::DynamoDB::Table", "AttributeDefinitions"): lambda r: _table(r)["AttributeDefinitions"],
    ("AWS::DynamoDB::Table", "BillingMode"): lambda r: _table(r)["BillingModeSummary"]["BillingMode"],
    ("AWS::DynamoDB::Table", "StreamSpecification"): _table_stream,
    ("AWS::DynamoDB::Table", "DeletionProtectionEnabled"): lambda r: _table(r)["DeletionProtectionEnabled"],
    ("AWS::DynamoDB::Table", "PointInTimeRecoverySpecification"): _table_recovery,
    ("AWS::DynamoDB::Table", "SSESpecification"): lambda r: {
        "SSEEnabled": _table(r)["SSEDescription"]["Status"] == "ENABLED"
    },
    ("AWS::DynamoDB::Table", "ResourcePolicy"): _table_policy,
    ("AWS::S3::Bucket", "BucketEncryption"): _bucket_encryption,
    ("AWS::S3::Bucket", "VersioningConfiguration"): _bucket("get_bucket_versioning"),
    ("AWS::S3::Bucket", "ObjectLockEnabled"): _bucket_locked,
    ("AWS::S3::Bucket", "ObjectLockConfiguration"): _bucket_lock,
    ("AWS::S3::Bucket", "PublicAccessBlockConfiguration"): _bucket(*_BLOCK),
    ("AWS::S3::Bucket", "LifecycleConfiguration"): _bucket_lifecycle,
    ("AWS::S3::Bucket", "OwnershipControls"): _bucket("get_bucket_ownership_controls", "OwnershipControls"),
    ("AWS::S3::Bucket", "LoggingConfiguration"): _bucket_logging,
    ("AWS::S3::BucketPolicy", "PolicyDocument"): _bucket_policy,
    ("AWS::Lambda::Function", "FunctionName"): _function("FunctionName"),
    ("AWS::Lambda::Function", "Role"): _function("Role"),
    ("AWS::Lambda::Function", "Runtime"): _function("Runtime"),
    ("AWS::Lambda::Function", "MemorySize"): _function("MemorySize"),
    ("AWS::Lambda::Function", "Timeout"): _function("Timeout"),
    ("AWS::Lambda::Function", "Handler"): _function("Handler"),
    ("AWS::Lambda::Function", "Environment.Variables"): _function("Environment", "Variables"),
    ("AWS::Lambda::LayerVersion", "Description"): _layer("Description"),
    ("AWS::Lambda::LayerVersion", "CompatibleRuntimes"): _layer("CompatibleRuntimes"),
    ("AWS::Lambda::Permission", "Action"): _permission("Action"),
    ("AWS::Lambda::Permission", "FunctionName"): _permission("FunctionName"),
    ("AWS::Lambda::Permission", "Principal"): _permission("Principal"),
    ("AWS::Lambda::Permission", "SourceArn"): _permission("SourceArn"),
    ("AWS::Lambda::EventSourceMapping", "EventSourceArn"): _mapping("EventSourceArn"),
    ("AWS::Lambda::EventSourceMapping", "FunctionName"): _mapping_function,
    ("AWS::Lambda::EventSourceMapping", "BatchSize"): _mapping("BatchSize"),
    ("AWS::IAM::Role", "AssumeRolePolicyDocument"): _role("AssumeRolePolicyDocument"),
    ("AWS::IAM::Role", "Description"): _role("Description"),
    ("AWS::IAM::Policy", "PolicyName"): lambda r: _role_policy(r)["PolicyName"],
    ("AWS::IAM::Policy", "PolicyDocument"): lambda r: _role_policy(r)["PolicyDocument"],
    ("AWS::IAM::Policy", "Roles"): lambda r: [_role_policy(r)["RoleName"]],
    ("AWS::StepFunctions::StateMachine", "StateMachineName"): lambda r: _machine(r)["name"],
    ("AWS::StepFunctions::StateMachine", "DefinitionString"): _machine_definition,
    ("AWS::StepFunctions::StateMachine", "RoleArn"): lambda r: _machine(r)["roleArn"],
    ("AWS::StepFunctions::StateMachine", "LoggingConfiguration"): lambda r: _upper(_machine(r)["loggingConfiguration"]),
    ("AWS::StepFunctions::StateMachine", "TracingConfiguration"): lambda r: _upper(_machine(r)["tracingConfiguration"]),
    ("AWS::Events::EventBus", "Name"): _bus_name,
    ("AWS::Events::Rule", "Name"): _rule("Name"),
    ("AWS::Events::Rule", "Description"): _rule("Description"),
    ("AWS::Events::Rule", "EventBusName"): _rule("EventBusName"),
    ("AWS::Events::Rule", "EventPattern"): _rule_pattern,
    ("AWS::Events::Rule", "ScheduleExpression"): _rule("ScheduleExpression"),
    ("AWS::Events::Rule", "State"): _rule("State"),
    ("AWS::Events::Rule", "Targets.Id"): _targets("Id"),
    ("AWS::Events::Rule", "Targets.Arn"): _targets("Arn"),
    ("AWS::Logs::LogGroup", "LogGroupName"): _log_group("logGroupName"),
    ("AWS::Logs::LogGroup", "RetentionInDays"): _log_group("retentionInDays"),
    ("AWS::Logs::ResourcePolicy", "PolicyName"): _log_policy("policyName"),
    ("AWS::Logs::ResourcePolicy", "PolicyDocument"): _log_policy("policyDocument"),
    ("AWS::SQS::Queue", "QueueName"): lambda r: _queue("QueueArn")(r).rpartition(":")[2],
    ("AWS::SQS::Queue", "MessageRetentionPeriod"): lambda r: int(_queue("MessageRetentionPeriod")(r)),
    ("AWS::SQS::Queue", "SqsManagedSseEnabled"): lambda r: _queue("SqsManagedSseEnabled")(r) == "true",
    ("AWS::SQS::QueuePolicy", "PolicyDocument"): _queue_policies,
    ("AWS::SNS::Topic", "TopicName"): lambda r: _topic(r)["TopicArn"].rpartition(":")[2],
    ("AWS::SNS::Topic", "KmsMasterKeyId"): lambda r: _topic(r)["KmsMasterKeyId"],
    ("AWS::SNS::TopicPolicy", "PolicyDocument"): _topic_policy,
    ("AWS::KMS::Key", "Description"): _key("describe_key", "KeyMetadata", "Description"),
    ("AWS::KMS::Key", "EnableKeyRotation"): _key("get_key_rotation_status", "KeyRotationEnabled"),
    ("AWS::KMS::Key", "KeyPolicy"): _key("get_key_policy", "Policy"),
    **{
        ("AWS::CloudWatch::Alarm", member): _alarm(member)
        for member in (
            "AlarmName",
            "AlarmDescription",
            "AlarmActions",
            "ComparisonOperator",
            "Dimensions",
            "EvaluationPeriods",
            "MetricName",
            "Namespace",
            "Period",
            "Statistic",
            "Threshold",
            "TreatMissingData",
        )
    },
}

SHOWN_BY: dict[tuple[str, str], str] = {
    ("AWS::S3::BucketPolicy", "Bucket"): "reads the policy of that bucket",
    ("AWS::SQS::QueuePolicy", "Queues"): "reads the policy of those queues",
    ("AWS::SNS::TopicPolicy", "Topics"): "reads the policy of those topics",
    ("AWS::Lambda::Function", "Code"): "test_a_function_is_found_by",
    ("AWS::Lambda::Function", "Layers"): "test_a_function_is_found_by",
    ("AWS::Lambda::LayerVersion", "Content"): "test_a_function_is_found_by",
    (
        "AWS::Lambda::Function",
        "DeadLetterConfig",
    ): "test_an_asynchronous_call_runs_at_the_next_pump_with_retries_and_then_the_dead_letter_queue",
    ("AWS::Lambda::EventSourceMapping", "StartingPosition"): "test_records_arrive_in_order_in_batches_at_the_next_pump",
    (
        "AWS::Lambda::EventSourceMapping",
        "BisectBatchOnFunctionError",
    ): "test_a_failing_batch_is_split_until_the_bad_record_is_alone_and_goes_to_the_queue",
    (
        "AWS::Lambda::EventSourceMapping",
        "MaximumRetryAttempts",
    ): "test_a_failing_batch_is_split_until_the_bad_record_is_alone_and_goes_to_the_queue",
    (
        "AWS::Lambda::EventSourceMapping",
        "DestinationConfig.OnFailure",
    ): "test_a_failing_batch_is_split_until_the_bad_record_is_alone_and_goes_to_the_queue",
    (
        "AWS::Lambda::EventSourceMapping",
        "FunctionResponseTypes",
    ): "test_reported_failures_are_tried_again_from_the_first_one_on",
    ("AWS::Events::Rule", "Targets.Input"): "test_schedules_fire_all_that_is_due_in_order_with_the_scheduled_time",
    (
        "AWS::Events::Rule",
        "Targets.InputTransformer",
    ): "test_schedules_fire_all_that_is_due_in_order_with_the_scheduled_time",
    ("AWS::Events::Rule", "Targets.InputPath"): "test_a_matching_event_reaches_function_log_and_queue",
    (
        "AWS::Events::Rule",
        "Targets.DeadLetterConfig",
    ): "test_what_cannot_be_delivered_goes_to_the_target_s_dead_letter_queue",
    ("AWS::ApiGatewayV2::Api", "ProtocolType"): "test_no_route_is_404_in_api_gateway_s_words",
    **{
        ("AWS::ApiGatewayV2::Integration", member): "test_the_event_is_payload_format_2"
        for member in ("ApiId", "IntegrationType", "IntegrationUri", "PayloadFormatVersion")
    },
    **{
        ("AWS::ApiGatewayV2::Route", member): "test_the_event_is_payload_format_2"
        for member in ("ApiId", "RouteKey", "Target", "AuthorizationType", "AuthorizerId")
    },
    **{
        ("AWS::ApiGatewayV2::Authorizer", member): "test_the_authorizer_gets_a_request_event_without_a_body"
        for member in (
            "ApiId",
            "AuthorizerType",
            "AuthorizerUri",
            "AuthorizerPayloadFormatVersion",
            "EnableSimpleResponses",
        )
    },
    (
        "AWS::ApiGatewayV2::Authorizer",
        "AuthorizerResultTtlInSeconds",
    ): "test_the_authorizer_s_answer_is_kept_for_its_ttl_by_the_movable_clock",
    ("AWS::ApiGatewayV2::Authorizer", "IdentitySource"): "test_without_an_identity_the_authorizer_is_not_asked",
    **{
        ("AWS::ApiGatewayV2::Stage", member): "test_what_is_listed_but_would_behave_otherwise_here_is_refused"
        for member in ("ApiId", "StageName", "AutoDeploy")
    },
}
