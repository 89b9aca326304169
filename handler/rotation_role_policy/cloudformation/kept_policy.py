"""The policy that stands, for an Update of a rollback whose old properties no longer lead to one.

The secret is gone, or its key is disabled: the document that the properties asked for cannot be made any more. What
stands stays, and the attributes are derived from what is known (contract, section 4, "Rollback").
"""

from contextlib import suppress
from typing import Any, NamedTuple

from rotation_role_policy import arn, attributes, inline_policy, inspection
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import CallFailed, Refused
from rotation_role_policy.properties import declare
from rotation_role_policy.state import Role

_UNKNOWN = (Refused, CallFailed)


class KeptPolicy(NamedTuple):
    """Where the policy stands, and the attributes of the resource."""

    role_name: str
    attributes: dict[str, str]


def find(
    aws: Aws, properties: Any, policy_name: str, previous_role: str, current_role: str, provider_arn: str
) -> KeptPolicy:
    """The policy of this name on `previous_role`, else on the role of the old `properties`, else on `current_role`.

    `previous_role` is the role before the update if the update moved the policy, else empty; `current_role` is that of
    the physical ID that came, empty if the ID names none. The attributes follow from the document that stands and from
    what the old properties still lead to. `provider_arn` is the ARN of the provider function, in whose account the
    roles are. Raises nothing: an attribute that is not known is empty.
    """
    role, function_arn = _of_properties(aws, properties, arn.parse(provider_arn).account)
    for candidate in filter(None, (previous_role, role.name if role else "", current_role)):
        try:
            document = inline_policy.read(aws, candidate, policy_name)
        except _UNKNOWN:
            # CloudFormation knows where it stood, and nobody else would ever delete it there.
            document = None
            if candidate == previous_role:
                break
        if document:
            break
    else:
        candidate, document = current_role, None
    if role is None or role.name != candidate:
        role, function_arn = _described(aws, candidate, provider_arn), ""
    return KeptPolicy(candidate, attributes.known(policy_name, role, function_arn, document))


def unseen(policy_name: str, role_name: str, provider_arn: str) -> dict[str, str]:
    """The attributes of a policy that there was no time to look at."""
    return attributes.known(policy_name, _without_path(role_name, provider_arn), "", None)


def _of_properties(aws: Aws, properties: Any, account: str) -> tuple[Role | None, str]:
    """The role of the properties and the ARN of their function, as far as they can still be found."""
    with suppress(*_UNKNOWN):
        function = inspection.find_function(aws, declare(properties), account)
        return function.role, function.arn
    return None, ""


def _described(aws: Aws, role_name: str, provider_arn: str) -> Role:
    with suppress(*_UNKNOWN):
        return inspection.describe_role(aws, role_name)
    return _without_path(role_name, provider_arn)


def _without_path(role_name: str, provider_arn: str) -> Role:
    """A role that is known by its name alone. Its path, if it has one, is not known."""
    provider = arn.parse(provider_arn)
    return Role(role_name, f"arn:{provider.partition}:iam::{provider.account}:role/{role_name}")
