"""The actions that use, manage or share secrets and keys, and those on network interfaces: what counts as excess."""

SECRET_MANAGEMENT = (
    "secretsmanager:DeleteSecret",
    "secretsmanager:RestoreSecret",
    "secretsmanager:UpdateSecret",
    "secretsmanager:CancelRotateSecret",
    "secretsmanager:RemoveRegionsFromReplication",
    "secretsmanager:StopReplicationToReplica",
)
"""The actions that delete a secret, change its settings or its key, or end its rotation or its replication. No rotation
needs them. A pattern that matches one of them grants the management of the secret."""
SECRET_TAGGING = ("secretsmanager:TagResource", "secretsmanager:UntagResource")
SECRET_SHARING = (
    "secretsmanager:PutResourcePolicy",
    "secretsmanager:DeleteResourcePolicy",
    "secretsmanager:RotateSecret",
    "secretsmanager:ReplicateSecretToRegions",
    *SECRET_TAGGING,
)
"""The actions by which a function gives itself or others access to a secret: by its resource policy, which can also be
what denies the access, by another rotation function, by a replica under another key, and by its tags, which policies
have conditions on."""
SECRET_ACTIONS = (
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    *SECRET_MANAGEMENT,
    *SECRET_SHARING,
)
"""The actions that read or change a secret, or lead to that."""
SUPERUSER_WRITE = (
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
)
"""Actions on a superuser secret that no rotation needs: it is only read."""
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
"""The uses of keys such as those of secrets. A call has an encryption context, which can be empty."""
OTHER_KEY_USE = ("kms:Sign", "kms:GenerateMac", "kms:DeriveSharedSecret")
"""The uses of other types of keys, without an encryption context. Not those that only verify something."""
ALIAS_ACTIONS = ("kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias")
"""The actions that need a grant on the alias too."""
KEY_MANAGEMENT = (
    "kms:ScheduleKeyDeletion",
    "kms:CancelKeyDeletion",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:DeleteImportedKeyMaterial",
    "kms:ImportKeyMaterial",
    "kms:EnableKeyRotation",
    "kms:DisableKeyRotation",
    "kms:RotateKeyOnDemand",
    "kms:UpdatePrimaryRegion",
    "kms:UpdateKeyDescription",
    *ALIAS_ACTIONS,
    "kms:RevokeGrant",
    "kms:RetireGrant",
)
"""The actions that delete a key, change it, or take its use from others."""
KEY_SHARING = ("kms:PutKeyPolicy", "kms:CreateGrant", "kms:ReplicateKey", "kms:TagResource", "kms:UntagResource")
"""The actions by which a function gives itself or others the use of a key. A replica gets a key policy of its own, and
policies have conditions on tags."""
KEY_ACTIONS = (*KEY_USE, *OTHER_KEY_USE, *KEY_MANAGEMENT, *KEY_SHARING)
"""The actions that use or change a key, or lead to that.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html"""
INTERFACE_ACTIONS = ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface")
