"""Calls to AWS with the credentials of the user who runs the command."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import botocore.session

from rotation_role_policy import arn
from rotation_role_policy.audit.bulk import BulkAws
from rotation_role_policy.aws.client import Aws, Client, Parameters, Response, iam_action

if TYPE_CHECKING:
    from types_boto3_rds import RDSClient
    from types_boto3_ssm import SSMClient
    from types_boto3_sts import STSClient

PATIENCE_SECONDS = 30.0
"""How long each call is retried after throttling or a connection error."""


class _CallerSession(Aws):
    """The session of a user at a terminal. `profile` and `region` are those of the AWS CLI; None: the environment's.

    The first use of a client raises botocore's own errors for a missing profile or region.
    """

    def __init__(self, profile: str | None, region: str | None) -> None:
        super().__init__()
        self._profile = profile
        # As the AWS CLI does. botocore itself reads only AWS_DEFAULT_REGION.
        self._region = region or os.environ.get("AWS_REGION")

    @cached_property
    def sts(self) -> STSClient:
        """The client of STS."""
        return self._configure(self._session.client("sts", config=self.client_config))

    @cached_property
    def caller(self) -> arn.Arn:
        """The ARN of the user's identity. Its partition and account are those of the provider."""
        return arn.parse(self.call(self.sts.get_caller_identity)["Arn"])

    @cached_property
    def _botocore_session(self) -> botocore.session.Session:
        session = botocore.session.Session(profile=self._profile)
        if self._region:
            session.set_config_variable("region", self._region)
        return session

    def _configure(self, client: Client) -> Client:
        """Leave the client as it is: botocore knows the user's proxies and certificate authorities."""
        return client


class CallerBulkAws(BulkAws, _CallerSession):
    """`BulkAws` for a user at a terminal. `profile` and `region` as for `CallerAws`."""


class CallerAws(_CallerSession):
    """`Aws` for a user at a terminal. All calls that the command makes through it are read calls.

    `progress` is called with each action, such as ``iam:GetRole``, before the call.
    """

    def __init__(self, profile: str | None, region: str | None, progress: Callable[[str], None]) -> None:
        super().__init__(profile, region)
        self._progress = progress

    @cached_property
    def rds(self) -> RDSClient:
        """The client of RDS."""
        return self._configure(self._session.client("rds", config=self.client_config))

    @cached_property
    def ssm(self) -> SSMClient:
        """The client of Systems Manager."""
        return self._configure(self._session.client("ssm", config=self.client_config))

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the response, as `Aws.call` does."""
        self._progress(iam_action(method))
        self.begin_request(time.monotonic() + PATIENCE_SECONDS)
        return super().call(method, *args, **parameters)
