"""The status, resources and events of a stack, as CloudFormation reports them now.

A request does not say whether the stack is rolling back. In a rollback, an Update must not fail. If CloudFormation does
not report the status, the functions return an unknown status instead of raising an error: no request may fail for that
reason. Source: docs/guarantees.md, "Rollbacks" and "Superseded requests".
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError

if TYPE_CHECKING:
    from types_boto3_cloudformation.type_defs import StackEventTypeDef, StackResourceDetailTypeDef

logger = logging.getLogger(__name__)

LOOKUP_SECONDS = 10
"""Time limit for a look-up whose result is not essential."""

ESSENTIAL_LOOKUP_SECONDS = 60
"""Time limit for the look-up before a policy is deleted that may be in use, or stays on a role because it may have
been redirected."""

TOLERANCE = timedelta(seconds=2)
"""How much later than a request an event has to be, because signatures have whole seconds and clocks differ."""


# --- the stack --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StackStatus:
    """The status of a stack."""

    value: str = ""
    """Such as ``UPDATE_ROLLBACK_IN_PROGRESS``; empty if unknown."""
    operation_start: datetime | None = None
    """When the stack's current operation began; None if unknown."""
    can_retry: bool = False
    """The status is unknown because CloudFormation did not respond in time. A later look-up can succeed."""

    @property
    def is_rollback(self) -> bool:
        """Whether the stack is rolling back."""
        return self.value.endswith("ROLLBACK_IN_PROGRESS")

    def is_forward_operation_of(self, sent: datetime) -> bool:
        """Return whether a request sent at `sent` belongs to the current operation, and this is not a rollback."""
        is_forward = self.value in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
        return is_forward and self.operation_start is not None and self.operation_start - TOLERANCE <= sent


ASSUMED_ROLLBACK = StackStatus("UPDATE_ROLLBACK_IN_PROGRESS")
"""Assumed if CloudFormation never responds: a failed Update could leave the stack in UPDATE_ROLLBACK_FAILED."""


def get_status(aws: Aws, stack_id: str, seconds: float = LOOKUP_SECONDS) -> StackStatus:
    """Return the status of a stack; an unknown one if CloudFormation does not report it in `seconds`."""
    try:
        with aws.time_limit(seconds):
            # A stack ID, unlike a name, also finds a deleted stack.
            [stack] = aws.call(aws.cloudformation.describe_stacks, StackName=stack_id)["Stacks"]
        return StackStatus(stack["StackStatus"], stack.get("LastUpdatedTime") or stack.get("CreationTime"))
    except (RequestError, ValueError, LookupError) as error:
        log_unavailable(error)
        return StackStatus(can_retry=not _is_permanent(error))


# --- the resource -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ResourceStatus:
    """The status of a resource."""

    physical_id: str
    """Empty if there is none."""
    is_deleted: bool
    """The resource is deleted or being deleted."""
    requested_properties: Any = None
    """The properties of the request that is in progress; None if there is none, or if they are unknown."""
    is_in_progress: bool = False
    """A request for the resource is in progress."""


def get_resource_status(aws: Aws, stack_id: str, logical_id: str) -> ResourceStatus | None:
    """Return the status of a resource; None if CloudFormation does not report it."""
    try:
        with aws.time_limit(LOOKUP_SECONDS):
            resource = _describe_resource(aws, stack_id, logical_id)
            status, physical_id = resource["ResourceStatus"], resource.get("PhysicalResourceId", "")
            if status in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"):
                return ResourceStatus(physical_id, is_deleted=True)
            if not status.endswith("_IN_PROGRESS"):
                return ResourceStatus(physical_id, is_deleted=False)
            properties = (
                event_properties(stack_event)
                for stack_event in _events(aws, stack_id)
                if is_event_of_resource(stack_event, logical_id)
            )
            latest_properties = next(filter(None, properties), None)
            return ResourceStatus(
                physical_id, is_deleted=False, requested_properties=latest_properties, is_in_progress=True
            )
    except RequestError as error:
        log_unavailable(error)
        return None


def current_physical_id(aws: Aws, stack_id: str, logical_id: str) -> str | None:
    """Return the physical ID that a resource has now; empty if it has none, None if unknown.

    For a Delete: after a failed Create with ``--disable-rollback``, it can come when a later Create has succeeded.
    """
    try:
        # Two thirds of the time are kept for the Delete itself.
        with aws.time_limit(min(ESSENTIAL_LOOKUP_SECONDS, (aws.deadline - time.monotonic()) / 3)):
            return _describe_resource(aws, stack_id, logical_id).get("PhysicalResourceId", "")
    except RequestError as error:
        log_unavailable(error)
        # ValidationError: the stack or the resource does not exist.
        return "" if isinstance(error, AwsApiError) and error.code == "ValidationError" else None


def previous_physical_id(
    aws: Aws, stack_id: str, logical_id: str, physical_id: str, seconds: float = LOOKUP_SECONDS
) -> str:
    """Return the physical ID that a resource had before the stack's current operation.

    For an Update of a rollback, whose request names `physical_id`. Empty if the ID has not changed, or if
    CloudFormation does not report it in `seconds`.
    """
    try:
        with aws.time_limit(seconds):
            for stack_event in _events(aws, stack_id):
                if is_event_of_stack(stack_event, stack_id) and stack_event["ResourceStatus"] == "UPDATE_IN_PROGRESS":
                    break
                earlier_id = stack_event.get("PhysicalResourceId")
                if earlier_id and earlier_id != physical_id and is_event_of_resource(stack_event, logical_id):
                    return earlier_id
    except RequestError as error:
        log_unavailable(error)
    return ""


def _describe_resource(aws: Aws, stack_id: str, logical_id: str) -> StackResourceDetailTypeDef:
    describe = aws.cloudformation.describe_stack_resource
    return aws.call(describe, StackName=stack_id, LogicalResourceId=logical_id)["StackResourceDetail"]


# --- events -----------------------------------------------------------------------------------------------------------


def events_since(
    aws: Aws, stack_id: str, sent: datetime | None, stack_status: StackStatus | None
) -> Iterator[StackEventTypeDef]:
    """Yield the stack's events since a request was sent, newest first; all events if `sent` is None.

    While the operation of the request continues, only the newest page. It shows whether this resource was cancelled
    just now, and in a stack of hundreds of resources there are many more events.
    """
    for page in aws.paginate(aws.cloudformation.describe_stack_events, StackName=stack_id):
        for stack_event in page["StackEvents"]:
            if sent and stack_event["Timestamp"] < sent + TOLERANCE:
                return
            yield stack_event
        if sent and page.get("NextToken"):
            stack_status = stack_status or get_status(aws, stack_id)
            if stack_status.is_forward_operation_of(sent):
                return


def _events(aws: Aws, stack_id: str) -> Iterator[StackEventTypeDef]:
    """Yield all events of the stack, newest first."""
    for page in aws.paginate(aws.cloudformation.describe_stack_events, StackName=stack_id):
        yield from page["StackEvents"]


def event_properties(stack_event: StackEventTypeDef) -> Any:
    """Return the resource properties in a stack event; None if there are none, as in a clean-up."""
    try:
        return json.loads(stack_event["ResourceProperties"])
    except (KeyError, ValueError):
        return None


def is_event_of_stack(stack_event: StackEventTypeDef, stack_id: str) -> bool:
    """Return whether a stack event is about the stack itself. A nested stack is a resource of its parent."""
    return bool(stack_event.get("PhysicalResourceId") == stack_id)


def is_event_of_resource(stack_event: StackEventTypeDef, logical_id: str) -> bool:
    """Return whether a stack event is about the resource. A stack can have the name of one of its resources."""
    is_of_stack = stack_event.get("PhysicalResourceId") == stack_event.get("StackId")
    return bool(stack_event.get("LogicalResourceId") == logical_id) and not is_of_stack


# --- failed look-ups --------------------------------------------------------------------------------------------------


def log_unavailable(error: Exception) -> None:
    """Log that CloudFormation did not report what was looked up."""
    logger.warning("stack status unavailable", extra={"reason": str(error)})


def _is_permanent(error: Exception) -> bool:
    """Return whether a look-up would fail again."""
    if isinstance(error, AccessDeniedError):
        return True
    # CloudFormation does not know the stack, for example because the event was made by hand.
    return isinstance(error, AwsApiError) and error.code == "ValidationError"
