"""The situation: what DescribeSecret, DescribeKey, GetFunctionConfiguration and GetRole say, and what they cost."""

import json
from typing import Any

import pytest

from rotation_role_policy import inspection
from rotation_role_policy.arn import split_qualifier
from rotation_role_policy.errors import CallFailed, ProviderDenied, Refused
from rotation_role_policy.inspection import find_role_name, inspect
from rotation_role_policy.properties import declare
from rotation_role_policy.state import Situation
from tests.support.world import ACCOUNT, REGION, AlteredAws, WatchedAws, World, error, managed_secret

ALIAS_OF_AWS_MANAGED_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/secretsmanager"


def look(world: World, **properties: Any) -> Situation:
    """The situation of these properties; `world.calls` are the calls that it took."""
    world.calls.clear()
    return inspect(WatchedAws(world), declare(properties), ACCOUNT)


def refusal(world: World, **properties: Any) -> str:
    """Why these properties are refused."""
    with pytest.raises(Refused) as refused:
        look(world, **properties)
    assert len(str(refused.value)) <= 240
    return str(refused.value)


@pytest.fixture
def function(world: World) -> str:
    """A rotation function's ARN; its role is ``rotation-role``."""
    return world.function(world.role())


# --- secrets ---


def test_a_secret_is_known_by_its_full_arn_however_it_was_typed(world: World, function: str) -> None:
    full = world.secret()
    for typed in ("prod/db", full, full.rpartition("-")[0]):
        situation = look(world, SecretId=typed, RotationLambdaARN=function)
        assert [secret.arn for secret in situation.secrets] == [full]


def test_several_secrets_stand_in_the_order_given_each_once(world: World, function: str) -> None:
    second, first = world.secret("second"), world.secret("first")
    situation = look(world, SecretIds=["first", "second", first], RotationLambdaARN=function)
    assert [secret.arn for secret in situation.secrets] == [first, second]


def test_a_secret_that_does_not_exist_is_refused(world: World, function: str) -> None:
    assert refusal(world, SecretId="nowhere", RotationLambdaARN=function).startswith(
        'SecretId "nowhere": there is no such secret in eu-central-1.'
    )
    world.secret()
    assert "SuperuserSecretId" in refusal(
        world, SecretId="prod/db", SuperuserSecretId="nowhere", RotationLambdaARN=function
    )
    assert "SecretIds" in refusal(world, SecretIds=["prod/db", "nowhere"], RotationLambdaARN=function)


def test_a_secret_that_is_scheduled_for_deletion_is_refused(world: World, function: str) -> None:
    world.secret()
    world.secret("superuser")
    world.client("secretsmanager").delete_secret(SecretId="superuser", RecoveryWindowInDays=7)
    for properties in ({"SecretId": "superuser"}, {"SecretId": "prod/db", "SuperuserSecretId": "superuser"}):
        assert "scheduled for deletion. Restore it" in refusal(world, RotationLambdaARN=function, **properties)


def test_a_secret_that_another_service_manages_is_refused_but_may_be_the_superusers(
    world: World, function: str
) -> None:
    managed = world.secret("managed")
    world.secret()
    aws = managed_secret(world, OwningService="rds")
    with pytest.raises(Refused, match='this secret is managed by "rds", which rotates it itself'):
        inspect(aws, declare({"SecretId": "managed", "RotationLambdaARN": function}), ACCOUNT)

    declared = declare({"SecretId": "prod/db", "SuperuserSecretId": "managed", "RotationLambdaARN": function})
    superuser = inspect(aws, declared, ACCOUNT).superuser_secret
    assert superuser
    assert (superuser.arn, superuser.managed_by_rds, superuser.database_arns) == (managed, True, ())


@pytest.mark.parametrize("key", ["aws:rds:primaryDBInstanceArn", "aws:rds:primarydbinstancearn"])
def test_an_rds_managed_superuser_names_its_database_by_a_tag_of_any_case(
    world: World, function: str, key: str
) -> None:
    world.secret()
    world.secret("managed")
    declared = declare({"SecretId": "prod/db", "SuperuserSecretId": "managed", "RotationLambdaARN": function})
    database = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:prod"

    tags = [{"Key": "team", "Value": "data"}, {"Key": key, "Value": database}]
    superuser = inspect(managed_secret(world, OwningService="rds", Tags=tags), declared, ACCOUNT).superuser_secret
    assert superuser
    assert superuser.database_arns == (database,)

    # The tags of a secret that RDS does not manage are anybody's.
    superuser = inspect(managed_secret(world, Tags=tags), declared, ACCOUNT).superuser_secret
    assert superuser
    assert (superuser.managed_by_rds, superuser.database_arns) == (False, ())

    tags = [{"Key": key, "Value": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:*"}]
    with pytest.raises(Refused, match="is not the ARN of a DB instance or cluster"):
        inspect(managed_secret(world, OwningService="rds", Tags=tags), declared, ACCOUNT)


# --- keys ---


@pytest.mark.parametrize("spelling", [None, "alias/aws/secretsmanager", ALIAS_OF_AWS_MANAGED_KEY])
def test_the_aws_managed_key_needs_no_statement_and_no_call(world: World, function: str, spelling: str | None) -> None:
    world.secret(key=spelling)
    situation = look(world, SecretId="prod/db", RotationLambdaARN=function)
    assert situation.secrets[0].key_arn is None
    assert world.actions() == ["secretsmanager:DescribeSecret", "lambda:GetFunctionConfiguration"]


@pytest.mark.parametrize("spelling", ["id", "arn", "alias", "alias-arn"])
def test_a_customer_managed_key_is_known_by_its_key_arn_however_it_is_spelt(
    world: World, function: str, spelling: str
) -> None:
    key = world.key()
    world.client("kms").create_alias(AliasName="alias/mine", TargetKeyId=key)
    spelt = {
        "id": key.rpartition("/")[2],
        "arn": key,
        "alias": "alias/mine",
        "alias-arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/mine",
    }
    world.secret(key=spelt[spelling])
    situation = look(world, SecretId="prod/db", RotationLambdaARN=function)
    assert situation.secrets[0].key_arn == key
    assert world.actions().count("kms:DescribeKey") == 1


def test_a_key_that_serves_several_secrets_is_described_once(world: World, function: str) -> None:
    key = world.key()
    for name in ("a", "b", "superuser"):
        world.secret(name, key)
    situation = look(world, SecretIds=["a", "b"], SuperuserSecretId="superuser", RotationLambdaARN=function)
    assert situation.superuser_secret
    assert {secret.key_arn for secret in (*situation.secrets, situation.superuser_secret)} == {key}
    assert world.actions().count("kms:DescribeKey") == 1


def test_a_bare_key_id_is_a_key_of_the_secrets_own_account(world: World, function: str) -> None:
    theirs = f"arn:aws:secretsmanager:{REGION}:999999999999:secret:managed-AbCdEf"
    world.secret("managed")
    aws = managed_secret(world, ARN=theirs, KmsKeyId="alias/mine")
    with pytest.raises(Refused):
        inspect(aws, declare({"SecretId": "managed", "RotationLambdaARN": function}), ACCOUNT)
    assert world.calls[-1][1] == {"KeyId": f"arn:aws:kms:{REGION}:999999999999:alias/mine"}


def test_a_key_is_the_customers_only_if_describe_key_says_so(world: World, function: str) -> None:
    world.secret(key=world.key())
    declared = declare({"SecretId": "prod/db", "RotationLambdaARN": function})

    def by_aws(response: dict[str, Any]) -> dict[str, Any]:
        return {"KeyMetadata": response["KeyMetadata"] | {"KeyManager": "AWS"}}

    aws = AlteredAws(world, DescribeKey=by_aws)
    assert inspect(aws, declared, ACCOUNT).secrets[0].key_arn is None


def test_a_key_that_is_not_enabled_is_refused(world: World, function: str) -> None:
    key = world.key()
    world.secret(key=key)
    key_id = key.rpartition("/")[2]
    world.client("kms").disable_key(KeyId=key_id)
    assert "is Disabled, not Enabled. Enable the key" in refusal(world, SecretId="prod/db", RotationLambdaARN=function)
    world.client("kms").schedule_key_deletion(KeyId=key_id)
    assert "is PendingDeletion, not Enabled" in refusal(world, SecretId="prod/db", RotationLambdaARN=function)


def test_a_reason_shows_names_and_arns_in_full(world: World) -> None:
    key = world.key()
    name = "prod/" + "a-long-name/" * 20
    secret = world.secret(name, key=key)
    role = world.role("r" * 64, path="/a/path/of/its/own/" + "deep/" * 20)
    function = world.function(role, "rotate-" + "f" * 50)
    world.client("kms").disable_key(KeyId=key.rpartition("/")[2])
    for properties, shown in (
        ({"SecretId": secret}, key),
        ({"SecretId": name, "RoleName": f"{role}x"}, f"{role}x"),
        ({"SecretId": f"{name}x"}, f"{name}x"),
    ):
        with pytest.raises(Refused) as refused:
            look(world, **properties, RotationLambdaARN=function)
        assert f'"{shown}"' in str(refused.value)
    said = f"something went wrong with {secret}"
    world.faults["secretsmanager:DescribeSecret"] = [error("InternalServiceError", said)]
    with pytest.raises(CallFailed, match=said):
        look(world, SecretId=secret, RotationLambdaARN=function)


def test_a_key_that_does_not_exist_is_refused(world: World, function: str) -> None:
    world.secret(key="alias/nowhere")
    assert 'KMS key "alias/nowhere" does not exist' in refusal(world, SecretId="prod/db", RotationLambdaARN=function)


def test_a_full_key_arn_is_taken_unseen_where_describe_key_is_denied(world: World, function: str) -> None:
    theirs = f"arn:aws:kms:{REGION}:999999999999:key/11111111-1111-1111-1111-111111111111"
    world.secret(key=theirs)
    world.faults["kms:DescribeKey"] = [error("AccessDeniedException")]
    assert look(world, SecretId="prod/db", RotationLambdaARN=function).secrets[0].key_arn == theirs


@pytest.mark.parametrize("spelling", ["alias/theirs", f"arn:aws:kms:{REGION}:999999999999:alias/theirs", "1111-2222"])
def test_what_is_no_full_key_arn_is_refused_where_describe_key_is_denied(
    world: World, function: str, spelling: str
) -> None:
    world.secret(key=spelling)
    world.faults["kms:DescribeKey"] = [error("AccessDeniedException")]
    assert "kms:DescribeKey" in refusal(world, SecretId="prod/db", RotationLambdaARN=function)


# --- function and role ---


def test_the_function_is_the_one_that_the_secret_reports(world: World, function: str) -> None:
    world.secret()
    world.client("secretsmanager").rotate_secret(SecretId="prod/db", RotationLambdaARN=function)
    situation = look(world, SecretId="prod/db")
    assert situation.function_arn == function
    assert situation.role.name == "rotation-role"


def test_a_secret_that_reports_no_function_needs_one(world: World) -> None:
    world.secret()
    reason = refusal(world, SecretId="prod/db")
    assert reason.startswith('RotationLambdaARN is missing, and SecretId "prod/db" reports no rotation function.')


def test_secrets_that_report_different_functions_need_one(world: World, function: str) -> None:
    other = world.function(world.role("other"), "other")
    for name, arn in (("a", function), ("b", other)):
        world.secret(name)
        world.client("secretsmanager").rotate_secret(SecretId=name, RotationLambdaARN=arn)
    assert "Give RotationLambdaARN" in refusal(world, SecretIds=["a", "b"])
    assert look(world, SecretIds=["a", "b"], RotationLambdaARN=other).role.name == "other"
    world.secret("c")
    assert look(world, SecretIds=["c", "a"]).function_arn == function


@pytest.mark.parametrize("qualifier", ["", ":1", ":live", ":$LATEST"])
@pytest.mark.parametrize("prefix", ["", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"])
def test_a_function_may_be_qualified_and_is_answered_unqualified(
    world: World, function: str, prefix: str, qualifier: str
) -> None:
    world.secret()
    world.client("lambda").create_alias(FunctionName="rotate-db", Name="live", FunctionVersion="1")
    situation = look(world, SecretId="prod/db", RotationLambdaARN=f"{prefix}rotate-db{qualifier}")
    assert situation.function_arn == function
    expected = {"FunctionName": f"{prefix}rotate-db"} | ({"Qualifier": qualifier[1:]} if qualifier else {})
    assert world.calls[-1] == ("lambda:GetFunctionConfiguration", expected)


@pytest.mark.parametrize("qualifier", ["1", "live", "$LATEST", "$LATEST.PUBLISHED"])
def test_a_qualifier_is_a_version_or_an_alias(qualifier: str) -> None:
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db"
    assert split_qualifier(f"{function}:{qualifier}") == (function, qualifier)
    assert split_qualifier(function) == (function, None)


def test_a_function_that_does_not_exist_is_refused(world: World) -> None:
    world.secret()
    reason = refusal(world, SecretId="prod/db", RotationLambdaARN="nowhere")
    assert reason.startswith('RotationLambdaARN "nowhere": eu-central-1 has no such function.')


@pytest.mark.parametrize("in_vpc", [True, False])
def test_in_a_vpc_is_what_the_function_configuration_says(world: World, in_vpc: bool) -> None:
    world.secret()
    world.function(world.role(), vpc=world.vpc() if in_vpc else None)
    assert look(world, SecretId="prod/db", RotationLambdaARN="rotate-db").in_vpc is in_vpc


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
def test_in_a_vpc_means_a_vpc_id_or_subnets(world: World, function: str, vpc_config: Any, in_vpc: bool) -> None:
    world.secret()
    declared = declare({"SecretId": "prod/db", "RotationLambdaARN": function})
    aws = AlteredAws(world, GetFunctionConfiguration=lambda response: response | {"VpcConfig": vpc_config})
    assert inspect(aws, declared, ACCOUNT).in_vpc is in_vpc


def test_a_role_in_a_path_is_known_by_its_name_and_its_arn(world: World) -> None:
    world.secret()
    arn = world.role("with-path", "/service-role/deep/")
    world.function(arn)
    for typed in ({}, {"RoleName": "with-path"}, {"RoleName": arn}):
        role = look(world, SecretId="prod/db", RotationLambdaARN="rotate-db", **typed).role
        assert (role.name, role.arn) == ("with-path", arn)


@pytest.mark.parametrize(
    "other", ["other", f"arn:aws:iam::{ACCOUNT}:role/other", "arn:aws:iam::999999999999:role/rotation-role"]
)
def test_a_role_that_is_not_the_functions_is_refused(world: World, function: str, other: str) -> None:
    world.secret()
    reason = refusal(world, SecretId="prod/db", RotationLambdaARN=function, RoleName=other)
    assert reason.startswith("RoleName ")
    assert 'is not the execution role of the function, which is "rotation-role".' in reason


def test_a_function_of_another_account_is_refused_before_a_role_of_the_same_name_here_gets_its_policy(
    world: World, function: str
) -> None:
    world.secret()
    with pytest.raises(Refused, match="is not in the provider's account"):
        inspect(WatchedAws(world), declare({"SecretId": "prod/db", "RotationLambdaARN": function}), "999999999999")


# --- declared mode ---


@pytest.mark.parametrize(("subnets", "in_vpc"), [([], False), (["subnet-1"], True)])
def test_declared_mode_looks_no_function_up(world: World, subnets: list[str], in_vpc: bool) -> None:
    world.secret()
    arn = world.role(path="/deep/")
    for typed in ("rotation-role", arn):
        situation = look(world, SecretId="prod/db", RoleName=typed, VpcConfig={"SubnetIds": subnets})
        assert (situation.role.name, situation.role.arn) == ("rotation-role", arn)
        assert (situation.function_arn, situation.in_vpc) == ("", in_vpc)
        assert world.actions() == ["secretsmanager:DescribeSecret", "iam:GetRole"]


def test_declared_mode_refuses_a_role_that_is_not_there(world: World) -> None:
    world.secret()
    reason = refusal(world, SecretId="prod/db", RoleName="nowhere", VpcConfig={})
    assert reason.startswith('RoleName "nowhere": this account has no such role.')
    world.role(path="/deep/")
    reason = refusal(world, SecretId="prod/db", RoleName=f"arn:aws:iam::{ACCOUNT}:role/rotation-role", VpcConfig={})
    assert "is not the ARN of the role of that name" in reason


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
def test_declared_mode_wants_a_role_that_lambda_can_assume(world: World, statement: Any, trusted: bool) -> None:
    world.secret()
    world.role()
    trust = json.dumps({"Version": "2012-10-17", "Statement": statement})
    world.client("iam").update_assume_role_policy(RoleName="rotation-role", PolicyDocument=trust)
    if trusted:
        assert look(world, SecretId="prod/db", RoleName="rotation-role", VpcConfig={}).role.name == "rotation-role"
    else:
        reason = refusal(world, SecretId="prod/db", RoleName="rotation-role", VpcConfig={})
        assert "Lambda cannot assume this role. Let its trust policy allow sts:AssumeRole" in reason


# --- partitions, denials, failures ---


@pytest.mark.parametrize(
    ("region", "suffix"),
    [("eu-central-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn"), ("us-gov-west-1", "amazonaws.com")],
)
def test_the_dns_suffix_is_that_of_the_secrets_partition(world: World, region: str, suffix: str) -> None:
    partition = WatchedAws(world)._core.get_partition_for_region(region)
    assert WatchedAws(world).dns_suffix(partition) == suffix


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("secretsmanager:DescribeSecret", "AccessDeniedException"),
        ("lambda:GetFunctionConfiguration", "AccessDeniedException"),
    ],
)
def test_a_call_that_is_denied_to_the_provider_names_the_action_that_it_lacks(
    world: World, function: str, action: str, code: str
) -> None:
    world.secret()
    world.faults[action] = [error(code)]
    with pytest.raises(ProviderDenied) as denied:
        look(world, SecretId="prod/db", RotationLambdaARN=function)
    assert denied.value.action == action
    assert action in str(denied.value)[-240:]


@pytest.mark.parametrize(
    ("action", "key"),
    [
        ("secretsmanager:DescribeSecret", False),
        ("kms:DescribeKey", True),
        ("lambda:GetFunctionConfiguration", False),
    ],
)
def test_another_failure_is_reported_with_its_action_and_code(
    world: World, function: str, action: str, key: bool
) -> None:
    world.secret(key=world.key() if key else None)
    world.faults[action] = [error("InternalServiceError", "Try later")]
    with pytest.raises(CallFailed, match=rf"Try later.*{action}.*InternalServiceError"):
        look(world, SecretId="prod/db", RotationLambdaARN=function)


def test_a_secret_that_may_not_be_described_may_be_one_that_is_not_there(world: World) -> None:
    world.faults["secretsmanager:DescribeSecret"] = [error("AccessDeniedException")]
    reason = refusal(world, SecretId="prod/typo", RotationLambdaARN="rotate-db")
    assert reason.startswith(
        'SecretId "prod/typo": AWS denies the provider secretsmanager:DescribeSecret. If eu-central-1 has'
    )
    assert "SecretNamePattern and RequiredSecretTag" in reason[-240:]


def test_a_reported_function_that_is_gone_is_not_mistaken_for_the_secret(world: World, function: str) -> None:
    world.secret()
    world.client("secretsmanager").rotate_secret(SecretId="prod/db", RotationLambdaARN=function)
    world.client("lambda").delete_function(FunctionName="rotate-db")
    reason = refusal(world, SecretId="prod/db")
    assert reason.startswith(f'SecretId reports the rotation function "{function}": eu-central-1 has no such function')


@pytest.mark.parametrize(("action", "trusted"), [("sts:Assume*", True), ("STS:assumerole", True), ("sts:Tag*", False)])
def test_an_action_of_a_trust_policy_may_have_a_wildcard(action: str, trusted: bool) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": action}
    assert inspection._lambda_may_assume({"Statement": statement}) is trusted


# --- the role of a Delete that does not know it ---


def test_the_role_of_a_delete_needs_no_call_where_its_name_is_given(world: World) -> None:
    declared = declare({"SecretId": "gone", "RoleName": f"arn:aws:iam::{ACCOUNT}:role/deep/rotation-role"})
    assert find_role_name(WatchedAws(world), declared, ACCOUNT) == "rotation-role"
    assert world.calls == []


def test_the_role_of_a_delete_is_the_functions(world: World, function: str) -> None:
    declared = declare({"SecretId": "gone", "RotationLambdaARN": function})
    assert find_role_name(WatchedAws(world), declared, ACCOUNT) == "rotation-role"
    assert world.actions() == ["lambda:GetFunctionConfiguration"]


def test_the_role_of_a_delete_is_found_through_a_secret_that_is_scheduled_for_deletion(
    world: World, function: str
) -> None:
    world.secret()
    client = world.client("secretsmanager")
    client.rotate_secret(SecretId="prod/db", RotationLambdaARN=function)
    client.delete_secret(SecretId="prod/db", RecoveryWindowInDays=7)
    assert find_role_name(WatchedAws(world), declare({"SecretId": "prod/db"}), ACCOUNT) == "rotation-role"


def test_the_role_of_a_delete_is_found_through_any_secret_that_is_left(world: World, function: str) -> None:
    world.secret()
    world.client("secretsmanager").rotate_secret(SecretId="prod/db", RotationLambdaARN=function)
    declared = declare({"SecretIds": ["gone", "prod/db"]})
    assert find_role_name(WatchedAws(world), declared, ACCOUNT) == "rotation-role"
