"""The words of findings about roles, and about the policies of the provider on them."""

from collections.abc import Iterable

from rotation_role_policy.audit.coverage import Coverage
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.phrases import ADOPT, UNPROVEN, join, resource_of
from rotation_role_policy.audit.ownership import ElsewherePolicy, Owner, Unproven
from rotation_role_policy.errors import quoted

UNLESS_REDIRECTED = (
    "Find out whether somebody has changed the rotation of the secret: the policies of other roles could not be read."
    " If nobody has:"
)
"""What comes before advice that would complete such a change."""


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
        "Create a role for each function, with what else the function needs, such as the permissions for its log. Put a"
        " Custom::RotationRolePolicy on it, with SuperuserSecretId and TargetArns if the function uses them: its"
        " superuser secret can be one that another function with this role rotates. Name the new role in key policies"
        " and resource policies that name this one, then change the role of the function.",
    )


def no_policy(secret_arn: str, unknowns: Iterable[str], obstacles: Iterable[str], *, is_elsewhere_known: bool) -> Words:
    """Return the words for a secret that no policy of the provider covers.

    Args:
        secret_arn: of the secret.
        unknowns: as in `messages.superusers`.
        obstacles: the codes of findings because of which the provider would refuse the policy.
        is_elsewhere_known: whether the policies of other roles could be read.
    """
    codes = dict.fromkeys(obstacles)
    first = f"First correct {join(codes)}, because the provider would refuse the policy. " if codes else ""
    if not is_elsewhere_known:
        return Words(
            f"No Custom::RotationRolePolicy on the role covers {secret_arn}. Whether one on another role does could not"
            " be read: then somebody has changed the rotation of the secret.",
            "Allow iam:GetAccountAuthorizationDetails to the identity that runs the audit.",
        )
    return Words(
        f"No Custom::RotationRolePolicy covers {secret_arn}. {' '.join(unknowns)}",
        f"{first}{ADOPT}.",
    )


def policy_unproven(secret_arn: str, policy_name: str, reason: Unproven) -> Words:
    """Return the words for a secret whose policy on the role can belong to a stack."""
    return Words(
        f"It is not known whether a Custom::RotationRolePolicy covers {secret_arn}. The policy {quoted(policy_name)} on"
        f" the role allows to rotate it, and {UNPROVEN[reason]}.",
        "If a stack has put the policy there, nothing has to be done.",
    )


def policy_elsewhere(secret_arn: str, coverage: Coverage, elsewhere: ElsewherePolicy) -> Words:
    """Return the words for a secret whose policy is on another role than that of its function."""
    name, owner = quoted(elsewhere.policy_name), elsewhere.owner
    reported = (
        f"The secret {secret_arn} reports the rotation function {coverage.function.function_id} with the role"
        f" {coverage.details.function.role.arn}, but"
    )
    if isinstance(owner, Owner):
        message = f"{reported} {resource_of(owner)} has put its policy {name} on the role {elsewhere.role_arn}."
    else:
        message = f"{reported} the policy {name} on the role {elsewhere.role_arn} is for it, and {UNPROVEN[owner]}."
    return Words(message, if_redirected(coverage, elsewhere))


def if_redirected(coverage: Coverage, elsewhere: ElsewherePolicy) -> str:
    """Return what to do about a secret whose rotation was changed, as sentences.

    To give its new role what it lacks would complete a change that perhaps nobody here has wanted.
    """
    return (
        f"If this change is yours, {_completed(coverage, elsewhere.owner)}. Otherwise correct the rotation of the"
        " secret (RotateSecret with RotationLambdaARN)."
    )


def _completed(coverage: Coverage, owner: Owner | Unproven) -> str:
    """Return how the owner of a policy completes the change of a secret's rotation, to end a sentence."""
    if isinstance(owner, Unproven):
        return "change the resource of the stack that has put the policy there"
    resource, properties = resource_of(owner), owner.properties
    take_out = f"take the secret out of SecretIds of {resource}, deploy the stack, and audit again"
    if properties is None:
        return f"give RotationLambdaARN in {resource} if it is for this secret alone. If not, {take_out}"
    if len(properties.secret_ids) > 1:
        return take_out
    function_arn = coverage.details.function.arn
    if properties.rotation_lambda_arn in (function_arn, function_arn.rpartition(":")[2]):
        # Only the role of the function has changed, and without a change there is no Update.
        role = " and RoleName, if it is there," if properties.role_name else ""
        return f"change the property Triggers{role} of {resource}, and deploy the stack"
    if properties.role_name:
        return f"give RotationLambdaARN and the new role as RoleName in {resource}"
    return f"give RotationLambdaARN in {resource}"
