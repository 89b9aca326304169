"""The table of error messages: what each message in a stack's events means, and what to do (docs/errors.md).

A test checks that each message of the provider has a row, and that each row belongs to a message.
"""

from dataclasses import dataclass

from rotation_role_policy.errors import ErrorCode


@dataclass(frozen=True)
class Remediation:
    """One row of the table of error messages."""

    error_codes: tuple[ErrorCode, ...]
    messages: tuple[str, ...]
    """Parts of the messages, with ``...`` for values."""
    remediation: str
    """Markdown: what the message means if that is not obvious, and what to do."""


REMEDIATIONS = (
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        (
            "is not a property. Did you mean",
            "has the wrong form",
            "is not an allowed value",
            "is not a whole number",
            "is not a string",
            "is not a list",
            "is not an object",
            "is neither true nor false",
            "is empty",
            "is an empty list",
        ),
        "Correct the property in the template. The message contains the allowed values.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("Exactly one of ... is required", "... cannot be combined with ...", "... requires ..."),
        "Correct the combination of properties.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("has ... values, more than",),
        "A list has at most 100 values. A policy or a response with more would be too large. Distribute the values over"
        " several functions, with a role and a resource each.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("The resource type ... is not",),
        "The provider serves only the type `Custom::RotationRolePolicy`. CloudFormation cannot change the type of a"
        " resource: give the resource a new logical ID. In the CDK, also set `resourceType` (Python: `resource_type`)."
        " CloudFormation then creates a second policy on the role before it deletes the first, so both must fit the"
        " role.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("The stack ... is not in region",),
        "The stack is in another account or region than the provider. Deploy a provider in the stack's account and"
        " region, and use its ServiceToken.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("is in ..., but the provider serves",),
        "The provider serves only secrets, functions and roles of its own account and region. Correct the ARN, or move"
        " the resource to a stack with a provider there. The secret and its function must be in the same account. If"
        " the secret reports a function of another account, configure its rotation with another function.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("PolicyProfile Documented is not allowed",),
        "The profile grants `kms:Decrypt` without a condition. Use `Strict`, or let the administrator of the provider"
        " set the parameter `AllowDocumentedProfile` of its stack to `true`.",
    ),
    Remediation(
        (ErrorCode.NOT_FOUND,),
        ("the secret does not exist",),
        "Correct the ID of the secret. If the template creates the secret, use `!Ref` or `DependsOn`.",
    ),
    Remediation(
        (ErrorCode.RESOURCE_CONFLICT,),
        ("is scheduled for deletion",),
        "Restore the secret (`aws secretsmanager restore-secret`), or use another secret.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("manages this secret",),
        "The service that manages the secret rotates it without a function. Remove the resource. You can use the secret"
        " as `SuperuserSecretId`.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("is a managed external secret",),
        "Secrets Manager rotates the secret at the partner, without a function. Remove the resource.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("this secret is a replica",),
        "Secrets Manager copies the new password from the primary secret. Rotate the primary secret, with a resource in"
        " its region and account.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("the tag ... has the value ..., which is not the ARN of",),
        "RDS or Redshift sets this tag on the superuser secret, and you cannot change it. Use a superuser secret that"
        " contains the host of the database.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("reports no rotation function", "report different rotation functions"),
        "Give `RotationLambdaARN`.",
    ),
    Remediation(
        (ErrorCode.NOT_FOUND,),
        ("the function does not exist",),
        "Correct `RotationLambdaARN`. If the template creates the function after the policy, give `RoleName` and"
        " `VpcConfig` instead.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("is not in the provider's account",),
        "The secret, the function and the role must be in one account. Deploy the provider and the stack there.",
    ),
    Remediation(
        (ErrorCode.NOT_FOUND,),
        ("the role does not exist in this account", "The role ... does not exist in this account"),
        "Create the role first, or correct the name.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("is not the ARN of the role with this name", "..., which is .... Use this name"),
        "Use the role that the message contains, or omit `RoleName`.",
    ),
    Remediation(
        (ErrorCode.RESOURCE_CONFLICT,),
        ("but the policy of this resource is on the role", "that the secret ... reports, which has the role"),
        "The secret now names another rotation function, or the function has another role. The configuration of a"
        " rotation does not decide which role gets the policy. If you made this change, give `RotationLambdaARN`."
        " Otherwise somebody else has changed the rotation of the secret: correct it before the next rotation. See"
        " [below](#if-the-rotation-of-a-secret-is-redirected).",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("Lambda cannot assume this role",),
        "Allow `sts:AssumeRole` to `lambda.amazonaws.com` in the role's trust policy.",
    ),
    Remediation(
        (ErrorCode.INVALID_REQUEST,),
        ("is a service-linked role",),
        "Give the function a role of its own. Only AWS can change a service-linked role.",
    ),
    Remediation(
        (ErrorCode.NOT_FOUND,),
        ("the secret's KMS key ... does not exist",),
        "Encrypt the secret with an existing key (`aws secretsmanager update-secret --kms-key-id`).",
    ),
    Remediation(
        (ErrorCode.RESOURCE_CONFLICT,),
        ("the secret's KMS key ... is ..., not Enabled",),
        "Enable the key, or encrypt the secret with another key.",
    ),
    Remediation(
        (ErrorCode.RESOURCE_CONFLICT,),
        ("the version with the label ... is encrypted with the KMS key",),
        "The secret got another key, but this version was not re-encrypted, because the caller could not use both keys."
        " The rotation function could not read the version. Restore the earlier key, or store the value again"
        " (`aws secretsmanager put-secret-value`), which encrypts it with the secret's key. A label `AWSPENDING` that a"
        " failed rotation left can be removed (`aws secretsmanager update-secret-version-stage --secret-id <secret>"
        " --version-stage AWSPENDING --remove-from-version-id <version>`).",
    ),
    Remediation(
        (ErrorCode.SERVICE_LIMIT_EXCEEDED,),
        ("The role ... is full",),
        "A role has at most 10,240 characters of inline policies. List all secrets of the function in `SecretIds` of"
        " one resource, give each function a role of its own, or move other inline policies to a managed policy. See"
        " [How many resources fit a role](guarantees.md#how-many-resources-fit-a-role).",
    ),
    Remediation(
        (ErrorCode.SERVICE_LIMIT_EXCEEDED,),
        ("values would have at least",),
        "The policy of this resource alone has more than the 10,240 characters that IAM allows for the inline policies"
        " of a role. Distribute the values over several functions, each with a role and a resource of its own.",
    ),
    Remediation(
        (ErrorCode.SERVICE_LIMIT_EXCEEDED,),
        ("secrets are too many for one resource",),
        "CloudFormation accepts responses of 4,096 bytes. Distribute the secrets over several"
        " functions, with a role and a resource each.",
    ),
    Remediation(
        (ErrorCode.ACCESS_CHECK_FAILED,),
        ("is blocked by .... Allow it there",),
        "A permissions boundary or an explicit deny would block the rotation. Allow the action there. If you know that"
        ' the policy simulator is wrong, set `AccessCheck: "Off"`, in quotation marks.',
    ),
    Remediation(
        (ErrorCode.ACCESS_CHECK_FAILED,),
        ("Exclude ... from this statement",),
        "A Deny in the resource policy of the secret, or in the key's policy, would block the rotation. The message has"
        " the statement's `Sid` or number. Exclude the role with `ArnNotEquals` on `aws:PrincipalArn`; a statement with"
        " `NotPrincipal` also denies roles that it lists, if they have a permissions boundary. If the policy changes in"
        " the same deployment, see [below](#if-a-resource-policy-changes-in-the-same-deployment).",
    ),
    Remediation(
        (ErrorCode.ACCESS_CHECK_FAILED,),
        ("neither to the role nor to its account",),
        "The key's policy must allow the actions to the role, or to the account"
        " (`arn:aws:iam::<account>:root`), which delegates to IAM policies. See"
        " [customer-managed-key.yaml](../examples/customer-managed-key.yaml). If the key's policy changes in the same"
        " deployment, see [below](#if-a-resource-policy-changes-in-the-same-deployment).",
    ),
    Remediation(
        (ErrorCode.ACCESS_DENIED,),
        ("AWS denies the provider ...",),
        "The *provider* lacks the action. Give the secret or the role the required tag or permissions boundary, or"
        " widen the parameter of the provider's stack that the message names ([Operate the provider](operations.md))."
        " For a key, change the key policy. For a secret, the message can also mean that the secret does not exist, or"
        " that its resource policy denies the call to the provider's role.",
    ),
    Remediation(
        (ErrorCode.ROLLBACK_FAILED,),
        ("could not undo its change to the policy ...",),
        "The update failed after it had written the policy. After the stack has rolled back, remove the policy that the"
        " message names if the stack no longer names the role.",
    ),
    Remediation(
        (ErrorCode.REQUEST_SUPERSEDED,),
        ("no longer waits for this request",),
        "Nothing to do. CloudFormation has rolled back or deleted the stack. Only the provider's log has the message.",
    ),
    Remediation(
        (
            ErrorCode.THROTTLING,
            ErrorCode.NETWORK_FAILURE,
            ErrorCode.SERVICE_INTERNAL_ERROR,
            ErrorCode.GENERAL_SERVICE_EXCEPTION,
        ),
        ("... failed with ...: .... Try again",),
        "An AWS call failed. Try again. If it fails again, read the provider's log (below).",
    ),
    Remediation(
        (ErrorCode.DEADLINE_EXCEEDED,),
        ("ran out of time",),
        "AWS throttled the provider for nine minutes. Try again, with fewer resources at the same time.",
    ),
    Remediation(
        (ErrorCode.INTERNAL_FAILURE,),
        ("failed with an internal error",),
        "An error in the provider. The provider's log has the details.",
    ),
)
