"""What a Create or Update leads to: the policy document, its role, and the response."""

from dataclasses import dataclass

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.lookup import inspection
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.response import check_response_size
from rotation_role_policy.rules import identity, policy
from rotation_role_policy.rules.attributes import attributes
from rotation_role_policy.rules.policy import Document
from rotation_role_policy.rules.properties import Properties, parse_properties
from rotation_role_policy.rules.state import State


@dataclass(frozen=True)
class Plan:
    """What a request leads to, before anything is written."""

    properties: Properties
    state: State
    document: Document
    physical_id: str
    attributes: dict[str, str]

    @property
    def role_name(self) -> str:
        """The role that gets the policy."""
        return self.state.role.name


def make_plan(aws: Aws, request: Request, account: str) -> Plan:
    """Return the plan of a Create or Update. Nothing is written.

    Args:
        aws: makes the calls.
        request: the request.
        account: the provider's own account (12 digits).

    Raises:
        RequestError: as `parse_properties` and `inspection.inspect`, or the response would be too long.
    """
    properties = parse_properties(request.properties)
    state = inspection.inspect(aws, properties, account)
    document = policy.document(state, properties.policy_profile)
    physical_id = identity.physical_id(state.role.name, request.policy_name)
    data = attributes(request.policy_name, state)
    check_response_size(request.ids, properties.secret_property, len(state.secrets), physical_id, data)
    return Plan(properties, state, document, physical_id, data)
