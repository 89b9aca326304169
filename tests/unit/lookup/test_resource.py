"""Inspection: the state from DescribeSecret, DescribeKey, GetFunctionConfiguration and GetRole."""

import json
import re
from typing import Any

import pytest

from rotation_role_policy.arn import split_qualifier
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError
from rotation_role_policy.iam.document import parse
from rotation_role_policy.iam.principals import can_assume
from rotation_role_policy.lookup.resource import find_function, find_role_name, inspect
from rotation_role_policy.lookup.roles import LAMBDA
from rotation_role_policy.provider.messages import reason
from rotation_role_policy.rules.place import check_place
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import State
from tests.support.account import (
    ACCOUNT,
    BOTOCORE_SESSION,
    PLACE,
    REGION,
    Account,
    AlteredAws,
    WatchedAws,
    error,
    managed_secret,
)

SECRET_ARN_OF_NOTHING = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:nothing-AbCdEf"
ALIAS_OF_AWS_MANAGED_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/secretsmanager"


def inspected_state(account: Account, **properties: Any) -> State:
    """Return the state for these properties. `account.calls` has the calls for it."""
    account.calls.clear()
    return inspect(WatchedAws(account), parse_properties(properties), PLACE)


def error_message(account: Account, **properties: Any) -> str:
    """Return the error message for these properties."""
    with pytest.raises(RequestError) as rejected:
        inspected_state(account, **properties)
    assert len(reason(rejected.value)) <= 240
    return reason(rejected.value)


@pytest.fixture
def function(account: Account) -> str:
    """Create a rotation function with the role ``rotation-role``, and return its ARN."""
    return account.function(account.role())


# --- secrets ---


def test_a_secret_is_resolved_to_its_full_arn(account: Account, function: str) -> None:
    full = account.secret()
    for given in ("prod/db", full, full.rpartition("-")[0]):
        state = inspected_state(account, SecretId=given, RotationLambdaARN=function)
        assert [secret.arn for secret in state.secrets] == [full]


def test_secrets_keep_their_order_without_duplicates(account: Account, function: str) -> None:
    second, first = account.secret("second"), account.secret("first")
    state = inspected_state(account, SecretIds=["first", "second", first], RotationLambdaARN=function)
    assert [secret.arn for secret in state.secrets] == [first, second]


def test_a_secret_that_does_not_exist_is_rejected(account: Account, function: str) -> None:
    assert error_message(account, SecretId="nowhere", RotationLambdaARN=function).startswith(
        'SecretId "nowhere": the secret does not exist in eu-central-1.'
    )
    account.secret()
    assert "SuperuserSecretId" in error_message(
        account, SecretId="prod/db", SuperuserSecretId="nowhere", RotationLambdaARN=function
    )
    assert "SecretIds" in error_message(account, SecretIds=["prod/db", "nowhere"], RotationLambdaARN=function)


def test_a_secret_that_is_scheduled_for_deletion_is_rejected(account: Account, function: str) -> None:
    account.secret()
    account.secret("superuser")
    account.client("secretsmanager").delete_secret(SecretId="superuser", RecoveryWindowInDays=7)
    for properties in ({"SecretId": "superuser"}, {"SecretId": "prod/db", "SuperuserSecretId": "superuser"}):
        assert "scheduled for deletion. Restore it" in error_message(account, RotationLambdaARN=function, **properties)


def test_a_secret_that_another_service_manages_is_valid_only_as_the_superuser_secret(
    account: Account, function: str
) -> None:
    managed = account.secret("managed")
    account.secret()
    aws = managed_secret(account, OwningService="rds")
    with pytest.raises(RequestError, match='the service "rds" manages this secret and rotates it'):
        inspect(aws, parse_properties({"SecretId": "managed", "RotationLambdaARN": function}), PLACE)

    declared = parse_properties({"SecretId": "prod/db", "SuperuserSecretId": "managed", "RotationLambdaARN": function})
    superuser = inspect(aws, declared, PLACE).superuser_secret
    assert superuser
    assert (superuser.arn, superuser.managed_by, superuser.database_arns) == (managed, "rds", ())


DATABASES = {
    "aws:rds:primaryDBInstanceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:prod",
    "aws:rds:primarydbclusterarn": f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:prod",
    "aws:redshift:primaryClusterArn": f"arn:aws:redshift:{REGION}:{ACCOUNT}:cluster:prod",
    "aws:redshift-serverless:NamespaceArn": f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT}:namespace/0-0",
}
"""By a tag of a managed secret: the database. The case of the tags varies."""


@pytest.mark.parametrize("owner", ["rds", "redshift"])
@pytest.mark.parametrize("key", DATABASES)
def test_a_tag_of_a_managed_superuser_secret_names_its_database(
    account: Account, function: str, key: str, owner: str
) -> None:
    account.secret()
    account.secret("managed")
    declared = parse_properties({"SecretId": "prod/db", "SuperuserSecretId": "managed", "RotationLambdaARN": function})
    database = DATABASES[key]

    tags = [{"Key": "team", "Value": "data"}, {"Key": key, "Value": database}]
    superuser = inspect(managed_secret(account, OwningService=owner, Tags=tags), declared, PLACE).superuser_secret
    assert superuser
    assert (superuser.managed_by, superuser.database_arns) == (owner, (database,))

    # Any user can set the tags of a secret that no service manages.
    for members in ({}, {"OwningService": "appflow"}):
        superuser = inspect(managed_secret(account, **members, Tags=tags), declared, PLACE).superuser_secret
        assert superuser
        assert (superuser.managed_by, superuser.database_arns) == ("", ())

    for wrong in (f"{database}*", database.replace("prod", "*").replace("0-0", "*"), SECRET_ARN_OF_NOTHING):
        tags = [{"Key": key, "Value": wrong}]
        with pytest.raises(RequestError, match=f'has the value "{re.escape(wrong)}", which is not the ARN of an?'):
            inspect(managed_secret(account, OwningService=owner, Tags=tags), declared, PLACE)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (
            {"Type": "SalesforceClientSecret"},
            'this is a managed external secret of "SalesforceClientSecret", which Secrets Manager rotates without a'
            " function. Remove this resource.",
        ),
        (
            {"PrimaryRegion": "us-east-1"},
            "this secret is a replica, and only its primary secret in us-east-1 can be rotated. Move this resource to a"
            " stack there.",
        ),
        (
            {
                "PrimaryRegion": REGION,
                "CrossAccountPrimary": {
                    "PrimarySecretARN": f"arn:aws:secretsmanager:{REGION}:999999999999:secret:primary-AbCdEf",
                    "ReplicationStatus": "InSync",
                },
            },
            "this secret is a replica, and only its primary secret in the account 999999999999 can be rotated. Move"
            " this resource to a stack there.",
        ),
    ],
)
def test_a_secret_that_no_function_can_rotate_is_rejected_but_can_be_the_superuser_secret(
    account: Account, function: str, members: dict[str, Any], reason: str
) -> None:
    account.secret()
    managed = account.secret("managed")
    aws = managed_secret(account, **members)
    for properties in ({"SecretId": "managed"}, {"SecretIds": ["prod/db", "managed"]}):
        with pytest.raises(RequestError) as rejected:
            inspect(aws, parse_properties({"RotationLambdaARN": function, **properties}), PLACE)
        assert str(rejected.value) == f'{next(iter(properties))} "managed": {reason}'

    declared = parse_properties({"SecretId": "prod/db", "SuperuserSecretId": "managed", "RotationLambdaARN": function})
    superuser = inspect(aws, declared, PLACE).superuser_secret
    assert superuser
    assert superuser.arn == managed


def test_a_replicated_secret_can_be_rotated_in_its_primary_region(account: Account, function: str) -> None:
    account.secret("managed")
    aws = managed_secret(account, PrimaryRegion=REGION)
    assert inspect(aws, parse_properties({"SecretId": "managed", "RotationLambdaARN": function}), PLACE).secrets


# --- keys ---


@pytest.mark.parametrize("key_id", [None, "alias/aws/secretsmanager", ALIAS_OF_AWS_MANAGED_KEY])
def test_the_aws_managed_key_needs_no_statement_and_no_call(
    account: Account, function: str, key_id: str | None
) -> None:
    account.secret(key=key_id)
    state = inspected_state(account, SecretId="prod/db", RotationLambdaARN=function)
    assert state.secrets[0].key_arn is None
    assert account.actions() == [
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecretVersionIds",
        "lambda:GetFunctionConfiguration",
    ]


@pytest.mark.parametrize("key_id", ["id", "arn", "alias", "alias-arn"])
def test_a_customer_managed_key_is_resolved_to_its_key_arn(account: Account, function: str, key_id: str) -> None:
    key = account.key()
    account.client("kms").create_alias(AliasName="alias/mine", TargetKeyId=key)
    key_ids = {
        "id": key.rpartition("/")[2],
        "arn": key,
        "alias": "alias/mine",
        "alias-arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/mine",
    }
    account.secret(key=key_ids[key_id])
    state = inspected_state(account, SecretId="prod/db", RotationLambdaARN=function)
    assert state.secrets[0].key_arn == key
    assert account.actions().count("kms:DescribeKey") == 1


def test_a_key_of_several_secrets_is_described_once(account: Account, function: str) -> None:
    key = account.key()
    for name in ("a", "b", "superuser"):
        account.secret(name, key)
    state = inspected_state(account, SecretIds=["a", "b"], SuperuserSecretId="superuser", RotationLambdaARN=function)
    assert state.superuser_secret
    assert {secret.key_arn for secret in (*state.secrets, state.superuser_secret)} == {key}
    assert account.actions().count("kms:DescribeKey") == 1


def test_a_key_without_an_account_belongs_to_the_account_of_the_secret(account: Account, function: str) -> None:
    secret_arn = f"arn:aws:secretsmanager:{REGION}:999999999999:secret:managed-AbCdEf"
    account.secret("managed")
    aws = managed_secret(account, ARN=secret_arn, KmsKeyId="alias/mine")
    with pytest.raises(RequestError):
        inspect(aws, parse_properties({"SecretId": "managed", "RotationLambdaARN": function}), PLACE)
    assert account.calls[-1][1] == {"KeyId": f"arn:aws:kms:{REGION}:999999999999:alias/mine"}


def test_a_key_is_customer_managed_only_if_describe_key_reports_it(account: Account, function: str) -> None:
    account.secret(key=account.key())
    declared = parse_properties({"SecretId": "prod/db", "RotationLambdaARN": function})

    def managed_by_aws(response: dict[str, Any]) -> dict[str, Any]:
        return {"KeyMetadata": response["KeyMetadata"] | {"KeyManager": "AWS"}}

    aws = AlteredAws(account, DescribeKey=managed_by_aws)
    assert inspect(aws, declared, PLACE).secrets[0].key_arn is None


def test_a_key_that_is_not_enabled_is_rejected(account: Account, function: str) -> None:
    key = account.key()
    account.secret(key=key)
    key_id = key.rpartition("/")[2]
    account.client("kms").disable_key(KeyId=key_id)
    assert "is Disabled, not Enabled. Enable the key" in error_message(
        account, SecretId="prod/db", RotationLambdaARN=function
    )
    account.client("kms").schedule_key_deletion(KeyId=key_id)
    assert "is PendingDeletion, not Enabled" in error_message(account, SecretId="prod/db", RotationLambdaARN=function)


def test_an_error_message_has_names_and_arns_in_full(account: Account) -> None:
    key = account.key()
    name = "prod/" + "a-long-name/" * 20
    secret = account.secret(name, key=key)
    role = account.role("r" * 64, path="/a/path/of/its/own/" + "deep/" * 20)
    function = account.function(role, "rotate-" + "f" * 50)
    account.client("kms").disable_key(KeyId=key.rpartition("/")[2])
    for properties, name_in_reason in (
        ({"SecretId": secret}, key),
        ({"SecretId": name, "RoleName": f"{role}x"}, f"{role}x"),
        ({"SecretId": f"{name}x"}, f"{name}x"),
    ):
        with pytest.raises(RequestError) as rejected:
            inspected_state(account, **properties, RotationLambdaARN=function)
        assert f'"{name_in_reason}"' in str(rejected.value)
    message = f"something went wrong with {secret}"
    account.faults["secretsmanager:DescribeSecret"] = [error("InternalServiceError", message)]
    with pytest.raises(AwsApiError, match=message):
        inspected_state(account, SecretId=secret, RotationLambdaARN=function)


def test_a_key_that_does_not_exist_is_rejected(account: Account, function: str) -> None:
    account.secret(key="alias/nowhere")
    assert 'KMS key "alias/nowhere" does not exist' in error_message(
        account, SecretId="prod/db", RotationLambdaARN=function
    )


def test_a_full_key_arn_is_accepted_if_describe_key_is_denied(account: Account, function: str) -> None:
    key_arn = f"arn:aws:kms:{REGION}:999999999999:key/11111111-1111-1111-1111-111111111111"
    account.secret(key=key_arn)
    account.faults["kms:DescribeKey"] = [error("AccessDeniedException")]
    assert inspected_state(account, SecretId="prod/db", RotationLambdaARN=function).secrets[0].key_arn == key_arn


@pytest.mark.parametrize("key_id", ["alias/other", f"arn:aws:kms:{REGION}:999999999999:alias/other", "1111-2222"])
def test_a_key_that_is_not_a_full_key_arn_is_rejected_if_describe_key_is_denied(
    account: Account, function: str, key_id: str
) -> None:
    account.secret(key=key_id)
    account.faults["kms:DescribeKey"] = [error("AccessDeniedException")]
    assert "kms:DescribeKey" in error_message(account, SecretId="prod/db", RotationLambdaARN=function)


# --- function and role ---


def test_the_default_function_is_the_one_that_the_secret_reports(account: Account, function: str) -> None:
    account.secret()
    account.client("secretsmanager").rotate_secret(SecretId="prod/db", RotationLambdaARN=function)
    state = inspected_state(account, SecretId="prod/db")
    assert state.function_arn == function
    assert state.role.name == "rotation-role"


def test_a_secret_without_a_rotation_function_requires_rotation_lambda_arn(account: Account) -> None:
    account.secret()
    reason = error_message(account, SecretId="prod/db")
    assert reason.startswith('RotationLambdaARN is missing, and SecretId "prod/db" reports no rotation function.')


def test_secrets_with_different_rotation_functions_require_rotation_lambda_arn(account: Account, function: str) -> None:
    other_function = account.function(account.role("other"), "other")
    for name, arn in (("a", function), ("b", other_function)):
        account.secret(name)
        account.client("secretsmanager").rotate_secret(SecretId=name, RotationLambdaARN=arn)
    assert "Give RotationLambdaARN" in error_message(account, SecretIds=["a", "b"])
    assert inspected_state(account, SecretIds=["a", "b"], RotationLambdaARN=other_function).role.name == "other"
    account.secret("c")
    assert inspected_state(account, SecretIds=["c", "a"]).function_arn == function


@pytest.mark.parametrize("qualifier", ["", ":1", ":live", ":$LATEST"])
@pytest.mark.parametrize("prefix", ["", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"])
def test_a_function_can_have_a_qualifier_and_function_arn_has_none(
    account: Account, function: str, prefix: str, qualifier: str
) -> None:
    account.secret()
    account.client("lambda").create_alias(FunctionName="rotate-db", Name="live", FunctionVersion="1")
    state = inspected_state(account, SecretId="prod/db", RotationLambdaARN=f"{prefix}rotate-db{qualifier}")
    assert state.function_arn == function
    expected = {"FunctionName": f"{prefix}rotate-db"} | ({"Qualifier": qualifier[1:]} if qualifier else {})
    assert account.calls[-1] == ("lambda:GetFunctionConfiguration", expected)


def test_the_qualifier_can_be_the_latest_published_version(account: Account, function: str) -> None:
    account.secret()
    configuration = account.client("lambda").get_function_configuration(FunctionName="rotate-db")
    # moto does not have this qualifier.
    account.api_responses["lambda:GetFunctionConfiguration"] = lambda parameters: (
        configuration | {"FunctionArn": f"{function}:{parameters['Qualifier']}"}
    )
    state = inspected_state(account, SecretId="prod/db", RotationLambdaARN="rotate-db:$LATEST.PUBLISHED")
    assert (state.function_arn, account.calls[-1][1]["Qualifier"]) == (function, "$LATEST.PUBLISHED")


@pytest.mark.parametrize("qualifier", ["1", "live", "$LATEST", "$LATEST.PUBLISHED"])
def test_a_qualifier_is_a_version_or_an_alias(qualifier: str) -> None:
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db"
    assert split_qualifier(f"{function}:{qualifier}") == (function, qualifier)
    assert split_qualifier(function) == (function, None)


def test_a_function_that_does_not_exist_is_rejected(account: Account) -> None:
    account.secret()
    reason = error_message(account, SecretId="prod/db", RotationLambdaARN="nowhere")
    assert reason.startswith('RotationLambdaARN "nowhere": the function does not exist in eu-central-1.')


@pytest.mark.parametrize("in_vpc", [True, False])
def test_in_vpc_comes_from_the_function_configuration(account: Account, in_vpc: bool) -> None:
    account.secret()
    account.function(account.role(), vpc=account.vpc() if in_vpc else None)
    assert inspected_state(account, SecretId="prod/db", RotationLambdaARN="rotate-db").in_vpc is in_vpc


@pytest.mark.parametrize(
    ("vpc_config", "in_vpc"),
    [
        (None, False),
        ({}, False),
        ({"VpcId": "", "SubnetIds": [], "SecurityGroupIds": []}, False),
        ({"SecurityGroupIds": ["sg-1"]}, False),
        ({"VpcId": "vpc-1", "SubnetIds": []}, True),
        ({"VpcId": "", "SubnetIds": ["subnet-1"]}, True),
    ],
)
def test_in_vpc_is_true_for_a_vpc_id_or_subnets(account: Account, function: str, vpc_config: Any, in_vpc: bool) -> None:
    account.secret()
    declared = parse_properties({"SecretId": "prod/db", "RotationLambdaARN": function})
    aws = AlteredAws(account, GetFunctionConfiguration=lambda response: response | {"VpcConfig": vpc_config})
    assert inspect(aws, declared, PLACE).in_vpc is in_vpc


def test_a_role_with_a_path_can_be_given_by_its_name_or_arn(account: Account) -> None:
    account.secret()
    arn = account.role("with-path", "/service-role/deep/")
    account.function(arn)
    for given in ({}, {"RoleName": "with-path"}, {"RoleName": arn}):
        role = inspected_state(account, SecretId="prod/db", RotationLambdaARN="rotate-db", **given).role
        assert (role.name, role.arn) == ("with-path", arn)


@pytest.mark.parametrize("other_role", ["other", f"arn:aws:iam::{ACCOUNT}:role/other"])
def test_a_role_that_is_not_the_execution_role_of_the_function_is_rejected(
    account: Account, function: str, other_role: str
) -> None:
    account.secret()
    reason = error_message(account, SecretId="prod/db", RotationLambdaARN=function, RoleName=other_role)
    assert reason.startswith("RoleName ")
    assert 'is not the execution role of the function, which is "rotation-role".' in reason


def test_a_role_of_another_account_is_rejected(account: Account, function: str) -> None:
    account.secret()
    with pytest.raises(RequestError, match="is not in the provider's account"):
        inspect(
            AlteredAws(
                account,
                GetFunctionConfiguration=lambda response: response | {"Role": "arn:aws:iam::999999999999:role/r"},
            ),
            parse_properties({"SecretId": "prod/db", "RotationLambdaARN": function}),
            PLACE,
        )


REGIONS = ("region us-east-1", f"region {REGION}")
ELSEWHERE = [
    ("SecretId", f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:prod/db-AbCdEf", *REGIONS),
    (
        "SecretId",
        "arn:aws:secretsmanager:us-east-1:999999999999:secret:a-AbCdEf",
        "region us-east-1 and account 999999999999",
        f"region {REGION} and account {ACCOUNT}",
    ),
    (
        "SecretId",
        f"arn:aws-cn:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/db",
        "partition aws-cn",
        "partition aws",
    ),
    (
        "SuperuserSecretId",
        f"arn:aws:secretsmanager:{REGION}:999999999999:secret:prod/superuser-AbCdEf",
        "account 999999999999",
        f"account {ACCOUNT}",
    ),
    (
        "RotationLambdaARN",
        f"arn:aws:lambda:{REGION}:210987654321:function:f",
        "account 210987654321",
        f"account {ACCOUNT}",
    ),
    ("RotationLambdaARN", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f:live", *REGIONS),
    ("RotationLambdaARN", "210987654321:function:f", "account 210987654321", f"account {ACCOUNT}"),
    ("RoleName", "arn:aws:iam::999999999999:role/rotation-role", "account 999999999999", f"account {ACCOUNT}"),
    (
        "RoleName",
        f"arn:aws-us-gov:iam::{ACCOUNT}:role/deep/rotation-role",
        "partition aws-us-gov",
        "partition aws",
    ),
]


@pytest.mark.parametrize(("name", "value", "there", "here"), ELSEWHERE)
def test_what_is_in_another_account_region_or_partition_is_refused_before_any_call(
    account: Account, name: str, value: str, there: str, here: str
) -> None:
    reason = error_message(account, **({"SecretId": "prod/db"} | {name: value}))
    assert (
        reason
        == f'{name} "{value}" is in {there}, but the provider serves {here}. Correct it, or use a provider there.'
    )
    assert account.actions() == []


def test_a_reported_function_in_another_account_is_refused_before_any_call_on_it(account: Account) -> None:
    account.secret("managed")
    reported = f"arn:aws:lambda:{REGION}:210987654321:function:f"
    aws = managed_secret(account, RotationLambdaARN=reported)
    for look_up in (inspect, find_function):
        with pytest.raises(RequestError) as refused:
            look_up(aws, parse_properties({"SecretId": "managed"}), PLACE)
        expected = (
            f'SecretId "managed" reports the rotation function "{reported}", which is in account 210987654321, but'
        )
        assert str(refused.value).startswith(expected)
    assert "lambda:GetFunctionConfiguration" not in account.actions()


def test_a_partial_function_arn_of_the_own_account_is_accepted(account: Account, function: str) -> None:
    assert function.split(":")[4] == ACCOUNT
    properties = parse_properties({"SecretId": "prod/db", "RotationLambdaARN": f"{ACCOUNT}:function:rotate-db"})
    check_place(properties, PLACE)


# --- declared mode ---


@pytest.mark.parametrize(("subnets", "in_vpc"), [([], False), (["subnet-1"], True)])
def test_declared_mode_does_not_look_up_a_function(account: Account, subnets: list[str], in_vpc: bool) -> None:
    account.secret()
    arn = account.role(path="/deep/")
    for given in ("rotation-role", arn):
        state = inspected_state(account, SecretId="prod/db", RoleName=given, VpcConfig={"SubnetIds": subnets})
        assert (state.role.name, state.role.arn) == ("rotation-role", arn)
        assert (state.function_arn, state.in_vpc) == ("", in_vpc)
        assert account.actions() == [
            "secretsmanager:DescribeSecret",
            "secretsmanager:ListSecretVersionIds",
            "iam:GetRole",
        ]


def test_declared_mode_rejects_a_role_that_does_not_exist(account: Account) -> None:
    account.secret()
    reason = error_message(account, SecretId="prod/db", RoleName="nowhere", VpcConfig={})
    assert reason.startswith('RoleName "nowhere": the role does not exist in this account.')
    account.role(path="/deep/")
    reason = error_message(
        account, SecretId="prod/db", RoleName=f"arn:aws:iam::{ACCOUNT}:role/rotation-role", VpcConfig={}
    )
    assert "is not the ARN of the role with this name" in reason


TRUST_POLICIES: list[tuple[Any, bool]] = [
    ({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}, True),
    (
        [
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"},
            {
                "Effect": "Allow",
                "Principal": {"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]},
                "Action": ["sts:TagSession", "sts:AssumeRole"],
            },
        ],
        True,
    ),
    ({"Effect": "Allow", "Principal": "*", "Action": ["sts:AssumeRole"]}, True),
    ({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}, False),
    ({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:TagSession"}, False),
    ({"Effect": "Deny", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}, False),
    ({"Effect": "Allow", "Principal": {"AWS": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}, False),
]


@pytest.mark.parametrize(("statement", "trusted"), TRUST_POLICIES)
def test_declared_mode_requires_a_role_thatlambda_can_assume(account: Account, statement: Any, trusted: bool) -> None:
    account.secret()
    account.role()
    trust = json.dumps({"Version": "2012-10-17", "Statement": statement})
    account.client("iam").update_assume_role_policy(RoleName="rotation-role", PolicyDocument=trust)
    if trusted:
        assert (
            inspected_state(account, SecretId="prod/db", RoleName="rotation-role", VpcConfig={}).role.name
            == "rotation-role"
        )
    else:
        reason = error_message(account, SecretId="prod/db", RoleName="rotation-role", VpcConfig={})
        assert "Lambda cannot assume this role. Allow sts:AssumeRole" in reason


# --- partitions, denials, failures ---


@pytest.mark.parametrize(
    ("region", "suffix"),
    [("eu-central-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn"), ("us-gov-west-1", "amazonaws.com")],
)
def test_the_dns_suffix_is_that_of_the_partition(account: Account, region: str, suffix: str) -> None:
    partition = BOTOCORE_SESSION.get_partition_for_region(region)
    assert WatchedAws(account).dns_suffix(partition) == suffix


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("secretsmanager:DescribeSecret", "AccessDeniedException"),
        ("secretsmanager:ListSecretVersionIds", "AccessDeniedException"),
        ("lambda:GetFunctionConfiguration", "AccessDeniedException"),
    ],
)
def test_the_error_for_a_denied_call_names_the_action(account: Account, function: str, action: str, code: str) -> None:
    account.secret()
    account.faults[action] = [error(code)]
    with pytest.raises(AccessDeniedError) as denied:
        inspected_state(account, SecretId="prod/db", RotationLambdaARN=function)
    assert denied.value.action == action
    assert action in str(denied.value)[-240:]


@pytest.mark.parametrize(
    ("action", "key"),
    [
        ("secretsmanager:DescribeSecret", False),
        ("secretsmanager:ListSecretVersionIds", False),
        ("kms:DescribeKey", True),
        ("lambda:GetFunctionConfiguration", False),
    ],
)
def test_the_error_for_a_failed_call_has_its_action_and_error_code(
    account: Account, function: str, action: str, key: bool
) -> None:
    account.secret(key=account.key() if key else None)
    account.faults[action] = [error("InternalServiceError", "Try later")]
    with pytest.raises(AwsApiError, match=f'{action} failed with InternalServiceError: "Try later"'):
        inspected_state(account, SecretId="prod/db", RotationLambdaARN=function)


def test_the_error_for_a_denied_secret_says_that_the_secret_may_not_exist(account: Account) -> None:
    account.faults["secretsmanager:DescribeSecret"] = [error("AccessDeniedException")]
    with pytest.raises(RequestError) as rejected:
        inspected_state(account, SecretId="prod/typo", RotationLambdaARN="rotate-db")
    text = reason(rejected.value)
    assert text.startswith(
        'SecretId "prod/typo": AWS denies the provider secretsmanager:DescribeSecret. If the secret exists in'
    )
    for cause in ("SCPs", "the secret's resource policy", "SecretNamePattern and RequiredSecretTag"):
        assert cause in text[-240:]


def test_the_error_for_a_deleted_rotation_function_names_the_function(account: Account, function: str) -> None:
    account.secret()
    account.client("secretsmanager").rotate_secret(SecretId="prod/db", RotationLambdaARN=function)
    account.client("lambda").delete_function(FunctionName="rotate-db")
    text = error_message(account, SecretId="prod/db")
    assert text.startswith(
        f'SecretId "prod/db" reports the rotation function "{function}": the function does not exist in eu-central-1.'
    )
    assert text.endswith("Correct the secret's rotation, or give RotationLambdaARN.")


@pytest.mark.parametrize(("action", "trusted"), [("sts:Assume*", True), ("STS:assumerole", True), ("sts:Tag*", False)])
def test_an_action_in_a_trust_policy_can_have_a_wildcard(action: str, trusted: bool) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": action}
    assert can_assume(parse({"Statement": statement}), LAMBDA) is trusted


# --- the role of a Delete without a role in its physical ID ---


def test_the_role_of_a_delete_needs_no_call_if_role_name_is_given(account: Account) -> None:
    declared = parse_properties({"SecretId": "gone", "RoleName": f"arn:aws:iam::{ACCOUNT}:role/deep/rotation-role"})
    assert find_role_name(WatchedAws(account), declared, PLACE) == "rotation-role"
    assert account.calls == []


def test_the_role_of_a_delete_is_the_execution_role_of_the_function(account: Account, function: str) -> None:
    declared = parse_properties({"SecretId": "gone", "RotationLambdaARN": function})
    assert find_role_name(WatchedAws(account), declared, PLACE) == "rotation-role"
    assert account.actions() == ["lambda:GetFunctionConfiguration"]


def test_the_role_of_a_delete_is_found_through_a_secret_that_is_scheduled_for_deletion(
    account: Account, function: str
) -> None:
    account.secret()
    client = account.client("secretsmanager")
    client.rotate_secret(SecretId="prod/db", RotationLambdaARN=function)
    client.delete_secret(SecretId="prod/db", RecoveryWindowInDays=7)
    assert find_role_name(WatchedAws(account), parse_properties({"SecretId": "prod/db"}), PLACE) == "rotation-role"


def test_the_role_of_a_delete_is_found_through_any_secret_that_exists(account: Account, function: str) -> None:
    account.secret()
    account.client("secretsmanager").rotate_secret(SecretId="prod/db", RotationLambdaARN=function)
    declared = parse_properties({"SecretIds": ["gone", "prod/db"]})
    assert find_role_name(WatchedAws(account), declared, PLACE) == "rotation-role"
