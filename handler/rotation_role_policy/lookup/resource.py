"""Inspect what the properties of a resource name, and return the state that its policy depends on.

`inspect` makes one DescribeSecret and one ListSecretVersionIds call for each secret, one DescribeKey call for each key
that can be customer managed (`keys`), and one GetFunctionConfiguration call, or in declared mode one GetRole call.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, ErrorCode, RequestError, quoted
from rotation_role_policy.lookup.functions import function_from, get_function_configuration
from rotation_role_policy.lookup.keys import Keys
from rotation_role_policy.lookup.roles import declared_role
from rotation_role_policy.lookup.secrets import (
    check_function_can_rotate,
    describe_secret,
    rotated_secret,
    superuser_secret_of,
)
from rotation_role_policy.rules.properties import Properties
from rotation_role_policy.rules.state import Function, State

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef


def inspect(aws: Aws, properties: Properties, account: str) -> State:
    """Return the state that the policy of a resource depends on.

    Args:
        aws: makes the calls.
        properties: of the resource.
        account: the provider's own account (12 digits). The provider serves only roles of this account.

    Raises:
        RequestError: a secret, function, role or key does not exist or cannot be used, or an AWS call failed.
    """
    secret_property = properties.secret_property
    secrets = [describe_secret(aws, secret_property, secret_id) for secret_id in properties.secret_ids]
    for secret_id, secret in zip(properties.secret_ids, secrets, strict=True):
        check_function_can_rotate(f"{secret_property} {quoted(secret_id)}", secret)
    superuser_id = properties.superuser_secret_id
    superuser = describe_secret(aws, "SuperuserSecretId", superuser_id) if superuser_id else None

    keys = Keys(aws)
    # A secret can be listed twice, by its name and by its ARN.
    distinct_secrets = {secret["ARN"]: secret for secret in secrets}.values()
    rotated = tuple(rotated_secret(keys, secret_property, secret) for secret in distinct_secrets)
    superuser_secret = superuser_secret_of(keys, "SuperuserSecretId", superuser) if superuser else None
    function = _get_function(aws, properties, secrets, account)
    return State(
        secrets=rotated,
        superuser_secret=superuser_secret,
        role=function.role,
        function_arn=function.arn,
        in_vpc=function.in_vpc,
        dns_suffix=aws.dns_suffix(arn.parse(secrets[0]["ARN"]).partition),
        environment_key_arn=function.environment_key_arn,
        target_arns=properties.target_arns,
    )


def find_role_name(aws: Aws, properties: Properties, account: str) -> str:
    """Return the name of the role that has the policy, for a Delete whose physical ID does not name the role.

    Makes no call if `RoleName` is given. Arguments and errors as for `inspect`.
    """
    if properties.role_name:
        return arn.role_name(properties.role_name)
    return find_function(aws, properties, account).role.name


def find_function(aws: Aws, properties: Properties, account: str) -> Function:
    """Return the rotation function, even if some of the secrets do not exist. Arguments and errors as for `inspect`."""
    secrets = []
    if not properties.rotation_lambda_arn and properties.subnet_ids is None:
        for secret_id in properties.secret_ids:
            # One secret that reports its function is enough.
            with suppress(AwsApiError, AccessDeniedError):
                secrets.append(aws.call(aws.secretsmanager.describe_secret, SecretId=secret_id))
    return _get_function(aws, properties, secrets, account)


def _get_function(
    aws: Aws, properties: Properties, secrets: list[DescribeSecretResponseTypeDef], account: str
) -> Function:
    """Return the rotation function: inspected, or as declared."""
    if properties.subnet_ids is not None:
        return Function("", declared_role(aws, str(properties.role_name)), bool(properties.subnet_ids))
    return _function_of_role(aws, properties, secrets, account)


def _function_of_role(
    aws: Aws, properties: Properties, secrets: list[DescribeSecretResponseTypeDef], account: str
) -> Function:
    """Return the rotation function, and check its execution role."""
    function_id = _function_id(properties, secrets)
    subject = f"RotationLambdaARN {quoted(function_id)}"
    if not properties.rotation_lambda_arn:
        subject = f"{properties.secret_property} reports the rotation function {quoted(function_id)}"
    try:
        function = function_from(get_function_configuration(aws, function_id))
    except AwsApiError as error:
        if error.code == "ResourceNotFoundException":
            raise RequestError(
                f"{subject}: the function does not exist in {aws.region()}. Correct the name, or give RoleName and"
                f" VpcConfig for a function that is created later.",
                ErrorCode.NOT_FOUND,
            ) from error
        raise
    role = function.role
    if arn.parse(role.arn).account != account:
        raise RequestError(
            f"{subject}: the function's role {quoted(role.arn)} is not in the provider's account {account}. Deploy the"
            f" provider in the account of the function.",
        )
    if properties.role_name and properties.role_name not in (role.name, role.arn):
        raise RequestError(
            f"RoleName {quoted(properties.role_name)} is not the execution role of the function, which is"
            f" {quoted(role.name)}. Use this name, or omit RoleName.",
        )
    return function


def _function_id(properties: Properties, secrets: list[DescribeSecretResponseTypeDef]) -> str:
    """Return the function's name or ARN: `RotationLambdaARN`, else the function that the secrets report."""
    if properties.rotation_lambda_arn:
        return properties.rotation_lambda_arn
    property_name = properties.secret_property
    reported = sorted({secret["RotationLambdaARN"] for secret in secrets if secret.get("RotationLambdaARN")})
    if not reported:
        raise RequestError(
            f"RotationLambdaARN is missing, and {property_name} {quoted(properties.secret_ids[0])} reports no rotation"
            f" function. Give RotationLambdaARN, or RoleName and VpcConfig for a function that is created later.",
        )
    if len(reported) > 1:
        raise RequestError(
            f"{property_name}: the secrets report different rotation functions, or different versions of one:"
            f" {quoted(reported[0])} and {quoted(reported[1])}. Give RotationLambdaARN.",
        )
    return reported[0]
