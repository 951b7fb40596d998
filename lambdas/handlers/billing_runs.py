"""POST and GET /v1/billing-runs, and the monthly rule: each run is opened once, with one execution at a time. What its
accounts came to, and which of their events are parked, is read here too."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

from lambdas.billing.canonical import canonical_json
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.strict_json import Duplicated
from lambdas.billing.times import canonical_time, month_before, month_period
from lambdas.billing.usage import CUSTOMER_ID
from lambdas.handlers import runtime, stores
from lambdas.handlers.entry import Event, http_entry, logger, task_entry
from lambdas.handlers.paging import wanted_of
from lambdas.handlers.parked_events import parked_page
from lambdas.handlers.problems import Response
from lambdas.handlers.requests import Caller, caller_of, json_body, path_parameter, required_query
from lambdas.handlers.seal_run import failures
from lambdas.store.billing import Billing
from lambdas.store.billing_items import SEALED, Account, Run
from lambdas.store.catalogue import Catalogue
from lambdas.store.errors import TransientError
from lambdas.store.executions import Executions

MODE = "final"
_MAX_TRIES = 5
_SCHEDULE = "schedule"
_QUANTITIES = ("quantities", "excluded_quantities")
"""Senders choose how many names these have."""


def open_billing_run(
    entity: str, period: str, *, billing: Billing, executions: Executions, opened_at: str, opened_by: str
) -> Run:
    """Open the final run of a period, or find it, and have an execution work on it unless it is sealed.

    A run that is not sealed is resumed by a new execution when the last one has ended. Raises DocumentRefused before
    the period has ended.
    """
    run = _create(entity, period, billing=billing, opened_at=opened_at, opened_by=opened_by)
    for _ in range(_MAX_TRIES):
        if run.status == SEALED or (run.starts and _start(run, executions)):
            return run
        billing.count_start(run.run_id, run.starts)
        run = billing.run(run.run_id)
    raise TransientError(f"billing run {run.run_id} is being started by others; repeat the call")


def open_scheduled_runs(
    scheduled_at: str, *, billing: Billing, executions: Executions, catalogue: Catalogue
) -> list[str]:
    """Open the run of the month before `scheduled_at` for every issuing entity and start its first execution.

    Delivered again, it starts nothing again: only an operator resumes. An entity that cannot be opened does not stop
    the others; the first error is raised at the end, so that the rule's retry and dead-letter queue see it.
    """
    opened_at = canonical_time(scheduled_at)
    errors: list[Exception] = []
    opened: list[str] = []
    for entity in catalogue.entities():
        try:
            run = _create(entity, month_before(opened_at), billing=billing, opened_at=opened_at, opened_by=_SCHEDULE)
            if run.starts == 0:
                billing.count_start(run.run_id, 0)
                run = billing.run(run.run_id)
            if run.starts == 1 and run.status != SEALED:
                _start(run, executions)
            opened.append(run.run_id)
        except Exception as error:
            logger().exception("run not opened", extra={"entity": entity})
            errors.append(error)
    if errors:
        raise errors[0]
    return opened


def execution_name(run_id: str, start: int) -> str:
    """The name of a run's execution: at most 80 characters and only those that the execution log can show. The hash
    keeps runs apart whose ids differ in other characters."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", run_id)[:56]
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}-{start}"


def run_view(run: Run, billing: Billing) -> dict[str, Any]:
    """A run with its progress."""
    accounts = billing.accounts(run.run_id)
    return {
        **listed_run(run),
        "accounts": {"total": len(accounts), "by_status": dict(Counter(account.status for account in accounts))},
        "failed": failures(accounts),
    }


def listed_run(run: Run) -> dict[str, Any]:
    """A run without its accounts; `totals` are the control totals of its last attempt, None before one has ended."""
    return {
        "run_id": run.run_id,
        "entity": run.entity,
        "period": run.period,
        "mode": run.mode,
        "status": run.status,
        "opened_at": run.opened_at,
        "opened_by": run.opened_by,
        "attempt": run.attempt,
        "execution": execution_name(run.run_id, run.starts) if run.starts else None,
        "totals": run.totals,
    }


def account_view(account: Account) -> dict[str, Any]:
    """An account with its totals and controls, for the seller only. Without quantities: the seal has those."""
    totals = account.totals
    return {
        "customer": account.customer,
        "status": account.status,
        "freeze": account.freeze,
        "events": account.events,
        "number": account.number or None,
        "error": account.error,
        "totals": None if totals is None else {name: totals[name] for name in totals if name not in _QUANTITIES},
    }


def _create(entity: str, period: str, *, billing: Billing, opened_at: str, opened_by: str) -> Run:
    end = month_period(period).end
    if opened_at < end:
        raise DocumentRefused("period", period, f"this period ends at {end}; bill it from then on")
    run_id = f"{entity}.{period}.{MODE}"
    return billing.create_run(Run(run_id, entity, period, MODE, opened_at, opened_by))


def _start(run: Run, executions: Executions) -> bool:
    return executions.start(execution_name(run.run_id, run.starts), canonical_json({"run_id": run.run_id}))


def _read_request(document: Any) -> tuple[str, str]:
    fields = ("entity", "period", "mode")
    if not isinstance(document, dict) or isinstance(document, Duplicated) or set(document) != set(fields):
        raise DocumentRefused("body", document, f"an object with {', '.join(fields)}, each once")
    if document["mode"] != MODE:
        raise DocumentRefused("mode", document["mode"], 'the one mode offered so far is "final"; "shadow" comes later')
    if not isinstance(document["entity"], str):
        raise DocumentRefused("entity", document["entity"], "the id of an issuing entity")
    month_period(document["period"])
    return document["entity"], document["period"]


def _post(event: Event, caller: Caller) -> Response:
    caller.require("operator")
    entity, period = _read_request(json_body(event))
    stores.catalogue().entity(entity)
    billing = stores.billing()
    run = open_billing_run(
        entity,
        period,
        billing=billing,
        executions=stores.executions(),
        opened_at=runtime.now(),
        opened_by=caller.key_id,
    )
    return Response(200 if run.status == SEALED else 202, run_view(run, billing))


def _get(event: Event, caller: Caller) -> Response:
    caller.require("operator", "finance")
    billing = stores.billing()
    return Response(200, run_view(billing.run(path_parameter(event, "id")), billing))


def _list(event: Event, caller: Caller) -> Response:
    caller.require("operator", "finance")
    wanted = wanted_of(event)
    page = stores.billing().runs(cursor=wanted.cursor, limit=wanted.limit)
    return Response(200, {"items": [listed_run(run) for run in page.items], "cursor": page.cursor})


def _accounts(event: Event, caller: Caller) -> Response:
    caller.require("operator", "finance")
    billing, wanted = stores.billing(), wanted_of(event)
    if wanted.cursor is not None and not CUSTOMER_ID.fullmatch(wanted.cursor):
        raise DocumentRefused("cursor", wanted.cursor, "give the cursor of the page before, as it was answered")
    run = billing.run(path_parameter(event, "id"))
    page = billing.accounts_page(run.run_id, cursor=wanted.cursor, limit=wanted.limit)
    return Response(200, {"items": [account_view(account) for account in page.items], "cursor": page.cursor})


def _parked(event: Event, caller: Caller) -> Response:
    caller.require("operator", "finance")
    customer = required_query(event, "customer")
    if not CUSTOMER_ID.fullmatch(customer):
        raise DocumentRefused("customer", customer, "the id of a customer")
    billing = stores.billing()
    run = billing.run(path_parameter(event, "id"))
    account = billing.account(run.run_id, customer)
    return Response(200, parked_page(account, wanted_of(event), stores.evidence()))


CALLS = {
    "POST /v1/billing-runs": _post,
    "GET /v1/billing-runs": _list,
    "GET /v1/billing-runs/{id}": _get,
    "GET /v1/billing-runs/{id}/accounts": _accounts,
    "GET /v1/billing-runs/{id}/parked": _parked,
}


def _handle_request(event: Event) -> Response:
    return CALLS[event["routeKey"]](event, caller_of(event))


def _handle_schedule(event: Event) -> list[str]:
    return open_scheduled_runs(
        event["scheduled_at"],
        billing=stores.billing(),
        executions=stores.executions(),
        catalogue=stores.catalogue(),
    )


_request = http_entry(_handle_request)
_schedule = task_entry(_handle_schedule)


def handler(event: Event, context: Any) -> Any:
    """Both triggers of this function: the HTTP API, and the monthly rule with {"scheduled_at": time}."""
    return (_request if "requestContext" in event else _schedule)(event, context)
