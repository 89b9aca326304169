"""Phrases of several messages."""

from collections.abc import Iterable

from rotation_role_policy.errors import quoted
from rotation_role_policy.iam.document import PolicyKind, PolicyName

ADOPT = "Deploy a Custom::RotationRolePolicy for the function (rotation-role-policy audit --adopt FILE)"


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


def send_update(policy_name: str) -> str:
    """Return what brings a policy of the provider up to date, as a sentence."""
    return (
        f"Send an Update to the Custom::RotationRolePolicy that wrote the policy {quoted(policy_name)}: change its"
        " property Triggers, and deploy its stack."
    )


def join(values: Iterable[str]) -> str:
    """Return names as an enumeration."""
    *others, last = values
    return f"{', '.join(others)} and {last}" if others else last
