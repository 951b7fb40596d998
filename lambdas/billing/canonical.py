"""One byte form for one value: the JSON that is hashed, stored as evidence and compared."""

from __future__ import annotations

import hashlib
import json

from lambdas.billing.errors import InvariantBroken

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
encode_string = json.encoder.encode_basestring
"""A JSON string literal, as `canonical_json` would print it. For the hot path."""


def canonical_json(value: object) -> str:
    """Compact JSON, keys in code point order, non-ASCII kept, for values already known to hold no floats."""
    return _ENCODER.encode(value)


def canonical_bytes(value: object) -> bytes:
    """`canonical_json` in UTF-8. Raises InvariantBroken for a float anywhere inside."""
    refuse_floats(value)
    return canonical_json(value).encode()


def content_hash(value: object) -> str:
    """SHA-256 of the canonical form, lower-case hex."""
    return sha256_hex(canonical_bytes(value))


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def refuse_floats(value: object) -> None:
    """No float may reach a hash, a price or a quantity: raise InvariantBroken where one is found."""
    if isinstance(value, float):
        raise InvariantBroken("value", value, "quantities are integers and money is decimal text; no floats")
    if isinstance(value, dict):
        for item in value.values():
            refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            refuse_floats(item)
