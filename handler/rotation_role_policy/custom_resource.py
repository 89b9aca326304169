"""The Lambda function's handler: Create, Update and Delete of `Custom::RotationRolePolicy`.

All three lead through the same modules, and each delivery of a request to the same result (README, "What you can rely
on").
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from rotation_role_policy import (
    __version__,
    access_check,
    answer,
    arn,
    attributes,
    identity,
    inline_policy,
    inspection,
    log,
    policy,
    stack,
)
from rotation_role_policy.aws import Aws
from rotation_role_policy.cloudformation import CustomResource
from rotation_role_policy.declaration import Declaration, declare
from rotation_role_policy.errors import CallFailed, Kind, ProviderDenied, Refused, shown
from rotation_role_policy.log import facts
from rotation_role_policy.situation import Situation

logger = logging.getLogger(__name__)

TAKE_BACK_SECONDS = 30
"""Kept free for a last call that hangs, and to take a policy back that came too late."""

resource = CustomResource()
aws = Aws()


def handler(event: Any, context: Any) -> None:
    """The entry point. `event` is a request of CloudFormation's; the answer goes to its ResponseURL.

    Raises `NotARequest` for any other event, `Undelivered` where the answer did not arrive.
    """
    resource(event, context)


def create(event: Mapping[str, Any], context: Any) -> str:
    """Puts the policy and gives its physical id. A repeated delivery finds it there and gives the same answer."""
    _start(event, context)
    try:
        return _put(event, "", *_look(event, context))
    except ProviderDenied as denied:
        # A role out of our reach: nothing was put, and a Delete by its id would be denied too and strand the stack.
        if not denied.in_doubt:
            resource.PhysicalResourceId = ""
        raise


def update(event: Mapping[str, Any], context: Any) -> str:
    """Puts the policy on the role of the new properties. On another role that is a replacement: a new physical id.

    CloudFormation deletes the old one when all else has succeeded. A failure is answered with the id that came.
    """
    _start(event, context)
    before = stack.status(aws, event)
    return _put(event, before, *_look(event, context))


def delete(event: Mapping[str, Any], context: Any) -> str:
    """Removes this resource's own policy, by the physical id alone where that says where it stands."""
    _start(event, context)
    physical_id: str = event["PhysicalResourceId"]
    role_name, _, name = physical_id.partition("/")
    if name == policy_name(event) and arn.ROLE.fullmatch(role_name):
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


def _physical_id(event: Mapping[str, Any], situation: Situation) -> str:
    return f"{situation.role.name}/{policy_name(event)}"


def _look(event: Mapping[str, Any], context: Any) -> tuple[Declaration, Situation]:
    declaration = declare(event.get("ResourceProperties", {}))
    return declaration, inspection.inspect(aws, declaration, _account(context))


def _put(event: Mapping[str, Any], before: str, declaration: Declaration, situation: Situation) -> str:
    """Brings the policy on the role to what the situation asks for, and gives its physical id.

    `before` is the stack's status when an Update began; empty for a Create.
    """
    name, physical_id = policy_name(event), _physical_id(event, situation)
    document = policy.document(situation, declaration.policy_profile)
    data = attributes.attributes(name, situation)
    answer.refuse_too_many(event, declaration.secret_property, len(situation.secrets), physical_id, data)

    role_name = situation.role.name
    standing = inline_policy.read(aws, role_name, name)
    if event["RequestType"] == "Create":
        # From here on even a failure is answered with the id by which the Delete that follows finds the policy.
        resource.PhysicalResourceId = physical_id
    if standing == document:
        logger.info("unchanged", extra=facts(role=role_name, policy=name))
    else:
        if declaration.access_check == "Enforce":
            access_check.refuse_blocked(aws, situation, document)
        _write(event, before, declaration, role_name, document, standing)
    resource.Data.update(data)
    return physical_id


def _write(
    event: Mapping[str, Any],
    before: str,
    declaration: Declaration,
    role_name: str,
    document: policy.Document,
    standing: policy.Document | None,
) -> None:
    """Puts the document and gives it time. Whatever fails then, `standing` is back when the failure is answered."""
    name = policy_name(event)
    try:
        inline_policy.put(aws, role_name, name, document)
    except (CallFailed, Refused) as failure:
        if failure.in_doubt:
            _take_back(event, role_name, standing)
        raise
    logger.info(
        "written",
        extra=facts(role=role_name, policy=name, profile=declaration.policy_profile, document=document),
    )
    try:
        _wait(declaration.propagation_delay)
        stack.refuse_overtaken(aws, event, before)
        resource.refuse_late()
    except Exception as failure:
        is_gone = isinstance(failure, stack.Overtaken) and (failure.is_gone or event["RequestType"] == "Create")
        _take_back(event, role_name, None if is_gone else standing)
        raise


def _take_back(event: Mapping[str, Any], role_name: str, standing: policy.Document | None) -> None:
    """Brings back what stood there, with the time that is left for it."""
    name = policy_name(event)
    # Until a little after the answer is due: a call that hangs is over before Lambda ends the invocation, and an
    # invocation that is ended would be run again.
    aws.deadline = resource.answers_by + (resource.ends - resource.answers_by) / 10
    try:
        inline_policy.restore(aws, role_name, name, standing)
    except (Refused, CallFailed) as failure:
        logger.warning("not taken back", extra=facts(role=role_name, policy=name, why=str(failure)))
        # A Create is followed by the Delete of what it has put. Nobody follows an Update on the role that was to be.
        if event["RequestType"] == "Update":
            raise Refused(
                f"The update failed, and IAM did not take its policy back. Look at the policy {shown(name)} of role"
                f" {shown(role_name)} once the stack has rolled back: remove it if the stack does not name that role.",
                Kind.NOT_TAKEN_BACK,
            ) from failure
    else:
        logger.info("taken back", extra=facts(role=role_name, policy=name, document=standing))


def _delete_if_found(event: Mapping[str, Any], context: Any) -> None:
    """For an id that does not say where the policy stands: of a Create that was cancelled, or failed.

    Nothing that goes wrong here may fail the Delete: there is mostly nothing to remove, and the stack has to go on.
    """
    try:
        declaration = declare(event.get("ResourceProperties", {}))
        role_name = inspection.find_role_name(aws, declaration, _account(context))
    except (Refused, CallFailed) as failure:
        logger.info("nothing to delete: the role cannot be told", extra=facts(why=str(failure)))
        return
    name = policy_name(event)
    try:
        deleted = inline_policy.delete(aws, role_name, name)
    except ProviderDenied as denied:
        # What we may not delete from a role, we could not have put there.
        logger.warning("nothing deleted", extra=facts(role=role_name, policy=name, why=str(denied)))
        return
    logger.info("deleted" if deleted else "nothing to delete", extra=facts(role=role_name, policy=name))


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
    left = resource.answers_by - time.monotonic()
    aws.deadline = resource.answers_by - min(TAKE_BACK_SECONDS, left / 3)
    logger.info("request", extra=facts(physical_id=event.get("PhysicalResourceId")))
