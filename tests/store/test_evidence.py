"""Evidence: put once, the same content again is fine, other content never."""

from __future__ import annotations

import gzip
import hashlib
import io
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from lambdas.handlers import stores
from lambdas.store import clients
from lambdas.store.errors import ContentConflict, NotFound, TransientError
from lambdas.store.evidence import Evidence

pytestmark = pytest.mark.usefixtures("aws")


def versions(key: str) -> int:
    found = clients.s3().list_object_versions(Bucket=stores.evidence().bucket, Prefix=key)
    return len(found.get("Versions", []))


def test_the_same_bytes_twice_are_one_object() -> None:
    evidence = stores.evidence()
    evidence.put_once("a", b"one")
    evidence.put_once("a", b"one")
    assert (evidence.get("a"), versions("a")) == (b"one", 1)


def test_other_bytes_under_the_same_key_are_a_conflict_and_change_nothing() -> None:
    evidence = stores.evidence()
    evidence.put_once("a", b"one")
    with pytest.raises(ContentConflict) as conflict:
        evidence.put_once("a", b"two")
    assert conflict.value.stored_hash == hashlib.sha256(b"one").hexdigest()
    assert (evidence.get("a"), versions("a")) == (b"one", 1)


def test_json_is_stored_in_canonical_form_and_answers_its_hash() -> None:
    digest = stores.evidence().put_json_once("a", {"b": 1, "a": "é"})
    assert stores.evidence().get("a") == '{"a":"é","b":1}'.encode()
    assert digest == hashlib.sha256('{"a":"é","b":1}'.encode()).hexdigest()


def test_the_first_writer_decides_where_that_is_asked_for() -> None:
    evidence = stores.evidence()
    assert evidence.put_first("a", {"at": 1}) == {"at": 1}
    assert evidence.put_first("a", {"at": 2}) == {"at": 1}


def test_lines_are_compared_by_content_whatever_compressed_them() -> None:
    evidence = stores.evidence()
    clients.s3().put_object(Bucket=evidence.bucket, Key="a", Body=gzip.compress(b"row\n", 9))
    evidence.put_lines_once("a", b"row\n")
    with pytest.raises(ContentConflict):
        evidence.put_lines_once("a", b"other\n")
    evidence.put_lines_once("b", b"row\n")
    assert evidence.get_lines("a") == evidence.get_lines("b") == b"row\n"


def test_a_file_is_stored_from_its_beginning() -> None:
    evidence = stores.evidence()
    file = io.BytesIO(b"content")
    file.seek(3)
    assert evidence.put_file_once("a", file) == hashlib.sha256(b"content").hexdigest()
    assert evidence.put_file_once("a", file) == hashlib.sha256(b"content").hexdigest()
    with pytest.raises(ContentConflict):
        evidence.put_file_once("a", io.BytesIO(b"other"))
    assert (evidence.get("a"), versions("a")) == (b"content", 1)


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound, match="evidence nothing"):
        stores.evidence().get("nothing")
    assert stores.evidence().find_json("nothing") is None


class FailingS3:
    """Answers every call with one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def put_object(self, **_: Any) -> Any:
        raise self._error

    def get_object(self, **_: Any) -> Any:
        raise self._error


def s3_error(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "PutObject",
    )


@pytest.mark.parametrize(
    "error",
    [
        s3_error("SlowDown", 503),
        s3_error("InternalError", 500),
        s3_error("ConditionalRequestConflict", 409),
        ReadTimeoutError(endpoint_url="https://s3"),
    ],
)
def test_trouble_that_passes_is_transient(error: Exception) -> None:
    evidence = Evidence(FailingS3(error), "bucket")  # type: ignore[arg-type]
    for ask in (lambda: evidence.put_once("a", b""), lambda: evidence.get("a")):
        with pytest.raises(TransientError):
            ask()


def test_trouble_that_stays_keeps_its_name() -> None:
    evidence = Evidence(FailingS3(s3_error("AccessDenied", 403)), "bucket")  # type: ignore[arg-type]
    with pytest.raises(ClientError, match="AccessDenied"):
        evidence.put_once("a", b"")


def test_a_link_names_the_region_it_is_signed_for() -> None:
    """The global endpoint redirects requests for young buckets, and a redirected signature is not valid."""
    evidence = stores.evidence()
    link = evidence.presign("bundles/BP-2026-000001.zip", 300, "BP-2026-000001.zip")
    assert link.startswith(f"https://{evidence.bucket}.s3.eu-central-1.amazonaws.com/bundles/BP-2026-000001.zip?")
    assert "X-Amz-SignedHeaders=host&" in link
