"""docs/billing-rules.md says what the code does: its examples are run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "billing-rules.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_billing_rules_hold() -> None:
    """One after the other, as a reader would type them; a failure names the line of the page."""
    page = PAGE.read_text()
    blocks = list(BLOCK.finditer(page))
    names: dict[str, Any] = {}
    for block in blocks:
        above = page.count("\n", 0, block.start(1))
        exec(compile("\n" * above + block[1], str(PAGE), "exec"), names)  # noqa: S102 - our own page
    assert len(blocks) == page.count("```python")
    assert sum(block[1].count("assert") for block in blocks) >= 30


def test_every_rule_has_its_section_and_a_row_that_says_whether_it_is_built() -> None:
    page = PAGE.read_text()
    sections = re.findall(r"^## (K\d+) (.*)$", page, re.MULTILINE)
    assert [rule for rule, _ in sections] == [f"K{n}" for n in range(1, 12)]
    for rule, title in sections:
        anchor = re.sub(r"[^a-z0-9 -]", "", f"{rule} {title}".lower()).replace(" ", "-")
        assert f"| [{rule}](#{anchor}) | {title[0].lower()}{title[1:]} |" in page
    later = re.findall(r"^## (K\d+) .*\n\nLater\. ", page, re.MULTILINE)
    assert later == re.findall(r"^\| \[(K\d+)\].*\| later \|$", page, re.MULTILINE) == ["K10"]
