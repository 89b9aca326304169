"""What CloudFormation is answered, and how long it may be."""

import json
from collections.abc import Mapping
from typing import Any

from rotation_role_policy.errors import Kind, Refused

ANSWER_LIMIT = 4096
"""Bytes. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html"""


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
