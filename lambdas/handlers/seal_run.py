"""Last step: add the run up from what the accounts, the ledger and the invoices each say, and seal it if they agree.

The checks are the invariants of DESIGN section 7 that concern a run: nothing added or left out (1), money to the last
digit (2), quantities (3). A broken one is counted in the metric InvariantBroken and keeps the run from being sealed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lambdas.billing.errors import InvariantBroken
from lambdas.billing.journal import ROUNDING, balances, postings_of, receivable
from lambdas.billing.money import ONE, format_amount, format_minor, minor_digits, parse_amount
from lambdas.billing.rating import PARKED
from lambdas.billing.shards import add_sums
from lambdas.handlers import stores
from lambdas.handlers.entry import count, logger, task_entry
from lambdas.store.billing import Billing
from lambdas.store.billing_items import BUNDLED, DONE, FAILED, FROZEN, INCOMPLETE, ISSUED, SEALED, Account, Invoice, Run
from lambdas.store.evidence import Evidence, seal_key
from lambdas.store.ledger import Ledger

MAX_NAMED = 50
"""Most accounts and broken invariants that an answer names."""
MAX_QUANTITIES = 200
"""Most model classes that a run's own totals name: senders choose names, and an item has 400 KB. The seal has all."""
OTHERS = "others"

_DISPLAYED = frozenset({"net", "tax", "total", "receivable", "tax_payable"})

Journal = Mapping[str, Mapping[str, Any]]
"""Journal transactions by id."""


def seal_run(run_id: str, attempt: int, *, billing: Billing, ledger: Ledger, evidence: Evidence) -> dict[str, Any]:
    """Seal the run if every account is bundled or empty and no invariant is broken; else it is incomplete and says
    which accounts and why. Only the newest attempt seals: it alone knows all accounts."""
    run = billing.run(run_id)
    if run.status != SEALED and run.attempt == attempt:
        accounts = billing.accounts(run_id)
        invoices = {
            invoice.customer: invoice
            for invoice in billing.invoices([account.number for account in accounts if account.number])
        }
        journal, unreadable = _read_journal(run, ledger)
        broken = [
            *unreadable,
            *(fault for account in accounts for fault in account_faults(account, invoices, journal)),
            *number_faults(run, billing, invoices.values()),
        ]
        refused = sum((account.error or {}).get("code") == "InvariantBroken" for account in accounts)
        count(InvariantBroken=len(broken) + refused)
        for fault in broken[:MAX_NAMED]:
            logger().error("invariant broken", extra={"run_id": run_id, "fault": fault})
        totals = control_totals(accounts, invoices, journal)
        if not broken and all(account.status in DONE for account in accounts):
            seal = {"run_id": run_id, "entity": run.entity, "period": run.period, "opened_at": run.opened_at, **totals}
            evidence.put_json_once(seal_key(run_id), seal)
            status = SEALED
        else:
            totals["broken"] = broken[:MAX_NAMED]
            status = INCOMPLETE
        run = billing.close_run(run_id, attempt, status, {**totals, "quantities": bounded(totals["quantities"])})
    return {"run_id": run_id, "status": run.status, "failed": failures(billing.accounts(run_id)), "totals": run.totals}


def _read_journal(run: Run, ledger: Ledger) -> tuple[Journal, list[str]]:
    """The transactions of the month that the run posts in, and the fault if one is not what was posted."""
    journal: dict[str, dict[str, Any]] = {}
    try:
        for entry in ledger.transactions(run.entity, run.opened_at[:7]):
            journal[entry["id"]] = entry
    except InvariantBroken as error:
        return journal, [str(error)]
    return journal, []


def failures(accounts: Iterable[Account]) -> list[dict[str, str]]:
    """Accounts with an error, with its code and detail."""
    failed = [
        {"customer": account.customer, "status": account.status, **account.error}
        for account in accounts
        if account.error is not None
    ]
    return failed[:MAX_NAMED]


def control_totals(accounts: Sequence[Account], invoices: Mapping[str, Invoice], journal: Journal) -> dict[str, Any]:
    """The run in numbers: accounts by status, events and quantities by fate, money by currency."""
    excluded: Counter[str] = Counter()
    quantities: dict[str, int] = {}
    excluded_quantities: dict[str, int] = {}
    frozen_quantities: dict[str, int] = {}
    rated = lines = 0
    for account in accounts:
        add_sums(frozen_quantities, account.sums)
        if account.totals is not None:
            rated += account.totals["rated"]
            lines += account.totals["lines"]
            excluded.update(account.totals["excluded"])
            add_sums(quantities, account.totals["quantities"])
            add_sums(excluded_quantities, account.totals["excluded_quantities"])
    parked = excluded.pop(PARKED, 0)
    return {
        "accounts": dict(Counter(account.status for account in accounts)),
        "events": {
            "accepted": sum(account.events for account in accounts),
            "rated": rated,
            "excluded": dict(excluded),
            "parked": parked,
        },
        "quantities": {"accepted": frozen_quantities, "rated": quantities, "excluded": excluded_quantities},
        "lines": lines,
        "money": _money(accounts, invoices, journal),
    }


def bounded(quantities: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """The same sums with the largest MAX_QUANTITIES names, and those of all other names added up as `others`."""
    largest: dict[str, int] = {}
    for sums in quantities.values():
        for name, quantity in sums.items():
            largest[name] = max(quantity, largest.get(name, 0))
    if len(largest) <= MAX_QUANTITIES:
        return {fate: dict(sums) for fate, sums in quantities.items()}
    kept = set(sorted(largest, key=lambda name: (-largest[name], name))[:MAX_QUANTITIES])
    return {
        fate: {name: quantity for name, quantity in sums.items() if name in kept}
        | {OTHERS: sum(quantity for name, quantity in sums.items() if name not in kept)}
        for fate, sums in quantities.items()
    }


def account_faults(account: Account, invoices: Mapping[str, Invoice], journal: Journal) -> list[str]:
    """What does not agree between an account's frozen list, its rating, its invoice and its posting."""
    faults: list[str] = []

    def check(name: str, found: object, expected: object) -> None:
        if found != expected:
            faults.append(f"{account.customer}: {name} is {found}, expected {expected}")

    totals = account.totals
    if totals is not None and account.status != FAILED:
        check("rated + excluded + parked", totals["rated"] + sum(totals["excluded"].values()), account.events)
        billed: dict[str, int] = dict(totals["quantities"])
        add_sums(billed, totals["excluded_quantities"])
        for name in sorted({*billed, *account.sums}):
            check(f"rated + excluded + parked {name}", billed.get(name, 0), account.sums.get(name, 0))
        if totals["parked_usage"] == "block" and account.status != FROZEN:
            check("parked events", totals["excluded"].get(PARKED, 0), 0)
    if account.status in (ISSUED, BUNDLED):
        invoice = invoices.get(account.customer)
        posted = journal.get(f"invoice:{account.number}")
        if invoice is None or posted is None or totals is None:
            check("invoice, posting and totals", "missing", "present")
            return faults
        check("run of the invoice", invoice.run_id, account.run_id)
        for name in ("net", "total", "currency"):
            check(f"invoiced {name}", getattr(invoice, name), totals[name])
        exact = {name: parse_amount(totals[name]) for name in ("net_exact", "net", "tax", "total")}
        rounding = exact["net"] - exact["net_exact"]
        check("net + tax", format_amount(exact["net"] + exact["tax"]), format_amount(exact["total"]))
        expected = {
            "balance": 0,
            "receivable": exact["total"],
            "revenue and deferred": exact["net_exact"],
            "tax_payable": exact["tax"],
            "rounding": rounding,
        }
        sides = _posted(posted, account.customer)
        sides["revenue and deferred"] = sides.pop("revenue") + sides.pop("deferred")
        for name, amount in sides.items():
            check(f"posted {name}", format_amount(amount), format_amount(expected[name]))
        if 2 * abs(rounding) > ONE // 10 ** minor_digits(totals["currency"]):
            check("rounding", format_amount(rounding), "at most half a minor unit")
        check("bundle of the invoice", invoice.manifest_sha256, account.manifest_sha256)
    return faults


def number_faults(run: Run, billing: Billing, invoices: Iterable[Invoice]) -> list[str]:
    """Gaps in the numbers of the entity's year so far, and invoices of this run outside them."""
    year = int(run.opened_at[:4])
    last = billing.last_sequence(run.entity, year)
    present: set[int] = set()
    below: int | None = last + 1
    while below is not None:
        page = billing.invoices_of_entity(run.entity, year, below=below, limit=1000)
        present.update(invoice.sequence for invoice in page.items)
        below = None if page.cursor is None else int(page.cursor)
    gaps = sorted(set(range(1, last + 1)) - present)
    outside = sorted(invoice.number for invoice in invoices if not 0 < invoice.sequence <= last)
    return [f"invoice number {sequence} of {run.entity} in {year} is missing" for sequence in gaps] + [
        f"invoice {number} is beyond the last number {last}" for number in outside
    ]


def _posted(transaction: Mapping[str, Any], customer: str) -> dict[str, int]:
    """The sides of a posting, exact: a debit of the receivable, credits of the others; `balance` is their sum. Revenue
    is what is left of it after contra revenue; deferred is what fees in advance add, less what this period earns."""
    sums = balances(postings_of(transaction))

    def credits(*kinds: str) -> int:
        return -sum(amount for account, amount in sums.items() if account.startswith(kinds))

    return {
        "balance": sum(sums.values()),
        "receivable": sums.get(receivable(customer), 0),
        "revenue": credits("revenue:", "contra_revenue:"),
        "deferred": credits("deferred:"),
        "tax_payable": credits("tax_payable:"),
        "rounding": -sums.get(ROUNDING, 0),
    }


def _money(accounts: Iterable[Account], invoices: Mapping[str, Invoice], journal: Journal) -> dict[str, dict[str, Any]]:
    """Money of the issued invoices by currency: what was rated and invoiced, and below it what the ledger has."""
    amounts: dict[str, Counter[str]] = {}
    issued: dict[str, list[Invoice]] = {}
    for account in accounts:
        invoice = invoices.get(account.customer)
        if invoice is None or account.totals is None:
            continue
        issued.setdefault(invoice.currency, []).append(invoice)
        sums = amounts.setdefault(invoice.currency, Counter())
        for name in ("net_exact", "net", "tax", "total"):
            sums[name] += parse_amount(account.totals[name])
        posted = journal.get(f"invoice:{invoice.number}")
        if posted is not None:
            sums.update(_posted(posted, account.customer))
    return {
        currency: {
            "invoices": len(issued[currency]),
            "first": min(issued[currency], key=lambda invoice: invoice.sequence).number,
            "last": max(issued[currency], key=lambda invoice: invoice.sequence).number,
            **{name: _shown(name, amount, currency) for name, amount in sums.items()},
        }
        for currency, sums in amounts.items()
    }


def _shown(name: str, amount: int, currency: str) -> str:
    """Amounts of documents with all minor digits; exact ones, and what is not in minor units, as they are."""
    in_minor_units = name in _DISPLAYED and amount % (ONE // 10 ** minor_digits(currency)) == 0
    return format_minor(amount, currency) if in_minor_units else format_amount(amount)


def _handle(event: dict[str, Any]) -> dict[str, Any]:
    """Step Functions passes 256 KB, and decides by the status alone."""
    ended = seal_run(
        event["run_id"],
        event["attempt"],
        billing=stores.billing(),
        ledger=stores.ledger(),
        evidence=stores.evidence(),
    )
    return {name: ended[name] for name in ("run_id", "status")}


handler = task_entry(_handle)
