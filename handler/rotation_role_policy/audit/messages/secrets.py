"""The words of findings about secrets: their keys, their schedules, and the permission to invoke the function."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from itertools import chain, count

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import ListedSecret, UnusableKey
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.commands import aws, rotating
from rotation_role_policy.audit.messages.failures import unusable_key_problem
from rotation_role_policy.audit.messages.phrases import join
from rotation_role_policy.rules.state import KeyProblem

_SID_CHARACTERS = 70
"""Of a secret's name in a `Sid`, which can have 100 characters. The last ones are random."""


def key_unusable(found: UnusableKey) -> Words:
    """Return the words for a secret whose key cannot be used."""
    if found.labels == ("AWSPENDING",):
        return _pending_unusable(found)
    if found.labels:
        labels = " ".join(found.labels)
        otherwise = f"store the secret's value again (PutSecretValue with VersionStages {labels})"
    else:
        # What this key encrypts cannot be encrypted with another one.
        otherwise = (
            "give the secret another key and store its value again, in one call (UpdateSecret with KmsKeyId and"
            " SecretString)"
        )
    restoring, commands = _restoring(found.key)
    return Words(
        f"{unusable_key_problem(found)}. Nobody can read what this key encrypts, so applications fail too, not only the"
        " rotation.",
        f"{restoring} If that is not possible, {otherwise}.",
        commands,
    )


def _restoring(key: KeyProblem) -> tuple[str, tuple[str, ...]]:
    """Return how a key can be used again, as a sentence, and its commands."""
    enable = aws("kms enable-key", key.key_id, key_id=key.key_id)
    match key.key_state:
        case "Disabled":
            return f"First enable the key ({enable}).", (enable,)
        case "PendingDeletion":
            keep = aws("kms cancel-key-deletion", key.key_id, key_id=key.key_id)
            return f"First keep the key ({keep}), and enable it ({enable}).", (keep, enable)
    return "First try to restore the key.", ()


def _pending_unusable(found: UnusableKey) -> Words:
    """Return the words for a key without which a rotation that has begun cannot end."""
    restoring, commands = _restoring(found.key)
    secret, place = found.secret_name, found.key.key_id
    remove = aws(
        "secretsmanager update-secret-version-stage",
        place,
        secret_id=secret,
        version_stage="AWSPENDING",
        remove_from_version_id="PENDING",
    )
    show = aws("secretsmanager list-secret-version-ids", place, secret_id=secret)
    return Words(
        f"{unusable_key_problem(found)}. The rotation that has begun cannot end. Applications read AWSCURRENT.",
        f"{restoring} If that is not possible, make sure that the database still has the password of AWSCURRENT. Then"
        f" remove the label ({remove}), and rotate the secret. PENDING is the ID of the version ({show}).",
        (*commands, remove, show),
    )


def previous_version_unreadable(secret_arn: str, key: KeyProblem) -> Words:
    """Return the words for a secret whose version AWSPREVIOUS cannot be decrypted."""
    return Words(
        f"The version AWSPREVIOUS of {secret_arn} is encrypted only with the KMS key {key.key_id}, which cannot be"
        " used. AWS's single-user rotation functions read this version, and fail.",
        "Restore the key, or remove the label AWSPREVIOUS (UpdateSecretVersionStage).",
    )


def key_of_other_account(secret_arn: str, key_arn: str) -> Words:
    """Return the words for a key whose owner does not let the caller describe it."""
    return Words(
        f"The KMS key {key_arn} of {secret_arn} belongs to another account, which does not let you describe it. Whether"
        " it is enabled is not known.",
        "Ask the owner of the key.",
    )


def rotation_overdue(secret: ListedSecret, due: datetime, pending_since: datetime | None) -> Words:
    """Return the words for a rotation that was due. `pending_since`: as in `state.Secret`."""
    pending = f" {_pending(pending_since)}" if pending_since else ""
    return Words(
        f"The rotation of {secret.arn} was due on {due:%Y-%m-%d}. {_last_rotated(secret)}.{pending}",
        *_repair(secret, is_pending=pending_since is not None),
    )


def rotation_unfinished(secret: ListedSecret, pending_since: datetime) -> Words:
    """Return the words for a rotation that began more than a day ago and did not finish."""
    return Words(
        f"A rotation of {secret.arn} has not finished. {_pending(pending_since)} {_last_rotated(secret)}.",
        *_repair(secret, is_pending=True),
    )


def rotation_late(secret: ListedSecret) -> Words:
    """Return the words for a rotation that was missed, although its next date is in the future."""
    changed = f" It was last changed: {secret.changed:%Y-%m-%d}." if secret.changed else ""
    rotate = rotating(secret.arn)
    return Words(
        f"{secret.arn} was not rotated for more than two intervals. {_last_rotated(secret)}.{changed} Either a rotation"
        " was missed, or somebody has stored a value, changed the schedule or turned the rotation on since then: the"
        f" next date ({secret.next_rotation:%Y-%m-%d}) moves with it.",
        f"{_read_log(secret)} If no attempt failed, the value may have been changed by hand. To rotate the secret:"
        f" {rotate}",
        (rotate,),
    )


def rotation_disabled(secret: ListedSecret) -> Words:
    """Return the words for a secret with a rotation function whose rotation is turned off."""
    turn_on = aws("secretsmanager rotate-secret", secret.arn, secret_id=secret.arn, no_rotate_immediately=True)
    return Words(
        f"The rotation of {secret.arn} is turned off, so the function {secret.function_id} does not rotate it. The"
        " audit reports only what the function's role can do too much.",
        f"To use it, turn it on ({turn_on}). Then run the audit again.",
        (turn_on,),
    )


def replication_failed(secret_arn: str, replicas: Sequence[str]) -> Words:
    """Return the words for a secret that Secrets Manager could not replicate. `replicas`: regions or ARNs."""
    read = aws("secretsmanager describe-secret", secret_arn, secret_id=secret_arn, query="ReplicationStatus")
    return Words(
        f"Secrets Manager could not replicate {secret_arn} to {join(replicas)}. A rotation does not reach the users of"
        " this replica, who keep the old value.",
        f"Read the reason ({read}), and correct it. Often a secret with this name already exists there, or the"
        " replica's key cannot be used.",
        (read,),
    )


def _last_rotated(secret: ListedSecret) -> str:
    return f"It was last rotated: {secret.last_rotated:%Y-%m-%d}" if secret.last_rotated else "It was never rotated"


def _pending(since: datetime) -> str:
    return (
        f"Since {since:%Y-%m-%d %H:%M} UTC, the label AWSPENDING is on a version of its own. As long as it is there,"
        " Secrets Manager refuses to begin another rotation (RotateSecret)."
    )


def _read_log(secret: ListedSecret) -> str:
    name = arn.parse(arn.split_qualifier(secret.function_id)[0]).resource.removeprefix("function:")
    return (
        "Read the log of the rotation function for the error of the last attempt, by default in the log group"
        f" /aws/lambda/{name}."
    )


def _repair(secret: ListedSecret, *, is_pending: bool) -> tuple[str, tuple[str, ...]]:
    """Return how to get a rotation to work again, and its commands."""
    begin = f"{_read_log(secret)} Correct the errors of this secret, its function and its role."
    rotate = rotating(secret.arn)
    if not is_pending:
        return f"{begin} Then rotate it ({rotate}).", (rotate,)
    update = partial(aws, "secretsmanager update-secret-version-stage", secret.arn, secret_id=secret.arn)
    finish = update(version_stage="AWSCURRENT", move_to_version_id="PENDING", remove_from_version_id="CURRENT")
    remove = update(version_stage="AWSPENDING", remove_from_version_id="PENDING")
    show = aws("secretsmanager list-secret-version-ids", secret.arn, secret_id=secret.arn)
    text = (
        f"{begin} Find out whether the database already has the password of the version AWSPENDING: do not change a"
        f" label before you know. If it has, make this version AWSCURRENT ({finish}). If it has not, remove the label"
        f" ({remove}), then rotate it ({rotate}). PENDING and CURRENT are the IDs of versions ({show})."
    )
    return text, (finish, remove, rotate, show)


def invoke_not_allowed(secret: ListedSecret, sids: Collection[str]) -> Words:
    """Return the words for a function that Secrets Manager may not invoke. `sids`: those that its policy has."""
    name, qualifier = arn.split_qualifier(secret.function_id)
    add = aws(
        "lambda add-permission",
        name,
        function_name=name,
        **({"qualifier": qualifier} if qualifier and not qualifier.startswith("$LATEST") else {}),
        statement_id=_free_sid(secret, sids),
        action="lambda:InvokeFunction",
        principal="secretsmanager.amazonaws.com",
        source_arn=secret.arn,
    )
    return Words(
        f"Secrets Manager may not invoke the function {secret.function_id} for the secret {secret.arn}.",
        f"Add an AWS::Lambda::Permission to the template of the function, or add the permission by a command ({add}).",
        (add,),
    )


def _free_sid(secret: ListedSecret, sids: Collection[str]) -> str:
    """Return a `Sid` for a statement about a secret that the policy does not have yet."""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", arn.parse(secret.arn).resource.removeprefix("secret:"))
    first = f"SecretsManager-{name[-_SID_CHARACTERS:]}"
    others = (f"{first}-{number}" for number in count(2))
    return next(sid for sid in chain([first], others) if sid not in sids)
