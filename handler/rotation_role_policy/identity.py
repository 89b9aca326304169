"""Which policy is a resource's own: its name belongs to one resource of one stack (README, "What you can rely on")."""

import hashlib
import re

from rotation_role_policy import arn

POLICY_NAME_CHARACTERS = 128
"""https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html"""
_DIGITS = 12


def policy_name(stack_id: str, logical_id: str) -> str:
    """The name of the inline policy of a resource of the stack with this ARN: the same in every delivery."""
    digits = hashlib.sha256(f"{stack_id}/{logical_id}".encode()).hexdigest()[:_DIGITS]
    return f"{_beginning(logical_id)}{digits}"


def may_be_named(name: str, logical_id: str) -> bool:
    """Whether a policy of this name may be that of a resource with this logical id (of any, if empty) in some stack."""
    beginning = re.escape(_beginning(logical_id)) if logical_id else "[A-Za-z0-9]+-"
    return re.fullmatch(f"{beginning}[0-9a-f]{{{_DIGITS}}}", name) is not None


def physical_id(role_name: str, policy_name: str) -> str:
    """The physical ID of a resource whose policy stands on this role."""
    return f"{role_name}/{policy_name}"


def role_of(physical_id: str, policy_name: str) -> str:
    """The role on which the policy of this name stands by a physical ID; empty if the ID does not say."""
    role_name, _, name = physical_id.partition("/")
    return role_name if name == policy_name and arn.ROLE.fullmatch(role_name) else ""


def uncreated_id(logical_id: str) -> str:
    """The physical ID of an answer that is given before anything exists: without ``/``, so that a Delete can tell."""
    return f"uncreated-{logical_id}"


def _beginning(logical_id: str) -> str:
    return f"{logical_id[: POLICY_NAME_CHARACTERS - 1 - _DIGITS]}-"
