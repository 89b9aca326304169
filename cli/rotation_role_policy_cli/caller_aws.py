"""Calls to AWS with the user's own credentials: the provider's way, but told what to use, and telling what it does."""

import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import botocore.session

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws

PATIENCE_SECONDS = 30.0
"""For each call: throttling, and a place that does not answer, is tried again for so long."""


class CallerAws(Aws):
    """`Aws` for a person at a terminal. Every call that is made through it only reads.

    `profile` and `region` are as for the AWS CLI; None for what the environment says. `progress` is told each action
    before its call.
    """

    def __init__(self, profile: str | None, region: str | None, progress: Callable[[str], None]) -> None:
        super().__init__()
        self._profile = profile
        # As the AWS CLI does; botocore by itself reads AWS_DEFAULT_REGION alone.
        self._region = region or os.environ.get("AWS_REGION")
        self._progress = progress

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """As `Aws.call`; raises botocore's own errors, too, for a profile or region that is missing."""
        self._progress(f"{service}:{operation}")
        self.begin_request(time.monotonic() + PATIENCE_SECONDS)
        return super().call(service, operation, **parameters)

    @cached_property
    def caller(self) -> arn.Arn:
        """Who calls: the partition and account that a provider would be in."""
        return arn.parse(self.call("sts", "GetCallerIdentity")["Arn"])

    @cached_property
    def _session(self) -> botocore.session.Session:
        session = botocore.session.Session(profile=self._profile)
        if self._region:
            session.set_config_variable("region", self._region)
        return session

    def _configure(self, client: Any) -> None:
        """botocore's own way: it knows the user's proxies and authorities."""
