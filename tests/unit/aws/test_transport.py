"""Connections are verified and reused, with one TLS context. Behind a proxy, botocore's own transport is used."""

import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import mock

import pytest
import trustme

from rotation_role_policy.aws import transport
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AwsApiError

ROLE = b"""<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role><RoleName>r</RoleName>
</Role></GetRoleResult></GetRoleResponse>"""


class Iam(ThreadingHTTPServer):
    """IAM's endpoint with one role."""

    daemon_threads = True

    def __init__(self, authority: trustme.CA, host: str) -> None:
        super().__init__(("127.0.0.1", 0), _Iam)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.connections = 0
        self.silent_seconds = 0.0
        self.requests: list[tuple[str, bytes]] = []

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Iam(BaseHTTPRequestHandler):
    server: Iam
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.headers["Authorization"], body))
        time.sleep(self.server.silent_seconds)
        with suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", str(len(ROLE)))
            self.end_headers()
            self.wfile.write(ROLE)

    def log_message(self, *_: Any) -> None:
        pass


AUTHORITY = trustme.CA()


@pytest.fixture
def host() -> str:
    """Return the host name in the certificate of the server."""
    return "localhost"


@pytest.fixture
def iam(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Iam]:
    """Start the server. Its certificate authority is trusted."""
    bundle = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(bundle))
    server = Iam(AUTHORITY, host)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", f"https://localhost:{server.server_port}")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    # A list of hosts without a proxy does not count as a proxy.
    monkeypatch.setenv("no_proxy", "localhost")
    transport.ssl_context.cache_clear()
    transport._pool.cache_clear()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
    transport.ssl_context.cache_clear()
    transport._pool.cache_clear()


def call(aws: Aws) -> Any:
    """Make one call, with little time for retries."""
    get_role = aws.iam.get_role
    aws.deadline = time.monotonic() + 0.3
    return aws.call(get_role, RoleName="r")


def test_calls_share_a_connection_and_are_signed(iam: Iam) -> None:
    aws = Aws()
    for _ in range(3):
        aws.deadline = time.monotonic() + 60
        assert aws.call(aws.iam.get_role, RoleName="r")["Role"]["RoleName"] == "r"
    assert iam.connections == 1
    assert all(signed.startswith("AWS4-HMAC-SHA256 Credential=testing/") for signed, _ in iam.requests)
    assert iam.requests[0][1] == b"Action=GetRole&Version=2010-05-08&RoleName=r"


def test_the_certificate_authorities_are_read_once(iam: Iam, monkeypatch: pytest.MonkeyPatch) -> None:
    create = mock.Mock(wraps=ssl.create_default_context)
    monkeypatch.setattr(ssl, "create_default_context", create)
    for _ in range(3):
        aws = Aws()
        aws.deadline = time.monotonic() + 60
        aws.call(aws.iam.get_role, RoleName="r")
    assert create.call_count == 1
    assert transport.ssl_context().verify_mode == ssl.CERT_REQUIRED
    assert transport.ssl_context().check_hostname


def test_a_server_with_an_untrusted_certificate_gets_no_request(
    iam: Iam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_bundle = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other_bundle))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(other_bundle))
    transport.ssl_context.cache_clear()
    with pytest.raises(AwsApiError, match="unable to get local issuer certificate"):
        call(Aws())
    assert iam.requests == []


@pytest.mark.parametrize("host", ["other.example"])
def test_a_server_with_a_certificate_for_another_host_gets_no_request(iam: Iam) -> None:
    with pytest.raises(AwsApiError, match="CERTIFICATE_VERIFY_FAILED"):
        call(Aws())
    assert iam.requests == []


def test_a_call_to_a_server_that_does_not_respond_is_in_doubt(iam: Iam, monkeypatch: pytest.MonkeyPatch) -> None:
    iam.silent_seconds = 0.5
    monkeypatch.setattr(transport, "READ_SECONDS", 0.1)
    with pytest.raises(AwsApiError, match="Read timed out") as failed:
        call(Aws())
    assert failed.value.in_doubt


def test_connections_time_out_after_3_seconds_and_responses_after_10(iam: Iam) -> None:
    timeout = transport._pool().connection_pool_kw["timeout"]
    assert (timeout.connect_timeout, timeout.read_timeout) == (3, 10)


def test_behind_a_proxy_botocore_uses_its_own_transport(iam: Iam, monkeypatch: pytest.MonkeyPatch) -> None:
    # No process listens on this port.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(AwsApiError, match="ProxyConnectionError"):
        call(Aws())
    assert iam.requests == []
