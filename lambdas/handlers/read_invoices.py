"""GET /v1/invoices, /v1/invoices/{number} and /v1/invoices/{number}/bundle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lambdas.billing.errors import DocumentRefused
from lambdas.billing.times import from_datetime, to_datetime
from lambdas.handlers import runtime, stores
from lambdas.handlers.entry import Event, http_entry, logger
from lambdas.handlers.paging import Wanted, wanted_of, whole_number
from lambdas.handlers.problems import Response
from lambdas.handlers.requests import Caller, caller_of, path_parameter, query_parameter
from lambdas.handlers.run_records import read_invoice
from lambdas.store.billing import Billing
from lambdas.store.billing_items import Invoice, Page
from lambdas.store.errors import NotFound
from lambdas.store.evidence import Evidence

LINK_SECONDS = 300
MAX_LINES = 2_000
"""Lines of one answer: a Lambda answer may have 6 MB, and a line is at most about 2 KB."""


def list_invoices(
    caller: Caller, *, entity: str | None, customer: str | None, year: int, wanted: Wanted, billing: Billing
) -> Page:
    """Invoices of a customer, latest period first, or (finance) of an issuing entity and year, last number first."""
    caller.require("customer", "finance")
    if entity is not None and customer is None:
        caller.require("finance")
        caller.require_customer("*")
        below = None if wanted.cursor is None else whole_number(wanted.cursor, "cursor")
        return billing.invoices_of_entity(entity, year, below=below, limit=wanted.limit)
    customer = customer or caller.bound_customer
    if entity is not None or customer is None:
        raise DocumentRefused("customer", customer, "give ?customer=..., or ?entity=...&year=... for all of an entity")
    caller.require_customer(customer)
    return billing.invoices_of_customer(customer, cursor=wanted.cursor, limit=wanted.limit)


def find_invoice(number: str, caller: Caller, billing: Billing) -> Invoice:
    """An invoice that the caller may see. Another customer's does not exist for it: raises NotFound."""
    caller.require("customer", "finance")
    invoice = billing.invoice(number)
    if caller.bound_customer not in (None, invoice.customer):
        raise NotFound("invoice", number)
    return invoice


def invoice_view(invoice: Invoice) -> dict[str, Any]:
    """An invoice as a list shows it. `state` is issued until its bundle is stored, then bundled."""
    bundle = None
    if invoice.bundle_key:
        bundle = {
            "sha256": invoice.bundle_sha256,
            "manifest_sha256": invoice.manifest_sha256,
            "merkle_root": invoice.merkle_root,
        }
    return {
        "number": invoice.number,
        "state": "bundled" if bundle else "issued",
        "entity": invoice.entity,
        "customer": invoice.customer,
        "period": invoice.period,
        "issued_at": invoice.issued_at,
        "currency": invoice.currency,
        "net": invoice.net,
        "total": invoice.total,
        "run_id": invoice.run_id,
        "document_hash": invoice.document_hash,
        "bundle": bundle,
    }


def lines_page(document: Mapping[str, Any], first: int) -> dict[str, Any]:
    """The document with its lines from number `first` on, as many as an answer holds, and the number to go on with."""
    after = first - 1 + MAX_LINES
    lines = document["lines"][first - 1 : after]
    return {
        "document": {**document, "lines": lines},
        "next_line": after + 1 if after < len(document["lines"]) else None,
    }


def link_to_bundle(invoice: Invoice, *, evidence: Evidence, now: str) -> dict[str, Any]:
    """A link that reads the bundle for five minutes. Raises NotFound before there is one."""
    if not invoice.bundle_key:
        raise NotFound("bundle of invoice", invoice.number)
    return {
        "url": evidence.presign(invoice.bundle_key, LINK_SECONDS, f"{invoice.number}.zip"),
        "expires_at": from_datetime(to_datetime(now) + timedelta(seconds=LINK_SECONDS)),
        "sha256": invoice.bundle_sha256,
        "manifest_sha256": invoice.manifest_sha256,
    }


def _list(event: Event, caller: Caller) -> Response:
    year = query_parameter(event, "year")
    page = list_invoices(
        caller,
        entity=query_parameter(event, "entity"),
        customer=query_parameter(event, "customer"),
        year=int(runtime.now()[:4]) if year is None else whole_number(year, "year"),
        wanted=wanted_of(event),
        billing=stores.billing(),
    )
    return Response(200, {"items": [invoice_view(invoice) for invoice in page.items], "cursor": page.cursor})


def _get(event: Event, caller: Caller) -> Response:
    invoice = find_invoice(path_parameter(event, "number"), caller, stores.billing())
    first = whole_number(query_parameter(event, "from_line") or "1", "from_line")
    return Response(200, {**invoice_view(invoice), **lines_page(read_invoice(stores.evidence(), invoice), first)})


def _get_bundle(event: Event, caller: Caller) -> Response:
    invoice = find_invoice(path_parameter(event, "number"), caller, stores.billing())
    link = link_to_bundle(invoice, evidence=stores.evidence(), now=runtime.now())
    logger().info(
        "bundle link given",
        extra={
            "invoice": invoice.number,
            "customer": invoice.customer,
            "key_id": caller.key_id,
            "sha256": invoice.bundle_sha256,
            "expires_at": link["expires_at"],
        },
    )
    return Response(200, link)


CALLS = {
    "GET /v1/invoices": _list,
    "GET /v1/invoices/{number}": _get,
    "GET /v1/invoices/{number}/bundle": _get_bundle,
}


def _handle(event: Event) -> Response:
    return CALLS[event["routeKey"]](event, caller_of(event))


handler = http_entry(_handle)
