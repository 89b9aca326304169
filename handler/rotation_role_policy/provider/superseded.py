"""Find out whether CloudFormation still waits for a Create or Update, and whether a policy is in use.

A request does not say whether CloudFormation still waits for its response. If another resource fails, CloudFormation
cancels the requests in progress, and sends a Delete, or an Update with the old properties. The cancelled request may
still be running, or Lambda may not even have started it. A policy that such a request writes would never be deleted.

The stack's events since the request was sent decide. A policy that such a request has written is removed, unless it is
in use: it belongs to the physical ID that CloudFormation has for the resource now.
Source: docs/guarantees.md, "Superseded requests",
https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1730,
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import ErrorCode, RequestError
from rotation_role_policy.lookup.resource import find_role_name
from rotation_role_policy.lookup.stacks import (
    LOOKUP_SECONDS,
    StackStatus,
    current_physical_id,
    event_properties,
    events_since,
    get_resource_status,
    get_status,
    is_event_of_resource,
    is_event_of_stack,
    log_unavailable,
    previous_physical_id,
)
from rotation_role_policy.provider.request import Request
from rotation_role_policy.rules import identity
from rotation_role_policy.rules.place import Place
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.write.apply import Change

if TYPE_CHECKING:
    from types_boto3_cloudformation.type_defs import StackEventTypeDef

# CloudFormation's own properties, which an event can show in another form than the request.
_CLOUDFORMATION_PROPERTIES = ("ServiceToken", "ServiceTimeout")


class RequestSupersededError(RequestError):
    """CloudFormation no longer waits for the request.

    Args:
        evidence: what shows that the request is superseded.
        stack_status: the stack's status that shows this; empty if an event of the resource shows it.
        is_abandoned: CloudFormation has given up the request. False if it accepted another delivery's response.
    """

    def __init__(self, evidence: str, stack_status: str, *, is_abandoned: bool) -> None:
        self.stack_status = stack_status
        self.is_abandoned = is_abandoned
        super().__init__(f"CloudFormation no longer waits for this request: {evidence}.", ErrorCode.REQUEST_SUPERSEDED)


def raise_if_superseded(aws: Aws, request: Request, physical_id: str, stack_status: StackStatus | None = None) -> None:
    """Raise `RequestSupersededError` if CloudFormation has moved on since it sent this Create or Update.

    If CloudFormation does not report what it is doing, the request counts as not superseded.

    Args:
        aws: makes the calls.
        request: the request.
        physical_id: the physical ID in the response to the request.
        stack_status: of the stack, if known. Otherwise it is looked up if the events are not sufficient.
    """
    if stack_status:
        _check_stack_status(request, stack_status)
    try:
        with aws.time_limit(LOOKUP_SECONDS):
            evidence = _superseding_events(aws, request, physical_id, stack_status)
    except RequestError as error:
        log_unavailable(error)
        if not stack_status:
            _check_stack_status(request, get_status(aws, request.stack_id))
        return
    if evidence:
        newest = evidence[0]
        # The oldest event that shows an outcome is the one that ended the request.
        outcomes = (_outcome(stack_event, request) for stack_event in reversed(evidence))
        outcome = next(filter(None, outcomes), "")
        is_of_stack = is_event_of_stack(newest, request.stack_id)
        status = newest["ResourceStatus"]
        raise RequestSupersededError(
            f"since then, the {'stack' if is_of_stack else 'resource'} was {status}",
            status if is_of_stack else "",
            is_abandoned=outcome != "accepted",
        )


def is_policy_in_use(
    aws: Aws, request: Request, change: Change, superseded: RequestSupersededError, place: Place
) -> bool:
    """Return whether the policy of a superseded request is in use, or will be.

    Args:
        aws: makes the calls.
        request: the superseded request.
        change: of the policy, made or planned.
        superseded: the error that shows that the request is superseded.
        place: of the provider.
    """
    status = get_resource_status(aws, request.stack_id, request.logical_id)
    if status is None:
        # Unknown. A policy that existed before is most likely in use, unless the stack is being deleted.
        is_stack_deleted = superseded.stack_status.startswith(("DELETE_", "ROLLBACK_"))
        return not is_stack_deleted and (request.type == "Update" or change.previous is not None)
    if status.is_deleted:
        return False
    physical_id = identity.physical_id(change.role_name, change.policy_name)
    if status.physical_id == physical_id or not status.is_in_progress:
        return status.physical_id == physical_id
    # Another request is in progress, such as the Update of the rollback. It may lead to the same role.
    try:
        properties = parse_properties(status.requested_properties)
        if properties.names_role:
            return find_role_name(aws, properties, place) == change.role_name
    except RequestError:
        return True
    # Without a role in the template, a request writes only to the role of its own or of the previous physical ID. A
    # Create has neither.
    current_role = identity.role_name_of(status.physical_id, request.policy_name)
    previous_id = previous_physical_id(aws, request.stack_id, request.logical_id, status.physical_id)
    return not current_role or previous_id == physical_id


def is_policy_of_later_create(aws: Aws, request: Request, physical_id: str) -> bool:
    """Return whether the policy belongs to a later Create of the resource, which has succeeded.

    Args:
        aws: makes the calls.
        request: a Delete whose physical ID does not name the policy.
        physical_id: the physical ID that names the policy.
    """
    current_id = current_physical_id(aws, request.stack_id, request.logical_id)
    if current_id is None:
        # Unknown. A failed Create that responded with `uncreated_id` has not written a policy.
        return request.physical_id == request.uncreated_id
    return current_id == physical_id


def _check_stack_status(request: Request, stack_status: StackStatus) -> None:
    """Raise `RequestSupersededError` if the stack's status is enough to show that the request is superseded."""
    status = stack_status.value
    # Nothing is created during or after a rollback.
    if status.startswith("DELETE_") or (request.type == "Create" and "ROLLBACK" in status):
        raise RequestSupersededError(f"the stack is {status}", status, is_abandoned=True)


def _superseding_events(
    aws: Aws, request: Request, physical_id: str, stack_status: StackStatus | None
) -> list[StackEventTypeDef]:
    """Return the stack event that shows that the request is superseded, and the older ones; empty if none does.

    The newest conclusive event decides.
    """
    events = events_since(aws, request.stack_id, request.signed_at, stack_status)
    for stack_event in events:
        is_superseded = _supersedes(stack_event, request, physical_id)
        if is_superseded is not None:
            return [stack_event, *events] if is_superseded else []
    return []


def _supersedes(stack_event: StackEventTypeDef, request: Request, physical_id: str) -> bool | None:
    """Return whether an event after the request supersedes the request; None if the event is not conclusive."""
    status = stack_event["ResourceStatus"]
    if is_event_of_stack(stack_event, request.stack_id):
        return True if _ends_requests(status) else None
    if not is_event_of_resource(stack_event, request.logical_id):
        return None
    event_physical_id = stack_event.get("PhysicalResourceId", "")
    if status.startswith("DELETE_"):
        # A clean-up deletes the replaced or failed resource under another physical ID.
        return True if event_physical_id == physical_id else None
    if status.endswith("_FAILED"):
        return True
    properties = event_properties(stack_event)
    if properties is None:
        # CloudFormation reports the properties of custom resources. Without them, nothing is proven.
        return False
    is_same = _may_be_equal(properties, request.properties)
    if status.endswith("_COMPLETE"):
        # Superseded, whether by the response of an earlier delivery or by a rollback.
        return not (is_same and event_physical_id == physical_id)
    # Within one operation a resource can become IN_PROGRESS again, with a reason: "Resource creation Initiated".
    if is_same:
        return False
    return None if stack_event.get("ResourceStatusReason") else True


def _outcome(stack_event: StackEventTypeDef, request: Request) -> str:
    """Return the outcome of the request that a later event shows: ``accepted``, ``abandoned``, or empty."""
    status = stack_event["ResourceStatus"]
    if is_event_of_stack(stack_event, request.stack_id):
        return "abandoned" if _ends_requests(status) else ""
    if not is_event_of_resource(stack_event, request.logical_id):
        return ""
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return "accepted"
    return "abandoned" if status.endswith("_FAILED") else ""


def _ends_requests(stack_status: str) -> bool:
    """Return whether CloudFormation gives up earlier requests when the stack gets this status."""
    return stack_status.endswith("ROLLBACK_IN_PROGRESS") or stack_status.startswith("DELETE_")


def _may_be_equal(reported: Any, sent: Any) -> bool:
    """Return whether properties in a stack event can be those of the request.

    CloudFormation sends scalars as strings, and may report them in another form. It masks NoEcho values, and may report
    a dynamic reference instead of its value. Masked values and references count as equal to any value.
    """
    if isinstance(reported, str) and reported and (not reported.strip("*") or "{{resolve:" in reported):
        return True
    if isinstance(reported, Mapping) and isinstance(sent, Mapping):
        reported, sent = _without_cloudformation_properties(reported), _without_cloudformation_properties(sent)
        return reported.keys() == sent.keys() and all(_may_be_equal(reported[name], sent[name]) for name in reported)
    if isinstance(reported, list) and isinstance(sent, list):
        return len(reported) == len(sent) and all(map(_may_be_equal, reported, sent))
    return bool(_as_sent(reported) == _as_sent(sent))


def _without_cloudformation_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in _CLOUDFORMATION_PROPERTIES}


def _as_sent(value: Any) -> Any:
    """Return a scalar in the form in which CloudFormation sends it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value
