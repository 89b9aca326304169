"""Turn botocore's errors into errors as data (`errors.CallError`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from rotation_role_policy.errors import AccessDeniedError, AwsApiError, CallError, ErrorCode

FAILURES = (ClientError, BotoCoreError, ResponseParserError)
"""What botocore raises if a call fails."""
NO_RESPONSE = (HTTPClientError, NoConnection, ResponseParserError)
"""No response, or one that cannot be parsed, such as the error page of a proxy."""

_ACCESS_DENIED_CODES = {"AccessDenied", "AccessDeniedException"}
_PAGING = {"Marker", "MaxItems", "MaxResults", "NextToken"}
"""The parameters of calls that list."""
# In addition to the codes of throttling. ConcurrentModification occurs if CloudFormation creates two resources for the
# same role at the same time. botocore does not retry it.
_RETRYABLE_CODES = {
    "ConcurrentModification",
    "EntityTemporarilyUnmodifiable",
    "RequestTimeout",
    "RequestTimeoutException",
}


def iam_action(method: Callable[..., Any]) -> str:
    """Return the IAM action that a method of a client needs: ``iam:GetRole`` for ``iam.get_role``."""
    bound_method: Any = method
    meta = bound_method.__self__.meta
    return f"{meta.service_model.service_name}:{meta.method_to_api_mapping[bound_method.__name__]}"


def is_throttling(code: str) -> bool:
    """Return whether an AWS error code means that there were too many calls."""
    return "throttl" in code.lower() or code in ("RequestLimitExceeded", "TooManyRequestsException")


def is_throttled(error: Exception, status: int) -> bool:
    """Return whether a call failed because there were too many."""
    return is_throttling(_code(error)) or status == 429


def _code(error: Exception) -> str:
    """Return AWS's error code; empty if there was no response."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def http_status(error: Exception) -> int:
    """Return the HTTP status of AWS's response; 0 if there was none."""
    response = error.response if isinstance(error, ClientError) else {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_retryable(error: Exception, status: int) -> bool:
    """Return whether the same call can succeed a little later."""
    if not isinstance(error, ClientError):
        return isinstance(error, NO_RESPONSE)
    return is_throttled(error, status) or _code(error) in _RETRYABLE_CODES or status >= 500


def to_request_error(error: Exception, action: str, parameters: Mapping[str, Any], in_doubt: bool) -> CallError:
    """Return the `CallError` for an error of botocore."""
    resource = _resource(parameters)
    if not isinstance(error, ClientError):
        is_network = isinstance(error, NO_RESPONSE)
        error_code = ErrorCode.NETWORK_FAILURE if is_network else ErrorCode.GENERAL_SERVICE_EXCEPTION
        name = type(error).__name__
        return AwsApiError(action, name, str(error), resource=resource, in_doubt=in_doubt, error_code=error_code)
    code, message = _code(error), error.response["Error"].get("Message", "")
    if code in _ACCESS_DENIED_CODES:
        return AccessDeniedError(action, code, message, resource=resource, in_doubt=in_doubt)
    return AwsApiError(action, code, message, resource=resource, in_doubt=in_doubt, error_code=_error_code(error))


def _resource(parameters: Mapping[str, Any]) -> str:
    """Return the secret, key, function or role of a call, which its first parameter names; empty if there is none."""
    named = (value for name, value in parameters.items() if name not in _PAGING)
    return str(next(named, ""))


def _error_code(error: ClientError) -> ErrorCode:
    status = http_status(error)
    if is_throttled(error, status):
        return ErrorCode.THROTTLING
    return ErrorCode.SERVICE_INTERNAL_ERROR if status >= 500 else ErrorCode.GENERAL_SERVICE_EXCEPTION
