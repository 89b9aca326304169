"""The way to AWS: one session, clients built when they are first needed, retries and time-outs set once."""

import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

from rotation_role_policy.aws import transport
from rotation_role_policy.errors import CallFailed, OutOfTime, ProviderDenied, Refused, quoted

_SERVICES = ["cloudformation", "iam", "kms", "lambda", "secretsmanager"]

# Tries are made here alone: botocore would bound them by their number, where it is the time left that bounds them.
_CONFIG = Config(
    connect_timeout=transport.CONNECT_SECONDS,
    read_timeout=transport.READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": 1},
)

_THROTTLED_PAUSES = ((0, 4), (2, 16), (10, 26), (16, 26))
"""Seconds, from and to, of the random pause after the first, second, third and each further throttled try of a request.
IAM's rate is the account's: each try too many takes from others who use IAM. A few requests are served after one or two
short pauses. If hundreds are throttled, the pauses grow within three tries to what spreads their tries over time. The
last pair is narrow because the slowest request makes the total time. ``make load`` measures the effect."""
_THROTTLED_INTERVAL = (0.5, 1.5)
"""Seconds, from and to, of the random pause before each further call of a request that was throttled."""
_SHARE_OF_TIME_LEFT = 10
"""A throttled request may pause for one tenth of the time that is left to it: the nearer its deadline, the shorter."""

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
"""Seconds. After any other retryable error, a pause takes a random part of the first, doubled with each try up to the
longest. The count starts anew with each call: other writers on the same role are few, and soon done.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html"""

NEW_ROLE_SECONDS = 15
_NEW_ROLE_PAUSE = 2.0
"""Seconds. IAM is eventually consistent: it can deny for a while that a role exists which was created just now.
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency"""

_DENIED = {"AccessDenied", "AccessDeniedException"}

_LIMITED_BY = {
    "secretsmanager": "its stack's parameters SecretNamePattern and RequiredSecretTag",
    "iam:PutRolePolicy": "its stack's parameters RoleNamePattern, RequiredRoleTag and RequiredRoleBoundaryArn",
    "iam": "its stack's parameter RoleNamePattern",
    "kms": "the key's policy",
}
"""What limits the provider's calls besides SCPs and a permissions boundary, by action, else by service. The parameters
are those of template.yaml."""

# Besides all whose name says that they throttle. Two policies on one role are written at the same time where
# CloudFormation creates two resources; botocore itself does not try ConcurrentModification again.
_PASSING = {
    "ConcurrentModification",
    "EntityTemporarilyUnmodifiable",
    "RequestTimeout",
    "RequestTimeoutException",
}
# No answer at all, or one that cannot be read: such as a page of a proxy's.
_NO_ANSWER = (HTTPClientError, NoConnection, ResponseParserError)


def what_to_check(action: str) -> str:
    """List what can deny `action` to the provider, the most likely cause last: the end of a sentence of a reason."""
    limit = _LIMITED_BY.get(action) or _LIMITED_BY.get(action.split(":")[0])
    if limit is None:
        return "SCPs and the provider's permissions boundary"
    return f"SCPs, the provider's permissions boundary, and {limit}"


class Aws:
    """Calls to AWS by the names of the API, which are those of the IAM actions too.

    Building one costs nothing: the session comes with the first call, a client with the first call to its service.
    """

    deadline = math.inf
    """Seconds of `time.monotonic`, set for each request: no call is begun, or tried again, after it."""
    waits_for_new_roles = False
    """Whether a role that IAM does not find may have been created seconds ago, in the same stack operation."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}
        self._throttled: Counter[str] = Counter()

    def start_request(self, deadline: float) -> None:
        """Set the deadline of a new request. What was throttled in an earlier request no longer counts."""
        self.deadline = deadline
        self._throttled.clear()

    def call(self, service: str, operation: str, *, tries: float = math.inf, **parameters: Any) -> dict[str, Any]:
        """The response to `operation` (such as ``DescribeSecret``) of `service` (such as ``secretsmanager``).

        What passes by itself (throttling, other writers, 5xx, a lost connection) is tried again until the deadline.
        The pauses after throttling grow with all throttled tries of the service in this request.
        `tries` bounds the tries that fail for another reason than throttling.
        Raises `ProviderDenied` where AWS denies the call, `CallFailed` with AWS's error code for any other failure,
        `OutOfTime` where there is no time for it.
        """
        method = getattr(self._client(service), xform_name(operation))
        action = f"{service}:{operation}"
        if time.monotonic() >= self.deadline:
            raise OutOfTime
        in_doubt = False
        longest_pause = _FIRST_PAUSE
        failures = 0
        if self._throttled[service]:
            interval = random.uniform(*_THROTTLED_INTERVAL)  # noqa: S311  # jitter, no secret
            time.sleep(min(interval, self._longest_pause()))
        while True:
            try:
                response: dict[str, Any] = method(**parameters)
                return response
            except (ClientError, BotoCoreError, ResponseParserError) as error:
                status = _http_status(error)
                in_doubt = in_doubt or isinstance(error, _NO_ANSWER) or status >= 500
                if _is_throttled(error, status):
                    pause = self._throttled_pause(service)
                else:
                    pause = random.uniform(0, longest_pause)  # noqa: S311  # jitter, no secret
                    longest_pause = min(_LONGEST_PAUSE, 2 * longest_pause)
                    failures += 1
                if not _passes(error, status) or failures >= tries or time.monotonic() + pause >= self.deadline:
                    raise _translated(error, action, parameters, in_doubt) from error
            time.sleep(pause)

    def _throttled_pause(self, service: str) -> float:
        """Count a throttled try, and return the seconds to pause after it."""
        pauses = _THROTTLED_PAUSES[min(self._throttled[service], len(_THROTTLED_PAUSES) - 1)]
        self._throttled[service] += 1
        pause = random.uniform(*pauses)  # noqa: S311  # jitter, no secret
        # Not for less than the first pauses: the last seconds would be full of tries.
        return min(pause, max(_THROTTLED_PAUSES[0][1], self._longest_pause()))

    def _longest_pause(self) -> float:
        """The seconds for which a throttled request may pause now: several tries must fit before the deadline."""
        return max(0.0, self.deadline - time.monotonic()) / _SHARE_OF_TIME_LEFT

    def call_on_role(self, operation: str, *, tries: float = math.inf, **parameters: Any) -> dict[str, Any]:
        """As `call`, for an operation of IAM on a role that must exist.

        If `waits_for_new_roles`, a role that IAM does not find is looked for again for `NEW_ROLE_SECONDS`.
        """
        not_found_until = math.inf
        while True:
            try:
                return self.call("iam", operation, tries=tries, **parameters)
            except CallFailed as failure:
                if failure.code != "NoSuchEntity" or not self.waits_for_new_roles:
                    raise
                now = time.monotonic()
                not_found_until = min(not_found_until, now + NEW_ROLE_SECONDS)
                if now + _NEW_ROLE_PAUSE >= min(not_found_until, self.deadline):
                    raise
            time.sleep(_NEW_ROLE_PAUSE)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Gives the calls in the block so many seconds, where there is as much left."""
        deadline = self.deadline
        self.deadline = min(deadline, time.monotonic() + seconds)
        try:
            yield
        finally:
            self.deadline = deadline

    def items(self, operation: str, key: str, **parameters: Any) -> Iterator[Any]:
        """The items under `key` in all pages of the response to an operation of IAM on a role.

        `parameters` and errors are those of `call_on_role`.
        """
        marker: dict[str, Any] = {}
        while True:
            page = self.call_on_role(operation, **parameters, **marker)
            yield from page.get(key, ())
            if not page.get("IsTruncated"):
                return
            marker = {"Marker": page["Marker"]}

    def region(self) -> str:
        """The region that the calls go to, for reasons: a secret of another region is not found in this one."""
        return str(self._core.get_config_variable("region"))

    def dns_suffix(self, partition: str) -> str:
        """The partition's DNS suffix, such as ``amazonaws.com``, from botocore's own data."""
        partitions = self._core.get_data("partitions")["partitions"]
        return str(next(row["outputs"]["dnsSuffix"] for row in partitions if row["id"] == partition))

    @cached_property
    def _core(self) -> botocore.session.Session:
        session = botocore.session.get_session()
        session.register_component("data_loader", _Loader())
        return session

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._core.create_client(service, config=_CONFIG)
            self._connect(self._clients[service])
        return self._clients[service]

    def _connect(self, client: Any) -> None:
        transport.use(client)


class _Loader(Loader):  # type: ignore[misc]  # botocore has no types
    """botocore's own, which looks through the data of all services, twice, to see whether it has ours."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002  # botocore's signature
        return _SERVICES


def is_throttling(code: str) -> bool:
    """Whether an error code of AWS's says that there were too many calls."""
    return "throttl" in code.lower() or code in ("RequestLimitExceeded", "TooManyRequestsException")


def _is_throttled(error: Exception, status: int) -> bool:
    return is_throttling(_code(error)) or status == 429


def _code(error: Exception) -> str:
    """AWS's error code; empty if AWS did not answer."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def _http_status(error: Exception) -> int:
    """The HTTP status of AWS's answer; 0 where there is none."""
    response = error.response if isinstance(error, ClientError) else {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _passes(error: Exception, status: int) -> bool:
    """Whether the same call can succeed a little later."""
    if not isinstance(error, ClientError):
        return isinstance(error, _NO_ANSWER)
    return _is_throttled(error, status) or _code(error) in _PASSING or status >= 500


def _translated(error: Exception, action: str, parameters: dict[str, Any], in_doubt: bool) -> Refused | CallFailed:
    if not isinstance(error, ClientError):
        return CallFailed(action, type(error).__name__, str(error), in_doubt=in_doubt)
    code = error.response["Error"]["Code"]
    message = error.response["Error"].get("Message", "")
    if code not in _DENIED:
        return CallFailed(action, code, message, in_doubt=in_doubt)
    # The first parameter names what the call is about: the secret, key, function or role. Some calls have none.
    about = "".join(f" on {quoted(value)}" for value in list(parameters.values())[:1])
    return ProviderDenied(
        action,
        message,
        f"AWS denies the provider {action}{about}. Check {what_to_check(action)}.",
        in_doubt=in_doubt,
    )
