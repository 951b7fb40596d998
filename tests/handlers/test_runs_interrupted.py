"""A billing run that dies after any single write, or loses the answer of one, ends in the same state when repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from lambdas.handlers import stores
from lambdas.store import clients
from tests.handlers.months import (
    START,
    agree,
    everything_stored,
    execute,
    invoice_of,
    open_run_item,
    publish,
    set_up,
    use,
)
from tests.store.catalogue_documents import PLAN, card, rate

pytestmark = [pytest.mark.usefixtures("aws"), pytest.mark.long]
WRITES = ("transact_write_items", "update_item", "put_item", "put_object")
BACK_DATED = card(2, "2026-11-01", rate("input", "1.00", model="gpt-9"))


class Died(BaseException):
    """The process is gone: nothing after the write runs."""


TEAM = {
    **PLAN,
    "id": "team",
    "model": "custom",
    "primary_meter": "input",
    "charges": [
        {"id": "base", "kind": "flat", "timing": "advance"},
        {"id": "input", "meter": "input", "kind": "graduated", "prices": "charge", "included": 1_000_000},
    ],
}
TEAM_PRICES = card(
    1,
    "2026-10-01",
    {"charge": "base", "per": 1, "price": "99.00"},
    {"charge": "input", "per": 1_000_000, "tiers": [{"up_to": 500_000, "price": "3"}, {"up_to": None, "price": "2"}]},
)


@pytest.fixture(autouse=True)
def few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambdas.billing.invoice.MAX_LINES", 5)


def world() -> None:
    """Delta is measured before it is rated, has a fee in advance, and more lines than may be split."""
    set_up("acme", "beta", "gamma", tax="0.19")
    catalogue = stores.catalogue()
    catalogue.publish_plan(TEAM, now=START)
    catalogue.publish_rate_card("team", TEAM_PRICES, now=START, periods=stores.sealed_periods())
    catalogue.create_customer({"id": "delta", "name": "Delta"}, now=START)
    agree("delta", effective_from="2026-11-01", plan="team", rate_card="team", split_by="project")
    for n in range(4):
        use("delta", f"d{n}", f"2026-11-1{n}T10:00:00Z", attributes={"project": f"p{n}"}, input=600_000)
    use("acme", "a", "2026-11-16T18:15:46.680590Z", input=22_361_870, output=4_088_665)
    use("beta", "known", "2026-11-20T10:00:00Z", input=1_000_000)
    use("beta", "parked", "2026-11-20T11:00:00Z", model="gpt-9", input=3)
    open_run_item()


def work(done: list[str]) -> dict[str, Any]:
    """The first execution leaves beta and delta failed; a price is published; the second finishes, with delta's lines
    whole. What is in `done` is not done again, as a state machine does not go back."""
    if "one" not in done:
        execute(execution="one")
        done.append("one")
    publish(BACK_DATED, now="2026-12-02T00:00:00.000000Z")
    return execute(execution="two", now="2026-12-02T01:00:00.000000Z")


@contextmanager
def writes(after: Callable[[int], None]) -> Iterator[None]:
    """Calls `after` with the number of each write of DynamoDB and S3, once it has been done."""
    done = 0

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            nonlocal done
            answer = method(**arguments)
            done += 1
            after(done)
            return answer

        return call

    with pytest.MonkeyPatch.context() as patch:
        for client in (clients.dynamodb(), clients.s3()):
            for name in WRITES:
                if hasattr(client, name):
                    patch.setattr(client, name, watched(getattr(client, name)))
        yield


def final_state() -> dict[str, Any]:
    """All that is stored, without the ids of object versions; an object has one version."""
    stored = everything_stored()
    names = [name.rpartition(" ")[0] if name.startswith("s3 ") else name for name in stored]
    assert len(set(names)) == len(names)
    return dict(zip(names, stored.values(), strict=True))


@pytest.fixture
def expected() -> tuple[dict[str, Any], int]:
    """The final state of runs that nothing disturbs, and how many writes they make."""
    total = 0

    def remember(number: int) -> None:
        nonlocal total
        total = number

    world()
    with writes(remember):
        assert work([])["status"] == "sealed"
    assert invoice_of("delta")["unsplit"]
    return final_state(), total


def test_dying_after_any_single_write_changes_nothing_in_the_end(expected: tuple[dict[str, Any], int]) -> None:
    state, total = expected
    for fatal in range(1, total + 1):
        start_over()

        def die(number: int, fatal: int = fatal) -> None:
            if number == fatal:
                raise Died

        done: list[str] = []
        with pytest.raises(Died), writes(die):
            work(done)
        assert work(done)["status"] == "sealed", f"after write {fatal}"
        assert final_state() == state, f"after write {fatal}"


def test_losing_the_answer_of_any_single_write_changes_nothing_in_the_end(
    expected: tuple[dict[str, Any], int],
) -> None:
    state, total = expected
    for lost in range(1, total + 1):
        start_over()

        def lose(number: int, lost: int = lost) -> None:
            if number == lost:
                raise ReadTimeoutError(endpoint_url="https://dynamodb")

        with writes(lose):
            assert work([])["status"] == "sealed", f"answer {lost}"
        assert final_state() == state, f"answer {lost}"


def start_over() -> None:
    """As if no run had begun: usage and catalogue stay, but for the price that is published between the executions."""
    dynamodb, s3 = clients.dynamodb(), clients.s3()
    dynamodb.delete_item(TableName="billproof-test-catalogue", Key={"pk": {"S": "CARD#std"}, "sk": {"S": "V#000002"}})
    for table in ("billing", "ledger"):
        name = f"billproof-test-{table}"
        for items in dynamodb.get_paginator("scan").paginate(TableName=name):
            for item in items["Items"]:
                dynamodb.delete_item(TableName=name, Key={"pk": item["pk"], "sk": item["sk"]})
    bucket = stores.evidence().bucket
    for objects in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in objects.get("Versions", []):
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    open_run_item()
