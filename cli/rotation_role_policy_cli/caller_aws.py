"""Calls to AWS with the credentials of the user who runs the command."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache, partial
from threading import Event
from typing import NamedTuple

import botocore.session
from botocore.config import Config
from botocore.loaders import Loader

from rotation_role_policy.audit.bulk import BULK_CONFIG, bulk_aws
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.aws.errors import iam_action
from rotation_role_policy.aws.retries import Parameters, Response, Retries, UntilDeadline
from rotation_role_policy.aws.session import CLIENT_CONFIG, Session

PATIENCE_SECONDS = 30.0
"""How long each call is retried after throttling or a connection error."""
_ROLE_SESSION = "rotation-role-policy-audit"
"""The name of the session of an assumed role, which CloudTrail shows."""


class TemporaryCredentials(NamedTuple):
    """The credentials of an assumed role."""

    access_key: str
    secret_key: str
    token: str


class WithProgress(Retries):
    """Repeats each call for `PATIENCE_SECONDS`.

    Args:
        progress: is called with each action, such as ``iam:GetRole``, before the call.
    """

    def __init__(self, progress: Callable[[str], None]) -> None:
        super().__init__()
        self._progress = progress
        self._retries = UntilDeadline()

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the response. Raises `CallError`."""
        self._progress(iam_action(method))
        self._retries.begin_request(min(self.deadline, time.monotonic() + PATIENCE_SECONDS))
        self._retries.most_attempts = self.most_attempts
        return self._retries.call(method, *args, **parameters)


def caller_aws(profile: str | None, region: str | None, progress: Callable[[str], None]) -> Aws:
    """Return the `Aws` of a user at a terminal. All calls that the commands make through it are read calls.

    Args:
        profile: of the AWS CLI; None for the environment's.
        region: None for the environment's.
        progress: as for `WithProgress`.
    """
    return Aws(user_session(profile, region, CLIENT_CONFIG), WithProgress(progress))


def caller_bulk_aws(
    profile: str | None, region: str | None, stopped: Event, credentials: TemporaryCredentials | None = None
) -> Aws:
    """Return the `Aws` of a user for an audit.

    Args:
        profile: of the AWS CLI; None for the environment's.
        region: None for the environment's.
        stopped: as for `bulk_aws`.
        credentials: of a role; None for those of the profile.
    """
    return bulk_aws(user_session(profile, region, BULK_CONFIG, credentials), stopped)


def user_session(
    profile: str | None, region: str | None, config: Config, credentials: TemporaryCredentials | None = None
) -> Session:
    """Return the session of a user. botocore knows the user's proxies and certificate authorities.

    The first use of a client raises botocore's own errors for a missing profile or region.
    """
    return Session(config, lambda _: None, partial(_botocore_session, profile, region, credentials))


def assume_role(aws: Aws, role_arn: str) -> TemporaryCredentials:
    """Return the credentials of a role. They are valid for an hour. Raises as `Aws.call` does."""
    response = aws.call(aws.sts.assume_role, RoleArn=role_arn, RoleSessionName=_ROLE_SESSION)
    credentials = response["Credentials"]
    return TemporaryCredentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])


def _botocore_session(
    profile: str | None, region: str | None, credentials: TemporaryCredentials | None
) -> botocore.session.Session:
    session = botocore.session.Session(profile=profile)
    session.register_component("data_loader", _loader())
    # As the AWS CLI does. botocore itself reads only AWS_DEFAULT_REGION.
    if region := region or os.environ.get("AWS_REGION"):
        session.set_config_variable("region", region)
    if credentials:
        session.set_credentials(*credentials)
    return session


@cache
def _loader() -> Loader:
    """Return a loader of botocore's data for all sessions: each would keep the data of its services for itself."""
    loader: Loader = botocore.session.Session().get_component("data_loader")
    return loader
