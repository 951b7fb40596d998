"""What is logged: that something happened, never what was in it (R39)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.store.recorder import MAX_TRIES
from tests.faults.injector import operation, refuse
from tests.faults.world import BATCH, SINGLE, World, event, world

MARK = "Zq7secret"


@pytest.fixture
def billproof(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose logger is new and writes to the captured output, as in a function that has just started."""
    monkeypatch.delitem(logging.Logger.manager.loggerDict, "billproof", raising=False)
    with world() as running:
        running.publish()
        yield running


def marked(**changes: Any) -> dict[str, Any]:
    """An event with the mark wherever a sender can put text."""
    return event(
        f"{MARK}-id",
        **{
            "source": f"/{MARK}/source",
            "model": f"{MARK}-model",
            "attributes": {"project": MARK},
            "traceparent": MARK,
            "dataschema": f"urn:{MARK}",
            **changes,
        },
    )


def send_everything(billproof: World) -> None:
    """Each way that a request can end."""
    headers = {"authorization": f"Bearer bp_{MARK}", "x-api-key": MARK, "cookie": MARK}
    single, batch = {**headers, "content-type": SINGLE}, {**headers, "content-type": BATCH}
    assert billproof.send(json.dumps(marked()), headers=single).statuses == ["accepted"]
    assert billproof.send(json.dumps(marked()), headers=single).statuses == ["duplicate"]
    assert billproof.send(json.dumps(marked(quantities={"input": 1})), headers=single).status == 409
    assert billproof.send(json.dumps(marked(subject=MARK)), headers=single).status == 422
    assert billproof.send(json.dumps(marked(data={"prompt": MARK})), headers=single).status == 422
    assert billproof.send(f"[{json.dumps(MARK)}]", headers=batch).statuses == ["rejected"]
    assert billproof.send(MARK, headers=single).status == 400
    assert billproof.send(MARK, headers={**headers, "content-type": f"text/{MARK}"}).status == 415
    assert billproof.send(json.dumps(marked(id="e2")), headers=single, key=MARK).status == 422
    assert billproof.send(json.dumps(marked(id="e2")), headers=single, scopes=MARK).status == 403
    with refuse(1, "ThrottlingException", times=MAX_TRIES):
        assert billproof.send(json.dumps(marked(id="e2")), headers=single).status == 503
    with refuse(1, "ThrottlingException", operation("Query")):
        assert billproof.send(json.dumps(marked(id="e3")), headers=single).status == 200
    with refuse(1, "ValidationException"), pytest.raises(ClientError):
        billproof.send(json.dumps(marked(id="e4")), headers=single)
    assert billproof.view(f"{MARK}").status == 404
    assert billproof.view("acme", period=MARK).status == 422
    assert billproof.view("acme").status == 200


def test_no_payload_key_or_header_is_ever_logged(
    billproof: World, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="billproof"):
        send_everything(billproof)
    out, err = capfd.readouterr()
    assert out.count('"answered"') == 15
    assert MARK not in out
    assert MARK not in err
    assert all(
        MARK not in record.getMessage() and MARK not in str(record.__dict__)
        for record in caplog.records
        if record.name == "billproof"
    )


def test_each_request_leaves_a_line_with_its_status_and_its_counts(
    billproof: World, capfd: pytest.CaptureFixture[str]
) -> None:
    billproof.send([event("1"), event("1"), event("1", quantities={"input": 9}), event("2", model="gpt-9"), {}])
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    [metrics, line] = lines
    assert (line["message"], line["route"], line["status"]) == ("answered", "POST /v1/usage", 200)
    assert line["request_id"] == "test-request"
    assert {name: metrics[name] for name in metrics if name not in ("_aws", "service")} == {
        "EventsAccepted": [2.0],
        "EventsDuplicate": [1.0],
        "EventsConflict": [1.0],
        "RejectedEvents": [1.0],
        "ParkedEvents": [1.0],
    }
    [directive] = metrics["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"], metrics["service"]) == (
        "Billproof", [["service"]], "billproof",
    )  # fmt: skip


def test_the_unforeseen_is_logged_with_its_kind_and_raised(billproof: World, capfd: pytest.CaptureFixture[str]) -> None:
    with refuse(1, "AccessDeniedException"), pytest.raises(ClientError):
        billproof.send(event())
    logged = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    [line] = [line for line in logged if line.get("level") == "ERROR"]
    assert (line["message"], line["exception_name"]) == ("unforeseen error", "ClientError")
    assert "AccessDeniedException" in line["exception"]
