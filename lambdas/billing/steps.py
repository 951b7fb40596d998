"""The order of the steps from counted usage to the lines of an invoice (K7), in one function: `settle`.

Excluding, counting, included usage and price kinds happen event by event in `rating`. Here follow, over whole lines:
base fees, minimum and maximum per charge, percentage discounts, fixed discounts, and the true-up to a commitment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement, Stretch
from lambdas.billing.classes import class_order
from lambdas.billing.commitments import Committed, committed_of, true_up
from lambdas.billing.fees import Fee, Recognised, advance_of, fees_of, recognised_of
from lambdas.billing.lines import INCLUDED, LinePrice
from lambdas.billing.money import format_amount, multiply, parse_amount
from lambdas.billing.periods import prorate_amount, prorate_sum
from lambdas.billing.plans import Charge
from lambdas.billing.rating import Totals
from lambdas.billing.terms import Discount

USAGE = "usage"
FEE = "fee"
CREDIT = "credit"


class Line(NamedTuple):
    """One legal line before rounding; `amount` is exact, in 10**-18, and negative where it lowers the bill.

    `source` says what it comes from: `usage` has `price`, quantity, events and blocks; `fee` has `fee`; `minimum`,
    `maximum`, `discount` and `commitment` have no events, and their cause is a clause of plan or contract.
    """

    key: str
    source: str
    charge: str
    account: str
    contract_version: int
    amount: int
    cause: str
    arithmetic: str
    price: LinePrice | None = None
    quantity: int = 0
    events: int = 0
    blocks: int | None = None
    fee: Fee | None = None


class Settlement(NamedTuple):
    """The lines of an invoice in legal order, and what it tells the next one and the journal. `credit` in 10**-18 is
    what this invoice owes the customer and the next one takes off."""

    lines: tuple[Line, ...]
    advance: list[dict[str, Any]]
    recognised: list[Recognised]
    committed: Committed | None
    credit: int


def settle(agreement: Agreement, totals: Totals, carried: Mapping[str, Any] | None) -> Settlement:
    """Steps 3 to 8 of K7 for a whole period: everything before credits and tax.

    `carried` is what the account's previous invoice says that this one must know; None where there is nothing. Raises
    RateMissing for a charge that is due and has no price, InvalidAmount for a percentage that is not exact.
    """
    order = _charge_order(agreement)
    fees = fees_of(agreement, carried)
    lines = _in_order([*_usage_lines(totals), *map(_fee_line, fees)], order)
    lines = _in_order([*lines, *_limit_lines(lines, agreement)], order)
    percent = _percent_lines(lines, agreement)
    fixed = _fixed_lines([*lines, *percent], agreement)
    counted: dict[int, int] = {}
    for line in (*lines, *percent, *fixed):
        ahead = line.fee is not None and line.fee.ahead  # counts where it is billed: the next invoice does not bill it
        version = agreement.last.contract.version if ahead else line.contract_version
        counted[version] = counted.get(version, 0) + line.amount
    committed = committed_of(agreement, sum(counted.values()), carried)
    missing = true_up(agreement, counted, committed)
    raised = [] if missing is None else [_true_up_line(missing.amount, missing.arithmetic, agreement)]
    lines = [*lines, *percent, *fixed, *raised]
    credits = _credit_lines(lines, agreement, carried)
    credit = sum(line.amount for line in credits if line.amount > 0)
    recognised = recognised_of(fees, carried)
    return Settlement((*lines, *credits), advance_of(fees), recognised, committed, credit)


def _charge_order(agreement: Agreement) -> dict[str, int]:
    """Where the lines of each charge stand: in the order of the plans, those of earlier stretches first."""
    order: dict[str, int] = {}
    for stretch in (*agreement.stretches, agreement.following):
        for charge in stretch.plan.charges:
            order.setdefault(charge.id, len(order))
    return order


def _in_order(lines: Iterable[Line], order: Mapping[str, int]) -> list[Line]:
    """By charge; usage by provider, model, class, start of the price, contract version, service tier, prompt size,
    tier, attribute; then fees by day; then minimum and maximum."""

    def place(line: Line) -> tuple[Any, ...]:
        price = line.price
        if price is None:
            return order.get(line.charge, len(order)), (1, "") if line.fee is not None else (2, "")
        asked, tier = price.of.asked, int(price.tier) if price.tier not in (None, INCLUDED) else 0
        return (
            order[line.charge], (0, asked.provider), asked.model, class_order(asked.name), price.dated.start,
            price.of.contract_version, asked.service_tier, price.dated.rate.key.prompt_above, tier,
            price.attribute or "", line.key,
        )  # fmt: skip

    return sorted(lines, key=place)


def _usage_lines(totals: Totals) -> list[Line]:
    lines = []
    for total in totals.lines.values():
        price = total.price
        charge, version = price.charge, price.of.contract_version
        line = Line(price.key, USAGE, charge.id, f"revenue:{charge.revenue}", version, total.amount, "", "", price)
        lines.append(line._replace(quantity=total.quantity, events=total.events, blocks=total.blocks))
    return lines


def _fee_line(fee: Fee) -> Line:
    if fee.unused:
        cause = f"days of {fee.charge} that were billed in advance and are not used"
        account = f"deferred:{fee.charge}"
    else:
        cause = f"base fee {fee.charge}, {'in advance' if fee.ahead else 'for days of this period'}"
        account = f"{'deferred' if fee.ahead else 'revenue'}:{fee.charge}"
    key = f"{fee.charge}|{fee.rate_version}|{fee.start[:10]}{'|unused' if fee.unused else ''}"
    return Line(key, FEE, fee.charge, account, fee.contract_version, fee.amount, cause, fee.arithmetic, fee=fee)


def _limit_lines(lines: Sequence[Line], agreement: Agreement) -> list[Line]:
    """Step 5. What brings a charge up to its minimum, or down to its maximum: for the days on which it is agreed, and
    from what is charged by the contract versions that agree it."""
    found = []
    for name, sign in (("minimum", 1), ("maximum", -1)):
        for charge_id, bounds in _bounds(agreement, name).items():
            versions = {stretch.contract.version for _, stretch in bounds}
            charged = sum(
                line.amount for line in lines if line.charge == charge_id and line.contract_version in versions
            )
            bound = prorate_sum([(parse_amount(text), stretch.days) for text, stretch in bounds], agreement.days)
            difference = bound - charged
            if difference * sign > 0:
                last = bounds[-1][1]
                account = f"revenue:{_charge_of(last, charge_id).revenue}"
                cause = f"charge {charge_id} has a {name} of {format_amount(bound)} in this period"
                arithmetic = (
                    f"{_shares(bounds, agreement.days)} - {format_amount(charged)} = {format_amount(difference)}"
                )
                version = last.contract.version
                line = Line(f"{charge_id}|{name}", name, charge_id, account, version, difference, cause, arithmetic)
                found.append(line)
    return found


def _bounds(agreement: Agreement, name: str) -> dict[str, list[tuple[str, Stretch]]]:
    """By charge, its `minimum` or `maximum` in each stretch that has one."""
    found: dict[str, list[tuple[str, Stretch]]] = {}
    for stretch in agreement.stretches:
        for charge in stretch.plan.charges:
            bound = charge.minimum if name == "minimum" else charge.maximum
            if bound is not None:
                found.setdefault(charge.id, []).append((bound, stretch))
    return found


def _shares(bounds: Sequence[tuple[str, Stretch]], of: int) -> str:
    """`100.00` for a whole period, `100.00 x 15/30` for a part, one after the other for several."""
    return " + ".join(text if stretch.days == of else f"{text} x {stretch.days}/{of}" for text, stretch in bounds)


def _charge_of(stretch: Stretch, charge_id: str) -> Charge:
    return next(charge for charge in stretch.plan.charges if charge.id == charge_id)


def _percent_lines(lines: Sequence[Line], agreement: Agreement) -> list[Line]:
    """Step 6. Each percentage counts from usage charges as they are after step 5, those of the contract versions that
    state it: one that later versions restate is one discount. It takes no more of a charge than others have left."""
    found: list[Line] = []
    charged: dict[tuple[int, str], int] = {}
    left: dict[str, int] = {}
    for line in lines:
        if line.source != FEE:
            name = (line.contract_version, line.charge)
            charged[name] = charged.get(name, 0) + line.amount
            left[line.charge] = left.get(line.charge, 0) + line.amount
    stated: dict[Discount, list[Stretch]] = {}
    for stretch, discount in _discounts(agreement):
        stated.setdefault(discount, []).append(stretch)
    for discount, stretches in stated.items():
        if discount.percent is None:
            continue
        versions = {stretch.contract.version for stretch in stretches}
        bases: dict[str, int] = {}
        for (version, charge), amount in charged.items():
            if version in versions and (not discount.charges or charge in discount.charges):
                bases[charge] = bases.get(charge, 0) + amount
        taken = 0
        for charge, base in bases.items():
            wanted = multiply(max(0, base), discount.percent, f"discount {discount.id}")
            part = min(wanted, max(0, left[charge]))
            left[charge] -= part
            taken += part
        if taken:
            percent, base = format_amount(discount.percent), sum(max(0, base) for base in bases.values())
            most = "" if taken == multiply(base, discount.percent) else ", at most what others leave,"
            arithmetic = f"{percent} x {format_amount(base)}{most} = {format_amount(taken)} off"
            cause = f"{format_amount(100 * discount.percent)} % off {', '.join(discount.charges) or 'usage'}"
            found.append(_discount_line(discount, stretches[-1], taken, cause, arithmetic))
    return found


def _fixed_lines(lines: Sequence[Line], agreement: Agreement) -> list[Line]:
    """Step 7. Fixed discounts, for the days they are agreed; never more than there is to pay."""
    found: list[Line] = []
    for stretch, discount in _discounts(agreement):
        if discount.amount is None:
            continue
        share = prorate_amount(discount.amount, stretch.days, agreement.days)
        amount = min(share, max(0, sum(line.amount for line in (*lines, *found))))
        if amount > 0:
            days = "" if stretch.days == agreement.days else f" x {stretch.days}/{agreement.days}"
            most = "" if amount == share else ", at most what is charged,"
            arithmetic = f"{format_amount(discount.amount)}{days}{most} = {format_amount(amount)} off"
            cause = f"fixed discount {discount.id}"
            found.append(_discount_line(discount, stretch, amount, cause, arithmetic))
    return found


def _discounts(agreement: Agreement) -> list[tuple[Stretch, Discount]]:
    return [(stretch, discount) for stretch in agreement.stretches for discount in stretch.contract.discounts]


def _discount_line(discount: Discount, stretch: Stretch, amount: int, cause: str, arithmetic: str) -> Line:
    version = stretch.contract.version
    key = f"{discount.id}|discount|contract@{version}"
    return Line(key, "discount", discount.id, "contra_revenue:discount", version, -amount, cause, arithmetic)


def _credit_lines(lines: Sequence[Line], agreement: Agreement, carried: Mapping[str, Any] | None) -> list[Line]:
    """An invoice is never negative: fees that go back beyond what is charged are taken off the next one."""
    version = agreement.last.contract.version

    def line(key: str, amount: int, cause: str, arithmetic: str) -> Line:
        return Line(f"credit|{key}", CREDIT, CREDIT, "deferred:credit", version, amount, cause, arithmetic)

    found = []
    before = parse_amount((carried or {}).get("credit", "0"))
    if before and carried is not None:
        cause = f"fees that invoice {carried['invoice']} gave back and did not take off"
        found.append(line(f"from {carried['invoice']}", -before, cause, f"{format_amount(before)} off"))
    left = sum(one.amount for one in (*lines, *found))
    if left < 0:
        arithmetic = f"0 less {format_amount(left)} = {format_amount(-left)}"
        found.append(line("to the next invoice", -left, "what goes back is more than is charged here", arithmetic))
    return found


def _true_up_line(amount: int, arithmetic: str, agreement: Agreement) -> Line:
    version = agreement.last.contract.version
    cause = f"contract version {version} commits to a least amount"
    key = f"commitment|contract@{version}"
    return Line(key, "commitment", "commitment", "revenue:commitment", version, amount, cause, arithmetic)
