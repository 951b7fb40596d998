"""What the steps of a billing run have recorded, read back: frozen inputs, rated blocks, drafts, invoices.

Nothing here computes a charge. Later steps, invoices and traces answer from these records (R14).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement, compile_agreement
from lambdas.billing.bundle import Block
from lambdas.billing.canonical import content_hash, sha256_hex
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.invoice import issued_document
from lambdas.billing.pricing import read_cards
from lambdas.billing.rate_cards import RateCardVersion
from lambdas.billing.rating import Positions
from lambdas.billing.shards import shard_positions
from lambdas.store.billing_items import Account, Invoice
from lambdas.store.evidence import Evidence, block_key, frozen_key, measure_key, summary_key

KINDS = ("usage", "rated", "excluded")


class BlockEntry(NamedTuple):
    """One block as its shard's summary lists it. `number` runs over the whole account, as in the bundle."""

    number: int
    shard: int
    facts: Mapping[str, Any]


def read_frozen(evidence: Evidence, run_id: str, customer: str, freeze: int) -> dict[str, Any]:
    """The frozen inputs of one freeze. Raises NotFound before it is made."""
    frozen: dict[str, Any] = evidence.get_json(frozen_key(run_id, customer, freeze))
    return frozen


def frozen_agreement(frozen: Mapping[str, Any]) -> Agreement:
    """The contract versions, plans and prices that were frozen, compiled."""
    documents = frozen["contracts"], frozen["plans"], frozen["rates"]
    return compile_agreement(frozen["period"], *documents, unsplit=frozen["unsplit"])


def frozen_cards(frozen: Mapping[str, Any]) -> list[RateCardVersion]:
    """Every rate card version that was frozen: those that price the usage, and those the seller watches margins with.
    Of a freeze made before the latter were frozen apart, all are among the former."""
    return read_cards({**frozen["rates"], **frozen.get("costs", {})})


def read_summary(evidence: Evidence, frozen: Mapping[str, Any], shard: int) -> dict[str, Any]:
    """What a shard came to. Raises NotFound before it is rated."""
    key = summary_key(frozen["run_id"], frozen["customer"], frozen["freeze"], shard)
    summary: dict[str, Any] = evidence.get_json(key)
    return summary


def read_positions(evidence: Evidence, frozen: Mapping[str, Any], shard: int) -> Positions:
    """Where charges stand when a shard begins, from the measures of all shards. Raises NotFound before one is made."""
    names = frozen["run_id"], frozen["customer"], frozen["freeze"]
    measures = [evidence.get_json(measure_key(*names, part["n"])) for part in frozen["shards"]]
    return shard_positions(measures, shard)


def block_entries(evidence: Evidence, frozen: Mapping[str, Any]) -> Iterator[BlockEntry]:
    """The blocks of all shards, in the order of the account's events."""
    number = 0
    for shard in frozen["shards"]:
        for facts in read_summary(evidence, frozen, shard["n"])["blocks"]:
            number += 1
            yield BlockEntry(number, shard["n"], facts)


def read_block(evidence: Evidence, frozen: Mapping[str, Any], entry: BlockEntry) -> Block:
    """The three files of a block. Raises InvariantBroken where one is not as it was recorded."""
    return Block(*(read_block_file(evidence, frozen, entry, kind) for kind in KINDS))


def read_block_file(evidence: Evidence, frozen: Mapping[str, Any], entry: BlockEntry, kind: str) -> bytes:
    """One file of a block; empty without an object where the block has no such rows."""
    if not entry.facts[kind]:
        return b""
    names = frozen["run_id"], frozen["customer"], frozen["freeze"]
    key = block_key(*names, entry.shard, kind=kind, block=entry.facts["n"])
    lines = evidence.get_lines(key)
    if sha256_hex(lines) != entry.facts["sha256"][kind]:
        raise InvariantBroken(key, sha256_hex(lines), f"its SHA-256 was recorded as {entry.facts['sha256'][kind]}")
    return lines


def read_draft(evidence: Evidence, key: str, digest: str) -> dict[str, Any]:
    """A draft. Raises InvariantBroken where it is not the one that was recorded."""
    draft: dict[str, Any] = evidence.get_json(key)
    if content_hash(draft) != digest:
        raise InvariantBroken(key, content_hash(draft), f"its hash was recorded as {digest}")
    return draft


def read_invoice(evidence: Evidence, invoice: Invoice) -> dict[str, Any]:
    """The document of an issued invoice: its draft with number and time, the same whoever asks and whenever."""
    draft = read_draft(evidence, invoice.draft_key, invoice.draft_hash)
    document = issued_document(draft, number=invoice.number, issued_at=invoice.issued_at)
    if content_hash(document) != invoice.document_hash:
        raise InvariantBroken(
            invoice.number, content_hash(document), f"its hash was recorded as {invoice.document_hash}"
        )
    return document


def frozen_of(evidence: Evidence, account: Account) -> dict[str, Any] | None:
    """The last frozen inputs of an account; None before the first freeze. All freezes have the same events."""
    if not account.frozen_freeze:
        return None
    return read_frozen(evidence, account.run_id, account.customer, account.frozen_freeze)
