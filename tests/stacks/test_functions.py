"""Every function: logs that end, traces, a place for what fails, and a package with nothing else in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from stacks.layer import compile_packages
from stacks.settings import ROOT
from tests.stacks.template import Template


def asset_folder(template: Template, s3_key: str) -> Path:
    assets = json.loads(template.path.with_name("Billproof-local.assets.json").read_text(encoding="utf-8"))
    source = assets["files"][s3_key.removesuffix(".zip")]["source"]
    return template.path.parent / str(source["path"])


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_function_logs_to_its_own_group_for_a_limited_time(template: Template) -> None:
    groups = template.of_type("AWS::Logs::LogGroup")
    used = [function["LoggingConfig"]["LogGroup"]["Ref"] for function in template.functions().values()]
    assert len(set(used)) == len(used) == 18
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == 1


def test_every_function_is_traced_and_runs_python_on_arm(template: Template) -> None:
    for function in template.functions().values():
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]
        assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == "billproof"
        assert function["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == "Billproof"


def test_what_is_called_asynchronously_has_a_dead_letter_queue(template: Template) -> None:
    queues = template.of_type("AWS::SQS::Queue")
    called_by_rules = {
        target["Arn"]["Fn::GetAtt"][0]
        for rule in template.properties("AWS::Events::Rule")
        for target in rule["Targets"]
        if "Fn::GetAtt" in target["Arn"]
    }
    assert called_by_rules
    for name in called_by_rules:
        function = template.of_type("AWS::Lambda::Function")[name]["Properties"]
        assert function["DeadLetterConfig"]["TargetArn"]["Fn::GetAtt"][0] in queues
    for rule in template.properties("AWS::Events::Rule"):
        for target in rule["Targets"]:
            assert target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0] in queues
    stream = template.only("AWS::Lambda::EventSourceMapping")["Properties"]
    assert stream["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0] in queues
    assert stream["BisectBatchOnFunctionError"] is True
    assert stream["StartingPosition"] == "TRIM_HORIZON"


def test_rating_and_bundling_get_the_room_they_need(template: Template) -> None:
    functions = template.functions()
    assert (functions["rate_shard"]["MemorySize"], functions["rate_shard"]["Timeout"]) == (2048, 15 * 60)
    assert functions["build_bundle"]["MemorySize"] == 2048
    assert functions["build_bundle"]["EphemeralStorage"] == {"Size": 4096}


def test_the_code_is_all_python_of_lambdas_and_nothing_else(template: Template) -> None:
    keys = {function["Code"]["S3Key"] for function in template.functions().values()}
    [key] = keys
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "lambdas").rglob("*.py")}
    assert files_below(asset_folder(template, key)) == expected


def test_the_layer_depends_on_the_requirements_and_constraints_only(template: Template) -> None:
    key = template.only("AWS::Lambda::LayerVersion")["Properties"]["Content"]["S3Key"]
    assert files_below(asset_folder(template, key)) == {"constraints.txt", "lambdas/requirements.txt"}


def test_bytecode_of_the_layer_is_used_although_the_zip_changes_all_times(tmp_path: Path) -> None:
    source = tmp_path / "answer.py"
    source.write_text("VALUE = 41\n", encoding="utf-8")
    compile_packages(sys.executable, tmp_path)
    source.write_text("VALUE = 42  # another size and time than the bytecode knows\n", encoding="utf-8")
    code = "import answer; print(answer.VALUE)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "41\n"
