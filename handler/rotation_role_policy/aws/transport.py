"""HTTPS connections for the calls to AWS and for the response, with one TLS context for the life of the process.

botocore loads the certificate authorities again for each connection, and opens a connection for each service. That is
about a quarter of a cold start (https://github.com/boto/botocore/issues/3171, `make bench`).
"""

import os
import ssl
from functools import cache
from typing import Any
from urllib.request import getproxies

import urllib3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import HTTPClientError

# Each of the calls takes well below a second.
CONNECT_SECONDS = 3
READ_SECONDS = 10


class ConnectionFailedError(HTTPClientError):
    """There was no response, or only a part of it."""

    fmt = "{error}"


@cache
def ssl_context() -> ssl.SSLContext:
    """Return the TLS context. Like botocore, it trusts AWS_CA_BUNDLE if this is set, else the system's authorities."""
    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))


def install(client: Any) -> None:
    """Make a boto3 client send its requests with this module. Behind a proxy, botocore's own transport stays.

    A handler of the event `before-send` may return the response in place of botocore.
    Source: https://docs.aws.amazon.com/botocore/latest/topics/events.html
    """
    if not getproxies().keys() - {"no"}:
        client.meta.events.register("before-send", _send)


@cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        ssl_context=ssl_context(), timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    )


def _send(request: AWSPreparedRequest, **_event: Any) -> AWSResponse:
    """Send a prepared request and return the response. Raises `ConnectionFailedError` if there is none."""
    try:
        http_response = _pool().urlopen(
            request.method,
            request.url,
            body=request.body,
            headers=request.headers,
            # `Aws.call` retries. AWS does not redirect.
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        headers: Any = http_response.headers  # as botocore does, whatever its types say
        response = AWSResponse(request.url, http_response.status, headers, http_response)
        # Read to the end, so that the connection can be reused.
        _ = response.content
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionFailedError(error=error) from error
    return response
