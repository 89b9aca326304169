"""Recognize the policies that a `Custom::RotationRolePolicy` has put on a role."""

from collections.abc import Mapping

from rotation_role_policy import arn
from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, as_list
from rotation_role_policy.rules.identity import is_possible_policy_name
from rotation_role_policy.rules.policy import summarize
from rotation_role_policy.rules.state import RolePolicies
from rotation_role_policy.rules.statements import ROTATE_ACTIONS


def own_policies(inline: Mapping[str, JsonDocument]) -> dict[str, JsonDocument]:
    """Return those inline policies that a `Custom::RotationRolePolicy` has put on the role."""
    return {name: document for name, document in inline.items() if _is_own(name, document)}


def other_policies(role: RolePolicies) -> list[Policy]:
    """Return the policies of a role that no `Custom::RotationRolePolicy` has put on it."""
    own = own_policies(role.inline)
    return [each for each in role.policies if not (each.name.kind is PolicyKind.INLINE and each.name.name in own)]


def _is_own(name: str, document: JsonDocument) -> bool:
    """Return whether a policy has such a name, and begins with the provider's first statement on whole ARNs."""
    statements = as_list(document.get("Statement", []))
    if not is_possible_policy_name(name, "") or not statements:
        return False
    return set(as_list(statements[0].get("Action"))) == set(ROTATE_ACTIONS) and all(
        arn.SECRET.fullmatch(secret) for secret in summarize(document).secret_arns
    )
