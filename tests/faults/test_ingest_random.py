"""Random requests under random faults against the simplest model that can be right: a dictionary of identities."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import pytest

from lambdas.billing.rating import add_quantities, class_key
from lambdas.billing.usage import UsageEvent, read_event
from lambdas.handlers import stores
from tests.faults.injector import (
    Killed,
    cancelled,
    die,
    die_before,
    is_put,
    is_update,
    lose,
    refuse,
)
from tests.faults.world import Answer, World, assert_invariants, event, world

Identity = tuple[str, str, str]
REQUESTS = 70


class Sent(NamedTuple):
    """One event of a request: the value, and how it reads (None: it must be rejected)."""

    value: dict[str, Any]
    event: UsageEvent | None


@pytest.fixture(scope="module")
def published() -> Iterator[World]:
    with world() as running:
        running.publish(["acme", "umbra"])
        yield running


class Chaos:
    """Makes requests and faults; everything follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.requests = 0

    def one_event(self) -> Sent:
        chance = self.chance
        more: list[dict[str, Any]] = [{}, {}, {"service_tier": "batch"}, {"attributes": {"project": "search"}}]
        value = event(
            f"e{chance.randrange(10 + 2 * self.requests)}",
            subject=chance.choice(["acme", "acme", "umbra"]),
            source=chance.choice(["/a", "/b"]),
            time=f"2026-{chance.choice([10, 11])}-{chance.randint(1, 3):02d}T{chance.randrange(2):02d}:00:00Z",
            model=chance.choice(["gpt-4o", "gpt-4o", "gpt-9"]),
            quantities={"input": chance.choice([1, 1, 1, 10**12]), "output": chance.choice([0, 0, 5])},
            **chance.choice(more),
        )
        kind = chance.random()
        if kind < 0.03:
            return Sent({**value, "time": "never"}, None)
        if kind < 0.06:
            return Sent({**value, "subject": "stranger"}, None)
        if kind < 0.09:
            return Sent({**value, "data": {**value["data"], "prompt": "x"}}, None)
        return Sent(value, read_event(value, None))

    def request(self) -> list[Sent]:
        self.requests += 1
        return [self.one_event() for _ in range(self.chance.choice([1, 1, 2, 2, 5, 20, 50]))]

    def fault(self) -> AbstractContextManager[Any]:
        chance = self.chance
        number, times = chance.choice([1, 1, 1, 2, 3]), chance.choice([1, 2, 8, 20])
        refusals = ("ThrottlingException", "InternalServerError", "connect timeout")
        conflicts = (cancelled("TransactionConflict", is_update), cancelled("TransactionConflict", is_put))
        return chance.choice(
            [
                nullcontext(),
                nullcontext(),
                die(number),
                die_before(number),
                lose(number, times=times),
                refuse(number, chance.choice(refusals), times=times),
                refuse(number, chance.choice(conflicts), times=times),
            ]
        )


class Model:
    """What must be stored: the first event of each identity."""

    def __init__(self) -> None:
        self.stored: dict[Identity, UsageEvent] = {}

    def check_answer(self, sent: list[Sent], answer: Answer) -> None:
        """Each decided event is decided as the dictionary says; what is not known is looked up."""
        assert answer.body["received"] == len(sent) == len(answer.body["results"])
        for item, result in zip(sent, answer.body["results"], strict=True):
            if item.event is None:
                assert result["status"] == "rejected"
            elif result["status"] == "not_stored":
                self.look_up(item.event)
            else:
                assert self.decided(item.event, result)
        unknown = answer.statuses.count("not_stored")
        single = {"rejected": 422, "conflict": 409}.get(answer.statuses[0], 200) if self.is_problem(answer) else 200
        assert answer.status == (503 if unknown else single)

    @staticmethod
    def is_problem(answer: Answer) -> bool:
        return answer.headers["content-type"] == "application/problem+json"

    def decided(self, event: UsageEvent, result: dict[str, Any]) -> bool:
        identity = (event.customer, event.source, event.id)
        first = self.stored.get(identity)
        if first is None:
            self.stored[identity] = event
            return bool(result["status"] == "accepted" and result["hash"] == event.content_hash)
        named = (result["stored_hash"], result["stored_time"]) == (first.content_hash, first.time)
        return named and result["status"] == ("duplicate" if first.content_hash == event.content_hash else "conflict")

    def look_up(self, event: UsageEvent) -> None:
        """After a death or without an answer the event is stored as it was sent, or not at all."""
        identity = (event.customer, event.source, event.id)
        claim = stores.usage().claim(*identity)
        if claim is None:
            assert identity not in self.stored
        elif identity in self.stored:
            assert (claim.content_hash, claim.time) == (self.stored[identity].content_hash, self.stored[identity].time)
        else:
            assert (claim.content_hash, claim.time) == (event.content_hash, event.time)
            self.stored[identity] = event

    def check_views(self, billproof: World) -> None:
        """The view of each customer is the sum of the dictionary, by day, model, service tier and class."""
        for customer in ("acme", "umbra"):
            expected: dict[str, dict[str, int]] = {}
            for held in self.stored.values():
                if held.customer == customer:
                    sums = expected.setdefault(held.time[:10], {})
                    add_quantities(sums, held.provider, held.model, held.quantities, held.service_tier)
            view = billproof.view(customer, **{"from": "2026-10-01", "to": "2026-11-30"}).body
            found = {
                day["day"]: {
                    class_key(m["provider"], m["model"], name, m["service_tier"]): n
                    for m in day["models"]
                    for name, n in m["quantities"].items()
                }
                for day in view["days"]
            }
            assert found == expected
            assert view["events"] == sum(1 for held in self.stored.values() if held.customer == customer)


@pytest.mark.parametrize("seed", range(3))
def test_random_requests_under_random_faults_store_what_a_dictionary_of_identities_would(
    seed: int, published: World
) -> None:
    published.forget_usage()
    chaos, model = Chaos(seed), Model()
    deaths = unknown = 0
    for number in range(REQUESTS):
        sent = chaos.request()
        body: Any = [item.value for item in sent]
        if len(sent) == 1 and chaos.chance.random() < 0.5:
            body = json.dumps(sent[0].value)
        with chaos.fault():
            try:
                answer = published.send(body)
            except Killed:
                answer = None
        if answer is None:
            deaths += 1
            for item in sent:
                if item.event is not None:
                    model.look_up(item.event)
        else:
            unknown += answer.status == 503
            model.check_answer(sent, answer)
        if number % 25 == 24:
            assert_invariants(published)
    assert deaths > 3 and unknown > 3 and len(model.stored) > 60
    claims = {item["pk"]["S"] for item in published.items("usage") if item["pk"]["S"].startswith("E#")}
    assert len(claims) == len(model.stored)
    model.check_views(published)
    assert_invariants(published)
