"""What functions may do, by the template's own policies: a call that AWS would refuse is refused here too.

Owns: which right each call of a function needs, and Allow and Deny statements with wildcards, of roles and of tables.
Does not own: what services do by roles of their own (state machine, streams, rules); calls from outside of functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from unittest.mock import patch

from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.signers import RequestSigner

from lambdas.handlers import runtime
from local.aws import ACCOUNT_ID, PARTITION, REGION
from local.errors import UnjudgedCall, UnjudgedPolicy
from local.s3_links import bucket_and_key
from local.stack import Stack

_STATEMENT = {"Sid", "Effect", "Action", "Resource", "Principal"}
_IN_TRANSACTION = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
_MISSING = ("NoSuchKey", "404")
_answering: ContextVar[bool] = ContextVar("answering", default=False)
"""Whether a call that was judged is being answered: what the pretended services do meanwhile is not the function's."""


class Need(NamedTuple):
    """One right that a call needs."""

    action: str
    resource: str


class _Statement(NamedTuple):
    allow: bool
    actions: re.Pattern[str]
    resources: re.Pattern[str]

    def covers(self, need: Need) -> bool:
        return self.actions.fullmatch(need.action) is not None and self.resources.fullmatch(need.resource) is not None


class Rights:
    """The rights of all functions of a stack. Raises UnjudgedPolicy for what cannot be judged, such as a condition."""

    def __init__(self, stack: Stack) -> None:
        of_role: dict[str, list[_Statement]] = {}
        for policy in stack.of_type("AWS::IAM::Policy"):
            statements = list(_read(policy.logical_id, policy.properties["PolicyDocument"]))
            for role in policy.properties["Roles"]:
                of_role.setdefault(role, []).extend(statements)
        self._role_of = {
            function.physical_id: function.properties["Role"].rpartition("/")[2]
            for function in stack.of_type("AWS::Lambda::Function")
        }
        self._of_role = of_role
        self._of_table = {
            _table(table.physical_id): _only_denials(table.logical_id, table.properties["ResourcePolicy"])
            for table in stack.of_type("AWS::DynamoDB::Table")
            if "ResourcePolicy" in table.properties
        }

    def knows(self, function: str) -> bool:
        return function in self._role_of

    def allow(self, function: str, need: Need) -> bool:
        """Whether a function's role allows it and neither the role nor the table denies it."""
        of_role = self._of_role.get(self._role_of[function], [])
        found = [statement for statement in of_role if statement.covers(need)]
        denied = [statement for statement in self._of_table.get(need.resource, []) if statement.covers(need)]
        return bool(found) and not denied and all(statement.allow for statement in found)

    def refusal(self, function: str, need: Need, operation: str) -> ClientError:
        """The error that AWS answers with."""
        s3 = need.action.startswith("s3:")
        role = self._role_of[function]
        text = (
            f"User: arn:{PARTITION}:sts::{ACCOUNT_ID}:assumed-role/{role}/{function} is not authorized to perform: "
            f"{need.action} on resource: {need.resource}"
        )
        answer: Any = {
            "Error": {"Code": "AccessDenied" if s3 else "AccessDeniedException", "Message": text},
            "ResponseMetadata": {"HTTPStatusCode": 403 if s3 else 400},
        }
        return ClientError(answer, operation)


@contextmanager
def enforced(rights: Rights) -> Iterator[None]:
    """Judge every call that a function makes while inside, and every link that it signs."""
    make_api_call = BaseClient._make_api_call  # type: ignore[attr-defined]
    presign = RequestSigner.generate_presigned_url

    def judge(function: str, needs: Iterable[Need], operation: str) -> None:
        for need in needs:
            if not rights.allow(function, need):
                raise rights.refusal(function, need, operation)

    def make_judged_call(client: BaseClient, operation: str, arguments: Mapping[str, Any]) -> Any:
        function = _running(rights)
        if function is None:
            return make_api_call(client, operation, arguments)
        service = client.meta.service_model.service_name
        judge(function, needs_of(service, operation, arguments), operation)
        before = _answering.set(True)
        try:
            return make_api_call(client, operation, arguments)
        except ClientError as error:
            if service == "s3" and error.response["Error"]["Code"] in _MISSING:
                # S3 does not tell what is missing to those who may not look
                judge(function, [Need("s3:ListBucket", _bucket(arguments["Bucket"]))], operation)
            raise
        finally:
            _answering.reset(before)

    def presign_judged(signer: RequestSigner, request_dict: dict[str, Any], operation_name: str, **options: Any) -> Any:
        function = _running(rights)
        if function is not None:
            bucket, key = bucket_and_key(request_dict["url"])
            judge(function, needs_of("s3", operation_name, {"Bucket": bucket, "Key": key}), operation_name)
        return presign(signer, request_dict, operation_name, **options)

    with (
        patch.object(BaseClient, "_make_api_call", make_judged_call),
        patch.object(RequestSigner, "generate_presigned_url", presign_judged),
    ):
        yield


def needs_of(service: str, operation: str, arguments: Mapping[str, Any]) -> list[Need]:
    """The rights that a call needs. Raises UnjudgedCall for a call that is not listed here."""
    match service, operation:
        case "dynamodb", "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "Query":
            index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
            return [Need(f"dynamodb:{operation}", _table(arguments["TableName"]) + index)]
        case "dynamodb", "BatchGetItem":
            return [Need("dynamodb:BatchGetItem", _table(name)) for name in arguments["RequestItems"]]
        case "dynamodb", "TransactWriteItems":
            kinds = {
                (kind, action["TableName"]) for item in arguments["TransactItems"] for kind, action in item.items()
            }
            return [Need(f"dynamodb:{_IN_TRANSACTION[kind]}", _table(table)) for kind, table in sorted(kinds)]
        case "s3", "GetObject" | "PutObject":
            return [Need(f"s3:{operation}", f"{_bucket(arguments['Bucket'])}/{arguments['Key']}")]
        case "events", "PutEvents":
            return [Need("events:PutEvents", _bus(entry["EventBusName"])) for entry in arguments["Entries"]]
        case "stepfunctions", "StartExecution":
            return [Need("states:StartExecution", arguments["stateMachineArn"])]
        case _:
            raise UnjudgedCall(f"{service} {operation}: name the rights that it needs in local/rights.py")


def _running(rights: Rights) -> str | None:
    """The function whose code is running; None outside of the functions of this deployment, and inside of a call."""
    if _answering.get():
        return None
    function = runtime.environment.get().get("AWS_LAMBDA_FUNCTION_NAME", "")
    return function if rights.knows(function) else None


def _read(name: str, document: Mapping[str, Any]) -> Iterator[_Statement]:
    for statement in _list(document["Statement"]):
        if unknown := set(statement) - _STATEMENT:
            raise UnjudgedPolicy(f"{name}: {', '.join(sorted(unknown))} of a statement is not judged here")
        yield _Statement(
            allow=statement["Effect"] == "Allow",
            actions=_pattern(_list(statement["Action"]), re.IGNORECASE),
            resources=_pattern(_list(statement["Resource"])),
        )


def _only_denials(name: str, policy: Mapping[str, Any]) -> list[_Statement]:
    statements = list(_read(name, policy["PolicyDocument"]))
    principals = [statement["Principal"] for statement in _list(policy["PolicyDocument"]["Statement"])]
    if any(statement.allow for statement in statements) or any(each not in ("*", {"AWS": "*"}) for each in principals):
        raise UnjudgedPolicy(f"{name}: of a table's policy only what is denied to everyone is judged here")
    return statements


def _pattern(texts: list[str], flags: int = 0) -> re.Pattern[str]:
    alternatives = (re.escape(text).replace(r"\*", ".*").replace(r"\?", ".") for text in texts)
    return re.compile("|".join(alternatives), flags | re.DOTALL)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _table(name: str) -> str:
    return f"arn:{PARTITION}:dynamodb:{REGION}:{ACCOUNT_ID}:table/{name}"


def _bucket(name: str) -> str:
    return f"arn:{PARTITION}:s3:::{name}"


def _bus(name: str) -> str:
    return f"arn:{PARTITION}:events:{REGION}:{ACCOUNT_ID}:event-bus/{name}"
