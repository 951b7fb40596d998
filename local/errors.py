"""What can be wrong with a template or a call on the local machine; each error says what would be right."""

from __future__ import annotations


class LocalError(Exception):
    """Base of everything that `local` raises on purpose."""


class UnknownResource(LocalError):
    """The template has a resource type that the coverage table does not list."""

    def __init__(self, logical_id: str, resource_type: str) -> None:
        self.logical_id = logical_id
        self.resource_type = resource_type
        super().__init__(
            f"{logical_id}: resource type {resource_type} is not in local/coverage.toml; list who applies it "
            f"(moto, local, or ignored with a reason) and, for moto and local, read it back in tests/local"
        )


class UnknownProperty(LocalError):
    """The template has a property that the coverage table does not list for its type."""

    def __init__(self, logical_id: str, resource_type: str, path: str) -> None:
        self.logical_id = logical_id
        self.resource_type = resource_type
        self.path = path
        super().__init__(
            f"{logical_id} ({resource_type}): property {path} is not in local/coverage.toml; list who applies it "
            f"(moto, local, or ignored with a reason) and, for moto and local, read it back in tests/local"
        )


class BrokenCoverage(LocalError):
    """The coverage table contradicts itself or claims an applier that does not exist."""


class UnresolvedReference(LocalError):
    """A Ref, GetAtt or other intrinsic of the template has no value here."""


class StackFailed(LocalError):
    """moto refused to create the stack."""


class UnjudgedPolicy(LocalError):
    """A policy says something that `local` cannot judge, so it would be enforced otherwise than in AWS."""


class UnjudgedCall(LocalError):
    """A function makes a call whose rights `local` does not know."""


class UnknownFunction(LocalError):
    """A call names a function that the template does not have."""


class UnsupportedSchedule(LocalError):
    """A schedule expression uses a form that is not implemented here."""


class UnsupportedTarget(LocalError):
    """A rule or mapping points at a kind of target that is not implemented here."""


class RealAwsRefused(LocalError):
    """A request was about to leave this machine for AWS."""


class LinkRefused(LocalError):
    """A presigned link does not carry a valid signature, or its time is over."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}")


class FunctionFailed(LocalError):
    """A function raised, exited, or returned what cannot be sent; the names are those that Lambda reports."""

    def __init__(self, function: str, error_type: str, message: str, stack: list[str] | None = None) -> None:
        self.function = function
        self.error_type = error_type
        self.message = message
        self.stack = stack or []
        super().__init__(f"{function}: {error_type}: {message}")


class ExecutionsStillRunning(LocalError):
    """State machine executions did not end within the time that was given."""
