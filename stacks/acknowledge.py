"""One place to say, for one resource, why a finding of cdk-nag is right to be there."""

from __future__ import annotations

from aws_cdk import Acknowledgment, CfnElement, Stack, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """`rule` names the finding exactly, for IAM5 with its action or resource in brackets."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def logical_id(construct: IConstruct) -> str:
    """The name of a construct's resource in the template, by which findings refer to it."""
    resource = construct.node.default_child
    if not isinstance(resource, CfnElement):
        raise TypeError(f"{construct.node.path} has no resource of its own in the template")
    return Stack.of(construct).get_logical_id(resource)
