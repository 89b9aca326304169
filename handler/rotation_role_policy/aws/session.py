"""boto3's session, and its clients, each built when it is first used."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import botocore.session

# isort: split
# After botocore: importing boto3 first takes 10 ms more CPU time.
import boto3
from botocore.config import Config
from botocore.exceptions import NoRegionError
from botocore.loaders import Loader

from rotation_role_policy.aws import transport

_SERVICES = ["cloudformation", "iam", "kms", "lambda", "secretsmanager"]

# botocore does not retry: it limits the number of attempts, and here the time that is left is the limit.
CLIENT_CONFIG = Config(
    connect_timeout=transport.CONNECT_SECONDS,
    read_timeout=transport.READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": 1},
)


class Session:
    """A session of boto3. The constructor builds nothing.

    Args:
        config: botocore's configuration of the clients.
        prepare: gets each new client.
        botocore_session: builds botocore's session, when it is first needed.
    """

    def __init__(
        self,
        config: Config = CLIENT_CONFIG,
        prepare: Callable[[Any], None] = transport.install,
        botocore_session: Callable[[], botocore.session.Session] | None = None,
    ) -> None:
        self._config = config
        self._prepare = prepare
        self._new_botocore_session = botocore_session or _provider_session
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return the client of a service, such as ``iam``. It is built once."""
        if service not in self._clients:
            self._clients[service] = self.new_client(service)
        return self._clients[service]

    def new_client(self, service: str) -> Any:
        """Return another client of a service."""
        client = self.boto3.client(service, config=self._config)  # type: ignore[call-overload]
        if service == "secretsmanager":
            client.meta.events.register("after-call.secretsmanager.DescribeSecret", _keep_cross_account_members)
        self._prepare(client)
        return client

    @property
    def region(self) -> str:
        """The region of the calls. Raises botocore's `NoRegionError` if there is none."""
        if region := self.boto3.region_name:
            return region
        raise NoRegionError

    def dns_suffix(self, partition: str) -> str:
        """Return the DNS suffix of a partition, such as ``amazonaws.com``, from botocore's data."""
        partitions = self._botocore_session.get_data("partitions")["partitions"]
        return str(next(row["outputs"]["dnsSuffix"] for row in partitions if row["id"] == partition))

    @cached_property
    def boto3(self) -> boto3.Session:
        """boto3's own session. Raises botocore's errors for a missing profile."""
        return boto3.Session(botocore_session=self._botocore_session)

    @cached_property
    def _botocore_session(self) -> botocore.session.Session:
        return self._new_botocore_session()


def _provider_session() -> botocore.session.Session:
    session = botocore.session.get_session()
    session.register_component("data_loader", _Loader())
    return session


def _keep_cross_account_members(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    """Add `CrossAccountPrimary` and `CrossAccountReplicas` to a response of DescribeSecret.

    Versions of botocore before 1.44.8, such as that of the Lambda runtime, do not know these members and remove them.
    """
    if http_response.status_code >= 300:
        # The body of an error need not be JSON. botocore raises the error, and the call is retried.
        return
    response = json.loads(http_response.content)
    for name in ("CrossAccountPrimary", "CrossAccountReplicas"):
        if response.get(name):
            parsed[name] = response[name]


class _Loader(Loader):
    """A loader that knows the services in use. botocore's own loader lists the data of all services, twice."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002  # botocore's signature
        return _SERVICES
