"""What a change behind CloudFormation's back, or of the function, does to an existing policy.

The secret reports another function, the function leaves its VPC, or it gets a key for its environment variables.
"""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emulator.code import zip_code
from emulator.server import ACCOUNT_ID, REGION
from emulator.stack import Stack, StackError
from tests import ROOT
from tests.e2e.account import EmulatedAccount, deployed_account
from tests.e2e.test_end_to_end import (
    KEY,
    TRUST,
    function,
    key_arn,
    one_secret,
    own_policy,
    role,
    rotation_policy,
    secret,
    template,
)

VPC_CONFIG = {"SubnetIds": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
VPC_ACCESS = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
NETWORK_SIDS = ["ManageNetworkInterfaces", "KeepNetworkInterfacesFromCode"]
FUNCTIONS = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedAccount]:
    with deployed_account(tmp_path_factory.mktemp("changes")) as account:
        yield account


@pytest.fixture
def name(account: EmulatedAccount) -> Iterator[str]:
    """A unique name for a stack and its resources. The stack is deleted after the test."""
    unique_name = f"e2e-{uuid.uuid4().hex[:8]}"
    yield unique_name
    Stack(account.emulator, unique_name).delete()


def sids(account: EmulatedAccount, stack: Stack) -> list[str]:
    """Return the `Sid`s of the stack's policy."""
    return [statement["Sid"] for statement in own_policy(account, stack)["Statement"]]


def run_command(account: EmulatedAccount, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with the permissions of the account's administrator."""
    environment = account.emulator.environment | {"PYTHONPATH": f"{ROOT / 'handler'}:{ROOT / 'cli'}"}
    command = [sys.executable, "-m", "rotation_role_policy_cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


# --- who decides which role gets the policy ---


@dataclass
class Redirection:
    """A stack whose resource names neither function nor role, and somebody who has a function with a role of his own.

    The provider may put policies on his role, too.
    """

    account: EmulatedAccount
    stack: Stack

    @property
    def name(self) -> str:
        """The name of the stack, and of the function and the role in it."""
        return self.stack.name

    @property
    def his(self) -> str:
        """The name of his function and his role."""
        return f"{self.name}-his"

    def resources(self, **properties: Any) -> dict[str, Any]:
        """Return the stack's resources, with further properties of the resource."""
        secrets = {"SecretIds": [{"Ref": "Secret"}, {"Ref": "Second"}], "SuperuserSecretId": {"Ref": "Superuser"}}
        policy = rotation_policy(**secrets, **properties)
        others = {"Second": secret(f"{self.name}-second"), "Superuser": secret(f"{self.name}-superuser")}
        return one_secret(self.name) | others | {"Policy": policy}

    def create(self) -> dict[str, Any]:
        """Create the stack, and return the policies of its role."""
        resources = self.resources()
        policy = resources.pop("Policy")
        self.stack.create(template(**resources))
        self._report(self.account.client("secretsmanager"), self.name)
        self.stack.update(template(**resources, Policy=policy))
        assert self.stack.outputs["RoleName"] == self.name
        return self.account.policies(self.name)

    def redirect(self) -> None:
        """Make one of the secrets report his function, as somebody who has only this permission."""
        iam = self.account.client("iam")
        arn = iam.create_role(RoleName=self.his, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        self.account.client("lambda").create_function(
            FunctionName=self.his,
            Role=arn,
            Runtime="python3.13",
            Handler="index.handler",
            Code={"ZipFile": zip_code("def handler(event, context): pass")},
        )
        statement = {"Effect": "Allow", "Action": "secretsmanager:RotateSecret", "Resource": self._secret()["ARN"]}
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        iam.create_user(UserName=self.his)
        iam.put_user_policy(UserName=self.his, PolicyName="policy", PolicyDocument=document)
        credentials = iam.create_access_key(UserName=self.his)["AccessKey"]
        self._report(self.account.emulator.client("secretsmanager", credentials=credentials), self.his)
        assert self._secret()["RotationLambdaARN"] == f"{FUNCTIONS}:{self.his}"

    def put_policy_on_his_role(self, policy_name: str) -> dict[str, Any]:
        """Put a policy with this name on his role, which he may do, and return the policies of his role."""
        statement = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam = self.account.client("iam")
        iam.put_role_policy(RoleName=self.his, PolicyName=policy_name, PolicyDocument=document)
        return self.account.policies(self.his)

    def _report(self, client: Any, function_name: str) -> None:
        client.rotate_secret(
            SecretId=f"e2e/{self.name}", RotationLambdaARN=f"{FUNCTIONS}:{function_name}", RotateImmediately=False
        )

    def _secret(self) -> dict[str, Any]:
        described: dict[str, Any] = self.account.client("secretsmanager").describe_secret(SecretId=f"e2e/{self.name}")
        return described


@pytest.fixture
def redirection(account: EmulatedAccount, name: str) -> Redirection:
    return Redirection(account, Stack(account.emulator, name))


def test_a_secret_that_reports_another_function_does_not_move_the_policy(
    account: EmulatedAccount, redirection: Redirection, tmp_path: Path
) -> None:
    stack, name, his = redirection.stack, redirection.name, redirection.his
    before = redirection.create()
    redirection.redirect()
    changed = template(**redirection.resources(Triggers={"Deployment": "2"}))

    (tmp_path / "template.json").write_text(changed)
    preview = run_command(account, "preview", "--template", str(tmp_path / "template.json"), "--stack", name)
    page = " ".join(preview.stdout.split())

    with pytest.raises(StackError) as failed:
        stack.update(changed)
    assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
    reason = failed.value.reason
    assert re.search(rf'"{FUNCTIONS}:{his}" with the role "{his}", but .* is on the role "{name}"', reason)
    assert reason.endswith("If this change is yours, give RotationLambdaARN. Otherwise correct the secret's rotation.")
    assert (preview.returncode, f"Refused: {reason}" in page) == (1, True)
    assert (account.policies(name), account.policies(his)) == (before, {})
    assert stack.physical_id("Policy").startswith(f"{name}/")


def test_a_rollback_does_not_move_the_policy_to_the_reported_role_even_if_that_has_one_of_its_name(
    account: EmulatedAccount, redirection: Redirection
) -> None:
    """The failed update names the function, so that it writes the policy. The properties before it do not."""
    stack, name, his = redirection.stack, redirection.name, redirection.his
    before = redirection.create()
    redirection.redirect()
    planted = redirection.put_policy_on_his_role(stack.outputs["PolicyName"])
    invalid = rotation_policy(SecretId="e2e/nowhere", RoleName=name) | {"DependsOn": "Policy"}
    resources = redirection.resources(RotationLambdaARN={"Fn::GetAtt": ["Function", "Arn"]})
    with pytest.raises(StackError) as failed:
        stack.update(template(**resources, Invalid=invalid))
    assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
    assert [failure.logical_id for failure in failed.value.failures] == ["Invalid"]
    assert (account.policies(name), account.policies(his)) == (before, planted)
    assert stack.physical_id("Policy").startswith(f"{name}/")

    # The advice of the refusal: name the function.
    stack.update(template(**resources))
    assert (account.policies(name), account.policies(his)) == (before, planted)
    stack.delete()
    assert account.policies(his) == planted


@pytest.mark.parametrize("is_redirected", [False, True])
def test_a_rollback_moves_the_policy_back_only_to_the_role_from_before_the_update(
    account: EmulatedAccount, redirection: Redirection, is_redirected: bool
) -> None:
    """The failed update moves the policy to a function that it names, before somebody redirects the secret or not."""
    stack, name, second = redirection.stack, redirection.name, f"{redirection.name}-2"
    before = redirection.create()
    if is_redirected:
        redirection.redirect()
    successor = {"SecondRole": role(second), "SecondFunction": function(second, "SecondRole")}
    invalid = rotation_policy(SecretId="e2e/nowhere", RoleName=name) | {"DependsOn": "Policy"}
    moved = redirection.resources(RotationLambdaARN={"Fn::GetAtt": ["SecondFunction", "Arn"]})
    with pytest.raises(StackError) as failed:
        stack.update(template(**moved, **successor, Invalid=invalid))
    assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
    assert [failure.logical_id for failure in failed.value.failures] == ["Invalid"]
    writes = [line["role"] for line in account.log() if line["message"] == "policy written" and is_of(line, stack)]
    assert second in writes
    assert account.policies(name) == before
    assert stack.physical_id("Policy").startswith(f"{name}/")
    if is_redirected:
        assert account.policies(redirection.his) == {}
    # A role with a policy that the stack does not know could not be deleted.
    stack.delete()
    assert stack.status == "DELETE_COMPLETE"


def is_of(line: dict[str, Any], stack: Stack) -> bool:
    """Return whether a line of the provider's log is about a stack."""
    return f":stack/{stack.name}/" in line.get("stack", "")


def test_a_function_that_gets_another_role_moves_the_policy_only_if_the_template_names_the_function(
    account: EmulatedAccount, redirection: Redirection
) -> None:
    stack, name, second = redirection.stack, redirection.name, f"{redirection.name}-2"
    before = redirection.create()

    def resources(**properties: Any) -> str:
        others = {"SecondRole": role(second), "Function": function(name, "SecondRole")}
        return template(**redirection.resources(**properties) | others)

    with pytest.raises(StackError, match=f'with the role "{second}", but .* is on the role "{name}"') as failed:
        stack.update(resources(Triggers={"Role": {"Ref": "SecondRole"}}))
    assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
    assert account.policies(name) == before

    stack.update(resources(RotationLambdaARN={"Fn::GetAtt": ["Function", "Arn"]}))
    assert account.policies(second) == before
    assert list(account.policies(name)) == ["other-policy"]


# --- a function leaves its VPC ---


def test_the_statements_for_the_vpc_stay_for_an_hour_if_a_function_leaves_it(
    account: EmulatedAccount, name: str
) -> None:
    def resources(count: int, modified: datetime | None = None, **vpc: Any) -> str:
        resources = one_secret(name, Triggers={"Deployment": count})
        resources["Function"]["Properties"] |= vpc
        if modified:
            tag = {"Key": "emulator:LastModified", "Value": f"{modified:%Y-%m-%dT%H:%M:%S.000%z}"}
            resources["Function"]["Properties"]["Tags"] = [tag]
        resources["Role"]["Properties"]["ManagedPolicyArns"] = [VPC_ACCESS]
        return template(**resources)

    stack, now = Stack(account.emulator, name), datetime.now(UTC)
    stack.create(resources(1, VpcConfig=VPC_CONFIG))
    before = own_policy(account, stack)
    assert (sids(account, stack)[-2:], stack.outputs["InVpc"]) == (NETWORK_SIDS, "true")
    for count, modified in enumerate((None, now - timedelta(minutes=58)), 2):
        stack.update(resources(count, modified))
        assert (own_policy(account, stack), stack.outputs["InVpc"]) == (before, "false")
    assert account.rotate(name, f"e2e/{name}") == ""
    stack.update(resources(4, now - timedelta(minutes=61)))
    assert sids(account, stack) == ["RotateSecret", "GeneratePassword"]


def test_in_declared_mode_the_statements_for_the_vpc_stay_until_the_update_after_the_function_has_left(
    account: EmulatedAccount, name: str
) -> None:
    def resources(count: int, vpc_config: dict[str, Any]) -> str:
        properties = {"RoleName": {"Ref": "Role"}, "VpcConfig": vpc_config, "Triggers": {"Deployment": count}}
        return template(
            Secret=secret(name),
            Role=role(name),
            Policy=rotation_policy(SecretId={"Ref": "Secret"}, **properties),
            Function=function(name, DependsOn="Policy", Properties={"VpcConfig": vpc_config}),
        )

    stack = Stack(account.emulator, name)
    no_vpc: dict[str, Any] = {"SubnetIds": [], "SecurityGroupIds": []}
    stack.create(resources(1, VPC_CONFIG))
    before = own_policy(account, stack)
    assert (sids(account, stack)[-2:], stack.outputs["InVpc"]) == (NETWORK_SIDS, "true")
    # CloudFormation changes the policy before the function.
    stack.update(resources(2, no_vpc))
    assert (own_policy(account, stack), stack.outputs["InVpc"]) == (before, "false")
    stack.update(resources(3, no_vpc))
    assert sids(account, stack) == ["RotateSecret", "GeneratePassword"]


# --- another key of a secret ---


@pytest.mark.parametrize(
    ("scope", "after_the_change"),
    [("Secret", set()), ("Key", {"ActionNotGranted", "PolicyDrift"})],
)
def test_the_audit_finds_nothing_about_keys_with_the_scope_secret_whatever_the_key_is(
    account: EmulatedAccount, name: str, scope: str, after_the_change: set[str]
) -> None:
    properties = {"KmsScope": scope, "SuperuserSecretId": {"Ref": "Superuser"}}
    others = {"Key": KEY, "Second": KEY, "Superuser": secret(f"{name}-superuser")}
    stack = Stack(account.emulator, name)
    stack.create(template(**one_secret(name, **properties) | {"Secret": secret(name, "Key")} | others))
    secrets = account.client("secretsmanager")
    secrets.rotate_secret(SecretId=f"e2e/{name}", RotationLambdaARN=f"{FUNCTIONS}:{name}", RotateImmediately=False)

    def findings() -> set[str]:
        report = json.loads(run_command(account, "audit", "--json").stdout)
        codes = {"ActionNotGranted", "PolicyDrift", "KmsAllKeys", "KmsWithoutEncryptionContext", "RedundantGrant"}
        return {each["code"] for each in report["findings"] if name in json.dumps(each)} & codes

    assert findings() == set()
    for each in (f"e2e/{name}", f"e2e/{name}-superuser"):
        secrets.update_secret(SecretId=each, KmsKeyId=stack.physical_id("Second"))
    assert findings() == after_the_change


# --- the key of the environment ---


def can_decrypt_environment(account: EmulatedAccount, role_name: str, key: str, function_arn: str) -> bool:
    """Return whether a role can decrypt what Lambda has encrypted for a function. The emulator's Lambda does not."""
    call = {"KeyId": key, "EncryptionContext": {"aws:lambda:FunctionArn": function_arn}}
    encrypted = account.client("kms").encrypt(**call, Plaintext=b"a variable")["CiphertextBlob"]
    arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{role_name}"
    assumed = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="lambda")
    try:
        account.emulator.client("kms", credentials=assumed["Credentials"]).decrypt(**call, CiphertextBlob=encrypted)
    except ClientError as error:
        assert "AccessDenied" in error.response["Error"]["Code"]
        return False
    return True


def test_the_role_can_decrypt_the_environment_of_the_function_also_if_the_key_was_disabled_meanwhile(
    account: EmulatedAccount, name: str
) -> None:
    def resources(count: int) -> str:
        resources = one_secret(name, Triggers={"Deployment": count}) | {"Key": KEY}
        resources["Function"]["Properties"]["KmsKeyArn"] = {"Fn::GetAtt": ["Key", "Arn"]}
        return template(**resources)

    stack, kms = Stack(account.emulator, name), account.client("kms")
    stack.create(resources(1))
    before, key = own_policy(account, stack), key_arn(account, stack)
    assert sids(account, stack) == ["RotateSecret", "GeneratePassword", "DecryptEnvironment"]
    assert stack.outputs["KmsKeyArns"] == key
    assert can_decrypt_environment(account, name, key, f"{FUNCTIONS}:{name}")
    assert not can_decrypt_environment(account, name, key, f"{FUNCTIONS}:{name}-2")

    kms.disable_key(KeyId=key)
    stack.update(resources(2))
    assert own_policy(account, stack) == before
    warnings = [line for line in account.log() if line.get("stack") == stack.id and line["level"] == "WARNING"]
    assert [line for line in warnings if line.get("resource_arn") == key and "the key is Disabled" in line["detail"]]
    kms.enable_key(KeyId=key)
    assert can_decrypt_environment(account, name, key, f"{FUNCTIONS}:{name}")


def test_in_declared_mode_the_key_of_the_environment_is_a_property_that_can_be_an_alias(
    account: EmulatedAccount, name: str
) -> None:
    key = {"Fn::Sub": "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:${Alias}"}
    properties = {"RoleName": {"Ref": "Role"}, "VpcConfig": VPC_CONFIG, "KmsKeyArn": key}
    stack = Stack(account.emulator, name)
    stack.create(
        template(
            Key=KEY,
            Alias={
                "Type": "AWS::KMS::Alias",
                "Properties": {"AliasName": f"alias/{name}", "TargetKeyId": {"Ref": "Key"}},
            },
            Secret=secret(name),
            Role=role(name),
            Policy=rotation_policy(SecretId={"Ref": "Secret"}, **properties),
            Function=function(name, DependsOn="Policy", Properties={"VpcConfig": VPC_CONFIG, "KmsKeyArn": key}),
        )
    )
    assert sids(account, stack) == ["RotateSecret", "GeneratePassword", "DecryptEnvironment", *NETWORK_SIDS]
    assert stack.outputs["KmsKeyArns"] == key_arn(account, stack)
    assert can_decrypt_environment(account, name, key_arn(account, stack), f"{FUNCTIONS}:{name}")
    assert account.rotate(name, f"e2e/{name}") == ""
