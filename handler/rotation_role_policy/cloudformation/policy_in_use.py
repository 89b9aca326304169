"""Whether CloudFormation believes in a policy, for a request that must not remove one that is in use.

That is a Create or Update that was superseded, or a Delete whose ID does not say where the policy stands.
"""

from collections.abc import Mapping
from typing import Any

from rotation_role_policy import arn, identity, inspection
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.cloudformation import stack
from rotation_role_policy.cloudformation.plan import Plan
from rotation_role_policy.cloudformation.stack import RequestSupersededError
from rotation_role_policy.errors import CallFailed, Refused
from rotation_role_policy.policy import Document
from rotation_role_policy.properties import declare


def is_planned_policy_in_use(
    aws: Aws, event: Mapping[str, Any], plan: Plan, superseded: RequestSupersededError, previous: Document | None
) -> bool:
    """Whether the planned policy of a superseded request is one that CloudFormation believes in, or is about to.

    `previous` is the document that this delivery of the request found there.
    """
    status = stack.resource_status(aws, event)
    if status is None:
        # CloudFormation does not say. What was there before is mostly in use, unless nothing of the stack is left.
        is_left = not superseded.stack_status.startswith(("DELETE_", "ROLLBACK_"))
        return is_left and (event["RequestType"] == "Update" or previous is not None)
    if status.is_deleted:
        return False
    if status.physical_id == plan.physical_id or not status.is_in_progress:
        return status.physical_id == plan.physical_id
    # Another request is being served, such as the rollback's own Update. It may lead to the same role.
    try:
        account = arn.parse(plan.situation.role.arn).account
        return inspection.find_role_name(aws, declare(status.requested), account) == plan.role_name
    except (Refused, CallFailed):
        return True


def is_policy_of_successor(aws: Aws, event: Mapping[str, Any], physical_id: str) -> bool:
    """Whether a policy with this physical ID is that of a later Create of the resource, which has succeeded.

    `event` is a Delete with an ID that does not name the policy.
    """
    current_id = stack.current_physical_id(aws, event)
    if current_id is None:
        # CloudFormation does not say. A Create that failed with an ID of the provider's own has put nothing.
        return bool(event["PhysicalResourceId"] == identity.uncreated_id(event["LogicalResourceId"]))
    return current_id == physical_id
