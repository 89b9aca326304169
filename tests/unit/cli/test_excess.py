"""The preview and the audit call the same grants too much."""

import json
from typing import Any

import pytest

from rotation_role_policy.audit.checks.excess import FINDING_TYPES
from rotation_role_policy.iam.document import Element, PolicyKind, PolicyName
from rotation_role_policy.rules.excess import Excess, ExcessKind
from rotation_role_policy_cli import messages
from rotation_role_policy_cli.preview.preview import PlannedDocuments, preview
from rotation_role_policy_cli.resource import Resource
from tests.support.account import ACCOUNT, OWN_POLICY, REGION, Account, watched_caller_aws
from tests.support.audit_account import AuditAccount, allow, codes

ROTATE = [
    f"secretsmanager:{action}"
    for action in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
]
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db"
FOR_FUNCTION = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": FUNCTION}}
EXCESS = {finding_type.code for finding_type in FINDING_TYPES.values()}


def verdicts(account: Account, other: list[dict[str, Any]], *, vpc: bool = False) -> tuple[set[str], set[str]]:
    """Return what the preview and the audit call too much if the provider's policy and another one are on a role.

    In the statements, ``SECRET``, ``OTHER`` and ``KEY`` stand for the rotated secret, for another one and for the key,
    ``PART_OF_SECRET`` for the last part of the secret's ARN.
    """
    audited = AuditAccount(account)
    key = account.key()
    rotation = audited.rotation("db", key=key, vpc=vpc)
    account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    properties = {"SecretId": "db", "RotationLambdaARN": rotation.function}
    assert account.deploy(**properties)["Status"] == "SUCCESS"
    text = json.dumps(other).replace("OTHER", account.secret("other"))
    text = text.replace("PART_OF_SECRET", rotation.secret.rpartition(":")[2]).replace("SECRET", rotation.secret)
    audited.put_policy(rotation.role, *json.loads(text.replace("KEY", key)), name="other")
    aws = watched_caller_aws(account)(None, None, lambda _: None)
    result = preview(aws, Resource(properties, policy_name=OWN_POLICY))
    assert result.notes == []
    in_preview = {FINDING_TYPES[each.kind].code for each in result.excess}
    return in_preview, set(codes(audited.audit())) & EXCESS


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        # AWS's published policy for its rotation functions: the condition excludes other secrets.
        ([allow(ROTATE, f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*", Condition=FOR_FUNCTION)], set()),
        ([allow(ROTATE, "OTHER")], {"UnneededGrant"}),
        ([allow("secretsmanager:DeleteSecret", "*")], {"OtherSecrets"}),
        ([allow("kms:Encrypt", "KEY")], {"KmsWithoutEncryptionContext"}),
        ([allow("ec2:*", "*")], {"UnneededGrant"}),
        ([allow("secretsmanager:*", "*")], {"OtherSecrets"}),
        ([allow(ROTATE, "SECRET"), allow("secretsmanager:GetRandomPassword", "*")], set()),
        ([allow(["kms:Decrypt", "kms:GenerateDataKey"], "*")], {"KmsAllKeys"}),
        ([allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "*")], set()),
        ([allow("secretsmanager:*", "SECRET")], {"UnneededGrant"}),
        ([allow(ROTATE, f"arn:aws:secretsmanager:{REGION}")], {"OtherSecrets"}),
        ([allow(ROTATE, f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:PART_OF_SECRET")], set()),
        ([allow(ROTATE, f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:db")], {"IncompleteArn"}),
        (
            [allow("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:x")],
            {"IncompleteArn"},
        ),
        ([allow("secretsmanager:PutResourcePolicy", "SECRET")], {"UnneededGrant"}),
        ([allow("kms:CreateGrant", "*")], {"KmsAllKeys"}),
        (
            [
                allow(ROTATE, "*", Condition={"StringEquals": {"aws:ResourceTag/a": "b"}}),
                allow("secretsmanager:Tag*", "*"),
            ],
            {"OtherSecrets"},
        ),
        (
            [{"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:secretsmanager:*"}],
            {"KmsAllKeys", "UnneededGrant"},
        ),
    ],
)
def test_an_everyday_policy_has_one_verdict(account: Account, other: list[dict[str, Any]], expected: set[str]) -> None:
    assert verdicts(account, other) == (expected, expected)


def test_network_interfaces_have_one_verdict_in_a_vpc(account: Account) -> None:
    # The provider's Deny keeps the code of the function from them.
    assert verdicts(account, [allow("ec2:*", "*")], vpc=True) == (set(), set())


def test_the_boundary_and_the_key_of_the_environment_count_in_both(account: Account) -> None:
    audited = AuditAccount(account)
    rotation = audited.rotation()
    audited.put_policy(rotation.role, allow(ROTATE, "*"), name="other")
    aws = watched_caller_aws(account)(None, None, lambda _: None)
    resource = Resource({"SecretId": "db", "RotationLambdaARN": rotation.function})
    assert [each.kind for each in preview(aws, resource).excess] == [ExcessKind.OTHER_SECRETS]
    boundary = audited.managed_policy("boundary", allow("secretsmanager:*", rotation.secret))
    account.client("iam").put_role_permissions_boundary(RoleName="role-db", PermissionsBoundary=boundary)
    assert preview(aws, resource).excess == []
    assert EXCESS.isdisjoint(codes(audited.audit()))


def test_another_resource_on_the_role_needs_its_own_grants(account: Account) -> None:
    audited = AuditAccount(account)
    first = audited.rotation("db")
    superuser, second = account.secret("superuser"), audited.rotate("second", first.function)
    planned: PlannedDocuments = {}
    aws = watched_caller_aws(account)(None, None, lambda _: None)
    audited.put_policy(first.role, allow("secretsmanager:GetSecretValue", [superuser, second]), name="other")
    resource = Resource({"SecretId": "db", "RotationLambdaARN": first.function}, logical_id="First")
    assert [each.kind for each in preview(aws, resource, {}).excess] == [ExcessKind.SECRET_NOT_NEEDED] * 2
    properties = {"SecretId": "second", "RotationLambdaARN": first.function, "SuperuserSecretId": "superuser"}
    preview(aws, Resource(properties, logical_id="Second"), planned)
    assert preview(aws, resource, planned).excess == []


@pytest.mark.parametrize("kind", ExcessKind)
def test_each_kind_of_excess_has_words(kind: ExcessKind) -> None:
    assert kind in FINDING_TYPES
    found = Excess(kind, PolicyName(PolicyKind.INLINE, "x"), 1, "", Element(("iam:*",), True), Element(("*",)))
    assert messages.excess(found).startswith('the inline policy "x" allows all but iam:* on *, ')
    assert messages.excess(found._replace(remaining=("A", "B"))).endswith(
        "; within the conditions, the permissions boundary and the denials: A, B"
    )
