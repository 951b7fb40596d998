"""Create and read calls of the catalogue: entities, customers, keys, plans, rate cards, contracts.

A POST answers 201 for what is new and 200 for what was stored with the same content; other content is a conflict.
Nothing here changes or deletes a document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lambdas.billing.documents import read_contract
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.strict_json import NotAnInteger
from lambdas.billing.times import day_start
from lambdas.handlers import runtime, stores
from lambdas.handlers.api_keys import describe, make_key, read_key_request
from lambdas.handlers.entry import Event, http_entry
from lambdas.handlers.problems import Response
from lambdas.handlers.requests import caller_of, json_body, path_parameter, query_parameter
from lambdas.store.catalogue import MAX_PAGE, Catalogue
from lambdas.store.catalogue_items import Page, Part, Saved, StoredDocument
from lambdas.store.errors import NotFound
from lambdas.store.sealed_periods import SealedPeriods

DEFAULT_PAGE = 50
_MAX_DEPTH = 8


class Call(NamedTuple):
    """One request with what it may use. `now` is the canonical time that a write is stamped with."""

    event: Event
    catalogue: Catalogue
    periods: SealedPeriods
    now: str

    def document(self) -> Any:
        """The JSON body, with every number a plain integer. Raises DocumentRefused."""
        document = json_body(self.event)
        refuse_inexact(document)
        return document

    def part(self) -> Part:
        """`cursor` and `limit` of a list call. Raises DocumentRefused."""
        limit = query_parameter(self.event, "limit")
        if limit is None:
            return Part(query_parameter(self.event, "cursor"), DEFAULT_PAGE)
        if not (limit.isascii() and limit.isdecimal() and len(limit) <= 3 and 0 < int(limit) <= MAX_PAGE):
            raise DocumentRefused("limit", limit, f"a whole number from 1 to {MAX_PAGE}")
        return Part(query_parameter(self.event, "cursor"), int(limit))


def refuse_inexact(document: Any) -> None:
    """Refuse JSON numbers such as 2.5 or 1e3 wherever they stand, and documents nested beyond all sense.

    A parser may make a double of such a number before we see it; as text it stays what was written.
    """
    waiting: list[tuple[str, Any, int]] = [("", document, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        if isinstance(value, NotAnInteger):
            raise DocumentRefused(
                path or "body", value, 'write prices as text, such as "2.50"; other numbers as integers'
            )
        if depth > _MAX_DEPTH:
            raise DocumentRefused(path[:60], "deeply nested", f"at most {_MAX_DEPTH} levels")
        if isinstance(value, dict):
            waiting += [(f"{path}.{name}" if path else name, item, depth + 1) for name, item in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{path}[{n}]", item, depth + 1) for n, item in enumerate(value)]


def manage_catalogue(event: Event, *, catalogue: Catalogue, periods: SealedPeriods, now: str) -> Response:
    """Answer one catalogue call of the HTTP API by its route. All are an operator's; a customer's key may read what is
    its own customer's."""
    route, caller = event["routeKey"], caller_of(event)
    if route in OF_ONE_CUSTOMER:
        caller.require("operator", "customer")
        caller.require_customer(path_parameter(event, "id"))
    else:
        caller.require("operator")
    return CALLS[route](Call(event, catalogue, periods, now))


def _create_entity(call: Call) -> Response:
    return _saved(call.catalogue.create_entity(call.document(), now=call.now))


def _list_entities(call: Call) -> Response:
    return _listed(call.catalogue.entities_page(call.part()), _shown)


def _read_entity(call: Call) -> Response:
    return Response(200, _shown(call.catalogue.entity(path_parameter(call.event, "id"))))


def _create_customer(call: Call) -> Response:
    return _saved(call.catalogue.create_customer(call.document(), now=call.now))


def _list_customers(call: Call) -> Response:
    return _listed(call.catalogue.customers_page(call.part()), _shown)


def _read_customer(call: Call) -> Response:
    return Response(200, _shown(call.catalogue.customer(path_parameter(call.event, "id"))))


def _create_key(call: Call) -> Response:
    name, customer, scopes = read_key_request(call.document())
    made = make_key(call.catalogue, name=name, customer=customer, scopes=scopes, now=call.now)
    return Response(201, {**describe(made.key), "key": made.text})


def _list_keys(call: Call) -> Response:
    return _listed(call.catalogue.keys_page(call.part()), describe)


def _revoke_key(call: Call) -> Response:
    return Response(200, describe(call.catalogue.revoke_key(path_parameter(call.event, "key_id"), now=call.now)))


def _publish_plan(call: Call) -> Response:
    return _saved(call.catalogue.publish_plan(call.document(), now=call.now), _shown_linted)


def _list_plan_versions(call: Call) -> Response:
    page = call.catalogue.plan_versions_page(path_parameter(call.event, "id"), call.part())
    return _listed(page, _shown_linted)


def _read_plan_version(call: Call) -> Response:
    plan, version = _version_asked(call, "plan")
    return Response(200, _shown_linted(call.catalogue.plan(plan, version)))


def _publish_rate_card(call: Call) -> Response:
    card = path_parameter(call.event, "id")
    saved = call.catalogue.publish_rate_card(card, call.document(), now=call.now, periods=call.periods)
    return _saved(saved, _shown_rates)


def _list_rate_card_versions(call: Call) -> Response:
    page = call.catalogue.rate_card_versions_page(path_parameter(call.event, "id"), call.part())
    return _listed(page, _shown_rates)


def _read_rate_card_version(call: Call) -> Response:
    card, version = _version_asked(call, "rate card")
    return Response(200, _shown_rates(call.catalogue.rate_card_version(card, version)))


def _agree_contract(call: Call) -> Response:
    """A first contract may not begin in a month that is billed: its usage would be late for ever."""
    document = call.document()
    contract = read_contract(document)
    if not call.catalogue.contracts(contract.customer):
        open_since = call.periods.open_since([contract.entity])
        if day_start(contract.effective_from) < open_since:
            remedy = f"{contract.entity} has billed the time before {open_since[:10]}; begin then or later"
            raise DocumentRefused("effective_from", contract.effective_from, remedy)
    return _saved(call.catalogue.agree_contract(document, now=call.now), _shown_linted)


def _list_contracts(call: Call) -> Response:
    """The lint is the seller's: its notes speak of margins and costs, so a customer's key is not shown it."""
    page = call.catalogue.contracts_page(path_parameter(call.event, "id"), call.part())
    return _listed(page, _shown_linted if "operator" in caller_of(call.event).scopes else _shown_version)


CALLS: Mapping[str, Callable[[Call], Response]] = {
    "POST /v1/entities": _create_entity,
    "GET /v1/entities": _list_entities,
    "GET /v1/entities/{id}": _read_entity,
    "POST /v1/customers": _create_customer,
    "GET /v1/customers": _list_customers,
    "GET /v1/customers/{id}": _read_customer,
    "POST /v1/keys": _create_key,
    "GET /v1/keys": _list_keys,
    "DELETE /v1/keys/{key_id}": _revoke_key,
    "POST /v1/plans": _publish_plan,
    "GET /v1/plans/{id}/versions": _list_plan_versions,
    "GET /v1/plans/{id}/versions/{version}": _read_plan_version,
    "POST /v1/rate-cards/{id}/versions": _publish_rate_card,
    "GET /v1/rate-cards/{id}/versions": _list_rate_card_versions,
    "GET /v1/rate-cards/{id}/versions/{version}": _read_rate_card_version,
    "POST /v1/contracts": _agree_contract,
    "GET /v1/customers/{id}/contracts": _list_contracts,
}
"""Every route of this function."""

OF_ONE_CUSTOMER = frozenset({"GET /v1/customers/{id}", "GET /v1/customers/{id}/contracts"})
"""Routes that a key of the customer in the path may call too."""


def _version_asked(call: Call, what: str) -> tuple[str, int]:
    name, version = path_parameter(call.event, "id"), path_parameter(call.event, "version")
    if not (version.isascii() and version.isdecimal() and len(version) <= 6 and version[0] != "0"):
        raise NotFound(what, f"{name}@{version}")
    return name, int(version)


def _shown(stored: StoredDocument) -> dict[str, Any]:
    return {"document": stored.document, "hash": stored.hash, "created_at": stored.created_at}


def _shown_version(stored: StoredDocument) -> dict[str, Any]:
    return {"version": stored.document["version"], **_shown(stored)}


def _shown_linted(stored: StoredDocument) -> dict[str, Any]:
    return {**_shown_version(stored), "lint": stored.lint}


def _shown_rates(stored: StoredDocument) -> dict[str, Any]:
    return {**_shown_version(stored), "published_at": stored.created_at}


def _saved(saved: Saved, shown: Callable[[StoredDocument], dict[str, Any]] = _shown) -> Response:
    return Response(201 if saved.created else 200, shown(saved.stored))


def _listed(page: Page, shown: Callable[[Any], dict[str, Any]]) -> Response:
    return Response(200, {"items": [shown(item) for item in page.items], "cursor": page.cursor})


def _manage(event: Event) -> Response:
    return manage_catalogue(event, catalogue=stores.catalogue(), periods=stores.sealed_periods(), now=runtime.now())


handler = http_entry(_manage)
