"""A fake AWS for `load.audit_load`: an account with many rotations, whose calls have the rates of a real account.

``python -m load.audit_aws --secrets 1000`` serves the account until the process ends. The first line on
standard output is JSON: the URL, and what an audit must find. ``GET /statistics`` returns the calls so far.

One process with one thread serves all services, with `asyncio` and without a web framework: the server must be much
faster than the client, on the same cores. Each response waits for `LATENCY`, which takes no CPU time.

A token bucket per quota admits the calls. It holds the tokens of one second, and a call without a token receives the
throttling error of its service.
"""

import argparse
import asyncio
import gc
import json
import sys
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from load.audit_aws.account import LATENCY, Account
from load.audit_aws.calls import FakeAws
from load.audit_aws.responses import Parameters, ServiceError


class Response(NamedTuple):
    """An HTTP response."""

    status: int
    content_type: str
    body: bytes
    error_type: str = ""
    latency: float = LATENCY


_PREFIXES = {"secretsmanager": "secretsmanager", "TrentService": "kms"}
"""Prefixes of IAM actions by prefix of `X-Amz-Target`."""
_QUERY_SERVICES = {"2010-05-08": "iam", "2011-06-15": "sts"}
"""Services of the Query protocol by version of their API."""
_LAMBDA_CALLS = {"": "GetFunction", "configuration": "GetFunctionConfiguration", "policy": "GetPolicy"}
"""Calls by the end of their path."""


def respond(aws: FakeAws, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
    """Return the response to an HTTP request. `headers` is keyed by name in lower case."""
    path, query = urlsplit(target).path, urlsplit(target).query
    if path == "/statistics":
        return Response(200, "application/json", json.dumps(aws.statistics()).encode(), latency=0.0)
    if "x-amz-target" in headers:
        service, _, operation = headers["x-amz-target"].partition(".")
        action = f"{_PREFIXES.get(service, service)}:{operation}"
        return _json_response(aws, action, json.loads(body), "application/x-amz-json-1.1")
    if path.startswith("/2015-03-31/functions"):
        name, _, operation = path.removeprefix("/2015-03-31/functions").strip("/").partition("/")
        action = _LAMBDA_CALLS.get(operation, f"{method} {path}") if name else "ListFunctions"
        if method != "GET":
            action = f"{method} {path}"
        parameters = {key: values[0] for key, values in parse_qs(query).items()} | {"FunctionName": unquote(name)}
        return _json_response(aws, f"lambda:{action}", parameters, "application/json")
    parameters = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    version, operation = parameters.get("Version", ""), parameters.get("Action", f"{method} {path}")
    return _xml_response(aws, _QUERY_SERVICES.get(version, "unknown"), version, operation, parameters)


def _json_response(aws: FakeAws, action: str, parameters: Parameters, content_type: str) -> Response:
    try:
        return Response(200, content_type, json.dumps(aws.call(action, parameters)).encode())
    except ServiceError as error:
        content = {"__type": error.code, "message": error.message}
        return Response(error.status, content_type, json.dumps(content).encode(), error.code)


def _xml_response(aws: FakeAws, service: str, version: str, operation: str, parameters: Parameters) -> Response:
    namespace = f"https://{service}.amazonaws.com/doc/{version}/"
    metadata = "<RequestId>00000000-0000-0000-0000-000000000000</RequestId>"
    try:
        text = (
            f'<{operation}Response xmlns="{namespace}"><{operation}Result>'
            f"{aws.call(f'{service}:{operation}', parameters)}</{operation}Result>"
            f"<ResponseMetadata>{metadata}</ResponseMetadata></{operation}Response>"
        )
        return Response(200, "text/xml", text.encode())
    except ServiceError as error:
        text = (
            f'<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>{error.code}</Code>'
            f"<Message>{escape(error.message)}</Message></Error>{metadata}</ErrorResponse>"
        )
        return Response(error.status, "text/xml", text.encode())


class _Connection(asyncio.Protocol):
    """An HTTP/1.1 connection that stays open. The client waits for each response before it sends the next request."""

    def __init__(self, aws: FakeAws) -> None:
        self._aws = aws
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # narrows the type
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond after the latency, as soon as the request is complete."""
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        request_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if len(rest) < int(headers.get("content-length", 0)):
            return
        self._buffer.clear()
        method, target, _ = request_line.split(" ")
        response = respond(self._aws, method, target, headers, bytes(rest))
        asyncio.get_running_loop().call_later(response.latency, self._send, response)

    def _send(self, response: Response) -> None:
        error_type = f"x-amzn-errortype: {response.error_type}\r\n" if response.error_type else ""
        head = (
            f"HTTP/1.1 {response.status} Status\r\nContent-Type: {response.content_type}\r\n{error_type}"
            f"x-amzn-RequestId: 00000000-0000-0000-0000-000000000000\r\nContent-Length: {len(response.body)}\r\n\r\n"
        )
        if self._transport and not self._transport.is_closing():
            self._transport.write(head.encode() + response.body)


async def _serve(secrets: int) -> None:
    account = Account(secrets)
    aws = FakeAws(account)
    aws.warm_up()
    # A collection would look at all of the account.
    gc.freeze()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(aws), "127.0.0.1", 0, backlog=1024)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(json.dumps({"url": url, **account.expectations()}), flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve the account until the process ends."""
    parser = argparse.ArgumentParser(prog="python -m load.audit_aws", description=__doc__.split("\n\n")[0])
    parser.add_argument("--secrets", type=int, default=1000, help="number of secrets (1000)")
    try:
        asyncio.run(_serve(parser.parse_args().secrets))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
