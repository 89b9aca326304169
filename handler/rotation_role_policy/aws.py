"""The way to AWS: one session, clients built when they are first needed, retries and time-outs set once."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import boto3
import botocore.session
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from rotation_role_policy.errors import CallFailed, ProviderDenied, shown

_TRIES = 6
# Seconds. Every call here answers well below a second; the function's own time-out leaves room for the tries.
_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": _TRIES})

_DENIED = {"AccessDenied", "AccessDeniedException"}


class Aws:
    """Calls to AWS by the names of the API, which are those of the IAM actions too.

    Building one costs nothing: the session comes with the first call, a client with the first call to its service.
    """

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """The response to `operation` (such as ``DescribeSecret``) of `service` (such as ``secretsmanager``).

        Raises `ProviderDenied` where AWS denies the call, `CallFailed` with AWS's error code for any other failure.
        """
        method = getattr(self._client(service), xform_name(operation))
        with _translated_errors(service, operation, parameters):
            response: dict[str, Any] = _retried(method, parameters)
            return response

    def items(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[Any]:
        """The items under `key` in all pages of the response. Raises as `call` does."""
        with _translated_errors(service, operation, parameters):
            paginator = self._client(service).get_paginator(xform_name(operation))
            for page in paginator.paginate(**parameters):
                yield from page.get(key, ())

    def region(self) -> str:
        """The region that the calls go to, for reasons: a secret of another region is not found in this one."""
        return str(self._session.region_name)

    def dns_suffix(self, partition: str) -> str:
        """The partition's DNS suffix, such as ``amazonaws.com``, from botocore's own data."""
        partitions = self._core.get_data("partitions")["partitions"]
        return str(next(row["outputs"]["dnsSuffix"] for row in partitions if row["id"] == partition))

    @cached_property
    def _core(self) -> botocore.session.Session:
        return botocore.session.get_session()

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(botocore_session=self._core)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service, config=_CONFIG)
        return self._clients[service]


def _retried(method: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """The call, tried again where another writer was at the same role: botocore does not retry that.

    CloudFormation creates the policies of two secrets on one role at the same time.
    """
    for attempt in range(1, _TRIES):
        try:
            return method(**parameters)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConcurrentModification":
                raise
            time.sleep(random.uniform(0.1, 0.4) * 2**attempt)  # noqa: S311  # jitter, no secret
    return method(**parameters)


@contextmanager
def _translated_errors(service: str, operation: str, parameters: dict[str, Any]) -> Iterator[None]:
    action = f"{service}:{operation}"
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        message = error.response["Error"].get("Message", "")
        if code in _DENIED:
            # The first parameter names what the call is about: the secret, key, function or role.
            about = next(iter(parameters.values()))
            reason = (
                f"AWS denies the provider {action} on {shown(about)}. Its stack's parameters RoleNamePattern"
                f" and SecretNamePattern say what it may serve; an SCP or a key policy can deny it too."
            )
            raise ProviderDenied(action, message, reason) from error
        raise CallFailed(action, code, message) from error
    except BotoCoreError as error:
        raise CallFailed(action, type(error).__name__, str(error)) from error
