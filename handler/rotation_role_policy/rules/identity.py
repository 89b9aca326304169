"""The name of a resource's own policy, and its physical ID.

Both depend only on the stack and the logical ID, so each delivery of a request leads to the same policy, and no two
resources share one. Source: docs/guarantees.md.
"""

import hashlib
import re

from rotation_role_policy import arn

POLICY_NAME_CHARACTERS = 128
"""https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html"""
_DIGITS = 12


def policy_name(stack_id: str, logical_id: str) -> str:
    """Return the name of the inline policy of the resource `logical_id` in the stack with the ARN `stack_id`."""
    digits = hashlib.sha256(f"{stack_id}/{logical_id}".encode()).hexdigest()[:_DIGITS]
    return f"{_prefix(logical_id)}{digits}"


def is_possible_policy_name(name: str, logical_id: str) -> bool:
    """Return whether `name` can be the policy of a resource in some stack.

    Args:
        name: name of an inline policy.
        logical_id: of the resource; empty for any.
    """
    prefix = re.escape(_prefix(logical_id)) if logical_id else "[A-Za-z0-9]+-"
    return re.fullmatch(f"{prefix}[0-9a-f]{{{_DIGITS}}}", name) is not None


def logical_id_in(name: str) -> str:
    """Return the logical ID in the name of a resource's own policy; empty if the name has another form.

    In a name of `POLICY_NAME_CHARACTERS` the logical ID can be cut.
    """
    return name[: -_DIGITS - 1] if is_possible_policy_name(name, "") else ""


def physical_id(role_name: str, policy_name: str) -> str:
    """Return the physical ID of a resource whose policy is on this role."""
    return f"{role_name}/{policy_name}"


def role_name_of(physical_id: str, policy_name: str) -> str:
    """Return the role that has the policy `policy_name` according to a physical ID; empty if the ID names no role."""
    role_name, _, name = physical_id.partition("/")
    return role_name if name == policy_name and arn.ROLE.fullmatch(role_name) else ""


def uncreated_id(logical_id: str) -> str:
    """Return the physical ID for a response that is sent before the role is known. It contains no ``/``."""
    return f"uncreated-{logical_id}"


def _prefix(logical_id: str) -> str:
    return f"{logical_id[: POLICY_NAME_CHARACTERS - 1 - _DIGITS]}-"
