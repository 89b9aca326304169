"""A resource to preview, from the options of the command line or from a template."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
