"""An account's period as agreed: the contract versions in force in it, one stretch after the other, compiled (R11).

What is included, and what is owed for time, is shared out over the stretches by whole UTC days (K11).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.canonical import content_hash
from lambdas.billing.documents import Contract, read_contract
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.periods import account_period, day_count, next_period, prorate_sum, prorate_units
from lambdas.billing.plans import Plan, pool_unit, read_plan
from lambdas.billing.pricing import Pricing, Shares, read_cards
from lambdas.billing.rate_cards import RateCardVersion
from lambdas.billing.times import Period, day_start


class Stretch(NamedTuple):
    """A part `[start, end)` of a period in which one contract version is in force; canonical times."""

    start: str
    end: str
    pricing: Pricing

    @property
    def days(self) -> int:
        return day_count(self.start, self.end)

    @property
    def contract(self) -> Contract:
        return self.pricing.contract

    @property
    def plan(self) -> Plan:
        return self.pricing.plan


class Hashes(NamedTuple):
    """Content hashes of the documents an agreement was compiled from: by contract version, `plan@version`,
    `card@version`."""

    contracts: Mapping[int, str]
    plans: Mapping[str, str]
    rates: Mapping[str, str]


class Agreement(NamedTuple):
    """`stretches` cover the period from the first contract's begin; none, where that is the period's end.
    `following` is the whole next period under the contract version in force when this one ends: what is billed in
    advance."""

    period: Period
    stretches: tuple[Stretch, ...]
    following: Stretch
    hashes: Hashes
    starts: tuple[str, ...]
    """When each stretch begins."""
    unsplit: bool

    @property
    def days(self) -> int:
        """Whole days of the period, of which a stretch has its share."""
        return day_count(self.period.start, self.period.end)

    @property
    def last(self) -> Stretch:
        """The stretch that the period ends in; where it has none, the following one."""
        return self.stretches[-1] if self.stretches else self.following

    @property
    def positional(self) -> bool:
        """True where events must be measured before they can be rated in shards."""
        return any(stretch.plan.positional for stretch in self.stretches)

    @property
    def blocks_parked(self) -> bool:
        """Whether usage that has no price stops the invoice."""
        return any(stretch.contract.parked_usage == "block" for stretch in self.all)

    @property
    def all(self) -> tuple[Stretch, ...]:
        return self.stretches or (self.following,)

    def at(self, time: str) -> Pricing:
        """What prices an event of this canonical time; before the first contract, the pricing that excludes it."""
        if len(self.starts) < 2:
            return self.last.pricing
        return self.stretches[max(0, bisect_right(self.starts, time) - 1)].pricing

    def of_version(self, contract_version: int) -> Pricing | None:
        """The pricing of a contract version of this period."""
        found = (stretch.pricing for stretch in self.stretches if stretch.contract.version == contract_version)
        return next(found, None)


def compile_agreement(
    month: str,
    contracts: Sequence[Any],
    plans: Mapping[str, Any],
    rate_cards: Mapping[str, Any],
    *,
    unsplit: bool = False,
) -> Agreement:
    """The agreement of an account for the run of `month`, from parsed documents as frozen in S3 or carried in a bundle.

    `contracts` are the versions in force in the period and at its end, `plans` maps `plan@version`, `rate_cards`
    `card@version`. `unsplit` leaves lines whole that contracts split by an attribute, because they were too many.
    Raises DocumentRefused for documents that do not belong together.
    """
    versions = sorted((read_contract(document) for document in contracts), key=lambda contract: contract.version)
    if unsplit:
        versions = [contract._replace(split_by=None) for contract in versions]
    if not versions or len({contract.anchor_day for contract in versions}) != 1:
        raise DocumentRefused("contracts", len(versions), "versions of one customer's contract, with one anchor day")
    read_plans = {name: read_plan(plans[name]) for name in plans}
    cards = read_cards(rate_cards)
    period = account_period(month, versions[0].anchor_day)
    after = next_period(period, versions[0].anchor_day)
    agreed = _keeping_positions([(contract, _plan_of(contract, read_plans)) for contract in versions])
    limits = _limits(period, agreed)
    shares = _shares(limits, day_count(period.start, period.end))
    first = max(period.start, day_start(versions[0].effective_from))
    stretches = []
    for start, end, contract, plan in limits:
        mark = f"contract@{contract.version}" if len(limits) > 1 else ""
        priced = Pricing(contract, plan, _named(cards, contract), shares=shares, fixed_at=first, mark=mark)
        stretches.append(Stretch(start, end, priced))
    contract, plan = agreed[-1]
    ahead = Pricing(contract, plan, _named(cards, contract), fixed_at=after.start)
    hashes = Hashes(
        {document["version"]: content_hash(document) for document in contracts},
        {name: content_hash(plans[name]) for name in plans},
        {name: content_hash(rate_cards[name]) for name in rate_cards},
    )
    starts = tuple(stretch.start for stretch in stretches)
    return Agreement(period, tuple(stretches), Stretch(after.start, after.end, ahead), hashes, starts, unsplit)


def _plan_of(contract: Contract, plans: Mapping[str, Plan]) -> Plan:
    name = f"{contract.plan}@{contract.plan_version}"
    plan = plans.get(name)
    if plan is None or f"{plan.id}@{plan.version}" != name:
        raise DocumentRefused("plan", name, f"contract version {contract.version} names it and it must be given")
    return plan


def _keeping_positions(agreed: Sequence[tuple[Contract, Plan]]) -> list[tuple[Contract, Plan]]:
    """The plans with every charge counting its position that does so in any of them: a position belongs to the charge's
    id, whatever its price kind is in one version (K8)."""
    counted = {charge.id for _, plan in agreed for charge in plan.charges if charge.positional}
    return [
        (
            contract,
            plan._replace(
                charges=tuple(
                    charge._replace(keeps_position=charge.kind != "flat" and charge.id in counted)
                    for charge in plan.charges
                )
            ),
        )
        for contract, plan in agreed
    ]


def _limits(period: Period, agreed: Sequence[tuple[Contract, Plan]]) -> list[tuple[str, str, Contract, Plan]]:
    """Where each version begins and ends inside the period. Raises DocumentRefused for versions out of order, or one
    that is not in force in the period or at its end."""
    starts = [day_start(contract.effective_from) for contract, _ in agreed]
    ends = [*starts[1:], "9999-12-31T00:00:00.000000Z"]
    limits = []
    for (contract, plan), start, end in zip(agreed, starts, ends, strict=True):
        if start >= end or start > period.end or end <= period.start:
            raise DocumentRefused(
                "effective_from", contract.effective_from, f"versions in force in {period.name}, one after the other"
            )
        if start < period.end:
            limits.append((max(start, period.start), min(end, period.end), contract, plan))
    return limits


def _shares(limits: Sequence[tuple[str, str, Contract, Plan]], of: int) -> Shares:
    """Included usage of the whole period, by charge and by pool, each from its days in every stretch (K11)."""
    charges: dict[str, list[tuple[int, int]]] = {}
    units: dict[str, list[tuple[int, int]]] = {}
    money: dict[str, list[tuple[int, int]]] = {}
    kinds: dict[str, object] = {}
    for start, end, _, plan in limits:
        days = day_count(start, end)
        for charge in plan.charges:
            if kinds.setdefault(charge.id, charge.unit) != charge.unit:
                raise DocumentRefused("charge", charge.id, "a charge of one name counts one unit in all of a period")
            charges.setdefault(charge.id, []).append((charge.included, days))
        for pool in {charge.pool.id: charge.pool for charge in plan.charges if charge.pool is not None}.values():
            name = f"pool:{pool.id}"
            if kinds.setdefault(name, pool_unit(plan, pool)) != pool_unit(plan, pool):
                raise DocumentRefused(
                    "included", pool.id, "included usage of one name is of one unit in all of a period"
                )
            if pool.amount is None:
                units.setdefault(pool.id, []).append((pool.quantity or 0, days))
            else:
                money.setdefault(pool.id, []).append((pool.amount, days))
    pools = {name: prorate_units(shares, of) for name, shares in units.items()}
    pools |= {name: prorate_sum(amounts, of) for name, amounts in money.items()}
    return Shares({name: prorate_units(shares, of) for name, shares in charges.items()}, pools)


def _named(cards: Sequence[RateCardVersion], contract: Contract) -> list[RateCardVersion]:
    return [version for version in cards if version.card in contract.cards]
