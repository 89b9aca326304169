"""What is wrong with the rotations of an inventory: findings, from what was looked up, without a call."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from rotation_role_policy import arn
from rotation_role_policy.audit.access import Problem
from rotation_role_policy.audit.declared import own_policies
from rotation_role_policy.audit.excess import Excess, Needed, find_excess
from rotation_role_policy.audit.findings import (
    ACCESS_UNDECIDED,
    ACTION_BLOCKED,
    ACTION_NOT_GRANTED,
    FUNCTION_MISSING,
    FUNCTION_NOT_ACTIVE,
    INVOKE_NOT_ALLOWED,
    INVOKE_WITHOUT_SOURCE,
    KEY_UNUSABLE,
    NETWORK_INTERFACES_OPEN,
    NO_POLICY,
    NOT_INSPECTED,
    OTHER_SECRETS,
    POLICY_DRIFT,
    PREVIOUS_VERSION_UNREADABLE,
    ROLE_NOT_ASSUMABLE,
    ROTATION_OVERDUE,
    SHARED_ROLE,
    UNNEEDED_GRANT,
    Finding,
    FindingType,
)
from rotation_role_policy.audit.inventory import Inventory, ListedSecret
from rotation_role_policy.audit.lookups import describe
from rotation_role_policy.audit.roles import RolePolicies, Roles
from rotation_role_policy.audit.units import Unit, expected_document
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError, quoted
from rotation_role_policy.inspection import lambda_can_assume
from rotation_role_policy.policy import Document

_GRACE = timedelta(days=1)
"""A rotation can happen at any time of the day on which it is due."""
_ADOPT = "Deploy a Custom::RotationRolePolicy for the function (rotation-role-policy audit --adopt FILE)"
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


# --- roles ------------------------------------------------------------------------------------------------------------


def judge_role(role_arn: str, roles: Roles, functions: Mapping[str, Inventory]) -> Iterator[Finding]:
    """Yield the findings about a role itself.

    Args:
        role_arn: the execution role of the functions.
        roles: the roles that were read.
        functions: the rotation functions with this role, by `RotationLambdaARN`.
    """
    role = roles.get(role_arn)
    if error := roles.errors.get(arn.role_name(role_arn)):
        yield not_inspected(role_arn, error, role_arn=role_arn)
    elif role is None:
        yield Finding(
            ROLE_NOT_ASSUMABLE,
            role_arn,
            f"The execution role {role_arn} does not exist.",
            "Create the role, or give the function another one. Lambda refers to a role by its internal ID, so update"
            " the function after you create a role with the same name.",
            role_arn=role_arn,
        )
    elif not lambda_can_assume(role.trust_policy):
        yield Finding(
            ROLE_NOT_ASSUMABLE,
            role_arn,
            f"Lambda cannot assume the execution role {role_arn}.",
            "Allow sts:AssumeRole to the service principal lambda.amazonaws.com in the role's trust policy.",
            role_arn=role_arn,
        )
    yield from _judge_sharing(role_arn, functions)


def _judge_sharing(role_arn: str, functions: Mapping[str, Inventory]) -> Iterator[Finding]:
    sharing: dict[str, None] = {}
    for function_id, inventory in functions.items():
        sharing[arn.split_qualifier(function_id)[0]] = None
        listed = inventory.functions_of_roles.values.get(inventory.region, {})
        sharing |= dict.fromkeys(listed.get(role_arn, ()))
    if len(sharing) > 1:
        yield Finding(
            SHARED_ROLE,
            role_arn,
            f"{len(sharing)} functions have the execution role {role_arn}, so each of them can use the secrets of all:"
            f" {_some(sharing)}.",
            "Create a role for each function, put a Custom::RotationRolePolicy on it, name the new role in key policies"
            " and resource policies that name this one, then change the role of the function.",
            role_arn=role_arn,
        )


def _some(values: Iterable[str]) -> str:
    """Return the values with commas, at most ten of them."""
    listed = sorted(values)
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return ", ".join(listed[:10]) + more


def judge_policies(
    role: RolePolicies, units: list[Unit], other_rotated: Iterable[ListedSecret], regions: Collection[str]
) -> Iterator[Finding]:
    """Yield what the role's policies grant too much, and which of the provider's policies are outdated.

    Args:
        role: the role, whose functions were all inspected.
        units: all units of the role.
        other_rotated: the secrets of other functions with this role that are not among the units.
        regions: that are audited. A function in another region can have this role too.
    """
    own = own_policies(role.inline)
    states = [state for unit in units if (state := unit.state())]
    # Keys of other secrets are known only as the listing has them.
    other = list(other_rotated)
    needed = Needed(
        rotated_arns={secret.arn for unit in units for secret in unit.secrets} | {secret.arn for secret in other},
        superuser_arns={superuser for unit in units for superuser in unit.declared.superuser_arns},
        key_arns={key_arn for state in states for key_arn in state.key_arns}
        | {secret.description.get("KmsKeyId", "") for secret in other},
        other_key_arns={unit.details.key_arn for unit in units},
        # Whether other functions with this role are in a VPC is not known.
        in_vpc=any(unit.details.function.in_vpc or _shares_role(unit, units) for unit in units),
        function_arns=tuple(dict.fromkeys(unit.details.function.arn for unit in units)),
    )
    # If a secret was not inspected, it is not known which keys are needed.
    are_all_known = sum(len(state.secrets) for state in states) == sum(len(unit.secrets) for unit in units)
    for excess in find_excess(role.documents(without=own), role.documents(), role.boundary, needed):
        is_key, region = ":kms:" in excess.resource, "".join(excess.resource.split(":")[3:4])
        is_known = (not is_key or (are_all_known and not other)) and (not region or region in regions)
        if is_known or excess.type is not UNNEEDED_GRANT:
            statement = f"The statement {quoted(excess.sid)} in {excess.policy}" if excess.sid else excess.policy
            yield Finding(
                excess.type,
                role.role.arn,
                f"{statement[:1].upper()}{statement[1:]} of the role {role.role.arn} allows {', '.join(excess.actions)}"
                f" on {excess.resource}, {excess.problem}.",
                _excess_remediation(excess, units),
                role_arn=role.role.arn,
            )
    for name, current in own.items():
        expected = expected_document(name, current, units)
        if expected is not None and expected != current:
            yield _drift(role, name, current, expected)
    for unit in units:
        if not unit.policy_name:
            for secret in unit.secrets:
                yield Finding(
                    NO_POLICY,
                    role.role.arn,
                    f"No Custom::RotationRolePolicy covers {secret.arn}. {' '.join(unit.unknowns)}",
                    f"{_ADOPT}.",
                    secret.arn,
                    unit.function_id,
                    role.role.arn,
                )


def _shares_role(unit: Unit, units: list[Unit]) -> bool:
    """Return whether a function in the region of the unit has its role, but is not the function of a unit."""
    listed = unit.inventory.functions_of_roles.values.get(unit.inventory.region, {})
    functions = {each.details.function.arn for each in units}
    return not functions.issuperset(listed.get(unit.details.function.role.arn, ()))


def _excess_remediation(excess: Excess, units: list[Unit]) -> str:
    """Return what to do about a grant. To remove it must not take anything that the function uses."""
    adopt = f"{_ADOPT}. " if any(not unit.policy_name for unit in units) else ""
    if excess.type is NETWORK_INTERFACES_OPEN:
        return f"{adopt}With the Deny of the profile Strict, only Lambda can use this grant. It need not be removed."
    remove = "remove this grant"
    if excess.policy.startswith("the managed policy"):
        remove = (
            "detach this policy. If the function gets other permissions from it, such as those for its log, grant them"
        )
        remove += " first"
    if excess.actions[0].startswith("ec2:"):
        return (
            "Lambda needs this grant until it has deleted the interfaces, up to 20 minutes after the function left its"
            f" VPC. Then {remove}."
        )
    if excess.type is OTHER_SECRETS and any(unit.declared.wildcard for unit in units if not unit.policy_name):
        return (
            f"Find out whether the function reads a superuser secret by this grant. {adopt}Name that secret as"
            f" SuperuserSecretId. Rotate the secret, then {remove}."
        )
    if excess.type is UNNEEDED_GRANT:
        return f"Check that the code of the function does not use it. Then {remove}."
    return f"{adopt}Rotate the secret, then {remove}."


def _drift(role: RolePolicies, name: str, current: Document, expected: Document) -> Finding:
    return Finding(
        POLICY_DRIFT,
        role.role.arn,
        f"The policy {quoted(name)} on the role {role.role.arn} would be written differently today.",
        _update(name),
        role_arn=role.role.arn,
        difference=_difference(current, expected),
    )


def _difference(before: Document, after: Document) -> tuple[str, ...]:
    old, new = (json.dumps(document, indent=2).splitlines() for document in (before, after))
    # The first two lines name files.
    return tuple(difflib.unified_diff(old, new, n=4, lineterm=""))[2:]


# --- access -----------------------------------------------------------------------------------------------------------


def judge_access(problem: Problem) -> Finding:
    """Return the finding for calls that a role may not make, or about which nothing is known."""
    unit, denial, role_arn = problem.unit, problem.denial, problem.role.role.arn
    actions, resources = _and(denial.actions), _and(denial.resources)
    secret_arn = _secret_of(problem)
    if problem.error:
        what = f"Whether {role_arn} may call {actions} on {resources}"
        return not_inspected(
            what, problem.error, secret_arn=secret_arn, function_arn=unit.function_id, role_arn=role_arn
        )
    finding_type, text, remediation = _access(problem, actions, resources, secret_arn)
    return Finding(finding_type, role_arn, text, remediation, secret_arn, unit.function_id, role_arn)


def _access(problem: Problem, actions: str, resources: str, secret_arn: str) -> tuple[FindingType, str, str]:
    """Return the type, the message and the remediation."""
    denial, role_arn = problem.denial, problem.role.role.arn
    if denial.blocker:
        are = "are" if len(denial.actions) > 1 else "is"
        text = f"{actions} on {resources} {are} blocked for the role {role_arn} by {denial.blocker}."
        if denial.blocker.startswith("an explicit deny"):
            return ACTION_BLOCKED, text, "Narrow this deny. It may be there to protect other secrets or actions."
        if "key's policy" in denial.blocker:
            return ACTION_BLOCKED, text, "Allow the role in the key's policy, or allow the account's root user there."
        boundary = problem.role.boundary_arn or "the permissions boundary"
        return ACTION_BLOCKED, text, f"Allow the actions in {boundary}. Other roles may have the same boundary."
    if not denial.is_implicit:
        text = f"It is not known whether the role {role_arn} may call {actions} on {resources}: {denial.reason}."
        return ACCESS_UNDECIDED, text, "Rotate the secret while you watch (aws secretsmanager rotate-secret)."
    for_secret = f" for the secret {secret_arn}" if secret_arn and secret_arn not in denial.resources else ""
    text = f"The role {role_arn} is not allowed {actions} on {resources}{for_secret}."
    if policy_name := problem.unit.policy_name:
        return ACTION_NOT_GRANTED, text, _update(policy_name)
    return ACTION_NOT_GRANTED, text, f"{_ADOPT}, or allow it in a policy of the role."


def _update(policy_name: str) -> str:
    return (
        f"Send an Update to the Custom::RotationRolePolicy that wrote the policy {quoted(policy_name)}: change its"
        " property Triggers, and deploy its stack."
    )


def _secret_of(problem: Problem) -> str:
    """Return the secret that the calls are for; empty if they are for all secrets of the function."""
    secret = problem.calls.context.get("kms:EncryptionContext:SecretARN") or problem.denial.resources[0]
    return str(secret) if secret in {each.arn for each in problem.unit.secrets} else ""


def _and(values: Iterable[str]) -> str:
    *others, last = values
    return f"{', '.join(others)} and {last}" if others else last


def judge_superuser(unit: Unit) -> Iterator[Finding]:
    """Yield the findings about the superuser secret of a unit."""
    error = unit.inventory.superusers.errors.get(unit.superuser_arn)
    if isinstance(error, AwsApiError) and error.code == "ResourceNotFoundException":
        # The role keeps a grant on a secret that was deleted. It is taken for a grant that nobody needs.
        return
    if isinstance(error, AccessDeniedError | AwsApiError):
        yield not_inspected(unit.superuser_arn, error, function_arn=unit.function_id)
    elif error:
        yield _key_unusable(unit.superuser_arn, error, "", unit.function_id)
