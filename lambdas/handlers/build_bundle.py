"""Seventh step, in parallel: build the bundle of an issued invoice, prove it, and store it once (DESIGN section 6)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, BinaryIO, cast

from lambdas.billing.bundle import Block, Manifest, write_bundle
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.verify import verify_bundle
from lambdas.handlers import stores
from lambdas.handlers.entry import task_entry
from lambdas.handlers.issue_invoices import write_document
from lambdas.handlers.run_records import block_entries, read_block, read_frozen
from lambdas.store.billing import Billing
from lambdas.store.billing_items import ISSUED, Invoice
from lambdas.store.errors import ContentConflict
from lambdas.store.evidence import Evidence, bundle_key
from lambdas.store.ledger import Ledger


def build_bundle(run_id: str, customer: str, *, billing: Billing, ledger: Ledger, evidence: Evidence) -> dict[str, Any]:
    """Bundle an issued account; leave every other as it is. Raises InvariantBroken where the bundle does not replay to
    the invoice (invariant 5): then nothing is stored."""
    account = billing.account(run_id, customer)
    if account.status == ISSUED:
        invoice = billing.invoice(account.number)
        document = write_document(invoice, evidence)
        frozen = read_frozen(evidence, run_id, customer, account.freeze)
        with tempfile.TemporaryFile() as temporary:
            file = cast(BinaryIO, temporary)
            manifest = write_bundle(
                file,
                invoice=document,
                contracts=frozen["contracts"],
                plans=frozen["plans"],
                rates=frozen["rates"],
                journal=ledger.of_invoice(invoice.entity, invoice.issued_at, invoice.number),
                frozen=frozen,
                blocks=_blocks(evidence, frozen),
            )
            digest = _store(file, invoice, manifest, evidence)
        bundled = invoice._replace(
            bundle_key=bundle_key(invoice.number),
            bundle_sha256=digest,
            manifest_sha256=manifest.sha256,
            merkle_root=manifest.merkle_root,
        )
        billing.record_bundle(bundled, account)
        account = billing.account(run_id, customer)
    return {"run_id": run_id, "customer": customer, "status": account.status, "number": account.number}


def _blocks(evidence: Evidence, frozen: Mapping[str, Any]) -> Iterator[Block]:
    for entry in block_entries(evidence, frozen):
        yield read_block(evidence, frozen, entry)


def _store(file: BinaryIO, invoice: Invoice, manifest: Manifest, evidence: Evidence) -> str:
    """Verify and store a bundle; the SHA-256 of the stored zip. A bundle that an earlier try stored stands if it has
    the same content: the compressed bytes may differ where zlib does."""
    _prove(file, manifest)
    key = bundle_key(invoice.number)
    try:
        return evidence.put_file_once(key, file)
    except ContentConflict as conflict:
        with tempfile.TemporaryFile() as temporary, evidence.open_stream(key) as stored:
            shutil.copyfileobj(cast(IO[bytes], stored), temporary)
            _prove(cast(BinaryIO, temporary), manifest)
        return conflict.stored_hash


def _prove(file: BinaryIO, manifest: Manifest) -> None:
    report = verify_bundle(file)
    if not report.ok or report.require_ok().manifest_sha256 != manifest.sha256:
        found = report.differences[0] if report.differences else "another manifest"
        raise InvariantBroken("bundle", found, "a bundle must replay to its invoice before it is stored")


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return build_bundle(
        event["run_id"],
        event["customer"],
        billing=stores.billing(),
        ledger=stores.ledger(),
        evidence=stores.evidence(),
    )


handler = task_entry(_handle)
