"""Items of usage: the forms of claims, segments and counters in DynamoDB, and the values read from them.

Layout (usage table) `E#{customer}#{identity hash}` / `r0` claim, `S#{customer}#{day}#{lane}` / `{hour}#{segment id}`
segment; (counters table) `C#{customer}` / `D#{day}#{lane}` and `P#{month}#{lane}`. Segment key text is `pk|sk`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.canonical import canonical_json
from lambdas.billing.classes import STANDARD
from lambdas.billing.rating import ClassKey, add_quantities
from lambdas.billing.segments import Segment
from lambdas.billing.usage import UsageEvent

FIRST_REVISION = "r0"

Image = Mapping[str, Any]
"""An item in DynamoDB's attribute form, as read or as in a stream record."""


class Incoming(NamedTuple):
    """A checked event with its payload as received and that payload's SHA-256 (hex)."""

    event: UsageEvent
    raw: str
    payload_sha256: str


class Claim(NamedTuple):
    """The stored claim of an identity and where its event lies."""

    content_hash: str
    payload_sha256: str
    time: str
    segment_key: str
    position: int


class SegmentHead(NamedTuple):
    """What a freeze needs of a segment: no events."""

    key: str
    digest: str
    events: int
    sums: dict[ClassKey, int]


class DayCounters(NamedTuple):
    """Accepted quantities of one UTC day: all events, events by `model_key`, quantities by class key."""

    events: int
    model_events: dict[str, int]
    quantities: dict[ClassKey, int]


NO_COUNTERS = DayCounters(0, {}, {})


def model_key(provider: str, model: str, service_tier: str) -> str:
    """`provider/model`, and `provider/model|batch` for a service tier that is not standard."""
    name = f"{provider}/{model}"
    return name if service_tier == STANDARD else f"{name}|{service_tier}"


def count_events(counted: DayCounters, events: Sequence[UsageEvent]) -> DayCounters:
    models, quantities = dict(counted.model_events), dict(counted.quantities)
    for event in events:
        model = model_key(event.provider, event.model, event.service_tier)
        models[model] = models.get(model, 0) + 1
        add_quantities(quantities, event.provider, event.model, event.quantities, event.service_tier)
    return DayCounters(counted.events + len(events), models, quantities)


def merge_counters(a: DayCounters, b: DayCounters) -> DayCounters:
    return DayCounters(a.events + b.events, _sum(a.model_events, b.model_events), _sum(a.quantities, b.quantities))


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {key: a.get(key, 0) + b.get(key, 0) for key in [*a, *(key for key in b if key not in a)]}


def add_counters(counted: DayCounters, item: Image) -> DayCounters:
    """`counted` plus one counter item in DynamoDB's attribute form (as read, or as a stream's new image)."""
    models = {name[2:]: int(value["N"]) for name, value in item.items() if name.startswith("n:")}
    quantities = {name[2:]: int(value["N"]) for name, value in item.items() if name.startswith("q:")}
    return merge_counters(counted, DayCounters(int(item["n"]["N"]), models, quantities))


def claim_key(customer: str, identity: str) -> dict[str, Any]:
    return {"pk": {"S": f"E#{customer}#{identity}"}, "sk": {"S": FIRST_REVISION}}


def claim_item(customer: str, identity: str, item: Incoming, segment_key: str, index: int) -> dict[str, Any]:
    return {
        **claim_key(customer, identity),
        "h": {"B": bytes.fromhex(item.event.content_hash)},
        "p": {"B": bytes.fromhex(item.payload_sha256)},
        "t": {"S": item.event.time},
        "s": {"S": segment_key},
        "i": {"N": str(index)},
    }


def claim_of(item: Image) -> Claim:
    return Claim(
        content_hash=bytes(item["h"]["B"]).hex(),
        payload_sha256=bytes(item["p"]["B"]).hex(),
        time=item["t"]["S"],
        segment_key=item["s"]["S"],
        position=int(item["i"]["N"]),
    )


def segment_item_key(segment_key: str) -> dict[str, Any]:
    pk, _, sk = segment_key.partition("|")
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def segment_key_of(item: Image) -> str:
    return f"{item['pk']['S']}|{item['sk']['S']}"


def segment_item(segment: Segment) -> dict[str, Any]:
    return {
        **segment_item_key(segment.key),
        "at": {"S": segment.received_at},
        "n": {"N": str(segment.events)},
        "d": {"S": segment.digest},
        "q": {"S": canonical_json(segment.sums)},
        "rows": {"B": segment.rows},
        "raws": {"B": segment.raws},
    }


def segment_of(item: Image) -> Segment:
    return Segment(
        key=segment_key_of(item),
        received_at=item["at"]["S"],
        events=int(item["n"]["N"]),
        digest=item["d"]["S"],
        sums=json.loads(item["q"]["S"]),
        rows=bytes(item["rows"]["B"]),
        raws=bytes(item["raws"]["B"]),
    )
