"""Postings: exact, positive movements from one account to another, balanced by construction (R19, K6, D11).

`from -> to` credits `from` and debits `to`. One journal transaction per invoice; its id and content hash are its
idempotency. This module decides what is posted; the store decides that it is posted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lambdas.billing.canonical import content_hash
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.money import ONE, format_amount, minor_digits, parse_amount

ROUNDING = "rounding"


class Posting(NamedTuple):
    """A movement of a positive exact `amount` (10**-18) out of `source` (credited) into `target` (debited)."""

    source: str
    target: str
    amount: int


def receivable(customer: str) -> str:
    return f"customer:{customer}:receivable"


def invoice_transaction(invoice: Mapping[str, Any]) -> dict[str, Any]:
    """The journal transaction of an issued invoice: every line's exact amount on the account that the line names,
    receivable and tax in minor units, the difference to `rounding`, fees of earlier invoices that this period has
    earned, and the hash of the invoice it posts. An invoice of zero has no postings of its own.

    Raises InvariantBroken where the exact lines do not round to the net (K6) or net and tax are not the total.
    """
    customer = receivable(invoice["customer"]["id"])
    revenue: dict[str, int] = {}
    for line in invoice["lines"]:
        account = line["account"]
        revenue[account] = revenue.get(account, 0) + parse_amount(line["exact"])
    postings = [_move(account, customer, amount) for account, amount in revenue.items() if amount]
    net = parse_amount(invoice["net"])
    difference = net - sum(revenue.values())
    if 2 * abs(difference) > ONE // int(10 ** minor_digits(invoice["currency"])):
        raise InvariantBroken("net", invoice["net"], "it must be the rounded sum of the exact lines")
    if difference:
        postings.append(_move(ROUNDING, customer, difference))
    for group in invoice["tax"]:
        amount = parse_amount(group["amount"])
        if amount:
            postings.append(_move(f"tax_payable:{invoice['entity']['id']}", customer, amount))
    balance = balances(postings).get(customer, 0)
    if balance != parse_amount(invoice["total"]):
        raise InvariantBroken("receivable", format_amount(balance), f"it must be the invoice total {invoice['total']}")
    for earned in invoice.get("recognised", []):
        amount = parse_amount(earned["exact"])
        postings.append(_move(f"revenue:{earned['charge']}", f"deferred:{earned['charge']}", amount))
    transaction = {
        "id": f"invoice:{invoice['number']}",
        "time": invoice["issued_at"],
        "currency": invoice["currency"],
        "reference": {
            "invoice": invoice["number"],
            "run_id": invoice["run_id"],
            "customer": invoice["customer"]["id"],
            "invoice_hash": content_hash(invoice),
        },
        "postings": [
            {"from": posting.source, "to": posting.target, "amount": format_amount(posting.amount)}
            for posting in postings
        ],
    }
    return {**transaction, "hash": content_hash(transaction)}


def balances(postings: Iterable[Posting]) -> dict[str, int]:
    """Net debit of each account in 10**-18; they always sum to zero."""
    result: dict[str, int] = {}
    for posting in postings:
        result[posting.source] = result.get(posting.source, 0) - posting.amount
        result[posting.target] = result.get(posting.target, 0) + posting.amount
    return result


def postings_of(transaction: Mapping[str, Any]) -> list[Posting]:
    """The postings of a stored transaction. Raises InvariantBroken for one that moves nothing or less."""
    postings = [Posting(p["from"], p["to"], parse_amount(p["amount"])) for p in transaction["postings"]]
    for posting in postings:
        if posting.amount <= 0 or posting.source == posting.target:
            raise InvariantBroken(
                "posting",
                f"{posting.source} -> {posting.target} {posting.amount}",
                "a posting moves a positive amount between two accounts",
            )
    return postings


def plain_text_journal(transaction: Mapping[str, Any]) -> str:
    """The transaction in plain-text accounting form: every leg with 18 decimals, debits positive."""
    lines = [f"{transaction['time'][:10]} * {transaction['id']}"]
    for account, amount in sorted(balances(postings_of(transaction)).items()):
        if amount:
            sign = "-" if amount < 0 else ""
            whole, fraction = divmod(abs(amount), 10**18)
            lines.append(f"    {account}    {sign}{whole}.{fraction:018d} {transaction['currency']}")
    return "\n".join(lines) + "\n"


def _move(source: str, target: str, amount: int) -> Posting:
    return Posting(source, target, amount) if amount > 0 else Posting(target, source, -amount)
