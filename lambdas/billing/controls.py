"""Controls that a plan states for its model (R9): what is watched, what is declared, what is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

from lambdas.billing.errors import DocumentRefused, PlanRefused
from lambdas.billing.fields import check_text, closed
from lambdas.billing.money import ONE, parse_amount

BURN_ORDER = ("priority", "earliest_expiry", "promotional_before_paid", "earliest_effective", "id")
"""The order in which credits are burned (R20); a prepaid plan publishes it."""

Control = Callable[[Any, str, str | None], Any]
"""Checks a control's value; gets its field and the plan's currency."""


def money_of(text: Any, field: str, currency: str | None) -> int:
    """An amount that the plan itself states, zero or more, in 10**-18 of the plan's currency. Raises PlanRefused."""
    if currency is None:
        raise PlanRefused("currency", None, f"{field} is money: state the currency of the plan")
    amount = parse_amount(text, field)
    if amount < 0:
        raise PlanRefused(field, text, "an amount of zero or more")
    return amount


def read_controls(
    value: Any, *, required: Set[str], optional: Set[str], currency: str | None, at: str
) -> dict[str, Any]:
    """Controls as checked: amounts and ratios stay text. Raises DocumentRefused."""
    fields = closed(value, required=required, optional=optional, at=at)
    return {name: CONTROLS[name](text, f"{at}{name}", currency) for name, text in fields.items()}


def _money(text: Any, field: str, currency: str | None) -> Any:
    money_of(text, field, currency)
    return text


def _ratio(text: Any, field: str, currency: str | None) -> Any:
    if parse_amount(text, field) <= 0:
        raise PlanRefused(field, text, 'a ratio above zero, such as "0.5"')
    return text


def _share(text: Any, field: str, currency: str | None) -> Any:
    if not 0 <= parse_amount(text, field) < ONE:
        raise PlanRefused(field, text, 'a share from "0" to below "1", such as "0.30"')
    return text


def _terms(text: Any, field: str, currency: str | None) -> Any:
    check_text({field: text}, field)
    return text


def _burn_order(steps: Any, field: str, currency: str | None) -> tuple[str, ...]:
    if steps != list(BURN_ORDER):
        raise DocumentRefused(field, steps, f"the one order that credits burn in: {', '.join(BURN_ORDER)}")
    return BURN_ORDER


CONTROLS: Mapping[str, Control] = {
    "overage_terms": _terms,
    "cliff_limit": _money,
    "output_input_ratio_above": _ratio,
    "margin_floor": _share,
    "low_balance": _money,
    "burn_order": _burn_order,
}
