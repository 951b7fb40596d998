"""Executions of the billing run's state machine. Starting one is idempotent by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.store.errors import translate

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class Executions:
    """Starts executions of one state machine."""

    def __init__(self, client: SFNClient, state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn

    def start(self, name: str, data: str) -> bool:
        """True while the execution of this name runs, whether it was started now or before; False once it has ended.

        Step Functions answers a repeated start with the same name and input as long as that execution is running,
        and refuses it afterwards.
        """
        try:
            self._client.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=data)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
                return False
            raise translate(error) from error
        except BotoCoreError as error:
            raise translate(error) from error
        return True
