"""Which events of an account are parked: named in its error, and listed page by page from what the run recorded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.handlers import billing_runs, parked_events, stores
from lambdas.handlers.rate_shard import MAX_FIRST_PARKED
from lambdas.handlers.run_records import block_entries
from lambdas.handlers.runtime import set_clock
from lambdas.store.evidence import Evidence
from tests.handlers.http_calls import FINANCE, OPERATOR, Answer, call, customer_key
from tests.handlers.months import (
    GATEWAY,
    RUN_ID,
    account_of,
    execute,
    open_run_item,
    publish,
    set_up,
    step_freeze,
    step_open,
    step_rate,
    use,
    use_all,
)
from tests.store.catalogue_documents import card, rate

pytestmark = pytest.mark.usefixtures("aws")
LATER = "2026-12-02T00:00:00.000000Z"


@pytest.fixture(autouse=True)
def december() -> None:
    set_clock(lambda: datetime(2026, 12, 2, tzinfo=UTC))


def parked(caller: Mapping[str, str] = OPERATOR, /, *, run_id: str = RUN_ID, **query: str) -> Answer:
    asked = {"customer": "acme", "id_": run_id, **query}
    return call(billing_runs.handler, "GET /v1/billing-runs/{id}/parked", caller, **asked)


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [event["id"] for event in answer.body["items"]]


def all_pages(**query: str) -> list[list[str]]:
    pages, answer = [], parked(**query)
    while True:
        pages.append(ids(answer))
        if answer.body["cursor"] is None:
            return pages
        answer = parked(cursor=answer.body["cursor"], **query)


def minute(n: int) -> str:
    return f"2026-11-20T{n // 60:02d}:{n % 60:02d}:00Z"


# the error


def error_of(customer: str = "acme") -> str:
    error = account_of(customer).error
    assert error is not None
    assert error["code"] == "AccountParked"
    return error["detail"]


def test_the_error_says_what_to_do_and_names_reason_and_event() -> None:
    set_up("acme")
    use("acme", "new", "2026-11-20T11:00:00Z", model="gpt-9", output=3)
    open_run_item()
    execute()
    assert error_of() == (
        "parked events of acme = 1: publish a first price for them and resume the run; "
        "GET /v1/billing-runs/bp-us.2026-11.final/parked?customer=acme lists them. "
        "rate card std has no price for openai/gpt-9 output on 2026-11-20 "
        "(1 event: //gateway/eu-1 new at 2026-11-20T11:00:00.000000Z)"
    )


@pytest.mark.parametrize("events", [MAX_FIRST_PARKED, MAX_FIRST_PARKED + 1])
@pytest.mark.parametrize("shard_events", [1, 100])
def test_the_first_events_of_a_reason_are_named_over_all_shards(events: int, shard_events: int) -> None:
    set_up("acme")
    use_all("acme", [(f"e{n}", minute(n), {"output": 1}) for n in reversed(range(events))], model="gpt-9")
    open_run_item()
    execute(shard_events=shard_events)
    named = ", ".join(f"//gateway/eu-1 e{n} at 2026-11-20T00:{n:02d}:00.000000Z" for n in range(MAX_FIRST_PARKED))
    more = "first " if events > MAX_FIRST_PARKED else ""
    assert f"({events} events: {more}{named})" in error_of()


def test_the_reasons_with_most_events_come_first_and_the_rest_is_counted() -> None:
    set_up("acme")
    for n in range(7):
        use_all("acme", [(f"m{n}-{k}", minute(10 * n + k), {"output": 1}) for k in range(n + 1)], model=f"m{n}")
    open_run_item()
    execute()
    detail = error_of()
    assert [detail.find(f"openai/m{n} output") > 0 for n in range(7)] == [False, False, True, True, True, True, True]
    assert detail.index("openai/m6") < detail.index("openai/m5") < detail.index("openai/m2")
    assert detail.endswith("; and 2 more reasons")


def test_a_long_or_strange_name_is_cut_and_escaped() -> None:
    set_up("acme")
    use("acme", "é" + "x" * 200, "2026-11-20T11:00:00Z", model="gpt-9", output=3)
    open_run_item()
    execute()
    detail = error_of()
    assert detail.isascii()
    assert "\\xe9" + "x" * 53 + "... at" in detail  # 60 characters
    [listed] = parked().body["items"]
    assert listed["id"] == "é" + "x" * 200


# the list


def test_a_parked_event_is_listed_with_class_reason_and_evidence() -> None:
    set_up("acme")
    use("acme", "known", "2026-11-20T10:00:00Z", input=1)
    use("acme", "new", "2026-11-20T11:00:00Z", model="gpt-9", output=3)
    use("acme", "half", "2026-11-20T12:00:00Z", input=7, video=2)
    open_run_item()
    execute()

    answer = parked()

    assert answer.status == 200
    assert answer.body == {
        "run_id": RUN_ID,
        "customer": "acme",
        "status": "failed",
        "freeze": 1,
        "items": [
            {
                "time": "2026-11-20T11:00:00.000000Z",
                "source": GATEWAY,
                "id": "new",
                "revision": 0,
                "provider": "openai",
                "model": "gpt-9",
                "service_tier": "standard",
                "class": "output",
                "reason": "no_price",
                "detail": "rate card std has no price for openai/gpt-9 output on 2026-11-20",
                "quantities": {"output": 3},
                "evidence": {"file": "excluded/00001.jsonl", "row": 1},
            },
            {
                "time": "2026-11-20T12:00:00.000000Z",
                "source": GATEWAY,
                "id": "half",
                "revision": 0,
                "provider": "openai",
                "model": "gpt-4o",
                "service_tier": "standard",
                "class": "video",
                "reason": "unknown_class",
                "detail": "class video is not known",
                "quantities": {"input": 7, "video": 2},
                "evidence": {"file": "excluded/00001.jsonl", "row": 2},
            },
        ],
        "cursor": None,
    }


def test_a_class_that_has_a_price_for_long_prompts_only_is_named_for_the_others() -> None:
    set_up("acme")
    publish(card(2, "2026-11-01", rate("input", "1", model="gpt-9"),
                 {**rate("output", "2", model="gpt-9"), "prompt_above": 1000}), now=LATER)  # fmt: skip
    for prompt in (1000, 1001):
        use("acme", f"p{prompt}", minute(prompt - 1000), model="gpt-9", input=prompt, output=1)
    open_run_item()
    execute(now=LATER)
    [event] = parked().body["items"]
    assert (event["id"], event["class"], event["reason"]) == ("p1000", "output", "no_price")


def test_usage_before_the_contract_is_excluded_but_not_listed() -> None:
    set_up("acme", effective_from="2026-11-10", parked_usage="exclude")
    use("acme", "early", "2026-11-09T23:59:59Z", model="gpt-9", input=1)
    use("acme", "parked", "2026-11-10T00:00:00Z", model="gpt-9", input=1)
    open_run_item()
    execute()
    assert ids(parked()) == ["parked"]
    assert parked().body["items"][0]["evidence"] == {"file": "excluded/00001.jsonl", "row": 2}


@pytest.mark.parametrize(("limit", "sizes"), [("1", [1, 1, 1, 1]), ("3", [3, 1]), ("4", [4]), ("5", [4])])
def test_pages_follow_each_other_without_gap_or_repetition(limit: str, sizes: list[int]) -> None:
    set_up("acme")
    use_all("acme", [(f"e{n}", minute(n), {"output": 1}) for n in range(4)], model="gpt-9")
    use("acme", "known", minute(2), input=1)
    open_run_item()
    execute(block_rows=2, shard_events=3)
    pages = all_pages(limit=limit)
    assert [len(page) for page in pages] == sizes
    assert [event_id for page in pages for event_id in page] == ["e0", "e1", "e2", "e3"]


def test_a_page_reads_a_bounded_number_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks in which nothing is excluded cost nothing; those that hold other exclusions only make an empty page."""
    monkeypatch.setattr(parked_events, "MAX_BLOCKS_READ", 2)
    set_up("acme", effective_from="2026-11-20", parked_usage="exclude")
    use_all("acme", [(f"early{n}", f"2026-11-0{n + 1}T00:00:00Z", {"input": 1}) for n in range(3)])
    use_all("acme", [(f"known{n}", minute(n), {"input": 1}) for n in range(5)])
    use("acme", "parked", minute(9), model="gpt-9", input=1)
    open_run_item()
    execute(block_rows=1)
    read: list[str] = []
    get_lines = Evidence.get_lines

    def counted(evidence: Evidence, key: str) -> bytes:
        read.append(key)
        return get_lines(evidence, key)

    monkeypatch.setattr(Evidence, "get_lines", counted)

    first = parked()

    assert (ids(first), first.body["cursor"]) == ([], "3.1")
    assert len(read) == 2
    assert ids(parked(cursor="3.1")) == ["parked"]


def test_the_list_is_that_of_the_last_freeze() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-20T10:00:00Z", model="gpt-8", input=1)
    use("acme", "b", "2026-11-20T11:00:00Z", model="gpt-9", input=1)
    open_run_item()
    execute()
    publish(card(2, "2026-11-01", rate("input", "1.00", model="gpt-8")), now=LATER)
    execute(execution="two", now="2026-12-02T01:00:00.000000Z")
    answer = parked()
    assert (answer.body["freeze"], ids(answer)) == (2, ["b"])


def test_before_a_freeze_is_rated_there_is_no_list() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-20T10:00:00Z", model="gpt-9", input=1)
    open_run_item()
    step_open()
    assert (parked().status, "frozen usage of account acme" in parked().body["detail"]) == (404, True)
    step_freeze(RUN_ID, "acme")
    assert (parked().status, "complete rating of account acme" in parked().body["detail"]) == (404, True)
    step_rate(RUN_ID, "acme", 1, 1)
    assert ids(parked()) == ["a"]


def test_an_account_without_parked_events_lists_none() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-20T10:00:00Z", input=1)
    open_run_item()
    execute()
    assert (ids(parked()), parked().body["status"]) == ([], "bundled")


def test_a_block_that_was_changed_is_not_listed() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-20T10:00:00Z", model="gpt-9", input=1)
    open_run_item()
    execute()
    frozen = stores.evidence().get_json(f"runs/{RUN_ID}/acme/frozen-1.json")
    [entry] = block_entries(stores.evidence(), frozen)
    changed: dict[str, Any] = {**entry.facts, "sha256": {**entry.facts["sha256"], "excluded": "0" * 64}}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Exception, match="its SHA-256 was recorded as 0000"):
        patch.setattr(parked_events, "block_entries", lambda *_: iter([entry._replace(facts=changed)]))
        parked()


# who may ask, and for what


def test_only_sellers_may_list() -> None:
    set_up("acme")
    open_run_item()
    execute()
    assert parked(FINANCE).status == 200
    assert parked(customer_key("acme")).status == 403
    assert parked({**customer_key("acme"), "scopes": "ingest"}).status == 403


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ({"customer": ""}, 422, "give ?customer=..."),
        ({"customer": "\u00e9" * 256}, 422, "the id of a customer"),
        ({"customer": "nobody"}, 404, "account of the run nobody does not exist"),
        ({"run_id": "bp-us.2026-10.final"}, 404, "billing run bp-us.2026-10.final does not exist"),
        ({"cursor": "1"}, 422, "cursor = 1"),
        ({"cursor": "1.2.3"}, 422, "a whole number from 1"),
        ({"cursor": "0.1"}, 422, "a whole number from 1"),
        ({"limit": "101"}, 422, "limit = 101"),
    ],
)
def test_what_cannot_be_listed_is_refused_with_the_reason(query: dict[str, str], status: int, detail: str) -> None:
    set_up("acme")
    open_run_item()
    execute()
    answer = parked(**query)
    assert (answer.status, detail in answer.body["detail"]) == (status, True), answer.body


def test_a_cursor_beyond_the_last_event_answers_none() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-20T10:00:00Z", model="gpt-9", input=1)
    open_run_item()
    execute()
    assert ids(parked(cursor="9.1")) == ids(parked(cursor="1.2")) == []
