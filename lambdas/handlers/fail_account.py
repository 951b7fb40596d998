"""Where the state machine sends an account whose step failed: the failure is recorded, the others go on (R28)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lambdas.handlers import stores
from lambdas.handlers.entry import logger, task_entry
from lambdas.store.billing import Billing

_LONGEST_DETAIL = 4000


def fail_account(
    run_id: str, customer: str, attempt: int, error: Mapping[str, Any], *, billing: Billing
) -> dict[str, Any]:
    """Record Step Functions' error object `{"Error", "Cause"}` on the account. The first failure of an attempt stands;
    an invoice that is issued stays issued."""
    failure = {"code": str(error.get("Error", "Unknown")), "detail": _detail(error.get("Cause"))}
    logger().error("account failed", extra={"run_id": run_id, "customer": customer, "code": failure["code"]})
    account = billing.record_failure(run_id, customer, attempt, failure)
    return {"run_id": run_id, "customer": customer, "status": account.status}


def _detail(cause: Any) -> str:
    """The message inside the cause: a Lambda failure's cause is JSON with `errorMessage`."""
    text = str(cause or "")
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and "errorMessage" in parsed:
        text = str(parsed["errorMessage"])
    return text[:_LONGEST_DETAIL]


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    return fail_account(event["run_id"], event["customer"], event["attempt"], event["error"], billing=stores.billing())


handler = task_entry(_handle)
