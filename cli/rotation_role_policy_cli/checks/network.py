"""Whether a function is in a VPC, and whether its role may have the network interfaces for that by other means.

What a template does not say for certain counts as a role that may: nobody is warned of what is right.
"""

import re
from collections.abc import Mapping
from typing import Any

from rotation_role_policy.policy_grammar import as_list, matches
from rotation_role_policy_cli.checks.functions import has_macro, is_open, leaves
from rotation_role_policy_cli.checks.wiring import Wiring

_ACTION = "ec2:CreateNetworkInterface"

_WITHOUT_INTERFACES = re.compile(
    r"(.*:)?aws:policy/(service-role/)?"
    r"(AWSLambdaBasic(Durable)?ExecutionRole(Policy)?|AWSXRayDaemonWriteAccess|AWSXrayWriteOnlyAccess"
    r"|CloudWatchLambda(ApplicationSignals|Insights)ExecutionRolePolicy)"
)
"""The end of the ARNs of AWS managed policies that functions have, and that allow no network interfaces."""


def has_subnets(wiring: Wiring, vpc_config: Any) -> bool:
    """Whether a VpcConfig is known to put a function into a VPC: its SubnetIds are certainly not empty."""
    if not isinstance(vpc_config, Mapping) or is_open(vpc_config):
        return False
    subnets = vpc_config.get("SubnetIds")
    if isinstance(subnets, list):
        return any(_is_an_item(wiring, one) for one in subnets)
    return wiring.is_filled_list(subnets)


def may_have_subnets(vpc_config: Any) -> bool:
    """Whether a VpcConfig may put a function into a VPC."""
    if not isinstance(vpc_config, Mapping) or is_open(vpc_config):
        return bool(vpc_config)
    return bool(vpc_config.get("SubnetIds"))


def _is_an_item(wiring: Wiring, value: Any) -> bool:
    """Whether a value in a list is an item of it: not what a condition or a macro may take away."""
    if isinstance(value, Mapping) and any(name in value for name in ("Fn::If", "Fn::Transform")):
        return False
    return bool(value) and not wiring.may_be_empty(value)


def may_manage_interfaces(wiring: Wiring, role: str) -> bool:
    """Whether a role of the template may have the permission from elsewhere than a `Custom::RotationRolePolicy`."""
    properties = wiring.resources[role].get("Properties")
    if not isinstance(properties, Mapping) or is_open(properties) or has_macro(wiring.resources[role]):
        return True
    if any(map(_managed_policy_may, leaves(properties.get("ManagedPolicyArns")))):
        return True
    if any(map(_policy_may, leaves(properties.get("Policies")))):
        return True
    attached = wiring.of_type("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy")
    return any(
        has_macro(wiring.resources[name]) or (wiring.may_be_attached(policy, role) and _policy_may(policy))
        for name, policy in attached
    )


def _managed_policy_may(policy: Any) -> bool:
    """Whether the managed policy of this ARN may allow it: of what is not AWS's own, the content is not known."""
    text = policy
    if isinstance(policy, Mapping) and list(policy) == ["Fn::Sub"]:
        text = policy["Fn::Sub"]
    if isinstance(policy, Mapping) and list(policy) == ["Fn::Join"]:
        match policy["Fn::Join"]:
            case [_, [*_, str(last)]]:
                text = last
    return not (isinstance(text, str) and _WITHOUT_INTERFACES.fullmatch(text))


def _policy_may(policy: Any) -> bool:
    document = policy.get("PolicyDocument") if isinstance(policy, Mapping) else None
    if not isinstance(document, Mapping) or is_open(document):
        return True
    return any(map(_statement_may, as_list(document.get("Statement", []))))


def _statement_may(statement: Any) -> bool:
    if not isinstance(statement, Mapping) or is_open(statement):
        return True
    if statement.get("Effect") == "Deny":
        return False
    # What NotAction leaves is not looked at.
    actions = as_list(statement.get("Action", "*"))
    return any(not isinstance(action, str) or matches(action, _ACTION, ignore_case=True) for action in actions)
