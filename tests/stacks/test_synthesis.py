"""Synthesis: checks always on, acknowledgements per resource, no stage by accident."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import Stack
from aws_cdk import aws_s3 as s3

from stacks.settings import ROOT, UnknownStage
from stacks.synthesis import UnacknowledgedFindings, billproof_app, synthesize
from tests.stacks.template import Template


def test_an_unencrypted_connection_to_a_bucket_is_refused_by_name(tmp_path: Path) -> None:
    app = billproof_app(stage="local", out_dir=str(tmp_path))
    stack = app.node.find_child("Billproof-local")
    assert isinstance(stack, Stack)
    s3.Bucket(stack, "Careless", enforce_ssl=False)
    with pytest.raises(UnacknowledgedFindings) as refused:
        synthesize(app)
    lines = str(refused.value).splitlines()[1:]
    assert {line.split(": ")[0].strip() for line in lines} == {
        "AwsSolutions-S1 at Billproof-local/Careless/Resource",
        "AwsSolutions-S10 at Billproof-local/Careless/Resource",
    }


def test_the_command_says_what_is_wrong_and_fails(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=os.environ | {"STAGE": "nowhere", "CDK_OUTDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert "stage 'nowhere' has no settings in cdk.json; it knows dev, local, prod" in ran.stderr


def test_an_unknown_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownStage):
        billproof_app(stage="nowhere", out_dir=str(tmp_path))


def test_every_acknowledgement_is_on_one_resource_with_a_reason(template: Template) -> None:
    given = 0
    for name, resource in template.body["Resources"].items():
        for rule in resource.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", []):
            given += 1
            assert len(rule["reason"]) > 20, name
            assert rule["id"] != "AwsSolutions-IAM5", f"{name}: name the finding, not the rule"
    assert given
    assert "cdk_nag" not in template.body.get("Metadata", {})


def test_nothing_but_our_functions_runs_in_the_account(template: Template) -> None:
    custom = [
        name
        for name, resource in template.body["Resources"].items()
        if resource["Type"].startswith(("Custom::", "AWS::CloudFormation::CustomResource"))
    ]
    assert custom == []
    assert "Parameters" not in template.body
