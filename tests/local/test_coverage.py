"""The coverage table is true: what it calls applied is read back from the deployed template, resource by resource."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import aws, coverage
from local.coverage import By
from local.deploy import deploy
from local.deployment import Deployment
from tests.local.reading_back import READ, SHOWN_BY
from tests.local.small_template import small_template

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def billproof(template_path: Path) -> Iterator[Deployment]:
    """The project's own template, deployed."""
    with deploy(template_path) as deployment:
        yield deployment


def _at(value: Any, path: str) -> Any:
    """The property at a path; through a list, the list of its items' members."""
    for name in path.split("."):
        is_list = isinstance(value, list)
        value = [item[name] for item in value if name in item] if is_list else value.get(name)
        if value in (None, []):
            return None
    return value


def _comparable(value: Any) -> Any:
    """Lists of named members compare whatever their order, texts that are JSON by their content, numbers by value."""
    if isinstance(value, list):
        return sorted((_comparable(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, dict):
        return {name: _comparable(member) for name, member in value.items()}
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            return _comparable(json.loads(value))
    return value


def test_every_applied_property_of_every_resource_is_really_there(billproof: Deployment) -> None:
    wrong = []
    read_back: set[tuple[str, str]] = set()
    for resource in billproof.stack.resources.values():
        for (kind, path), read in READ.items():
            if kind != resource.type:
                continue
            wanted = _at(resource.properties, path)
            if wanted is None:
                continue
            read_back.add((kind, path))
            found = read(resource)
            if _comparable(found) != _comparable(wanted):
                wrong.append(f"{resource.logical_id}.{path}: the template says {wanted}, the API says {found}")
    assert wrong == []
    assert read_back == set(READ)


def test_what_the_table_calls_applied_is_read_back_or_shown_by_a_named_test() -> None:
    applied = {
        (kind, rule.path)
        for kind, rules in coverage.table().items()
        for rule in rules.rules.values()
        if rule.by is not By.IGNORED
    }
    assert applied == set(READ) | set(SHOWN_BY)
    assert not set(READ) & set(SHOWN_BY)
    sources = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    for name in SHOWN_BY.values():
        assert f"def {name}(" in sources or name.startswith("reads the policy")


def test_the_table_lists_nothing_that_no_template_uses(template_path: Path) -> None:
    used = {
        (use.resource_type, use.path)
        for template in (json.loads(template_path.read_text("utf-8")), small_template())
        for use in coverage.check(template)
    }
    listed = {(kind, path) for kind, rules in coverage.table().items() for path in rules.rules}
    assert listed - used == set()


def test_what_is_ignored_is_printed_with_its_reason() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "local.coverage"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert printed.startswith(f"IGNORED ({len(coverage.ignored_lines())}):")
    for kind, rules in coverage.table().items():
        for rule in rules.rules.values():
            if rule.by is By.IGNORED:
                assert f"  {kind}.{rule.path}: {rule.how}\n" in printed
        for text in rules.differs:
            assert f"  {kind}: {text}\n" in printed


def test_the_readme_lists_what_is_ignored_and_what_differs() -> None:
    readme = (ROOT / "local" / "README.md").read_text("utf-8")
    for line in (*coverage.ignored_lines(), *coverage.differing_lines()):
        assert f"- {line}\n" in readme


def test_the_evidence_bucket_keeps_locked_versions(billproof: Deployment) -> None:
    s3, bucket = aws.client("s3"), billproof.outputs["EvidenceBucket"]
    first = s3.put_object(Bucket=bucket, Key="bundles/x.zip", Body=b"1", IfNoneMatch="*")["VersionId"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="bundles/x.zip", Body=b"2", IfNoneMatch="*")
    assert s3.head_object(Bucket=bucket, Key="bundles/x.zip")["ObjectLockMode"] == "GOVERNANCE"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=bucket, Key="bundles/x.zip", VersionId=first)
