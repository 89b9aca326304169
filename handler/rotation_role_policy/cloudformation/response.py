"""What CloudFormation is answered, and how long it may be."""

import http.client
import json
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rotation_role_policy.aws import transport
from rotation_role_policy.errors import Kind, Refused, Undelivered
from rotation_role_policy.log import facts

logger = logging.getLogger(__name__)

ANSWER_LIMIT = 4096
"""Bytes. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html"""

_TRIES = 6
_FIRST_PAUSE = 0.5
"""Seconds; each further pause is twice as long."""
_TRY_TIMEOUT = 10
"""Seconds for connecting, and for each wait on the connection."""


def composed(
    event: Mapping[str, Any], status: str, reason: str, physical_id: str, data: Mapping[str, str]
) -> dict[str, Any]:
    """The answer to a request, of which `event` has StackId, RequestId and LogicalResourceId."""
    return {
        "Status": status,
        # Control characters break the stack's events.
        "Reason": "".join(character if character.isprintable() else " " for character in str(reason)),
        "PhysicalResourceId": physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": dict(data),
    }


def encoded(answer: Mapping[str, Any]) -> bytes:
    """The answer as it is sent."""
    return json.dumps(answer).encode()


def fitting(event: Mapping[str, Any], physical_id: str, data: Mapping[str, str]) -> dict[str, str]:
    """The attributes of an answer that must succeed: the long ones are empty where the answer would be too long."""
    fitted = dict(data)
    for name in ("SecretArns", "KmsKeyArns", "FunctionArn"):
        if len(encoded(composed(event, "SUCCESS", "", physical_id, fitted))) > ANSWER_LIMIT:
            fitted[name] = ""
    return fitted


def refuse_too_many(
    event: Mapping[str, Any], secret_property: str, secrets: int, physical_id: str, data: Mapping[str, str]
) -> None:
    """Raises `Refused` where so many `secrets` make attributes (`data`) with which the answer would be too long."""
    size = len(encoded(composed(event, "SUCCESS", "", physical_id, data)))
    if size > ANSWER_LIMIT:
        raise Refused(
            f"{secret_property}: {secrets} secrets are too many for one resource: the answer would have {size:,} bytes,"
            f" CloudFormation takes {ANSWER_LIMIT:,}. Spread them over several.",
            Kind.LIMIT,
        )


def deliver(url: str, body: bytes, deadline: float) -> None:
    """Puts the answer where CloudFormation waits for it. `deadline` is in seconds of `time.monotonic`.

    Raises `Undelivered` where no try brought a 2xx. Refused once (a 4xx other than 429) is refused for good.
    """
    problem = ""
    for attempt in range(_TRIES):
        if attempt:
            pause = _FIRST_PAUSE * 2 ** (attempt - 1)
            if time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        try:
            status = _put(url, body, max(1.0, min(_TRY_TIMEOUT, deadline - time.monotonic())))
        except (OSError, http.client.HTTPException) as error:
            problem = type(error).__name__
            final = False
        else:
            if 200 <= status < 300:
                return
            problem = f"HTTP {status}"
            final = 400 <= status < 500 and status != 429
        logger.warning("answer not delivered", extra=facts(attempt=attempt + 1, problem=problem))
        if final:
            break
    raise Undelivered(f"the answer could not be delivered to CloudFormation: {problem}")


def _put(url: str, body: bytes, timeout: float) -> int:
    """The HTTP status of one PUT. The URL is signed for an empty content type."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=transport.tls())
    try:
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("PUT", path, body, {"Content-Type": ""})
        return connection.getresponse().status
    finally:
        connection.close()
