"""What ingest must know of the catalogue for each event, without asking for it each time.

Customers and published prices never change, so what was found stays true and may be kept. What was *not* found may
exist by now: it is looked up again before an event is called unknown or parked.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from lambdas.billing.documents import Contract
from lambdas.billing.lines import Unpriced
from lambdas.billing.plans import read_plan
from lambdas.billing.pricing import Pricing
from lambdas.billing.rating import ClassKey, split_class_key
from lambdas.billing.times import day_start
from lambdas.billing.usage import UsageEvent
from lambdas.store.catalogue import Catalogue
from lambdas.store.errors import NotFound

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


_NEWEST = "9999-12-31T00:00:00.000000Z"
"""Whether usage has a price is asked with the newest exchange rate: which one a period is billed at is known then."""

_caches: WeakKeyDictionary[DynamoDBClient, dict[str, PricingCache]] = WeakKeyDictionary()


def cache_of(client: DynamoDBClient, table: str) -> PricingCache:
    """What this process knows of a catalogue table. It is forgotten with the client that it was read with."""
    return _caches.setdefault(client, {}).setdefault(table, PricingCache())


class Tariff(NamedTuple):
    """One customer's contract versions compiled, oldest first; `starts` are their canonical times."""

    starts: tuple[str, ...]
    pricings: tuple[Pricing, ...]

    def unpriced(self, event: UsageEvent) -> Unpriced | None:
        """Why the event would be parked if it were rated now; None when it has a price or lies before activation."""
        if not self.starts:
            return Unpriced("no_contract", f"customer {event.customer} has no contract")
        if event.time < self.starts[0]:
            return None  # rating excludes it as before activation; it waits for no price
        pricing = self.pricings[bisect_right(self.starts, event.time) - 1]
        return pricing.unpriced(event.provider, event.model, event.quantities, event.time, event.service_tier)

    def unpriced_class(self, customer: str, day: str, key: ClassKey) -> Unpriced | None:
        """Why usage of this class on this UTC day would be parked if it were rated now; None when it has a price.

        Prices change at 00:00 UTC only (K9), so one look answers for the sum of a day. It asks for one unit: a price
        may depend on the size of a request, and a sum is not the size of one.
        """
        provider, model, token_class, service_tier = split_class_key(key)
        return self.unpriced(
            UsageEvent(customer, "", "", day_start(day), provider, model, {token_class: 1}, {}, "", service_tier)
        )


class PricingCache:
    """Customers and tariffs seen by one running function."""

    def __init__(self) -> None:
        self._created: dict[str, str] = {}
        self._tariffs: dict[str, Tariff] = {}

    def remembers(self, customer: str) -> bool:
        """Whether `created_at` needs no reading."""
        return customer in self._created

    def created_at(self, catalogue: Catalogue, customer: str) -> str | None:
        """When the customer's account was created; None for a customer that does not exist."""
        if customer not in self._created:
            try:
                self._created[customer] = catalogue.customer(customer).created_at
            except NotFound:
                return None
        return self._created[customer]

    def unpriced(self, catalogue: Catalogue, events: list[UsageEvent]) -> list[Unpriced | None]:
        """For events of one customer: why each would be parked now, or None. Looks again before it says so."""
        if not events:
            return []
        customer = events[0].customer
        tariff = self._tariffs.get(customer)
        if tariff is not None:
            found = [tariff.unpriced(event) for event in events]
            if not any(found):
                return found
        tariff = self._tariffs[customer] = load_tariff(catalogue, customer)
        return [tariff.unpriced(event) for event in events]


def load_tariff(catalogue: Catalogue, customer: str) -> Tariff:
    """All contract versions of a customer with their plans and prices, read consistently."""
    contracts: list[Contract] = [stored.contract for stored in catalogue.contracts(customer)]
    pricings = []
    for contract in contracts:
        plan = read_plan(catalogue.plan(contract.plan, contract.plan_version).document)
        cards = [published.version for card in contract.cards for published in catalogue.rate_card(card)]
        pricings.append(Pricing(contract, plan, cards, fixed_at=_NEWEST))
    return Tariff(tuple(day_start(contract.effective_from) for contract in contracts), tuple(pricings))
