"""Preview of a template whose resources do not exist yet."""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
import yaml

from rotation_role_policy_cli.preview.preview import is_other_function
from tests import ROOT
from tests.support.account import ACCOUNT, REGION, STACK_ID, Account, error
from tests.unit.cli.test_preview import Preview, preview, template

__all__ = ["preview", "template"]

SECRET_ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:<Secret>"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/<Key>"
POLICY = """
  Policy:
    Type: Custom::RotationRolePolicy
    Properties:
      ServiceToken: !ImportValue rotation-role-policy
      SecretId: !Ref Secret
      RotationLambdaARN: !GetAtt Rotation.Arn
"""
RESOURCES = """
Resources:
  Key: { Type: AWS::KMS::Key }
  KeyAlias: { Type: AWS::KMS::Alias, Properties: { AliasName: alias/shop, TargetKeyId: !Ref Key } }
  Secret: { Type: AWS::SecretsManager::Secret, Properties: { KmsKeyId: !Ref KeyAlias } }
  Rotation: { Type: AWS::Lambda::Function, Properties: { Role: !GetAtt Role.Arn } }
  Role: { Type: AWS::IAM::Role }
"""


def test_the_policy_of_a_template_that_nobody_deployed_is_that_of_its_resources(
    preview: Preview, template: Callable[[str], str]
) -> None:
    result = preview("--template", template(RESOURCES + POLICY), "--json", "--resource", "Policy")
    assert (result.status, result.err) == (2, "")
    statements = {statement["Sid"]: statement for statement in json.loads(result.out)["Statement"]}
    assert set(statements) == {"RotateSecret", "GeneratePassword", "UseSecretKey"}
    assert statements["RotateSecret"]["Resource"] == SECRET_ARN
    assert statements["UseSecretKey"]["Resource"] == KEY_ARN
    assert statements["UseSecretKey"]["Condition"]["StringEquals"]["kms:EncryptionContext:SecretARN"] == SECRET_ARN


def test_the_page_says_what_is_not_known_yet(
    preview: Preview, account: Account, template: Callable[[str], str]
) -> None:
    account.faults["cloudformation:DescribeStacks"] = [error("ValidationError", "Stack with id shop does not exist")]
    result = preview("--template", template(RESOURCES + POLICY), "--stack", "shop")
    text = " ".join(result.out.split())
    assert (result.status, result.err) == (2, "")
    assert f"role arn:aws:iam::{ACCOUNT}:role/<Role>" in text
    assert "There is no stack shop in this region yet." in text
    assert "Names in <> stand for resources that do not exist yet. Their keys and their VPC" in text
    assert "The role does not exist yet, so other policies on it are not compared." in text
    assert "planned-" not in text


def test_without_the_option_the_stack_may_exist(preview: Preview, template: Callable[[str], str]) -> None:
    result = preview("--template", template(RESOURCES + POLICY))
    text = " ".join(result.out.split())
    assert "Names in <> stand for resources that do not exist yet, or need --stack." in text
    assert "There is no stack" not in text


@pytest.mark.parametrize("document_format", ["yaml", "terraform"])
def test_each_format_has_the_names(preview: Preview, template: Callable[[str], str], document_format: str) -> None:
    result = preview("--template", template(RESOURCES + POLICY), "--format", document_format, "--resource", "Policy")
    assert (SECRET_ARN in result.out, "planned-" in result.out) == (True, False)
    if document_format == "yaml":
        assert yaml.safe_load(result.out)["Statement"][0]["Resource"] == SECRET_ARN


@pytest.mark.parametrize(
    ("function", "in_vpc", "role"),
    [
        ("{ VpcConfig: { SubnetIds: [!Ref Subnet] } }", True, "<RotationRole>"),
        # SAM adds the lists of Globals.
        ("{ VpcConfig: { SubnetIds: [] } }", True, "<RotationRole>"),
        ("{ VpcConfig: { SecurityGroupIds: [!GetAtt Vpc.DefaultSecurityGroup] } }", True, "<RotationRole>"),
        ("{ Role: !GetAtt Role.Arn }", True, "<Role>"),
        ("{ VpcConfig: !Ref AWS::NoValue }", False, "<RotationRole>"),
    ],
)
def test_a_function_of_sam_has_the_role_and_the_vpc_that_sam_gives_it(
    preview: Preview, template: Callable[[str], str], function: str, in_vpc: bool, role: str
) -> None:
    text = RESOURCES.replace(
        "AWS::Lambda::Function, Properties: { Role: !GetAtt Role.Arn }",
        f"AWS::Serverless::Function, Properties: {function}",
    )
    shared = "Globals: { Function: { VpcConfig: { SubnetIds: [subnet-1] } } }\n"
    subnet = "  Subnet: { Type: AWS::EC2::Subnet }\n"
    result = preview("--template", template(shared + text + subnet + POLICY))
    assert result.err == ""
    assert f"role/{role}" in result.out
    assert ("ManageNetworkInterfaces: Lambda connects" in result.out) is in_vpc


@pytest.mark.parametrize(
    ("database", "key", "action"),
    [
        (
            "AWS::RDS::DBInstance, Properties: { %s, MasterUserSecret: { KmsKeyId: !Ref Key } }",
            True,
            "rds:DescribeDBInst",
        ),
        ("AWS::RDS::DBCluster, Properties: { %s }", False, "rds:DescribeDBClusters"),
        (
            "AWS::Redshift::Cluster, Properties: { %s, MasterPasswordSecretKmsKeyId: !Ref Key }",
            True,
            "redshift:Describe",
        ),
    ],
)
def test_the_superuser_secret_is_that_of_a_database_of_the_template(
    preview: Preview, template: Callable[[str], str], database: str, key: bool, action: str
) -> None:
    attribute = "MasterPasswordSecretArn" if "Redshift" in database else "MasterUserSecret.SecretArn"
    database %= f"Manage{'MasterPassword' if 'Redshift' in database else 'MasterUserPassword'}: true"
    superuser = f"      SuperuserSecretId: !GetAtt Database.{attribute}\n"
    text = f"{RESOURCES}  Database: {{ Type: {database} }}\n{POLICY}{superuser}"
    result = preview("--template", template(text), "--json", "--resource", "Policy")
    assert result.err == ""
    statements = {statement["Sid"]: statement for statement in json.loads(result.out)["Statement"]}
    assert statements["ReadSuperuserSecret"]["Resource"].endswith("secret:<Database>")
    assert ("UseSuperuserKey" in statements) is key
    assert statements["DescribeSuperuserDatabase"]["Action"][0].startswith(action)
    assert statements["DescribeSuperuserDatabase"]["Resource"].endswith(":<Database>")


def test_an_attachment_and_an_alias_stand_for_the_secret_and_the_function(
    preview: Preview, template: Callable[[str], str]
) -> None:
    more = """
  Attachment: { Type: AWS::SecretsManager::SecretTargetAttachment, Properties: { SecretId: !Ref Secret } }
  Live: { Type: AWS::Lambda::Alias, Properties: { Name: live, FunctionName: !Ref Rotation } }
"""
    policy = POLICY.replace("!Ref Secret", "!Ref Attachment").replace("!GetAtt Rotation.Arn", "!Ref Live")
    result = preview("--template", template(RESOURCES + more + policy))
    assert (result.status, result.err) == (2, "")
    assert f"secret      {SECRET_ARN}\n" in result.out
    assert "function:<Rotation>" in result.out


@pytest.mark.parametrize(
    "key_id",
    [
        "alias/shop",
        "!Sub 'arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:alias/shop'",
        "!Sub 'alias/${Name}'",
    ],
)
def test_an_alias_that_the_template_creates_leads_to_its_key(
    preview: Preview, template: Callable[[str], str], key_id: str
) -> None:
    more = """
  Odd: { Type: AWS::KMS::Alias, Properties: { AliasName: !GetAtt Nothing.Name, TargetKeyId: x } }
  Never: { Type: AWS::KMS::Alias, Condition: Never, Properties: { AliasName: alias/shop, TargetKeyId: x } }
"""
    head = "Parameters: { Name: { Type: String, Default: shop } }\nConditions: { Never: !Equals [a, b] }\n"
    text = head + RESOURCES.replace("KeyAlias:", f"{more.strip()}\n  KeyAlias:").replace("!Ref KeyAlias", key_id)
    result = preview("--template", template(text + POLICY), "--json", "--resource", "Policy")
    assert result.err == ""
    [use] = [each for each in json.loads(result.out)["Statement"] if each["Sid"] == "UseSecretKey"]
    assert use["Resource"] == KEY_ARN


def test_an_alias_that_nobody_creates_is_missing(preview: Preview, template: Callable[[str], str]) -> None:
    text = RESOURCES.replace("!Ref KeyAlias", "alias/other")
    assert "alias/other" in preview("--template", template(text + POLICY)).err


def test_a_trust_policy_that_lambda_cannot_use_is_refused(preview: Preview, template: Callable[[str], str]) -> None:
    trust = "{ Statement: [{ Effect: Allow, Principal: { Service: ec2.amazonaws.com }, Action: 'sts:AssumeRole' }] }"
    text = RESOURCES.replace("AWS::IAM::Role", f"AWS::IAM::Role, Properties: {{ AssumeRolePolicyDocument: {trust} }}")
    declared = POLICY.replace("RotationLambdaARN: !GetAtt Rotation.Arn", "RoleName: !Ref Role\n      VpcConfig: {}")
    result = preview("--template", template(text + declared))
    assert result.status == 1
    assert 'RoleName "<Role>": Lambda cannot assume this role.' in " ".join((result.out + result.err).split())
    assert preview("--template", template(RESOURCES + declared)).err == ""


def test_a_resource_whose_condition_is_false_is_no_placeholder(
    preview: Preview, template: Callable[[str], str]
) -> None:
    text = "Conditions: { Never: !Equals [a, b] }\n" + RESOURCES.replace("Rotation: {", "Rotation: { Condition: Never,")
    assert preview("--template", template(text + POLICY)).err == (
        "error: Policy: RotationLambdaARN: the condition of the resource Rotation is false, so it will not exist.\n"
    )


def test_an_error_has_the_name_of_the_resource(preview: Preview, template: Callable[[str], str]) -> None:
    text = RESOURCES + POLICY.replace("SecretId: !Ref Secret", "SecretId: [!Ref Role]")
    assert preview("--template", template(text)).err == 'error: Policy: SecretId ["<Role>"] is not a string.\n'


@pytest.mark.parametrize(
    ("resource", "reference", "message"),
    [
        ("AWS::SecretsManager::SecretTargetAttachment", "!Ref Other", "the resource Other has no SecretId."),
        ("AWS::SecretsManager::SecretTargetAttachment, Properties: { SecretId: !Ref Other }", "!Ref Other", "Ref "),
        ("AWS::Lambda::Alias, Properties: { Name: live }", "!Ref Other", "the resource Other has no FunctionName."),
        ("AWS::Serverless::Function", "!Ref Other.Alias", "the resource Other has no AutoPublishAlias."),
    ],
)
def test_a_resource_that_names_no_other_is_an_error(
    preview: Preview, template: Callable[[str], str], resource: str, reference: str, message: str
) -> None:
    text = f"{RESOURCES}  Other: {{ Type: {resource} }}\n{POLICY}".replace(
        "SecretId: !Ref Secret\n", f"SecretId: {reference}\n"
    )
    assert preview("--template", template(text)).err.startswith(f"error: Policy: SecretId: {message}")


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ("SecretId: !Ref Key", "the resource Key is an AWS::KMS::Key, about which secretsmanager:DescribeSecret"),
        ("SecretId: !Ref Rotation", "the resource Rotation is an AWS::Lambda::Function, about which secretsmanager:"),
        ("SecretId: !Ref Secret, SuperuserSecretId: !Ref Role", "the resource Role is an AWS::IAM::Role, about which"),
        ("SecretId: !Ref Mine", ""),
    ],
)
def test_a_reference_to_a_resource_of_another_type_is_an_error(
    preview: Preview, template: Callable[[str], str], properties: str, message: str
) -> None:
    policy = (
        POLICY.partition("      SecretId")[0]
        .replace("Properties:\n", "Properties: { ")
        .replace("      Service", "Service")
    )
    policy = f"{policy.rstrip()}, {properties}, RotationLambdaARN: !GetAtt Rotation.Arn }}\n"
    policy = policy.replace("!ImportValue rotation-role-policy", "x")
    result = preview("--template", template(f"{RESOURCES}  Mine: {{ Type: Custom::Secret }}\n{policy}"))
    assert result.err.startswith(f"error: Policy: {message}" if message else "")
    assert result.status == (1 if message else 2)


# --- two functions ---

SCHEDULE = """
  Other: { Type: AWS::Lambda::Function, Properties: { Role: !GetAtt Role.Arn } }
  Schedule:
    Type: AWS::SecretsManager::RotationSchedule
    Properties: { SecretId: !Ref Secret, RotationLambdaARN: !GetAtt FUNCTION.Arn }
"""


@pytest.mark.parametrize(("function", "expected"), [("Other", True), ("Rotation", False), ("Nobody", False)])
def test_a_schedule_with_another_function_is_a_note(
    preview: Preview, template: Callable[[str], str], function: str, expected: bool
) -> None:
    result = preview("--template", template(RESOURCES + POLICY + SCHEDULE.replace("FUNCTION", function)))
    text = " ".join(result.out.split())
    note = (
        f"The schedule Schedule uses the function arn:aws:lambda:{REGION}:{ACCOUNT}:function:<Other>, and this policy"
    )
    assert (note in text, result.status, result.err) == (expected, 2, "")


def _response(response: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    return response


def test_a_secret_that_another_function_rotates_today_is_a_note(preview: Preview, account: Account) -> None:
    role = account.role()
    rotation, other = account.function(role), account.function(role, "rotate-db-function")
    secret = account.secret()
    described = cast(dict[str, Any], account.client("secretsmanager").describe_secret(SecretId=secret))
    arguments = ("--secret-id", "prod/db", "--rotation-lambda", "rotate-db")
    for function, expected in ((rotation, False), (f"{rotation}:live", False), (other, True)):
        rotated = described | {"RotationEnabled": True, "RotationLambdaARN": function}
        account.api_responses["secretsmanager:DescribeSecret"] = partial(_response, rotated)
        text = " ".join(preview(*arguments).out.split())
        assert (f"The secret {secret} today uses the function {function}" in text) is expected


@pytest.mark.parametrize(
    ("function_id", "expected"),
    [
        ("rotate-function", False),
        ("rotate-function:live", False),
        (f"{ACCOUNT}:function:rotate-function:7", False),
        (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-function:live", False),
        (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate", True),
        ("function", True),
        ("live", True),
        # Another account's function of the same name.
        (f"arn:aws:lambda:{REGION}:210987654321:function:rotate-function", True),
        # Nothing is certain about what is no ID of a function.
        ("no function!", False),
    ],
)
def test_each_form_of_an_id_is_compared(function_id: str, expected: bool) -> None:
    function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-function"
    assert is_other_function(function_id, function_arn) is expected
    assert not is_other_function(function_id, "")


def statements_of(preview: Preview, path: str, *options: str) -> dict[str, Any]:
    result = preview("--template", path, "--json", "--resource", "Policy", *options)
    assert result.err == ""
    return {each["Sid"]: each for each in json.loads(result.out)["Statement"]}


@pytest.mark.parametrize(
    ("resources", "policy"),
    [
        (("Secret: {", "Secret: { Name: prod/orders,"), ("!Ref Secret", "prod/orders")),
        (
            ("Secret: {", "Secret: { Name: !Sub '${AWS::StackName}/db',"),
            ("!Ref Secret", "!Sub '${AWS::StackName}/db'"),
        ),
        (("Rotation: {", "Rotation: { FunctionName: rotate,"), ("!GetAtt Rotation.Arn", "rotate")),
        (
            ("Rotation: {", "Rotation: { FunctionName: !Sub '${AWS::StackName}-rotate',"),
            (
                "!GetAtt Rotation.Arn",
                "!Sub 'arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-rotate'",
            ),
        ),
        (
            ("Role: {", "Role: { RoleName: my-role,"),
            ("!GetAtt Rotation.Arn", "!GetAtt Rotation.Arn\n      RoleName: my-role"),
        ),
        (
            ("Role: {", "Role: { Path: /rot/,"),
            (
                "!GetAtt Rotation.Arn",
                "!GetAtt Rotation.Arn\n      RoleName: !Sub 'arn:aws:iam::${AWS::AccountId}:role/rot/${Role}'",
            ),
        ),
    ],
)
def test_a_resource_of_the_template_can_be_named_by_its_name(
    preview: Preview, template: Callable[[str], str], resources: tuple[str, str], policy: tuple[str, str]
) -> None:
    name, properties = resources[1].split(": {", 1)[1].strip(" ,"), resources[0].split(":")[0]
    text = yaml_with(RESOURCES, properties, name)
    found = statements_of(preview, template(text + POLICY.replace(*policy)))
    assert found["RotateSecret"]["Resource"] == SECRET_ARN
    assert found["UseSecretKey"]["Resource"] == KEY_ARN
    assert "ManageNetworkInterfaces" in found


def yaml_with(resources: str, logical_id: str, member: str) -> str:
    """Return resources with one more property of one of them, and with a function in a VPC."""
    in_vpc = resources.replace(
        "Role: !GetAtt Role.Arn }", "Role: !GetAtt Role.Arn, VpcConfig: { SubnetIds: [subnet-1] } }"
    )
    if f"  {logical_id}: {{ Type: AWS::IAM::Role }}" in in_vpc:
        return in_vpc.replace("{ Type: AWS::IAM::Role }", f"{{ Type: AWS::IAM::Role, Properties: {{ {member} }} }}")
    before, found, after = in_vpc.partition(f"  {logical_id}: {{")
    return before + found + after.replace("Properties: {", f"Properties: {{ {member},", 1)


def test_a_function_whose_role_is_given_by_its_name_has_the_role_of_the_template(
    preview: Preview, template: Callable[[str], str]
) -> None:
    text = RESOURCES.replace("AWS::IAM::Role }", "AWS::IAM::Role, Properties: { RoleName: my-rot } }").replace(
        "!GetAtt Role.Arn", "!Sub 'arn:aws:iam::${AWS::AccountId}:role/my-rot'"
    )
    result = preview("--template", template(text + POLICY + "      RoleName: my-rot\n"))
    assert (result.status, result.err) == (2, "")
    assert f"role        arn:aws:iam::{ACCOUNT}:role/my-rot" in result.out


def test_the_example_of_a_hosted_rotation_has_the_policy_that_it_promises(preview: Preview) -> None:
    path = ROOT / "examples" / "hosted-rotation.yaml"
    parameters = [f"--parameter={name}=x" for name in ("DatabaseHost", "SubnetIds", "SecurityGroupIds")]
    result = preview("--template", str(path), *parameters, "--json", "--resource", "RotationPolicy")
    found = [each["Sid"] for each in json.loads(result.out)["Statement"]]
    assert found == [
        "RotateSecret", "GeneratePassword", "UseSecretKey", "ManageNetworkInterfaces", "KeepNetworkInterfacesFromCode",
    ]  # fmt: skip
    page = preview("--template", str(path), *parameters, "--stack", "shop")
    assert "function:shop-rotation" in page.out


@pytest.mark.parametrize(
    "reference", ["!Ref Live", "!GetAtt Live.AliasArn", "!Ref Version", "!GetAtt Version.FunctionArn"]
)
def test_a_new_version_or_alias_leads_to_its_function(
    preview: Preview, account: Account, template: Callable[[str], str], reference: str
) -> None:
    account.function(account.role(), name="rotate-db", vpc=account.vpc())
    account.secret("prod/db")
    resources = """
Resources:
  Live: { Type: AWS::Lambda::Alias, Properties: { Name: live, FunctionName: rotate-db, FunctionVersion: "1" } }
  Version: { Type: AWS::Lambda::Version, Properties: { FunctionName: rotate-db } }
"""
    policy = POLICY.replace("!Ref Secret", "prod/db").replace("!GetAtt Rotation.Arn", reference)
    assert "ManageNetworkInterfaces" in statements_of(preview, template(resources + policy))
    planned = RESOURCES + resources.replace("\nResources:\n", "").replace("rotate-db", "!Ref Rotation")
    policy = POLICY.replace("!GetAtt Rotation.Arn", reference)
    assert "ManageNetworkInterfaces" not in statements_of(preview, template(planned + policy))


def test_a_disabled_key_of_the_template_is_refused_and_a_replica_is_a_key(
    preview: Preview, template: Callable[[str], str]
) -> None:
    disabled = RESOURCES.replace("AWS::KMS::Key }", "AWS::KMS::Key, Properties: { Enabled: false } }")
    assert 'KMS key "' in (found := preview("--template", template(disabled + POLICY)).err)
    assert "is Disabled, not Enabled" in found
    replica = RESOURCES.replace("AWS::KMS::Key }", "AWS::KMS::ReplicaKey }")
    assert statements_of(preview, template(replica + POLICY))["UseSecretKey"]["Resource"] == KEY_ARN


@pytest.mark.parametrize(
    ("database", "attribute", "reason"),
    [
        ("AWS::RDS::DBCluster, Properties: { MasterUserPassword: x }", "MasterUserSecret.SecretArn", "is not true"),
        ("AWS::Redshift::Cluster", "MasterPasswordSecretArn", "its ManageMasterPassword is not true"),
        ("AWS::RDS::DBCluster", "MasterPasswordSecretArn", "preview does not resolve the attribute Database.Master"),
        ("AWS::DocDB::DBCluster", "MasterUserSecret.SecretArn", "preview does not resolve the attribute Database."),
        ("AWS::SecretsManager::Secret", "SecretArn", "preview does not resolve the attribute Database.SecretArn"),
    ],
)
def test_an_attribute_that_a_resource_will_not_have_is_an_error(
    preview: Preview, template: Callable[[str], str], database: str, attribute: str, reason: str
) -> None:
    superuser = f"      SuperuserSecretId: !GetAtt Database.{attribute}\n"
    text = f"{RESOURCES}  Database: {{ Type: {database} }}\n{POLICY}{superuser}"
    assert reason in preview("--template", template(text)).err


def test_the_policy_of_an_existing_key_is_not_evaluated_for_names_that_are_not_known(
    preview: Preview, account: Account, template: Callable[[str], str]
) -> None:
    key = account.key()
    allowed = {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*-rotation*"}}
    statement = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": allowed}
    account.client("kms").put_key_policy(
        KeyId=key, PolicyName="default", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    result = preview("--template", template(RESOURCES.replace("!Ref KeyAlias", key) + POLICY))
    assert (result.status, result.err) == (2, "")


def test_resources_of_terraform_have_different_names(preview: Preview, template: Callable[[str], str]) -> None:
    text = RESOURCES + POLICY.replace("Policy:", "DBPolicy:") + POLICY.replace("Policy:", "Dbpolicy:")
    text += POLICY.replace("Policy:", "2nd:")
    result = preview("--template", template(text), "--format", "terraform")
    assert re.findall('resource "aws_iam_role_policy" "(.*)"', result.out) == ["dbpolicy", "dbpolicy_2", "_2nd"]
    assert "# Names in <> are those of resources that do not exist yet." in result.out


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("", "", ""),
        ("Properties: { KmsKeyId: KEY }", "Properties: { KmsKeyId: !Ref Key }", "KmsKeyId of Secret"),
        ("Properties: { KmsKeyId: KEY }", "", "KmsKeyId of Secret"),
        ("Properties: { KmsKeyId: KEY }", "Properties: { KmsKeyId: alias/shop }", ""),
        ("Properties: { KmsKeyId: KEY }", "Properties: { KmsKeyId: !GetAtt Nothing.Arn }", ""),
        ("SUBNETS", "SUBNETS, VpcConfig: { SubnetIds: [subnet-1] }", "VpcConfig of Rotation"),
        ("SUBNETS", "SUBNETS, VpcConfig: { SubnetIds: [] }", ""),
        ("!GetAtt Role.Arn", "!GetAtt Role2.Arn", "Role of Rotation"),
    ],
)
def test_a_note_says_what_the_update_of_a_stack_changes_of_existing_resources(
    preview: Preview, account: Account, template: Callable[[str], str], before: str, after: str, change: str
) -> None:
    key, role = account.key(), account.role("role")
    secret = account.secret("prod/db", key=key if "KEY" in before else None)
    account.function(role, name="rotate-db")
    described = {"StackId": STACK_ID, "StackName": "database", "Parameters": [], "StackStatus": "UPDATE_COMPLETE"}
    resources = [
        {"LogicalResourceId": "Secret", "ResourceType": "AWS::SecretsManager::Secret", "PhysicalResourceId": secret},
        {"LogicalResourceId": "Rotation", "ResourceType": "AWS::Lambda::Function", "PhysicalResourceId": "rotate-db"},
        {"LogicalResourceId": "Role", "ResourceType": "AWS::IAM::Role", "PhysicalResourceId": "role"},
    ]
    account.api_responses["cloudformation:DescribeStacks"] = lambda _: {"Stacks": [described]}
    account.api_responses["cloudformation:ListStackResources"] = lambda _: {"StackResourceSummaries": resources}
    text = """
Resources:
  Key: { Type: AWS::KMS::Key }
  Role: { Type: AWS::IAM::Role }
  Role2: { Type: AWS::IAM::Role }
  Secret: { Type: AWS::SecretsManager::Secret, Properties: { KmsKeyId: KEY } }
  Rotation: { Type: AWS::Lambda::Function, Properties: { Role: !GetAtt Role.Arn, Runtime: SUBNETS } }
"""
    text = text if "KEY" in before else text.replace("Properties: { KmsKeyId: KEY }", "Properties: {}")
    changed = text.replace(before, after) if before else text
    result = preview("--template", template(changed.replace("KEY", key) + POLICY), "--stack", "database")
    notes = re.findall("The template changes (.*?)\\. The preview", " ".join(result.out.split()))
    assert (result.err, notes) == ("", [change] if change else [])


@pytest.mark.parametrize(
    ("resources", "policy", "reason"),
    [
        # The end of a name is another name.
        (("Secret", "Name: db"), ("!Ref Secret", "prod/db"), "the secret does not exist"),
        (("Rotation", "FunctionName: rotate"), ("!GetAtt Rotation.Arn", "my-rotate"), "the function does not exist"),
    ],
)
def test_another_name_is_not_that_of_a_resource_of_the_template(
    preview: Preview,
    template: Callable[[str], str],
    resources: tuple[str, str],
    policy: tuple[str, str],
    reason: str,
) -> None:
    text = yaml_with(RESOURCES, *resources) + POLICY.replace(*policy)
    assert reason in preview("--template", template(text)).err


def test_an_alias_without_a_key_is_missing(preview: Preview, template: Callable[[str], str]) -> None:
    text = RESOURCES.replace(", TargetKeyId: !Ref Key", "").replace("!Ref KeyAlias", "alias/shop")
    assert '"alias/shop" does not exist' in preview("--template", template(text + POLICY)).err
