"""What the report says to do, beside what `test_advice` follows."""

import re
from dataclasses import replace
from typing import Any

import pytest

from rotation_role_policy.audit.facts import Known, RoleFacts, Unknown, UnusableKey
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.role import audit_role
from rotation_role_policy.rules.state import KeyProblem
from tests.support import audit_facts
from tests.support.audit_facts import (
    ACCOUNT,
    FUNCTION,
    GUIDE,
    KEY,
    NOW,
    REGION,
    ROTATE,
    allow,
    function,
    policies,
    secret,
)

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


def test_a_rotation_shows_whether_a_function_reads_what_it_can_be_for() -> None:
    """No call that is known needs the grant, but a superuser secret can be among these secrets."""
    for resource in (EVERY_SECRET[:-1] + "prod/*", EVERY_SECRET[:-1] + "other-AbCdEf"):
        assert "Rotate at once while somebody watches" in excess(with_grant(allow(ROTATE, resource)))[0].remediation


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


# --- secrets ---


def result(facts: RoleFacts, code: str) -> list[Finding]:
    return [each for each in audit_role(facts, NOW).findings if each.type.code == code]


def test_each_secret_of_a_function_gets_a_permission_with_an_id_of_its_own() -> None:
    """Lambda refuses a second statement with the same ID, also if the first is for a secret that is gone."""
    names = ("prod/db", "prod/db2", "a" * 300)
    secrets = [secret(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf") for name in names]
    taken = "SecretsManager-prod-db-AbCdEf"
    permission = allow(
        "lambda:InvokeFunction", FUNCTION, Sid=taken, Principal={"Service": "secretsmanager.amazonaws.com"}
    ) | {
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf"}}
    }
    facts = audit_facts.role(function(*secrets, invoke_policy=Known(audit_facts.document(permission))))
    found = [re.search(r"--statement-id (\S+)", each.remediation) for each in result(facts, "InvokeNotAllowed")]
    sids = [each[1] for each in found if each]
    assert len({*sids, taken}) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,100}", sid) for sid in sids)


@pytest.mark.parametrize(
    ("labels", "said", "not_said"),
    [
        ((), "UpdateSecret with KmsKeyId and SecretString", "AWSPENDING"),
        (("AWSCURRENT",), "PutSecretValue with VersionStages AWSCURRENT", "remove the label"),
        # A value that is stored without the rotation moves the label, and the rotation cannot go on.
        (("AWSPENDING",), "Then remove the label", "PutSecretValue"),
        (("AWSPENDING",), "The rotation that has begun cannot end", "applications fail too"),
    ],
)
def test_what_to_do_about_a_key_depends_on_what_it_encrypts(labels: tuple[str, ...], said: str, not_said: str) -> None:
    unusable = Unknown(UnusableKey("db", KeyProblem(KEY, "Disabled"), labels))
    [found] = result(audit_facts.role(function(replace(secret(), state=unusable))), "KeyUnusable")
    words = f"{found.message} {found.remediation}"
    assert said in words
    assert not_said not in words
