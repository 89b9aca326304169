"""The policy document of a situation, read top to bottom like the document itself.

Pure functions: one for each statement, in the order of the README's table. The grants are those of the AWS user
guide, "Lambda rotation function execution role permissions for AWS Secrets Manager":
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
"""

from collections.abc import Iterator
from typing import Any

from rotation_role_policy import arn
from rotation_role_policy.situation import Secret, Situation

Statement = dict[str, Any]
Document = dict[str, Any]

NETWORK_INTERFACE_ACTIONS = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DetachNetworkInterface",
]


def document(situation: Situation, profile: str) -> Document:
    """The policy document of `situation` under `profile`, ``Strict`` or ``Documented``."""
    statements = [
        *rotate_secret(situation),
        *generate_password(),
        *use_secret_key(situation),
        *read_superuser_secret(situation),
        *use_superuser_key(situation),
        *describe_superuser_secret(situation),
        *describe_superuser_database(situation),
        *manage_network_interfaces(situation),
        *keep_network_interfaces_from_code(situation),
    ]
    shaped = _numbered(statements) if profile == "Strict" else _as_documented(statements)
    return {"Version": "2012-10-17", "Statement": shaped}


def rotate_secret(situation: Situation) -> Iterator[Statement]:
    """The four steps of a rotation, on the secret or on all of them."""
    actions = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
    arns = [secret.arn for secret in situation.secrets]
    yield _allow("RotateSecret", [f"secretsmanager:{action}" for action in actions], arns)


def generate_password() -> Iterator[Statement]:
    """GetRandomPassword is about no resource; IAM takes it only with ``*``."""
    yield _allow("GeneratePassword", ["secretsmanager:GetRandomPassword"], ["*"])


def use_secret_key(situation: Situation) -> Iterator[Statement]:
    """Each customer managed key once, for the secrets under it. The AWS managed key needs no grant."""
    keys = dict.fromkeys(secret.key_arn for secret in situation.secrets if secret.key_arn)
    for key in keys:
        under_key = [secret for secret in situation.secrets if secret.key_arn == key]
        condition = _only_through_secrets_manager(under_key, situation.dns_suffix)
        yield _allow("UseSecretKey", ["kms:Decrypt", "kms:GenerateDataKey"], [key], condition)


def read_superuser_secret(situation: Situation) -> Iterator[Statement]:
    """With the superuser's credentials the rotation changes the user's: the alternating-users strategy."""
    if secret := situation.superuser_secret:
        yield _allow("ReadSuperuserSecret", ["secretsmanager:GetSecretValue"], [secret.arn])


def use_superuser_key(situation: Situation) -> Iterator[Statement]:
    """Reading needs Decrypt alone."""
    secret = situation.superuser_secret
    if secret and secret.key_arn:
        condition = _only_through_secrets_manager([secret], situation.dns_suffix)
        yield _allow("UseSuperuserKey", ["kms:Decrypt"], [secret.key_arn], condition)


def describe_superuser_secret(situation: Situation) -> Iterator[Statement]:
    """An RDS-managed secret holds no host: AWS's rotation code finds the database by the secret's tags.

    Source: SecretsManagerRDS*RotationMultiUser in aws-samples/aws-secrets-manager-rotation-lambdas.
    """
    secret = situation.superuser_secret
    if secret and secret.managed_by_rds:
        yield _allow("DescribeSuperuserSecret", ["secretsmanager:DescribeSecret"], [secret.arn])


def describe_superuser_database(situation: Situation) -> Iterator[Statement]:
    """The database that those tags name."""
    databases = situation.superuser_secret.database_arns if situation.superuser_secret else ()
    for database in databases:
        kind = "Clusters" if arn.parse(database).resource.startswith("cluster:") else "Instances"
        yield _allow("DescribeSuperuserDatabase", [f"rds:DescribeDB{kind}"], [database])


def manage_network_interfaces(situation: Situation) -> Iterator[Statement]:
    """Lambda manages the function's network interfaces with the execution role.

    On ``*``: narrowed by resource, subnet or VPC, CreateFunction fails.
    """
    if situation.in_vpc:
        yield _allow("ManageNetworkInterfaces", NETWORK_INTERFACE_ACTIONS, ["*"])


def keep_network_interfaces_from_code(situation: Situation) -> Iterator[Statement]:
    """Lambda's own calls lack ``lambda:SourceFunctionArn``, those of the function's code carry it.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
    """
    if situation.in_vpc:
        yield {
            "Sid": "KeepNetworkInterfacesFromCode",
            "Effect": "Deny",
            "Action": NETWORK_INTERFACE_ACTIONS,
            "Resource": "*",
            "Condition": {"Null": {"lambda:SourceFunctionArn": "false"}},
        }


def _allow(sid: str, actions: list[str], resources: list[str], condition: Statement | None = None) -> Statement:
    statement = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": _one_or_list(resources)}
    return statement | ({"Condition": condition} if condition else {})


def _only_through_secrets_manager(secrets: list[Secret], dns_suffix: str) -> Statement:
    """The key serves for these secrets alone, and for calls that Secrets Manager makes.

    Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    # Where the partition's suffix is another one, both forms are seen.
    services = dict.fromkeys(via_service(secrets[0], suffix) for suffix in (dns_suffix, "amazonaws.com"))
    return {
        "StringEquals": {
            "kms:EncryptionContext:SecretARN": _one_or_list([secret.arn for secret in secrets]),
            "kms:ViaService": _one_or_list(list(services)),
        }
    }


def via_service(secret: Secret, dns_suffix: str) -> str:
    """The `kms:ViaService` of calls that Secrets Manager makes to KMS for this secret."""
    return f"secretsmanager.{arn.parse(secret.arn).region}.{dns_suffix}"


def _one_or_list(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _numbered(statements: list[Statement]) -> list[Statement]:
    """A `Sid` is unique in its document: several of one kind are numbered from the second on."""
    seen: dict[str, int] = {}
    numbered = []
    for statement in statements:
        sid = statement["Sid"]
        seen[sid] = seen.get(sid, 0) + 1
        numbered.append(statement | {"Sid": f"{sid}{seen[sid]}" if seen[sid] > 1 else sid})
    return numbered


def _as_documented(statements: list[Statement]) -> list[Statement]:
    """The same grants as the user guide writes them: no `Sid`, no `Condition`, no Deny."""
    return [
        {name: value for name, value in statement.items() if name not in ("Sid", "Condition")}
        for statement in statements
        if statement["Effect"] == "Allow"
    ]
