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
from collections.abc import Callable, Mapping
from typing import Any

from crhelper import FAILED, CfnResource

from rotation_role_policy.errors import DeadlineExceededError, RequestError, ResponseDeliveryError
from rotation_role_policy.provider.request import REQUIRED_KEYS, Request, parse_request
from rotation_role_policy.provider.single_response import SingleResponse

logger = logging.getLogger(__name__)

RESPONSE_SECONDS = 15
"""Seconds at the end of an invocation that are kept free to send the response, if necessary several times."""


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
