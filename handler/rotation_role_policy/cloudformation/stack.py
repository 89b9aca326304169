"""What CloudFormation is doing with a request's stack and resource now.

A request does not say whether CloudFormation still waits for it. If another resource fails, CloudFormation cancels what
is under way and sends the Delete, or the old properties, while the cancelled request is being served or before Lambda
has started it. A policy that such a request writes would belong to nobody. Nor does a request say whether it is part of
a rollback, in which an Update must not fail.

CloudFormation tells both: the stack's status, and the stack's events since it sent the request. The signature of the
ResponseURL has the time at which it was sent.

Sources: https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1730,
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.cloudformation.request import sent_at
from rotation_role_policy.errors import CallFailed, Kind, ProviderDenied, Refused
from rotation_role_policy.log import facts

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10
"""For which CloudFormation is asked, if the request can be served without an answer."""

DELETE_LOOK_SECONDS = 60
"""For which it is asked before a policy is deleted that may be in use."""

_TOLERANCE = timedelta(seconds=2)
"""An event is later than a request only if it is later by this: a signature has whole seconds, and clocks differ."""

# Properties of CloudFormation's own: an event can show them in another form than the request.
_CLOUDFORMATIONS_OWN = ("ServiceToken", "ServiceTimeout")


class RequestSupersededError(Refused):
    """CloudFormation no longer waits for the request. `stack_status` is empty if it is not what shows it.

    `is_abandoned` if CloudFormation has given the request up, and not if another delivery of it was answered.
    """

    def __init__(self, evidence: str, stack_status: str, *, is_abandoned: bool) -> None:
        self.stack_status = stack_status
        self.is_abandoned = is_abandoned
        super().__init__(f"CloudFormation no longer waits for this request: {evidence}.", Kind.OVERTAKEN)


@dataclass(frozen=True)
class StackStatus:
    """The status of a request's stack."""

    value: str = ""
    """Such as ``UPDATE_ROLLBACK_IN_PROGRESS``; empty if CloudFormation does not tell it."""
    began: datetime | None = None
    """When the stack's current operation began, as far as it is known."""
    is_unanswered: bool = False
    """CloudFormation did not answer in time, and can be asked again."""

    @property
    def is_rollback(self) -> bool:
        """Whether the stack is rolling back."""
        return self.value.endswith("ROLLBACK_IN_PROGRESS")

    def is_forward_operation_of(self, sent: datetime) -> bool:
        """Whether a request that was sent then belongs to the stack's current operation, which is not a rollback."""
        is_forward = self.value in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
        return is_forward and self.began is not None and self.began - _TOLERANCE <= sent


ASSUMED_ROLLBACK = StackStatus("UPDATE_ROLLBACK_IN_PROGRESS")
"""Of a stack whose status could not be found out."""


def status(aws: Aws, event: Mapping[str, Any], seconds: float = LOOK_SECONDS) -> StackStatus:
    """The status of the request's stack. CloudFormation is asked for so many `seconds`.

    Raises nothing: a status that is not known is an empty one.
    """
    try:
        with aws.within(seconds):
            # By its ID a stack is found even if it is deleted.
            [found] = aws.call("cloudformation", "DescribeStacks", StackName=event["StackId"])["Stacks"]
        return StackStatus(str(found["StackStatus"]), found.get("LastUpdatedTime") or found.get("CreationTime"))
    except (CallFailed, Refused, ValueError, LookupError) as failure:
        return StackStatus(is_unanswered=not _is_final(failure))


def raise_if_superseded(
    aws: Aws, event: Mapping[str, Any], physical_id: str, stack_status: StackStatus | None = None
) -> None:
    """Raise `RequestSupersededError` if CloudFormation has moved on since it sent this Create or Update.

    `physical_id` is the ID that the request leads to. `stack_status` is the stack's, if it was asked for already: else
    it is asked for if the stack's events do not tell enough. If CloudFormation does not tell, the request is not
    superseded.
    """
    if stack_status:
        _raise_if_over(event, stack_status)
    try:
        with aws.within(LOOK_SECONDS):
            evidence = _superseding_event(aws, event, physical_id, stack_status)
    except (CallFailed, Refused) as failure:
        _is_final(failure)
        if not stack_status:
            _raise_if_over(event, status(aws, event))
        return
    if evidence:
        # From the newest to the event that decided what became of the request.
        newest, fate = evidence[0], next(filter(None, (_fate(one, event) for one in reversed(evidence))), "")
        is_of_stack = _is_of_stack(newest, event)
        shown = newest["ResourceStatus"]
        raise RequestSupersededError(
            f"since then, the {'stack' if is_of_stack else 'resource'} was {shown}",
            shown if is_of_stack else "",
            is_abandoned=fate != "answered",
        )


def _raise_if_over(event: Mapping[str, Any], stack_status: StackStatus) -> None:
    """Raise `RequestSupersededError` if the stack's status alone shows it."""
    value = stack_status.value
    # Nothing is created in a rollback, nor after it.
    if value.startswith("DELETE_") or (event["RequestType"] == "Create" and "ROLLBACK" in value):
        raise RequestSupersededError(f"the stack is {value}", value, is_abandoned=True)


def _superseding_event(
    aws: Aws, event: Mapping[str, Any], physical_id: str, stack_status: StackStatus | None
) -> list[dict[str, Any]]:
    """The stack event that shows that the request is superseded, and the older ones; empty if none shows it.

    The newest event that shows anything decides.
    """
    events = _events_since(aws, event, stack_status)
    for stack_event in events:
        is_superseded = _supersedes(stack_event, event, physical_id)
        if is_superseded is not None:
            return [stack_event, *events] if is_superseded else []
    return []


def _fate(stack_event: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """What an event after the request says of what became of it: ``answered``, ``abandoned`` or nothing."""
    status = stack_event["ResourceStatus"]
    if _is_of_stack(stack_event, event):
        return "abandoned" if _ends_requests(status) else ""
    if stack_event.get("LogicalResourceId") != event["LogicalResourceId"]:
        return ""
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return "answered"
    return "abandoned" if status.endswith("_FAILED") else ""


@dataclass(frozen=True)
class ResourceStatus:
    """What CloudFormation believes of a request's resource."""

    physical_id: str
    """Empty if it has none."""
    is_deleted: bool
    """It is deleted, or about to be."""
    requested: Any = None
    """The properties of the request that is under way for it; None if none is, or if they are not known."""
    is_in_progress: bool = False
    """A request is under way for it."""


def resource_status(aws: Aws, event: Mapping[str, Any]) -> ResourceStatus | None:
    """The status of the request's resource; None if CloudFormation does not tell."""
    try:
        with aws.within(LOOK_SECONDS):
            found = _describe_resource(aws, event)
            status, physical_id = found["ResourceStatus"], found.get("PhysicalResourceId", "")
            if status in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"):
                return ResourceStatus(physical_id, is_deleted=True)
            if not status.endswith("_IN_PROGRESS"):
                return ResourceStatus(physical_id, is_deleted=False)
            of_resource = (
                _shown_properties(one)
                for one in _events(aws, event["StackId"])
                if one.get("LogicalResourceId") == event["LogicalResourceId"]
            )
            requested = next((properties for properties in of_resource if properties), None)
            return ResourceStatus(physical_id, is_deleted=False, requested=requested, is_in_progress=True)
    except (CallFailed, Refused) as failure:
        _is_final(failure)
        return None


def current_physical_id(aws: Aws, event: Mapping[str, Any]) -> str | None:
    """The physical ID that the resource of a Delete has now; empty for none, None if CloudFormation does not tell.

    The Delete of a Create that failed can come when a later Create has succeeded (``--disable-rollback``).
    """
    try:
        # The Delete itself takes time, too.
        with aws.within(min(DELETE_LOOK_SECONDS, (aws.deadline - time.monotonic()) / 3)):
            return str(_describe_resource(aws, event).get("PhysicalResourceId", ""))
    except CallFailed as failure:
        _is_final(failure)
        return "" if failure.code == "ValidationError" else None
    except Refused as failure:
        _is_final(failure)
        return None


def previous_physical_id(aws: Aws, event: Mapping[str, Any]) -> str:
    """The physical ID that the resource of an Update of a rollback had before the stack's operation began.

    Empty if it is the same, or if CloudFormation does not tell.
    """
    try:
        with aws.within(LOOK_SECONDS):
            for stack_event in _events(aws, event["StackId"]):
                if _is_of_stack(stack_event, event) and stack_event["ResourceStatus"] == "UPDATE_IN_PROGRESS":
                    break
                is_own = stack_event.get("LogicalResourceId") == event["LogicalResourceId"]
                if is_own and stack_event.get("PhysicalResourceId") not in ("", event["PhysicalResourceId"]):
                    return str(stack_event["PhysicalResourceId"])
    except (CallFailed, Refused) as failure:
        _is_final(failure)
    return ""


def _describe_resource(aws: Aws, event: Mapping[str, Any]) -> dict[str, Any]:
    stack_id, logical_id = event["StackId"], event["LogicalResourceId"]
    found = aws.call("cloudformation", "DescribeStackResource", StackName=stack_id, LogicalResourceId=logical_id)
    detail: dict[str, Any] = found["StackResourceDetail"]
    return detail


def _events_since(aws: Aws, event: Mapping[str, Any], stack_status: StackStatus | None) -> Iterator[dict[str, Any]]:
    """The stack's events since the request was sent, the newest first.

    If the operation just goes on, only the newest page: it tells whether this resource was cancelled a moment ago, and
    the other events can be many, in a stack of hundreds of resources.
    """
    sent = sent_at(event)
    for page, is_last in _pages(aws, event["StackId"]):
        for stack_event in page:
            if sent and stack_event["Timestamp"] < sent + _TOLERANCE:
                return
            yield stack_event
        if sent and not is_last:
            stack_status = stack_status or status(aws, event)
            if stack_status.is_forward_operation_of(sent):
                return


def _events(aws: Aws, stack_id: str) -> Iterator[dict[str, Any]]:
    """The stack's events, the newest first."""
    for page, _ in _pages(aws, stack_id):
        yield from page


def _pages(aws: Aws, stack_id: str) -> Iterator[tuple[list[dict[str, Any]], bool]]:
    """The stack's events, the newest first, in pages, and whether a page is the last. A call for each page."""
    token: dict[str, Any] = {}
    while True:
        page = aws.call("cloudformation", "DescribeStackEvents", StackName=stack_id, **token)
        yield page["StackEvents"], "NextToken" not in page
        if "NextToken" not in page:
            return
        token = {"NextToken": page["NextToken"]}


def _supersedes(stack_event: Mapping[str, Any], event: Mapping[str, Any], physical_id: str) -> bool | None:
    """Whether an event after the request shows that CloudFormation has moved on, or has not; None if neither."""
    status = stack_event["ResourceStatus"]
    if _is_of_stack(stack_event, event):
        return True if _ends_requests(status) else None
    if stack_event.get("LogicalResourceId") != event["LogicalResourceId"]:
        return None
    event_id = stack_event.get("PhysicalResourceId", "")
    if status.startswith("DELETE_"):
        # The clean-up deletes what was replaced, or failed, under another ID.
        return True if event_id == physical_id else None
    if status.endswith("_FAILED"):
        return True
    shown = _shown_properties(stack_event)
    if shown is None:
        # CloudFormation gives the properties of a custom resource. Without them nothing is proven.
        return False
    is_same = _is_same(shown, event.get("ResourceProperties"))
    if status.endswith("_COMPLETE"):
        # Nobody waits for it, be it that an earlier delivery was answered or that it was rolled back.
        return not (is_same and event_id == physical_id)
    # Within an operation a resource can be IN_PROGRESS again, for a reason: "Resource creation Initiated".
    return False if is_same else None if stack_event.get("ResourceStatusReason") else True


def _ends_requests(stack_status: str) -> bool:
    """Whether a stack that gets this status no longer waits for the requests of before."""
    return stack_status.endswith("ROLLBACK_IN_PROGRESS") or stack_status.startswith("DELETE_")


def _shown_properties(stack_event: Mapping[str, Any]) -> Any:
    """The properties that a stack event shows; None if it shows none, as in a clean-up."""
    try:
        return json.loads(stack_event["ResourceProperties"])
    except (KeyError, ValueError):
        return None


def _is_of_stack(stack_event: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    # A nested stack's is an event of one of its parent's resources.
    return bool(stack_event.get("PhysicalResourceId") == event["StackId"])


def _is_same(shown: Any, sent: Any) -> bool:
    """Whether properties as an event shows them can be those that were sent.

    CloudFormation sends scalars as strings, and need not show them so. It masks NoEcho values, and may show a dynamic
    reference in place of its value: these can be anything.
    """
    if isinstance(shown, str) and shown and (not shown.strip("*") or "{{resolve:" in shown):
        return True
    if isinstance(shown, Mapping) and isinstance(sent, Mapping):
        shown, sent = (
            {name: value for name, value in one.items() if name not in _CLOUDFORMATIONS_OWN} for one in (shown, sent)
        )
        return shown.keys() == sent.keys() and all(_is_same(shown[name], sent[name]) for name in shown)
    if isinstance(shown, list) and isinstance(sent, list):
        return len(shown) == len(sent) and all(map(_is_same, shown, sent))
    return bool(_scalar(shown) == _scalar(sent))


def _scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _is_final(failure: Exception) -> bool:
    """Log that CloudFormation did not tell. Whether it would not tell if it were asked again, either."""
    logger.warning("CloudFormation does not say what it is doing", extra=facts(why=str(failure)))
    code = failure.code if isinstance(failure, CallFailed) else ""
    # ValidationError: CloudFormation knows no such stack, as for an event that was made by hand.
    return isinstance(failure, ProviderDenied) or code == "ValidationError"
