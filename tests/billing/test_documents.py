"""Catalogue documents: closed, exact, refused by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lambdas.billing.documents import read_contract, read_customer, read_entity
from lambdas.billing.errors import BillingError, DocumentRefused, InvalidAmount, InvalidTime, PlanRefused, UnknownClass
from lambdas.billing.plans import read_plan
from lambdas.billing.pricing import compile_pricing
from lambdas.billing.rate_cards import read_rate_card_version
from lambdas.billing.strict_json import parse
from lambdas.billing.usage import read_event
from tests.billing.month import CONTRACT, CUSTOMER, ENTITY, PLAN, RATES

Reader = Callable[[Any], object]
ABSENT = object()


def read_card(document: Any) -> object:
    return read_rate_card_version("std", document)


DOCUMENTS: list[tuple[Reader, Mapping[str, Any]]] = [
    (read_entity, ENTITY),
    (read_customer, CUSTOMER),
    (read_plan, PLAN),
    (read_contract, CONTRACT),
    (read_card, RATES["std@1"]),
]


def changed(document: Mapping[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    target: Any = copy
    for step in path[:-1]:
        target = target[step]
    if value is ABSENT:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return copy


@pytest.mark.parametrize(("read", "document"), DOCUMENTS)
def test_a_document_is_closed(read: Reader, document: Mapping[str, Any]) -> None:
    read(document)
    for name in document:
        if name != "mode":
            with pytest.raises(DocumentRefused) as caught:
                read(changed(document, (name,), ABSENT))
            assert (caught.value.field, caught.value.remedy) == (name, "required")
    with pytest.raises(DocumentRefused, match="unknown member"):
        read({**document, "surprise": 1})
    others: list[object] = [None, [], "x", 1]
    for other in others:
        with pytest.raises(DocumentRefused):
            read(other)
    with pytest.raises(DocumentRefused, match="more than once"):
        read(parse(json.dumps(document)[:-1] + f', "{next(iter(document))}": 1}}'))


@pytest.mark.parametrize(("read", "document"), DOCUMENTS)
@pytest.mark.parametrize("value", [None, True, 1.5, -1, "", "\ud800", "x" * 300, [], {}, [[]], {"a": {}}, "a\nb"])
def test_no_value_of_any_member_is_anything_but_taken_or_refused(
    read: Reader, document: Mapping[str, Any], value: Any
) -> None:
    for name in document:
        with pytest.raises(BillingError) as caught:
            read({**document, name: value})
        assert str(caught.value).isascii()


@pytest.mark.parametrize(
    ("path", "value", "error", "field"),
    [
        (("rates", 0, "class"), "video", UnknownClass, "rates[0].class"),
        (("rates", 0, "price"), "2.5e0", InvalidAmount, "rates[0].price"),
        (("rates", 0, "price"), "-1", DocumentRefused, "rates[0].price"),
        (("rates", 0, "price"), "0.0000000000001", InvalidAmount, "rates[0].price"),
        (("rates", 0, "per"), 100, DocumentRefused, "rates[0].per"),
        (("rates", 0, "per"), True, DocumentRefused, "rates[0].per"),
        (("rates", 0, "model"), "a|b", DocumentRefused, "rates[0].model"),
        (("rates", 0, "provider"), "OpenAI", DocumentRefused, "rates[0].provider"),
        (("rates",), [], DocumentRefused, "rates"),
        (("rates", 1), RATES["std@1"]["rates"][0], DocumentRefused, "rates[1]"),  # type: ignore[index]
        (("currency",), "XXX", InvalidAmount, "currency"),
        (("version",), 0, DocumentRefused, "version"),
        (("effective_from",), "2026-01-01T12:00:00Z", InvalidTime, "effective_from"),
    ],
)
def test_a_rate_that_could_not_be_billed_is_refused(
    path: tuple[Any, ...], value: Any, error: type[BillingError], field: str
) -> None:
    with pytest.raises(error) as caught:
        read_card(changed(RATES["std@1"], path, value))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "model", ["x" * 128, "a\u00a0b", "a\u200db", "\u6a21\u578b", "=a(1)", '"q", \\', "\U0001fae9", "\U00011f5a"]
)
def test_every_model_that_ingest_takes_can_be_given_a_price(model: str) -> None:
    """Else its usage were parked for ever. The newest emoji too: what Python calls printable grows with its version."""
    data = {"provider": "openai", "model": model, "quantities": {"input": 1}}
    event = {"specversion": "1.0", "id": "a", "source": "/g", "type": "llm.usage.v1", "time": "2026-11-16T00:00:00Z"}
    assert read_event({**event, "data": data}, "acme").model == model
    card = read_rate_card_version("std", changed(RATES["std@1"], ("rates", 0, "model"), model))
    assert card.rates[0].key.model == model


@pytest.mark.parametrize(("read", "document"), [(read_entity, ENTITY), (read_customer, CUSTOMER)])
@pytest.mark.parametrize("character", ["\u202e", "\u200b", "\u2028", "\ufeff", "\x7f", "\x9f"])
def test_a_name_without_characters_that_hide_or_turn_text(
    read: Reader, document: Mapping[str, Any], character: str
) -> None:
    read({**document, "name": "Gr\u00f6\u00dfe \u682a\u5f0f\u4f1a\u793e \U0001fae9"})
    with pytest.raises(DocumentRefused, match="printable"):
        read({**document, "name": f"a{character}b"})


def test_a_price_written_as_a_number_is_refused_also_when_it_was_parsed_strictly() -> None:
    text = json.dumps(RATES["std@1"]).replace('"2.50"', "2.50")
    with pytest.raises(InvalidAmount, match="plain decimal text"):
        read_card(parse(text))


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("tax", "rate"), "1", "tax.rate"),
        (("tax", "rate"), "-0.01", "tax.rate"),
        (("tax", "rate"), "0.00000000000000001", "tax.rate"),  # 17 decimals: tax on cents would need 19
        (("tax", "category"), "standard", "tax.category"),
        (("parked_usage",), "ignore", "parked_usage"),
        (("late_usage",), "waive", "late_usage"),
        (("effective_from",), "2026-11", "effective_from"),
        (("plan_version",), "1", "plan_version"),
        (("currency",), "usd", "currency"),
    ],
)
def test_a_contract_says_everything_and_only_what_can_be_done(path: tuple[Any, ...], value: Any, field: str) -> None:
    with pytest.raises(BillingError) as caught:
        read_contract(changed(CONTRACT, path, value))
    assert caught.value.field == field


@pytest.mark.parametrize("rate", ["0", "0.19", "0.999999999999999999"[:18]])
def test_a_tax_rate_is_a_share_below_one(rate: str) -> None:
    assert read_contract(changed(CONTRACT, ("tax", "rate"), rate)).tax_rate == rate


def test_a_model_that_is_not_offered_is_refused_by_name() -> None:
    with pytest.raises(PlanRefused, match="pure_token"):
        read_plan({**PLAN, "model": "prepaid"})


@pytest.mark.parametrize(
    ("contract", "plan", "rates", "message"),
    [
        ({"plan": "other"}, {}, RATES, "the contract names other@1"),
        ({}, {"version": 2}, RATES, "the contract names tokens@1"),
        ({"currency": "EUR"}, {}, RATES, "the contract names std in EUR"),
        ({}, {}, {"gold@1": RATES["std@1"]}, "the contract names std in USD"),
        ({}, {}, {"std@4": RATES["std@1"]}, "this document is named std@4"),
    ],
)
def test_documents_that_do_not_belong_together_are_refused(
    contract: dict[str, Any], plan: dict[str, Any], rates: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(DocumentRefused, match=message):
        compile_pricing({**CONTRACT, **contract}, {**PLAN, **plan}, rates)
