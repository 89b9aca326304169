"""Errors, and how their messages show values.

An error about the properties has its text here or where it is raised, because the provider and the preview say the
same. It names the property and its value, what is wrong, and what to do. ARNs and names of AWS resources are shown in
full, so that the user can copy them. The main point comes last, within the last 240 characters where values allow,
because a reason that is too long is cut at its start. An error of a call has data, and each consumer its own words.
Source: docs/errors.md.
"""

import json
from enum import StrEnum

TEXT_CHARACTERS = 72


def quoted(value: object) -> str:
    """Return the name or ARN of an AWS resource, or AWS's own message, as printable ASCII in quotation marks."""
    return json.dumps(value, default=str)


def quoted_text(value: object) -> str:
    """Return text that a user typed as printable ASCII in quotation marks, shortened to 72 characters in the middle.

    An ARN is shown in full, even if its form is wrong.
    """
    text = json.dumps(value, default=str)
    if len(text) > TEXT_CHARACTERS and not text.startswith('"arn:'):
        half = (TEXT_CHARACTERS - 3) // 2
        text = f"{text[:half]}...{text[-half:]}"
    return text


class ErrorCode(StrEnum):
    """The category of a failed request, in the log and as a dimension of the metric ``FailedRequests``.

    The values are CloudFormation's `HandlerErrorCode` where one fits; the last four are the provider's own.
    Source: https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-test-contract-errors.html
    """

    INVALID_REQUEST = "InvalidRequest"
    NOT_FOUND = "NotFound"
    RESOURCE_CONFLICT = "ResourceConflict"
    """The secret or the key exists, but cannot be used in its current state."""
    ACCESS_DENIED = "AccessDenied"
    """AWS denied a call to the provider's role."""
    SERVICE_LIMIT_EXCEEDED = "ServiceLimitExceeded"
    THROTTLING = "Throttling"
    NETWORK_FAILURE = "NetworkFailure"
    SERVICE_INTERNAL_ERROR = "ServiceInternalError"
    GENERAL_SERVICE_EXCEPTION = "GeneralServiceException"
    INTERNAL_FAILURE = "InternalFailure"
    """An error in the provider."""
    ACCESS_CHECK_FAILED = "AccessCheckFailed"
    """Something would block the rotation function's own calls."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    REQUEST_SUPERSEDED = "RequestSuperseded"
    ROLLBACK_FAILED = "RollbackFailed"


class RequestError(Exception):
    """The request cannot be served. `str()` of the error names the property, the value, and what to do."""

    in_doubt = False
    """Whether a write may have happened although the call failed."""

    def __init__(self, reason: str, error_code: ErrorCode = ErrorCode.INVALID_REQUEST) -> None:
        self.error_code = error_code
        super().__init__(reason)


class CallError(RequestError):
    """An AWS call failed. Which call, and how: each consumer has its own words for it.

    Args:
        action: the IAM action of the call, such as ``iam:GetRole``.
        code: AWS's error code, such as ``NoSuchEntity``, or the name of botocore's exception.
        message: AWS's own message.
        resource: name or ARN of what the call was about; empty if it has no parameter.
        in_doubt: whether an attempt got no response, so that a write may have happened.
        error_code: the category, if nobody handles the failure.
    """

    def __init__(
        self,
        action: str,
        code: str,
        message: str,
        *,
        resource: str = "",
        in_doubt: bool = False,
        error_code: ErrorCode = ErrorCode.GENERAL_SERVICE_EXCEPTION,
    ) -> None:
        self.action = action
        self.code = code
        self.message = message
        self.resource = resource
        self.in_doubt = in_doubt
        super().__init__(f"{action} failed with {code}: {quoted(message)}", error_code)


class AccessDeniedError(CallError):
    """AWS denied a call to the caller's own identity. Arguments as for `CallError`."""

    def __init__(self, action: str, code: str, message: str, *, resource: str = "", in_doubt: bool = False) -> None:
        super().__init__(
            action, code, message, resource=resource, in_doubt=in_doubt, error_code=ErrorCode.ACCESS_DENIED
        )


class AwsApiError(CallError):
    """An AWS call failed for another reason, which the caller of the call has to look at."""


class SecretDeniedError(AccessDeniedError):
    """AWS denied to describe a secret. It also denies a name that does not exist, because no ARN and no tag matches.

    Args:
        denied: the error of the call.
        subject: the property that names the secret, and its value.
        region: where the secret was looked up.
    """

    def __init__(self, denied: AccessDeniedError, subject: str, region: str) -> None:
        self.subject = subject
        self.region = region
        super().__init__(denied.action, denied.code, denied.message, resource=denied.resource)


class DeadlineExceededError(RequestError):
    """The time of the invocation is used up, except for what the response needs."""

    def __init__(self) -> None:
        super().__init__("The time for the calls to AWS is used up.", ErrorCode.DEADLINE_EXCEEDED)


class UndoFailedError(RequestError):
    """A request failed after it had written a policy, and the write could not be undone.

    Args:
        role_name: the role that has the policy.
        policy_name: the policy.
    """

    def __init__(self, role_name: str, policy_name: str) -> None:
        self.role_name = role_name
        self.policy_name = policy_name
        super().__init__(
            f"The policy {quoted(policy_name)} on the role {quoted(role_name)} was not undone",
            ErrorCode.ROLLBACK_FAILED,
        )


def role_not_found(role: str) -> RequestError:
    """Return the error for an execution role (name or ARN) that does not exist, whichever call finds out."""
    return RequestError(
        f"The role {quoted(role)} does not exist in this account. Create the role first, or correct the name.",
        ErrorCode.NOT_FOUND,
    )


class InvalidEventError(Exception):
    """The event is not a CloudFormation request, so nobody expects a response."""


class ResponseDeliveryError(Exception):
    """The response did not reach CloudFormation. The handler raises it, so that Lambda delivers the event again."""
