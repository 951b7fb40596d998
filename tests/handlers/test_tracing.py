"""Every call of a handler is one subsegment, as X-Ray's recorder sends it; nothing of the event is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json
from aws_xray_sdk.core import xray_recorder

class Emitter:
    def send_entity(self, entity):
        print("sent " + entity.serialize())

xray_recorder._emitter = Emitter()
from lambdas.handlers import entry

def work(event):
    if "fail" in event:
        raise ValueError("failed")
    return {"answer": "private"}

work.__module__ = "lambdas.handlers.work"
entry.task_entry(work)({"payload": "private"}, None)
try:
    entry.task_entry(work)({"fail": "private"}, None)
except ValueError:
    pass
"""


def test_a_call_in_lambda_sends_a_subsegment_named_by_the_handlers_file() -> None:
    in_lambda = {
        "LAMBDA_TASK_ROOT": str(ROOT),
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POWERTOOLS_")} | in_lambda
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    texts = [line.removeprefix("sent ") for line in done.stdout.splitlines() if line.startswith("sent ")]
    worked, failed = (json.loads(text) for text in texts)
    assert worked["name"] == failed["name"] == "## work"
    assert worked["parent_id"] == "53995c3f42cd8ad8"
    assert not worked.keys() & {"metadata", "annotations", "fault"}
    assert failed["fault"] is True
    assert not any("private" in text for text in texts)
