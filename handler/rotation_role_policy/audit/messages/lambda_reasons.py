"""Lambda's codes for why a function cannot be invoked, in words.

Source: `StateReasonCode` in https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html
"""

from typing import NamedTuple

from rotation_role_policy.audit.findings import Words


class _Row(NamedTuple):
    codes: tuple[str, ...]
    cause: str
    """Completes the sentence "The rotation function X cannot be invoked, because ..."."""
    remediation: str


_REDEPLOY = "Then deploy the function again (UpdateFunctionConfiguration, or its stack)."
_IMAGE = "the container image of the function"
_ROWS = (
    _Row(
        ("InsufficientRolePermissions",),
        "the execution role lacks permissions that Lambda needs to connect the function to its VPC",
        "Allow ec2:CreateNetworkInterface, ec2:DeleteNetworkInterface and ec2:DescribeNetworkInterfaces on * to the"
        f" execution role. {_REDEPLOY}",
    ),
    _Row(
        ("DisabledKMSKey",),
        "a KMS key of the function is disabled",
        "Enable the key (EnableKey). Then invoke the function.",
    ),
    _Row(
        ("InvalidStateKMSKey",),
        "a KMS key of the function is in a state in which it cannot be used",
        "Restore the key: cancel its deletion, import its key material, or connect its key store. Then invoke the"
        " function.",
    ),
    _Row(
        ("KMSKeyNotFound",),
        "a KMS key of the function does not exist",
        "Configure the function with another key (UpdateFunctionConfiguration with KMSKeyArn), and set its"
        " environment variables again.",
    ),
    _Row(
        ("KMSKeyAccessDenied",),
        "the execution role may not decrypt with a KMS key of the function",
        "Allow kms:Decrypt on the key to the execution role, or update the function's configuration, so that Lambda"
        " creates its grant on the key again.",
    ),
    _Row(
        ("SubnetOutOfIPAddresses",),
        "its subnets have no free IP address",
        f"Free addresses, or give the function other subnets. {_REDEPLOY}",
    ),
    _Row(
        ("InvalidSubnet",),
        "one of its subnets does not exist or cannot be used",
        f"Give the function existing subnets. {_REDEPLOY}",
    ),
    _Row(
        ("InvalidSecurityGroup",),
        "one of its security groups does not exist or cannot be used",
        f"Give the function existing security groups of its VPC. {_REDEPLOY}",
    ),
    _Row(
        ("EniLimitExceeded",),
        "the account has reached its quota of network interfaces",
        f"Remove unused network interfaces, or request a higher quota. {_REDEPLOY}",
    ),
    _Row(
        ("EC2RequestLimitExceeded",),
        "Amazon EC2 throttled Lambda's calls for its network interfaces",
        "Wait, then invoke the function.",
    ),
    _Row(
        ("DisallowedByVpcEncryptionControl",),
        "the encryption control of its VPC does not allow the function",
        f"Exclude Lambda from the encryption control of the VPC, or give the function another VPC. {_REDEPLOY}",
    ),
    _Row(
        ("ImageAccessDenied",),
        f"Lambda may not read {_IMAGE}",
        "Allow ecr:BatchGetImage and ecr:GetDownloadUrlForLayer to lambda.amazonaws.com in the policy of the"
        f" repository. {_REDEPLOY}",
    ),
    _Row(
        ("ImageDeleted",),
        f"{_IMAGE} was deleted",
        "Push the image again, and update the function's code (UpdateFunctionCode).",
    ),
    _Row(
        ("InvalidImage",),
        f"{_IMAGE} cannot be used",
        "Correct the image, and update the function's code (UpdateFunctionCode).",
    ),
    _Row(
        ("InvalidZipFileException", "InvalidRuntime", "InvalidConfiguration"),
        "its code, its runtime or its configuration is not valid",
        "Correct what Lambda's reason names, and deploy the function again.",
    ),
    _Row(
        ("EFSIOError", "EFSMountConnectivityError", "EFSMountFailure", "EFSMountTimeout"),
        "its file system cannot be mounted",
        f"Check the file system, its mount targets and its security groups. {_REDEPLOY}",
    ),
    _Row(
        (
            "FunctionError",
            "FunctionError.ExtensionInitError",
            "FunctionError.InitResourceExhausted",
            "FunctionError.InitTimeout",
            "FunctionError.InvalidEntryPoint",
            "FunctionError.InvalidWorkingDirectory",
            "FunctionError.PermissionDenied",
            "FunctionError.RuntimeInitError",
            "FunctionError.TooManyExtensions",
        ),
        "its code fails while it starts",
        "Read the function's log, correct the code, and deploy the function again.",
    ),
    _Row(
        (
            "CapacityProviderScalingLimitExceeded",
            "InsufficientCapacity",
            "ServiceQuotaExceededException",
            "VcpuLimitExceeded",
        ),
        "a quota or the capacity for it is exhausted",
        f"Request a higher quota, or free capacity. {_REDEPLOY}",
    ),
    _Row(
        ("InternalError", "DependencyError"),
        "Lambda, or a service that Lambda depends on, failed",
        f"Try again later. {_REDEPLOY}",
    ),
)
_BY_CODE = {code: row for row in _ROWS for code in row.codes}


def function_not_active(function_id: str, state: str, code: str, reason: str) -> Words:
    """Return the words for a function that cannot be invoked.

    Args:
        function_id: `RotationLambdaARN`.
        state: `State` of the function.
        code: `StateReasonCode`; it may be empty, or one that this table does not have.
        reason: `StateReason`, Lambda's own sentence; it may be empty.
    """
    row = _BY_CODE.get(code)
    cause = f", because {row.cause}" if row else ""
    details = ", ".join(filter(None, (f"state {state}", code)))
    own = f" Lambda's reason: {reason.rstrip('.')}." if reason else ""
    return Words(
        f"The rotation function {function_id} cannot be invoked{cause} ({details}).{own}",
        row.remediation if row else "Correct the cause that Lambda reports, and deploy the function again.",
    )
