"""Builds the app and turns it into templates, with the cdk-nag checks always on."""

from __future__ import annotations

import json
from pathlib import Path

from aws_cdk import App, DefaultStackSynthesizer, Validations
from cdk_nag import AwsSolutionsChecks

from stacks.billing_stack import BillingStack
from stacks.settings import read_context, read_settings


class UnacknowledgedFindings(Exception):
    """A check found errors which no acknowledgement with a reason covers."""


def billproof_app(*, stage: str | None = None, out_dir: str, bundle: bool = False) -> App:
    """The app of one stage, not yet synthesized. Without `bundle` the dependency layer is not built."""
    context = read_context()
    stage = stage or context["stage"]
    if not bundle:
        context["aws:cdk:bundling-stacks"] = []
    app = App(outdir=out_dir, context=context, analytics_reporting=False, tree_metadata=False)
    BillingStack(
        app,
        f"Billproof-{stage}",
        settings=read_settings(stage, context),
        synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
    )
    Validations.of(app).add_plugins(AwsSolutionsChecks(app, write_suppressions_to_cloud_formation=True))
    return app


def synthesize(app: App) -> list[Path]:
    """Paths of the templates written. Raises UnacknowledgedFindings."""
    report = Path(app.outdir) / "validation-report.json"
    report.unlink(missing_ok=True)
    try:
        assembly = app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error) or not report.exists():
            raise
        raise UnacknowledgedFindings(_summary(report)) from error
    return [Path(stack.template_full_path) for stack in assembly.stacks]


def _summary(report: Path) -> str:
    lines = ["Synthesis refused, these findings have no acknowledgement:"]
    for plugin in json.loads(report.read_text(encoding="utf-8"))["pluginReports"]:
        for violation in plugin["violations"]:
            for construct in violation["violatingConstructs"]:
                lines.append(f"  {violation['ruleName']} at {construct['constructPath']}: {violation['description']}")
    return "\n".join(lines)
