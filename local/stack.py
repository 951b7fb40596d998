"""Creates the template's stack in moto, and answers what every resource became.

Owns: names of resources that moto cannot create, the template that moto gets, resolved properties and outputs.
Does not own: applying what moto drops (`local.apply`), running anything.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from moto.cloudformation.models import cloudformation_backends
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local import coverage
from local.aws import ACCOUNT_ID, PARTITION, REGION, client
from local.coverage import By
from local.errors import StackFailed, UnresolvedReference
from local.intrinsics import Resolver, parameter_values

ASSETS_BUCKET = "local-assets"
ASSET_KEY = "empty.zip"
_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9]+(?:\.\w+)?)\}")
STORED_PARAMETERS = {"/cdk-bootstrap/hnb659fds/version": "30"}
"""What `cdk bootstrap` leaves in an account and templates read."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the template that exists: its id in the account and its resolved properties."""

    logical_id: str
    type: str
    physical_id: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stack:
    """A created stack."""

    name: str
    resources: Mapping[str, Resource]
    outputs: Mapping[str, Any]

    def of_type(self, resource_type: str) -> list[Resource]:
        return [r for r in self.resources.values() if r.type == resource_type]


def create(template: Mapping[str, Any], name: str) -> Stack:
    """Create the stack in moto. Raises UnresolvedReference or StackFailed, naming what is wrong."""
    _store_bootstrap()
    parameters = parameter_values(template, STORED_PARAMETERS)
    stack_id = f"arn:{PARTITION}:cloudformation:{REGION}:{ACCOUNT_ID}:stack/{name}/local"
    pseudo = {"AWS::StackName": name, "AWS::StackId": stack_id}
    local_ids = {
        logical_id: _local_id(logical_id, resource, name)
        for logical_id, resource in template["Resources"].items()
        if coverage.table()[resource["Type"]].created_by is not By.MOTO
    }
    for_moto = _moto_template(template, local_ids)
    created = _create_in_moto(for_moto, name)
    types = {logical_id: resource["Type"] for logical_id, resource in template["Resources"].items()}

    def reference(logical_id: str) -> Any:
        if logical_id in local_ids:
            return local_ids[logical_id]
        if logical_id not in created:
            raise UnresolvedReference(f"Ref {logical_id}: there is no such parameter or resource")
        resource = created[logical_id]
        return getattr(resource, "physical_resource_id", None) or getattr(resource, "arn", logical_id)

    def attribute(logical_id: str, attribute_name: str) -> Any:
        if logical_id in local_ids:
            return _local_attribute(types[logical_id], local_ids[logical_id], attribute_name)
        if logical_id not in created:
            raise UnresolvedReference(f"Fn::GetAtt {logical_id}.{attribute_name}: there is no such resource")
        return _moto_attribute(created[logical_id], logical_id, attribute_name)

    resolve = Resolver(template, parameters, reference, attribute, pseudo)
    resources = {}
    for logical_id, resource in template["Resources"].items():
        if "Condition" in resource and not resolve.condition(resource["Condition"]):
            continue
        resources[logical_id] = Resource(
            logical_id, resource["Type"], reference(logical_id), resolve(resource.get("Properties", {}))
        )
    outputs = {key: resolve(output["Value"]) for key, output in template.get("Outputs", {}).items()}
    return Stack(name, resources, outputs)


def _store_bootstrap() -> None:
    ssm, s3 = client("ssm"), client("s3")
    for name, value in STORED_PARAMETERS.items():
        ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
    if ASSETS_BUCKET not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=ASSETS_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("README", "handlers are imported from the checkout")
    s3.put_object(Bucket=ASSETS_BUCKET, Key=ASSET_KEY, Body=empty.getvalue())


def _moto_template(template: Mapping[str, Any], local_ids: Mapping[str, str]) -> dict[str, Any]:
    """The template without what moto cannot create; references to that become plain values."""
    types = {logical_id: resource["Type"] for logical_id, resource in template["Resources"].items()}

    def substitute(match: re.Match[str]) -> str:
        logical_id, _, name = match[1].partition(".")
        if logical_id not in local_ids:
            return match[0]
        return _local_attribute(types[logical_id], local_ids[logical_id], name) if name else local_ids[logical_id]

    def replace(value: Any) -> Any:
        if isinstance(value, list):
            return [replace(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Ref"} and value["Ref"] in local_ids:
            return local_ids[value["Ref"]]
        if set(value) == {"Fn::GetAtt"} and value["Fn::GetAtt"][0] in local_ids:
            logical_id, name = value["Fn::GetAtt"]
            return _local_attribute(types[logical_id], local_ids[logical_id], name)
        if set(value) == {"Fn::Sub"}:
            text, *variables = [value["Fn::Sub"]] if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"]
            text = _SUBSTITUTION.sub(substitute, text)
            return {"Fn::Sub": [text, *replace(variables)] if variables else text}
        return {key: replace(member) for key, member in value.items()}

    resources = {
        logical_id: _without(replace(resource), local_ids)
        for logical_id, resource in template["Resources"].items()
        if logical_id not in local_ids
    }
    for resource in resources.values():
        change = _CHANGES_FOR_MOTO.get(resource["Type"])
        if change is not None:
            change(resource["Properties"])
    kept = ("Parameters", "Mappings", "Conditions")
    return {**{key: template[key] for key in kept if key in template}, "Resources": resources}


def _without(resource: dict[str, Any], local_ids: Mapping[str, str]) -> dict[str, Any]:
    """A resource that no longer depends on what moto does not get, without its CDK metadata."""
    depends = resource.get("DependsOn", [])
    depends = [depends] if isinstance(depends, str) else depends
    kept = {key: value for key, value in resource.items() if key not in ("DependsOn", "Metadata")}
    remaining = [logical_id for logical_id in depends if logical_id not in local_ids]
    return {**kept, "Properties": kept.get("Properties", {}), **({"DependsOn": remaining} if remaining else {})}


def _function_for_moto(properties: dict[str, Any]) -> None:
    properties["Code"] = {"S3Bucket": ASSETS_BUCKET, "S3Key": ASSET_KEY}
    properties.pop("Layers", None)


def _layer_for_moto(properties: dict[str, Any]) -> None:
    properties["Content"] = {"S3Bucket": ASSETS_BUCKET, "S3Key": ASSET_KEY}


def _table_for_moto(properties: dict[str, Any]) -> None:
    properties.pop("SSESpecification", None)  # moto reads the API's member names, not the template's


def _key_for_moto(properties: dict[str, Any]) -> None:
    properties["KeyPolicy"] = {"Fn::ToJsonString": properties["KeyPolicy"]}  # its KMS reads policies as text only


_CHANGES_FOR_MOTO: dict[str, Callable[[dict[str, Any]], None]] = {
    "AWS::Lambda::Function": _function_for_moto,
    "AWS::Lambda::LayerVersion": _layer_for_moto,
    "AWS::DynamoDB::Table": _table_for_moto,
    "AWS::KMS::Key": _key_for_moto,
}


def _create_in_moto(template: dict[str, Any], name: str) -> dict[str, Any]:
    cloudformation = client("cloudformation")
    # the template's state machines belong to the backend that executes them; moto would give them to the other
    executing = patch("moto.stepfunctions.models.stepfunctions_backends", stepfunctions_parser_backends)
    try:
        with warnings.catch_warnings(), executing:
            warnings.simplefilter("error")  # moto warns where it leaves something out
            warnings.simplefilter("ignore", DeprecationWarning)
            stack_id = cloudformation.create_stack(
                StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]
            )["StackId"]
    except Exception as error:
        raise StackFailed(f"moto could not create the stack {name}: {type(error).__name__}: {error}") from error
    stack = cloudformation_backends[ACCOUNT_ID][REGION].stacks[stack_id]
    if stack.status != "CREATE_COMPLETE":
        raise StackFailed(f"moto left the stack {name} as {stack.status}")
    resource_map = stack.resource_map
    return {logical_id: resource_map[logical_id] for logical_id in template["Resources"] if resource_map[logical_id]}


def _local_id(logical_id: str, resource: Mapping[str, Any], stack: str) -> str:
    digest = hashlib.sha256(f"{stack}/{logical_id}".encode()).hexdigest()
    match resource["Type"]:
        case "AWS::ApiGatewayV2::Stage":
            return str(resource["Properties"]["StageName"])
        case "AWS::CloudWatch::Alarm":
            name = resource["Properties"].get("AlarmName")
            return name if isinstance(name, str) else f"{stack}-{logical_id}-{digest[:12].upper()}"
        case _:
            return digest[:10]


def _local_attribute(resource_type: str, local_id: str, name: str) -> str:
    match resource_type, name:
        case "AWS::ApiGatewayV2::Api", "ApiEndpoint":
            return f"https://{local_id}.execute-api.{REGION}.amazonaws.com"
        case ("AWS::ApiGatewayV2::Api", "ApiId") | ("AWS::ApiGatewayV2::Authorizer", "AuthorizerId"):
            return local_id
        case "AWS::CloudWatch::Alarm", "Arn":
            return f"arn:{PARTITION}:cloudwatch:{REGION}:{ACCOUNT_ID}:alarm:{local_id}"
        case _:
            raise UnresolvedReference(f"{resource_type} has no attribute {name} here; add it in local/stack.py")


def _moto_attribute(resource: Any, logical_id: str, name: str) -> Any:
    extra = {"TopicArn": "arn", "Arn": "arn"}.get(name)
    try:
        return resource.get_cfn_attribute(name)
    except Exception as error:
        if extra is not None and hasattr(resource, extra):
            return getattr(resource, extra)
        raise UnresolvedReference(f"moto has no attribute {name} of {logical_id}") from error
