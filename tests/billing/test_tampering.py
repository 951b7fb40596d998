"""Any changed byte, row or file of a bundle is found and named, also when its hash in the manifest is mended (R17)."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any

import pytest

from lambdas.billing.bundle import MANIFEST
from lambdas.billing.canonical import canonical_bytes, content_hash
from lambdas.billing.errors import BundleDiffers, Difference, NotABundle
from lambdas.billing.segments import segment_digest
from lambdas.billing.verify import verify_bundle
from tests.billing.forging import packed, unpacked, with_hashes_mended
from tests.billing.month import month_of, sample_events

Files = dict[str, bytes]
ROUNDS = 90


@cache
def genuine() -> bytes:
    return month_of(sample_events()).bundle()


def first_difference(files: Files) -> Difference | None:
    report = verify_bundle(io.BytesIO(packed(files)))
    return report.differences[0] if report.differences else None


def some_file(files: Files, dice: random.Random) -> str:
    return dice.choice([name for name, content in files.items() if content])


def row_file(files: Files, dice: random.Random) -> str:
    return dice.choice([name for name, content in files.items() if content.count(b"\n") > 1])


def change_byte(files: Files, dice: random.Random) -> None:
    name = some_file(files, dice)
    content = bytearray(files[name])
    content[dice.randrange(len(content))] ^= dice.randrange(1, 256)
    files[name] = bytes(content)


def change_character(files: Files, dice: random.Random) -> None:
    """As above, but to another digit or letter, so that what comes out can still be read."""
    name = some_file(files, dice)
    places = [i for i, byte in enumerate(files[name]) if chr(byte).isalnum()]
    content = bytearray(files[name])
    at = dice.choice(places)
    content[at] = dice.choice([byte for byte in b"0123456789abcdef" if byte != content[at]])
    files[name] = bytes(content)


def insert_byte(files: Files, dice: random.Random) -> None:
    name = dice.choice(list(files))
    at = dice.randrange(len(files[name]) + 1)
    files[name] = files[name][:at] + bytes([dice.choice(b" \n0x\x00\xff")]) + files[name][at:]


def cut_off(files: Files, dice: random.Random) -> None:
    name = some_file(files, dice)
    files[name] = files[name][: dice.randrange(len(files[name]))]


def remove_file(files: Files, dice: random.Random) -> None:
    del files[dice.choice(list(files))]


def add_file(files: Files, dice: random.Random) -> None:
    name = dice.choice(
        ["usage/00003.jsonl", "rates/std@4.json", "rates/other@1.json", "notes.txt", "../evil", "a/../b"]
    )
    content = dice.choice(list(files.values()))
    place = dice.randrange(len(files) + 1)
    items = list(files.items())
    items.insert(place, (name, content))
    files.clear()
    files.update(items)


def move_file(files: Files, dice: random.Random) -> None:
    items = list(files.items())
    at, to = dice.sample(range(len(items)), 2)
    items.insert(to, items.pop(at))
    files.clear()
    files.update(items)


def swap_files(files: Files, dice: random.Random) -> None:
    one, other = dice.sample(list(files), 2)
    if files[one] == files[other]:
        one, other = "usage/00001.jsonl", "usage/00002.jsonl"
    files[one], files[other] = files[other], files[one]


def swap_rows(files: Files, dice: random.Random) -> None:
    name = row_file(files, dice)
    rows = files[name].splitlines(keepends=True)
    one, other = dice.sample(range(len(rows)), 2)
    rows[one], rows[other] = rows[other], rows[one]
    if b"".join(rows) == files[name]:
        rows.append(rows[0])
    files[name] = b"".join(rows)


def drop_row(files: Files, dice: random.Random) -> None:
    name = row_file(files, dice)
    rows = files[name].splitlines(keepends=True)
    del rows[dice.randrange(len(rows))]
    files[name] = b"".join(rows)


def repeat_row(files: Files, dice: random.Random) -> None:
    name = row_file(files, dice)
    rows = files[name].splitlines(keepends=True)
    rows.insert(dice.randrange(len(rows) + 1), dice.choice(rows))
    files[name] = b"".join(rows)


def drop_event_everywhere(files: Files, dice: random.Random) -> None:
    """A request that never was: out of usage and out of its rated or excluded rows."""
    block = dice.choice(["00001", "00002"])
    usage = files[f"usage/{block}.jsonl"].splitlines(keepends=True)
    gone = json.loads(usage.pop(dice.randrange(len(usage))))[:4]
    files[f"usage/{block}.jsonl"] = b"".join(usage)
    for kind in ("rated", "excluded"):
        rows = files[f"{kind}/{block}.jsonl"].splitlines(keepends=True)
        files[f"{kind}/{block}.jsonl"] = b"".join(row for row in rows if json.loads(row)[:4] != gone)


MUTATIONS: list[Callable[[Files, random.Random], None]] = [
    change_byte,
    change_character,
    insert_byte,
    cut_off,
    remove_file,
    add_file,
    move_file,
    swap_files,
    swap_rows,
    drop_row,
    repeat_row,
    drop_event_everywhere,
]


def test_the_genuine_bundle_verifies() -> None:
    assert verify_bundle(io.BytesIO(genuine())).ok


@pytest.mark.parametrize("mend", [False, True], ids=["as it is", "with hashes mended in the manifest"])
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_every_mutation_is_found_and_named(mutate: Callable[[Files, random.Random], None], mend: bool) -> None:
    original = unpacked(genuine())
    for seed in range(ROUNDS):
        files = dict(original)
        mutate(files, random.Random(f"{mutate.__name__} {seed}"))
        if mend and files.get(MANIFEST) == original[MANIFEST]:
            files = with_hashes_mended(files)
        assert list(files.items()) != list(original.items())
        difference = first_difference(files)
        assert difference is not None, (mutate.__name__, seed)
        assert difference.file and difference.field
        assert difference.expected != difference.found, difference


def test_any_changed_byte_of_the_zip_itself_is_harmless_or_found() -> None:
    whole, content = genuine(), unpacked(genuine())
    dice = random.Random(9)
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[dice.randrange(len(damaged))] ^= dice.randrange(1, 256)
        try:
            report = verify_bundle(io.BytesIO(bytes(damaged)))
        except NotABundle:
            continue
        if report.ok:
            assert unpacked(bytes(damaged)) == content


def test_a_zip_cut_off_anywhere_is_no_bundle() -> None:
    whole = genuine()
    for length in range(0, len(whole), 97):
        with pytest.raises(NotABundle):
            verify_bundle(io.BytesIO(whole[:length]))


# A forger who goes on mending is stopped one step later each time.


def forged_tokens(files: Files) -> Files:
    """Ten times the tokens in the raw text of the first event after the contract began, hash mended in its row."""
    rows = [json.loads(row) for row in files["usage/00001.jsonl"].splitlines()]
    row = next(row for row in rows if row[2] == "a-0")
    row[7] = row[7].replace('"input": 374', '"input": 3740')
    row[6] = sha256(row[7].encode()).hexdigest()
    return {**files, "usage/00001.jsonl": as_rows(rows)}


def forged_charge(files: Files) -> Files:
    """And its rated line."""
    files = forged_tokens(files)
    rows = [json.loads(row) for row in files["rated/00001.jsonl"].splitlines()]
    charges = next(row for row in rows if row[2] == "a-0")[4]
    charges[0][1:] = [3740, "0.00935"]
    return {**files, "rated/00001.jsonl": as_rows(rows)}


def forged_segment(files: Files) -> Files:
    """And the digest and sums of its segment in frozen.json."""
    files = forged_charge(files)
    frozen = json.loads(files["frozen.json"])
    rows = [json.loads(row) for row in files["usage/00001.jsonl"].splitlines()]
    key = next(row[4] for row in rows if row[2] == "a-0")
    segment = next(segment for segment in frozen["segments"] if segment["key"] == key)
    members = [row for row in rows if row[4] == key]
    segment["digest"] = segment_digest(members[0][5], ((row[1], row[2], row[3], row[6]) for row in members))
    segment["sums"]["openai/gpt-4o|input"] += 3740 - 374
    return {**files, "frozen.json": canonical_bytes(frozen)}


def forged_invoice(files: Files) -> Files:
    """And the invoice line and its exact net."""
    files = forged_segment(files)
    invoice = json.loads(files["invoice.json"])
    line = next(line for line in invoice["lines"] if line["key"] == "input|openai/gpt-4o|input|std@1")
    line |= {"quantity": line["quantity"] + 3740 - 374, "exact": "0.0315975", "amount": "0.03"}
    invoice["net_exact"] = "18.0481295"
    invoice["net"] = "18.05"
    invoice["tax"][0]["base"] = "18.05"
    invoice["total"] = "21.48"
    return {**files, "invoice.json": canonical_bytes(invoice)}


def as_rows(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)


@pytest.mark.parametrize(
    ("forge", "file", "field"),
    [
        (forged_tokens, "rated/00001.jsonl", "charges"),
        (forged_charge, "frozen.json", "segments S#acme#2026-11-02#0|00#0000 digest"),
        (forged_segment, "invoice.json", "lines[1].amount"),
        (forged_invoice, "lines.csv", "line"),
    ],
)
def test_a_forger_who_mends_one_step_more_is_stopped_at_the_next(
    forge: Callable[[Files], Files], file: str, field: str
) -> None:
    difference = first_difference(with_hashes_mended(forge(unpacked(genuine()))))
    assert difference is not None
    assert (difference.file, difference.field) == (file, field)


@pytest.mark.parametrize(
    ("file", "path", "value"),
    [
        ("invoice.json", ("entity", "address"), "2 Proof Street"),
        ("invoice.json", ("customer", "name"), "Acme Limited"),
        ("invoice.json", ("issued_at",), "2026-12-02T06:00:01.000000Z"),
        ("invoice.json", ("number",), "BP-2026-000002"),
        ("invoice.json", ("number",), "BP-2027-000001"),
        ("invoice.json", ("cutoff",), "2026-12-01T07:00:00.000000Z"),
        ("invoice.json", ("run_id",), "another"),
        ("invoice.json", ("period",), "2026-10"),
        ("contracts/1.json", ("posture",), "predictable"),
        ("contracts/1.json", ("parked_usage",), "block"),
        ("plans/tokens@1.json", ("name",), "Pure token"),
        ("rates/std@3.json", ("rates", 0, "price"), "1.00"),
        ("rates/std@2.json", ("effective_from",), "2026-11-15"),
        ("rates/std@2.json", ("version",), 3),
        ("frozen.json", ("cutoff",), "2026-12-01T05:00:00.000000Z"),
        ("frozen.json", ("segments", 0, "events"), True),
        ("journal.json", ("time",), "2026-12-01T06:00:02.000000Z"),
        ("journal.json", ("postings", 0, "amount"), "0.02346450"),
        ("MANIFEST.json", ("merkle_root",), "00" * 32),
        ("MANIFEST.json", ("rated_events",), 53),
        ("MANIFEST.json", ("sums", "classes", "input"), 0),
        ("MANIFEST.json", ("format",), "billproof-bundle-2"),
    ],
)
def test_a_changed_member_is_found_though_every_hash_is_mended(file: str, path: tuple[Any, ...], value: Any) -> None:
    files = unpacked(genuine())
    document = json.loads(files[file])
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert first_difference(with_hashes_mended({**files, file: canonical_bytes(document)})) is not None


def test_parked_events_are_refused_where_the_contract_says_that_they_block_the_invoice() -> None:
    month = month_of(sample_events())
    contract = {**month.contracts[0], "parked_usage": "block"}
    blocked = month_of(sample_events(), contract=contract)
    report = verify_bundle(io.BytesIO(blocked.bundle()))
    assert report.differences[0].field == "events.excluded.parked"


def test_an_event_that_stands_twice_at_two_times_is_named_with_both_places() -> None:
    raws = sample_events()
    twin = raws[3].replace("2026-11-02T00", "2026-11-28T00")
    report = verify_bundle(io.BytesIO(month_of([*raws, twin]).bundle()))
    [difference] = report.differences
    assert (difference.file, difference.field) == ("usage/00002.jsonl", "id")
    assert "it is also in usage/00001.jsonl row 4" in difference.expected
    assert difference.found == "//gateway/eu-1 a-0"


def test_a_difference_can_be_raised_by_whoever_needs_a_good_bundle() -> None:
    files = {**unpacked(genuine()), "journal.txt": b""}
    with pytest.raises(BundleDiffers, match=r"journal\.txt"):
        verify_bundle(io.BytesIO(packed(files))).require_ok()


# Zips made to hurt the reader.


def edited(change: Callable[[zipfile.ZipFile], None]) -> bytes:
    out = io.BytesIO(genuine())
    with warnings.catch_warnings(), zipfile.ZipFile(out, "a") as archive:
        warnings.simplefilter("ignore")
        change(archive)
    return out.getvalue()


def stored_member(archive: zipfile.ZipFile) -> None:
    archive.writestr("notes.txt", b"plain")


def duplicate_member(archive: zipfile.ZipFile) -> None:
    archive.writestr(zipfile.ZipInfo("invoice.json"), b"{}", zipfile.ZIP_DEFLATED)


def commented(archive: zipfile.ZipFile) -> None:
    archive.comment = b"psst"


def extra_field(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("notes.txt")
    info.extra = b"\x99\x99\x04\x00psst"
    archive.writestr(info, b"plain", zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (stored_member, "compression"),
        (duplicate_member, "name"),
        (commented, "size"),
        (extra_field, "zip entry"),
    ],
)
def test_a_zip_with_anything_unusual_is_refused_by_name(change: Callable[[zipfile.ZipFile], None], field: str) -> None:
    [difference] = verify_bundle(io.BytesIO(edited(change))).differences
    assert difference.field == field


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a\\b", "C:evil", "ü.json", "usage/", "", " "])
def test_a_hostile_name_is_refused_by_name(name: str) -> None:
    files = unpacked(genuine())
    [difference] = verify_bundle(io.BytesIO(packed({**files, name: b"x"}))).differences
    assert difference.field in {"name", "file", "compression"}


def test_an_encrypted_member_is_refused_by_name() -> None:
    bundle = bytearray(genuine())
    local, directory = bundle.index(b"PK\x03\x04"), bundle.index(b"PK\x01\x02")
    bundle[local + 6] |= 1
    bundle[directory + 8] |= 1
    [difference] = verify_bundle(io.BytesIO(bytes(bundle))).differences
    assert (difference.file, difference.found) == ("invoice.json", "encrypted")


def test_bytes_before_between_and_behind_the_members_are_refused() -> None:
    bundle = genuine()
    assert verify_bundle(io.BytesIO(b"MZ" + bundle)).differences[0].field == "position in the zip"
    assert verify_bundle(io.BytesIO(bundle + b"psst")).differences[0].field == "size"


def test_a_bomb_is_refused_at_its_declared_size() -> None:
    files = {**unpacked(genuine()), "frozen.json": b"[" + b" " * 20_000_000 + b"]"}
    assert first_difference(files) == Difference("frozen.json", None, "size", "at most 1048576 bytes", "20000002 bytes")


def test_a_row_without_end_is_refused_when_it_is_too_long() -> None:
    files = {**unpacked(genuine()), "usage/00001.jsonl": b"[" * 50_000_000}
    assert first_difference(files) == Difference(
        "usage/00001.jsonl", None, "row", "at most 1048576 bytes", "a longer one"
    )


def test_a_member_that_expands_to_more_than_it_declares_is_refused() -> None:
    bundle = bytearray(genuine())
    name = b"VERIFY.md"
    local, directory = bundle.index(name) - 30, bundle.rindex(b"PK\x01\x02", 0, bundle.rindex(name))
    for at in (local + 22, directory + 24):
        size = int.from_bytes(bundle[at : at + 4], "little") - 1
        bundle[at : at + 4] = size.to_bytes(4, "little")
    [difference] = verify_bundle(io.BytesIO(bytes(bundle))).differences
    assert (difference.file, difference.field, difference.found) == ("VERIFY.md", "size", "more")


def test_the_large_zip_format_is_read_when_a_bundle_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real bundles above 2 GiB: the limit is lowered instead of writing one."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 6000)
    bundle = month_of(sample_events()[:6]).bundle()
    assert len(bundle) > 6000
    assert verify_bundle(io.BytesIO(bundle)).ok
    assert verify_bundle(io.BytesIO(bundle + b"x")).differences[0].field == "size"


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x05\x06" + bytes(18), b"%PDF-1.7"])
def test_another_file_is_no_bundle(content: bytes) -> None:
    with pytest.raises(NotABundle):
        verify_bundle(io.BytesIO(content))


def test_hash_of_the_invoice_is_in_the_journal() -> None:
    files = unpacked(genuine())
    journal = json.loads(files["journal.json"])
    assert journal["reference"]["invoice_hash"] == content_hash(json.loads(files["invoice.json"]))


HOSTILE: list[Any] = [
    None,
    True,
    -1,
    10**60,
    "",
    "\x00",
    "x" * 5000,
    [],
    {},
    [[]],
    {"a": []},
    [None] * 3,
    "2026-11",
    "0",
    "-0.0",
]


def replaced_somewhere(value: Any, dice: random.Random) -> Any:
    """A JSON value with one member, at any depth, replaced by something that has no business there."""
    if dice.random() < 0.3 or not isinstance(value, dict | list) or not value:
        return dice.choice(HOSTILE)
    if isinstance(value, list):
        at = dice.randrange(len(value))
        return [*value[:at], replaced_somewhere(value[at], dice), *value[at + 1 :]]
    name = dice.choice(list(value))
    if dice.random() < 0.1:
        return {other: member for other, member in value.items() if other != name}
    return {**value, name: replaced_somewhere(value[name], dice)}


def test_hostile_values_anywhere_are_differences_and_never_a_crash() -> None:
    original = unpacked(genuine())
    documents = [name for name in original if name.endswith(".json")]
    rows = [name for name in original if name.endswith(".jsonl") and original[name]]
    for seed in range(1500):
        dice = random.Random(f"hostile {seed}")
        files = dict(original)
        if dice.random() < 0.6:
            name = dice.choice(documents)
            files[name] = canonical_bytes(replaced_somewhere(json.loads(files[name]), dice))
        else:
            name = dice.choice(rows)
            lines = files[name].splitlines(keepends=True)
            at = dice.randrange(len(lines))
            lines[at] = as_rows([replaced_somewhere(json.loads(lines[at]), dice)])
            files[name] = b"".join(lines)
        if files != original:
            assert first_difference(with_hashes_mended(files) if name != MANIFEST else files) is not None, seed


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"null",
        b"[]",
        b"NaN",
        b"{} ",
        b"\xef\xbb\xbf{}",
        b'{"a":1.5}',
        b'{"a":1,"a":1}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
    ],
)
def test_a_document_that_is_no_canonical_object_is_a_difference(content: bytes) -> None:
    original = unpacked(genuine())
    for name in (name for name in original if name.endswith(".json")):
        difference = first_difference({**original, name: content})
        assert difference is not None and difference.file == name


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b"null",
        b"[1,2,3,4,5,6,7,8]",
        b"9" * 5000,
        b'["","","",0,"","","","\\ud800"]',
        b'["","","",0,"\\ud800","","","{}"]',
    ],
)
def test_a_row_that_is_no_row_is_a_difference(line: bytes) -> None:
    for name in ("usage/00001.jsonl", "rated/00001.jsonl", "excluded/00001.jsonl"):
        files = unpacked(genuine())
        rows = files[name].splitlines()
        files[name] = b"\n".join([rows[0], line, *rows[1:], b""])
        difference = first_difference(files)
        assert difference is not None and (difference.file, difference.row) == (name, 2)
