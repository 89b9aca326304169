"""What a Create or Update leads to: the policy, where it goes, and what CloudFormation is told of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rotation_role_policy import attributes, identity, inspection, policy
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.cloudformation import response
from rotation_role_policy.policy import Document
from rotation_role_policy.properties import Declaration, declare
from rotation_role_policy.state import Situation


@dataclass(frozen=True)
class Plan:
    """What a request leads to."""

    declaration: Declaration
    situation: Situation
    document: Document
    physical_id: str
    attributes: dict[str, str]

    @property
    def role_name(self) -> str:
        """The role that gets the policy."""
        return self.situation.role.name


def make_plan(aws: Aws, event: Mapping[str, Any], account: str) -> Plan:
    """The plan of a request. `account` is the provider's own (12 digits). Nothing is written.

    Raises as `declare` and `inspection.inspect` do, and `Refused` if the answer would be too long.
    """
    declaration = declare(event.get("ResourceProperties", {}))
    situation = inspection.inspect(aws, declaration, account)
    document = policy.document(situation, declaration.policy_profile)
    name = identity.policy_name(event["StackId"], event["LogicalResourceId"])
    physical_id = identity.physical_id(situation.role.name, name)
    data = attributes.attributes(name, situation)
    response.refuse_too_many(event, declaration.secret_property, len(situation.secrets), physical_id, data)
    return Plan(declaration, situation, document, physical_id, data)
