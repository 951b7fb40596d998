"""Which periods are billed: what publishing a rate card asks the billing table."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from lambdas.billing.periods import account_period
from lambdas.store.billing_items import RUN_LIST, SEALED, run_key
from lambdas.store.items import from_item, to_item
from lambdas.store.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NEVER = "0001-01-01T00:00:00.000000Z"


class SealedPeriods:
    """Which periods are billed, from the runs in the billing table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._table = Table(client, table)

    def open_since(self, entities: Collection[str], anchor_day: int = 1) -> str:
        """The start of the oldest period that is not billed yet: the first instant after the latest period that a final
        run of one of these entities has sealed, or the start of an older one whose run is not sealed (its parked
        accounts wait for prices). NEVER without a sealed run.

        Periods are calendar months, or those of an anchor day: they end in the run's month, so such accounts have days
        that are not billed while others have. A fee in advance was billed for a period after that instant: it stays at
        the price that its invoice names."""
        sealed, waiting = [], []
        request = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": to_item({":pk": RUN_LIST})}
        for entry in self._table.query(request):
            run_id = entry["sk"]["S"]
            entity, name, mode = run_id.rsplit(".", 2)
            if entity in entities and mode == "final":
                period = account_period(name, anchor_day)
                run = from_item(self._table.get(run_key(run_id)) or {})
                if run.get("status") == SEALED:
                    sealed.append(period.end)
                else:
                    waiting.append(period.start)
        return min([max(sealed), *waiting]) if sealed else NEVER
