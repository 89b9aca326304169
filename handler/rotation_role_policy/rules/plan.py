"""What a Create or Update leads to: the document, and whether the policy changes.

The provider and the preview use the same plan.
"""

from dataclasses import dataclass

from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.properties import Properties
from rotation_role_policy.rules.state import State


@dataclass(frozen=True)
class Plan:
    """What happens to the policy, before anything is written."""

    document: JsonDocument
    """The document that the role is to have."""
    existing_document: JsonDocument | None
    """The document that the role has; None if it has no such policy."""
    is_changed: bool
    """Whether the role has another document, or none."""
    needs_access_check: bool
    """Whether the properties ask for an access check, and there is a change to check."""


def make_plan(properties: Properties, state: State, existing_document: JsonDocument | None) -> Plan:
    """Return the plan for a resource.

    Args:
        properties: of the resource.
        state: to which the properties lead.
        existing_document: the resource's own policy on the role of `state`; None if there is none.
    """
    document = policy.document(state, properties.policy_profile)
    is_changed = document != existing_document
    return Plan(document, existing_document, is_changed, is_changed and properties.access_check == "Enforce")
