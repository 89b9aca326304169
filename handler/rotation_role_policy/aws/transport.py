"""HTTPS for the calls to AWS and for the answer, with one TLS context for the life of the process.

Left to itself botocore reads the certificate authorities again for every connection, and there is one for each service:
about a quarter of a cold start (https://github.com/boto/botocore/issues/3171; `make bench` has the whole).
"""

import os
import ssl
from functools import cache
from typing import Any
from urllib.request import getproxies

import urllib3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import HTTPClientError

# Every call here answers well below a second.
CONNECT_SECONDS = 3
READ_SECONDS = 10


class ConnectionFailed(HTTPClientError):  # type: ignore[misc]  # botocore has no types
    """No answer came, or not all of it."""

    fmt = "{error}"


@cache
def tls() -> ssl.SSLContext:
    """Verifies with the authorities of AWS_CA_BUNDLE, as botocore does; without that, with the system's."""
    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))


def use(client: Any) -> None:
    """Has a botocore client send its requests through here. Behind a proxy it keeps its own way.

    A handler of `before-send` may answer in botocore's place.
    Source: https://docs.aws.amazon.com/botocore/latest/topics/events.html
    """
    if not getproxies().keys() - {"no"}:
        client.meta.events.register("before-send", _send)


@cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(ssl_context=tls(), timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS))


def _send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    """The response to a prepared request. Raises `ConnectionFailed` where there is none."""
    try:
        answer = _pool().urlopen(
            request.method,
            request.url,
            body=request.body,
            headers=request.headers,
            # Who called tries again; AWS sends nobody elsewhere.
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        response = AWSResponse(request.url, answer.status, answer.headers, answer)
        # Reads it to its end, so that the connection serves the next call.
        _ = response.content
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionFailed(error=error) from error
    return response
