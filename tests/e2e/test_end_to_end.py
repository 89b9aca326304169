"""End-to-end tests: `sam build`, `sam deploy`, and stacks that use the resource.

The emulator enforces IAM for every caller: actions, resources, resource tags, and the condition keys of KMS and Lambda.
It does not have `iam:PermissionsBoundary`, which test_provider_role.py covers. test_rotations.py has a real database.
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

from emulator import rotation
from emulator.server import ACCOUNT_ID, REGION
from emulator.stack import Stack, StackError
from rotation_role_policy.iam.document import as_list
from rotation_role_policy_cli import permissions
from tests import ROOT
from tests.e2e.account import EmulatedAccount, deployed_account

ROTATION_CODE = (ROOT / "examples" / "rotation_function.py").read_text()


PARAMETERS = {"RoleNamePattern": "e2e-*", "SecretNamePattern": "e2e*", "AllowDocumentedProfile": "true"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedAccount]:
    """The account. The provider may serve roles and secrets whose names begin with ``e2e``."""
    with deployed_account(tmp_path_factory.mktemp("end-to-end"), PARAMETERS) as account:
        yield account


@pytest.fixture
def name(account: EmulatedAccount) -> Iterator[str]:
    """A unique name for a stack and its resources. The stack is deleted after the test."""
    unique_name = f"e2e-{uuid.uuid4().hex[:8]}"
    yield unique_name
    Stack(account.emulator, unique_name).delete()


TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def secret(name: str, key: str | None = None) -> dict[str, Any]:
    """Return a secret with a token. `key` is the logical ID of its KMS key."""
    properties: dict[str, Any] = {"Name": f"e2e/{name}", "SecretString": '{"token": "old"}'}
    if key:
        properties["KmsKeyId"] = {"Fn::GetAtt": [key, "Arn"]}
    return {"Type": "AWS::SecretsManager::Secret", "Properties": properties}


def role(name: str) -> dict[str, Any]:
    """Return an execution role that has an inline policy of its owner."""
    other_policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}],
    }
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            "AssumeRolePolicyDocument": TRUST,
            "Policies": [{"PolicyName": "other-policy", "PolicyDocument": other_policy}],
        },
    }


def function(name: str, role: str = "Role", **elements: Any) -> dict[str, Any]:
    """Return a rotation function that makes the calls of the user guide. `elements` are added to the resource."""
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": name,
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Timeout": 30,
            "Role": {"Fn::GetAtt": [role, "Arn"]},
            "Code": {"ZipFile": ROTATION_CODE},
            **elements.pop("Properties", {}),
        },
        **elements,
    }


NO_EFFECT = {"Effect": "Deny", "Action": "none:Exists", "Resource": "*"}
BOUNDARY = f"arn:aws:iam::{ACCOUNT_ID}:policy/rotation-boundary"
KEY = {"Type": "AWS::KMS::Key", "Properties": {"EnableKeyRotation": True}}


def rotation_policy(**properties: Any) -> dict[str, Any]:
    """Return the custom resource.

    PropagationDelay is 0, because the emulator is immediately consistent. ServiceTimeout is short, because the emulator
    would wait an hour for a missing response.
    """
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
    """Return a template of these resources. The outputs are `Ref` and all attributes of the resource ``Policy``."""
    outputs = {name: {"Value": {"Fn::GetAtt": ["Policy", name]}} for name in ATTRIBUTES}
    if "Policy" not in resources:
        return json.dumps({"Resources": resources})
    return json.dumps({"Resources": resources, "Outputs": outputs | {"Ref": {"Value": {"Ref": "Policy"}}}})


def one_secret(name: str, **properties: Any) -> dict[str, Any]:
    """Return the resources of the usual stack: a secret, a role, a function and the policy."""
    return {
        "Secret": secret(name),
        "Role": role(name),
        "Function": function(name),
        "Policy": rotation_policy(
            **({"SecretId": {"Ref": "Secret"}, "RotationLambdaARN": {"Fn::GetAtt": ["Function", "Arn"]}} | properties)
        ),
    }


def create(account: EmulatedAccount, name: str, resources: dict[str, Any]) -> Stack:
    """Create a stack with this name."""
    stack = Stack(account.emulator, name)
    stack.create(template(**resources))
    return stack


def own_policy(account: EmulatedAccount, stack: Stack) -> Any:
    """Return the policy document that the stack's resource has put on the role."""
    outputs = stack.outputs
    return account.policies(outputs["RoleName"])[outputs["PolicyName"]]


def rotate(account: EmulatedAccount, name: str, secret_id: str | None = None) -> str:
    """Run the four steps of a rotation. Return the error of the first step that fails, or an empty string."""
    return account.rotate(name, secret_id or f"e2e/{name}")


def token(account: EmulatedAccount, name: str) -> str:
    value = account.client("secretsmanager").get_secret_value(SecretId=f"e2e/{name}")["SecretString"]
    return str(json.loads(value)["token"])


# --- the provider ---


def test_an_output_and_an_ssm_parameter_contain_the_service_token(account: EmulatedAccount) -> None:
    token = account.provider.outputs["ServiceToken"]
    assert token == f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:rotation-role-policy"
    parameter = account.client("ssm").get_parameter(Name="/rotation-role-policy/service-token")
    assert parameter["Parameter"]["Value"] == token


def test_the_ssm_parameter_can_be_used_as_the_service_token(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name, ServiceToken="{{resolve:ssm:/rotation-role-policy/service-token}}")
    assert own_policy(account, create(account, name, resources))


def test_a_role_that_does_not_match_the_pattern_fails_the_create_and_the_stack_rolls_back(
    account: EmulatedAccount, name: str
) -> None:
    resources = one_secret(name) | {"Role": role(name.replace("e2e-", "other-"))}
    with pytest.raises(StackError) as failed:
        create(account, name, resources)
    assert failed.value.status == "ROLLBACK_COMPLETE"
    assert failed.value.reason.startswith("AWS denies the provider iam:GetRolePolicy on ")


def test_the_provider_cannot_put_a_policy_on_its_own_role(account: EmulatedAccount, name: str) -> None:
    own_role = account.provider.physical_id("ProviderRole")
    policies_before = account.policies(own_role)
    # Allow every role, as the default of RoleNamePattern does.
    iam = account.client("iam")
    allow = {"Effect": "Allow", "Action": "iam:*", "Resource": f"arn:aws:iam::{ACCOUNT_ID}:role/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName=own_role, PolicyName="any-role", PolicyDocument=document)
    try:
        policy = rotation_policy(SecretId={"Ref": "Secret"}, RoleName=own_role, VpcConfig={}, AccessCheck="Off")
        with pytest.raises(StackError, match="AWS denies the provider iam:PutRolePolicy"):
            create(account, name, {"Secret": secret(name), "Policy": policy})
    finally:
        iam.delete_role_policy(RoleName=own_role, PolicyName="any-role")
    assert account.policies(own_role) == policies_before


def test_a_role_with_the_tag_of_a_provider_gets_no_policy_and_loses_the_one_it_has(
    account: EmulatedAccount, name: str
) -> None:
    """test_provider_role.py covers the role of a second provider."""
    tag = {"Key": "rotation-role-policy:provider", "Value": "another"}
    with pytest.raises(StackError, match=r"AWS denies the provider iam:PutRolePolicy.*rotation-role-policy:provider"):
        create(account, name, tagged(one_secret(name), "Role", tag=tag))
    Stack(account.emulator, name).delete()

    stack = create(account, name, one_secret(name))
    policies_before = account.policies(name)
    account.client("iam").tag_role(RoleName=name, Tags=[tag])
    with pytest.raises(StackError, match="rotation-role-policy:provider") as failed:
        stack.update(template(**one_secret(name, TargetArns=[f"arn:aws:rds:{REGION}:{ACCOUNT_ID}:db:replica"])))
    assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
    assert account.policies(name) == policies_before
    stack.delete()


def test_a_secret_that_does_not_match_the_pattern_fails_the_create(account: EmulatedAccount, name: str) -> None:
    account.client("secretsmanager").create_secret(Name=f"other/{name}", SecretString="{}")
    with pytest.raises(StackError, match="AWS denies the provider secretsmanager:DescribeSecret"):
        create(account, name, one_secret(name, SecretId=f"other/{name}"))


def test_each_permission_of_the_provider_is_needed(account: EmulatedAccount, name: str) -> None:
    """A Create fails without one of the permissions, which proves that the emulator enforces IAM.

    The exceptions are kms:DescribeKey, because the secret has the full ARN of its key, and the access check's calls on
    the key's policy, without which it has a warning.
    """
    iam, own_role = account.client("iam"), account.provider.physical_id("ProviderRole")
    resources = one_secret(name) | {"Key": KEY, "Secret": secret(name, "Key")}
    documents = account.policies(own_role)
    for policy_name in ("describe-secrets", "inspect-key-and-function", "put-own-policy-on-roles"):
        full_document = documents[policy_name]
        try:
            for statement in full_document["Statement"]:
                # IAM rejects a document without statements.
                others = [other for other in full_document["Statement"] if other is not statement] or [NO_EFFECT]
                reduced_document = json.dumps(full_document | {"Statement": others})
                iam.put_role_policy(RoleName=own_role, PolicyName=policy_name, PolicyDocument=reduced_document)
                [action, *_] = as_list(statement["Action"])
                if action in ("kms:DescribeKey", "kms:GetKeyPolicy"):
                    stack = create(account, name, resources)
                    assert own_policy(account, stack)
                    lines = [line for line in account.log() if line.get("stack") == stack.id]
                    assert [line for line in lines if line["level"] == "WARNING" and action in json.dumps(line)]
                else:
                    with pytest.raises(StackError, match=f"AWS denies the provider {action}"):
                        create(account, name, resources)
                Stack(account.emulator, name).delete()
        finally:
            iam.put_role_policy(RoleName=own_role, PolicyName=policy_name, PolicyDocument=json.dumps(full_document))


# --- required tags and a required permissions boundary ---


@contextmanager
def provider_parameters(account: EmulatedAccount, **parameters: str) -> Iterator[None]:
    """Set parameters of the provider's stack for the duration of the block, beside or in place of PARAMETERS."""
    client = account.client("cloudformation")
    template = client.get_template(StackName=account.provider.name, TemplateStage="Processed")["TemplateBody"]
    template = template if isinstance(template, str) else json.dumps(template)
    account.provider.update(template, **PARAMETERS | parameters)
    try:
        yield
    finally:
        account.provider.update(template, **PARAMETERS)


TAG = {"Key": "rotation", "Value": "enabled"}


def tagged(resources: dict[str, Any], *logical_ids: str, tag: dict[str, str] = TAG) -> dict[str, Any]:
    """Add the tag to the resources with these logical IDs, and return all resources."""
    for logical_id in logical_ids:
        resources[logical_id]["Properties"]["Tags"] = [tag]
    return resources


def test_with_required_tags_both_the_secret_and_the_role_need_the_tag(account: EmulatedAccount, name: str) -> None:
    with provider_parameters(account, RequiredSecretTag="rotation=enabled", RequiredRoleTag="rotation=enabled"):
        for tagged_ids, denied_action, parameter in (
            (["Role"], "secretsmanager:DescribeSecret", "RequiredSecretTag"),
            (["Secret"], "iam:PutRolePolicy", "RequiredRoleTag"),
        ):
            with pytest.raises(StackError) as failed:
                create(account, name, tagged(one_secret(name), *tagged_ids))
            assert failed.value.status == "ROLLBACK_COMPLETE"
            assert re.search(f"AWS denies the provider {denied_action}.*{parameter}", failed.value.reason)
            Stack(account.emulator, name).delete()

        wrong_value = tagged(one_secret(name), "Secret", "Role", tag=TAG | {"Value": "Enabled"})
        with pytest.raises(StackError, match="RequiredSecretTag"):
            create(account, name, wrong_value)
        Stack(account.emulator, name).delete()

        create(account, name, tagged(one_secret(name), "Secret", "Role"))
        assert rotate(account, name) == ""


def test_a_policy_can_be_removed_after_the_secret_and_the_role_have_lost_tag_and_boundary(
    account: EmulatedAccount, name: str
) -> None:
    stack = create(account, name, one_secret(name))
    policy = stack.outputs["PolicyName"]
    required = {"RequiredSecretTag": "a=b", "RequiredRoleTag": "a=b", "RequiredRoleBoundaryArn": BOUNDARY}
    with provider_parameters(account, **required):
        assert policy in account.policies(name)
        resources = one_secret(name)
        del resources["Policy"]
        stack.update(template(**resources))
        assert list(account.policies(name)) == ["other-policy"]
        stack.delete()
    assert stack.status == "DELETE_COMPLETE"


def test_with_a_required_boundary_a_role_without_it_gets_no_policy(account: EmulatedAccount, name: str) -> None:
    with provider_parameters(account, RequiredRoleBoundaryArn=BOUNDARY):
        with pytest.raises(StackError) as failed:
            create(account, name, one_secret(name))
        assert failed.value.status == "ROLLBACK_COMPLETE"
        assert re.search("AWS denies the provider iam:PutRolePolicy.*RequiredRoleBoundaryArn", failed.value.reason)
        Stack(account.emulator, name).delete()
    assert own_policy(account, create(account, name, one_secret(name)))


@pytest.mark.parametrize("required", [{"RequiredSecretTag": "a=b"}, {"RequiredRoleTag": "a=b"}])
def test_a_failed_update_rolls_back_after_the_secret_or_the_role_has_lost_the_tag(
    account: EmulatedAccount, name: str, required: dict[str, str]
) -> None:
    stack = create(account, name, one_secret(name))
    policies_before = account.policies(name)
    with provider_parameters(account, **required):
        with pytest.raises(StackError, match=next(iter(required))) as failed:
            stack.update(template(**one_secret(name, PolicyProfile="Documented")))
        assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
        assert account.policies(name) == policies_before


# --- the profile Documented ---


def test_the_profile_documented_is_served_only_with_the_parameter(account: EmulatedAccount, name: str) -> None:
    keyed = {"Key": KEY, "Secret": secret(name, "Key")}
    resources = one_secret(name, PolicyProfile="Documented") | keyed
    changed = one_secret(name, PolicyProfile="Documented", Triggers={"Deployment": "2"}) | keyed
    refusal = r"PolicyProfile Documented is not allowed: .* AllowDocumentedProfile=true\)"
    with provider_parameters(account, AllowDocumentedProfile="false"):
        with pytest.raises(StackError, match=refusal) as failed:
            create(account, name, resources)
        assert failed.value.status == "ROLLBACK_COMPLETE"
        Stack(account.emulator, name).delete()

    stack = create(account, name, resources)
    before = account.policies(name)
    assert not [statement for statement in own_policy(account, stack)["Statement"] if "Condition" in statement]
    stack.update(template(**changed))
    assert account.policies(name) == before

    with provider_parameters(account, AllowDocumentedProfile="false"):
        with pytest.raises(StackError, match=refusal) as failed:
            stack.update(template(**resources))
        assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
        assert account.policies(name) == before
        assert rotate(account, name) == ""


# --- rotation with the policy ---


@pytest.mark.parametrize("profile", ["Strict", "Documented"])
def test_a_rotation_succeeds_with_the_policy_and_is_denied_without_it(
    account: EmulatedAccount, name: str, profile: str
) -> None:
    resources = one_secret(name, PolicyProfile=profile)
    policy = resources.pop("Policy")
    stack = create(account, name, resources)
    assert "AccessDenied" in rotate(account, name)

    stack.update(template(**resources, Policy=policy))
    assert rotate(account, name) == ""
    assert token(account, name) != "old"

    stack.update(template(**resources))
    assert "AccessDenied" in rotate(account, name)
    assert list(account.policies(name)) == ["other-policy"]


def test_a_rotation_of_another_secret_is_denied(account: EmulatedAccount, name: str) -> None:
    create(account, name, one_secret(name) | {"Other": secret(f"{name}-other")})
    assert rotate(account, name) == ""
    assert "AccessDenied" in rotate(account, name, f"e2e/{name}-other")


def test_one_policy_allows_the_rotation_of_several_secrets(account: EmulatedAccount, name: str) -> None:
    ids = [{"Ref": "Secret"}, {"Ref": "Second"}]
    resources = one_secret(name) | {"Second": secret(f"{name}-second")}
    resources["Policy"] = rotation_policy(SecretIds=ids, RotationLambdaARN={"Ref": "Function"})
    stack = create(account, name, resources)
    assert rotate(account, name) == ""
    assert rotate(account, name, f"e2e/{name}-second") == ""
    assert len(stack.outputs["SecretArns"].split(",")) == 2


def test_the_function_can_read_but_not_write_the_superuser_secret(account: EmulatedAccount, name: str) -> None:
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
    client = account.emulator.client("secretsmanager", credentials=credentials)
    superuser = f"e2e/{name}-superuser"
    assert client.get_secret_value(SecretId=superuser)["SecretString"]
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.describe_secret(SecretId=superuser)
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.put_secret_value(SecretId=superuser, SecretString="{}")


# --- Create, Update and Delete ---


def test_ref_and_every_attribute_have_the_expected_values(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name) | {"Key": KEY, "Secret": secret(name, "Key")}
    stack = create(account, name, resources)
    outputs = stack.outputs
    [arn] = [
        listed["ARN"]
        for listed in account.client("secretsmanager").list_secrets()["SecretList"]
        if listed["Name"] == f"e2e/{name}"
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


def test_triggers_update_the_policy_if_the_secret_gets_another_key(account: EmulatedAccount, name: str) -> None:
    def resources(key: str) -> str:
        triggers = {"Key": {"Ref": key}}
        return template(
            **one_secret(name, Triggers=triggers) | {"Secret": secret(name, key), "First": KEY, "Second": KEY}
        )

    stack = Stack(account.emulator, name)
    stack.create(resources("First"))
    first_key = own_policy(account, stack)["Statement"][2]["Resource"]
    assert first_key.endswith(stack.physical_id("First"))
    stack.update(resources("Second"))
    assert own_policy(account, stack)["Statement"][2]["Resource"].endswith(stack.physical_id("Second"))


def test_another_role_replaces_the_resource_and_the_old_policy_is_deleted(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name) | {"Successor": role(f"{name}-2"), "Function2": function(f"{name}-2", "Successor")}
    stack = create(account, name, resources)
    document_before = own_policy(account, stack)
    resources["Policy"] = rotation_policy(SecretId={"Ref": "Secret"}, RotationLambdaARN={"Ref": "Function2"})
    stack.update(template(**resources))
    assert stack.outputs["RoleName"] == f"{name}-2"
    assert own_policy(account, stack) == document_before
    assert list(account.policies(name)) == ["other-policy"]


@pytest.mark.parametrize(
    ("invalid_properties", "reason"),
    [
        ({"SuperuserSecretID": "x"}, "SuperuserSecretID is not a property. Did you mean SuperuserSecretId?"),
        ({"SecretId": "e2e/nowhere"}, 'SecretId "e2e/nowhere": the secret does not exist in eu-central-1.'),
        ({"RoleName": "e2e-nobody"}, 'RoleName "e2e-nobody" is not the execution role of the function'),
    ],
)
def test_a_failed_update_reports_the_reason_and_rolls_back_with_the_policy_unchanged(
    account: EmulatedAccount, name: str, invalid_properties: dict[str, Any], reason: str
) -> None:
    stack = create(account, name, one_secret(name))
    policies_before = account.policies(name)
    with pytest.raises(StackError) as failed:
        stack.update(template(**one_secret(name, **invalid_properties)))
    assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
    assert failed.value.reason.startswith(reason)
    assert account.policies(name) == policies_before


def test_a_stack_whose_create_fails_rolls_back(account: EmulatedAccount, name: str) -> None:
    with pytest.raises(StackError, match="PolicyProfile") as failed:
        create(account, name, one_secret(name, PolicyProfile="Loose"))
    assert failed.value.status == "ROLLBACK_COMPLETE"


@pytest.mark.parametrize("resource_type", ["Custom::Innocent", "AWS::CloudFormation::CustomResource"])
def test_a_resource_of_another_type_is_not_created(account: EmulatedAccount, name: str, resource_type: str) -> None:
    resources = one_secret(name)
    resources["Policy"]["Type"] = resource_type
    reason = rf'The resource type "{resource_type}" is not .* under a new logical ID \(in the CDK: resourceType\)'
    with pytest.raises(StackError, match=reason) as failed:
        create(account, name, resources)
    assert failed.value.status == "ROLLBACK_COMPLETE"


def test_a_stack_whose_role_function_and_secret_are_deleted_can_be_deleted(account: EmulatedAccount, name: str) -> None:
    stack = create(account, name, one_secret(name))
    iam = account.client("iam")
    for policy in account.policies(name):
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)
    account.client("lambda").delete_function(FunctionName=name)
    account.client("secretsmanager").delete_secret(SecretId=f"e2e/{name}", ForceDeleteWithoutRecovery=True)
    stack.delete()
    assert stack.status == "DELETE_COMPLETE"


def test_the_stack_of_a_role_can_be_deleted_only_after_the_stack_with_the_policy(
    account: EmulatedAccount, name: str
) -> None:
    """docs/errors.md says what to do."""
    owner = Stack(account.emulator, f"{name}-owner")
    owner.create(template(Secret=secret(name), Role=role(name), Function=function(name)))
    create(account, name, {"Policy": rotation_policy(SecretId=f"e2e/{name}", RotationLambdaARN=name)})
    with pytest.raises(StackError, match=r"Role: .*Cannot delete entity") as failed:
        owner.delete()
    assert failed.value.status == "DELETE_FAILED"
    # The secret and the function are already deleted. A Delete needs neither.
    Stack(account.emulator, name).delete()
    owner.delete()


def test_a_trigger_moves_the_policy_to_the_function_s_new_role_before_the_old_role_is_deleted(
    account: EmulatedAccount, name: str
) -> None:
    def resources(logical_id: str, **properties: Any) -> str:
        others = {key: value for key, value in one_secret(name, **properties).items() if key != "Role"}
        return template(
            **others | {logical_id: role(f"{name}-{logical_id.lower()}"), "Function": function(name, logical_id)}
        )

    def roles() -> set[str]:
        listed = account.client("iam").list_roles()["Roles"]
        return {item["RoleName"] for item in listed if item["RoleName"].startswith(name)}

    stack = Stack(account.emulator, name)
    stack.create(resources("First"))
    stack.update(resources("Second"))
    # CloudFormation does not notice that the function has another role. The first role keeps the policy, and stays.
    assert roles() == {f"{name}-first", f"{name}-second"}
    assert stack.outputs["RoleName"] == f"{name}-first"
    assert "AccessDenied" in rotate(account, name)

    stack.update(resources("Second", Triggers={"Role": {"Ref": "Second"}}))
    assert rotate(account, name) == ""
    stack.update(resources("Third", Triggers={"Role": {"Ref": "Third"}}))
    assert roles() == {f"{name}-third"}
    assert rotate(account, name) == ""


def test_with_vpc_config_a_function_in_a_vpc_is_created_after_its_policy(account: EmulatedAccount, name: str) -> None:
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


def test_an_existing_function_in_a_vpc_is_recognized(account: EmulatedAccount, name: str) -> None:
    vpc_config = {"SubnetIds": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
    resources = one_secret(name)
    resources["Function"]["Properties"]["VpcConfig"] = vpc_config
    # Lambda does not create the function without it.
    resources["Role"]["Properties"]["ManagedPolicyArns"] = [
        "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
    ]
    assert create(account, name, resources).outputs["InVpc"] == "true"


def test_the_code_of_a_function_in_a_vpc_cannot_use_the_permissions_for_its_network(
    account: EmulatedAccount, name: str
) -> None:
    vpc_config = {"SubnetIds": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
    code = "import boto3\ndef handler(event, context):\n    boto3.client('ec2').describe_network_interfaces()\n"
    properties = {"VpcConfig": vpc_config, "Code": {"ZipFile": code}}
    resources = {
        "Secret": secret(name),
        "Role": role(name),
        "Policy": rotation_policy(SecretId={"Ref": "Secret"}, RoleName={"Ref": "Role"}, VpcConfig=vpc_config),
        "Function": function(name, DependsOn="Policy", Properties=properties),
    }
    create(account, name, resources)
    response = account.client("lambda").invoke(FunctionName=name)
    error = json.load(response["Payload"])["errorMessage"]
    assert "ec2:DescribeNetworkInterfaces" in error
    assert "explicit deny" in error


def test_an_explicit_deny_on_the_role_fails_the_create(account: EmulatedAccount, name: str) -> None:
    resources = one_secret(name)
    deny = {"Effect": "Deny", "Action": "secretsmanager:PutSecretValue", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [deny]}
    resources["Role"]["Properties"]["Policies"].append({"PolicyName": "guardrail", "PolicyDocument": document})
    with pytest.raises(StackError, match=r"secretsmanager:PutSecretValue on .* is blocked by an explicit deny"):
        create(account, name, resources)
    Stack(account.emulator, name).delete()

    resources["Policy"]["Properties"]["AccessCheck"] = "Off"
    assert own_policy(account, create(account, name, resources))


# --- resource policies ---


def all_but(*roles: str, **members: Any) -> dict[str, Any]:
    """Return the statement of a resource policy that denies everybody but roles."""
    arns = [f"arn:aws:iam::{ACCOUNT_ID}:role/{role}" for role in roles]
    condition = {"Condition": {"StringNotEquals": {"aws:PrincipalArn": arns}}}
    return {"Sid": "OnlyThese", "Effect": "Deny", "Principal": "*", "Resource": "*"} | condition | members


def rotate_secret(account: EmulatedAccount, name: str) -> str:
    """Call RotateSecret. Return the step that fails and its error, or an empty string."""
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"
    return rotation.rotate(account.emulator, f"e2e/{name}", RotationLambdaARN=function)


READ = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]


def test_a_secret_whose_policy_denies_the_role_fails_the_create(account: EmulatedAccount, name: str) -> None:
    client = account.client("secretsmanager")
    secret_arn = client.create_secret(Name=f"e2e/{name}", SecretString='{"token": "old"}')["ARN"]
    resources = one_secret(name, SecretId=secret_arn)
    del resources["Secret"]

    def put(statement: dict[str, Any]) -> None:
        document = {"Version": "2012-10-17", "Statement": statement}
        client.put_resource_policy(SecretId=secret_arn, ResourcePolicy=json.dumps(document))

    put(all_but("dba", Action=READ))
    with pytest.raises(StackError) as failed:
        create(account, name, resources)
    assert failed.value.status == "ROLLBACK_COMPLETE"
    assert failed.value.reason == (
        f'AccessCheck: role "{name}": secretsmanager:GetSecretValue and secretsmanager:PutSecretValue on "{secret_arn}"'
        ' are blocked by the statement "OnlyThese" in the resource policy of the secret. Exclude'
        f' "arn:aws:iam::{ACCOUNT_ID}:role/{name}" from this statement (ArnNotEquals on aws:PrincipalArn), or set'
        " AccessCheck to Off."
    )
    Stack(account.emulator, name).delete()

    # Without the check the stack succeeds, and the rotation fails.
    resources["Policy"]["Properties"]["AccessCheck"] = "Off"
    stack = create(account, name, resources)
    assert re.match("failed in createSecret: .*secretsmanager:GetSecretValue", rotate_secret(account, name))

    # With what the reason advises, the check and the rotation succeed.
    stack.delete()
    excluded = {"ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"}}
    advised = all_but("dba", Action=READ)
    advised["Condition"] |= excluded
    put(advised)
    del resources["Policy"]["Properties"]["AccessCheck"]
    stack = create(account, name, resources)
    assert rotate_secret(account, name) == ""

    # A policy that also denies the provider is a possible cause in the reason.
    stack.delete()
    put(all_but("dba", name, Action="*"))
    with pytest.raises(StackError, match=r"AWS denies the provider secretsmanager:DescribeSecret.*resource policy"):
        create(account, name, resources)
    client.delete_resource_policy(SecretId=secret_arn)


def test_a_key_whose_policy_does_not_allow_the_role_fails_the_create(account: EmulatedAccount, name: str) -> None:
    def key(*statements: dict[str, Any]) -> dict[str, Any]:
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        return {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": document}}

    def allow(principal: str, *actions: str) -> dict[str, Any]:
        principals = {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:{principal}"}
        return {"Effect": "Allow", "Principal": principals, "Action": list(actions), "Resource": "*"}

    administration = allow("root", "kms:Describe*", "kms:Get*", "kms:List*", "kms:PutKeyPolicy")
    resources = one_secret(name) | {"Secret": secret(name, "Key")}
    for statements, blocked in (
        ([allow("role/dba", "kms:*")], "kms:Decrypt and kms:GenerateDataKey"),
        ([allow("root", "kms:Decrypt")], "kms:GenerateDataKey"),
    ):
        resources["Key"] = key(administration, *statements)
        with pytest.raises(StackError) as failed:
            create(account, name, resources)
        assert failed.value.status == "ROLLBACK_COMPLETE"
        assert f"{blocked} on" in failed.value.reason
        assert "blocked by the policy of the key, which allows" in failed.value.reason
        Stack(account.emulator, name).delete()

    # Without the check the stack succeeds, and the rotation fails.
    resources["Policy"]["Properties"]["AccessCheck"] = "Off"
    stack = create(account, name, resources)
    assert re.match("failed in createSecret: .*Access to KMS is not allowed", rotate_secret(account, name))

    # A grant stands in for the policy of the key.
    account.client("kms").create_grant(
        KeyId=stack.physical_id("Key"),
        GranteePrincipal=f"arn:aws:iam::{ACCOUNT_ID}:role/{name}",
        Operations=["Decrypt", "GenerateDataKey"],
    )
    # An unchanged policy would not be checked.
    changed = {"TargetArns": [f"arn:aws:rds:{REGION}:{ACCOUNT_ID}:db:replica"], "AccessCheck": "Enforce"}
    resources["Policy"]["Properties"] |= changed
    stack.update(template(**resources))
    assert "CallTarget" in json.dumps(own_policy(account, stack))
    stack.delete()

    # With what the reason advises, the check and the rotation succeed.
    resources["Key"] = key(administration, allow(f"role/{name}", "kms:Decrypt", "kms:GenerateDataKey"))
    create(account, name, resources)
    assert rotate_secret(account, name) == ""


# --- the log ---


def test_the_log_group_of_the_stack_contains_each_decision(account: EmulatedAccount, name: str) -> None:
    stack = create(account, name, one_secret(name))
    # The emulator's policy simulator ignores the new policy, so the access check decides nothing.
    lines = [
        line for line in account.log() if line.get("stack") == stack.id and line["message"] != "access check undecided"
    ]
    messages = [line["message"] for line in lines]
    assert messages == ["request received", "inspected", "policy written", "sending response"]
    assert lines[2]["document"] == own_policy(account, stack)
    assert "_ministack/cfn-response" not in json.dumps(account.log())


# --- the command line ---


@dataclass
class PreviewUser:
    """An IAM user with an access key and the permissions that `preview --help` lists."""

    account: EmulatedAccount
    access_key: dict[str, Any]

    def preview(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `preview` in a process of its own with the user's credentials."""
        environment = self.account.emulator.environment | {
            "AWS_ACCESS_KEY_ID": self.access_key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self.access_key["SecretAccessKey"],
            "PYTHONPATH": f"{ROOT / 'handler'}:{ROOT / 'cli'}",
        }
        program = [sys.executable, "-m", "rotation_role_policy_cli", "preview", *arguments]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def preview_user(account: EmulatedAccount, name: str) -> Iterator[PreviewUser]:
    iam = account.client("iam")
    iam.create_user(UserName=name)
    actions = [*permissions.REQUIRED, *permissions.OPTIONAL, *permissions.FOR_STACK]
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}}
    iam.put_user_policy(UserName=name, PolicyName="preview", PolicyDocument=json.dumps(document))
    access_key = iam.create_access_key(UserName=name)["AccessKey"]
    yield PreviewUser(account, access_key)
    iam.delete_access_key(UserName=name, AccessKeyId=access_key["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="preview")
    iam.delete_user(UserName=name)


def test_a_preview_of_a_template_shows_the_policy_that_the_update_then_puts(
    account: EmulatedAccount, name: str, preview_user: PreviewUser, tmp_path: Path
) -> None:
    file = tmp_path / "template.json"

    def preview(resources: dict[str, Any], *arguments: str) -> tuple[int, str, str]:
        file.write_text(template(**resources))
        process = preview_user.preview("--template", str(file), "--stack", name, *arguments)
        return process.returncode, process.stdout, process.stderr

    resources_without_policy = {
        logical_id: resource for logical_id, resource in one_secret(name).items() if logical_id != "Policy"
    }
    stack = create(account, name, resources_without_policy)
    status, document, _ = preview(one_secret(name), "--resource", "Policy", "--json")
    stack.update(template(**one_secret(name)))
    assert (status, json.loads(document)) == (2, own_policy(account, stack))

    # First without a change. Then with a new key for the secret, which is deployed before the preview.
    assert preview(one_secret(name))[0] == 0
    keyed = one_secret(name) | {"Secret": secret(name, "Key"), "Key": KEY}
    stack.update(template(**keyed))
    status, page, _ = preview(keyed)
    added_lines = [line for line in page.splitlines() if re.match(r"\s+\+", line)]
    assert (status, key_arn(account, stack) in "".join(added_lines)) == (2, True)

    deny = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*"}}
    iam = account.client("iam")
    iam.put_role_policy(RoleName=name, PolicyName="freeze", PolicyDocument=json.dumps(deny))
    status, page, _ = preview(keyed)
    # With a policy that is not the stack's, the role could not be deleted.
    iam.delete_role_policy(RoleName=name, PolicyName="freeze")
    assert (status, "Refused: AccessCheck: role" in page) == (1, True)


def key_arn(account: EmulatedAccount, stack: Stack) -> str:
    """Return the ARN of the stack's KMS key."""
    return str(account.client("kms").describe_key(KeyId=stack.physical_id("Key"))["KeyMetadata"]["Arn"])


# --- publishing ---


def test_sam_publishes_the_application(account: EmulatedAccount, tmp_path: Path) -> None:
    """The emulator has no Serverless Application Repository. A local server records the request instead."""
    received: list[dict[str, Any]] = []

    class Repository(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps({"applicationId": "arn:aws:serverlessrepo:::applications/rotation-role-policy"}).encode()
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
        endpoint = {"AWS_ENDPOINT_URL_SERVERLESSAPPLICATIONREPOSITORY": f"http://127.0.0.1:{server.server_port}"}
        package = ["package", "--template-file", str(built), "--s3-bucket", "published"]
        for arguments in (
            [*package, "--output-template-file", str(packaged)],
            ["publish", "--template", str(packaged)],
        ):
            process = subprocess.run(
                ["sam", *arguments],
                cwd=ROOT,
                env=account.emulator.environment | endpoint,
                capture_output=True,
                text=True,
                check=False,
            )
            assert process.returncode == 0, process.stderr
        server.shutdown()
    [application] = received
    [published_version] = re.findall(r"SemanticVersion: (\S+)", (ROOT / "template.yaml").read_text())
    assert (application["name"], application["semanticVersion"]) == ("rotation-role-policy", published_version)
    assert application["spdxLicenseId"] == "Apache-2.0"
    s3 = account.client("s3")
    for url, file in ((application["licenseUrl"], "LICENSE"), (application["readmeUrl"], "README.md")):
        bucket, key = re.fullmatch(r"s3://([^/]+)/(.+)", url).groups()  # type: ignore[union-attr]
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == (ROOT / file).read_bytes()
    assert "AWS::ServerlessRepo::Application" not in application["templateBody"]
    assert "s3://published/" in application["templateBody"]
