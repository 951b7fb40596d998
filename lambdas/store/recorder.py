"""The one writer of usage: each accepted event exactly once, whatever is retried, raced or lost (D1, D2, R2)."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.store.errors import is_transient
from lambdas.store.usage_items import Claim, Incoming, claim_of
from lambdas.store.usage_plan import Plan, Request, Tables, chunks, make_request, plan

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LANES = 8
MAX_TRIES = 8
_CLAIM_FAILED = "ConditionalCheckFailed"
_PASSING = frozenset({"None", _CLAIM_FAILED, "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


class Outcome(NamedTuple):
    """What became of one event: `accepted`, `duplicate`, `conflict` or `not_stored` (not known to be stored).

    For duplicate and conflict, `stored_hash` and `stored_time` are those of the event that holds the identity.
    """

    status: str
    stored_hash: str = ""
    stored_time: str = ""


ACCEPTED = Outcome("accepted")
NOT_STORED = Outcome("not_stored")


class _Try(NamedTuple):
    positions: Sequence[int]
    lane: int
    number: int


class _Work(NamedTuple):
    """One `record` call under way: what was asked, what is decided, and the segments that any try of it named."""

    request: Request
    outcomes: list[Outcome]
    ours: set[str]


class UsageRecorder:
    """Stores events. `fresh_name` names segments; `pause` sleeps seconds between tries; `chance` is in [0, 1).

    After `until` (seconds of `clock`) no further transaction is begun: the answer must leave before the caller's
    patience, and the function, end.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        usage_table: str,
        counters_table: str,
        *,
        fresh_name: Callable[[], str],
        pause: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
        until: float = math.inf,
    ) -> None:
        self._client = client
        self._tables = Tables(usage_table, counters_table)
        self._fresh_name = fresh_name
        self._pause = pause
        self._chance = chance
        self._clock = clock
        self._until = until

    def record(self, customer: str, incoming: Sequence[Incoming], received_at: str) -> list[Outcome]:
        """Store events of one customer; one outcome per event, in order.

        `accepted` means that claim, segment row and counters are there together. Cancelled transactions are read and
        the rest is tried again at once; conflicts and throttling are tried again with jitter on another lane, at most
        MAX_TRIES times and not after `until`; then an event is `not_stored` and may be sent again. Raises what
        repeating cannot mend.
        """
        request = make_request(customer, received_at, incoming)
        work = _Work(request, [NOT_STORED] * len(incoming), set())
        first: dict[str, int] = {}
        for position, identity in enumerate(request.identities):
            first.setdefault(identity, position)
        queue = [_Try(part, 0, 1) for part in chunks(request, list(first.values()))]
        while queue and self._clock() < self._until:
            attempt = queue.pop()
            planned = plan(request, attempt.positions, attempt.lane, self._tables, self._fresh_name)
            if not planned.fits:
                half = len(attempt.positions) // 2
                queue += [attempt._replace(positions=attempt.positions[half:])]
                queue += [attempt._replace(positions=attempt.positions[:half])]
                continue
            work.ours.update(planned.segment_keys)
            again = self._write(planned, attempt, work)
            if again is not None and again.positions:
                queue.append(again)
        for position, identity in enumerate(request.identities):
            original = first[identity]
            if original != position:
                work.outcomes[position] = _repeated(work.outcomes[original], incoming[original], incoming[position])
        return work.outcomes

    def _write(self, planned: Plan, attempt: _Try, work: _Work) -> _Try | None:
        """Send one transaction and note what it decides; answers what is left to try, or None."""
        actions: Any = planned.actions
        try:
            self._client.transact_write_items(TransactItems=actions)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "TransactionCanceledException":
                return self._cancelled(error, planned, attempt, work)
            if not is_transient(error):
                raise
            return self._later(attempt, attempt.positions)
        except BotoCoreError as error:
            if not is_transient(error):
                raise
            return self._later(attempt, attempt.positions)
        for position in planned.claimed:
            work.outcomes[position] = ACCEPTED
        return None

    def _cancelled(self, error: ClientError, planned: Plan, attempt: _Try, work: _Work) -> _Try | None:
        answer: Mapping[str, Any] = error.response
        reasons: list[Mapping[str, Any]] = list(answer.get("CancellationReasons") or [])
        if len(reasons) != len(planned.actions) or not all(_may_pass(reason) for reason in reasons):
            raise error
        rest: list[int] = []
        for position, reason in zip(planned.claimed, reasons, strict=False):
            if reason.get("Code") == _CLAIM_FAILED:
                work.outcomes[position] = _decided(claim_of(reason["Item"]), work.request.incoming[position], work.ours)
            else:
                rest.append(position)
        if len(rest) < len(attempt.positions) and all(
            reason.get("Code", "None") in ("None", _CLAIM_FAILED) for reason in reasons
        ):
            return _Try(rest, attempt.lane, attempt.number)
        if not rest:
            return None
        full = any(_is_full(reason) for reason in reasons)
        return self._later(attempt, rest, lanes=LANES * 2**attempt.number if full else LANES)

    def _later(self, attempt: _Try, positions: Sequence[int], lanes: int = LANES) -> _Try | None:
        """The same events after a jittered pause on another lane; None when the tries are used up."""
        if attempt.number >= MAX_TRIES:
            return None
        self._pause(min(1.0, 0.02 * 2.0**attempt.number) * self._chance())
        return _Try(positions, int(self._chance() * lanes), attempt.number + 1)


def _decided(claim: Claim, item: Incoming, ours: set[str]) -> Outcome:
    """A claim exists. If it points at a segment of ours, an earlier try of this very call had won: accepted."""
    if claim.segment_key in ours:
        return ACCEPTED
    status = "duplicate" if claim.content_hash == item.event.content_hash else "conflict"
    return Outcome(status, claim.content_hash, claim.time)


def _repeated(outcome: Outcome, original: Incoming, item: Incoming) -> Outcome:
    """What a second event of one identity in one request is, given what became of the first."""
    if outcome.status == "not_stored":
        return NOT_STORED
    stored_hash = outcome.stored_hash or original.event.content_hash
    stored_time = outcome.stored_time or original.event.time
    status = "duplicate" if stored_hash == item.event.content_hash else "conflict"
    return Outcome(status, stored_hash, stored_time)


def _may_pass(reason: Mapping[str, Any]) -> bool:
    """True where the transaction may succeed when it is tried again, perhaps on another lane."""
    return str(reason.get("Code", "None")) in _PASSING or _is_full(reason)


def _is_full(reason: Mapping[str, Any]) -> bool:
    """A counter item without room for one more model. Another lane has an item of its own; when all that are in use
    are full, there are more."""
    return reason.get("Code") == "ValidationError" and "size" in str(reason.get("Message", ""))
