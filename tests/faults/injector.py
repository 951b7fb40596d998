"""Faults between our code and AWS: deaths, lost answers, refusals, each at an exact write.

    with watch() as calls:              # nothing goes wrong; how many writes are there?
        do_it()
    for n in range(1, calls.writes + 1):
        with die(n):                    # the process ends when its n-th write has been applied
            with suppress(Killed): do_it()
        do_it()                         # and the repetition must end in the same state

Works on every botocore client in the process (boto3 and PynamoDB alike) and under threads. A write is a call that
changes something; only those that AWS applied are counted, refusals by a condition are not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest.mock import patch

from botocore.client import BaseClient
from botocore.endpoint import Endpoint
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ConnectTimeoutError, ReadTimeoutError

WRITES = frozenset(
    {
        "BatchWriteItem",
        "CompleteMultipartUpload",
        "CopyObject",
        "DeleteItem",
        "DeleteObject",
        "PutEvents",
        "PutItem",
        "PutObject",
        "SendMessage",
        "StartExecution",
        "TransactWriteItems",
        "UpdateItem",
    }
)


class Killed(BaseException):
    """The process ends here: no `except Exception` sees it."""


class Call(NamedTuple):
    """One call as our code made it."""

    operation: str
    parameters: Mapping[str, Any]

    @property
    def is_write(self) -> bool:
        return self.operation in WRITES

    @property
    def tables(self) -> set[str]:
        """The DynamoDB tables it names."""
        actions = self.parameters.get("TransactItems", [])
        named = {next(iter(action.values()))["TableName"] for action in actions}
        return named | ({self.parameters["TableName"]} if "TableName" in self.parameters else set())


Choice = Callable[[Call], bool]


def any_write(call: Call) -> bool:
    return call.is_write


def on_table(part: str) -> Choice:
    """Writes that name a table with `part` in its name."""
    return lambda call: call.is_write and any(part in table for table in call.tables)


def operation(*names: str) -> Choice:
    return lambda call: call.operation in names


@dataclass
class Calls:
    """What was called while a fault, or none, was in place."""

    choice: Choice
    made: list[Call] = field(default_factory=list)
    """All calls, refused and failed ones too."""
    applied: list[Call] = field(default_factory=list)
    """The chosen ones that AWS applied, in order."""
    struck: int = 0
    """How often the fault struck."""
    _asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def writes(self) -> int:
        return len(self.applied)

    def ask(self, call: Call) -> int:
        """Note a call that is about to be made; answers which of the chosen ones it is, from 1 (0: not chosen)."""
        with self._lock:
            self.made.append(call)
            if not self.choice(call):
                return 0
            self._asked += 1
            return self._asked

    def apply(self, call: Call) -> int:
        """Note a chosen call that AWS applied; answers which one it is, from 1."""
        with self._lock:
            self.applied.append(call)
            return len(self.applied)

    def strike(self) -> None:
        with self._lock:
            self.struck += 1


Before = Callable[[BaseClient, Call, int], None]
After = Callable[[Call, int], None]


def _nothing_before(_client: BaseClient, _call: Call, _number: int) -> None: ...


def _nothing_after(_call: Call, _number: int) -> None: ...


@contextmanager
def _between(choice: Choice, before: Before = _nothing_before, after: After = _nothing_after) -> Iterator[Calls]:
    calls = Calls(choice)
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def make_api_call(client: BaseClient, name: str, parameters: dict[str, Any]) -> Any:
        call = Call(name, parameters)
        asked = calls.ask(call)
        if not asked:
            return make(client, name, parameters)
        try:
            before(client, call, asked)
        except BaseException:
            calls.strike()
            raise
        answer = make(client, name, parameters)
        try:
            after(call, calls.apply(call))
        except BaseException:
            calls.strike()
            raise
        return answer

    with patch.object(BaseClient, "_make_api_call", make_api_call):
        yield calls


def watch(choice: Choice = any_write) -> Any:
    """No fault: only see what is called."""
    return _between(choice)


def die(number: int, choice: Choice = any_write) -> Any:
    """The process ends right after its `number`-th write was applied."""

    def after(call: Call, at: int) -> None:
        if at == number:
            raise Killed(f"after write {number}: {call.operation}")

    return _between(choice, after=after)


def die_before(number: int, choice: Choice = any_write) -> Any:
    """The process ends when it is about to make its `number`-th write; that one is not applied."""

    def before(_client: BaseClient, call: Call, at: int) -> None:
        if at == number:
            raise Killed(f"before write {number}: {call.operation}")

    return _between(choice, before=before)


URL = "https://aws.example"
LOST: Mapping[str, BotoCoreError] = {
    "closed": ConnectionClosedError(endpoint_url=URL),
    "read timeout": ReadTimeoutError(endpoint_url=URL),
}
"""How an answer is lost: the write was applied, the caller does not know."""
UNREACHED: Mapping[str, BotoCoreError] = {
    "connect timeout": ConnectTimeoutError(endpoint_url=URL),
}
"""How a call is not even sent."""


def lose(number: int, choice: Choice = any_write, *, how: str = "closed", times: int = 1) -> Any:
    """The `number`-th write (and the `times - 1` next) is applied; its answer is lost, also to the SDK's retries."""

    def after(_call: Call, at: int) -> None:
        if number <= at < number + times:
            raise LOST[how]

    return _between(choice, after=after)


Refusal = Callable[[BaseClient, Call], BaseException]


def refuse(number: int, refusal: str | Refusal, choice: Choice = any_write, *, times: int = 1) -> Any:
    """The `number`-th write that is tried (and the `times - 1` next) is refused and not applied.

    `refusal`: an AWS error code, a key of UNREACHED, or a function such as `cancelled(...)`.
    """

    def before(client: BaseClient, call: Call, at: int) -> None:
        if number <= at < number + times:
            raise _refusal(refusal, client, call)

    return _between(choice, before=before)


@contextmanager
def lose_on_the_wire(number: int, choice: Choice = any_write) -> Iterator[Calls]:
    """The `number`-th write is applied and its HTTP answer lost; the SDK itself sends the same request again."""
    calls = Calls(choice)
    send = Endpoint._do_get_response  # type: ignore[attr-defined]

    def do_get_response(endpoint: Endpoint, request: Any, model: Any, context: Any) -> Any:
        call = Call(model.name, {})
        answer = send(endpoint, request, model, context)
        if calls.ask(call) and answer[1] is None and calls.apply(call) == number:
            calls.strike()
            return None, LOST["closed"]
        return answer

    with patch.object(Endpoint, "_do_get_response", do_get_response):
        yield calls


_STATUS = {"InternalServerError": 500, "InternalError": 500, "ServiceUnavailable": 503, "SlowDown": 503}


def _refusal(refusal: str | Refusal, client: BaseClient, call: Call) -> BaseException:
    if callable(refusal):
        return refusal(client, call)
    if refusal in UNREACHED:
        return UNREACHED[refusal]
    return aws_error(client, call, refusal, _STATUS.get(refusal, 400))


def aws_error(client: BaseClient, call: Call, code: str, status: int = 400, **members: Any) -> ClientError:
    """The error that boto3 raises for an AWS error code."""
    response: Any = {
        "Error": {"Code": code, "Message": members.pop("message", code)},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **members,
    }
    exceptions: Any = client.exceptions
    error: ClientError = exceptions.from_code(code)(response, call.operation)
    return error


Action = Mapping[str, Any]


def cancelled(reason: str, which: Callable[[Action], bool] = lambda _action: True, message: str = "") -> Refusal:
    """A cancelled transaction: `reason` for the actions chosen by `which`, "None" for the others."""

    def refusal(client: BaseClient, call: Call) -> BaseException:
        actions: Sequence[Action] = call.parameters["TransactItems"]
        reasons = [{"Code": reason, "Message": message or reason} if which(a) else {"Code": "None"} for a in actions]
        codes = ", ".join(each["Code"] for each in reasons)
        text = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
        return aws_error(client, call, "TransactionCanceledException", CancellationReasons=reasons, message=text)

    return refusal


def is_update(action: Action) -> bool:
    return "Update" in action


def is_put(action: Action) -> bool:
    return "Put" in action
