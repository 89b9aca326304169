"""Whole policy documents, for every combination of secrets, superuser secret and VPC."""

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import EnvironmentKey, Role, Secret, State
from tests import ROOT

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-AbCdEf"
SECOND = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/second-AbCdEf"
SUPERUSER = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/superuser-AbCdEf"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111"
SUPERUSER_KEY = "arn:aws:kms:eu-central-1:999999999999:key/22222222-2222-2222-2222-222222222222"
ENVIRONMENT_KEY = "arn:aws:kms:eu-central-1:123456789012:key/55555555-5555-5555-5555-555555555555"
EARLIER_KEY = "arn:aws:kms:eu-central-1:123456789012:key/33333333-3333-3333-3333-333333333333"
INSTANCE = "arn:aws:rds:eu-central-1:123456789012:db:prod"
CLUSTER = "arn:aws:rds:eu-central-1:123456789012:cluster:prod"
REDSHIFT = "arn:aws:redshift:eu-central-1:123456789012:cluster:warehouse"
NAMESPACE = "arn:aws:redshift-serverless:eu-central-1:123456789012:namespace/12345678-1234-1234-1234-123456789012"
CACHE_USER = "arn:aws:elasticache:eu-central-1:123456789012:user:app"
INFLUX = "arn:aws:timestream-influxdb:eu-central-1:123456789012:db-instance/abcdefghij"
DIRECTORY = "arn:aws:ds:eu-central-1:123456789012:directory/d-0123456789"
GUIDE = ROOT / "tests" / "guide"


def state(
    *secrets: Secret,
    superuser: Secret | None = None,
    in_vpc: bool = False,
    dns_suffix: str = "amazonaws.com",
    targets: tuple[str, ...] = (),
    environment_key: str = "",
) -> State:
    """Return a state with these secrets, by default with one secret under the AWS managed key."""
    return State(
        secrets=secrets or (Secret(SECRET, None),),
        superuser_secret=superuser,
        role=Role("rotation-role", "arn:aws:iam::123456789012:role/rotation-role"),
        function_arn="arn:aws:lambda:eu-central-1:123456789012:function:rotate-db",
        in_vpc=in_vpc,
        dns_suffix=dns_suffix,
        environment_key=EnvironmentKey(environment_key),
        target_arns=targets,
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


def allow(sid: str, actions: list[str], resource: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


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
        Secret(SUPERUSER, SUPERUSER_KEY, managed_by="rds", database_arns=(CLUSTER,)),
        [
            READ_SUPERUSER,
            key_statement("UseSuperuserKey", ["kms:Decrypt"], SUPERUSER_KEY, SUPERUSER),
            DESCRIBE_SUPERUSER,
            DESCRIBE_CLUSTER,
        ],
    ),
    "managed by Redshift": (
        Secret(SUPERUSER, None, managed_by="redshift", database_arns=(REDSHIFT,)),
        [
            READ_SUPERUSER,
            DESCRIBE_SUPERUSER,
            allow("DescribeSuperuserDatabase", ["redshift:DescribeClusters"], REDSHIFT),
        ],
    ),
    "managed by Redshift Serverless": (
        Secret(SUPERUSER, None, managed_by="redshift", database_arns=(NAMESPACE,)),
        [
            READ_SUPERUSER,
            DESCRIBE_SUPERUSER,
            allow(
                "DescribeSuperuserDatabase",
                ["redshift-serverless:ListNamespaces", "redshift-serverless:ListWorkgroups"],
                "*",
            ),
        ],
    ),
    "managed by RDS, without a tag": (
        Secret(SUPERUSER, None, managed_by="rds"),
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
    granted = documented([*of_secrets, *of_superuser, *VPC[in_vpc]])

    document = policy.document(state(*inspected_secrets, superuser=inspected_superuser, in_vpc=in_vpc), "Documented")

    assert document == {"Version": "2012-10-17", "Statement": granted}


def documented(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the statements of `Documented` for the statements of `Strict`.

    Without its condition, a statement for a key can grant what an earlier statement grants.
    """
    plain: list[dict[str, Any]] = []
    for statement in statements:
        actions, resource = statement["Action"], statement["Resource"]
        is_repeated = any(set(actions) <= set(other["Action"]) and resource == other["Resource"] for other in plain)
        if statement["Effect"] == "Allow" and not is_repeated:
            plain.append({"Effect": "Allow", "Action": actions, "Resource": resource})
    return plain


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
    superuser = Secret(SUPERUSER, None, managed_by="rds", database_arns=(INSTANCE, CLUSTER))
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


# --- earlier keys ---


DECRYPT_EARLIER = key_statement("DecryptEarlierVersions", ["kms:Decrypt"], EARLIER_KEY, SECRET)


@pytest.mark.parametrize("key", [None, KEY])
def test_an_earlier_key_may_only_decrypt(key: str | None) -> None:
    statements = policy.document(state(Secret(SECRET, key, earlier_key_arns=(EARLIER_KEY,))), "Strict")["Statement"]
    assert statements == [rotate(), PASSWORD, *([USE_KEY] if key else []), DECRYPT_EARLIER]


def test_each_earlier_key_has_one_statement_for_all_of_its_secrets() -> None:
    superuser = Secret(SUPERUSER, SUPERUSER_KEY, earlier_key_arns=(EARLIER_KEY,))
    inspected = state(
        Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY, SUPERUSER_KEY)),
        Secret(SECOND, None, earlier_key_arns=(KEY,)),
        superuser=superuser,
    )
    assert policy.document(inspected, "Strict")["Statement"] == [
        rotate([SECRET, SECOND]),
        PASSWORD,
        USE_KEY,
        key_statement("DecryptEarlierVersions", ["kms:Decrypt"], EARLIER_KEY, [SECRET, SUPERUSER]),
        key_statement("DecryptEarlierVersions2", ["kms:Decrypt"], SUPERUSER_KEY, SECRET),
        key_statement("DecryptEarlierVersions3", ["kms:Decrypt"], KEY, SECOND),
        READ_SUPERUSER,
        key_statement("UseSuperuserKey", ["kms:Decrypt"], SUPERUSER_KEY, SUPERUSER),
    ]
    # Without conditions, UseSecretKey grants DecryptEarlierVersions3, and DecryptEarlierVersions2 UseSuperuserKey.
    assert policy.document(inspected, "Documented")["Statement"] == documented(
        [
            rotate([SECRET, SECOND]),
            PASSWORD,
            USE_KEY,
            DECRYPT_EARLIER,
            key_statement("DecryptEarlierVersions2", ["kms:Decrypt"], SUPERUSER_KEY, SECRET),
            READ_SUPERUSER,
        ]
    )
    assert inspected.key_arns == (KEY, EARLIER_KEY, SUPERUSER_KEY)


# --- targets ---


CALL_INSTANCE = allow("CallTarget", ["rds:DescribeDBInstances"], INSTANCE)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (INSTANCE, [CALL_INSTANCE]),
        (CLUSTER, [allow("CallTarget", ["rds:DescribeDBClusters"], CLUSTER)]),
        (REDSHIFT, []),
        (NAMESPACE, []),
        (CACHE_USER, [allow("CallTarget", ["elasticache:DescribeUsers", "elasticache:ModifyUser"], CACHE_USER)]),
        (INFLUX, [allow("CallTarget", ["timestream-influxdb:GetDbInstance"], INFLUX)]),
        (
            DIRECTORY,
            [
                allow("CallTarget", ["ds:ResetUserPassword"], DIRECTORY),
                allow("CallTarget2", ["ds:DescribeDirectories"], "*"),
            ],
        ),
    ],
)
@pytest.mark.parametrize("profile", ["Strict", "Documented"])
def test_a_target_grants_the_calls_of_its_rotation_function(
    target: str, expected: list[dict[str, Any]], profile: str
) -> None:
    expected = [rotate(), PASSWORD, *expected]
    if profile == "Documented":
        expected = documented(expected)
    assert policy.document(state(targets=(target,)), profile)["Statement"] == expected


def test_several_targets_have_a_statement_each_and_no_grant_is_repeated() -> None:
    second_directory = DIRECTORY.replace("d-0", "d-9")
    targets = (DIRECTORY, second_directory, INSTANCE, DIRECTORY)
    assert policy.document(state(targets=targets), "Strict")["Statement"][2:] == [
        allow("CallTarget", ["ds:ResetUserPassword"], DIRECTORY),
        allow("CallTarget2", ["ds:DescribeDirectories"], "*"),
        allow("CallTarget3", ["ds:ResetUserPassword"], second_directory),
        CALL_INSTANCE | {"Sid": "CallTarget4"},
    ]


@pytest.mark.parametrize("target", [REDSHIFT, NAMESPACE])
def test_a_redshift_target_requires_the_description_of_the_superuser_secret(target: str) -> None:
    superuser = Secret(SUPERUSER, None)
    assert policy.document(state(superuser=superuser, targets=(target,)), "Strict")["Statement"][2:] == [
        READ_SUPERUSER,
        DESCRIBE_SUPERUSER,
    ]
    assert policy.document(state(superuser=superuser, targets=(INSTANCE,)), "Strict")["Statement"][2:] == [
        READ_SUPERUSER,
        CALL_INSTANCE,
    ]


def test_a_target_that_a_tag_of_the_superuser_secret_names_is_not_granted_again() -> None:
    superuser = Secret(SUPERUSER, None, managed_by="rds", database_arns=(CLUSTER,))
    inspected = state(superuser=superuser, targets=(CLUSTER, INSTANCE))
    statements = policy.document(inspected, "Strict")["Statement"]
    assert statements[2:] == [READ_SUPERUSER, DESCRIBE_SUPERUSER, DESCRIBE_CLUSTER, CALL_INSTANCE]
    [call] = [statement_type for statement_type in policy.STATEMENTS if statement_type.sid == "CallTarget"]
    assert call.reason_omitted(state(superuser=superuser, targets=(CLUSTER,))) == "another statement grants the same"


@pytest.mark.parametrize("profile", ["Strict", "Documented"])
def test_a_rotated_secret_that_is_also_the_superuser_secret_is_granted_once(profile: str) -> None:
    own = Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,))
    inspected = state(own, superuser=own)
    expected = [rotate(), PASSWORD, USE_KEY, DECRYPT_EARLIER]
    document = policy.document(inspected, profile)
    assert document["Statement"] == (expected if profile == "Strict" else documented(expected))
    assert inspected.all_secrets == (own,)


# --- omitted statements ---

NO_KEY = "AWS managed key: no grant needed"
NO_SUPERUSER = "no SuperuserSecretId"
NO_EARLIER_KEY = {"DecryptEarlierVersions": "no version in use needs an earlier key"}
NOT_MANAGED = "neither RDS nor Redshift manages the superuser secret"
NO_TAG = "no tag of the superuser secret names a database"
NO_TARGET = {"CallTarget": "no TargetArns"}
NO_ENVIRONMENT_KEY = {"DecryptEnvironment": "no customer managed key encrypts the function's environment variables"}
NO_VPC = "the function is not in a VPC"
OF_SUPERUSER = ("ReadSuperuserSecret", "UseSuperuserKey", "DescribeSuperuserSecret", "DescribeSuperuserDatabase")
IN_VPC = ("ManageNetworkInterfaces", "KeepNetworkInterfacesFromCode")


@pytest.mark.parametrize(
    ("state", "profile", "reasons"),
    [
        (
            state(),
            "Strict",
            {"UseSecretKey": NO_KEY}
            | NO_EARLIER_KEY
            | NO_ENVIRONMENT_KEY
            | dict.fromkeys(OF_SUPERUSER, NO_SUPERUSER)
            | NO_TARGET
            | dict.fromkeys(IN_VPC, NO_VPC),
        ),
        (
            state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, None), in_vpc=True),
            "Strict",
            {
                "UseSuperuserKey": NO_KEY,
                "DescribeSuperuserSecret": NOT_MANAGED,
                "DescribeSuperuserDatabase": NOT_MANAGED,
            }
            | NO_EARLIER_KEY
            | NO_ENVIRONMENT_KEY
            | NO_TARGET,
        ),
        (
            state(Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,)), targets=(REDSHIFT,), in_vpc=True),
            "Strict",
            dict.fromkeys(OF_SUPERUSER, NO_SUPERUSER)
            | NO_ENVIRONMENT_KEY
            | {"CallTarget": "a Redshift target has no effect without SuperuserSecretId"},
        ),
        (
            state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, KEY), targets=(REDSHIFT,), in_vpc=True),
            "Strict",
            NO_EARLIER_KEY
            | NO_ENVIRONMENT_KEY
            | {
                "DescribeSuperuserDatabase": NOT_MANAGED,
                "CallTarget": "the rotation function does not call Redshift, but describes the superuser secret",
            },
        ),
        (
            state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, KEY, managed_by="rds"), in_vpc=True),
            "Documented",
            {
                # Without conditions, UseSecretKey grants the same.
                "UseSuperuserKey": "another statement grants the same",
                "DescribeSuperuserDatabase": NO_TAG,
                "KeepNetworkInterfacesFromCode": "the user guide's policy has no Deny",
            }
            | NO_EARLIER_KEY
            | NO_ENVIRONMENT_KEY
            | NO_TARGET,
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


def test_the_smallest_policy_has_the_statement_types_that_are_always_present() -> None:
    always = [statement_type.sid for statement_type in policy.STATEMENTS if statement_type.when == "always"]
    for profile in ("Strict", "Documented"):
        present = [statement_type.sid for statement_type, built in policy.statements_by_type(state(), profile) if built]
        assert present == always == ["RotateSecret", "GeneratePassword"]


# --- KmsScope: Secret ---

ANY_KEY = "arn:aws:kms:eu-central-1:123456789012:key/*"
FOREIGN_KEY = "arn:aws:kms:eu-central-1:999999999999:key/66666666-6666-6666-6666-666666666666"
EARLIER_FOREIGN_KEY = "arn:aws:kms:eu-central-1:999999999999:key/77777777-7777-7777-7777-777777777777"
USE = ["kms:Decrypt", "kms:GenerateDataKey"]


def any_key(sid: str, actions: list[str], secrets: Any, *foreign_keys: str) -> dict[str, Any]:
    return key_statement(sid, actions, [ANY_KEY, *foreign_keys] if foreign_keys else ANY_KEY, secrets)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        # Also for a secret under the AWS managed key, which can get another key.
        (state(), [any_key("UseSecretKey", USE, SECRET)]),
        (state(Secret(SECRET, KEY)), [any_key("UseSecretKey", USE, SECRET)]),
        (state(Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,))), [any_key("UseSecretKey", USE, SECRET)]),
        (
            state(Secret(SECRET, KEY), Secret(SECOND, None), superuser=Secret(SUPERUSER, None)),
            [
                any_key("UseSecretKey", USE, [SECRET, SECOND]),
                READ_SUPERUSER,
                any_key("UseSuperuserKey", ["kms:Decrypt"], SUPERUSER),
            ],
        ),
        (
            state(
                Secret(SECRET, FOREIGN_KEY, earlier_key_arns=(EARLIER_FOREIGN_KEY, EARLIER_KEY)),
                superuser=Secret(SUPERUSER, KEY, earlier_key_arns=(FOREIGN_KEY,)),
            ),
            [
                any_key("UseSecretKey", USE, SECRET, FOREIGN_KEY),
                key_statement("DecryptEarlierVersions", ["kms:Decrypt"], EARLIER_FOREIGN_KEY, SECRET),
                key_statement("DecryptEarlierVersions2", ["kms:Decrypt"], FOREIGN_KEY, SUPERUSER),
                READ_SUPERUSER,
                any_key("UseSuperuserKey", ["kms:Decrypt"], SUPERUSER),
            ],
        ),
        # The superuser secret is one of the rotated secrets: nothing is granted twice.
        (
            state(Secret(SECRET, KEY), Secret(SUPERUSER, FOREIGN_KEY), superuser=Secret(SUPERUSER, FOREIGN_KEY)),
            [any_key("UseSecretKey", USE, [SECRET, SUPERUSER], FOREIGN_KEY)],
        ),
    ],
)
def test_the_scope_secret_names_no_key_of_the_account(state: State, expected: list[dict[str, Any]]) -> None:
    document = policy.document(state, "Strict", "Secret")
    assert document["Statement"][2:] == expected
    assert policy.form_of(document) == ("Strict", "Secret")
    # What the rotation needs, key by key, does not depend on the form.
    assert [grant.statement["Resource"] for grant in policy.grants(state)].count(ANY_KEY) == 0
    assert policy.summarize(document).secret_arns == [secret.arn for secret in state.secrets]


@pytest.mark.parametrize(("profile", "kms_scope"), [("Strict", "Key"), ("Strict", "Secret"), ("Documented", "Key")])
@pytest.mark.parametrize("key", [None, KEY])
def test_the_form_of_a_document_is_recognized(profile: str, kms_scope: str, key: str | None) -> None:
    document = policy.document(state(Secret(SECRET, key), in_vpc=True), profile, kms_scope)
    assert policy.form_of(document) == (profile, kms_scope)


# --- the key of the environment variables ---

OF_FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:rotate-db"


def environment(patterns: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": ["kms:Decrypt"],
        "Resource": ENVIRONMENT_KEY,
        "Condition": {"StringLike": {"kms:EncryptionContext:aws:lambda:FunctionArn": patterns}},
    }


@pytest.mark.parametrize("kms_scope", ["Key", "Secret"])
def test_the_key_of_the_environment_has_a_statement_for_the_function(kms_scope: str) -> None:
    inspected = state(environment_key=ENVIRONMENT_KEY)
    expected = {"Sid": "DecryptEnvironment"} | environment([OF_FUNCTION, f"{OF_FUNCTION}:*"])
    assert policy.document(inspected, "Strict", kms_scope)["Statement"][-1] == expected
    declared = replace(inspected, function_arn="")
    any_function = environment("arn:aws:lambda:eu-central-1:123456789012:function:*")
    assert policy.document(declared, "Documented")["Statement"][-1] == any_function


def test_a_key_of_the_environment_that_also_encrypts_the_secret_has_two_statements_unless_one_has_no_condition() -> (
    None
):
    both = state(Secret(SECRET, ENVIRONMENT_KEY), environment_key=ENVIRONMENT_KEY)
    assert [statement["Sid"] for statement in policy.document(both)["Statement"][2:]] == [
        "UseSecretKey",
        "DecryptEnvironment",
    ]
    # In Documented, the first grants the same without a condition.
    assert len(policy.document(both, "Documented")["Statement"]) == 3
    assert both.key_arns == (ENVIRONMENT_KEY,)
