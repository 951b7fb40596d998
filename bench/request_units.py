"""Request units per accepted event, counted from the real items of the functions' own requests against tables in
memory, by the published rules.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3

from bench import workload
from bench.account import Context, log_position, surroundings, tables_in_memory, written_since
from bench.ingest import BATCHES
from bench.meter import Meter, metered
from bench.tables import heading, paragraph, table, verdict
from lambdas.handlers import authorize_request, ingest_usage, runtime, stores, watch_limits
from lambdas.handlers.api_keys import make_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WRITE_AIMS = {1: Fraction(8), 100: Fraction("2.4")}
NEW = "new"
FEW = f"{len(workload.MODELS)} models x {len(workload.CLASSES)} classes"
MANY = f"{len(workload.MANY_MODELS)} models x {len(workload.CLASSES)} classes"
_COUNTED = {NEW: (), FEW: workload.MODELS, MANY: workload.MANY_MODELS}
"""What the counter items hold before the requests: nothing of this month, or a month's quantities."""


class RequestUse(NamedTuple):
    """What requests of one size use; amounts are per request unless they say otherwise."""

    batch: int
    counters: str
    counter_bytes: tuple[int, int]
    """Of the day's and of the month's counter item, afterwards."""
    claim_units: Fraction
    segment_units: Fraction
    counter_units: Fraction
    read_units: Fraction
    transactions: Fraction
    counter_writes: Fraction
    stored_bytes: Fraction
    """Claims and segments, with the overhead that storage is billed for."""
    run_read_units: Fraction
    """Reads of the billing run of what one request has left: once to freeze, once to rate."""
    request_bytes: int
    response_bytes: int
    log_bytes: int
    log_events: int

    @property
    def write_units(self) -> Fraction:
        return self.claim_units + self.segment_units + self.counter_units


class OtherReads(NamedTuple):
    """Read units of what does not happen for every request."""

    cold: Fraction
    """The first request of a customer in a new instance of the function, in addition."""
    authorizer: Fraction
    """One key check; API Gateway keeps the answer for a minute."""
    watched: Fraction
    """An invocation of watch_limits, for each customer among its records of the counters' stream."""


class Units(NamedTuple):
    requests: list[RequestUse]
    others: OtherReads

    def of(self, batch: int, counters: str) -> RequestUse:
        return next(use for use in self.requests if (use.batch, use.counters) == (batch, counters))


def measure(requests: int) -> Units:
    """Averages over so many requests of each size, for counters that are new, hold few models, hold many."""
    with surroundings():
        uses = [_use(batch, counters, requests) for batch in BATCHES for counters in _COUNTED]
        return Units(uses, _other_reads())


def _use(batch: int, counters: str, requests: int) -> RequestUse:
    with tables_in_memory() as client:
        peeking = boto3.client("dynamodb")
        _warm_up()
        if _COUNTED[counters]:
            _accept(workload.month_of_counters(_COUNTED[counters], workload.CLASSES))
        position = log_position()
        with metered(client, peeking) as meter:
            answers = [_accept(workload.events_of_an_hour(n * batch, batch)) for n in range(requests)]
        log = written_since(position)
        run = _read_by_run(client, peeking, meter)
        sizes = {written.item["sk"]["S"][0]: written.size for written in meter.written if written.kind == "C"}
    return RequestUse(
        batch=batch,
        counters=counters,
        counter_bytes=(sizes["D"], sizes["P"]),
        claim_units=Fraction(meter.units_of("E"), requests),
        segment_units=Fraction(meter.units_of("S"), requests),
        counter_units=Fraction(meter.units_of("C"), requests),
        read_units=meter.read_units / requests,
        transactions=Fraction(meter.calls["TransactWriteItems"], requests),
        counter_writes=Fraction(sum(written.kind == "C" for written in meter.written), requests),
        stored_bytes=Fraction(meter.stored_bytes("E", "S"), requests),
        run_read_units=run / requests,
        request_bytes=len(workload.body(workload.events_of_an_hour(0, batch))),
        response_bytes=len(answers[0]["body"].encode()),
        log_bytes=len(log.encode()) // requests,
        log_events=log.count("\n") // requests,
    )


def _warm_up() -> None:
    """The function has seen the customer and its prices; the counters of this month are not touched."""
    _accept(workload.events_of_an_hour(20_000_000, 1, "2026-10-20T14"))


def _accept(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = ingest_usage.handler(workload.ingest_request(events), Context())
    assert json.loads(answer["body"])["accepted"] == len(events), answer
    return answer


def _read_by_run(client: DynamoDBClient, peeking: DynamoDBClient, ingest: Meter) -> Fraction:
    """Read units of freezing and rating the segments that were just written."""
    keys = [f"{w.item['pk']['S']}|{w.item['sk']['S']}" for w in ingest.written if w.kind == "S"]
    usage = stores.usage()
    with metered(client, peeking) as meter:
        heads = {head.key for head in usage.segment_heads(workload.CUSTOMER, ["2026-11-20"])}
        read = [segment.key for segment in usage.read_segments(keys)]
    assert heads >= set(keys) and read == keys
    return meter.read_units


def _other_reads() -> OtherReads:
    with tables_in_memory() as client:
        peeking = boto3.client("dynamodb")

        def reads(call: Any, event: Any) -> Fraction:
            with metered(client, peeking) as meter:
                call(event, Context())
            return meter.read_units

        request = workload.ingest_request(workload.events_of_an_hour(0, 1))
        key = make_key(
            stores.catalogue(), name="gateway", customer=workload.CUSTOMER, scopes=("ingest",), now=runtime.now()
        )
        return OtherReads(
            cold=reads(ingest_usage.handler, request),
            authorizer=reads(authorize_request.handler, {"identitySource": [f"Bearer {key.text}"]}),
            watched=reads(watch_limits.handler, _stream_event(peeking)),
        )


def _stream_event(peeking: DynamoDBClient) -> dict[str, Any]:
    """Records of the counters' stream: the customer's items as they are now."""
    items = peeking.scan(TableName=runtime.setting("COUNTERS_TABLE"))["Items"]
    return {"Records": [{"dynamodb": {"NewImage": item}} for item in items]}


def report(units: Units) -> str:
    """The section's text."""
    written = table(
        (
            "events per request",
            "counters hold",
            "WRU/event",
            "aim",
            "claims",
            "segments",
            "counters",
            "day, month bytes",
        ),
        [
            (
                str(use.batch),
                use.counters,
                _decimal(use.write_units / use.batch),
                _aim(use),
                *(_decimal(n / use.batch) for n in (use.claim_units, use.segment_units, use.counter_units)),
                "{}, {}".format(*use.counter_bytes),
            )
            for use in units.requests
        ],
    )
    read = table(
        ("events per request", "RRU/event, ingest", "RRU/event, billing run", "stored bytes/event"),
        [
            (
                str(use.batch),
                _decimal(use.read_units / use.batch),
                _decimal(use.run_read_units / use.batch),
                str(round(use.stored_bytes / use.batch)),
            )
            for use in units.requests
            if use.counters == FEW
        ],
    )
    beside = table(
        ("beside the requests", "RRU"),
        [
            ("a customer's first request in a new instance of ingest_usage", _decimal(units.others.cold)),
            ("a key check; API Gateway keeps the answer for a minute", _decimal(units.others.authorizer)),
            ("watch_limits, a batch of stream records, for each customer in it", _decimal(units.others.watched)),
        ],
    )
    text = """
Counted from the items that the functions' own requests wrote and read in tables in memory, by DynamoDB's published
rules: a transactional write is 2 units per started 1 KB of the larger of the item before and after, a strong read 1 per
4 KB. All events of a request are of one customer and one hour. Counter items are counted as new, and as they are stored
at the end of a month of that many models and classes.
"""
    return f"""{heading("2. Request units per accepted event")}
{paragraph(text)}

{written}

{read}

{beside}"""


def _aim(use: RequestUse) -> str:
    aim = WRITE_AIMS.get(use.batch)
    return "" if aim is None else f"<= {_decimal(aim)}: {verdict(use.write_units / use.batch <= aim)}"


def _decimal(number: Fraction) -> str:
    return f"{float(number):.2f}"
