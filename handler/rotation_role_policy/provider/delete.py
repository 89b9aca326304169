"""Serve a Delete: remove the resource's own policy. If the physical ID names the policy, no other property is used.

Source: docs/guarantees.md, "Deletions".
"""

import logging
import time
from contextlib import suppress

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, RequestError
from rotation_role_policy.lookup import resource
from rotation_role_policy.provider.messages import reason
from rotation_role_policy.provider.refusal import is_foreign
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.response import Success
from rotation_role_policy.provider.superseded import is_policy_of_later_create
from rotation_role_policy.rules import identity
from rotation_role_policy.rules.place import Place
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.write import inline_policy

logger = logging.getLogger(__name__)


def delete(aws: Aws, request: Request, place: Place) -> Success:
    """Delete the resource's own policy, and return what the response says.

    Args:
        aws: makes the calls.
        request: the Delete.
        place: of the provider.

    Raises:
        RequestError: the policy that the physical ID names could not be deleted.
    """
    if request.role_name:
        try:
            _delete_policy(aws, request, request.role_name)
        except AccessDeniedError:
            if not _is_certainly_absent(aws, request):
                raise
    elif not is_foreign(request, place):
        _find_and_delete_policy(aws, request, place)
    return Success(request.physical_id, {})


def _is_certainly_absent(aws: Aws, request: Request) -> bool:
    """Return whether IAM says that the policy does not exist, which the physical ID names.

    The role of a provider, for example, never gets a policy, and no policy can be deleted from it. A Create with such a
    role has failed, and its Delete must not.
    """
    with suppress(RequestError):
        return inline_policy.read(aws, request.role_name, request.policy_name) is None
    return False


def _find_and_delete_policy(aws: Aws, request: Request, place: Place) -> None:
    """Find and delete the policy of a Create that was cancelled or failed, whose physical ID does not name it.

    A failed look-up does not fail the Delete. Mostly there is nothing to delete, and the stack must not be stuck.
    """
    try:
        # Half of the time is kept for what follows, so that throttled look-ups do not fail the Delete.
        with aws.time_limit((aws.deadline - time.monotonic()) / 2):
            role_name = resource.find_role_name(aws, parse_properties(request.properties), place)
    except Exception as error:
        logger.info(
            "nothing to delete: the role is unknown",
            extra={"reason": reason(error)},
            exc_info=None if isinstance(error, RequestError) else error,
        )
        return
    name = request.policy_name
    if is_policy_of_later_create(aws, request, identity.physical_id(role_name, name)):
        logger.info("nothing to delete: the policy is in use", extra={"role": role_name, "policy": name})
        return
    try:
        _delete_policy(aws, request, role_name)
    except AccessDeniedError as error:
        # The provider cannot have put a policy on a role from which it may not delete one.
        logger.warning("policy not deleted", extra={"role": role_name, "policy": name, "reason": reason(error)})


def _delete_policy(aws: Aws, request: Request, role_name: str) -> None:
    is_deleted = inline_policy.delete(aws, role_name, request.policy_name)
    message = "policy deleted" if is_deleted else "nothing to delete"
    logger.info(message, extra={"role": role_name, "policy": request.policy_name})
