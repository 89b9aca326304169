"""Between CloudFormation and the rest: a checked request comes in, one delivered answer goes out.

crhelper does what it is for (which handler, when time runs out, what an exception answers). What it leaves open is
closed here: it is given no event that is not a request, none of its polling, and it does not deliver (README, "What you
can rely on").
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from crhelper import FAILED, SUCCESS, CfnResource

from rotation_role_policy.cloudformation.request import checked, service_timeout, uncreated_id
from rotation_role_policy.cloudformation.response import ANSWER_LIMIT, composed, deliver, encoded
from rotation_role_policy.errors import CallFailed, Kind, OutOfTime, Refused, Undelivered
from rotation_role_policy.log import facts, measured

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 15
"""Kept free at the end of an invocation, in which the answer is delivered and, if need be, delivered again."""

WARNINGS = ("AccessCheckWarnings", "RollbackWarnings")
"""The metrics of warnings: grants of which the access check left open whether they take effect, and Updates of a
rollback that left the policy as it stood."""


class CustomResource(CfnResource):
    """crhelper's `CfnResource` with a checked event before it and a delivered answer after it."""

    ends: float
    """When Lambda ends the invocation, or CloudFormation the waiting, in seconds of `time.monotonic`."""
    answers_by: float
    """When the request is answered with FAILED if nothing else has been answered, likewise."""
    reserve: float
    """Seconds before that, for the handler to undo what it cannot finish."""

    def __init__(self) -> None:
        # Where AWS_SAM_LOCAL is set while it is constructed, crhelper builds none of its three clients for polling.
        outside = os.environ.get("AWS_SAM_LOCAL")
        os.environ["AWS_SAM_LOCAL"] = "true"
        try:
            super().__init__(log_level="WARNING", boto_level="WARNING", sleep_on_delete=0)
        finally:
            if outside is None:
                del os.environ["AWS_SAM_LOCAL"]
            else:
                os.environ["AWS_SAM_LOCAL"] = outside
        self._is_first = True
        # crhelper logs what it catches with its stack; the handlers log what they refuse in their own words.
        logging.getLogger("crhelper").setLevel(logging.CRITICAL)

    def __call__(self, event: Any, context: Any) -> None:
        """Serves one request of CloudFormation's.

        Raises `NotARequest` before anything is done or sent, `Undelivered` where the answer did not arrive.
        """
        request = checked(event)
        left = min(context.get_remaining_time_in_millis() / 1000, service_timeout(request))
        self.ends = time.monotonic() + left
        # An invocation that is shorter than the template's gives its answer a quarter.
        self.answers_by = self.ends - min(ANSWER_SECONDS, left / 4)
        # Each request has its own: a timer that wakes up late finds the one that it was set for.
        self._answer = Answer(request, context, self.ends, is_first=self._is_first)
        self._is_first = False
        super().__call__(request, context)
        if not self._answer.is_delivered:
            raise Undelivered(f"no answer was delivered for request {request['RequestId']}")

    def generate_physical_id(self, event: Mapping[str, Any]) -> str:
        """Called by crhelper for an answer without an ID."""
        return uncreated_id(event)

    def refuse_late(self) -> None:
        """Raises `OutOfTime` where the request was answered because time ran out; else it no longer can be."""
        if not self._answer.disarm():
            raise OutOfTime

    @property
    def answered_id(self) -> str:
        """The physical ID of the answer that was given; empty before."""
        return self._answer.physical_id

    def count(self, warning: str) -> None:
        """Count a warning of this request for the metric of this name, such as ``AccessCheckWarnings``."""
        self._answer.warnings[warning] += 1

    def succeed_on_timeout(self, physical_id: str, data: Mapping[str, str]) -> None:
        """Have the request answered with SUCCESS, and with these, if time runs out: not with FAILED."""
        self._answer.on_timeout = (physical_id, data)

    def fail_on_timeout(self) -> None:
        """Have the request answered with FAILED if time runs out: the default."""
        self._answer.on_timeout = None

    def _wrap_function(self, func: Any) -> None:
        """Called by crhelper, which answers whatever `func` raises with FAILED and its text."""
        super()._wrap_function(lambda event, context: self._judged(func, event, context))  # type: ignore[misc]

    def _judged(self, func: Any, event: Mapping[str, Any], context: Any) -> Any:
        """What `func` gives. What it raises is logged, and is given a text for the reader of the stack's events."""
        try:
            return func(event, context)
        except (Refused, CallFailed) as refused:
            self._answer.kind = refused.kind
            said_by_aws = getattr(refused, "message", None)
            logger.warning("refused", extra=facts(kind=refused.kind, why=str(refused), aws=said_by_aws))
            raise
        except Exception as error:
            logger.exception("failed")
            raise RuntimeError(
                f"The provider function failed unexpectedly ({type(error).__name__}). Its log stream"
                f" {context.log_stream_name} says where."
            ) from error

    def _set_timeout(self) -> None:
        """Called by crhelper before the handler."""
        answer = self._answer
        self._timer = threading.Timer(
            self.answers_by - time.monotonic(), lambda: answer.give_late(str(OutOfTime()), self.PhysicalResourceId)
        )
        self._timer.daemon = True
        self._timer.start()

    def _send(self, status: str | None = None, reason: str = "") -> None:
        """Called by crhelper at the end."""
        status, reason = (status, reason) if status else (self.Status, self.Reason)
        self._answer.give(status, reason, self.PhysicalResourceId, self.Data if status != FAILED else {})


class Answer:
    """The one answer to one request: the first that is given is delivered."""

    def __init__(self, request: Mapping[str, Any], context: Any, ends: float, *, is_first: bool) -> None:
        self._request = request
        self._context = context
        self._ends = ends
        self._begun = time.monotonic()
        self._is_first = is_first
        self._lock = threading.Lock()
        self._is_given = False
        self._can_be_late = True
        self.is_delivered = False
        self.kind = Kind.UNEXPECTED
        """What the request failed of, if it fails."""
        self.warnings: Counter[str] = Counter(dict.fromkeys(WARNINGS, 0))
        """How many warnings there were, by the name of their metric."""
        self.physical_id = ""
        """Of the answer, once it is given."""
        self.on_timeout: tuple[str, Mapping[str, str]] | None = None
        """The physical ID and attributes of the SUCCESS that is answered if time runs out; None for FAILED."""

    def disarm(self) -> bool:
        """Whether no answer was given yet; from then on `give_late` gives none."""
        with self._lock:
            self._can_be_late = False
            return not self._is_given

    def give_late(self, reason: str, physical_id: str) -> None:
        """FAILED, or SUCCESS `on_timeout`, from the timer's thread, because time runs out while the handler works."""
        with self._lock:
            if self._can_be_late and self.on_timeout:
                self.warnings["RollbackWarnings"] += not self._is_given
                with suppress(Undelivered):
                    self._give(SUCCESS, "", *self.on_timeout)
                return
            # Only a Create's answer says what its id will have been.
            if self._request["RequestType"] != "Create":
                physical_id = ""
            if self._can_be_late:
                self.kind = Kind.OUT_OF_TIME
                # Where this one is not delivered the invocation fails, once the handler is back.
                with suppress(Undelivered):
                    self._give(FAILED, reason, physical_id, {})

    def give(self, status: str, reason: str, physical_id: str, data: Mapping[str, str]) -> None:
        """Delivers the answer. One that is under way is waited for."""
        with self._lock:
            self._give(status, reason, physical_id, data)

    def _give(self, status: str, reason: str, physical_id: str, data: Mapping[str, str]) -> None:
        if self._is_given:
            return
        self._is_given = True
        request = self._request
        physical_id = physical_id or request.get("PhysicalResourceId") or uncreated_id(request)
        self.physical_id = physical_id
        answer = composed(request, status, reason, physical_id, data)
        body = encoded(answer)
        while len(body) > ANSWER_LIMIT and answer["Reason"]:
            # A character takes at most 12 bytes of JSON; the point of a reason is at its end.
            too_many = (len(body) - ANSWER_LIMIT) // 12 + 1
            answer["Reason"] = answer["Reason"][too_many:]
            body = encoded(answer)
        logger.info(
            "answering",
            extra=facts(
                status=status,
                reason=answer["Reason"],
                physical_id=physical_id,
                **measured(
                    self._context.function_name,
                    kind=self.kind if status == FAILED else "",
                    Requests=1,
                    FailedRequests=int(status == FAILED),
                    Duration=round(1000 * (time.monotonic() - self._begun)),
                    ColdStarts=int(self._is_first),
                    **self.warnings,
                ),
            ),
        )
        deliver(request["ResponseURL"], body, self._ends)
        self.is_delivered = True
