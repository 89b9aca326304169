"""The deployed product: `sam build`, `sam deploy`, stacks that use the resource, with IAM enforced on everybody.

MiniStack enforces actions, resources and a resource's tags, but not the condition keys of KMS and Lambda, nor
`iam:PermissionsBoundary`: what these mean is judged in test_policy_meaning.py and test_provider_role.py.
"""

import http.server
import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo import rotation_function
from emulator.server import ACCOUNT_ID, REGION
from emulator.stack import Stack, StackFailed
from rotation_role_policy import __version__
from rotation_role_policy_cli import permissions
from tests import ROOT
from tests.e2e.account import EmulatedAccount, deployed

ROTATION_CODE = Path(rotation_function.__file__).read_text()


PARAMETERS = {"RoleNamePattern": "e2e-*", "SecretNamePattern": "e2e*"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedAccount]:
    """The account; the provider may serve the roles and secrets whose names begin with ``e2e``."""
    with deployed(tmp_path_factory.mktemp("end-to-end"), PARAMETERS) as account:
        yield account


@pytest.fixture
def name(account: EmulatedAccount) -> Iterator[str]:
    """A stack's name, and of its resources; what it leaves is deleted."""
    chosen = f"e2e-{uuid.uuid4().hex[:8]}"
    yield chosen
    Stack(account.emulator, chosen).delete()


TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def secret(name: str, key: str | None = None) -> dict[str, Any]:
    """A secret with a password; `key` is the logical id of its key."""
    properties: dict[str, Any] = {"Name": f"e2e/{name}", "SecretString": '{"username": "app", "password": "old"}'}
    if key:
        properties["KmsKeyId"] = {"Fn::GetAtt": [key, "Arn"]}
    return {"Type": "AWS::SecretsManager::Secret", "Properties": properties}


def role(name: str) -> dict[str, Any]:
    """An execution role with a policy of its owner's."""
    theirs = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}],
    }
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            "AssumeRolePolicyDocument": TRUST,
            "Policies": [{"PolicyName": "theirs", "PolicyDocument": theirs}],
        },
    }


def function(name: str, role: str = "Role", **more: Any) -> dict[str, Any]:
    """The rotation function with the guide's calls."""
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": name,
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Timeout": 30,
            "Role": {"Fn::GetAtt": [role, "Arn"]},
            "Code": {"ZipFile": ROTATION_CODE},
            **more.pop("Properties", {}),
        },
        **more,
    }


NOTHING = {"Effect": "Deny", "Action": "none:Exists", "Resource": "*"}
BOUNDARY = f"arn:aws:iam::{ACCOUNT_ID}:policy/rotation-boundary"
KEY = {"Type": "AWS::KMS::Key", "Properties": {"EnableKeyRotation": True}}


def rotation_policy(**properties: Any) -> dict[str, Any]:
    """The resource under test. The emulator is consistent at once, and waits an hour for an answer if not told less."""
    return {
        "Type": "Custom::RotationRolePolicy",
        "Properties": {
            "ServiceToken": {"Fn::ImportValue": "rotation-role-policy-ServiceToken"},
            "ServiceTimeout": "200",
            "PropagationDelay": 0,
            **properties,
        },
    }


ATTRIBUTES = ("PolicyName", "RoleName", "RoleArn", "FunctionArn", "InVpc", "SecretArns", "KmsKeyArns")


def template(**resources: Any) -> str:
    """A template of these resources; what `Ref` and `Fn::GetAtt` give of ``Policy`` are its outputs."""
    outputs = {name: {"Value": {"Fn::GetAtt": ["Policy", name]}} for name in ATTRIBUTES}
    if "Policy" not in resources:
        return json.dumps({"Resources": resources})
    return json.dumps({"Resources": resources, "Outputs": outputs | {"Ref": {"Value": {"Ref": "Policy"}}}})


def one_secret(name: str, **properties: Any) -> dict[str, Any]:
    """The common stack: a secret, a role, a function, the policy."""
    return {
        "Secret": secret(name),
        "Role": role(name),
        "Function": function(name),
        "Policy": rotation_policy(
            **({"SecretId": {"Ref": "Secret"}, "RotationLambdaARN": {"Fn::GetAtt": ["Function", "Arn"]}} | properties)
        ),
    }


def create(account: EmulatedAccount, name: str, resources: dict[str, Any]) -> Stack:
    """A new stack of this name."""
    stack = Stack(account.emulator, name)
    stack.create(template(**resources))
    return stack


def own_policy(account: EmulatedAccount, stack: Stack) -> Any:
    """The document that the stack's resource has put on the role."""
    outputs = stack.outputs
    return account.policies(outputs["RoleName"])[outputs["PolicyName"]]


def rotate(account: EmulatedAccount, name: str, secret_id: str | None = None) -> str:
    """Runs a rotation through its steps. Gives the error of the first that fails; empty where all succeed."""
    return account.rotate(name, secret_id or f"e2e/{name}")


def password(account: EmulatedAccount, name: str) -> str:
    value = account.client("secretsmanager").get_secret_value(SecretId=f"e2e/{name}")["SecretString"]
    return str(json.loads(value)["password"])


# --- the provider ---


def test_the_provider_is_exported_and_found_through_its_parameter(account: EmulatedAccount) -> None:
    token = account.provider.outputs["ServiceToken"]
    assert token == f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:rotation-role-policy"
    parameter = account.client("ssm").get_parameter(Name="/rotation-role-policy/service-token")
    assert parameter["Parameter"]["Value"] == token


def test_the_parameter_serves_as_a_service_token(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name, ServiceToken="{{resolve:ssm:/rotation-role-policy/service-token}}")
    assert own_policy(account, create(account, name, resources))


def test_a_role_that_the_provider_may_not_serve_is_refused_and_the_stack_rolls_back(
    account: EmulatedAccount, name: str
) -> None:
    resources = one_secret(name) | {"Role": role(name.replace("e2e-", "other-"))}
    with pytest.raises(StackFailed) as failed:
        create(account, name, resources)
    assert failed.value.status == "ROLLBACK_COMPLETE"
    assert failed.value.reason.startswith("AWS denies the provider iam:GetRolePolicy on ")


def test_the_provider_does_not_grant_itself_the_secrets(account: EmulatedAccount, name: str) -> None:
    own_role = account.provider.physical_id("ProviderRole")
    before = account.policies(own_role)
    # As if RoleNamePattern matched it, as the default does.
    iam = account.client("iam")
    allow = {"Effect": "Allow", "Action": "iam:*", "Resource": f"arn:aws:iam::{ACCOUNT_ID}:role/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName=own_role, PolicyName="any-role", PolicyDocument=document)
    try:
        policy = rotation_policy(SecretId={"Ref": "Secret"}, RoleName=own_role, VpcConfig={}, AccessCheck="Off")
        with pytest.raises(StackFailed, match="AWS denies the provider iam:PutRolePolicy"):
            create(account, name, {"Secret": secret(name), "Policy": policy})
    finally:
        iam.delete_role_policy(RoleName=own_role, PolicyName="any-role")
    assert account.policies(own_role) == before


def test_a_secret_that_the_provider_may_not_describe_is_refused(account: EmulatedAccount, name: str) -> None:
    account.client("secretsmanager").create_secret(Name=f"other/{name}", SecretString="{}")
    with pytest.raises(StackFailed, match="AWS denies the provider secretsmanager:DescribeSecret"):
        create(account, name, one_secret(name, SecretId=f"other/{name}"))


def test_each_permission_of_the_provider_is_needed(account: EmulatedAccount, name: str) -> None:
    """A permission that the provider lacked would show in any test here; this one shows that IAM is enforced on it."""
    iam, own_role = account.client("iam"), account.provider.physical_id("ProviderRole")
    resources = one_secret(name) | {"Key": KEY, "Secret": secret(name, "Key")}
    documents = account.policies(own_role)
    for policy_name in ("describe-secrets", "inspect-key-and-function", "put-own-policy-on-roles"):
        whole = documents[policy_name]
        try:
            for statement in whole["Statement"]:
                # Never empty, as IAM wants it.
                others = [other for other in whole["Statement"] if other is not statement] or [NOTHING]
                narrowed = json.dumps(whole | {"Statement": others})
                iam.put_role_policy(RoleName=own_role, PolicyName=policy_name, PolicyDocument=narrowed)
                if statement["Action"] == "kms:DescribeKey":
                    # The key is given by its full ARN: that is enough.
                    assert own_policy(account, create(account, name, resources))
                else:
                    with pytest.raises(StackFailed, match=f"AWS denies the provider {statement['Action']}"):
                        create(account, name, resources)
                Stack(account.emulator, name).delete()
        finally:
            iam.put_role_policy(RoleName=own_role, PolicyName=policy_name, PolicyDocument=json.dumps(whole))


# --- a required tag and boundary ---


@contextmanager
def requiring(account: EmulatedAccount, **parameters: str) -> Iterator[None]:
    """The provider's stack with these parameters too, for the length of the block."""
    client = account.client("cloudformation")
    template = client.get_template(StackName=account.provider.name, TemplateStage="Processed")["TemplateBody"]
    template = template if isinstance(template, str) else json.dumps(template)
    account.provider.update(template, **PARAMETERS, **parameters)
    try:
        yield
    finally:
        account.provider.update(template, **PARAMETERS)


TAG = {"Key": "rotation", "Value": "enabled"}


def tagged(resources: dict[str, Any], *logical_ids: str, tag: dict[str, str] = TAG) -> dict[str, Any]:
    """The resources, with the tag on those that `logical_ids` name."""
    for logical_id in logical_ids:
        resources[logical_id]["Properties"]["Tags"] = [tag]
    return resources


def test_with_required_tags_only_a_tagged_secret_and_a_tagged_role_are_served(
    account: EmulatedAccount, name: str
) -> None:
    with requiring(account, RequiredSecretTag="rotation=enabled", RequiredRoleTag="rotation=enabled"):
        for tags, denied, parameter in (
            (["Role"], "secretsmanager:DescribeSecret", "RequiredSecretTag"),
            (["Secret"], "iam:PutRolePolicy", "RequiredRoleTag"),
        ):
            with pytest.raises(StackFailed) as failed:
                create(account, name, tagged(one_secret(name), *tags))
            assert failed.value.status == "ROLLBACK_COMPLETE"
            assert re.search(f"AWS denies the provider {denied}.*{parameter}", failed.value.reason)
            Stack(account.emulator, name).delete()

        wrong = tagged(one_secret(name), "Secret", "Role", tag=TAG | {"Value": "Enabled"})
        with pytest.raises(StackFailed, match="RequiredSecretTag"):
            create(account, name, wrong)
        Stack(account.emulator, name).delete()

        create(account, name, tagged(one_secret(name), "Secret", "Role"))
        assert rotate(account, name) == ""


def test_a_policy_is_removed_after_its_secret_and_role_have_lost_what_is_required(
    account: EmulatedAccount, name: str
) -> None:
    stack = create(account, name, one_secret(name))
    policy = stack.outputs["PolicyName"]
    required = {"RequiredSecretTag": "a=b", "RequiredRoleTag": "a=b", "RequiredRoleBoundaryArn": BOUNDARY}
    with requiring(account, **required):
        assert policy in account.policies(name)
        resources = one_secret(name)
        del resources["Policy"]
        stack.update(template(**resources))
        assert list(account.policies(name)) == ["theirs"]
        stack.delete()
    assert stack.status == "DELETE_COMPLETE"


def test_with_a_required_boundary_no_policy_is_put_on_a_role_without_it(account: EmulatedAccount, name: str) -> None:
    with requiring(account, RequiredRoleBoundaryArn=BOUNDARY):
        with pytest.raises(StackFailed) as failed:
            create(account, name, one_secret(name))
        assert failed.value.status == "ROLLBACK_COMPLETE"
        assert re.search("AWS denies the provider iam:PutRolePolicy.*RequiredRoleBoundaryArn", failed.value.reason)
        Stack(account.emulator, name).delete()
    assert own_policy(account, create(account, name, one_secret(name)))


@pytest.mark.parametrize("required", [{"RequiredSecretTag": "a=b"}, {"RequiredRoleTag": "a=b"}])
def test_a_failed_update_rolls_back_after_its_secret_or_role_has_lost_the_tag(
    account: EmulatedAccount, name: str, required: dict[str, str]
) -> None:
    stack = create(account, name, one_secret(name))
    before = account.policies(name)
    with requiring(account, **required):
        with pytest.raises(StackFailed, match=next(iter(required))) as failed:
            stack.update(template(**one_secret(name, PolicyProfile="Documented")))
        assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
        assert account.policies(name) == before


# --- rotation under the policy ---


@pytest.mark.parametrize("profile", ["Strict", "Documented"])
def test_a_rotation_succeeds_under_the_policy_and_is_denied_without_it(
    account: EmulatedAccount, name: str, profile: str
) -> None:
    resources = one_secret(name, PolicyProfile=profile)
    policy = resources.pop("Policy")
    stack = create(account, name, resources)
    assert "AccessDenied" in rotate(account, name)

    stack.update(template(**resources, Policy=policy))
    assert rotate(account, name) == ""
    assert password(account, name) != "old"

    stack.update(template(**resources))
    assert "AccessDenied" in rotate(account, name)
    assert list(account.policies(name)) == ["theirs"]


def test_a_rotation_reaches_no_other_secret(account: EmulatedAccount, name: str) -> None:
    create(account, name, one_secret(name) | {"Other": secret(f"{name}-other")})
    assert rotate(account, name) == ""
    assert "AccessDenied" in rotate(account, name, f"e2e/{name}-other")


def test_one_policy_serves_several_secrets(account: EmulatedAccount, name: str) -> None:
    ids = [{"Ref": "Secret"}, {"Ref": "Second"}]
    resources = one_secret(name) | {"Second": secret(f"{name}-second")}
    resources["Policy"] = rotation_policy(SecretIds=ids, RotationLambdaARN={"Ref": "Function"})
    stack = create(account, name, resources)
    assert rotate(account, name) == ""
    assert rotate(account, name, f"e2e/{name}-second") == ""
    assert len(stack.outputs["SecretArns"].split(",")) == 2


def test_alternating_users_read_the_superuser_secret_and_cannot_write_it(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name, SuperuserSecretId={"Ref": "Superuser"}) | {
        "Key": KEY,
        "Superuser": secret(f"{name}-superuser", "Key"),
    }
    stack = create(account, name, resources)
    sids = [statement["Sid"] for statement in own_policy(account, stack)["Statement"]]
    assert sids == ["RotateSecret", "GeneratePassword", "ReadSuperuserSecret", "UseSuperuserKey"]

    credentials = account.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/{name}", RoleSessionName="rotation"
    )["Credentials"]
    rotating = account.emulator.client("secretsmanager", credentials=credentials)
    superuser = f"e2e/{name}-superuser"
    assert rotating.get_secret_value(SecretId=superuser)["SecretString"]
    with pytest.raises(rotating.exceptions.ClientError, match="AccessDenied"):
        rotating.describe_secret(SecretId=superuser)
    with pytest.raises(rotating.exceptions.ClientError, match="AccessDenied"):
        rotating.put_secret_value(SecretId=superuser, SecretString="{}")


# --- the life of the resource ---


def test_ref_and_every_attribute_say_what_stands_where(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name) | {"Key": KEY, "Secret": secret(name, "Key")}
    stack = create(account, name, resources)
    outputs = stack.outputs
    [arn] = [
        found["ARN"]
        for found in account.client("secretsmanager").list_secrets()["SecretList"]
        if found["Name"] == f"e2e/{name}"
    ]
    key = stack.physical_id("Key")
    assert outputs == {
        "Ref": f"{name}/{outputs['PolicyName']}",
        "PolicyName": outputs["PolicyName"],
        "RoleName": name,
        "RoleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/{name}",
        "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}",
        "InVpc": "false",
        "SecretArns": arn,
        "KmsKeyArns": f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/{key}",
    }
    assert re.fullmatch(r"Policy-[0-9a-f]{12}", outputs["PolicyName"])


def test_a_rekeyed_secret_reaches_the_policy_through_triggers(account: EmulatedAccount, name: str) -> None:
    def resources(key: str) -> str:
        triggers = {"Key": {"Ref": key}}
        return template(
            **one_secret(name, Triggers=triggers) | {"Secret": secret(name, key), "First": KEY, "Second": KEY}
        )

    stack = Stack(account.emulator, name)
    stack.create(resources("First"))
    first = own_policy(account, stack)["Statement"][2]["Resource"]
    assert first.endswith(stack.physical_id("First"))
    stack.update(resources("Second"))
    assert own_policy(account, stack)["Statement"][2]["Resource"].endswith(stack.physical_id("Second"))


def test_another_role_is_a_replacement_and_the_old_policy_goes(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name) | {"Successor": role(f"{name}-2"), "Function2": function(f"{name}-2", "Successor")}
    stack = create(account, name, resources)
    before = own_policy(account, stack)
    resources["Policy"] = rotation_policy(SecretId={"Ref": "Secret"}, RotationLambdaARN={"Ref": "Function2"})
    stack.update(template(**resources))
    assert stack.outputs["RoleName"] == f"{name}-2"
    assert own_policy(account, stack) == before
    assert list(account.policies(name)) == ["theirs"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"SuperuserSecretID": "x"}, "SuperuserSecretID is not a property. Did you mean SuperuserSecretId?"),
        ({"SecretId": "e2e/nowhere"}, 'SecretId "e2e/nowhere": the secret does not exist in eu-central-1.'),
        ({"RoleName": "e2e-nobody"}, 'RoleName "e2e-nobody" is not the execution role of the function'),
    ],
)
def test_a_failed_update_is_told_and_rolled_back_with_the_policy_unchanged(
    account: EmulatedAccount, name: str, bad: dict[str, Any], reason: str
) -> None:
    stack = create(account, name, one_secret(name))
    before = account.policies(name)
    with pytest.raises(StackFailed) as failed:
        stack.update(template(**one_secret(name, **bad)))
    assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
    assert failed.value.reason.startswith(reason)
    assert account.policies(name) == before


def test_a_failed_create_rolls_back_to_nothing(account: EmulatedAccount, name: str) -> None:
    with pytest.raises(StackFailed, match="PolicyProfile") as failed:
        create(account, name, one_secret(name, PolicyProfile="Loose"))
    assert failed.value.status == "ROLLBACK_COMPLETE"


def test_a_stack_whose_role_and_secret_are_gone_can_be_deleted(account: EmulatedAccount, name: str) -> None:
    stack = create(account, name, one_secret(name))
    iam = account.client("iam")
    for policy in account.policies(name):
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)
    account.client("lambda").delete_function(FunctionName=name)
    account.client("secretsmanager").delete_secret(SecretId=f"e2e/{name}", ForceDeleteWithoutRecovery=True)
    stack.delete()
    assert stack.status == "DELETE_COMPLETE"


def test_a_declared_function_in_a_vpc_is_created_after_its_policy(account: EmulatedAccount, name: str) -> None:
    vpc_config = {"SubnetIds": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
    stack = create(
        account,
        name,
        {
            "Secret": secret(name),
            "Role": role(name),
            "Policy": rotation_policy(SecretId={"Ref": "Secret"}, RoleName={"Ref": "Role"}, VpcConfig=vpc_config),
            "Function": function(name, DependsOn="Policy", Properties={"VpcConfig": vpc_config}),
        },
    )
    assert (stack.outputs["FunctionArn"], stack.outputs["InVpc"]) == ("", "true")
    sids = [statement["Sid"] for statement in own_policy(account, stack)["Statement"]]
    assert sids[-2:] == ["ManageNetworkInterfaces", "KeepNetworkInterfacesFromCode"]
    assert rotate(account, name) == ""


def test_a_function_in_a_vpc_is_seen_to_be(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name)
    policy = resources.pop("Policy")
    stack = create(account, name, resources)
    # CloudFormation in the emulator drops the VpcConfig of a function; its API does not.
    vpc_config = {"SubnetIds": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
    account.client("lambda").update_function_configuration(FunctionName=name, VpcConfig=vpc_config)
    stack.update(template(**resources, Policy=policy))
    assert stack.outputs["InVpc"] == "true"


def test_an_explicit_deny_on_the_role_is_found_before_anything_is_written(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name)
    deny = {"Effect": "Deny", "Action": "secretsmanager:PutSecretValue", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [deny]}
    resources["Role"]["Properties"]["Policies"].append({"PolicyName": "guardrail", "PolicyDocument": document})
    with pytest.raises(StackFailed, match=r"secretsmanager:PutSecretValue on .* is blocked by an explicit deny"):
        create(account, name, resources)
    Stack(account.emulator, name).delete()

    resources["Policy"]["Properties"]["AccessCheck"] = "Off"
    assert own_policy(account, create(account, name, resources))


# --- the log ---


def test_the_log_is_the_stacks_own_group_and_tells_each_decision(account: EmulatedAccount, name: str) -> None:
    stack = create(account, name, one_secret(name))
    # The emulator simulates without the new policy, and so leaves every grant open.
    of_stack = [line for line in account.log() if line.get("stack") == stack.id]
    lines = [line for line in of_stack if line["message"] != "access check undecided"]
    messages = [line["message"] for line in lines]
    assert messages == ["request received", "inspected", "policy written", "sending response"]
    assert lines[2]["document"] == own_policy(account, stack)
    assert "_ministack/cfn-response" not in json.dumps(account.log())


# --- the command line ---


@dataclass
class Person:
    """Somebody with an access key and the permissions that `preview --help` lists."""

    account: EmulatedAccount
    access_key: dict[str, Any]

    def preview(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command as it is installed: another process, with nothing but its output."""
        environment = self.account.emulator.environment | {
            "AWS_ACCESS_KEY_ID": self.access_key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self.access_key["SecretAccessKey"],
            "PYTHONPATH": f"{ROOT / 'handler'}:{ROOT / 'cli'}",
        }
        program = [sys.executable, "-m", "rotation_role_policy_cli", "preview", *arguments]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def person(account: EmulatedAccount, name: str) -> Iterator[Person]:
    iam = account.client("iam")
    iam.create_user(UserName=name)
    actions = [*permissions.REQUIRED, *permissions.OPTIONAL, *permissions.FOR_STACK]
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}}
    iam.put_user_policy(UserName=name, PolicyName="preview", PolicyDocument=json.dumps(document))
    access_key = iam.create_access_key(UserName=name)["AccessKey"]
    yield Person(account, access_key)
    iam.delete_access_key(UserName=name, AccessKeyId=access_key["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="preview")
    iam.delete_user(UserName=name)


def test_a_preview_of_a_template_tells_what_an_update_of_its_stack_then_does(
    account: EmulatedAccount, name: str, person: Person, tmp_path: Path
) -> None:
    file = tmp_path / "template.json"

    def preview(resources: dict[str, Any], *arguments: str) -> tuple[int, str, str]:
        file.write_text(template(**resources))
        shown = person.preview("--template", str(file), "--stack", name, *arguments)
        return shown.returncode, shown.stdout, shown.stderr

    without = {kind: one for kind, one in one_secret(name).items() if kind != "Policy"}
    stack = create(account, name, without)
    status, document, _ = preview(one_secret(name), "--resource", "Policy", "--json")
    stack.update(template(**one_secret(name)))
    assert (status, json.loads(document)) == (2, own_policy(account, stack))

    # As it stands, then with a key that the secret will be under once it is deployed.
    assert preview(one_secret(name))[0] == 0
    keyed = one_secret(name) | {"Secret": secret(name, "Key"), "Key": KEY}
    stack.update(template(**keyed))
    status, page, _ = preview(keyed)
    added = [line for line in page.splitlines() if re.match(r"\s+\+", line)]
    assert (status, key_arn(account, stack) in "".join(added)) == (2, True)

    deny = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*"}}
    account.client("iam").put_role_policy(RoleName=name, PolicyName="freeze", PolicyDocument=json.dumps(deny))
    status, page, _ = preview(keyed)
    assert (status, "Refused: AccessCheck: role" in page) == (1, True)


def key_arn(account: EmulatedAccount, stack: Stack) -> str:
    """The ARN of the stack's key."""
    return str(account.client("kms").describe_key(KeyId=stack.physical_id("Key"))["KeyMetadata"]["Arn"])


# --- publishing ---


def test_sam_publishes_the_application(account: EmulatedAccount, tmp_path: Path) -> None:
    """Up to the Serverless Application Repository, which the emulator lacks: a server here keeps what it is sent."""
    received: list[dict[str, Any]] = []

    class Repository(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps({"applicationId": "arn:aws:serverlessrepo:::applications/it"}).encode()
            self.send_response(201)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    account.client("s3").create_bucket(Bucket="published", CreateBucketConfiguration={"LocationConstraint": REGION})
    built = account.emulator.folder.parent / "build" / "template.yaml"
    packaged = tmp_path / "packaged.yaml"
    with http.server.HTTPServer(("127.0.0.1", 0), Repository) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        own = {"AWS_ENDPOINT_URL_SERVERLESSAPPLICATIONREPOSITORY": f"http://127.0.0.1:{server.server_port}"}
        package = ["package", "--template-file", str(built), "--s3-bucket", "published"]
        for arguments in (
            [*package, "--output-template-file", str(packaged)],
            ["publish", "--template", str(packaged)],
        ):
            ran = subprocess.run(
                ["sam", *arguments], cwd=ROOT, env=account.emulator.environment | own, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            assert ran.returncode == 0, ran.stderr
        server.shutdown()
    [application] = received
    assert (application["name"], application["semanticVersion"]) == ("rotation-role-policy", __version__)
    assert application["spdxLicenseId"] == "Apache-2.0"
    s3 = account.client("s3")
    for url, file in ((application["licenseUrl"], "LICENSE"), (application["readmeUrl"], "README.md")):
        bucket, key = re.fullmatch(r"s3://([^/]+)/(.+)", url).groups()  # type: ignore[union-attr]
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == (ROOT / file).read_bytes()
    assert "AWS::ServerlessRepo::Application" not in application["templateBody"]
    assert "s3://published/" in application["templateBody"]
