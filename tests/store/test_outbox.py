"""Alerts: recorded once, delivered at least once with one id and one body, whatever dies in between (D5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
from botocore.exceptions import ClientError

from lambdas.billing.errors import InvariantBroken
from lambdas.handlers import stores
from lambdas.store.errors import TransientError
from lambdas.store.outbox import Alert, Outbox
from tests.faults.injector import Calls, Killed, aws_error, die, die_before, lose, operation, refuse, watch
from tests.faults.world import BUS, World, world

ALERT = Alert("a1", "usage.parked", {"customer": "acme", "class": "openai/é|input"})
NOW = "2026-11-16T12:00:00.000000Z"
LATER = "2026-11-16T13:00:00.000000Z"
WRITES = 3
"""Record, put on the bus, mark as delivered."""


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as running:
        running.make_bus()
        yield running


@pytest.fixture
def outbox(published: World) -> Outbox:
    published.forget_usage()
    return stores.outbox()


def put_and_deliver(outbox: Outbox, now: str = NOW) -> bool:
    """What the watch does for each crossing it sees."""
    if not outbox.record(ALERT, now):
        return False
    outbox.deliver(ALERT.id, now)
    return True


def on_the_bus(calls: Calls) -> list[dict[str, str]]:
    return [entry for call in calls.applied if call.operation == "PutEvents" for entry in call.parameters["Entries"]]


def test_an_alert_is_recorded_then_delivered_as_recorded(published: World, outbox: Outbox) -> None:
    with watch() as calls:
        assert put_and_deliver(outbox)
    assert [call.operation for call in calls.applied] == ["PutItem", "PutEvents", "UpdateItem"]
    [entry] = on_the_bus(calls)
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == ("billproof", "usage.parked", BUS)
    assert json.loads(entry["Detail"]) == {"alert_id": "a1", "customer": "acme", "class": "openai/é|input"}
    [item] = published.items("outbox")
    assert item == {
        "pk": {"S": "ALERT#a1"},
        "sk": {"S": "ALERT"},
        "kind": {"S": "usage.parked"},
        "body": {"S": entry["Detail"]},
        "recorded_at": {"S": NOW},
        "delivered_at": {"S": NOW},
    }


def test_a_delivered_alert_is_never_recorded_or_delivered_again(published: World, outbox: Outbox) -> None:
    put_and_deliver(outbox)
    before = published.items("outbox")
    with watch() as calls:
        assert put_and_deliver(outbox, LATER) is False
    assert on_the_bus(calls) == []
    assert published.items("outbox") == before


def test_the_first_body_stands(published: World, outbox: Outbox) -> None:
    outbox.record(ALERT, NOW)
    with watch() as calls:
        assert outbox.record(ALERT._replace(detail={"customer": "other"}), LATER) is True
        outbox.deliver(ALERT.id, LATER)
    [entry] = on_the_bus(calls)
    assert json.loads(entry["Detail"])["customer"] == "acme"
    [item] = published.items("outbox")
    assert (item["recorded_at"]["S"], item["delivered_at"]["S"]) == (NOW, LATER)


@pytest.mark.parametrize("fault", [die, die_before, lose], ids=["death after", "death before", "lost answer"])
@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_after_any_interruption_the_repetition_delivers_the_same_and_ends_in_the_same_state(
    number: int, fault: type, published: World, outbox: Outbox
) -> None:
    entries = []
    with fault(number) as calls, suppress(Killed, TransientError):
        put_and_deliver(outbox)
    assert calls.struck == 1
    entries += on_the_bus(calls)
    with watch() as calls:
        put_and_deliver(outbox, LATER)
        put_and_deliver(outbox, LATER)
    entries += on_the_bus(calls)
    [item] = published.items("outbox")
    assert "delivered_at" in item and item["recorded_at"]["S"] in (NOW, LATER)
    assert 1 <= len(entries) <= 2
    assert {json.dumps(entry, sort_keys=True) for entry in entries} == {json.dumps(entries[0], sort_keys=True)}


def test_a_bus_that_does_not_take_the_alert_leaves_it_waiting(published: World, outbox: Outbox) -> None:
    outbox.record(ALERT, NOW)
    for code in ("ThrottlingException", "InternalError", "connect timeout"):
        with refuse(1, code, operation("PutEvents")), pytest.raises(TransientError):
            outbox.deliver(ALERT.id, NOW)
    [item] = published.items("outbox")
    assert "delivered_at" not in item
    assert put_and_deliver(outbox)


def test_an_entry_that_the_bus_failed_is_no_delivery(
    published: World, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.record(ALERT, NOW)
    monkeypatch.setattr(outbox, "_bus", FailingBus())
    with pytest.raises(TransientError, match="the bus did not take alert a1"):
        outbox.deliver(ALERT.id, NOW)
    [item] = published.items("outbox")
    assert "delivered_at" not in item


class FailingBus:
    def put_events(self, **_arguments: object) -> dict[str, object]:
        return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}


def test_only_what_is_recorded_is_delivered(outbox: Outbox) -> None:
    with watch() as calls, pytest.raises(InvariantBroken, match="recorded before it is delivered"):
        outbox.deliver("unknown", NOW)
    assert calls.writes == 0


def test_a_refused_record_is_raised_not_taken_for_a_repetition(outbox: Outbox) -> None:
    with refuse(1, "ThrottlingException"), pytest.raises(TransientError):
        outbox.record(ALERT, NOW)
    with refuse(1, "AccessDeniedException"), pytest.raises(ClientError):
        outbox.record(ALERT, NOW)


def test_a_repetition_whose_stored_item_is_not_shown_is_delivered_again_rather_than_lost(outbox: Outbox) -> None:
    with refuse(1, lambda client, call: aws_error(client, call, "ConditionalCheckFailedException")):
        assert outbox.record(ALERT, NOW) is True
