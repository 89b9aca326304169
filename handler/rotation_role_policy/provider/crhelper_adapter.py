"""crhelper's custom resource with what it lacks: a validated event, a time limit, and exactly one delivered response.

crhelper calls the handler function for the request type, starts the timer, and turns an exception into a FAILED
response. Here, events that are not requests are rejected first, crhelper's polling is switched off, and the response is
sent with retries. If it cannot be delivered, the invocation fails, so that Lambda delivers the event again.
Source: docs/guarantees.md, "One response per request".
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from crhelper import FAILED, SUCCESS, CfnResource

from rotation_role_policy.errors import DeadlineExceededError, ErrorCode, RequestError, ResponseDeliveryError
from rotation_role_policy.provider.metrics import emf_metrics
from rotation_role_policy.provider.request import REQUIRED_KEYS, Request, parse_request
from rotation_role_policy.provider.response import build, send, serialize, shorten_reason

logger = logging.getLogger(__name__)

RESPONSE_SECONDS = 15
"""Seconds at the end of an invocation that are kept free to send the response, if necessary several times."""

WARNINGS = ("AccessCheckWarnings", "RollbackWarnings")
"""Metrics of warnings: grants that the access check could not decide, and Updates of a rollback that kept the existing
policy."""


class CustomResource(CfnResource):
    """crhelper's `CfnResource` for validated events, with exactly one delivered response."""

    deadline: float
    """When Lambda ends the invocation, or CloudFormation stops waiting, in seconds of `time.monotonic`."""
    response_deadline: float
    """When the timer responds, if the handler has not finished; in seconds of `time.monotonic`."""
    undo_seconds: float
    """Seconds before `response_deadline` that are kept free to undo an unfinished write."""

    def __init__(self) -> None:
        # If AWS_SAM_LOCAL is set, crhelper's constructor builds none of its three clients for polling.
        original = os.environ.get("AWS_SAM_LOCAL")
        os.environ["AWS_SAM_LOCAL"] = "true"
        try:
            super().__init__(log_level="WARNING", boto_level="WARNING", sleep_on_delete=0)
        finally:
            if original is None:
                del os.environ["AWS_SAM_LOCAL"]
            else:
                os.environ["AWS_SAM_LOCAL"] = original
        self._is_cold_start = True
        # crhelper logs each exception with its stack trace. `_with_error_handling` logs it instead.
        logging.getLogger("crhelper").setLevel(logging.CRITICAL)

    def __call__(self, event: Any, context: Any) -> None:
        """Serve one request.

        Raises:
            InvalidEventError: the event is not a CloudFormation request. Nothing was done or sent.
            ResponseDeliveryError: the response did not arrive.
        """
        request = parse_request(event)
        remaining = min(context.get_remaining_time_in_millis() / 1000, request.service_timeout)
        self.deadline = time.monotonic() + remaining
        # A quarter of the time, if the invocation is shorter than the template's.
        self.response_deadline = self.deadline - min(RESPONSE_SECONDS, remaining / 4)
        # A new object for each request, so that a late timer finds the response of its own request.
        self._response = SingleResponse(request, context, self.deadline, is_cold_start=self._is_cold_start)
        self._is_cold_start = False
        # crhelper would interpret other keys (CrHelperPoll, CrHelperData).
        super().__call__({key: event[key] for key in REQUIRED_KEYS}, context)
        if not self._response.is_delivered:
            raise ResponseDeliveryError(f"no response was delivered for request {request.request_id}")

    def generate_physical_id(self, _event: Any) -> str:
        """Return the physical ID of a response without one. Called by crhelper."""
        return self._response.request.physical_id or self._response.request.uncreated_id

    def raise_if_timed_out(self) -> None:
        """Raise `DeadlineExceededError` if the timer has responded. If not, the timer can no longer respond."""
        if not self._response.cancel_timeout():
            raise DeadlineExceededError

    @property
    def sent_physical_id(self) -> str:
        """The physical ID of the response; empty if none was sent yet."""
        return self._response.physical_id

    def count_warning(self, metric: str) -> None:
        """Count a warning of this request for one of the metrics `WARNINGS`."""
        self._response.warnings[metric] += 1

    def succeed_on_timeout(self, physical_id: str, data: Mapping[str, str]) -> None:
        """Let the timer respond with SUCCESS, this physical ID and these attributes."""
        self._response.on_timeout = (physical_id, data)

    def fail_on_timeout(self) -> None:
        """Let the timer respond with FAILED, which is the default."""
        self._response.on_timeout = None

    def _wrap_function(self, func: Any) -> None:
        """Wrap a handler function. Called by crhelper, which responds to an exception with FAILED and its text."""
        super()._wrap_function(lambda _event, context: self._with_error_handling(func, context))  # type: ignore[misc]

    def _with_error_handling(self, func: Callable[[Request, Any], str], context: Any) -> str:
        """Return the result of `func`. An exception is logged, and its text is made readable for the stack's events."""
        try:
            return func(self._response.request, context)
        except RequestError as error:
            self._response.error_code = error.error_code
            aws_message = getattr(error, "message", None)
            logger.warning(
                "request failed", extra={"error_code": error.error_code, "reason": str(error), "aws": aws_message}
            )
            raise
        except Exception as error:
            logger.exception("internal failure")
            raise RuntimeError(
                f"The provider function failed with an internal error ({type(error).__name__}). See its log stream"
                f" {context.log_stream_name}."
            ) from error

    def _set_timeout(self) -> None:
        """Start the timer. Called by crhelper before the handler function."""
        response = self._response
        self._timer = threading.Timer(
            self.response_deadline - time.monotonic(),
            lambda: response.send_timeout(str(DeadlineExceededError()), self.PhysicalResourceId),
        )
        self._timer.daemon = True
        self._timer.start()

    def _send(self, status: str | None = None, reason: str = "") -> None:
        """Send the response. Called by crhelper at the end."""
        status, reason = (status, reason) if status else (self.Status, self.Reason)
        self._response.send(status, reason, self.PhysicalResourceId, self.Data if status != FAILED else {})


class SingleResponse:
    """The response to one request. The handler and the timer can both send one; only the first is sent.

    Args:
        request: the request.
        context: Lambda's context.
        deadline: when delivery stops being retried, in seconds of `time.monotonic`.
        is_cold_start: whether the request is the first of this execution environment.
    """

    def __init__(self, request: Request, context: Any, deadline: float, *, is_cold_start: bool) -> None:
        self.request = request
        self._context = context
        self._deadline = deadline
        self._start = time.monotonic()
        self._is_cold_start = is_cold_start
        self._lock = threading.Lock()
        self._is_started = False
        """Set before the delivery begins, so that no second response is sent."""
        self._can_time_out = True
        self.is_delivered = False
        self.error_code = ErrorCode.INTERNAL_FAILURE
        """The category of the failure, if the request fails."""
        self.warnings: Counter[str] = Counter(dict.fromkeys(WARNINGS, 0))
        """Number of warnings by metric."""
        self.physical_id = ""
        """The physical ID of the response; empty until one is sent."""
        self.on_timeout: tuple[str, Mapping[str, str]] | None = None
        """Physical ID and attributes for a response of the timer with SUCCESS; None for FAILED."""

    def cancel_timeout(self) -> bool:
        """Return whether no response was sent yet. From now on, `send_timeout` sends none."""
        with self._lock:
            self._can_time_out = False
            return not self._is_started

    def send_timeout(self, reason: str, physical_id: str) -> None:
        """Respond with FAILED, or with `on_timeout`. Called by the timer's thread while the handler works."""
        with self._lock:
            if not self._can_time_out:
                return
            # If the response is not delivered, the invocation fails when the handler returns.
            with suppress(ResponseDeliveryError):
                if self.on_timeout:
                    self.warnings["RollbackWarnings"] += not self._is_started
                    self._send(SUCCESS, "", *self.on_timeout)
                else:
                    self.error_code = ErrorCode.DEADLINE_EXCEEDED
                    # Only a Create has no physical ID in its request.
                    is_create = self.request.type == "Create"
                    self._send(FAILED, reason, physical_id if is_create else "", {})

    def send(self, status: str, reason: str, physical_id: str, data: Mapping[str, str]) -> None:
        """Send the response. If the timer is sending one, wait until it is delivered."""
        with self._lock:
            self._send(status, reason, physical_id, data)

    def _send(self, status: str, reason: str, physical_id: str, data: Mapping[str, str]) -> None:
        if self._is_started:
            return
        self._is_started = True
        request = self.request
        self.physical_id = physical_id or request.physical_id or request.uncreated_id
        response = build(request.ids, status, reason, self.physical_id, data)
        shorten_reason(response)
        logger.info(
            "sending response",
            extra={
                "status": status,
                "reason": response["Reason"],
                "physical_id": self.physical_id,
                **emf_metrics(
                    self._context.function_name,
                    error_code=self.error_code if status == FAILED else "",
                    Requests=1,
                    FailedRequests=int(status == FAILED),
                    Duration=round(1000 * (time.monotonic() - self._start)),
                    ColdStarts=int(self._is_cold_start),
                    **self.warnings,
                ),
            },
        )
        send(request.response_url, serialize(response), self._deadline)
        self.is_delivered = True
