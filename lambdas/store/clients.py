"""AWS clients, made on first use and kept for the life of the process. Nothing is made at import."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 4},
    parameter_validation=False,
)
_QUICK = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
"""DynamoDB answers in milliseconds. A call with all its tries must end before the function and the caller do."""
LONGEST_CALL_S = 3 * (1 + 3) + 1 + 2
"""Of DynamoDB: three tries and the pauses between them."""


@functools.cache
def dynamodb() -> DynamoDBClient:
    """The low-level client: the hot path and every transaction use it. Requests are built by our own code only, so
    botocore's parameter validation, half of its cost, is off."""
    client: DynamoDBClient = boto3.client("dynamodb", config=_CONFIG.merge(_QUICK))
    return client


@functools.cache
def s3() -> S3Client:
    """Virtual addressing makes presigned links name the region. Without it they name the global endpoint, which
    redirects for hours after a bucket was made, and a redirected signature is not valid."""
    config = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
    client: S3Client = boto3.client("s3", config=_CONFIG.merge(config))
    return client


@functools.cache
def step_functions() -> SFNClient:
    client: SFNClient = boto3.client("stepfunctions", config=_CONFIG)
    return client


@functools.cache
def event_bridge() -> EventBridgeClient:
    client: EventBridgeClient = boto3.client("events", config=_CONFIG)
    return client


def forget_clients() -> None:
    """Drop the cached clients (a local deployment starts with fresh ones)."""
    for cached in (dynamodb, s3, step_functions, event_bridge):
        cached.cache_clear()
