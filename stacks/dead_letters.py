"""Queues for what could not be delivered; an alarm rings for each as soon as something is in it."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.acknowledge import acknowledge


class DeadLetterQueue(sqs.Queue):
    def __init__(self, scope: Construct, id: str, *, queue_name: str) -> None:
        super().__init__(
            scope,
            id,
            queue_name=queue_name,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        acknowledge(self, "AwsSolutions-SQS3", "This queue is the dead-letter queue; operators empty it by hand.")
