"""The pretended account: its names, its credentials, clients for it, and the wall around it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NoReturn
from unittest.mock import patch

import boto3
import moto.core.models  # noqa: F401  botocore only calls moto in sessions made after this import
from botocore.config import Config
from botocore.httpsession import URLLib3Session

from local.errors import RealAwsRefused

ACCOUNT_ID = "123456789012"
REGION = "eu-central-1"
PARTITION = "aws"
URL_SUFFIX = "amazonaws.com"
ACCESS_KEY_ID = "LOCALONLYACCESSKEY00"
SECRET_ACCESS_KEY = "local-only-secret-never-valid-in-aws"

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    # moto does not know the account's own endpoints (a streams client would reach none)
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
}


@cache
def client(service: str) -> Any:
    """The boto3 client for a service of the pretended account. Only for use while the wall is up."""
    session = boto3.Session(
        aws_access_key_id=ACCESS_KEY_ID, aws_secret_access_key=SECRET_ACCESS_KEY, region_name=REGION
    )
    config = Config(account_id_endpoint_mode="disabled", signature_version="s3v4" if service == "s3" else None)
    with _making_clients:
        return session.client(service, config=config)


_making_clients = threading.Lock()


def function_arn(name: str) -> str:
    return f"arn:{PARTITION}:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"


def _refuse(_session: URLLib3Session, request: Any) -> NoReturn:
    raise RealAwsRefused(
        f"{request.method} {request.url.partition('?')[0]} would have left this machine; no service here answers it. "
        f"Was the client made before moto was imported?"
    )


@contextmanager
def walled() -> Iterator[None]:
    """Fake credentials in the environment, no profile, and no way out for botocore. All put back at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    with (
        patch.dict(os.environ, {**kept, **_ENVIRONMENT}, clear=True),
        patch.object(URLLib3Session, "send", _refuse),
        patch("boto3.DEFAULT_SESSION", None),
    ):
        try:
            yield
        finally:
            client.cache_clear()
