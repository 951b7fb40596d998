"""When a contract version may follow another."""

from __future__ import annotations

from typing import Any

import pytest

from lambdas.billing.contracts import check_contract
from lambdas.billing.documents import Contract, read_contract
from lambdas.billing.errors import DocumentRefused
from tests.store.catalogue_documents import CONTRACT

NOW = "2026-11-16T12:00:00.000000Z"


def contract(version: int, effective_from: str, **change: Any) -> Contract:
    return read_contract({**CONTRACT, "version": version, "effective_from": effective_from, **change})


@pytest.mark.parametrize("day", ["2020-01-31", "2026-11-16", "2030-02-02"])
def test_the_first_version_begins_on_any_day(day: str) -> None:
    check_contract(contract(1, day), [], now=NOW)


@pytest.mark.parametrize(
    ("new", "now", "refused"),
    [
        (contract(2, "2026-12-01"), NOW, None),
        (contract(2, "2026-12-01"), "2026-11-30T23:59:59.999999Z", None),
        (contract(2, "2026-12-01"), "2026-12-01T00:00:00.000000Z", "after today, 2026-12-01"),
        (contract(2, "2026-11-01"), NOW, "after today"),
        (contract(2, "2026-12-02"), NOW, "first of a month"),
        (contract(2, "2027-11-01"), NOW, None),
        (contract(3, "2026-12-01"), NOW, "next contract version is 2"),
        (contract(1, "2026-12-01"), NOW, "next contract version is 2"),
        (contract(2, "2026-12-01", entity="bp-eu"), NOW, "with bp-us"),
        (contract(2, "2026-12-01", currency="EUR"), NOW, "USD"),
        (contract(2, "2026-12-01", plan="other", rate_card="gold"), NOW, None),
    ],
)
def test_a_later_version_begins_on_a_coming_first_of_a_month(new: Contract, now: str, refused: str | None) -> None:
    earlier = [contract(1, "2026-10-15")]
    if refused is None:
        check_contract(new, earlier, now=now)
    else:
        with pytest.raises(DocumentRefused, match=refused):
            check_contract(new, earlier, now=now)


@pytest.mark.parametrize(("day", "allowed"), [("2027-01-01", False), ("2027-02-01", False), ("2027-03-01", True)])
def test_a_version_begins_after_the_one_before_it(day: str, allowed: bool) -> None:
    earlier = [contract(1, "2026-10-15"), contract(2, "2027-02-01")]
    if allowed:
        check_contract(contract(3, day), earlier, now=NOW)
    else:
        with pytest.raises(DocumentRefused, match="version 2 begins on 2027-02-01"):
            check_contract(contract(3, day), earlier, now=NOW)
