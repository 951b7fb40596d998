"""A small month to prove things on: documents, events and the bundle that the billing run would make of them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lambdas.billing.agreements import Agreement, compile_agreement
from lambdas.billing.bundle import Block, Manifest, write_bundle
from lambdas.billing.canonical import sha256_hex
from lambdas.billing.invoice import Draft, draft_document, issued_document
from lambdas.billing.journal import invoice_transaction
from lambdas.billing.pricing import Pricing, compile_pricing
from lambdas.billing.rating import Positions, Totals, UsageRow, measure_event, rate_event
from lambdas.billing.segments import Segment, StoredEvent, make_segment, read_raw, row_of, usage_line
from lambdas.billing.usage import read_event

ENTITY = {
    "id": "billproof-us",
    "name": "Billproof Inc.",
    "address": "1 Proof Street, Springfield",
    "country": "US",
    "invoice_prefix": "BP",
}
CUSTOMER = {"id": "acme", "name": "Acme Ltd", "mode": "live"}
CONTRACT = {
    "customer": "acme",
    "version": 1,
    "effective_from": "2026-11-02",
    "entity": "billproof-us",
    "currency": "USD",
    "plan": "tokens",
    "plan_version": 1,
    "rate_card": "std",
    "usage_basis": "provider_reported",
    "late_usage": "hold",
    "parked_usage": "exclude",
    "volatility_bearer": "customer",
    "posture": "variable",
    "tax": {"category": "S", "rate": "0.19"},
}
PLAN = {
    "id": "tokens",
    "version": 1,
    "name": "Pure tokens",
    "model": "pure_token",
    "posture": "variable",
    "volatility_bearer": "customer",
}
RATES = {
    "std@1": {
        "version": 1,
        "currency": "USD",
        "effective_from": "2026-01-01",
        "rates": [
            {"provider": "openai", "model": "gpt-4o", "class": "input", "price": "2.50", "per": 1_000_000},
            {"provider": "openai", "model": "gpt-4o", "class": "cached_input", "price": "1.25", "per": 1_000_000},
            {"provider": "openai", "model": "gpt-4o", "class": "output", "price": "10.00", "per": 1_000_000},
            {"provider": "anthropic", "model": "claude", "class": "input", "price": "0.003", "per": 1_000},
            {"provider": "anthropic", "model": "claude", "class": "output", "price": "0.000015", "per": 1},
        ],
    },
    "std@2": {
        "version": 2,
        "currency": "USD",
        "effective_from": "2026-11-16",
        "rates": [{"provider": "openai", "model": "gpt-4o", "class": "output", "price": "8.00", "per": 1_000_000}],
    },
    "std@3": {
        "version": 3,
        "currency": "USD",
        "effective_from": "2027-01-01",
        "rates": [{"provider": "openai", "model": "gpt-4o", "class": "input", "price": "2.00", "per": 1_000_000}],
    },
}
RUN = {"run_id": "billproof-us.2026-11.final", "period": "2026-11", "cutoff": "2026-12-01T06:00:00.000000Z"}


def pricing_of(
    contract: Mapping[str, Any] = CONTRACT,
    plan: Mapping[str, Any] = PLAN,
    rates: Mapping[str, Any] = RATES,
) -> Pricing:
    return compile_pricing(contract, plan, rates)


def agreement_of(
    contract: Mapping[str, Any] = CONTRACT,
    plan: Mapping[str, Any] = PLAN,
    rates: Mapping[str, Any] = RATES,
    month: str = RUN["period"],
) -> Agreement:
    """The agreement of an account with one contract version."""
    return compile_agreement(month, [contract], {name_of(plan): plan}, rates)


def raw_event(event_id: str, time: str, quantities: Mapping[str, int], **changes: Any) -> str:
    """A usage event as a gateway would send it: keys in no special order, spaces kept."""
    model = changes.pop("model", "openai/gpt-4o")
    provider, _, name = model.partition("/")
    event = {
        "specversion": "1.0",
        "type": "llm.usage.v1",
        "source": "//gateway/eu-1",
        "id": event_id,
        "time": time,
        "data": {"model": name, "provider": provider, "quantities": quantities},
        **changes,
    }
    return json.dumps(event, ensure_ascii=False)


def stored(raw: str, customer: str = "acme") -> StoredEvent:
    return StoredEvent(row_of(read_event(read_raw(raw), customer)), raw, sha256_hex(raw.encode()))


def sample_events() -> list[str]:
    """Two models, a rate change on the 16th, a parked model, usage before the contract, all kinds of text."""
    raws = [raw_event(f"early-{n}", f"2026-11-01T0{n}:00:00Z", {"input": 100 + n}) for n in range(3)]
    for n in range(24):
        day, hour = 2 + n, n % 24
        time = f"2026-11-{day:02d}T{hour:02d}:15:46.680590Z"
        raws.append(raw_event(f"a-{n}", time, {"output": 44 + n, "input": 374 + n, "cached_input": n % 3 * 7}))
        raws.append(raw_event(f"b-{n}", time, {"output": n, "input": 1}, model="anthropic/claude", subject="acme"))
    raws += [
        raw_event("edge-1", "2026-11-15T23:59:59.9999999Z", {"output": 1_000_000}),
        raw_event("edge-2", "2026-11-16T00:00:00Z", {"output": 1_000_000}),
        raw_event("edge-3", "2026-11-30T23:59:59.9999996Z", {"input": 3}),
        raw_event("unknown", "2026-11-20T12:00:00+02:00", {"input": 5, "output": 6}, model="openai/gpt-9"),
        raw_event("new class", "2026-11-20T12:00:01Z", {"input": 5, "video": 6}),
        raw_event(
            'naïve-😀-\\"quoted\\"', "2026-11-21T08:00:00Z", {"input": 11}, model="openai/gpt-4o", note="ü\u00a0"
        ),
        raw_event("zero", "2026-11-22T00:00:00Z", {"input": 0, "output": 0}),
        json.dumps(
            {
                "headers": {
                    "ce-specversion": "1.0",
                    "ce-type": "llm.usage.v1",
                    "ce-id": "binary%20%C3%BC",
                    "ce-source": "//gateway/eu-2",
                    "ce-time": "2026-11-23T00:00:00Z",
                    "content-type": "application/json",
                },
                "body": '{"provider": "openai", "model": "gpt-4o", "quantities": {"output": 5, "input": 7}}',
            }
        ),
    ]
    return raws


class Month(NamedTuple):
    """Everything `write_bundle` takes, and the totals it came from."""

    invoice: dict[str, Any]
    contracts: Sequence[Mapping[str, Any]]
    plans: Mapping[str, Mapping[str, Any]]
    rates: Mapping[str, Mapping[str, Any]]
    journal: dict[str, Any]
    frozen: dict[str, Any]
    blocks: list[Block]
    totals: Totals

    def write(self, out: io.BytesIO) -> Manifest:
        return write_bundle(
            out,
            invoice=self.invoice,
            contracts=self.contracts,
            plans=self.plans,
            rates=self.rates,
            journal=self.journal,
            frozen=self.frozen,
            blocks=self.blocks,
        )

    def bundle(self) -> bytes:
        out = io.BytesIO()
        self.write(out)
        return out.getvalue()


def in_segments(events: Sequence[StoredEvent]) -> list[tuple[Segment, list[StoredEvent]]]:
    """Events grouped by hour, at most three to a segment, in the order they came."""
    hours: dict[str, list[StoredEvent]] = {}
    for event in events:
        hours.setdefault(event.row.time[:13], []).append(event)
    segments = []
    for hour, members in hours.items():
        for start in range(0, len(members), 3):
            part = members[start : start + 3]
            key = f"S#acme#{hour[:10]}#0|{hour[11:]}#{start:04d}"
            segments.append((make_segment(key, "2026-11-30T12:00:00.000000Z", part), part))
    return segments


def month_of(
    raws: Sequence[str],
    *,
    contract: Mapping[str, Any] = CONTRACT,
    plan: Mapping[str, Any] = PLAN,
    rates: Mapping[str, Mapping[str, Any]] = RATES,
    block_rows: int = 40,
) -> Month:
    """Rate raw events and draw up everything that the bundle of their invoice needs."""
    segments = in_segments([stored(raw) for raw in raws])
    placed = sorted(
        ((event, segment) for segment, events in segments for event in events), key=lambda pair: pair[0].row[:3]
    )
    contracts, plans = [contract], {name_of(plan): plan}
    return rated_month(segments, placed, contracts, plans, rates, block_rows=block_rows)


def rated_month(
    segments: Sequence[tuple[Segment, list[StoredEvent]]],
    placed: Sequence[tuple[StoredEvent, Segment]],
    contracts: Sequence[Mapping[str, Any]],
    plans: Mapping[str, Mapping[str, Any]],
    rates: Mapping[str, Mapping[str, Any]],
    *,
    carried: Mapping[str, Any] | None = None,
    block_rows: int = 40,
) -> Month:
    agreement, totals = compile_agreement(RUN["period"], contracts, plans, rates), Totals()
    counted: dict[str, int] = {}
    for event, _ in placed:
        measure_event(event.row, agreement.at(event.row.time), counted)
    positions = Positions({}, counted)
    blocks = []
    for start in range(0, len(placed), block_rows):
        usage, kinds = "", {True: "", False: ""}
        for event, segment in placed[start : start + block_rows]:
            usage += usage_line(event, segment.key, segment.received_at)
            outcome = rate_event(event.row, agreement.at(event.row.time), totals, positions)
            kinds[outcome.rated] += outcome.text
        blocks.append(Block(usage.encode(), kinds[True].encode(), kinds[False].encode()))
    frozen = {
        **RUN,
        "customer": "acme",
        "carried": carried,
        "segments": [{"key": s.key, "digest": s.digest, "events": s.events, "sums": s.sums} for s, _ in segments],
    }
    invoice = issued(totals, agreement, carried)
    return Month(invoice, contracts, plans, rates, invoice_transaction(invoice), frozen, blocks, totals)


def name_of(plan: Mapping[str, Any]) -> str:
    return f"{plan['id']}@{plan['version']}"


def invoice_of(
    totals: Totals,
    *,
    contract: Mapping[str, Any] = CONTRACT,
    plan: Mapping[str, Any] = PLAN,
    rates: Mapping[str, Mapping[str, Any]] = RATES,
) -> dict[str, Any]:
    return issued(totals, agreement_of(contract, plan, rates))


def issued(totals: Totals, agreement: Agreement, carried: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The invoice of what was rated, with a number."""
    draft = Draft(RUN["run_id"], RUN["cutoff"], ENTITY, CUSTOMER, agreement, carried)
    document = draft_document(draft, totals)
    return issued_document(document, number="BP-2026-000001", issued_at="2026-12-01T06:00:01.000000Z")


def row(event_id: str, time: str, quantities: Mapping[str, int], model: str = "openai/gpt-4o") -> UsageRow:
    provider, _, name = model.partition("/")
    return UsageRow(time, "//gateway/eu-1", event_id, 0, provider, name, quantities)
