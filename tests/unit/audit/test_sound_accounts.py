"""What the audit finds in sound accounts: made as the guide, AWS's applications, the CDK and modules make them.

No error, and no warning that nobody would act on. What remains is listed here, by the way in which the role was made.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.account import ACCOUNT, REGION
from tests.support.audit_account import AuditAccount, Statement, allow, codes

ROTATE = [
    f"secretsmanager:{action}"
    for action in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
]
GET, RANDOM = "secretsmanager:GetSecretValue", allow("secretsmanager:GetRandomPassword", "*")
EVERY_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*"
OWN_FUNCTION = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": "FUNCTION"}}
VIA_SECRETS_MANAGER = {"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}}
LOG = allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "*")
INTERFACES = ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"]
ROTATION_POLICY = [allow(ROTATE, EVERY_SECRET, Condition=OWN_FUNCTION), RANDOM]
"""SAM's policy template AWSSecretsManagerRotationPolicy, which AWS's applications and hosted rotations have."""

SOUND: dict[str, tuple[dict[str, Any], list[Statement], list[str]]] = {
    "the guide": ({}, [allow(ROTATE, "SECRET"), RANDOM], []),
    "the guide, with a superuser secret": ({}, [allow(ROTATE, "SECRET"), RANDOM, allow(GET, "SUPERUSER")], []),
    "the guide of today, with a key": (
        {"key": True},
        [
            allow(ROTATE, "SECRET"),
            RANDOM,
            allow(
                ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"],
                "KEY",
                Condition={"StringEquals": {"kms:EncryptionContext:SecretARN": "SECRET"}},
            ),
        ],
        [],
    ),
    "the former guide, with a key": (
        {"key": True},
        [allow(ROTATE, "SECRET"), RANDOM, allow(["kms:Decrypt", "kms:GenerateDataKey"], "KEY")],
        # Everything under the key can be decrypted.
        ["KmsWithoutEncryptionContext"],
    ),
    "AWS's application": ({}, [*ROTATION_POLICY, LOG], []),
    "AWS's application for alternating users": ({}, [*ROTATION_POLICY, allow(GET, "SUPERUSER"), LOG], []),
    "AWS's application in a VPC": (
        {"vpc": True},
        [*ROTATION_POLICY, allow([*INTERFACES, "ec2:DetachNetworkInterface"], "*"), LOG],
        # The code of the function can create and delete network interfaces.
        ["NetworkInterfacesOpenToCode"],
    ),
    "AWSLambdaVPCAccessExecutionRole": (
        {"vpc": True},
        [
            allow(ROTATE, "SECRET"),
            RANDOM,
            allow(
                [*LOG["Action"], *INTERFACES, "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"],
                "*",
            ),
        ],
        ["NetworkInterfacesOpenToCode"],
    ),
    "the CDK": (
        {"key": True},
        [
            allow(ROTATE, "PATTERN"),
            RANDOM,
            allow(
                ["kms:Decrypt", "kms:Encrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"],
                "KEY",
                Condition=VIA_SECRETS_MANAGER,
            ),
            LOG,
        ],
        # Every secret under the key can be decrypted.
        ["KmsWithoutEncryptionContext"],
    ),
    "the CDK, with a master secret": (
        {},
        [allow(ROTATE, "PATTERN"), RANDOM, allow([GET, "secretsmanager:DescribeSecret"], "SUPERUSERPATTERN"), LOG],
        [],
    ),
    "a Terraform module": ({}, [allow(ROTATE, "*", Condition=OWN_FUNCTION), RANDOM, LOG], []),
    "a Terraform module that names the secret": ({}, [allow(ROTATE, ["SECRET"]), RANDOM, RANDOM, LOG], []),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_account_has_no_error_and_no_warning_that_nobody_would_act_on(audited: AuditAccount, name: str) -> None:
    members, statements, expected = SOUND[name]
    key = audited.account.key() if members.get("key") else ""
    rotation = audited.rotation(key=key, vpc=bool(members.get("vpc")))
    superuser = audited.account.secret("prod/mysql-master")
    text = json.dumps(statements).replace("SUPERUSERPATTERN", f"{superuser[:-6]}??????").replace("SUPERUSER", superuser)
    text = text.replace("PATTERN", f"{rotation.secret[:-6]}??????").replace("SECRET", rotation.secret)
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    audited.put_policy(rotation.role, *json.loads(text.replace("FUNCTION", rotation.function).replace("KEY", key)))
    report = audited.audit()
    assert codes(report) == expected
    assert report.is_complete
    assert audited.calls()["iam:SimulatePrincipalPolicy"] == 0
