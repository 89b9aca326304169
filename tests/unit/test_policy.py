"""Whole policy documents, for every combination of secrets, superuser secret and VPC."""

import itertools
import json
from typing import Any

import pytest

from rotation_role_policy import policy
from rotation_role_policy.state import Role, Secret, State
from tests import ROOT

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-AbCdEf"
SECOND = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/second-AbCdEf"
SUPERUSER = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/superuser-AbCdEf"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111"
SUPERUSER_KEY = "arn:aws:kms:eu-central-1:999999999999:key/22222222-2222-2222-2222-222222222222"
INSTANCE = "arn:aws:rds:eu-central-1:123456789012:db:prod"
CLUSTER = "arn:aws:rds:eu-central-1:123456789012:cluster:prod"
GUIDE = ROOT / "tests" / "guide"


def state(
    *secrets: Secret, superuser: Secret | None = None, in_vpc: bool = False, dns_suffix: str = "amazonaws.com"
) -> State:
    """Return a state with these secrets, by default with one secret under the AWS managed key."""
    return State(
        secrets=secrets or (Secret(SECRET, None),),
        superuser_secret=superuser,
        role=Role("rotation-role", "arn:aws:iam::123456789012:role/rotation-role"),
        function_arn="arn:aws:lambda:eu-central-1:123456789012:function:rotate-db",
        in_vpc=in_vpc,
        dns_suffix=dns_suffix,
    )


# The expected statements, written by hand.


def rotate(resource: Any = SECRET) -> dict[str, Any]:
    return {
        "Sid": "RotateSecret",
        "Effect": "Allow",
        "Action": [
            "secretsmanager:DescribeSecret",
            "secretsmanager:GetSecretValue",
            "secretsmanager:PutSecretValue",
            "secretsmanager:UpdateSecretVersionStage",
        ],
        "Resource": resource,
    }


PASSWORD = {
    "Sid": "GeneratePassword",
    "Effect": "Allow",
    "Action": ["secretsmanager:GetRandomPassword"],
    "Resource": "*",
}


def key_statement(sid: str, actions: list[str], key: str, secrets: Any, via: Any = None) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": actions,
        "Resource": key,
        "Condition": {
            "StringEquals": {
                "kms:EncryptionContext:SecretARN": secrets,
                "kms:ViaService": via or "secretsmanager.eu-central-1.amazonaws.com",
            }
        },
    }


USE_KEY = key_statement("UseSecretKey", ["kms:Decrypt", "kms:GenerateDataKey"], KEY, SECRET)
READ_SUPERUSER = {
    "Sid": "ReadSuperuserSecret",
    "Effect": "Allow",
    "Action": ["secretsmanager:GetSecretValue"],
    "Resource": SUPERUSER,
}
DESCRIBE_SUPERUSER = {
    "Sid": "DescribeSuperuserSecret",
    "Effect": "Allow",
    "Action": ["secretsmanager:DescribeSecret"],
    "Resource": SUPERUSER,
}
DESCRIBE_CLUSTER = {
    "Sid": "DescribeSuperuserDatabase",
    "Effect": "Allow",
    "Action": ["rds:DescribeDBClusters"],
    "Resource": CLUSTER,
}
NETWORK = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DetachNetworkInterface",
]
MANAGE = {"Sid": "ManageNetworkInterfaces", "Effect": "Allow", "Action": NETWORK, "Resource": "*"}
KEEP = {
    "Sid": "KeepNetworkInterfacesFromCode",
    "Effect": "Deny",
    "Action": NETWORK,
    "Resource": "*",
    "Condition": {"Null": {"lambda:SourceFunctionArn": "false"}},
}

SECRETS = {
    "default key": ((Secret(SECRET, None),), [rotate(), PASSWORD]),
    "customer managed key": ((Secret(SECRET, KEY),), [rotate(), PASSWORD, USE_KEY]),
    "several, one key": (
        (Secret(SECRET, KEY), Secret(SECOND, KEY)),
        [
            rotate([SECRET, SECOND]),
            PASSWORD,
            key_statement("UseSecretKey", ["kms:Decrypt", "kms:GenerateDataKey"], KEY, [SECRET, SECOND]),
        ],
    ),
    "several, a key each": (
        (Secret(SECRET, KEY), Secret(SECOND, SUPERUSER_KEY)),
        [
            rotate([SECRET, SECOND]),
            PASSWORD,
            USE_KEY,
            key_statement("UseSecretKey2", ["kms:Decrypt", "kms:GenerateDataKey"], SUPERUSER_KEY, SECOND),
        ],
    ),
    "several, one under the default key": (
        (Secret(SECOND, None), Secret(SECRET, KEY)),
        [rotate([SECOND, SECRET]), PASSWORD, USE_KEY],
    ),
}
SUPERUSERS: dict[str, tuple[Secret | None, list[dict[str, Any]]]] = {
    "none": (None, []),
    "default key": (Secret(SUPERUSER, None), [READ_SUPERUSER]),
    "own key": (
        Secret(SUPERUSER, SUPERUSER_KEY),
        [READ_SUPERUSER, key_statement("UseSuperuserKey", ["kms:Decrypt"], SUPERUSER_KEY, SUPERUSER)],
    ),
    "the same key": (
        Secret(SUPERUSER, KEY),
        [READ_SUPERUSER, key_statement("UseSuperuserKey", ["kms:Decrypt"], KEY, SUPERUSER)],
    ),
    "managed by RDS": (
        Secret(SUPERUSER, SUPERUSER_KEY, managed_by_rds=True, database_arns=(CLUSTER,)),
        [
            READ_SUPERUSER,
            key_statement("UseSuperuserKey", ["kms:Decrypt"], SUPERUSER_KEY, SUPERUSER),
            DESCRIBE_SUPERUSER,
            DESCRIBE_CLUSTER,
        ],
    ),
    "managed by RDS, without a tag": (
        Secret(SUPERUSER, None, managed_by_rds=True),
        [READ_SUPERUSER, DESCRIBE_SUPERUSER],
    ),
}
VPC: dict[bool, list[dict[str, Any]]] = {False: [], True: [MANAGE, KEEP]}
COMBINATIONS = list(itertools.product(SECRETS, SUPERUSERS, VPC))


@pytest.mark.parametrize(("secrets", "superuser", "in_vpc"), COMBINATIONS)
def test_a_strict_policy_has_exactly_the_statements_of_the_contract(secrets: str, superuser: str, in_vpc: bool) -> None:
    (inspected_secrets, of_secrets), (inspected_superuser, of_superuser) = SECRETS[secrets], SUPERUSERS[superuser]

    document = policy.document(state(*inspected_secrets, superuser=inspected_superuser, in_vpc=in_vpc), "Strict")

    assert document == {"Version": "2012-10-17", "Statement": [*of_secrets, *of_superuser, *VPC[in_vpc]]}
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize(("secrets", "superuser", "in_vpc"), COMBINATIONS)
def test_a_documented_policy_has_the_same_grants_without_sid_condition_and_deny(
    secrets: str, superuser: str, in_vpc: bool
) -> None:
    (inspected_secrets, of_secrets), (inspected_superuser, of_superuser) = SECRETS[secrets], SUPERUSERS[superuser]
    granted = [statement for statement in [*of_secrets, *of_superuser, *VPC[in_vpc]] if statement["Effect"] == "Allow"]

    document = policy.document(state(*inspected_secrets, superuser=inspected_superuser, in_vpc=in_vpc), "Documented")

    plain = [{name: statement[name] for name in ("Effect", "Action", "Resource")} for statement in granted]
    assert document == {"Version": "2012-10-17", "Statement": plain}


def guide(name: str) -> list[dict[str, Any]]:
    """Return the statements in the user guide. The ARNs of this module replace the placeholders."""
    text = (GUIDE / f"{name}.json").read_text()
    for placeholder, arn in (("SeparateSecretARN", SUPERUSER), ("SecretARN", SECRET), ("KMSKeyARN", KEY)):
        text = text.replace(f'"{placeholder}"', f'"{arn}"')
    statements = json.loads(text)
    return list(statements.get("Statement", [statements]))


USER_GUIDE_POLICIES = {
    "in a VPC": (state(in_vpc=True), guide("rotation")),
    "under a customer managed key": (
        state(Secret(SECRET, KEY), in_vpc=True),
        guide("rotation") + guide("customer-managed-key-statement"),
    ),
    "alternating users": (
        state(superuser=Secret(SUPERUSER, None), in_vpc=True),
        guide("alternating-users"),
    ),
    "alternating users under a customer managed key": (
        state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, None), in_vpc=True),
        guide("alternating-users") + guide("customer-managed-key-statement"),
    ),
}


@pytest.mark.parametrize("case", USER_GUIDE_POLICIES)
def test_a_documented_policy_equals_the_policy_in_the_user_guide(case: str) -> None:
    inspected, expected = USER_GUIDE_POLICIES[case]

    def by_action(statement: dict[str, Any]) -> str:
        return str(statement["Action"])

    statements = policy.document(inspected, "Documented")["Statement"]
    assert sorted(statements, key=by_action) == sorted(expected, key=by_action)


def test_an_rds_managed_superuser_secret_of_an_instance_requires_describe_db_instances() -> None:
    superuser = Secret(SUPERUSER, None, managed_by_rds=True, database_arns=(INSTANCE, CLUSTER))
    statements = policy.document(state(superuser=superuser), "Strict")["Statement"]
    assert statements[-2:] == [
        {
            "Sid": "DescribeSuperuserDatabase",
            "Effect": "Allow",
            "Action": ["rds:DescribeDBInstances"],
            "Resource": INSTANCE,
        },
        DESCRIBE_CLUSTER | {"Sid": "DescribeSuperuserDatabase2"},
    ]


def test_in_other_partitions_the_condition_has_both_service_names_and_arns_have_the_partition() -> None:
    secret, key = (
        arn.replace("arn:aws:", "arn:aws-cn:").replace("eu-central-1", "cn-north-1") for arn in (SECRET, KEY)
    )
    document = policy.document(state(Secret(secret, key), in_vpc=True, dns_suffix="amazonaws.com.cn"), "Strict")
    assert document["Statement"][2] == key_statement(
        "UseSecretKey",
        ["kms:Decrypt", "kms:GenerateDataKey"],
        key,
        secret,
        ["secretsmanager.cn-north-1.amazonaws.com.cn", "secretsmanager.cn-north-1.amazonaws.com"],
    )
    assert "arn:aws:" not in json.dumps(document)


# --- omitted statements ---

NO_KEY = "AWS managed key: no grant needed"
NO_SUPERUSER = "no SuperuserSecretId"
NOT_RDS = "RDS does not manage the superuser secret"
NO_TAG = "no RDS tag on the superuser secret names a database"
NO_VPC = "the function is not in a VPC"
OF_SUPERUSER = ("ReadSuperuserSecret", "UseSuperuserKey", "DescribeSuperuserSecret", "DescribeSuperuserDatabase")
IN_VPC = ("ManageNetworkInterfaces", "KeepNetworkInterfacesFromCode")


@pytest.mark.parametrize(
    ("state", "profile", "reasons"),
    [
        (
            state(),
            "Strict",
            {"UseSecretKey": NO_KEY} | dict.fromkeys(OF_SUPERUSER, NO_SUPERUSER) | dict.fromkeys(IN_VPC, NO_VPC),
        ),
        (
            state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, None), in_vpc=True),
            "Strict",
            {"UseSuperuserKey": NO_KEY, "DescribeSuperuserSecret": NOT_RDS, "DescribeSuperuserDatabase": NOT_RDS},
        ),
        (
            state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, KEY, managed_by_rds=True), in_vpc=True),
            "Documented",
            {
                "DescribeSuperuserDatabase": NO_TAG,
                "KeepNetworkInterfacesFromCode": "the user guide's policy has no Deny",
            },
        ),
    ],
)
def test_an_omitted_statement_type_has_a_reason(state: State, profile: str, reasons: dict[str, str]) -> None:
    statements_by_type = policy.statements_by_type(state, profile)
    assert {
        statement_type.sid: statement_type.reason_omitted(state)
        for statement_type, statements in statements_by_type
        if not statements
    } == reasons


def test_a_statement_type_that_is_always_present_has_no_reason_to_be_omitted() -> None:
    always = [statement_type for statement_type in policy.STATEMENTS if statement_type.when == "always"]
    assert [(statement_type.sid, statement_type.reason_omitted(state())) for statement_type in always] == [
        ("RotateSecret", ""),
        ("GeneratePassword", ""),
    ]
    [read] = [statement_type for statement_type in policy.STATEMENTS if statement_type.sid == "ReadSuperuserSecret"]
    assert read.reason_omitted(state(superuser=Secret(SUPERUSER, None))) == ""
