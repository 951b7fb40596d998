"""Event source mappings: DynamoDB streams to functions, with batches, retries, splits and dead letters."""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from moto.dynamodb.models import dynamodb_backends

from local.async_calls import send
from local.aws import ACCOUNT_ID, REGION, client
from local.clock import Clock
from local.errors import FunctionFailed, UnsupportedTarget
from local.functions import Functions
from local.stack import Resource, Stack

Record = dict[str, Any]
_FOR_EVER = 25
"""Attempts at a batch in one pump where the template sets no limit; the batch then blocks the stream, as in AWS."""


class Blocked(Exception):
    """A batch failed and may be tried for ever; the stream stands still in front of it."""


class StreamMapping:
    """One AWS::Lambda::EventSourceMapping on a DynamoDB stream."""

    def __init__(self, resource: Resource, functions: Functions, clock: Clock) -> None:
        properties = resource.properties
        self._stream_arn = properties["EventSourceArn"]
        if ":dynamodb:" not in self._stream_arn:
            raise UnsupportedTarget(f"{resource.logical_id}: only DynamoDB streams are pumped here")
        self._functions = functions
        self._clock = clock
        self._function = functions.find(properties["FunctionName"])
        self._enabled = properties.get("Enabled", True)
        self._batch_size = int(properties.get("BatchSize", 100))
        self._splits = bool(properties.get("BisectBatchOnFunctionError", False))
        self._partial = "ReportBatchItemFailures" in properties.get("FunctionResponseTypes", [])
        self._retries = int(properties.get("MaximumRetryAttempts", -1))
        self._on_failure = properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        self._waiting: list[Record] = []
        streams = client("dynamodbstreams")
        shard = streams.describe_stream(StreamArn=self._stream_arn)["StreamDescription"]["Shards"][0]["ShardId"]
        self._shard_id = shard
        # nothing was written before the deployment, so LATEST and TRIM_HORIZON are the same place
        self._iterator = streams.get_shard_iterator(
            StreamArn=self._stream_arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]

    def pump(self) -> int:
        """Deliver what is in the stream. Answers how many records were taken off it."""
        if not self._enabled:
            return 0
        self._read()
        taken = 0
        while self._waiting:
            batch = self._waiting[: self._batch_size]
            try:
                self._deliver(batch)
            except Blocked:
                return taken
            del self._waiting[: len(batch)]
            taken += len(batch)
        return taken

    def _read(self) -> None:
        streams = client("dynamodbstreams")
        while True:
            page = streams.get_records(ShardIterator=self._iterator, Limit=1000)
            if not page["Records"]:
                return
            self._iterator = page["NextShardIterator"]
            self._waiting += [_as_lambda_record(record, self._stream_arn) for record in page["Records"]]

    def _deliver(self, batch: list[Record]) -> None:
        limit = _FOR_EVER if self._retries < 0 else self._retries + 1
        failure: FunctionFailed | None = None
        for _ in range(limit):
            if not batch:
                return
            try:
                answer = self._functions.call(self._function.name, {"Records": batch})
            except FunctionFailed as failed:
                failure = failed
                if self._splits and len(batch) > 1:  # splitting costs no attempt
                    middle = len(batch) // 2
                    self._deliver(batch[:middle])
                    self._deliver(batch[middle:])
                    return
            else:
                failed_at = self._first_failed(answer, batch)
                if failed_at is None:
                    return
                batch = batch[failed_at:]
        if self._retries < 0:
            raise Blocked
        if self._on_failure:
            send(self._on_failure, self._lost(batch, limit, failure))

    def _first_failed(self, answer: Any, batch: list[Record]) -> int | None:
        """Where to start again after an answer that names failed records; None where all are done."""
        if not self._partial or not isinstance(answer, dict):
            return None
        named = {item["itemIdentifier"] for item in answer.get("batchItemFailures", [])}
        return next((n for n, r in enumerate(batch) if r["dynamodb"]["SequenceNumber"] in named), None)

    def _lost(self, batch: list[Record], attempts: int, failure: FunctionFailed | None) -> dict[str, Any]:
        now = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        context = {"statusCode": 200, "executedVersion": "$LATEST"}
        return {
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "functionArn": self._function.arn,
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": attempts,
            },
            "responseContext": {**context, "functionError": "Unhandled"} if failure else context,
            "version": "1.0",
            "timestamp": now,
            "DDBStreamBatchInfo": {
                "shardId": self._shard_id,
                "startSequenceNumber": batch[0]["dynamodb"]["SequenceNumber"],
                "endSequenceNumber": batch[-1]["dynamodb"]["SequenceNumber"],
                "approximateArrivalOfFirstRecord": now,
                "approximateArrivalOfLastRecord": now,
                "batchSize": len(batch),
                "streamArn": self._stream_arn,
            },
        }


class Streams:
    """All mappings of a stack."""

    def __init__(self, stack: Stack, functions: Functions, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._mappings = [StreamMapping(r, functions, clock) for r in stack.of_type("AWS::Lambda::EventSourceMapping")]
        for table in dynamodb_backends[ACCOUNT_ID][REGION].tables.values():
            table.lambda_event_source_mappings.clear()  # or moto would start Docker with every write

    def pump(self) -> int:
        """Deliver what is in all streams. Answers how many records were taken."""
        with self._lock:
            return sum(mapping.pump() for mapping in self._mappings)


def _as_lambda_record(record: Mapping[str, Any], stream_arn: str) -> Record:
    """A record as Lambda gives it to a function: times as numbers, binaries as base64."""
    return {**_plain(record), "awsRegion": REGION, "eventSourceARN": stream_arn}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return int(value.timestamp())
    return value
