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

from rotation_role_policy.errors import ErrorCode, ResponseDeliveryError
from rotation_role_policy.provider.metrics import emf_metrics
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.response import build, send, serialize, shorten_reason

logger = logging.getLogger(__name__)

SUCCESS, FAILED = "SUCCESS", "FAILED"

WARNINGS = ("AccessCheckWarnings", "RollbackWarnings")
"""Metrics of warnings: grants that the access check could not decide, and Updates of a rollback that kept the existing
policy."""


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
