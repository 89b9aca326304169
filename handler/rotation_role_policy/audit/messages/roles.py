"""The words of findings about roles, and about the policies of the provider on them."""

from collections.abc import Iterable

from rotation_role_policy.audit.coverage import Coverage
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.phrases import ADOPT, join, resource_of
from rotation_role_policy.audit.ownership import ElsewherePolicy
from rotation_role_policy.errors import quoted


def role_missing(role_arn: str) -> Words:
    """Return the words for an execution role that does not exist."""
    return Words(
        f"The execution role {role_arn} does not exist.",
        "Create the role, or give the function another one. Lambda refers to a role by its internal ID, so update the"
        " function after you create a role with the same name.",
    )


def role_not_assumable(role_arn: str) -> Words:
    """Return the words for an execution role that Lambda cannot assume."""
    return Words(
        f"Lambda cannot assume the execution role {role_arn}.",
        "Allow sts:AssumeRole to the service principal lambda.amazonaws.com in the role's trust policy.",
    )


def shared_role(role_arn: str, functions: Iterable[str]) -> Words:
    """Return the words for a role that several functions have."""
    listed = sorted(functions)
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return Words(
        f"{len(listed)} functions have the execution role {role_arn}, so each of them can use the secrets of all:"
        f" {', '.join(listed[:10])}{more}.",
        "Create a role for each function, put a Custom::RotationRolePolicy on it, name the new role in key policies and"
        " resource policies that name this one, then change the role of the function.",
    )


def no_policy(secret_arn: str, coverage: Coverage) -> Words:
    """Return the words for a secret that no policy of the provider covers."""
    return Words(
        f"No Custom::RotationRolePolicy covers {secret_arn}. {' '.join(unknowns(coverage))}",
        f"{ADOPT}.",
    )


def policy_elsewhere(secret_arn: str, coverage: Coverage, elsewhere: ElsewherePolicy) -> Words:
    """Return the words for a secret whose policy is on another role than that of its function."""
    owner = elsewhere.owner
    return Words(
        f"The secret {secret_arn} reports the rotation function {coverage.function.function_id} with the role"
        f" {coverage.details.function.role.arn}, but {resource_of(owner)} has put its policy"
        f" {quoted(elsewhere.policy_name)} on the role {elsewhere.role_arn}.",
        f"If this change is yours, give RotationLambdaARN in {resource_of(owner)}. Otherwise correct the rotation of"
        " the secret (aws secretsmanager rotate-secret --rotation-lambda-arn).",
    )


def unknowns(coverage: Coverage) -> tuple[str, ...]:
    """Return what the audit assumes of a rotation and only a person can know, as sentences."""
    if coverage.policy_name:
        return ()
    needs = coverage.needs
    if len(needs.superuser_ids) > 1:
        return (
            "The role may read several other secrets, and one of them can be the superuser secret of the function:"
            f" {', '.join(needs.superuser_ids)}.",
        )
    if coverage.named_superuser:
        return (f"The role may read {coverage.superuser_id}, which is taken for the superuser secret of the function.",)
    if needs.superuser_ids:
        return (
            f"The role may read {needs.superuser_ids[0]}, which can be the superuser secret of the function. But it may"
            " not make all calls on it that a superuser secret needs, or only under a condition.",
        )
    if needs.wildcards:
        return (
            f"The role may read other secrets by {join(needs.wildcards)}, so its policies do not show whether the"
            " function reads a superuser secret.",
        )
    return ("The role may read no other secret, so no superuser secret is assumed.",)
