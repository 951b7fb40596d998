"""The catalogue store: documents written once, read back as given, listed in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from lambdas.billing.canonical import canonical_json, content_hash
from lambdas.billing.errors import DocumentRefused, RatesOverlap
from lambdas.billing.times import to_datetime
from lambdas.store import clients
from lambdas.store.catalogue import MAX_DOCUMENT_BYTES, Catalogue
from lambdas.store.catalogue_items import Part
from lambdas.store.errors import ContentConflict, NotFound, TransientError
from lambdas.store.sealed_periods import NEVER, SealedPeriods
from tests.store.catalogue_documents import CONTRACT, CUSTOMER, ENTITY, PLAN, STANDARD, card, rate

NOW = "2026-11-16T12:00:00.000000Z"
LATER = "2026-11-17T12:00:00.000000Z"
ALL = Part(None, 100)


@pytest.fixture
def catalogue(aws: None) -> Catalogue:
    return Catalogue(clients.dynamodb(), "billproof-test-catalogue")


@pytest.fixture
def periods(aws: None) -> SealedPeriods:
    return SealedPeriods(clients.dynamodb(), "billproof-test-billing")


@pytest.fixture
def stocked(catalogue: Catalogue, periods: SealedPeriods) -> Catalogue:
    """A catalogue with everything a contract names."""
    catalogue.create_entity(ENTITY, now=NOW)
    catalogue.create_customer(CUSTOMER, now=NOW)
    catalogue.publish_plan(PLAN, now=NOW)
    catalogue.publish_rate_card("std", STANDARD, now=NOW, periods=periods)
    return catalogue


def put_run(run_id: str, status: str) -> None:
    for pk, sk in ((f"RUN#{run_id}", "RUN"), ("LIST#RUN", run_id)):
        clients.dynamodb().put_item(
            TableName="billproof-test-billing", Item={"pk": {"S": pk}, "sk": {"S": sk}, "status": {"S": status}}
        )


def table_items() -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = clients.dynamodb().scan(TableName="billproof-test-catalogue")["Items"]
    return sorted(items, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


# documents


def test_a_customer_is_stored_as_given_with_the_hash_of_its_canonical_form(catalogue: Catalogue) -> None:
    saved = catalogue.create_customer({"name": "Acme Corp.", "id": "acme"}, now=NOW)
    assert saved.created
    assert catalogue.customer("acme") == saved.stored
    assert saved.stored == (CUSTOMER, content_hash(CUSTOMER), NOW, None)


def test_a_repeated_create_keeps_the_first_time_and_changes_nothing(catalogue: Catalogue) -> None:
    first = catalogue.create_customer(CUSTOMER, now=NOW)
    before = table_items()
    again = catalogue.create_customer(CUSTOMER, now=LATER)
    assert (again.created, again.stored) == (False, first.stored)
    assert table_items() == before


def test_other_content_for_a_stored_id_is_a_conflict_that_names_the_stored_hash(catalogue: Catalogue) -> None:
    catalogue.create_customer(CUSTOMER, now=NOW)
    before = table_items()
    with pytest.raises(ContentConflict, match=content_hash(CUSTOMER)) as raised:
        catalogue.create_customer({**CUSTOMER, "name": "Acme Ltd"}, now=LATER)
    assert raised.value.stored_hash == content_hash(CUSTOMER)
    assert table_items() == before


@pytest.mark.parametrize("name", ["", "nobody", "a#b", "CUSTOMER", "\ud800", "x" * 5000, "acme\n"])
def test_what_does_not_exist_is_not_found_whatever_its_name(catalogue: Catalogue, name: str) -> None:
    reads: list[Callable[[], object]] = [
        lambda: catalogue.customer(name),
        lambda: catalogue.entity(name),
        lambda: catalogue.plan(name, 1),
        lambda: catalogue.rate_card_version(name, 1),
        lambda: catalogue.key(name),
        lambda: catalogue.revoke_key(name, now=NOW),
        lambda: catalogue.contracts_page(name, ALL),
        lambda: catalogue.plan_versions_page(name, ALL),
        lambda: catalogue.rate_card_versions_page(name, ALL),
    ]
    for read in reads:
        with pytest.raises(NotFound):
            read()
    assert catalogue.rate_card(name) == []
    assert catalogue.contracts(name) == []
    assert table_items() == []


def test_two_entities_cannot_number_their_invoices_with_one_prefix(catalogue: Catalogue) -> None:
    catalogue.create_entity(ENTITY, now=NOW)
    with pytest.raises(DocumentRefused, match="bp-us"):
        catalogue.create_entity({**ENTITY, "id": "bp-eu"}, now=NOW)
    assert catalogue.entities() == ["bp-us"]
    assert not catalogue.create_entity(ENTITY, now=LATER).created


def test_lists_are_sorted_and_paged_without_gaps(catalogue: Catalogue) -> None:
    names = ["b", "B", "a.1", "a-1", "a", "a_1", "Z", "0"]
    for name in names:
        catalogue.create_customer({"id": name, "name": name}, now=NOW)
    listed: list[str] = []
    cursor = None
    while True:
        page = catalogue.customers_page(Part(cursor, 3))
        listed += [stored.document["id"] for stored in page.items]
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.items) == 3
    assert listed == sorted(names)
    assert catalogue.customers_page(Part(None, 8)).cursor is None, "exactly full is the last page"
    assert catalogue.entities_page(ALL) == ([], None)


def test_a_cursor_that_was_never_answered_is_refused(stocked: Catalogue) -> None:
    with pytest.raises(DocumentRefused, match="cursor"):
        stocked.customers_page(Part("a#b", 3))
    for cursor in ("x", "-1", "1234567", "٣"):
        with pytest.raises(DocumentRefused, match="cursor"):
            stocked.plan_versions_page("pure", Part(cursor, 3))
    assert stocked.plan_versions_page("pure", Part("999999", 3)) == ([], None)


# plans and rate cards


def test_plan_versions_follow_each_other_without_a_gap(catalogue: Catalogue) -> None:
    with pytest.raises(DocumentRefused, match="version 1 of this plan does not exist"):
        catalogue.publish_plan({**PLAN, "version": 2}, now=NOW)
    assert catalogue.publish_plan(PLAN, now=NOW).created
    assert catalogue.publish_plan({**PLAN, "version": 2}, now=NOW).created
    page = catalogue.plan_versions_page("pure", ALL)
    assert [stored.document["version"] for stored in page.items] == [1, 2]
    assert catalogue.plan_versions_page("pure", Part(None, 1)).cursor == "1"
    assert catalogue.plan_versions_page("pure", Part("1", 1)) == ([page.items[1]], None)


def test_a_published_rate_card_version_never_changes(stocked: Catalogue, periods: SealedPeriods) -> None:
    assert not stocked.publish_rate_card("std", STANDARD, now=LATER, periods=periods).created
    before = table_items()
    with pytest.raises(ContentConflict):
        changed = card(1, "2026-10-01", rate("input", "2.51"), rate("output", "10.00"))
        stocked.publish_rate_card("std", changed, now=LATER, periods=periods)
    assert table_items() == before
    (published,) = stocked.rate_card("std")
    assert published.published_at == NOW
    assert published.document == STANDARD
    assert published.version.rates[0].tiers[0].unit_price == 2_500_000_000_000


def test_two_versions_may_not_price_the_same_from_the_same_day(stocked: Catalogue, periods: SealedPeriods) -> None:
    stocked.publish_rate_card("std", card(2, "2026-12-01", rate("input", "2.00")), now=NOW, periods=periods)
    with pytest.raises(RatesOverlap, match="versions 2 and 3"):
        stocked.publish_rate_card("std", card(3, "2026-12-01", rate("input", "1.00")), now=NOW, periods=periods)


def test_a_price_in_force_changes_from_a_coming_day_on_only(stocked: Catalogue, periods: SealedPeriods) -> None:
    for day in ("2026-11-01", "2026-11-16"):
        with pytest.raises(RatesOverlap, match="in force"):
            stocked.publish_rate_card("std", card(2, day, rate("input", "3")), now=NOW, periods=periods)
    assert stocked.publish_rate_card("std", card(2, "2026-11-17", rate("input", "3")), now=NOW, periods=periods).created


def test_a_first_price_may_be_back_dated_into_the_open_period_only(stocked: Catalogue, periods: SealedPeriods) -> None:
    stocked.agree_contract(CONTRACT, now=NOW)
    put_run("bp-us.2026-09.final", "sealed")
    put_run("bp-us.2026-10.final", "sealed")
    with pytest.raises(RatesOverlap, match="2026-11-01 or later"):
        stocked.publish_rate_card("std", card(2, "2026-10-31", rate("reasoning", "9")), now=NOW, periods=periods)
    assert stocked.publish_rate_card(
        "std", card(2, "2026-11-01", rate("reasoning", "9")), now=NOW, periods=periods
    ).created


def test_another_entitys_sealed_run_does_not_close_the_period_for_a_card_it_does_not_use(
    stocked: Catalogue, periods: SealedPeriods
) -> None:
    stocked.agree_contract(CONTRACT, now=NOW)
    put_run("bp-eu.2026-10.final", "sealed")
    assert stocked.publish_rate_card(
        "std", card(2, "2026-10-31", rate("reasoning", "9")), now=NOW, periods=periods
    ).created


def test_a_card_keeps_its_currency(stocked: Catalogue, periods: SealedPeriods) -> None:
    euro = card(2, "2026-12-01", rate("input", "2"), currency="EUR")
    with pytest.raises(DocumentRefused, match="USD"):
        stocked.publish_rate_card("std", euro, now=NOW, periods=periods)


def test_a_card_too_large_for_one_item_is_refused_by_its_size(catalogue: Catalogue, periods: SealedPeriods) -> None:
    tiers = [{"up_to": n or None, "price": "1"} for n in (*range(1, 20), 0)]
    long = [
        {"provider": "openai", "model": f"m{n}", "class": "input", "per": 1_000_000, "tiers": tiers}
        for n in range(1000)
    ]
    with pytest.raises(DocumentRefused, match=str(MAX_DOCUMENT_BYTES)):
        catalogue.publish_rate_card("std", card(1, "2026-10-01", *long), now=NOW, periods=periods)
    assert table_items() == []


def test_a_page_of_large_cards_ends_before_an_answer_is_too_large(
    catalogue: Catalogue, periods: SealedPeriods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambdas.store.catalogue.MAX_PAGE_BYTES", 400)
    for version in (1, 2, 3):
        document = card(version, f"2027-0{version}-01", rate("input", str(version)))
        catalogue.publish_rate_card("std", document, now=NOW, periods=periods)
    first = catalogue.rate_card_versions_page("std", ALL)
    assert (len(first.items), first.cursor) == (2, "2")
    rest = catalogue.rate_card_versions_page("std", Part("2", 100))
    assert (len(rest.items), rest.cursor) == (1, None)


def test_a_page_counts_bytes_and_what_the_lint_found(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters of three bytes, and notes: three plans are above the page, though their letters are not."""
    plans = [{**PLAN, "id": "wide", "version": n, "name": "\u682a" * 200} for n in (1, 2, 3)]
    letters = len(canonical_json(plans[0]))
    for document in plans:
        catalogue.publish_plan(document, now=NOW)
    monkeypatch.setattr("lambdas.store.catalogue.MAX_PAGE_BYTES", 3 * letters)
    assert len(catalogue.plan_versions_page("wide", ALL).items) < 3


@pytest.mark.parametrize(
    ("runs", "open_since"),
    [
        ({}, NEVER),
        ({"bp.2026-10.final": "open", "bp.2026-09.final": "incomplete"}, NEVER),
        ({"bp.2026-10.shadow": "sealed"}, NEVER),
        ({"bp.2026-10.final": "incomplete", "bp.2026-09.final": "sealed"}, "2026-10-01T00:00:00.000000Z"),
        ({"a.b-c.2026-12.final": "sealed", "bp.2026-11.final": "sealed"}, "2027-01-01T00:00:00.000000Z"),
        ({"other.2026-12.final": "sealed", "bp.2026-11.final": "sealed"}, "2026-12-01T00:00:00.000000Z"),
        ({"bp.2026-11.final": "incomplete", "bp.2026-12.final": "sealed"}, "2026-11-01T00:00:00.000000Z"),
        ({"bp.2026-11.final": "sealed", "a.b-c.2026-11.final": "open"}, "2026-11-01T00:00:00.000000Z"),
        ({"bp.2026-10.final": "sealed", "bp.2026-12.final": "incomplete"}, "2026-11-01T00:00:00.000000Z"),
    ],
)
def test_periods_are_open_after_the_latest_sealed_final_run_and_while_an_older_one_waits(
    periods: SealedPeriods, runs: dict[str, str], open_since: str
) -> None:
    for run_id, status in runs.items():
        put_run(run_id, status)
    assert periods.open_since(["bp", "a.b-c"]) == open_since


# contracts


def test_a_contract_makes_its_customer_an_account_of_the_entity(stocked: Catalogue) -> None:
    assert stocked.agree_contract(CONTRACT, now=NOW).created
    assert not stocked.agree_contract(CONTRACT, now=LATER).created
    (agreed,) = stocked.contracts("acme")
    assert (agreed.document, agreed.hash, agreed.created_at) == (CONTRACT, content_hash(CONTRACT), NOW)
    assert agreed.contract.tax_rate == "0.19"
    assert stocked.accounts("bp-us") == ["acme"]
    assert stocked.accounts("bp-eu") == []


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"customer": "nobody"}, "create this customer first"),
        ({"entity": "nobody"}, "create this issuing entity first"),
        ({"plan_version": 2}, "publish this plan version first"),
        ({"plan": "flat"}, "publish this plan version first"),
        ({"rate_card": "gold"}, "publish a version of this rate card first"),
        ({"currency": "EUR"}, "rate card std is in USD"),
        ({"version": 2}, "the first contract version"),
    ],
)
def test_a_contract_names_only_what_exists(stocked: Catalogue, change: dict[str, Any], remedy: str) -> None:
    before = table_items()
    with pytest.raises(DocumentRefused, match=remedy):
        stocked.agree_contract({**CONTRACT, **change}, now=NOW)
    assert table_items() == before


def test_every_card_that_a_contract_names_must_exist_and_counts_the_entity_as_a_user(
    stocked: Catalogue, periods: SealedPeriods
) -> None:
    cards = {"override_card": "own", "cost_card": "costs", "fx_card": "fx"}
    quote = {"foreign": "JPY", "price": "0.0066", "source": "fx-2026-10-01"}
    documents = {
        "own": card(1, "2026-10-01", rate("input", "2.00")),
        "costs": card(1, "2026-10-01", rate("input", "300"), currency="JPY"),
        "fx": {"version": 1, "currency": "USD", "effective_from": "2026-10-01", "fx": [quote]},
    }
    for field, name in cards.items():
        with pytest.raises(DocumentRefused, match="publish a version of this rate card first") as refusal:
            stocked.agree_contract({**CONTRACT, **cards}, now=NOW)
        assert refusal.value.field == field
        stocked.publish_rate_card(name, documents[name], now=NOW, periods=periods)
    assert stocked.agree_contract({**CONTRACT, **cards}, now=NOW).created
    put_run("bp-us.2026-10.final", "sealed")
    for name, entry in (("own", rate("output", "9")), ("costs", rate("output", "900"))):
        currency = documents[name]["currency"]
        with pytest.raises(RatesOverlap, match="2026-11-01 or later"):
            stocked.publish_rate_card(name, card(2, "2026-10-31", entry, currency=currency), now=NOW, periods=periods)


@pytest.mark.parametrize("field", ["override_card", "fx_card"])
def test_prices_are_in_the_contracts_currency(stocked: Catalogue, periods: SealedPeriods, field: str) -> None:
    quote = {"foreign": "USD", "price": "0.9", "source": "fx-2026-10-01"}
    euro = card(1, "2026-10-01", rate("input", "2.00"), currency="EUR")
    stocked.publish_rate_card("euro", {**euro, "fx": [quote]}, now=NOW, periods=periods)
    with pytest.raises(DocumentRefused, match="rate card euro is in EUR"):
        stocked.agree_contract({**CONTRACT, field: "euro"}, now=NOW)


def test_what_the_lint_found_is_stored_with_the_contract(stocked: Catalogue, periods: SealedPeriods) -> None:
    agreed = stocked.agree_contract(CONTRACT, now=NOW).stored
    assert agreed.lint is not None
    assert agreed.lint["cliff"] == {"charge": "output", "exact": "0.00001"}  # 10.00 / 1,000,000
    assert "openai/gpt-4o/reasoning" in agreed.lint["unpriced"]
    stocked.publish_rate_card("std", card(2, "2026-11-17", rate("reasoning", "20")), now=NOW, periods=periods)
    assert stocked.agree_contract(CONTRACT, now=LATER).stored == agreed


def test_a_lint_lists_a_hundred_classes_without_a_price_and_counts_the_rest(
    stocked: Catalogue, periods: SealedPeriods
) -> None:
    many = [rate("input", "2", model=f"m{n}") for n in range(20)]
    stocked.publish_rate_card("many", card(1, "2026-10-01", *many), now=NOW, periods=periods)
    lint = stocked.agree_contract({**CONTRACT, "rate_card": "many"}, now=NOW).stored.lint
    assert lint is not None
    assert len(lint["unpriced"]) == 100
    assert lint["notes"] == [f"{20 * 11 - 100} more without a price"]  # 12 token classes, one of them has a price


def test_contract_versions_are_listed_beside_a_customer_without_mixing(stocked: Catalogue) -> None:
    assert stocked.contracts_page("acme", ALL) == ([], None)
    stocked.agree_contract(CONTRACT, now=NOW)
    stocked.agree_contract({**CONTRACT, "version": 2, "effective_from": "2026-12-01"}, now=NOW)
    page = stocked.contracts_page("acme", Part(None, 1))
    assert ([s.document["version"] for s in page.items], page.cursor) == ([1], "1")
    page = stocked.contracts_page("acme", Part("1", 1))
    assert ([s.document["version"] for s in page.items], page.cursor) == ([2], None)
    with pytest.raises(ContentConflict):
        stocked.agree_contract({**CONTRACT, "version": 2, "effective_from": "2027-01-01"}, now=NOW)


# races and faults


def race(*calls: Callable[[], object]) -> list[object]:
    """The result or the error of each call, all started together."""
    results: list[object] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(position: int) -> None:
        gate.wait()
        try:
            results[position] = calls[position]()
        except Exception as error:
            results[position] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("attempt", range(5))
def test_of_racing_publications_of_one_version_exactly_one_wins(
    stocked: Catalogue, periods: SealedPeriods, attempt: int
) -> None:
    def publish(price: str) -> Callable[[], object]:
        document = card(2, "2026-12-01", rate("input", price))
        return lambda: stocked.publish_rate_card("std", document, now=NOW, periods=periods)

    results = race(*(publish(str(price)) for price in range(1, 5)))
    assert sum(isinstance(result, ContentConflict) for result in results) == 3
    (won,) = [result for result in results if not isinstance(result, Exception)]
    assert won.created  # type: ignore[attr-defined]
    assert len(stocked.rate_card("std")) == 2


def test_of_racing_entities_with_one_prefix_exactly_one_wins(catalogue: Catalogue) -> None:
    def create(name: str) -> Callable[[], object]:
        return lambda: catalogue.create_entity({**ENTITY, "id": name}, now=NOW)

    results = race(*(create(f"bp-{n}") for n in range(4)))
    assert sum(isinstance(result, DocumentRefused | TransientError) for result in results) == 3
    assert len(catalogue.entities()) == 1


def test_racing_first_contracts_with_two_entities_leave_one_account(stocked: Catalogue) -> None:
    stocked.create_entity({**ENTITY, "id": "bp-eu", "invoice_prefix": "BE"}, now=NOW)

    def agree(entity: str) -> Callable[[], object]:
        return lambda: stocked.agree_contract({**CONTRACT, "entity": entity}, now=NOW)

    results = race(agree("bp-us"), agree("bp-eu"))
    assert sum(isinstance(result, ContentConflict) for result in results) == 1
    assert stocked.accounts("bp-us") + stocked.accounts("bp-eu") == ["acme"]


class Wire:
    """The client of the test, where a transaction's answer can be lost after or before it is applied."""

    def __init__(self, client: Any, lose: str) -> None:
        self._client = client
        self._lose = lose

    def _make_api_call(self, operation: str, arguments: Any) -> Any:
        if operation == "TransactWriteItems" and self._lose:
            lose, self._lose = self._lose, ""
            if lose == "answer":
                self._client._make_api_call(operation, arguments)
            raise ReadTimeoutError(endpoint_url="dynamodb")
        return self._client._make_api_call(operation, arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.mark.parametrize("lose", ["answer", "request"])
def test_a_lost_transaction_may_be_repeated(aws: None, lose: str) -> None:
    catalogue = Catalogue(Wire(clients.dynamodb(), lose), "billproof-test-catalogue")  # type: ignore[arg-type]
    if lose == "answer":
        assert catalogue.create_customer(CUSTOMER, now=NOW).stored.document == CUSTOMER
    else:
        with pytest.raises(TransientError):
            catalogue.create_customer(CUSTOMER, now=NOW)
        assert table_items() == []
    assert catalogue.create_customer(CUSTOMER, now=LATER).created == (lose == "request")
    assert len(table_items()) == 2


def test_a_key_whose_answer_was_lost_is_still_that_key(aws: None) -> None:
    catalogue = Catalogue(Wire(clients.dynamodb(), "answer"), "billproof-test-catalogue")  # type: ignore[arg-type]
    made = catalogue.create_key(
        key_id="0" * 12, name="gw", customer="*", scopes=("ingest",), secret_hash="a" * 64, now=NOW
    )
    assert catalogue.key("0" * 12) == made


@pytest.mark.parametrize(
    ("codes", "raised"),
    [
        (["TransactionConflict", "None"], TransientError),
        (["None", "ThrottlingError"], TransientError),
        (["ConditionalCheckFailed", "None"], TransientError),
        (["ValidationError", "None"], ClientError),
    ],
)
def test_a_cancelled_write_with_nothing_stored_is_transient_unless_it_is_invalid(
    aws: None, codes: list[str], raised: type[Exception]
) -> None:
    class Cancelled(Wire):
        def _make_api_call(self, operation: str, arguments: Any) -> Any:
            if operation != "TransactWriteItems":
                return super()._make_api_call(operation, arguments)
            response: Any = {
                "Error": {"Code": "TransactionCanceledException", "Message": str(codes)},
                "CancellationReasons": [{"Code": code} for code in codes],
            }
            raise ClientError(response, operation)

    catalogue = Catalogue(Cancelled(clients.dynamodb(), ""), "billproof-test-catalogue")  # type: ignore[arg-type]
    with pytest.raises(raised):
        catalogue.create_customer(CUSTOMER, now=NOW)


def test_unreachable_tables_are_transient(aws: None) -> None:
    class Down(Wire):
        def _make_api_call(self, operation: str, arguments: Any) -> Any:
            raise ReadTimeoutError(endpoint_url="dynamodb")

    catalogue = Catalogue(Down(clients.dynamodb(), ""), "billproof-test-catalogue")  # type: ignore[arg-type]
    for read in (
        lambda: catalogue.customer("acme"),
        lambda: catalogue.rate_card("std"),
        catalogue.entities,
        lambda: catalogue.revoke_key("0" * 12, now=NOW),
    ):
        with pytest.raises(TransientError):
            read()


def test_times_are_those_told(stocked: Catalogue) -> None:
    assert to_datetime(stocked.rate_card("std")[0].published_at) == to_datetime(NOW)
    for item in table_items():
        assert item.get("created_at", {"S": NOW})["S"] == NOW
