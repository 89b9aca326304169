"""Which resource of which stack has put a policy on a role.

The name of such a policy is a hash of the stack's ID (`rules.identity`), so the stack that owns it is certain. What a
policy contains proves nothing: anybody can copy it, and anybody can edit the policy of a stack.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from rotation_role_policy import arn
from rotation_role_policy.iam.document import JsonDocument, as_list
from rotation_role_policy.rules.identity import POLICY_NAME_CHARACTERS, logical_id_in, physical_id, policy_name
from rotation_role_policy.rules.properties import RESOURCE_TYPE, Properties

_RESOURCE_TYPES = (RESOURCE_TYPE, "AWS::CloudFormation::CustomResource")
"""Earlier versions of the provider served every type of custom resource."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The resource that has put a policy on a role."""

    stack_id: str
    """The ARN of the stack."""
    logical_id: str
    properties: Properties | None = None
    """The properties of the resource; None if they were not needed, or if CloudFormation no longer has them."""

    @property
    def stack_name(self) -> str:
        """The name of the stack."""
        return arn.parse(self.stack_id).resource.split("/")[1]


class Unproven(Enum):
    """Why it is not known whether a resource of a stack has put a policy on a role."""

    NOT_LISTED = auto()
    """The stacks, or the resource, could not be read."""
    IN_PROGRESS = auto()
    """The stack is changing the resource now."""
    CUT_NAME = auto()
    """The name of the policy has only the beginning of the logical ID."""
    OTHER_REGION = auto()
    """The policy names secrets of a region that is not audited, and the stack can be there."""


Ownership = Owner | Unproven | None
"""None: no resource of a stack has put the policy on the role."""


@dataclass(frozen=True, slots=True)
class ElsewherePolicy:
    """A policy of a `Custom::RotationRolePolicy` that covers a secret, on another role than that of its function."""

    role_arn: str
    policy_name: str
    owner: Owner | Unproven
    """`Unproven` if it is not known whether it is one."""


@dataclass(frozen=True, slots=True)
class StackResource:
    """A resource of a stack, from DescribeStackResource."""

    type: str
    physical_id: str
    status: str
    """Such as ``UPDATE_COMPLETE``."""


def is_cut(name: str) -> bool:
    """Return whether the name of a policy can have only the beginning of the logical ID."""
    return len(name) >= POLICY_NAME_CHARACTERS


def stacks_by_policy_name(logical_id: str, stack_ids: Iterable[str]) -> dict[str, str]:
    """Return the IDs of stacks by the name of the policy that a resource with this logical ID has in each of them."""
    return {policy_name(stack_id, logical_id): stack_id for stack_id in stack_ids}


def is_in_progress(status: str) -> bool:
    """Return whether a stack or a resource with this status is being changed."""
    return status.endswith("_IN_PROGRESS")


def owner_of(role_name: str, name: str, stack_id: str, resource: StackResource | None) -> Ownership:
    """Return who has put the policy `name` on a role, if the name belongs to a stack that is not being changed.

    Args:
        role_name: of the role.
        name: of the policy.
        stack_id: of the stack.
        resource: the resource of the stack that has the logical ID in the name; None if there is none.
    """
    if resource is None or resource.status == "DELETE_COMPLETE":
        return None
    if is_in_progress(resource.status):
        return Unproven.IN_PROGRESS
    # A policy that was copied to another role has the name, but the physical ID names the role.
    is_own = resource.type in _RESOURCE_TYPES and resource.physical_id == physical_id(role_name, name)
    return Owner(stack_id, logical_id_in(name)) if is_own else None


def regions_of_secrets(document: JsonDocument) -> set[str]:
    """Return the regions of the secrets that a policy names. Empty for a policy whose secrets are patterns."""
    statements = [each for each in as_list(document.get("Statement", [])) if isinstance(each, dict)]
    resources = [str(resource) for each in statements for resource in as_list(each.get("Resource", []))]
    named = {arn.region(resource) for resource in resources if arn.service(resource) == "secretsmanager"}
    return {region for region in named if region.strip("*")}
