"""Rating a shard: order, blocks, digests, and adding shards up."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lambdas.billing.agreements import compile_agreement
from lambdas.billing.errors import InvariantBroken
from lambdas.billing.rating import Totals, UsageRow, rate_event
from lambdas.billing.segments import Segment
from lambdas.billing.shards import Span, add_summary, add_totals, line_price, plan_shards, summarize
from lambdas.billing.times import month_period
from lambdas.handlers import stores
from lambdas.handlers.rate_shard import rate_shard
from lambdas.handlers.run_records import block_entries, read_block, read_frozen, read_summary
from lambdas.store import clients
from lambdas.store.evidence import summary_key
from lambdas.store.usage import UsageStore
from tests.handlers.months import (
    GATEWAY,
    RUN_ID,
    account_of,
    open_run_item,
    set_up,
    step_draft,
    step_freeze,
    step_open,
    step_rate,
    use,
    use_all,
)
from tests.store.catalogue_documents import CONTRACT, PLAN, STANDARD

DAY = "2026-11-16T00:00:00.000000Z"
NOVEMBER = month_period("2026-11")


def hours(*events: int) -> list[Span]:
    return [Span(f"2026-11-16T{n:02d}:00:00.000000Z", count) for n, count in enumerate(events)]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), []),
        ((1,), [1]),
        ((10,), [10]),
        ((11,), [11]),  # one span is never cut here
        ((6, 4), [10]),
        ((6, 5), [6, 5]),
        ((6, 4, 1), [10, 1]),
        ((1, 10, 1), [1, 10, 1]),
    ],
)
def test_spans_are_packed_up_to_the_limit(events: tuple[int, ...], expected: list[int]) -> None:
    assert [shard.events for shard in plan_shards(NOVEMBER, hours(*events), 10)] == expected


def test_shards_cover_the_period_without_gap_or_overlap() -> None:
    shards = plan_shards(NOVEMBER, hours(6, 5, 7, 1, 9), 10)
    assert shards[0].start == NOVEMBER.start
    assert shards[-1].end == NOVEMBER.end
    assert [shard.end for shard in shards[:-1]] == [shard.start for shard in shards[1:]]
    assert [shard.n for shard in shards] == list(range(1, len(shards) + 1))


def test_totals_of_parts_add_up_to_the_totals_of_the_whole() -> None:
    agreement = compile_agreement("2026-11", [CONTRACT], {"pure@1": PLAN}, {"std@1": STANDARD})
    pricing = agreement.at("2026-11-16T00:00:00.000000Z")
    rows = [
        UsageRow(f"2026-11-16T00:00:00.{n:06d}Z", "s", str(n), 0, "openai", model, {"input": n, "output": 7 * n})
        for n in range(200)
        for model in ("gpt-4o" if n % 9 else "gpt-9",)
    ]
    whole = Totals()
    for row in rows:
        rate_event(row, pricing, whole)

    by_totals, by_summary = Totals(), Totals()
    for start in range(0, 200, 30):
        part = Totals()
        for row in rows[start : start + 30]:
            rate_event(row, pricing, part)
        add_totals(by_totals, part)
        add_summary(by_summary, json.loads(json.dumps(summarize(part))), agreement)

    assert summarize(by_totals) == summarize(by_summary) == summarize(whole)


@pytest.mark.parametrize(
    ("key", "of"),
    [
        ("input|openai/gpt-4o|input|std@2", ["openai", "gpt-4o", "input", "standard", 0, DAY, 1, None]),
        ("input|openai/gpt-9|input|std@1", ["openai", "gpt-9", "input", "standard", 0, DAY, 1, None]),
        ("x|a/b|input|std@1", ["a", "b", "input", "standard", 0, DAY, 1, None]),
        ("input|openai/gpt-4o|input|std@1", ["openai", "gpt-4o", "input", "standard", 0, DAY, 2, None]),
        ("input|openai/gpt-4o|input|std@1", ["openai", "gpt-4o", "input", "standard", 0, "2020-01-01", 1, None]),
    ],
)
def test_a_line_without_a_frozen_price_is_refused(key: str, of: list[Any]) -> None:
    with pytest.raises(InvariantBroken, match="a rated line must have a price"):
        line_price(key, of, compile_agreement("2026-11", [CONTRACT], {"pure@1": PLAN}, {"std@1": STANDARD}))


def frozen_account() -> None:
    open_run_item()
    step_open()
    step_freeze(RUN_ID, "acme")


@pytest.mark.usefixtures("aws")
def test_blocks_hold_the_events_in_order_whatever_order_they_came_in() -> None:
    set_up("acme")
    events = [(f"id-{n:03d}", f"2026-11-16T{n // 20:02d}:00:{(n * 7) % 20:02d}Z", {"input": n}) for n in range(60)]
    random.Random(1).shuffle(events)
    for start in range(0, 60, 13):
        use_all("acme", events[start : start + 13])
    frozen_account()

    step_rate(RUN_ID, "acme", 1, 1, block_rows=16)

    frozen = read_frozen(stores.evidence(), RUN_ID, "acme", 1)
    entries = list(block_entries(stores.evidence(), frozen))
    assert [entry.facts["usage"] for entry in entries] == [16, 16, 16, 12]
    lines = [
        json.loads(line)
        for entry in entries
        for line in read_block(stores.evidence(), frozen, entry).usage.splitlines()
    ]
    names = [line[:3] for line in lines]
    assert names == sorted(names)
    assert {name[2] for name in names} == {event[0] for event in events}
    assert [entry.facts["first"] for entry in entries] == [names[0], names[16], names[32], names[48]]
    assert entries[-1].facts["last"] == names[-1]


@pytest.mark.usefixtures("aws")
def test_an_excluded_event_stands_among_the_excluded_and_its_quantities_are_kept_apart() -> None:
    set_up("acme", parked_usage="exclude")
    use("acme", "known", "2026-11-16T00:00:00Z", input=5)
    use("acme", "new", "2026-11-16T00:00:01Z", model="gpt-9", input=6)
    frozen_account()

    step_rate(RUN_ID, "acme", 1, 1)

    frozen = read_frozen(stores.evidence(), RUN_ID, "acme", 1)
    summary = read_summary(stores.evidence(), frozen, 1)
    assert (summary["rated"], summary["excluded"]) == (1, {"parked": 1})
    assert summary["excluded_quantities"] == {"openai/gpt-9|input": 6}
    assert list(summary["parked"].values()) == [1]
    [entry] = block_entries(stores.evidence(), frozen)
    block = read_block(stores.evidence(), frozen, entry)
    assert json.loads(block.rated)[:3] == ["2026-11-16T00:00:00.000000Z", GATEWAY, "known"]
    assert json.loads(block.excluded)[2:5] == ["new", 0, "parked"]


@pytest.mark.usefixtures("aws")
def test_a_segment_that_is_not_the_frozen_one_stops_the_shard() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-16T00:00:00Z", input=5)
    frozen_account()
    frozen = read_frozen(stores.evidence(), RUN_ID, "acme", 1)
    [segment] = frozen["segments"]
    replace_in_s3(f"runs/{RUN_ID}/acme/frozen-1.json", segment["digest"], "0" * 64)

    with pytest.raises(InvariantBroken, match="it was frozen with digest 0000"):
        step_rate(RUN_ID, "acme", 1, 1)


@pytest.mark.usefixtures("aws")
def test_a_shard_with_other_than_the_frozen_number_of_events_is_stopped() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-16T00:00:00Z", input=5)
    frozen_account()
    replace_in_s3(f"runs/{RUN_ID}/acme/frozen-1.json", '"events":1,"from"', '"events":2,"from"')

    with pytest.raises(InvariantBroken, match="2 were frozen"):
        step_rate(RUN_ID, "acme", 1, 1)
    assert stores.evidence().find_json(summary_key(RUN_ID, "acme", 1, 1)) is None


@pytest.mark.usefixtures("aws")
def test_a_draft_of_other_quantities_than_the_frozen_ones_is_refused() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-16T00:00:00Z", input=5, output=1)
    frozen_account()
    step_rate(RUN_ID, "acme", 1, 1)
    replace_in_s3(summary_key(RUN_ID, "acme", 1, 1), '"quantity":5', '"quantity":4')

    with pytest.raises(InvariantBroken, match=r"openai/gpt-4o\|input of acme = 4: 5 were frozen"):
        step_draft(RUN_ID, "acme")
    assert account_of("acme").status == "frozen"


@pytest.mark.usefixtures("aws")
def test_a_recorded_block_that_was_changed_is_noticed_when_it_is_read() -> None:
    set_up("acme")
    use("acme", "a", "2026-11-16T00:00:00Z", input=5)
    frozen_account()
    step_rate(RUN_ID, "acme", 1, 1)
    replace_in_s3(summary_key(RUN_ID, "acme", 1, 1), '"rated":"', '"rated":"0')
    frozen = read_frozen(stores.evidence(), RUN_ID, "acme", 1)

    [entry] = block_entries(stores.evidence(), frozen)
    with pytest.raises(InvariantBroken, match="rated-00001"):
        read_block(stores.evidence(), frozen, entry)


@pytest.mark.usefixtures("aws")
def test_only_the_rows_of_one_hour_are_held_at_a_time() -> None:
    set_up("acme")
    for hour in range(5):
        use("acme", str(hour), f"2026-11-16T{hour:02d}:00:00Z", input=1)
    frozen_account()
    usage = WatchedUsage()

    rate_shard(RUN_ID, "acme", 1, 1, usage=usage, evidence=stores.evidence())

    assert usage.asked == [1, 1, 1, 1, 1]


class WatchedUsage(UsageStore):
    """Counts the segments of each read."""

    def __init__(self) -> None:
        super().__init__(clients.dynamodb(), "billproof-test-usage", "")
        self.asked: list[int] = []

    def read_segments(self, keys: Sequence[str]) -> Iterator[Segment]:
        self.asked.append(len(keys))
        return super().read_segments(keys)


def replace_in_s3(key: str, old: str, new: str) -> None:
    """What the stores never do: change an object."""
    evidence = stores.evidence()
    content = evidence.get(key).decode()
    assert old in content
    clients.s3().put_object(Bucket=evidence.bucket, Key=key, Body=content.replace(old, new).encode())
