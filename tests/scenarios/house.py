"""The deployed product as its users see it: HTTP calls, a clock that moves, bundles that are verified offline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from lambdas.billing.journal import balances, postings_of
from lambdas.billing.money import format_amount
from lambdas.billing.verify import Report, verify_bundle
from local.aws import client
from local.deployment import Deployment
from local.http_messages import Response

Json = dict[str, Any]
BATCH = "application/cloudevents-batch+json"
PURE_TOKEN: Mapping[str, Any] = {
    "version": 1,
    "name": "Pay as you go",
    "model": "pure_token",
    "posture": "variable",
    "volatility_bearer": "customer",
}


class House:
    """One deployment and its operator's key. Calls return parsed bodies and fail the test on another status."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.operator = str(deployment.invoke("create_operator_key", {"name": "scenarios"})["key"])

    def at(self, time: str) -> None:
        """Move the clock, then let due schedules, streams and executions finish."""
        self.deployment.clock.move_to(datetime.fromisoformat(time).replace(tzinfo=UTC))
        self.settle()

    def settle(self) -> None:
        self.deployment.pump()
        self.deployment.wait_for_executions()
        self.deployment.pump()

    def call(self, method: str, path: str, body: Any = None, *, key: str = "", **query: str) -> Response:
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"authorization": f"Bearer {key or self.operator}", "content-type": "application/json"}
        return self.deployment.request(method, target, headers, b"" if body is None else json.dumps(body).encode())

    def post(self, path: str, body: Any, status: int = 201) -> Json:
        return _body(self.call("POST", path, body), status)

    def get(self, path: str, *, key: str = "", **query: str) -> Json:
        return _body(self.call("GET", path, key=key, **query), 200)

    def send(self, events: Sequence[Json], *, key: str = "", status: int = 200) -> Json:
        """Send one batch; the sum of the statuses is what was received (invariant 1)."""
        headers = {"authorization": f"Bearer {key or self.operator}", "content-type": BATCH}
        answer = _body(self.deployment.request("POST", "/v1/usage", headers, json.dumps(events)), status)
        decided = ("accepted", "duplicate", "conflict", "rejected", "not_stored")
        assert answer["received"] == len(events) == sum(answer[name] for name in decided)
        return answer

    def set_up(
        self,
        name: str,
        customers: Sequence[str],
        start: str,
        rates: Sequence[Json],
        *,
        plan: Mapping[str, Any] = PURE_TOKEN,
        **terms: Any,
    ) -> None:
        """Entity, plan, rate card (first version from `start`) and a contract for each customer, all named `name`."""
        self.post(
            "/v1/entities",
            {"id": name, "name": name.title(), "address": "1 Pier", "country": "US", "invoice_prefix": name.upper()},
        )
        self.post("/v1/plans", {**plan, "id": name})
        self.publish(name, 1, start, rates)
        promised = {field: plan[field] for field in ("posture", "volatility_bearer")}
        for customer in customers:
            self.post("/v1/customers", {"id": customer, "name": customer.title()})
            self.post("/v1/contracts", contract(name, customer, start, **promised, **terms))

    def publish(
        self, card: str, version: int, start: str, rates: Sequence[Json], status: int = 201, **more: Any
    ) -> Json:
        document = {"version": version, "currency": "USD", "effective_from": start, "rates": list(rates), **more}
        return self.post(f"/v1/rate-cards/{card}/versions", document, status)

    def key_of(self, customer: str) -> str:
        """A key bound to one customer."""
        asked = {"name": customer, "customer": customer, "scopes": ["ingest", "customer"]}
        return str(self.post("/v1/keys", asked)["key"])

    def run(self, entity: str, period: str) -> Json:
        """Start or resume a billing run and wait for it."""
        answer = self.call("POST", "/v1/billing-runs", {"entity": entity, "period": period, "mode": "final"})
        assert answer.status in (200, 201, 202), answer.text
        self.settle()
        return self.get(f"/v1/billing-runs/{answer.json()['run_id']}")

    def invoices(self, entity: str, year: str, period: str = "") -> dict[str, Json]:
        """Invoice documents of an entity and year, or of one period of it, by customer."""
        found = self.get("/v1/invoices", entity=entity, year=year)["items"]
        documents = [
            self.get(f"/v1/invoices/{item['number']}")["document"] for item in found if period in ("", item["period"])
        ]
        return {document["customer"]["id"]: document for document in documents}

    def ledger(self, document: Json) -> dict[str, str]:
        """Net debit of every account in the journal transaction of an invoice, as the ledger table has it."""
        dynamodb = client("dynamodb")
        [table] = [name for name in dynamodb.list_tables()["TableNames"] if "ledger" in name.lower()]
        key = {"pk": f"J#{document['entity']['id']}#{document['issued_at'][:7]}", "sk": f"invoice:{document['number']}"}
        answer = dynamodb.get_item(TableName=table, Key={name: {"S": text} for name, text in key.items()})
        legs = balances(postings_of(json.loads(answer["Item"]["body"]["S"])))
        return {account: format_amount(amount) for account, amount in legs.items()}

    def trace(self, customer: str, event_id: str) -> Json:
        """Of an event sent by `event`."""
        return self.get("/v1/trace/event", customer=customer, source="/gateway", id=event_id)

    def verify(self, number: str, folder: Path) -> Report:
        """Download a bundle by its link and verify it."""
        link = self.get(f"/v1/invoices/{number}/bundle")
        path = folder / f"{number}.zip"
        path.write_bytes(self.deployment.download(link["url"]))
        return verify_bundle(path)

    def everything(self) -> dict[str, Any]:
        """All items of all tables and the hashes of all evidence, to see that something changes nothing."""
        stored: dict[str, Any] = {}
        dynamodb, s3 = client("dynamodb"), client("s3")
        for table in dynamodb.list_tables()["TableNames"]:
            pages = dynamodb.get_paginator("scan").paginate(TableName=table)
            for item in (item for page in pages for item in page["Items"]):
                stored[f"{table} {item['pk']['S']} {item['sk']['S']}"] = item
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=self.deployment.outputs["EvidenceBucket"]):
            for version in page.get("Versions", []):
                stored[f"s3 {version['Key']} {version['VersionId']}"] = version["ETag"]
        return stored


def contract(name: str, customer: str, start: str, **terms: Any) -> Json:
    return {
        "customer": customer,
        "version": 1,
        "effective_from": start,
        "entity": name,
        "currency": "USD",
        "plan": name,
        "plan_version": 1,
        "rate_card": name,
        "usage_basis": "provider_reported",
        "late_usage": "hold",
        "parked_usage": "block",
        "volatility_bearer": "customer",
        "posture": "variable",
        "tax": {"category": "O", "rate": "0"},
    } | terms


def rate(model: str, token_class: str, price: str) -> Json:
    return {"provider": "openai", "model": model, "class": token_class, "price": price, "per": 1_000_000}


def event(
    customer: str,
    event_id: str,
    time: str,
    *,
    model: str = "gpt-4o",
    provider: str = "openai",
    data: Mapping[str, Any] | None = None,
    **quantities: int,
) -> Json:
    """A usage event; `data` has what it holds beside provider, model and quantities."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/gateway",
        "type": "llm.usage.v1",
        "subject": customer,
        "time": time,
        "data": {"provider": provider, "model": model, "quantities": quantities, **(data or {})},
    }


def line(document: Json, token_class: str, version: int = 1, model: str = "gpt-4o") -> Json:
    """The one line of a class, rate version and model."""
    [found] = [
        item
        for item in document["lines"]
        if item["class"] == token_class and item["rate_version"].endswith(f"@{version}") and item["model"] == model
    ]
    return dict(found)


def shown(document: Json, *members: str) -> list[tuple[Any, ...]]:
    """These members of every line."""
    return [tuple(item[name] for name in members) for item in document["lines"]]


def _body(answer: Response, status: int) -> Json:
    assert answer.status == status, f"{answer.status}: {answer.text}"
    return dict(answer.json())
