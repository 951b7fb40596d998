"""Pools: included usage that several charges of a plan share, in units or in money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lambdas.billing.charges import Charge, Pool
from lambdas.billing.controls import money_of
from lambdas.billing.errors import PlanRefused, UnitsMixed
from lambdas.billing.fields import NAME, check_choice, check_match, closed
from lambdas.billing.models.template import Placed
from lambdas.billing.usage import MAX_QUANTITY


def with_pools(charges: tuple[Charge, ...], placed: Sequence[Placed], currency: str | None) -> tuple[Charge, ...]:
    """The charges of a plan, each with the pool it shares. A charge is in at most one pool, and is then per unit and
    without included units of its own: every unit of a pool is worth the same wherever it is used.

    Raises UnitsMixed for a pool of units over charges of different units, PlanRefused, DocumentRefused.
    """
    ids = {charge.id for charge in charges}
    by_id = {charge.id: charge for charge in charges}
    for at, entry in placed:
        pool = _pool(entry, at, by_id, currency)
        if pool.id in ids:
            raise PlanRefused(f"{at}id", pool.id, "each charge and each pool has an id of its own")
        ids.add(pool.id)
        for charge_id in pool.charges:
            by_id[charge_id] = by_id[charge_id]._replace(pool=pool)
    return tuple(by_id[charge.id] for charge in charges)


def _pool(entry: Any, at: str, charges: Mapping[str, Charge], currency: str | None) -> Pool:
    money = isinstance(entry, Mapping) and "amount" in entry
    fields = closed(entry, required={"id", "charges", "amount" if money else "quantity"}, at=at)
    check_match(fields, "id", NAME, "letters, digits, '.', '_', '-'", at=at)
    names = fields["charges"]
    if not isinstance(names, list) or not names or len(names) > len(charges):
        raise PlanRefused(f"{at}charges", names, "a list of ids of the plan's charges")
    for position, name in enumerate(names):
        where = f"{at}charges[{position}]"
        check_choice({where: name}, where, tuple(charges))
        charge = charges[name]
        if name in names[:position]:
            raise PlanRefused(where, name, "each charge once")
        if charge.kind != "per_unit":
            raise PlanRefused(where, name, f"only charges per unit share included usage; this is {charge.kind}")
        if charge.included:
            raise PlanRefused(where, name, "this charge includes units of its own; included usage is there or shared")
        if charge.pool is not None:
            raise PlanRefused(where, name, f"this charge already shares {charge.pool.id}")
    if money:
        amount = money_of(fields["amount"], f"{at}amount", currency)
        if not amount:
            raise PlanRefused(f"{at}amount", fields["amount"], "an amount above zero")
        return Pool(fields["id"], tuple(names), None, amount)
    quantity = fields["quantity"]
    if type(quantity) is not int or not 0 < quantity <= MAX_QUANTITY:
        raise PlanRefused(f"{at}quantity", quantity, f"whole units, 1 to {MAX_QUANTITY}")
    first = charges[names[0]]
    for charge in [charges[name] for name in names[1:]]:
        if charge.unit != first.unit or charge.weights != first.weights:
            raise UnitsMixed(
                f"{at}charges",
                f"{first.id} and {charge.id}",
                f"{first.unit} of {first.meter} and {charge.unit} of {charge.meter} differ; share an amount of money",
            )
    return Pool(fields["id"], tuple(names), quantity, None)
