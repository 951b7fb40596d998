"""A small billing world for the tests of runs: the catalogue, recorded usage, and the steps as plain function calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lambdas.billing.usage import read_event
from lambdas.handlers import stores
from lambdas.handlers.build_bundle import build_bundle
from lambdas.handlers.draft_invoice import draft_invoice
from lambdas.handlers.fail_account import fail_account
from lambdas.handlers.freeze_inputs import freeze_inputs
from lambdas.handlers.issue_invoices import issue_invoices
from lambdas.handlers.measure_shard import measure_shard
from lambdas.handlers.open_run import open_run
from lambdas.handlers.rate_shard import rate_shard
from lambdas.handlers.seal_run import seal_run
from lambdas.store import clients
from lambdas.store.billing_items import Account, Run
from lambdas.store.errors import TransientError
from lambdas.store.usage_items import Incoming
from tests.store.catalogue_documents import CONTRACT, ENTITY, PLAN, STANDARD

START = "2026-10-01T00:00:00.000000Z"
OPENED_AT = "2026-12-01T06:00:00.000000Z"
FROZEN_AT = "2026-12-01T06:00:09.000000Z"
GATEWAY = "//gateway/eu-1"
RUN_ID = "bp-us.2026-11.final"


def set_up(*customers: str, tax: str = "0", **contract: Any) -> None:
    """An entity, a plan, a rate card (2.50 and 10.00 per million) and customers with a contract each."""
    catalogue = stores.catalogue()
    catalogue.create_entity(ENTITY, now=START)
    catalogue.publish_plan(PLAN, now=START)
    publish(STANDARD, now=START)
    for customer in customers:
        catalogue.create_customer({"id": customer, "name": customer.title()}, now=START)
        agree(customer, tax=tax, **contract)


def agree(customer: str, *, tax: str = "0", **contract: Any) -> None:
    document = {**CONTRACT, "customer": customer, "tax": {"category": "S", "rate": tax}, **contract}
    stores.catalogue().agree_contract(document, now=START)


def publish(document: Mapping[str, Any], *, now: str) -> None:
    stores.catalogue().publish_rate_card("std", dict(document), now=now, periods=stores.sealed_periods())


def use(
    customer: str,
    event_id: str,
    time: str,
    *,
    model: str = "gpt-4o",
    received_at: str = "2026-11-30T12:00:00.000000Z",
    attributes: Mapping[str, str] | None = None,
    **quantities: int,
) -> None:
    """One accepted event."""
    events = [(event_id, time, quantities)]
    use_all(customer, events, model=model, received_at=received_at, attributes=attributes or {})


def use_all(
    customer: str,
    events: Sequence[tuple[str, str, Mapping[str, int]]],
    *,
    model: str = "gpt-4o",
    received_at: str = "2026-11-30T12:00:00.000000Z",
    attributes: Mapping[str, str] = MappingProxyType({}),
) -> None:
    incoming = []
    for event_id, time, quantities in events:
        raw = json.dumps(
            {
                "specversion": "1.0",
                "type": "llm.usage.v1",
                "source": GATEWAY,
                "id": event_id,
                "time": time,
                "data": {
                    "provider": "openai",
                    "model": model,
                    "quantities": dict(quantities),
                    **({"attributes": dict(attributes)} if attributes else {}),
                },
            }
        )
        incoming.append(Incoming(read_event(json.loads(raw), customer), raw, hashlib.sha256(raw.encode()).hexdigest()))
    outcomes = stores.recorder().record(customer, incoming, received_at)
    assert {outcome.status for outcome in outcomes} <= {"accepted"}


def open_run_item(period: str = "2026-11", entity: str = "bp-us", opened_at: str = OPENED_AT) -> str:
    run_id = f"{entity}.{period}.final"
    stores.billing().create_run(Run(run_id, entity, period, "final", opened_at, "key"))
    return run_id


def step_open(run_id: str = RUN_ID, execution: str = "one") -> dict[str, Any]:
    return open_run(
        run_id, execution, billing=stores.billing(), catalogue=stores.catalogue(), evidence=stores.evidence()
    )


def step_freeze(run_id: str, customer: str, *, now: str = FROZEN_AT, **options: Any) -> dict[str, Any]:
    return freeze_inputs(
        run_id,
        customer,
        billing=stores.billing(),
        catalogue=stores.catalogue(),
        usage=stores.usage(),
        evidence=stores.evidence(),
        now=now,
        **options,
    )


def step_rate(run_id: str, customer: str, freeze: int, shard: int, **options: Any) -> dict[str, Any]:
    return rate_shard(
        run_id, customer, freeze, shard, usage=stores.usage_segments(), evidence=stores.evidence(), **options
    )


def step_measure(run_id: str, customer: str, freeze: int, shard: int) -> dict[str, Any]:
    return measure_shard(run_id, customer, freeze, shard, usage=stores.usage_segments(), evidence=stores.evidence())


def step_draft(run_id: str, customer: str) -> dict[str, Any]:
    return draft_invoice(run_id, customer, billing=stores.billing(), evidence=stores.evidence())


def step_issue(run_id: str = RUN_ID, **options: Any) -> dict[str, Any]:
    return issue_invoices(
        run_id, billing=stores.billing(), ledger=stores.ledger(), evidence=stores.evidence(), **options
    )


def step_bundle(run_id: str, customer: str) -> dict[str, Any]:
    return build_bundle(run_id, customer, billing=stores.billing(), ledger=stores.ledger(), evidence=stores.evidence())


def step_seal(run_id: str = RUN_ID, attempt: int = 1) -> dict[str, Any]:
    return seal_run(run_id, attempt, billing=stores.billing(), ledger=stores.ledger(), evidence=stores.evidence())


def fail(run_id: str, customer: str, attempt: int, error: Exception) -> dict[str, Any]:
    """What the state machine does with a step's error."""
    cause = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__})
    caught = {"Error": type(error).__name__, "Cause": cause}
    return fail_account(run_id, customer, attempt, caught, billing=stores.billing())


def execute(run_id: str = RUN_ID, execution: str = "one", *, now: str = FROZEN_AT, **options: Any) -> dict[str, Any]:
    """One whole execution, step by step, with the state machine's retries and catches; the answer of the last step."""
    rating = {name: options.pop(name) for name in ("block_rows",) if name in options}
    opened = retried(lambda: step_open(run_id, execution))
    customers = [entry["customer"] for entry in stores.evidence().get_json(opened["accounts_key"])]

    def for_each_account(work: Callable[[str], object]) -> None:
        for customer in customers:
            try:
                work(customer)
            except Exception as error:
                caught = error
                retried(lambda customer=customer, caught=caught: fail(run_id, customer, opened["attempt"], caught))

    def freeze(customer: str) -> dict[str, Any]:
        return retried(lambda: step_freeze(run_id, customer, now=now, **options))

    def draft(customer: str) -> None:
        plan = freeze(customer)
        for shard in plan["to_measure"]:
            retried(lambda n=shard["n"]: step_measure(run_id, customer, plan["freeze"], n))
        for shard in plan["shards"]:
            retried(lambda n=shard["n"]: step_rate(run_id, customer, plan["freeze"], n, **rating))
        retried(lambda: step_draft(run_id, customer))

    for_each_account(freeze)
    for_each_account(draft)
    while retried(lambda: step_issue(run_id))["remaining"]:
        pass
    for_each_account(lambda customer: retried(lambda: step_bundle(run_id, customer)))
    return retried(lambda: step_seal(run_id, opened["attempt"]))


def retried(step: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Step Functions repeats a step that raised TransientError, and no other."""
    for _ in range(5):
        try:
            return step()
        except TransientError:
            continue
    return step()


def account_of(customer: str, run_id: str = RUN_ID) -> Account:
    return stores.billing().account(run_id, customer)


def invoice_of(customer: str, run_id: str = RUN_ID) -> dict[str, Any]:
    document: dict[str, Any] = stores.evidence().get_json(f"runs/{run_id}/{customer}/invoice.json")
    return document


def everything_stored() -> dict[str, Any]:
    """Every item of the billing and ledger tables and every object version of the bucket."""
    found: dict[str, Any] = {}
    for table in ("billing", "ledger"):
        for items in clients.dynamodb().get_paginator("scan").paginate(TableName=f"billproof-test-{table}"):
            found |= {f"{table} {item['pk']['S']} {item['sk']['S']}": item for item in items["Items"]}
    bucket = stores.evidence().bucket
    for objects in clients.s3().get_paginator("list_object_versions").paginate(Bucket=bucket):
        found |= {f"s3 {version['Key']} {version['VersionId']}": version["ETag"] for version in objects["Versions"]}
    return found
