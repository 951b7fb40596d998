"""The faults do what they say, no more; otherwise every test built on them would assert nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ConnectTimeoutError, ReadTimeoutError

from lambdas.handlers import stores
from lambdas.store import clients
from tests.faults.injector import (
    Killed,
    any_write,
    cancelled,
    die,
    die_before,
    is_put,
    lose,
    lose_on_the_wire,
    on_table,
    operation,
    refuse,
    watch,
)
from tests.faults.world import World, create_table, name_of, world

NOW = "2026-11-16T12:00:00.000000Z"


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with world() as started:
        yield started


@pytest.fixture
def tables(running: World) -> World:
    running.forget_usage()
    for table in ("catalogue", "ledger"):
        clients.dynamodb().delete_table(TableName=name_of(table))
        create_table(table)
    return running


def put(number: int, table: str = "ledger") -> None:
    clients.dynamodb().put_item(
        TableName=name_of(table),
        Item={"pk": {"S": f"i{number}"}, "sk": {"S": "x"}},
        ConditionExpression="attribute_not_exists(pk)",
    )


def put_many(numbers: range = range(1, 6)) -> None:
    for number in numbers:
        put(number)


def there(tables: World) -> list[str]:
    return sorted(item["pk"]["S"] for item in tables.items("ledger"))


def test_a_death_comes_after_the_write_it_names_and_before_the_next(tables: World) -> None:
    with die(2) as calls, pytest.raises(Killed, match="after write 2: PutItem"):
        put_many()
    assert there(tables) == ["i1", "i2"]
    assert (calls.struck, calls.writes) == (1, 2)


def test_a_death_before_a_write_leaves_that_write_out(tables: World) -> None:
    with die_before(2) as calls, pytest.raises(Killed, match="before write 2: PutItem"):
        put_many()
    assert there(tables) == ["i1"]
    assert (calls.struck, calls.writes) == (1, 1)


def test_a_death_is_seen_by_no_handler_of_exceptions(tables: World) -> None:
    with die(1), pytest.raises(Killed), suppress(Exception):
        put_many()


@pytest.mark.parametrize(("how", "error"), [("closed", ConnectionClosedError), ("read timeout", ReadTimeoutError)])
def test_a_lost_answer_is_that_of_a_write_that_was_applied(how: str, error: type[Exception], tables: World) -> None:
    with lose(2, how=how) as calls, pytest.raises(error):
        put_many()
    assert there(tables) == ["i1", "i2"]
    assert (calls.struck, calls.writes) == (1, 2)


def test_a_fault_strikes_as_often_as_asked(tables: World) -> None:
    with lose(2, times=2) as calls:
        for number in range(1, 6):
            with suppress(ConnectionClosedError):
                put(number)
    assert (calls.struck, calls.writes, len(there(tables))) == (2, 5, 5)


def test_on_the_wire_the_sdk_repeats_the_request_itself(tables: World) -> None:
    with lose_on_the_wire(1, operation("PutItem")) as calls, pytest.raises(ClientError, match="ConditionalCheckFailed"):
        put(1)  # its own first attempt was applied
    assert there(tables) == ["i1"]
    assert calls.struck == 1


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerError", "AccessDeniedException"])
def test_a_refused_write_is_not_applied_and_says_the_code(code: str, tables: World) -> None:
    with refuse(2, code) as calls, pytest.raises(ClientError, match=code) as raised:
        put_many()
    assert there(tables) == ["i1"]
    assert calls.struck == 1
    status = raised.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert (status >= 500) is (code == "InternalServerError")


def test_an_unreached_endpoint_is_no_answer_at_all(tables: World) -> None:
    with refuse(1, "connect timeout"), pytest.raises(ConnectTimeoutError):
        put(1)
    assert there(tables) == []


def test_a_cancelled_transaction_has_a_reason_for_each_action_and_is_the_modelled_error(tables: World) -> None:
    key: dict[str, Any] = {"pk": {"S": "t"}, "sk": {"S": "x"}}
    actions: list[Any] = [
        {"Put": {"TableName": name_of("ledger"), "Item": key}},
        {"ConditionCheck": {"TableName": name_of("usage"), "Key": key, "ConditionExpression": "attribute_exists(pk)"}},
    ]
    exceptions = clients.dynamodb().exceptions
    with (
        refuse(1, cancelled("TransactionConflict", is_put)),
        pytest.raises(exceptions.TransactionCanceledException) as raised,
    ):
        clients.dynamodb().transact_write_items(TransactItems=actions)
    answer: Any = raised.value.response
    assert [reason["Code"] for reason in answer["CancellationReasons"]] == ["TransactionConflict", "None"]
    assert there(tables) == []


def test_only_writes_that_were_applied_are_counted(tables: World) -> None:
    put(1)
    with watch() as calls:
        with suppress(ClientError):
            put(1)  # refused by its condition
        put(2)
        tables.items("ledger")
    assert [call.operation for call in calls.applied] == ["PutItem"]
    assert [call.operation for call in calls.made] == ["PutItem", "PutItem", "Scan"]


def test_a_choice_limits_what_a_fault_may_strike(tables: World) -> None:
    with die(1, on_table("usage")) as calls, pytest.raises(Killed):
        put_many()
        put(6, "usage")
    assert (calls.writes, len(there(tables))) == (1, 5)
    with die(1, on_table("usage")) as calls:
        put(7)
    assert calls.struck == 0


def test_pynamodb_and_other_services_are_struck_too(tables: World) -> None:
    with refuse(1, "ThrottlingException", any_write), pytest.raises(Exception, match="Throttling"):
        stores.catalogue().create_customer({"id": "x", "name": "X"}, now=NOW)
    with watch() as calls:
        stores.catalogue().create_customer({"id": "x", "name": "X"}, now=NOW)
    assert [call.operation for call in calls.applied] == ["TransactWriteItems"]
    assert calls.applied[0].tables == {name_of("catalogue")}
    with die_before(1), pytest.raises(Killed):
        clients.event_bridge().put_events(Entries=[])


def test_faults_inside_each_other_both_strike(tables: World) -> None:
    with refuse(1, "ThrottlingException") as outer, lose(1) as inner:
        for number in range(1, 4):
            with suppress(ClientError, ConnectionClosedError):
                put(number)
    assert (outer.struck, inner.struck) == (1, 1)
    assert there(tables) == ["i2", "i3"]


def test_of_many_threads_exactly_one_dies(tables: World) -> None:
    deaths: list[int] = []

    def work(number: int) -> None:
        try:
            put(number)
        except Killed:
            deaths.append(number)

    with die(7) as calls:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(deaths), calls.struck, calls.writes, len(there(tables))) == (1, 1, 20, 20)


def test_afterwards_nothing_is_left_of_a_fault(tables: World) -> None:
    with suppress(Killed), die(1):
        put(1)
    put_many(range(2, 6))
    assert len(there(tables)) == 5
