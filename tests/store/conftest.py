"""Six empty tables and the bucket in moto, named in the environment as the stack names them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from moto.dynamodb.responses import DynamoHandler

from lambdas.handlers.runtime import set_clock
from lambdas.store import clients

TABLES = ("usage", "counters", "catalogue", "billing", "ledger", "outbox")
BUCKET = "billproof-test-evidence"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fresh account. DynamoDB calls are serialised: moto is not atomic under threads."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "EVIDENCE_BUCKET": BUCKET,
        **{f"{table.upper()}_TABLE": f"billproof-test-{table}" for table in TABLES},
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(DynamoHandler, "call_action", one_at_a_time(DynamoHandler.call_action))
    clients.forget_clients()
    with mock_aws():
        for table in TABLES:
            clients.dynamodb().create_table(
                TableName=f"billproof-test-{table}",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
                KeySchema=[
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
            )
        clients.s3().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        clients.s3().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield
    clients.forget_clients()
    set_clock(None)


def one_at_a_time(call: Any) -> Any:
    """The same call behind one lock."""
    lock = threading.Lock()

    @functools.wraps(call)
    def locked(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return call(*args, **kwargs)

    return locked
