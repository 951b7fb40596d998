"""The catalogue calls of the HTTP API: what a caller sends and what it is told."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.billing.canonical import content_hash
from lambdas.billing.lint import lint_plan
from lambdas.billing.plans import read_plan
from lambdas.handlers.manage_catalogue import CALLS
from lambdas.handlers.runtime import set_clock
from lambdas.store import clients
from stacks.usage_api import ROUTES
from tests.handlers.catalogue_api import OPERATOR, Answer, call
from tests.store.catalogue_documents import CONTRACT, CUSTOMER, ENTITY, PLAN, STANDARD, card, rate
from tests.store.test_catalogue import put_run, table_items

NOON = "2026-11-16T12:00:00.000000Z"
PUBLISH = "POST /v1/rate-cards/{id}/versions"
ACME = {"key_id": "1" * 12, "customer": "acme", "scopes": "customer ingest"}
GLOBEX = {"key_id": "2" * 12, "customer": "globex", "scopes": "customer ingest"}
FINANCE = {"key_id": "3" * 12, "customer": "*", "scopes": "finance ingest"}


@pytest.fixture(autouse=True)
def noon(aws: None) -> None:
    set_clock(lambda: datetime(2026, 11, 16, 12, tzinfo=UTC))


def stock() -> None:
    """Everything a contract names, each sent once."""
    for route, document in (("POST /v1/entities", ENTITY), ("POST /v1/customers", CUSTOMER), ("POST /v1/plans", PLAN)):
        assert call(route, document).status == 201
    assert call(PUBLISH, STANDARD, id="std").status == 201


def refusal(answer: Answer) -> tuple[int, str, str]:
    """Status, code and field of a problem; checks its shape."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["status"] == answer.status
    assert answer.body["remedy"]
    return answer.status, answer.body["type"].removeprefix("urn:billproof:problem:"), answer.body["field"]


def test_every_route_of_the_template_has_one_call_and_no_call_is_without_a_route() -> None:
    assert set(CALLS) == set(ROUTES["manage_catalogue"])


def test_no_call_changes_or_deletes_a_document() -> None:
    assert {route for route in CALLS if not route.startswith(("GET", "POST"))} == {"DELETE /v1/keys/{key_id}"}


@pytest.mark.parametrize(
    ("create", "document", "read", "parameters", "shown"),
    [
        ("POST /v1/entities", ENTITY, "GET /v1/entities/{id}", {"id": "bp-us"}, {}),
        ("POST /v1/customers", CUSTOMER, "GET /v1/customers/{id}", {"id": "acme"}, {}),
        (
            "POST /v1/plans",
            PLAN,
            "GET /v1/plans/{id}/versions/{version}",
            {"id": "pure", "version": "1"},
            {"version": 1, "lint": {"notes": lint_plan(read_plan(PLAN))}},
        ),
    ],
)
def test_a_document_is_created_repeated_read_and_never_changed(
    create: str, document: dict[str, Any], read: str, parameters: dict[str, str], shown: dict[str, Any]
) -> None:
    expected = {**shown, "document": document, "hash": content_hash(document), "created_at": NOON}
    created, repeated = call(create, document), call(create, document)
    assert (created.status, created.body) == (201, expected)
    assert (repeated.status, repeated.body) == (200, expected)
    assert call(read, None, OPERATOR, **parameters).body == expected
    before = table_items()
    conflict = call(create, {**document, "name": "Other"})
    assert (conflict.status, conflict.body["type"]) == (409, "urn:billproof:problem:ContentConflict")
    assert content_hash(document) in conflict.body["detail"]
    assert table_items() == before


def test_a_rate_card_version_shows_when_it_was_published() -> None:
    created = call(PUBLISH, STANDARD, id="std")
    assert created.status == 201
    assert created.body == {
        "version": 1,
        "document": STANDARD,
        "hash": content_hash(STANDARD),
        "created_at": NOON,
        "published_at": NOON,
    }
    assert call(PUBLISH, STANDARD, id="std") == (200, created.body, created.headers)
    assert call("GET /v1/rate-cards/{id}/versions/{version}", id="std", version="1").body == created.body
    assert call("GET /v1/rate-cards/{id}/versions", id="std").body == {"items": [created.body], "cursor": None}


def test_spacing_and_order_of_members_do_not_make_other_content() -> None:
    assert call("POST /v1/customers", CUSTOMER).status == 201
    assert call("POST /v1/customers", '{ "name":"Acme Corp.",\n "id":"\\u0061cme" }').status == 200


def test_a_body_in_base64_is_the_same_body() -> None:
    from lambdas.handlers.manage_catalogue import handler
    from tests.handlers.catalogue_api import CONTEXT

    event = {
        "routeKey": "POST /v1/customers",
        "requestContext": {"authorizer": {"lambda": OPERATOR}},
        "body": base64.b64encode(json.dumps(CUSTOMER).encode()).decode(),
        "isBase64Encoded": True,
    }
    assert handler(event, CONTEXT)["statusCode"] == 201
    assert handler({**event, "body": "%%%"}, CONTEXT)["statusCode"] == 422


def test_what_does_not_exist_answers_404() -> None:
    for route, parameters in (
        ("GET /v1/entities/{id}", {"id": "none"}),
        ("GET /v1/customers/{id}", {"id": "none"}),
        ("GET /v1/customers/{id}/contracts", {"id": "none"}),
        ("GET /v1/plans/{id}/versions", {"id": "none"}),
        ("GET /v1/plans/{id}/versions/{version}", {"id": "none", "version": "1"}),
        ("GET /v1/plans/{id}/versions/{version}", {"id": "none", "version": "01"}),
        ("GET /v1/plans/{id}/versions/{version}", {"id": "none", "version": "\N{ARABIC-INDIC DIGIT ONE}"}),
        ("GET /v1/plans/{id}/versions/{version}", {"id": "none", "version": "9" * 50}),
        ("GET /v1/rate-cards/{id}/versions", {"id": "\N{SNOWMAN}" * 3000}),
        ("GET /v1/rate-cards/{id}/versions/{version}", {"id": "none", "version": "x"}),
        ("DELETE /v1/keys/{key_id}", {"key_id": "f" * 12}),
    ):
        answer = call(route, None, OPERATOR, **parameters)
        assert (answer.status, answer.body["type"]) == (404, "urn:billproof:problem:NotFound"), route


# what is refused


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", '"acme"', "12", "NaN", "\ud800", '{"id":"acme"} x', "[" * 100_000, '{"id":' * 500 + "1"],
)
def test_a_body_that_is_no_json_object_is_refused(body: str) -> None:
    for route in ("POST /v1/customers", "POST /v1/keys", "POST /v1/contracts", "POST /v1/plans", "POST /v1/entities"):
        answer = call(route, body)
        assert refusal(answer)[:2] == (422, "DocumentRefused")
    assert table_items() == []


@pytest.mark.parametrize(
    ("text", "field", "remedy"),
    [
        ('{"id":"acme","id":"acme","name":"x"}', "id", "give each member once"),
        ('{"id":"acme","name":"x","plan":"p"}', "plan", "unknown member"),
        ('{"id":"acme"}', "name", "required"),
        ('{"id":"ac/me","name":"x"}', "id", "letters"),
        ('{"id":["acme"],"name":"x"}', "id", "letters"),
        ('{"id":"acme","name":""}', "name", "printable"),
        ('{"id":"acme","name":"a\\u0000b"}', "name", "printable"),
        ('{"id":"acme","name":"a\\ud800b"}', "name", "printable"),
        ('{"id":"acme","name":1.5}', "name", "write prices as text"),
        ('{"id":"acme","\\ud800":1}', "\\ud800", "unknown member"),
    ],
)
def test_a_malformed_customer_is_refused_with_field_and_remedy(text: str, field: str, remedy: str) -> None:
    answer = call("POST /v1/customers", text)
    assert answer.status == 422
    assert answer.body["field"].encode("ascii", "backslashreplace").decode() == field
    assert remedy in answer.body["remedy"]
    assert table_items() == []


@pytest.mark.parametrize("number", ["2.5", "2.0", "25e-1", "1E3", "NaN", "Infinity", "1" * 41])
def test_a_price_written_as_a_json_number_is_refused_with_the_remedy(number: str) -> None:
    body = json.dumps(card(1, "2026-10-01", rate("input", "PRICE"))).replace('"PRICE"', number)
    answer = call(PUBLISH, body, id="std")
    assert refusal(answer) == (422, "DocumentRefused", "rates[0].price")
    assert answer.body["value"] == number
    assert "write prices as text" in answer.body["remedy"]


@pytest.mark.parametrize(
    ("entry", "code", "field"),
    [
        (rate("input", 3), "InvalidAmount", "rates[0].price"),
        (rate("input", "2,50"), "InvalidAmount", "rates[0].price"),
        (rate("input", "1e-3"), "InvalidAmount", "rates[0].price"),
        (rate("input", "0.0000000000001"), "InvalidAmount", "rates[0].price"),
        (rate("input", "-1"), "DocumentRefused", "rates[0].price"),
        (rate("tokens", "1"), "UnknownClass", "rates[0].class"),
        ({**rate("input", "1"), "per": 100}, "DocumentRefused", "rates[0].per"),
        ({**rate("input", "1"), "per": "1000"}, "DocumentRefused", "rates[0].per"),
        ({**rate("input", "1"), "model": "a|b"}, "DocumentRefused", "rates[0].model"),
    ],
)
def test_a_rate_that_could_not_be_billed_exactly_is_refused(entry: dict[str, Any], code: str, field: str) -> None:
    assert refusal(call(PUBLISH, card(1, "2026-10-01", entry), id="std")) == (422, code, field)
    assert table_items() == []


def test_a_member_that_stands_twice_in_a_rate_is_refused() -> None:
    body = json.dumps(STANDARD).replace('"price": "2.50"', '"price": "2.50", "price": "9.99"')
    assert refusal(call(PUBLISH, body, id="std")) == (422, "DocumentRefused", "rates[0].price")


def test_one_class_priced_twice_in_one_version_is_refused() -> None:
    document = card(1, "2026-10-01", rate("input", "1"), rate("input", "2"))
    assert refusal(call(PUBLISH, document, id="std")) == (422, "DocumentRefused", "rates[1]")


@pytest.mark.parametrize(
    ("document", "status", "code", "field"),
    [
        (card(1, "2026-10-01", rate("input", "9")), 409, "ContentConflict", None),
        (card(2, "2026-11-16", rate("input", "9")), 409, "RatesOverlap", "effective_from"),
        (card(2, "2026-10-01", rate("input", "9")), 409, "RatesOverlap", "effective_from"),
        (card(2, "2026-10-31", rate("reasoning", "9")), 409, "RatesOverlap", "effective_from"),
        (card(3, "2026-12-01", rate("input", "9")), 422, "DocumentRefused", "version"),
        (card(2, "2026-12-01", rate("input", "9"), currency="EUR"), 422, "DocumentRefused", "currency"),
        (card(2, "2026-13-01", rate("input", "9")), 422, "InvalidTime", "effective_from"),
        (card(2, "2026-12-01T00:00:00Z", rate("input", "9")), 422, "InvalidTime", "effective_from"),
        (card(2, "2026-12-01"), 422, "DocumentRefused", "rates"),
    ],
)
def test_a_version_that_would_change_what_was_in_force_is_refused(
    document: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    stock()
    call("POST /v1/contracts", CONTRACT)
    put_run("bp-us.2026-10.final", "sealed")
    before = table_items()
    answer = call(PUBLISH, document, id="std")
    assert answer.status == status
    assert answer.body["type"] == f"urn:billproof:problem:{code}"
    assert answer.body.get("field") == field
    assert table_items() == before


def test_a_first_price_is_back_dated_into_the_open_period() -> None:
    stock()
    call("POST /v1/contracts", CONTRACT)
    put_run("bp-us.2026-10.final", "sealed")
    assert call(PUBLISH, card(2, "2026-11-01", rate("reasoning", "9")), id="std").status == 201


def test_a_card_id_that_is_no_name_is_refused() -> None:
    for name in ("a b", "", "\N{SNOWMAN}", "x" * 65, "a@1"):
        assert refusal(call(PUBLISH, STANDARD, id=name)) == (422, "DocumentRefused", "rate card")


def test_plans_are_refused_that_are_not_offered() -> None:
    assert refusal(call("POST /v1/plans", {**PLAN, "model": "flat"})) == (422, "PlanRefused", "model")
    assert refusal(call("POST /v1/plans", {**PLAN, "version": 0})) == (422, "DocumentRefused", "version")
    assert refusal(call("POST /v1/plans", {**PLAN, "version": True})) == (422, "DocumentRefused", "version")
    assert refusal(call("POST /v1/plans", {**PLAN, "version": 2})) == (422, "DocumentRefused", "version")


# contracts


@pytest.mark.parametrize("policy", sorted(CONTRACT))
def test_every_policy_of_a_contract_must_be_written_out(policy: str) -> None:
    stock()
    document = {name: value for name, value in CONTRACT.items() if name != policy}
    assert refusal(call("POST /v1/contracts", document)) == (422, "DocumentRefused", policy)


def test_a_tax_rate_is_text() -> None:
    stock()
    body = json.dumps(CONTRACT).replace('"0.19"', "0.19")
    assert refusal(call("POST /v1/contracts", body)) == (422, "DocumentRefused", "tax.rate")


def test_a_later_contract_version_begins_on_any_coming_day() -> None:
    stock()
    first = call("POST /v1/contracts", CONTRACT)
    assert (first.status, first.body["version"]) == (201, 1)
    for day in ("2026-11-01", "2026-11-16"):
        answer = call("POST /v1/contracts", {**CONTRACT, "version": 2, "effective_from": day})
        assert refusal(answer) == (422, "DocumentRefused", "effective_from")
    second = call("POST /v1/contracts", {**CONTRACT, "version": 2, "effective_from": "2026-11-17"})
    assert second.status == 201
    assert call("GET /v1/customers/{id}/contracts", id="acme").body["items"] == [first.body, second.body]


def test_another_primary_meter_waits_for_the_next_billing_period() -> None:
    stock()
    call("POST /v1/contracts", CONTRACT)
    charges = [{"id": "calls", "meter": "calls", "kind": "per_unit"}]
    calls = {**PLAN, "version": 2, "model": "custom", "primary_meter": "calls", "charges": charges}
    assert call("POST /v1/plans", calls).status == 201
    changed = {**CONTRACT, "version": 2, "plan_version": 2}
    answer = call("POST /v1/contracts", {**changed, "effective_from": "2026-12-02"})
    assert refusal(answer) == (422, "DocumentRefused", "effective_from")
    assert call("POST /v1/contracts", {**changed, "effective_from": "2026-12-01"}).status == 201


def test_a_contract_answers_its_cliff_and_what_has_no_price_and_goes_on_answering_that() -> None:
    stock()
    made = call("POST /v1/contracts", CONTRACT)
    assert made.body["lint"]["cliff"] == {"charge": "output", "exact": "0.00001"}  # 10.00 / 1,000,000
    assert "openai/gpt-4o/reasoning" in made.body["lint"]["unpriced"]
    assert "openai/gpt-4o/output" not in made.body["lint"]["unpriced"]
    assert call(PUBLISH, card(2, "2026-11-17", rate("reasoning", "20.00")), id="std").status == 201
    repeated = call("POST /v1/contracts", CONTRACT)
    assert (repeated.status, repeated.body) == (200, made.body)


MIXED_UNITS = {
    "model": "custom",
    "primary_meter": "m",
    "meters": {"m": {"classes": ["input", "call"]}},
    "charges": [{"id": "m", "meter": "m", "kind": "per_unit"}],
}


@pytest.mark.parametrize(
    ("plan", "contract", "code", "field"),
    [
        ({"posture": "predictable"}, {}, "MixedStories", "posture"),
        (MIXED_UNITS, {}, "UnitsMixed", "meters.m.classes"),
        ({"currency": "EUR"}, {}, "DocumentRefused", "currency"),
        ({"currency": "USD", "controls": {"cliff_limit": "0.000009"}}, {}, "CliffAboveLimit", "cliff_limit"),
        ({}, {"posture": "predictable"}, "DocumentRefused", "posture"),
        ({}, {"override_card": "own"}, "DocumentRefused", "override_card"),
        ({}, {"cost_card": "costs"}, "DocumentRefused", "cost_card"),
        ({}, {"fx_card": "fx"}, "DocumentRefused", "fx_card"),
    ],
)
def test_what_the_lint_refuses_is_not_stored(
    plan: dict[str, Any], contract: dict[str, Any], code: str, field: str
) -> None:
    stock()
    answer = call("POST /v1/plans", {**PLAN, **plan, "version": 2})
    if answer.status == 201:
        before = table_items()
        answer = call("POST /v1/contracts", {**CONTRACT, **contract, "plan_version": 2})
        assert table_items() == before
    assert refusal(answer) == (422, code, field)


def test_a_first_contract_does_not_begin_in_a_month_that_its_entity_has_billed() -> None:
    stock()
    put_run("bp-us.2026-10.final", "sealed")
    refused = call("POST /v1/contracts", {**CONTRACT, "effective_from": "2026-10-31"})
    assert refusal(refused) == (422, "DocumentRefused", "effective_from")
    assert "2026-11-01" in refused.body["remedy"]
    agreed = {**CONTRACT, "effective_from": "2026-11-01"}
    assert call("POST /v1/contracts", agreed).status == 201
    put_run("bp-us.2026-11.final", "sealed")
    assert call("POST /v1/contracts", agreed).status == 200  # a repetition is no new contract


def test_a_contract_names_what_must_be_made_first() -> None:
    answer = call("POST /v1/contracts", CONTRACT)
    assert refusal(answer) == (422, "DocumentRefused", "customer")
    assert answer.body["value"] == "acme"


# lists


def test_lists_are_paged_by_cursor_and_limit() -> None:
    for name in ("c", "a", "b"):
        call("POST /v1/customers", {"id": name, "name": name})
    first = call("GET /v1/customers", limit="2")
    assert [item["document"]["id"] for item in first.body["items"]] == ["a", "b"]
    rest = call("GET /v1/customers", limit="2", cursor=first.body["cursor"])
    assert ([item["document"]["id"] for item in rest.body["items"]], rest.body["cursor"]) == (["c"], None)
    assert call("GET /v1/entities").body == {"items": [], "cursor": None}


@pytest.mark.parametrize("limit", ["0", "101", "-1", "", "ten", "1.0", "\N{SUPERSCRIPT TWO}", "9" * 5000])
def test_a_limit_out_of_bounds_is_refused(limit: str) -> None:
    assert refusal(call("GET /v1/customers", limit=limit)) == (422, "DocumentRefused", "limit")


# who may


@pytest.mark.parametrize("route", sorted(CALLS))
def test_a_key_of_a_customer_or_of_finance_may_not_use_the_catalogue(route: str) -> None:
    for caller in (GLOBEX, FINANCE, None, {**OPERATOR, "scopes": ""}):
        answer = call(route, CUSTOMER, caller, id="acme", version="1", key_id="0" * 12)
        assert (answer.status, answer.body["type"]) == (403, "urn:billproof:problem:Forbidden")
    assert table_items() == []


def test_a_customers_key_reads_its_own_account_and_contracts_only() -> None:
    stock()
    call("POST /v1/contracts", CONTRACT)
    own = call("GET /v1/customers/{id}/contracts", caller=ACME, id="acme")
    assert own.body["items"][0]["hash"] == content_hash(CONTRACT)
    assert call("GET /v1/customers/{id}", caller=ACME, id="acme").status == 200
    for other in ("globex", "nobody", "*"):
        assert call("GET /v1/customers/{id}", caller=ACME, id=other).status == 403
    assert call("GET /v1/customers/{id}", caller={**ACME, "scopes": "ingest"}, id="acme").status == 403


def test_what_the_lint_found_of_a_contract_is_shown_to_operators_only() -> None:
    stock()
    call("POST /v1/contracts", CONTRACT)
    [seen] = call("GET /v1/customers/{id}/contracts", id="acme").body["items"]
    assert "cliff" in seen["lint"]
    [own] = call("GET /v1/customers/{id}/contracts", caller=ACME, id="acme").body["items"]
    assert own == {name: seen[name] for name in seen if name != "lint"}


def test_an_unreachable_table_answers_503_and_when_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ReadTimeoutError

    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise ReadTimeoutError(endpoint_url="dynamodb")

    client = clients.dynamodb()
    monkeypatch.setattr(client, "_make_api_call", unreachable)
    answer = call("GET /v1/customers/{id}", id="acme")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
