"""Event source mappings on DynamoDB streams."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3

from local import aws
from local.deployment import Deployment
from tests.local import handlers


def _write(table: str, *sort_keys: str) -> None:
    for sort_key in sort_keys:
        item = {"pk": {"S": "s"}, "sk": {"S": sort_key}, "n": {"N": "1.5"}, "b": {"B": b"\x01\xff"}}
        boto3.client("dynamodb").put_item(TableName=table, Item=item)


def _messages(queue: str) -> list[Any]:
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found = []
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found.append(json.loads(message["Body"]))
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_records_arrive_in_order_in_batches_at_the_next_pump(small: Deployment, streamed: str) -> None:
    _write(streamed, "a1", "a2", "a3", "a4", "a5", "a6")
    assert handlers.calls["batches"] == []
    assert small.pump() == 6
    assert handlers.calls["batches"] == [["a1", "a2", "a3", "a4"], ["a5", "a6"]]
    assert small.pump() == 0


def test_a_record_looks_as_lambda_gives_it(small: Deployment, streamed: str) -> None:
    _write(streamed, "b1")
    small.pump()
    [record] = handlers.calls["records"]
    created = record["dynamodb"].pop("ApproximateCreationDateTime")
    assert isinstance(created, int)
    assert int(record["dynamodb"].pop("SequenceNumber")) > 0
    assert record["dynamodb"].pop("SizeBytes") > 0
    assert len(record.pop("eventID")) == 32
    assert record == {
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "eventVersion": "1.0",
        "awsRegion": aws.REGION,
        "eventSourceARN": small.stack.resources["Mapping"].properties["EventSourceArn"],
        "dynamodb": {
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            "Keys": {"pk": {"S": "s"}, "sk": {"S": "b1"}},
            "NewImage": {"pk": {"S": "s"}, "sk": {"S": "b1"}, "n": {"N": "1.5"}, "b": {"B": "Af8="}},
        },
    }


def test_a_failing_batch_is_split_until_the_bad_record_is_alone_and_goes_to_the_queue(
    small: Deployment, streamed: str
) -> None:
    handlers.failing.add("c2")
    _write(streamed, "c1", "c2", "c3", "c4")
    assert small.pump() == 4
    assert handlers.calls["batches"] == [
        ["c1", "c2", "c3", "c4"],
        ["c1", "c2"],
        ["c1"],
        *[["c2"]] * 3,
        ["c3", "c4"],
    ]
    [lost] = _messages("dead-records")
    assert lost["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert lost["requestContext"]["approximateInvokeCount"] == 3
    assert lost["DDBStreamBatchInfo"]["batchSize"] == 1
    number = lost["DDBStreamBatchInfo"]["startSequenceNumber"]
    streams = aws.client("dynamodbstreams")
    iterator = streams.get_shard_iterator(
        StreamArn=lost["DDBStreamBatchInfo"]["streamArn"],
        ShardId=lost["DDBStreamBatchInfo"]["shardId"],
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        SequenceNumber=number,
    )["ShardIterator"]
    assert streams.get_records(ShardIterator=iterator)["Records"][0]["dynamodb"]["Keys"]["sk"]["S"] == "c2"


def test_reported_failures_are_tried_again_from_the_first_one_on(small: Deployment) -> None:
    handlers.failing.add("d2")
    _write(small.stack.resources["StreamedToo"].physical_id, "d1", "d2", "d3")
    small.pump()
    assert handlers.calls["partial"] == [["d1", "d2", "d3"], ["d2", "d3"]]


def test_while_serving_streams_are_pumped_in_the_background(small: Deployment, streamed: str) -> None:
    small.serve()
    try:
        _write(streamed, "e1")
        deadline = time.monotonic() + 20
        while not handlers.calls["batches"] and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        small.stop_serving()
    assert handlers.calls["batches"] == [["e1"]]
