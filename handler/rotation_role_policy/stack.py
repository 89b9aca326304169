"""Whether CloudFormation still waits for a request.

It does not always: where another resource fails, it cancels what is under way, and sends the Delete (or the old
properties) while the cancelled request is still being served. A policy that is written then would belong to nobody.

The stack's own status tells. That of the resource does not: whether its Update succeeded, in another delivery of the
same request, or was rolled back, it is UPDATE_COMPLETE.

Source: https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1730
"""

import logging
from collections.abc import Mapping
from typing import Any

from rotation_role_policy.aws import Aws
from rotation_role_policy.errors import CallFailed, Kind, Refused
from rotation_role_policy.log import facts

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10
"""For which CloudFormation is asked. Without its answer the request is served: it is mostly still waited for."""


class Overtaken(Refused):
    """CloudFormation no longer waits for the request. `is_gone` where it deletes the stack, or has deleted it."""

    def __init__(self, status: str) -> None:
        self.is_gone = status.startswith("DELETE_")
        super().__init__(f"CloudFormation no longer waits for this request: the stack is {status}.", Kind.OVERTAKEN)


def status(aws: Aws, event: Mapping[str, Any]) -> str:
    """The StackStatus; empty where CloudFormation does not tell, as for an event that was made by hand."""
    try:
        with aws.within(LOOK_SECONDS):
            # By its id a stack is found, too, when it is deleted.
            found = aws.call("cloudformation", "DescribeStacks", StackName=event["StackId"])
        return str(found["Stacks"][0]["StackStatus"])
    except (CallFailed, Refused, LookupError) as failure:
        # A stack of another account, a look-up that fails: no reason to fail what is otherwise well.
        logger.warning("not known whether CloudFormation still waits", extra=facts(why=str(failure)))
        return ""


def refuse_overtaken(aws: Aws, event: Mapping[str, Any], before: str) -> None:
    """Raises `Overtaken` where the stack is being deleted, or began to roll back since its status was `before`.

    A rollback's own Updates begin when it is under way, and are never refused. Nothing is created in a rollback: for a
    Create `before` is empty.
    """
    now = status(aws, event)
    if now.startswith("DELETE_") or ("ROLLBACK" in now and "ROLLBACK" not in before):
        raise Overtaken(now)
