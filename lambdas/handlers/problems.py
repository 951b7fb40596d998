"""HTTP answers, and the one table from errors to RFC 9457 problems."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lambdas.billing import errors
from lambdas.store.errors import ContentConflict, NotFound, TransientError


class Forbidden(Exception):
    """The key may not do this: `scope` names what is missing."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer with a JSON body."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def as_lambda_proxy(self) -> dict[str, Any]:
        """The shape API Gateway's payload format 2.0 wants."""
        return {
            "statusCode": self.status,
            "headers": {"content-type": self.content_type, "cache-control": "no-store", **self.headers},
            "body": json.dumps(self.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
        }


STATUS: dict[type[Exception], int] = {
    errors.EventRejected: 422,
    errors.InvalidAmount: 422,
    errors.InvalidTime: 422,
    errors.UnknownClass: 422,
    errors.PlanHasNoOpenTier: 422,
    errors.PlanRefused: 422,
    errors.UnitsMixed: 422,
    errors.MixedStories: 422,
    errors.CliffAboveLimit: 422,
    errors.DocumentRefused: 422,
    errors.RatesOverlap: 409,
    errors.AccountParked: 409,
    ContentConflict: 409,
    NotFound: 404,
    Forbidden: 403,
    TransientError: 503,
}
"""Exact classes only: an error that is not here is unforeseen and answers 500 without its text."""


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> Response:
    """An RFC 9457 problem. `code` is the error's class name and part of the type URI."""
    body = {
        "type": f"urn:billproof:problem:{code}",
        "title": _title(code),
        "status": status,
        "detail": detail,
        **members,
    }
    return Response(status, body, headers or {}, "application/problem+json")


def problem_of(error: Exception) -> Response | None:
    """The problem that an error answers with, or None where the error is not one a caller can act on."""
    status = STATUS.get(type(error))
    if status is None:
        return None
    code = type(error).__name__
    headers = {"retry-after": "2"} if status == 503 else {}
    if isinstance(error, errors.BillingError):
        return problem(status, code, str(error), headers, field=error.field, value=error.value, remedy=error.remedy)
    return problem(status, code, str(error), headers)


def _title(code: str) -> str:
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in code).strip()
    return words[:1].upper() + words[1:]
