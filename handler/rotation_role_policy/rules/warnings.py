"""Warnings: what the state shows, and what does not keep the policy from being written.

One table has the text of each kind. The provider logs it, the preview prints it.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from rotation_role_policy.rules.state import KeyProblem, Secret, State


class WarningKind(Enum):
    """What a warning says. The value is its text."""

    KEY_NOT_DESCRIBED = "key not inspected: kms:DescribeKey is denied"
    """The key is taken for usable."""
    PREVIOUS_UNREADABLE = (
        "AWSPREVIOUS cannot be decrypted, so AWS's single-user rotation functions fail. Remove this label (aws"
        " secretsmanager update-secret-version-stage), or restore the key"
    )
    PREVIOUS_NOT_DESCRIBED = (
        "it is not known whether AWSPREVIOUS can be decrypted, which AWS's single-user rotation functions read:"
        " kms:DescribeKey is denied"
    )
    """No other key is known to decrypt the version."""
    ENVIRONMENT_KEY_UNUSABLE = (
        "the key of the function's environment variables cannot be used, so the function does not start. Restore or"
        " enable the key, or give the function another key (aws lambda update-function-configuration --kms-key-arn)"
    )
    ENVIRONMENT_KEY_UNKNOWN = (
        "the key of the function's environment variables could not be inspected, so it is not known whether it can be"
        " used"
    )
    """The policy has the statement for the key, because its ARN is known."""
    ENVIRONMENT_KEY_LEFT_OUT = (
        "the key of the function's environment variables could not be resolved, so the policy has no statement for it."
        " The function starts only with the grant that Lambda has made on the key"
    )
    PARTIAL_ARN = (
        "AWS takes this ARN for the full ARN of another secret, because it ends in a hyphen and six characters. It was"
        " taken as a partial ARN, and the secret was found by its name. Give the full ARN or the name"
    )
    SUPERUSER_IS_ROTATED = (
        "the superuser secret is also one of the rotated secrets, so the rotation function may change the superuser"
        " secret. Give the secret as SuperuserSecretId or as a secret to rotate, not as both"
    )
    SUPERUSER_HAS_ROTATION = (
        "the superuser secret is also rotated. The superuser's password changes in the database before it changes in"
        " the secret, so a rotation that uses the superuser can fail in between. Schedule the two rotations at"
        " different times"
    )
    REPLICATION_FAILED = (
        "Secrets Manager could not replicate the secret, so a replica keeps an old value after a rotation. See"
        " ReplicationStatus (aws secretsmanager describe-secret)"
    )
    REPLICA_WITHOUT_ROLE = (
        "a replica of the secret in another account has no replication role. Secrets Manager replicates a new value"
        " with the permissions of the rotation function, and the policy does not contain them. Associate the replica"
        " with a replication role (aws secretsmanager associate-cross-account-replica --replication-role-arn)"
    )


class StateWarning(NamedTuple):
    """A warning about one resource."""

    kind: WarningKind
    resource: str
    """ARN or ID."""
    detail: str = ""
    """A sentence without its end: AWS's message, or the state of a key; empty if there is none."""


def warnings_of(state: State) -> Iterator[StateWarning]:
    """Yield the warnings about a state."""
    for secret in state.all_secrets:
        yield from _of_secret(secret)
    superuser = state.superuser_secret
    if superuser and superuser.arn in {secret.arn for secret in state.secrets}:
        yield StateWarning(WarningKind.SUPERUSER_IS_ROTATED, superuser.arn)
    elif superuser and superuser.rotation_function_id:
        yield StateWarning(WarningKind.SUPERUSER_HAS_ROTATION, superuser.arn)
    if problem := state.environment_key.problem:
        yield StateWarning(_kind_of_environment_key(state, problem), problem.key_id, problem.detail)


def _of_secret(secret: Secret) -> Iterator[StateWarning]:
    if secret.partial_arn:
        yield StateWarning(WarningKind.PARTIAL_ARN, secret.partial_arn, f"the secret is {secret.arn}")
    for key in secret.keys_not_described:
        yield StateWarning(WarningKind.KEY_NOT_DESCRIBED, key.key_id, key.detail)
    if previous := secret.unreadable_previous:
        kind = WarningKind.PREVIOUS_NOT_DESCRIBED if previous.denied else WarningKind.PREVIOUS_UNREADABLE
        yield StateWarning(kind, previous.key_id, previous.detail)
    for replica in secret.failed_replicas:
        yield StateWarning(WarningKind.REPLICATION_FAILED, secret.arn, f"replica: {replica}")
    for replica in secret.replicas_without_role:
        yield StateWarning(WarningKind.REPLICA_WITHOUT_ROLE, secret.arn, f"replica: {replica}")


def _kind_of_environment_key(state: State, problem: KeyProblem) -> WarningKind:
    if not state.environment_key.arn:
        return WarningKind.ENVIRONMENT_KEY_LEFT_OUT
    return WarningKind.ENVIRONMENT_KEY_UNKNOWN if problem.denied else WarningKind.ENVIRONMENT_KEY_UNUSABLE
