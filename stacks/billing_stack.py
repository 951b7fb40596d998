"""Billproof in one account and region: what there is, and who may do what."""

from __future__ import annotations

from aws_cdk import CfnOutput, IStackSynthesizer, Stack
from constructs import Construct

from stacks.alerts import Alerts
from stacks.billing_run import BillingRun
from stacks.functions import Functions
from stacks.operations import Operations
from stacks.settings import StageSettings
from stacks.stores import BATCH, BUNDLES, CHECK, GET, PUT, QUERY, READ, RUNS, UPDATE, Access, Stores
from stacks.usage_api import UsageApi

BOTH = (RUNS, BUNDLES)

ACCESS = {
    "authorize_request": Access(catalogue=GET),
    "ingest_usage": Access(usage=PUT, counters=UPDATE, catalogue=GET + QUERY),
    "view_usage": Access(counters=QUERY, catalogue=GET + QUERY),
    "manage_catalogue": Access(catalogue=READ + CHECK + PUT + UPDATE, billing=GET + QUERY),
    "create_operator_key": Access(catalogue=GET + PUT),
    "billing_runs": Access(billing=READ + PUT + UPDATE, catalogue=GET + QUERY, evidence_get=(RUNS,)),
    "read_invoices": Access(billing=READ, evidence_get=BOTH),
    "trace_charge": Access(usage=GET + BATCH, billing=GET, ledger=GET, catalogue=GET + QUERY, evidence_get=(RUNS,)),
    "watch_limits": Access(catalogue=GET + QUERY, outbox=GET + PUT + UPDATE),
    "open_run": Access(
        billing=GET + QUERY + PUT + UPDATE, catalogue=GET + QUERY, evidence_get=(RUNS,), evidence_put=(RUNS,)
    ),
    "freeze_inputs": Access(
        usage=QUERY + BATCH,
        counters=QUERY,
        catalogue=GET + QUERY,
        billing=GET + UPDATE,
        evidence_get=(RUNS,),
        evidence_put=(RUNS,),
    ),
    "measure_shard": Access(usage=BATCH, evidence_get=(RUNS,), evidence_put=(RUNS,)),
    "rate_shard": Access(usage=BATCH, evidence_get=(RUNS,), evidence_put=(RUNS,)),
    "draft_invoice": Access(billing=GET + UPDATE, evidence_get=(RUNS,), evidence_put=(RUNS,)),
    "issue_invoices": Access(
        billing=GET + QUERY + PUT + UPDATE, ledger=PUT, evidence_get=(RUNS,), evidence_put=(RUNS,)
    ),
    "build_bundle": Access(billing=GET + UPDATE, ledger=GET, evidence_get=BOTH, evidence_put=BOTH),
    "fail_account": Access(billing=GET + UPDATE),
    "seal_run": Access(billing=READ + UPDATE, ledger=QUERY, evidence_get=(RUNS,), evidence_put=(RUNS,)),
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
