"""Recorded traces: what is read, and how a file that is not one is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdas.billing.usage import read_event
from local.trace_file import UnreadableTrace, read_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def trace(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "trace.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_row_becomes_an_event_that_ingest_reads(tmp_path: Path) -> None:
    [event] = read_trace(trace(tmp_path, HEADER + "2023-11-16 18:15:46.6805900,374,44\n"), "acme")
    read = read_event(event, None)
    assert (read.customer, read.time) == ("acme", "2023-11-16T18:15:46.680590Z")
    assert read.quantities == {"input": 374, "output": 44}


def test_identities_come_from_content_and_occurrence_whatever_the_order(tmp_path: Path) -> None:
    rows = ["2023-11-16 18:15:46,1,2\n", "2023-11-16 18:15:46,1,2\n", "2023-11-16 18:15:47,1,2\n"]
    ids = [event["id"] for event in read_trace(trace(tmp_path, HEADER + "".join(rows)), "acme")]
    turned = [event["id"] for event in read_trace(trace(tmp_path, HEADER + "".join(reversed(rows))), "acme")]
    assert len(set(ids)) == 3
    assert set(ids) == set(turned)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column TIMESTAMP, ContextTokens, GeneratedTokens"),
        ("a,b\n1,2\n", "no column"),
        (HEADER, "holds no requests"),
        (HEADER + "2023-11-16 18:15:46,5\n", "line 2: '' is no token count"),
        (HEADER + "2023-11-16 18:15:46,-5,1\n", "line 2: '-5' is no token count"),
        (HEADER + "2023-11-16 18:15:46,2.5,1\n", "line 2: '2.5' is no token count"),
        (HEADER + "2023-11-16 18:15:46,\u0663,1\n", "is no token count"),
        (HEADER + f"2023-11-16 18:15:46,{10**12 + 1},1\n", "whole number up to 1000000000000"),
        (HEADER + f"2023-11-16 18:15:46,{'9' * 5000},1\n", "is no token count"),
        (HEADER + "yesterday,5,1\n", "line 2: TIMESTAMP 'yesterday' is no time"),
        (HEADER + "2023-11-16 18:15:46,5,1\n2023-11-31 18:15:46,5,1\n", "line 3: TIMESTAMP"),
        (HEADER + "2023-11-16T18:15:46Z,5,1\n", "is no time in UTC such as"),
        (HEADER + "2023-11-16 18:15:46,5,1\n2023-12-16 18:15:46,5,1\n", "line 3: 2023-12-16 18:15:46 is not in"),
        (HEADER.encode() + b"2023-11-16 18:15:46,\xff,1\n", "not CSV in UTF-8"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_line_and_reason(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(UnreadableTrace, match=message):
        read_trace(trace(tmp_path, text), "acme")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableTrace, match=r"none\.csv: No such file"):
        read_trace(tmp_path / "none.csv", "acme")
