"""The Lambda function's handler: Create, Update and Delete of `Custom::RotationRolePolicy`.

All three lead through the same modules, and each delivery of a request to the same result (README, "What you can rely
on").
"""

import logging
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rotation_role_policy import __version__, access_check, arn, identity, inline_policy, inspection, log
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.cloudformation import kept_policy, response, stack
from rotation_role_policy.cloudformation.kept_policy import KeptPolicy
from rotation_role_policy.cloudformation.plan import Plan, make_plan
from rotation_role_policy.cloudformation.policy_in_use import is_planned_policy_in_use, is_policy_of_successor
from rotation_role_policy.cloudformation.provider import CustomResource
from rotation_role_policy.cloudformation.stack import RequestSupersededError, StackStatus
from rotation_role_policy.errors import CallFailed, Kind, ProviderDenied, Refused, quoted
from rotation_role_policy.log import facts
from rotation_role_policy.policy import Document
from rotation_role_policy.properties import declare

logger = logging.getLogger(__name__)

ROLL_BACK_SECONDS = 30
"""Kept free for a last call that hangs, and to undo a write that came too late."""

resource = CustomResource()
aws = Aws()


def handler(event: Any, context: Any) -> None:
    """The entry point. `event` is a request of CloudFormation's; the answer goes to its ResponseURL.

    Raises `NotARequest` for any other event, `Undelivered` where the answer did not arrive.
    """
    resource(event, context)


def create(event: Mapping[str, Any], context: Any) -> str:
    """Put the policy and return its physical ID. A repeated delivery finds it there and gives the same answer."""
    _start(event, context)
    try:
        return _apply(event, make_plan(aws, event, _account(context)))
    except ProviderDenied as denied:
        # A role out of our reach: nothing was put, and a Delete by its id would be denied too and strand the stack.
        if not denied.in_doubt:
            resource.PhysicalResourceId = ""
        raise


def update(event: Mapping[str, Any], context: Any) -> str:
    """Put the policy on the role of the new properties. On another role that is a replacement: a new physical ID.

    CloudFormation deletes the old one when all else has succeeded. A failure is answered with the ID that came. An
    Update of a rollback does not fail: what stops it leaves the policy that stands (contract, section 4, "Rollback").
    """
    _start(event, context)
    _prepare_for_timeout(event, context)
    return _serve_update(event, context, _ask_status(event))


def delete(event: Mapping[str, Any], context: Any) -> str:
    """Remove this resource's own policy, by the physical ID alone where that says where it stands."""
    _start(event, context)
    physical_id: str = event["PhysicalResourceId"]
    if role_name := identity.role_of(physical_id, policy_name(event)):
        name = policy_name(event)
        deleted = inline_policy.delete(aws, role_name, name)
        logger.info("deleted" if deleted else "nothing to delete", extra=facts(role=role_name, policy=name))
    else:
        _delete_if_found(event, context)
    return physical_id


resource.create(create)
resource.update(update)
resource.delete(delete)


def policy_name(event: Mapping[str, Any]) -> str:
    """The name of the resource's own inline policy."""
    return identity.policy_name(event["StackId"], event["LogicalResourceId"])


# --- Create and Update -----------------------------------------------------------------------------------------------


def _serve_update(event: Mapping[str, Any], context: Any, status: StackStatus) -> str:
    """Serve an Update of a stack that has this status, and return its physical ID."""
    try:
        return _apply(event, make_plan(aws, event, _account(context)), status)
    except RequestSupersededError:
        raise
    except Exception as failure:
        if status.is_rollback:
            return _keep(event, context, failure)
        # A status can be some seconds old.
        status = stack.status(aws, event) if status.value else _ask_again(event)
        if status.is_rollback:
            _prepare_for_timeout(event, context)
            return _serve_update(event, context, status)
        raise


def _apply(event: Mapping[str, Any], plan: Plan, status: StackStatus | None = None) -> str:
    """Bring the policy on the role to what is planned, and return its physical ID.

    `status` is the stack's when an Update began; None for a Create.
    """
    if status is not None and status.is_unanswered:
        status = _ask_status(event)
    is_rollback = status is not None and status.is_rollback
    current = inline_policy.read(aws, plan.role_name, policy_name(event))
    if status is None:
        # From here on even a failure is answered with the id by which the Delete that follows finds the policy.
        resource.PhysicalResourceId = plan.physical_id
    if status is not None or current not in (None, plan.document):
        _raise_if_superseded(event, plan, status, current)
    if is_rollback and current is not None:
        resource.succeed_on_timeout(plan.physical_id, plan.attributes)
    # In a rollback, IAM can still return the document that was there before.
    if current == plan.document and not is_rollback:
        logger.info("unchanged", extra=facts(role=plan.role_name, policy=policy_name(event)))
        # Another delivery of the request may have written it a moment ago.
        _wait(plan.declaration.propagation_delay)
    else:
        if plan.declaration.access_check == "Enforce" and not is_rollback:
            _check_access(plan)
        _write(event, plan, current, is_rollback=is_rollback)
    if is_rollback and plan.physical_id != event["PhysicalResourceId"]:
        _delete_previous(event, plan.physical_id)
    resource.Data.update(plan.attributes)
    return plan.physical_id


def _check_access(plan: Plan) -> None:
    for warning in access_check.check_access(aws, plan.situation, plan.document):
        logger.warning(
            "access not proven",
            extra=facts(actions=warning.actions, resources=warning.resources, why=warning.why),
        )
        resource.count("AccessCheckWarnings")


def _write(event: Mapping[str, Any], plan: Plan, current: Document | None, *, is_rollback: bool) -> None:
    """Put the document and give it time. Whatever fails then, `current` is back when the failure is answered.

    In a rollback, a write of which the outcome is unknown is not undone: either document serves, and time is short.
    """
    name = policy_name(event)
    try:
        inline_policy.put(aws, plan.role_name, name, plan.document)
    except (CallFailed, Refused) as failure:
        if failure.in_doubt and not is_rollback:
            _roll_back(event, plan.role_name, current)
        raise
    logger.info(
        "written",
        extra=facts(role=plan.role_name, policy=name, profile=plan.declaration.policy_profile, document=plan.document),
    )
    try:
        _wait(plan.declaration.propagation_delay)
        stack.raise_if_superseded(aws, event, plan.physical_id)
        resource.refuse_late()
    except RequestSupersededError as superseded:
        _undo_superseded(event, plan, superseded, current)
        raise
    except Exception:
        # What a rollback has written stays, if that is what CloudFormation was told when time ran out.
        if not (is_rollback and resource.answered_id == plan.physical_id):
            _roll_back(event, plan.role_name, current)
        raise


# --- requests that CloudFormation no longer waits for ----------------------------------------------------------------


def _raise_if_superseded(
    event: Mapping[str, Any], plan: Plan, status: StackStatus | None, current: Document | None
) -> None:
    """Raise `RequestSupersededError` before anything is written. What an earlier delivery has put is removed."""
    try:
        stack.raise_if_superseded(aws, event, plan.physical_id, status)
    except RequestSupersededError as superseded:
        if current is not None and not is_planned_policy_in_use(aws, event, plan, superseded, current):
            _roll_back(event, plan.role_name, None)
        raise


def _undo_superseded(
    event: Mapping[str, Any], plan: Plan, superseded: RequestSupersededError, previous: Document | None
) -> None:
    """Undo a write of a request that was superseded meanwhile: leave what CloudFormation believes to be there."""
    if not is_planned_policy_in_use(aws, event, plan, superseded, previous):
        _roll_back(event, plan.role_name, None)
    elif superseded.is_abandoned and previous is not None:
        # IAM may return either document. A third one is a newer request's.
        aws.deadline = _undo_deadline()
        standing: Document | None = previous
        with suppress(Refused, CallFailed):
            standing = inline_policy.read(aws, plan.role_name, policy_name(event))
        if standing in (plan.document, previous):
            _roll_back(event, plan.role_name, previous)


def _roll_back(event: Mapping[str, Any], role_name: str, previous: Document | None) -> None:
    """Bring back what stood on the role before, or nothing, with the time that is left for it."""
    name = policy_name(event)
    aws.deadline = _undo_deadline()
    try:
        inline_policy.restore(aws, role_name, name, previous)
    except (Refused, CallFailed) as failure:
        logger.warning("not rolled back", extra=facts(role=role_name, policy=name, why=str(failure)))
        # A Create is followed by the Delete of what it has put. Nobody follows an Update on the role that was to be.
        if event["RequestType"] == "Update":
            raise Refused(
                f"The update failed, and IAM did not take its policy back. Look at the policy {quoted(name)} of role"
                f" {quoted(role_name)} once the stack has rolled back: remove it if the stack does not name that role.",
                Kind.NOT_TAKEN_BACK,
            ) from failure
    else:
        logger.info("rolled back", extra=facts(role=role_name, policy=name, document=previous))


def _undo_deadline() -> float:
    """A little after the answer is due.

    A call that hangs is over before Lambda ends the invocation, and an invocation that is ended would be run again.
    """
    return resource.answers_by + (resource.ends - resource.answers_by) / 10


# --- an Update of a rollback that leads nowhere ----------------------------------------------------------------------


def _ask_status(event: Mapping[str, Any]) -> StackStatus:
    """The status of an Update's stack. Unless it may be rolling back, time that runs out is answered with FAILED."""
    status = stack.status(aws, event)
    if not (status.is_rollback or status.is_unanswered):
        resource.fail_on_timeout()
    return status


def _ask_again(event: Mapping[str, Any]) -> StackStatus:
    """The status of the stack of an Update that cannot be served, if CloudFormation did not tell it before.

    CloudFormation is asked for as long as there is time. If it still does not answer, the stack counts as one that is
    rolling back: an Update that fails would strand it. If it denies an answer, it will deny each: then nothing counts.
    """
    aws.deadline = resource.answers_by - resource.reserve * 2 / 3
    status = stack.status(aws, event, seconds=math.inf)
    aws.deadline = resource.answers_by - resource.reserve / 3
    return stack.ASSUMED_ROLLBACK if status.is_unanswered else status


def _delete_previous(event: Mapping[str, Any], physical_id: str) -> None:
    """Delete the policy of the ID before the update, if a replacement is rolled back onto a third role.

    That is the role that the function has got meanwhile. CloudFormation deletes the policy of the ID that came, and
    knows no other. Whatever fails here does not fail the rollback.
    """
    role_name = identity.role_of(stack.previous_physical_id(aws, event), policy_name(event))
    if role_name and physical_id != identity.physical_id(role_name, policy_name(event)):
        try:
            inline_policy.delete(aws, role_name, policy_name(event))
        except (Refused, CallFailed) as failure:
            logger.warning("previous policy not deleted", extra=facts(role=role_name, why=str(failure)))


def _keep(event: Mapping[str, Any], context: Any, failure: Exception) -> str:
    """Answer an Update of a rollback with the policy that stands, and return its physical ID.

    If the update put the policy on another role, the old policy still stands on the old role, because the clean-up
    comes after the rollback. Its ID is the one to answer with: CloudFormation then deletes the new policy, and would
    never delete the old one.
    """
    aws.deadline = resource.answers_by - 1
    is_expected = isinstance(failure, (Refused, CallFailed))
    logger.warning(
        "rolled back to the policy that stands",
        extra=facts(why=str(failure)),
        exc_info=None if is_expected else failure,
    )
    resource.count("RollbackWarnings")
    physical_id: str = event["PhysicalResourceId"]
    current_role = identity.role_of(physical_id, policy_name(event))
    try:
        previous_role = identity.role_of(stack.previous_physical_id(aws, event), policy_name(event))
        properties = event.get("ResourceProperties", {})
        kept = kept_policy.find(
            aws, properties, policy_name(event), previous_role, current_role, context.invoked_function_arn
        )
    except Exception:
        logger.exception("the policy that stands is not known")
        kept = KeptPolicy(
            current_role, kept_policy.unseen(policy_name(event), current_role, context.invoked_function_arn)
        )
    if kept.role_name:
        physical_id = identity.physical_id(kept.role_name, policy_name(event))
    resource.Data.update(response.fitting(event, physical_id, kept.attributes))
    return physical_id


def _prepare_for_timeout(event: Mapping[str, Any], context: Any) -> None:
    """Have an Update of a rollback answered with SUCCESS, and with what stands, even if time runs out."""
    physical_id = event["PhysicalResourceId"]
    role_name = identity.role_of(physical_id, policy_name(event))
    unseen = kept_policy.unseen(policy_name(event), role_name, context.invoked_function_arn)
    resource.succeed_on_timeout(physical_id, unseen)


# --- Delete ----------------------------------------------------------------------------------------------------------


def _delete_if_found(event: Mapping[str, Any], context: Any) -> None:
    """For an ID that does not say where the policy stands: of a Create that was cancelled, or failed.

    No look-up that goes wrong may fail the Delete: there is mostly nothing to remove, and the stack has to go on.
    """
    try:
        declaration = declare(event.get("ResourceProperties", {}))
        role_name = inspection.find_role_name(aws, declaration, _account(context))
    except Exception as failure:
        is_expected = isinstance(failure, (Refused, CallFailed))
        logger.info(
            "nothing to delete: the role cannot be told",
            extra=facts(why=str(failure)),
            exc_info=None if is_expected else failure,
        )
        return
    name = policy_name(event)
    if is_policy_of_successor(aws, event, identity.physical_id(role_name, name)):
        logger.info("nothing to delete: the policy is in use", extra=facts(role=role_name, policy=name))
        return
    try:
        deleted = inline_policy.delete(aws, role_name, name)
    except ProviderDenied as denied:
        # What we may not delete from a role, we could not have put there.
        logger.warning("nothing deleted", extra=facts(role=role_name, policy=name, why=str(denied)))
        return
    logger.info("deleted" if deleted else "nothing to delete", extra=facts(role=role_name, policy=name))


# --- time ------------------------------------------------------------------------------------------------------------


def _account(context: Any) -> str:
    """The provider's own account, 12 digits."""
    return arn.parse(context.invoked_function_arn).account


def _wait(seconds: int) -> None:
    """IAM is eventually consistent: whoever `DependsOn` the policy finds it in effect."""
    time.sleep(max(0.0, min(seconds, aws.deadline - time.monotonic() - stack.LOOK_SECONDS)))


def _start(event: Mapping[str, Any], context: Any) -> None:
    log.start(
        provider_version=__version__,
        request=event["RequestType"],
        stack=event["StackId"],
        resource=event["LogicalResourceId"],
        lambda_request_id=context.aws_request_id,
    )
    # A Delete has nothing to undo.
    is_delete = event["RequestType"] == "Delete"
    resource.reserve = 0 if is_delete else min(ROLL_BACK_SECONDS, (resource.answers_by - time.monotonic()) / 3)
    aws.start_request(resource.answers_by - resource.reserve)
    aws.waits_for_new_roles = event["RequestType"] != "Delete"
    logger.info("request", extra=facts(physical_id=event.get("PhysicalResourceId")))
