"""Inspect what the properties of a resource name, and return the state that its policy depends on.

`inspect` makes one DescribeSecret and one ListSecretVersionIds call for each secret, one DescribeKey call for each key
that can be customer managed (`keys`), also for the key of the function's environment variables, and one
GetFunctionConfiguration call, or in declared mode one GetRole call.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, ErrorCode, RequestError, quoted
from rotation_role_policy.lookup.functions import function_from, get_function_configuration
from rotation_role_policy.lookup.keys import Keys
from rotation_role_policy.lookup.roles import declared_role
from rotation_role_policy.lookup.secrets import (
    Described,
    ExistingDocument,
    check_function_can_rotate,
    describe_secret,
    rotated_secret,
    superuser_secret_of,
)
from rotation_role_policy.rules.place import Place, check_place
from rotation_role_policy.rules.properties import Properties
from rotation_role_policy.rules.state import Function, State

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef


def inspect(
    aws: Aws, properties: Properties, place: Place, existing_document: ExistingDocument = lambda: None
) -> State:
    """Return the state that the policy of a resource depends on.

    Args:
        aws: makes the calls.
        properties: of the resource.
        place: of the provider, which serves only what is there.
        existing_document: returns the document of the resource's existing policy. Called only if AWS does not find a
            secret by an ARN that can be a partial ARN.

    Raises:
        RequestError: a secret, function, role or key does not exist, cannot be used or is elsewhere, or an AWS call
            failed.
    """
    check_place(properties, place)
    secret_property = properties.secret_property
    described: dict[str, Described] = {}
    for secret_id in properties.secret_ids:
        # A secret can be listed twice, by its name and by its ARN.
        if secret_id not in described:
            found = describe_secret(aws, secret_property, secret_id, existing_document)
            check_function_can_rotate(f"{secret_property} {quoted(secret_id)}", found.description)
            described.setdefault(found.description["ARN"], found)
    superuser_id = properties.superuser_secret_id
    superuser = describe_secret(aws, "SuperuserSecretId", superuser_id, existing_document) if superuser_id else None

    keys = Keys(aws)
    rotated = tuple(rotated_secret(keys, secret_property, *secret) for secret in described.values())
    superuser_secret = superuser_secret_of(keys, "SuperuserSecretId", *superuser) if superuser else None
    function = _get_function(aws, properties, [secret.description for secret in described.values()], place)
    return State(
        secrets=rotated,
        superuser_secret=superuser_secret,
        role=function.role,
        function_arn=function.arn,
        in_vpc=function.in_vpc,
        dns_suffix=aws.dns_suffix(place.partition),
        environment_key=keys.environment_key(function.environment_key_id),
        target_arns=properties.target_arns,
        function_qualifier=function.qualifier,
        function_reported_by=function.reported_by,
        function_modified=function.last_modified,
    )


def find_role_name(aws: Aws, properties: Properties, place: Place) -> str:
    """Return the name of the role that the properties lead to, even if some of the secrets do not exist.

    Makes no call if `RoleName` is given. Arguments and errors as for `inspect`.
    """
    if properties.role_name:
        return arn.role_name(properties.role_name)
    return find_function(aws, properties, place).role.name


def find_function(aws: Aws, properties: Properties, place: Place) -> Function:
    """Return the rotation function, even if some of the secrets do not exist. Arguments and errors as for `inspect`."""
    check_place(properties, place)
    secrets = []
    if not properties.rotation_lambda_arn and properties.subnet_ids is None:
        for secret_id in properties.secret_ids:
            # One secret that reports its function is enough.
            with suppress(AwsApiError, AccessDeniedError):
                secrets.append(aws.call(aws.secretsmanager.describe_secret, SecretId=secret_id))
    return _get_function(aws, properties, secrets, place)


def _get_function(
    aws: Aws, properties: Properties, secrets: list[DescribeSecretResponseTypeDef], place: Place
) -> Function:
    """Return the rotation function: inspected, or as declared."""
    if properties.subnet_ids is not None:
        role = declared_role(aws, str(properties.role_name))
        return Function("", role, bool(properties.subnet_ids), properties.kms_key_arn)
    return _function_of_role(aws, properties, secrets, place)


def _function_of_role(
    aws: Aws, properties: Properties, secrets: list[DescribeSecretResponseTypeDef], place: Place
) -> Function:
    """Return the rotation function, and check its execution role."""
    function_id, reported_by = _function_id(properties, secrets)
    subject = f"RotationLambdaARN {quoted(function_id)}"
    if reported_by:
        subject = f"{properties.secret_property} reports the rotation function {quoted(function_id)}"
        place.check(f"{subject}, which", function_id)
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
    if arn.parse(role.arn).account != place.account:
        raise RequestError(
            f"{subject}: the function's role {quoted(role.arn)} is not in the provider's account {place.account}."
            f" Deploy the provider in the account of the function.",
        )
    _, qualifier = arn.split_qualifier(function_id)
    function = replace(function, qualifier=qualifier or "", reported_by=reported_by)
    if properties.role_name and properties.role_name not in (role.name, role.arn):
        raise _not_the_role(properties.role_name, function)
    return function


def _not_the_role(role_name: str, function: Function) -> RequestError:
    subject = f"RoleName {quoted(role_name)} is not the execution role of the function"
    if not function.reported_by:
        return RequestError(f"{subject}, which is {quoted(function.role.name)}. Use this name, or omit RoleName.")
    return RequestError(
        f"{subject} {quoted(function.arn)} that the secret {quoted(function.reported_by)} reports, which has the role"
        f" {quoted(function.role.name)}."
        f" If this change is yours, give RotationLambdaARN. Otherwise correct the secret's rotation.",
        ErrorCode.RESOURCE_CONFLICT,
    )


def _function_id(properties: Properties, secrets: list[DescribeSecretResponseTypeDef]) -> tuple[str, str]:
    """Return the function's name or ARN, and the name of the secret that reports it.

    The name is empty if the properties name the function.
    """
    if properties.rotation_lambda_arn:
        return properties.rotation_lambda_arn, ""
    property_name = properties.secret_property
    names = {secret["RotationLambdaARN"]: secret["Name"] for secret in secrets[::-1] if secret.get("RotationLambdaARN")}
    reported = sorted(names)
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
    return reported[0], names[reported[0]]
