"""The server of the fake AWS: a process with one thread, with `asyncio` and without a web framework.

It must be much faster than its clients, on the same cores. The latency of a response takes no CPU time. Each service
has a port of its own, as each service of AWS has a host of its own: connections are a large part of a cold start.
"""

import asyncio
import gc
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import trustme

from load.fake_aws.account import ACCOUNT, REGION, FakeAccount
from load.fake_aws.calls import FakeAws, Statistics, account_of
from load.fake_aws.protocols import RESPONSES, SERVICES, respond
from load.fake_aws.quotas import Quota

LATENCY = 0.03
"""Seconds before each response: about what a call from the same continent takes."""
HOST = "127.0.0.1"


class Server(NamedTuple):
    """A running fake AWS."""

    response_url: str
    """Where a request's response goes."""
    expected: dict[str, Any]
    """`FakeAccount.expected`."""
    environment: dict[str, str]
    """The environment of a client: no configuration of the user, and the endpoints of the fake AWS."""
    connection: Connection

    def statistics(self) -> Statistics:
        """Return what the fake AWS received so far."""
        self.connection.send("statistics")
        statistics: Statistics = self.connection.recv()
        return statistics


@contextmanager
def serve(
    folder: Path, make_account: Callable[[], FakeAccount], quotas: tuple[Quota, ...] = (), *, for_bench: bool = False
) -> Iterator[Server]:
    """Run a fake AWS in a process of its own.

    Args:
        folder: where its certificate is written.
        make_account: returns the account. It is called in the process of the server, because an account can be large.
        quotas: the quotas of the account. Other calls are unlimited.
        for_bench: whether all services speak TLS, as AWS does, and respond without latency.
    """
    authority, certificate = folder / "authority.pem", folder / "certificate.pem"
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(authority))
    ca.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    spawn = get_context("spawn")
    connection, its_connection = spawn.Pipe()
    arguments = (its_connection, certificate, make_account, quotas, for_bench)
    process = spawn.Process(target=_run, args=arguments, daemon=True)
    process.start()
    its_connection.close()
    try:
        ports, expected = connection.recv()
        response_url = f"https://{HOST}:{ports.pop(RESPONSES)}/response?X-Amz-Signature=example"
        urls = {service: f"http{'s' * for_bench}://{HOST}:{port}" for service, port in ports.items()}
        yield Server(response_url, expected, _environment(urls, authority), connection)
    finally:
        # The server ends when the connection is closed, also if this process is killed.
        connection.close()
        process.join()


def _environment(urls: dict[str, str], authority: Path) -> dict[str, str]:
    names = {service: service.replace("secretsmanager", "secrets_manager").upper() for service in urls}
    inherited = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    return (
        inherited
        | {f"AWS_ENDPOINT_URL_{names[service]}": url for service, url in urls.items()}
        | {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CA_BUNDLE": str(authority),
            "SSL_CERT_FILE": str(authority),
            "LANG": "en_US.UTF-8",
            "NO_PROXY": HOST,
        }
    )


# --- the process ---


def _run(
    connection: Connection,
    certificate: Path,
    make_account: Callable[[], FakeAccount],
    quotas: tuple[Quota, ...],
    for_bench: bool,
) -> None:
    """Serve until `connection` is closed, also after Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    account = make_account()
    aws = FakeAws(account, quotas)
    # A collection would look at all of the account.
    gc.freeze()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ports = {}
        for service in (*SERVICES, RESPONSES):
            protocol = partial(_Http, aws, service, 0 if for_bench else LATENCY)
            # The provider sends a response only with TLS. 500 clients with TLS at once would delay the calls.
            security = tls if for_bench or service == RESPONSES else None
            server = await loop.create_server(protocol, HOST, 0, backlog=1024, ssl=security)
            ports[service] = server.sockets[0].getsockname()[1]
        connection.send((ports, account.expected))
        closed = asyncio.Event()

        def send_statistics() -> None:
            try:
                connection.recv()
                connection.send(aws.statistics)
            except (EOFError, OSError):
                closed.set()

        loop.add_reader(connection.fileno(), send_statistics)
        await closed.wait()
        loop.remove_reader(connection.fileno())

    asyncio.run(main())


class _Http(asyncio.Protocol):
    """An HTTP/1.1 connection that stays open. The client waits for each response before it sends the next request."""

    def __init__(self, aws: FakeAws, service: str, latency: float) -> None:
        self._aws, self._service, self._latency = aws, service, latency
        self._buffer = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond after the latency, as soon as the request is complete."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        request_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if len(body) < int(headers.get("content-length", 0)):
            return
        self._buffer.clear()
        method, target, _ = request_line.split(" ")
        status, content = self._respond(f"{method} {target}", headers, bytes(body))
        response = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
        asyncio.get_running_loop().call_later(self._latency, self._send, response)

    def _respond(self, request: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Respond as the account of the credentials. All accounts have the same content, and quotas of their own."""
        account = account_of(headers.get("authorization", ""))
        if account == ACCOUNT:
            return respond(self._aws, self._service, request, headers, body)
        own, other = ACCOUNT.encode(), account.encode()
        aws = self._aws.of_account(account)
        status, content = respond(
            aws, self._service, request.replace(account, ACCOUNT), headers, body.replace(other, own)
        )
        return status, content.replace(own, other)

    def _send(self, response: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response)
