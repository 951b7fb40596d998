"""Reading documents with a closed schema: every refusal names the field, the value and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

from lambdas.billing.errors import DocumentRefused
from lambdas.billing.money import minor_digits
from lambdas.billing.strict_json import Duplicated

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
FREE_TEXT = 200
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""Control characters, invisible ones and those that turn the direction of text. A list of ours: what Python calls
printable grows with its version, and a document that was read once must be readable for ever."""


def closed(document: Any, *, required: Set[str], optional: Set[str] = frozenset(), at: str = "") -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise DocumentRefused(at.rstrip(".") or "body", document, f"an object with {', '.join(sorted(required))}")
    if isinstance(document, Duplicated):
        raise DocumentRefused(f"{at}{document.key}", "more than once", "give each member once")
    for name in document:
        if name not in required and name not in optional:
            known = ", ".join(sorted({*required, *optional}))
            raise DocumentRefused(f"{at}{name}", document[name], f"unknown member; known: {known}")
    for name in sorted(required):
        if name not in document:
            raise DocumentRefused(f"{at}{name}", None, "required")
    return dict(document)


def check_match(fields: Mapping[str, Any], field: str, pattern: re.Pattern[str], remedy: str, at: str = "") -> None:
    """Raise DocumentRefused unless a member is text that the pattern matches whole."""
    if type(fields[field]) is not str or not pattern.fullmatch(fields[field]):
        raise DocumentRefused(f"{at}{field}", fields[field], remedy)


def check_text(fields: Mapping[str, Any], field: str) -> None:
    """Raise DocumentRefused unless a member is short printable text."""
    text = fields[field]
    if type(text) is not str or not 0 < len(text) <= FREE_TEXT or _UNSHOWABLE.search(text):
        raise DocumentRefused(field, text, f"1 to {FREE_TEXT} printable characters")


def check_choice(fields: Mapping[str, Any], field: str, choices: tuple[str, ...], at: str = "") -> None:
    """Raise DocumentRefused unless a member is one of the choices."""
    if type(fields[field]) is not str or fields[field] not in choices:
        raise DocumentRefused(f"{at}{field}", fields[field], f"one of: {', '.join(choices)}")


def version_of(fields: Mapping[str, Any], field: str = "version") -> int:
    """A version number member: a whole number from 1."""
    version = fields[field]
    if type(version) is not int or not 0 < version < 10**6:
        raise DocumentRefused(field, version, "a whole number from 1")
    return version


def currency_of(fields: Mapping[str, Any]) -> str:
    """The currency member: the code of a currency that can be billed."""
    currency = fields["currency"]
    if type(currency) is not str:
        raise DocumentRefused("currency", currency, "an ISO 4217 code such as USD")
    minor_digits(currency)
    return currency
