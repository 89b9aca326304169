"""How a call is repeated: until the deadline of a request, or as boto3's adaptive mode does."""

from __future__ import annotations

import math
import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from rotation_role_policy.aws.errors import (
    FAILURES,
    NO_RESPONSE,
    http_status,
    iam_action,
    is_retryable,
    is_throttled,
    to_request_error,
)
from rotation_role_policy.errors import DeadlineExceededError

Parameters = ParamSpec("Parameters")
Response = TypeVar("Response")

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


class Retries(ABC):
    """A strategy: how often a call is repeated, and with which pauses."""

    def __init__(self) -> None:
        self.deadline = math.inf
        """In seconds of `time.monotonic`. No call or further attempt begins after it."""
        self.most_attempts = math.inf
        """Attempts of a call that fail for another reason than throttling."""

    def begin_request(self, deadline: float) -> None:
        """Set the deadline of a new request."""
        self.deadline = deadline

    @abstractmethod
    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the response. Raises `CallError`."""


class UntilDeadline(Retries):
    """Repeats calls until the deadline of a request.

    Throttling, concurrent writes, 5xx and lost connections are retried. The pauses after throttling grow with the
    number of throttled attempts of this request at the service.
    """

    def __init__(self) -> None:
        super().__init__()
        self._throttled: Counter[str] = Counter()

    def begin_request(self, deadline: float) -> None:
        """Set the deadline of a new request, and forget which calls of earlier requests were throttled."""
        super().begin_request(deadline)
        self._throttled.clear()

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the response.

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
            except FAILURES as error:
                status = http_status(error)
                in_doubt = in_doubt or isinstance(error, NO_RESPONSE) or status >= 500
                if is_throttled(error, status):
                    pause = self._throttled_pause(service)
                else:
                    pause = random.uniform(0, longest_pause)  # noqa: S311  # jitter, not cryptographic
                    longest_pause = min(_LONGEST_PAUSE, 2 * longest_pause)
                    failures += 1
                if (
                    not is_retryable(error, status)
                    or failures >= self.most_attempts
                    or time.monotonic() + pause >= self.deadline
                ):
                    raise to_request_error(error, action, parameters, in_doubt) from error
            time.sleep(pause)

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
