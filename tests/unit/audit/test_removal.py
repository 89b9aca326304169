"""What the report says before a grant is removed, beside what `test_advice` follows."""

from dataclasses import replace
from typing import Any

import pytest

from rotation_role_policy.audit.facts import RoleFacts
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.role import audit_role
from tests.support import audit_facts
from tests.support.audit_facts import ACCOUNT, FUNCTION, GUIDE, NOW, REGION, ROTATE, allow, function, policies, secret

GET = "secretsmanager:GetSecretValue"
EVERY_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*"
APP = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:app"
INTERFACES = ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"]


def excess(facts: RoleFacts) -> list[Finding]:
    return list(audit_role(facts, NOW).excess)


def with_grant(*statements: Any, **members: Any) -> RoleFacts:
    return audit_facts.role(role=policies(*GUIDE, *statements), **members)


def the(facts: RoleFacts) -> Finding:
    [found] = excess(facts)
    return found


def test_no_rotation_is_turned_on_to_try_a_removal() -> None:
    """RotateSecret turns a rotation on that somebody has turned off."""
    off = secret(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:a/off-AbCdEf", is_enabled=False)
    on = secret(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:b/on-AbCdEf")
    for secrets, expected in (((off, on), on.arn), ((off,), "")):
        facts = audit_facts.role(
            function(*secrets),
            role=policies(allow(ROTATE, EVERY_SECRET), allow("secretsmanager:GetRandomPassword", "*")),
        )
        advice = the(facts).remediation
        assert (f"--secret-id {expected})." in advice) is bool(expected)
        assert off.arn not in advice
        assert "put the copy back" in advice


@pytest.mark.parametrize(
    "statement", [allow(GET, EVERY_SECRET), allow(["kms:Decrypt"], f"arn:aws:kms:{REGION}:{ACCOUNT}:key/other")]
)
def test_another_function_with_the_role_can_use_a_grant(statement: Any) -> None:
    facts = with_grant(statement, sharing=frozenset({FUNCTION, APP}))
    assert f"Check that the other functions with the role do not use the grant: {APP}." in the(facts).remediation
    assert the(facts).grants[0].replacement is None
    alone = with_grant(statement, sharing=frozenset({FUNCTION}))
    assert "other functions" not in the(alone).remediation


def test_a_key_of_another_account_can_be_that_of_a_replica() -> None:
    """Without a replication role, Secrets Manager encrypts the replica with the function's credentials."""
    for account, is_asked in (("999999999999", True), (ACCOUNT, False)):
        facts = with_grant(allow(["kms:Encrypt", "kms:GenerateDataKey"], f"arn:aws:kms:{REGION}:{account}:key/replica"))
        assert ("keep the grant" in the(facts).remediation) is is_asked


def test_a_grant_for_every_secret_and_key_asks_for_no_secret_of_the_name_star() -> None:
    facts = with_grant(allow([GET, "kms:Decrypt"], "*"))
    for found in excess(facts):
        assert "whether the function reads a superuser secret by this grant" in found.remediation
        assert "whether * is" not in found.remediation


def test_interfaces_stay_until_the_last_version_in_the_vpc_is_deleted() -> None:
    advice = the(with_grant(allow(INTERFACES, "*"))).remediation
    assert "not before its last published version in the VPC is deleted" in advice


def test_the_interfaces_of_another_function_with_the_role_are_not_reported() -> None:
    """No resource denies them to the code of a function outside a VPC. `SharedRole` says what to do."""
    facts = with_grant(allow(INTERFACES, "*"), sharing=frozenset({FUNCTION, APP}))
    assert excess(facts) == []
    in_vpc = replace(facts, functions=(function(in_vpc=True),))
    assert the(in_vpc).type.code == "NetworkInterfacesOpenToCode"
