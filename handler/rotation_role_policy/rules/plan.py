"""What a Create or Update leads to: the document, whether the policy changes, and when it must not move.

The provider, the preview and the audit use the same plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from rotation_role_policy.errors import ErrorCode, RequestError, quoted
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.policy import Form, summarize
from rotation_role_policy.rules.properties import Properties
from rotation_role_policy.rules.state import State

INTERFACE_DELETION = timedelta(hours=1)
"""How long Lambda may still delete the network interfaces of a function that has left its VPC, with the role's
permissions. Lambda documents 20 minutes, and Terraform waits up to 45.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html"""


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


def make_plan(
    properties: Properties,
    old_properties: Any,
    state: State,
    existing_document: JsonDocument | None,
    at: datetime | None,
) -> Plan:
    """Return the plan for a resource.

    Args:
        properties: of the resource.
        old_properties: of the resource before an Update, as CloudFormation sends them; None if unknown.
        state: to which the properties lead.
        existing_document: the resource's own policy on the role of `state`; None if there is none.
        at: when the request was sent. The plan for each delivery of a request is the same. None if unknown.
    """
    document = document_at(properties.form, old_properties, state, existing_document, at)
    is_changed = document != existing_document
    return Plan(document, existing_document, is_changed, is_changed and properties.access_check == "Enforce")


def document_at(
    form: Form, old_properties: Any, state: State, existing_document: JsonDocument | None, at: datetime | None
) -> JsonDocument:
    """Return the document that the role is to have. Arguments as for `make_plan`; `form` is that of the properties."""
    if not state.in_vpc and summarize(existing_document).in_vpc and _may_have_interfaces(old_properties, state, at):
        # Lambda still deletes the network interfaces with the role. Without the permission, they would stay, and with
        # them subnets and security groups that cannot be deleted.
        state = replace(state, in_vpc=True)
    return policy.document(state, *form)


def _may_have_interfaces(old_properties: Any, state: State, at: datetime | None) -> bool:
    """Return whether a function that is not in a VPC may still have network interfaces."""
    if not state.function_arn:
        # If the old properties are unknown, or declare no function, the function may have been in a VPC.
        return not _declare_no_vpc(old_properties)
    if state.function_qualifier not in ("", "$LATEST"):
        # Another version may be in a VPC. Lambda keeps the interfaces until the last version with the VPC is gone.
        return True
    if at is None or state.function_modified is None:
        return True
    return at - state.function_modified < INTERFACE_DELETION


def _declare_no_vpc(properties: Any) -> bool:
    """Return whether properties that CloudFormation sent declare a function outside a VPC."""
    vpc_config = properties.get("VpcConfig") if isinstance(properties, Mapping) else None
    return isinstance(vpc_config, Mapping) and bool(vpc_config.get("SubnetIds", []) == [])


def redirected(
    secret_property: str, secret_name: str, function_arn: str, role_name: str, current_role: str
) -> RequestError:
    """Return the error for a policy that only the secrets' configuration would move from one role to another.

    Args:
        secret_property: the property that names the secrets.
        secret_name: of a secret that reports the function.
        function_arn: the rotation function that the secret reports.
        role_name: its role; empty if it could not be found out, because the function does not exist or is elsewhere.
        current_role: the role that has the policy.
    """
    role = f" with the role {quoted(role_name)}" if role_name else ", which was not found in this account and region"
    return RequestError(
        f"{secret_property} {quoted(secret_name)} reports the rotation function {quoted(function_arn)}"
        f"{role}, but the policy of this resource is on the role {quoted(current_role)}. The configuration of a"
        f" rotation does not move a policy. If this change is yours, give RotationLambdaARN. Otherwise correct the"
        f" secret's rotation.",
        ErrorCode.RESOURCE_CONFLICT,
    )
