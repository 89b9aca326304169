"""Inspect what the properties of a resource name, and return the state that its policy depends on.

`inspect` makes one DescribeSecret and one ListSecretVersionIds call for each secret, one DescribeKey call for each key
that can be customer managed (`keys`), also for the key of the function's environment variables, and one
GetFunctionConfiguration call, or in declared mode one GetRole call.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    describe_secret_in_any_state,
    rotated_secret,
    superuser_secret_of,
)
from rotation_role_policy.rules.place import Place, check_place
from rotation_role_policy.rules.plan import redirected
from rotation_role_policy.rules.properties import Properties
from rotation_role_policy.rules.state import Function, State

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef


def inspect(
    aws: Aws,
    properties: Properties,
    place: Place,
    existing_document: ExistingDocument = lambda: None,
    current_role: str = "",
) -> State:
    """Return the state that the policy of a resource depends on.

    Args:
        aws: makes the calls.
        properties: of the resource.
        place: of the provider, which serves only what is there.
        existing_document: returns the document of the resource's existing policy. Called only if AWS does not find a
            secret by an ARN that can be a partial ARN.
        current_role: the role that has the resource's policy; empty if there is none. For the errors about a function
            that only the secrets' configuration leads to.

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
    descriptions = [secret.description for secret in described.values()]
    function = _get_function(aws, properties, descriptions, place, "" if properties.names_role else current_role)
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
                secrets.append(describe_secret_in_any_state(aws, secret_id))
    return _get_function(aws, properties, secrets, place)


def _get_function(
    aws: Aws,
    properties: Properties,
    secrets: list[DescribeSecretResponseTypeDef],
    place: Place,
    current_role: str = "",
) -> Function:
    """Return the rotation function: inspected, or as declared."""
    if properties.subnet_ids is not None:
        role = declared_role(aws, str(properties.role_name))
        return Function("", role, bool(properties.subnet_ids), properties.kms_key_arn)
    if properties.rotation_lambda_arn:
        return _named_function(aws, properties, place, properties.rotation_lambda_arn)
    reported = _reported_by(properties, secrets)
    [function_id, *others] = sorted(reported)
    try:
        if others:
            raise _different_functions(properties, function_id, others[0])
        return _named_function(aws, properties, place, function_id, reported[function_id])
    except RequestError as error:
        is_of_report = error.error_code in (ErrorCode.INVALID_REQUEST, ErrorCode.NOT_FOUND)
        if current_role and is_of_report:
            _raise_if_redirected(aws, properties, place, reported, current_role)
        raise


def _raise_if_redirected(
    aws: Aws, properties: Properties, place: Place, reported: Mapping[str, str], current_role: str
) -> None:
    """Raise an error that names the first reported function whose role does not have the policy."""
    for function_id, secret_name in reported.items():
        role_name = ""
        with suppress(RequestError):
            place.check("", function_id)
            role_name = function_from(get_function_configuration(aws, function_id)).role.name
        if role_name != current_role:
            raise redirected(properties.secret_property, secret_name, function_id, role_name, current_role)


def _named_function(
    aws: Aws, properties: Properties, place: Place, function_id: str, reported_by: str = ""
) -> Function:
    """Return a rotation function, and check its execution role."""
    subject = f"RotationLambdaARN {quoted(function_id)}"
    if reported_by:
        subject = f"{properties.secret_property} {quoted(reported_by)} reports the rotation function"
        subject += f" {quoted(function_id)}"
        place.check(f"{subject}, which", function_id)
    try:
        function = function_from(get_function_configuration(aws, function_id))
    except AwsApiError as error:
        if error.code == "ResourceNotFoundException":
            remedy = "Correct the name, or give RoleName and VpcConfig for a function that is created later."
            remedy = "Correct the secret's rotation, or give RotationLambdaARN." if reported_by else remedy
            raise RequestError(
                f"{subject}: the function does not exist in {aws.region()}. {remedy}", ErrorCode.NOT_FOUND
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


def _reported_by(properties: Properties, secrets: list[DescribeSecretResponseTypeDef]) -> dict[str, str]:
    """Return the rotation functions that the secrets report, each with the name of the first secret that reports it.

    Raises:
        RequestError: no secret reports a function.
    """
    names: dict[str, str] = {}
    for secret in secrets:
        if function_id := secret.get("RotationLambdaARN"):
            names.setdefault(function_id, secret["Name"])
    if not names:
        raise RequestError(
            f"RotationLambdaARN is missing, and {properties.secret_property} {quoted(properties.secret_ids[0])} reports"
            f" no rotation function. Give RotationLambdaARN, or RoleName and VpcConfig for a function that is created"
            f" later.",
        )
    return names


def _different_functions(properties: Properties, first: str, second: str) -> RequestError:
    return RequestError(
        f"{properties.secret_property}: the secrets report different rotation functions, or different versions of one:"
        f" {quoted(first)} and {quoted(second)}. Give RotationLambdaARN.",
    )
