"""The billing table: runs and their accounts, the numbering of invoices, invoices (R28, R30, D13).

Each account of a run moves one way: pending -> frozen -> drafted -> issued -> bundled, or frozen -> empty. Before it
is issued it may become failed, from where only a new attempt takes it back to pending, with the next freeze. Every
move is a conditional write, so steps may be repeated and executions of one run may overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lambdas.billing.canonical import canonical_json
from lambdas.billing.invoice import invoice_number
from lambdas.store.billing_items import (
    BUNDLED,
    DONE,
    DRAFTED,
    EMPTY,
    FAILED,
    FROZEN,
    INCOMPLETE,
    ISSUED,
    OPEN,
    PENDING,
    RUN_LIST,
    SEALED,
    Account,
    Invoice,
    Page,
    Run,
    account_key,
    account_of,
    invoice_key,
    invoice_of,
    new_account,
    run_key,
    run_of,
    sequence_key,
)
from lambdas.store.errors import ContentConflict, NotFound, TransientError
from lambdas.store.items import Value, to_item
from lambdas.store.table import MAX_ACTIONS, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MAX_TRIES = 20


class AlreadyInvoiced(Exception):
    """The account has a final invoice for this period from another run; a second one would bill twice."""

    def __init__(self, customer: str, period: str, number: str, run_id: str) -> None:
        super().__init__(f"customer {customer} is invoiced for {period} by {number} of run {run_id}")


class Billing:
    """Repository of the billing table. All reads are strongly consistent."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = Table(client, table)

    # runs

    def create_run(self, run: Run) -> Run:
        """Store a new run; where it exists, answer the stored one. One run for each entity, period and mode."""
        item = run_key(run.run_id) | to_item({name: value for name, value in run._asdict().items() if name != "totals"})
        entry = to_item({"pk": RUN_LIST, "sk": run.run_id})
        for _ in range(_MAX_TRIES):
            stored = self._table.get(run_key(run.run_id))
            if stored is not None:
                return run_of(stored)
            self._table.transact([self._table.put_action(item), self._table.put_same_action(entry)])
        raise _busy("the billing run", run.run_id)

    def run(self, run_id: str) -> Run:
        """Raises NotFound."""
        item = self._table.get(run_key(run_id)) if run_id.isascii() and 0 < len(run_id) <= 100 else None
        if item is None:
            raise NotFound("billing run", run_id)
        return run_of(item)

    def runs(self, *, cursor: str | None, limit: int) -> Page:
        """Runs by id."""
        request: dict[str, Any] = {
            "KeyConditionExpression": "pk = :pk AND sk > :after",
            "ExpressionAttributeValues": to_item({":pk": RUN_LIST, ":after": cursor or " "}),
        }
        names = [item["sk"]["S"] for item in self._table.query(request, limit + 1)]
        items = self._table.get_all([run_key(name) for name in names[:limit]])
        return Page([run_of(item) for item in items], names[limit - 1] if len(names) > limit else None)

    def count_start(self, run_id: str, starts: int) -> None:
        """Ask for execution `starts` + 1, unless another caller has done so."""
        self._table.update(run_key(run_id), {"starts": starts + 1}, {"starts": starts})

    def begin_attempt(self, run_id: str, execution: str) -> int:
        """The number of this execution's attempt; a new execution gets the next one, once."""
        key = to_item({"pk": f"RUN#{run_id}", "sk": f"X#{execution}"})
        for _ in range(_MAX_TRIES):
            item = self._table.get(key)
            if item is not None:
                return int(item["attempt"]["N"])
            before = self.run(run_id).attempt
            update = self._table.update_action(
                run_key(run_id), {"attempt": before + 1, "execution": execution}, {"attempt": before}
            )
            self._table.transact([self._table.put_action(key | to_item({"attempt": before + 1})), update])
        raise _busy("the billing run", run_id)

    def reopen(self, run_id: str) -> None:
        """An incomplete run is open again while it is resumed."""
        self._table.update(run_key(run_id), {"status": OPEN}, {"status": INCOMPLETE})

    def close_run(self, run_id: str, attempt: int, status: str, totals: Mapping[str, Any]) -> Run:
        """Record how the newest attempt ended. A sealed run stays sealed; an older attempt does not speak for a newer
        one, which may have taken in more accounts."""
        for _ in range(_MAX_TRIES):
            run = self.run(run_id)
            if run.status == SEALED or run.attempt != attempt:
                return run
            values = {"status": status, "totals": canonical_json(totals)}
            if self._table.update(run_key(run_id), values, {"status": run.status, "attempt": attempt}):
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
            for start in range(0, len(missing), MAX_ACTIONS):
                part = missing[start : start + MAX_ACTIONS]
                self._table.transact(
                    [self._table.put_action(new_account(run_id, customer, attempt)) for customer in part]
                )
        raise _busy("the accounts of the billing run", run_id)

    def accounts(self, run_id: str) -> list[Account]:
        """All accounts of a run in account order."""
        request: dict[str, Any] = {
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
            "ExpressionAttributeValues": to_item({":pk": f"RUN#{run_id}", ":sk": "A#"}),
        }
        return [account_of(item) for item in self._table.query(request)]

    def accounts_page(self, run_id: str, *, cursor: str | None, limit: int) -> Page:
        """Accounts of a run in account order, after the customer `cursor`."""
        request: dict[str, Any] = {
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :after AND :last",
            "ExpressionAttributeValues": to_item(
                {":pk": f"RUN#{run_id}", ":after": f"A#{cursor} " if cursor else "A#", ":last": "A#~"}
            ),
        }
        found = [account_of(item) for item in self._table.query(request, limit + 1)]
        return Page(found[:limit], found[limit - 1].customer if len(found) > limit else None)

    def account(self, run_id: str, customer: str) -> Account:
        """Raises NotFound."""
        account = self.find_account(run_id, customer)
        if account is None:
            raise NotFound("account of the run", customer)
        return account

    def find_account(self, run_id: str, customer: str) -> Account | None:
        item = self._table.get(account_key(run_id, customer))
        return None if item is None else account_of(item)

    def retry_account(self, account: Account, attempt: int) -> None:
        """A failed account becomes pending for `attempt`, with the next freeze."""
        self._table.update(
            account_key(account.run_id, account.customer),
            {"status": PENDING, "freeze": account.freeze + 1, "attempt": attempt},
            {"status": FAILED, "freeze": account.freeze},
            remove=("error", "totals"),
        )

    def record_frozen(self, account: Account, events: int, sums: Mapping[str, int]) -> None:
        """pending -> frozen. The sums are those of the frozen list; sealing compares them with what was rated."""
        self._table.update(
            account_key(account.run_id, account.customer),
            {"status": FROZEN, "frozen_freeze": account.freeze, "events": events, "sums": canonical_json(sums)},
            {"status": PENDING, "freeze": account.freeze},
        )

    def record_totals(self, account: Account, totals: Mapping[str, Any]) -> None:
        """What rating came to, also where the account then fails."""
        self._table.update(
            account_key(account.run_id, account.customer),
            {"totals": canonical_json(totals)},
            {"status": FROZEN, "freeze": account.freeze},
        )

    def record_empty(self, account: Account, totals: Mapping[str, Any]) -> None:
        """frozen -> empty: nothing to invoice."""
        self._table.update(
            account_key(account.run_id, account.customer),
            {"status": EMPTY, "totals": canonical_json(totals)},
            {"status": FROZEN, "freeze": account.freeze},
        )

    def record_draft(self, account: Account, totals: Mapping[str, Any], draft_key: str, draft_hash: str) -> None:
        """frozen -> drafted."""
        self._table.update(
            account_key(account.run_id, account.customer),
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
            if self._table.update(account_key(run_id, customer), values, expected):
                return self.account(run_id, customer)
        raise _busy("the account", customer)

    # numbers and invoices

    def last_sequence(self, entity: str, year: int) -> int:
        """The last number given in this series, 0 before the first."""
        item = self._table.get(sequence_key(entity, year))
        return 0 if item is None else int(item["last"]["N"])

    def series_prefix(self, entity: str, year: int) -> str | None:
        """The prefix of the numbers of this series; None before the first."""
        item = self._table.get(sequence_key(entity, year))
        return None if item is None else str(item["prefix"]["S"])

    def issue(self, invoice: Invoice, *, prefix: str, account: Account, posting: Mapping[str, Any]) -> bool:
        """drafted -> issued: number, invoice, the account's only invoice of the period, its posting and the account's
        status, all or none. False where nothing was written because another writer was there first or at the same
        moment: read the account and the sequence again. Raises AlreadyInvoiced, or ContentConflict where the
        number or the posting exists although the sequence has not come to it.
        """
        sequence = sequence_key(invoice.entity, invoice.year)
        if invoice.sequence == 1:
            item = sequence | to_item({"last": 1, "prefix": prefix})
            next_number = self._table.put_action(item)
        else:
            next_number = self._table.update_action(
                sequence, {"last": invoice.sequence}, {"last": invoice.sequence - 1}
            )
        period_key = to_item({"pk": f"ACC#{invoice.customer}", "sk": f"{invoice.period}#{invoice.entity}"})
        codes = self._table.transact(
            [
                next_number,
                self._table.put_action(invoice_key(invoice.number) | to_item(invoice._asdict())),
                self._table.put_action(period_key | to_item({"number": invoice.number, "run_id": invoice.run_id})),
                dict(posting),
                self._table.update_action(
                    account_key(account.run_id, account.customer),
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
            other = self._table.get(period_key) or {}
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
        set_facts = self._table.update_action(invoice_key(invoice.number), facts, {"manifest_sha256": ""})
        set_status = self._table.update_action(
            account_key(account.run_id, account.customer),
            {"status": BUNDLED, "manifest_sha256": invoice.manifest_sha256},
            {"status": ISSUED, "number": invoice.number},
            remove=("error",),
        )
        if self._table.transact([set_facts, set_status]):
            stored = self.invoice(invoice.number)
            if stored != invoice:
                raise ContentConflict("bundle of invoice", invoice.number, stored.manifest_sha256)

    def invoice(self, number: str) -> Invoice:
        """Raises NotFound."""
        item = self._table.get(invoice_key(number)) if number.isascii() and 0 < len(number) <= 40 else None
        if item is None:
            raise NotFound("invoice", number)
        return invoice_of(item)

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
        items = list(self._table.query(request, limit + 1))
        found = self.invoices([item["number"]["S"] for item in items[:limit]])
        return Page(found, items[limit - 1]["sk"]["S"] if len(items) > limit else None)

    def invoices(self, numbers: Sequence[str]) -> list[Invoice]:
        """Invoices in the order of their numbers here; those that do not exist are left out."""
        return [invoice_of(item) for item in self._table.get_all([invoice_key(number) for number in numbers])]


def _busy(what: str, name: str) -> TransientError:
    return TransientError(f"{what} {name} is being changed by others; repeat the call")
