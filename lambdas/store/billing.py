"""The billing table: runs and their accounts, the numbering of invoices, invoices (R28, R30, D13).

Each account of a run moves one way: pending -> frozen -> drafted -> issued -> bundled, or frozen -> empty. Before it
is issued it may become failed, from where only a new attempt takes it back to pending, with the next freeze. Every
move is a conditional write, so steps may be repeated and executions of one run may overlap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.billing.canonical import canonical_json
from lambdas.billing.invoice import invoice_number
from lambdas.store.errors import ContentConflict, NotFound, TransientError, cancellation_codes, translate
from lambdas.store.items import Value, attribute, from_item, to_item

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

PENDING, FROZEN, DRAFTED, ISSUED, BUNDLED, EMPTY, FAILED = (
    "pending", "frozen", "drafted", "issued", "bundled", "empty", "failed",
)  # fmt: skip
OPEN, INCOMPLETE, SEALED = "open", "incomplete", "sealed"

DONE = frozenset({BUNDLED, EMPTY})
"""Accounts that a run has nothing left to do for."""

_Item = Mapping[str, Any]
_Values = Mapping[str, Value]

_MAX_ACTIONS = 100
_MAX_TRIES = 20
_JSON = frozenset({"error", "sums", "totals"})
"""Attributes that hold JSON text."""
_FREE = "attribute_not_exists(pk)"


class AccountNotReady(Exception):
    """A step was asked for before the step it builds on: `needs` is the status it starts from."""

    def __init__(self, account: Account, needs: str) -> None:
        super().__init__(
            f"account {account.customer} of run {account.run_id} is {account.status}; this step needs it {needs}. "
            "Resume the run: POST /v1/billing-runs"
        )


class AlreadyInvoiced(Exception):
    """The account has a final invoice for this period from another run; a second one would bill twice."""

    def __init__(self, customer: str, period: str, number: str, run_id: str) -> None:
        super().__init__(f"customer {customer} is invoiced for {period} by {number} of run {run_id}")


class Run(NamedTuple):
    """One billing run: an issuing entity, a period, a mode. Times of everything it makes come from `opened_at`."""

    run_id: str
    entity: str
    period: str
    mode: str
    opened_at: str
    opened_by: str
    status: str = OPEN
    attempt: int = 0
    """How many executions have worked on it."""
    starts: int = 0
    """How many executions were asked for."""
    totals: Mapping[str, Any] | None = None


class Account(NamedTuple):
    """One customer of a run, and what the steps have recorded about it."""

    run_id: str
    customer: str
    status: str
    freeze: int
    attempt: int
    """The attempt that made it pending; a failure that an older attempt reports is stale."""
    frozen_freeze: int = 0
    """The last freeze that was made, 0 before the first."""
    events: int = 0
    sums: Mapping[str, int] = {}
    totals: Mapping[str, Any] | None = None
    draft_key: str = ""
    draft_hash: str = ""
    number: str = ""
    manifest_sha256: str = ""
    error: Mapping[str, str] | None = None


class Invoice(NamedTuple):
    """An issued invoice. Its document is `issued_document` of the draft it names, so it can always be made again."""

    number: str
    entity: str
    year: int
    sequence: int
    customer: str
    period: str
    run_id: str
    issued_at: str
    currency: str
    net: str
    total: str
    draft_key: str
    draft_hash: str
    document_key: str
    document_hash: str
    bundle_key: str = ""
    bundle_sha256: str = ""
    manifest_sha256: str = ""
    merkle_root: str = ""


class Page(NamedTuple):
    """Part of a list; `cursor` asks for the next part and is None on the last."""

    items: list[Any]
    cursor: str | None


class Billing:
    """Repository of the billing table. All reads are strongly consistent."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    # runs

    def create_run(self, run: Run) -> Run:
        """Store a new run; where it exists, answer the stored one. One run for each entity, period and mode."""
        item = _run_key(run.run_id) | to_item(
            {name: value for name, value in run._asdict().items() if name != "totals"}
        )
        entry = to_item({"pk": "LIST#RUN", "sk": run.run_id})
        for _ in range(_MAX_TRIES):
            stored = self._get(_run_key(run.run_id))
            if stored is not None:
                return _run_of(stored)
            self._transact([self._put(item, _FREE), {"Put": {"TableName": self._table, "Item": entry}}])
        raise _busy("the billing run", run.run_id)

    def run(self, run_id: str) -> Run:
        """Raises NotFound."""
        item = self._get(_run_key(run_id)) if run_id.isascii() and 0 < len(run_id) <= 100 else None
        if item is None:
            raise NotFound("billing run", run_id)
        return _run_of(item)

    def runs(self, *, cursor: str | None, limit: int) -> Page:
        """Runs by id."""
        request: dict[str, Any] = {
            "KeyConditionExpression": "pk = :pk AND sk > :after",
            "ExpressionAttributeValues": to_item({":pk": "LIST#RUN", ":after": cursor or " "}),
        }
        names = [item["sk"]["S"] for item in self._query(request, limit + 1)]
        items = self._get_all([_run_key(name) for name in names[:limit]])
        return Page([_run_of(item) for item in items], names[limit - 1] if len(names) > limit else None)

    def count_start(self, run_id: str, starts: int) -> None:
        """Ask for execution `starts` + 1, unless another caller has done so."""
        self._update(_run_key(run_id), {"starts": starts + 1}, {"starts": starts})

    def begin_attempt(self, run_id: str, execution: str) -> int:
        """The number of this execution's attempt; a new execution gets the next one, once."""
        key = to_item({"pk": f"RUN#{run_id}", "sk": f"X#{execution}"})
        for _ in range(_MAX_TRIES):
            item = self._get(key)
            if item is not None:
                return int(item["attempt"]["N"])
            before = self.run(run_id).attempt
            update = self._update_action(
                _run_key(run_id), {"attempt": before + 1, "execution": execution}, {"attempt": before}
            )
            self._transact([self._put(key | to_item({"attempt": before + 1}), _FREE), update])
        raise _busy("the billing run", run_id)

    def reopen(self, run_id: str) -> None:
        """An incomplete run is open again while it is resumed."""
        self._update(_run_key(run_id), {"status": OPEN}, {"status": INCOMPLETE})

    def close_run(self, run_id: str, attempt: int, status: str, totals: Mapping[str, Any]) -> Run:
        """Record how the newest attempt ended. A sealed run stays sealed; an older attempt does not speak for a newer
        one, which may have taken in more accounts."""
        for _ in range(_MAX_TRIES):
            run = self.run(run_id)
            if run.status == SEALED or run.attempt != attempt:
                return run
            values = {"status": status, "totals": canonical_json(totals)}
            if self._update(_run_key(run_id), values, {"status": run.status, "attempt": attempt}):
                return self.run(run_id)
        raise _busy("the billing run", run_id)

    # accounts of a run

    def add_accounts(self, run_id: str, customers: Sequence[str], attempt: int) -> None:
        """Make pending accounts for the customers that have none in this run."""
        for _ in range(_MAX_TRIES):
            present = {account.customer for account in self.accounts(run_id)}
            missing = [customer for customer in customers if customer not in present]
            if not missing:
                return
            for start in range(0, len(missing), _MAX_ACTIONS):
                part = missing[start : start + _MAX_ACTIONS]
                self._transact([self._put(_new_account(run_id, customer, attempt), _FREE) for customer in part])
        raise _busy("the accounts of the billing run", run_id)

    def accounts(self, run_id: str) -> list[Account]:
        """All accounts of a run in account order."""
        request: dict[str, Any] = {
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
            "ExpressionAttributeValues": to_item({":pk": f"RUN#{run_id}", ":sk": "A#"}),
        }
        return [_account_of(item) for item in self._query(request)]

    def account(self, run_id: str, customer: str) -> Account:
        """Raises NotFound."""
        account = self.find_account(run_id, customer)
        if account is None:
            raise NotFound("account of the run", customer)
        return account

    def find_account(self, run_id: str, customer: str) -> Account | None:
        item = self._get(_account_key(run_id, customer))
        return None if item is None else _account_of(item)

    def retry_account(self, account: Account, attempt: int) -> None:
        """A failed account becomes pending for `attempt`, with the next freeze."""
        self._update(
            _account_key(account.run_id, account.customer),
            {"status": PENDING, "freeze": account.freeze + 1, "attempt": attempt},
            {"status": FAILED, "freeze": account.freeze},
            remove=("error", "totals"),
        )

    def record_frozen(self, account: Account, events: int, sums: Mapping[str, int]) -> None:
        """pending -> frozen. The sums are those of the frozen list; sealing compares them with what was rated."""
        self._update(
            _account_key(account.run_id, account.customer),
            {"status": FROZEN, "frozen_freeze": account.freeze, "events": events, "sums": canonical_json(sums)},
            {"status": PENDING, "freeze": account.freeze},
        )

    def record_totals(self, account: Account, totals: Mapping[str, Any]) -> None:
        """What rating came to, also where the account then fails."""
        self._update(
            _account_key(account.run_id, account.customer),
            {"totals": canonical_json(totals)},
            {"status": FROZEN, "freeze": account.freeze},
        )

    def record_empty(self, account: Account, totals: Mapping[str, Any]) -> None:
        """frozen -> empty: nothing to invoice."""
        self._update(
            _account_key(account.run_id, account.customer),
            {"status": EMPTY, "totals": canonical_json(totals)},
            {"status": FROZEN, "freeze": account.freeze},
        )

    def record_draft(self, account: Account, totals: Mapping[str, Any], draft_key: str, draft_hash: str) -> None:
        """frozen -> drafted."""
        self._update(
            _account_key(account.run_id, account.customer),
            {"status": DRAFTED, "totals": canonical_json(totals), "draft_key": draft_key, "draft_hash": draft_hash},
            {"status": FROZEN, "freeze": account.freeze},
        )

    def record_failure(self, run_id: str, customer: str, attempt: int, error: Mapping[str, str]) -> Account:
        """Report what an attempt failed with. The first failure stands. An issued account keeps its status and its
        invoice, a finished one has not failed, and an attempt older than the account's is not heard."""
        for _ in range(_MAX_TRIES):
            account = self.account(run_id, customer)
            if account.status in (FAILED, *DONE) or attempt < account.attempt:
                return account
            values: dict[str, Value] = {"error": canonical_json(error)}
            if account.status != ISSUED:
                values["status"] = FAILED
            expected: dict[str, Value] = {"status": account.status, "freeze": account.freeze}
            if self._update(_account_key(run_id, customer), values, expected):
                return self.account(run_id, customer)
        raise _busy("the account", customer)

    # numbers and invoices

    def last_sequence(self, entity: str, year: int) -> int:
        """The last number given in this series, 0 before the first."""
        item = self._get(_sequence_key(entity, year))
        return 0 if item is None else int(item["last"]["N"])

    def series_prefix(self, entity: str, year: int) -> str | None:
        """The prefix of the numbers of this series; None before the first."""
        item = self._get(_sequence_key(entity, year))
        return None if item is None else str(item["prefix"]["S"])

    def issue(self, invoice: Invoice, *, prefix: str, account: Account, posting: Mapping[str, Any]) -> bool:
        """drafted -> issued: number, invoice, the account's only invoice of the period, its posting and the account's
        status, all or none. False where nothing was written because another writer was there first or at the same
        moment: read the account and the sequence again. Raises AlreadyInvoiced, or ContentConflict where the
        number or the posting exists although the sequence has not come to it.
        """
        sequence = _sequence_key(invoice.entity, invoice.year)
        if invoice.sequence == 1:
            item = sequence | to_item({"last": 1, "prefix": prefix})
            next_number = self._put(item, _FREE)
        else:
            next_number = self._update_action(sequence, {"last": invoice.sequence}, {"last": invoice.sequence - 1})
        period_key = to_item({"pk": f"ACC#{invoice.customer}", "sk": f"{invoice.period}#{invoice.entity}"})
        codes = self._transact(
            [
                next_number,
                self._put(_invoice_key(invoice.number) | to_item(invoice._asdict()), _FREE),
                self._put(period_key | to_item({"number": invoice.number, "run_id": invoice.run_id}), _FREE),
                dict(posting),
                self._update_action(
                    _account_key(account.run_id, account.customer),
                    {"status": ISSUED, "number": invoice.number},
                    {"status": DRAFTED, "freeze": account.freeze, "draft_hash": account.draft_hash},
                ),
            ]
        )
        if not codes:
            return True
        taken = [code == "ConditionalCheckFailed" for code in codes]
        if taken[4] or taken[0]:
            return False
        if taken[2]:
            other = self._get(period_key) or {}
            raise AlreadyInvoiced(invoice.customer, invoice.period, other["number"]["S"], other["run_id"]["S"])
        if taken[1] or taken[3]:
            raise ContentConflict("invoice", invoice.number, "unknown")
        return False

    def record_bundle(self, invoice: Invoice, account: Account) -> None:
        """issued -> bundled: `invoice` with the facts of its bundle, set once. Raises ContentConflict where other facts
        are stored."""
        facts = {
            "bundle_key": invoice.bundle_key,
            "bundle_sha256": invoice.bundle_sha256,
            "manifest_sha256": invoice.manifest_sha256,
            "merkle_root": invoice.merkle_root,
        }
        set_facts = self._update_action(_invoice_key(invoice.number), facts, {"manifest_sha256": ""})
        set_status = self._update_action(
            _account_key(account.run_id, account.customer),
            {"status": BUNDLED, "manifest_sha256": invoice.manifest_sha256},
            {"status": ISSUED, "number": invoice.number},
            remove=("error",),
        )
        if self._transact([set_facts, set_status]):
            stored = self.invoice(invoice.number)
            if stored != invoice:
                raise ContentConflict("bundle of invoice", invoice.number, stored.manifest_sha256)

    def invoice(self, number: str) -> Invoice:
        """Raises NotFound."""
        item = self._get(_invoice_key(number)) if number.isascii() and 0 < len(number) <= 40 else None
        if item is None:
            raise NotFound("invoice", number)
        return _invoice_of(item)

    def invoices_of_entity(self, entity: str, year: int, *, below: int | None, limit: int) -> Page:
        """A series from its last number down. Numbers have no gaps, so the list needs no index. `cursor` is the last
        sequence of this page."""
        prefix = self.series_prefix(entity, year)
        last = self.last_sequence(entity, year) if below is None else below - 1
        sequences = range(last, max(last - limit, 0), -1)
        if prefix is None:
            return Page([], None)
        found = self.invoices([invoice_number(prefix, year, sequence) for sequence in sequences])
        return Page(found, str(sequences[-1]) if sequences and sequences[-1] > 1 else None)

    def invoices_of_customer(self, customer: str, *, cursor: str | None, limit: int) -> Page:
        """A customer's invoices, latest period first."""
        request: dict[str, Any] = {
            "KeyConditionExpression": "pk = :pk" + (" AND sk < :before" if cursor else ""),
            "ExpressionAttributeValues": to_item({":pk": f"ACC#{customer}", ":before": cursor or None}),
            "ScanIndexForward": False,
        }
        items = list(self._query(request, limit + 1))
        found = self.invoices([item["number"]["S"] for item in items[:limit]])
        return Page(found, items[limit - 1]["sk"]["S"] if len(items) > limit else None)

    def invoices(self, numbers: Sequence[str]) -> list[Invoice]:
        """Invoices in the order of their numbers here; those that do not exist are left out."""
        return [_invoice_of(item) for item in self._get_all([_invoice_key(number) for number in numbers])]

    # DynamoDB

    def _put(self, item: Mapping[str, Any], condition: str) -> dict[str, Any]:
        return {"Put": {"TableName": self._table, "Item": dict(item), "ConditionExpression": condition}}

    def _update_action(
        self, key: _Item, values: _Values, expected: _Values, remove: Sequence[str] = ()
    ) -> dict[str, Any]:
        return {"Update": self._update_request(key, values, expected, remove)}

    def _update_request(self, key: _Item, values: _Values, expected: _Values, remove: Sequence[str]) -> dict[str, Any]:
        names = {f"#{name}": name for name in (*values, *expected, *remove)}
        expression = "SET " + ", ".join(f"#{name} = :new_{name}" for name in values)
        if remove:
            expression += " REMOVE " + ", ".join(f"#{name}" for name in remove)
        return {
            "TableName": self._table,
            "Key": dict(key),
            "UpdateExpression": expression,
            "ConditionExpression": " AND ".join(f"#{name} = :old_{name}" for name in expected),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {
                **{f":new_{name}": attribute(value) for name, value in values.items()},
                **{f":old_{name}": attribute(value) for name, value in expected.items()},
            },
        }

    def _update(self, key: _Item, values: _Values, expected: _Values, remove: Sequence[str] = ()) -> bool:
        """True when written; False where the item is not as expected (perhaps by an earlier try of ours)."""
        try:
            self._client.update_item(**self._update_request(key, values, expected, remove))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise translate(error) from error
        except BotoCoreError as error:
            raise translate(error) from error
        return True

    def _transact(self, actions: Sequence[Mapping[str, Any]]) -> list[str]:
        """The reason codes of a cancelled transaction; empty when it was written. Raises TransientError where the
        answer was lost."""
        items: Any = list(actions)
        try:
            self._client.transact_write_items(TransactItems=items)
        except ClientError as error:
            codes = cancellation_codes(error)
            if any(code == "ConditionalCheckFailed" for code in codes) or (
                codes and all(code in ("None", "TransactionConflict") for code in codes)
            ):
                return codes
            raise translate(error) from error
        except BotoCoreError as error:
            raise translate(error) from error
        return []

    def _get(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        answer = self._call(self._client.get_item, TableName=self._table, Key=dict(key), ConsistentRead=True)
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def _get_all(self, keys: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        pending = [dict(key) for key in keys]
        tries = 0
        while pending:
            request = {self._table: {"Keys": pending[:_MAX_ACTIONS], "ConsistentRead": True}}
            answer = self._call(self._client.batch_get_item, RequestItems=request)
            got = answer["Responses"].get(self._table, [])
            found.update({(item["pk"]["S"], item["sk"]["S"]): item for item in got})
            unread = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            tries = 0 if got else tries + 1
            if unread and tries > 3:
                raise TransientError("the billing table is throttled")
            pending = [*unread, *pending[_MAX_ACTIONS:]]
        wanted = [(key["pk"]["S"], key["sk"]["S"]) for key in keys]
        return [found[name] for name in wanted if name in found]

    def _query(self, request: Mapping[str, Any], limit: int | None = None) -> Iterator[dict[str, Any]]:
        arguments = {"TableName": self._table, "ConsistentRead": True, **request}
        left = limit
        while left is None or left > 0:
            if left is not None:
                arguments["Limit"] = left
            answer = self._call(self._client.query, **arguments)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            left = None if left is None else left - len(answer["Items"])

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return method(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise translate(error) from error


def _busy(what: str, name: str) -> TransientError:
    return TransientError(f"{what} {name} is being changed by others; repeat the call")


def _new_account(run_id: str, customer: str, attempt: int) -> dict[str, Any]:
    values: _Values = {"run_id": run_id, "customer": customer, "status": PENDING, "freeze": 1, "attempt": attempt}
    return _account_key(run_id, customer) | to_item(values)


def _run_key(run_id: str) -> dict[str, Any]:
    return to_item({"pk": f"RUN#{run_id}", "sk": "RUN"})


def _account_key(run_id: str, customer: str) -> dict[str, Any]:
    return to_item({"pk": f"RUN#{run_id}", "sk": f"A#{customer}"})


def _sequence_key(entity: str, year: int) -> dict[str, Any]:
    return to_item({"pk": f"SEQ#{entity}#{year:04d}", "sk": "SEQ"})


def _invoice_key(number: str) -> dict[str, Any]:
    return to_item({"pk": f"INV#{number}", "sk": "INV"})


def _run_of(item: Mapping[str, Any]) -> Run:
    return Run(**_fields(item, Run._fields))


def _account_of(item: Mapping[str, Any]) -> Account:
    return Account(**_fields(item, Account._fields))


def _invoice_of(item: Mapping[str, Any]) -> Invoice:
    return Invoice(**_fields(item, Invoice._fields))


def _fields(item: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    values = {name: value for name, value in from_item(item).items() if name in names}
    return {name: json.loads(value) if name in _JSON else value for name, value in values.items()}
