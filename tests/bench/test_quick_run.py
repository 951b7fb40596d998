"""`python -m bench --quick` runs to its end and prints every section. No test asserts a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_quick_run_prints_every_section_and_nothing_of_the_handlers_log() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for title in (
        "1. Ingest: handler CPU per event beside bare boto3",
        "2. Request units per accepted event",
        "3. Rating: time per event and peak memory",
        "4. Rating against others",
        "5. AWS cost per million accepted events",
    ):
        assert f"\n{title}\n{'=' * len(title)}\n" in done.stdout
    assert "CloudWatchMetrics" not in done.stdout
    assert "... rating 2,000 events: verify" in done.stderr
