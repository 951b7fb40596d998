"""The example in the README of `local` runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


def test_the_readme_s_example_runs(template_path: Path) -> None:
    readme = (ROOT / "local" / "README.md").read_text("utf-8")
    code = readme.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace("cdk.out/Billproof-local.template.json", str(template_path)), names)  # noqa: S102
    assert names["answer"].status == 200
    assert names["url"].startswith("http://127.0.0.1:")
