"""Whether CloudFormation still waits for a request.

It does not always: where another resource fails, CloudFormation cancels what is under way, and sends the Delete (or the
Update back) while the cancelled request is still being served, or before Lambda has even begun it. A policy that is
written then would belong to nobody.

Source: https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1730
"""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from rotation_role_policy.aws import Aws
from rotation_role_policy.errors import CallFailed, Refused
from rotation_role_policy.log import facts

logger = logging.getLogger(__name__)

_GONE = {"CREATE_FAILED", "DELETE_IN_PROGRESS", "DELETE_FAILED", "DELETE_COMPLETE"}
"""What a resource is whose Create was cancelled, and from the beginning of its Delete on."""


class State(NamedTuple):
    """The resource as CloudFormation sees it: its ResourceStatus, and when that began."""

    status: str
    since: Any


class Overtaken(Refused):
    """CloudFormation no longer waits for the request. `is_gone` where it deletes the resource, or has deleted it."""

    def __init__(self, status: str, *, is_gone: bool) -> None:
        self.is_gone = is_gone
        super().__init__(f"CloudFormation no longer waits for this request: the resource is {status}.")


def look(aws: Aws, event: Mapping[str, Any]) -> State | None:
    """The state of the resource; None where CloudFormation does not tell, as for an event that was made by hand."""
    try:
        resource = aws.call(
            "cloudformation",
            "DescribeStackResource",
            # By its id a stack is found, too, when it is deleted.
            StackName=event["StackId"],
            LogicalResourceId=event["LogicalResourceId"],
        )["StackResourceDetail"]
    except (CallFailed, Refused) as failure:
        # A stack of another account, no time left: no reason to fail what is otherwise well.
        logger.warning("not known whether CloudFormation still waits", extra=facts(why=str(failure)))
        return None
    return State(resource["ResourceStatus"], resource["LastUpdatedTimestamp"])


def refuse_overtaken(aws: Aws, event: Mapping[str, Any], before: State | None) -> None:
    """Raises `Overtaken` where CloudFormation has gone on to another request for this resource.

    For an Update `before` is what `look` gave before the write: the request had begun then, and a state that began
    later is another request's.
    """
    now = look(aws, event)
    if now is None:
        return
    if now.status in _GONE:
        raise Overtaken(now.status, is_gone=True)
    if event["RequestType"] == "Create":
        # A late delivery of it can find a resource that has been updated since.
        overtaken = now.status.startswith("UPDATE_")
    else:
        overtaken = now.status == "UPDATE_FAILED" or (
            before is not None and before.status == "UPDATE_IN_PROGRESS" and now != before
        )
    if overtaken:
        raise Overtaken(now.status, is_gone=False)
