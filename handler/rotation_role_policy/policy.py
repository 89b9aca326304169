"""The policy document of a situation, read top to bottom like the document itself.

Pure functions: one for each kind of statement, in the order of the table `STATEMENTS`. The grants are those of the AWS
user guide, "Lambda rotation function execution role permissions for AWS Secrets Manager":
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.policy_grammar import as_list
from rotation_role_policy.state import Secret, Situation

Statement = dict[str, Any]
Document = dict[str, Any]


class Caller(Enum):
    """Who makes the calls that a statement allows, with the execution role's credentials."""

    FUNCTION_CODE = "the code of the rotation function"
    SECRETS_MANAGER = "Secrets Manager, for the code"
    LAMBDA = "the Lambda service"


class Grant(NamedTuple):
    """One statement, and what is known of the calls that it is about."""

    statement: Statement
    secrets: tuple[Secret, ...] = ()
    """The secrets that it is for: its resources or, for a key, those that it grants the key for."""
    caller: Caller = Caller.FUNCTION_CODE


NETWORK_INTERFACE_ACTIONS = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DetachNetworkInterface",
]


def rotate_secret(situation: Situation) -> Iterator[Grant]:
    """The four steps of a rotation, on the secret or on all of them."""
    actions = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
    arns = [secret.arn for secret in situation.secrets]
    yield Grant(_allow([f"secretsmanager:{action}" for action in actions], arns), situation.secrets)


def generate_password(_: Situation) -> Iterator[Grant]:
    """GetRandomPassword is about no resource; IAM takes it only with ``*``."""
    yield Grant(_allow(["secretsmanager:GetRandomPassword"], ["*"]))


def use_secret_key(situation: Situation) -> Iterator[Grant]:
    """Each customer managed key once, for the secrets under it. The AWS managed key needs no grant."""
    keys = dict.fromkeys(secret.key_arn for secret in situation.secrets if secret.key_arn)
    for key in keys:
        under_key = tuple(secret for secret in situation.secrets if secret.key_arn == key)
        yield _use_key(key, ["kms:Decrypt", "kms:GenerateDataKey"], under_key, situation)


def read_superuser_secret(situation: Situation) -> Iterator[Grant]:
    """With the superuser's credentials the rotation changes the user's: the alternating-users strategy."""
    if secret := situation.superuser_secret:
        yield Grant(_allow(["secretsmanager:GetSecretValue"], [secret.arn]), (secret,))


def use_superuser_key(situation: Situation) -> Iterator[Grant]:
    """Reading needs Decrypt alone."""
    secret = situation.superuser_secret
    if secret and secret.key_arn:
        yield _use_key(secret.key_arn, ["kms:Decrypt"], (secret,), situation)


def describe_superuser_secret(situation: Situation) -> Iterator[Grant]:
    """An RDS-managed secret holds no host: AWS's rotation code finds the database by the secret's tags.

    Source: SecretsManagerRDS*RotationMultiUser in aws-samples/aws-secrets-manager-rotation-lambdas.
    """
    secret = situation.superuser_secret
    if secret and secret.managed_by_rds:
        yield Grant(_allow(["secretsmanager:DescribeSecret"], [secret.arn]), (secret,))


def describe_superuser_database(situation: Situation) -> Iterator[Grant]:
    """The database that those tags name."""
    databases = situation.superuser_secret.database_arns if situation.superuser_secret else ()
    for database in databases:
        kind = "Clusters" if arn.parse(database).resource.startswith("cluster:") else "Instances"
        yield Grant(_allow([f"rds:DescribeDB{kind}"], [database]))


def manage_network_interfaces(situation: Situation) -> Iterator[Grant]:
    """Lambda manages the function's network interfaces with the execution role.

    On ``*``: narrowed by resource, subnet or VPC, CreateFunction fails.
    """
    if situation.in_vpc:
        yield Grant(_allow(NETWORK_INTERFACE_ACTIONS, ["*"]), caller=Caller.LAMBDA)


def keep_network_interfaces_from_code(situation: Situation) -> Iterator[Grant]:
    """Lambda's own calls lack ``lambda:SourceFunctionArn``, those of the function's code carry it.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
    """
    if situation.in_vpc:
        yield Grant(
            {
                "Effect": "Deny",
                "Action": NETWORK_INTERFACE_ACTIONS,
                "Resource": "*",
                "Condition": {"Null": {"lambda:SourceFunctionArn": "false"}},
            }
        )


def _allow(actions: list[str], resources: list[str], condition: Statement | None = None) -> Statement:
    statement = {"Effect": "Allow", "Action": actions, "Resource": _one_or_list(resources)}
    return statement | ({"Condition": condition} if condition else {})


def _use_key(key_arn: str, actions: list[str], secrets: tuple[Secret, ...], situation: Situation) -> Grant:
    """The key serves for these secrets alone, and for calls that Secrets Manager makes."""
    condition = _only_through_secrets_manager(secrets, situation.dns_suffix)
    return Grant(_allow(actions, [key_arn], condition), secrets, Caller.SECRETS_MANAGER)


def _only_through_secrets_manager(secrets: tuple[Secret, ...], dns_suffix: str) -> Statement:
    """The condition on such calls.

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


@dataclass(frozen=True)
class StatementKind:
    """One row of the table of statements."""

    sid: str
    """Of the first statement of this kind; further ones are numbered."""
    build: Callable[[Situation], Iterator[Grant]]
    resource: str
    when: str
    why: str
    """For whoever reviews a policy that has it."""
    why_not: Callable[[Situation], str]
    """For whoever misses it. Asked where `build` gives nothing, or the profile leaves it out."""


def _always(_: Situation) -> str:
    return ""


def _is_managed_by_aws(_: Situation) -> str:
    return "AWS managed key: it needs no grant"


def _of_superuser(why_not: str) -> Callable[[Situation], str]:
    return lambda situation: why_not if situation.superuser_secret else "no SuperuserSecretId"


_not_managed_by_rds = _of_superuser("RDS does not manage the superuser secret")


def _no_database(situation: Situation) -> str:
    superuser = situation.superuser_secret
    if superuser and superuser.managed_by_rds:
        return "no tag of RDS's on the superuser secret names its database"
    return _not_managed_by_rds(situation)


def _not_in_vpc(situation: Situation) -> str:
    # The Deny is in a VPC too, but not in the user guide's policy.
    return "the user guide's policy has no Deny" if situation.in_vpc else "not in a VPC"


STATEMENTS = (
    StatementKind(
        "RotateSecret",
        rotate_secret,
        resource="the secret, or all of them",
        when="always",
        why="the four steps of a rotation make these calls",
        why_not=_always,
    ),
    StatementKind(
        "GeneratePassword",
        generate_password,
        resource="`*`",
        when="always",
        why="for the new password; IAM takes no other resource",
        why_not=_always,
    ),
    StatementKind(
        "UseSecretKey",
        use_secret_key,
        resource="the key; one statement for each",
        when="a customer managed key",
        why="the secret is under this customer managed key",
        why_not=_is_managed_by_aws,
    ),
    StatementKind(
        "ReadSuperuserSecret",
        read_superuser_secret,
        resource="the superuser secret",
        when="`SuperuserSecretId`",
        why="alternating users: the superuser changes the other user's password",
        why_not=_of_superuser(""),
    ),
    StatementKind(
        "UseSuperuserKey",
        use_superuser_key,
        resource="its key",
        when="it has a customer managed key",
        why="the superuser secret is under this customer managed key, and is only read",
        why_not=_of_superuser("AWS managed key: it needs no grant"),
    ),
    StatementKind(
        "DescribeSuperuserSecret",
        describe_superuser_secret,
        resource="the superuser secret",
        when="RDS manages it",
        why="RDS manages it: its tags say which database it is of",
        why_not=_not_managed_by_rds,
    ),
    StatementKind(
        "DescribeSuperuserDatabase",
        describe_superuser_database,
        resource="the database of its tag",
        when="RDS manages it",
        why="RDS manages the superuser secret, which holds no host: the database tells it",
        why_not=_no_database,
    ),
    StatementKind(
        "ManageNetworkInterfaces",
        manage_network_interfaces,
        resource="`*`",
        when="in a VPC",
        why="Lambda links the function to its VPC with the execution role; narrowed, it refuses the function",
        why_not=_not_in_vpc,
    ),
    StatementKind(
        "KeepNetworkInterfacesFromCode",
        keep_network_interfaces_from_code,
        resource="`*`",
        when="in a VPC, `Strict`",
        why="but not the function's own code: only its calls carry this context key",
        why_not=_not_in_vpc,
    ),
)
"""The table of statements (README, "The policy"), in the order of the document."""


def document(situation: Situation, profile: str) -> Document:
    """The policy document of `situation` under `profile`, ``Strict`` or ``Documented``."""
    of_each_kind = (statements for _, statements in explained(situation, profile))
    return {"Version": "2012-10-17", "Statement": [one for statements in of_each_kind for one in statements]}


class Granted(NamedTuple):
    """What a document of this module is about."""

    secret_arns: list[str]
    key_arns: list[str]
    in_vpc: bool


def read_back(document: Document | None) -> Granted:
    """What a document that `document` has made is about, of either profile; of None, nothing.

    The rotated secrets are those of its first statement (`rotate_secret`).
    """
    # Somebody may have changed it since.
    statements = as_list((document or {}).get("Statement", []))
    of_action = [(as_list(one.get("Action", [])), as_list(one.get("Resource", []))) for one in statements]
    secrets = of_action[0][1] if of_action else []
    keys = [key for actions, resources in of_action if "kms:Decrypt" in actions for key in resources]
    in_vpc = any(NETWORK_INTERFACE_ACTIONS[0] in actions for actions, _ in of_action)
    return Granted(secrets, list(dict.fromkeys(keys)), in_vpc)


def grants(situation: Situation) -> Iterator[Grant]:
    """All grants of `situation`, in the order of the document. Actions and resources are the same in each profile."""
    for kind in STATEMENTS:
        yield from kind.build(situation)


def explained(situation: Situation, profile: str) -> Iterator[tuple[StatementKind, list[Statement]]]:
    """Each kind of statement with those that the document has of it: none, where it is left out."""
    for kind in STATEMENTS:
        statements = [grant.statement for grant in kind.build(situation)]
        yield kind, _with_sids(kind.sid, statements) if profile == "Strict" else _as_documented(statements)


def _with_sids(sid: str, statements: list[Statement]) -> list[Statement]:
    """A `Sid` is unique in its document: several of one kind are numbered from the second on."""
    return [
        {"Sid": f"{sid}{number}" if number > 1 else sid} | statement for number, statement in enumerate(statements, 1)
    ]


def _as_documented(statements: list[Statement]) -> list[Statement]:
    """The same grants as the user guide writes them: no `Sid`, no `Condition`, no Deny."""
    return [
        {name: value for name, value in statement.items() if name != "Condition"}
        for statement in statements
        if statement["Effect"] == "Allow"
    ]
