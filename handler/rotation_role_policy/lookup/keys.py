"""The KMS keys of a secret: the secret's own key, and earlier keys that still encrypt versions in use.

Source: docs/policy.md, "Which KMS key".
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, ErrorCode, RequestError, quoted

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import (
        DescribeSecretResponseTypeDef,
        SecretListEntryTypeDef,
        SecretVersionsListEntryTypeDef,
    )

    Description = DescribeSecretResponseTypeDef | SecretListEntryTypeDef

logger = logging.getLogger(__name__)

_USABLE_STATES = ("Enabled", "Updating")
"""https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html"""


class _Key(NamedTuple):
    """A KMS key that encrypts a secret, from DescribeKey."""

    arn: str
    """Full ARN. If the key does not exist, the ID by which it was looked up."""
    is_customer_managed: bool = True
    state: str = "Enabled"
    """KeyState of DescribeKey; empty if the key does not exist."""

    @property
    def is_usable(self) -> bool:
        """Whether the key can encrypt and decrypt."""
        return self.state in _USABLE_STATES


class Keys:
    """Resolves the keys of secrets, with one DescribeKey call for each key that can be customer managed.

    Several threads can use the same object.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._resolved: dict[str, _Key] = {}
        self._locks: dict[str, Lock] = {}
        self.unreadable_previous: dict[str, str] = {}
        """The ID of the key that cannot decrypt AWSPREVIOUS, keyed by the ARN of the secret."""
        self.not_described: dict[str, AccessDeniedError] = {}
        """Why a key is taken for usable without DescribeKey, keyed by its ARN."""

    def customer_managed_key_arn(self, property_name: str, secret: Description) -> str | None:
        """Return the full ARN of a secret's customer managed key; None if the secret uses the AWS managed key.

        Args:
            property_name: the property that names the secret, for error messages.
            secret: response of DescribeSecret, or its member in a response of ListSecrets.

        Raises:
            RequestError: the key does not exist or cannot be used.
        """
        key_id = _key_id(secret)
        if arn.AWS_MANAGED_KEY.fullmatch(key_id):
            return None
        key = self._resolve(secret["ARN"], key_id)
        subject = f"{property_name} {quoted(secret['Name'])}"
        if not key.state:
            raise RequestError(
                f"{subject}: the secret's KMS key {quoted(key_id)} does not exist. Encrypt the secret with an existing"
                f" key (aws secretsmanager update-secret --kms-key-id).",
                ErrorCode.NOT_FOUND,
            )
        if not key.is_usable:
            raise RequestError(
                f"{subject}: the secret's KMS key {quoted(key.arn)} is {key.state}, not Enabled. Enable the key, or"
                f" encrypt the secret with another key.",
                ErrorCode.RESOURCE_CONFLICT,
            )
        return key.arn if key.is_customer_managed else None

    def earlier_key_arns(self, property_name: str, secret: Description, labels: Collection[str]) -> tuple[str, ...]:
        """Return the full ARNs of the customer managed keys that versions need besides the secret's own key.

        A change of the secret's key leaves versions under the earlier key if the caller may not use both keys.

        Args:
            property_name: the property that names the secret, for error messages.
            secret: response of DescribeSecret, or its member in a response of ListSecrets.
            labels: the staging labels of the versions that the rotation function reads.

        Raises:
            RequestError: an earlier key does not exist or cannot be used. If only the version AWSPREVIOUS needs the
                key, the key is left out instead, with a warning. Functions for alternating users do not read it.
        """
        pages = self._aws.paginate(self._aws.secretsmanager.list_secret_version_ids, SecretId=secret["ARN"])
        key_arns: dict[str, None] = {}
        for version in (version for page in pages for version in page.get("Versions", ())):
            labels_in_use = [label for label in version.get("VersionStages", ()) if label in labels]
            if labels_in_use:
                key_arns |= dict.fromkeys(self._keys_of_version(property_name, secret, version, labels_in_use))
        return tuple(key_arns)

    def _keys_of_version(
        self,
        property_name: str,
        secret: Description,
        version: SecretVersionsListEntryTypeDef,
        labels: list[str],
    ) -> list[str]:
        """Return the keys that decrypt a version, if neither the secret's own key nor an AWS managed key does.

        A version that Secrets Manager has re-encrypted has several keys, and each of them can decrypt it.
        """
        key_ids = version.get("KmsKeyIds", [])
        if any(key_id == _key_id(secret) or arn.AWS_MANAGED_KEY.fullmatch(key_id) for key_id in key_ids):
            return []
        is_dispensable = labels == ["AWSPREVIOUS"]
        keys: list[_Key] = []
        denied: AccessDeniedError | None = None
        for key_id in key_ids:
            try:
                keys.append(self._resolve(secret["ARN"], key_id))
            except AccessDeniedError as error:
                denied = error
        own_key_arn = self.customer_managed_key_arn(property_name, secret)
        if any(key.arn == own_key_arn or not key.is_customer_managed for key in keys):
            return []
        usable = [key.arn for key in keys if key.is_usable]
        if usable or not key_ids:
            return usable
        if denied and not is_dispensable:
            raise denied
        problem = "cannot be described"
        if keys:
            problem = f"is {keys[0].state}, not Enabled" if keys[0].state else "does not exist"
        if is_dispensable:
            self.unreadable_previous[secret["ARN"]] = keys[0].arn if keys else key_ids[0]
            logger.warning(
                "AWSPREVIOUS cannot be decrypted, so AWS's single-user rotation functions fail. Remove this label (aws"
                " secretsmanager update-secret-version-stage), or restore the key",
                extra={"key": self.unreadable_previous[secret["ARN"]], "problem": f"the key {problem}"},
            )
            return []
        raise RequestError(
            f"{property_name} {quoted(secret['Name'])}: the version with the label {' and '.join(labels)} is encrypted"
            f" with the KMS key {quoted(keys[0].arn)}, which {problem}. Restore the key, or store the secret's value"
            f" again (aws secretsmanager put-secret-value --version-stages {' '.join(labels)}).",
            ErrorCode.RESOURCE_CONFLICT,
        )

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
            logger.warning("key not inspected: kms:DescribeKey is denied", extra={"key": key_id, "aws": error.message})
            self.not_described[key_id] = error
            return _Key(key_id)
        except AwsApiError as error:
            if error.code == "NotFoundException":
                return _Key(key_id, state="")
            raise
        logger.info(
            "key inspected", extra={"key": key["Arn"], "manager": key["KeyManager"], "key_state": key["KeyState"]}
        )
        return _Key(key["Arn"], key["KeyManager"] != "AWS", key["KeyState"])


def _key_id(secret: Description) -> str:
    """Return the ID of a secret's key, in the form of ListSecretVersionIds for the AWS managed key."""
    return secret.get("KmsKeyId") or "DefaultEncryptionKey"


def _arn_in_account_of(secret_arn: str, key_id: str) -> str:
    """Return the ARN of a key ID or alias name. The key is in the secret's account, which can be another account."""
    owner = arn.parse(secret_arn)
    resource = key_id if key_id.startswith("alias/") else f"key/{key_id}"
    return f"arn:{owner.partition}:kms:{owner.region}:{owner.account}:{resource}"
