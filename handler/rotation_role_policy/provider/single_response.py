"""The one response to a request, which the handler or the timer sends.

Source: docs/guarantees.md, "One response per request".
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rotation_role_policy.errors import DeadlineExceededError, ErrorCode, RequestError, ResponseDeliveryError
from rotation_role_policy.provider.messages import DEADLINE_EXCEEDED, reason
from rotation_role_policy.provider.metrics import WARNINGS, emf_metrics
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.response import Success, build, send, serialize, shorten_reason

logger = logging.getLogger(__name__)

SUCCESS, FAILED = "SUCCESS", "FAILED"


class SingleResponse:
    """The response to one request. The handler and the timer can both send one; only the first is sent.

    Args:
        request: the request.
        context: Lambda's context.
        deliver_until: when delivery stops being retried, in seconds of `time.monotonic`.
        is_cold_start: whether the request is the first of this execution environment.
    """

    def __init__(self, request: Request, context: Any, deliver_until: float, *, is_cold_start: bool) -> None:
        self.request = request
        self._context = context
        self._deliver_until = deliver_until
        self._start = time.monotonic()
        self._is_cold_start = is_cold_start
        self._lock = threading.Lock()
        self._is_started = False
        """Set before the delivery begins, so that no second response is sent."""
        self._is_delivered = False
        self._can_time_out = True
        self._error_code = ErrorCode.INTERNAL_FAILURE
        """The category of the failure, if the request fails."""
        self.physical_id = ""
        """The physical ID of the response; empty until one is sent."""
        self.failed_create_id = ""
        """The physical ID with which a Create fails; empty until the role is known."""
        self.on_timeout: Success | None = None
        """The response of the timer; None for FAILED."""
        self.warnings: Counter[str] = Counter(dict.fromkeys(WARNINGS, 0))
        """Number of warnings by metric."""

    def start_timer(self, respond_at: float) -> threading.Timer:
        """Start and return the timer, which responds at `respond_at` (seconds of `time.monotonic`)."""
        timer = threading.Timer(respond_at - time.monotonic(), self.time_out)
        timer.daemon = True
        timer.start()
        return timer

    def raise_if_timed_out(self) -> None:
        """Raise `DeadlineExceededError` if the timer has responded. If not, the timer can no longer respond."""
        with self._lock:
            self._can_time_out = False
            if self._is_started:
                raise DeadlineExceededError

    def raise_if_undelivered(self) -> None:
        """Raise `ResponseDeliveryError` if no response has arrived."""
        if not self._is_delivered:
            raise ResponseDeliveryError(f"no response was delivered for request {self.request.request_id}")

    def reason_of(self, error: Exception) -> str:
        """Log why the request fails, and return the reason for the stack's events."""
        if isinstance(error, RequestError):
            self._error_code = error.error_code
            text, aws_message = reason(error), getattr(error, "message", None)
            logger.warning("request failed", extra={"error_code": error.error_code, "reason": text, "aws": aws_message})
            return text
        logger.error("internal failure", exc_info=error)
        return (
            f"The provider function failed with an internal error ({type(error).__name__}). See its log stream"
            f" {self._context.log_stream_name}."
        )

    def succeed(self, success: Success) -> None:
        """Respond with SUCCESS. If the timer is responding, wait until that response is delivered."""
        with self._lock:
            self._send(SUCCESS, "", success.physical_id, success.attributes)

    def fail(self, reason: str) -> None:
        """Respond with FAILED. If the timer is responding, wait until that response is delivered."""
        with self._lock:
            self._fail(reason)

    def time_out(self) -> None:
        """Respond with `on_timeout`. Called by the timer's thread while the handler works."""
        with self._lock:
            if not self._can_time_out:
                return
            # If the response is not delivered, the invocation fails when the handler returns.
            with suppress(ResponseDeliveryError):
                if self.on_timeout:
                    self.warnings["RollbackWarnings"] += not self._is_started
                    self._send(SUCCESS, "", self.on_timeout.physical_id, self.on_timeout.attributes)
                else:
                    self._error_code = ErrorCode.DEADLINE_EXCEEDED
                    self._fail(DEADLINE_EXCEEDED)

    def _fail(self, reason: str) -> None:
        # Only a Create has no physical ID in its request.
        self._send(FAILED, reason, self.request.physical_id or self.failed_create_id, {})

    def _send(self, status: str, reason: str, physical_id: str, attributes: Mapping[str, str]) -> None:
        if self._is_started:
            return
        self._is_started = True
        self.physical_id = physical_id or self.request.uncreated_id
        response = build(self.request.ids, status, reason, self.physical_id, attributes)
        shorten_reason(response)
        logger.info(
            "sending response",
            extra={
                "status": status,
                "reason": response["Reason"],
                "physical_id": self.physical_id,
                **emf_metrics(
                    self._context.function_name,
                    error_code=self._error_code if status == FAILED else "",
                    Requests=1,
                    FailedRequests=int(status == FAILED),
                    Duration=round(1000 * (time.monotonic() - self._start)),
                    ColdStarts=int(self._is_cold_start),
                    **self.warnings,
                ),
            },
        )
        send(self.request.response_url, serialize(response), self._deliver_until)
        self._is_delivered = True
