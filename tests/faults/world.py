"""A small Billproof without a stack: six tables, a bus, the handlers of usage, a clock, and a look at what is stored.

DynamoDB is moto made exact by `local.dynamodb` (serialised, transactions all or nothing) and held to AWS's limits.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from moto import mock_aws

from lambdas.billing.canonical import sha256_hex
from lambdas.billing.rating import add_quantities
from lambdas.billing.segments import read_raw, read_segment, row_of
from lambdas.billing.usage import identity_hash, read_event
from lambdas.handlers import entry, ingest_usage, runtime, stores, view_usage
from lambdas.store import clients
from lambdas.store.recorder import UsageRecorder
from lambdas.store.usage_items import claim_of, model_key, segment_key_of, segment_of
from local.clock import Clock
from local.dynamodb import made_exact
from tests.faults import limits
from tests.store.catalogue_documents import CONTRACT, CUSTOMER, ENTITY, PLAN, card, rate

TABLES = ("usage", "counters", "catalogue", "billing", "ledger", "outbox")
BUS = "billproof-test"
CREATED = "2026-09-30T00:00:00.000000Z"
NOW = datetime(2026, 11, 16, 12, tzinfo=UTC)
BATCH = "application/cloudevents-batch+json"
SINGLE = "application/cloudevents+json"
PRICED = card(1, "2026-10-01", *(rate(name, "2.50") for name in ("input", "cached_input", "output", "reasoning")))

Item = dict[str, Any]


@dataclass
class Answer:
    """What the API answers, parsed."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def statuses(self) -> list[str]:
        return [result["status"] for result in self.body["results"]]

    @property
    def result(self) -> Item:
        """The result of the one event that was sent."""
        [result] = self.body["results"]
        found: Item = result
        return found


@dataclass
class World:
    """The running thing. `send` and `view` are calls of the API as API Gateway makes them."""

    clock: Clock
    context: Any = field(default_factory=lambda: SimpleNamespace(aws_request_id="test-request"))

    def publish(self, customers: Sequence[str] = ("acme",), prices: Item = PRICED) -> None:
        """An entity, a plan, a rate card, and customers with a contract each."""
        catalogue, periods = stores.catalogue(), stores.sealed_periods()
        catalogue.create_entity(ENTITY, now=CREATED)
        catalogue.publish_plan(PLAN, now=CREATED)
        catalogue.publish_rate_card("std", prices, now=CREATED, periods=periods)
        for customer in customers:
            self.add_customer(customer)

    def add_customer(self, customer: str, *, contract: Item | None = None, now: str = CREATED) -> None:
        stores.catalogue().create_customer({**CUSTOMER, "id": customer}, now=now)
        agreed = {**CONTRACT, "effective_from": "2026-10-01", **(contract or {}), "customer": customer}
        stores.catalogue().agree_contract(agreed, now=now)

    def publish_prices(self, document: Item) -> None:
        stores.catalogue().publish_rate_card("std", document, now=runtime.now(), periods=stores.sealed_periods())

    def send(
        self,
        body: Any,
        *,
        key: str = "*",
        scopes: str = "ingest",
        headers: Mapping[str, str] | None = None,
        in_base64: bool = False,
    ) -> Answer:
        """POST /v1/usage. A list goes as a batch, a dict as one structured event; text and bytes go as they are."""
        if headers is None:
            headers = {"content-type": BATCH if isinstance(body, list) else SINGLE}
        if isinstance(body, list | dict):
            body = json.dumps(body, ensure_ascii=False)
        if in_base64:
            body = base64.b64encode(body.encode() if isinstance(body, str) else body).decode()
        event = {
            "version": "2.0",
            "routeKey": "POST /v1/usage",
            "headers": dict(headers),
            "isBase64Encoded": in_base64,
            "requestContext": {"authorizer": {"lambda": {"key_id": "k1", "customer": key, "scopes": scopes}}},
            "body": body,
        }
        return self._answered(ingest_usage.handler(event, self.context))

    def view(self, customer: str, *, key: str = "*", scopes: str = "customer", **query: str) -> Answer:
        """GET /v1/customers/{id}/usage."""
        event = {
            "version": "2.0",
            "routeKey": "GET /v1/customers/{id}/usage",
            "headers": {},
            "pathParameters": {"id": customer},
            "queryStringParameters": query or None,
            "requestContext": {"authorizer": {"lambda": {"key_id": "k1", "customer": key, "scopes": scopes}}},
        }
        return self._answered(view_usage.handler(event, self.context))

    @staticmethod
    def _answered(answer: Item) -> Answer:
        assert isinstance(answer["statusCode"], int)
        answer["body"].encode()  # what leaves is text that can be sent
        return Answer(answer["statusCode"], json.loads(answer["body"]), answer["headers"])

    def items(self, table: str) -> list[Item]:
        """Every item of a table, in DynamoDB's attribute form."""
        pages = clients.dynamodb().get_paginator("scan").paginate(TableName=name_of(table), ConsistentRead=True)
        return [dict(item) for page in pages for item in page["Items"]]

    def stored(self) -> dict[str, list[Item]]:
        """Everything in all six tables."""
        return {table: self.items(table) for table in TABLES}

    def usage_is_empty(self) -> bool:
        return not self.items("usage") and not self.items("counters")

    def make_bus(self) -> None:
        """The bus that alerts go to."""
        clients.event_bridge().create_event_bus(Name=BUS)

    def forget_usage(self) -> None:
        """As if no usage had ever been sent; the catalogue stays. Quicker than a fresh world."""
        for table in ("usage", "counters", "outbox"):
            clients.dynamodb().delete_table(TableName=name_of(table))
            create_table(table)
        self.clock.move_to(NOW)


@contextmanager
def world() -> Iterator[World]:
    """A fresh account with empty tables; the clock stands at NOW."""
    clock = Clock(frozen=True)
    clock.move_to(NOW)
    environment = {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "POWERTOOLS_SERVICE_NAME": "billproof",
        "BUS_NAME": BUS,
        **{f"{table.upper()}_TABLE": name_of(table) for table in TABLES},
    }
    clients.forget_clients()
    entry.logger.cache_clear()
    with patch.dict(os.environ, environment), no_pauses(), made_exact(clock), mock_aws(), limits.enforced():
        for table in TABLES:
            create_table(table)
        runtime.set_clock(clock.now)
        try:
            yield World(clock)
        finally:
            runtime.set_clock(None)
            clients.forget_clients()
            entry.logger.cache_clear()


@contextmanager
def no_pauses() -> Iterator[None]:
    """Recorders try again at once."""
    init: Any = UsageRecorder.__init__
    with patch.object(init, "__kwdefaults__", {**init.__kwdefaults__, "pause": lambda _seconds: None}):
        yield


def create_table(table: str) -> None:
    clients.dynamodb().create_table(
        TableName=name_of(table),
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )


def name_of(table: str) -> str:
    return f"billproof-test-{table}"


def event(event_id: str = "e1", **changes: Any) -> Item:
    """A good event of acme, 16 November. `None` leaves a member out; members of data are given like the others."""
    data: Item = {"provider": "openai", "model": "gpt-4o", "quantities": {"input": 374, "output": 44}}
    for name in ("provider", "model", "service_tier", "quantities", "attributes"):
        if name in changes:
            data[name] = changes.pop(name)
    found = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/gateway/eu-1",
        "type": "llm.usage.v1",
        "subject": "acme",
        "time": "2026-11-16T10:15:46.680590Z",
        "datacontenttype": "application/json",
        "data": data,
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def logical_state(world: World) -> dict[str, Any]:
    """What is stored without the names of segments and lanes: claims with their events, and counters summed up.

    Two histories of the same usage must end in equal states.
    """
    segments = {segment_key_of(i): segment_of(i) for i in world.items("usage") if i["pk"]["S"].startswith("S#")}
    rows = {key: read_segment(segment) for key, segment in segments.items()}
    claims: dict[str, Any] = {}
    for item in world.items("usage"):
        if item["pk"]["S"].startswith("E#"):
            claim = claim_of(item)
            row = rows[claim.segment_key][claim.position]
            received_at = segments[claim.segment_key].received_at
            claims[item["pk"]["S"]] = (claim.content_hash, claim.payload_sha256, claim.time, row, received_at)
    counters: dict[str, dict[str, int]] = {}
    for item in world.items("counters"):
        name = f"{item['pk']['S']}/{item['sk']['S'].rpartition('#')[0]}"
        total = counters.setdefault(name, {})
        for attribute, value in item.items():
            if attribute not in ("pk", "sk"):
                total[attribute] = total.get(attribute, 0) + int(value["N"])
    return {"claims": claims, "counters": counters}


def assert_invariants(world: World) -> None:
    """What must hold at every moment, also between a death and the repetition (design section 7, D2).

    Every claim points at its own event in a segment and every event of a segment has its claim; digests, counts and
    sums of segments are those of their events; each counter item is the sum of its lane's segments.
    """
    claims: dict[tuple[str, int], Item] = {}
    segments = {}
    for item in world.items("usage"):
        if item["pk"]["S"].startswith("E#"):
            claim = claim_of(item)
            assert (claim.segment_key, claim.position) not in claims, "two claims point at one event"
            claims[claim.segment_key, claim.position] = item
        else:
            assert item["pk"]["S"].startswith("S#")
            segments[segment_key_of(item)] = segment_of(item)
    expected: dict[tuple[str, str], dict[str, int]] = {}
    for key, segment in segments.items():
        _, customer, day, lane = key.partition("|")[0].split("#")
        hour = key.partition("|")[2][:2]
        for position, stored in enumerate(read_segment(segment)):
            row = stored.row
            item = claims.pop((key, position))
            claim = claim_of(item)
            assert item["pk"]["S"] == f"E#{customer}#{identity_hash(row.source, row.id)}"
            event = read_event(read_raw(stored.raw), customer)
            assert event.content_hash == claim.content_hash
            assert (row_of(event), event.time) == (row, claim.time)
            assert sha256_hex(stored.raw.encode()) == stored.payload_sha256 == claim.payload_sha256
            assert row.time[:13] == f"{day}T{hour}"
            for sk in (f"D#{day}#{lane}", f"P#{day[:7]}#{lane}"):
                counter = expected.setdefault((f"C#{customer}", sk), {"n": 0})
                counter["n"] += 1
                model = f"n:{model_key(row.provider, row.model, row.service_tier)}"
                counter[model] = counter.get(model, 0) + 1
                sums: dict[str, int] = {}
                add_quantities(sums, row.provider, row.model, row.quantities, row.service_tier)
                for name, quantity in sums.items():
                    counter[f"q:{name}"] = counter.get(f"q:{name}", 0) + quantity
    assert not claims, "claims without their events"
    found = {
        (item["pk"]["S"], item["sk"]["S"]): {n: int(v["N"]) for n, v in item.items() if n not in ("pk", "sk")}
        for item in world.items("counters")
    }
    assert found == expected, "counters are not the sums of the segments"
