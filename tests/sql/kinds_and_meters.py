"""Agreements about how usage is counted and priced; one function for each."""

from __future__ import annotations

from tests.sql.documents import (
    METERS,
    SOLD_TIERS,
    USED_OF,
    Agreed,
    Document,
    Prices,
    card,
    charge,
    contract,
    fee,
    flat,
    of_meters,
    others,
    plan,
)
from tests.sql.random_usage import MODELS, PROMPT_STEP

KINDS = ("graduated", "volume", "package", "per_unit")
PER_UNIT = dict.fromkeys(METERS, "per_unit")
EVENTS = 8_000


def per_unit_by_class() -> Agreed:
    """The hybrid template: every class has its price. One model is sold from the tenth on, one has no batch price."""
    prices = Prices("per unit by class")
    late, never_batch = MODELS[3], MODELS[4]
    known = [model for model in MODELS if model not in (late, never_batch)]
    rates = prices.of_classes(PER_UNIT, EVENTS, models=known)
    rates += prices.of_classes(PER_UNIT, EVENTS, models=[never_batch], service_tiers=["standard", "priority"])
    free = [rate for rate in rates if rate["class"] == "call" and rate["model"] == "claude"]
    for rate in free:
        rate["price"] = "0"
    gates = [{"meter": meter, "kind": "per_unit"} for meter in METERS[2:]]
    listed = [charge("input"), charge("output"), *({"id": gate["meter"], **gate} for gate in gates)]
    return Agreed(
        "per unit by class",
        [contract()],
        plan(model="hybrid", tokens="class", gates=gates),
        card(1, "2026-01-01", rates)
        | card(2, "2026-11-10", prices.of_classes(PER_UNIT, EVENTS, models=[late]))
        | card(3, "2026-11-16", prices.of_classes({"output": "per_unit", "calls": "per_unit"}, EVENTS))
        | card(4, "2026-12-01", prices.of_classes(PER_UNIT, EVENTS)),
        edges=("2026-11-03", "2026-11-10", "2026-11-16"),
        listed=plan(*listed),
        largest=True,
        shows=("input|%|std@1", "output|%|std@3", "%|std@1|batch", "input|google/gemini|%|std@2", "tool_calls|%"),
    )


def every_kind(prices: str, turn: int) -> Agreed:
    """Six meters of the four kinds, `turn` deciding which is which, with included units; prices change twice."""
    draw = Prices(f"every kind {prices} {turn}")
    kinds = {meter: KINDS[(n + turn) % len(KINDS)] for n, meter in enumerate(METERS)}
    shares = {meter: (0, 1, 5)[(n + turn) % 3] for n, meter in enumerate(METERS)}
    included = {meter: USED_OF[meter] * EVENTS * tenths // 10 for meter, tenths in shares.items()}

    def rates() -> list[Document]:
        if prices == "class":
            return draw.of_classes(kinds, EVENTS, service_tiers=["standard", "batch"])
        return draw.of_charges({meter: (meter, kind) for meter, kind in kinds.items()}, EVENTS)

    def some() -> list[Document]:
        return [rate for rate in rates() if draw.draw.random() < 0.5]

    charges = [charge(meter, kinds[meter], prices=prices, included=included[meter]) for meter in METERS]
    return Agreed(
        f"every kind by {prices}, {turn}",
        [contract()],
        plan(*charges),
        card(1, "2026-10-01", rates()) | card(2, "2026-11-16", some()) | card(3, "2026-11-21", some()),
        edges=("2026-11-16", "2026-11-21"),
        shows=("%|included", "%|std@1|2", "%|std@2|%", "%|std@3|%", "%|std@1|batch|1"),
    )


def shared_units_and_money() -> Agreed:
    """Tokens share units, the other meters share money; some are free, and a free unit uses up no money."""
    draw = Prices("shared")
    gates = METERS[2:]
    charges = [charge("input", prices="charge"), charge("output", prices="class"),
               *(charge(meter, prices="class") for meter in gates)]  # fmt: skip
    by_class = dict.fromkeys(METERS[1:], "per_unit")

    def rates() -> list[Document]:
        return draw.of_charges(of_meters("input"), EVENTS) + draw.of_classes(by_class, EVENTS)

    first = rates()
    for rate in first:
        if rate.get("class") == "call" and rate["provider"] == "google":
            rate["price"] = "0"
    pools = [
        {"id": "tokens", "charges": ["input", "output"], "quantity": 20_000_000},
        {"id": "money", "charges": list(gates), "amount": "6000.07"},
    ]
    return Agreed(
        "shared units and shared money",
        [contract(since="2026-11-07")],
        plan(*charges, included=pools, currency="USD"),
        card(1, "2026-10-01", first) | card(2, "2026-11-16", rates()[::2]),
        edges=("2026-11-07", "2026-11-16"),
        shows=("output|%|included", "output|%|1", "calls|google%|included", "tool_calls|%|1"),
    )


def included_money() -> Agreed:
    """The template with a base fee in advance and money that all meters share. The fee of this period is billed."""
    draw = Prices("money")
    meters = [{"meter": meter, "overage": "per_unit", "prices": "charge"} for meter in METERS]
    listed = [flat("base", "advance"), *(charge(meter, prices="charge") for meter in METERS)]
    pool = {"id": "included", "charges": list(METERS), "amount": "90000.00"}
    billed = {
        "charge": "base", "contract_version": 1, "service_from": "2026-11-01", "service_to": "2026-12-01",
        "price": "99.00", "rate_version": "std@1", "rate_effective_from": "2026-10-01", "exact": "99",
    }  # fmt: skip
    return Agreed(
        "included money",
        [contract(since="2026-10-01")],
        plan(model="base_included", base={"timing": "advance"}, meters=meters, included={"amount": "90000.00"},
             currency="USD", overage_terms="Per unit.", cliff_limit="100"),
        card(1, "2026-10-01", [*draw.of_charges(of_meters(*METERS), EVENTS), fee("base", "99.00")])
        | card(2, "2026-11-16", draw.of_charges(of_meters(*METERS[:3]), EVENTS))
        | card(3, "2026-12-01", [fee("base", "109.00")]),
        carried={"invoice": "BP-2026-000001", "hash": "0" * 64, "advance": [billed], "committed": None},
        listed=plan(*listed, included=[pool], currency="USD"),
        shows=("base|std@3|2026-12-01", "input|%|included", "input|%|std@2|1"),
    )  # fmt: skip


def weighted_unit(kind: str) -> Agreed:
    """The blended unit: an output token counts as much as five of input. Usage of no weighted class is parked."""
    draw = Prices(f"weighted {kind}")
    weights = {"input": 2, "cached_input": 1, "cache_write_5m": 3, "output": 10, "reasoning": 10}
    units = {"units": ("output", kind)}
    listed = [
        flat("base", "arrears"),
        charge("units", kind, prices="charge", included=5_000_000 if kind != "per_unit" else 0),
    ]
    listed += [charge(meter, prices="charge") for meter in METERS[2:]]
    return Agreed(
        f"weighted unit, {kind}",
        [contract(since="2026-11-11")],
        plan(*listed, meters={"units": {"weights": weights}}),
        card(1, "2026-10-01", [*draw.of_charges(units, 8 * EVENTS), fee("base", "29.90"),
                               *draw.of_charges(of_meters(*METERS[2:]), EVENTS)])
        | card(2, "2026-11-16", draw.of_charges(units, 8 * EVENTS)),
        edges=("2026-11-11", "2026-11-16"),
        shows=("base|std@1|2026-11-11", "units|%|output|%", "units|%|input|%"),
    )  # fmt: skip


def blended_template() -> Agreed:
    """The template itself: calls and the like are counted by no charge, so that most events are parked."""
    draw = Prices("blended")
    weights = {"input": 1, "cached_input": 1, "cache_write_5m": 2, "output": 4, "reasoning": 4}
    units = {"units": ("output", "graduated")}
    controls = {"output_input_ratio_above": "0.5", "margin_floor": "0.30"}
    return Agreed(
        "blended unit template",
        [contract()],
        plan(model="blended_unit", weights=weights, kind="graduated", included=1_000_000, controls=controls),
        card(1, "2026-10-01", draw.of_charges(units, 2 * EVENTS))
        | card(2, "2026-11-16", draw.of_charges(units, EVENTS)),
        listed=plan(charge("units", "graduated", prices="charge", included=1_000_000),
                    meters={"units": {"weights": weights}}),
        shows=("units|%|reasoning|%|included", "units|%|2"),
    )  # fmt: skip


def passed_through() -> Agreed:
    """Yen, anchor day 31, from 10 February: a stub of 18 of 28 days. Costs in dollars, with long prompts."""
    draw = Prices("passed through")
    tokens = {"input": "per_unit", "output": "per_unit"}
    costs = draw.of_classes(tokens, EVENTS)
    costs += draw.of_classes({"input": "per_unit"}, EVENTS, models=MODELS[:2], prompt_above=PROMPT_STEP)
    costs[1]["price"] = "0.000001234567"  # times markup and exchange rate: more than 18 decimals, so it is parked
    charges = [flat("base", "arrears"), charge("input", "pass_through", markup="1.20"),
               charge("output", "pass_through", markup="1.1525"), *others("input", "output")]  # fmt: skip
    fx = [card(n, day, [], "fx", currency="JPY", fx=[{"foreign": "USD", "price": price, "source": f"fx-{day}"}])
          for n, (day, price) in enumerate(
              [("2027-01-29", "150.25"), ("2027-02-09", "151.3275"), ("2027-02-11", "152.5")], start=1)]  # fmt: skip
    fees = [*draw.of_charges(of_meters(*METERS[2:]), EVENTS), fee("base", "10000")]
    return Agreed(
        "passed through",
        [contract(since="2027-02-10", currency="JPY", anchor_day=31, cost_card="cost", fx_card="fx",
                  tax={"category": "S", "rate": "0.10"})],
        plan(*charges),
        card(1, "2027-01-01", fees, currency="JPY") | card(1, "2026-12-01", costs, "cost")
        | card(2, "2027-02-20", draw.of_classes(tokens, EVENTS, models=MODELS[1:3]), "cost")
        | fx[0] | fx[1] | fx[2],
        month="2027-02", start="2027-01-31", stop="2027-02-28", edges=("2027-02-10", "2027-02-20"),
        shows=("base|std@1|2027-02-10", "input|%|cost@1", "output|%|cost@2", "input|%|prompt>200000"),
    )  # fmt: skip


def by_service_tier() -> Agreed:
    """Charges for some service tiers, and for some providers, only."""
    draw = Prices("service tiers")
    charges = [
        charge("input", "graduated", "input_now", prices="charge", included=9_000_000,
               filter={"service_tiers": ["standard", "priority"]}),
        charge("input", "package", "input_later", prices="charge", filter={"service_tiers": ["batch", "flex"]}),
        charge("output", "volume", "output_openai", prices="charge", filter={"providers": ["openai"]}),
        charge("output", "per_unit", "output_others", filter={"providers": ["anthropic", "mistral"]}),
        *others("input", "output"),
    ]  # fmt: skip
    listed = {"input_now": ("input", "graduated"), "input_later": ("input", "package"),
              "output_openai": ("output", "volume"), **of_meters(*METERS[2:])}  # fmt: skip

    def rates() -> list[Document]:
        return draw.of_charges(listed, EVENTS, service_tiers=["standard", "batch", "priority", "flex"])

    return Agreed(
        "service tiers and providers",
        [contract(anchor_day=15)],
        plan(*charges, refused=["input_image"]),
        card(1, "2026-10-01", rates() + draw.of_classes({"output": "per_unit"}, EVENTS))
        | card(2, "2026-11-01", rates()[::3]),
        start="2026-10-15",
        stop="2026-11-15",
        edges=("2026-11-03", "2026-11-01"),
        shows=(
            "input_now|%|priority|included",
            "input_later|%|flex|1",
            "output_openai|openai/%",
            "output_others|mistral/%",
        ),
    )


def long_prompts() -> Agreed:
    """Prices of long prompts at two sizes, by class and by charge; they change on days of their own."""
    draw = Prices("long prompts")
    charges = [charge("input", "graduated", prices="class", included=3_000_000),
               charge("output", "volume", prices="charge"), *others("input", "output")]  # fmt: skip
    first = draw.of_classes({"input": "graduated"}, EVENTS)
    first += draw.of_classes({"input": "graduated"}, EVENTS, models=MODELS[:3], service_tiers=["standard"],
                             prompt_above=PROMPT_STEP)  # fmt: skip
    first += draw.of_charges({"output": ("output", "volume"), **of_meters(*METERS[2:])}, EVENTS)
    first += draw.of_charges({"calls": ("calls", "per_unit")}, EVENTS, service_tiers=["standard"], prompt_above=0)[1:]
    return Agreed(
        "long prompts",
        [contract()],
        plan(*charges),
        card(1, "2026-10-01", first)
        | card(2, "2026-11-12", draw.of_charges({"output": ("output", "volume")}, EVENTS, prompt_above=PROMPT_STEP - 1))
        | card(3, "2026-11-16", draw.of_classes({"input": "graduated"}, EVENTS, models=MODELS[:2],
                                               service_tiers=["standard"], prompt_above=2 * PROMPT_STEP)),
        edges=("2026-11-12", "2026-11-16"),
        shows=("input|%|prompt>200000|_", "input|%|std@3|prompt>400000|_", "output|%|prompt>199999|_", "%|included"),
    )  # fmt: skip


def one_volume(bound: int) -> Agreed:
    """Input of a few events at a volume price with one bound."""
    draw = Prices("one volume")
    rates = draw.of_charges(of_meters(*METERS[1:]), EVENTS)
    tiers = [{"up_to": bound, "price": "0.50"}, {"up_to": None, "price": "0.40"}]
    rates += [{"charge": "input", "service_tier": tier, "per": 1_000, "tiers": tiers} for tier in SOLD_TIERS]
    charges = [charge("input", "volume", prices="charge", included=1_000), *others("input")]
    return Agreed("one volume", [contract()], plan(*charges), card(1, "2026-10-01", rates), events=300)
