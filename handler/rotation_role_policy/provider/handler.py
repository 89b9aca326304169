"""Lambda entry point: Create, Update and Delete of `Custom::RotationRolePolicy`.

A Create or Update makes a plan (`cloudformation.plan`), applies it, and waits until IAM is consistent. Each delivery of
a request gives the same result. If the response cannot be delivered, see `cloudformation.response`.
Source: docs/guarantees.md.
"""

import logging
import math
import time
from contextlib import suppress
from typing import Any

from rotation_role_policy import __version__, arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, RequestError, RollbackFailedError
from rotation_role_policy.lookup import inspection, stacks
from rotation_role_policy.lookup.stacks import StackStatus
from rotation_role_policy.provider import existing_policy, metrics
from rotation_role_policy.provider.crhelper_adapter import CustomResource
from rotation_role_policy.provider.existing_policy import ExistingPolicy
from rotation_role_policy.provider.plan import Plan, make_plan
from rotation_role_policy.provider.policy_in_use import is_planned_policy_in_use, is_policy_of_later_create
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.response import fit_attributes
from rotation_role_policy.provider.superseded import RequestSupersededError, raise_if_superseded
from rotation_role_policy.rules import identity
from rotation_role_policy.rules.policy import Document
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.write import access_check, inline_policy

logger = logging.getLogger(__name__)

UNDO_SECONDS = 30
"""Seconds that are kept free for a last call that hangs, and to undo a write that came too late."""

resource = CustomResource()
aws = Aws()


def handler(event: Any, context: Any) -> None:
    """Serve one CloudFormation request. The response is sent to the request's ResponseURL.

    Raises:
        InvalidEventError: the event is not a CloudFormation request.
        ResponseDeliveryError: the response did not arrive.
    """
    resource(event, context)


def create(request: Request, context: Any) -> str:
    """Put the policy, and return the physical ID. A repeated delivery gives the same response."""
    _begin_request(request)
    try:
        return _apply(request, make_plan(aws, request, _account(context)))
    except AccessDeniedError as error:
        # The provider may not change this role, so nothing was written. With the role's physical ID, the Delete that
        # follows would be denied too, and the stack would be stuck.
        if not error.in_doubt:
            resource.PhysicalResourceId = ""
        raise


def update(request: Request, context: Any) -> str:
    """Put the policy on the role of the new properties, and return the physical ID.

    If the role changes, CloudFormation replaces the resource: the response has a new physical ID, and CloudFormation
    later sends a Delete for the old one. A failed Update responds with the physical ID of the request. An Update of a
    rollback does not fail: if it cannot be served, the existing policy stays.
    """
    _begin_request(request)
    _prepare_for_timeout(request, context)
    return _serve_update(request, context, _get_stack_status(request))


def delete(request: Request, context: Any) -> str:
    """Delete the resource's own policy. If the physical ID names the policy, no other property is used."""
    _begin_request(request)
    if role_name := request.role_name:
        _log_deletion(role_name, request.policy_name, inline_policy.delete(aws, role_name, request.policy_name))
    else:
        _find_and_delete_policy(request, context)
    return request.physical_id


resource.create(create)
resource.update(update)
resource.delete(delete)


# --- Create and Update ------------------------------------------------------------------------------------------------


def _serve_update(request: Request, context: Any, status: StackStatus) -> str:
    """Serve an Update of a stack with this status, and return the physical ID."""
    try:
        return _apply(request, make_plan(aws, request, _account(context)), status)
    except RequestSupersededError:
        raise
    except Exception as error:
        if status.is_rollback:
            return _keep_existing_policy(request, context, error)
        # A rollback may have begun since the status was looked up.
        status = stacks.get_status(aws, request.stack_id) if status.value else _retry_stack_status(request)
        if status.is_rollback:
            _prepare_for_timeout(request, context)
            return _serve_update(request, context, status)
        raise


def _apply(request: Request, plan: Plan, status: StackStatus | None = None) -> str:
    """Put the planned policy on the role, if it differs, and return the physical ID.

    `status` is the stack's status when the Update began; None for a Create.
    """
    if status is not None and status.can_retry:
        status = _get_stack_status(request)
    is_rollback = status is not None and status.is_rollback
    current = inline_policy.read(aws, plan.role_name, request.policy_name)
    if status is None:
        # From now on, a failure responds with this physical ID, by which the Delete that follows finds the policy.
        resource.PhysicalResourceId = plan.physical_id
    if status is not None or current not in (None, plan.document):
        _raise_if_superseded(request, plan, status, current)
    if is_rollback and current is not None:
        resource.succeed_on_timeout(plan.physical_id, plan.attributes)
    # In a rollback the policy is always written, because IAM may still return the document from before the update.
    if current == plan.document and not is_rollback:
        logger.info("policy unchanged", extra={"role": plan.role_name, "policy": request.policy_name})
        # Another delivery of the request may have written the policy just now.
        _wait_for_propagation(plan)
    else:
        if plan.properties.access_check == "Enforce" and not is_rollback:
            _check_access(plan)
        _write(request, plan, current, is_rollback=is_rollback)
    if is_rollback and plan.physical_id != request.physical_id:
        _delete_previous_policy(request, plan.physical_id)
    resource.Data.update(plan.attributes)
    return plan.physical_id


def _check_access(plan: Plan) -> None:
    for warning in access_check.check_access(aws, plan.state, plan.document):
        logger.warning(
            "access check undecided",
            extra={"actions": warning.actions, "resources": warning.resources, "reason": warning.reason},
        )
        resource.count_warning("AccessCheckWarnings")


def _write(request: Request, plan: Plan, current: Document | None, *, is_rollback: bool) -> None:
    """Put the document and wait. If anything fails, `current` is restored before the failure is sent.

    In a rollback, a write with unknown outcome is not undone: both documents are valid, and little time is left.
    """
    name = request.policy_name
    try:
        inline_policy.put(aws, plan.role_name, name, plan.document)
    except RequestError as error:
        if error.in_doubt and not is_rollback:
            _roll_back(request, plan.role_name, current)
        raise
    logger.info(
        "policy written",
        extra={
            "role": plan.role_name,
            "policy": name,
            "profile": plan.properties.policy_profile,
            "document": plan.document,
        },
    )
    try:
        _wait_for_propagation(plan)
        raise_if_superseded(aws, request, plan.physical_id)
        resource.raise_if_timed_out()
    except RequestSupersededError as superseded:
        _undo_superseded(request, plan, superseded, current)
        raise
    except Exception:
        # If the timer has already told CloudFormation that the rollback wrote this policy, the policy stays.
        if not (is_rollback and resource.sent_physical_id == plan.physical_id):
            _roll_back(request, plan.role_name, current)
        raise


# --- superseded requests ----------------------------------------------------------------------------------------------


def _raise_if_superseded(request: Request, plan: Plan, status: StackStatus | None, current: Document | None) -> None:
    """Raise `RequestSupersededError` before anything is written. A policy of an earlier delivery is removed."""
    try:
        raise_if_superseded(aws, request, plan.physical_id, status)
    except RequestSupersededError as superseded:
        if current is not None and not is_planned_policy_in_use(aws, request, plan, superseded, current):
            _roll_back(request, plan.role_name, None)
        raise


def _undo_superseded(
    request: Request, plan: Plan, superseded: RequestSupersededError, previous: Document | None
) -> None:
    """Undo the write of a request that was superseded after the write. A policy that is in use stays."""
    if not is_planned_policy_in_use(aws, request, plan, superseded, previous):
        _roll_back(request, plan.role_name, None)
    elif superseded.is_abandoned and previous is not None:
        # IAM may return either of the two documents. A third one was written by a newer request, and stays.
        aws.deadline = _undo_deadline()
        current: Document | None = previous
        with suppress(RequestError):
            current = inline_policy.read(aws, plan.role_name, request.policy_name)
        if current in (plan.document, previous):
            _roll_back(request, plan.role_name, previous)


def _roll_back(request: Request, role_name: str, previous: Document | None) -> None:
    """Restore the document from before the request, or no policy, in the time that is kept free for it."""
    name = request.policy_name
    aws.deadline = _undo_deadline()
    try:
        inline_policy.restore(aws, role_name, name, previous)
    except RequestError as error:
        logger.warning("roll back failed", extra={"role": role_name, "policy": name, "reason": str(error)})
        # CloudFormation deletes what a failed Create has written. It deletes nothing on the new role of a failed
        # Update.
        if request.type == "Update":
            raise RollbackFailedError(role_name, name) from error
    else:
        logger.info("rolled back", extra={"role": role_name, "policy": name, "document": previous})


def _undo_deadline() -> float:
    """Return a deadline shortly after `response_deadline`, so that a call that hangs ends before Lambda's timeout.

    Lambda would run an invocation that times out again.
    """
    return resource.response_deadline + (resource.deadline - resource.response_deadline) / 10


# --- an Update of a rollback ------------------------------------------------------------------------------------------


def _get_stack_status(request: Request) -> StackStatus:
    """Return the status of an Update's stack. If it is certainly no rollback, a timeout responds with FAILED."""
    status = stacks.get_status(aws, request.stack_id)
    if not (status.is_rollback or status.can_retry):
        resource.fail_on_timeout()
    return status


def _retry_stack_status(request: Request) -> StackStatus:
    """Look up the status of the stack of an Update that cannot be served, for as long as there is time.

    If CloudFormation does not respond, a rollback is assumed, because a failed Update would leave the stack
    in UPDATE_ROLLBACK_FAILED. If CloudFormation denies the look-up, nothing is assumed, because every look-up would be
    denied.
    """
    aws.deadline = resource.response_deadline - resource.undo_seconds * 2 / 3
    status = stacks.get_status(aws, request.stack_id, seconds=math.inf)
    aws.deadline = resource.response_deadline - resource.undo_seconds / 3
    return stacks.ASSUMED_ROLLBACK if status.can_retry else status


def _delete_previous_policy(request: Request, physical_id: str) -> None:
    """Delete the policy from before the update, if a rolled-back replacement puts the policy on a third role.

    The function can get another role during the update. CloudFormation deletes only the policy of the physical ID in
    the request. A failure does not fail the rollback.
    """
    name = request.policy_name
    role_name = _previous_role(request)
    if role_name and physical_id != identity.physical_id(role_name, name):
        try:
            inline_policy.delete(aws, role_name, name)
        except RequestError as error:
            logger.warning("previous policy not deleted", extra={"role": role_name, "reason": str(error)})


def _previous_role(request: Request) -> str:
    """Return the role that had the policy before the update; empty if the update has not moved the policy."""
    previous_id = stacks.previous_physical_id(aws, request.stack_id, request.logical_id, request.physical_id)
    return identity.role_name_of(previous_id, request.policy_name)


def _keep_existing_policy(request: Request, context: Any, error: Exception) -> str:
    """Respond to an Update of a rollback with the existing policy, and return the physical ID.

    If the update moved the policy to another role, the old policy still exists on the old role, because
    CloudFormation's clean-up follows the rollback. The response then has the old physical ID, so that CloudFormation
    deletes the new policy. It would never delete the old one.
    """
    aws.deadline = resource.response_deadline - 1
    logger.warning(
        "rollback kept the existing policy",
        extra={"reason": str(error)},
        exc_info=None if isinstance(error, RequestError) else error,
    )
    resource.count_warning("RollbackWarnings")
    physical_id = request.physical_id
    name = request.policy_name
    provider_arn = context.invoked_function_arn
    current_role = request.role_name
    try:
        existing = existing_policy.find(
            aws, request.properties, name, _previous_role(request), current_role, provider_arn
        )
    except Exception:
        logger.exception("existing policy unknown")
        attributes = existing_policy.attributes_without_lookup(name, current_role, provider_arn)
        existing = ExistingPolicy(current_role, attributes)
    if existing.role_name:
        physical_id = identity.physical_id(existing.role_name, name)
    resource.Data.update(fit_attributes(request.ids, physical_id, existing.attributes))
    return physical_id


def _prepare_for_timeout(request: Request, context: Any) -> None:
    """Let a timeout respond with SUCCESS and the existing policy, in case the Update belongs to a rollback."""
    attributes = existing_policy.attributes_without_lookup(
        request.policy_name, request.role_name, context.invoked_function_arn
    )
    resource.succeed_on_timeout(request.physical_id, attributes)


# --- Delete -----------------------------------------------------------------------------------------------------------


def _find_and_delete_policy(request: Request, context: Any) -> None:
    """Find and delete the policy of a Create that was cancelled or failed, whose physical ID does not name the policy.

    A failed look-up does not fail the Delete. Mostly there is nothing to delete, and the stack must not be stuck.
    """
    try:
        properties = parse_properties(request.properties)
        role_name = inspection.find_role_name(aws, properties, _account(context))
    except Exception as error:
        logger.info(
            "nothing to delete: the role is unknown",
            extra={"reason": str(error)},
            exc_info=None if isinstance(error, RequestError) else error,
        )
        return
    name = request.policy_name
    if is_policy_of_later_create(aws, request, identity.physical_id(role_name, name)):
        logger.info("nothing to delete: the policy is in use", extra={"role": role_name, "policy": name})
        return
    try:
        _log_deletion(role_name, name, inline_policy.delete(aws, role_name, name))
    except AccessDeniedError as error:
        # The provider cannot have put a policy on a role from which it may not delete one.
        logger.warning("policy not deleted", extra={"role": role_name, "policy": name, "reason": str(error)})


def _log_deletion(role_name: str, name: str, is_deleted: bool) -> None:
    message = "policy deleted" if is_deleted else "nothing to delete"
    logger.info(message, extra={"role": role_name, "policy": name})


# --- time and log -----------------------------------------------------------------------------------------------------


def _account(context: Any) -> str:
    """Return the provider's own account (12 digits)."""
    return arn.parse(context.invoked_function_arn).account


def _wait_for_propagation(plan: Plan) -> None:
    """Wait `PropagationDelay`, as far as there is time, because IAM is eventually consistent."""
    remaining = aws.deadline - time.monotonic() - stacks.LOOKUP_SECONDS
    time.sleep(max(0.0, min(plan.properties.propagation_delay, remaining)))


def _begin_request(request: Request) -> None:
    """Start the log of a request, and set its deadline."""
    metrics.configure(
        provider_version=__version__,
        request=request.type,
        stack=request.stack_id,
        resource=request.logical_id,
    )
    is_delete = request.type == "Delete"
    # A Delete has nothing to undo.
    resource.undo_seconds = 0 if is_delete else min(UNDO_SECONDS, (resource.response_deadline - time.monotonic()) / 3)
    aws.begin_request(resource.response_deadline - resource.undo_seconds)
    aws.waits_for_new_roles = not is_delete
    logger.info("request received", extra={"physical_id": request.physical_id or None})
