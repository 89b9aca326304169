"""The provider's words for errors of calls."""

import re
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from rotation_role_policy.errors import AccessDeniedError
from rotation_role_policy.provider import messages
from tests import ROOT

TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())


@pytest.mark.parametrize(
    ("operation", "limits_named"),
    [
        ("secretsmanager:DescribeSecret", ["the secret's resource policy", "SecretNamePattern", "RequiredSecretTag"]),
        (
            "secretsmanager:ListSecretVersionIds",
            ["the secret's resource policy", "SecretNamePattern", "RequiredSecretTag"],
        ),
        (
            "iam:PutRolePolicy",
            ["RoleNamePattern", "RequiredRoleTag", "RequiredRoleBoundaryArn", "rotation-role-policy:provider"],
        ),
        ("iam:GetRolePolicy", ["RoleNamePattern"]),
        ("iam:DeleteRolePolicy", ["RoleNamePattern"]),
        ("iam:SimulatePrincipalPolicy", ["RoleNamePattern"]),
        ("kms:DescribeKey", ["the key's policy"]),
        ("lambda:GetFunctionConfiguration", []),
        ("cloudformation:DescribeStacks", []),
    ],
)
def test_the_reason_of_a_denied_call_names_the_limits_that_apply_to_the_action(
    operation: str, limits_named: list[str]
) -> None:
    name_of_64 = "n" * 64
    reason = messages.reason(AccessDeniedError(operation, "AccessDenied", "no", resource=name_of_64))
    assert reason.startswith(f'AWS denies the provider {operation} on "{name_of_64}". Check SCPs')
    assert "the provider's permissions boundary" in reason
    limits = re.findall(
        r"\b(?:Role|Secret|Required)[A-Z]\w+|the key's policy|the secret's resource policy|rotation-role-policy:\w+",
        reason.split("Check", 1)[1],
    )
    assert limits == limits_named
    # A reason that is too long is cut from the start.
    assert all(limit in reason[-240:] for limit in limits_named)


def test_each_parameter_and_tag_that_a_reason_names_exists_in_the_template() -> None:
    texts = [limit for limits in messages._LIMITED_BY.values() for limit in limits]
    limits_named = set(re.findall(r"\b(?:Role|Secret|Required)[A-Z]\w+", " ".join(texts)))
    [tag] = TEMPLATE["Resources"]["ProviderRole"]["Properties"]["Tags"]
    assert f"tag {tag['Key']} " in " ".join(messages._LIMITED_BY["iam:PutRolePolicy"])
    assert limits_named == {
        name for name in TEMPLATE["Parameters"] if name.startswith(("RoleName", "SecretName", "Required"))
    }
