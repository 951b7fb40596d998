"""When a term runs, from the contract versions that state and restate its commitment."""

from __future__ import annotations

import pytest

from lambdas.billing.commitments import term_start
from lambdas.billing.documents import Contract, read_contract
from tests.billing.account import Json, contract


def version(number: int, day: str, amount: str | None) -> Contract:
    terms: Json = {} if amount is None else {"commitment": {"amount": amount, "counting": "term", "months": 3}}
    return read_contract(contract("tokens", day, number, **terms))


VERSIONS = [
    version(1, "2026-09-01", None),
    version(2, "2026-10-01", "300"),
    version(3, "2026-11-15", "300"),  # restated in mid-term
    version(4, "2027-04-01", "400"),
    version(5, "2027-07-01", None),
]


@pytest.mark.parametrize(
    ("day", "start"),
    [
        ("2026-08-31", None),
        ("2026-09-30", None),
        ("2026-10-01", "2026-10-01"),
        ("2026-11-20", "2026-10-01"),
        ("2026-12-31", "2026-10-01"),
        ("2027-01-01", "2027-01-01"),
        ("2027-03-31", "2027-01-01"),
        ("2027-04-01", "2027-04-01"),
        ("2027-07-01", None),
    ],
)
def test_a_term_runs_from_the_version_that_states_it_and_again_from_its_end(day: str, start: str | None) -> None:
    found = term_start(VERSIONS, f"{day}T00:00:00.000000Z")
    assert found == (None if start is None else f"{start}T00:00:00.000000Z")


def test_a_commitment_by_the_period_has_no_term() -> None:
    terms: Json = {"commitment": {"amount": "300", "counting": "period"}}
    assert term_start([read_contract(contract("tokens", "2026-10-01", **terms))], "2026-11-01T00:00:00.000000Z") is None
