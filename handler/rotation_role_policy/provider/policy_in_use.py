"""Find out whether a policy is in use, for a request that must not remove such a policy.

That is a Create or Update that is superseded, or a Delete whose physical ID does not name the policy. A policy is in
use if it belongs to the physical ID that CloudFormation has for the resource now.
"""

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import RequestError
from rotation_role_policy.lookup import inspection, stacks
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.superseded import RequestSupersededError
from rotation_role_policy.rules import identity
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.write.apply import Change


def is_policy_in_use(
    aws: Aws, request: Request, change: Change, superseded: RequestSupersededError, account: str
) -> bool:
    """Return whether the policy of a superseded request is in use, or will be.

    Args:
        aws: makes the calls.
        request: the superseded request.
        change: of the policy, made or planned.
        superseded: the error that shows that the request is superseded.
        account: the provider's own account (12 digits).
    """
    status = stacks.get_resource_status(aws, request.stack_id, request.logical_id)
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
        return inspection.find_role_name(aws, properties, account) == change.role_name
    except RequestError:
        return True


def is_policy_of_later_create(aws: Aws, request: Request, physical_id: str) -> bool:
    """Return whether the policy belongs to a later Create of the resource, which has succeeded.

    Args:
        aws: makes the calls.
        request: a Delete whose physical ID does not name the policy.
        physical_id: the physical ID that names the policy.
    """
    current_id = stacks.current_physical_id(aws, request.stack_id, request.logical_id)
    if current_id is None:
        # Unknown. A failed Create that responded with `uncreated_id` has not written a policy.
        return request.physical_id == request.uncreated_id
    return current_id == physical_id
