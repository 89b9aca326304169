"""The behavior of AWS that `emulator/aws_behavior.py` adds to MiniStack, without the provider.

Each test also says what the other end-to-end tests rely on. It fails in MiniStack alone.
"""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emulator.code import zip_code
from emulator.rotation import rotate
from emulator.server import ACCOUNT_ID, REGION, Emulator
from emulator.stack import Stack, StackError
from tests import ROOT

ROTATION_CODE = (ROOT / "examples" / "rotation_function.py").read_text()
LOCAL = f"{REGION}:{ACCOUNT_ID}"
VPC_CONFIG = {"SubnetIds": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def allow(actions: str | list[str], resource: str = "*", **condition: Any) -> dict[str, Any]:
    """Return a statement. `condition` has operators, with their keys and values."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource, "Condition": condition}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class Account:
    """The clients of an account's root user, and what the tests create with them."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.iam, self.kms, self.functions, self.secrets = (
            emulator.client(service) for service in ("iam", "kms", "lambda", "secretsmanager")
        )

    def key(self) -> str:
        return str(self.kms.create_key()["KeyMetadata"]["Arn"])

    def secret(self, **parameters: Any) -> str:
        parameters = {"Name": f"s-{uuid.uuid4().hex}", "SecretString": '{"password": "old"}'} | parameters
        return str(self.secrets.create_secret(**parameters)["ARN"])

    def client(self, service: str, *statements: dict[str, Any]) -> Any:
        """Return a client of a new user with these permissions."""
        user = f"u-{uuid.uuid4().hex}"
        self.iam.create_user(UserName=user)
        self.iam.put_user_policy(UserName=user, PolicyName="policy", PolicyDocument=document(*statements))
        key = self.iam.create_access_key(UserName=user)["AccessKey"]
        return self.emulator.client(service, credentials=key)

    def role(self, *statements: dict[str, Any]) -> str:
        role = f"r-{uuid.uuid4().hex}"
        arn = self.iam.create_role(RoleName=role, AssumeRolePolicyDocument=document(TRUST))["Role"]["Arn"]
        if statements:
            self.iam.put_role_policy(RoleName=role, PolicyName="policy", PolicyDocument=document(*statements))
        return str(arn)

    def function(self, code: str, *statements: dict[str, Any]) -> str:
        """Create a function whose role has these permissions."""
        name = f"f-{uuid.uuid4().hex}"
        function = self.functions.create_function(
            FunctionName=name,
            Role=self.role(*statements),
            Runtime="python3.13",
            Handler="index.handler",
            Timeout=30,
            Code={"ZipFile": zip_code(code)},
        )
        return str(function["FunctionArn"])

    def keys_of_versions(self, secret: str) -> dict[str, str]:
        """Return the key of each version that has a label, keyed by its first label."""
        versions = self.secrets.list_secret_version_ids(SecretId=secret)["Versions"]
        return {version["VersionStages"][0]: version["KmsKeyIds"][0] for version in versions}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with Emulator(tmp_path_factory.mktemp("emulator")) as emulator:
        yield Account(emulator)


def error_code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


# --- condition keys ---


def test_only_the_code_of_a_function_has_the_function_as_its_source(account: Account) -> None:
    code = "import boto3\ndef handler(event, context):\n    boto3.client('kms').list_keys()"
    function = account.function(code)
    role = account.functions.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]

    def error(source: str) -> str:
        statement = allow("kms:ListKeys", ArnEquals={"lambda:SourceFunctionArn": source})
        account.iam.put_role_policy(RoleName=role, PolicyName="policy", PolicyDocument=document(statement))
        return str(json.load(account.functions.invoke(FunctionName=function)["Payload"]))

    assert error(function) == "None"
    assert "AccessDenied" in error(f"{function}-2")


def test_a_session_is_compared_with_its_role(account: Account) -> None:
    code = "import boto3\ndef handler(_, context):\n boto3.client('secretsmanager').list_secrets()"
    function = account.function(code, allow("secretsmanager:ListSecrets"))
    role_arn = account.functions.get_function_configuration(FunctionName=function)["Role"]
    name = role_arn.rpartition("/")[2]
    for principal, is_allowed in ((role_arn, True), (f"{role_arn}-2", False)):
        only = allow("secretsmanager:ListSecrets", StringEquals={"aws:PrincipalArn": principal})
        account.iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=document(only))
        response = account.functions.invoke(FunctionName=function)
        assert ("FunctionError" not in response) is is_allowed


def test_a_call_of_kms_itself_has_its_encryption_context_and_no_service(account: Account) -> None:
    key = account.key()
    context = {"SecretARN": "s"}
    for operator, allowed in (
        ({"StringEquals": {"kms:EncryptionContext:SecretARN": "s"}}, True),
        ({"StringEquals": {"kms:EncryptionContext:SecretARN": "another"}}, False),
        ({"Null": {"kms:EncryptionContext:SecretARN": "true"}}, False),
        ({"StringLike": {"kms:ViaService": "*"}}, False),
    ):
        kms = account.client("kms", allow("kms:GenerateDataKey", key, **operator))
        if allowed:
            assert kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)
        else:
            with pytest.raises(ClientError, match="AccessDenied"):
                kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)


def test_a_call_with_an_alias_needs_permission_on_the_key(account: Account) -> None:
    key, alias = account.key(), f"alias/a-{uuid.uuid4().hex}"
    account.kms.create_alias(AliasName=alias, TargetKeyId=key)
    on_key = account.client("kms", allow("kms:DescribeKey", key))
    on_alias = account.client("kms", allow("kms:DescribeKey", f"arn:aws:kms:{LOCAL}:{alias}"))
    for key_id in (alias, f"arn:aws:kms:{LOCAL}:{alias}"):
        assert on_key.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"] == key
        with pytest.raises(ClientError, match="AccessDenied"):
            on_alias.describe_key(KeyId=key_id)


# --- Secrets Manager and KMS ---


@pytest.mark.parametrize(
    ("condition_key", "value"),
    [
        ("kms:EncryptionContext:SecretARN", "SECRET"),
        ("kms:EncryptionContext:SecretVersionId", "VERSION"),
        ("kms:ViaService", f"secretsmanager.{REGION}.amazonaws.com"),
        ("kms:CallerAccount", ACCOUNT_ID),
        ("aws:ViaAWSService", "true"),
    ],
)
def test_get_secret_value_decrypts_as_its_caller(account: Account, condition_key: str, value: str) -> None:
    key = account.key()
    secret = account.secret(KmsKeyId=key)
    version = account.secrets.get_secret_value(SecretId=secret)["VersionId"]
    value = value.replace("SECRET", secret).replace("VERSION", version)

    def client(*statements: dict[str, Any]) -> Any:
        return account.client("secretsmanager", allow("secretsmanager:*"), *statements)

    allowed = client(allow("kms:Decrypt", key, StringEquals={condition_key: value}))
    assert allowed.get_secret_value(SecretId=secret)["SecretString"]
    denied = client(allow("kms:Encrypt", key), allow("kms:Decrypt", key, StringEquals={condition_key: f"{value}-2"}))
    with pytest.raises(ClientError, match="Access to KMS is not allowed") as failed:
        denied.get_secret_value(SecretId=secret)
    assert error_code(failed) == "AccessDeniedException"
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("missing", ["kms:GenerateDataKey", "kms:Decrypt"])
def test_storing_a_value_needs_a_data_key_and_decrypt(account: Account, missing: str) -> None:
    key = account.key()
    secret = account.secret(KmsKeyId=key)
    actions = [action for action in ("kms:GenerateDataKey", "kms:Decrypt") if action != missing]
    client = account.client("secretsmanager", allow(["secretsmanager:*", *actions]))
    with pytest.raises(ClientError, match="Access to KMS is not allowed"):
        client.put_secret_value(SecretId=secret, SecretString="new")
    client = account.client("secretsmanager", allow(["secretsmanager:*", "kms:GenerateDataKey", "kms:Decrypt"]))
    assert client.put_secret_value(SecretId=secret, SecretString="new")


def test_a_disabled_key_can_neither_decrypt_nor_encrypt(account: Account) -> None:
    key = account.key()
    secret = account.secret(KmsKeyId=key)
    account.kms.disable_key(KeyId=key)
    for call, parameters in (
        (account.secrets.get_secret_value, {}),
        (account.secrets.put_secret_value, {"SecretString": "new"}),
    ):
        with pytest.raises(ClientError, match="DecryptionFailure"):
            call(SecretId=secret, **parameters)


def test_another_key_re_encrypts_the_labelled_versions_if_the_caller_may_use_both(account: Account) -> None:
    first, second, third = (account.key() for _ in range(3))
    secret = account.secret(KmsKeyId=first)
    account.secrets.put_secret_value(SecretId=secret, SecretString="new")
    assert account.keys_of_versions(secret) == {"AWSCURRENT": first, "AWSPREVIOUS": first}

    account.client("secretsmanager", allow("secretsmanager:*")).update_secret(SecretId=secret, KmsKeyId=second)
    assert account.keys_of_versions(secret) == {"AWSCURRENT": first, "AWSPREVIOUS": first}
    account.secrets.put_secret_value(SecretId=secret, SecretString="newer")
    assert account.keys_of_versions(secret) == {"AWSCURRENT": second, "AWSPREVIOUS": first}

    permissions = [allow("kms:Decrypt", second), allow("kms:GenerateDataKey", third)]
    client = account.client("secretsmanager", allow("secretsmanager:*"), *permissions)
    client.update_secret(SecretId=secret, KmsKeyId=third)
    assert account.keys_of_versions(secret) == {"AWSCURRENT": third, "AWSPREVIOUS": first}
    account.secrets.update_secret(SecretId=secret, KmsKeyId=second)
    assert account.keys_of_versions(secret) == {"AWSCURRENT": second, "AWSPREVIOUS": second}


def test_a_stack_re_encrypts_a_secret_as_the_user_who_updates_the_stack(account: Account) -> None:
    stack = Stack(account.emulator, "re-encrypted")
    first, second, third = (account.key() for _ in range(3))

    def template(key: str) -> str:
        properties = {"Name": "re-encrypted", "SecretString": "x", "KmsKeyId": key}
        return json.dumps({"Resources": {"Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": properties}}})

    stack.create(template(first))
    stack.update(template(second))
    assert account.keys_of_versions("re-encrypted") == {"AWSCURRENT": second}
    deployer = account.client("cloudformation", allow("cloudformation:*"))
    deployer.update_stack(StackName=stack.name, TemplateBody=template(third))
    deployer.get_waiter("stack_update_complete").wait(StackName=stack.name, WaiterConfig={"Delay": 1})
    assert account.secrets.describe_secret(SecretId="re-encrypted")["KmsKeyId"] == third
    assert account.keys_of_versions("re-encrypted") == {"AWSCURRENT": second}


# --- rotation ---


def permissions(secret: str, key: str, *, actions: tuple[str, ...] = ("Decrypt", "GenerateDataKey")) -> Any:
    """Return the statements of a policy for a rotation function, as the provider writes them."""
    condition = {
        "kms:EncryptionContext:SecretARN": secret,
        "kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com",
    }
    calls = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
    return [
        allow([f"secretsmanager:{call}" for call in calls], secret),
        allow("secretsmanager:GetRandomPassword"),
        allow([f"kms:{action}" for action in actions], key, StringEquals=condition),
    ]


def test_rotate_secret_invokes_the_function_for_the_four_steps(account: Account) -> None:
    key = account.key()
    secret = account.secret(KmsKeyId=key)
    function = account.function(ROTATION_CODE, *permissions(secret, key))
    before = account.secrets.get_secret_value(SecretId=secret)
    assert rotate(account.emulator, secret, RotationLambdaARN=function) == ""
    after = account.secrets.get_secret_value(SecretId=secret)
    assert after["SecretString"] != before["SecretString"]
    described = account.secrets.describe_secret(SecretId=secret)
    assert (described["RotationEnabled"], described["RotationLambdaARN"]) == (True, function)
    assert described["VersionIdsToStages"][before["VersionId"]] == ["AWSPREVIOUS"]


@pytest.mark.parametrize(
    ("context", "actions"),
    [("another", ("Decrypt", "GenerateDataKey")), ("SECRET", ("Decrypt",))],
)
def test_a_rotation_ends_at_the_step_without_permission(
    account: Account, context: str, actions: tuple[str, ...]
) -> None:
    key = account.key()
    secret = account.secret(KmsKeyId=key)
    statements = permissions(secret, key, actions=actions)
    statements[2]["Condition"]["StringEquals"]["kms:EncryptionContext:SecretARN"] = context.replace("SECRET", secret)
    function = account.function(ROTATION_CODE, *statements)
    error = rotate(account.emulator, secret, RotationLambdaARN=function)
    assert error.startswith("failed in createSecret: ")
    assert "Access to KMS is not allowed" in error

    # The new version remains without a value, and the next RotateSecret attempts it again.
    stages = account.secrets.describe_secret(SecretId=secret)["VersionIdsToStages"]
    [pending] = [version for version, labels in stages.items() if labels == ["AWSPENDING"]]
    with pytest.raises(ClientError, match="ResourceNotFound"):
        account.secrets.get_secret_value(SecretId=secret, VersionId=pending)
    role = account.functions.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    enough = document(*permissions(secret, key))
    account.iam.put_role_policy(RoleName=role, PolicyName="policy", PolicyDocument=enough)
    assert rotate(account.emulator, secret) == ""
    assert account.secrets.get_secret_value(SecretId=secret)["VersionId"] == pending


# --- the policy simulator ---


def test_a_simulation_is_authorized_on_the_role(account: Account) -> None:
    role, other_role = account.role(), account.role()
    client = account.client("iam", allow("iam:SimulatePrincipalPolicy", role))
    assert client.simulate_principal_policy(PolicySourceArn=role, ActionNames=["s3:GetObject"])
    with pytest.raises(ClientError, match="AccessDenied"):
        client.simulate_principal_policy(PolicySourceArn=other_role, ActionNames=["s3:GetObject"])


# --- functions in a VPC ---


def test_the_function_of_a_stack_has_its_vpc_config(account: Account) -> None:
    properties = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Code": {"ZipFile": ROTATION_CODE},
        "Role": account.role(),
    }
    stack = Stack(account.emulator, "in-vpc")

    def template(**vpc: Any) -> str:
        return json.dumps({"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": properties | vpc}}})

    def subnets() -> Any:
        name = stack.physical_id("F")
        return account.functions.get_function_configuration(FunctionName=name).get("VpcConfig", {})["SubnetIds"]

    stack.create(template(VpcConfig=VPC_CONFIG))
    assert subnets() == VPC_CONFIG["SubnetIds"]
    stack.update(template())
    assert subnets() == []
    stack.update(template(VpcConfig=VPC_CONFIG))
    assert subnets() == VPC_CONFIG["SubnetIds"]


def test_the_function_of_a_stack_has_its_key_and_the_time_of_its_last_update(account: Account) -> None:
    properties = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Code": {"ZipFile": ROTATION_CODE},
        "Role": account.role(),
    }
    stack, key = Stack(account.emulator, "with-key"), account.key()

    def template(**further: Any) -> str:
        function = {"Type": "AWS::Lambda::Function", "Properties": properties | further}
        return json.dumps({"Resources": {"F": function}})

    def configuration() -> tuple[str, str]:
        name = stack.physical_id("F")
        found = account.functions.get_function_configuration(FunctionName=name)
        return str(found.get("KMSKeyArn", "")), found["LastModified"]

    earlier = "2026-01-01T00:00:00.000+0000"
    stack.create(template(KmsKeyArn=key, Tags=[{"Key": "emulator:LastModified", "Value": earlier}]))
    assert configuration() == (key, earlier)
    stack.update(template())
    key_after, modified = configuration()
    assert key_after == ""
    assert abs(datetime.now(UTC) - datetime.fromisoformat(modified)) < timedelta(minutes=1)


def test_a_request_of_cloudformation_has_the_time_of_its_signature(account: Account) -> None:
    code = """
import json, urllib.request
def handler(event, context):
    names = ("StackId", "RequestId", "LogicalResourceId")
    response = {"Status": "SUCCESS", "PhysicalResourceId": event["ResponseURL"]} | {n: event[n] for n in names}
    request = urllib.request.Request(event["ResponseURL"], json.dumps(response).encode(), method="PUT")
    urllib.request.urlopen(request)
"""
    properties = {"ServiceToken": account.function(code), "ServiceTimeout": "30"}
    stack = Stack(account.emulator, "signed")
    stack.create(json.dumps({"Resources": {"Signed": {"Type": "Custom::Signed", "Properties": properties}}}))
    _, _, signed_at = stack.physical_id("Signed").partition("?X-Amz-Date=")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(signed_at)) < timedelta(minutes=1)


# --- CloudFormation ---


def test_ref_of_a_secret_is_its_arn(account: Account) -> None:
    def template(value: str) -> str:
        secret = {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": "ref", "SecretString": value}}
        outputs = {"Ref": {"Value": {"Ref": "Secret"}}, "Id": {"Value": {"Fn::GetAtt": ["Secret", "Id"]}}}
        return json.dumps({"Resources": {"Secret": secret}, "Outputs": outputs})

    stack = Stack(account.emulator, "ref")
    stack.create(template("old"))
    arn = account.secrets.describe_secret(SecretId="ref")["ARN"]
    stack.update(template("new"))
    assert stack.outputs == {"Ref": arn, "Id": arn}
    assert account.secrets.get_secret_value(SecretId=arn)["SecretString"] == "new"
    stack.delete()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        account.secrets.describe_secret(SecretId=arn)


ROLE: dict[str, Any] = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [TRUST]},
        "ManagedPolicyArns": ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"],
        "Policies": [{"PolicyName": "own", "PolicyDocument": json.loads(document(allow("s3:ListBucket")))}],
    },
}


def role_stack(account: Account, role: dict[str, Any] = ROLE, **resources: Any) -> Stack:
    """Create a stack with a role that has the logical ID ``Role``."""
    stack = Stack(account.emulator, f"role-{uuid.uuid4().hex[:8]}")
    stack.create(json.dumps({"Resources": {"Role": role} | resources}))
    return stack


def test_a_stack_deletes_a_role_with_the_policies_of_its_own_resources(account: Account) -> None:
    properties = {"PolicyDocument": json.loads(document(allow("s3:GetObject"))), "Roles": [{"Ref": "Role"}]}
    inline = {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "inline"} | properties}
    managed = {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}
    stack = role_stack(account, Inline=inline, Managed=managed)
    role = stack.physical_id("Role")
    assert set(account.iam.list_role_policies(RoleName=role)["PolicyNames"]) == {"own", "inline"}
    assert len(account.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]) == 2
    stack.delete()
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.iam.get_role(RoleName=role)


@pytest.mark.parametrize("attached", [False, True], ids=["inline", "attached"])
def test_a_stack_does_not_delete_a_role_that_has_a_policy_of_somebody_else(account: Account, attached: bool) -> None:
    stack = role_stack(account)
    role = stack.physical_id("Role")
    foreign = {"RoleName": role, "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    if attached:
        account.iam.attach_role_policy(**foreign)
    else:
        account.iam.put_role_policy(RoleName=role, PolicyName="foreign", PolicyDocument=document(allow("s3:*")))
    with pytest.raises(StackError) as failed:
        stack.delete()
    assert failed.value.status == "DELETE_FAILED"
    assert [failure.logical_id for failure in failed.value.failures] == ["Role", stack.name]
    assert "DeleteConflict: Cannot delete entity, must " in failed.value.reason
    assert account.iam.get_role(RoleName=role)

    # Once the policy is gone, a second attempt deletes the rest.
    if attached:
        account.iam.detach_role_policy(**foreign)
    else:
        account.iam.delete_role_policy(RoleName=role, PolicyName="foreign")
    stack.delete()


def test_a_nested_stack_whose_role_cannot_be_deleted_fails_the_deletion_of_its_parent(account: Account) -> None:
    s3 = account.emulator.client("s3")
    s3.create_bucket(Bucket="nested", CreateBucketConfiguration={"LocationConstraint": REGION})
    outputs = {"Role": {"Value": {"Ref": "Role"}}}
    s3.put_object(Bucket="nested", Key="role", Body=json.dumps({"Resources": {"Role": ROLE}, "Outputs": outputs}))
    nested = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": "https://s3.amazonaws.com/nested/role"},
    }
    parent = Stack(account.emulator, "parent")
    parent.create(json.dumps({"Resources": {"Nested": nested}}))
    child = Stack(account.emulator, parent.physical_id("Nested"))
    role = child.outputs["Role"]
    account.iam.put_role_policy(RoleName=role, PolicyName="foreign", PolicyDocument=document(allow("s3:*")))
    with pytest.raises(StackError, match=r"Nested: Embedded stack .* failed to delete: \[Role\]") as failed:
        parent.delete()
    assert (failed.value.status, child.status) == ("DELETE_FAILED", "DELETE_FAILED")
    assert account.iam.get_role(RoleName=role)
    account.iam.delete_role_policy(RoleName=role, PolicyName="foreign")
    parent.delete()
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.iam.get_role(RoleName=role)


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_an_update_leaves_a_role_that_has_a_policy_of_somebody_else(account: Account, change: str) -> None:
    stack = role_stack(account, Secret={"Type": "AWS::SecretsManager::Secret"})
    role = stack.physical_id("Role")
    account.iam.put_role_policy(RoleName=role, PolicyName="foreign", PolicyDocument=document(allow("s3:*")))
    resources: dict[str, Any] = {"Secret": {"Type": "AWS::SecretsManager::Secret"}}
    if change == "replaced":
        resources["Role"] = ROLE | {"Properties": ROLE["Properties"] | {"RoleName": f"{role}-2"}}
    # As on AWS, a failure in the clean-up phase does not fail the update.
    stack.update(json.dumps({"Resources": resources}))
    deletions = [
        (event["ResourceStatus"], event["PhysicalResourceId"])
        for event in stack.events()
        if event["LogicalResourceId"] == "Role" and event["ResourceStatus"].startswith("DELETE_")
    ]
    assert deletions[0] == ("DELETE_FAILED", role)
    assert account.iam.get_role(RoleName=role)


# --- databases ---


def test_the_owning_service_of_a_secret_is_that_of_its_tag(account: Account) -> None:
    """RDS sets the tag. In the emulator, a test sets it."""
    secret = account.secret(Tags=[{"Key": "aws:secretsmanager:owningService", "Value": "rds"}])
    assert account.secrets.describe_secret(SecretId=secret)["OwningService"] == "rds"


def test_a_database_can_be_described_by_its_name_and_its_arn_with_permission_on_the_arn(account: Account) -> None:
    rds = account.emulator.client("rds")
    rds.create_db_instance(DBInstanceIdentifier="described", DBInstanceClass="db.t4g.micro", Engine="mariadb")
    rds.create_db_cluster(DBClusterIdentifier="described", Engine="aurora-mysql")
    arns = [f"arn:aws:rds:{LOCAL}:{kind}:described" for kind in ("db", "cluster")]
    client = account.client("rds", *(allow("rds:Describe*", arn) for arn in arns))
    for identifier in (arns[0], "described"):
        assert client.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    for identifier in (arns[1], "described"):
        assert client.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"]
    with pytest.raises(ClientError, match="AccessDenied"):
        client.describe_db_instances(DBInstanceIdentifier=f"{arns[0]}-2")


def test_a_rotation_can_be_configured_without_rotating(account: Account) -> None:
    function = account.function(ROTATION_CODE)
    secret = account.secret()
    account.secrets.rotate_secret(
        SecretId=secret,
        RotationLambdaARN=function,
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )
    described = account.secrets.describe_secret(SecretId=secret)
    assert described["RotationLambdaARN"] == function
    assert described["RotationRules"] == {"AutomaticallyAfterDays": 30}
    assert list(described["VersionIdsToStages"].values()) == [["AWSCURRENT"]]


def test_a_listed_secret_has_the_members_of_a_described_one(account: Account) -> None:
    function = account.function(ROTATION_CODE)
    key = account.key()
    tags = [{"Key": "emulator:NextRotationDate", "Value": "1767225600"}]
    secret = account.secret(KmsKeyId=key, Tags=tags)
    account.secrets.rotate_secret(SecretId=secret, RotationLambdaARN=function, RotateImmediately=False)
    pages = account.secrets.get_paginator("list_secrets").paginate()
    [listed] = [entry for page in pages for entry in page["SecretList"] if entry["ARN"] == secret]
    assert (listed["KmsKeyId"], listed["RotationLambdaARN"]) == (key, function)
    assert listed["NextRotationDate"].timestamp() == 1767225600


def test_the_bulk_read_of_roles_has_the_permissions_boundary(account: Account) -> None:
    policy = account.iam.create_policy(PolicyName=f"p-{uuid.uuid4().hex}", PolicyDocument=document(allow("*")))
    boundary = policy["Policy"]["Arn"]
    role = account.role().rpartition("/")[2]
    account.iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=boundary)
    details = account.iam.get_account_authorization_details(Filter=["Role"])["RoleDetailList"]
    boundaries = {detail["RoleName"]: detail.get("PermissionsBoundary") for detail in details}
    assert boundaries[role] == {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": boundary}
    assert [name for name, found in boundaries.items() if found] == [role]
