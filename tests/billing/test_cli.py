"""The command line as somebody without our cloud, our packages or our trust would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lambdas.cli import main
from tests.billing.forging import packed, unpacked, with_hashes_mended
from tests.billing.month import month_of, sample_events

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "BP-2026-000001.zip"
    path.write_bytes(month_of(sample_events()).bundle())
    return path


def alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the standard library and the repository on the path, and nothing else."""
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(REPOSITORY)!r}); runpy.run_module('lambdas.cli', None, '__main__')"
    )
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def test_verify_needs_nothing_but_python_and_says_what_it_checked(bundle: Path) -> None:
    result = alone("verify", str(bundle))
    assert (result.returncode, result.stderr) == (0, "")
    for part in (
        "OK. Invoice BP-2026-000001 of acme for 2026-11 follows from its evidence.",
        "59 events in 35 segments and 2 blocks",
        "54 rated; excluded: 3 before_activation, 2 parked",
        "6 lines, net exact 18.0397145, net 18.04, total 21.47 USD",
        "that the provider's token counts are true",
        "that every request is here: compare your own receipts",
        "that the contract is what you signed: compare the hash",
        "signature not checked: this release has no signature yet",
    ):
        assert part in result.stdout


def test_only_the_standard_library_and_the_core_are_imported() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); before = set(sys.modules); import lambdas.cli;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)),"
        "*[name for name in sys.modules if name.startswith(('lambdas.store', 'lambdas.handlers'))])"
    )
    result = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["lambdas"]


def test_a_difference_is_named_by_file_row_and_field_with_exit_code_1(bundle: Path) -> None:
    files = unpacked(bundle.read_bytes())
    files["rated/00001.jsonl"] = files["rated/00001.jsonl"].replace(b'374,"0.000935"', b'374,"0.000936"')
    bundle.write_bytes(packed(with_hashes_mended(files)))
    result = alone("verify", str(bundle))
    assert (result.returncode, result.stderr) == (1, "")
    assert "DIFFERENT. The first difference:" in result.stdout
    assert "where     rated/00001.jsonl, row 1, charges" in result.stdout
    assert "0.000935" in result.stdout and "0.000936" in result.stdout


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_bundle_ends_with_exit_code_2(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.zip"
    if content is not None:
        path.write_bytes(content)
    for command in (["verify"], ["explain", "--line", "1"], ["trace", "--source", "s", "--id", "i"]):
        assert main([command[0], str(path), *command[1:]]) == 2
        assert capsys.readouterr().out.startswith(f"{path}: ")


def test_json_has_the_result_the_facts_and_the_limits(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] and result["differences"] == []
    assert (result["facts"]["net_exact"], result["facts"]["excluded"]) == (
        "18.0397145",
        {"before_activation": 3, "parked": 2},
    )
    assert len(result["does_not_prove"]) == 5
    files = {**unpacked(bundle.read_bytes()), "plans/tokens@1.json": b"{}"}
    bundle.write_bytes(packed(files))
    assert main(["verify", str(bundle), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert not result["ok"] and result["facts"] is None
    assert set(result["differences"][0]) == {"file", "row", "field", "expected", "found"}


def test_explain_prints_a_line_with_its_arithmetic(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(bundle), "--line", "6"]) == 0
    assert "1,000,630 x 8.00 / 1,000,000 = 8.00504 -> 8.01 USD" in capsys.readouterr().out
    assert main(["explain", str(bundle), "--line", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rate_version"] == "std@2"
    assert main(["explain", str(bundle), "--line", "7"]) == 1
    assert "has lines 1 to 6" in capsys.readouterr().out


def test_trace_walks_from_the_event_to_the_journal(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(bundle), "--source", "//gateway/eu-2", "--id", "binary ü"]) == 0
    text = capsys.readouterr().out
    for part in (
        "Event //gateway/eu-2 binary ü of acme at 2026-11-23T00:00:00.000000Z",
        "Charge on line 2: input tokens read by the model, 7 x 2.50 / 1,000,000 = 0.0000175 USD",
        "Charge on line 6: output tokens written by the model, 5 x 8.00 / 1,000,000 = 0.00004 USD",
        "Journal invoice:BP-2026-000001: 18.01625 from revenue:output to customer:acme:receivable",
        "`verify` proves it",
    ):
        assert part in text


def test_trace_says_why_an_event_is_not_charged(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["trace", str(bundle), "--source", "//gateway/eu-1", "--id", "unknown", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["charges"], found["lines"], found["journal"]) == ([], [], [])
    assert found["excluded"]["reason"] == "parked"
    main(["trace", str(bundle), "--source", "//gateway/eu-1", "--id", "early-0"])
    assert "Not charged (before activation): contract begins 2026-11-02." in capsys.readouterr().out
    main(["trace", str(bundle), "--source", "//gateway/eu-1", "--id", "zero"])
    assert "nothing to charge" in capsys.readouterr().out


def test_trace_of_an_event_that_is_not_there_says_so(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(bundle), "--source", "//gateway/eu-1", "--id", "never"]) == 1
    assert "No event with source //gateway/eu-1 and id never" in capsys.readouterr().out


def test_a_bundle_cannot_steer_the_terminal_or_crash_the_reader(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = unpacked(bundle.read_bytes())
    usage = files["usage/00001.jsonl"]
    files["usage/00001.jsonl"] = usage.replace(b'"{\\"specversion', b'"\\u001b[2J{\\"specversion', 1)
    assert files["usage/00001.jsonl"] != usage
    files["excluded/00001.jsonl"] = b"[]\n"
    bundle.write_bytes(packed(files))
    for event_id in ("early-0", "a-0"):
        main(["trace", str(bundle), "--source", "//gateway/eu-1", "--id", event_id])
        assert "\x1b" not in capsys.readouterr().out
    files["invoice.json"] = b'{"lines":[{}],"number":"x"}'
    bundle.write_bytes(packed(files))
    assert main(["explain", str(bundle), "--line", "1"]) == 2
    assert "run verify" in capsys.readouterr().out


def test_a_wrong_command_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["prove", "x.zip"])
    assert caught.value.code == 2
