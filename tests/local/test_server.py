"""The server and presigned links, with plain HTTP clients."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local.deployment import Deployment
from local.errors import LinkRefused

KEY = "runs/2026 03/bündle+1&2=3.zip"
CONTENT = bytes(range(256)) * 64


@pytest.fixture
def bucket(small: Deployment) -> str:
    name: str = small.outputs["Bucket"]
    boto3.client("s3").put_object(Bucket=name, Key=KEY, Body=CONTENT, ContentType="application/zip")
    return name


@pytest.fixture
def url(small: Deployment) -> Iterator[str]:
    yield small.serve()
    small.stop_serving()


def _link(bucket: str, method: str = "get_object", expires: int = 300, **parameters: Any) -> str:
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    link: str = s3.generate_presigned_url(
        method, Params={"Bucket": bucket, "Key": KEY, **parameters}, ExpiresIn=expires
    )
    return link


def _get(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, method=method, headers=headers or {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_one_connection_serves_many_requests(url: str) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=20)
    for n in range(20):
        connection.request("POST", "/v1/answer", json.dumps({"n": n}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)) == (200, {"n": n})
        socket = connection.sock
        assert socket is not None
    connection.request("HEAD", "/v1/binary")
    assert connection.getresponse().read() == b""
    connection.close()


def test_chunked_bodies_arrive_whole(url: str) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=20)
    pieces = iter([b'{"n":', b"1", b"}"])
    connection.request("POST", "/v1/answer", pieces, {"Content-Type": "application/json"}, encode_chunked=True)
    assert json.load(connection.getresponse()) == {"n": 1}
    connection.close()


def test_cookies_and_binary_bodies_pass(url: str) -> None:
    status, headers, body = _get(f"{url}/v1/binary")
    assert (status, body, headers.get_all("set-cookie")) == (201, b"\x00\xff\x01", ["a=1", "b=2"])


def test_a_too_large_body_is_refused_before_it_is_read(url: str) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=20)
    connection.putrequest("POST", "/v1/answer")
    connection.putheader("Content-Length", str(11 * 1024 * 1024))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_stopping_waits_for_the_request_that_is_being_answered(small: Deployment) -> None:
    url = small.serve()
    answers: list[int] = []

    def ask() -> None:
        answers.append(_get(f"{url}/v1/binary")[0])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    small.stop_serving()
    assert answers == [201] * 8
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=2)  # noqa: S310


def test_a_link_works_from_a_plain_client(url: str, bucket: str) -> None:
    link = _link(bucket, ResponseContentDisposition='attachment; filename="b.zip"')
    assert link.startswith(f"{url}/{bucket}/")
    status, headers, body = _get(link)
    assert (status, body) == (200, CONTENT)
    assert headers["content-type"] == "application/zip"
    assert headers["content-disposition"] == 'attachment; filename="b.zip"'


def test_head_and_ranges(url: str, bucket: str) -> None:
    status, headers, body = _get(_link(bucket, "head_object"), "HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(CONTENT)), b"")
    status, headers, body = _get(_link(bucket), headers={"Range": "bytes=256-511"})
    assert (status, body) == (206, bytes(range(256)))
    assert headers["content-range"] == f"bytes 256-511/{len(CONTENT)}"


def test_a_link_is_refused_after_its_time_by_the_movable_clock(small: Deployment, url: str, bucket: str) -> None:
    small.clock.freeze()
    link = _link(bucket, expires=300)
    small.clock.advance(timedelta(seconds=299))
    assert _get(link)[0] == 200
    small.clock.advance(timedelta(seconds=1))
    status, headers, body = _get(link)
    assert (status, headers["content-type"]) == (403, "application/xml")
    assert b"<Code>AccessDenied</Code>" in body
    assert b"Request has expired" in body
    small.clock.unfreeze()


def _changed(link: str, what: str) -> str:
    match what:
        case "key":
            return link.replace(".zip", ".zap")
        case "signature":
            return link[:-1] + ("0" if link[-1] != "0" else "1")
        case "longer":
            return link.replace("X-Amz-Expires=300", "X-Amz-Expires=3000")
        case "parameter":
            return f"{link}&versionId=abc"
        case "credential":
            return link.replace("LOCALONLY", "SOMEOTHER")
        case _:
            return link.partition("&X-Amz-Signature")[0] + "&Signature=x"


@pytest.mark.parametrize("what", ["key", "signature", "longer", "parameter", "credential", "none"])
def test_a_changed_link_is_refused(url: str, bucket: str, what: str) -> None:
    status, _, body = _get(_changed(_link(bucket), what))
    assert status == 403
    assert b"<Error>" in body


def test_a_link_is_for_its_method(url: str, bucket: str) -> None:
    assert _get(_link(bucket, "put_object"))[0] == 403


def test_a_link_to_nothing_is_404(url: str, bucket: str) -> None:
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "nothing"})
    status, _, body = _get(link)
    assert status == 404
    assert b"NoSuchKey" in body


def test_links_keep_their_aws_address_without_a_server_and_download_checks_them(small: Deployment, bucket: str) -> None:
    link = _link(bucket)
    assert "amazonaws.com" in link
    assert small.download(link) == CONTENT
    with pytest.raises(LinkRefused, match="SignatureDoesNotMatch"):
        small.download(_changed(link, "key"))
    small.clock.advance(timedelta(seconds=301))
    with pytest.raises(LinkRefused, match="expired"):
        small.download(link)
