"""Functions of the small template that the tests of `local` deploy."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import defaultdict
from typing import Any

from lambdas.handlers import runtime

calls: dict[str, list[Any]] = defaultdict(list)
"""What each handler was called with, since the test began."""
failing: set[str] = set()
"""Customers or ids that make handlers fail."""
barrier = threading.Barrier(2, timeout=20)


class TransientError(Exception):
    """Worth another try."""


class Killed(BaseException):
    """The process ended in the middle."""


def echo(event: dict[str, Any], context: Any) -> Any:
    """Answer with the event and the context."""
    calls["echo"].append(event)
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"event": event, "environment": dict(runtime.environment.get()), "now": runtime.now()}),
    }


def answer(event: dict[str, Any], _context: Any) -> Any:
    """Answer with what the body says, as it is."""
    return json.loads(event["body"])


def binary(_event: dict[str, Any], _context: Any) -> Any:
    body = base64.b64encode(b"\x00\xff\x01").decode()
    headers = {"Content-Type": "application/octet-stream", "X-Flag": True}
    return {"statusCode": 201, "isBase64Encoded": True, "body": body, "headers": headers, "cookies": ["a=1", "b=2"]}


def check_key(event: dict[str, Any], _context: Any) -> Any:
    """The authorizer: the key is its own verdict."""
    calls["check_key"].append(event)
    match event["identitySource"][0].removeprefix("Bearer "):
        case "good":
            return {"isAuthorized": True, "context": {"key_id": "k1", "scopes": "ingest"}}
        case "broken":
            raise ValueError("no verdict")
        case "odd":
            return {"answer": 42}
        case _:
            return {"isAuthorized": False}


def take_records(event: dict[str, Any], _context: Any) -> Any:
    """The stream's function: fails for batches with a failing id."""
    ids = [record["dynamodb"]["Keys"]["sk"]["S"] for record in event["Records"]]
    calls["batches"].append(ids)
    if failing.intersection(ids):
        raise ValueError(f"cannot take {sorted(failing.intersection(ids))}")
    calls["records"].extend(event["Records"])
    return {}


def take_records_one_by_one(event: dict[str, Any], _context: Any) -> Any:
    """Reports which records failed."""
    failed = [r for r in event["Records"] if r["dynamodb"]["Keys"]["sk"]["S"] in failing]
    calls["partial"].append([r["dynamodb"]["Keys"]["sk"]["S"] for r in event["Records"]])
    return {"batchItemFailures": [{"itemIdentifier": r["dynamodb"]["SequenceNumber"]} for r in failed]}


def take_event(event: Any, _context: Any) -> None:
    calls["events"].append(event)
    if "events" in failing:
        raise ValueError("not taken")


def step(event: dict[str, Any], _context: Any) -> Any:
    """A task of the state machine that ends as its input's `mode` says."""
    calls["steps"].append(event)
    tries = sum(1 for earlier in calls["steps"] if earlier == event)
    match event.get("mode"):
        case "retry" if tries < 3:
            raise TransientError("try again")
        case "fail":
            raise ValueError("a business error")
        case "killed":
            raise Killed("gone")
    return {"done": event.get("n"), "tries": tries}


def whoami(event: dict[str, Any], context: Any) -> Any:
    """Who runs here; waits for another thread that runs another function at the same time."""
    before = runtime.setting("WHO")
    if event.get("together"):
        barrier.wait()
        time.sleep(0.05)
    remaining = context.get_remaining_time_in_millis()
    return {
        "before": before,
        "after": runtime.setting("WHO"),
        "name": context.function_name,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "request_id": context.aws_request_id,
        "remaining": remaining,
        "names": sorted(runtime.environment.get()),
    }


def fail(event: dict[str, Any], _context: Any) -> Any:
    match event["how"]:
        case "error":
            raise TransientError("the text")
        case "exit":
            raise SystemExit(3)
        case "killed":
            raise Killed("gone")
        case "set":
            return {1, 2}
        case "huge":
            return "x" * 7_000_000
    return None


def speak(_event: Any, _context: Any) -> None:
    print("a line of a function")  # noqa: T201 - that is what is tested
