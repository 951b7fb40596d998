"""Presigned S3 links that work on this machine and are as strict as S3's: signature and time are really checked.

While a server is up, links are signed for its address (`http://127.0.0.1:port/bucket/key`), else for S3's own.
Signatures carry the movable clock's time, and expire by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from xml.sax.saxutils import escape

from botocore.auth import SIGV4_TIMESTAMP, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.signers import RequestSigner

from local.aws import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, client
from local.clock import Clock
from local.errors import LinkRefused
from local.http_messages import Request, Response

_OVERRIDES = {
    "response-content-type": "content-type",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
    "response-content-language": "content-language",
    "response-cache-control": "cache-control",
    "response-expires": "expires",
}


@contextmanager
def signed_here(clock: Clock, authority: Callable[[], str | None]) -> Iterator[None]:
    """Let botocore sign with the movable clock's time, and links with the server's address if there is one."""
    generate = RequestSigner.generate_presigned_url

    def generate_here(signer: RequestSigner, request_dict: dict[str, Any], operation_name: str, **options: Any) -> Any:
        here = authority()
        if here is not None and signer.signing_name == "s3":
            request_dict = {**request_dict, "url": _at(here, request_dict["url"])}
        return generate(signer, request_dict, operation_name, **options)

    def present(remove_tzinfo: bool = True) -> datetime:
        now = clock.now()
        return now.replace(tzinfo=None) if remove_tzinfo else now

    with (
        patch.object(RequestSigner, "generate_presigned_url", generate_here),
        patch("botocore.auth.get_current_datetime", present),
    ):
        yield


def is_link(request: Request) -> bool:
    """Whether a request claims to carry a presigned link's signature."""
    return "X-Amz-Signature=" in request.query or "Signature=" in request.query


def answer(request: Request, scheme_and_host: str, clock: Clock) -> Response:
    """What S3 answers to GET or HEAD of a presigned link."""
    url = f"{scheme_and_host}{request.path}?{request.query}"
    headers = request.joined_headers()
    try:
        bucket, key, query = checked(url, request.method, clock)
        return _object(bucket, key, query, request.method, headers)
    except LinkRefused as refused:
        return _error(403, refused.code, str(refused))
    except ClientError as error:
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return _error(status, error.response["Error"]["Code"], error.response["Error"].get("Message", ""))


def checked(url: str, method: str, clock: Clock) -> tuple[str, str, dict[str, str]]:
    """Bucket, key and query of a link. Raises LinkRefused unless its signature is ours and its time has not passed."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    given = query.pop("X-Amz-Signature", None)
    if query.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" or given is None:
        raise LinkRefused("AccessDenied", "only links signed with signature version 4 are served")
    if query.get("X-Amz-SignedHeaders") != "host":
        raise LinkRefused("AccessDenied", "only links that sign no header but host are served")
    date, expires = query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", "")
    if query.get("X-Amz-Credential") != f"{ACCESS_KEY_ID}/{date[:8]}/{REGION}/s3/aws4_request":
        raise LinkRefused("InvalidAccessKeyId", "the link was signed with other credentials than the local ones")
    request = AWSRequest(method=method, url=f"{parts.scheme}://{parts.netloc}{parts.path}?{_query_text(query)}")
    request.context["timestamp"] = date
    signer = S3SigV4QueryAuth(Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY), "s3", REGION)
    request.headers["host"] = parts.netloc
    text = signer.string_to_sign(request, signer.canonical_request(request))
    if signer.signature(text, request) != given:
        raise LinkRefused("SignatureDoesNotMatch", "the request does not match the signature of the link")
    signed_at = datetime.strptime(date, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    if clock.now() >= signed_at + timedelta(seconds=int(expires)):
        raise LinkRefused("AccessDenied", "Request has expired")
    return *bucket_and_key(url), query


def _query_text(query: dict[str, str]) -> str:
    return urlencode(query, quote_via=quote, safe="-_.~")


def bucket_and_key(url: str) -> tuple[str, str]:
    """The object that a URL of S3, or of the local server, names."""
    parts = urlsplit(url)
    head, separator, _ = parts.netloc.partition(".s3.")
    if separator:
        return head, unquote(parts.path).removeprefix("/")
    bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
    return bucket, key


def _at(authority: str, url: str) -> str:
    """The same object under the local server's address."""
    parts = urlsplit(url)
    bucket, key = bucket_and_key(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"http://{authority}/{bucket}/{quote(key, safe='/~')}{query}"


def _object(bucket: str, key: str, query: dict[str, str], method: str, headers: dict[str, str]) -> Response:
    arguments = {"Bucket": bucket, "Key": key}
    if "versionId" in query:
        arguments["VersionId"] = query["versionId"]
    if "range" in headers:
        arguments["Range"] = headers["range"]
    found = client("s3").get_object(**arguments)
    body = found["Body"].read()
    answer_headers = {
        "content-type": found.get("ContentType", "binary/octet-stream"),
        "etag": found["ETag"],
        "last-modified": format_datetime(found["LastModified"].astimezone(UTC), usegmt=True),
        "accept-ranges": "bytes",
    }
    optional = {
        "content-disposition": "ContentDisposition",
        "content-range": "ContentRange",
        "x-amz-version-id": "VersionId",
        "cache-control": "CacheControl",
    }
    answer_headers |= {name: found[member] for name, member in optional.items() if found.get(member)}
    answer_headers |= {header: query[name] for name, header in _OVERRIDES.items() if name in query}
    if method == "HEAD":
        return Response(200, {**answer_headers, "content-length": str(len(body))})
    return Response(206 if "range" in headers else 200, answer_headers, body)


def _error(status: int, code: str, text: str) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(text)}</Message></Error>"
    )
    return Response(status, {"content-type": "application/xml"}, body.encode())
