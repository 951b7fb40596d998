"""The evidence bucket: objects that are put once and never changed (D12, D17), and the names they have.

What a step has written once is its result for ever: a repetition that comes to the same content is no write, one that
comes to other content raises ContentConflict.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.billing.canonical import canonical_bytes, sha256_hex
from lambdas.store.errors import ContentConflict, NotFound, translate

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

_COMPRESSION = 4
_CHUNK_BYTES = 1 << 20


def accounts_key(run_id: str, attempt: int) -> str:
    return f"runs/{run_id}/accounts-{attempt}.json"


def seal_key(run_id: str) -> str:
    return f"runs/{run_id}/seal.json"


def frozen_key(run_id: str, customer: str, freeze: int) -> str:
    return f"runs/{run_id}/{customer}/frozen-{freeze}.json"


def summary_key(run_id: str, customer: str, freeze: int, shard: int) -> str:
    return f"{_shard(run_id, customer, freeze, shard)}/summary.json"


def measure_key(run_id: str, customer: str, freeze: int, shard: int) -> str:
    return f"{_shard(run_id, customer, freeze, shard)}/measure.json"


def block_key(run_id: str, customer: str, freeze: int, shard: int, *, kind: str, block: int) -> str:
    """`kind` is usage, rated or excluded."""
    return f"{_shard(run_id, customer, freeze, shard)}/{kind}-{block:05d}.jsonl.gz"


def draft_key(run_id: str, customer: str, freeze: int) -> str:
    return f"runs/{run_id}/{customer}/f{freeze}/draft.json"


def unsplit_key(run_id: str, customer: str) -> str:
    """Where it is written that an account's lines, split by an attribute, were too many."""
    return f"runs/{run_id}/{customer}/unsplit.json"


def invoice_key(run_id: str, customer: str) -> str:
    return f"runs/{run_id}/{customer}/invoice.json"


def bundle_key(number: str) -> str:
    return f"bundles/{number}.zip"


def _shard(run_id: str, customer: str, freeze: int, shard: int) -> str:
    return f"runs/{run_id}/{customer}/f{freeze}/shard-{shard:04d}"


class Evidence:
    """Repository of the evidence bucket. There is no way to change or delete an object."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    def put_once(self, key: str, data: bytes) -> None:
        """Store `data`, or find it stored. Raises ContentConflict where `key` holds something else."""
        if not self._put(key, data, hashlib.sha256(data).digest()):
            stored = self.get(key)
            if stored != data:
                raise ContentConflict("evidence", key, sha256_hex(stored))

    def put_json_once(self, key: str, value: Any) -> str:
        """`put_once` of canonical JSON; answers the SHA-256 of its bytes."""
        data = canonical_bytes(value)
        self.put_once(key, data)
        return sha256_hex(data)

    def put_first(self, key: str, value: Any) -> Any:
        """Store canonical JSON unless `key` is taken; answer what is stored. The first writer decides."""
        data = canonical_bytes(value)
        if self._put(key, data, hashlib.sha256(data).digest()):
            return value
        return self.get_json(key)

    def put_lines_once(self, key: str, lines: bytes) -> None:
        """`put_once`, compressed. Contents are compared, not the compressed bytes: zlib differs between machines."""
        packed = gzip.compress(lines, _COMPRESSION, mtime=0)
        if not self._put(key, packed, hashlib.sha256(packed).digest()):
            stored = self.get_lines(key)
            if stored != lines:
                raise ContentConflict("evidence", key, sha256_hex(stored))

    def put_file_once(self, key: str, file: BinaryIO) -> str:
        """Store a file's content from its beginning; answers its SHA-256. Raises ContentConflict like `put_once`."""
        file.seek(0)
        digest = _digest_of(file)
        file.seek(0)
        if not self._put(key, file, digest):
            with self.open_stream(key) as stored:
                stored_digest = _digest_of(stored)
            if stored_digest != digest:
                raise ContentConflict("evidence", key, stored_digest.hex())
        return digest.hex()

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises NotFound."""
        with self.open_stream(key) as stream:
            try:
                return stream.read()
            except BotoCoreError as error:
                raise translate(error) from error

    def get_json(self, key: str) -> Any:
        return json.loads(self.get(key))

    def find_json(self, key: str) -> Any | None:
        """The parsed object, or None where it does not exist."""
        try:
            return self.get_json(key)
        except NotFound:
            return None

    def get_lines(self, key: str) -> bytes:
        return gzip.decompress(self.get(key))

    @contextmanager
    def open_stream(self, key: str) -> Iterator[StreamingBody]:
        """The object as a stream. Raises NotFound."""
        try:
            body = self._client.get_object(Bucket=self.bucket, Key=key)["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise NotFound("evidence", key) from None
            raise translate(error) from error
        except BotoCoreError as error:
            raise translate(error) from error
        try:
            yield body
        finally:
            body.close()

    def presign(self, key: str, seconds: int, filename: str) -> str:
        """A link that reads this one object for `seconds`, saved under `filename`."""
        return self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": key,
                "ResponseContentDisposition": f'attachment; filename="{filename}"',
            },
            ExpiresIn=seconds,
        )

    def _put(self, key: str, body: bytes | BinaryIO, digest: bytes) -> bool:
        """True when stored now, False when the key is taken (perhaps by an earlier try of ours)."""
        try:
            self._client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=body,
                IfNoneMatch="*",
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=b64encode(digest).decode(),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
                return False
            raise translate(error) from error
        except BotoCoreError as error:
            raise translate(error) from error
        return True


def _digest_of(stream: IO[bytes] | StreamingBody) -> bytes:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()
