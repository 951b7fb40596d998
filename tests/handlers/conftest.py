"""Fixtures of the stores' tests serve the handlers' tests too."""

from tests.store.conftest import aws

__all__ = ["aws"]
