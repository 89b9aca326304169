"""The existing policy, for an Update of a rollback whose old properties no longer lead to a policy.

The secret was deleted, or its key was disabled, so the document for the old properties cannot be built. The existing
policy stays, and the attributes are derived from what is known. Source: docs/guarantees.md, "Rollbacks".
"""

from contextlib import suppress
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import RequestError
from rotation_role_policy.lookup import resource
from rotation_role_policy.lookup.roles import describe_role
from rotation_role_policy.rules import attributes
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import Role
from rotation_role_policy.write import inline_policy


class ExistingPolicy(NamedTuple):
    """The role that has the policy, and the attributes of the resource."""

    role_name: str
    attributes: dict[str, str]


def find(
    aws: Aws, properties: Any, policy_name: str, previous_role: str, current_role: str, provider_arn: str
) -> ExistingPolicy:
    """Return the existing policy of a resource. Raises nothing: an unknown attribute is empty.

    The policy is looked up on `previous_role`, then on the role that the old properties lead to, then on
    `current_role`.

    Args:
        aws: makes the calls.
        properties: the old properties, as CloudFormation sent them.
        policy_name: of the resource's own policy.
        previous_role: the role before the update, if the update moved the policy; else empty.
        current_role: the role that the physical ID of the request names; empty if it names none.
        provider_arn: ARN of the provider function. The roles are in its account.
    """
    role, function_arn = _role_of_properties(aws, properties, arn.parse(provider_arn).account)
    for candidate in filter(None, (previous_role, role.name if role else "", current_role)):
        try:
            document = inline_policy.read(aws, candidate, policy_name)
        except RequestError:
            document = None
            # According to CloudFormation the policy is on the previous role. If the response named another role,
            # nothing would ever delete this policy.
            if candidate == previous_role:
                break
        if document:
            break
    else:
        candidate, document = current_role, None
    if role is None or role.name != candidate:
        role, function_arn = _describe_role(aws, candidate, provider_arn), ""
    return ExistingPolicy(candidate, attributes.from_document(policy_name, role, function_arn, document))


def attributes_without_lookup(policy_name: str, role_name: str, provider_arn: str) -> dict[str, str]:
    """Return the attributes of a resource if there is no time for any look-up."""
    return attributes.from_document(policy_name, _role_without_path(role_name, provider_arn), "", None)


def _role_of_properties(aws: Aws, properties: Any, account: str) -> tuple[Role | None, str]:
    """Return the role that the properties lead to, and the ARN of the function, as far as they can be found."""
    with suppress(RequestError):
        function = resource.find_function(aws, parse_properties(properties), account)
        return function.role, function.arn
    return None, ""


def _describe_role(aws: Aws, role_name: str, provider_arn: str) -> Role:
    with suppress(RequestError):
        return describe_role(aws, role_name)
    return _role_without_path(role_name, provider_arn)


def _role_without_path(role_name: str, provider_arn: str) -> Role:
    """Return a role of which only the name is known. If it has a path, the ARN is wrong."""
    provider = arn.parse(provider_arn)
    return Role(role_name, f"arn:{provider.partition}:iam::{provider.account}:role/{role_name}")
