"""Fixtures that several folders of tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.synthesis import billproof_app, synthesize


@pytest.fixture(scope="session")
def template_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthesized template of stage `local`, in a cloud assembly of its own, made once."""
    [path] = synthesize(billproof_app(stage="local", out_dir=str(tmp_path_factory.mktemp("cdk.out"))))
    return path
