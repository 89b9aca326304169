"""A resource to preview, from the options of the command line or from a template."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rotation_role_policy.rules import identity


@dataclass(frozen=True)
class Resource:
    """One `Custom::RotationRolePolicy`. Without a template it has only properties."""

    properties: Mapping[str, Any]
    logical_id: str | None = None
    stack_id: str | None = None
    physical_id: str | None = None
    """``<RoleName>/<PolicyName>``, if the stack already has the resource."""
    policy_name: str | None = None
    """The inline policy that the user wants to compare with."""

    @property
    def own_policy_name(self) -> str:
        """The name of the resource's policy, which follows from the stack; empty without a stack."""
        return identity.policy_name(self.stack_id, self.logical_id) if self.stack_id and self.logical_id else ""

    @property
    def current_role(self) -> str:
        """The role that has the resource's policy according to the physical ID; empty if the ID names none."""
        return identity.role_name_of(self.physical_id or "", self.own_policy_name) if self.own_policy_name else ""
