"""The billing run: nine functions, the state machine that calls them, and the rule that starts it every month.

The state machine's data is {run_id, attempt, bucket, accounts_key}, the answer of open_run; every later step leaves it
as it is. Accounts travel in a file in the evidence bucket, so their number is not bounded by the size of a state.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from stacks.acknowledge import acknowledge, logical_id
from stacks.functions import Functions
from stacks.settings import StageSettings
from stacks.stores import RUNS

TRANSIENT = (
    "TransientError",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
)
"""Errors that a repetition can heal; `Runtime.ExitError` is a process that was killed in the middle. Any other name is
a business error: caught and reported, never repeated."""

RUN = {"run_id": sfn.JsonPath.string_at("$.run_id")}
ATTEMPT = RUN | {"attempt": sfn.JsonPath.number_at("$.attempt")}
ACCOUNT = ATTEMPT | {"customer": sfn.JsonPath.string_at("$.customer")}
ACCOUNT_OF_RUN = RUN | {"customer": sfn.JsonPath.string_at("$.customer")}

MOST_ACCOUNTS = 10_000_000
"""As good as ToleratedFailurePercentage 100, which moto's parser refuses (it takes 100.0, which JSON cannot keep)."""

LONGEST = Duration.minutes(15)


class BillingRun(Construct):
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: StageSettings,
        functions: Functions,
        evidence: s3.IBucket,
    ) -> None:
        super().__init__(scope, id)
        self._settings = settings
        self._tasks = {
            "open_run": functions.make("open_run", timeout=Duration.minutes(5)),
            "freeze_inputs": functions.make("freeze_inputs", memory_mb=1024, timeout=LONGEST),
            "measure_shard": functions.make("measure_shard", memory_mb=1024, timeout=LONGEST),
            "rate_shard": functions.make("rate_shard", memory_mb=2048, timeout=LONGEST),
            "draft_invoice": functions.make("draft_invoice", memory_mb=1024, timeout=LONGEST),
            "issue_invoices": functions.make("issue_invoices", timeout=LONGEST),
            "build_bundle": functions.make("build_bundle", memory_mb=2048, timeout=LONGEST, storage_mb=4096),
            "fail_account": functions.make("fail_account", timeout=Duration.minutes(1)),
            "seal_run": functions.make("seal_run", memory_mb=1024, timeout=LONGEST),
        }
        self.state_machine = self._state_machine()
        self.state_machine.add_to_role_policy(
            iam.PolicyStatement(actions=["s3:GetObject"], resources=[evidence.arn_for_objects(RUNS)])
        )
        self._acknowledge_wildcards(evidence)

    def started_by(self, function: lambda_.Function, *, not_opened: sqs.IQueue) -> None:
        """Lets `function` start executions, and calls it at 06:00 UTC on the first of each month."""
        self.state_machine.grant_start_execution(function)
        function.add_environment("STATE_MACHINE_ARN", self.state_machine.state_machine_arn)
        events.Rule(
            self,
            "Monthly",
            rule_name=self._settings.name("monthly-run"),
            description="Bills the previous calendar month for every issuing entity",
            schedule=events.Schedule.expression("cron(0 6 1 * ? *)"),
            targets=[
                targets.LambdaFunction(
                    function,
                    event=events.RuleTargetInput.from_object({"scheduled_at": events.EventField.time}),
                    dead_letter_queue=not_opened,
                    retry_attempts=24,
                    max_event_age=Duration.hours(24),
                )
            ],
        )

    def _state_machine(self) -> sfn.StateMachine:
        issue = self._task("IssueInvoices", "issue_invoices", RUN, result_path="$.issue")
        seal = self._task("SealRun", "seal_run", ATTEMPT, result_path="$")
        definition = (
            self._task(
                "OpenRun",
                "open_run",
                RUN | {"execution": sfn.JsonPath.string_at("$$.Execution.Name")},
                result_path="$",
            )
            .next(self._for_each_account("FreezeAccounts", self._freeze()))
            .next(self._for_each_account("DraftAccounts", self._draft()))
            .next(issue)
            .next(
                sfn.Choice(self, "AnyLeftToIssue")
                .when(sfn.Condition.number_greater_than("$.issue.remaining", 0), issue)
                .otherwise(
                    self._for_each_account("BundleAccounts", self._bundle())
                    .next(seal)
                    .next(
                        sfn.Choice(self, "IsSealed")
                        .when(sfn.Condition.string_equals("$.status", "sealed"), sfn.Succeed(self, "RunSealed"))
                        .otherwise(
                            sfn.Fail(
                                self,
                                "RunIncomplete",
                                error="RunIncomplete",
                                cause="Not every account of the run is sealed: GET /v1/billing-runs/{id} names them.",
                            )
                        )
                    )
                )
            )
        )
        log_group = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/vendedlogs/states/{self._settings.name('billing-run')}",
            retention=self._settings.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        return sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=self._settings.name("billing-run"),
            definition_body=sfn.DefinitionBody.from_chainable(definition),
            timeout=Duration.hours(24),
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )

    def _freeze(self) -> sfn.IChainable:
        return self._caught(self._task("FreezeInputs", "freeze_inputs", ACCOUNT, ends_item=True), "ReportFailedFreeze")

    def _draft(self) -> sfn.IChainable:
        """freeze_inputs answers here what it stored in FreezeAccounts: one cut-off for all, whenever each is rated."""
        report = self._report("ReportFailedDraft")
        plan = self._task("PlanShards", "freeze_inputs", ACCOUNT, result_path="$.plan")
        measure = self._for_each_shard("MeasureShards", "$.plan.to_measure", "MeasureShard", "measure_shard")
        rate = self._for_each_shard("RateShards", "$.plan.shards", "RateShard", "rate_shard")
        draft = self._task("DraftInvoice", "draft_invoice", ACCOUNT_OF_RUN, ends_item=True)
        for state in (plan, measure, rate, draft):
            state.add_catch(report, errors=["States.ALL"], result_path="$.error")
        return plan.next(measure).next(rate).next(draft)

    def _bundle(self) -> sfn.IChainable:
        return self._caught(self._task("BuildBundle", "build_bundle", ACCOUNT, ends_item=True), "ReportFailedBundle")

    def _caught(self, task: sfn.TaskStateBase, report_name: str) -> sfn.TaskStateBase:
        return task.add_catch(self._report(report_name), errors=["States.ALL"], result_path="$.error")

    def _report(self, state_name: str) -> sfn.TaskStateBase:
        payload = ACCOUNT | {"error": sfn.JsonPath.object_at("$.error")}
        return self._task(state_name, "fail_account", payload, ends_item=True)

    def _for_each_shard(self, state_name: str, items_path: str, task_name: str, function: str) -> sfn.Map:
        return sfn.Map(
            self,
            state_name,
            items_path=items_path,
            item_selector=ACCOUNT_OF_RUN
            | {
                "freeze": sfn.JsonPath.string_at("$.plan.freeze"),
                "n": sfn.JsonPath.number_at("$$.Map.Item.Value.n"),
            },
            max_concurrency=self._settings.shard_concurrency,
            result_path=sfn.JsonPath.DISCARD,
        ).item_processor(self._task(task_name, function, None, ends_item=True))

    def _for_each_account(self, state_name: str, process: sfn.IChainable) -> sfn.DistributedMap:
        """One child execution per account in the file; a failing one is reported and never stops the others."""
        return sfn.DistributedMap(
            self,
            state_name,
            item_reader=sfn.S3JsonItemReader(
                bucket_name_path=sfn.JsonPath.string_at("$.bucket"), key=sfn.JsonPath.string_at("$.accounts_key")
            ),
            item_selector=ATTEMPT | {"customer": sfn.JsonPath.string_at("$$.Map.Item.Value.customer")},
            map_execution_type=sfn.StateMachineType.STANDARD,
            max_concurrency=self._settings.account_concurrency,
            tolerated_failure_count=MOST_ACCOUNTS,  # all of them: seal_run finds what is missing
            result_path=sfn.JsonPath.DISCARD,
        ).item_processor(process)

    def _task(
        self,
        state_name: str,
        function: str,
        payload: Mapping[str, object] | None,
        *,
        result_path: str = sfn.JsonPath.DISCARD,
        ends_item: bool = False,
    ) -> sfn.TaskStateBase:
        """Calls `function` with exactly `payload` (None: the state's input); its answer goes to `result_path`.

        A task that ends an item of a map hands on nothing: a map collects what its items end with, and fails beyond
        256 KB even where its own result is discarded.
        """
        task = tasks.LambdaInvoke(
            self,
            state_name,
            lambda_function=self._tasks[function],
            payload=None if payload is None else sfn.TaskInput.from_object(payload),
            payload_response_only=True,
            retry_on_service_exceptions=False,
            result_path=result_path,
            output_path=sfn.JsonPath.DISCARD if ends_item else None,
        )
        return task.add_retry(
            errors=list(TRANSIENT),
            interval=Duration.seconds(self._settings.retry_interval_s),
            backoff_rate=2,
            max_attempts=5,
            jitter_strategy=sfn.JitterType.FULL,
        )

    def _acknowledge_wildcards(self, evidence: s3.IBucket) -> None:
        machine, name = self.state_machine, "{" + f'"Ref":"{logical_id(self.state_machine)}"' + "}"
        execution = (
            "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:"
            '{"Fn::Select":[6,{"Fn::Split":[":",' + name + "]}]}"
        )
        for finding, reason in {
            "*": "X-Ray and the delivery of vended logs know no resource but *.",
            f"<{logical_id(evidence)}.Arn>/{RUNS}": "The account list is named by its run, which exists only later.",
            f"{execution}:*": "A distributed map describes and stops its own child executions, named at run time.",
            f"{execution}/*:*": "A distributed map redrives its own child executions, named at run time.",
        }.items():
            acknowledge(machine, f"AwsSolutions-IAM5[Resource::{finding}]", reason)
        for file, function in self._tasks.items():
            acknowledge(
                machine,
                f"AwsSolutions-IAM5[Resource::<{logical_id(function)}.Arn>:*]",
                f"CDK lets a task call {file} also by version or alias; it reaches no other function.",
            )
