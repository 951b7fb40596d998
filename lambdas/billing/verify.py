"""Replay of a bundle, offline: everything is computed again and compared byte by byte (R15, R17).

What arrives may be damaged or forged, so nothing in it is believed and nothing is repaired: the first thing that is
not as it must be is named by file, row and field. Memory: the documents, one chunk of each kind of row, the segments
not yet complete, and 16 bytes per event to see that no identity stands twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lambdas.billing.agreements import Agreement, compile_agreement
from lambdas.billing.archive import Archive, differs
from lambdas.billing.bundle import (
    BLOCK_ROWS,
    FORMAT,
    MANIFEST,
    block_names,
    contract_file,
    documents,
    in_version_order,
    manifest_document,
    plan_file,
    rate_file,
)
from lambdas.billing.canonical import canonical_bytes, canonical_json, sha256_hex
from lambdas.billing.documents import read_customer, read_entity
from lambdas.billing.errors import BillingError, BundleDiffers, Difference, InvariantBroken, NotABundle
from lambdas.billing.invoice import RULES_VERSION, Draft, draft_document, invoice_number, issued_document
from lambdas.billing.journal import invoice_transaction
from lambdas.billing.merkle import MerkleTree
from lambdas.billing.money import parse_amount
from lambdas.billing.rating import ClassKey, Positions, Totals, add_quantities, rate_event
from lambdas.billing.segments import StoredEvent, read_raw, row_of, segment_digest, usage_line
from lambdas.billing.strict_json import decode_text, parse
from lambdas.billing.times import Period, canonical_time
from lambdas.billing.usage import identity_hash, read_event

_USAGE = ("time", "source", "id", "revision", "segment", "received", "sha256", "raw")
_RATED = ("time", "source", "id", "revision", "charges")
_EXCLUDED = ("time", "source", "id", "revision", "reason", "detail")
_CONTRACT_FILE = re.compile(r"contracts/([1-9][0-9]{0,5})\.json", re.ASCII)
_PLAN_FILE = re.compile(r"plans/([A-Za-z0-9._-]+@[0-9]+)\.json", re.ASCII)
_RATE_FILE = re.compile(r"rates/([A-Za-z0-9._-]+@[0-9]+)\.json", re.ASCII)
_AFTER_RATES = ("frozen.json", "journal.json", "journal.txt", "VERIFY.md")
_MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading hostile content can raise besides BillingError; ValueError includes bad UTF-8 and JSON."""


class Facts(NamedTuple):
    """What a verified bundle holds; amounts are decimal text, `excluded` counts events by reason."""

    invoice: str
    customer: str
    period: str
    currency: str
    blocks: int
    segments: int
    events: int
    rated: int
    excluded: dict[str, int]
    lines: int
    rate_versions: dict[str, str]
    contract_hash: str
    net_exact: str
    net: str
    total: str
    merkle_root: str
    manifest_sha256: str


class Report(NamedTuple):
    """The result of a verification: no difference and the facts, or the first difference and no facts."""

    differences: tuple[Difference, ...]
    facts: Facts | None

    @property
    def ok(self) -> bool:
        return not self.differences

    def require_ok(self) -> Facts:
        """The facts; raises BundleDiffers where there is a difference instead."""
        if self.facts is None:
            raise BundleDiffers(self.differences[0])
        return self.facts


class Inputs(NamedTuple):
    """What a replay starts from, read and checked; `files` is the content of every document as found."""

    files: dict[str, bytes]
    invoice: dict[str, Any]
    contracts: list[dict[str, Any]]
    plans: dict[str, dict[str, Any]]
    rates: dict[str, dict[str, Any]]
    frozen: dict[str, Any]
    agreement: Agreement


def verify_bundle(source: BinaryIO | Path | str) -> Report:
    """Replay a bundle from a path or a seekable file. Raises NotABundle for anything that is no bundle at all."""
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            return verify_bundle(file)
    archive = open_bundle(source)
    try:
        return Report((), _verify(archive))
    except BundleDiffers as error:
        return Report((error.difference,), None)


def open_bundle(file: BinaryIO) -> Archive:
    """The zip of a bundle, nothing checked yet. Raises NotABundle for another zip or no zip."""
    archive = Archive(file)
    if MANIFEST not in archive.names and "invoice.json" not in archive.names:
        raise NotABundle("file", "a zip without MANIFEST.json", "give a bundle of an invoice")
    return archive


def read_document(archive: Archive, name: str) -> tuple[bytes, dict[str, Any]]:
    """Bytes and value of a JSON document that must be in canonical form."""
    content = archive.read(name)
    with _named(name):
        value = parse(decode_text(content))
        if not isinstance(value, dict):
            raise differs(name, "content", "a JSON object", value)
        if canonical_bytes(value) != content:
            raise differs(name, "content", "canonical JSON", content[:80])
    return content, value


def _verify(archive: Archive) -> Facts:
    archive.check_layout()
    manifest_content, found_manifest = read_document(archive, MANIFEST)
    for field, known in (("format", FORMAT), ("rules_version", RULES_VERSION)):
        if found_manifest.get(field) != known:
            raise differs(MANIFEST, field, known, found_manifest.get(field))
    blocks = _check_names(archive.names)
    inputs = _read_inputs(archive)
    totals, tree = _replay(archive, blocks, inputs)
    with _named("invoice.json"):
        invoice = _invoice(inputs, totals)
        journal = invoice_transaction(invoice)
    expected = documents(
        invoice=invoice,
        contracts=inputs.contracts,
        plans=inputs.plans,
        rates=inputs.rates,
        journal=journal,
        frozen=inputs.frozen,
    )
    for name, content in expected.items():
        _compare(name, content, inputs.files[name])
    files = {name: entry for name, entry in archive.files.items() if name != MANIFEST}
    manifest = manifest_document(invoice, files, tree)
    _compare(MANIFEST, canonical_bytes(manifest), manifest_content)
    return Facts(
        invoice=invoice["number"],
        customer=invoice["customer"]["id"],
        period=invoice["period"],
        currency=invoice["currency"],
        blocks=blocks,
        segments=len(inputs.frozen["segments"]),
        events=invoice["events"]["accepted"],
        rated=invoice["events"]["rated"],
        excluded=invoice["events"]["excluded"],
        lines=len(invoice["lines"]),
        rate_versions=invoice["contract"]["rate_versions"],
        contract_hash=invoice["contract"]["hash"],
        net_exact=invoice["net_exact"],
        net=invoice["net"],
        total=invoice["total"],
        merkle_root=manifest["merkle_root"],
        manifest_sha256=sha256_hex(manifest_content),
    )


def _check_names(names: Sequence[str]) -> int:
    """Exactly the files of a bundle in their order; the number of blocks."""
    contracts = sorted(int(match[1]) for match in map(_CONTRACT_FILE.fullmatch, names) if match)
    plans, rates = (
        in_version_order(match[1] for match in map(pattern.fullmatch, names) if match)
        for pattern in (_PLAN_FILE, _RATE_FILE)
    )
    blocks = sum(name.startswith("usage/") for name in names)
    expected = ["invoice.json", "lines.csv", *map(contract_file, contracts)]
    expected += [*map(plan_file, plans), *map(rate_file, rates), *_AFTER_RATES]
    for number in range(1, blocks + 1):
        expected.extend(block_names(number))
    expected.append(MANIFEST)
    known, present = set(expected), set(names)
    for name in names:
        if name not in known:
            raise differs(name, "file", "no such file in a bundle", "present")
    for name, found in zip(expected, names, strict=False):
        if name not in present:
            raise differs(name, "file", "present", "missing")
        if name != found:
            raise differs(found, "place in the zip", name, found)
    if len(expected) != len(names):
        raise differs(expected[len(names)], "file", "present", "missing")
    return blocks


def _read_inputs(archive: Archive) -> Inputs:
    files: dict[str, bytes] = {}

    def document(name: str) -> dict[str, Any]:
        files[name], value = read_document(archive, name)
        return value

    invoice, frozen = document("invoice.json"), document("frozen.json")
    named = [match for match in map(_CONTRACT_FILE.fullmatch, archive.names) if match]
    contracts = [document(match[0]) for match in named]
    plans, rates = (
        {match[1]: document(match[0]) for match in map(pattern.fullmatch, archive.names) if match}
        for pattern in (_PLAN_FILE, _RATE_FILE)
    )
    document("journal.json")
    for name in ("lines.csv", "journal.txt", "VERIFY.md"):
        files[name] = archive.read(name)
    for match, contract in zip(named, contracts, strict=True):
        if contract.get("version") != int(match[1]):
            raise differs(match[0], "version", match[1], contract.get("version"))
    with _named("contracts, plans and rates"):
        agreement = compile_agreement(
            invoice["period"], contracts, plans, rates, unsplit=invoice.get("unsplit", False) is True
        )
        _check_used(agreement, plans, rates)
    with _named("invoice.json"):
        _check_identity(invoice, agreement)
    with _named("frozen.json"):
        expected = {"run_id": invoice["run_id"], "customer": invoice["customer"]["id"]}
        expected |= {"period": invoice["period"], "cutoff": invoice["cutoff"], "segments": frozen["segments"]}
        expected["carried"] = invoice.get("carried")
        _compare("frozen.json", canonical_bytes(expected), files["frozen.json"])
    return Inputs(files, invoice, contracts, plans, rates, frozen, agreement)


def _check_used(agreement: Agreement, plans: Mapping[str, Any], rates: Mapping[str, Any]) -> None:
    """Every plan and rate card in the bundle is one that a contract in it names."""
    contracts = [stretch.contract for stretch in (*agreement.stretches, agreement.following)]
    named = {f"{contract.plan}@{contract.plan_version}" for contract in contracts}
    for name in plans:
        if name not in named:
            raise differs(plan_file(name), "file", "a plan that a contract names", name)
    cards = {card for contract in contracts for card in contract.cards}
    for name in rates:
        if name.rpartition("@")[0] not in cards:
            raise differs(rate_file(name), "file", "a rate card that a contract names", name)


def _check_identity(invoice: Mapping[str, Any], agreement: Agreement) -> None:
    """What an invoice says on its own account: who, when, which number. The rest follows from the replay."""
    entity, customer = read_entity(invoice["entity"]), read_customer(invoice["customer"])
    contract = agreement.last.contract
    number, issued_at, cutoff = invoice["number"], invoice["issued_at"], invoice["cutoff"]
    checks = (
        ("entity", contract.entity, entity["id"]),
        ("customer", contract.customer, customer["id"]),
        ("issued_at", canonical_time(issued_at), issued_at),
        ("cutoff", canonical_time(cutoff), cutoff),
        (
            "number",
            invoice_number(entity["invoice_prefix"], int(issued_at[:4]), int(number.rpartition("-")[2])),
            number,
        ),
    )
    for field, expected, found in checks:
        if expected != found:
            raise differs("invoice.json", field, expected, found)
    if type(invoice["run_id"]) is not str:
        raise differs("invoice.json", "run_id", "a text", invoice["run_id"])
    for stretch in (*agreement.stretches, agreement.following):
        if stretch.contract.customer != customer["id"] or stretch.contract.entity != entity["id"]:
            raise differs("contracts", "customer and entity", customer["id"], stretch.contract.customer)


def _replay(archive: Archive, blocks: int, inputs: Inputs) -> tuple[Totals, MerkleTree]:
    """Read every event again, rate it, and compare both with the rows of the bundle."""
    totals, tree, identities = Totals(), MerkleTree(), _Identities()
    positions = Positions({}, _claimed_positions(inputs.invoice))
    segments = _Segments(inputs.frozen["segments"])
    customer, agreement, period = inputs.invoice["customer"]["id"], inputs.agreement, inputs.agreement.period
    previous = ("", "", "")
    for number in range(1, blocks + 1):
        usage_file, rated_file, excluded_file = block_names(number)
        rated_rows, excluded_rows = archive.rows(rated_file), archive.rows(excluded_file)
        rated_row = excluded_row = 0
        for row, line in enumerate(archive.rows(usage_file), start=1):
            try:
                event, segment, received_at, expected = _read_usage(line, customer)
            except BillingError as error:
                raise differs(usage_file, f"raw {error.field}", error.remedy, error.value, row) from None
            except _MALFORMED as error:
                raise differs(usage_file, "row", "a row of eight members", f"{error!r} in {line!r}", row) from None
            _compare_row(usage_file, row, _USAGE, expected, line)
            position = event.row[:3]
            if position <= previous or not period.contains(position[0]) or row > BLOCK_ROWS:
                _refuse_place(usage_file, row, position, previous, period)
            previous = position
            identities.add(event.row.source, event.row.id)
            segments.add(event, segment, received_at, usage_file, row)
            try:
                outcome = rate_event(event.row, agreement.at(event.row.time), totals, positions)
            except InvariantBroken as error:
                raise differs("invoice.json", error.field, error.value, error.remedy) from None
            expected = outcome.text[:-1].encode()
            if outcome.rated:
                rated_row += 1
                _compare_row(rated_file, rated_row, _RATED, expected, next(rated_rows, None))
                tree.append(expected)
            else:
                excluded_row += 1
                _compare_row(excluded_file, excluded_row, _EXCLUDED, expected, next(excluded_rows, None))
        for file, rows, count in ((rated_file, rated_rows, rated_row), (excluded_file, excluded_rows, excluded_row)):
            surplus = next(rows, None)
            if surplus is not None:
                raise differs(file, "row", "the end of the file", surplus, count + 1)
    segments.finish()
    repeated = identities.repeated()
    if repeated is not None:
        _refuse_repeated(archive, blocks, repeated)
    return totals, tree


def _claimed_positions(invoice: Mapping[str, Any]) -> dict[str, int]:
    """What the invoice says that charges counted; volume prices need it first, and the replay must come to it."""
    claimed = invoice.get("positions")
    if not isinstance(claimed, dict) or any(type(counted) not in (int, str) for counted in claimed.values()):
        raise differs("invoice.json", "positions", "units, or an amount as text, by charge or pool", claimed)
    with _named("invoice.json"):
        return {
            name: parse_amount(counted, f"positions.{name}") if isinstance(counted, str) else counted
            for name, counted in claimed.items()
        }


def _read_usage(line: bytes, customer: str) -> tuple[StoredEvent, str, str, bytes]:
    """The event of a usage row read from its raw text, its segment and time received, and the row that they make."""
    _, _, _, _, segment, received_at, _, raw = json.loads(line.decode())
    if not type(segment) is type(received_at) is type(raw) is str:
        raise TypeError("segment, received and raw are text")
    event = StoredEvent(row_of(read_event(read_raw(raw), customer)), raw, sha256_hex(raw.encode()))
    return event, segment, received_at, usage_line(event, segment, received_at)[:-1].encode()


def _invoice(inputs: Inputs, totals: Totals) -> dict[str, Any]:
    invoice, agreement = inputs.invoice, inputs.agreement
    if totals.parked and agreement.blocks_parked:
        raise differs("invoice.json", "events.excluded.parked", "0: the contract says block", totals.parked)
    draft = Draft(
        run_id=invoice["run_id"],
        cutoff=invoice["cutoff"],
        entity=invoice["entity"],
        customer=invoice["customer"],
        agreement=agreement,
        carried=invoice.get("carried"),
    )
    document = draft_document(draft, totals)
    return issued_document(document, number=invoice["number"], issued_at=invoice["issued_at"])


class _Segments:
    """Events of each frozen segment until it is complete; then its digest and sums are compared and it is let go."""

    def __init__(self, frozen: Any) -> None:
        self._frozen: dict[str, Mapping[str, Any]] = {}
        self._open: dict[str, tuple[str, list[tuple[str, str, int, str]], dict[ClassKey, int]]] = {}
        with _named("frozen.json"):
            for segment in frozen:
                key = segment["key"]
                if type(key) is not str or key in self._frozen:
                    raise differs("frozen.json", "segments", "each segment key once", key)
                if segment.keys() != {"key", "digest", "events", "sums"}:
                    raise differs("frozen.json", f"segments {key}", "key, digest, events, sums", list(segment))
                self._frozen[key] = segment

    def add(self, event: StoredEvent, key: str, received_at: str, file: str, row: int) -> None:
        frozen = self._frozen.get(key)
        if frozen is None:
            raise differs(file, "segment", "one of frozen.json that is not full yet", key, row)
        if key not in self._open:
            with _named(file, row):
                canonical_time(received_at, "received")
            self._open[key] = (received_at, [], {})
        first_received_at, events, sums = self._open[key]
        if received_at != first_received_at:
            raise differs(file, "received", first_received_at, received_at, row)
        usage = event.row
        events.append((usage.source, usage.id, usage.revision, event.payload_sha256))
        add_quantities(sums, usage.provider, usage.model, usage.quantities, usage.service_tier)
        if len(events) == frozen["events"]:
            expected = {"digest": segment_digest(received_at, events), "events": len(events), "sums": sums}
            for field, value in expected.items():
                if canonical_json(frozen[field]) != canonical_json(value):
                    raise differs("frozen.json", f"segments {key} {field}", value, frozen[field])
            del self._frozen[key], self._open[key]

    def finish(self) -> None:
        for key, segment in self._frozen.items():
            found = len(self._open[key][1]) if key in self._open else 0
            raise differs("frozen.json", f"segments {key} events", f"{found}, as in usage", segment["events"])


class _Identities:
    """Whether any (source, id) stands twice, in 16 bytes per event."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(256)]

    def add(self, source: str, event_id: str) -> None:
        digest = bytes.fromhex(identity_hash(source, event_id)[:32])
        self._buckets[digest[0]] += digest

    def repeated(self) -> bytes | None:
        for bucket in self._buckets:
            seen: set[bytes] = set()
            for at in range(0, len(bucket), 16):
                digest = bytes(bucket[at : at + 16])
                if digest in seen:
                    return digest
                seen.add(digest)
        return None


def _refuse_repeated(archive: Archive, blocks: int, repeated: bytes) -> None:
    first = ""
    for number in range(1, blocks + 1):
        file = block_names(number)[0]
        for row, line in enumerate(archive.rows(file), start=1):
            _, source, event_id, *_ = json.loads(line.decode())
            if bytes.fromhex(identity_hash(source, event_id)[:32]) == repeated:
                if first:
                    raise differs(file, "id", f"each event once; it is also in {first}", f"{source} {event_id}", row)
                first = f"{file} row {row}"


def _refuse_place(file: str, row: int, position: Sequence[str], previous: Sequence[str], period: Period) -> None:
    if row > BLOCK_ROWS:
        raise differs(file, "row", f"at most {BLOCK_ROWS} rows", "more", row)
    if not period.contains(position[0]):
        raise differs(file, "time", f"from {period.start} to before {period.end}", position[0], row)
    raise differs(file, "order", f"after {' '.join(previous)}", " ".join(position), row)


def _compare_row(file: str, row: int, names: Sequence[str], expected: bytes, found: bytes | None) -> None:
    if expected == found:
        return
    if found is None:
        raise differs(file, "row", expected.decode(), "the end of the file", row)
    try:
        members = json.loads(found.decode())
    except _MALFORMED:
        members = None
    if isinstance(members, list) and len(members) == len(names):
        for name, wanted, member in zip(names, json.loads(expected), members, strict=True):
            if wanted != member:
                raise differs(file, name, wanted, member, row)
    raise differs(file, "row", expected.decode(), found, row)


def _compare(name: str, expected: bytes, found: bytes) -> None:
    """The bytes of a whole file; a difference is named by member path or by line."""
    if expected == found:
        return
    if name.endswith(".json"):
        path, left, right = _first_difference(json.loads(expected), json.loads(found), "")
        raise differs(name, path or "content", left, right)
    wanted, lines = expected.split(b"\n"), found.split(b"\n")
    for row, (left_line, right_line) in enumerate(zip(wanted, lines, strict=False), start=1):
        if left_line != right_line:
            raise differs(name, "line", left_line, right_line, row)
    raise differs(name, "lines", len(wanted), len(lines))


def _first_difference(expected: Any, found: Any, path: str) -> tuple[str, Any, Any]:
    pairs: Iterator[tuple[str, Any, Any]]
    if isinstance(expected, dict) and isinstance(found, dict):
        names = sorted({*expected, *found})
        pairs = (
            (f"{path}.{name}".lstrip("."), expected.get(name, "absent"), found.get(name, "absent")) for name in names
        )
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = ((f"{path}[{n}]", *both) for n, both in enumerate(zip(expected, found, strict=True)))
    else:
        return path, expected, found
    for inner, left, right in pairs:
        if canonical_json(left) != canonical_json(right):
            return _first_difference(left, right, inner)
    return path, expected, found


@contextmanager
def _named(file: str, row: int | None = None) -> Iterator[None]:
    """Anything that reading this file raises is a difference in it."""
    try:
        yield
    except BundleDiffers:
        raise
    except BillingError as error:
        raise differs(file, error.field, error.remedy, error.value, row) from None
    except _MALFORMED as error:
        raise differs(file, "content", "well formed", repr(error), row) from None
