"""A small CloudFormation template with everything that `local` does something about."""

from __future__ import annotations

import json
from typing import Any

Template = dict[str, Any]

_LAMBDA_URI = (
    "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{0}.Arn}}/invocations"
)


def small_template() -> Template:
    """A fresh copy; tests may change it."""
    return {
        "Parameters": {
            "BootstrapVersion": {
                "Type": "AWS::SSM::Parameter::Value<String>",
                "Default": "/cdk-bootstrap/hnb659fds/version",
            },
            "Size": {"Type": "String", "Default": "small"},
        },
        "Mappings": {"Sizes": {"small": {"memory": 256}, "large": {"memory": 1024}}},
        "Conditions": {
            "IsSmall": {"Fn::Equals": [{"Ref": "Size"}, "small"]},
            "IsLarge": {"Fn::Not": [{"Condition": "IsSmall"}]},
        },
        "Resources": {**_functions(), **_stores(), **_api(), **_events(), **_state_machine(), **_left_out()},
        "Outputs": {
            "Url": {"Value": {"Fn::GetAtt": ["Api", "ApiEndpoint"]}},
            "Bucket": {"Value": {"Ref": "Bucket"}},
            "Second": {"Value": {"Fn::Select": [1, {"Fn::Split": ["-", "a-b-c"]}]}},
            "Text": {"Value": {"Fn::Sub": ["${Api}/${!literal}/${x}", {"x": {"Fn::Join": ["+", ["1", "2"]]}}]}},
            "Version": {"Value": {"Ref": "BootstrapVersion"}},
        },
    }


def _functions() -> Template:
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
    }
    names = (
        "echo",
        "answer",
        "binary",
        "check_key",
        "take_records",
        "take_records_one_by_one",
        "take_event",
        "step",
        "fail",
        "speak",
    )
    functions = {_title(name): _function(name) for name in names}
    functions["WhoAmI"] = _function("whoami", {"WHO": "first", "TABLE": {"Ref": "Table"}}, Timeout=7)
    functions["WhoElse"] = _function("whoami", {"WHO": "second"})
    functions["WhoAmI"]["Properties"]["MemorySize"] = {"Fn::FindInMap": ["Sizes", {"Ref": "Size"}, "memory"]}
    functions["TakeEvent"]["Properties"]["DeadLetterConfig"] = {"TargetArn": {"Fn::GetAtt": ["DeadCalls", "Arn"]}}
    return {"Role": role, **functions}


def _title(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _function(name: str, environment: Template | None = None, **properties: Any) -> Template:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"S3Bucket": "cdk-assets", "S3Key": "abc.zip"},
            "Handler": f"tests.local.handlers.{name}",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Runtime": "python3.13",
            "Environment": {"Variables": environment or {}},
            **properties,
        },
    }


def _stores() -> Template:
    table: Template = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
        },
    }
    streamed: Template = {"StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"}}
    return {
        "Table": table,
        "Streamed": {**table, "Properties": {**table["Properties"], **streamed}},
        "StreamedToo": {**table, "Properties": {**table["Properties"], **streamed}},
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Streamed", "StreamArn"]},
                "FunctionName": {"Ref": "TakeRecords"},
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 4,
                "BisectBatchOnFunctionError": True,
                "MaximumRetryAttempts": 2,
                "DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["DeadRecords", "Arn"]}}},
            },
        },
        "PartialMapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["StreamedToo", "StreamArn"]},
                "FunctionName": {"Ref": "TakeRecordsOneByOne"},
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 10,
                "MaximumRetryAttempts": 1,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
            },
        },
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
        },
        "DeadRecords": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dead-records"}},
        "DeadCalls": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dead-calls"}},
        "DeadEvents": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dead-events"}},
        "Taken": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "taken"}},
        "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/small/alerts"}},
    }


def _api() -> Template:
    api = {"ApiId": {"Ref": "Api"}}
    routes = {
        "Echo": ("POST /v1/things/{id}", "Echo", True),
        "EchoGet": ("GET /v1/things/{id}", "Echo", True),
        "Fixed": ("GET /v1/things/fixed", "Answer", False),
        "Answer": ("POST /v1/answer", "Answer", False),
        "Binary": ("GET /v1/binary", "Binary", False),
        "Greedy": ("ANY /v1/files/{path+}", "Echo", False),
    }
    resources: Template = {
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "small", "ProtocolType": "HTTP"}},
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {**api, "StageName": "$default", "AutoDeploy": True},
        },
        "Keys": {
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": {
                **api,
                "Name": "keys",
                "AuthorizerType": "REQUEST",
                "AuthorizerPayloadFormatVersion": "2.0",
                "EnableSimpleResponses": True,
                "AuthorizerResultTtlInSeconds": 60,
                "IdentitySource": ["$request.header.Authorization"],
                "AuthorizerUri": {"Fn::Sub": _LAMBDA_URI.format("CheckKey")},
            },
        },
        "MayCall": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": {"Fn::GetAtt": ["Echo", "Arn"]},
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": {"Fn::Sub": "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/*"},
            },
        },
    }
    for name, (key, function, checked) in routes.items():
        resources[f"{name}Integration"] = {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                **api,
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": {"Fn::GetAtt": [function, "Arn"]},
                "PayloadFormatVersion": "2.0",
            },
        }
        custom = {"AuthorizationType": "CUSTOM", "AuthorizerId": {"Ref": "Keys"}} if checked else {}
        target = {"Fn::Join": ["/", ["integrations", {"Ref": f"{name}Integration"}]]}
        resources[f"{name}Route"] = {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {**api, "RouteKey": key, "Target": target, **custom},
        }
    return resources


def _events() -> Template:
    dead = {"Arn": {"Fn::GetAtt": ["DeadEvents", "Arn"]}}
    log_arn = {"Fn::Sub": "arn:aws:logs:${AWS::Region}:${AWS::AccountId}:log-group:${Log}"}
    transformer = {"InputPathsMap": {"when": "$.time"}, "InputTemplate": '{"at":<when>,"text":"at <when>!"}'}

    def rule(name: str, *targets: Template, **properties: Any) -> Template:
        return {"Type": "AWS::Events::Rule", "Properties": {"Name": name, "Targets": list(targets), **properties}}

    to_function = {"Id": "function", "Arn": {"Fn::GetAtt": ["TakeEvent", "Arn"]}}
    return {
        "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "small-bus"}},
        "Alerts": rule(
            "alerts",
            to_function,
            {"Id": "log", "Arn": log_arn},
            {"Id": "queue", "Arn": {"Fn::GetAtt": ["Taken", "Arn"]}, "InputPath": "$.detail"},
            EventBusName="small-bus",
            EventPattern={"source": ["billing"], "detail": {"level": [{"numeric": [">", 3]}]}},
        ),
        "Lost": rule(
            "lost",
            {"Id": "gone", "Arn": "arn:aws:lambda:eu-central-1:123456789012:function:gone", "DeadLetterConfig": dead},
            EventBusName="small-bus",
            EventPattern={"source": ["lost"]},
        ),
        "Off": rule("off", to_function, EventBusName="small-bus", EventPattern={"source": ["off"]}, State="DISABLED"),
        "Monthly": rule(
            "monthly", {**to_function, "InputTransformer": transformer}, ScheduleExpression="cron(0 6 1 * ? *)"
        ),
        "Daily": rule("daily", {**to_function, "Input": '{"daily":true}'}, ScheduleExpression="rate(1 day)"),
    }


def _state_machine() -> Template:
    task = {"Type": "Task", "Resource": "STEP", "End": True}
    definition = {
        "StartAt": "Each",
        "States": {
            "Each": {
                "Type": "Map",
                "ItemReader": {
                    "Resource": "arn:aws:states:::s3:getObject",
                    "ReaderConfig": {"InputType": "JSON"},
                    "Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.key"},
                },
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "Step",
                    "States": {
                        "Step": {
                            **task,
                            "Retry": [{"ErrorEquals": ["TransientError"], "IntervalSeconds": 1, "MaxAttempts": 3}],
                            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Report"}],
                        },
                        "Report": {"Type": "Pass", "End": True},
                    },
                },
                "ToleratedFailureCount": 1000,
                "MaxConcurrency": 2,
                "ResultPath": "$.results",
                "Next": "Last",
            },
            "Last": {"Type": "Task", "Resource": "STEP", "InputPath": "$.last", "ResultPath": "$.last", "End": True},
        },
    }
    before, *others = json.dumps(definition).split("STEP")
    pieces: list[Any] = [before]
    for piece in others:
        pieces += [{"Fn::GetAtt": ["Step", "Arn"]}, piece]
    return {
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineName": "small-machine",
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "DefinitionString": {"Fn::Join": ["", pieces]},
            },
        }
    }


def _left_out() -> Template:
    return {"OnlyLarge": {"Type": "AWS::SQS::Queue", "Condition": "IsLarge", "Properties": {"QueueName": "only-large"}}}
