"""What is wrong with secrets and functions: findings, from what was looked up, without a call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rotation_role_policy import arn
from rotation_role_policy.audit.findings import (
    ACCESS_UNDECIDED,
    FUNCTION_MISSING,
    FUNCTION_NOT_ACTIVE,
    INVOKE_NOT_ALLOWED,
    INVOKE_WITHOUT_SOURCE,
    KEY_UNUSABLE,
    NOT_INSPECTED,
    PREVIOUS_VERSION_UNREADABLE,
    ROTATION_OVERDUE,
    SUPERUSER_MISSING,
    Finding,
)
from rotation_role_policy.audit.inventory import Inventory, ListedSecret, is_missing
from rotation_role_policy.audit.lookups import describe
from rotation_role_policy.audit.units import Unit
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError, quoted

_GRACE = timedelta(days=1)
"""A rotation can happen at any time of the day on which it is due."""
_USABLE_FUNCTION_STATES = ("Active", "Pending")
"""https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html"""


def not_inspected(
    what: str, error: RequestError, *, secret_arn: str = "", function_arn: str = "", role_arn: str = ""
) -> Finding:
    """Return the finding for something that a call of the audit did not return.

    Args:
        what: the ARN or the name of what was to be inspected.
        error: of the call.
        secret_arn: as in `Finding`.
        function_arn: as in `Finding`.
        role_arn: as in `Finding`.
    """
    remediation = "Run the audit again."
    if isinstance(error, AccessDeniedError):
        remediation = f"Allow {error.action} to the identity that runs the audit."
    text = f"{what} was not inspected. {describe(error).rstrip('.')}."
    return Finding(NOT_INSPECTED, what, text, remediation, secret_arn, function_arn, role_arn)


# --- secrets ----------------------------------------------------------------------------------------------------------


def judge_secret(inventory: Inventory, secret: ListedSecret, now: datetime) -> Iterator[Finding]:
    """Yield the findings about a secret, its keys, its schedule, and its function's permission to be invoked."""
    yield from _judge_keys(inventory, secret)
    yield from _judge_schedule(secret, now)
    invoke_policy = inventory.invoke_policies.values.get(secret.function_id)
    # A function that does not exist has a finding of its own.
    if (
        invoke_policy is not None
        and secret.function_id in inventory.functions.values
        and not invoke_policy.may_invoke(secret.function_id, secret.arn)
    ):
        yield Finding(
            INVOKE_NOT_ALLOWED,
            secret.function_id,
            f"Secrets Manager may not invoke the function {secret.function_id} for the secret {secret.arn}.",
            f"Add a permission (AWS::Lambda::Permission, or {_add_permission(secret)}).",
            secret.arn,
            secret.function_id,
        )


def _add_permission(secret: ListedSecret) -> str:
    name, qualifier = arn.split_qualifier(secret.function_id)
    version = f" --qualifier {qualifier}" if qualifier and not qualifier.startswith("$LATEST") else ""
    return (
        f"aws lambda add-permission --function-name {name}{version} --statement-id SecretsManager --action"
        f" lambda:InvokeFunction --principal secretsmanager.amazonaws.com --source-arn {secret.arn}"
    )


def _judge_keys(inventory: Inventory, secret: ListedSecret) -> Iterator[Finding]:
    error = inventory.states.errors.get(secret.arn)
    if isinstance(error, AccessDeniedError | AwsApiError):
        yield not_inspected(secret.arn, error, secret_arn=secret.arn, function_arn=secret.function_id)
    elif error:
        yield _key_unusable(secret.arn, error, secret.arn, secret.function_id)
    state = inventory.states.values.get(secret.arn)
    for key_arn in (state.key_arn, *state.earlier_key_arns) if state else ():
        if key_arn and (denied := inventory.keys.not_described.get(key_arn)):
            yield _key_not_described(secret, key_arn, denied)
    if key := inventory.keys.unreadable_previous.get(secret.arn):
        yield Finding(
            PREVIOUS_VERSION_UNREADABLE,
            secret.arn,
            f"The version AWSPREVIOUS of {secret.arn} is encrypted only with the KMS key {key}, which cannot be used."
            " AWS's single-user rotation functions read this version, and fail.",
            "Restore the key, or remove the label AWSPREVIOUS (aws secretsmanager update-secret-version-stage).",
            secret.arn,
            secret.function_id,
        )


def _key_not_described(secret: ListedSecret, key_arn: str, error: AccessDeniedError) -> Finding:
    if arn.parse(key_arn).account == arn.parse(secret.arn).account:
        return not_inspected(key_arn, error, secret_arn=secret.arn, function_arn=secret.function_id)
    # The policy of a key of another account need not allow anybody here to describe it.
    return Finding(
        ACCESS_UNDECIDED,
        key_arn,
        f"The KMS key {key_arn} of {secret.arn} belongs to another account, which does not let you describe it. Whether"
        " it is enabled is not known.",
        "Ask the owner of the key.",
        secret.arn,
        secret.function_id,
    )


def _key_unusable(resource: str, error: RequestError, secret_arn: str, function_arn: str) -> Finding:
    # The message of `keys` has two sentences: what is wrong, and what to do.
    problem, _, remediation = str(error).partition(". ")
    message = f"{problem}. Nobody can read what this key encrypts, so applications fail too, not only the rotation."
    return Finding(
        KEY_UNUSABLE, resource, message, f"First try to restore the key. {remediation}", secret_arn, function_arn
    )


def _judge_schedule(secret: ListedSecret, now: datetime) -> Iterator[Finding]:
    if not secret.is_enabled:
        return
    due = secret.next_rotation
    # NextRotationDate is the end of the rotation window.
    # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
    if due is None and secret.days:
        last = secret.last_rotated or secret.created
        due = last and last + timedelta(days=secret.days) + _GRACE
    if due and due < now:
        last_rotated = f"{secret.last_rotated:%Y-%m-%d}" if secret.last_rotated else "never"
        yield Finding(
            ROTATION_OVERDUE,
            secret.arn,
            f"The rotation of {secret.arn} was due on {due:%Y-%m-%d}. It was last rotated: {last_rotated}.",
            "Read the log of the rotation function for the error of the last attempt, by default in the log group"
            f" /aws/lambda/{_function_name(secret.function_id)}. Correct the errors of this secret, its function and"
            f" its role, then rotate it (aws secretsmanager rotate-secret --secret-id {secret.arn}). Do not remove the"
            " label AWSPENDING before you know whether the password was changed.",
            secret.arn,
            secret.function_id,
        )


def _function_name(function_id: str) -> str:
    return arn.parse(arn.split_qualifier(function_id)[0]).resource.removeprefix("function:")


# --- functions --------------------------------------------------------------------------------------------------------


def judge_function(inventory: Inventory, function_id: str) -> Iterator[Finding]:
    """Yield the findings about a function that concern all secrets that it rotates."""
    for errors in (inventory.functions.errors, inventory.invoke_policies.errors):
        error = errors.get(function_id)
        if isinstance(error, AwsApiError) and error.code == "ResourceNotFoundException":
            yield Finding(
                FUNCTION_MISSING,
                function_id,
                f"The rotation function {function_id} does not exist.",
                "Deploy the function again, or give the secrets another one (aws secretsmanager rotate-secret"
                " --secret-id ID --rotation-lambda-arn ARN --no-rotate-immediately), or turn the rotation off (aws"
                " secretsmanager cancel-rotate-secret --secret-id ID).",
                function_arn=function_id,
            )
        elif error:
            yield not_inspected(function_id, error, function_arn=function_id)
    details = inventory.functions.values.get(function_id)
    if details is None:
        return
    if details.lambda_state not in _USABLE_FUNCTION_STATES:
        reason = f" Lambda's reason: {details.state_reason.rstrip('.')}." if details.state_reason else ""
        remediation = "Correct the cause, or deploy the function again."
        if details.lambda_state == "Inactive":
            remediation = (
                "Invoke the function once, so that Lambda prepares it again. The first invocation fails, and with it"
                " the first attempt of a rotation."
            )
        yield Finding(
            FUNCTION_NOT_ACTIVE,
            function_id,
            f"The rotation function {function_id} is {details.lambda_state}, not Active.{reason}",
            remediation,
            function_arn=function_id,
            role_arn=details.function.role.arn,
        )
    invoke_policy = inventory.invoke_policies.values.get(function_id)
    for sid in invoke_policy.without_source() if invoke_policy else ():
        yield Finding(
            INVOKE_WITHOUT_SOURCE,
            function_id,
            f"The statement {quoted(sid)} in the policy of the function {function_id} lets Secrets Manager invoke it"
            " for secrets of any account, because it has no condition on aws:SourceArn or aws:SourceAccount.",
            "Add a permission with the account as SourceAccount, or one with each secret as SourceArn. Then remove this"
            f" one (aws lambda remove-permission --function-name {function_id} --statement-id {sid}).",
            function_arn=function_id,
            role_arn=details.function.role.arn,
        )


def judge_superuser(unit: Unit) -> Iterator[Finding]:
    """Yield the findings about the superuser secret of a unit."""
    error = unit.inventory.superusers.errors.get(unit.superuser_arn)
    if is_missing(error):
        # A grant in another policy can be left over from a secret that is not needed any more (`judge_policies`).
        if unit.policy_name:
            yield Finding(
                SUPERUSER_MISSING,
                unit.superuser_arn,
                f"The superuser secret {unit.superuser_arn} of the policy {quoted(unit.policy_name)} on the role"
                f" {unit.details.function.role.arn} does not exist, or is scheduled for deletion.",
                "Restore the secret (aws secretsmanager restore-secret --secret-id"
                f" {unit.superuser_arn}), or change SuperuserSecretId of the Custom::RotationRolePolicy.",
                function_arn=unit.function_id,
                role_arn=unit.details.function.role.arn,
            )
        return
    if isinstance(error, AccessDeniedError | AwsApiError):
        yield not_inspected(unit.superuser_arn, error, function_arn=unit.function_id)
    elif error:
        yield _key_unusable(unit.superuser_arn, error, "", unit.function_id)
