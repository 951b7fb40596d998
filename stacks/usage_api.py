"""The HTTP API: its functions, the key check in front of all of them, routes, access log and throttle."""

from __future__ import annotations

import json

import jsii
from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk.aws_apigateway import AccessLogFormat
from aws_cdk.aws_apigatewayv2_authorizers import HttpLambdaAuthorizer, HttpLambdaResponseType
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from stacks.dead_letters import DeadLetterQueue
from stacks.functions import Functions
from stacks.settings import StageSettings

ROUTES: dict[str, tuple[str, ...]] = {
    "ingest_usage": ("POST /v1/usage",),
    "view_usage": ("GET /v1/customers/{id}/usage",),
    "manage_catalogue": (
        "POST /v1/entities",
        "GET /v1/entities",
        "GET /v1/entities/{id}",
        "POST /v1/customers",
        "GET /v1/customers",
        "GET /v1/customers/{id}",
        "POST /v1/keys",
        "GET /v1/keys",
        "DELETE /v1/keys/{key_id}",
        "POST /v1/plans",
        "GET /v1/plans/{id}/versions",
        "GET /v1/plans/{id}/versions/{version}",
        "POST /v1/rate-cards/{id}/versions",
        "GET /v1/rate-cards/{id}/versions",
        "GET /v1/rate-cards/{id}/versions/{version}",
        "POST /v1/contracts",
        "GET /v1/customers/{id}/contracts",
    ),
    "billing_runs": (
        "POST /v1/billing-runs",
        "GET /v1/billing-runs",
        "GET /v1/billing-runs/{id}",
        "GET /v1/billing-runs/{id}/accounts",
        "GET /v1/billing-runs/{id}/parked",
    ),
    "read_invoices": ("GET /v1/invoices", "GET /v1/invoices/{number}", "GET /v1/invoices/{number}/bundle"),
    "trace_charge": ("GET /v1/trace/event", "GET /v1/trace/line"),
}

KEY_CACHE = Duration.seconds(60)
"""How long a revoked key may still be let in (D14)."""


class UsageApi(Construct):
    def __init__(self, scope: Construct, id: str, *, settings: StageSettings, functions: Functions) -> None:
        super().__init__(scope, id)
        self.runs_not_opened = DeadLetterQueue(self, "RunsNotOpened", queue_name=settings.name("runs-not-opened"))
        handlers = {
            "ingest_usage": functions.make("ingest_usage", memory_mb=1024),
            "view_usage": functions.make("view_usage"),
            "manage_catalogue": functions.make("manage_catalogue"),
            "billing_runs": functions.make("billing_runs", memory_mb=1024, dead_letters=self.runs_not_opened),
            "read_invoices": functions.make("read_invoices"),
            "trace_charge": functions.make("trace_charge", memory_mb=1024),
        }
        functions.make("create_operator_key")
        self.http_api = apigateway.HttpApi(
            self,
            "HttpApi",
            api_name=settings.name("api"),
            create_default_stage=False,
            default_authorizer=HttpLambdaAuthorizer(
                "KeyCheck",
                functions.make("authorize_request", timeout=Duration.seconds(10)),
                identity_source=["$request.header.Authorization"],
                response_types=[HttpLambdaResponseType.SIMPLE],
                results_cache_ttl=KEY_CACHE,
            ),
        )
        for name, routes in ROUTES.items():
            self._add_routes(name, handlers[name], routes)
        self.stage = self._default_stage(settings)

    def _add_routes(self, name: str, function: lambda_.Function, routes: tuple[str, ...]) -> None:
        integration = HttpLambdaIntegration(
            f"{name}Integration",
            function,
            payload_format_version=apigateway.PayloadFormatVersion.VERSION_2_0,
            scope_permission_to_route=False,
        )
        for route in routes:
            method, path = route.split(" ")
            self.http_api.add_routes(path=path, methods=[apigateway.HttpMethod[method]], integration=integration)

    def _default_stage(self, settings: StageSettings) -> apigateway.HttpStage:
        access_log = logs.LogGroup(
            self,
            "AccessLog",
            log_group_name=f"/aws/vendedlogs/{settings.name('api')}",
            retention=settings.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        return apigateway.HttpStage(
            self,
            "Stage",
            http_api=self.http_api,
            stage_name="$default",
            auto_deploy=True,
            throttle=apigateway.ThrottleSettings(
                rate_limit=settings.requests_per_s, burst_limit=settings.request_burst
            ),
            access_log_settings=AccessLog(access_log),
        )


@jsii.implements(apigateway.IAccessLogSettings)
class AccessLog:
    """One JSON line per request; never a header or a body, so never a key or usage."""

    def __init__(self, log_group: logs.ILogGroup) -> None:
        self._log_group = log_group

    @property
    def destination(self) -> apigateway.IAccessLogDestination:
        return apigateway.LogGroupLogDestination(self._log_group)

    @property
    def format(self) -> AccessLogFormat:
        fields = {
            "request_id": "$context.requestId",
            "time": "$context.requestTime",
            "route": "$context.routeKey",
            "status": "$context.status",
            "key_id": "$context.authorizer.key_id",
            "source_ip": "$context.identity.sourceIp",
            "response_bytes": "$context.responseLength",
            "latency_ms": "$context.responseLatency",
            "authorizer_error": "$context.authorizer.error",
            "integration_error": "$context.integrationErrorMessage",
        }
        return AccessLogFormat.custom(json.dumps(fields))
