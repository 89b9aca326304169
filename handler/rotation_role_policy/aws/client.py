"""Calls to AWS: one session, clients built on first use, retries until a deadline, errors as `RequestError`.

`Aws.call` is the one place where the provider calls AWS. The types come from types-boto3, which is installed only for
development.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import botocore.session

# isort: split
# After botocore: importing boto3 first takes 10 ms more CPU time.
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

from rotation_role_policy.aws import transport
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, CallError, DeadlineExceededError, ErrorCode

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_iam import IAMClient
    from types_boto3_kms import KMSClient
    from types_boto3_lambda import LambdaClient
    from types_boto3_secretsmanager import SecretsManagerClient

Client = TypeVar("Client")
Parameters = ParamSpec("Parameters")
Response = TypeVar("Response")

_SERVICES = ["cloudformation", "iam", "kms", "lambda", "secretsmanager"]

# botocore does not retry: it limits the number of attempts, and here the time that is left is the limit.
CLIENT_CONFIG = Config(
    connect_timeout=transport.CONNECT_SECONDS,
    read_timeout=transport.READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": 1},
)

_THROTTLED_PAUSES = ((0, 4), (2, 16), (10, 26), (16, 26))
"""Minimum and maximum, in seconds, of the random pause after the first, second, third and each further throttled
attempt of a request. All users of IAM in the account share its rate, so unnecessary attempts slow down other callers.
A few throttled requests succeed after one or two short pauses. If hundreds are throttled, the pauses grow within three
attempts to a length that spreads the attempts over time. The last range is narrow, because the slowest request
determines the total time. ``make load`` measures the effect."""
_THROTTLED_INTERVAL = (0.5, 1.5)
"""Minimum and maximum, in seconds, of the random pause before each further call of a request that was throttled."""
_SHARE_OF_TIME_LEFT = 10
"""A throttled request pauses for at most a tenth of the time that is left, so the pauses shorten near the deadline."""

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
"""Seconds. After any other retryable error, the pause is a random part of `_FIRST_PAUSE`, which doubles with each
attempt up to `_LONGEST_PAUSE`. The doubling starts again with each call, because other writers on the same role are
few.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html"""

NEW_ROLE_SECONDS = 15
_NEW_ROLE_PAUSE = 2.0
"""Seconds. IAM is eventually consistent: for a while it may not find a role that was created just now.
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency"""

_ACCESS_DENIED_CODES = {"AccessDenied", "AccessDeniedException"}

# In addition to the codes of throttling. ConcurrentModification occurs if CloudFormation creates two resources for the
# same role at the same time. botocore does not retry it.
_RETRYABLE_CODES = {
    "ConcurrentModification",
    "EntityTemporarilyUnmodifiable",
    "RequestTimeout",
    "RequestTimeoutException",
}
# No response, or one that cannot be parsed, such as the error page of a proxy.
_NO_RESPONSE = (HTTPClientError, NoConnection, ResponseParserError)


def iam_action(method: Callable[..., Any]) -> str:
    """Return the IAM action that a method of a client needs: ``iam:GetRole`` for ``iam.get_role``."""
    bound_method: Any = method
    meta = bound_method.__self__.meta
    return f"{meta.service_model.service_name}:{meta.method_to_api_mapping[bound_method.__name__]}"


class Aws:
    """Calls AWS with the methods of boto3's clients: ``aws.call(aws.iam.get_role, RoleName="rotation-role")``.

    The constructor builds nothing. The session and a client are built when the client is first used.
    """

    deadline = math.inf
    """In seconds of `time.monotonic`. No call or further attempt begins after it. Set for each request."""
    client_config = CLIENT_CONFIG
    """botocore's configuration of the clients."""
    waits_for_new_roles = False
    """Whether `call_on_role` waits for a role that IAM does not find, because it may have been created just now."""

    def __init__(self) -> None:
        self._max_attempts = math.inf
        self._throttled: Counter[str] = Counter()

    # --- clients ---

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """The client of CloudFormation."""
        return self._configure(self._session.client("cloudformation", config=self.client_config))

    @cached_property
    def iam(self) -> IAMClient:
        """The client of IAM."""
        return self._configure(self._session.client("iam", config=self.client_config))

    @cached_property
    def kms(self) -> KMSClient:
        """The client of KMS."""
        return self._configure(self._session.client("kms", config=self.client_config))

    @cached_property
    def lambda_(self) -> LambdaClient:
        """The client of Lambda."""
        return self._configure(self._session.client("lambda", config=self.client_config))

    @cached_property
    def secretsmanager(self) -> SecretsManagerClient:
        """The client of Secrets Manager."""
        client = self._configure(self._session.client("secretsmanager", config=self.client_config))
        client.meta.events.register("after-call.secretsmanager.DescribeSecret", _keep_cross_account_primary)
        return client

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(botocore_session=self._botocore_session)

    @cached_property
    def _botocore_session(self) -> botocore.session.Session:
        session = botocore.session.get_session()
        session.register_component("data_loader", _Loader())
        return session

    def _configure(self, client: Client) -> Client:
        """Prepare a new client, and return it."""
        transport.install(client)
        return client

    def region(self) -> str:
        """Return the region of the calls, for error messages: a resource of another region is not found."""
        return self._session.region_name

    def dns_suffix(self, partition: str) -> str:
        """Return the DNS suffix of a partition, such as ``amazonaws.com``, from botocore's data."""
        partitions = self._botocore_session.get_data("partitions")["partitions"]
        return str(next(row["outputs"]["dnsSuffix"] for row in partitions if row["id"] == partition))

    # --- calls ---

    def begin_request(self, deadline: float) -> None:
        """Set the deadline of a new request, and forget which calls of earlier requests were throttled."""
        self.deadline = deadline
        self._throttled.clear()

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the response.

        Throttling, concurrent writes, 5xx and lost connections are retried until the deadline. The pauses after
        throttling grow with the number of throttled attempts of this request at the service.

        Args:
            method: a client method, such as ``aws.secretsmanager.describe_secret``.
            args: none. The methods of clients have only keyword arguments.
            parameters: parameters of the operation.

        Raises:
            AccessDeniedError: AWS denies the call.
            AwsApiError: any other failure, with AWS's error code.
            DeadlineExceededError: the deadline has passed before the first attempt.
        """
        action = iam_action(method)
        service = action.split(":")[0]
        if time.monotonic() >= self.deadline:
            raise DeadlineExceededError
        in_doubt = False
        longest_pause = _FIRST_PAUSE
        failures = 0
        if self._throttled[service]:
            interval = random.uniform(*_THROTTLED_INTERVAL)  # noqa: S311  # jitter, not cryptographic
            time.sleep(min(interval, self._longest_pause()))
        while True:
            try:
                return method(*args, **parameters)
            except (ClientError, BotoCoreError, ResponseParserError) as error:
                status = _http_status(error)
                in_doubt = in_doubt or isinstance(error, _NO_RESPONSE) or status >= 500
                if _is_throttled(error, status):
                    pause = self._throttled_pause(service)
                else:
                    pause = random.uniform(0, longest_pause)  # noqa: S311  # jitter, not cryptographic
                    longest_pause = min(_LONGEST_PAUSE, 2 * longest_pause)
                    failures += 1
                if (
                    not _is_retryable(error, status)
                    or failures >= self._max_attempts
                    or time.monotonic() + pause >= self.deadline
                ):
                    raise to_request_error(error, action, parameters, in_doubt) from error
            time.sleep(pause)

    def call_on_role(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call IAM for a role that must exist. As `call`.

        If `waits_for_new_roles` is set, NoSuchEntity is retried for `NEW_ROLE_SECONDS`.
        """
        not_found_until = math.inf
        while True:
            try:
                return self.call(method, *args, **parameters)
            except AwsApiError as failure:
                if failure.code != "NoSuchEntity" or not self.waits_for_new_roles:
                    raise
                now = time.monotonic()
                not_found_until = min(not_found_until, now + NEW_ROLE_SECONDS)
                if now + _NEW_ROLE_PAUSE >= min(not_found_until, self.deadline):
                    raise
            time.sleep(_NEW_ROLE_PAUSE)

    def paginate(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Iterator[Response]:
        """Yield the pages of an operation, with one call for each page. A role must exist, as for `call_on_role`."""
        any_method: Callable[..., Response] = method
        token: dict[str, str] = {}
        while True:
            page = self.call_on_role(any_method, *args, **parameters, **token)
            yield page
            token = _next_token(page)
            if not token:
                return

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Limit the calls in the block to `seconds`, or to the deadline if that is earlier."""
        deadline = self.deadline
        self.deadline = min(deadline, time.monotonic() + seconds)
        try:
            yield
        finally:
            self.deadline = deadline

    @contextmanager
    def max_attempts(self, limit: int) -> Iterator[None]:
        """Limit each call in the block to `limit` attempts that fail for another reason than throttling."""
        previous = self._max_attempts
        self._max_attempts = limit
        try:
            yield
        finally:
            self._max_attempts = previous

    def _throttled_pause(self, service: str) -> float:
        """Count a throttled attempt, and return the seconds to pause after it."""
        pauses = _THROTTLED_PAUSES[min(self._throttled[service], len(_THROTTLED_PAUSES) - 1)]
        self._throttled[service] += 1
        pause = random.uniform(*pauses)  # noqa: S311  # jitter, not cryptographic
        # At least as long as the first pauses. Otherwise the attempts would all happen in the last seconds.
        return min(pause, max(_THROTTLED_PAUSES[0][1], self._longest_pause()))

    def _longest_pause(self) -> float:
        """Return the seconds that a throttled request may pause, so that several attempts fit before the deadline."""
        return max(0.0, self.deadline - time.monotonic()) / _SHARE_OF_TIME_LEFT


def _keep_cross_account_primary(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    """Add `CrossAccountPrimary` to a response of DescribeSecret.

    Versions of botocore before 1.44.8, such as that of the Lambda runtime, do not know this member and remove it.
    """
    if primary := json.loads(http_response.content).get("CrossAccountPrimary"):
        parsed["CrossAccountPrimary"] = primary


class _Loader(Loader):
    """A loader that knows the services in use. botocore's own loader lists the data of all services, twice."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002  # botocore's signature
        return _SERVICES


def _next_token(page: Any) -> dict[str, str]:
    """Return the parameter that requests the page after this one; empty if this is the last page."""
    if page.get("IsTruncated"):  # IAM
        return {"Marker": page["Marker"]}
    if page.get("NextToken"):  # CloudFormation, Secrets Manager
        return {"NextToken": page["NextToken"]}
    if page.get("NextMarker"):  # Lambda
        return {"Marker": page["NextMarker"]}
    return {}


def is_throttling(code: str) -> bool:
    """Return whether an AWS error code means that there were too many calls."""
    return "throttl" in code.lower() or code in ("RequestLimitExceeded", "TooManyRequestsException")


def _is_throttled(error: Exception, status: int) -> bool:
    return is_throttling(_code(error)) or status == 429


def _code(error: Exception) -> str:
    """Return AWS's error code; empty if there was no response."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def _http_status(error: Exception) -> int:
    """Return the HTTP status of AWS's response; 0 if there was none."""
    response = error.response if isinstance(error, ClientError) else {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_retryable(error: Exception, status: int) -> bool:
    """Return whether the same call can succeed a little later."""
    if not isinstance(error, ClientError):
        return isinstance(error, _NO_RESPONSE)
    return _is_throttled(error, status) or _code(error) in _RETRYABLE_CODES or status >= 500


def to_request_error(error: Exception, action: str, parameters: Mapping[str, Any], in_doubt: bool) -> CallError:
    """Return the `CallError` for an error of botocore."""
    # The first parameter names the secret, key, function or role of the call. Some calls have no parameter.
    resource = str(next(iter(parameters.values()), ""))
    if not isinstance(error, ClientError):
        is_network = isinstance(error, _NO_RESPONSE)
        error_code = ErrorCode.NETWORK_FAILURE if is_network else ErrorCode.GENERAL_SERVICE_EXCEPTION
        name = type(error).__name__
        return AwsApiError(action, name, str(error), resource=resource, in_doubt=in_doubt, error_code=error_code)
    code, message = _code(error), error.response["Error"].get("Message", "")
    if code in _ACCESS_DENIED_CODES:
        return AccessDeniedError(action, code, message, resource=resource, in_doubt=in_doubt)
    return AwsApiError(action, code, message, resource=resource, in_doubt=in_doubt, error_code=_error_code(error))


def _error_code(error: ClientError) -> ErrorCode:
    status = _http_status(error)
    if _is_throttled(error, status):
        return ErrorCode.THROTTLING
    return ErrorCode.SERVICE_INTERNAL_ERROR if status >= 500 else ErrorCode.GENERAL_SERVICE_EXCEPTION
