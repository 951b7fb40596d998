"""The container of a bundle: a zip of one layout, written the same way each time and read without trust.

What it holds is known to `bundle`. The reader takes no word of the file for granted: members lie back to back with
nothing between, before or behind them, their two headers agree, and they expand to exactly what they declare.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from hashlib import sha256
from posixpath import commonprefix
from typing import Any, BinaryIO, Self

from lambdas.billing.errors import BundleDiffers, Difference, NotABundle, clip

MAX_ROW_BYTES = 2**20
"""Longest row of a `.jsonl` member: an event of 64 KB, twice quoted, is well below it."""
MAX_DOCUMENT_BYTES = 2**28
MAX_EXPANSION = 100
"""A document above one mebibyte may expand at most so many times: hashes and digests do not compress."""

_CHUNK = 2**16
_DATE = (1980, 1, 1, 0, 0, 0)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]*", re.ASCII)
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, EOFError, struct.error)


class ArchiveWriter:
    """Writes members in the order given, with fixed dates, attributes and level. `out` must be seekable."""

    def __init__(self, out: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self.files: dict[str, dict[str, Any]] = {}
        """SHA-256 and size of the content of each member so far."""

    def add(self, name: str, content: bytes) -> None:
        info = zipfile.ZipInfo(name, _DATE)
        info.create_system = 3
        info.external_attr = 0o644 << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        self._zip.writestr(info, content)
        self.files[name] = {"sha256": sha256(content).hexdigest(), "bytes": len(content)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()


class Archive:
    """A zip opened for checking. Raises NotABundle for no zip, BundleDiffers for a zip that hides or lacks anything."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        try:
            self._zip = zipfile.ZipFile(file)
        except _UNREADABLE as error:
            raise NotABundle("file", str(error), "give a bundle: a complete, undamaged zip file") from None
        self._members = {info.filename: info for info in self._zip.infolist()}
        self.names = tuple(info.filename for info in self._zip.infolist())
        self.files: dict[str, dict[str, Any]] = {}
        """SHA-256 and size of the content of each member that was read to its end."""

    def check_layout(self) -> None:
        """Refuse anything but plain members back to back from the first byte to the last."""
        seen: set[str] = set()
        end = 0
        tail = 0
        for info in self._zip.infolist():
            name = info.filename
            if not _NAME.fullmatch(name) or name != info.orig_filename:
                raise differs(name, "name", "a plain file name", name)
            if name in seen:
                raise differs(name, "name", "each file once", "twice")
            seen.add(name)
            if info.flag_bits or info.compress_type != zipfile.ZIP_DEFLATED:
                state = "encrypted" if info.flag_bits & 1 else f"flags {info.flag_bits}, method {info.compress_type}"
                raise differs(name, "compression", "deflate, not encrypted, no flags", state)
            large = info.header_offset > zipfile.ZIP64_LIMIT
            if info.comment or len(info.extra) != (12 if large else 0):
                raise differs(name, "zip entry", "no comment, no extra fields", "some")
            if info.header_offset != end:
                raise differs(name, "position in the zip", f"byte {end}", f"byte {info.header_offset}")
            header = info.FileHeader(zip64=False)
            if self._read(end, len(header)) != header:
                raise differs(name, "zip header", "the same as in the zip's directory", "another")
            end += len(header) + info.compress_size
            tail += 46 + len(name) + len(info.extra)
        if self._zip.start_dir != end:
            raise differs("zip", "position of the directory", f"byte {end}", f"byte {self._zip.start_dir}")
        zip64 = len(seen) > zipfile.ZIP_FILECOUNT_LIMIT or end > zipfile.ZIP64_LIMIT or tail > zipfile.ZIP64_LIMIT
        size = end + tail + 22 + (76 if zip64 else 0)
        if self._file.seek(0, 2) != size:
            raise differs("zip", "size", f"{size} bytes", f"{self._file.tell()} bytes")

    def read(self, name: str) -> bytes:
        """The whole of a document."""
        info = self._member(name)
        limit = MAX_DOCUMENT_BYTES if info.file_size <= max(2**20, MAX_EXPANSION * info.compress_size) else 2**20
        if info.file_size > limit:
            raise differs(name, "size", f"at most {limit} bytes", f"{info.file_size} bytes")
        return b"".join(self._chunks(info))

    def rows(self, name: str) -> Iterator[bytes]:
        """The rows of a `.jsonl` member without their line feeds; one row and one chunk in memory."""
        rest = b""
        for chunk in self._chunks(self._member(name)):
            rows = (rest + chunk).split(b"\n")
            rest = rows.pop()
            yield from rows
            if len(rest) > MAX_ROW_BYTES:
                raise differs(name, "row", f"at most {MAX_ROW_BYTES} bytes", "a longer one")
        if rest:
            raise differs(name, "last row", "a line feed at its end", "none")

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise differs(name, "file", "present", "missing")
        return self._members[name]

    def _chunks(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        name = info.filename
        digest, crc, size = sha256(), 0, 0
        at = info.header_offset + 30 + len(name.encode())
        end = at + info.compress_size
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        while not inflater.eof:
            data = inflater.unconsumed_tail
            if not data:
                data = self._read(at, min(_CHUNK, end - at))
                at += len(data)
            try:
                chunk = inflater.decompress(data, _CHUNK)
            except zlib.error:
                raise differs(name, "compressed data", "readable", "damaged") from None
            if not chunk and not data and not inflater.eof:
                raise differs(name, "compressed data", "complete", "cut off")
            digest.update(chunk)
            crc = zlib.crc32(chunk, crc)
            size += len(chunk)
            if size > info.file_size:
                raise differs(name, "size", f"{info.file_size} bytes as declared", "more")
            yield chunk
        if at != end or inflater.unused_data:
            raise differs(name, "compressed data", "nothing behind its end", "more bytes")
        if (size, crc) != (info.file_size, info.CRC):
            raise differs(name, "size and CRC", f"{info.file_size} {info.CRC:08x}", f"{size} {crc:08x}")
        self.files[name] = {"sha256": digest.hexdigest(), "bytes": size}

    def _read(self, at: int, length: int) -> bytes:
        self._file.seek(at)
        return self._file.read(length)


def differs(file: str, field: str, expected: object, found: object, row: int | None = None) -> BundleDiffers:
    """The named difference, every part short enough to print; long values are shown from where they differ."""
    wanted, seen = _shown(expected), _shown(found)
    if wanted == seen:
        wanted, seen = ascii(expected), ascii(found)
    start = len(commonprefix((wanted, seen))) - 20
    if start > 0:
        wanted, seen = f"...{wanted[start:]}", f"...{seen[start:]}"
    return BundleDiffers(Difference(clip(file), row, clip(field), clip(wanted), clip(seen)))


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    try:
        return value if isinstance(value, str) else ascii(value)
    except (RecursionError, ValueError):
        return clip(value)
