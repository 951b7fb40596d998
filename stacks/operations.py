"""What calls people: alarms on every function, queue, run and money invariant, all to one topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Aws, Duration
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk.aws_cloudwatch_actions import SnsAction
from constructs import Construct

from stacks.settings import StageSettings

FIVE_MINUTES = Duration.minutes(5)


class Operations(Construct):
    def __init__(self, scope: Construct, id: str, *, settings: StageSettings) -> None:
        super().__init__(scope, id)
        self._settings = settings
        self.operators = self._topic()

    def watch_money(self) -> None:
        """Metrics that the handlers write themselves, in the embedded metric format."""
        for metric, above, meaning in (
            ("InvariantBroken", 0, "a control total of a billing run does not add up"),
            ("ParkedEvents", 0, "usage is stored which no published price covers"),
            ("EventsNotStored", 0, "usage was refused with 503; the sender has to repeat it"),
            ("RejectedEvents", self._settings.rejected_events_alarm, "a sender keeps sending unreadable usage"),
        ):
            self._alarm(
                metric,
                cloudwatch.Metric(
                    namespace="Billproof",
                    metric_name=metric,
                    dimensions_map={"service": "billproof"},
                    statistic=cloudwatch.Stats.SUM,
                    period=FIVE_MINUTES,
                ),
                above=above,
                meaning=meaning,
            )

    def watch_functions(self, functions: Mapping[str, lambda_.Function]) -> None:
        for name, function in functions.items():
            for problem, metric in (
                ("errors", function.metric_errors(period=FIVE_MINUTES)),
                ("throttles", function.metric_throttles(period=FIVE_MINUTES)),
            ):
                self._alarm(f"{name}-{problem}", metric, above=0, meaning=f"{name} has {problem}")

    def watch_dead_letters(self, queues: Sequence[sqs.IQueue]) -> None:
        for queue in queues:
            self._alarm(
                f"{queue.node.id}-dead-letters",
                queue.metric_approximate_number_of_messages_visible(
                    period=FIVE_MINUTES, statistic=cloudwatch.Stats.MAXIMUM
                ),
                above=0,
                meaning=f"something could not be delivered and waits in {queue.node.id}",
            )

    def watch_runs(self, state_machine: sfn.StateMachine) -> None:
        self._alarm(
            "run-failed",
            state_machine.metric_failed(period=FIVE_MINUTES),
            above=0,
            meaning="a billing run failed or is incomplete",
        )
        self._alarm(
            "run-timed-out",
            state_machine.metric_timed_out(period=FIVE_MINUTES),
            above=0,
            meaning="a billing run took more than a day, so it is not sealed",
        )
        self._alarm(
            "run-aborted",
            state_machine.metric_aborted(period=FIVE_MINUTES),
            above=0,
            meaning="a billing run was stopped, so it is not sealed",
        )

    def watch_api(self, api: apigateway.HttpApi) -> None:
        self._alarm(
            "api-5xx",
            api.metric_server_error(period=FIVE_MINUTES, statistic=cloudwatch.Stats.SUM),
            above=0,
            meaning="the API answered with a server error",
        )

    def _alarm(self, name: str, metric: cloudwatch.IMetric, *, above: float, meaning: str) -> None:
        alarm = cloudwatch.Alarm(
            self,
            f"Alarm-{name}",
            alarm_name=self._settings.name(name),
            alarm_description=meaning[0].upper() + meaning[1:],
            metric=metric,
            threshold=above,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(SnsAction(self.operators))

    def _topic(self) -> sns.Topic:
        """Encrypted with a key of its own: alarms cannot publish to a topic under the key that AWS manages."""
        alarms = iam.ServicePrincipal(
            "cloudwatch.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        )
        key = kms.Key(
            self,
            "OperatorsKey",
            description=f"Encrypts the topic {self._settings.name('operators')}",
            enable_key_rotation=True,
            removal_policy=self._settings.removal_policy,
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                # No condition: KMS need not learn for whom CloudWatch asks, and who may publish is the topic's to say.
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
            )
        )
        topic = sns.Topic(
            self, "Operators", topic_name=self._settings.name("operators"), master_key=key, enforce_ssl=True
        )
        topic.add_to_resource_policy(
            iam.PolicyStatement(principals=[alarms], actions=["sns:Publish"], resources=[topic.topic_arn])
        )
        return topic
