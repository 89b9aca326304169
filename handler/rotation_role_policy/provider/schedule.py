"""When a request has to be where: every instant of an invocation, computed once.

An invocation ends when Lambda ends it or when CloudFormation stops waiting, whichever is first. From there, time is
kept free backwards: to deliver the response, and before that to undo a write that came too late.
Source: docs/guarantees.md, "One response per request" and "Rollbacks".
"""

import time
from dataclasses import dataclass

from rotation_role_policy.provider.request import Request

RESPONSE_SECONDS = 15
"""Seconds at the end of an invocation that are kept free to send the response, if necessary several times."""

UNDO_SECONDS = 30
"""Seconds before the response that are kept free for a last call that hangs, and to undo a write that came too late."""


@dataclass(frozen=True)
class Schedule:
    """The instants of one invocation in their order, in seconds of `time.monotonic`."""

    calls_until: float
    """The calls that serve the request."""
    stack_status_until: float
    """An Update that cannot be served asks until then whether its stack is rolling back."""
    second_attempt_until: float
    """If its stack is rolling back, the Update is served once more."""
    existing_policy_until: float
    """If that fails too, the existing policy is looked up for the response."""
    respond_at: float
    """The timer responds, if the handler has not finished."""
    undo_until: float
    """A write is undone. Later than the timer's response, because a call can hang until then; early enough that a call
    that hangs ends before Lambda's timeout, because Lambda would run an invocation that times out again."""
    deliver_until: float
    """The delivery of the response is repeated."""

    @classmethod
    def of(cls, request: Request, seconds: float) -> "Schedule":
        """Return the schedule of a request whose invocation has `seconds` left."""
        now = time.monotonic()
        seconds = min(seconds, request.service_timeout)
        # A quarter of the time, if the invocation is shorter than the template's.
        response_seconds = min(RESPONSE_SECONDS, seconds / 4)
        respond_at = now + seconds - response_seconds
        # A Delete has nothing to undo.
        undo_seconds = 0 if request.type == "Delete" else min(UNDO_SECONDS, (respond_at - now) / 3)
        return cls(
            calls_until=respond_at - undo_seconds,
            stack_status_until=respond_at - undo_seconds * 2 / 3,
            second_attempt_until=respond_at - undo_seconds / 3,
            existing_policy_until=respond_at - 1,
            respond_at=respond_at,
            undo_until=respond_at + response_seconds / 10,
            deliver_until=now + seconds,
        )
