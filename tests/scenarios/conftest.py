"""One deployment of the synthesized template for all scenarios. Each uses an entity and customers of its own.

The clock starts before them all. A month's rule fires once, when the clock first passes it, so a scenario that needs
runs of its own starts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.clock import Clock
from local.deploy import deploy
from local.deployment import Deployment
from tests.scenarios.house import House


@pytest.fixture(scope="package")
def deployment(template_path: Path) -> Iterator[Deployment]:
    with deploy(template_path, Clock(datetime(2023, 10, 1, tzinfo=UTC))) as deployed:
        yield deployed


@pytest.fixture(scope="package")
def house(deployment: Deployment) -> House:
    """The deployment with an operator's key."""
    return House(deployment)
