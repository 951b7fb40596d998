"""What one ingest transaction holds (D2): a claim per event, a segment per event hour, an add per counter item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.canonical import canonical_json
from lambdas.billing.segments import MAX_SEGMENT_BYTES, Segment, StoredEvent, make_segment, row_of
from lambdas.billing.usage import identity_hash
from lambdas.store.usage_items import (
    NO_COUNTERS,
    DayCounters,
    Incoming,
    claim_item,
    count_events,
    merge_counters,
    segment_item,
)

MAX_ACTIONS = 100
MAX_EXPRESSION_BYTES = 4096
MAX_OPERATORS = 300


class Request(NamedTuple):
    """The events of one customer in one request; `identities` are their identity hashes."""

    customer: str
    received_at: str
    incoming: Sequence[Incoming]
    identities: Sequence[str]


class Plan(NamedTuple):
    """The actions of one transaction. The first ones are the claims; `claimed` tells whose, by position."""

    actions: list[dict[str, Any]]
    claimed: list[int]
    segment_keys: list[str]

    @property
    def fits(self) -> bool:
        """Whether DynamoDB takes it: the number of actions, and names of models and classes in one expression."""
        return len(self.actions) <= MAX_ACTIONS and all(
            len(action["Update"]["UpdateExpression"]) <= MAX_EXPRESSION_BYTES
            and len(action["Update"]["ExpressionAttributeNames"]) <= MAX_OPERATORS
            for action in self.actions
            if "Update" in action
        )


class Tables(NamedTuple):
    usage: str
    counters: str


def make_request(customer: str, received_at: str, incoming: Sequence[Incoming]) -> Request:
    identities = [identity_hash(item.event.source, item.event.id) for item in incoming]
    return Request(customer, received_at, incoming, identities)


def chunks(request: Request, positions: Sequence[int]) -> list[list[int]]:
    """Split events, in time order, so that claims, segments and counters of each part fit one transaction.

    Counts one segment per hour. What does not fit for its size (segments to split, many models) is halved later.
    """
    ordered = sorted(positions, key=lambda position: request.incoming[position].event.time)
    parts: list[list[int]] = []
    others: set[str] = set()
    for position in ordered:
        time = request.incoming[position].event.time
        grown = others | {time[:7], time[:10], time[:13]}
        if parts and len(parts[-1]) + 1 + len(grown) <= MAX_ACTIONS:
            parts[-1].append(position)
            others = grown
        else:
            parts.append([position])
            others = {time[:7], time[:10], time[:13]}
    return parts


def plan(request: Request, positions: Sequence[int], lane: int, tables: Tables, fresh_name: Callable[[], str]) -> Plan:
    """The transaction that stores these events on a lane. Every call names new segments."""
    hours: dict[str, list[int]] = {}
    for position in positions:
        hours.setdefault(request.incoming[position].event.time[:13], []).append(position)
    claims: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    claimed: list[int] = []
    keys: list[str] = []
    days: dict[str, DayCounters] = {}
    for hour, of_hour in hours.items():
        for segment, held in _segments(request, hour, lane, of_hour, fresh_name):
            keys.append(segment.key)
            segments.append(
                {
                    "Put": {
                        "TableName": tables.usage,
                        "Item": segment_item(segment),
                        "ConditionExpression": "attribute_not_exists(pk)",  # evidence is never written over
                    }
                }
            )
            for index, position in enumerate(held):
                claimed.append(position)
                item = request.incoming[position]
                claims.append(
                    {
                        "Put": {
                            "TableName": tables.usage,
                            "Item": claim_item(
                                request.customer, request.identities[position], item, segment.key, index
                            ),
                            "ConditionExpression": "attribute_not_exists(pk)",
                            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                        }
                    }
                )
        events = [request.incoming[position].event for position in of_hour]
        days[hour[:10]] = count_events(days.get(hour[:10], NO_COUNTERS), events)
    months: dict[str, DayCounters] = {}
    for day, counted in days.items():
        months[day[:7]] = merge_counters(months.get(day[:7], NO_COUNTERS), counted)
    adds = [_add(tables.counters, request.customer, f"D#{day}#{lane}", counted) for day, counted in days.items()]
    adds += [_add(tables.counters, request.customer, f"P#{month}#{lane}", c) for month, c in months.items()]
    return Plan(claims + segments + adds, claimed, keys)


def _segments(
    request: Request, hour: str, lane: int, positions: Sequence[int], fresh_name: Callable[[], str]
) -> Iterator[tuple[Segment, Sequence[int]]]:
    """One segment for the hour's events, or several where one would be too large for an item."""
    key = f"S#{request.customer}#{hour[:10]}#{lane}|{hour[11:]}#{fresh_name()}"
    held = [request.incoming[position] for position in positions]
    segment = make_segment(
        key, request.received_at, [StoredEvent(row_of(item.event), item.raw, item.payload_sha256) for item in held]
    )
    size = len(segment.rows) + len(segment.raws) + len(canonical_json(segment.sums).encode())
    if size <= MAX_SEGMENT_BYTES or len(positions) == 1:
        yield segment, positions
        return
    half = len(positions) // 2
    for part in (positions[:half], positions[half:]):
        yield from _segments(request, hour, lane, part, fresh_name)


def _add(table: str, customer: str, sk: str, counted: DayCounters) -> dict[str, Any]:
    amounts: dict[str, int] = {"n": counted.events}
    amounts |= {f"n:{model}": events for model, events in counted.model_events.items()}
    amounts |= {f"q:{key}": quantity for key, quantity in counted.quantities.items()}
    names: Mapping[str, str] = {f"#{i}": name for i, name in enumerate(amounts)}
    return {
        "Update": {
            "TableName": table,
            "Key": {"pk": {"S": f"C#{customer}"}, "sk": {"S": sk}},
            "UpdateExpression": "ADD " + ",".join(f"#{i} :{i}" for i in range(len(amounts))),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {f":{i}": {"N": str(n)} for i, n in enumerate(amounts.values())},
        }
    }
