"""The code asset and the layer with its dependencies, built by pip for the Lambda platform, without Docker."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, IgnoreMode, ILocalBundling, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.settings import ROOT

RUNTIME = lambda_.Runtime.PYTHON_3_13
ARCHITECTURE = lambda_.Architecture.ARM_64
PYTHON_VERSION = "3.13"
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64")
"""Wheels which Amazon Linux 2023 (glibc 2.34) on arm64 can load."""


class NoPythonForLayer(Exception):
    """The layer's bytecode needs the Python version that Lambda runs, and it is not on this machine."""


def code_asset() -> lambda_.Code:
    """lambdas/**/*.py under the repository as import root: handler string = import path = path in the zip."""
    return lambda_.Code.from_asset(
        str(ROOT),
        exclude=["/*", "!/lambdas", "/lambdas/**", "!/lambdas/**/", "!/lambdas/**/*.py", "__pycache__"],
        ignore_mode=IgnoreMode.GIT,
    )


class DependencyLayer(lambda_.LayerVersion):
    """What lambdas/requirements.txt names, at the versions of constraints.txt; both make the asset's hash."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(
            scope,
            id,
            code=lambda_.Code.from_asset(
                str(ROOT),
                exclude=["/*", "!/constraints.txt", "!/lambdas", "/lambdas/*", "!/lambdas/requirements.txt"],
                ignore_mode=IgnoreMode.GIT,
                asset_hash_type=AssetHashType.SOURCE,
                bundling=_bundling() if Stack.of(scope).bundling_required else None,
            ),
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[ARCHITECTURE],
            description="Dependencies of lambdas/, with bytecode",
        )


def _bundling() -> BundlingOptions:
    return BundlingOptions(
        image=DockerImage.from_registry("billproof/never-docker"),
        command=[PYTHON_VERSION, *PLATFORMS],  # never run, but part of the asset's hash
        local=PipBundling(),
    )


@jsii.implements(ILocalBundling)
class PipBundling:
    """Runs in place of Docker; it always answers True or raises, so Docker is never tried."""

    def try_bundle(self, output_dir: str, *_options: object, **_named_options: object) -> bool:
        build_layer(Path(output_dir))
        return True


def build_layer(output: Path) -> None:
    """Fills `output`/python. Raises NoPythonForLayer, or CalledProcessError when pip finds no wheel."""
    python = _lambda_python()
    packages = output / "python"
    platforms = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--requirement", str(ROOT / "lambdas" / "requirements.txt")),
            *("--constraint", str(ROOT / "constraints.txt")),
            *("--target", str(packages)),
            *("--implementation", "cp", "--python-version", PYTHON_VERSION, *platforms),
            *("--only-binary", ":all:", "--no-compile"),
        ],
        check=True,
    )
    compile_packages(python, packages)


def compile_packages(python: str, packages: Path) -> None:
    """Bytecode that is not compared with the source's time: CDK sets all times in its zip to 1980."""
    subprocess.run(
        [python, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", str(packages)],
        check=True,
    )


def _lambda_python() -> str:
    version = f"python{PYTHON_VERSION}"
    for python in (sys.executable, shutil.which(version)):
        if python is not None and _version_of(python) == PYTHON_VERSION:
            return python
    raise NoPythonForLayer(
        f"no working {version} on PATH; the layer ships bytecode for the version that Lambda runs, so build it there"
    )


def _version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
