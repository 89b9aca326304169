"""The types of findings as one table.

The JSON Schema of the report and the documentation (docs/audit.md) are derived from the table `FindingType`. A new
finding needs a row here, its words in `messages/`, and a check in `checks/` that yields it. A new file in `checks/` is
called by `role.audit_role`, and a new fact is collected by `collect`. What a policy grants too much is found by
`rules.excess`, for the preview too: there a new kind needs a member of `ExcessKind`, and here a row in
`checks.excess.FINDING_TYPES`.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum


class Severity(StrEnum):
    """How urgent a finding is. The order of the members is the order of a report, worst first."""

    ERROR = "error"
    """Certain: the next rotation fails, or a rotation that was due has not happened."""
    WARNING = "warning"
    """A rotation probably fails, the role can do more than it needs, or something could not be inspected."""
    NOTE = "note"


class FindingType(Enum):
    """The table of findings (docs/audit.md). Its order is the order of a report, worst first."""

    ACCOUNT_FAILED = (
        "AccountFailed",
        Severity.ERROR,
        "An account could not be audited",
        "The role of an account (`--role-arn`, `--role-name`) could not be assumed, or AWS refused the first call. The"
        " audit is then incomplete.",
        "Create the role in this account (examples/audit_role.yaml), or let its trust policy allow your identity.",
    )
    ACTION_NOT_GRANTED = (
        "ActionNotGranted",
        Severity.ERROR,
        "The role lacks an action",
        "No policy of the role allows an action that the rotation needs, and neither does the secret's resource policy,"
        " the key's policy or a grant on the key.",
        "Put a `Custom::RotationRolePolicy` on the role (`--adopt`), or allow the action.",
    )
    ACTION_BLOCKED = (
        "ActionBlocked",
        Severity.ERROR,
        "An action is blocked",
        "An explicit deny in a policy of the role, of the secret or of the key, the role's permissions boundary, or a"
        " key's policy that neither allows the role nor delegates to IAM policies certainly blocks an action that the"
        " rotation needs. The last only if no grant on the key allows it.",
        "Narrow the deny, or allow the action in the permissions boundary or in the key's policy.",
    )
    KEY_UNUSABLE = (
        "KeyUnusable",
        Severity.ERROR,
        "A key cannot be used",
        "The KMS key of the secret, of the superuser secret that a resource names, or of the function's environment"
        " variables does not exist or is disabled, or `AWSCURRENT` or `AWSPENDING` is encrypted only with an earlier"
        " key that does not exist or is disabled.",
        "Enable or restore the key, or store the secret's value again under another key.",
    )
    SUPERUSER_MISSING = (
        "SuperuserMissing",
        Severity.ERROR,
        "The superuser secret does not exist",
        "The superuser secret that the policy of the `Custom::RotationRolePolicy` names does not exist, or is"
        " scheduled for deletion.",
        "Restore the secret, or change `SuperuserSecretId`.",
    )
    FUNCTION_MISSING = (
        "FunctionMissing",
        Severity.ERROR,
        "The rotation function does not exist",
        "The rotation function that the secret names, or this version or alias of it, does not exist.",
        "Configure the rotation with an existing function (`aws secretsmanager rotate-secret --rotation-lambda-arn`).",
    )
    FUNCTION_NOT_ACTIVE = (
        "FunctionNotActive",
        Severity.ERROR,
        "The rotation function is not active",
        "Lambda reports that it cannot invoke the function, and why (`State`, `StateReasonCode`). For the same cause,"
        " there is no other finding.",
        "Correct the cause. The message says how for each of Lambda's codes.",
    )
    INVOKE_NOT_ALLOWED = (
        "InvokeNotAllowed",
        Severity.ERROR,
        "Secrets Manager may not invoke the function",
        "The resource-based policy of the function, or of the version or alias that the secret names, does not let"
        " `secretsmanager.amazonaws.com` invoke it for this secret.",
        "Add an `AWS::Lambda::Permission` with the secret as `SourceArn` (`aws lambda add-permission`).",
    )
    ROLE_NOT_ASSUMABLE = (
        "RoleNotAssumable",
        Severity.ERROR,
        "Lambda cannot assume the role",
        "The execution role does not exist, or its trust policy does not let `lambda.amazonaws.com` assume it.",
        "Create the role, or allow `sts:AssumeRole` to `lambda.amazonaws.com` in its trust policy.",
    )
    ROTATION_OVERDUE = (
        "RotationOverdue",
        Severity.ERROR,
        "The rotation is overdue",
        "`NextRotationDate` passed more than two hours ago, so that no rotation that began in time still runs. Without"
        " this date: the last rotation is longer ago than `AutomaticallyAfterDays` and one more day. The message says"
        " if the label `AWSPENDING` is on a version of its own.",
        "Read the log of the rotation function. Correct the other findings of this secret, then rotate it"
        " (`aws secretsmanager rotate-secret`).",
    )
    ROTATION_UNFINISHED = (
        "RotationUnfinished",
        Severity.WARNING,
        "A rotation has not finished",
        "For more than a day, the label `AWSPENDING` is on a version of its own. Secrets Manager then refuses to begin"
        " another rotation.",
        "Read the log of the rotation function, and correct the error. Find out whether the database has the new"
        " password, then move or remove a label as the message says.",
    )
    ROTATION_LATE = (
        "RotationLate",
        Severity.WARNING,
        "A rotation was missed",
        "The last rotation that succeeded is more than two intervals ago, and so is the last change of the secret,"
        " although the next date is in the future. The date moves also when somebody saves the schedule or stores a"
        " value. For a cron expression, the interval is the `AutomaticallyAfterDays` that Secrets Manager calculates"
        " after each rotation, so it is not known after a change.",
        "Read the log of the rotation function, then rotate the secret.",
    )
    NETWORK_INTERFACES_NOT_GRANTED = (
        "NetworkInterfacesNotGranted",
        Severity.WARNING,
        "Lambda may not create network interfaces again",
        "The function is in a VPC, and its role may not manage network interfaces, or that is blocked. The interfaces"
        " that exist keep working. Lambda needs the actions when it creates one again: the subnets or security groups"
        " change, the function was idle for weeks, or Lambda replaces an interface.",
        "Put a `Custom::RotationRolePolicy` on the role (`--adopt`), or allow the actions.",
    )
    RANDOM_PASSWORD_NOT_GRANTED = (
        "RandomPasswordNotGranted",
        Severity.WARNING,
        "The role may not call GetRandomPassword",
        "No policy of the role allows `secretsmanager:GetRandomPassword`, or it is blocked. AWS's functions call it. A"
        " custom function need not.",
        "If the code of the function calls GetRandomPassword, allow it.",
    )
    ROLE_RECREATED = (
        "RoleRecreated",
        Severity.WARNING,
        "The role is younger than its function",
        "The role was created after the function's last change, so Lambda's grant on the key of the function's"
        " environment variables was for a former role with this name. No policy allows `kms:Decrypt` on the key.",
        "Put a `Custom::RotationRolePolicy` on the role (`--adopt`), allow `kms:Decrypt`, or update the function.",
    )
    ENVIRONMENT_KEY_NOT_GRANTED = (
        "EnvironmentKeyNotGranted",
        Severity.WARNING,
        "Lambda may not decrypt the environment variables",
        "Neither a policy nor a grant allows the role `kms:Decrypt` on the customer managed key of the function's"
        " environment variables. Only of a function that has variables.",
        "Put a `Custom::RotationRolePolicy` on the role (`--adopt`), allow `kms:Decrypt`, or update the function.",
    )
    REPLICATION_FAILED = (
        "ReplicationFailed",
        Severity.WARNING,
        "The secret could not be replicated",
        "Secrets Manager reports that it could not replicate the secret to a region or an account. The replica keeps"
        " its old value after a rotation.",
        "Read the reason (`aws secretsmanager describe-secret --query ReplicationStatus`), and correct it.",
    )
    OTHER_SECRETS = (
        "OtherSecrets",
        Severity.WARNING,
        "The role can use other secrets",
        "A policy allows the role to read, change or share secrets by a wildcard, which does not only match secrets of"
        " its functions. Actions by which a role gives itself access, such as `PutResourcePolicy` and `RotateSecret`,"
        " count too. A condition on the secret (its tags, or `secretsmanager:resource/AllowRotationLambdaArn`), in an"
        " Allow or a Deny, is a limit if it excludes other secrets, if a secret of the role satisfies it, and if the"
        " role may not give other secrets such a tag.",
        "Adopt the rotation, with the superuser secret if the function reads one. Remove the grant, with a copy of the"
        " policy. Rotate at once while somebody watches, and put the grant back if that fails.",
    )
    KMS_ALL_KEYS = (
        "KmsAllKeys",
        Severity.WARNING,
        "The role can use other keys",
        "A policy allows to use, change or share keys by a wildcard, such as `*` or `key/*`, and no condition limits it"
        " to the encryption context of secrets, or by `kms:ViaService` to another service.",
        "Adopt the rotation. Remove the grant, with a copy of the policy. Rotate at once while somebody watches, and"
        " put the grant back if that fails.",
    )
    KMS_WITHOUT_CONTEXT = (
        "KmsWithoutEncryptionContext",
        Severity.WARNING,
        "The role can decrypt more than its secrets",
        "A policy allows the use of a secret's key without a condition on `kms:EncryptionContext:SecretARN`. The role"
        " can decrypt everything under this key.",
        "Adopt the rotation. Remove the grant, with a copy of the policy. Rotate at once while somebody watches, and"
        " put the grant back if that fails.",
    )
    NETWORK_INTERFACES_OPEN = (
        "NetworkInterfacesOpenToCode",
        Severity.WARNING,
        "Function code can manage network interfaces",
        "The role of a function in a VPC may create or delete network interfaces, and nothing denies it to the"
        " function's code.",
        "Adopt the rotation: the Deny of the profile `Strict` leaves these actions to Lambda alone. The grant can"
        " stay.",
    )
    UNNEEDED_GRANT = (
        "UnneededGrant",
        Severity.WARNING,
        "A grant is not needed",
        "A policy names a secret or a key that no function of the role needs, or more secrets than one can be the"
        " superuser secret, or names such a secret in a condition on `kms:EncryptionContext:SecretARN`. It allows to"
        " manage or share a secret or a key that the function only uses, also by a wildcard of which a boundary, a deny"
        " or a condition leaves no more. Or it allows network interfaces although no function of the role is in a VPC.",
        "Replace a grant that the rotation lives from. Remove another one if the function's code does not use it: set"
        " `SuperuserSecretId` first, if the function reads the secret as the superuser, or add it to `SecretIds`, if"
        " the function rotates it with another one.",
    )
    POLICY_WIDENED = (
        "PolicyWidened",
        Severity.WARNING,
        "The policy of a resource was edited",
        "The policy that a `Custom::RotationRolePolicy` has put on the role grants more than the resource does: other"
        " actions, other secrets, or a key without the conditions that limit it to the secrets. Or it has the profile"
        " `Documented`.",
        "Put what the function needs into the properties, then send an Update: change `Triggers` of the resource, and"
        " deploy its stack. In place of `Documented`, use `Strict`.",
    )
    INCOMPLETE_ARN = (
        "IncompleteArn",
        Severity.WARNING,
        "The ARN of a secret is incomplete",
        "A policy of the role names a secret without the hyphen and the six random characters with which its ARN ends,"
        " so the grant has no effect.",
        "Append `-??????`, which stands for these characters, or use the secret's whole ARN.",
    )
    INVOKE_WITHOUT_SOURCE = (
        "InvokeWithoutSource",
        Severity.WARNING,
        "Secrets of other accounts can invoke the function",
        "The function's policy lets `secretsmanager.amazonaws.com` invoke it, and no condition on `aws:SourceArn` or"
        " `aws:SourceAccount` excludes the secrets of other accounts. A pattern of names that leaves the account open"
        " does not, because a name is free in every account.",
        "Replace the permission by one with the account as `SourceAccount`, or one for each secret as `SourceArn`.",
    )
    SHARED_ROLE = (
        "SharedRole",
        Severity.WARNING,
        "Several functions share the role",
        "Other functions than the rotation function have the same execution role, so they can use its secrets too.",
        "Give each function a role of its own.",
    )
    PREVIOUS_VERSION_UNREADABLE = (
        "PreviousVersionUnreadable",
        Severity.WARNING,
        "AWSPREVIOUS cannot be decrypted",
        "`AWSPREVIOUS` is encrypted only with a key that cannot be used. AWS's single-user rotation functions read this"
        " version and fail; functions for alternating users do not.",
        "Restore the key, or remove the label (`aws secretsmanager update-secret-version-stage`).",
    )
    NOT_INSPECTED = (
        "NotInspected",
        Severity.WARNING,
        "Something could not be inspected",
        "AWS denied or failed a call of the audit, or returned something that the audit cannot read. The audit is then"
        " incomplete.",
        "Give yourself the permission that the message names, or run the audit again. Report an internal error to the"
        " maintainers.",
    )
    FUNCTION_IDLE = (
        "FunctionIdle",
        Severity.NOTE,
        "The function is idle",
        "Lambda made the function `Inactive`, because nobody invoked it for weeks. The next invocation fails and wakes"
        " it, and Secrets Manager repeats an attempt that fails. That is normal for a rotation once a month.",
        "Nothing, or invoke the function before the rotation.",
    )
    ROTATION_DISABLED = (
        "RotationDisabled",
        Severity.NOTE,
        "The rotation is turned off",
        "The secret has a rotation function, but its rotation is turned off. The audit then reports only what is too"
        " much.",
        "Turn the rotation on (`aws secretsmanager rotate-secret`), and run the audit again.",
    )
    FUNCTION_IN_OTHER_ACCOUNT = (
        "FunctionInOtherAccount",
        Severity.NOTE,
        "The function belongs to another account",
        "The rotation function of a secret belongs to another account. The audit looks at the secret, its keys and its"
        " schedule, but not at the function and its role.",
        "Audit that account too. If you do not know it, give the secret another function.",
    )
    POLICY_DRIFT = (
        "PolicyDrift",
        Severity.NOTE,
        "The policy is outdated",
        "The policy that a `Custom::RotationRolePolicy` has put on the role would be written differently today, but"
        " grants nothing that the resource never grants. The finding has the difference.",
        "Send an Update: change `Triggers` of the resource, and deploy its stack.",
    )
    REDUNDANT_GRANT = (
        "RedundantGrant",
        Severity.NOTE,
        "A grant is repeated",
        "A statement of another policy grants nothing beyond the policy that a `Custom::RotationRolePolicy` has put on"
        " the role.",
        "Remove the statement, with a copy of the policy. Then rotate the secret while somebody watches.",
    )
    ACCEPTED_UNUSED = (
        "AcceptedUnused",
        Severity.NOTE,
        "An acceptance is not used",
        "An entry of the file of accepted findings (`--accept`) has expired, or matches no finding.",
        "Remove the entry, or give it another date.",
    )
    NO_POLICY = (
        "NoPolicy",
        Severity.NOTE,
        "No Custom::RotationRolePolicy",
        "No policy of a `Custom::RotationRolePolicy` on the role covers the secret. Whether the function reads a"
        " superuser secret or calls targets is then taken from the role's other policies. The message says what is"
        " assumed, and what the role would lack for it.",
        "Adopt the rotation (`--adopt`).",
    )
    ACCESS_UNDECIDED = (
        "AccessUndecided",
        Severity.NOTE,
        "The access check could not decide",
        "A deny, a permissions boundary or a condition leaves open whether an action is allowed, and IAM's policy"
        " simulator could not decide it, or it is in the policy of a secret or key. One finding for each role and"
        " context key.",
        "Rotate the secret when somebody watches, or read the policy that the message names.",
    )

    def __init__(self, code: str, severity: Severity, title: str, description: str, remediation: str) -> None:
        self.code = code
        """Stable: a new version never gives a code another meaning."""
        self.severity = severity
        self.title = title
        """What is wrong, in a few words."""
        self.description = description
        """Markdown, for the documentation: when the audit reports this."""
        self.remediation = remediation
        """Markdown, for the documentation: what to do."""
        self.rank = len(type(self).__members__)
        """The place in the table, from 0."""

    @property
    def risk(self) -> str:
        """What somebody could do who can run code in the function, or change its role; empty if nothing."""
        return _RISKS.get(self, "")


_RISKS = {
    FindingType.OTHER_SECRETS: "Who can run code in the function, for example by one of its dependencies, reads or"
    " changes the passwords of other systems.",
    FindingType.KMS_ALL_KEYS: "Who can run code in the function decrypts what other systems have encrypted with these"
    " keys, wherever it comes from.",
    FindingType.KMS_WITHOUT_CONTEXT: "Who can run code in the function decrypts everything under this key, and not only"
    " secrets.",
    FindingType.NETWORK_INTERFACES_OPEN: "Who can run code in the function deletes detached interfaces of others, or"
    " creates some in any subnet of the account.",
    FindingType.UNNEEDED_GRANT: "Who can run code in the function uses this secret, key or right, though no rotation"
    " needs it.",
    FindingType.POLICY_WIDENED: "Somebody who may change the role has given the function more, past the review of the"
    " template.",
    FindingType.INVOKE_WITHOUT_SOURCE: "Somebody with an AWS account lets Secrets Manager invoke the function for a"
    " secret of his own.",
    FindingType.SHARED_ROLE: "Who can run code in one of the functions uses the secrets of the others.",
}


@dataclass(frozen=True, slots=True)
class UnknownType:
    """The type of a finding in a report that a newer version has written."""

    code: str
    severity: Severity

    @property
    def title(self) -> str:
        """What is wrong, as far as this version knows."""
        return self.code

    @property
    def risk(self) -> str:
        """What an attacker could do is not known."""
        return ""

    @property
    def rank(self) -> int:
        """The place after the types of the table with this severity."""
        return max(each.rank for each in FindingType if each.severity is self.severity)
