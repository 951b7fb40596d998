"""`rate` on the command line: what is printed, the exit code, and files of every bad kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lambdas.billing.explain import explain_charges
from lambdas.cli import main
from tests.billing.account import M, card, class_price, contract, plan, price
from tests.billing.month import CONTRACT, PLAN, RATES, month_of, raw_event, sample_events
from tests.billing.test_cli import alone

DAY = "2026-11-05T00:00:00Z"
ONE = [raw_event("a", DAY, {"input": 1_000_000, "output": 3})]
VERSIONS: list[Any] = list(RATES.values())


class Ran(NamedTuple):
    code: int
    out: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


class Folder:
    """Files of a test, and the command run on them. What is not given is a plan, a card and one event that fit."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys
        self.write("plan.json", PLAN)
        self.write("std.json", VERSIONS)
        self.events(ONE)

    def write(self, name: str, document: Any) -> str:
        file = self.path / name
        file.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return str(file)

    def events(self, lines: Sequence[str | bytes]) -> str:
        text = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
        return self.write("events.jsonl", text)

    def rate(self, *more: str, plan: str = "", rates: Sequence[str] = (), usage: str = "") -> Ran:
        arguments = ["--plan", plan or str(self.path / "plan.json")]
        for name in rates or [str(self.path / "std.json")]:
            arguments += ["--rates", name]
        arguments += ["--usage", usage or str(self.path / "events.jsonl")]
        code = main(["rate", *arguments, *more])
        return Ran(code, self._capsys.readouterr().out)


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    return Folder(tmp_path, capsys)


# what it answers


def test_json_has_the_charges_lines_and_sums_of_the_product(folder: Folder) -> None:
    product = month_of(sample_events())
    usage = folder.events(sample_events())
    ran = folder.rate("--contract", folder.write("contract.json", CONTRACT), "--json", usage=usage)
    assert ran.json["lines"] == ran.json["invoice"]["lines"] == product.invoice["lines"]
    for name in ("net_exact", "net", "tax", "total", "events", "included", "positions"):
        assert ran.json["invoice"][name] == product.invoice[name]
    rated = [line for block in product.blocks for line in block.rated.decode().splitlines()]
    charges = [charge for line in rated for charge in explain_charges(line, product.invoice)]
    assert ran.json["charges"] == [{**charge, "invoice": None} for charge in charges]
    assert ran.code == 1  # two events are parked
    events = ran.json["events"]
    assert (events["accepted"], events["rated"], events["excluded"]) == (59, 54, {"before_activation": 3, "parked": 2})
    assert [(reason["code"], reason["events"], reason["first"][0]["id"]) for reason in events["parked"]] == [
        ("no_price", 1, "unknown"), ("unknown_class", 1, "new class"),
    ]  # fmt: skip


def test_words_have_lines_sums_and_what_became_of_every_event(folder: Folder) -> None:
    ran = folder.rate()
    assert ran.code == 0
    rows = [line.split("  ") for line in ran.out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["1", "input", "openai/gpt-4o", "input", "1,000,000", "2.50 / 1,000,000", "std@1", "2.5", "2.50"] in cells
    assert ["2", "output", "openai/gpt-4o", "output", "3", "10.00 / 1,000,000", "std@1", "0.00003", "0.00"] in cells
    for part in (
        "Usage of offline in 2026-11, from 2026-11-01 until 2026-12-01 (that day not included), plan tokens@1. "
        "A calculation, not an issued invoice.",
        "exact        2.50003 USD\nnet          2.50 USD\ntax O 0      0.00 USD\ntotal        2.50 USD\n",
        "One more unit raises this bill by at most 0.00001 USD (charge output).",
        "Lines read: 1. Accepted 1, duplicate 0, conflict 0, rejected 0.",
        "Of this period: 1. Rated 1; excluded: none.",
    ):
        assert part in ran.out
    assert "line 1, input tokens" not in ran.out


def test_charges_are_printed_when_asked_for(folder: Folder) -> None:
    text = folder.rate("--charges").out
    assert (
        "2026-11-05T00:00:00.000000Z //gateway/eu-1 a: line 1, input tokens read by the model, openai/gpt-4o: "
        "1,000,000 x 2.50 / 1,000,000 = 2.5 USD\n"
    ) in text


def test_every_kind_of_line_has_its_words(folder: Folder) -> None:
    sold = plan(
        "tokens",
        [
            {"id": "base", "kind": "flat", "timing": "advance"},
            {"id": "input", "meter": "input", "kind": "graduated", "prices": "charge", "included": 1_000},
            {"id": "output", "meter": "output", "kind": "per_unit", "minimum": "3.00"},
            {"id": "calls", "meter": "calls", "kind": "package", "prices": "charge", "maximum": "0.10"},
            {"id": "units", "meter": "units", "kind": "per_unit", "prices": "charge"},
            {"id": "seconds", "meter": "compute_seconds", "kind": "pass_through", "markup": "1.20"},
        ],
        meters={"units": {"weights": {"tool_call:search": 5}}},
        included=[{"id": "shared", "charges": ["output", "units"], "amount": "0.50"}],
        currency="USD",
    )
    steps = [{"up_to": 100, "price": "3.00"}, {"up_to": None, "price": "2.00"}]
    rates = card(
        1, "2026-01-01", price("base", "99.00", per=1), price("calls", "0.60", per=1_000),
        price("units", "0.10", per=1), class_price("output", "1.00", per=1_000),
        {"charge": "input", "per": M, "tiers": steps},
        {"charge": "input", "per": M, "tiers": steps, "service_tier": "batch"},
        {"charge": "input", "per": M, "tiers": steps, "prompt_above": 2_000},
    )  # fmt: skip
    costs = card(1, "2026-01-01", class_price("compute_second", "0.01", per=1), name="cost")
    terms = {
        "cost_card": "cost", "split_by": "project", "effective_from": "2026-11-01",
        "discounts": [{"id": "tenth", "percent": "0.10"}], "commitment": {"amount": "600.00", "counting": "period"},
    }  # fmt: skip
    usage = [
        raw_event("a", DAY, {"input": 1_200, "output": 600, "call": 1_200, "tool_call:search": 3, "compute_second": 7}),
        raw_event("b", DAY, {"input": 10, "output": 1}),
        raw_event("c", DAY, {"input": 2_001}),
    ]
    changed = [json.loads(raw) for raw in usage]
    changed[1]["data"] |= {"service_tier": "batch", "quantities": {"input": 10}}
    changed[2]["data"]["attributes"] = {"project": "x\u202ey"}
    ran = folder.rate(
        "--contract", folder.write("contract.json", {**CONTRACT, **terms}), "--charges",
        plan=folder.write("all.json", sold), usage=folder.events([json.dumps(event) for event in changed]),
        rates=[folder.write("std.json", list(rates.values())), folder.write("cost@1.json", list(costs.values()))],
    )  # fmt: skip
    assert ran.code == 0, ran.out
    words = " ".join(ran.out.split())
    for part in (
        "base 2026-12-01 until 2027-01-01 1 99.00 std@1 99 99.00",
        "input, included 1,000 0 / 1,000,000",
        "input, tier 1 100 3.00 / 1,000,000",
        "input, batch, tier 2 10 2.00 / 1,000,000",
        r"input, prompt > 2,000, tier 2, project=x\u202ey 2,001 2.00 / 1,000,000",
        "output up to its minimum",
        "1,200 in 2 blocks 0.60 / 1,000",
        "calls down to its maximum",
        "tool_call:search, weight 5 15 0.10",
        "compute_second 7 0.012 cost@1",
        "tenth discount",
        "commitment true-up",
        "Included for input: 1,000 of 1,000 tokens used, 0 left; whole again on 2026-12-01.",
        "Included for output, units: 0.5 of 0.5 USD used, 0 left; whole again on 2026-12-01.",
        "input tokens read by the model, openai/gpt-4o, after 1,000: 100 x 3.00 / 1,000,000 = 0.0003 USD",
    ):
        assert part in words, ran.out


def test_a_plan_change_names_the_contract_of_each_line(folder: Folder) -> None:
    plans = [
        plan(name, [{"id": name, "meter": "input", "kind": "per_unit", "prices": "charge"}])
        for name in ("basic", "pro")
    ]
    contracts = [contract("basic", "2026-11-01"), contract("pro", "2026-11-11", 2)]
    rates = card(1, "2026-11-01", price("basic", "2.00"), price("pro", "1.00"))
    raws = [raw_event("a", DAY, {"input": 5}), raw_event("b", "2026-11-11T00:00:00Z", {"input": 5})]
    ran = folder.rate(
        "--contract", folder.write("contract.json", contracts), "--plan", folder.write("pro.json", plans[1]),
        plan=folder.write("basic.json", plans[0]), rates=[folder.write("std.json", list(rates.values()))],
        usage=folder.events(raws),
    )  # fmt: skip
    assert "plan basic@1, pro@1" in ran.out
    assert "input, contract 1" in ran.out and "input, contract 2" in ran.out


def test_the_bill_of_a_month_goes_on_from_that_of_the_month_before(folder: Folder) -> None:
    charges = [
        {"id": "base", "kind": "flat", "timing": "advance"},
        {"id": "input", "meter": "input", "kind": "per_unit"},
    ]
    rates = card(1, "2026-01-01", price("base", "30.00", per=1), class_price("input", "1.00"))
    sold = folder.write("team.json", plan("team", charges))
    agreed = ("--contract", folder.write("contract.json", contract("team", "2026-10-01")))
    given: dict[str, Any] = {"plan": sold, "rates": [folder.write("std.json", list(rates.values()))]}
    october = folder.rate(*agreed, "--period", "2026-10", "--json", usage=folder.events([]), **given)
    assert (october.code, october.json["invoice"]["net_exact"], october.json["notes"]) == (0, "60", [])
    first = folder.rate(*agreed, "--period", "2026-11", **given)
    assert "net          60.00 USD" in first.out
    assert "Note: no invoice of the period before was given (--carried)" in first.out
    for document in (october.json, october.json["invoice"]):
        carried = folder.write("october.json", document)
        ran = folder.rate(*agreed, "--period", "2026-11", "--carried", carried, **given)
        assert "net          30.00 USD" in ran.out
        assert "Note" not in ran.out
    wrongs: list[Any] = [{}, {"rules_version": "1", "carried_forward": []}, [], october.json["lines"]]
    for wrong in wrongs:
        ran = folder.rate(*agreed, "--period", "2026-11", "--carried", folder.write("october.json", wrong), **given)
        assert ran.code == 2
        assert "october.json: " in ran.out


def test_a_month_without_usage_and_fees_has_no_lines(folder: Folder) -> None:
    ran = folder.rate("--period", "2026-11", usage=folder.events([]))
    assert ran.code == 0
    assert "No lines: nothing to charge." in ran.out
    assert "total        0.00 USD" in ran.out


# what makes it exit with 1


def test_a_line_that_is_rejected_is_named_and_the_rest_is_billed(folder: Folder) -> None:
    usage = folder.events([*ONE, '{"specversion":"1.0"}', raw_event("b", DAY, {"input": 15}).replace("15}", "1.5}")])
    ran = folder.rate(usage=usage)
    assert ran.code == 1
    assert "Lines read: 3. Accepted 1, duplicate 0, conflict 0, rejected 2." in ran.out
    assert '  line 2 rejected: type = None: the type of a usage event is "llm.usage.v1"' in ran.out
    assert "  line 3 rejected: data.quantities.input = 1.5: a whole number" in ran.out
    assert "total        2.50 USD" in ran.out
    rejections = folder.rate("--json", usage=usage).json["events"]["rejections"]
    assert [(one["line"], one["field"], one["value"]) for one in rejections] == [
        (2, "type", "None"), (3, "data.quantities.input", "1.5"),
    ]  # fmt: skip


def test_a_conflict_is_named_and_a_duplicate_is_only_reported(folder: Folder) -> None:
    ran = folder.rate(usage=folder.events([*ONE, *ONE]))
    assert ran.code == 0
    assert "  line 2 duplicate: //gateway/eu-1 a of line 1 is the same event and is counted once" in ran.out
    ran = folder.rate(usage=folder.events([*ONE, raw_event("a", DAY, {"input": 2})]))
    assert ran.code == 1
    assert "  line 2 conflict: //gateway/eu-1 a of line 1 has other content" in ran.out
    assert "total        2.50 USD" in ran.out


def test_usage_without_a_price_stops_the_bill_and_names_reason_and_events(folder: Folder) -> None:
    usage = folder.events([*ONE, *(raw_event(f"b{n}", DAY, {"video": 1}) for n in range(5))])
    ran = folder.rate(usage=usage)
    assert ran.code == 1
    assert "No bill. AccountParked: parked events of offline = 5: class video is not known (5 events)." in ran.out
    assert "Parked, never billed at zero: 5 events (unknown_class): class video is not known." in ran.out
    assert "  line 2: //gateway/eu-1 b0 at 2026-11-05T00:00:00.000000Z\n" in ran.out
    assert "total" not in ran.out
    found = folder.rate("--json", usage=usage)
    assert (found.code, found.json["invoice"], found.json["lines"], found.json["charges"]) == (1, None, [], [])
    assert found.json["blocked"]["code"] == "AccountParked"
    assert found.json["events"]["parked"][0]["first"][0] == {
        "line": 2, "source": "//gateway/eu-1", "id": "b0", "time": "2026-11-05T00:00:00.000000Z",
    }  # fmt: skip


def test_many_reasons_and_many_rejections_are_counted_and_the_first_are_printed(folder: Folder) -> None:
    parked = [raw_event(f"b{n}", DAY, {"input": 1}, model=f"openai/m{n}") for n in range(25)]
    ran = folder.rate(usage=folder.events([*parked, *["x"] * 25]))
    assert ran.out.count("Parked, never billed at zero") == 20
    assert "Parked for 5 other reasons too; --json names them all." in ran.out
    assert ran.out.count(" rejected: ") == 20
    assert "  and 5 more rejected" in ran.out


def test_a_fee_without_a_price_under_a_contract_stops_the_bill(folder: Folder) -> None:
    charges = [
        {"id": "base", "kind": "flat", "timing": "arrears"},
        {"id": "input", "meter": "input", "kind": "per_unit"},
    ]
    ran = folder.rate(
        "--contract", folder.write("contract.json", CONTRACT), plan=folder.write("plan.json", plan("tokens", charges))
    )
    assert ran.code == 1
    assert "No bill. RateMissing: charge base = no price on 2026-11-02" in ran.out


def test_where_every_line_is_rejected_each_is_named_and_the_period_is_asked_for(folder: Folder) -> None:
    usage = folder.events(["x", "y"])
    ran = folder.rate(usage=usage)
    assert ran.code == 1
    assert "line 2 rejected: body = y: not JSON" in ran.out
    assert "--period names it" in ran.out
    found = folder.rate("--json", usage=usage)
    assert (found.code, found.json["invoice"], found.json["events"]["rejected"]) == (1, None, 2)
    assert folder.rate("--period", "2026-11", usage=usage).code == 1


def test_events_of_other_months_are_left_out_and_counted(folder: Folder) -> None:
    usage = folder.events([*ONE, raw_event("b", "2026-12-01T00:00:00Z", {"input": 1})])
    ran = folder.rate(usage=usage)
    assert ran.code == 0
    assert "Not of this period and left out, by calendar month: 2026-12 1." in ran.out
    ran = folder.rate("--period", "2026-12", usage=usage)
    assert "Usage of offline in 2026-12" in ran.out
    assert "left out, by calendar month: 2026-11 1." in ran.out


# names of cards


def test_a_card_has_the_name_that_is_given_or_that_of_its_file(folder: Folder) -> None:
    def version(*more: str, **given: Any) -> str:
        return str(folder.rate("--json", *more, **given).json["lines"][0]["rate_version"])

    file = folder.write("list@prices.v1.json", VERSIONS)
    one = folder.write("list@1.json", VERSIONS[0])
    two = folder.write("list@2.json", VERSIONS[1])
    agreed = ("--contract", folder.write("contract.json", {**CONTRACT, "rate_card": "agreed"}))
    assert version(rates=[file]) == "list@1"
    assert version(rates=[one, two]) == "list@1"
    assert version(rates=[f"mine={file}"]) == "mine@1"
    assert version(*agreed, rates=[file]) == "agreed@1"  # the only card, so it is the contract's
    assert version(*agreed, rates=[f"agreed={one}", f"agreed={two}"]) == "agreed@1"


def test_cards_that_have_no_place_are_refused(folder: Folder) -> None:
    other = folder.write("other.json", VERSIONS)
    std = str(folder.path / "std.json")
    ran = folder.rate(rates=[std, other])
    assert (ran.code, ran.out.startswith("--rates: rate card = other, std: ")) == (2, True)
    agreed = ("--contract", folder.write("contract.json", CONTRACT))
    ran = folder.rate(*agreed, rates=[std, other])
    assert ran.code == 2
    assert "rate card = other: the contract names std" in ran.out
    assert folder.rate(*agreed, rates=[f"other={std}"]).code == 2  # a name that is given is not guessed about
    ran = folder.rate(rates=[std, f"std={other}"])
    assert (ran.code, "rate card version = std@1: give each once" in ran.out) == (2, True)


def test_a_plan_that_needs_more_than_a_card_says_that_a_contract_is_needed(folder: Folder) -> None:
    sold = plan("at-cost", [{"id": "input", "meter": "input", "kind": "pass_through", "markup": "1.20"}])
    ran = folder.rate(plan=folder.write("plan.json", sold))
    assert ran.code == 2
    assert "(--contract gives another): cost_card = None: input passes cost through" in ran.out


def test_two_plans_need_a_contract(folder: Folder) -> None:
    ran = folder.rate("--plan", folder.write("other.json", {**PLAN, "id": "other"}))
    assert (ran.code, "say in a --contract which is agreed when" in ran.out) == (2, True)
    assert folder.rate("--plan", folder.write("again.json", PLAN)).code == 2


# input that is none


@pytest.mark.parametrize("which", ["--plan", "--rates", "--contract", "--carried"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "content = : a JSON document; not JSON"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"{", "not JSON"),
        (b"[]", " = []: "),
        (b"7", "body = 7: an object"),
        (b"[" * 40 + b"]" * 40, "deeply nested"),
        (b"[" * 50_000, "deeply nested"),
        (b'{"version": ' + b"9" * 5_000 + b"}", " = "),
        (b'{"model": "pure_token", "id": 1, "id": 2}', "id = more than once"),
        (b'{"\\u001b[2J": "\\u001b[2J"}', " = "),
        (b" " * 10_000_001, "more than 10000000 bytes"),
        (None, "cannot be read. No such file"),
        ("folder", "cannot be read. Is a directory"),
    ],
)
def test_a_document_that_is_none_is_named_with_exit_code_2(
    folder: Folder, which: str, content: bytes | str | None, said: str
) -> None:
    name = str(folder.path / "bad.json")
    if content == "folder":
        Path(name).mkdir()
    elif isinstance(content, bytes):
        folder.write("bad.json", content)
    if which == "--plan":
        ran = folder.rate(plan=name)
    elif which == "--rates":
        ran = folder.rate(rates=[name])
    else:
        ran = folder.rate(which, name)
    assert ran.code == 2
    assert ran.out.startswith(f"{name}: ")
    assert said in ran.out
    assert ran.out.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 2, "usage = no event that can be taken: name the period"),
        (b"\n\n \n", 2, "name the period"),
        (b"\x00\xff\n\x1b[2J\n", 1, "rejected 2."),
        (None, 2, "cannot be read. No such file"),
        ("folder", 2, "cannot be read. Is a directory"),
    ],
)
def test_usage_that_is_none_is_named(folder: Folder, content: bytes | str | None, code: int, said: str) -> None:
    usage = str(folder.path / "bad.jsonl")
    if content == "folder":
        Path(usage).mkdir()
    elif isinstance(content, bytes):
        folder.write("bad.jsonl", content)
    ran = folder.rate(usage=usage)
    assert ran.code == code
    assert said in ran.out
    assert code == 1 or ran.out.startswith(f"{usage}: ")
    assert ran.out.replace("\n", "").isprintable()


@pytest.mark.parametrize("period", ["2026-13", "november", "", "2026-11-01", "\x1b[2J"])
def test_a_period_that_is_none_is_named(folder: Folder, period: str) -> None:
    ran = folder.rate("--period", period)
    assert (ran.code, ran.out.startswith("--period: period = ")) == (2, True)
    assert ran.out.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("name", "document", "said"),
    [
        ("plan.json", {**PLAN, "model": "magic"}, "plan.json: model = magic: one of the models"),
        ("plan.json", {**PLAN, "posture": "predictable"}, "plan.json: posture = "),
        ("std.json", {**VERSIONS[0], "currency": "XXX"}, "std.json: currency = XXX"),
        ("std.json", {**VERSIONS[0], "rates": [{**VERSIONS[0]["rates"][0], "price": 2.5}]}, "std.json: rates[0].price"),
        ("std.json", [VERSIONS[0], {**VERSIONS[1], "version": 1}], "std.json: rate card version = std@1: give each"),
        ("std.json", [VERSIONS[0], {**VERSIONS[1], "currency": "EUR"}], "rate card = std in EUR"),
    ],
)
def test_a_document_that_is_refused_is_named_by_file_field_value_and_remedy(
    folder: Folder, name: str, document: Any, said: str
) -> None:
    folder.write(name, document)
    ran = folder.rate()
    assert ran.code == 2
    assert said in ran.out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ([{**CONTRACT, "version": 2, "customer": "other"}], "customer = other: versions of acme's contract only"),
        ([CONTRACT], "version = 1: give each once"),
        ([{**CONTRACT, "version": 2, "anchor_day": 15}], "with one anchor day"),
        ([{**CONTRACT, "version": 2}], "effective_from = 2026-11-02"),
    ],
)
def test_contract_versions_that_do_not_follow_each_other_are_refused(
    folder: Folder, change: Sequence[Mapping[str, Any]], said: str
) -> None:
    ran = folder.rate("--contract", folder.write("contract.json", [CONTRACT, *change]), "--period", "2026-11")
    assert ran.code == 2
    assert said in ran.out


def test_what_events_say_cannot_steer_the_terminal(folder: Folder) -> None:
    lines = [
        raw_event("a\u202e", DAY, {"input": 1}, model="openai/\u202egpt\u2066"),
        raw_event("\x1b[2J", DAY, {"input": 1}),
        raw_event("b", DAY, {"\x1b[2J": 1}),
        raw_event("c\u200f", DAY, {"input": 1}, source="s\u202e"),
    ]
    for more in ((), ("--charges",), ("--json",)):
        out = folder.rate(*more, usage=folder.events([*lines, *ONE])).out
        assert out.replace("\n", "").isprintable()


# as somebody without our cloud, our packages or our trust would run it


def test_it_needs_nothing_but_python(folder: Folder) -> None:
    folder.rate()
    names = [str(folder.path / name) for name in ("plan.json", "std.json", "events.jsonl")]
    ran = alone("rate", "--plan", names[0], "--rates", names[1], "--usage", names[2])
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "total        2.50 USD" in ran.stdout


def test_a_command_without_its_options_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["rate", "--plan", "x"])
    assert caught.value.code == 2
