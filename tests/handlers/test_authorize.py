"""The key check in front of the API: one exact form is let in, everything else is turned away without a reason."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from lambdas.handlers import authorize_request
from lambdas.store import clients
from lambdas.store.catalogue import Catalogue
from lambdas.store.errors import TransientError
from tests.handlers.catalogue_api import CONTEXT, authorize

DENIED = {"isAuthorized": False}
KEY_ID, SECRET = "0123456789ab", "s" * 43
KEY = f"bp_{KEY_ID}_{SECRET}"


@pytest.fixture(autouse=True)
def known_key(aws: None) -> None:
    Catalogue(clients.dynamodb(), "billproof-test-catalogue").create_key(
        key_id=KEY_ID,
        name="gateway",
        customer="*",
        scopes=("ingest", "customer"),
        secret_hash=hashlib.sha256(SECRET.encode()).hexdigest(),
        now="2026-11-16T12:00:00.000000Z",
    )


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_known_key_is_let_in_with_its_customer_and_scopes(scheme: str) -> None:
    assert authorize(f"{scheme} {KEY}") == {
        "isAuthorized": True,
        "context": {"key_id": KEY_ID, "customer": "*", "scopes": "customer ingest"},
    }


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        KEY,
        f"Basic {KEY}",
        f"Bearer  {KEY}",
        f"Bearer\t{KEY}",
        f" Bearer {KEY}",
        f"Bearer {KEY} ",
        f"Bearer {KEY}\n",
        f"Bearer {KEY},Bearer {KEY}",
        f"Bearer {KEY}=",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY[:-1]}t",
        f"Bearer {KEY.upper()}",
        f"Bearer bp_{'f' * 12}_{SECRET}",
        f"Bearer bp_{KEY_ID}_" + "\N{FULLWIDTH LATIN SMALL LETTER S}" * 43,
        "Bearer bp_" + "\N{ARABIC-INDIC DIGIT ONE}" * 12 + f"_{SECRET}",
        f"Bearer bp_{KEY_ID}_" + "s" * 1_000_000,
        "\N{LATIN SMALL LETTER LONG S}" * 10,
        f"Bearer bp_{KEY_ID}_{SECRET[:-1]}\ud800",
        f"Bearer bp_{KEY_ID}_{hashlib.sha256(SECRET.encode()).hexdigest()}",
        None,
        7,
        ["Bearer"],
    ],
)
def test_anything_else_is_denied(header: Any) -> None:
    assert authorize(header) == DENIED


@pytest.mark.parametrize("event", [{}, {"identitySource": None}, {"identitySource": []}, {"identitySource": KEY}])
def test_a_request_without_one_authorization_header_is_denied(event: Any) -> None:
    assert authorize_request.handler(event, CONTEXT) == DENIED


def test_a_header_that_stands_twice_is_denied() -> None:
    event = {"identitySource": [f"Bearer {KEY}", f"Bearer {KEY}"]}
    assert authorize_request.handler(event, CONTEXT) == DENIED


def test_an_unreachable_table_is_an_error_and_not_an_answer_that_would_be_cached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise ReadTimeoutError(endpoint_url="dynamodb")

    monkeypatch.setattr(clients.dynamodb(), "_make_api_call", unreachable)
    with pytest.raises(TransientError):
        authorize(f"Bearer {KEY}")
