"""The catalogue table: entities, customers, keys, plans, rate cards and contracts.

Documents are written once. There is no way to change or delete one: every write is a put on the condition that the
key is free, and the only update in this file sets the time a key was revoked. A second write with the same content
answers what is stored; with other content it raises ContentConflict (D12).
All reads are strongly consistent: rules about the next version and about prices in force decide on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException, TransactWriteError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.transactions import TransactWrite

from lambdas.billing.canonical import canonical_json, content_hash
from lambdas.billing.contracts import check_contract
from lambdas.billing.documents import Contract, read_contract, read_customer, read_entity
from lambdas.billing.errors import DocumentRefused
from lambdas.billing.lint import Lint, lint_agreement, lint_plan
from lambdas.billing.money import format_amount
from lambdas.billing.plans import Plan, read_plan
from lambdas.billing.rate_cards import RateCardVersion, read_rate_card_version
from lambdas.billing.rates import check_publication
from lambdas.billing.usage import CUSTOMER_ID as _ID
from lambdas.store.catalogue_items import (
    MAX_VERSION,
    ApiKey,
    CatalogueItem,
    ContractVersion,
    Page,
    Part,
    PublishedVersion,
    Saved,
    StoredDocument,
    document_of,
    items_of,
    key_of,
    version_key,
)
from lambdas.store.errors import ContentConflict, NotFound, TransientError, translate
from lambdas.store.sealed_periods import NEVER, SealedPeriods

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_DOCUMENT_BYTES = 350_000
"""A DynamoDB item may have 400 KB; the rest is room for keys and times."""
MAX_PAGE_BYTES = 3_000_000
"""A page of documents ends here: a Lambda answer may have 6 MB, and JSON inside JSON grows."""
MAX_PAGE = 100
MAX_UNPRICED = 100
"""Classes without a price that a lint lists; a card of a thousand models can leave many thousands."""
_CURSOR_REMEDY = "give the cursor of the page before, as it was answered"

_Name = tuple[str, str]
"""What a document is and what it is called, for messages: ("plan", "pure@1")."""
_Key = tuple[str, str]
"""pk and sk"""


class Catalogue:
    """Repository of the catalogue table. `now` is always a canonical time."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._items = items_of(client, table)

    # entities and customers

    def create_entity(self, document: Any, *, now: str) -> Saved:
        """Store an issuing entity. Its invoice prefix is its own for ever: two series must not meet."""
        entity = read_entity(document)
        prefix_key = (f"PREFIX#{entity['invoice_prefix']}", "PREFIX")
        holder = self._find(*prefix_key)
        if holder is not None and holder.name != entity["id"]:
            remedy = f"entity {holder.name} numbers its invoices with it; choose another"
            raise DocumentRefused("invoice_prefix", entity["invoice_prefix"], remedy)
        return self._create(
            ("entity", entity["id"]),
            (f"ENTITY#{entity['id']}", "ENTITY"),
            document,
            now=now,
            free=[self._items(*prefix_key, name=entity["id"], created_at=now)],
            entries=[("LIST#ENTITY", entity["id"])],
        )

    def create_customer(self, document: Any, *, now: str) -> Saved:
        customer = read_customer(document)["id"]
        return self._create(
            ("customer", customer),
            (f"CUSTOMER#{customer}", "CUSTOMER"),
            document,
            now=now,
            entries=[("LIST#CUSTOMER", customer)],
        )

    def entity(self, entity: str) -> StoredDocument:
        """Raises NotFound."""
        return self._document("entity", entity, "ENTITY#{}", "ENTITY")

    def customer(self, customer: str) -> StoredDocument:
        """Raises NotFound."""
        return self._document("customer", customer, "CUSTOMER#{}", "CUSTOMER")

    def entities(self) -> list[str]:
        """The ids of all issuing entities, sorted."""
        return self._listed("LIST#ENTITY")

    def accounts(self, entity: str) -> list[str]:
        """The ids of all customers with a contract with this entity, sorted."""
        return self._listed(f"ACCOUNTS#{entity}")

    def entities_page(self, part: Part) -> Page:
        items, cursor = self._listed_page("ENTITY", part)
        return Page([document_of(item) for item in items], cursor)

    def customers_page(self, part: Part) -> Page:
        items, cursor = self._listed_page("CUSTOMER", part)
        return Page([document_of(item) for item in items], cursor)

    # plans, rate cards, contracts

    def publish_plan(self, document: Any, *, now: str) -> Saved:
        """Store plan version n + 1. Raises DocumentRefused for another number, ContentConflict for a published one."""
        plan = read_plan(document)
        name, pk = ("plan", f"{plan.id}@{plan.version}"), f"PLAN#{plan.id}"
        stored = self._find(pk, version_key("V", plan.version))
        if stored is not None:
            return _repeated(name, document_of(stored), document)
        if plan.version > 1 and self._find(pk, version_key("V", plan.version - 1)) is None:
            raise DocumentRefused("version", plan.version, f"version {plan.version - 1} of this plan does not exist")
        lint = {"notes": lint_plan(plan)}
        return self._create_version(name, pk, "V", plan.version, document, now=now, lint=lint)

    def publish_rate_card(self, card: str, document: Any, *, now: str, periods: SealedPeriods) -> Saved:
        """Store version n + 1 of a card, published `now`. Raises what `rates.check_publication` refuses, or
        ContentConflict for a published version."""
        new = read_rate_card_version(card, document)
        name = ("rate card", f"{card}@{new.version}")
        published = self.rate_card(card)
        if new.version <= len(published):
            same = published[new.version - 1]
            return _repeated(name, StoredDocument(same.document, same.hash, same.published_at), document)
        earlier = [item.version for item in published]
        users = self._listed(f"CARDUSERS#{card}")
        since = periods.open_since(users) if earlier else NEVER
        anchored = [periods.open_since(users, int(day)) for day in self._listed(f"CARDANCHORS#{card}")]
        check_publication(new, earlier, now=now, open_since=since, first_since=min([since, *anchored]))
        return self._create_version(name, f"CARD#{card}", "V", new.version, document, now=now, published_at=now)

    def agree_contract(self, document: Any, *, now: str) -> Saved:
        """Store contract version n + 1 of a customer, with what the lint finds of it, its plan and its prices. All that
        it names must exist. Raises what `check_contract` and `lint_agreement` refuse, or ContentConflict."""
        new = read_contract(document)
        name, pk = ("contract", f"{new.customer}@{new.version}"), f"CUSTOMER#{new.customer}"
        agreed = [item.contract for item in self.contracts(new.customer)]
        if new.version <= len(agreed):
            key = version_key("CONTRACT", new.version)
            return _repeated(name, self._document("contract", new.customer, "CUSTOMER#{}", key, new.version), document)
        plan = self._plan_of(new)
        cards = self._cards_of(new)
        before = [self._plan_of(contract) for contract in agreed]
        check_contract(new, agreed, plan=plan, plans_before=before, now=now)
        pricing = (new.rate_card, new.override_card, new.fx_card)
        priced = [version for card in pricing if card is not None for version in cards[card]]
        lint = lint_agreement(plan, new, priced, cards.get(new.cost_card or "", ()))
        entries = [(f"CARDUSERS#{card}", new.entity) for card in new.cards]
        entries += [(f"CARDANCHORS#{card}", f"{new.anchor_day:02d}") for card in new.cards if new.anchor_day > 1]
        entries += [(f"ACCOUNTS#{new.entity}", new.customer)] if new.version == 1 else []
        return self._create_version(
            name, pk, "CONTRACT", new.version, document, now=now, entries=entries, lint=_shown_lint(lint)
        )

    def plan(self, plan: str, version: int) -> StoredDocument:
        """Raises NotFound."""
        return self._document("plan", plan, "PLAN#{}", version_key("V", version), version)

    def rate_card_version(self, card: str, version: int) -> StoredDocument:
        """Raises NotFound. `created_at` is the time of publication."""
        return self._document("rate card", card, "CARD#{}", version_key("V", version), version)

    def rate_card(self, card: str) -> list[PublishedVersion]:
        """All versions of a card, first to last; empty where there is no such card."""
        versions = []
        for item in self._versions(f"CARD#{card}", "V") if _ID.fullmatch(card) else []:
            stored = document_of(item)
            read = read_rate_card_version(card, stored.document)
            versions.append(PublishedVersion(stored.document, read, stored.hash, stored.created_at))
        return versions

    def contracts(self, customer: str) -> list[ContractVersion]:
        """All contract versions of a customer, first to last; empty where there is none."""
        versions = []
        for item in self._versions(f"CUSTOMER#{customer}", "CONTRACT") if _ID.fullmatch(customer) else []:
            stored = document_of(item)
            read = read_contract(stored.document)
            versions.append(ContractVersion(stored.document, read, stored.hash, stored.created_at))
        return versions

    def plan_versions_page(self, plan: str, part: Part) -> Page:
        """Raises NotFound for a plan without a version."""
        return self._existing_versions_page(("plan", plan), "PLAN", part)

    def rate_card_versions_page(self, card: str, part: Part) -> Page:
        """Raises NotFound for a card without a version. `created_at` of an item is the time of publication."""
        return self._existing_versions_page(("rate card", card), "CARD", part)

    def contracts_page(self, customer: str, part: Part) -> Page:
        """Contract versions of a customer; empty without a contract. Raises NotFound for an unknown customer."""
        self.customer(customer)
        return self._versions_page(f"CUSTOMER#{customer}", "CONTRACT", part)

    # API keys

    def create_key(
        self, *, key_id: str, name: str, customer: str, scopes: Iterable[str], secret_hash: str, now: str
    ) -> ApiKey:
        """Store a new key. The customer must exist unless it is `*`; raises DocumentRefused."""
        if customer != "*" and not self._exists(customer, "CUSTOMER#{}", "CUSTOMER"):
            raise DocumentRefused("customer", customer, "create this customer first")
        key = (f"KEY#{key_id}", "KEY")
        item = self._items(
            *key,
            name=name,
            customer=customer,
            scopes=" ".join(sorted(scopes)),
            secret_hash=secret_hash,
            created_at=now,
        )
        try:
            self._write(free=[item], entries=[("LIST#KEY", key_id)])
        except TransactWriteError as error:
            stored = self._find(*key)
            if stored is None or stored.secret_hash != secret_hash:
                raise _lost_race(error) from error
        return key_of(item)

    def key(self, key_id: str) -> ApiKey:
        """Raises NotFound."""
        item = self._find(f"KEY#{key_id}", "KEY") if _ID.fullmatch(key_id) else None
        if item is None:
            raise NotFound("key", key_id)
        return key_of(item)

    def keys_page(self, part: Part) -> Page:
        """Keys in the order of their ids, revoked ones too."""
        items, cursor = self._listed_page("KEY", part)
        return Page([key_of(item) for item in items], cursor)

    def revoke_key(self, key_id: str, *, now: str) -> ApiKey:
        """Revoke a key for ever; a second call keeps the first time. Raises NotFound."""
        if not _ID.fullmatch(key_id):
            raise NotFound("key", key_id)
        item = self._items(f"KEY#{key_id}", "KEY")
        try:
            item.update(
                actions=[self._items.revoked_at.set(self._items.revoked_at | now)],
                condition=self._items.pk.exists(),
            )
        except UpdateError as error:
            if _code(error) == "ConditionalCheckFailedException":
                raise NotFound("key", key_id) from None
            raise _translated(error) from error
        return key_of(item)

    # writing

    def _create_version(
        self,
        name: _Name,
        pk: str,
        kind: str,
        version: int,
        document: Any,
        *,
        now: str,
        published_at: str | None = None,
        entries: Sequence[_Key] = (),
        lint: dict[str, Any] | None = None,
    ) -> Saved:
        after = (pk, version_key(kind, version - 1)) if version > 1 else None
        key = (pk, version_key(kind, version))
        return self._create(
            name, key, document, now=now, published_at=published_at, entries=entries, after=after, lint=lint
        )

    def _create(
        self,
        name: _Name,
        key: _Key,
        document: Any,
        *,
        now: str,
        published_at: str | None = None,
        free: Sequence[CatalogueItem] = (),
        entries: Sequence[_Key] = (),
        after: _Key | None = None,
        lint: dict[str, Any] | None = None,
    ) -> Saved:
        """Put a document where nothing is. `free` items are put on the same condition, `after` must exist, `entries`
        are index items. All or nothing."""
        digest = content_hash(document)
        body = canonical_json(document)
        if len(body.encode()) > MAX_DOCUMENT_BYTES:
            raise DocumentRefused("body", f"{len(body.encode())} bytes", f"at most {MAX_DOCUMENT_BYTES} bytes")
        found = None if lint is None else canonical_json(lint)
        item = self._items(*key, body=body, content_hash=digest, created_at=now, published_at=published_at, lint=found)
        try:
            self._write(free=[item, *free], entries=entries, after=after)
        except TransactWriteError as error:
            stored = self._find(*key)
            if stored is None:
                raise _lost_race(error) from error
            return _repeated(name, document_of(stored), document)
        return Saved(document_of(item), created=True)

    def _write(
        self,
        *,
        free: Sequence[CatalogueItem],
        entries: Sequence[_Key] = (),
        after: _Key | None = None,
    ) -> None:
        with TransactWrite(connection=self._items._get_connection().connection) as transaction:
            if after is not None:
                transaction.condition_check(self._items, *after, condition=self._items.pk.exists())
            for item in free:
                transaction.save(item, condition=self._items.pk.does_not_exist())
            for entry in entries:
                transaction.save(self._items(*entry))

    def _plan_of(self, contract: Contract) -> Plan:
        """The plan that a contract names. Raises DocumentRefused unless it, the customer and the entity exist."""
        if not self._exists(contract.customer, "CUSTOMER#{}", "CUSTOMER"):
            raise DocumentRefused("customer", contract.customer, "create this customer first")
        if not self._exists(contract.entity, "ENTITY#{}", "ENTITY"):
            raise DocumentRefused("entity", contract.entity, "create this issuing entity first")
        found = self._find(f"PLAN#{contract.plan}", version_key("V", contract.plan_version))
        if found is None:
            raise DocumentRefused("plan", f"{contract.plan}@{contract.plan_version}", "publish this plan version first")
        return read_plan(document_of(found).document)

    def _cards_of(self, contract: Contract) -> dict[str, list[RateCardVersion]]:
        """All versions of the cards that a contract names. Raises DocumentRefused for one without a version, or in a
        currency that is not the contract's; costs may be in any."""
        cards: dict[str, list[RateCardVersion]] = {}
        for field in ("rate_card", "override_card", "cost_card", "fx_card"):
            card = getattr(contract, field)
            if card is None:
                continue
            versions = [item.version for item in self.rate_card(card)]
            if not versions:
                raise DocumentRefused(field, card, "publish a version of this rate card first")
            currency = versions[0].currency
            if currency != contract.currency and field != "cost_card":
                remedy = f"rate card {card} is in {currency}; both must be the same"
                raise DocumentRefused("currency", contract.currency, remedy)
            cards[card] = versions
        return cards

    # reading

    def _find(self, pk: str, sk: str) -> CatalogueItem | None:
        try:
            return self._items.get(pk, sk, consistent_read=True)
        except self._items.DoesNotExist:
            return None
        except PynamoDBException as error:
            raise _translated(error) from error

    def _exists(self, name: str, pk: str, sk: str) -> bool:
        return self._find(pk.format(name), sk) is not None

    def _document(self, what: str, name: str, pk: str, sk: str, version: int | None = None) -> StoredDocument:
        item = self._find(pk.format(name), sk) if _ID.fullmatch(name) else None
        if item is None:
            raise NotFound(what, name if version is None else f"{name}@{version}")
        return document_of(item)

    def _query(self, pk: str, condition: Condition | None = None, limit: int | None = None) -> Iterator[CatalogueItem]:
        try:
            yield from self._items.query(pk, condition, consistent_read=True, limit=limit)
        except PynamoDBException as error:
            raise _translated(error) from error

    def _versions(self, pk: str, kind: str, after: int = 0, limit: int | None = None) -> Iterator[CatalogueItem]:
        first, last = version_key(kind, after + 1), version_key(kind, MAX_VERSION)
        return self._query(pk, self._items.sk.between(first, last), limit)

    def _listed(self, pk: str) -> list[str]:
        return [item.sk for item in self._query(pk)]

    def _listed_page(self, kind: str, part: Part) -> tuple[list[CatalogueItem], str | None]:
        """Listed items of a kind in the order of their ids. All are there: entry and item are one transaction."""
        if part.cursor is not None and not _ID.fullmatch(part.cursor):
            raise DocumentRefused("cursor", part.cursor, _CURSOR_REMEDY)
        after = None if part.cursor is None else self._items.sk > part.cursor
        names = [entry.sk for entry in self._query(f"LIST#{kind}", after, part.limit + 1)]
        page = names[: part.limit]
        try:
            found = self._items.batch_get([(f"{kind}#{name}", kind) for name in page], consistent_read=True)
            items = {item.pk: item for item in found}
        except PynamoDBException as error:
            raise _translated(error) from error
        return [items[f"{kind}#{name}"] for name in page], page[-1] if len(names) > part.limit else None

    def _existing_versions_page(self, name: _Name, kind: str, part: Part) -> Page:
        if not (_ID.fullmatch(name[1]) and self._exists(name[1], f"{kind}#{{}}", version_key("V", 1))):
            raise NotFound(*name)
        return self._versions_page(f"{kind}#{name[1]}", "V", part)

    def _versions_page(self, pk: str, kind: str, part: Part) -> Page:
        cursor = part.cursor or "0"
        if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 6):
            raise DocumentRefused("cursor", cursor, _CURSOR_REMEDY)
        items: list[StoredDocument] = []
        size = 0
        for item in self._versions(pk, kind, int(cursor), part.limit + 1):
            size += len(item.body.encode()) + len((item.lint or "").encode())
            if items and (len(items) == part.limit or size > MAX_PAGE_BYTES):
                return Page(items, str(items[-1].document["version"]))
            items.append(document_of(item))
        return Page(items, None)


def _shown_lint(lint: Lint) -> dict[str, Any]:
    notes, more = list(lint.notes), len(lint.unpriced) - MAX_UNPRICED
    if more > 0:
        notes.append(f"{more} more without a price")
    cliff = None if lint.cliff is None else {"charge": lint.cliff.charge, "exact": format_amount(lint.cliff.exact)}
    return {"cliff": cliff, "unpriced": list(lint.unpriced[:MAX_UNPRICED]), "notes": notes}


def _repeated(name: _Name, stored: StoredDocument, document: Any) -> Saved:
    if stored.hash != content_hash(document):
        raise ContentConflict(*name, stored.hash)
    return Saved(stored, created=False)


def _lost_race(error: TransactWriteError) -> Exception:
    """Nothing was written and the document is not there: another writer took a condition of ours, or a real error."""
    if any(reason is not None and reason.code == "ConditionalCheckFailed" for reason in error.cancellation_reasons):
        return TransientError("another call changed the same thing at the same moment; repeat the call")
    return _translated(error)


def _translated(error: PynamoDBException) -> Exception:
    """The stores' error for PynamoDB's, judged by the botocore error inside it."""
    cause = error.cause
    inner = cause.__cause__ if cause is not None and isinstance(cause.__cause__, ClientError) else cause
    return translate(inner) if isinstance(inner, ClientError | BotoCoreError) else error


def _code(error: PynamoDBException) -> str:
    """DynamoDB's error code, empty where no answer came (`cause_response_code` fails on a timeout)."""
    return error.cause.response["Error"]["Code"] if isinstance(error.cause, ClientError) else ""
