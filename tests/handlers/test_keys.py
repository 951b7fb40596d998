"""API keys: made once, shown once, stored as a hash, revoked for ever."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.billing.errors import DocumentRefused
from lambdas.handlers import entry
from lambdas.handlers.runtime import set_clock
from tests.handlers.catalogue_api import authorize, call, operator_key
from tests.store.catalogue_documents import CUSTOMER
from tests.store.test_catalogue import table_items

KEY = {"name": "acme gateway", "customer": "acme", "scopes": ["ingest", "customer"]}


@pytest.fixture(autouse=True)
def noon(aws: None) -> None:
    set_clock(lambda: datetime(2026, 11, 16, 12, tzinfo=UTC))


@pytest.fixture
def acme(noon: None) -> None:
    assert call("POST /v1/customers", CUSTOMER).status == 201


def test_a_key_is_shown_once_and_lists_show_everything_but_the_secret(acme: None) -> None:
    made = call("POST /v1/keys", KEY)
    assert made.status == 201
    text = made.body.pop("key")
    assert re.fullmatch(r"bp_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", text)
    assert made.body == {
        "key_id": text[3:15],
        "name": "acme gateway",
        "customer": "acme",
        "scopes": ["customer", "ingest"],
        "created_at": "2026-11-16T12:00:00.000000Z",
    }
    assert call("GET /v1/keys").body == {"items": [made.body], "cursor": None}
    assert text[16:] not in json.dumps(table_items())


def test_each_call_makes_another_key(acme: None) -> None:
    keys = [call("POST /v1/keys", KEY).body for _ in range(3)]
    assert len({key["key"] for key in keys}) == 3
    listed = [item["key_id"] for item in call("GET /v1/keys").body["items"]]
    assert listed == sorted(key["key_id"] for key in keys)


def test_a_revoked_key_stays_revoked_since_the_first_time(acme: None) -> None:
    made = call("POST /v1/keys", KEY).body
    assert authorize(f"Bearer {made['key']}")["isAuthorized"]
    first = call("DELETE /v1/keys/{key_id}", key_id=made["key_id"])
    assert (first.status, first.body["revoked_at"]) == (200, "2026-11-16T12:00:00.000000Z")
    set_clock(lambda: datetime(2026, 11, 17, tzinfo=UTC))
    assert call("DELETE /v1/keys/{key_id}", key_id=made["key_id"]).body == first.body
    assert call("GET /v1/keys").body["items"] == [first.body]
    assert authorize(f"Bearer {made['key']}") == {"isAuthorized": False}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": "ingest"}, "scopes"),
        ({"scopes": ["ingest", "root"]}, "scopes"),
        ({"scopes": ["ingest", 1]}, "scopes"),
        ({"scopes": [["ingest"]]}, "scopes"),
        ({"scopes": ["operator"]}, "scopes"),
        ({"scopes": ["ingest", "finance"]}, "scopes"),
        ({"scopes": ["ingest"] * 1000}, "scopes"),
        ({"customer": "nobody"}, "customer"),
        ({"customer": ""}, "customer"),
        ({"customer": None}, "customer"),
        ({"customer": "**"}, "customer"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": 7}, "name"),
        ({"key_id": "0" * 12}, "key_id"),
    ],
)
def test_a_key_that_may_not_exist_is_refused(acme: None, change: dict[str, Any], field: str) -> None:
    answer = call("POST /v1/keys", {**KEY, **change})
    assert (answer.status, answer.body["field"]) == (422, field)
    assert call("GET /v1/keys").body["items"] == []


@pytest.mark.parametrize("member", sorted(KEY))
def test_a_key_says_name_customer_and_scopes(acme: None, member: str) -> None:
    answer = call("POST /v1/keys", {name: value for name, value in KEY.items() if name != member})
    assert (answer.status, answer.body["field"], answer.body["remedy"]) == (422, member, "required")


def test_a_member_that_stands_twice_is_refused(acme: None) -> None:
    text = json.dumps(KEY).replace("{", '{"customer": "*", ', 1)
    answer = call("POST /v1/keys", text)
    assert (answer.status, answer.body["field"]) == (422, "customer")


def test_only_a_key_for_all_customers_may_be_an_operators() -> None:
    made = call("POST /v1/keys", {"name": "ops", "customer": "*", "scopes": ["operator", "finance", "operator"]})
    assert (made.status, made.body["scopes"]) == (201, ["finance", "operator"])


def test_the_first_operator_key_comes_from_a_direct_call() -> None:
    made = operator_key({"name": "first"})
    answer = authorize(f"Bearer {made['key']}")
    assert answer["context"] == {"key_id": made["key_id"], "customer": "*", "scopes": "finance ingest operator"}
    assert call("GET /v1/customers", caller=answer["context"]).status == 200
    for event in ({}, {"name": ""}, {"name": None}):
        with pytest.raises(DocumentRefused, match="name"):
            operator_key(event)


def test_no_secret_and_no_hash_of_one_is_ever_logged(
    acme: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(entry.logger().registered_handler, "stream", log)
    texts = [call("POST /v1/keys", KEY).body["key"], operator_key({"name": "first"})["key"]]
    for text in texts:
        authorize(f"Bearer {text}")
        authorize(f"Bearer {text}x")
        authorize(text)
    call("GET /v1/keys")
    call("DELETE /v1/keys/{key_id}", key_id=texts[0][3:15])
    for name in (texts[0], f"key {texts[0]}", texts[0] * 3):
        with pytest.raises(DocumentRefused):
            operator_key({"name": name})
    hashes = [item["secret_hash"]["S"] for item in table_items() if "secret_hash" in item]
    written = log.getvalue() + "".join(capfd.readouterr())
    assert len(hashes) == 2
    assert '"answered"' in written, "the capture must see the log"
    for secret in [*(text[16:] for text in texts), *hashes]:
        assert secret not in written
