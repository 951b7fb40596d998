"""The surroundings of the handlers that are measured: settings, a clock that stands still, tables in memory, and a
transport that answers at once.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any
from unittest.mock import patch

from botocore.awsrequest import AWSResponse
from moto import mock_aws

from bench import workload
from lambdas.handlers import runtime, stores
from lambdas.store import clients
from local.clock import Clock
from local.dynamodb import made_exact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
TABLES = ("usage", "counters", "catalogue", "billing", "outbox")
_SETTINGS = {**{f"{name.upper()}_TABLE": f"billproof-bench-{name}" for name in TABLES}, "BUS_NAME": "billproof-bench"}
_AWS = {
    "AWS_ACCESS_KEY_ID": "BENCHNOTAKEY00000000",
    "AWS_SECRET_ACCESS_KEY": "bench-never-valid-in-aws",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Context:
    """As much of a Lambda context as a handler reads."""

    aws_request_id = "5c7e1f0a-8c0b-4f3e-9b1d-1f2e3d4c5b6a"


class UnexpectedCall(Exception):
    """A call that the measured path must not make."""


@contextmanager
def surroundings() -> Iterator[None]:
    """Settings and clock of the functions. What they print goes to a file: its cost is part of theirs."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "POWERTOOLS_"))}
    token = runtime.environment.set(_SETTINGS)
    runtime.set_clock(lambda: NOW)
    clients.forget_clients()
    try:
        with patch.dict(os.environ, {**others, **_AWS}, clear=True), redirect_stdout(_log()):
            yield
    finally:
        clients.forget_clients()
        runtime.set_clock(None)
        runtime.environment.reset(token)


@contextmanager
def tables_in_memory() -> Iterator[DynamoDBClient]:
    """Empty tables in memory (moto, made exact by `local`), a catalogue with one customer, and new clients.

    Inside `surroundings` only.
    """
    clients.forget_clients()
    with mock_aws(), made_exact(Clock()):
        client = clients.dynamodb()
        for table in TABLES:
            client.create_table(
                TableName=f"billproof-bench-{table}",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            )
        catalogue = stores.catalogue()
        catalogue.create_entity(workload.ENTITY, now=workload.CREATED)
        catalogue.create_customer(workload.CUSTOMER_DOCUMENT, now=workload.CREATED)
        catalogue.publish_plan(workload.PLAN, now=workload.CREATED)
        for document in workload.RATES.values():
            catalogue.publish_rate_card("list", document, now=workload.CREATED, periods=stores.sealed_periods())
        catalogue.agree_contract(workload.CONTRACT, now=workload.CREATED)
        yield client


def answer_at_once(client: DynamoDBClient) -> None:
    """From now on this client's writes are answered by an empty 200 and nothing is sent; other calls are refused."""
    answer: Any = _empty_answer  # the stubs know no hook that answers
    client.meta.events.register("before-send.dynamodb", answer)


def written_since(position: int) -> str:
    """What the handlers have logged since `position` of the log."""
    log = _log()
    log.flush()
    log.seek(position)
    text = log.read()
    log.seek(0, os.SEEK_END)
    return text


def log_position() -> int:
    _log().flush()
    return _log().tell()


@functools.cache
def _log() -> IO[str]:
    """The logger keeps the stream that it was made with, so there is one for the life of the process."""
    return tempfile.TemporaryFile("w+", encoding="utf-8")


class _NoBody:
    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield b"{}"


def _empty_answer(request: Any, event_name: str, **_: Any) -> AWSResponse:
    operation = event_name.rpartition(".")[2]
    if operation not in ("TransactWriteItems", "PutItem"):
        raise UnexpectedCall(operation)
    headers: Any = {"Content-Type": "application/x-amz-json-1.0"}
    return AWSResponse(request.url, 200, headers, _NoBody())
