"""crhelper's `CfnResource` for a validated request and a single response.

crhelper calls the function for the request type, starts the timer, and makes an exception a FAILED response.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from crhelper import FAILED, CfnResource

from rotation_role_policy.provider.request import REQUIRED_KEYS, parse_request
from rotation_role_policy.provider.response import Success
from rotation_role_policy.provider.schedule import Schedule
from rotation_role_policy.provider.single_response import SingleResponse


class CustomResource(CfnResource):
    """A custom resource. `serve` serves its requests, with the provider function's ARN as the last argument."""

    def __init__(self, serve: Callable[[SingleResponse, Schedule, str], Success]) -> None:
        self._serve, self._is_cold_start = serve, True
        # If AWS_SAM_LOCAL is set, crhelper's constructor builds none of its three clients for polling.
        environment = dict(os.environ)
        os.environ["AWS_SAM_LOCAL"] = "1"
        super().__init__(log_level="WARNING", boto_level="WARNING", sleep_on_delete=0)
        del os.environ["AWS_SAM_LOCAL"]
        os.environ.update(environment)
        # crhelper logs each exception with its stack trace. `SingleResponse.reason_of` logs it instead.
        logging.getLogger("crhelper").setLevel(logging.CRITICAL)
        for register in (self.create, self.update, self.delete):
            register(self._call_serve)

    def __call__(self, event: Any, context: Any) -> None:
        """Serve one event. Raises `InvalidEventError` and `ResponseDeliveryError`."""
        request = parse_request(event)
        self.schedule = Schedule.of(request, context.get_remaining_time_in_millis() / 1000)
        self.response = SingleResponse(request, context, self.schedule.deliver_until, is_cold_start=self._is_cold_start)
        self._is_cold_start = False
        # crhelper would interpret other keys (CrHelperPoll), and make up a missing physical ID.
        crhelper_event = {key: event[key] for key in REQUIRED_KEYS} | {"PhysicalResourceId": request.uncreated_id}
        super().__call__(crhelper_event, context)
        self.response.raise_if_undelivered()

    def _call_serve(self, _event: Any, context: Any) -> str:
        try:
            physical_id, self.Data = self._serve(self.response, self.schedule, context.invoked_function_arn)
        except Exception as error:
            raise RuntimeError(self.response.reason_of(error)) from error
        return physical_id

    def _set_timeout(self) -> None:
        self._timer = self.response.start_timer(self.schedule.respond_at)

    def _send(self, status: str = "", reason: str = "") -> None:
        if status or self.Status == FAILED:
            self.response.fail(reason or self.Reason)
        else:
            self.response.succeed(Success(self.PhysicalResourceId, self.Data))
