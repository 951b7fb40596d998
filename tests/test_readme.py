"""The README is true: its commands run, its event is accepted, its bundle commands work on what `make run` made."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lambdas.billing.usage import read_event

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """Every command line of the README's shell blocks, comments cut off."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_make_command_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    made = [command for command in commands() if command[0] == "make"]
    assert ["make", "run"] in made
    assert ["make", "test"] in made
    assert {command[1] for command in made} <= targets


def test_the_event_is_one_that_ingest_reads() -> None:
    [text] = blocks("json")
    event = read_event(json.loads(text), None)
    assert event.quantities == {"input": 374, "cached_input": 1024, "output": 44}


def test_rating_offline_prints_what_is_shown(tmp_path: Path) -> None:
    usage = tmp_path / "events.jsonl"
    [events] = blocks("jsonl")
    usage.write_text(events)
    [command] = [command for command in commands() if command[3:4] == ["rate"]]
    answer = run(sys.executable, *[str(usage) if part == usage.name else part for part in command[1:]])
    assert (answer.returncode, answer.stderr) == (0, "")
    assert [answer.stdout] == blocks("text")


def test_every_page_and_folder_that_it_names_exists() -> None:
    for name in [*re.findall(r"\]\(([^)#:]+)\)", README), *re.findall(r"^\| `([a-z/.]+)`", README, re.MULTILINE)]:
        assert (ROOT / name).exists(), name


@pytest.mark.long
def test_make_run_once_bills_the_sample_month_and_its_bundles_answer_the_commands_shown() -> None:
    done = run("make", "run", "ONCE=1", "PORT=0")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "received 4,505: accepted 4,501, duplicate 1, conflict 1, rejected 2, not_stored 0" in done.stdout
    assert "parked 1 of the accepted" in done.stdout
    for customer in ("acme", "globex", "hooli", "initech", "umbrella"):
        assert f" of {customer} for 2026-10 follows from its evidence" in done.stdout
    assert " of globex for 2026-09 follows from its evidence" in done.stdout
    assert done.stdout.count(": OK. Invoice DEMO-2026-") == 6
    shown = [command for command in commands() if command[:3] == ["python3", "-m", "lambdas.cli"]]
    assert {command[3] for command in shown} == {"verify", "explain", "trace", "rate"}
    for command in [command for command in shown if command[3] != "rate"]:
        answer = run(sys.executable, *command[1:])
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert "pay-as-you-go@1" in answer.stdout, answer.stdout
