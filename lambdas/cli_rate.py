"""`rate`: a file of usage priced by a plan and rate cards in files, as the billing run would price it.

Code 0: every line was taken and what is of the period has its price; 1: a line was not, or there is no bill. Input that
cannot be used raises `Unusable`.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lambdas.billing.documents import read_contract
from lambdas.billing.errors import BillingError, DocumentRefused
from lambdas.billing.fields import NAME
from lambdas.billing.offline import (
    Bill,
    Documents,
    agreement_of,
    bill_of,
    check_agreed,
    default_contract,
    goes_on,
    period_of,
    read_carried,
    with_term,
)
from lambdas.billing.offline_usage import OfflineUsage
from lambdas.billing.plans import read_plan
from lambdas.billing.rate_cards import read_rate_card_version
from lambdas.billing.strict_json import decode_text, parse
from lambdas.billing.times import month_period
from lambdas.cli_bill import json_text, words

MAX_DOCUMENT_BYTES = 10_000_000
OK, NOT_ALL = 0, 1
_MADE = "plan, rates and the contract made of them (--contract gives another)"
_NO_CARRIED = (
    "no invoice of the period before was given (--carried): fees in advance and commitments are counted as if this "
    "were the first invoice"
)


class Unusable(Exception):
    """Something given that cannot be used; says which, and why."""


class Answer(NamedTuple):
    """What to print, part by part, and the exit code."""

    code: int
    text: Iterator[str]


class _Card(NamedTuple):
    """Rate card versions of one file; `named` is true where the command gave the card's name."""

    name: str
    named: bool
    file: Path
    versions: list[Any]


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--plan", type=Path, action="append", required=True, help="a plan; more where it changes")
    command.add_argument(
        "--rates", action="append", required=True, metavar="[NAME=]FILE",
        help="versions of a rate card: one or a list; without a name, the file's name up to '@' is the card's",
    )  # fmt: skip
    command.add_argument("--usage", type=Path, required=True, help="CloudEvents, one JSON object a line")
    command.add_argument("--contract", type=Path, help="contract versions: one or a list; else one made of the plan")
    command.add_argument("--period", help="the month to bill, such as 2026-11; else that of the first event")
    command.add_argument("--carried", type=Path, help="the invoice of the period before")
    command.add_argument("--charges", action="store_true", help="print the charges of every event too")
    command.add_argument("--json", action="store_true", help="print values instead of words")


def answer(options: argparse.Namespace) -> Answer:
    """Rate what the options name. Raises Unusable for input that is no input."""
    contracts = _contracts(options.contract) if options.contract else []
    plans = _plans(options.plan)
    rates = _rates(options.rates, contracts)
    usage = OfflineUsage(read_contract(contracts[0]).customer if contracts else None)
    with _about(options.usage), options.usage.open("rb") as file:
        usage.read(file)
    month = _month(options, usage, contracts)
    if month is None:
        note = "no line could be taken, so the period is not known and there is no bill; --period names it"
        return Answer(NOT_ALL, _shown(options, None, usage, [note]))
    documents = Documents(contracts, plans, rates)
    if not contracts:
        documents = documents._replace(contracts=[_default(options, documents, usage, month)])
    with _about("contract, plan and rates" if contracts else _MADE):
        if not contracts:
            check_agreed(documents)
        agreement = agreement_of(month, documents)
    carried = None
    if options.carried:
        with _about(options.carried):
            given = _document(options.carried)
            if isinstance(given, Mapping) and isinstance(given.get("invoice"), Mapping):
                given = given["invoice"]  # what `rate --json` printed for the period before
            carried = read_carried(given, agreement)
    bill = bill_of(usage, agreement, with_term(carried, agreement, documents))
    notes = [_NO_CARRIED] if options.carried is None and goes_on(agreement) else []
    return Answer(_code(bill, usage), _shown(options, bill, usage, notes))


def _shown(options: argparse.Namespace, bill: Bill | None, usage: OfflineUsage, notes: Sequence[str]) -> Iterator[str]:
    return json_text(bill, usage, notes) if options.json else words(bill, usage, notes, charges=options.charges)


def _code(bill: Bill, usage: OfflineUsage) -> int:
    refused = usage.rejected.count or usage.conflicts.count or bill.totals.parked or bill.blocked is not None
    return NOT_ALL if refused else OK


@contextmanager
def _about(what: Path | str) -> Iterator[None]:
    """Refusals name what they are about: the file, or the option."""
    try:
        yield
    except OSError as error:
        raise Unusable(f"{what}: cannot be read. {error.strerror or error}") from None
    except BillingError as error:
        raise Unusable(f"{what}: {error}") from None


def _document(file: Path) -> Any:
    with file.open("rb") as opened:
        content = opened.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise DocumentRefused("file", f"more than {MAX_DOCUMENT_BYTES} bytes", "give the document alone")
    try:
        return parse(decode_text(content))
    except BillingError as error:
        raise DocumentRefused("content", error.value, f"a JSON document; {error.remedy}") from None


def _listed(file: Path) -> list[Any]:
    """The documents of a file: one, or a list of them."""
    found = _document(file)
    if found == []:
        raise DocumentRefused("content", "[]", "one document, or a list of them")
    return found if isinstance(found, list) else [found]


def _contracts(file: Path) -> list[Any]:
    with _about(file):
        documents = _listed(file)
        read = [read_contract(document) for document in documents]
        for contract in read:
            if contract.customer != read[0].customer:
                raise DocumentRefused("customer", contract.customer, f"versions of {read[0].customer}'s contract only")
        for position, contract in enumerate(read):
            _check_new("version", contract.version, [other.version for other in read[:position]])
    return documents


def _plans(files: Sequence[Path]) -> dict[str, Any]:
    plans: dict[str, Any] = {}
    for file in files:
        with _about(file):
            for document in _listed(file):
                plan = read_plan(document)
                name = f"{plan.id}@{plan.version}"
                _check_new("plan", name, plans)
                plans[name] = document
    return plans


def _rates(given: Sequence[str], contracts: Sequence[Any]) -> dict[str, Any]:
    cards = [_card(text) for text in given]
    known = sorted({name for contract in contracts for name in read_contract(contract).cards})
    names = {card.name for card in cards}
    rates: dict[str, Any] = {}
    for card in cards:
        name = card.name
        if len(names) == 1 and not card.named and contracts and name not in known:
            name = read_contract(contracts[-1]).rate_card  # the only card there is
        with _about(card.file):
            for document in card.versions:
                version = read_rate_card_version(name, document)
                _check_new("rate card version", f"{name}@{version.version}", rates)
                rates[f"{name}@{version.version}"] = document
    return rates


def _card(given: str) -> _Card:
    name, equals, rest = given.partition("=")
    named = bool(equals) and NAME.fullmatch(name) is not None
    file = Path(rest if named else given)
    with _about(file):
        return _Card(name if named else file.stem.partition("@")[0], named, file, _listed(file))


def _check_new(what: str, name: object, known: Collection[object]) -> None:
    if name in known:
        raise DocumentRefused(what, name, "give each once")


def _month(options: argparse.Namespace, usage: OfflineUsage, contracts: Sequence[Any]) -> str | None:
    """The month to bill; None where only an event could tell and every line is rejected."""
    if options.period is not None:
        with _about("--period"):
            return month_period(options.period).name
    if usage.rejected.count and not usage.events:
        return None
    with _about(options.usage):
        return period_of(usage, read_contract(contracts[0]).anchor_day if contracts else 1)


def _default(options: argparse.Namespace, documents: Documents, usage: OfflineUsage, month: str) -> dict[str, Any]:
    with _about("--plan"):
        if len(documents.plans) > 1:
            raise DocumentRefused("plan", ", ".join(documents.plans), "say in a --contract which is agreed when")
    [plan] = documents.plans.values()
    with _about("--rates"):
        names = sorted({name.rpartition("@")[0] for name in documents.rates})
        if len(names) > 1:
            remedy = "versions of one card have one name (NAME=FILE); say in a --contract what several cards are for"
            raise DocumentRefused("rate card", ", ".join(names), remedy)
        currency = next(iter(documents.rates.values()))["currency"]
        return default_contract(plan, names[0], currency, usage.customer, month_period(month))
