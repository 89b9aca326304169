"""A request of CloudFormation's: what counts as one, and for how long CloudFormation waits for its answer."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rotation_role_policy import identity
from rotation_role_policy.cloudformation.response import composed, encoded
from rotation_role_policy.errors import NotARequest

# The keys of a request, and no others: crhelper lets keys of its own (CrHelperPoll, CrHelperData) steer it.
_NAMES = ("RequestType", "ResponseURL", "StackId", "RequestId", "LogicalResourceId")
_OTHER_KEYS = ("ResourceType", "PhysicalResourceId", "ResourceProperties", "OldResourceProperties")

_ENVELOPE_LIMIT = 3072
"""Bytes of an answer without Reason and Data: the rest of `ANSWER_LIMIT` is enough to say something."""


def checked(event: Any) -> dict[str, Any]:
    """`event` with only the keys of a CloudFormation request. Raises `NotARequest`, which says what is missing."""
    if not isinstance(event, Mapping):
        raise NotARequest("the event is not an object, let alone a CloudFormation request")
    for name in _NAMES:
        value = event.get(name)
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
            raise NotARequest(f"the event is not a CloudFormation request: {name} is missing or not a string of ASCII")
    if event["RequestType"] not in ("Create", "Update", "Delete"):
        raise NotARequest("the event is not a CloudFormation request: RequestType is not Create, Update or Delete")
    if not _is_usable(event["ResponseURL"]):
        raise NotARequest("the event is not a CloudFormation request: ResponseURL is not an https URL with a host")
    request = {key: event[key] for key in (*_NAMES, *_OTHER_KEYS) if key in event}
    physical_ids = [uncreated_id(request)]
    if event["RequestType"] == "Create":
        request.pop("PhysicalResourceId", None)
    elif isinstance(event.get("PhysicalResourceId"), str):
        physical_ids.append(event["PhysicalResourceId"])
    else:
        raise NotARequest("the event is not a CloudFormation request: PhysicalResourceId is missing or not a string")
    for physical_id in physical_ids:
        if len(encoded(composed(request, "FAILED", "", physical_id, {}))) > _ENVELOPE_LIMIT:
            raise NotARequest("the event is not a CloudFormation request: its ids are too long to be answered")
    return request


def _is_usable(response_url: str) -> bool:
    """Whether an answer can be put there: https, a host, and nothing that could make it another request."""
    try:
        url = urlsplit(response_url)
        port_is_number = url.port is None or url.port > 0
    except ValueError:
        return False
    return (
        " " not in response_url
        and url.scheme == "https"
        and bool(url.hostname)
        and "@" not in url.netloc
        and port_is_number
    )


def service_timeout(request: Mapping[str, Any]) -> float:
    """The seconds for which CloudFormation waits: the resource's own, where it gives a number."""
    properties = request.get("ResourceProperties")
    declared = str(properties.get("ServiceTimeout")) if isinstance(properties, Mapping) else ""
    return int(declared) if re.fullmatch("[1-9][0-9]{0,3}", declared) else math.inf


def sent_at(event: Mapping[str, Any]) -> datetime | None:
    """When CloudFormation sent the request: its ResponseURL was signed then. None for an event made by hand."""
    [text] = parse_qs(urlsplit(event["ResponseURL"]).query).get("X-Amz-Date", [""])[:1]
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def uncreated_id(request: Mapping[str, Any]) -> str:
    """The physical ID of an answer that is given before anything exists."""
    return identity.uncreated_id(request["LogicalResourceId"])
