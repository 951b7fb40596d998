"""What the stores say went wrong. Class names are the codes that HTTP and Step Functions see."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NotConnected

THROTTLES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_TRANSIENT = THROTTLES | {
    "ConditionalRequestConflict",
    "InternalError",
    "InternalServerError",
    "OperationAborted",
    "ReplicatedWriteConflictException",
    "RequestTimeout",
    "ServiceUnavailable",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
}


class NotFound(Exception):
    """There is no such thing, or it is not yours to see."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"{what} {ascii(name)[1:-1][:120]} does not exist")


class ContentConflict(Exception):
    """The same key is stored with other content; nothing was written (D12)."""

    def __init__(self, what: str, name: str, stored_hash: str) -> None:
        self.stored_hash = stored_hash
        super().__init__(f"{what} {name} exists with other content (stored hash {stored_hash}); make a new version")


class TransientError(Exception):
    """Throttled, in conflict with another writer, or unreachable: the same call may succeed a moment later."""


def is_transient(error: BaseException) -> bool:
    """True where repeating the same call may succeed. A lost answer is transient: the call may have been applied."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        if code == "TransactionCanceledException":
            reasons = cancellation_codes(error)
            return bool(reasons) and all(reason in _TRANSIENT or reason == "None" for reason in reasons)
        return code in _TRANSIENT or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return isinstance(error, HTTPClientError | IncompleteReadError | NotConnected)


def translate(error: ClientError | BotoCoreError) -> Exception:
    """TransientError where a repetition may help, else the error as it is. Use: `raise translate(error) from error`."""
    return TransientError(str(error)[:300]) if is_transient(error) else error


def cancellation_codes(error: ClientError) -> list[str]:
    """The reason code of each action of a cancelled transaction, in their order; "None" where it was fine."""
    reasons = error.response.get("CancellationReasons") or []
    return [str(reason.get("Code", "None")) for reason in reasons]
