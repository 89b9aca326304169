"""Many calls at the same time: boto3 itself retries them, and paces them to the rates of the account."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from rotation_role_policy.aws.client import Aws, Client, Parameters, Response, iam_action, to_request_error


class StoppedError(Exception):
    """The audit was stopped, so no further attempt is made."""


class BulkAws(Aws):
    """`Aws` for an audit: several threads can use it, and there is no deadline.

    boto3's adaptive mode measures the rate at which a service admits calls, and slows down all threads of a client to
    it, so that few calls are throttled. Services have a rate for each operation, so each operation has a client of its
    own here. With one client for a service, the slowest operation would slow down the others (`make audit-load`).
    https://docs.aws.amazon.com/boto3/latest/guide/retries.html
    """

    client_config = Config(
        connect_timeout=5,
        # A page of GetAccountAuthorizationDetails can take long.
        read_timeout=60,
        retries={"mode": "adaptive", "total_max_attempts": 12},
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stopped = Event()
        """If it is set, further attempts fail with `StoppedError`."""
        self._operation_clients: dict[str, Any] = {}
        # Building a client is not safe in several threads.
        self._lock = Lock()

    def build_clients(self) -> None:
        """Build the clients whose methods the audit names. Raises botocore's own errors, such as NoRegionError."""
        _ = self.iam, self.kms, self.lambda_, self.secretsmanager

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the response. Errors as for `Aws.call`, and `StoppedError`."""
        action = iam_action(method)
        own_method: Callable[Parameters, Response] = getattr(self._operation_client(action, method), method.__name__)
        try:
            return own_method(*args, **parameters)
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise to_request_error(error, action, parameters, in_doubt=False) from error

    def _operation_client(self, action: str, method: Any) -> Any:
        with self._lock:
            if action not in self._operation_clients:
                make: Any = self._session.client
                service = method.__self__.meta.service_model.service_name
                self._operation_clients[action] = self._configure(make(service, config=self.client_config))
            return self._operation_clients[action]

    def _configure(self, client: Client) -> Client:
        """Let the attempts of a stopped audit fail. botocore's own transport stays."""
        events: Any = client.meta.events  # type: ignore[attr-defined]
        events.register("request-created", self._check_stopped)
        return client

    def _check_stopped(self, **_: object) -> None:
        if self.stopped.is_set():
            raise StoppedError
