"""The actions that use, manage or share secrets and keys, and those on network interfaces: what counts as excess."""

SECRET_MANAGEMENT = ("secretsmanager:DeleteSecret",)
"""No rotation needs this action. A pattern that matches it grants the management of the secret."""
SECRET_SHARING = (
    "secretsmanager:PutResourcePolicy",
    "secretsmanager:DeleteResourcePolicy",
    "secretsmanager:RotateSecret",
    "secretsmanager:ReplicateSecretToRegions",
)
"""The actions by which a function gives itself or others access to a secret: by its resource policy, which can also be
what denies the access, by another rotation function, and by a replica under another key."""
SECRET_ACTIONS = (
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    "secretsmanager:UpdateSecret",
    *SECRET_MANAGEMENT,
    *SECRET_SHARING,
)
"""The actions that read or change a secret, or lead to that."""
KEY_USE = (
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:Encrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
SUPERUSER_WRITE = (
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    "secretsmanager:UpdateSecret",
)
"""Actions on a superuser secret that no rotation needs: it is only read."""
KEY_MANAGEMENT = ("kms:ScheduleKeyDeletion",)
KEY_SHARING = ("kms:PutKeyPolicy", "kms:CreateGrant", "kms:ReplicateKey")
"""The actions by which a function gives itself or others the use of a key. A replica gets a key policy of its own."""
KEY_ACTIONS = (*KEY_USE, *KEY_MANAGEMENT, *KEY_SHARING)
INTERFACE_ACTIONS = ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface")
