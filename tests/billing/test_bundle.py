"""What is in a bundle, in which bytes."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from lambdas.billing.bundle import BLOCK_ROWS, Block, documents
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.merkle import MerkleTree, inclusion_proof, is_included, leaf_hash
from lambdas.billing.money import format_amount, parse_amount
from lambdas.billing.verify import verify_bundle
from tests.billing.forging import unpacked
from tests.billing.month import Month, month_of, sample_events


def test_the_same_invoice_gives_the_same_bytes() -> None:
    assert month_of(sample_events()).bundle() == month_of(sample_events()).bundle()


def test_files_stand_in_a_fixed_order() -> None:
    assert list(unpacked(month_of(sample_events()).bundle())) == [
        "invoice.json",
        "lines.csv",
        "contracts/1.json",
        "plans/tokens@1.json",
        "rates/std@1.json",
        "rates/std@2.json",
        "rates/std@3.json",
        "frozen.json",
        "journal.json",
        "journal.txt",
        "VERIFY.md",
        "usage/00001.jsonl",
        "rated/00001.jsonl",
        "excluded/00001.jsonl",
        "usage/00002.jsonl",
        "rated/00002.jsonl",
        "excluded/00002.jsonl",
        "MANIFEST.json",
    ]


def test_version_10_of_a_card_comes_after_version_9() -> None:
    month = month_of([])
    rates: dict[str, dict[str, Any]] = {f"std@{n}": {} for n in (10, 9, 1)}
    names = documents(
        invoice=month.invoice,
        contracts=month.contracts,
        plans=month.plans,
        rates=rates,
        journal=month.journal,
        frozen=month.frozen,
    )
    assert [name for name in names if name.startswith("rates/")] == [
        "rates/std@1.json",
        "rates/std@9.json",
        "rates/std@10.json",
    ]


@pytest.mark.parametrize("block_rows", [1, 7, 59, 1000])
def test_however_the_events_are_cut_into_blocks_the_bundle_verifies(block_rows: int) -> None:
    month = month_of(sample_events(), block_rows=block_rows)
    report = verify_bundle(io.BytesIO(month.bundle()))
    assert report.ok
    assert report.require_ok().merkle_root == "b6d029d95b3da37eead0379f0d66dbf1e5215bd1704b9859c142dfcbc02e2eed"


@pytest.mark.parametrize("raws", [[], sample_events()[:3], sample_events()[-2:-1]], ids=["none", "excluded", "zero"])
def test_a_month_without_charges_is_a_bundle_too(raws: list[str]) -> None:
    facts = verify_bundle(io.BytesIO(month_of(raws).bundle())).require_ok()
    assert (facts.events, facts.lines, facts.net) == (len(raws), 0, "0.00")


def test_the_manifest_counts_sums_and_hashes_what_is_there() -> None:
    month = month_of(sample_events())
    out = io.BytesIO()
    manifest = month.write(out)
    files = unpacked(out.getvalue())
    assert json.loads(files["MANIFEST.json"]) == manifest.document
    assert sha256(files["MANIFEST.json"]).hexdigest() == manifest.sha256
    document = manifest.document
    assert document["files"] == {
        name: {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
        if name != "MANIFEST.json"
    }
    assert (document["rated_events"], document["excluded_events"]) == (54, 5)
    lines = month.invoice["lines"]
    for meter, sums in document["sums"]["meters"].items():
        of_meter = [line for line in lines if line["meter"] == meter]
        assert sums["quantity"] == sum(line["quantity"] for line in of_meter)
        assert sums["exact"] == format_amount(sum(parse_amount(line["exact"]) for line in of_meter))
    assert sum(document["sums"]["classes"].values()) == sum(line["quantity"] for line in lines)


def test_the_merkle_root_shows_that_one_event_is_in_the_bill() -> None:
    files = unpacked(month_of(sample_events()).bundle())
    rows = [row for name in ("rated/00001.jsonl", "rated/00002.jsonl") for row in files[name].splitlines()]
    tree = MerkleTree()
    for row in rows:
        tree.append(row)
    root = tree.root()
    assert json.loads(files["MANIFEST.json"])["merkle_root"] == root.hex()
    proof = inclusion_proof([leaf_hash(row) for row in rows], 17)
    assert is_included(rows[17], 17, len(rows), proof, root)
    assert not is_included(rows[16], 17, len(rows), proof, root)


def test_the_spreadsheet_has_every_line_and_no_cell_that_begins_a_formula() -> None:
    month = month_of(sample_events())
    rows = list(csv.DictReader(io.StringIO(unpacked(month.bundle())["lines.csv"].decode())))
    assert [row["exact"] for row in rows] == [line["exact"] for line in month.invoice["lines"]]
    assert [row["model"] for row in rows] == [f"{line['provider']}/{line['model']}" for line in month.invoice["lines"]]
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_verify_md_says_what_is_proved_and_what_is_not() -> None:
    text = unpacked(month_of(sample_events()).bundle())["VERIFY.md"].decode()
    for part in (
        "BP-2026-000001",
        "python -m lambdas.cli verify",
        "net 18.04",
        "that the provider's token counts are true",
        "that every request is here",
        "that the contract is what you signed",
        "no signature yet",
    ):
        assert part in text


def test_any_zip_program_can_unpack_it_and_nothing_tells_when_it_was_made() -> None:
    with zipfile.ZipFile(io.BytesIO(month_of(sample_events()).bundle())) as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o644}


def lose_a_rated_row(block: Block) -> Block:
    return block._replace(rated=block.rated[block.rated.index(b"\n") + 1 :])


def lose_an_event(block: Block) -> Block:
    return Block(*(content[content.index(b"\n") + 1 :] if content.count(b"\n") > 5 else content for content in block))


def lose_a_line_feed(block: Block) -> Block:
    return block._replace(usage=block.usage[:-1])


def too_many(block: Block) -> Block:
    return Block(b"x\n" * (BLOCK_ROWS + 1), b"x\n" * (BLOCK_ROWS + 1), b"")


@pytest.mark.parametrize("change", [lose_a_rated_row, lose_an_event, lose_a_line_feed, too_many])
def test_blocks_that_are_not_the_events_of_the_invoice_are_not_bundled(change: Callable[[Block], Block]) -> None:
    month = month_of(sample_events())
    broken: Month = month._replace(blocks=[change(month.blocks[0]), *month.blocks[1:]])
    with pytest.raises(InvariantBroken):
        broken.bundle()


def test_a_whole_freeze_document_may_be_given_and_only_what_the_proof_needs_is_kept() -> None:
    month = month_of(sample_events())
    more: dict[str, Any] = {**month.frozen, "freeze": 1, "shards": [], "entity": month.invoice["entity"]}
    assert month._replace(frozen=more).bundle() == month.bundle()
