"""A CloudFormation request: validate the event, and read when it was signed and how long CloudFormation waits."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rotation_role_policy.errors import InvalidEventError
from rotation_role_policy.provider.response import build, serialize
from rotation_role_policy.rules import identity

# Only these keys are passed on. crhelper would interpret others (CrHelperPoll, CrHelperData).
_REQUIRED_KEYS = ("RequestType", "ResponseURL", "StackId", "RequestId", "LogicalResourceId")
_OPTIONAL_KEYS = ("ResourceType", "PhysicalResourceId", "ResourceProperties", "OldResourceProperties")

_ENVELOPE_LIMIT = 3072
"""Bytes of a response without Reason and Data. The rest of `RESPONSE_LIMIT` is enough for a reason."""


def validate_event(event: Any) -> dict[str, Any]:
    """Return `event` with only the keys of a CloudFormation request.

    Raises:
        InvalidEventError: the event is not a CloudFormation request. The message says what is missing.
    """
    if not isinstance(event, Mapping):
        raise InvalidEventError("the event is not an object, so it is not a CloudFormation request")
    for key in _REQUIRED_KEYS:
        value = event.get(key)
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
            raise _invalid(f"{key} is missing or not an ASCII string")
    if event["RequestType"] not in ("Create", "Update", "Delete"):
        raise _invalid("RequestType is not Create, Update or Delete")
    if not _is_valid_url(event["ResponseURL"]):
        raise _invalid("ResponseURL is not an https URL with a host")
    request = {key: event[key] for key in (*_REQUIRED_KEYS, *_OPTIONAL_KEYS) if key in event}
    physical_ids = [uncreated_id(request)]
    if event["RequestType"] == "Create":
        request.pop("PhysicalResourceId", None)
    elif isinstance(event.get("PhysicalResourceId"), str):
        physical_ids.append(event["PhysicalResourceId"])
    else:
        raise _invalid("PhysicalResourceId is missing or not a string")
    for physical_id in physical_ids:
        if len(serialize(build(request, "FAILED", "", physical_id, {}))) > _ENVELOPE_LIMIT:
            raise _invalid("its IDs are too long for a response")
    return request


def _invalid(problem: str) -> InvalidEventError:
    return InvalidEventError(f"the event is not a CloudFormation request: {problem}")


def _is_valid_url(response_url: str) -> bool:
    """Return whether a response can be put to the URL: https, a host, and no credentials or spaces."""
    try:
        url = urlsplit(response_url)
        has_valid_port = url.port is None or url.port > 0
    except ValueError:
        return False
    return (
        " " not in response_url
        and url.scheme == "https"
        and bool(url.hostname)
        and "@" not in url.netloc
        and has_valid_port
    )


def service_timeout(request: Mapping[str, Any]) -> float:
    """Return the seconds that CloudFormation waits: the property ServiceTimeout, else infinity."""
    properties = request.get("ResourceProperties")
    value = str(properties.get("ServiceTimeout")) if isinstance(properties, Mapping) else ""
    return int(value) if re.fullmatch("[1-9][0-9]{0,3}", value) else math.inf


def signed_at(event: Mapping[str, Any]) -> datetime | None:
    """Return when CloudFormation signed the ResponseURL, which is when it sent the request; None if unknown."""
    [text] = parse_qs(urlsplit(event["ResponseURL"]).query).get("X-Amz-Date", [""])[:1]
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def uncreated_id(request: Mapping[str, Any]) -> str:
    """Return the physical ID for a response that is sent before the role is known."""
    return identity.uncreated_id(request["LogicalResourceId"])
