"""The statements of a policy: one function builds each type of statement for a state.

For the rule for KMS keys see `use_secret_key`. The grants are those of the AWS user guide, "Lambda rotation function
execution role permissions for AWS Secrets Manager":
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
Source: docs/policy.md.
"""

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import JsonStatement
from rotation_role_policy.iam.wildcard import matches
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
    is_safety_net: bool = False
    """Whether usually something else allows the calls too, so that it proves nothing if the statement is blocked."""
    is_dispensable: bool = False
    """Whether not every rotation function makes the calls, so that it is not certain that a rotation fails without."""


SECRET_ARN_KEY = "kms:EncryptionContext:SecretARN"  # noqa: S105  # a condition key
FUNCTION_ARN_KEY = "kms:EncryptionContext:aws:lambda:FunctionArn"
SOURCE_FUNCTION_KEY = "lambda:SourceFunctionArn"
"""Context key of calls that the code of a Lambda function makes.
https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html"""

ROTATE_ACTIONS = (
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
)
"""The actions of the first statement of every policy."""
_USE_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")
NETWORK_INTERFACE_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DetachNetworkInterface",
)


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
        yield _use_key([key_arn], _USE_ACTIONS, secrets, state)


def use_any_secret_key(state: State) -> Iterator[Grant]:
    """Allow the use of any key for the secrets.

    Secrets Manager always sends the ARN of the secret as encryption context, and KMS checks it, so that the grant holds
    for the values of these secrets alone. It holds for a key that the secrets get later, too.
    Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    yield _use_key(_any_key(state.secrets), _USE_ACTIONS, state.secrets, state)


def decrypt_earlier_foreign_versions(state: State) -> Iterator[Grant]:
    """Allow what `decrypt_earlier_versions` does for keys of other accounts. `use_any_secret_key` allows the others."""
    any_key = _keys_of_account(state.secrets)
    return (grant for grant in decrypt_earlier_versions(state) if not matches(any_key, grant.statement["Resource"]))


def decrypt_earlier_versions(state: State) -> Iterator[Grant]:
    """Allow to decrypt the versions that a change of the secret's key left under an earlier key.

    Secrets Manager re-encrypts the versions in use only if the caller that changes the key may use both keys.
    Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/manage_update-encryption-key.html
    """
    for key_arn in dict.fromkeys(key_arn for secret in state.all_secrets for key_arn in secret.earlier_key_arns):
        secrets = tuple(secret for secret in state.all_secrets if key_arn in secret.earlier_key_arns)
        is_dispensable = all(key_arn in secret.previous_key_arns for secret in secrets)
        yield _use_key([key_arn], ["kms:Decrypt"], secrets, state)._replace(is_dispensable=is_dispensable)


def decrypt_environment(state: State) -> Iterator[Grant]:
    """Allow to decrypt the environment variables of the function.

    Lambda decrypts them with the execution role. Usually a grant allows it that Lambda has made on the key, for the
    role's unique ID. The grant does not hold for a role that was deleted and created again under the same name.
    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    """
    if key_arn := state.environment_key.arn:
        # Not limited to a service: AWS does not document the value of kms:ViaService in this call.
        condition = {"StringLike": {FUNCTION_ARN_KEY: _function_patterns(state)}}
        statement = _allow(["kms:Decrypt"], [key_arn], condition)
        yield Grant(statement, caller=Caller.LAMBDA, is_safety_net=True)


def _function_patterns(state: State) -> list[str] | str:
    """Return patterns for the ARN of the function, with and without a version. In declared mode, for any function."""
    if state.function_arn:
        return [state.function_arn, f"{state.function_arn}:*"]
    # The function is in the account of its role, and in the region of its secrets.
    owner = arn.parse(state.role.arn)
    region = arn.parse(state.secrets[0].arn).region
    return f"arn:{owner.partition}:lambda:{region}:{owner.account}:function:*"


def read_superuser_secret(state: State) -> Iterator[Grant]:
    """Allow to read the superuser secret, with whose credentials the function changes the password."""
    if secret := state.superuser_secret:
        yield Grant(_allow(["secretsmanager:GetSecretValue"], [secret.arn]), (secret,))


def use_superuser_key(state: State) -> Iterator[Grant]:
    """Allow to decrypt the superuser secret. Reading needs no other action on the key."""
    secret = state.superuser_secret
    if secret and secret.key_arn:
        yield _use_key([secret.key_arn], ["kms:Decrypt"], (secret,), state)


def use_any_superuser_key(state: State) -> Iterator[Grant]:
    """Allow to decrypt the superuser secret with any key, as `use_any_secret_key`."""
    if secret := state.superuser_secret:
        yield _use_key(_any_key([secret]), ["kms:Decrypt"], (secret,), state)


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

    Calls of function code have the context key `SOURCE_FUNCTION_KEY`, Lambda's own calls do not.
    """
    if state.in_vpc:
        yield Grant(
            {
                "Effect": "Deny",
                "Action": list(NETWORK_INTERFACE_ACTIONS),
                "Resource": "*",
                "Condition": {"Null": {SOURCE_FUNCTION_KEY: "false"}},
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


def _use_key(keys: list[str], actions: Sequence[str], secrets: tuple[Secret, ...], state: State) -> Grant:
    """Allow `actions` on keys, only for these secrets and only in calls of Secrets Manager."""
    condition = _only_through_secrets_manager(secrets, state.dns_suffix)
    return Grant(_allow(actions, keys, condition), secrets, Caller.SECRETS_MANAGER)


def _any_key(secrets: Sequence[Secret]) -> list[str]:
    """Return a pattern for the keys of the secrets' account, and the ARNs of the keys of other accounts."""
    any_key = _keys_of_account(secrets)
    keys = dict.fromkeys(secret.key_arn for secret in secrets if secret.key_arn)
    return [any_key, *(key_arn for key_arn in keys if not matches(any_key, key_arn))]


def _keys_of_account(secrets: Sequence[Secret]) -> str:
    """Return a pattern for all keys of the account and region of the secrets."""
    owner = arn.parse(secrets[0].arn)
    return f"arn:{owner.partition}:kms:{owner.region}:{owner.account}:key/*"


def _only_through_secrets_manager(secrets: tuple[Secret, ...], dns_suffix: str) -> JsonStatement:
    """Return the condition for KMS calls that Secrets Manager makes for these secrets.

    Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    return {
        "StringEquals": {
            SECRET_ARN_KEY: _one_or_list([secret.arn for secret in secrets]),
            "kms:ViaService": _one_or_list(via_services(secrets[0], dns_suffix)),
        }
    }


def via_services(secret: Secret, dns_suffix: str) -> list[str]:
    """Return the possible values of `kms:ViaService` in KMS calls that Secrets Manager makes for this secret.

    In a partition with another DNS suffix than ``amazonaws.com``, KMS sees either form. The partition's own is first.
    """
    region = arn.parse(secret.arn).region
    return [f"secretsmanager.{region}.{suffix}" for suffix in dict.fromkeys((dns_suffix, "amazonaws.com"))]


def _one_or_list(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values
