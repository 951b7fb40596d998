"""Lines split by an attribute: a run with a few, and one with more than an invoice holds."""

from __future__ import annotations

import io

import pytest

from lambdas.billing.verify import verify_bundle
from lambdas.handlers import stores
from lambdas.store.evidence import bundle_key
from tests.handlers.months import RUN_ID, account_of, execute, invoice_of, open_run_item, set_up, use

pytestmark = pytest.mark.usefixtures("aws")
M = 1_000_000


def three_projects() -> None:
    set_up("acme", "beta", split_by="project")
    for n, project in enumerate(("red", "green", "blue"), start=1):
        use("acme", project, f"2026-11-16T0{n}:00:00Z", attributes={"project": project}, input=n * M)
    use("beta", "one", "2026-11-16T00:00:00Z", attributes={"project": "red"}, input=M)
    open_run_item()


def verified(customer: str) -> None:
    with stores.evidence().open_stream(bundle_key(account_of(customer).number)) as stored:
        report = verify_bundle(io.BytesIO(stored.read()))
    assert report.ok, report.differences


def test_each_value_has_a_line_of_its_own() -> None:
    three_projects()
    assert execute()["status"] == "sealed"
    lines = [(line["attribute"], line["exact"]) for line in invoice_of("acme")["lines"]]
    assert lines == [("project=blue", "7.5"), ("project=green", "5"), ("project=red", "2.5")]
    verified("acme")


def test_more_lines_than_an_invoice_holds_fail_by_name_and_are_left_whole_when_the_run_is_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lambdas.billing.invoice.MAX_LINES", 2)
    three_projects()

    assert execute()["status"] == "incomplete"
    error = account_of("acme").error
    assert error is not None and error["code"] == "TooManyLines"
    assert "lines = 3: at most 2 where lines are split; project makes too many. Resume the run" in error["detail"]

    assert execute(execution="two")["status"] == "sealed"
    invoice = invoice_of("acme")
    assert [(line["attribute"], line["exact"]) for line in invoice["lines"]] == [(None, "15")]
    assert invoice["unsplit"] is True
    verified("acme")
    assert [line["attribute"] for line in invoice_of("beta")["lines"]] == ["project=red"]
    assert "unsplit" not in invoice_of("beta", RUN_ID)
    verified("beta")
