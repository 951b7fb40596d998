"""Where everything is kept: six tables and the evidence bucket, and who may do what with them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.acknowledge import acknowledge, logical_id
from stacks.settings import StageSettings

GET = ("dynamodb:GetItem",)
BATCH = ("dynamodb:BatchGetItem",)
QUERY = ("dynamodb:Query",)
READ = BATCH + GET + QUERY
PUT = ("dynamodb:PutItem",)
UPDATE = ("dynamodb:UpdateItem",)
CHECK = ("dynamodb:ConditionCheckItem",)

RUNS = "runs/*"
BUNDLES = "bundles/*"


@dataclass(frozen=True, kw_only=True)
class Access:
    """What one function may do: actions per table, key prefixes per direction in the evidence bucket.

    A function learns the name of a store (its environment) only together with a right to use it. Nothing here
    deletes: no store's items are ever deleted by a function.
    """

    usage: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()
    catalogue: tuple[str, ...] = ()
    billing: tuple[str, ...] = ()
    ledger: tuple[str, ...] = ()
    outbox: tuple[str, ...] = ()
    evidence_get: tuple[str, ...] = ()
    evidence_put: tuple[str, ...] = ()


class Stores(Construct):
    def __init__(self, scope: Construct, id: str, *, settings: StageSettings) -> None:
        super().__init__(scope, id)
        self._settings = settings
        self.usage = self._table("usage")
        self.counters = self._table("counters", stream=dynamodb.StreamViewType.NEW_IMAGE)
        self.catalogue = self._table("catalogue")
        self.billing = self._table("billing")
        self.ledger = self._table("ledger", resource_policy=_never_edited())
        self.outbox = self._table("outbox")
        self.evidence = self._evidence_bucket()

    def give(self, function: lambda_.Function, access: Access) -> None:
        """Grants exactly `access` and names the stores in the function's environment."""
        for store in fields(access):
            actions = getattr(access, store.name)
            if actions and not store.name.startswith("evidence_"):
                table = getattr(self, store.name)
                _allow(function, actions, [table.table_arn])
                function.add_environment(f"{store.name.upper()}_TABLE", table.table_name)
        if access.evidence_get or access.evidence_put:
            function.add_environment("EVIDENCE_BUCKET", self.evidence.bucket_name)
        if access.evidence_get:
            self._allow_objects(function, "s3:GetObject", access.evidence_get)
            # Without it S3 answers 403 in place of 404 for an object that is not there yet.
            _allow(function, ["s3:ListBucket"], [self.evidence.bucket_arn])
        if access.evidence_put:
            self._allow_objects(function, "s3:PutObject", access.evidence_put)

    def _allow_objects(self, function: lambda_.Function, action: str, prefixes: tuple[str, ...]) -> None:
        _allow(function, [action], [self.evidence.arn_for_objects(prefix) for prefix in prefixes])
        for prefix in prefixes:
            acknowledge(
                cast(iam.IRole, function.role),
                f"AwsSolutions-IAM5[Resource::<{logical_id(self.evidence)}.Arn>/{prefix}]",
                f"The objects below {prefix} are named by run, account and invoice, which exist only later.",
            )

    def _table(
        self,
        name: str,
        *,
        stream: dynamodb.StreamViewType | None = None,
        resource_policy: iam.PolicyDocument | None = None,
    ) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            name.capitalize(),
            table_name=self._settings.name(name),
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            stream=stream,
            resource_policy=resource_policy,
            deletion_protection=self._settings.keep_data,
            removal_policy=self._settings.removal_policy,
        )

    def _evidence_bucket(self) -> s3.Bucket:
        access_log = s3.Bucket(
            self,
            "EvidenceAccessLog",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(self._settings.log_days))],
            removal_policy=self._settings.removal_policy,
        )
        acknowledge(access_log, "AwsSolutions-S1", "This bucket is the access log; logging it to itself never ends.")
        lock_days = Duration.days(self._settings.object_lock_days)
        lock = s3.ObjectLockRetention.compliance if self._locked_for_all() else s3.ObjectLockRetention.governance
        return s3.Bucket(
            self,
            "Evidence",
            versioned=True,
            object_lock_enabled=True,
            object_lock_default_retention=lock(lock_days),
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            server_access_logs_bucket=access_log,
            server_access_logs_prefix="evidence/",
            removal_policy=self._settings.removal_policy,
        )

    def _locked_for_all(self) -> bool:
        mode = self._settings.object_lock_mode
        if mode not in ("GOVERNANCE", "COMPLIANCE"):
            raise ValueError(f"object_lock_mode must be GOVERNANCE or COMPLIANCE, not {mode!r}")
        return mode == "COMPLIANCE"


def _allow(function: lambda_.Function, actions: tuple[str, ...] | list[str], resources: list[str]) -> None:
    function.add_to_role_policy(iam.PolicyStatement(actions=list(actions), resources=resources))


def _never_edited() -> iam.PolicyDocument:
    """Refuses edits of ledger items to everyone in the account, whatever their own rights say (D11)."""
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                sid="NobodyEditsTheLedger",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=[
                    "dynamodb:BatchWriteItem",
                    "dynamodb:DeleteItem",
                    "dynamodb:PartiQLDelete",
                    "dynamodb:PartiQLInsert",
                    "dynamodb:PartiQLUpdate",
                    "dynamodb:UpdateItem",
                ],
                resources=["*"],
            )
        ]
    )
