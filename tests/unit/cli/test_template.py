"""References in a template: values of intrinsic functions, and references that cannot be resolved."""

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pytest

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.aws.errors import iam_action
from rotation_role_policy.aws.retries import Parameters, Response
from rotation_role_policy.aws.session import Session
from rotation_role_policy.errors import AwsApiError
from rotation_role_policy_cli.template.file import TemplateError, load
from rotation_role_policy_cli.template.placeholders import with_names
from rotation_role_policy_cli.template.resolver import Template
from rotation_role_policy_cli.template.stack import DeployedStack
from tests.support.account import ACCOUNT, BOTOCORE_SESSION, REGION, STACK_ID

ARN = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:"
SECRET_ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:db-AbCdEf"
DATABASE_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!db-1-AbCdEf"


class KnownAws(Aws):
    """An account with fixed responses to these calls."""

    def __init__(self) -> None:
        super().__init__(Session(prepare=lambda _: None, botocore_session=lambda: BOTOCORE_SESSION))
        nested = {"Outputs": [{"OutputKey": "SecretId", "OutputValue": "nested/db"}]}
        self.stack = {
            "StackId": STACK_ID,
            "Parameters": [
                {"ParameterKey": "Name", "ParameterValue": "from-stack"},
                {"ParameterKey": "Names", "ParameterValue": "a, b"},
                {"ParameterKey": "Hidden", "ParameterValue": "****"},
                {"ParameterKey": "Kept", "ParameterValue": "/in/ssm", "ResolvedValue": "of the last deployment"},
            ],
        }
        resources = {
            "Secret": ("SecretsManager::Secret", SECRET_ARN),
            "Role": ("IAM::Role", "role-1"),
            "Function": ("Lambda::Function", "rotate-1"),
            "Key": ("KMS::Key", "1234"),
            "Database": ("RDS::DBInstance", "db-1"),
            "Unmanaged": ("RDS::DBInstance", "db-2"),
            "Warehouse": ("Redshift::Cluster", "warehouse-1"),
            "OtherWarehouse": ("Redshift::Cluster", "warehouse-2"),
            "Cluster": ("RDS::DBCluster", "cluster-1"),
            "CacheUser": ("ElastiCache::User", "app"),
            "Nested": ("CloudFormation::Stack", "nested-id"),
            "Alias": ("Lambda::Alias", ARN.format("lambda") + "function:f:live"),
            "FunctionAliaslive": ("Lambda::Alias", ARN.format("lambda") + "function:rotate-1:live"),
            "FunctionRole": ("IAM::Role", "made-by-sam"),
            "Unfinished": ("SecretsManager::Secret", ""),
        }
        summaries = [
            {"LogicalResourceId": name, "ResourceType": f"AWS::{resource_type}", "PhysicalResourceId": physical_id}
            for name, (resource_type, physical_id) in resources.items()
        ]
        owner = {"MasterUserSecret": {"SecretArn": DATABASE_SECRET}}
        self.responses: dict[tuple[str, str], Any] = {
            ("DescribeStacks", "database"): {"Stacks": [self.stack]},
            ("DescribeStacks", "nested-id"): {"Stacks": [nested]},
            ("ListStackResources", ""): {"StackResourceSummaries": summaries[:4], "NextToken": "more"},
            ("ListStackResources", "more"): {"StackResourceSummaries": summaries[4:]},
            ("ListExports", ""): {"Exports": [{"Name": "other", "Value": "x"}], "NextToken": "more"},
            ("ListExports", "more"): {"Exports": [{"Name": "shared-db", "Value": "exported/db"}]},
            ("GetRole", "role-1"): {"Role": {"Arn": f"arn:aws:iam::{ACCOUNT}:role/path/role-1"}},
            ("GetParameter", "/db/name"): {"Parameter": {"Type": "String", "Value": "ssm/db"}},
            ("GetParameter", "/in/ssm"): {"Parameter": {"Type": "String", "Value": "in ssm now"}},
            ("GetParameter", "/secure"): {"Parameter": {"Type": "SecureString", "Value": "ciphertext"}},
            ("DescribeDBInstances", "db-2"): {"DBInstances": [{}]},
            ("DescribeDBInstances", "db-1"): {"DBInstances": [owner]},
            ("DescribeDBClusters", "cluster-1"): {"DBClusters": [owner]},
            ("DescribeClusters", "warehouse-1"): {"Clusters": [{"MasterPasswordSecretArn": DATABASE_SECRET}]},
            ("DescribeClusters", "warehouse-2"): {"Clusters": [{}]},
        }

    def call(
        self,
        method: Callable[Parameters, Response],
        *args: Parameters.args,  # noqa: ARG002  # always empty
        **parameters: Parameters.kwargs,
    ) -> Response:
        action = iam_action(method)
        operation = action.split(":")[1]
        key = parameters.get("NextToken", "") if operation.startswith("List") else next(iter(parameters.values()))
        response = self.responses.get((operation, str(key)))
        if response is None:
            raise AwsApiError(action, "ParameterNotFound", "no")
        return cast(Response, response)

    @cached_property
    def caller(self) -> arn.Arn:
        return arn.Arn("aws", "sts", "", ACCOUNT, "assumed-role/admin/me")

    def region(self) -> str:
        return REGION

    def dns_suffix(self, partition: str) -> str:
        assert partition == "aws"
        return "amazonaws.com"


BODY = """
Parameters:
  Name: { Type: String, Default: by-default }
  Names: { Type: CommaDelimitedList }
  Number: { Type: Number, Default: 3 }
  Flag: { Type: String, Default: true }
  Hidden: { Type: String, NoEcho: true }
  Kept: { Type: "AWS::SSM::Parameter::Value<String>" }
  Ssm: { Type: "AWS::SSM::Parameter::Value<String>", Default: /db/name }
  Needed: { Type: String }
Mappings:
  Stages: { prod: { Secret: mapped/db } }
  Accounts: { 012345678901: { Secret: of/account } }
Conditions:
  IsYes: !Equals [!Ref Name, from-stack]
  IsNo: !Not [!Condition IsYes]
  Both: !And [!Condition IsYes, !Condition IsNo]
  Either: !Or [!Condition IsYes, !Condition IsNo]
  Odd: !Contains [a, b]
  Circle: !Not [!Condition Circle]
Resources:
  Secret: { Type: "AWS::SecretsManager::Secret" }
  Role: { Type: "AWS::IAM::Role" }
  Function: { Type: "AWS::Lambda::Function" }
  Key: { Type: "AWS::KMS::Key" }
  Database: { Type: "AWS::RDS::DBInstance" }
  Unmanaged: { Type: "AWS::RDS::DBInstance" }
  Warehouse: { Type: "AWS::Redshift::Cluster", Properties: { ManageMasterPassword: true } }
  OtherWarehouse: { Type: "AWS::Redshift::Cluster" }
  Cluster: { Type: "AWS::RDS::DBCluster", Properties: { ManageMasterUserPassword: "true" } }
  CacheUser: { Type: "AWS::ElastiCache::User" }
  Nested: { Type: "AWS::CloudFormation::Stack" }
  Alias: { Type: "AWS::Lambda::Alias" }
  Unfinished: { Type: "AWS::SecretsManager::Secret" }
  Policy:
    Type: Custom::RotationRolePolicy
    Properties:
      ServiceToken: !ImportValue unknown
      ServiceTimeout: !Ref Nobody
      Triggers: { a: !GetAtt Nobody.Arn }
      SecretId: VALUE
"""


def resolved(tmp_path: Path, value: str, *, deployed: bool = True, **parameters: str) -> Any:
    """Return the value of `SecretId` in a template with this YAML."""
    file = tmp_path / "template.yaml"
    file.write_text(BODY.replace("VALUE", value))
    aws = KnownAws()
    template = Template(aws, load(file), parameters, DeployedStack.find(aws, "database") if deployed else None)
    assert template.logical_ids == ["Policy"]
    resource = template.resource("Policy")
    assert set(resource.properties) <= {"SecretId", "Triggers"}
    assert resource.stack_id == (STACK_ID if deployed else None)
    return resource.properties.get("SecretId")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("2026-11-24", "2026-11-24"),
        ("!Ref Name", "from-stack"),
        ("!Ref Names", ["a", "b"]),
        ("!Ref Number", "3"),
        ("!Ref Flag", "true"),
        ("!Join ['', [1, false]]", "1false"),
        # The current value, not that of the last deployment.
        ("!Ref Kept", "in ssm now"),
        ("!Ref Ssm", "ssm/db"),
        ("!Ref Secret", SECRET_ARN),
        ("!Ref AWS::NoValue", None),
        ("[a, !Ref AWS::NoValue, !If [IsNo, b, !Ref AWS::NoValue]]", ["a"]),
        ("{ SubnetIds: [!Ref Name], Gone: !Ref AWS::NoValue }", {"SubnetIds": ["from-stack"]}),
        ("!GetAtt Secret.Id", SECRET_ARN),
        ("!GetAtt [Role, Arn]", f"arn:aws:iam::{ACCOUNT}:role/path/role-1"),
        ("{ 'Fn::GetAtt': Function.Arn }", ARN.format("lambda") + "function:rotate-1"),
        ("!GetAtt Key.Arn", ARN.format("kms") + "key/1234"),
        ("!GetAtt Key.KeyId", "1234"),
        ("!Ref Alias", ARN.format("lambda") + "function:f:live"),
        ("!GetAtt Database.MasterUserSecret.SecretArn", DATABASE_SECRET),
        ("!GetAtt Cluster.MasterUserSecret.SecretArn", DATABASE_SECRET),
        ("!GetAtt Warehouse.MasterPasswordSecretArn", DATABASE_SECRET),
        ("!GetAtt Database.DBInstanceArn", ARN.format("rds") + "db:db-1"),
        ("!GetAtt Cluster.DBClusterArn", ARN.format("rds") + "cluster:cluster-1"),
        ("!GetAtt CacheUser.Arn", ARN.format("elasticache") + "user:app"),
        ("!GetAtt Nested.Outputs.SecretId", "nested/db"),
        ("!Sub '${Name}/${Function.Arn}/${!Literal}/${AWS::URLSuffix}'",
         f"from-stack/{ARN.format('lambda')}function:rotate-1/${{Literal}}/amazonaws.com"),
        ("!Sub ['${x}-${Name}', { x: !Ref Number }]", "3-from-stack"),
        ("!Join [/, [a, !Ref Name]]", "a/from-stack"),
        ("!Select [1, !Split [-, !Ref Name]]", "stack"),
        ("!Select ['0', !Ref Names]", "a"),
        ("!If [IsYes, a, b]", "a"),
        ("!If [IsNo, !Ref Nobody, b]", "b"),
        ("!If [Both, a, b]", "b"),
        ("!If [Either, a, b]", "a"),
        ("!FindInMap [Stages, prod, Secret]", "mapped/db"),
        ("!FindInMap [Accounts, 012345678901, Secret]", "of/account"),
        ("!FindInMap [Stages, test, Secret, { DefaultValue: !Ref Name }]", "from-stack"),
        ("!ImportValue shared-db", "exported/db"),
        ("0123", "0123"),
        ("12:30", "12:30"),
        ("on", "on"),
        ("true", True),
        ("!Ref Function.Alias", ARN.format("lambda") + "function:rotate-1:live"),
        ("!Ref FunctionRole", "made-by-sam"),
        ("'{{resolve:ssm:/db/name}}-x'", "ssm/db-x"),
        ("!Sub '{{resolve:ssm:/db/${AWS::NoSuch}}}'", TemplateError),
        ("!Ref AWS::StackName", "database"),
        ("!Ref AWS::StackId", STACK_ID),
        ("!Ref AWS::Region", REGION),
        ("!Sub '${AWS::Partition}:${AWS::AccountId}'", f"aws:{ACCOUNT}"),
    ],
)  # fmt: skip
def test_a_reference_resolves_to_its_value(tmp_path: Path, value: str, expected: Any) -> None:
    if expected is TemplateError:
        with pytest.raises(TemplateError):
            resolved(tmp_path, value)
    else:
        assert resolved(tmp_path, value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("!Ref Needed", "SecretId: the parameter Needed has no value. Give --parameter Needed=..."),
        ("!Ref Hidden", "SecretId: CloudFormation masks the parameter Hidden (NoEcho). Give --parameter Hidden=..."),
        ("!Ref Nobody", 'SecretId: "Nobody" is neither a parameter nor a resource of the template.'),
        ("!GetAtt Key.Gone", "SecretId: preview does not resolve the attribute Key.Gone."),
        (
            "!GetAtt Nested.Outputs.Gone",
            "SecretId: the nested stack Nested has no output Gone.",
        ),
        (
            "!GetAtt Unmanaged.MasterUserSecret.SecretArn",
            "SecretId: RDS does not manage the master user",
        ),
        (
            "!GetAtt OtherWarehouse.MasterPasswordSecretArn",
            "SecretId: Redshift does not manage the password of warehouse-2",
        ),
        (
            "'{{resolve:ssm:/secure}}'",
            'SecretId: preview does not read the SSM parameter "/secure"',
        ),
        ("!Sub 'a${AWS::NoValue}'", "SecretId: Fn::Sub "),
        ("!Sub 'a${Names}'", "SecretId: Fn::Sub "),
        ("!Select [-1, !Ref Names]", "SecretId: Fn::Select "),
        ("!Join ['', text]", "SecretId: Fn::Join "),
        ("!If [Circle, a, b]", "SecretId: "),
        ("!GetAtt Secret", 'SecretId: Fn::GetAtt ["Secret"] is not in the right form.'),
        ("!Select [9, [a]]", "SecretId: Fn::Select "),
        ("!Join x", 'SecretId: Fn::Join "x" is not in'),
        ("!If [Nobody, a, b]", 'SecretId: Condition "Nobody" is not in'),
        ("!If [Odd, a, b]", "SecretId: preview does not resolve the condition "),
        ("!Base64 x", "SecretId: preview does not resolve Fn::Base64."),
        ("!ImportValue nobody", 'SecretId: eu-central-1 has no export "nobody".'),
        ("!FindInMap [Stages, test, Secret]", "SecretId: Fn::FindInMap "),
        ("'{{resolve:ssm:/gone}}'", 'SecretId: eu-central-1 has no SSM parameter "/gone".'),
        (
            "'{{resolve:secretsmanager:db:SecretString:x}}'",
            "SecretId: preview does not resolve {{resolve:secretsm",
        ),
        ("!Ref AWS::NotificationARNs", "SecretId: AWS::NotificationARNs is not known without the stack."),
    ],
)
def test_a_reference_that_cannot_be_resolved_is_an_error(tmp_path: Path, value: str, message: str) -> None:
    with pytest.raises(TemplateError) as unresolved:
        resolved(tmp_path, value)
    assert str(unresolved.value).startswith(message)


def test_parameters_of_the_user_override_those_of_the_stack(tmp_path: Path) -> None:
    assert resolved(tmp_path, "!Ref Name", Name="given") == "given"
    assert resolved(tmp_path, "!Ref Hidden", Hidden="given") == "given"
    assert resolved(tmp_path, "!Ref Name", deployed=False) == "by-default"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!Ref Secret", f"{ARN.format('secretsmanager')}secret:<Secret>"),
        ("!GetAtt Secret.Id", f"{ARN.format('secretsmanager')}secret:<Secret>"),
        ("!GetAtt Function.Arn", f"{ARN.format('lambda')}function:<Function>"),
        ("!Ref Role", "<Role>"),
        ("!GetAtt Key.Arn", f"{ARN.format('kms')}key/<Key>"),
        ("!GetAtt Cluster.DBClusterArn", f"{ARN.format('rds')}cluster:<Cluster>"),
        ("!GetAtt Cluster.MasterUserSecret.SecretArn", f"{ARN.format('secretsmanager')}secret:<Cluster>"),
        ("!GetAtt Warehouse.MasterPasswordSecretArn", f"{ARN.format('secretsmanager')}secret:<Warehouse>"),
        ("!Sub '${AWS::StackName}-db'", "<StackName>-db"),
    ],
)
def test_without_a_stack_placeholders_stand_for_resources(tmp_path: Path, value: str, expected: str) -> None:
    assert with_names(resolved(tmp_path, value, deployed=False)) == expected


def test_the_outputs_of_a_nested_stack_are_not_known_without_the_stack(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"the nested stack Nested does not exist yet, so Outputs\.Id is not known"):
        resolved(tmp_path, "!GetAtt Nested.Outputs.Id", deployed=False)


def test_a_placeholder_stands_for_a_resource_that_the_stack_does_not_have_yet(tmp_path: Path) -> None:
    assert with_names(resolved(tmp_path, "!Ref Unfinished")) == f"{ARN.format('secretsmanager')}secret:<Unfinished>"


def test_json_can_be_indented_with_tabs(tmp_path: Path) -> None:
    file = tmp_path / "template.json"
    file.write_text('{\n\t"Resources": {\n\t\t"A": {"Type": "Custom::RotationRolePolicy"}\n\t}\n}')
    assert load(file) == {"Resources": {"A": {"Type": "Custom::RotationRolePolicy"}}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Resources: { A: {}, A: {} }", "duplicate key 'A'"),
        ('{"Resources": {"A": {}, "A": {}}}', "duplicate key 'A'"),
        ("Resources: { [1]: {} }", "is not YAML or JSON"),
        ("Resources: &a [*a]", "its aliases stand for more than 10,000 values"),
        ("Resources: &a { B: *a }", "its aliases stand for more than 10,000 values"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
            "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
            "Resources: [*d, *d]",
            "its aliases stand for more than 10,000 values",
        ),
        ("x: &x { Type: A }\nResources:\n  A:\n    <<: *x", "does not accept the merge key << in"),
        ("x: &x { Type: A }\nResources:\n  A:\n    <<: *x", "line 4"),
        (f"Resources: {{ A: {{ Type: {'x' * 1_048_576} }} }}", "has more than 1,048,576 bytes"),
        ("[" * 5000, "is not YAML or JSON"),
        ("\ufeff{", "is not YAML or JSON"),
    ],
)
def test_a_file_that_is_not_a_template_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "template.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError, match=re.escape(message)):
        load(file)


def test_a_quoted_key_is_no_merge_key_and_some_aliases_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "template.yaml"
    file.write_text('x: &x { Type: A }\nResources: { A: *x, B: *x, "<<": *x }')
    assert load(file)["Resources"] == {name: {"Type": "A"} for name in ("A", "B", "<<")}


@pytest.mark.parametrize("part", ["${", "${a", "{{resolve:ssm:", "{{", "${!", "a, "])
def test_a_text_that_begins_many_references_takes_no_time(tmp_path: Path, part: str) -> None:
    text = part * 50_000
    try:
        assert resolved(tmp_path, f"!Sub '{text}'") == text.replace("${!", "${")
    except TemplateError as error:
        assert len(str(error)) < 1000  # either is fine


def test_a_file_can_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "template.yaml"
    file.write_text("Resources: { Ärger: { Type: A } }", encoding="utf-8-sig")
    assert load(file) == {"Resources": {"Ärger": {"Type": "A"}}}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        # The provider checks its type, but not its members.
        ("Triggers: { a: !GetAtt Nobody.Arn }", {"Triggers": {}}),
        ("Triggers: [a]", {"Triggers": ["a"]}),
        ("Triggers: !Ref Nobody", {}),
        # These do not affect the policy.
        ("PropagationDelay: !Ref Needed", {}),
        ("PropagationDelay: !Ref Number", {"PropagationDelay": "3"}),
        ("VpcConfig: { SubnetIds: [a], SecurityGroupIds: [!Ref Nobody] }", {"VpcConfig": {"SubnetIds": ["a"]}}),
        # Only the presence of a subnet affects the policy.
        ("VpcConfig: { SubnetIds: [!Ref Nobody] }", {"VpcConfig": {"SubnetIds": ["unknown"]}}),
        ("VpcConfig: { SubnetIds: [!Ref AWS::NoValue] }", {"VpcConfig": {"SubnetIds": []}}),
        ("VpcConfig: !If [IsNo, {}, !Ref AWS::NoValue]", {}),
    ],
)
def test_references_that_do_not_affect_the_policy_need_not_be_resolved(
    tmp_path: Path, properties: str, expected: dict[str, Any]
) -> None:
    file = tmp_path / "template.yaml"
    file.write_text(BODY.partition("      ServiceToken")[0] + f"      {properties}\n")
    aws = KnownAws()
    assert Template(aws, load(file), {}, DeployedStack.find(aws, "database")).resource("Policy").properties == expected


@pytest.mark.parametrize("properties", ["!If [IsYes, {}, {}]", "{ 'Fn::Transform': { Name: x } }", "[]", "text"])
def test_properties_that_are_not_an_object_are_an_error(tmp_path: Path, properties: str) -> None:
    file = tmp_path / "template.yaml"
    file.write_text(BODY.partition("    Properties:")[0] + f"    Properties: {properties}\n")
    aws = KnownAws()
    if properties == "[]":
        assert Template(aws, load(file), {}, None).resource("Policy").properties == {}
        return
    with pytest.raises(TemplateError, match="Properties is not an object with literal names"):
        Template(aws, load(file), {}, None).resource("Policy")


def test_loops_and_includes_that_can_create_a_rotation_role_policy_are_reported(tmp_path: Path) -> None:
    loop = "[Name, [A], { 'P${Name}': { Type: Custom::RotationRolePolicy } }]"
    file = tmp_path / "template.yaml"
    file.write_text(f"""
Resources:
  Fn::ForEach::Policies: {loop}
  Fn::ForEach::Others: {loop.replace("Custom::RotationRolePolicy", "AWS::SNS::Topic")}
  Fn::Transform: {{ Name: AWS::Include }}
""")
    messages = Template(KnownAws(), load(file), {}, None).unexpanded
    assert [message.split(" is not ")[0] for message in messages] == ["Fn::ForEach::Policies", "Fn::Transform"]
    assert "--template-stage Processed" in messages[0]
