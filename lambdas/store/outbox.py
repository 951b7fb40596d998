"""The outbox: each alert recorded once by a conditional write, delivered at least once with the same id (D5).

Item: pk `ALERT#{alert_id}`, sk `ALERT`, body (canonical JSON), recorded_at, delivered_at once it was delivered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.billing.canonical import canonical_json
from lambdas.billing.errors import InvariantBroken
from lambdas.store.errors import TransientError, translate

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient

SOURCE = "billproof"


class Alert(NamedTuple):
    """A recorded crossing: `kind` is EventBridge's detail-type, `detail` the documented body without the alert id."""

    id: str
    kind: str
    detail: Mapping[str, Any]


class Outbox:
    """Records alerts and hands them to the bus."""

    def __init__(self, client: DynamoDBClient, table: str, bus: EventBridgeClient, bus_name: str) -> None:
        self._client = client
        self._table = table
        self._bus = bus
        self._bus_name = bus_name

    def record(self, alert: Alert, now: str) -> bool:
        """Record an alert once. True when this call recorded it or it still waits for delivery."""
        item = {
            **self._key(alert.id),
            "kind": {"S": alert.kind},
            "body": {"S": canonical_json({"alert_id": alert.id, **alert.detail})},
            "recorded_at": {"S": now},
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise translate(error) from error
            answer: Mapping[str, Any] = error.response
            return "delivered_at" not in answer.get("Item", {})
        except BotoCoreError as error:
            raise translate(error) from error
        return True

    def deliver(self, alert_id: str, now: str) -> None:
        """Put the recorded alert on the bus as it was recorded, then mark it. A death in between repeats it."""
        try:
            item = self._client.get_item(TableName=self._table, Key=self._key(alert_id), ConsistentRead=True).get(
                "Item"
            )
            if item is None:
                raise InvariantBroken("alert", alert_id, "an alert is recorded before it is delivered")
            answer = self._bus.put_events(
                Entries=[
                    {
                        "Source": SOURCE,
                        "DetailType": item["kind"]["S"],
                        "Detail": item["body"]["S"],
                        "EventBusName": self._bus_name,
                    }
                ]
            )
            if answer.get("FailedEntryCount"):
                raise TransientError(f"the bus did not take alert {alert_id}")
            self._client.update_item(
                TableName=self._table,
                Key=self._key(alert_id),
                UpdateExpression="SET delivered_at = if_not_exists(delivered_at, :now)",
                ExpressionAttributeValues={":now": {"S": now}},
            )
        except (ClientError, BotoCoreError) as error:
            raise translate(error) from error

    @staticmethod
    def _key(alert_id: str) -> dict[str, Any]:
        return {"pk": {"S": f"ALERT#{alert_id}"}, "sk": {"S": "ALERT"}}
