"""What is wrong with roles: findings, from what was looked up, without a call."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping

from rotation_role_policy import arn
from rotation_role_policy.audit.access import Problem
from rotation_role_policy.audit.declared import own_policies
from rotation_role_policy.audit.findings import (
    ACCESS_UNDECIDED,
    ACTION_BLOCKED,
    ACTION_NOT_GRANTED,
    NETWORK_INTERFACES_OPEN,
    NO_POLICY,
    OTHER_SECRETS,
    POLICY_DRIFT,
    ROLE_NOT_ASSUMABLE,
    SHARED_ROLE,
    UNNEEDED_GRANT,
    Finding,
    FindingType,
)
from rotation_role_policy.audit.inventory import Inventory, ListedSecret, is_missing
from rotation_role_policy.audit.judge import not_inspected
from rotation_role_policy.audit.roles import RolePolicies, Roles
from rotation_role_policy.audit.units import Unit, expected_document
from rotation_role_policy.errors import quoted
from rotation_role_policy.lookup.inspection import lambda_can_assume
from rotation_role_policy.rules.excess import Excess, Needed, find_excess
from rotation_role_policy.rules.policy import Document

_ADOPT = "Deploy a Custom::RotationRolePolicy for the function (rotation-role-policy audit --adopt FILE)"


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
        superuser_arns={
            superuser
            for unit in units
            for superuser in unit.declared.superuser_arns
            if not is_missing(unit.inventory.superusers.errors.get(superuser))
        },
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
