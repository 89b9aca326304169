"""What a Create or Update leads to: the policy document, its role, and the response."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.lookup import resource
from rotation_role_policy.provider.messages import key_warning
from rotation_role_policy.provider.response import check_response_size
from rotation_role_policy.rules import identity, policy
from rotation_role_policy.rules.attributes import attributes
from rotation_role_policy.rules.policy import Document
from rotation_role_policy.rules.properties import Properties, parse_properties
from rotation_role_policy.rules.state import State, key_warnings

logger = logging.getLogger(__name__)


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


def make_plan(aws: Aws, event: Mapping[str, Any], account: str) -> Plan:
    """Return the plan of a Create or Update. Nothing is written.

    Args:
        aws: makes the calls.
        event: the request.
        account: the provider's own account (12 digits).

    Raises:
        RequestError: as `parse_properties` and `resource.inspect`, or the response would be too long.
    """
    properties = parse_properties(event.get("ResourceProperties", {}))
    state = resource.inspect(aws, properties, account)
    _log(state)
    document = policy.document(state, properties.policy_profile)
    policy_name = identity.policy_name(event["StackId"], event["LogicalResourceId"])
    physical_id = identity.physical_id(state.role.name, policy_name)
    data = attributes(policy_name, state)
    check_response_size(event, properties.secret_property, len(state.secrets), physical_id, data)
    return Plan(properties, state, document, physical_id, data)


def _log(state: State) -> None:
    superuser = state.superuser_secret
    for warning in key_warnings(state):
        key = warning.key
        logger.warning(key_warning(warning), extra={"key": key.key_id, "key_state": key.key_state, "aws": key.denied})
    logger.info(
        "inspected",
        extra={
            "customer_managed_keys": {secret.arn: secret.key_arn for secret in state.secrets},
            "earlier_keys": {secret.arn: secret.earlier_key_arns for secret in state.all_secrets},
            "superuser_secret": {superuser.arn: superuser.key_arn} if superuser else None,
            "role": state.role.arn,
            "function": state.function_arn or "declared",
            "in_vpc": state.in_vpc,
        },
    )
