"""The policy document for a state: the table of statements, and the functions that build them.

One function builds each type of statement, in the order of the table `STATEMENTS`, which is the order of the document.
For the rule for KMS keys see `use_secret_key`. The grants are those of the AWS user guide, "Lambda rotation function
execution role permissions for AWS Secrets Manager":
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
Source: docs/policy.md.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import product
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import JsonDocument, JsonStatement, as_list
from rotation_role_policy.rules.state import Secret, State
from rotation_role_policy.rules.targets import ACTIONS_WITHOUT_RESOURCE, target_type


class Caller(Enum):
    """Who makes the calls that a statement allows, with the credentials of the execution role."""

    FUNCTION_CODE = auto()
    SECRETS_MANAGER = auto()
    """On behalf of the function's code."""
    LAMBDA = auto()
    """The Lambda service itself."""


class Grant(NamedTuple):
    """One statement, and what is known about the calls that it is for."""

    statement: JsonStatement
    secrets: tuple[Secret, ...] = ()
    """The secrets that the statement is for: its resources or, for a key, the secrets that the key encrypts."""
    caller: Caller = Caller.FUNCTION_CODE


SECRET_ARN_KEY = "kms:EncryptionContext:SecretARN"  # noqa: S105  # a condition key

ROTATE_ACTIONS = (
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
)
"""The actions of the first statement of every policy."""
NETWORK_INTERFACE_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DetachNetworkInterface",
)


# --- one function for each type of statement --------------------------------------------------------------------------


def rotate_secret(state: State) -> Iterator[Grant]:
    """Allow the four steps of a rotation, on the secret or on all of the secrets."""
    yield Grant(_allow(ROTATE_ACTIONS, [secret.arn for secret in state.secrets]), state.secrets)


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


def decrypt_earlier_versions(state: State) -> Iterator[Grant]:
    """Allow to decrypt the versions that a change of the secret's key left under an earlier key.

    Secrets Manager re-encrypts the versions in use only if the caller that changes the key may use both keys.
    Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/manage_update-encryption-key.html
    """
    for key_arn in dict.fromkeys(key_arn for secret in state.all_secrets for key_arn in secret.earlier_key_arns):
        secrets = tuple(secret for secret in state.all_secrets if key_arn in secret.earlier_key_arns)
        yield _use_key(key_arn, ["kms:Decrypt"], secrets, state)


def read_superuser_secret(state: State) -> Iterator[Grant]:
    """Allow to read the superuser secret, with whose credentials the function changes the password."""
    if secret := state.superuser_secret:
        yield Grant(_allow(["secretsmanager:GetSecretValue"], [secret.arn]), (secret,))


def use_superuser_key(state: State) -> Iterator[Grant]:
    """Allow to decrypt the superuser secret. Reading needs no other action on the key."""
    secret = state.superuser_secret
    if secret and secret.key_arn:
        yield _use_key(secret.key_arn, ["kms:Decrypt"], (secret,), state)


def describe_superuser_secret(state: State) -> Iterator[Grant]:
    """Allow to describe a superuser secret that RDS or Redshift manages, and the superuser secret of a Redshift target.

    A managed secret contains no host. AWS's rotation code finds the database by the secret's tags. The code for
    Redshift always describes the superuser secret.
    Source: SecretsManagerRDS*RotationMultiUser and SecretsManagerRedshiftRotationMultiUser in
    aws-samples/aws-secrets-manager-rotation-lambdas.
    """
    secret = state.superuser_secret
    is_described = any(target_type(target).requires_describe_superuser for target in state.target_arns)
    if secret and (secret.managed_by or is_described):
        yield Grant(_allow(["secretsmanager:DescribeSecret"], [secret.arn]), (secret,))


def describe_superuser_database(state: State) -> Iterator[Grant]:
    """Allow to describe the database that the tags of a managed superuser secret name."""
    for database_arn in state.superuser_secret.database_arns if state.superuser_secret else ():
        yield from _call(target_type(database_arn).superuser_actions, database_arn)


def call_target(state: State) -> Iterator[Grant]:
    """Allow the calls of the rotation function on each of the `TargetArns`."""
    for target_arn in state.target_arns:
        yield from _call(target_type(target_arn).actions, target_arn)


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
                "Action": list(NETWORK_INTERFACE_ACTIONS),
                "Resource": "*",
                "Condition": {"Null": {"lambda:SourceFunctionArn": "false"}},
            }
        )


def _allow(actions: Sequence[str], resources: list[str], condition: JsonStatement | None = None) -> JsonStatement:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": _one_or_list(resources)}
    return statement | ({"Condition": condition} if condition else {})


def _call(actions: tuple[str, ...], target_arn: str) -> Iterator[Grant]:
    """Allow `actions` on a target, and on ``*`` those that support no resource."""
    on_target = [action for action in actions if action not in ACTIONS_WITHOUT_RESOURCE]
    on_all = [action for action in actions if action in ACTIONS_WITHOUT_RESOURCE]
    if on_target:
        yield Grant(_allow(on_target, [target_arn]))
    if on_all:
        yield Grant(_allow(on_all, ["*"]))


def _use_key(key_arn: str, actions: list[str], secrets: tuple[Secret, ...], state: State) -> Grant:
    """Allow `actions` on a key, only for these secrets and only in calls of Secrets Manager."""
    condition = _only_through_secrets_manager(secrets, state.dns_suffix)
    return Grant(_allow(actions, [key_arn], condition), secrets, Caller.SECRETS_MANAGER)


def _only_through_secrets_manager(secrets: tuple[Secret, ...], dns_suffix: str) -> JsonStatement:
    """Return the condition for KMS calls that Secrets Manager makes for these secrets.

    Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    # In a partition with another DNS suffix, KMS sees either form.
    services = dict.fromkeys(via_service(secrets[0], suffix) for suffix in (dns_suffix, "amazonaws.com"))
    return {
        "StringEquals": {
            SECRET_ARN_KEY: _one_or_list([secret.arn for secret in secrets]),
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
    _reason_omitted: Callable[[State], str]

    def reason_omitted(self, state: State) -> str:
        """Return why the policy does not have the statement: `build` yields nothing, or the policy omits it."""
        if any(grant.statement["Effect"] == "Allow" for grant in self.build(state)):
            return "another statement grants the same"
        return self._reason_omitted(state)


_AWS_MANAGED_KEY = "AWS managed key: no grant needed"


def _never(_: State) -> str:
    """Return nothing: the statement is never omitted without another that grants the same."""
    return ""


def _superuser_reason(reason: str) -> Callable[[State], str]:
    """Return a function that gives `reason` if there is a superuser secret."""
    return lambda state: reason if state.superuser_secret else "no SuperuserSecretId"


_not_managed = _superuser_reason("neither RDS nor Redshift manages the superuser secret")


def _no_database(state: State) -> str:
    superuser = state.superuser_secret
    if superuser and superuser.managed_by:
        return "no tag of the superuser secret names a database"
    return _not_managed(state)


def _no_call(state: State) -> str:
    if not state.target_arns:
        return "no TargetArns"
    if state.superuser_secret is None:
        return "a Redshift target has no effect without SuperuserSecretId"
    return "the rotation function does not call Redshift, but describes the superuser secret"


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
        _reason_omitted=_never,
    ),
    StatementType(
        "GeneratePassword",
        generate_password,
        resource="`*`",
        when="always",
        reason="generates the new password; the action has no resource",
        _reason_omitted=_never,
    ),
    StatementType(
        "UseSecretKey",
        use_secret_key,
        resource="the key; one statement per key",
        when="the secret has a customer managed key",
        reason="this customer managed key encrypts the secret",
        _reason_omitted=lambda _: _AWS_MANAGED_KEY,
    ),
    StatementType(
        "DecryptEarlierVersions",
        decrypt_earlier_versions,
        resource="the earlier key; one statement per key",
        when="a version labelled `AWSCURRENT`, `AWSPENDING` or `AWSPREVIOUS` (of the superuser secret: `AWSCURRENT`) is"
        " encrypted only with another customer managed key than the secret's",
        reason="this earlier key still encrypts versions that the function reads",
        _reason_omitted=lambda _: "no version in use needs an earlier key",
    ),
    StatementType(
        "ReadSuperuserSecret",
        read_superuser_secret,
        resource="the superuser secret",
        when="`SuperuserSecretId`",
        reason="the function uses the credentials in this secret to change the password",
        _reason_omitted=lambda _: "no SuperuserSecretId",
    ),
    StatementType(
        "UseSuperuserKey",
        use_superuser_key,
        resource="the key of the superuser secret",
        when="the superuser secret has a customer managed key",
        reason="this customer managed key encrypts the superuser secret, which is only read",
        _reason_omitted=_superuser_reason(_AWS_MANAGED_KEY),
    ),
    StatementType(
        "DescribeSuperuserSecret",
        describe_superuser_secret,
        resource="the superuser secret",
        when="RDS or Redshift manages the superuser secret, or `TargetArns` has a Redshift target",
        reason="the function reads the tags of the superuser secret, which name the database of a managed secret",
        _reason_omitted=_not_managed,
    ),
    StatementType(
        "DescribeSuperuserDatabase",
        describe_superuser_database,
        resource="the database that a tag of the superuser secret names; `*` for Redshift Serverless",
        when="RDS or Redshift manages the superuser secret, and a tag names its database",
        reason="a managed superuser secret contains no host: the function looks up the host of this database",
        _reason_omitted=_no_database,
    ),
    StatementType(
        "CallTarget",
        call_target,
        resource="the target; `*` for DescribeDirectories",
        when="`TargetArns`",
        reason="the function calls the API of this target",
        _reason_omitted=_no_call,
    ),
    StatementType(
        "ManageNetworkInterfaces",
        manage_network_interfaces,
        resource="`*`",
        when="the function is in a VPC",
        reason="Lambda connects the function to its VPC with the execution role; CreateFunction fails with a"
        " narrower resource",
        _reason_omitted=_not_in_vpc,
    ),
    StatementType(
        "KeepNetworkInterfacesFromCode",
        keep_network_interfaces_from_code,
        resource="`*`",
        when="the function is in a VPC, `Strict` only",
        reason="only Lambda needs network interfaces; only calls of function code have the context key"
        " `lambda:SourceFunctionArn`",
        _reason_omitted=_not_in_vpc,
    ),
)
"""The statements (docs/policy.md) in the order of the document."""


# --- documents --------------------------------------------------------------------------------------------------------


def document(state: State, profile: str) -> JsonDocument:
    """Return the policy document for `state` with `profile`, ``Strict`` or ``Documented``."""
    statements = [statement for _, statements in statements_by_type(state, profile) for statement in statements]
    return {"Version": "2012-10-17", "Statement": statements}


class DocumentSummary(NamedTuple):
    """What a document of this module grants access to."""

    secret_arns: list[str]
    key_arns: list[str]
    in_vpc: bool


def summarize(document: JsonDocument | None) -> DocumentSummary:
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
    """Yield all grants for `state` with the profile ``Strict``, in the order of the document."""
    for _, grants in _grants_by_type(state, "Strict"):
        yield from grants


def statements_by_type(state: State, profile: str) -> Iterator[tuple[StatementType, list[JsonStatement]]]:
    """Yield each type of statement with its statements in the document: an empty list if there are none."""
    for statement_type, grants in _grants_by_type(state, profile):
        statements = [grant.statement for grant in grants]
        yield statement_type, _with_sids(statement_type.sid, statements) if profile == "Strict" else statements


def _grants_by_type(state: State, profile: str) -> Iterator[tuple[StatementType, list[Grant]]]:
    """Yield each type of statement with its grants in the form of the profile. No permission is granted twice."""
    granted: set[tuple[str, str, str]] = set()
    for statement_type in STATEMENTS:
        grants = []
        for grant in statement_type.build(state) if profile == "Strict" else _as_documented(statement_type, state):
            permissions = _permissions(grant.statement)
            # A Deny has no permissions.
            if not permissions or not permissions <= granted:
                grants.append(grant)
                granted |= permissions
        yield statement_type, grants


def _permissions(statement: JsonStatement) -> set[tuple[str, str, str]]:
    """Return what a statement allows: actions, resources, and for which secret a key. Empty for a Deny."""
    if statement["Effect"] == "Deny":
        return set()
    secrets = as_list(statement.get("Condition", {}).get("StringEquals", {}).get(SECRET_ARN_KEY, ""))
    return set(product(statement["Action"], as_list(statement["Resource"]), secrets))


def _with_sids(sid: str, statements: list[JsonStatement]) -> list[JsonStatement]:
    """Add Sids, which are unique in a document: the second statement and further ones are numbered."""
    return [
        {"Sid": f"{sid}{number}" if number > 1 else sid} | statement for number, statement in enumerate(statements, 1)
    ]


def _as_documented(statement_type: StatementType, state: State) -> Iterator[Grant]:
    """Yield the same grants in the form of the user guide: no `Condition`, no Deny."""
    for grant in statement_type.build(state):
        if grant.statement["Effect"] == "Allow":
            statement = {name: value for name, value in grant.statement.items() if name != "Condition"}
            yield grant._replace(statement=statement)
