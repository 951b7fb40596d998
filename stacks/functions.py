"""How every function is made: the same runtime, role, log group and tracing, whatever it does."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.acknowledge import acknowledge
from stacks.layer import ARCHITECTURE, RUNTIME, DependencyLayer, code_asset
from stacks.settings import StageSettings


class Functions(Construct):
    """Makes functions and remembers them by the name of their handler file in `made`."""

    def __init__(self, scope: Construct, id: str, *, settings: StageSettings) -> None:
        super().__init__(scope, id)
        self._settings = settings
        self._code = code_asset()
        self._layer = DependencyLayer(self, "Dependencies")
        self.made: dict[str, lambda_.Function] = {}

    def make(
        self,
        file: str,
        *,
        memory_mb: int = 512,
        timeout: Duration | None = None,
        storage_mb: int = 512,
        dead_letters: sqs.IQueue | None = None,
    ) -> lambda_.Function:
        """The function for lambdas/handlers/{file}.py. `dead_letters` is for functions invoked asynchronously."""
        construct_id = "".join(word.capitalize() for word in file.split("_"))
        name = self._settings.name(file)
        log_group = logs.LogGroup(
            self,
            f"{construct_id}Log",
            log_group_name=f"/aws/lambda/{name}",
            retention=self._settings.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = iam.Role(
            self, f"{construct_id}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"), description=name
        )
        log_group.grant_write(role)
        function = lambda_.Function(
            self,
            construct_id,
            function_name=name,
            handler=f"lambdas.handlers.{file}.handler",
            code=self._code,
            layers=[self._layer],
            runtime=RUNTIME,
            architecture=ARCHITECTURE,
            memory_size=memory_mb,
            ephemeral_storage_size=Size.mebibytes(storage_mb),
            timeout=timeout or Duration.seconds(29),
            role=role,
            log_group=log_group,
            tracing=lambda_.Tracing.ACTIVE,
            dead_letter_queue=dead_letters,
            environment={
                "STAGE": self._settings.stage,
                "LOG_LEVEL": self._settings.log_level,
                "POWERTOOLS_SERVICE_NAME": "billproof",
                "POWERTOOLS_METRICS_NAMESPACE": "Billproof",
            },
        )
        acknowledge(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            "X-Ray's put actions, and for a stream's reader dynamodb:ListStreams, know no resource but *.",
        )
        acknowledge(
            function,
            "AwsSolutions-L1",
            "The layer's wheels and bytecode, and the tests, are for Python 3.13; it moves with them.",
        )
        self.made[file] = function
        return function
