"""Calls to AWS with the credentials of the user who runs the command."""

import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import botocore.session

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws

PATIENCE_SECONDS = 30.0
"""How long each call is retried after throttling or a connection error."""


class CallerAws(Aws):
    """`Aws` for a user at a terminal. All calls that the command makes through it are read calls.

    `profile` and `region` are those of the AWS CLI; None stands for the environment's. `progress` is called with each
    action, such as ``iam:GetRole``, before the call.
    """

    def __init__(self, profile: str | None, region: str | None, progress: Callable[[str], None]) -> None:
        super().__init__()
        self._profile = profile
        # As the AWS CLI does. botocore itself reads only AWS_DEFAULT_REGION.
        self._region = region or os.environ.get("AWS_REGION")
        self._progress = progress

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Return the response to an operation, as `Aws.call` does.

        Raises what `Aws.call` raises, and botocore's own errors for a missing profile or region.
        """
        self._progress(f"{service}:{operation}")
        self.begin_request(time.monotonic() + PATIENCE_SECONDS)
        return super().call(service, operation, **parameters)

    @cached_property
    def caller(self) -> arn.Arn:
        """The ARN of the user's identity. Its partition and account are those of the provider."""
        return arn.parse(self.call("sts", "GetCallerIdentity")["Arn"])

    @cached_property
    def _session(self) -> botocore.session.Session:
        session = botocore.session.Session(profile=self._profile)
        if self._region:
            session.set_config_variable("region", self._region)
        return session

    def _configure(self, client: Any) -> None:
        """Leave the client as it is: botocore knows the user's proxies and certificate authorities."""
