"""Many calls at the same time: boto3 itself retries them, and paces them to the rates of the account."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock
from typing import Any

from botocore.config import Config

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.aws.errors import FAILURES, iam_action, to_request_error
from rotation_role_policy.aws.retries import Parameters, Response, Retries
from rotation_role_policy.aws.session import Session

BULK_CONFIG = Config(
    connect_timeout=5,
    # A page of GetAccountAuthorizationDetails can take long.
    read_timeout=60,
    retries={"mode": "adaptive", "total_max_attempts": 12},
)
"""botocore's configuration of the clients of a session for an audit."""


class StoppedError(Exception):
    """The audit was stopped, so no further attempt is made."""


class Adaptive(Retries):
    """Leaves the retries to boto3's adaptive mode. There is no deadline, and several threads can use it.

    The mode measures the rate at which a service admits calls, and slows down all threads of a client to it, so that
    few calls are throttled. Services have a rate for each operation, so each operation has a client of its own here.
    With one client for a service, the slowest operation would slow down the others (`make audit-load`).
    https://docs.aws.amazon.com/boto3/latest/guide/retries.html

    Args:
        session: builds the clients, with `BULK_CONFIG`.
        stopped: if it is set, further attempts fail with `StoppedError`.
    """

    def __init__(self, session: Session, stopped: Event) -> None:
        super().__init__()
        self._session = session
        self._stopped = stopped
        self._clients: dict[str, Any] = {}
        # Building a client is not safe in several threads.
        self._lock = Lock()

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the response. Raises `CallError` and `StoppedError`."""
        action = iam_action(method)
        own_method: Callable[Parameters, Response] = getattr(self._client(action, method), method.__name__)
        try:
            return own_method(*args, **parameters)
        except FAILURES as error:
            raise to_request_error(error, action, parameters, in_doubt=False) from error

    def _client(self, action: str, method: Any) -> Any:
        with self._lock:
            if action not in self._clients:
                client = self._session.new_client(method.__self__.meta.service_model.service_name)
                client.meta.events.register("request-created", self._check_stopped)
                self._clients[action] = client
            return self._clients[action]

    def _check_stopped(self, **_: object) -> None:
        if self._stopped.is_set():
            raise StoppedError


def bulk_aws(session: Session, stopped: Event) -> Aws:
    """Return the `Aws` of one region for an audit.

    The clients whose methods the audit names are built here, because that is not safe in several threads. Raises
    botocore's own errors, such as NoRegionError.

    Args:
        session: builds the clients, with `BULK_CONFIG`.
        stopped: if it is set, further attempts fail.
    """
    aws = Aws(session, Adaptive(session, stopped))
    _ = aws.cloudformation, aws.iam, aws.kms, aws.lambda_, aws.secretsmanager
    return aws
