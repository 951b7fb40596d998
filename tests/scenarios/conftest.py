"""One deployment of the synthesized template for all scenarios. Each uses an entity and customers of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.deploy import deploy
from local.deployment import Deployment
from tests.scenarios.house import House


@pytest.fixture(scope="package")
def deployment(template_path: Path) -> Iterator[Deployment]:
    with deploy(template_path) as deployed:
        yield deployed


@pytest.fixture(scope="package")
def house(deployment: Deployment) -> House:
    """The deployment with an operator's key."""
    return House(deployment)
