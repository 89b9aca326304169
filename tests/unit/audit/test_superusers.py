"""What follows from a superuser secret that a resource names, and from one that the audit only assumes."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rotation_role_policy_cli.template.file import load
from tests.support.account import ACCOUNT, REGION
from tests.support.audit_account import AuditAccount, Statement, allow, codes, the, write_templates
from tests.unit.rules.test_policy import INSTANCE

EVERY_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
ROTATE = [
    f"secretsmanager:{action}"
    for action in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
]
GET = "secretsmanager:GetSecretValue"
Unsound = Callable[[AuditAccount, str, str], None]


def disable(audited: AuditAccount, superuser: str, key: str) -> None:
    audited.account.client("secretsmanager").update_secret(SecretId=superuser, KmsKeyId=key)
    audited.account.client("kms").disable_key(KeyId=key.rpartition("/")[2])


def encrypt(audited: AuditAccount, superuser: str, key: str) -> None:
    audited.account.client("secretsmanager").update_secret(SecretId=superuser, KmsKeyId=key)


def guard(audited: AuditAccount, superuser: str, key: str) -> None:
    deny = allow("secretsmanager:*", "*", Principal="*") | {"Effect": "Deny"}
    only = {"Condition": {"StringNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/app"}}}
    policies = {superuser: {"ResourcePolicy": json.dumps({"Statement": [deny | only]})}}
    audited.account.api_responses["secretsmanager:GetResourcePolicy"] = lambda parameters: policies.get(
        parameters["SecretId"], {}
    )


def let_rds_manage(audited: AuditAccount, superuser: str, key: str) -> None:
    members = {"OwningService": "rds", "Tags": [{"Key": "aws:rds:primaryDBInstanceArn", "Value": INSTANCE}]}
    audited.alter["secretsmanager:DescribeSecret"] = lambda response: (
        response | (members if response["ARN"] == superuser else {})
    )


def deny_description(audited: AuditAccount, superuser: str, key: str) -> None:
    audited.let_fail("secretsmanager:DescribeSecret", "su")


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (disable, "is Disabled, not Enabled"),
        (encrypt, "kms:Decrypt on arn:aws:kms:"),
        (guard, f"under a condition: {GET} on arn:aws:secretsmanager:"),
        (let_rds_manage, f"rds:DescribeDBInstances on {INSTANCE}"),
        (deny_description, "It was not inspected. AWS denies secretsmanager:DescribeSecret"),
    ],
)
def test_no_error_follows_from_a_secret_that_is_only_assumed_to_be_the_superuser_secret(
    audited: AuditAccount, tmp_path: Path, make: Unsound, missing: str
) -> None:
    """It can be a configuration that is left over. The rotation is adopted without it, and the template asks."""
    superuser = audited.account.secret("su")
    rotation = audited.rotation("db", allow(GET, superuser))
    make(audited, superuser, audited.account.key())
    report = audited.audit()
    assert codes(report, notes=True) == ["NoPolicy"]
    assert report.is_complete
    assert missing in the(report, "NoPolicy").message
    [file] = write_templates(report, tmp_path / "adopt")
    [resource] = load(file)["Resources"].values()
    assert resource["Properties"]["SecretId"] == rotation.secret
    assert "SuperuserSecretId" not in resource["Properties"]
    assert superuser in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (disable, ["KeyUnusable"]),
        (encrypt, ["ActionNotGranted"]),
        (guard, ["ActionBlocked"]),
        (let_rds_manage, ["ActionNotGranted"] * 2),
        (deny_description, ["NotInspected"]),
    ],
)
def test_what_is_wrong_with_a_superuser_secret_that_a_resource_names_is_found(
    audited: AuditAccount, make: Unsound, expected: list[str]
) -> None:
    superuser = audited.account.secret("su")
    rotation = audited.rotation()
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    audited.account.deploy(SecretId="db", RotationLambdaARN=rotation.function, SuperuserSecretId=superuser)
    assert codes(audited.audit(), notes=True) == []
    make(audited, superuser, audited.account.key())
    assert [code for code in codes(audited.audit()) if code != "PolicyDrift"] == expected


@pytest.mark.parametrize(
    ("statements", "sentence"),
    [
        ([], "The role may read no other secret"),
        ([allow(GET, "SU")], "SU, which is taken for the superuser secret"),
        # Whether the function reads this secret or one that the pattern matches is not known.
        ([allow(GET, "SU"), allow(GET, EVERY_SECRET + "prod/*")], f"one of them can be .*: SU, {EVERY_SECRET}prod/"),
        ([allow(GET, EVERY_SECRET + "prod/*")], "so its policies do not show whether"),
        # AWS's function for the keytabs of a directory rotates them with the secret of their user.
        ([allow(ROTATE, "SU")], "If the function rotates this too, .* belongs to SecretIds"),
        ([allow(GET, "SU"), allow("secretsmanager:Put*", EVERY_SECRET + "s*")], "It may also write SU"),
        ([allow(ROTATE, ["SU", "KEYTAB"])], "It may also write SU and KEYTAB"),
    ],
)
def test_a_secret_is_assumed_to_be_the_superuser_secret_only_if_the_function_can_use_no_other_one(
    audited: AuditAccount, tmp_path: Path, statements: list[Statement], sentence: str
) -> None:
    superuser, keytab = audited.account.secret("su"), audited.account.secret("ad/keytab")
    named = json.loads(json.dumps(statements).replace("SU", superuser).replace("KEYTAB", keytab))
    audited.rotation("db", *named)
    report = audited.audit()
    assert re.search(sentence.replace("SU", superuser).replace("KEYTAB", keytab), the(report, "NoPolicy").message)
    [file] = write_templates(report, tmp_path / "adopt")
    [resource] = load(file)["Resources"].values()
    assert ("SuperuserSecretId" in resource["Properties"]) is ("taken for" in sentence)


def test_a_secret_that_another_function_of_the_role_rotates_can_be_the_superuser_secret(audited: AuditAccount) -> None:
    """AWS's guide for alternating users lets a function rotate the superuser secret too."""
    master = audited.rotation("master")
    app = audited.rotation("app", role=master.role)
    notes = {each.subject.secret_arn: each.message for each in audited.audit().findings if each.type.code == "NoPolicy"}
    assert f"Other functions with the role rotate {master.secret}, and one of these can be" in notes[app.secret]
    assert f"Other functions with the role rotate {app.secret}, and one of these can be" in notes[master.secret]
    assert "The role may read no other secret" not in str(notes)


def test_a_secret_that_the_same_function_rotates_can_be_the_superuser_secret(audited: AuditAccount) -> None:
    rotation = audited.rotation("app")
    master = audited.rotate("master", rotation.function)
    audited.put_policy(rotation.role, allow(ROTATE, master), name="master")
    notes = [each.message for each in audited.audit().findings if each.type.code == "NoPolicy"]
    assert ["one of them can be the superuser secret for the others" in note for note in notes] == [True, True]


def test_a_deny_that_does_not_apply_any_more_does_not_hide_the_superuser_secret(
    audited: AuditAccount, tmp_path: Path
) -> None:
    """As IAM's console writes it to revoke older sessions: the simulator decides."""
    superuser = audited.account.secret("su")
    revoke = {"Effect": "Deny", "Action": "*", "Resource": "*"} | {
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": "2025-01-01T00:00:00Z"}}
    }
    audited.rotation("db", allow(GET, superuser), revoke)
    [file] = write_templates(audited.audit(), tmp_path / "adopt")
    [resource] = load(file)["Resources"].values()
    assert resource["Properties"]["SuperuserSecretId"] == superuser


def test_an_account_that_another_one_shares_a_secret_with_is_audited_as_a_whole(audited: AuditAccount) -> None:
    """Nobody here may describe the secret without its own policy, and the provider refuses it as a superuser secret."""
    foreign = f"arn:aws:secretsmanager:{REGION}:999999999999:secret:su-AbCdEf"
    audited.rotation("db", allow(GET, foreign))
    audited.let_fail("secretsmanager:DescribeSecret", "999999999999")
    report = audited.audit()
    assert codes(report) == []
    assert report.is_complete
