"""Serve one request: Create, Update or Delete of `Custom::RotationRolePolicy`.

A Create or Update inspects AWS, makes a plan, applies it, and waits until IAM is consistent. Each delivery of a request
gives the same result. Source: docs/guarantees.md.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from rotation_role_policy import __version__
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, RequestError
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.lookup import resource, stacks
from rotation_role_policy.lookup.stacks import StackStatus
from rotation_role_policy.provider import existing_policy, metrics, refusal
from rotation_role_policy.provider.delete import delete
from rotation_role_policy.provider.messages import reason
from rotation_role_policy.provider.operation import (
    Direction,
    DocumentedProfile,
    Operation,
    Recovery,
    Timeout,
    after_failure,
    at_timeout,
    if_documented_is_not_allowed,
)
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.response import Success, check_response_size
from rotation_role_policy.provider.schedule import Schedule
from rotation_role_policy.provider.settings import Settings
from rotation_role_policy.provider.single_response import SingleResponse
from rotation_role_policy.provider.superseded import (
    RequestSupersededError,
    is_policy_in_use,
    raise_if_superseded,
)
from rotation_role_policy.rules import identity, policy
from rotation_role_policy.rules.attributes import attributes
from rotation_role_policy.rules.place import Place
from rotation_role_policy.rules.plan import Plan, make_plan, redirected
from rotation_role_policy.rules.properties import Properties, parse_properties
from rotation_role_policy.rules.size import check_document, smallest_state
from rotation_role_policy.rules.state import State
from rotation_role_policy.rules.warnings import warnings_of
from rotation_role_policy.write import access_check, inline_policy
from rotation_role_policy.write.apply import Change, Undo, apply, undo, wait

logger = logging.getLogger(__name__)


def serve(aws: Aws, settings: Settings, response: SingleResponse, schedule: Schedule, provider_arn: str) -> Success:
    """Serve a request, and return what a response with SUCCESS says.

    Args:
        aws: makes the calls.
        settings: of the provider.
        response: the one response to the request. The timer can send it earlier.
        schedule: of the request.
        provider_arn: ARN of the provider function. The provider serves only what is in its account and region.

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
    place = Place.of(provider_arn)
    if request.type == "Delete":
        return delete(aws, request, place)
    invocation = Invocation(aws, settings, request, response, schedule, place)
    return invocation.create() if request.type == "Create" else invocation.update()


@dataclass
class Invocation:
    """One invocation of the provider function for a Create or Update.

    The attributes are those of `serve`; `place` is that of the provider.
    """

    aws: Aws
    settings: Settings
    request: Request
    response: SingleResponse
    schedule: Schedule
    place: Place
    status: StackStatus | None = None
    """The newest known status of the stack; None for a Create."""

    def create(self) -> Success:
        """Put the policy. A repeated delivery gives the same response."""
        if self._is_foreign:
            raise refusal.foreign_stack(self.request, self.place)
        try:
            return self._put_policy()
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
        if self._is_foreign:
            return self._keep_policy_of_foreign_stack()
        self._prepare_for_timeout(Direction.UNKNOWN)
        self._look_up_status()
        return self._serve_update()

    # --- Create and Update ---

    def _serve_update(self) -> Success:
        """Serve an Update of a stack with the known status."""
        try:
            return self._put_policy()
        except Exception as error:
            match after_failure(
                _direction(self.status),
                is_superseded=isinstance(error, RequestSupersededError),
                has_responded=bool(self.response.physical_id),
            ):
                case Recovery.FAIL:
                    raise
                case Recovery.KEEP_EXISTING:
                    return self._keep_existing_policy(error)
                case Recovery.LOOK_UP_STATUS:
                    self.status = stacks.get_status(self.aws, self.request.stack_id)
                case Recovery.RETRY_STATUS:
                    self.status = self._retry_status()
            if _direction(self.status) is not Direction.ROLLBACK:
                raise
            self._prepare_for_timeout(Direction.ROLLBACK)
            return self._serve_update()

    def _put_policy(self) -> Success:
        """Put the policy of the properties on their role, if it differs, and wait until IAM is consistent."""
        request = self.request
        refusal.check_type(request)
        properties = self._with_allowed_profile(parse_properties(request.properties))
        self._check_smallest_size(properties)
        state = resource.inspect(self.aws, properties, self.place, self._read_own_policy, request.role_name)
        _log_state(state)
        role_name = state.role.name
        planned = self._planned(properties, state)
        if _direction(self.status) is Direction.UNKNOWN:
            self._look_up_status()
        direction = _direction(self.status)
        operation = Operation(direction, request.role_name, role_name, follows_report=not properties.names_role)
        self._check_redirection(properties, state, operation)
        check_document(properties, policy.document(state, *properties.form))
        existing = inline_policy.read(self.aws, role_name, request.policy_name)
        plan = make_plan(properties, request.old_properties, state, existing, request.signed_at)
        check_document(properties, plan.document)
        if request.type == "Create":
            # From now on, a failure responds with this physical ID, by which the Delete that follows finds the policy.
            self.response.failed_create_id = planned.physical_id
        change = self._change(role_name, plan, properties.policy_profile)
        steps = operation.before_write(plan)
        if steps.check_superseded:
            self._raise_if_superseded(planned, change)
        self._prepare_for_timeout(direction, planned if existing is not None else None)
        # Time that is left to look up whether the request is superseded.
        wait_until = self.aws.deadline - stacks.LOOKUP_SECONDS
        if steps.check_access:
            self._check_access(state, plan.document)
        if steps.write:
            apply(
                self.aws,
                change,
                delay=properties.propagation_delay,
                wait_until=wait_until,
                check=lambda: self._check_written(planned),
                undo_after=lambda error: self._undo_after(error, operation, change),
                undo_in_doubt=steps.undo_in_doubt,
            )
        else:
            logger.info("policy unchanged", extra=change.log_fields)
            # Another delivery of the request may have written the policy just now.
            wait(properties.propagation_delay, wait_until)
        if steps.clean_up:
            self._clean_up(operation.role_to_clean_up(self._previous_role()))
        return planned

    def _planned(self, properties: Properties, state: State) -> Success:
        """Return the response for a state. Raises `RequestError` if it would be too long."""
        policy_name = self.request.policy_name
        planned = Success(identity.physical_id(state.role.name, policy_name), attributes(policy_name, state))
        check_response_size(self.request.ids, properties.secret_property, len(state.secrets), *planned)
        return planned

    def _check_smallest_size(self, properties: Properties) -> None:
        """Raise `RequestError` if the properties alone show that the policy or the response would be too large."""
        smallest = smallest_state(properties, self.place)
        self._planned(properties, smallest)
        check_document(properties, policy.document(smallest, *properties.form))

    def _with_allowed_profile(self, properties: Properties) -> Properties:
        """Return the properties with a profile that the provider may write. Raises `RequestError` if there is none."""
        if properties.policy_profile != "Documented" or self.settings.allow_documented_profile:
            return properties
        old_properties = self.request.old_properties
        old_profile = old_properties.get("PolicyProfile") if isinstance(old_properties, Mapping) else None
        if if_documented_is_not_allowed(_direction(self.status), old_profile) is DocumentedProfile.REFUSE:
            raise refusal.documented_not_allowed()
        logger.warning("rollback writes the profile Strict", extra={"reason": str(refusal.documented_not_allowed())})
        self.response.warnings["RollbackWarnings"] += 1
        return replace(properties, policy_profile="Strict")

    def _check_redirection(self, properties: Properties, state: State, operation: Operation) -> None:
        """Raise `RequestError` if only the secrets' configuration leads to a role that does not have the policy."""
        needs_previous = operation.direction is Direction.ROLLBACK and not operation.may_follow_report("")
        previous_role = self._previous_role(stacks.ESSENTIAL_LOOKUP_SECONDS) if needs_previous else ""
        if not operation.may_follow_report(previous_role):
            raise redirected(
                properties.secret_property,
                state.function_reported_by,
                state.function_arn,
                operation.planned_role,
                operation.current_role,
            )

    def _read_own_policy(self) -> JsonDocument | None:
        """Return the document of the policy that the physical ID names; None if there is none."""
        role_name = self.request.role_name
        return inline_policy.read(self.aws, role_name, self.request.policy_name) if role_name else None

    def _change(self, role_name: str, plan: Plan, profile: str) -> Change:
        return Change(
            role_name,
            self.request.policy_name,
            previous=plan.existing_document,
            document=plan.document,
            profile=profile,
            undo_until=self.schedule.undo_until,
            # CloudFormation deletes what a failed Create has written. It deletes nothing on the new role of a failed
            # Update.
            must_be_undone=self.request.type == "Update",
        )

    def _check_access(self, state: State, document: JsonDocument) -> None:
        for warning in access_check.check_access(self.aws, state, document):
            logger.warning(
                "access check undecided",
                extra={"actions": warning.actions, "resources": warning.resources, "reason": warning.doubt},
            )
            self.response.warnings["AccessCheckWarnings"] += 1

    def _raise_if_superseded(self, planned: Success, change: Change) -> None:
        """Raise `RequestSupersededError` before anything is written. A policy of an earlier delivery is removed."""
        try:
            raise_if_superseded(self.aws, self.request, planned.physical_id, self.status)
        except RequestSupersededError as superseded:
            if change.previous is not None and not self._is_in_use(change, superseded):
                undo(self.aws, change, Undo.REMOVE)
            raise

    def _check_written(self, planned: Success) -> None:
        """Raise an exception if CloudFormation no longer waits for the policy that was just written."""
        raise_if_superseded(self.aws, self.request, planned.physical_id)
        self.response.raise_if_timed_out()

    def _undo_after(self, error: Exception, operation: Operation, change: Change) -> Undo:
        """Return how to undo a write after an error of `_check_written`. A policy that is in use stays."""
        if isinstance(error, RequestSupersededError):
            if not self._is_in_use(change, error):
                return Undo.REMOVE
            return Undo.RESTORE_OWN if error.is_abandoned and change.previous is not None else Undo.KEEP
        role_of_response = identity.role_name_of(self.response.physical_id, self.request.policy_name)
        return Undo.KEEP if operation.stays_after_failure(role_of_response) else Undo.RESTORE

    def _is_in_use(self, change: Change, superseded: RequestSupersededError) -> bool:
        return is_policy_in_use(self.aws, self.request, change, superseded, self.place)

    # --- an Update of a rollback ---

    def _look_up_status(self) -> None:
        """Look up the status of an Update's stack, and prepare for a timeout accordingly."""
        self.status = stacks.get_status(self.aws, self.request.stack_id)
        self._prepare_for_timeout(_direction(self.status))

    def _retry_status(self) -> StackStatus:
        """Look up the status of the stack of an Update that cannot be served, for as long as there is time.

        If CloudFormation does not respond, a rollback is assumed, because a failed Update would leave the stack in
        UPDATE_ROLLBACK_FAILED. If CloudFormation denies the look-up, nothing is assumed, because every look-up would be
        denied.
        """
        self.aws.deadline = self.schedule.stack_status_until
        status = stacks.get_status(self.aws, self.request.stack_id, seconds=math.inf)
        self.aws.deadline = self.schedule.second_attempt_until
        return stacks.ASSUMED_ROLLBACK if status.can_retry else status

    def _prepare_for_timeout(self, direction: Direction, planned: Success | None = None) -> None:
        """Decide what the timer responds. `planned` is the response with the planned role, if that has the policy."""
        self.response.on_timeout = {
            Timeout.FAIL: None,
            Timeout.KEEP_EXISTING: self._existing_policy,
            Timeout.NAME_PLANNED: planned,
        }[at_timeout(direction, is_policy_on_planned_role=planned is not None)]

    def _clean_up(self, role_name: str) -> None:
        """Delete the policy from this role, if it is not empty. A failure does not fail the rollback."""
        if role_name:
            try:
                inline_policy.delete(self.aws, role_name, self.request.policy_name)
            except RequestError as error:
                logger.warning("previous policy not deleted", extra={"role": role_name, "reason": reason(error)})

    def _previous_role(self, seconds: float = stacks.LOOKUP_SECONDS) -> str:
        """Return the role that had the policy before the update; empty if the update has not moved the policy."""
        request = self.request
        previous_id = stacks.previous_physical_id(
            self.aws, request.stack_id, request.logical_id, request.physical_id, seconds
        )
        return identity.role_name_of(previous_id, request.policy_name)

    def _keep_existing_policy(self, error: Exception) -> Success:
        """Respond to an Update of a rollback with the existing policy."""
        self.aws.deadline = self.schedule.existing_policy_until
        logger.warning(
            "rollback kept the existing policy",
            extra={"reason": reason(error)},
            exc_info=None if isinstance(error, RequestError) else error,
        )
        self.response.warnings["RollbackWarnings"] += 1
        try:
            return existing_policy.find(self.aws, self.request, self._previous_role(), self.place)
        except Exception:
            logger.exception("existing policy unknown")
            return self._existing_policy

    @cached_property
    def _existing_policy(self) -> Success:
        """The response with the existing policy, as far as the request alone tells."""
        return existing_policy.without_lookup(self.request, self.place)

    @property
    def _is_foreign(self) -> bool:
        """Whether the stack is in another account or region."""
        return refusal.is_foreign(self.request, self.place)

    # --- stacks of other accounts and regions ---

    def _keep_policy_of_foreign_stack(self) -> Success:
        """Respond to an Update with the existing policy, which an older version of the provider wrote."""
        error = refusal.foreign_stack(self.request, self.place)
        if not self.request.role_name:
            raise error
        logger.warning("policy of another account's or region's stack kept", extra={"reason": str(error)})
        self.response.warnings["RollbackWarnings"] += 1
        return existing_policy.on_own_role(self.aws, self.request, self.place)


def _direction(status: StackStatus | None) -> Direction:
    """Return where a stack with this status is going; None for a Create."""
    if status is None:
        return Direction.CREATE
    if status.is_rollback:
        return Direction.ROLLBACK
    if status.can_retry:
        return Direction.UNKNOWN
    return Direction.FORWARD if status.value else Direction.NOT_REPORTED


def _log_state(state: State) -> None:
    for warning in warnings_of(state):
        logger.warning(warning.kind.value, extra={"resource_arn": warning.resource, "detail": warning.detail})
    superuser = state.superuser_secret
    logger.info(
        "inspected",
        extra={
            "customer_managed_keys": {secret.arn: secret.key_arn for secret in state.secrets},
            "earlier_keys": {secret.arn: secret.earlier_key_arns for secret in state.all_secrets},
            "superuser_secret": {superuser.arn: superuser.key_arn} if superuser else None,
            "environment_key": state.environment_key.arn or None,
            "role": state.role.arn,
            "function": state.function_arn or "declared",
            "in_vpc": state.in_vpc,
        },
    )
