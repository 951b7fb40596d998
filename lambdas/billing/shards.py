"""Shards: how an account's frozen events are cut into parts that are rated apart, and how the parts add up (D4).

A shard is a range of event time. Ranges follow each other without gap or overlap, so the rated blocks of all shards,
one after the other, are in the order (time, source, id) of the whole account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.lines import ClassPrice, LinePrice
from lambdas.billing.money import format_amount, parse_amount
from lambdas.billing.rate_cards import RateKey
from lambdas.billing.rating import ClassKey, LineTotal, Positions, Totals, class_key
from lambdas.billing.times import Period

MAX_SHARD_EVENTS = 80_000


class Span(NamedTuple):
    """Events of a stretch of time from `start` (canonical) on: an hour, or a second of an hour that is cut."""

    start: str
    events: int


class Shard(NamedTuple):
    """Shard `n`, from 1: the events with `start` <= time < `end`."""

    n: int
    start: str
    end: str
    events: int


def plan_shards(period: Period, spans: Iterable[Span], limit: int = MAX_SHARD_EVENTS) -> list[Shard]:
    """Pack spans, in time order, into shards of at most `limit` events. Only a single span above it exceeds it.

    With limit 10, spans of 6, 4 and 1 make shards of 10 and 1. The first shard begins with the period and the last
    ends with it; no events, no shards.
    """
    packed: list[list[Span]] = []
    events = 0
    for span in spans:
        if not packed or events + span.events > limit:
            packed.append([])
            events = 0
        packed[-1].append(span)
        events += span.events
    starts = [period.start, *(part[0].start for part in packed[1:]), period.end]
    return [
        Shard(n, starts[n - 1], starts[n], sum(span.events for span in part)) for n, part in enumerate(packed, start=1)
    ]


def summarize(totals: Totals) -> dict[str, Any]:
    """Rated totals as plain JSON values; amounts exact, as text."""
    return {
        "lines": {
            key: {
                "quantity": line.quantity,
                "amount": format_amount(line.amount),
                "events": line.events,
                "blocks": line.blocks,
                "of": [*line.price.of.asked, line.price.of.since, line.price.of.contract_version, line.price.attribute],
            }
            for key, line in totals.lines.items()
        },
        "rated": totals.rated,
        "excluded": dict(totals.excluded),
        "excluded_quantities": dict(totals.excluded_quantities),
    }


def add_totals(totals: Totals, more: Totals) -> None:
    """Add `more` to `totals`, exactly."""
    for line in more.lines.values():
        _add_line(totals, line)
    _add_events(totals, more.rated, more.excluded, more.excluded_quantities)


def add_summary(totals: Totals, summary: Mapping[str, Any], agreement: Agreement) -> None:
    """Add what `summarize` made to `totals`. Raises InvariantBroken for a line that these prices do not have."""
    for key, line in summary["lines"].items():
        part = LineTotal(line_price(key, line["of"], agreement))
        part.quantity, part.amount = line["quantity"], parse_amount(line["amount"])
        part.events, part.blocks = line["events"], line["blocks"]
        _add_line(totals, part)
    _add_events(totals, summary["rated"], summary["excluded"], summary["excluded_quantities"])


def line_price(key: str, of: Sequence[Any], agreement: Agreement) -> LinePrice:
    """The price of a line that was rated, found again from what it is of: provider, model, class, service tier, prompt
    size, since when, contract version, attribute. Raises InvariantBroken where that is not the line of this key."""
    *asked, since, contract_version, attribute = of
    pricing = agreement.of_version(contract_version)
    found = None if pricing is None else pricing.find(RateKey(*asked), since)
    if pricing is not None and isinstance(found, ClassPrice):
        split_by = pricing.contract.split_by
        attributes = {} if split_by is None or attribute is None else {split_by: attribute.partition("=")[2]}
        for line in (found.only,) if found.only else found.lines:
            split = pricing.split(line, attributes)
            if split.key == key:
                return split
    raise InvariantBroken("line", key, "a rated line must have a price of the frozen rate versions")


def shard_positions(measures: Sequence[Mapping[str, int]], shard: int) -> Positions:
    """Where charges stand when shard `shard` (from 1) begins, from what each shard of the account counts."""
    totals: dict[str, int] = {}
    counted: dict[str, int] = {}
    for n, measure in enumerate(measures, start=1):
        if n == shard:
            counted = dict(totals)
        add_sums(totals, measure)
    return Positions(counted, totals)


def quantities_by_class(totals: Totals) -> dict[ClassKey, int]:
    """Rated quantities by class key, over all lines. Raises InvariantBroken where units of a weighted meter are not
    those of whole tokens."""
    sums: dict[tuple[ClassKey, int], int] = {}
    for total in totals.lines.values():
        asked = total.price.of.asked
        key = class_key(asked.provider, asked.model, asked.name, asked.service_tier)
        sums[(key, total.price.weight)] = sums.get((key, total.price.weight), 0) + total.quantity
    quantities: dict[ClassKey, int] = {}
    for (key, weight), units in sums.items():
        quantity, rest = divmod(units, weight)
        if rest:
            raise InvariantBroken(f"units of {key}", units, f"a multiple of its weight, {weight}")
        quantities[key] = quantities.get(key, 0) + quantity
    return quantities


def _add_line(totals: Totals, part: LineTotal) -> None:
    total = totals.lines.get(part.price.key)
    if total is None:
        total = totals.lines[part.price.key] = LineTotal(part.price)
    total.quantity += part.quantity
    total.amount += part.amount
    total.events += part.events
    if part.blocks is not None:
        total.blocks = (total.blocks or 0) + part.blocks


def _add_events(
    totals: Totals, rated: int, excluded: Mapping[str, int], excluded_quantities: Mapping[ClassKey, int]
) -> None:
    totals.rated += rated
    for reason, events in excluded.items():
        totals.excluded[reason] = totals.excluded.get(reason, 0) + events
    add_sums(totals.excluded_quantities, excluded_quantities)


def add_sums(sums: dict[ClassKey, int], more: Mapping[ClassKey, int]) -> None:
    """Add quantities by class key to sums."""
    for key, quantity in more.items():
        sums[key] = sums.get(key, 0) + quantity
