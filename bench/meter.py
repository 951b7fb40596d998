"""Counts the request units of every call that a DynamoDB client makes, from the items in the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.item_size import STORED_OVERHEAD_BYTES, item_size, read_units, write_units

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = Mapping[str, Any]


class NotCounted(Exception):
    """A call whose units this meter does not know how to count."""


class Written(NamedTuple):
    """One item after a transactional write, its size for capacity (the larger of before and after), and its units."""

    item: Item
    size: int
    units: int

    @property
    def kind(self) -> str:
        """The first letter of the partition key: E claims, S segments, C counters."""
        return str(self.item["pk"]["S"][0])


class Meter:
    """What the calls of a client have used since the meter was made. Transactions are counted as transactions."""

    def __init__(self, peeking: DynamoDBClient) -> None:
        self._peeking = peeking
        self.calls: Counter[str] = Counter()
        self.written: list[Written] = []
        self.read_units = Fraction(0)

    @property
    def write_units(self) -> int:
        return sum(written.units for written in self.written)

    def units_of(self, kind: str) -> int:
        return sum(written.units for written in self.written if written.kind == kind)

    def stored_bytes(self, *kinds: str) -> int:
        """Bytes that these kinds of items take in storage."""
        return sum(item_size(w.item) + STORED_OVERHEAD_BYTES for w in self.written if w.kind in kinds)

    def before(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context["metered"] = params
        if model.name == "TransactWriteItems":
            context["sizes"] = [item_size(self._before(action)) for action in params["TransactItems"]]

    def after(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        params = context["metered"]
        if "Error" in parsed:
            raise NotCounted(f"{model.name}: {parsed['Error']}")
        self.calls[model.name] += 1
        match model.name:
            case "TransactWriteItems":
                for action, size in zip(params["TransactItems"], context["sizes"], strict=True):
                    item = action["Put"]["Item"] if "Put" in action else self._find(*_place(action))
                    larger = max(size, item_size(item))
                    self.written.append(Written(item, larger, write_units(larger, transactional=True)))
            case "GetItem":
                self.read_units += read_units(item_size(parsed.get("Item", {})), strong=_strong(params))
            case "Query":
                items = self._whole(params) if "ProjectionExpression" in params else parsed["Items"]
                self.read_units += read_units(sum(map(item_size, items)), strong=_strong(params))
            case "BatchGetItem":
                for table, request in params["RequestItems"].items():
                    found = parsed["Responses"].get(table, [])
                    sizes = [*map(item_size, found), *[0] * (len(request["Keys"]) - len(found))]
                    self.read_units += sum(read_units(size, strong=_strong(request)) for size in sizes)
            case _:
                raise NotCounted(model.name)

    def _find(self, table: str, key: dict[str, Any]) -> Item:
        return self._peeking.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})

    def _before(self, action: Mapping[str, Any]) -> Item:
        """The item that an action changes; none where it is on the condition that there is none."""
        if action.get("Put", {}).get("ConditionExpression") == "attribute_not_exists(pk)":
            return {}
        return self._find(*_place(action))

    def _whole(self, params: Mapping[str, Any]) -> list[Item]:
        """The items of a query as they are, whatever it projects: whole items are what counts."""
        answer = self._peeking.query(
            **{name: value for name, value in params.items() if name != "ProjectionExpression"}
        )
        if "LastEvaluatedKey" in answer:
            raise NotCounted("a query of more than one page")
        return [dict(item) for item in answer["Items"]]


@contextmanager
def metered(client: DynamoDBClient, peeking: DynamoDBClient) -> Iterator[Meter]:
    """Meters `client`; looks at the tables through `peeking`, another client."""
    meter, events = Meter(peeking), client.meta.events
    events.register("provide-client-params.dynamodb", meter.before)
    events.register("after-call.dynamodb", meter.after)
    try:
        yield meter
    finally:
        events.unregister("provide-client-params.dynamodb", meter.before)
        events.unregister("after-call.dynamodb", meter.after)


def _place(action: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Table and key of a put or an update."""
    ((kind, request),) = action.items()
    if kind == "Put":
        return request["TableName"], {name: request["Item"][name] for name in ("pk", "sk")}
    if kind == "Update":
        return request["TableName"], request["Key"]
    raise NotCounted(kind)


def _strong(request: Mapping[str, Any]) -> bool:
    return bool(request.get("ConsistentRead", False))
