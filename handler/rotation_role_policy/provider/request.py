"""A request of CloudFormation, parsed and validated once from the Lambda event.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rotation_role_policy.errors import InvalidEventError
from rotation_role_policy.provider.response import RequestIds, build, serialize
from rotation_role_policy.rules import identity

REQUIRED_KEYS = ("RequestType", "ResponseURL", "StackId", "RequestId", "LogicalResourceId")
"""The keys that every event has, with ASCII strings as values."""

_ENVELOPE_LIMIT = 3072
"""Bytes of a response without Reason and Data. The rest of `RESPONSE_LIMIT` is enough for a reason."""


@dataclass(frozen=True)
class Request:
    """A Create, Update or Delete of one resource."""

    type: str
    """``Create``, ``Update`` or ``Delete``."""
    response_url: str
    stack_id: str
    request_id: str
    resource_type: str
    """Empty if the event has none."""
    logical_id: str
    physical_id: str
    """Empty for a Create."""
    properties: Any
    """As CloudFormation sent them, not validated."""
    old_properties: Any
    """Likewise. None if the request has none."""

    @cached_property
    def ids(self) -> RequestIds:
        """The members that the response repeats."""
        return RequestIds(self.stack_id, self.request_id, self.logical_id)

    @cached_property
    def policy_name(self) -> str:
        """The name of the resource's own inline policy."""
        return identity.policy_name(self.stack_id, self.logical_id)

    @cached_property
    def role_name(self) -> str:
        """The role that has the policy according to the physical ID; empty if the ID names no role."""
        return identity.role_name_of(self.physical_id, self.policy_name)

    @cached_property
    def uncreated_id(self) -> str:
        """The physical ID for a response that is sent before the role is known."""
        return identity.uncreated_id(self.logical_id)

    @cached_property
    def signed_at(self) -> datetime | None:
        """When CloudFormation signed the ResponseURL, which is when it sent the request; None if unknown."""
        [text] = parse_qs(urlsplit(self.response_url).query).get("X-Amz-Date", [""])[:1]
        try:
            return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            return None

    @cached_property
    def service_timeout(self) -> float:
        """The seconds that CloudFormation waits: the property ServiceTimeout, else infinity."""
        value = str(self.properties.get("ServiceTimeout")) if isinstance(self.properties, Mapping) else ""
        return int(value) if re.fullmatch("[1-9][0-9]{0,3}", value) else math.inf


def parse_request(event: Any) -> Request:
    """Return the request that a Lambda event contains.

    Raises:
        InvalidEventError: the event is not a CloudFormation request. The message says what is missing.
    """
    if not isinstance(event, Mapping):
        raise InvalidEventError("the event is not an object, so it is not a CloudFormation request")
    for key in REQUIRED_KEYS:
        value = event.get(key)
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
            raise _invalid(f"{key} is missing or not an ASCII string")
    if event["RequestType"] not in ("Create", "Update", "Delete"):
        raise _invalid("RequestType is not Create, Update or Delete")
    if not _is_valid_url(event["ResponseURL"]):
        raise _invalid("ResponseURL is not an https URL with a host")
    physical_id = "" if event["RequestType"] == "Create" else event.get("PhysicalResourceId")
    if not isinstance(physical_id, str):
        raise _invalid("PhysicalResourceId is missing or not a string")
    request = Request(
        type=event["RequestType"],
        response_url=event["ResponseURL"],
        stack_id=event["StackId"],
        request_id=event["RequestId"],
        resource_type=str(event.get("ResourceType", "")),
        logical_id=event["LogicalResourceId"],
        physical_id=physical_id,
        properties=event.get("ResourceProperties", {}),
        old_properties=event.get("OldResourceProperties"),
    )
    for response_id in (request.uncreated_id, physical_id):
        if len(serialize(build(request.ids, "FAILED", "", response_id, {}))) > _ENVELOPE_LIMIT:
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
