"""The response to a request: build it within CloudFormation's size limit, and send it to the ResponseURL.

If the response cannot be delivered, `send` raises `ResponseDeliveryError`. The invocation then fails, and Lambda
delivers the event again. After the last attempt, the event is in the queue FailedEvents (template.yaml). Source:
docs/guarantees.md, "One response per request".
"""

import http.client
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rotation_role_policy.aws import transport
from rotation_role_policy.errors import ErrorCode, RequestError, ResponseDeliveryError

logger = logging.getLogger(__name__)

RESPONSE_LIMIT = 4096
"""Bytes. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html"""

_MAX_ATTEMPTS = 6
_FIRST_PAUSE = 0.5
"""Seconds before the second attempt. Each further pause is twice as long."""
_ATTEMPT_TIMEOUT = 10
"""Seconds for connecting, and for each wait on the connection."""


class RequestIds(NamedTuple):
    """The members of a request that its response repeats."""

    stack_id: str
    request_id: str
    logical_id: str


class Success(NamedTuple):
    """What a response with SUCCESS says."""

    physical_id: str
    attributes: Mapping[str, str]


def build(ids: RequestIds, status: str, reason: str, physical_id: str, data: Mapping[str, str]) -> dict[str, Any]:
    """Return the response to the request with these IDs."""
    return {
        "Status": status,
        # Control characters break the display of the stack's events.
        "Reason": "".join(character if character.isprintable() else " " for character in str(reason)),
        "PhysicalResourceId": physical_id,
        "StackId": ids.stack_id,
        "RequestId": ids.request_id,
        "LogicalResourceId": ids.logical_id,
        "Data": dict(data),
    }


def serialize(response: Mapping[str, Any]) -> bytes:
    """Return the body that is sent."""
    return json.dumps(response).encode()


def shorten_reason(response: dict[str, Any]) -> None:
    """Cut the reason of a response from the start, until the response is within `RESPONSE_LIMIT`."""
    while (excess := len(serialize(response)) - RESPONSE_LIMIT) > 0 and response["Reason"]:
        # JSON escapes take up to 12 bytes per character. Cut from the start: the main point comes last.
        response["Reason"] = response["Reason"][excess // 12 + 1 :]


def fit_attributes(ids: RequestIds, physical_id: str, data: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes for a response that must succeed: long ones are emptied if the response is too long."""
    fitted = dict(data)
    for name in ("SecretArns", "KmsKeyArns", "FunctionArn"):
        if len(serialize(build(ids, "SUCCESS", "", physical_id, fitted))) > RESPONSE_LIMIT:
            fitted[name] = ""
    return fitted


def check_response_size(
    ids: RequestIds, secret_property: str, secrets: int, physical_id: str, data: Mapping[str, str]
) -> None:
    """Raise `RequestError` if a response with the attributes `data` would be too long.

    Args:
        ids: of the request.
        secret_property: the property that names the secrets, for the message.
        secrets: the number of secrets, for the message.
        physical_id: of the response.
        data: the attributes.
    """
    size = len(serialize(build(ids, "SUCCESS", "", physical_id, data)))
    if size > RESPONSE_LIMIT:
        raise RequestError(
            f"{secret_property}: {secrets} secrets are too many for one resource. The response would have {size:,}"
            f" bytes, and CloudFormation accepts {RESPONSE_LIMIT:,}. Distribute the secrets over several functions"
            f" with a role and a resource each.",
            ErrorCode.SERVICE_LIMIT_EXCEEDED,
        )


def send(url: str, body: bytes, deadline: float) -> None:
    """Put the response to the ResponseURL, with retries until `deadline` (seconds of `time.monotonic`).

    Raises:
        ResponseDeliveryError: no attempt got a 2xx. A 4xx other than 429 is not retried.
    """
    problem = ""
    for attempt in range(_MAX_ATTEMPTS):
        if attempt:
            pause = _FIRST_PAUSE * 2 ** (attempt - 1)
            if time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        try:
            status = _put(url, body, max(1.0, min(_ATTEMPT_TIMEOUT, deadline - time.monotonic())))
        except (OSError, http.client.HTTPException) as error:
            problem = type(error).__name__
            is_final = False
        else:
            if 200 <= status < 300:
                return
            problem = f"HTTP {status}"
            is_final = 400 <= status < 500 and status != 429
        logger.warning("response not delivered", extra={"attempt": attempt + 1, "problem": problem})
        if is_final:
            break
    raise ResponseDeliveryError(f"the response could not be delivered to CloudFormation: {problem}")


def _put(url: str, body: bytes, timeout: float) -> int:
    """Make one PUT request and return its HTTP status. The URL is signed for an empty content type."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=transport.ssl_context())
    try:
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("PUT", path, body, {"Content-Type": ""})
        return connection.getresponse().status
    finally:
        connection.close()
