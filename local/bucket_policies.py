"""Bucket policies as far as moto can judge them: it knows no conditions, and would deny what only lacks TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket


@contextmanager
def judged_without_conditions() -> Iterator[None]:
    """Let statements without a condition count, and leave out those with one."""

    def get_permission(bucket: FakeBucket, action: str, resource: str) -> Any:
        policy = json.loads(bucket.policy) if bucket.policy else {"Statement": []}
        unconditional = [statement for statement in policy["Statement"] if "Condition" not in statement]
        if not unconditional:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps({**policy, "Statement": unconditional})).is_action_permitted(action, resource)

    with patch.object(FakeBucket, "get_permission", get_permission):
        yield
