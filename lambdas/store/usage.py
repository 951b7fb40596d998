"""Reading usage: claims, segments and counters, always consistently (D2, D3). Writing is `recorder`'s alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.billing.errors import InvariantBroken
from lambdas.billing.segments import Segment
from lambdas.billing.usage import identity_hash
from lambdas.store.errors import translate
from lambdas.store.usage_items import (
    NO_COUNTERS,
    Claim,
    DayCounters,
    SegmentHead,
    add_counters,
    claim_key,
    claim_of,
    segment_item_key,
    segment_key_of,
    segment_of,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class UsageStore:
    """Reads of one deployment's usage and counters tables. `pause` sleeps seconds while reads are throttled."""

    def __init__(
        self,
        client: DynamoDBClient,
        usage_table: str,
        counters_table: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._usage = usage_table
        self._counters = counters_table
        self._pause = pause

    def claim(self, customer: str, source: str, event_id: str) -> Claim | None:
        """The claim of an identity, read consistently; None where the identity is free."""
        key = claim_key(customer, identity_hash(source, event_id))
        item = self._call(self._client.get_item, TableName=self._usage, Key=key, ConsistentRead=True).get("Item")
        return None if item is None else claim_of(item)

    def day_counters(self, customer: str, first_day: str, last_day: str) -> dict[str, DayCounters]:
        """Counters by day, both days included, lanes added up. Days without usage are absent."""
        days: dict[str, DayCounters] = {}
        for item in self._query(self._counters, f"C#{customer}", f"D#{first_day}#", f"D#{last_day}#~"):
            day = item["sk"]["S"][2:12]
            before = days.get(day, NO_COUNTERS)
            days[day] = add_counters(before, item)
        return days

    def segment_heads(self, customer: str, days: Sequence[str]) -> list[SegmentHead]:
        """All segments of these UTC days (ascending), by day, hour, lane and id; without their events."""
        heads: list[SegmentHead] = []
        if not days:
            return heads
        lanes: dict[str, set[str]] = {}
        for item in self._query(self._counters, f"C#{customer}", f"D#{days[0]}#", f"D#{days[-1]}#~"):
            _, day, lane = item["sk"]["S"].split("#")
            lanes.setdefault(day, set()).add(lane)
        for day in days:
            found: list[tuple[str, str, SegmentHead]] = []
            for lane in sorted(lanes.get(day, ())):
                for item in self._query(self._usage, f"S#{customer}#{day}#{lane}", "", "~", "pk,sk,n,d,q"):
                    head = SegmentHead(
                        segment_key_of(item), item["d"]["S"], int(item["n"]["N"]), json.loads(item["q"]["S"])
                    )
                    found.append((item["sk"]["S"][:2], head.key, head))
            heads += [head for _, _, head in sorted(found, key=lambda entry: entry[:2])]
        return heads

    def read_segments(self, keys: Sequence[str]) -> Iterator[Segment]:
        """Whole segments in the order of `keys`. Raises InvariantBroken where one is gone."""
        for start in range(0, len(keys), 40):
            wanted = keys[start : start + 40]
            found = self._get_segments(wanted)
            for key in wanted:
                if key not in found:
                    raise InvariantBroken("segment", key, "a stored segment is never removed; restore the table")
                yield found[key]

    def _get_segments(self, keys: Sequence[str]) -> dict[str, Segment]:
        found: dict[str, Segment] = {}
        pending: list[dict[str, Any]] = [segment_item_key(key) for key in dict.fromkeys(keys)]
        while pending:
            request: Any = {self._usage: {"Keys": pending, "ConsistentRead": True}}
            answer = self._call(self._client.batch_get_item, RequestItems=request)
            for item in answer["Responses"].get(self._usage, []):
                found[segment_key_of(item)] = segment_of(item)
            unread = answer.get("UnprocessedKeys", {}).get(self._usage, {}).get("Keys", [])
            if len(unread) == len(pending):
                self._pause(0.1)
            pending = list(unread)
        return found

    def _query(self, table: str, pk: str, low: str, high: str, projection: str = "") -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {
            "TableName": table,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :low AND :high",
            "ExpressionAttributeValues": {":pk": {"S": pk}, ":low": {"S": low or " "}, ":high": {"S": high}},
            "ConsistentRead": True,
        }
        if projection:
            request["ProjectionExpression"] = projection
        while True:
            answer = self._call(self._client.query, **request)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return method(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise translate(error) from error
