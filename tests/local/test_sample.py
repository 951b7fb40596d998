"""The sample plans and the sample month: every file can be agreed and billed, and what is sent is always the same."""

from __future__ import annotations

from collections import Counter

import pytest

from lambdas.billing.canonical import canonical_json
from lambdas.billing.documents import read_contract
from lambdas.billing.lint import Lint, lint_agreement
from lambdas.billing.plans import MODELS, read_plan
from lambdas.billing.rate_cards import RateCardVersion, read_rate_card_version
from lambdas.billing.rates import price_histories
from lambdas.billing.usage import read_event
from local import sample

EXAMPLES = (
    sample.Account("acme", "Acme", "stepwise_access"),
    sample.Account("acme", "Acme", "pass_through", {"currency": "JPY"}),
)


def published(account: sample.Account, *kinds: str) -> list[RateCardVersion]:
    return [
        read_rate_card_version(sample.card(account.model, kind), document)
        for kind in kinds
        for document in sample.versions(account.model, kind)
    ]


def agreed(account: sample.Account) -> Lint:
    plan, contract = read_plan(sample.plan(account.model)), read_contract(sample.contract(account))
    return lint_agreement(plan, contract, published(account, "rates", "fx"), published(account, "costs"))


def test_every_model_is_sold_to_one_customer() -> None:
    assert sorted(account.model for account in sample.ACCOUNTS) == sorted(set(MODELS) - {"custom"})
    for account in sample.ACCOUNTS:
        assert sample.plan(account.model)["model"] == account.model


@pytest.mark.parametrize("account", (*sample.ACCOUNTS, *EXAMPLES), ids=lambda account: account.model)
def test_a_sample_contract_can_be_agreed_and_every_charge_has_a_price(account: sample.Account) -> None:
    lint = agreed(account)
    charges = {charge.id for charge in read_plan(sample.plan(account.model)).charges if charge.kind != "flat"}
    assert {cliff.charge for cliff in lint.cliffs} == charges


def test_the_margin_of_blended_units_can_be_watched() -> None:
    [account] = [account for account in sample.ACCOUNTS if account.model == "blended_unit"]
    assert agreed(account).notes == ()


def test_every_file_of_plans_is_described() -> None:
    described = (sample.PLANS / "README.md").read_text("utf-8")
    names = {path.name.partition(".")[0] for path in sample.PLANS.glob("*.json")}
    assert names == {account.model for account in sample.ACCOUNTS} | {account.model for account in EXAMPLES}
    for name in names:
        assert f"| `{name}` |" in described


def test_the_card_of_acme_has_no_price_for_mistral_until_its_last_version() -> None:
    card = sample.card("pure_token")
    before = [read_rate_card_version(name, version) for name, version in sample.published_before() if name == card]
    after = [*before, read_rate_card_version(card, sample.first_price())]
    assert [version.version for version in after] == [1, 2, 3]
    assert not any(key.provider == "mistral" for key in price_histories(before))
    assert any(key.provider == "mistral" for key in price_histories(after))


def test_the_events_of_the_month_can_be_read_and_have_identities_of_their_own() -> None:
    events = [read_event(item.event, None) for item in sample.usage_events()]
    assert len({(event.customer, event.source, event.id) for event in events}) == len(events)
    assert Counter(event.customer for event in events) == dict.fromkeys(
        [account.id for account in sample.ACCOUNTS], sample.EVENTS_PER_CUSTOMER
    )
    assert {event.time[:7] for event in events} == {sample.PERIOD}
    assert {event.service_tier for event in events} == {"standard", "batch"}


def test_two_runs_send_the_same_bytes() -> None:
    assert [canonical_json(item.event) for item in sample.usage_events()] == [
        canonical_json(item.event) for item in sample.usage_events()
    ]


def test_only_the_customer_with_credits_is_prepaid() -> None:
    assert [account.id for account in sample.ACCOUNTS if sample.is_prepaid(account)] == ["umbrella"]
