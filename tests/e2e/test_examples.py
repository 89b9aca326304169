"""The examples: each is linted, deployed to the emulator, used and deleted.

`emulated` removes the parts of an example that the emulator does not support. The emulator has no network interfaces,
and only descriptions of databases. test_rotations.py rotates the passwords of a real one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import hcl2
import pytest
from cfnlint.api import lint
from cfnlint.decode import cfn_yaml

from emulator.code import zip_code
from emulator.server import ACCOUNT_ID, REGION
from emulator.stack import Stack
from rotation_role_policy.provider import handler
from rotation_role_policy.provider.crhelper_adapter import CustomResource
from rotation_role_policy.provider.serve import serve
from rotation_role_policy.provider.settings import Settings
from rotation_role_policy.rules.properties import PROPERTIES, parse_properties
from rotation_role_policy_cli import main
from tests import ROOT
from tests.e2e.account import EmulatedAccount, deployed_account
from tests.support.account import connected, managed_secret
from tests.support.response_server import ResponseServer

EXAMPLES = ROOT / "examples"
CDK_PYTHON = ROOT / ".venv-cdk" / "bin" / "python"
"""The interpreter with the AWS CDK, which `make` installs."""

DATABASE_CODE = (
    (EXAMPLES / "rotation_function.py").read_text()
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
"""The calls of AWS's rotation functions. For alternating users, the step setSecret reads the superuser secret."""

# The statements of each example's policy: for each Sid, the logical IDs of the resources. A resource that exists before
# the deployment has the name of the example's parameter instead.
NETWORK = {"ManageNetworkInterfaces": ["*"], "KeepNetworkInterfacesFromCode": ["*"]}
EXPECTED_POLICIES: dict[str, dict[str, list[str]]] = {
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
    "hosted-rotation": {
        "RotateSecret": ["Secret"],
        "GeneratePassword": ["*"],
        "UseSecretKey": ["Key"],
        **NETWORK,
    },
    "several-secrets": {"RotateSecret": ["OrdersToken", "PaymentsToken"], "GeneratePassword": ["*"]},
    "existing-function": {"RotateSecret": ["Secret"], "GeneratePassword": ["*"]},
    "redshift": {
        "RotateSecret": ["Secret"],
        "GeneratePassword": ["*"],
        "ReadSuperuserSecret": ["SuperuserSecretArn"],
        "UseSuperuserKey": ["SuperuserKey"],
        "DescribeSuperuserSecret": ["SuperuserSecretArn"],
    },
    "read-replica": {
        "RotateSecret": ["Secret"],
        "GeneratePassword": ["*"],
        "ReadSuperuserSecret": ["SuperuserSecretArn"],
        "UseSuperuserKey": ["SuperuserKey"],
        "CallTarget": ["ReplicaArn"],
    },
    # The emulator has no secrets that RDS manages. A test below covers the two statements for such a secret.
    "rds-managed-superuser": {
        "RotateSecret": ["Secret"],
        "GeneratePassword": ["*"],
        "ReadSuperuserSecret": ["DatabaseMasterUserSecret"],
        **NETWORK,
    },
}


def template(name: str) -> dict[str, Any]:
    """Return the template of an example, with the full form of functions such as ``!Ref``."""
    parsed: dict[str, Any] = json.loads(json.dumps(cfn_yaml.load(EXAMPLES / f"{name}.yaml")))
    return parsed


UNKNOWN_TYPES = {"AWS::SecretsManager::RotationSchedule"}
"""The resource types that the emulator's CloudFormation does not support."""


def emulated(template: dict[str, Any]) -> str:
    """Return the text of a template for the emulator.

    A hosted rotation becomes a nested stack, as by CloudFormation's transform. Other resources of unknown types are
    removed. The emulator's databases have no secret that RDS manages, so the template
    gets another secret. PropagationDelay is 0, because the emulator's IAM is immediately consistent. ServiceTimeout is
    short, because a failure would otherwise take an hour.
    """
    expanded = {name: hosted_stack(resource) or resource for name, resource in template["Resources"].items()}
    resources = {name: resource for name, resource in expanded.items() if resource["Type"] not in UNKNOWN_TYPES}
    for name, resource in list(resources.items()):
        dependencies = [other for other in as_list(resource.get("DependsOn", [])) if other in resources]
        properties = dict(resource.get("Properties", {}))
        if resource["Type"] == "Custom::RotationRolePolicy":
            properties |= {"PropagationDelay": 0, "ServiceTimeout": "200"}
        if properties.get("ManageMasterUserPassword"):
            secret = {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "{}"}}
            resources[f"{name}MasterUserSecret"] = secret
        resources[name] = resource | {"DependsOn": dependencies, "Properties": properties}
    text = json.dumps({name: template[name] for name in template if name != "Transform"} | {"Resources": resources})
    text = re.sub(r'"(\w+)", "MasterUserSecret\.SecretArn"', r'"\1MasterUserSecret", "Id"', text)
    return re.sub(r"\${(\w+)\.MasterUserSecret\.SecretArn}", r"${\1MasterUserSecret.Id}", text)


def hosted_stack(resource: dict[str, Any]) -> dict[str, Any] | None:
    """Return the nested stack with the function of a hosted rotation; None for another resource."""
    if not (hosted := resource.get("Properties", {}).get("HostedRotationLambda")):
        return None
    parameters = {
        "functionName": hosted["RotationLambdaName"],
        "vpcSubnetIds": hosted["VpcSubnetIds"],
        "vpcSecurityGroupIds": hosted["VpcSecurityGroupIds"],
    }
    properties = {"TemplateURL": f"https://s3.amazonaws.com/{HOSTED_TEMPLATE}", "Parameters": parameters}
    return {"Type": "AWS::CloudFormation::Stack", "Properties": properties}


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedAccount]:
    """The account. The provider is deployed without parameters, as by `sam deploy`."""
    with deployed_account(tmp_path_factory.mktemp("examples")) as account:
        yield account


@pytest.fixture(scope="module")
def existing(account: EmulatedAccount) -> dict[str, str]:
    """The resources that exist before an example is deployed: values for the parameters, keyed by parameter name."""
    ec2, s3, secrets = account.client("ec2"), account.client("s3"), account.client("secretsmanager")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="rotation", Description="rotation", VpcId=vpc)["GroupId"]
    s3.create_bucket(Bucket="rotation-code", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="rotation-code", Key="rotation.zip", Body=zip_code(DATABASE_CODE, "lambda_function"))
    s3.put_object(Bucket="rotation-code", Key="hosted.yaml", Body=HOSTED_STACK)
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    superuser = secrets.create_secret(Name="superuser", SecretString='{"host": "db"}', KmsKeyId=key)["ARN"]
    other_stack = Stack(account.emulator, "others")
    other_stack.create(OTHER_STACK, Code=(EXAMPLES / "rotation_function.py").read_text())
    return {
        "VpcId": vpc,
        "SubnetIds": ",".join(subnet["SubnetId"] for subnet in subnets),
        "SecurityGroupIds": group,
        "CodeBucket": "rotation-code",
        "CodeKey": "rotation.zip",
        "SuperuserKey": key,
        "SuperuserSecretArn": superuser,
        "DatabaseHost": "db",
        "RotationFunctionArn": other_stack.outputs["Function"],
        "ClusterArn": f"arn:aws:redshift:{REGION}:{ACCOUNT_ID}:cluster:warehouse",
        "ReplicaArn": f"arn:aws:rds:{REGION}:{ACCOUNT_ID}:db:replica",
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
"""The template of another stack with a rotation function and an alias, for existing-function.yaml."""


HOSTED_TEMPLATE = "rotation-code/hosted.yaml"
HOSTED_STACK = """
Parameters:
  functionName: { Type: String }
  vpcSubnetIds: { Type: CommaDelimitedList }
  vpcSecurityGroupIds: { Type: CommaDelimitedList }
Resources:
  RotationRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: { Effect: Allow, Principal: { Service: lambda.amazonaws.com }, Action: "sts:AssumeRole" }
      ManagedPolicyArns:
        - !Sub arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole
      Policies:
        - PolicyName: AWSSecretsManagerRotationPolicy
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Action:
                  - secretsmanager:DescribeSecret
                  - secretsmanager:GetSecretValue
                  - secretsmanager:PutSecretValue
                  - secretsmanager:UpdateSecretVersionStage
                Resource: !Sub arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:*
              - { Effect: Allow, Action: "secretsmanager:GetRandomPassword", Resource: "*" }
  Function:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: !Ref functionName
      Runtime: python3.13
      Handler: lambda_function.lambda_handler
      Role: !GetAtt RotationRole.Arn
      Code: { S3Bucket: rotation-code, S3Key: rotation.zip }
      VpcConfig: { SubnetIds: !Ref vpcSubnetIds, SecurityGroupIds: !Ref vpcSecurityGroupIds }
"""
"""The nested stack that CloudFormation's transform makes for a hosted rotation, without the condition on
AllowRotationLambdaArn, which the emulator does not have."""


def test_every_example_has_an_expected_policy() -> None:
    # The role for an audit has no policy of the resource (test_audit.py).
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} - {"audit_role"} == set(EXPECTED_POLICIES)


def test_cfn_lint_has_no_findings_in_the_examples() -> None:
    command = [str(Path(sys.executable).with_name("cfn-lint")), *map(str, EXAMPLES.rglob("*.yaml"))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", EXPECTED_POLICIES)
def test_a_schedule_depends_on_the_policy_and_the_permission(name: str) -> None:
    """A new schedule rotates immediately. The emulator has no schedules, so this test reads the template."""
    resources = template(name)["Resources"]
    schedules = [
        resource for resource in resources.values() if resource["Type"] == "AWS::SecretsManager::RotationSchedule"
    ]
    assert len(schedules) == len(EXPECTED_POLICIES[name]["RotateSecret"])
    if name == "hosted-rotation":
        # The function is created with the schedule. The first rotation is that of the rotation rules.
        [schedule] = schedules
        assert schedule["Properties"]["RotateImmediatelyOnUpdate"] is False
        assert resources["RotationPolicy"]["DependsOn"] == "Schedule"
        return
    for schedule in schedules:
        assert {"RotationPolicy", "SecretsManagerMayInvoke"} <= set(schedule["DependsOn"])


def test_the_code_in_the_templates_equals_rotation_function_py() -> None:
    code_by_example = {
        name: resource["Properties"]["Code"]["ZipFile"]
        for name in EXPECTED_POLICIES
        for resource in template(name)["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function" and "ZipFile" in resource["Properties"]["Code"]
    }
    assert set(code_by_example) == {"one-secret", "customer-managed-key", "several-secrets"}
    assert set(code_by_example.values()) == {(EXAMPLES / "rotation_function.py").read_text()}


@pytest.mark.parametrize("name", EXPECTED_POLICIES)
def test_an_example_can_be_deployed_previewed_used_and_deleted(
    account: EmulatedAccount,
    existing: dict[str, str],
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parsed = template(name)
    stack = Stack(account.emulator, f"example-{name}")
    parameters = {parameter: existing[parameter] for parameter in parsed.get("Parameters", ())}
    stack.create(emulated(parsed), **parameters)
    file = EXAMPLES / f"{name}.yaml"
    if name == "rds-managed-superuser":
        # The emulated template has another secret instead of the secret that RDS manages.
        file = tmp_path / "emulated.json"
        file.write_text(emulated(parsed))
    # In this process: a process of its own takes a second to start. test_end_to_end.py starts one.
    with mock.patch.dict(os.environ, account.emulator.environment):
        status = main.main(["preview", "--template", str(file), "--stack", stack.name])
    preview = capsys.readouterr()
    assert (status, preview.err) == (0, "")
    assert "Unchanged: the role has this policy." in preview.out
    if name == "hosted-rotation":
        function = f"{stack.name}-rotation"
    elif "RotationFunctionArn" in parameters:
        function = existing["RotationFunctionArn"]
    else:
        function = stack.physical_id("RotationFunction")
    check_stack(account, stack, function, EXPECTED_POLICIES[name], existing)

    if "VpcConfig" in parsed["Resources"]["RotationPolicy"]["Properties"]:
        # CloudFormation must delete the function first: Lambda needs the policy to delete the network interfaces.
        events = [event for event in reversed(stack.events()) if event["ResourceStatus"] == "DELETE_COMPLETE"]
        order = [event["LogicalResourceId"] for event in events]
        assert order.index("RotationFunction") < order.index("RotationPolicy")


def test_a_superuser_secret_that_rds_manages_adds_two_statements(responses: ResponseServer) -> None:
    """The properties of rds-managed-superuser.yaml, with a secret that RDS manages. The emulator has no such secret."""
    with connected(responses) as account:
        database = f"arn:aws:rds:{REGION}:{ACCOUNT_ID}:db:database"
        superuser = account.secret("managed")
        account.role("rotation-role")
        properties = {
            "ServiceToken": "the provider",
            "SecretId": account.secret(),
            "SuperuserSecretId": superuser,
            "RoleName": "rotation-role",
            "VpcConfig": account.vpc(),
        }
        assert (
            template("rds-managed-superuser")["Resources"]["RotationPolicy"]["Properties"].keys() == properties.keys()
        )
        tags = [{"Key": "aws:rds:primaryDBInstanceArn", "Value": database}]
        aws = managed_secret(account, OwningService="rds", Tags=tags)
        with mock.patch.object(handler, "resource", CustomResource(partial(serve, aws, Settings()))):
            assert account.create(**properties)["Status"] == "SUCCESS"
        [document] = account.policies().values()
        resources_by_sid = {statement["Sid"]: statement["Resource"] for statement in document["Statement"]}
        assert list(resources_by_sid) == [
            "RotateSecret",
            "GeneratePassword",
            "ReadSuperuserSecret",
            "DescribeSuperuserSecret",
            "DescribeSuperuserDatabase",
            *NETWORK,
        ]
        assert resources_by_sid["DescribeSuperuserSecret"] == superuser
        assert resources_by_sid["DescribeSuperuserDatabase"] == database


def check_stack(
    account: EmulatedAccount,
    stack: Stack,
    function: str,
    expected_policy: dict[str, list[str]],
    existing: dict[str, str],
) -> None:
    """Check the policy of the stack, run rotations with and without the policy, and delete the stack.

    `expected_policy` has the form of `EXPECTED_POLICIES`. `existing` contains the ARNs of resources outside the stack.
    """
    role, policy = stack.physical_id("RotationPolicy").split("/")
    arns = {
        sid: [existing.get(name) or arn(account, stack, name) for name in names]
        for sid, names in expected_policy.items()
    }
    documents = account.policies(role)
    assert documents.keys() - {"AWSSecretsManagerRotationPolicy"} == {policy}
    assert {statement["Sid"]: as_list(statement["Resource"]) for statement in documents[policy]["Statement"]} == arns

    iam = account.client("iam")
    for secret in arns["RotateSecret"]:
        previous_value = secret_value(account, secret)
        assert account.rotate(function, secret) == ""
        assert secret_value(account, secret) != previous_value
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    assert "AccessDenied" in account.rotate(function, arns["RotateSecret"][0])
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(documents[policy]))

    stack.delete()
    assert [line["message"] for line in account.log() if line.get("stack") == stack.id][-2:] == [
        "policy deleted",
        "sending response",
    ]
    role_names = [listed["RoleName"] for listed in iam.list_roles()["Roles"]]
    assert role not in role_names or account.policies(role) == {}


def arn(account: EmulatedAccount, stack: Stack, name: str) -> str:
    """Return the ARN of the secret or key with this logical ID. The name ``*`` is returned unchanged."""
    if name == "*":
        return name
    client = account.client("cloudformation")
    resource = client.describe_stack_resource(StackName=stack.name, LogicalResourceId=name)["StackResourceDetail"]
    if resource["ResourceType"] == "AWS::KMS::Key":
        return f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/{resource['PhysicalResourceId']}"
    return str(account.client("secretsmanager").describe_secret(SecretId=resource["PhysicalResourceId"])["ARN"])


def secret_value(account: EmulatedAccount, secret: str) -> str:
    return str(account.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])


# --- AWS CDK ---


def test_the_cdk_app_can_be_synthesized_deployed_used_and_deleted(account: EmulatedAccount, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("the CDK needs Node.js, which is not on PATH")
    environment = os.environ | {"CDK_OUTDIR": str(tmp_path)}
    subprocess.run([CDK_PYTHON, EXAMPLES / "cdk" / "app.py"], env=environment, check=True, capture_output=True)
    text = (tmp_path / "rotation-example.template.json").read_text()
    # W3005: the CDK adds a DependsOn from a function to its role, which is redundant.
    assert [match for match in lint(text) if match.rule.id != "W3005"] == []

    resources = json.loads(text)["Resources"]
    logical_ids = {resource["Type"]: logical_id for logical_id, resource in resources.items()}
    assert len(logical_ids) == len(resources)
    assert not {"AWS::IAM::Policy", "AWS::SecretsManager::ResourcePolicy"} & set(logical_ids)
    schedule = resources[logical_ids["AWS::SecretsManager::RotationSchedule"]]
    assert {"RotationPolicy", "SecretsManagerMayInvoke"} <= set(schedule["DependsOn"])

    # `cdk bootstrap` creates this parameter.
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    stack = Stack(account.emulator, "rotation-example")
    stack.create(emulated(json.loads(text)))
    assert stack.outputs["PolicyName"].startswith("RotationPolicy-")
    expected_policy = {
        "RotateSecret": [logical_ids["AWS::SecretsManager::Secret"]],
        "GeneratePassword": ["*"],
        "UseSecretKey": [logical_ids["AWS::KMS::Key"]],
    }
    check_stack(account, stack, stack.physical_id(logical_ids["AWS::Lambda::Function"]), expected_policy, {})


CDK_APP = """
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from rotation_policy import RotationRolePolicy

app = App()
stack = Stack(app, "example")
function = lambda_.Function.from_function_name(stack, "Function", "rotate")
superuser = secretsmanager.Secret(stack, "Superuser")
for name in ("One", "Two"):
    secret = secretsmanager.Secret(stack, name)
    # The schedule comes first, and is still created last.
    secret.add_rotation_schedule("Schedule", rotation_lambda=function, automatically_after=Duration.days(7))
    RotationRolePolicy(
        stack,
        f"{name}Policy",
        secret=secret,
        function=function,
        superuser_secret=superuser,
        target_arns=["arn:aws:rds:eu-central-1:123456789012:db:a"],
        kms_scope="Secret",
        triggers={"Version": "2"},
    )
hosted = secretsmanager.Secret(stack, "Hosted")
rotation = secretsmanager.HostedRotation.mysql_single_user(function_name="hosted")
hosted.add_rotation_schedule("Schedule", hosted_rotation=rotation)
by_name = lambda_.Function.from_function_name(stack, "HostedFunction", "hosted")
RotationRolePolicy(stack, "HostedPolicy", secret=hosted, function=by_name)

# A secret of a database, rotated by a function in a VPC.
vpc = ec2.Vpc(stack, "Vpc", max_azs=1, nat_gateways=0)
database = rds.DatabaseInstance(
    stack,
    "Database",
    engine=rds.DatabaseInstanceEngine.POSTGRES,
    vpc=vpc,
    vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
)
role = iam.Role(stack, "VpcRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")).without_policy_updates()
in_vpc = lambda_.Function(
    stack,
    "InVpc",
    runtime=lambda_.Runtime.PYTHON_3_13,
    handler="index.handler",
    code=lambda_.Code.from_inline("pass"),
    role=role,
    vpc=vpc,
    vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
)
user = secretsmanager.Secret(stack, "User")
attached = user.attach(database)
attached.add_rotation_schedule("Schedule", rotation_lambda=in_vpc)
master = secretsmanager.Secret(stack, "Master", encryption_key=kms.Key(stack, "MasterKey"))
RotationRolePolicy(stack, "VpcPolicy", secret=user, function=in_vpc, superuser_secret=master)
app.synth()
"""


def test_the_construct_adds_the_order_to_the_schedules_of_the_cdk(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("the CDK needs Node.js, which is not on PATH")
    app = tmp_path / "app.py"
    app.write_text(CDK_APP)
    environment = os.environ | {"CDK_OUTDIR": str(tmp_path / "out"), "PYTHONPATH": str(EXAMPLES / "cdk")}
    subprocess.run([CDK_PYTHON, app], env=environment, check=True, capture_output=True)
    resources = json.loads((tmp_path / "out" / "example.template.json").read_text())["Resources"]
    schedules = {
        name: resource.get("DependsOn", [])
        for name, resource in resources.items()
        if resource["Type"] == "AWS::SecretsManager::RotationSchedule"
    }
    for policy in ("One", "Two"):
        [depends_on] = [found for name, found in schedules.items() if name.startswith(policy)]
        assert [name for name in as_list(depends_on) if name.endswith("Policy")] == [f"{policy}Policy"]
    properties = resources["OnePolicy"]["Properties"]
    assert properties.keys() == {
        "ServiceToken", "SecretId", "RotationLambdaARN", "SuperuserSecretId", "TargetArns", "KmsScope", "Triggers",
    }  # fmt: skip
    assert parse_properties(
        {
            name: "x" if isinstance(value, dict) else value
            for name, value in properties.items()
            if name not in ("ServiceToken", "Triggers")
        }
    )
    [hosted] = [name for name in schedules if name.startswith("Hosted")]
    assert (schedules[hosted], resources["HostedPolicy"]["DependsOn"]) == ([], [hosted])
    # The function waits for the policy, which is declared, and the schedule of the attached secret too.
    [of_user] = [depends_on for name, depends_on in schedules.items() if name.startswith("User")]
    assert "VpcPolicy" in of_user
    [function] = [each for name, each in resources.items() if name.startswith("InVpc") and "Code" in each["Properties"]]
    assert "VpcPolicy" in function["DependsOn"]
    properties = resources["VpcPolicy"]["Properties"]
    assert "RotationLambdaARN" not in properties
    assert properties["RoleName"]["Ref"].startswith("VpcRole")
    assert properties["VpcConfig"]["SubnetIds"] == function["Properties"]["VpcConfig"]["SubnetIds"]
    assert properties["Triggers"].keys() == {"Role", "SuperuserKey"}
    project = [match for match in lint(json.dumps({"Resources": resources})) if match.rule.id[1:3] == "98"]
    # CloudFormation creates the hosted function with the schedule.
    assert [str(match.rule.id) for match in project] == []


# --- Terraform ---


def terraform_resources() -> dict[str, Any]:
    """Return the resources of main.tf keyed by type. The file has one resource of each type."""
    with (EXAMPLES / "terraform" / "main.tf").open() as file:
        module = hcl2.load(file, serialization_options=hcl2.SerializationOptions(strip_string_quotes=True))
    resources = {
        resource_type: body
        for block in module["resource"]
        for resource_type, bodies in block.items()
        for body in bodies.values()
    }
    assert len(resources) == len(module["resource"])
    return resources


def test_the_terraform_examples_stack_can_be_deployed_used_and_deleted(
    account: EmulatedAccount, tmp_path: Path
) -> None:
    """The test does not run Terraform. It creates the other resources of main.tf with API calls."""
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
    function_body = resources["aws_lambda_function"]
    module = function_body["handler"].partition(".")[0]
    function = account.client("lambda").create_function(
        FunctionName=function_body["function_name"],
        Role=role["Role"]["Arn"],
        Runtime=function_body["runtime"],
        Handler=function_body["handler"],
        Code={"ZipFile": zip_code((EXAMPLES / f"{module}.py").read_text(), module)},
    )["FunctionArn"]

    stack = Stack(account.emulator, resources["aws_cloudformation_stack"]["name"])
    parameters = {"SecretArn": secret, "FunctionArn": function, "KeyArn": key, "RoleArn": role["Role"]["Arn"]}
    stack.create(emulated(parsed), **parameters)
    assert stack.outputs["PolicyName"].startswith("RotationPolicy-")
    expected_policy = {"RotateSecret": ["SecretArn"], "GeneratePassword": ["*"], "UseSecretKey": ["KeyArn"]}
    check_stack(account, stack, function, expected_policy, parameters)


def module_properties() -> dict[str, str]:
    """Return the properties that the module sets, with the names of its variables."""
    text = (EXAMPLES / "terraform" / "module" / "main.tf").read_text()
    return dict(re.findall(r"^ +(\w+) += .*?each\.value\.(\w+)", text.partition("Properties = {")[2], re.MULTILINE))


def rendered_module(rotation: dict[str, Any]) -> str:
    """Return the template of the module for a rotation. `jsonencode` and the conditions are Terraform's."""
    properties = {name: rotation.get(variable) for name, variable in module_properties().items()}
    if properties["VpcConfig"] is not None:
        properties["VpcConfig"] = {"SubnetIds": properties["VpcConfig"]}
    given = {name: value for name, value in properties.items() if value is not None}
    token = {"Fn::ImportValue": "rotation-role-policy-ServiceToken"}
    resource = {"Type": "Custom::RotationRolePolicy", "Properties": {"ServiceToken": token} | given}
    outputs = {"PolicyName": {"Value": {"Fn::GetAtt": ["RotationPolicy", "PolicyName"]}}}
    return json.dumps({"Resources": {"RotationPolicy": resource}, "Outputs": outputs})


def test_the_terraform_module_has_a_variable_for_each_property() -> None:
    # SecretIds is enough, and ServiceTimeout is CloudFormation's own.
    assert module_properties().keys() == {row.name for row in PROPERTIES} - {
        "ServiceToken",
        "ServiceTimeout",
        "SecretId",
    }
    variables = (EXAMPLES / "terraform" / "module" / "variables.tf").read_text()
    declared = re.findall(r"^    (\w+) += (?:optional\()?(?:list\(|map\()?(?:string|number)", variables, re.MULTILINE)
    assert sorted(declared) == sorted(module_properties().values())


def test_the_stack_of_the_terraform_module_can_be_deployed_used_and_deleted(account: EmulatedAccount) -> None:
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    secret = account.client("secretsmanager").create_secret(
        Name="rotation-module", SecretString='{"token": "first"}', KmsKeyId=key
    )["ARN"]
    role = account.client("iam").create_role(RoleName="rotation-module", AssumeRolePolicyDocument=json.dumps(TRUST))
    function = account.client("lambda").create_function(
        FunctionName="rotation-module",
        Role=role["Role"]["Arn"],
        Runtime="python3.13",
        Handler="rotation_function.handler",
        Code={"ZipFile": zip_code((EXAMPLES / "rotation_function.py").read_text(), "rotation_function")},
    )["FunctionArn"]
    rotation = {
        "secret_ids": [secret],
        "rotation_lambda_arn": function,
        "kms_scope": "Key",
        "propagation_delay": 0,
        "triggers": {"Key": key},
    }
    assert lint(rendered_module(rotation)) == []
    declared = {"secret_ids": ["a"], "role_name": "r", "subnet_ids": [], "target_arns": None, "access_check": "Off"}
    assert lint(rendered_module(declared)) == []
    stack = Stack(account.emulator, "rotation-policy-module")
    stack.create(rendered_module(rotation))
    assert stack.outputs["PolicyName"].startswith("RotationPolicy-")
    expected_policy = {"RotateSecret": ["SecretArn"], "GeneratePassword": ["*"], "UseSecretKey": ["KeyArn"]}
    check_stack(account, stack, function, expected_policy, {"SecretArn": secret, "KeyArn": key})


# --- StackSets ---


def test_the_template_of_a_stack_set_deploys_a_provider_with_the_given_name(account: EmulatedAccount) -> None:
    """The emulator has no StackSets. The template is deployed as a stack with a name as StackSets generates it."""
    processed = account.client("cloudformation").get_template(
        StackName=account.provider.name, TemplateStage="Processed"
    )
    stack_set = subprocess.run(
        [sys.executable, EXAMPLES / "stack_set.py", "provider-code"],
        input=json.dumps(processed["TemplateBody"]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert lint(stack_set.stdout) == []
    assert "Transform" not in json.loads(stack_set.stdout)

    [command] = re.findall(r"s3://([^/ ]+)/(\S+) s3://([^/ ]+)-REGION/(\S+)", stack_set.stderr)
    source, key, prefix, copied_key = command
    s3 = account.client("s3")
    bucket = f"{prefix}-{REGION}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=bucket, Key=copied_key, Body=s3.get_object(Bucket=source, Key=key)["Body"].read())
    stack = Stack(account.emulator, f"StackSet-rotation-role-policy-{uuid.uuid4()}")
    stack.create(stack_set.stdout, FunctionName="everywhere")
    assert stack.outputs["ServiceToken"].endswith(":function:everywhere")

    text = emulated(template("one-secret")).replace("rotation-role-policy-ServiceToken", "everywhere-ServiceToken")
    example = Stack(account.emulator, "example-of-a-member")
    example.create(text)
    member = EmulatedAccount(account.emulator, stack)
    check_stack(member, example, example.physical_id("RotationFunction"), EXPECTED_POLICIES["one-secret"], {})
    stack.delete()
