"""What decides about calls on a secret or a key besides the policies of the role: policies and grants of the resource.

Source: https://docs.aws.amazon.com/kms/latest/developerguide/control-access.html
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import Grant, Known, RoleFacts, Unknown
from rotation_role_policy.iam.key_grants import can_allow, is_for_role
from rotation_role_policy.iam.resource_policies import CallingRole
from rotation_role_policy.rules.state import RolePolicies


class ResourceFact(Enum):
    """What can be looked up about a secret or a key."""

    POLICY = auto()
    """The resource policy of a secret, or the policy ``default`` of a key."""
    GRANTS = auto()
    """The grants on a key."""
    POLICY_NAMES = auto()
    """The names of the policies of a key. A second one can allow calls too, and nobody can read it."""


class ResourceQuestion(NamedTuple):
    """A look-up that a decision needs."""

    fact: ResourceFact
    resource: str
    """Full ARN of the secret or key."""
    region: str
    """Of the function that uses the resource."""


def answer(facts: RoleFacts, question: ResourceQuestion) -> Known[Any] | Unknown | None:
    """Return what is known; None if nobody has looked it up yet."""
    answers = {
        ResourceFact.POLICY: facts.resource_policies,
        ResourceFact.GRANTS: facts.grants,
        ResourceFact.POLICY_NAMES: facts.key_policy_names,
    }
    return answers[question.fact].get(question.resource)


def calling_role(role: RolePolicies) -> CallingRole:
    """Return what the statements of a resource policy can depend on."""
    return CallingRole(role.role.arn, role.boundary_policy is not None, role.unique_id)


def is_granted(
    grants: Iterable[Grant], role: RolePolicies, action: str, encryption_context: dict[str, str | None]
) -> bool:
    """Return whether a grant on a key can allow the call of a role.

    Args:
        grants: all grants on the key.
        role: makes the call.
        action: such as ``kms:Decrypt``.
        encryption_context: as for `can_allow`.
    """
    return any(
        is_for_role(grant, role.role.arn)
        and not _is_for_former_role(grant, role)
        and can_allow(grant, action, encryption_context)
        for grant in grants
    )


def _is_for_former_role(grant: Grant, role: RolePolicies) -> bool:
    """Return whether a grant was made for a role that was deleted and created again under its name.

    A grant is for the internal ID of a role, which the new role does not have.
    """
    made = grant.get("CreationDate")
    is_for_this_arn = grant.get("GranteePrincipal") == role.role.arn
    return bool(is_for_this_arn and made and role.created and made < role.created)


def is_of_other_account(key_arn: str, role: RolePolicies) -> bool:
    """Return whether a key belongs to another account than the role, so that nobody here need see its policy."""
    return arn.parse(key_arn).account != arn.parse(role.role.arn).account
