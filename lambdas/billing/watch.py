"""Controls over an account's period (R9.3, R13): output per input, cost and margin, and whether it is time to reprice.

For the seller. Nothing here is on the invoice or in its bundle, and nothing here changes what is billed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement
from lambdas.billing.classes import INPUT_CLASSES, OUTPUT_CLASSES
from lambdas.billing.costs import Costs
from lambdas.billing.money import ONE, format_amount, parse_amount
from lambdas.billing.rate_cards import RateCardVersion
from lambdas.billing.rates import DatedFx, fx_at
from lambdas.billing.rating import Totals, split_class_key
from lambdas.billing.shards import add_sums, quantities_by_class

MAX_MODELS = 50
"""Most models that are named: senders choose how many there are. The others are added up."""
MAX_MISSING = 20
"""Most missing costs that are named."""

_SHOWN_UNIT: int = ONE // 10**12
"""What a quotient is rounded to (K2). Whether a limit is crossed is decided exactly, before."""


class _Model(NamedTuple):
    """One model's side of the margin: what its usage was charged, before fees and discounts, and what it cost."""

    charged: int
    costs: Mapping[str, int]
    known: bool
    """False where some of its usage has no cost."""


def watch(
    agreement: Agreement, totals: Totals, draft: Mapping[str, Any], costs: Costs, versions: Iterable[RateCardVersion]
) -> dict[str, Any]:
    """The controls of an account, as JSON values: amounts exact, quotients to 12 decimals.

    The limits are those of the plan in force when the period ends. The ratio is of rated tokens. The margin is what the
    period earns (net, without fees for the next period, with those that an earlier invoice billed for this one) less
    the cost of all usage under contract, charged or not; it is null where a cost or an exchange rate is missing.
    `versions` have the exchange rates; the one in force at the period's first day under contract counts.

    Either limit crossed makes `repricing_due`; `reasons` say which in words.
    """
    plan = agreement.last.plan
    named = f"{plan.id}@{plan.version}"
    reasons: list[str] = []
    ratio = _ratio(totals, plan.controls.get("output_input_ratio_above"), named, reasons)
    floor = plan.controls.get("margin_floor")
    cards = any(stretch.contract.cost_card for stretch in agreement.stretches)
    exchange = _Exchange(agreement, versions)
    margin = None
    if cards or floor is not None:
        margin = _margin(totals, draft, costs, exchange, floor=floor, plan=named, reasons=reasons)
    return {
        "plan": named,
        "output_input_ratio": ratio,
        "margin": margin,
        "repricing_due": bool(reasons),
        "reasons": reasons,
    }


def _ratio(totals: Totals, limit: str | None, plan: str, reasons: list[str]) -> dict[str, Any]:
    tokens = {"input": 0, "output": 0}
    for name, quantity in quantities_by_class(totals).items():
        token_class = split_class_key(name).token_class
        for side, classes in (("input", INPUT_CLASSES), ("output", OUTPUT_CLASSES)):
            if token_class in classes:
                tokens[side] += quantity
    read, written = tokens["input"], tokens["output"]
    crossed = limit is not None and written * ONE > parse_amount(limit) * read
    value = None if read == 0 else format_amount(_quotient(written, read))
    if crossed:
        shown = "without any input" if value is None else f"is {value}"
        reasons.append(f"output/input {shown} ({written:,} to {read:,} tokens): above {limit} of plan {plan}")
    return {**tokens, "value": value, "above": limit, "crossed": crossed}


class _Exchange:
    """Exchange rates into the contract's currency, fixed where the period's service begins."""

    def __init__(self, agreement: Agreement, versions: Iterable[RateCardVersion]) -> None:
        self.currency = agreement.last.contract.currency
        self.card = agreement.last.contract.fx_card
        self._at = agreement.all[0].start
        self._versions = [version for version in versions if version.card == self.card]

    def rate(self, foreign: str) -> DatedFx | None:
        return fx_at(self._versions, foreign, self._at)

    def missing(self, currencies: Iterable[str]) -> list[str]:
        """What there is no rate for."""
        card = f"fx card {self.card}" if self.card else "no fx card is named, and it"
        return [
            f"{card} has no {self.currency} for {foreign} on {self._at[:10]}"
            for foreign in sorted(currencies)
            if foreign != self.currency and self.rate(foreign) is None
        ]

    def total(self, amounts: Mapping[str, int]) -> int | None:
        """Amounts of several currencies as one, rounded to 12 decimals only where 18 do not hold it; None where a rate
        is missing."""
        exact = 0
        for currency, amount in amounts.items():
            found = None if currency == self.currency else self.rate(currency)
            if currency != self.currency and found is None:
                return None
            exact += amount * (ONE if found is None else found.rate.exact)
        return _quotient(exact, ONE * ONE) if exact % ONE else exact // ONE

    def shown(self, currencies: Iterable[str]) -> dict[str, Any]:
        """The rates that were used, by currency."""
        found = {currency: self.rate(currency) for currency in sorted(currencies) if currency != self.currency}
        return {
            currency: {"rate": dated.rate.rate, "source": dated.rate.source, "rate_version": dated.name}
            for currency, dated in found.items()
            if dated is not None
        }


def _margin(
    totals: Totals,
    draft: Mapping[str, Any],
    costs: Costs,
    exchange: _Exchange,
    *,
    floor: str | None,
    plan: str,
    reasons: list[str],
) -> dict[str, Any]:
    earned, by_currency = earned_of(draft), costs.by_currency
    missing: list[dict[str, Any]] = [
        {
            "class": item.name,
            "from": item.first,
            "to": item.last,
            "quantity": item.quantity,
            "detail": item.detail,
        }
        for item in costs.uncosted
    ]
    missing += [{"detail": text} for text in exchange.missing(by_currency)]
    cost = None if missing else exchange.total(by_currency)
    margin = None if cost is None else earned - cost
    share = format_amount(_quotient(margin, earned)) if margin is not None and earned > 0 else None
    crossed: bool | None = False
    if floor is not None:
        crossed = None if margin is None else margin * ONE < parse_amount(floor) * earned
    if crossed and cost is not None and margin is not None:
        what = f"{format_amount(margin)} of {format_amount(earned)} {exchange.currency} earned"
        reasons.append(
            f"margin {share or '(no share)'} ({what}, cost {format_amount(cost)}): below {floor} of plan {plan}"
        )
    models, others = _models(totals, costs, exchange)
    return {
        "currency": exchange.currency,
        "earned": format_amount(earned),
        "costs": _texts(by_currency),
        "fx": exchange.shown(by_currency),
        "cost": _text(cost),
        "margin": _text(margin),
        "share": share,
        "floor": floor,
        "crossed": crossed,
        "missing": missing[:MAX_MISSING],
        "more_missing": max(0, len(missing) - MAX_MISSING),
        "models": models,
        "other_models": others,
    }


def earned_of(draft: Mapping[str, Any]) -> int:
    """What the period of a draft earns, in 10**-18: its net without what is deferred, and with what it recognises of
    fees that an earlier invoice billed."""
    lines = sum(parse_amount(line["exact"]) for line in draft["lines"] if not line["account"].startswith("deferred:"))
    return lines + sum(parse_amount(item["exact"]) for item in draft.get("recognised", ()))


def _models(totals: Totals, costs: Costs, exchange: _Exchange) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The models with the largest charge or cost, and all others together."""
    charged: dict[tuple[str, str], int] = {}
    for total in totals.lines.values():
        asked = total.price.of.asked
        charged[(asked.provider, asked.model)] = charged.get((asked.provider, asked.model), 0) + total.amount
    unknown = {(name.provider, name.model) for name in (split_class_key(item.name) for item in costs.uncosted)}
    models = {
        key: _Model(charged.get(key, 0), costs.models.get(key, {}), key not in unknown)
        for key in sorted({*charged, *costs.models, *unknown})
    }

    def size(key: tuple[str, str]) -> int:
        return max(models[key].charged, exchange.total(models[key].costs) or 0)

    largest = sorted(models, key=size, reverse=True)
    named = [
        {"provider": key[0], "model": key[1], **_model_document(models[key], exchange)} for key in largest[:MAX_MODELS]
    ]
    rest = [models[key] for key in largest[MAX_MODELS:]]
    if not rest:
        return named, None
    added: dict[str, int] = {}
    for model in rest:
        add_sums(added, model.costs)
    others = _Model(sum(model.charged for model in rest), added, all(model.known for model in rest))
    return named, {"models": len(rest), **_model_document(others, exchange)}


def _model_document(model: _Model, exchange: _Exchange) -> dict[str, Any]:
    cost = exchange.total(model.costs) if model.known else None
    return {
        "charged": format_amount(model.charged),
        "costs": _texts(model.costs),
        "cost": _text(cost),
        "margin": None if cost is None else format_amount(model.charged - cost),
    }


def _quotient(amount: int, by: int) -> int:
    """`amount` / `by` in 10**-18, at 12 decimals, half away from zero; `by` is above zero."""
    rounded = (2 * abs(amount) * ONE + by * _SHOWN_UNIT) // (2 * by * _SHOWN_UNIT) * _SHOWN_UNIT
    return -rounded if amount < 0 else rounded


def _text(exact: int | None) -> str | None:
    return None if exact is None else format_amount(exact)


def _texts(amounts: Mapping[str, int]) -> dict[str, str]:
    return {currency: format_amount(amount) for currency, amount in sorted(amounts.items())}
