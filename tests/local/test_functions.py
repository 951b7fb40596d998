"""Functions in process: environment, context, errors, the Lambda API."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from lambdas.handlers import runtime
from local import aws
from local.deployment import Deployment
from local.errors import FunctionFailed, UnknownFunction
from tests.local import handlers


def test_a_function_sees_the_template_s_environment_and_what_lambda_adds_and_nothing_else(small: Deployment) -> None:
    seen = small.invoke("WhoAmI", {})
    assert seen["before"] == "first"
    assert seen["names"] == sorted(
        [
            "WHO",
            "TABLE",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_LOG_GROUP_NAME",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "TZ",
            "_HANDLER",
        ]
    )


def test_the_context_object_is_lambda_s(small: Deployment) -> None:
    seen = small.invoke("WhoAmI", {})
    name = small.stack.resources["WhoAmI"].physical_id
    assert seen["name"] == name
    assert seen["arn"] == f"arn:aws:lambda:eu-central-1:123456789012:function:{name}"
    assert seen["memory"] == 256
    assert 6_000 < seen["remaining"] <= 7_000
    assert seen["request_id"] != small.invoke("WhoAmI", {})["request_id"]


def test_two_functions_at_the_same_time_keep_their_own_environment(small: Deployment) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(small.invoke, "WhoAmI", {"together": True})
        second = pool.submit(small.invoke, "WhoElse", {"together": True})
    assert (first.result()["before"], first.result()["after"]) == ("first", "first")
    assert (second.result()["before"], second.result()["after"]) == ("second", "second")
    assert "WHO" not in runtime.environment.get()


@pytest.mark.parametrize("name", ["logical id", "name", "arn", "handler"])
def test_a_function_is_found_by(small: Deployment, name: str) -> None:
    physical = small.stack.resources["Echo"].physical_id
    by = {
        "logical id": "Echo",
        "name": physical,
        "arn": f"arn:aws:lambda:eu-central-1:123456789012:function:{physical}:$LATEST",
        "handler": "tests.local.handlers.echo",
    }
    assert small.invoke(by[name], {})["statusCode"] == 200


def test_an_unknown_function_is_named_with_those_there_are(small: Deployment) -> None:
    with pytest.raises(UnknownFunction, match=r"no function Nobody; there are .*Echo"):
        small.invoke("Nobody", {})


@pytest.mark.parametrize(
    ("how", "error_type"),
    [
        ("error", "TransientError"),
        ("exit", "Runtime.ExitError"),
        ("killed", "Runtime.ExitError"),
        ("set", "Runtime.MarshalError"),
        ("huge", "Function.ResponseSizeTooLarge"),
    ],
)
def test_errors_have_lambda_s_names(small: Deployment, how: str, error_type: str) -> None:
    with pytest.raises(FunctionFailed) as caught:
        small.invoke("Fail", {"how": how})
    assert caught.value.error_type == error_type
    assert [failure.error_type for failure in small.functions.failures] == [error_type]


def test_the_lambda_api_answers_errors_as_lambda_does(small: Deployment) -> None:
    name = small.stack.resources["Fail"].physical_id
    answer = aws.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"how": "error"}).encode())
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    payload = json.load(answer["Payload"])
    assert (payload["errorType"], payload["errorMessage"]) == ("TransientError", "the text")
    assert any("raise TransientError" in line for line in payload["stackTrace"])


def test_the_lambda_api_answers_results(small: Deployment) -> None:
    name = small.stack.resources["WhoAmI"].physical_id
    answer = aws.client("lambda").invoke(FunctionName=name, Payload=b"{}")
    assert "FunctionError" not in answer
    assert json.load(answer["Payload"])["before"] == "first"


def test_an_asynchronous_call_runs_at_the_next_pump_with_retries_and_then_the_dead_letter_queue(
    small: Deployment,
) -> None:
    handlers.failing.add("events")
    name = small.stack.resources["TakeEvent"].physical_id
    answer = aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n":1}')
    assert answer["StatusCode"] == 202
    assert handlers.calls["events"] == []
    assert small.pump() == 1
    assert handlers.calls["events"] == [{"n": 1}] * 3
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName="dead-calls")["QueueUrl"]
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"]) == {"n": 1}
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_what_a_function_prints_is_kept_apart(small: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    small.functions.log.lines.clear()
    small.invoke("Speak", {})
    print("a line of the test")  # noqa: T201
    assert list(small.functions.log.lines) == ["a line of a function"]
    assert capsys.readouterr().out == "a line of the test\n"
