"""Reading invoices: lists, documents, links to bundles, and who may see what."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lambdas.handlers import read_invoices, stores
from lambdas.handlers.runtime import set_clock
from tests.handlers.http_calls import FINANCE, OPERATOR, Answer, call, customer_key
from tests.handlers.months import (
    RUN_ID,
    account_of,
    execute,
    invoice_of,
    open_run_item,
    set_up,
    step_draft,
    step_freeze,
    step_issue,
    step_open,
    step_rate,
    use,
)

pytestmark = pytest.mark.usefixtures("aws")
ACME, BETA = customer_key("acme"), customer_key("beta")


def two_months() -> None:
    """October and November for acme (1 and 3) and beta (2 and 4)."""
    set_up("acme", "beta")
    for period in ("2026-10", "2026-11"):
        for customer in ("acme", "beta"):
            use(customer, period, f"{period}-20T10:00:00Z", input=1_000_000)
        run_id = open_run_item(period)
        assert execute(run_id)["status"] == "sealed"
    set_clock(lambda: datetime(2026, 12, 5, tzinfo=UTC))


def listed(caller: dict[str, str], **parameters: str) -> Answer:
    return call(read_invoices.handler, "GET /v1/invoices", caller, **parameters)


def numbers(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["number"].removeprefix("BP-2026-00000") for item in answer.body["items"]]


def get(number: str, caller: dict[str, str] = FINANCE) -> Answer:
    return call(read_invoices.handler, "GET /v1/invoices/{number}", caller, number=number)


def get_bundle(number: str, caller: dict[str, str] = FINANCE) -> Answer:
    return call(read_invoices.handler, "GET /v1/invoices/{number}/bundle", caller, number=number)


def test_finance_lists_a_series_from_its_last_number_down() -> None:
    two_months()
    assert numbers(listed(FINANCE, entity="bp-us")) == ["4", "3", "2", "1"]
    first = listed(FINANCE, entity="bp-us", year="2026", limit="3")
    assert numbers(first) == ["4", "3", "2"]
    rest = listed(FINANCE, entity="bp-us", year="2026", limit="3", cursor=first.body["cursor"])
    assert numbers(rest) == ["1"]
    assert rest.body["cursor"] is None
    assert numbers(listed(FINANCE, entity="bp-us", year="2025")) == []
    assert numbers(listed(FINANCE, entity="nobody")) == []


def test_a_customer_lists_its_own_invoices_latest_first() -> None:
    two_months()
    assert numbers(listed(ACME)) == numbers(listed(ACME, customer="acme")) == ["3", "1"]
    assert numbers(listed(FINANCE, customer="beta")) == ["4", "2"]
    first = listed(ACME, limit="1")
    assert numbers(first) == ["3"]
    assert numbers(listed(ACME, limit="1", cursor=first.body["cursor"])) == ["1"]


def test_a_list_of_another_customer_or_of_all_is_not_for_a_customer() -> None:
    two_months()
    assert listed(ACME, customer="beta").status == 403
    assert listed(ACME, entity="bp-us").status == 403
    assert listed(customer_key("acme", "finance"), entity="bp-us").status == 403
    assert listed(OPERATOR, entity="bp-us").status == 403
    assert listed(FINANCE).status == 422
    assert listed(FINANCE, entity="bp-us", customer="acme").status == 422
    assert listed(FINANCE, entity="bp-us", cursor="x").status == 422
    assert listed(FINANCE, entity="bp-us", year="last").status == 422


def test_an_invoice_is_its_document_and_state() -> None:
    two_months()
    answer = get("BP-2026-000003", ACME)

    assert answer.status == 200
    assert answer.body["document"] == invoice_of("acme")
    assert answer.body["state"] == "bundled"
    bundle = stores.evidence().get("bundles/BP-2026-000003.zip")
    assert answer.body["bundle"] == {
        "sha256": hashlib.sha256(bundle).hexdigest(),
        "manifest_sha256": account_of("acme").manifest_sha256,
        "merkle_root": stores.billing().invoice("BP-2026-000003").merkle_root,
    }


def test_another_customers_invoice_does_not_exist() -> None:
    two_months()
    unknown = get("BP-2026-000099", BETA)
    assert unknown.status == 404
    for ask in (get, get_bundle):
        answer = ask("BP-2026-000003", BETA)
        assert answer.status == 404
        assert answer.body["detail"] == unknown.body["detail"].replace("99", "03")
    assert get("BP-2026-000003", customer_key("acme", "ingest")).status == 403
    assert get("ü" * 3000).status == get("").status == 404


def test_the_bundle_is_a_link_for_five_minutes_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    two_months()
    answer = get_bundle("BP-2026-000003", ACME)

    assert answer.status == 200
    url = urlsplit(answer.body["url"])
    assert url.path.endswith("/bundles/BP-2026-000003.zip")
    assert parse_qs(url.query)["X-Amz-Expires"] == ["300"]
    assert parse_qs(url.query)["response-content-disposition"] == ['attachment; filename="BP-2026-000003.zip"']
    assert answer.body["expires_at"] == "2026-12-05T00:05:00.000000Z"
    assert answer.body["sha256"] == stores.billing().invoice("BP-2026-000003").bundle_sha256
    [record] = [record for record in caplog.records if record.message == "bundle link given"]
    assert {name: vars(record)[name] for name in ("invoice", "customer", "key_id")} == {
        "invoice": "BP-2026-000003",
        "customer": "acme",
        "key_id": ACME["key_id"],
    }
    assert all("X-Amz" not in str(vars(record)) for record in caplog.records)


def test_an_invoice_without_its_bundle_yet_has_its_document_but_no_link() -> None:
    issued_only()
    answer = get("BP-2026-000001")

    assert (answer.body["state"], answer.body["bundle"]) == ("issued", None)
    assert answer.body["document"]["total"] == "2.50"
    assert get_bundle("BP-2026-000001").status == 404


def issued_only() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-20T10:00:00Z", input=1_000_000)
    open_run_item()
    step_open()
    plan: dict[str, Any] = step_freeze(RUN_ID, "acme")
    step_rate(RUN_ID, "acme", plan["freeze"], 1)
    step_draft(RUN_ID, "acme")
    step_issue()


def test_an_invoice_of_many_lines_is_read_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_invoices, "MAX_LINES", 1)
    set_up("acme")
    use("acme", "a", "2026-11-16T10:00:00Z", input=1, output=1)
    open_run_item()
    assert execute()["status"] == "sealed"
    number = account_of("acme").number
    whole = stores.evidence().get_json(f"runs/{RUN_ID}/acme/invoice.json")["lines"]
    assert len(whole) == 2
    read, first = [], "1"
    while first != "None":
        answer = call(read_invoices.handler, "GET /v1/invoices/{number}", FINANCE, number=number, from_line=first).body
        read += answer["document"]["lines"]
        first = str(answer["next_line"])
    assert read == whole
    refused = call(read_invoices.handler, "GET /v1/invoices/{number}", FINANCE, number=number, from_line="0")
    assert (refused.status, refused.body["field"]) == (422, "from_line")


@pytest.mark.parametrize(
    ("first", "lines", "following"), [(1, [1, 2], 3), (3, [3, 4], 5), (4, [4, 5], None), (6, [], None)]
)
def test_a_part_ends_where_the_next_begins(
    monkeypatch: pytest.MonkeyPatch, first: int, lines: list[int], following: int | None
) -> None:
    monkeypatch.setattr(read_invoices, "MAX_LINES", 2)
    page = read_invoices.lines_page({"lines": [1, 2, 3, 4, 5]}, first)
    assert (page["document"]["lines"], page["next_line"]) == (lines, following)
