"""Bundles taken apart, changed and put together again the way a forger or a bad disk would."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from hashlib import sha256

from lambdas.billing.archive import ArchiveWriter
from lambdas.billing.bundle import MANIFEST
from lambdas.billing.canonical import canonical_bytes


def unpacked(bundle: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with ArchiveWriter(out) as archive:
        for name, content in files.items():
            archive.add(name, content)
    return out.getvalue()


def with_hashes_mended(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files with a manifest that lists them as they are now."""
    manifest = json.loads(files[MANIFEST])
    manifest["files"] = {
        name: {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
        if name != MANIFEST
    }
    return {**files, MANIFEST: canonical_bytes(manifest)}
