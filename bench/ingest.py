"""Handler CPU per event beside bare boto3 writes of the same items on the same transport."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import boto3

from bench import workload
from bench.account import Context, answer_at_once, surroundings, tables_in_memory
from bench.tables import heading, paragraph, table, times, verdict
from lambdas.billing.canonical import canonical_json, sha256_hex
from lambdas.billing.usage import EVENT_TYPE, identity_hash
from lambdas.handlers import entry, ingest_usage
from lambdas.handlers.requests import body_of
from lambdas.store import clients, recorder, usage_plan

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

AIM = 1.5
BATCHES = (1, 10, 100)
_EVENTS_PER_TURN = {1: 40, 10: 200, 100: 600}
"""So many events are handled each time a contender has its turn."""

Seconds = dict[str, float]
Turn = Callable[[], None]


class IngestCost(NamedTuple):
    """Medians over all rounds: `ratios` of the handler to each contender, CPU seconds per event of each contender
    and of each part of the handler."""

    batch: int
    transactions: int
    ratios: Mapping[str, float]
    seconds: Seconds
    parts: Seconds


HANDLER = "handler"
BARE = "bare transactions"
BARE_OURS = "bare, our client"
PUTS = "single puts"


def measure(rounds: int) -> list[IngestCost]:
    """One cost for each batch size. Nothing leaves the process and nothing is stored."""
    with surroundings():
        with tables_in_memory():
            _handle(workload.ingest_request(workload.events_of_an_hour(0, 1)))  # reads the catalogue, once
        answer_at_once(clients.dynamodb())
        bare = boto3.client("dynamodb")
        answer_at_once(bare)
        return [_measure(batch, rounds, bare) for batch in BATCHES]


def _measure(batch: int, rounds: int, bare: DynamoDBClient) -> IngestCost:
    requests = [
        workload.ingest_request(workload.events_of_an_hour(first, batch))
        for first in range(0, _EVENTS_PER_TURN[batch], batch)
    ]
    transactions = [transaction for request in requests for transaction in _transactions(request)]
    claims = [claim for actions in transactions for claim in _claims(actions)]
    assert len(claims) == len(requests) * batch
    parts = _Parts(requests)
    turns: dict[str, Turn] = {
        HANDLER: lambda: _each(_handle, requests),
        BARE: lambda: _each(lambda actions: bare.transact_write_items(TransactItems=actions), transactions),
        BARE_OURS: lambda: _each(
            lambda actions: clients.dynamodb().transact_write_items(TransactItems=actions), transactions
        ),
        PUTS: lambda: _each(lambda claim: bare.put_item(**claim), claims),
        **parts.turns,
    }
    events = len(requests) * batch
    rounds_of_seconds = [_one_round(turns, number, events) for number in range(-1, rounds)][1:]  # the first warms up
    return IngestCost(
        batch=batch,
        transactions=len(transactions) // len(requests),
        ratios={
            name: median(seconds[HANDLER] / seconds[name] for seconds in rounds_of_seconds)
            for name in (BARE, BARE_OURS, PUTS)
        },
        seconds={name: median(s[name] for s in rounds_of_seconds) for name in (HANDLER, BARE, BARE_OURS, PUTS)},
        parts=parts.medians(rounds_of_seconds),
    )


def _one_round(turns: Mapping[str, Turn], number: int, events: int) -> Seconds:
    """CPU seconds per event of every contender, one after the other; each round another one begins."""
    names = list(turns)
    shift = number % len(names)
    seconds: Seconds = {}
    for name in names[shift:] + names[:shift]:
        begun = process_time()
        turns[name]()
        seconds[name] = (process_time() - begun) / events
    return seconds


def _each(call: Callable[[Any], object], arguments: Sequence[Any]) -> None:
    for argument in arguments:
        call(argument)


def _handle(request: dict[str, Any]) -> None:
    answer = ingest_usage.handler(request, Context())
    assert answer["statusCode"] == 200, answer


def _transactions(request: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The transactions that the handler sends for a request."""
    sent: list[list[dict[str, Any]]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        sent.append(params["TransactItems"])

    with _listening("provide-client-params.dynamodb.TransactWriteItems", note):
        answer = ingest_usage.handler(request, Context())
    body = json.loads(answer["body"])
    assert body["accepted"] == body["received"], body
    return sent


def _claims(actions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The arguments of a single conditional put for each claim of a transaction."""
    puts = [action["Put"] for action in actions if "Put" in action]
    return [
        {name: put[name] for name in ("TableName", "Item", "ConditionExpression")}
        for put in puts
        if put["Item"]["pk"]["S"].startswith("E#")
    ]


@contextmanager
def _listening(event: str, call: Callable[..., None]) -> Iterator[None]:
    events = clients.dynamodb().meta.events
    events.register(event, call)
    try:
        yield
    finally:
        events.unregister(event, call)


READ = "read and check events"
HASH = "hash content, payload, identity"
SEGMENT = "segment: rows, sums, compression"
PLAN = "claims and counters"
SEND = "transaction: boto3"
METRICS = "metrics"
LOG = "log line"
REST = "account, prices, results, answer"
_TIMED = "handler with timers"


class _Parts:
    """Timers around the functions that the handler calls, while it calls them; one turn handles all requests.

    The hashes are made in too many small steps for a timer: they are made once more, apart, and taken out of the part
    that made them (two of three while reading, the identity's while planning).
    """

    def __init__(self, requests: Sequence[dict[str, Any]]) -> None:
        self._requests = requests
        self._events = [
            (event["data"], canonical_json(event).encode(), event["source"], event["id"])
            for request in requests
            for event in json.loads(body_of(request))
        ]
        self._seconds: list[Seconds] = []
        self.turns: dict[str, Turn] = {_TIMED: self._timed, HASH: self._hash}

    def medians(self, rounds: Sequence[Seconds]) -> Seconds:
        """CPU seconds per event of each part. Small beside the rest are the timers' own."""
        timed = {name: median(s[name] for s in self._seconds) / len(self._events) for name in self._seconds[0]}
        hashes = median(seconds[HASH] for seconds in rounds)
        parts = {
            READ: timed[READ] - hashes * 2 / 3,
            HASH: hashes,
            SEGMENT: timed[SEGMENT],
            PLAN: timed[PLAN] - timed[SEGMENT] - hashes / 3,
            **{name: timed[name] for name in (SEND, METRICS, LOG)},
        }
        return {**parts, REST: median(seconds[_TIMED] for seconds in rounds) - sum(parts.values())}

    def _timed(self) -> None:
        seconds: Seconds = {}
        places: list[tuple[Any, str, str]] = [
            (ingest_usage, "read_request", READ),
            (recorder, "make_request", PLAN),
            (recorder, "plan", PLAN),
            (usage_plan, "make_segment", SEGMENT),
            (clients.dynamodb(), "transact_write_items", SEND),
            (ingest_usage, "count", METRICS),
            (entry.logger(), "info", LOG),
        ]
        with ExitStack() as stack:
            for owner, name, part in places:
                stack.enter_context(patch.object(owner, name, _timer(getattr(owner, name), part, seconds)))
            _each(_handle, self._requests)
        self._seconds.append(seconds)

    def _hash(self) -> None:
        for data, raw, source, event_id in self._events:
            sha256_hex(canonical_json([EVENT_TYPE, workload.CUSTOMER, data]).encode())
            sha256_hex(raw)
            identity_hash(source, event_id)


def _timer(call: Callable[..., Any], part: str, seconds: Seconds) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        begun = process_time()
        try:
            return call(*arguments, **named)
        finally:
            seconds[part] = seconds.get(part, 0.0) + process_time() - begun

    return timed


def report(costs: Sequence[IngestCost]) -> str:
    """The section's text: ratios first."""
    ratios = table(
        (
            "events per request",
            "to bare transactions",
            f"aim <= {AIM}",
            "to bare, our client",
            "to single puts",
            "handler us/event",
            "bare us/event",
            "bare, our client",
            "puts us/event",
        ),
        [
            (
                str(cost.batch),
                times(cost.ratios[BARE]),
                verdict(cost.ratios[BARE] <= AIM),
                times(cost.ratios[BARE_OURS]),
                times(cost.ratios[PUTS]),
                *(_micros(cost.seconds[name]) for name in (HANDLER, BARE, BARE_OURS, PUTS)),
            )
            for cost in costs
        ],
    )
    shares = table(
        ("part of the handler", *(f"{cost.batch} per request" for cost in costs)),
        [
            (
                part,
                *(
                    f"{cost.parts[part] / sum(cost.parts.values()):.0%} {_micros(cost.parts[part]):>6}"
                    for cost in costs
                ),
            )
            for part in (READ, HASH, SEGMENT, PLAN, SEND, METRICS, LOG, REST)
        ],
    )
    text = """
The whole handler (API Gateway event in, answer out, log and metrics written) against boto3 alone sending exactly the
items of the handler's own transactions: "bare transactions" is transact_write_items with a default client, "our client"
the same with the settings of lambdas/store/clients.py (no parameter validation), "single puts" a conditional put_item
for each claim and nothing else. One transport for all: a before-send hook of botocore answers an empty 200 at once, so
this is CPU of the process (serialising, signing, our code); no network, no emulator, no waiting. Contenders take turns;
ratios are the median of the rounds' ratios.
"""
    return f"""{heading("1. Ingest: handler CPU per event beside bare boto3")}
{paragraph(text)}

{ratios}

Where the handler's time goes: share of the whole, microseconds per event.

{shares}"""


def _micros(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}"
