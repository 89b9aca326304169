"""Each example is linted, deployed, used and deleted, as it stands but for what the emulator lacks: see `emulated`.

No database is there to set a password in, and no condition key is filled in: a function's network, `Strict`'s
conditions and what Lambda does with a VpcConfig are judged elsewhere (test_policy_meaning.py) or not at all.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import hcl2
import pytest
from cfnlint.api import lint
from cfnlint.decode import cfn_yaml

from demo import rotation_function
from emulator.provider import allow_simulation
from emulator.server import ACCOUNT_ID, REGION
from emulator.stack import Stack
from rotation_role_policy import custom_resource
from tests import ROOT
from tests.e2e.account import EmulatedAccount, deployed, zipped
from tests.support.account import connected, managed_secret
from tests.support.response_server import ResponseServer

EXAMPLES = ROOT / "examples"
CDK_PYTHON = ROOT / ".venv-cdk" / "bin" / "python"
"""`make` installs it."""

DATABASE_CODE = (
    Path(rotation_function.__file__).read_text()
    + """

def lambda_handler(event, context):
    handler(event, context)
    if event["Step"] == "setSecret":
        secrets = boto3.client("secretsmanager")
        value = json.loads(secrets.get_secret_value(SecretId=event["SecretId"])["SecretString"])
        if "masterarn" in value:
            secrets.get_secret_value(SecretId=value["masterarn"])
"""
)
"""What AWS's own functions call: for alternating users, setSecret reads the superuser's secret."""

# What stands on the role: for each Sid the resources, by logical id, or by parameter for what the account already has.
NETWORK = {"ManageNetworkInterfaces": ["*"], "KeepNetworkInterfacesFromCode": ["*"]}
PROMISED: dict[str, dict[str, list[str]]] = {
    "one-secret": {"RotateSecret": ["Secret"], "GeneratePassword": ["*"]},
    "customer-managed-key": {"RotateSecret": ["Secret"], "GeneratePassword": ["*"], "UseSecretKey": ["Key"]},
    "function-in-vpc": {"RotateSecret": ["Secret"], "GeneratePassword": ["*"], **NETWORK},
    "alternating-users": {
        "RotateSecret": ["Secret"],
        "GeneratePassword": ["*"],
        "UseSecretKey": ["Key"],
        "ReadSuperuserSecret": ["SuperuserSecretArn"],
        "UseSuperuserKey": ["SuperuserKey"],
        **NETWORK,
    },
    "several-secrets": {"RotateSecret": ["OrdersToken", "PaymentsToken"], "GeneratePassword": ["*"]},
    "existing-function": {"RotateSecret": ["Secret"], "GeneratePassword": ["*"]},
    # The emulator's secrets are never managed by RDS: the two statements that come of it are shown below.
    "rds-managed-superuser": {
        "RotateSecret": ["Secret"],
        "GeneratePassword": ["*"],
        "ReadSuperuserSecret": ["DatabaseMasterUserSecret"],
        **NETWORK,
    },
}


def template(name: str) -> dict[str, Any]:
    """An example's template, its short forms (``!Ref``) spelled out."""
    parsed: dict[str, Any] = json.loads(json.dumps(cfn_yaml.load(EXAMPLES / f"{name}.yaml")))
    return parsed


UNKNOWN_TYPES = {"AWS::SecretsManager::RotationSchedule"}
"""What the emulator's CloudFormation refuses."""


def emulated(template: dict[str, Any]) -> str:
    """A template's text for the emulator.

    Left out are the resources that it does not know. Its databases have no secret of RDS's: another one stands in.
    Its IAM is consistent at once, and it waits an hour for an answer where it is not told less.
    """
    resources = {
        name: resource for name, resource in template["Resources"].items() if resource["Type"] not in UNKNOWN_TYPES
    }
    for name, resource in list(resources.items()):
        known = [other for other in as_list(resource.get("DependsOn", [])) if other in resources]
        properties = dict(resource.get("Properties", {}))
        if resource["Type"] == "Custom::RotationRolePolicy":
            properties |= {"PropagationDelay": 0, "ServiceTimeout": "200"}
        if properties.get("ManageMasterUserPassword"):
            stand_in = {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "{}"}}
            resources[f"{name}MasterUserSecret"] = stand_in
        resources[name] = resource | {"DependsOn": known, "Properties": properties}
    text = json.dumps(template | {"Resources": resources})
    text = re.sub(r'"(\w+)", "MasterUserSecret\.SecretArn"', r'"\1MasterUserSecret", "Id"', text)
    return re.sub(r"\${(\w+)\.MasterUserSecret\.SecretArn}", r"${\1MasterUserSecret.Id}", text)


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedAccount]:
    """The account, with the provider as `sam deploy` makes it without parameters."""
    with deployed(tmp_path_factory.mktemp("examples")) as account:
        yield account


@pytest.fixture(scope="module")
def given(account: EmulatedAccount) -> dict[str, str]:
    """What a user of the examples has already: the values of their parameters, by name."""
    ec2, s3, secrets = account.client("ec2"), account.client("s3"), account.client("secretsmanager")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="rotation", Description="rotation", VpcId=vpc)["GroupId"]
    s3.create_bucket(Bucket="rotation-code", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="rotation-code", Key="rotation.zip", Body=zipped(DATABASE_CODE, "lambda_function"))
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    superuser = secrets.create_secret(Name="superuser", SecretString='{"host": "db"}', KmsKeyId=key)["ARN"]
    others = Stack(account.emulator, "others")
    others.create(OTHER_STACK, Code=Path(rotation_function.__file__).read_text())
    return {
        "VpcId": vpc,
        "SubnetIds": ",".join(subnet["SubnetId"] for subnet in subnets),
        "SecurityGroupIds": group,
        "CodeBucket": "rotation-code",
        "CodeKey": "rotation.zip",
        "SuperuserKey": key,
        "SuperuserSecretArn": superuser,
        "DatabaseHost": "db",
        "RotationFunctionArn": others.outputs["Function"],
    }


TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}

OTHER_STACK = """
Parameters: { Code: { Type: String } }
Resources:
  RotationRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: { Effect: Allow, Principal: { Service: lambda.amazonaws.com }, Action: "sts:AssumeRole" }
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      Role: !GetAtt RotationRole.Arn
      Code: { ZipFile: !Ref Code }
  Version: { Type: AWS::Lambda::Version, Properties: { FunctionName: !Ref Function } }
  Live:
    Type: AWS::Lambda::Alias
    Properties: { FunctionName: !Ref Function, FunctionVersion: !GetAtt Version.Version, Name: live }
Outputs:
  Function: { Value: !Ref Live }
"""
"""Another stack, with the function that existing-function.yaml is about: it has an alias."""


def test_every_example_is_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(PROMISED)


def test_the_examples_are_lint_clean() -> None:
    command = [str(Path(sys.executable).with_name("cfn-lint")), *map(str, EXAMPLES.rglob("*.yaml"))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", PROMISED)
def test_a_schedule_comes_after_the_policy_and_the_permission(name: str) -> None:
    """A schedule rotates at once. The emulator has none: here is what would order it."""
    resources = template(name)["Resources"]
    schedules = [one for one in resources.values() if one["Type"] == "AWS::SecretsManager::RotationSchedule"]
    assert len(schedules) == len(PROMISED[name]["RotateSecret"])
    for schedule in schedules:
        assert {"RotationPolicy", "SecretsManagerMayInvoke"} <= set(schedule["DependsOn"])


def test_the_code_in_the_templates_is_that_of_the_file() -> None:
    codes = {
        name: resource["Properties"]["Code"]["ZipFile"]
        for name in PROMISED
        for resource in template(name)["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function" and "ZipFile" in resource["Properties"]["Code"]
    }
    assert set(codes) == {"one-secret", "customer-managed-key", "several-secrets"}
    assert set(codes.values()) == {(EXAMPLES / "rotation_function.py").read_text()}


@pytest.mark.parametrize("name", PROMISED)
def test_an_example_is_deployed_previewed_used_and_deleted(
    account: EmulatedAccount, given: dict[str, str], name: str, tmp_path: Path
) -> None:
    parsed = template(name)
    stack = Stack(account.emulator, f"example-{name}")
    parameters = {parameter: given[parameter] for parameter in parsed.get("Parameters", ())}
    stack.create(emulated(parsed), **parameters)
    file = EXAMPLES / f"{name}.yaml"
    if name == "rds-managed-superuser":
        # RDS's secret is another one in the emulator.
        file = tmp_path / "emulated.json"
        file.write_text(emulated(parsed))
    shown = subprocess.run(
        [sys.executable, "-m", "rotation_role_policy_cli", "preview", "--template", file, "--stack", stack.name],
        env=account.emulator.environment | {"PYTHONPATH": f"{ROOT / 'handler'}:{ROOT / 'cli'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Unchanged: the role has this policy." in shown.stdout
    function = given["RotationFunctionArn"] if name == "existing-function" else stack.physical_id("RotationFunction")
    check(account, stack, function, PROMISED[name], given)

    if "VpcConfig" in parsed["Resources"]["RotationPolicy"]["Properties"]:
        # The function goes first: CloudFormation then waits until Lambda has removed its interfaces, with the role.
        events = [event for event in reversed(stack.events()) if event["ResourceStatus"] == "DELETE_COMPLETE"]
        order = [event["LogicalResourceId"] for event in events]
        assert order.index("RotationFunction") < order.index("RotationPolicy")


def test_a_superuser_of_rds_is_described_with_its_database(responses: ResponseServer) -> None:
    """What the emulator can't show of rds-managed-superuser.yaml: the same properties, where the secret is RDS's."""
    with connected(responses) as account:
        database = f"arn:aws:rds:{REGION}:{ACCOUNT_ID}:db:database"
        superuser = account.secret("managed")
        account.role("rotation-role")
        resolved = {
            "ServiceToken": "the provider",
            "SecretId": account.secret(),
            "SuperuserSecretId": superuser,
            "RoleName": "rotation-role",
            "VpcConfig": account.vpc(),
        }
        assert template("rds-managed-superuser")["Resources"]["RotationPolicy"]["Properties"].keys() == resolved.keys()
        tags = [{"Key": "aws:rds:primaryDBInstanceArn", "Value": database}]
        with mock.patch.object(custom_resource, "aws", managed_secret(account, OwningService="rds", Tags=tags)):
            assert account.create(**resolved)["Status"] == "SUCCESS"
        [document] = account.policies().values()
        resources = {statement["Sid"]: statement["Resource"] for statement in document["Statement"]}
        assert list(resources) == [
            "RotateSecret",
            "GeneratePassword",
            "ReadSuperuserSecret",
            "DescribeSuperuserSecret",
            "DescribeSuperuserDatabase",
            *NETWORK,
        ]
        assert resources["DescribeSuperuserSecret"] == superuser
        assert resources["DescribeSuperuserDatabase"] == database


def check(
    account: EmulatedAccount, stack: Stack, function: str, promised: dict[str, list[str]], given: dict[str, str]
) -> None:
    """The stack's policy is what was promised; its secrets rotate with it, and not without; it goes with the stack."""
    role, policy = stack.physical_id("RotationPolicy").split("/")
    arns = {sid: [given.get(name) or arn(account, stack, name) for name in names] for sid, names in promised.items()}
    documents = account.policies(role)
    assert list(documents) == [policy]
    assert {one["Sid"]: as_list(one["Resource"]) for one in documents[policy]["Statement"]} == arns

    iam = account.client("iam")
    for secret in arns["RotateSecret"]:
        before = value(account, secret)
        assert account.rotate(function, secret) == ""
        assert value(account, secret) != before
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    assert "AccessDenied" in account.rotate(function, arns["RotateSecret"][0])
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(documents[policy]))

    stack.delete()
    assert [line["message"] for line in account.log() if line.get("stack") == stack.id][-2:] == [
        "policy deleted",
        "sending response",
    ]
    roles = [one["RoleName"] for one in iam.list_roles()["Roles"]]
    assert role not in roles or account.policies(role) == {}


def arn(account: EmulatedAccount, stack: Stack, name: str) -> str:
    """The ARN of the stack's secret or key with this logical id; ``*`` is everything."""
    if name == "*":
        return name
    client = account.client("cloudformation")
    found = client.describe_stack_resource(StackName=stack.name, LogicalResourceId=name)["StackResourceDetail"]
    if found["ResourceType"] == "AWS::KMS::Key":
        return f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/{found['PhysicalResourceId']}"
    return str(account.client("secretsmanager").describe_secret(SecretId=found["PhysicalResourceId"])["ARN"])


def value(account: EmulatedAccount, secret: str) -> str:
    return str(account.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])


# --- the CDK ---


def test_the_cdk_app_is_synthesised_deployed_used_and_deleted(account: EmulatedAccount, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("the CDK runs Node.js, which is not on PATH")
    environment = os.environ | {"CDK_OUTDIR": str(tmp_path)}
    subprocess.run([CDK_PYTHON, EXAMPLES / "cdk" / "app.py"], env=environment, check=True, capture_output=True)
    text = (tmp_path / "rotation-example.template.json").read_text()
    # The CDK lets a function DependsOn its role, which it names anyway.
    assert [found for found in lint(text) if found.rule.id != "W3005"] == []

    resources = json.loads(text)["Resources"]
    names = {resource["Type"]: name for name, resource in resources.items()}
    assert len(names) == len(resources)
    assert not {"AWS::IAM::Policy", "AWS::SecretsManager::ResourcePolicy"} & set(names)
    schedule = resources[names["AWS::SecretsManager::RotationSchedule"]]
    assert {"RotationPolicy", "SecretsManagerMayInvoke"} <= set(schedule["DependsOn"])

    # As `cdk bootstrap` leaves it.
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    stack = Stack(account.emulator, "rotation-example")
    stack.create(emulated(json.loads(text)))
    assert stack.outputs["PolicyName"].startswith("RotationPolicy-")
    promised = {
        "RotateSecret": [names["AWS::SecretsManager::Secret"]],
        "GeneratePassword": ["*"],
        "UseSecretKey": [names["AWS::KMS::Key"]],
    }
    check(account, stack, stack.physical_id(names["AWS::Lambda::Function"]), promised, {})


# --- Terraform ---


def terraform_resources() -> dict[str, Any]:
    """The resources of main.tf by their type: there is one of each."""
    with (EXAMPLES / "terraform" / "main.tf").open() as file:
        module = hcl2.load(file, serialization_options=hcl2.SerializationOptions(strip_string_quotes=True))
    bodies = {kind: body for block in module["resource"] for kind, named in block.items() for body in named.values()}
    assert len(bodies) == len(module["resource"])
    return bodies


def test_the_terraform_examples_stack_is_deployed_used_and_deleted(account: EmulatedAccount, tmp_path: Path) -> None:
    """What Terraform makes itself is made here by its API; `terraform` is no part of the tests."""
    resources = terraform_resources()
    assert resources["aws_cloudformation_stack"]["template_body"] == '${file("${path.module}/policy.yaml")}'
    parsed = template("terraform/policy")
    assert resources["aws_cloudformation_stack"]["parameters"].keys() == parsed["Parameters"].keys()
    depends_on = set(resources["aws_secretsmanager_secret_rotation"]["depends_on"])
    assert {"${aws_cloudformation_stack.policy}", "${aws_lambda_permission.secrets_manager}"} <= depends_on

    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    secret = account.client("secretsmanager").create_secret(
        Name="rotation-example", SecretString='{"token": "first"}', KmsKeyId=key
    )["ARN"]
    role = account.client("iam").create_role(RoleName="rotation-example", AssumeRolePolicyDocument=json.dumps(TRUST))
    declared = resources["aws_lambda_function"]
    module = declared["handler"].partition(".")[0]
    function = account.client("lambda").create_function(
        FunctionName=declared["function_name"],
        Role=role["Role"]["Arn"],
        Runtime=declared["runtime"],
        Handler=declared["handler"],
        Code={"ZipFile": zipped((EXAMPLES / f"{module}.py").read_text(), module)},
    )["FunctionArn"]

    stack = Stack(account.emulator, resources["aws_cloudformation_stack"]["name"])
    given = {"SecretArn": secret, "FunctionArn": function, "KeyArn": key, "RoleArn": role["Role"]["Arn"]}
    stack.create(emulated(parsed), **given)
    assert stack.outputs["PolicyName"].startswith("RotationPolicy-")
    promised = {"RotateSecret": ["SecretArn"], "GeneratePassword": ["*"], "UseSecretKey": ["KeyArn"]}
    check(account, stack, function, promised, given)


# --- StackSets ---


def test_the_template_of_a_stack_set_makes_a_provider_of_the_same_name_everywhere(account: EmulatedAccount) -> None:
    """The emulator has no StackSets: the template is deployed as one of its stacks, by the name that it would have."""
    found = account.client("cloudformation").get_template(StackName=account.provider.name, TemplateStage="Processed")
    made = subprocess.run(
        [sys.executable, EXAMPLES / "stack_set.py", "provider-code", "--name", "everywhere"],
        input=json.dumps(found["TemplateBody"]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert lint(made.stdout) == []
    assert "Transform" not in json.loads(made.stdout)

    [command] = re.findall(r"s3://([^/ ]+)/(\S+) s3://([^/ ]+)-REGION/(\S+)", made.stderr)
    source, key, prefix, copied_key = command
    s3 = account.client("s3")
    bucket = f"{prefix}-{REGION}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=bucket, Key=copied_key, Body=s3.get_object(Bucket=source, Key=key)["Body"].read())
    stack = Stack(account.emulator, f"StackSet-rotation-role-policy-{uuid.uuid4()}")
    stack.create(made.stdout)
    allow_simulation(account.emulator, stack)
    assert stack.outputs["ServiceToken"].endswith(":function:everywhere")

    text = emulated(template("one-secret")).replace("rotation-role-policy-ServiceToken", "everywhere-ServiceToken")
    user = Stack(account.emulator, "example-of-a-member")
    user.create(text)
    member = EmulatedAccount(account.emulator, stack)
    check(member, user, user.physical_id("RotationFunction"), PROMISED["one-secret"], {})
    stack.delete()
