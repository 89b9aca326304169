"""Calls to AWS with the credentials of the user who runs the command."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from threading import Event

import botocore.session
from botocore.config import Config

from rotation_role_policy.audit.bulk import BULK_CONFIG, bulk_aws
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.aws.errors import iam_action
from rotation_role_policy.aws.retries import Parameters, Response, Retries, UntilDeadline
from rotation_role_policy.aws.session import CLIENT_CONFIG, Session

PATIENCE_SECONDS = 30.0
"""How long each call is retried after throttling or a connection error."""


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


def caller_bulk_aws(profile: str | None, region: str | None, stopped: Event) -> Aws:
    """Return the `Aws` of a user for an audit. `profile` and `region` as for `caller_aws`, `stopped` as `bulk_aws`."""
    return bulk_aws(user_session(profile, region, BULK_CONFIG), stopped)


def user_session(profile: str | None, region: str | None, config: Config) -> Session:
    """Return the session of a user. botocore knows the user's proxies and certificate authorities.

    The first use of a client raises botocore's own errors for a missing profile or region.
    """
    return Session(config, lambda _: None, partial(_botocore_session, profile, region))


def _botocore_session(profile: str | None, region: str | None) -> botocore.session.Session:
    session = botocore.session.Session(profile=profile)
    # As the AWS CLI does. botocore itself reads only AWS_DEFAULT_REGION.
    if region := region or os.environ.get("AWS_REGION"):
        session.set_config_variable("region", region)
    return session
