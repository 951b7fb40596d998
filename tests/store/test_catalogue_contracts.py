"""When a contract version may follow another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lambdas.billing.contracts import check_contract
from lambdas.billing.documents import Contract, read_contract
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.plans import Plan, read_plan
from tests.store.catalogue_documents import CONTRACT, PLAN

NOW = "2026-11-16T12:00:00.000000Z"
PURE = read_plan(PLAN)


def contract(version: int, effective_from: str, **change: Any) -> Contract:
    return read_contract({**CONTRACT, "version": version, "effective_from": effective_from, **change})


def units(name: str = "units", **weights: int) -> Plan:
    """A plan whose primary meter is weighted."""
    charge = {"id": name, "meter": name, "kind": "per_unit"}
    meters = {name: {"weights": weights}}
    return read_plan({**PLAN, "model": "custom", "primary_meter": name, "meters": meters, "charges": [charge]})


def check(new: Contract, earlier: Sequence[Contract], now: str = NOW, plan: Plan = PURE, before: Plan = PURE) -> None:
    check_contract(new, earlier, plan=plan, plans_before=[before] * len(earlier), now=now)


@pytest.mark.parametrize("day", ["2020-01-31", "2026-11-16", "2030-02-02"])
def test_the_first_version_begins_on_any_day(day: str) -> None:
    check(contract(1, day), [])
    check(contract(1, day, anchor_day=31), [])


@pytest.mark.parametrize(
    ("new", "now", "refused"),
    [
        (contract(2, "2026-12-01"), NOW, None),
        (contract(2, "2026-11-17"), NOW, None),
        (contract(2, "2026-11-17"), "2026-11-16T23:59:59.999999Z", None),
        (contract(2, "2026-11-17"), "2026-11-17T00:00:00.000000Z", "after today, 2026-11-17"),
        (contract(2, "2026-11-16"), NOW, "after today"),
        (contract(2, "2026-11-15"), NOW, "after today"),
        (contract(2, "2027-11-30"), NOW, None),
        (contract(3, "2026-12-01"), NOW, "next contract version is 2"),
        (contract(1, "2026-12-01"), NOW, "next contract version is 2"),
        (contract(2, "2026-12-01", entity="bp-eu"), NOW, "with bp-us"),
        (contract(2, "2026-12-01", currency="EUR"), NOW, "USD"),
        (contract(2, "2026-12-01", anchor_day=2), NOW, "periods begin on day 1"),
        (contract(2, "2026-12-01", plan="other", rate_card="gold"), NOW, None),
    ],
)
def test_a_later_version_begins_on_any_coming_day(new: Contract, now: str, refused: str | None) -> None:
    earlier = [contract(1, "2026-10-15")]
    if refused is None:
        check(new, earlier, now)
    else:
        with pytest.raises(DocumentRefused, match=refused):
            check(new, earlier, now)


@pytest.mark.parametrize(("day", "allowed"), [("2027-01-31", False), ("2027-02-01", False), ("2027-02-02", True)])
def test_a_version_begins_after_the_one_before_it(day: str, allowed: bool) -> None:
    earlier = [contract(1, "2026-10-15"), contract(2, "2027-02-01")]
    if allowed:
        check(contract(3, day), earlier)
    else:
        with pytest.raises(DocumentRefused, match="version 2 begins on 2027-02-01; begin on a day after it"):
            check(contract(3, day), earlier)


@pytest.mark.parametrize(
    ("anchor", "day", "allowed"),
    [
        (1, "2026-12-01", True),
        (1, "2026-12-02", False),
        (1, "2026-12-31", False),
        (15, "2026-12-14", False),
        (15, "2026-12-15", True),
        (15, "2026-12-16", False),
        (15, "2027-01-01", False),
        (31, "2027-02-27", False),
        (31, "2027-02-28", True),
        (31, "2027-03-01", False),
        (31, "2027-03-30", False),
        (31, "2027-03-31", True),
    ],
)
def test_another_primary_meter_begins_with_a_billing_period(anchor: int, day: str, allowed: bool) -> None:
    """Within a period one thing is counted (R8); everything else of a plan may change on any day."""
    earlier = [contract(1, "2026-10-15", anchor_day=anchor)]
    new = contract(2, day, anchor_day=anchor)
    check(new, earlier, plan=units(input=1, output=4), before=units(output=4, input=1))
    if allowed:
        check(new, earlier, plan=units(input=1, output=5), before=units(input=1, output=4))
    else:
        with pytest.raises(DocumentRefused, match="begins with a billing period") as refusal:
            check(new, earlier, plan=units(input=1, output=5), before=units(input=1, output=4))
        assert refusal.value.field == "effective_from"


@pytest.mark.parametrize(
    ("plan", "before", "same"),
    [
        (units(input=1, output=4), units("tokens_by_weight", input=1, output=4), True),
        (units(input=1, output=4), units(input=1, output=4, reasoning=4), False),
        (units(input=1, output=1), PURE, False),
        (
            read_plan({**PLAN, "model": "hybrid", "tokens": "class", "gates": [{"meter": "calls", "kind": "package"}]}),
            PURE,
            True,
        ),
    ],
)
def test_a_primary_meter_is_what_it_counts_and_not_its_name(plan: Plan, before: Plan, same: bool) -> None:
    earlier = [contract(1, "2026-10-15")]
    if same:
        check(contract(2, "2026-12-02"), earlier, plan=plan, before=before)
    else:
        with pytest.raises(DocumentRefused, match="such as 2027-01-01"):
            check(contract(2, "2026-12-02"), earlier, plan=plan, before=before)


def term(version: int, day: str, amount: str | None = "300", **change: Any) -> Contract:
    """A contract version that commits to an amount in three months; to nothing for None."""
    commitment = {} if amount is None else {"commitment": {"amount": amount, "counting": "term", "months": 3}}
    return contract(version, day, **commitment, **change)


@pytest.mark.parametrize(
    ("new", "refused"),
    [
        (term(2, "2026-12-15"), None),  # restated: the term goes on
        (term(2, "2026-12-01", "400"), "the commitment stands until 2027-01-01"),
        (term(2, "2026-12-31", None), "the commitment stands until 2027-01-01"),
        (term(2, "2027-01-01", None), None),
        (term(2, "2027-01-01", "400"), None),
        (term(2, "2027-01-02", "400"), "begins with a billing period, such as 2027-02-01"),
        (term(2, "2027-01-02", None), "the commitment stands until 2027-04-01"),
        (term(2, "2027-03-31", None), "the commitment stands until 2027-04-01"),
        (term(2, "2027-04-01", None), None),
    ],
)
def test_a_commitment_by_term_stands_until_its_end(new: Contract, refused: str | None) -> None:
    earlier = [term(1, "2026-10-01")]
    if refused is None:
        check_again(new, earlier)
    else:
        with pytest.raises(DocumentRefused, match=refused):
            check(new, earlier)


@pytest.mark.parametrize(
    ("anchor_day", "begins", "day"), [(1, "2026-10-01", "2026-10-02"), (31, "2027-02-28", "2027-02-27")]
)
def test_a_commitment_by_term_begins_with_a_period(anchor_day: int, begins: str, day: str) -> None:
    check_again(term(1, begins, anchor_day=anchor_day), [])
    with pytest.raises(DocumentRefused, match="begins with a billing period"):
        check(term(1, day, anchor_day=anchor_day), [])


def check_again(new: Contract, earlier: Sequence[Contract]) -> None:
    """Taken, and taken for the reason tested: the same version one number further is refused."""
    check(new, earlier)
    with pytest.raises(DocumentRefused, match="version"):
        check(new._replace(version=new.version + 1), earlier)


def listed(charge_id: str = "output", meter: str = "output", pool: str | None = None, amount: bool = False) -> Plan:
    """A plan with one charge of this meter, and its share of included usage."""
    charge = {"id": charge_id, "meter": meter, "kind": "per_unit", "prices": "charge"}
    more: dict[str, Any] = {}
    if pool is not None:
        more = {"included": [{"id": pool, "charges": [charge_id], **({"amount": "5"} if amount else {"quantity": 5})}]}
    charges = [charge, {"id": "primary", "meter": "input", "kind": "per_unit", "prices": "charge"}]
    return read_plan(
        {**PLAN, "model": "custom", "primary_meter": "input", "charges": charges, "currency": "USD", **more}
    )


@pytest.mark.parametrize(
    ("before", "plan", "refused"),
    [
        (listed(), listed(), None),
        (listed(pool="a"), listed(pool="a"), None),
        (listed(), listed("other", pool="a"), None),
        (listed(meter="calls"), listed(), "it was in call"),
        (listed(), listed(pool="a"), "what shares its included usage is another"),
        (listed(pool="a"), listed(pool="b"), "what shares its included usage is another"),
        (listed(pool="a"), listed(pool="a", amount=True), "what shares its included usage is another"),
    ],
)
def test_what_a_charge_counts_changes_with_a_period_only(before: Plan, plan: Plan, refused: str | None) -> None:
    earlier = [contract(1, "2026-10-01")]
    check(contract(2, "2026-12-01"), earlier, plan=plan, before=before)
    if refused is None:
        check(contract(2, "2026-12-02"), earlier, plan=plan, before=before)
    else:
        with pytest.raises(DocumentRefused, match=refused):
            check(contract(2, "2026-12-02"), earlier, plan=plan, before=before)


def test_what_is_counted_is_compared_with_all_versions_of_the_period() -> None:
    earlier = [contract(1, "2026-10-01"), contract(2, "2026-12-05")]

    def agree(day: str, plan: Plan, first: Plan) -> None:
        check_contract(contract(3, day), earlier, plan=plan, plans_before=[first, listed()], now=NOW)

    agree("2026-12-10", listed("other"), listed("other"))
    with pytest.raises(DocumentRefused, match="charge other in call: it was in token"):
        agree("2026-12-10", listed("other", "calls"), listed("other"))
    with pytest.raises(DocumentRefused, match="it was in call"):
        agree("2026-12-10", listed("other", pool="a"), listed("more", "calls", pool="a"))
    with pytest.raises(DocumentRefused, match="it was in money"):
        agree("2026-12-10", listed("other", pool="a"), listed("more", pool="a", amount=True))
    agree("2027-01-02", listed("other", "calls"), listed("other"))  # version 1 is of an earlier period


@pytest.mark.parametrize(("kind", "day", "taken"), [("package", "2026-12-02", False), ("package", "2026-12-01", True)])
def test_blocks_are_counted_from_a_periods_begin_on(kind: str, day: str, taken: bool) -> None:
    """A block that per unit usage began would have been charged as a block by nobody."""
    plan = listed()._replace(charges=tuple(charge._replace(kind=kind) for charge in listed().charges))
    if taken:
        check(contract(2, day), [contract(1, "2026-10-01")], plan=plan, before=listed())
    else:
        with pytest.raises(DocumentRefused, match="it was per_unit; it changes with a billing period only"):
            check(contract(2, day), [contract(1, "2026-10-01")], plan=plan, before=listed())


def test_a_tax_changes_with_a_period_only() -> None:
    other = {"tax": {"category": "S", "rate": "0.21"}}
    check(contract(2, "2026-12-01", **other), [contract(1, "2026-10-01")])
    with pytest.raises(DocumentRefused, match="with a billing period only, such as 2027-01-01"):
        check(contract(2, "2026-12-02", **other), [contract(1, "2026-10-01")])
