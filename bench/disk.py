"""Segments and evidence in files, behind just enough of boto3's clients for `UsageStore` and `Evidence` to work on:
what the steps of a billing run hold in memory is then theirs alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from botocore.exceptions import ClientError

from lambdas.billing.segments import Segment
from lambdas.store.evidence import Evidence
from lambdas.store.usage import UsageStore
from lambdas.store.usage_items import segment_item

_ATTRIBUTES = {"pk": "S", "sk": "S", "at": "S", "n": "N", "d": "S", "q": "S", "rows": "B", "raws": "B"}


def write_segments(folder: Path, segments: Iterable[Segment]) -> None:
    columns = ", ".join(_ATTRIBUTES)
    with sqlite3.connect(folder / "usage.sqlite") as database:
        database.execute(f"CREATE TABLE usage ({columns}, PRIMARY KEY (pk, sk)) WITHOUT ROWID")
        database.executemany(
            f"INSERT INTO usage ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - our own names
            ([item[name][kind] for name, kind in _ATTRIBUTES.items()] for item in map(segment_item, segments)),
        )
    database.close()


def usage_store(folder: Path) -> UsageStore:
    return UsageStore(cast(Any, _SegmentsOnDisk(folder)), "usage", "counters")


def evidence_store(folder: Path) -> Evidence:
    return Evidence(cast(Any, _ObjectsOnDisk(folder / "evidence")), "evidence")


class _SegmentsOnDisk:
    """`batch_get_item` of a DynamoDB client."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "usage.sqlite")

    def batch_get_item(self, RequestItems: Mapping[str, Any]) -> dict[str, Any]:
        ((table, request),) = RequestItems.items()
        items = []
        for key in request["Keys"]:
            row = self._database.execute(
                f"SELECT {', '.join(_ATTRIBUTES)} FROM usage WHERE pk = ? AND sk = ?",  # noqa: S608 - our own names
                (key["pk"]["S"], key["sk"]["S"]),
            ).fetchone()
            items.append({name: {kind: value} for (name, kind), value in zip(_ATTRIBUTES.items(), row, strict=True)})
        return {"Responses": {table: items}, "UnprocessedKeys": {}}


class _ObjectsOnDisk:
    """`put_object` and `get_object` of an S3 client, as far as `Evidence` uses them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:
        path = self._folder / Key
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as file:
                file.write(Body)
        except FileExistsError:
            raise _refused("PutObject", "PreconditionFailed") from None

    def get_object(self, *, Key: str, **_: Any) -> dict[str, BufferedReader]:
        try:
            return {"Body": (self._folder / Key).open("rb")}
        except FileNotFoundError:
            raise _refused("GetObject", "NoSuchKey") from None


def _refused(operation: str, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)
