"""What `Fn::GetAtt` gives: the one table of attributes (README, "Return values")."""

from collections.abc import Callable
from dataclasses import dataclass

from rotation_role_policy.policy import Document, read_back
from rotation_role_policy.state import Role, Situation


@dataclass(frozen=True)
class Attribute:
    """One row of the table of attributes."""

    name: str
    meaning: str
    value: Callable[[str, Situation], str]
    """Of the policy's name and the situation."""


ATTRIBUTES = (
    Attribute("PolicyName", "the inline policy's name", lambda policy_name, _: policy_name),
    Attribute("RoleName", "the role that it stands on", lambda _, situation: situation.role.name),
    Attribute("RoleArn", "that role's ARN, with its path", lambda _, situation: situation.role.arn),
    Attribute(
        "FunctionArn",
        "the inspected function, unqualified; empty for a declared one",
        lambda _, situation: situation.function_arn,
    ),
    Attribute("InVpc", "`true` or `false`", lambda _, situation: "true" if situation.in_vpc else "false"),
    Attribute(
        "SecretArns",
        "full ARNs, comma separated, in the order given",
        lambda _, situation: ",".join(secret.arn for secret in situation.secrets),
    ),
    Attribute(
        "KmsKeyArns",
        "the customer managed keys, each once, comma separated; empty where there is none",
        lambda _, situation: ",".join(situation.key_arns),
    ),
)


def attributes(policy_name: str, situation: Situation) -> dict[str, str]:
    """The attributes of a resource whose policy has this name: always all of them, all strings."""
    return {attribute.name: attribute.value(policy_name, situation) for attribute in ATTRIBUTES}


def known(policy_name: str, role: Role, function_arn: str, document: Document | None) -> dict[str, str]:
    """The attributes of a resource whose policy stands on `role`, as far as its document tells them.

    Always all of them, all strings; what is not known is empty, and `InVpc` is ``false``.
    """
    granted = read_back(document)
    return {
        "PolicyName": policy_name,
        "RoleName": role.name,
        "RoleArn": role.arn if role.name else "",
        "FunctionArn": function_arn,
        "InVpc": "true" if granted.in_vpc else "false",
        "SecretArns": ",".join(granted.secret_arns),
        "KmsKeyArns": ",".join(granted.key_arns),
    }
