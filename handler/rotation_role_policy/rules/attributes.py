"""The attributes that `Fn::GetAtt` returns, as one table.

The documentation (docs/properties.md) and the lint rules are derived from `ATTRIBUTES`. Source: docs/properties.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.rules.policy import summarize
from rotation_role_policy.rules.state import Function, Role, State


@dataclass(frozen=True)
class Attribute:
    """One row of the table of attributes."""

    name: str
    description: str
    value: Callable[[str, State], str]
    """Function of the policy's name and the state."""


ATTRIBUTES = (
    Attribute("PolicyName", "name of the inline policy", lambda policy_name, _: policy_name),
    Attribute("RoleName", "name of the role that has the policy", lambda _, state: state.role.name),
    Attribute("RoleArn", "ARN of this role, with its path", lambda _, state: state.role.arn),
    Attribute(
        "FunctionArn",
        "unqualified ARN of the rotation function; empty in declared mode",
        lambda _, state: state.function_arn,
    ),
    Attribute(
        "InVpc",
        "`true` or `false`: whether the function is configured, or declared, to be in a VPC",
        lambda _, state: "true" if state.in_vpc else "false",
    ),
    Attribute(
        "SecretArns",
        "full ARNs of the secrets, comma separated, in the order of the template",
        lambda _, state: ",".join(secret.arn for secret in state.secrets),
    ),
    Attribute(
        "KmsKeyArns",
        "ARNs of the customer managed keys of the secrets, of the superuser secret, of earlier versions and of the"
        " function's environment variables, comma separated, without duplicates, also if `KmsScope` is `Secret`; empty"
        " if there are none",
        lambda _, state: ",".join(state.key_arns),
    ),
)


def attributes(policy_name: str, state: State) -> dict[str, str]:
    """Return the attributes of a resource: always all of them, all strings."""
    return {attribute.name: attribute.value(policy_name, state) for attribute in ATTRIBUTES}


def from_document(
    policy_name: str, role: Role, function: Function | None, document: JsonDocument | None
) -> dict[str, str]:
    """Return the attributes of a resource whose state cannot be inspected, as far as the policy on `role` shows them.

    Always all of them, all strings. An unknown attribute is empty, and an unknown `InVpc` is ``false``. If the function
    is not known, a policy that allows network interfaces shows that the function is in a VPC.
    """
    summary = summarize(document)
    in_vpc = function.in_vpc if function else summary.in_vpc
    return {
        "PolicyName": policy_name,
        "RoleName": role.name,
        "RoleArn": role.arn if role.name else "",
        "FunctionArn": function.arn if function else "",
        "InVpc": "true" if in_vpc else "false",
        "SecretArns": ",".join(summary.secret_arns),
        "KmsKeyArns": ",".join(summary.key_arns),
    }
