"""Synthesizes Billproof to cdk.out/ (or $CDK_OUTDIR) with every cdk-nag check; no CDK CLI is needed.

    STAGE=prod python app.py            the template, without building the dependency layer
    STAGE=prod python app.py --bundle   the same and the layer, ready to deploy

Exits with 1, naming rule and resource, when a check finds an error that is not acknowledged with a reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from stacks.synthesis import UnacknowledgedFindings, billproof_app, synthesize


def main(arguments: Sequence[str]) -> int:
    app = billproof_app(
        stage=os.environ.get("STAGE"),
        out_dir=os.environ.get("CDK_OUTDIR", "cdk.out"),
        bundle="--bundle" in arguments,
    )
    try:
        templates = synthesize(app)
    except UnacknowledgedFindings as findings:
        print(findings, file=sys.stderr)
        return 1
    for template in templates:
        print(template)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
