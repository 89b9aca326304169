"""Phrases of several messages."""

from collections.abc import Iterable

from rotation_role_policy.audit.ownership import Owner, Ownership, Unproven
from rotation_role_policy.errors import quoted
from rotation_role_policy.iam.document import PolicyKind, PolicyName

UNPROVEN = {
    Unproven.NOT_LISTED: "it can belong to a stack, and the stacks could not be read",
    Unproven.IN_PROGRESS: "its stack is being changed now. Run the audit again when that has ended",
    Unproven.CUT_NAME: "it can belong to a stack, because its name can be that of a resource with a long logical ID",
    Unproven.OTHER_REGION: "it can belong to a stack of the region of its secrets. Audit this region too",
}
"""Why a policy must not be removed, to complete a sentence."""
ADOPT = (
    "Deploy a Custom::RotationRolePolicy for the function, in the template of its role or with one that audit --adopt"
    " DIR writes"
)


def policy(name: PolicyName) -> str:
    """Return a policy in words, to be part of a sentence."""
    match name.kind:
        case PolicyKind.INLINE:
            return f"the inline policy {quoted(name.name)}"
        case PolicyKind.MANAGED:
            return f"the managed policy {name.name}"
        case PolicyKind.ROLE:
            return quoted(name.name)
        case PolicyKind.BOUNDARY:
            return "the role's permissions boundary"
        case PolicyKind.KEY:
            return "the key's policy"
        case PolicyKind.SECRET:
            return "the secret's resource policy"
        case PolicyKind.FUNCTION:
            return "the function's policy"


def send_update(policy_name: str, owner: Ownership) -> str:
    """Return what brings a policy of the provider up to date, as a sentence."""
    if isinstance(owner, Owner):
        return f"Send an Update to {resource_of(owner)}: change its property Triggers, and deploy the stack."
    return (
        f"Send an Update to the Custom::RotationRolePolicy that wrote the policy {quoted(policy_name)}: change its"
        " property Triggers, and deploy its stack."
    )


def resource_of(owner: Owner) -> str:
    """Return the resource that has put a policy on a role, to be part of a sentence."""
    return f"the resource {quoted(owner.logical_id)} of the stack {quoted(owner.stack_name)}"


def join(values: Iterable[str]) -> str:
    """Return names as an enumeration."""
    *others, last = values
    return f"{', '.join(others)} and {last}" if others else last
