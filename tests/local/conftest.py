"""One deployment of the small template for all tests of `local`; each test begins with nothing recorded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from local.clock import Clock
from local.deploy import deploy
from local.deployment import Deployment
from tests.local import handlers
from tests.local.small_template import small_template

START = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def running() -> Iterator[Deployment]:
    """The deployed small template, one for a file of tests."""
    with deploy(small_template(), Clock(START)) as deployment:
        yield deployment


@pytest.fixture
def small(running: Deployment) -> Deployment:
    """The same with nothing recorded, nothing waiting, and the clock as it was left."""
    running.pump()
    handlers.calls.clear()
    handlers.failing.clear()
    running.functions.failures.clear()
    return running


@pytest.fixture
def table(small: Deployment) -> str:
    """The name of the table without a stream."""
    return small.stack.resources["Table"].physical_id


@pytest.fixture
def streamed(small: Deployment) -> str:
    """The name of the table whose stream `take_records` takes."""
    return small.stack.resources["Streamed"].physical_id
