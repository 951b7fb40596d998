"""Segments keep events as received, and their digest covers each of them (R3, D4)."""

from __future__ import annotations

import json
import zlib

import pytest

from lambdas.billing.errors import InvariantBroken
from lambdas.billing.rating import Totals, rate_event
from lambdas.billing.segments import StoredEvent, make_segment, read_raw, read_rows, read_segment, row_of, usage_line
from lambdas.billing.usage import read_event
from tests.billing.month import pricing_of, raw_event, sample_events, stored

RECEIVED = "2026-11-16T18:15:47.000000Z"


def sample() -> list[StoredEvent]:
    return [stored(raw) for raw in sample_events()]


def test_a_segment_gives_back_its_events_to_the_byte() -> None:
    events = sample()
    segment = make_segment("S#acme", RECEIVED, events)
    assert read_segment(segment) == events
    assert [event.raw for event in read_segment(segment)] == sample_events()
    assert make_segment("S#acme", RECEIVED, events) == segment


def test_rows_kept_for_rating_rate_as_the_events_read_again_from_their_text_do() -> None:
    """The bill is made from the rows, its replay from the raw text: class order, spaces and mode must not matter."""
    events = sample()
    for row, event in zip(read_rows(make_segment("S#acme", RECEIVED, events).rows), events, strict=True):
        again = row_of(read_event(read_raw(event.raw), "acme"))
        assert row == again
        assert rate_event(row, pricing_of(), Totals()) == rate_event(again, pricing_of(), Totals())


def test_the_digest_does_not_depend_on_order_and_covers_every_payload_and_the_time_received() -> None:
    events = sample()
    digest = make_segment("S", RECEIVED, events).digest
    assert make_segment("S", RECEIVED, events[::-1]).digest == digest
    assert make_segment("S", RECEIVED[:-2] + "1Z", events).digest != digest
    for n, event in enumerate(events):
        others = [*events[:n], *events[n + 1 :]]
        assert make_segment("S", RECEIVED, others).digest != digest
        assert make_segment("S", RECEIVED, [*others, event._replace(payload_sha256="0" * 64)]).digest != digest


def test_a_segment_that_does_not_agree_with_itself_is_not_read() -> None:
    segment = make_segment("S", RECEIVED, sample())
    raws = json.loads(zlib.decompress(segment.raws))
    for broken in (
        segment._replace(events=1),
        segment._replace(digest="0" * 64),
        segment._replace(sums={**segment.sums, "openai/gpt-4o|input": 1}),
        segment._replace(received_at=RECEIVED[:-2] + "1Z"),
        segment._replace(raws=zlib.compress(json.dumps([*raws[:-1], raws[-1] + " "]).encode())),
        segment._replace(raws=zlib.compress(json.dumps(raws[:-1]).encode())),
    ):
        with pytest.raises(InvariantBroken):
            read_segment(broken)


TIME = "2026-11-16T18:15:46.680590Z"
ROW = [TIME, "//gateway/eu-1", "a", 0, "openai", "gpt-4o", {"input": 1}]


def of_tier(**members: object) -> StoredEvent:
    """The event of ROW with more members in its data."""
    event = json.loads(raw_event("a", TIME, {"input": 1}))
    event["data"] |= members
    return stored(json.dumps(event))


@pytest.mark.parametrize(
    ("members", "more"),
    [
        ({}, []),
        ({"attributes": {}}, []),
        ({"service_tier": "standard"}, []),
        ({"service_tier": "batch"}, ["batch"]),
        ({"attributes": {"project": "search"}}, ["standard", {"project": "search"}]),
        ({"attributes": {"b": "2", "a": ""}, "service_tier": "flex"}, ["flex", {"a": "", "b": "2"}]),
    ],
)
def test_a_row_has_tier_and_attributes_only_as_far_as_they_say_something(
    members: dict[str, object], more: list[object]
) -> None:
    event = of_tier(**members)
    segment = make_segment("S", RECEIVED, [event])
    text = zlib.decompress(segment.rows).decode()
    assert text == json.dumps([[*ROW, *more]], separators=(",", ":"))
    assert read_rows(segment.rows) == [event.row]
    assert read_segment(segment) == [event]


def test_a_row_of_before_there_were_tiers_is_standard_and_has_no_attributes() -> None:
    [row] = read_rows(zlib.compress(json.dumps([ROW]).encode()))
    assert (row.service_tier, dict(row.attributes)) == ("standard", {})


def test_sums_keep_tiers_apart_and_a_sum_of_another_tier_is_noticed() -> None:
    segment = make_segment("S", RECEIVED, [of_tier(), of_tier(service_tier="batch"), of_tier(service_tier="batch")])
    assert segment.sums == {"openai/gpt-4o|input": 1, "openai/gpt-4o|input|batch": 1 + 1}
    for sums in (
        {"openai/gpt-4o|input": 3},
        {"openai/gpt-4o|input": 2, "openai/gpt-4o|input|batch": 1},
        {"openai/gpt-4o|input": 1, "openai/gpt-4o|input|flex": 2},
    ):
        with pytest.raises(InvariantBroken, match="its sums must be those of its events"):
            read_segment(segment._replace(sums=sums))


def test_a_usage_line_is_one_line_of_compact_json() -> None:
    event = stored(sample_events()[-3].replace(", ", ",\n\t"))
    text = usage_line(event, "S#acme|00#é", RECEIVED)
    assert text.count("\n") == 1 and text.endswith("\n")
    fields = json.loads(text)
    assert text == json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"
    assert fields[4:] == ["S#acme|00#é", RECEIVED, event.payload_sha256, event.raw]
