"""The KMS keys of a secret: the secret's own key, and earlier keys that still encrypt versions in use.

Source: docs/policy.md, "Which KMS key".
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, CallError, ErrorCode, RequestError, quoted
from rotation_role_policy.rules.state import NO_KEY, EnvironmentKey, KeyProblem

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import (
        DescribeSecretResponseTypeDef,
        SecretListEntryTypeDef,
        SecretVersionsListEntryTypeDef,
    )

    Description = DescribeSecretResponseTypeDef | SecretListEntryTypeDef

_ENVIRONMENT_SECONDS = 10
"""Time limit for the look-up of the key of the environment variables."""
_USABLE_STATES = ("Enabled", "Updating")
"""https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html"""


class KeyUnusableError(RequestError):
    """The secret's key, or the only key of a version in use, cannot be used.

    Args:
        reason: the text, as for `RequestError`.
        error_code: as for `RequestError`.
        secret_name: the name of the secret.
        problem: the key, and why it cannot be used.
        labels: the staging labels of the version; empty if it is the secret's own key.
    """

    def __init__(
        self, reason: str, error_code: ErrorCode, secret_name: str, problem: KeyProblem, labels: Collection[str] = ()
    ) -> None:
        self.secret_name = secret_name
        self.problem = problem
        self.labels = tuple(labels)
        super().__init__(reason, error_code)


def _remedy(problem: KeyProblem) -> str:
    """Return what makes a key usable again, by its state.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
    """
    return {
        "PendingDeletion": "Cancel its deletion and enable it",
        "PendingReplicaDeletion": "Cancel its deletion and enable it",
        "PendingImport": "Import the key material",
        "Unavailable": "Connect its key store",
        "Creating": "Wait until the key is created",
    }.get(problem.key_state, "Enable the key")


def _own_key_unusable(subject: str, secret_name: str, problem: KeyProblem) -> KeyUnusableError:
    key = quoted(problem.key_id)
    if not problem.key_state:
        return KeyUnusableError(
            f"{subject}: the secret's KMS key {key} does not exist. Encrypt the secret with an existing key (aws"
            f" secretsmanager update-secret --kms-key-id).",
            ErrorCode.NOT_FOUND,
            secret_name,
            problem,
        )
    return KeyUnusableError(
        f"{subject}: the secret's KMS key {key} is {problem.key_state}, not Enabled. {_remedy(problem)}, or encrypt the"
        f" secret with another key.",
        ErrorCode.RESOURCE_CONFLICT,
        secret_name,
        problem,
    )


def _version_unusable(subject: str, secret_name: str, problem: KeyProblem, labels: Collection[str]) -> KeyUnusableError:
    state = f"is {problem.key_state}, not Enabled" if problem.key_state else "does not exist"
    remedies = [_remedy(problem)] if problem.key_state else []
    if "AWSCURRENT" in labels:
        remedies.append("store the secret's value again (aws secretsmanager put-secret-value)")
    else:
        # A version that is stored as AWSPENDING would count as an unfinished rotation.
        remedies.append(
            "remove the label AWSPENDING (aws secretsmanager update-secret-version-stage --version-stage AWSPENDING"
            " --remove-from-version-id)"
        )
    remedy = ", or ".join(remedies)
    return KeyUnusableError(
        f"{subject}: the version with the label {' and '.join(labels)} is encrypted with the KMS key"
        f" {quoted(problem.key_id)}, which {state}. {remedy[0].upper()}{remedy[1:]}.",
        ErrorCode.RESOURCE_CONFLICT,
        secret_name,
        problem,
        labels,
    )


class SecretKeys(NamedTuple):
    """The customer managed keys of a secret, as in `state.Secret`."""

    key_arn: str | None
    earlier_key_arns: tuple[str, ...]
    previous_key_arns: tuple[str, ...]
    unreadable_previous: KeyProblem | None
    keys_not_described: tuple[KeyProblem, ...]
    pending_since: datetime | None


class _Key(NamedTuple):
    """A KMS key that encrypts a secret, from DescribeKey."""

    arn: str
    """Full ARN. If the key does not exist, the ID by which it was looked up."""
    is_customer_managed: bool = True
    state: str = "Enabled"
    """`KeyState` of DescribeKey; empty if the key does not exist."""
    denied: str = ""
    """AWS's message if it denied to describe the key."""

    @property
    def is_usable(self) -> bool:
        """Whether the key can encrypt and decrypt."""
        return self.state in _USABLE_STATES


class _VersionKeys(NamedTuple):
    """What a version needs besides the secret's own key. Nothing, by default."""

    usable: Collection[_Key] = ()
    problem: KeyProblem | None = None
    """Why no key can decrypt the version."""
    denied: AccessDeniedError | None = None
    """The error, if AWS denied to describe one of the keys."""


class Keys:
    """Resolves the keys of secrets, with one DescribeKey call for each key that can be customer managed.

    Several threads can use the same object.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._resolved: dict[str, _Key] = {}
        self._locks: dict[str, Lock] = {}

    def keys_of(self, property_name: str, secret: Description, labels: Collection[str]) -> SecretKeys:
        """Return the keys that a policy must allow, so that the rotation function can use a secret.

        A change of the secret's key leaves versions under the earlier key if the caller may not use both keys.

        Args:
            property_name: the property that names the secret, for error messages.
            secret: response of DescribeSecret, or its member in a response of ListSecrets.
            labels: the staging labels of the versions that the rotation function reads.

        Raises:
            KeyUnusableError: the secret's key, or an earlier key of a version in use, does not exist or cannot be used.
                If only the version AWSPREVIOUS needs an earlier key, the key is left out instead, and is
                `unreadable_previous`. Functions for alternating users do not read this version.
        """
        subject = f"{property_name} {quoted(secret['Name'])}"
        own_key = self._own_key(subject, secret)
        pages = self._aws.paginate(self._aws.secretsmanager.list_secret_version_ids, SecretId=secret["ARN"])
        earlier: dict[_Key, None] = {}
        needed_by_others: set[_Key] = set()
        unreadable: KeyProblem | None = None
        pending_since: datetime | None = None
        for version in (version for page in pages for version in page.get("Versions", ())):
            pending_since = pending_since or _pending_since(version)
            labels_in_use = [label for label in version.get("VersionStages", ()) if label in labels]
            if not labels_in_use:
                continue
            needed = self._keys_of_version(secret, own_key, version)
            earlier |= dict.fromkeys(needed.usable)
            needed_by_others.update(needed.usable if labels_in_use != ["AWSPREVIOUS"] else ())
            if needed.problem is None:
                continue
            if labels_in_use == ["AWSPREVIOUS"]:
                unreadable = needed.problem
            elif needed.denied:
                raise needed.denied
            else:
                raise _version_unusable(subject, secret["Name"], needed.problem, labels_in_use)
        used = [key for key in (own_key, *earlier) if key]
        return SecretKeys(
            own_key.arn if own_key and own_key.is_customer_managed else None,
            tuple(key.arn for key in earlier),
            tuple(key.arn for key in earlier if key not in needed_by_others),
            unreadable,
            tuple(KeyProblem(key.arn, denied=key.denied) for key in dict.fromkeys(used) if key.denied),
            pending_since,
        )

    def environment_key(self, key_id: str) -> EnvironmentKey:
        """Return the key of a function's environment variables. Whatever its look-up finds, no request fails.

        Args:
            key_id: full ARN of the key or of an alias; empty if there is none.
        """
        if not key_id:
            return NO_KEY
        key_arn = key_id if arn.KEY.fullmatch(key_id) else ""
        try:
            with self._aws.time_limit(_ENVIRONMENT_SECONDS):
                key = self._resolve(key_id, key_id)
        except CallError as error:
            return EnvironmentKey(key_arn, KeyProblem(key_id, denied=error.message or error.code))
        except RequestError as error:
            return EnvironmentKey(key_arn, KeyProblem(key_id, denied=str(error)))
        if not key.is_customer_managed:
            return NO_KEY
        if key.is_usable and not key.denied:
            return EnvironmentKey(key.arn)
        # An alias that does not exist leads to no key.
        found_arn = key.arn if arn.KEY.fullmatch(key.arn) else ""
        return EnvironmentKey(found_arn, KeyProblem(key.arn, "" if key.denied else key.state, key.denied))

    def _own_key(self, subject: str, secret: Description) -> _Key | None:
        """Return the secret's own key, which can be used; None if the ID shows that it is the AWS managed key."""
        key_id = _key_id(secret)
        if arn.AWS_MANAGED_KEY.fullmatch(key_id):
            return None
        key = self._resolve(secret["ARN"], key_id)
        if not key.is_usable:
            raise _own_key_unusable(subject, secret["Name"], KeyProblem(key.arn, key.state))
        return key

    def _keys_of_version(
        self, secret: Description, own_key: _Key | None, version: SecretVersionsListEntryTypeDef
    ) -> _VersionKeys:
        """Return the keys that decrypt a version, if neither the secret's own key nor an AWS managed key does.

        A version that Secrets Manager has re-encrypted has several keys, and each of them can decrypt it.
        """
        key_ids = version.get("KmsKeyIds", [])
        if not key_ids or any(key_id == _key_id(secret) or arn.AWS_MANAGED_KEY.fullmatch(key_id) for key_id in key_ids):
            return _VersionKeys()
        keys: list[_Key] = []
        denied: AccessDeniedError | None = None
        problem: KeyProblem | None = None
        for key_id in key_ids:
            try:
                keys.append(self._resolve(secret["ARN"], key_id))
            except AccessDeniedError as error:
                denied, problem = error, KeyProblem(key_id, denied=error.message or error.code)
        if any((own_key and key.arn == own_key.arn) or not key.is_customer_managed for key in keys):
            return _VersionKeys()
        if usable := [key for key in keys if key.is_usable]:
            return _VersionKeys(usable)
        return _VersionKeys((), problem or KeyProblem(keys[0].arn, keys[0].state), denied)

    def _resolve(self, secret_arn: str, key_id: str) -> _Key:
        """Look a key up by its ID, its ARN, or an alias. Raises `AccessDeniedError` unless the ID is the key's ARN."""
        key_arn = key_id if key_id.startswith("arn:") else _arn_in_account_of(secret_arn, key_id)
        with self._locks.setdefault(key_arn, Lock()):
            if key_arn not in self._resolved:
                key = self._describe(key_id, key_arn)
                self._resolved |= {key_arn: key, key.arn: key}
        return self._resolved[key_arn]

    def _describe(self, key_id: str, key_arn: str) -> _Key:
        try:
            key = self._aws.call(self._aws.kms.describe_key, KeyId=key_arn)["KeyMetadata"]
        except AccessDeniedError as error:
            if not arn.KEY.fullmatch(key_id):
                raise
            # As for a key of another account, whose key policy need not allow DescribeKey. The ARN is all that is
            # needed.
            return _Key(key_id, denied=error.message or error.code)
        except AwsApiError as error:
            if error.code == "NotFoundException":
                return _Key(key_id, state="")
            raise
        return _Key(key["Arn"], key["KeyManager"] != "AWS", key["KeyState"])


def _pending_since(version: SecretVersionsListEntryTypeDef) -> datetime | None:
    """Return when a version was created that a rotation has begun and not finished; None if it is another version."""
    labels = version.get("VersionStages", ())
    if "AWSPENDING" not in labels or "AWSCURRENT" in labels:
        return None
    created = version.get("CreatedDate")
    return created and created.astimezone(UTC)


def _key_id(secret: Description) -> str:
    """Return the ID of a secret's key, in the form of ListSecretVersionIds for the AWS managed key."""
    return secret.get("KmsKeyId") or "DefaultEncryptionKey"


def _arn_in_account_of(secret_arn: str, key_id: str) -> str:
    """Return the ARN of a key ID or alias name. The key is in the secret's account, which can be another account."""
    owner = arn.parse(secret_arn)
    resource = key_id if key_id.startswith("alias/") else f"key/{key_id}"
    return f"arn:{owner.partition}:kms:{owner.region}:{owner.account}:{resource}"
