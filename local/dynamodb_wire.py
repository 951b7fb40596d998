"""DynamoDB's answers as JSON. moto's general serialiser takes some 100 us per attribute; items are JSON already."""

from __future__ import annotations

import base64
import json
from typing import Any

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionContext, ActionResult
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.utilities import dynamo_to_dict

_ITEM_CALLS = frozenset(
    {
        "GetItem",
        "BatchGetItem",
        "TransactGetItems",
        "Query",
        "Scan",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
    }
)


class WireResult(ActionResult):
    """Takes the place of moto's DynamoResult."""

    def execute_result(self, context: ActionContext) -> TYPE_RESPONSE:
        if context.operation_model.name not in _ITEM_CALLS:
            return ActionResult(dynamo_to_dict(self.result)).execute_result(context)
        body = json.dumps(self.result, default=_plain, ensure_ascii=False, separators=(",", ":"))
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, body


def _plain(value: Any) -> Any:
    if isinstance(value, DynamoType):
        return {value.type: value.value}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no place in an item")
