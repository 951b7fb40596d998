"""What differs between stages; the values are in cdk.json under context `stages`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import RemovalPolicy
from aws_cdk.aws_logs import RetentionDays

ROOT = Path(__file__).resolve().parent.parent


_RETENTION = {1: RetentionDays.ONE_DAY, 14: RetentionDays.TWO_WEEKS, 365: RetentionDays.ONE_YEAR}


class UnknownStage(Exception):
    """The stage has no settings in cdk.json."""


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    stage: str
    object_lock_mode: str
    """GOVERNANCE or COMPLIANCE: whether anyone at all can shorten the retention of evidence."""
    object_lock_days: int
    keep_data: bool
    """Tables refuse deletion and stay, like the bucket, when the stack goes."""
    log_days: int
    log_level: str
    account_concurrency: int
    shard_concurrency: int
    retry_interval_s: int
    requests_per_s: int
    request_burst: int
    rejected_events_alarm: int
    """Rejected events within five minutes that are too many."""

    @property
    def removal_policy(self) -> RemovalPolicy:
        return RemovalPolicy.RETAIN if self.keep_data else RemovalPolicy.DESTROY

    @property
    def log_retention(self) -> RetentionDays:
        """Raises KeyError for a number of days that CloudWatch Logs does not offer."""
        return _RETENTION[self.log_days]

    def name(self, part: str) -> str:
        """Physical name of a resource: explicit, so that operators, moto and retained tables find it again."""
        return f"billproof-{self.stage}-{part}"


def read_context() -> dict[str, Any]:
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return context


def read_settings(stage: str, context: dict[str, Any]) -> StageSettings:
    """Raises UnknownStage; a missing or misspelt setting raises TypeError naming it."""
    stages = context["stages"]
    if stage not in stages:
        raise UnknownStage(f"stage {stage!r} has no settings in cdk.json; it knows {', '.join(sorted(stages))}")
    return StageSettings(stage=stage, **stages[stage])
