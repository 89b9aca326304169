"""Which key a secret is under, and whether the customer manages it (README, "The policy")."""

import logging
from typing import Any

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import CallFailed, Kind, ProviderDenied, Refused, quoted
from rotation_role_policy.log import facts

logger = logging.getLogger(__name__)


class Keys:
    """The customer managed keys of secrets, with one DescribeKey for each key that can be one."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._known: dict[str, str | None] = {}

    def customer_managed(self, label: str, secret: dict[str, Any]) -> str | None:
        """The full ARN of the secret's customer managed key; None where it is under the AWS managed key."""
        key_id = secret.get("KmsKeyId")
        if not key_id or arn.AWS_MANAGED_KEY.fullmatch(key_id):
            return None
        full = key_id if key_id.startswith("arn:") else _in_account_of(secret["ARN"], key_id)
        if full not in self._known:
            self._known[full] = self._describe(f"{label} {quoted(secret['Name'])}", key_id, full)
        return self._known[full]

    def _describe(self, subject: str, key_id: str, full: str) -> str | None:
        try:
            key = self._aws.call("kms", "DescribeKey", KeyId=full)["KeyMetadata"]
        except ProviderDenied as denied:
            if not arn.KEY.fullmatch(key_id):
                raise
            # A key of another account: its policy need not let us look at it, and its ARN is all that is needed.
            logger.warning(
                "key not inspected: kms:DescribeKey is denied",
                extra=facts(key=key_id, aws=denied.message),
            )
            return key_id
        except CallFailed as failure:
            if failure.code == "NotFoundException":
                raise Refused(
                    f"{subject}: its KMS key {quoted(key_id)} does not exist. Put the secret under a key that does"
                    f" (aws secretsmanager update-secret --kms-key-id).",
                    Kind.KEY,
                ) from failure
            raise
        logger.info("key", extra=facts(key=key["Arn"], manager=key["KeyManager"], state=key["KeyState"]))
        if key["KeyState"] != "Enabled":
            raise Refused(
                f"{subject}: its KMS key {quoted(key['Arn'])} is {key['KeyState']}, not Enabled. Enable the key, or put"
                f" the secret under another.",
                Kind.KEY,
            )
        return None if key["KeyManager"] == "AWS" else str(key["Arn"])


def _in_account_of(secret_arn: str, key_id: str) -> str:
    """The ARN of a bare key id or alias: of a key of the secret's own account, which need not be the provider's."""
    owner = arn.parse(secret_arn)
    resource = key_id if key_id.startswith("alias/") else f"key/{key_id}"
    return f"arn:{owner.partition}:kms:{owner.region}:{owner.account}:{resource}"
