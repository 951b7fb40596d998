"""Billproof in one account and region: what there is, and who may do what."""

from __future__ import annotations

from aws_cdk import CfnOutput, IStackSynthesizer, Stack
from constructs import Construct

from stacks.alerts import Alerts
from stacks.billing_run import BillingRun
from stacks.functions import Functions
from stacks.operations import Operations
from stacks.settings import StageSettings
from stacks.stores import ADD, APPEND, BUNDLES, QUERY, READ, READ_APPEND, READ_WRITE, RUNS, Access, Stores
from stacks.usage_api import UsageApi

BOTH = (RUNS, BUNDLES)

ACCESS = {
    "authorize_request": Access(catalogue=READ),
    "ingest_usage": Access(usage=READ_APPEND, counters=ADD, catalogue=READ, billing=READ),
    "view_usage": Access(counters=READ, catalogue=READ),
    "manage_catalogue": Access(catalogue=READ_WRITE, billing=READ),
    "create_operator_key": Access(catalogue=READ_WRITE),
    "billing_runs": Access(billing=READ_WRITE, catalogue=READ),
    "read_invoices": Access(billing=READ, evidence_get=BOTH),
    "trace_charge": Access(usage=READ, billing=READ, ledger=READ, catalogue=READ, evidence_get=BOTH),
    "watch_limits": Access(catalogue=READ, outbox=READ_WRITE),
    "open_run": Access(billing=READ_WRITE, catalogue=READ, evidence_get=(RUNS,), evidence_put=(RUNS,)),
    "freeze_inputs": Access(
        usage=READ, counters=QUERY, catalogue=READ, billing=READ_WRITE, evidence_get=(RUNS,), evidence_put=(RUNS,)
    ),
    "rate_shard": Access(usage=READ, evidence_get=(RUNS,), evidence_put=(RUNS,)),
    "draft_invoice": Access(billing=READ_WRITE, evidence_get=(RUNS,), evidence_put=(RUNS,)),
    "issue_invoices": Access(billing=READ_WRITE, ledger=READ + APPEND, evidence_get=(RUNS,), evidence_put=(RUNS,)),
    "build_bundle": Access(billing=READ_WRITE, ledger=READ, evidence_get=BOTH, evidence_put=BOTH),
    "fail_account": Access(billing=READ_WRITE),
    "seal_run": Access(
        billing=READ_WRITE,
        ledger=READ,
        usage=QUERY,
        counters=QUERY,
        catalogue=READ,
        evidence_get=BOTH,
        evidence_put=(RUNS,),
    ),
}
"""The only place where rights are given, by function."""


class BillingStack(Stack):
    def __init__(self, scope: Construct, id: str, *, settings: StageSettings, synthesizer: IStackSynthesizer) -> None:
        super().__init__(scope, id, synthesizer=synthesizer, description="Billproof: provable usage billing")
        stores = Stores(self, "Stores", settings=settings)
        functions = Functions(self, "Functions", settings=settings)
        api = UsageApi(self, "Api", settings=settings, functions=functions)
        run = BillingRun(self, "BillingRun", settings=settings, functions=functions, evidence=stores.evidence)
        alerts = Alerts(self, "Alerts", settings=settings, functions=functions, counters=stores.counters)

        run.started_by(functions.made["billing_runs"], not_opened=api.runs_not_opened)
        for name, function in functions.made.items():
            stores.give(function, ACCESS[name])

        operations = Operations(self, "Operations", settings=settings)
        operations.watch_money()
        operations.watch_functions(functions.made)
        operations.watch_dead_letters([api.runs_not_opened, alerts.not_watched, alerts.not_logged])
        operations.watch_runs(run.state_machine)
        operations.watch_api(api.http_api)

        CfnOutput(self, "ApiUrl", value=api.http_api.api_endpoint)
        CfnOutput(self, "EvidenceBucket", value=stores.evidence.bucket_name)
        CfnOutput(self, "StateMachineArn", value=run.state_machine.state_machine_arn)
        CfnOutput(self, "OperatorsTopic", value=operations.operators.topic_arn)
        CfnOutput(self, "CreateOperatorKey", value=functions.made["create_operator_key"].function_name)
