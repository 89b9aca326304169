"""The policy document for a state: the table of statements, and the functions that build them.

One function builds each type of statement, in the order of the table `STATEMENTS`, which is the order of the document.
The module is pure: it may import only `arn`, `policy_grammar` and `state` (pyproject.toml, importlinter). For the rule
for KMS keys see `use_secret_key`. The grants are those of the AWS user guide, "Lambda rotation function execution role
permissions for AWS Secrets Manager":
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
Source: docs/policy.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.policy_grammar import as_list
from rotation_role_policy.state import Secret, State

Statement = dict[str, Any]
Document = dict[str, Any]


class Caller(Enum):
    """Who makes the calls that a statement allows, with the credentials of the execution role."""

    FUNCTION_CODE = auto()
    SECRETS_MANAGER = auto()
    """On behalf of the function's code."""
    LAMBDA = auto()
    """The Lambda service itself."""


class Grant(NamedTuple):
    """One statement, and what is known about the calls that it is for."""

    statement: Statement
    secrets: tuple[Secret, ...] = ()
    """The secrets that the statement is for: its resources or, for a key, the secrets that the key encrypts."""
    caller: Caller = Caller.FUNCTION_CODE


NETWORK_INTERFACE_ACTIONS = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DetachNetworkInterface",
]


# --- one function for each type of statement --------------------------------------------------------------------------


def rotate_secret(state: State) -> Iterator[Grant]:
    """Allow the four steps of a rotation, on the secret or on all of the secrets."""
    actions = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
    arns = [secret.arn for secret in state.secrets]
    yield Grant(_allow([f"secretsmanager:{action}" for action in actions], arns), state.secrets)


def generate_password(_: State) -> Iterator[Grant]:
    """Allow GetRandomPassword on ``*``, because the action supports no resource."""
    yield Grant(_allow(["secretsmanager:GetRandomPassword"], ["*"]))


def use_secret_key(state: State) -> Iterator[Grant]:
    """Allow the use of each customer managed key, for the secrets that it encrypts.

    The AWS managed key needs no grant: its key policy allows everyone who may use the secret.
    """
    for key_arn in dict.fromkeys(secret.key_arn for secret in state.secrets if secret.key_arn):
        secrets = tuple(secret for secret in state.secrets if secret.key_arn == key_arn)
        yield _use_key(key_arn, ["kms:Decrypt", "kms:GenerateDataKey"], secrets, state)


def read_superuser_secret(state: State) -> Iterator[Grant]:
    """Allow to read the superuser secret, whose credentials change the user's password (alternating users)."""
    if secret := state.superuser_secret:
        yield Grant(_allow(["secretsmanager:GetSecretValue"], [secret.arn]), (secret,))


def use_superuser_key(state: State) -> Iterator[Grant]:
    """Allow to decrypt the superuser secret. Reading needs no other action on the key."""
    secret = state.superuser_secret
    if secret and secret.key_arn:
        yield _use_key(secret.key_arn, ["kms:Decrypt"], (secret,), state)


def describe_superuser_secret(state: State) -> Iterator[Grant]:
    """Allow to describe a superuser secret that RDS manages.

    Such a secret contains no host. AWS's rotation code finds the database by the secret's tags.
    Source: SecretsManagerRDS*RotationMultiUser in aws-samples/aws-secrets-manager-rotation-lambdas.
    """
    secret = state.superuser_secret
    if secret and secret.managed_by_rds:
        yield Grant(_allow(["secretsmanager:DescribeSecret"], [secret.arn]), (secret,))


def describe_superuser_database(state: State) -> Iterator[Grant]:
    """Allow to describe the database that the tags of the superuser secret name."""
    database_arns = state.superuser_secret.database_arns if state.superuser_secret else ()
    for database_arn in database_arns:
        is_cluster = arn.parse(database_arn).resource.startswith("cluster:")
        yield Grant(_allow([f"rds:DescribeDB{'Clusters' if is_cluster else 'Instances'}"], [database_arn]))


def manage_network_interfaces(state: State) -> Iterator[Grant]:
    """Allow Lambda to manage the network interfaces of a function in a VPC, with the execution role.

    On ``*``, because CreateFunction fails if the statement is narrowed by resource, subnet or VPC.
    """
    if state.in_vpc:
        yield Grant(_allow(NETWORK_INTERFACE_ACTIONS, ["*"]), caller=Caller.LAMBDA)


def keep_network_interfaces_from_code(state: State) -> Iterator[Grant]:
    """Deny the function's code what `manage_network_interfaces` allows Lambda.

    Calls of function code have the context key ``lambda:SourceFunctionArn``, Lambda's own calls do not.
    Source: https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
    """
    if state.in_vpc:
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


def _use_key(key_arn: str, actions: list[str], secrets: tuple[Secret, ...], state: State) -> Grant:
    """Allow `actions` on a key, only for these secrets and only in calls of Secrets Manager."""
    condition = _only_through_secrets_manager(secrets, state.dns_suffix)
    return Grant(_allow(actions, [key_arn], condition), secrets, Caller.SECRETS_MANAGER)


def _only_through_secrets_manager(secrets: tuple[Secret, ...], dns_suffix: str) -> Statement:
    """Return the condition for KMS calls that Secrets Manager makes for these secrets.

    Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    # In a partition with another DNS suffix, KMS sees either form.
    services = dict.fromkeys(via_service(secrets[0], suffix) for suffix in (dns_suffix, "amazonaws.com"))
    return {
        "StringEquals": {
            "kms:EncryptionContext:SecretARN": _one_or_list([secret.arn for secret in secrets]),
            "kms:ViaService": _one_or_list(list(services)),
        }
    }


def via_service(secret: Secret, dns_suffix: str) -> str:
    """Return the value of `kms:ViaService` in KMS calls that Secrets Manager makes for this secret."""
    return f"secretsmanager.{arn.parse(secret.arn).region}.{dns_suffix}"


def _one_or_list(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


# --- the table of statements ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StatementType:
    """One row of the table of statements."""

    sid: str
    """`Sid` of the first statement of this type. Further statements are numbered."""
    build: Callable[[State], Iterator[Grant]]
    resource: str
    """Markdown, for the documentation, as `when`."""
    when: str
    reason: str
    """Why the policy has the statement, for the reviewer of a policy."""
    reason_omitted: Callable[[State], str]
    """Why the policy does not have the statement, if `build` yields nothing or the profile omits it."""


_AWS_MANAGED_KEY = "AWS managed key: no grant needed"


def _always(_: State) -> str:
    return ""


def _superuser_reason(reason: str) -> Callable[[State], str]:
    """Return a function that gives `reason` if there is a superuser secret."""
    return lambda state: reason if state.superuser_secret else "no SuperuserSecretId"


_not_managed_by_rds = _superuser_reason("RDS does not manage the superuser secret")


def _no_database(state: State) -> str:
    superuser = state.superuser_secret
    if superuser and superuser.managed_by_rds:
        return "no RDS tag on the superuser secret names a database"
    return _not_managed_by_rds(state)


def _not_in_vpc(state: State) -> str:
    # In a VPC, only the profile Documented omits the Deny.
    return "the user guide's policy has no Deny" if state.in_vpc else "the function is not in a VPC"


STATEMENTS = (
    StatementType(
        "RotateSecret",
        rotate_secret,
        resource="the secret, or all of the secrets",
        when="always",
        reason="the four steps of a rotation make these calls",
        reason_omitted=_always,
    ),
    StatementType(
        "GeneratePassword",
        generate_password,
        resource="`*`",
        when="always",
        reason="generates the new password; the action has no resource",
        reason_omitted=_always,
    ),
    StatementType(
        "UseSecretKey",
        use_secret_key,
        resource="the key; one statement per key",
        when="the secret has a customer managed key",
        reason="this customer managed key encrypts the secret",
        reason_omitted=lambda _: _AWS_MANAGED_KEY,
    ),
    StatementType(
        "ReadSuperuserSecret",
        read_superuser_secret,
        resource="the superuser secret",
        when="`SuperuserSecretId`",
        reason="alternating users: the superuser changes the other user's password",
        reason_omitted=_superuser_reason(""),
    ),
    StatementType(
        "UseSuperuserKey",
        use_superuser_key,
        resource="the key of the superuser secret",
        when="the superuser secret has a customer managed key",
        reason="this customer managed key encrypts the superuser secret, which is only read",
        reason_omitted=_superuser_reason(_AWS_MANAGED_KEY),
    ),
    StatementType(
        "DescribeSuperuserSecret",
        describe_superuser_secret,
        resource="the superuser secret",
        when="RDS manages the superuser secret",
        reason="RDS manages the superuser secret: its tags name the database",
        reason_omitted=_not_managed_by_rds,
    ),
    StatementType(
        "DescribeSuperuserDatabase",
        describe_superuser_database,
        resource="the database that a tag of the superuser secret names",
        when="RDS manages the superuser secret",
        reason="RDS manages the superuser secret, which contains no host: the function looks up the database's host",
        reason_omitted=_no_database,
    ),
    StatementType(
        "ManageNetworkInterfaces",
        manage_network_interfaces,
        resource="`*`",
        when="the function is in a VPC",
        reason="Lambda connects the function to its VPC with the execution role; CreateFunction fails with a"
        " narrower resource",
        reason_omitted=_not_in_vpc,
    ),
    StatementType(
        "KeepNetworkInterfacesFromCode",
        keep_network_interfaces_from_code,
        resource="`*`",
        when="the function is in a VPC, `Strict` only",
        reason="only Lambda needs network interfaces; only calls of function code have the context key"
        " `lambda:SourceFunctionArn`",
        reason_omitted=_not_in_vpc,
    ),
)
"""The statements (docs/policy.md) in the order of the document."""


# --- documents --------------------------------------------------------------------------------------------------------


def document(state: State, profile: str) -> Document:
    """Return the policy document for `state` with `profile`, ``Strict`` or ``Documented``."""
    statements = [statement for _, statements in statements_by_type(state, profile) for statement in statements]
    return {"Version": "2012-10-17", "Statement": statements}


class DocumentSummary(NamedTuple):
    """What a document of this module grants access to."""

    secret_arns: list[str]
    key_arns: list[str]
    in_vpc: bool


def summarize(document: Document | None) -> DocumentSummary:
    """Summarize a document that `document` has built, with either profile. None gives an empty summary.

    The rotated secrets are the resources of the first statement (`rotate_secret`).
    """
    # Somebody may have edited the policy, so every element can be missing.
    statements = as_list((document or {}).get("Statement", []))
    grants = [
        (as_list(statement.get("Action", [])), as_list(statement.get("Resource", []))) for statement in statements
    ]
    secret_arns = grants[0][1] if grants else []
    key_arns = [resource for actions, resources in grants if "kms:Decrypt" in actions for resource in resources]
    in_vpc = any(NETWORK_INTERFACE_ACTIONS[0] in actions for actions, _ in grants)
    return DocumentSummary(secret_arns, list(dict.fromkeys(key_arns)), in_vpc)


def grants(state: State) -> Iterator[Grant]:
    """Yield all grants for `state`, in the order of the document. The profiles differ only in Sids and conditions."""
    for statement_type in STATEMENTS:
        yield from statement_type.build(state)


def statements_by_type(state: State, profile: str) -> Iterator[tuple[StatementType, list[Statement]]]:
    """Yield each type of statement with its statements in the document: an empty list if there are none."""
    for statement_type in STATEMENTS:
        statements = [grant.statement for grant in statement_type.build(state)]
        is_strict = profile == "Strict"
        yield statement_type, _with_sids(statement_type.sid, statements) if is_strict else _as_documented(statements)


def _with_sids(sid: str, statements: list[Statement]) -> list[Statement]:
    """Add Sids, which are unique in a document: the second statement and further ones are numbered."""
    return [
        {"Sid": f"{sid}{number}" if number > 1 else sid} | statement for number, statement in enumerate(statements, 1)
    ]


def _as_documented(statements: list[Statement]) -> list[Statement]:
    """Return the same grants in the form of the user guide: no `Sid`, no `Condition`, no Deny."""
    return [
        {name: value for name, value in statement.items() if name != "Condition"}
        for statement in statements
        if statement["Effect"] == "Allow"
    ]
