"""Items of the catalogue table: their PynamoDB model, and documents, versions, keys and pages made of them."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from pynamodb.attributes import UnicodeAttribute
from pynamodb.models import Model

from lambdas.billing.documents import Contract
from lambdas.billing.rate_cards import RateCardVersion

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_VERSION = 999_999


class StoredDocument(NamedTuple):
    """A document as it was given, the SHA-256 of its canonical form, and when it was stored. `lint` is what the lint
    found then, of a plan or a contract."""

    document: dict[str, Any]
    hash: str
    created_at: str
    lint: dict[str, Any] | None = None


class PublishedVersion(NamedTuple):
    """A published rate card version: the document as given and as read."""

    document: dict[str, Any]
    version: RateCardVersion
    hash: str
    published_at: str


class ContractVersion(NamedTuple):
    """A contract version: the document as given and as read."""

    document: dict[str, Any]
    contract: Contract
    hash: str
    created_at: str


class Saved(NamedTuple):
    """What is stored after a create call; `created` is False where it was there already."""

    stored: StoredDocument
    created: bool


class ApiKey(NamedTuple):
    """What is kept of a key. The secret itself is nowhere; `secret_hash` is its SHA-256, hex."""

    key_id: str
    name: str
    customer: str
    scopes: tuple[str, ...]
    secret_hash: str
    created_at: str
    revoked_at: str | None


class Part(NamedTuple):
    """The part of a list that is asked for: at most `limit` items after `cursor`, from the start where it is None."""

    cursor: str | None
    limit: int


class Page(NamedTuple):
    """Part of a list in key order; `cursor` asks for the next part and is None on the last."""

    items: list[Any]
    cursor: str | None


class CatalogueItem(Model):
    """Every item of the table; which attributes it has is a matter of its kind."""

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    body = UnicodeAttribute(null=True)
    content_hash = UnicodeAttribute(attr_name="hash", null=True)
    lint = UnicodeAttribute(null=True)
    created_at = UnicodeAttribute(null=True)
    published_at = UnicodeAttribute(null=True)
    name = UnicodeAttribute(null=True)
    customer = UnicodeAttribute(null=True)
    scopes = UnicodeAttribute(null=True)
    secret_hash = UnicodeAttribute(null=True)
    revoked_at = UnicodeAttribute(null=True)


@functools.lru_cache(maxsize=8)
def items_of(client: DynamoDBClient, table: str) -> type[CatalogueItem]:
    """The model of one table on our own client, instead of a client that PynamoDB makes for each model."""
    meta = type("Meta", (), {"table_name": table, "region": client.meta.region_name})
    model: type[CatalogueItem] = type("_TableItem", (CatalogueItem,), {"Meta": meta})
    model._get_connection().connection._client = client  # type: ignore[assignment]
    return model


def version_key(kind: str, version: int) -> str:
    return f"{kind}#{version:06d}"


def document_of(item: CatalogueItem) -> StoredDocument:
    lint = None if item.lint is None else json.loads(item.lint)
    return StoredDocument(json.loads(item.body), item.content_hash, item.created_at, lint)


def key_of(item: CatalogueItem) -> ApiKey:
    return ApiKey(
        key_id=item.pk.removeprefix("KEY#"),
        name=item.name,
        customer=item.customer,
        scopes=tuple(item.scopes.split()),
        secret_hash=item.secret_hash,
        created_at=item.created_at,
        revoked_at=item.revoked_at,
    )
