from __future__ import annotations

from pathlib import Path

import pytest

from stacks.synthesis import billproof_app, synthesize
from tests.stacks.template import Template, read_template


@pytest.fixture(scope="session")
def template(template_path: Path) -> Template:
    return read_template(template_path)


@pytest.fixture(scope="session")
def by_stage(template: Template, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    templates = {"local": template}
    for stage in ("dev", "prod"):
        [path] = synthesize(billproof_app(stage=stage, out_dir=str(tmp_path_factory.mktemp(stage))))
        templates[stage] = read_template(path)
    return templates
