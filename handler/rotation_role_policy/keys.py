"""The KMS key of a secret: which key it is, and whether the customer manages it.

Source: docs/policy.md, "Which KMS key".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, ErrorCode, RequestError, quoted

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

logger = logging.getLogger(__name__)


class Keys:
    """Resolves the keys of secrets, with one DescribeKey call for each key that can be customer managed."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._resolved: dict[str, str | None] = {}

    def customer_managed_key_arn(self, property_name: str, secret: DescribeSecretResponseTypeDef) -> str | None:
        """Return the full ARN of a secret's customer managed key; None if the secret uses the AWS managed key.

        Args:
            property_name: the property that names the secret, for error messages.
            secret: response of DescribeSecret.

        Raises:
            RequestError: the key does not exist or cannot be used.
        """
        key_id = secret.get("KmsKeyId")
        if not key_id or arn.AWS_MANAGED_KEY.fullmatch(key_id):
            return None
        key_arn = key_id if key_id.startswith("arn:") else _arn_in_account_of(secret["ARN"], key_id)
        if key_arn not in self._resolved:
            subject = f"{property_name} {quoted(secret['Name'])}"
            self._resolved[key_arn] = self._describe(subject, key_id, key_arn)
        return self._resolved[key_arn]

    def _describe(self, subject: str, key_id: str, key_arn: str) -> str | None:
        try:
            key = self._aws.call(self._aws.kms.describe_key, KeyId=key_arn)["KeyMetadata"]
        except AccessDeniedError as error:
            if not arn.KEY.fullmatch(key_id):
                raise
            # As for a key of another account, whose key policy need not allow DescribeKey. The ARN is all that is
            # needed.
            logger.warning("key not inspected: kms:DescribeKey is denied", extra={"key": key_id, "aws": error.message})
            return key_id
        except AwsApiError as error:
            if error.code == "NotFoundException":
                raise RequestError(
                    f"{subject}: the secret's KMS key {quoted(key_id)} does not exist. Encrypt the secret with an"
                    f" existing key (aws secretsmanager update-secret --kms-key-id).",
                    ErrorCode.NOT_FOUND,
                ) from error
            raise
        logger.info(
            "key inspected", extra={"key": key["Arn"], "manager": key["KeyManager"], "key_state": key["KeyState"]}
        )
        if key["KeyState"] != "Enabled":
            raise RequestError(
                f"{subject}: the secret's KMS key {quoted(key['Arn'])} is {key['KeyState']}, not Enabled. Enable the"
                f" key, or encrypt the secret with another key.",
                ErrorCode.RESOURCE_CONFLICT,
            )
        return None if key["KeyManager"] == "AWS" else key["Arn"]


def _arn_in_account_of(secret_arn: str, key_id: str) -> str:
    """Return the ARN of a key ID or alias name. The key is in the secret's account, which can be another account."""
    owner = arn.parse(secret_arn)
    resource = key_id if key_id.startswith("alias/") else f"key/{key_id}"
    return f"arn:{owner.partition}:kms:{owner.region}:{owner.account}:{resource}"
