"""Base fees: flat charges, once per period, in advance or in arrears, shared out by whole UTC days (K11).

A fee in advance is billed on the invoice of the period before the one it serves, and its money is deferred until
then. What the contract changed since is settled afterwards: days that were billed and not used go back, days that no
invoice billed are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement, Stretch
from lambdas.billing.errors import InvariantBroken, RateMissing
from lambdas.billing.money import format_amount, parse_amount
from lambdas.billing.periods import day_count, prorate_amount
from lambdas.billing.plans import Charge
from lambdas.billing.rates import DatedRate
from lambdas.billing.times import day_start


class Fee(NamedTuple):
    """One charge for the days `[start, end)`, canonical times. `price` is for a whole period of `of` days; `amount` in
    10**-18 is negative where days go back. `ahead` is true for what serves the next period."""

    charge: str
    contract_version: int
    start: str
    end: str
    price: str
    rate_version: str
    effective_from: str
    of: int
    amount: int
    unused: bool
    ahead: bool

    @property
    def days(self) -> int:
        return day_count(self.start, self.end)

    @property
    def arithmetic(self) -> str:
        """`30.00 x 10/30 = 10`, `99.00 x 1 = 99` for a whole period, `30.00 x 20/30 = 20 back`."""
        share = "1" if self.days == self.of else f"{self.days}/{self.of}"
        return f"{self.price} x {share} = {format_amount(abs(self.amount))}{' back' if self.unused else ''}"


class Recognised(NamedTuple):
    """What of a fee billed in advance, on an earlier invoice, is earned in this period, in 10**-18."""

    charge: str
    invoice: str
    amount: int


def fees_of(agreement: Agreement, carried: Mapping[str, Any] | None) -> list[Fee]:
    """Every fee of an invoice, by charge and day. `carried` is what the invoice before this one billed in advance.

    Raises RateMissing for a flat charge without a price: nothing is billed at zero.
    """
    billed = [_billed(entry, agreement.days) for entry in _entries(carried) if _serves(entry, agreement)]
    fees: list[Fee] = []
    for stretch in agreement.stretches:
        for charge in stretch.plan.charges:
            if charge.kind == "flat":
                fee = _fee(charge, stretch, agreement.days, ahead=False)
                if charge.timing == "arrears" or not any(_covers(earlier, fee) for earlier in billed):
                    fees.append(fee)
    for earlier in billed:
        fees += _unused(earlier, agreement)
    following = agreement.following
    fees += [_fee(charge, following, following.days, ahead=True) for charge in following.plan.in_advance]
    return sorted(fees, key=lambda fee: (fee.start, fee.unused))


def advance_of(fees: Sequence[Fee]) -> list[dict[str, Any]]:
    """What the next invoice must know of the fees that this one bills in advance."""
    return [
        {
            "charge": fee.charge,
            "contract_version": fee.contract_version,
            "service_from": fee.start[:10],
            "service_to": fee.end[:10],
            "price": fee.price,
            "rate_version": fee.rate_version,
            "rate_effective_from": fee.effective_from,
            "exact": format_amount(fee.amount),
        }
        for fee in fees
        if fee.ahead
    ]


def recognised_of(fees: Sequence[Fee], carried: Mapping[str, Any] | None) -> list[Recognised]:
    """Fees of this period that an earlier invoice billed and deferred, less the days that go back."""
    recognised = []
    for entry in _entries(carried):
        back = sum(fee.amount for fee in fees if fee.unused and _gives_back(fee, entry))
        amount = parse_amount(entry["exact"]) + back
        if amount:
            recognised.append(Recognised(entry["charge"], carried["invoice"] if carried else "", amount))
    return recognised


def _gives_back(fee: Fee, entry: Mapping[str, Any]) -> bool:
    return fee.charge == entry["charge"] and str(entry["service_from"]) <= fee.start[:10] < str(entry["service_to"])


def _fee(charge: Charge, stretch: Stretch, of: int, *, ahead: bool) -> Fee:
    dated = stretch.pricing.flat_rate(charge, stretch.start)
    if dated is None:
        card, day = stretch.contract.rate_card, stretch.start[:10]
        raise RateMissing(f"charge {charge.id}", f"no price on {day}", f"publish its price in rate card {card}")
    amount = prorate_amount(_price(charge, dated), stretch.days, of)
    return Fee(charge.id, stretch.contract.version, stretch.start, stretch.end, dated.rate.tiers[0].price, dated.name,
               dated.effective_from, of, amount, unused=False, ahead=ahead)  # fmt: skip


def _price(charge: Charge, dated: DatedRate) -> int:
    if len(dated.rate.tiers) > 1 or dated.rate.per != 1:
        found = f"{len(dated.rate.tiers)} tiers per {dated.rate.per}"
        raise RateMissing(f"charge {charge.id}", found, f"state one price per 1 in {dated.name}: it is a flat charge")
    return dated.rate.tiers[0].block_price


def _entries(carried: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return [] if carried is None else list(carried["advance"])


def _serves(entry: Mapping[str, Any], agreement: Agreement) -> bool:
    """Whether a fee billed in advance is for this period. One for an earlier period, that no invoice has followed, is
    earned and has nothing to give back. Raises InvariantBroken for any other."""
    start, end = day_start(entry["service_from"]), day_start(entry["service_to"])
    serves = (start, end) == agreement.period[1:]
    if not serves and end > agreement.period.start:
        raise InvariantBroken(
            f"fee of {entry['charge']}", f"{start} to {end}", f"the period is {agreement.period.name}"
        )
    return serves


def _billed(entry: Mapping[str, Any], of: int) -> Fee:
    start, end = day_start(entry["service_from"]), day_start(entry["service_to"])
    return Fee(entry["charge"], entry["contract_version"], start, end, entry["price"], entry["rate_version"],
               entry["rate_effective_from"], of, parse_amount(entry["exact"]), unused=False, ahead=False)  # fmt: skip


def _covers(billed: Fee, fee: Fee) -> bool:
    """Whether an earlier invoice billed these days of this charge at this price."""
    return (
        billed.charge == fee.charge
        and billed.start <= fee.start
        and fee.end <= billed.end
        and parse_amount(billed.price) == parse_amount(fee.price)
    )


def _unused(billed: Fee, agreement: Agreement) -> list[Fee]:
    """A billed fee going back for each stretch in which the contract no longer has that charge at that price. What goes
    back altogether is never more or less than was billed."""
    back: list[Fee] = []
    for stretch in agreement.stretches:
        if not _keeps(stretch, billed, agreement.days):
            days = day_count(stretch.start, stretch.end)
            amount = -prorate_amount(parse_amount(billed.price), days, billed.of)
            back.append(billed._replace(start=stretch.start, end=stretch.end, amount=amount, unused=True))
    if sum(fee.days for fee in back) == billed.days and back:
        rest = -billed.amount - sum(fee.amount for fee in back[:-1])
        back[-1] = back[-1]._replace(amount=rest)
    return back


def _keeps(stretch: Stretch, billed: Fee, of: int) -> bool:
    charges = [charge for charge in stretch.plan.in_advance if charge.id == billed.charge]
    return any(_covers(billed, _fee(charge, stretch, of, ahead=False)) for charge in charges)
