"""GET /v1/trace/event and /v1/trace/line: from an event to the journal, and from a line to its events (R14).

What is invoiced is answered from the recorded blocks. Only what no run has frozen yet is rated here, and then it is
marked as an estimate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lambdas.billing.agreements import compile_agreement
from lambdas.billing.bundle import block_names
from lambdas.billing.canonical import encode_string
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.explain import explain_charges, explain_exclusion, explain_line, explain_posting
from lambdas.billing.money import format_amount
from lambdas.billing.periods import month_of
from lambdas.billing.rating import PARKED, Positions, Totals, UsageRow, measure_event, rate_event
from lambdas.billing.segments import StoredEvent, read_segment
from lambdas.handlers import runtime, stores
from lambdas.handlers.carried import final_run
from lambdas.handlers.entry import Event, http_entry
from lambdas.handlers.freeze_inputs import agreed_with, documents_in_force
from lambdas.handlers.open_run import has_account_in
from lambdas.handlers.paging import place_of, whole_number
from lambdas.handlers.problems import Response
from lambdas.handlers.read_invoices import find_invoice, invoice_view
from lambdas.handlers.requests import Caller, caller_of, query_parameter, required_query
from lambdas.handlers.run_records import (
    BlockEntry,
    block_entries,
    frozen_of,
    read_block_file,
    read_frozen,
    read_invoice,
)
from lambdas.store.billing import Billing
from lambdas.store.billing_items import BUNDLED, EMPTY, ISSUED, SEALED, Account, Invoice
from lambdas.store.catalogue import Catalogue
from lambdas.store.errors import NotFound
from lambdas.store.evidence import Evidence
from lambdas.store.ledger import Ledger
from lambdas.store.usage import UsageStore

MAX_EVENTS = 100
MAX_BLOCKS_READ = 5
"""Most blocks that one page of a line's events is collected from: a bound on one request's work."""


class Traced(NamedTuple):
    """The stores that a trace reads."""

    usage: UsageStore
    billing: Billing
    ledger: Ledger
    catalogue: Catalogue
    evidence: Evidence


class _Found(NamedTuple):
    """A recorded line of evidence and where it stands."""

    kind: str
    text: str
    file: str
    row: int


def trace_event(customer: str, source: str, event_id: str, *, traced: Traced, now: str) -> dict[str, Any]:
    """An event as received, and what became of it. `state` is rated, excluded, parked, unbilled or late.

    Raises NotFound for an identity that was never accepted.
    """
    claim = traced.usage.claim(customer, source, event_id)
    if claim is None:
        raise NotFound("event", f"{source} {event_id} of {customer}")
    [segment] = traced.usage.read_segments([claim.segment_key])
    event = read_segment(segment)[claim.position]
    row = event.row
    if (row.source, row.id, event.payload_sha256) != (source, event_id, claim.payload_sha256):
        raise InvariantBroken(f"claim of {source} {event_id}", segment.key, "a claim points at its own event")
    run_id = _run_of(customer, row.time, traced.catalogue)
    account = None if run_id is None else traced.billing.find_account(run_id, customer)
    return {
        "customer": customer,
        "source": source,
        "id": event_id,
        "revision": row.revision,
        "time": row.time,
        "provider": row.provider,
        "model": row.model,
        "quantities": dict(row.quantities),
        "received": _received(event, segment.received_at, segment.key),
        "run_id": None if account is None else account.run_id,
        **_fate(customer, row, segment.key, run_id, account, traced=traced, now=now),
    }


def trace_line(
    invoice: Invoice, line_number: int, cursor: str | None, *, billing: Billing, ledger: Ledger, evidence: Evidence
) -> dict[str, Any]:
    """A line explained, its posting, and a page of the events it is made of with their part of it.

    A page may hold fewer than 100 events, even none, while there is a `cursor` to go on with.
    """
    document = read_invoice(evidence, invoice)
    explained = explain_line(document, line_number)
    line = document["lines"][line_number - 1]
    account = billing.account(invoice.run_id, invoice.customer)
    frozen = read_frozen(evidence, account.run_id, account.customer, account.freeze)
    journal = ledger.of_invoice(invoice.entity, invoice.issued_at, invoice.number)
    events, following = _events_of_line(evidence, frozen, line["key"], place_of(cursor))
    return {
        "line": explained,
        "journal": explain_posting(line, journal),
        "events": events,
        "cursor": None if following is None else f"{following[0]}.{following[1]}",
    }


def _run_of(customer: str, time: str, catalogue: Catalogue) -> str | None:
    """The id of the final run that bills a moment; None where the customer has no account in it."""
    contracts = [version.contract for version in catalogue.contracts(customer)]
    if not contracts:
        return None
    month = month_of(time, contracts[0].anchor_day)
    return final_run(contracts[0].entity, month) if has_account_in(month, contracts[0], catalogue) else None


def _is_sealed(run_id: str, billing: Billing) -> bool:
    try:
        return billing.run(run_id).status == SEALED
    except NotFound:
        return False


def _received(event: StoredEvent, received_at: str, segment_key: str) -> dict[str, Any]:
    return {"at": received_at, "sha256": event.payload_sha256, "segment": segment_key, "raw": event.raw}


def _fate(
    customer: str,
    row: UsageRow,
    segment_key: str,
    run_id: str | None,
    account: Account | None,
    *,
    traced: Traced,
    now: str,
) -> dict[str, Any]:
    if account is None and run_id is not None and _is_sealed(run_id, traced.billing):
        return {"state": "late", "reason": f"the run {run_id} was sealed before this customer's contract was agreed"}
    frozen = None if account is None else frozen_of(traced.evidence, account)
    if frozen is not None and all(segment["key"] != segment_key for segment in frozen["segments"]):
        return {"state": "late", "reason": f"received after the cut-off of the run, {frozen['cutoff']}"}
    if account is None or frozen is None or account.status not in (ISSUED, BUNDLED, EMPTY):
        return _estimate(customer, row, traced.catalogue, now)
    found = _find_recorded(traced.evidence, frozen, row)
    evidence = {"file": found.file, "row": found.row}
    if found.kind == "excluded":
        exclusion = explain_exclusion(found.text)
        return {"state": _excluded_state(exclusion), "estimate": False, "exclusion": exclusion, "evidence": evidence}
    if account.status == EMPTY:
        return {"state": "rated", "estimate": False, "charges": [], "evidence": evidence}
    invoice = traced.billing.invoice(account.number)
    document = read_invoice(traced.evidence, invoice)
    journal = traced.ledger.of_invoice(invoice.entity, invoice.issued_at, invoice.number)
    charges = explain_charges(found.text, document)
    lines = {charge["line"]: document["lines"][charge["line"] - 1] for charge in charges}
    return {
        "state": "rated",
        "estimate": False,
        "charges": charges,
        "lines": [explain_line(document, number) for number in sorted(lines)],
        "journal": [explain_posting(line, journal) for line in _one_per_account(lines.values())],
        "invoice": invoice_view(invoice),
        "evidence": evidence,
    }


def _excluded_state(exclusion: Mapping[str, Any]) -> str:
    return PARKED if exclusion["reason"] == PARKED else "excluded"


def _one_per_account(lines: Any) -> list[Mapping[str, Any]]:
    return list({line["account"]: line for line in lines}.values())


def _estimate(customer: str, row: UsageRow, catalogue: Catalogue, now: str) -> dict[str, Any]:
    """What the event would come to if it were rated now."""
    try:
        month = month_of(row.time, agreed_with(catalogue, customer)[0].contract.anchor_day)
        documents = documents_in_force(catalogue, customer, month, now)
    except NotFound as error:
        return {"state": "unbilled", "estimate": True, "charges": [], "reason": str(error)}
    agreement = compile_agreement(month, documents["contracts"], documents["plans"], documents["rates"])
    pricing = agreement.at(row.time)
    totals, counted = Totals(), dict[str, int]()
    measure_event(row, pricing, counted)
    rated = rate_event(row, pricing, totals, Positions({}, counted))
    if not rated.rated:
        exclusion = explain_exclusion(rated.text)
        return {"state": _excluded_state(exclusion), "estimate": True, "exclusion": exclusion}
    if counted:
        names = ", ".join(counted)
        reason = f"the price of charge {names} depends on the month's other usage and is known when it is billed"
        return {"state": "unbilled", "estimate": True, "charges": [], "reason": reason}
    return {
        "state": "unbilled",
        "estimate": True,
        "charges": [
            {
                "key": key,
                "quantity": line.quantity,
                "exact": format_amount(line.amount),
                "currency": pricing.contract.currency,
            }
            for key, line in totals.lines.items()
        ],
    }


def _find_recorded(evidence: Evidence, frozen: Mapping[str, Any], row: UsageRow) -> _Found:
    """The rated or excluded line of a frozen event. Raises InvariantBroken where there is none: then it was lost."""
    name = [row.time, row.source, row.id]
    prefix = f'["{row.time}",{encode_string(row.source)},{encode_string(row.id)},'.encode()
    for entry in block_entries(evidence, frozen):
        if not entry.facts["first"] <= name <= entry.facts["last"]:
            continue
        for kind, file in zip(("rated", "excluded"), block_names(entry.number)[1:], strict=True):
            lines = read_block_file(evidence, frozen, entry, kind).splitlines()
            for number, line in enumerate(lines, start=1):
                if line.startswith(prefix):
                    return _Found(kind, line.decode(), file, number)
    raise InvariantBroken("event", " ".join(name), "a frozen event is rated or excluded")


def _events_of_line(
    evidence: Evidence, frozen: Mapping[str, Any], key: str, start: tuple[int, int]
) -> tuple[list[dict[str, Any]], tuple[int, int] | None]:
    """Events of a line from `start` (block, row) on, and where the next page begins."""
    events: list[dict[str, Any]] = []
    read = 0
    for entry in block_entries(evidence, frozen):
        if entry.number < start[0] or key not in entry.facts["lines"]:
            continue
        if read == MAX_BLOCKS_READ:
            return events, (entry.number, 1)
        read += 1
        first_row = start[1] if entry.number == start[0] else 1
        for number, event in _charged(evidence, frozen, entry, key):
            if number < first_row:
                continue
            if len(events) == MAX_EVENTS:
                return events, (entry.number, number)
            events.append(event)
    return events, None


def _charged(
    evidence: Evidence, frozen: Mapping[str, Any], entry: BlockEntry, key: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The events of a block that a line charges, with their row in the block's rated file."""
    mark = f"[{encode_string(key)},".encode()
    file = block_names(entry.number)[1]
    lines = read_block_file(evidence, frozen, entry, "rated").splitlines()
    for number, line in enumerate(lines, start=1):
        if mark not in line:
            continue
        time, source, event_id, revision, charges = json.loads(line)
        for charged, quantity, exact, *position in charges:
            if charged == key:
                event = {"time": time, "source": source, "id": event_id, "revision": revision, "quantity": quantity}
                at = position[0] if position else None
                yield number, {**event, "position": at, "exact": exact, "evidence": {"file": file, "row": number}}


def _traced() -> Traced:
    return Traced(stores.usage_segments(), stores.billing(), stores.ledger(), stores.catalogue(), stores.evidence())


def _trace_event(event: Event, caller: Caller) -> Response:
    customer = required_query(event, "customer")
    caller.require_customer(customer)
    source, event_id = required_query(event, "source"), required_query(event, "id")
    return Response(200, trace_event(customer, source, event_id, traced=_traced(), now=runtime.now()))


def _trace_line(event: Event, caller: Caller) -> Response:
    line = whole_number(required_query(event, "line"), "line")
    traced = _traced()
    invoice = find_invoice(required_query(event, "invoice"), caller, traced.billing)
    cursor = query_parameter(event, "cursor") or None
    return Response(
        200,
        trace_line(invoice, line, cursor, billing=traced.billing, ledger=traced.ledger, evidence=traced.evidence),
    )


CALLS = {"GET /v1/trace/event": _trace_event, "GET /v1/trace/line": _trace_line}


def _handle(event: Event) -> Response:
    caller = caller_of(event)
    caller.require("customer", "finance")
    return CALLS[event["routeKey"]](event, caller)


handler = http_entry(_handle)
