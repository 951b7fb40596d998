"""Alerts: the bus they are published on, what computes them from the counters' stream, and their log."""

from __future__ import annotations

from aws_cdk import ArnFormat, Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk.aws_lambda_event_sources import DynamoEventSource, SqsDlq
from constructs import Construct

from stacks.dead_letters import DeadLetterQueue
from stacks.functions import Functions
from stacks.settings import StageSettings


class Alerts(Construct):
    def __init__(
        self, scope: Construct, id: str, *, settings: StageSettings, functions: Functions, counters: dynamodb.Table
    ) -> None:
        super().__init__(scope, id)
        self._settings = settings
        self._bus_name = f"billproof-{settings.stage}"
        self._bus = events.CfnEventBus(self, "Bus", name=self._bus_name, description="Alerts of Billproof")
        self.not_watched = DeadLetterQueue(self, "NotWatched", queue_name=settings.name("counters-not-watched"))
        self.not_logged = DeadLetterQueue(self, "NotLogged", queue_name=settings.name("alerts-not-logged"))
        self._watch(functions.make("watch_limits", timeout=Duration.minutes(1)), counters)
        self._log_every_alert()

    def _watch(self, watch_limits: lambda_.Function, counters: dynamodb.Table) -> None:
        watch_limits.add_event_source(
            DynamoEventSource(
                counters,
                starting_position=lambda_.StartingPosition.TRIM_HORIZON,
                batch_size=100,
                max_batching_window=Duration.seconds(1),
                bisect_batch_on_error=True,
                retry_attempts=10,
                max_record_age=Duration.hours(6),
                on_failure=SqsDlq(self.not_watched),
            )
        )
        watch_limits.add_to_role_policy(
            iam.PolicyStatement(actions=["events:PutEvents"], resources=[self._bus.attr_arn])
        )
        watch_limits.add_environment("BUS_NAME", self._bus_name)

    def _log_every_alert(self) -> None:
        """Plain resources: CDK's log-group target would bring a custom resource with a function of its own."""
        log_group = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/billproof/{self._settings.stage}/alerts",
            retention=self._settings.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        log_group.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[
                    iam.ServicePrincipal("events.amazonaws.com"),
                    iam.ServicePrincipal("delivery.logs.amazonaws.com"),
                ],
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[log_group.log_group_arn],
            )
        )
        rule = events.CfnRule(
            self,
            "EveryAlert",
            name=self._settings.name("every-alert"),
            event_bus_name=self._bus_name,
            event_pattern={"source": [{"prefix": ""}]},
            targets=[
                events.CfnRule.TargetProperty(
                    id="Log",
                    arn=Stack.of(self).format_arn(
                        service="logs",
                        resource="log-group",
                        resource_name=log_group.log_group_name,
                        arn_format=ArnFormat.COLON_RESOURCE_NAME,
                    ),
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self.not_logged.queue_arn),
                )
            ],
        )
        rule.add_resource_dependency(self._bus)
        self.not_logged.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.not_logged.queue_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
