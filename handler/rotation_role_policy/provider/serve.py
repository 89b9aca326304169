"""Serve one request: Create, Update or Delete of `Custom::RotationRolePolicy`.

A Create or Update makes a plan, applies it, and waits until IAM is consistent. Each delivery of a request gives the
same result. Source: docs/guarantees.md.
"""

import logging
import math
from dataclasses import dataclass

from rotation_role_policy import __version__, arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, RequestError
from rotation_role_policy.lookup import inspection, stacks
from rotation_role_policy.lookup.stacks import StackStatus
from rotation_role_policy.provider import existing_policy, metrics
from rotation_role_policy.provider.plan import Plan, make_plan
from rotation_role_policy.provider.policy_in_use import is_planned_policy_in_use, is_policy_of_later_create
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.response import Success
from rotation_role_policy.provider.schedule import Schedule
from rotation_role_policy.provider.single_response import SingleResponse
from rotation_role_policy.provider.superseded import RequestSupersededError, raise_if_superseded
from rotation_role_policy.rules import identity
from rotation_role_policy.rules.policy import Document
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.write import access_check, inline_policy
from rotation_role_policy.write.apply import Change, Undo, apply, undo, wait

logger = logging.getLogger(__name__)


def serve(aws: Aws, response: SingleResponse, schedule: Schedule, provider_arn: str) -> Success:
    """Serve a request, and return what a response with SUCCESS says.

    Args:
        aws: makes the calls.
        response: the one response to the request. The timer can send it earlier.
        schedule: of the request.
        provider_arn: ARN of the provider function. The provider serves only roles of its account.

    Raises:
        Exception: the request cannot be served. A `RequestError` says why.
    """
    request = response.request
    metrics.configure(
        provider_version=__version__, request=request.type, stack=request.stack_id, resource=request.logical_id
    )
    aws.begin_request(schedule.calls_until)
    aws.waits_for_new_roles = request.type != "Delete"
    logger.info("request received", extra={"physical_id": request.physical_id or None})
    invocation = Invocation(aws, request, response, schedule, provider_arn)
    return {"Create": invocation.create, "Update": invocation.update, "Delete": invocation.delete}[request.type]()


@dataclass(frozen=True)
class Invocation:
    """One invocation of the provider function, which serves one request. The attributes are those of `serve`."""

    aws: Aws
    request: Request
    response: SingleResponse
    schedule: Schedule
    provider_arn: str

    def create(self) -> Success:
        """Put the policy. A repeated delivery gives the same response."""
        try:
            return self._apply(self._make_plan())
        except AccessDeniedError as error:
            # The provider may not change this role, so nothing was written. With the role's physical ID, the Delete
            # that follows would be denied too, and the stack would be stuck.
            if not error.in_doubt:
                self.response.failed_create_id = ""
            raise

    def update(self) -> Success:
        """Put the policy on the role of the new properties.

        If the role changes, CloudFormation replaces the resource: the response has a new physical ID, and
        CloudFormation later sends a Delete for the old one. A failed Update responds with the physical ID of the
        request. An Update of a rollback does not fail: if it cannot be served, the existing policy stays.
        """
        self._succeed_on_timeout()
        return self._serve_update(self._get_stack_status())

    def delete(self) -> Success:
        """Delete the resource's own policy. If the physical ID names the policy, no other property is used."""
        if self.request.role_name:
            self._delete_policy(self.request.role_name)
        else:
            self._find_and_delete_policy()
        return Success(self.request.physical_id, {})

    # --- Create and Update ---

    def _serve_update(self, status: StackStatus) -> Success:
        """Serve an Update of a stack with this status."""
        try:
            return self._apply(self._make_plan(), status)
        except RequestSupersededError:
            raise
        except Exception as error:
            if status.is_rollback:
                return self._keep_existing_policy(error)
            # A rollback may have begun since the status was looked up.
            status = stacks.get_status(self.aws, self.request.stack_id) if status.value else self._retry_stack_status()
            if status.is_rollback:
                self._succeed_on_timeout()
                return self._serve_update(status)
            raise

    def _make_plan(self) -> Plan:
        return make_plan(self.aws, self.request, self._account)

    def _apply(self, plan: Plan, status: StackStatus | None = None) -> Success:
        """Put the planned policy on the role, if it differs.

        `status` is the stack's status when the Update began; None for a Create.
        """
        if status is not None and status.can_retry:
            status = self._get_stack_status()
        is_rollback = status is not None and status.is_rollback
        current = inline_policy.read(self.aws, plan.role_name, self.request.policy_name)
        if status is None:
            # From now on, a failure responds with this physical ID, by which the Delete that follows finds the policy.
            self.response.failed_create_id = plan.physical_id
        change = self._change(plan, current)
        if status is not None or current not in (None, plan.document):
            self._raise_if_superseded(plan, status, change)
        success = Success(plan.physical_id, plan.attributes)
        if is_rollback and current is not None:
            self.response.on_timeout = success
        # In a rollback the policy is always written, because IAM may still return the document from before the update.
        if current == plan.document and not is_rollback:
            logger.info("policy unchanged", extra=change.log_fields)
            # Another delivery of the request may have written the policy just now.
            wait(plan.properties.propagation_delay, self._wait_until())
        else:
            if plan.properties.access_check == "Enforce" and not is_rollback:
                self._check_access(plan)
            apply(
                self.aws,
                change,
                delay=plan.properties.propagation_delay,
                wait_until=self._wait_until(),
                check=lambda: self._check_written(plan.physical_id),
                undo_after=lambda error: self._undo_after(error, plan, change, is_rollback=is_rollback),
                # In a rollback both documents are valid, and little time is left.
                undo_in_doubt=not is_rollback,
            )
        if is_rollback and plan.physical_id != self.request.physical_id:
            self._delete_previous_policy(plan.physical_id)
        return success

    def _change(self, plan: Plan, current: Document | None) -> Change:
        return Change(
            plan.role_name,
            self.request.policy_name,
            previous=current,
            document=plan.document,
            profile=plan.properties.policy_profile,
            undo_until=self.schedule.undo_until,
            # CloudFormation deletes what a failed Create has written. It deletes nothing on the new role of a failed
            # Update.
            must_be_undone=self.request.type == "Update",
        )

    def _check_access(self, plan: Plan) -> None:
        for warning in access_check.check_access(self.aws, plan.state, plan.document):
            logger.warning(
                "access check undecided",
                extra={"actions": warning.actions, "resources": warning.resources, "reason": warning.reason},
            )
            self.response.warnings["AccessCheckWarnings"] += 1

    def _check_written(self, physical_id: str) -> None:
        """Raise an exception if CloudFormation no longer waits for the policy that was just written."""
        raise_if_superseded(self.aws, self.request, physical_id)
        self.response.raise_if_timed_out()

    def _undo_after(self, error: Exception, plan: Plan, change: Change, *, is_rollback: bool) -> Undo:
        """Return how to undo a write after an error of `_check_written`. A policy that is in use stays."""
        if not isinstance(error, RequestSupersededError):
            # If the timer has already told CloudFormation that the rollback wrote this policy, the policy stays.
            is_announced = is_rollback and self.response.physical_id == plan.physical_id
            return Undo.KEEP if is_announced else Undo.RESTORE
        if not is_planned_policy_in_use(self.aws, self.request, plan, error, change.previous):
            return Undo.REMOVE
        return Undo.RESTORE_OWN if error.is_abandoned and change.previous is not None else Undo.KEEP

    def _wait_until(self) -> float:
        """Return until when a wait leaves enough time to look up whether the request is superseded."""
        return self.aws.deadline - stacks.LOOKUP_SECONDS

    # --- superseded requests ---

    def _raise_if_superseded(self, plan: Plan, status: StackStatus | None, change: Change) -> None:
        """Raise `RequestSupersededError` before anything is written. A policy of an earlier delivery is removed."""
        try:
            raise_if_superseded(self.aws, self.request, plan.physical_id, status)
        except RequestSupersededError as superseded:
            previous = change.previous
            if previous is not None and not is_planned_policy_in_use(
                self.aws, self.request, plan, superseded, previous
            ):
                undo(self.aws, change, Undo.REMOVE)
            raise

    # --- an Update of a rollback ---

    def _get_stack_status(self) -> StackStatus:
        """Return the status of an Update's stack. If it is certainly no rollback, a timeout responds with FAILED."""
        status = stacks.get_status(self.aws, self.request.stack_id)
        if not (status.is_rollback or status.can_retry):
            self.response.on_timeout = None
        return status

    def _retry_stack_status(self) -> StackStatus:
        """Look up the status of the stack of an Update that cannot be served, for as long as there is time.

        If CloudFormation does not respond, a rollback is assumed, because a failed Update would leave the stack in
        UPDATE_ROLLBACK_FAILED. If CloudFormation denies the look-up, nothing is assumed, because every look-up would be
        denied.
        """
        self.aws.deadline = self.schedule.stack_status_until
        status = stacks.get_status(self.aws, self.request.stack_id, seconds=math.inf)
        self.aws.deadline = self.schedule.second_attempt_until
        return stacks.ASSUMED_ROLLBACK if status.can_retry else status

    def _succeed_on_timeout(self) -> None:
        """Let a timeout respond with SUCCESS and the existing policy, in case the Update belongs to a rollback."""
        self.response.on_timeout = existing_policy.without_lookup(self.request, self.provider_arn)

    def _delete_previous_policy(self, physical_id: str) -> None:
        """Delete the policy from before the update, if a rolled-back replacement puts the policy on a third role.

        The function can get another role during the update. CloudFormation deletes only the policy of the physical ID
        in the request. A failure does not fail the rollback.
        """
        name = self.request.policy_name
        role_name = self._previous_role()
        if role_name and physical_id != identity.physical_id(role_name, name):
            try:
                inline_policy.delete(self.aws, role_name, name)
            except RequestError as error:
                logger.warning("previous policy not deleted", extra={"role": role_name, "reason": str(error)})

    def _previous_role(self) -> str:
        """Return the role that had the policy before the update; empty if the update has not moved the policy."""
        request = self.request
        previous_id = stacks.previous_physical_id(self.aws, request.stack_id, request.logical_id, request.physical_id)
        return identity.role_name_of(previous_id, request.policy_name)

    def _keep_existing_policy(self, error: Exception) -> Success:
        """Respond to an Update of a rollback with the existing policy."""
        self.aws.deadline = self.schedule.existing_policy_until
        logger.warning(
            "rollback kept the existing policy",
            extra={"reason": str(error)},
            exc_info=None if isinstance(error, RequestError) else error,
        )
        self.response.warnings["RollbackWarnings"] += 1
        try:
            return existing_policy.find(self.aws, self.request, self._previous_role(), self.provider_arn)
        except Exception:
            logger.exception("existing policy unknown")
            return existing_policy.without_lookup(self.request, self.provider_arn)

    # --- Delete ---

    def _find_and_delete_policy(self) -> None:
        """Find and delete the policy of a Create that was cancelled or failed, whose physical ID does not name it.

        A failed look-up does not fail the Delete. Mostly there is nothing to delete, and the stack must not be stuck.
        """
        try:
            properties = parse_properties(self.request.properties)
            role_name = inspection.find_role_name(self.aws, properties, self._account)
        except Exception as error:
            logger.info(
                "nothing to delete: the role is unknown",
                extra={"reason": str(error)},
                exc_info=None if isinstance(error, RequestError) else error,
            )
            return
        name = self.request.policy_name
        if is_policy_of_later_create(self.aws, self.request, identity.physical_id(role_name, name)):
            logger.info("nothing to delete: the policy is in use", extra={"role": role_name, "policy": name})
            return
        try:
            self._delete_policy(role_name)
        except AccessDeniedError as error:
            # The provider cannot have put a policy on a role from which it may not delete one.
            logger.warning("policy not deleted", extra={"role": role_name, "policy": name, "reason": str(error)})

    def _delete_policy(self, role_name: str) -> None:
        is_deleted = inline_policy.delete(self.aws, role_name, self.request.policy_name)
        message = "policy deleted" if is_deleted else "nothing to delete"
        logger.info(message, extra={"role": role_name, "policy": self.request.policy_name})

    @property
    def _account(self) -> str:
        """The provider's own account (12 digits)."""
        return arn.parse(self.provider_arn).account
