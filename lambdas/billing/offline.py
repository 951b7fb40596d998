"""A period's bill from documents and usage in files: what the billing run computes, with nothing of it stored (R15).

The numbers are the product's, because the functions are. There is no run, no cut-off and no number: what comes out is
a calculation and not an issued invoice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement, compile_agreement
from lambdas.billing.canonical import canonical_json, sha256_hex
from lambdas.billing.commitments import term_start
from lambdas.billing.contracts import in_force
from lambdas.billing.documents import Contract, read_contract
from lambdas.billing.errors import AccountParked, BillingError, DocumentRefused, InvariantBroken
from lambdas.billing.explain import explain_charges
from lambdas.billing.fields import NAME, check_match, check_text, closed, version_of
from lambdas.billing.invoice import Draft, draft_document
from lambdas.billing.lines import Unpriced
from lambdas.billing.lint import lint_agreement
from lambdas.billing.money import parse_amount
from lambdas.billing.offline_usage import Noted, Numbered, OfflineUsage
from lambdas.billing.periods import account_period, month_of, periods_after
from lambdas.billing.plans import read_plan
from lambdas.billing.pricing import read_cards
from lambdas.billing.rating import Positions, Totals, measure_event, rate_event
from lambdas.billing.times import Period, day_before, day_start, month_period

OFFLINE = "offline"
_REASONS = 5
_NOTHING: Mapping[str, Any] = {"invoice": "", "hash": "", "advance": [], "credit": "0"}
_ADVANCE = frozenset(
    {
        "charge",
        "contract_version",
        "service_from",
        "service_to",
        "price",
        "rate_version",
        "rate_effective_from",
        "exact",
    }
)


class Documents(NamedTuple):
    """Contract versions, plans by `plan@version` and rate card versions by `card@version`, as parsed."""

    contracts: Sequence[Any]
    plans: Mapping[str, Any]
    rates: Mapping[str, Any]


class Parked(NamedTuple):
    """Events that have no price for one reason. `code` and `detail` are those of `Unpriced`, without the day, which is
    that of each event."""

    code: str
    detail: str
    events: Noted[Numbered]


class Bill(NamedTuple):
    """What a file of usage comes to in one period.

    `events` are those of the period in rating order and `left_out` counts the others by calendar month. `invoice` has
    everything that an invoice has, with no number and no date; it is None where the account cannot be invoiced, and
    `blocked` says why.
    """

    agreement: Agreement
    events: Sequence[Numbered]
    left_out: Mapping[str, int]
    totals: Totals
    parked: Sequence[Parked]
    invoice: dict[str, Any] | None
    blocked: BillingError | None
    counted: Mapping[str, int]
    """What the period counts under each position: where rating it again starts from."""


def default_contract(plan: Any, card: str, currency: str, customer: str, period: Period) -> dict[str, Any]:
    """The contract of somebody who agreed to a plan and a rate card from the first day of a period on: no tax, usage
    without a price stops the bill."""
    read = read_plan(plan)
    return {
        "customer": customer, "version": 1, "effective_from": period.start[:10], "entity": OFFLINE,
        "currency": currency, "plan": read.id, "plan_version": read.version, "rate_card": card,
        "usage_basis": "provider_reported", "late_usage": "hold", "parked_usage": "block",
        "volatility_bearer": read.volatility_bearer, "posture": read.posture, "tax": {"category": "O", "rate": "0"},
    }  # fmt: skip


def check_agreed(documents: Documents) -> None:
    """Refuse a contract that was made up here as the product would refuse it. Raises what `lint_agreement` raises."""
    cards = read_cards(documents.rates)
    for document in documents.contracts:
        contract = read_contract(document)
        plan = read_plan(documents.plans[f"{contract.plan}@{contract.plan_version}"])
        lint_agreement(plan, contract, cards)


def period_of(usage: OfflineUsage, anchor_day: int) -> str:
    """The month that bills the earliest event. Raises DocumentRefused where there is none."""
    if not usage.events:
        raise DocumentRefused("usage", "no event that can be taken", "name the period: --period 2026-11")
    return month_of(min(event.row.time for event in usage.events), anchor_day)


def agreement_of(month: str, documents: Documents) -> Agreement:
    """The agreement for the run of a month, of the documents that are in force in its period.

    Plans and cards that no contract version names are refused: they would be left out silently; so is a plan that is
    named and not given. Raises DocumentRefused and what `compile_agreement` raises.
    """
    contracts = sorted(map(read_contract, documents.contracts), key=lambda contract: contract.version)
    versions = {f"{version.card}@{version.version}": version for version in read_cards(documents.rates)}
    _check_named("plan", documents.plans, [_plan_of(contract) for contract in contracts])
    _check_named("rate card", {version.card for version in versions.values()}, _cards_of(contracts))
    period = account_period(month_period(month).name, contracts[0].anchor_day)
    first_day, last_day = period.start[:10], day_before(period.end)
    following = in_force(contracts, first_day, period.end[:10])
    for name in map(_plan_of, following):
        if name not in documents.plans:
            raise DocumentRefused("plan", name, f"the contract names it; given: {', '.join(documents.plans)}")
        if read_plan(documents.plans[name]).in_advance:
            last_day = period.end[:10]
    agreed = in_force(contracts, first_day, last_day)
    if not agreed:
        remedy = f"no contract version is in force in {month}, from {first_day} until {period.end[:10]}"
        raise DocumentRefused("effective_from", contracts[0].effective_from, remedy)
    numbers, cards = {contract.version for contract in agreed}, _cards_of(agreed)
    return compile_agreement(
        month,
        [document for document in documents.contracts if document["version"] in numbers],
        {name: documents.plans[name] for name in sorted({_plan_of(contract) for contract in agreed})},
        {
            name: documents.rates[name]
            for name, version in versions.items()
            if version.card in cards and version.effective_from <= last_day
        },
    )


def read_carried(document: Any, agreement: Agreement) -> dict[str, Any] | None:
    """What the account's previous invoice carries forward, from that invoice or from an invoice's own `carried`.

    None where the invoice carries nothing. Raises DocumentRefused for what is neither, or does not fit the period.
    """
    if isinstance(document, Mapping) and "rules_version" in document:
        contract = agreement.last.contract
        for name, ours in (("customer", contract.customer), ("currency", contract.currency)):
            found = document.get(name)
            if (found.get("id") if isinstance(found, Mapping) else found) != ours:
                raise DocumentRefused(name, found, f"an earlier invoice of {contract.customer} in {contract.currency}")
        if "carried_forward" not in document:
            return None
        forward = closed(
            document["carried_forward"], required={"advance", "committed"}, optional={"credit"}, at="carried_forward."
        )
        digest = sha256_hex(canonical_json(document).encode("utf-8", "surrogatepass"))
        number = document.get("number")
        document = {"invoice": OFFLINE if number is None else number, "hash": digest, **forward}
    carried = closed(document, required={"invoice", "hash", "advance", "committed"}, optional={"credit"})
    for name in ("invoice", "hash"):
        if carried[name] != "":
            check_text(carried, name)
    advance = carried["advance"]
    if not isinstance(advance, list):
        raise DocumentRefused("advance", advance, "a list of the fees that were billed in advance")
    for position, entry in enumerate(advance):
        _check_advance(entry, f"advance[{position}].", agreement)
    if carried["committed"] is not None:
        committed = closed(carried["committed"], required={"from", "exact"}, at="committed.")
        day_start(committed["from"], "committed.from")
        parse_amount(committed["exact"], "committed.exact")
    if parse_amount(carried.get("credit", "0"), "credit") < 0:
        raise DocumentRefused("credit", carried["credit"], "an amount of zero or more")
    return carried


def with_term(
    carried: Mapping[str, Any] | None, agreement: Agreement, documents: Documents
) -> Mapping[str, Any] | None:
    """What is carried, with the term of a commitment that runs since before the period where no invoice says what
    counted for it: then nothing did."""
    contracts = sorted(map(read_contract, documents.contracts), key=lambda contract: contract.version)
    start = term_start(contracts, agreement.period.start)
    known = None if carried is None else carried["committed"]
    if start is None or start == agreement.period.start or (known is not None and not _ended(known, agreement)):
        return carried
    return {**(carried or _NOTHING), "committed": {"from": start[:10], "exact": "0"}}


def _ended(committed: Mapping[str, Any], agreement: Agreement) -> bool:
    """Whether the term that an earlier invoice counts for ended by the start, in a month without an invoice."""
    contract = agreement.all[0].contract
    if contract.commitment is None or contract.commitment.months is None:
        return False
    end = periods_after(day_start(committed["from"]), contract.commitment.months, contract.anchor_day)
    return bool(end <= agreement.period.start)


def goes_on(agreement: Agreement) -> bool:
    """Whether the period's bill depends on an invoice before it: a contract from before the period, with a fee in
    advance or a commitment over a term."""
    begun = [s for s in agreement.stretches if day_start(s.contract.effective_from) < agreement.period.start]
    return any(
        stretch.plan.in_advance or (stretch.contract.commitment is not None and stretch.contract.commitment.months)
        for stretch in begun
    )


def bill_of(usage: OfflineUsage, agreement: Agreement, carried: Mapping[str, Any] | None = None) -> Bill:
    """Rate the events of the agreement's period and draw up its bill.

    Where usage has no price and the contract says that this blocks, or a charge that is due has none, there is no
    invoice: nothing is billed at zero.
    """
    usage.sort()
    period = agreement.period
    events = [event for event in usage.events if period.contains(event.row.time)]
    left_out = Counter(row.time[:7] for row, _ in usage.events if not period.contains(row.time))
    counted: dict[str, int] = {}
    for row, _ in events:
        measure_event(row, agreement.at(row.time), counted)
    totals, positions = Totals(), Positions({}, counted)
    parked: dict[tuple[str, str], Noted[Numbered]] = {}
    for event in events:
        row, pricing = event.row, agreement.at(event.row.time)
        if not rate_event(row, pricing, totals, positions).rated and row.time >= pricing.activated:
            reason = pricing.unpriced(row.provider, row.model, row.quantities, row.time, row.service_tier)
            if isinstance(reason, Unpriced):
                name = reason.code, reason.detail.removesuffix(f" on {row.time[:10]}")
                parked.setdefault(name, Noted()).add(event)
    why = [Parked(*reason, noted) for reason, noted in parked.items()]
    invoice = blocked = None
    try:
        if totals.parked and agreement.blocks_parked:
            raise _parked(agreement, totals.parked, why)
        invoice = _invoice(agreement, totals, carried)
    except InvariantBroken:
        raise
    except BillingError as error:
        blocked = error
    return Bill(agreement, events, left_out, totals, why, invoice, blocked, counted)


def charges_of(bill: Bill) -> Iterator[list[dict[str, Any]]]:
    """The charges of every rated event, explained, in rating order; none where there is no invoice. The events are
    rated again for it, so nothing but their rows is held."""
    if bill.invoice is None:
        return
    agreement, totals, positions = bill.agreement, Totals(), Positions({}, bill.counted)
    lines = {line["key"]: line for line in bill.invoice["lines"]}
    for event in bill.events:
        outcome = rate_event(event.row, agreement.at(event.row.time), totals, positions)
        if outcome.rated:
            of_event = [lines[charge[0]] for charge in json.loads(outcome.text)[4]]
            yield explain_charges(outcome.text, {**bill.invoice, "lines": of_event})


def _invoice(agreement: Agreement, totals: Totals, carried: Mapping[str, Any] | None) -> dict[str, Any]:
    contract = agreement.last.contract
    entity, customer = {"id": contract.entity}, {"id": contract.customer}
    draft = Draft(f"{OFFLINE}.{agreement.period.name}", agreement.period.end, entity, customer, agreement, carried)
    return {**draft_document(draft, totals), "number": None, "issued_at": None}


def _parked(agreement: Agreement, events: int, parked: Sequence[Parked]) -> AccountParked:
    """As the billing run says it."""
    named = sorted(parked, key=lambda reason: (-reason.events.count, reason.detail))
    text = "; ".join(f"{reason.detail} ({reason.events.count} events)" for reason in named[:_REASONS])
    more = f"; and {len(named) - _REASONS} more" if len(named) > _REASONS else ""
    customer = agreement.last.contract.customer
    return AccountParked(f"parked events of {customer}", events, f"{text}{more}. Publish a first price for them")


def _plan_of(contract: Contract) -> str:
    return f"{contract.plan}@{contract.plan_version}"


def _cards_of(contracts: Sequence[Contract]) -> list[str]:
    return sorted({card for contract in contracts for card in contract.cards})


def _check_named(what: str, given: Iterable[str], named: Sequence[str]) -> None:
    for name in given:
        if name not in named:
            raise DocumentRefused(
                what, name, f"the contract names {', '.join(named)}; leave this out or correct its name"
            )


def _check_advance(entry: Any, at: str, agreement: Agreement) -> None:
    """A fee billed in advance serves this period or an earlier one, at a price whose version is given."""
    fields = closed(entry, required=_ADVANCE, at=at)
    check_match(fields, "charge", NAME, "the id of a charge", at=at)
    version_of(fields, "contract_version")
    start, end = (day_start(fields[name], f"{at}{name}") for name in ("service_from", "service_to"))
    period = agreement.period
    if (start, end) != (period.start, period.end) and not start < end <= period.start:
        value, days = f"{fields['service_from']} to {fields['service_to']}", f"{period.start[:10]} to {period.end[:10]}"
        raise DocumentRefused(f"{at}service_to", value, f"give the invoice of the period before: it serves {days}")
    agreed = {charge.id for stretch in (*agreement.all, agreement.following) for charge in stretch.plan.charges}
    if end == period.end and fields["charge"] not in agreed:
        remedy = f"a charge of the plans in force in {period.name}: {', '.join(sorted(agreed))}"
        raise DocumentRefused(f"{at}charge", fields["charge"], remedy)
    for name in ("price", "exact"):
        parse_amount(fields[name], f"{at}{name}")
    day_start(fields["rate_effective_from"], f"{at}rate_effective_from")
    if type(fields["rate_version"]) is not str or fields["rate_version"] not in agreement.hashes.rates:
        remedy = f"give this version of the card too; given: {', '.join(sorted(agreement.hashes.rates))}"
        raise DocumentRefused(f"{at}rate_version", fields["rate_version"], remedy)
