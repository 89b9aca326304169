"""Inspect the secrets, the rotation function and its role, and return their `State`.

`inspect` makes one DescribeSecret and one ListSecretVersionIds call for each secret, one DescribeKey call for each key
that can be customer managed (`keys`), and one GetFunctionConfiguration call, or in declared mode one GetRole call.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws, what_limits
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, ErrorCode, RequestError, quoted
from rotation_role_policy.iam.wildcard import as_list, matches
from rotation_role_policy.lookup.keys import Keys
from rotation_role_policy.rules.properties import Properties
from rotation_role_policy.rules.state import Role, Secret, State
from rotation_role_policy.rules.targets import TARGET_TYPES

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import (
        FunctionConfigurationResponseTypeDef,
        GetFunctionConfigurationRequestTypeDef,
    )
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef, SecretListEntryTypeDef

    Description = DescribeSecretResponseTypeDef | SecretListEntryTypeDef

logger = logging.getLogger(__name__)


class Function(NamedTuple):
    """A rotation function."""

    arn: str
    """Unqualified ARN; empty in declared mode."""
    role: Role
    in_vpc: bool


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
    secrets = [_describe_secret(aws, secret_property, secret_id) for secret_id in properties.secret_ids]
    for secret_id, secret in zip(properties.secret_ids, secrets, strict=True):
        _check_function_can_rotate(f"{secret_property} {quoted(secret_id)}", secret)
    superuser_id = properties.superuser_secret_id
    superuser = _describe_secret(aws, "SuperuserSecretId", superuser_id) if superuser_id else None

    keys = Keys(aws)
    # A secret can be listed twice, by its name and by its ARN.
    distinct_secrets = {secret["ARN"]: secret for secret in secrets}.values()
    rotated = tuple(rotated_secret(keys, secret_property, secret) for secret in distinct_secrets)
    superuser_secret = superuser_secret_of(keys, "SuperuserSecretId", superuser) if superuser else None
    function = _get_function(aws, properties, secrets, account)
    state = State(
        secrets=rotated,
        superuser_secret=superuser_secret,
        role=function.role,
        function_arn=function.arn,
        in_vpc=function.in_vpc,
        dns_suffix=aws.dns_suffix(arn.parse(secrets[0]["ARN"]).partition),
        target_arns=properties.target_arns,
    )
    _log(state)
    return state


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


def describe_role(aws: Aws, role_name: str) -> Role:
    """Return the role with this name. Raises `AwsApiError` if it does not exist."""
    role = aws.call(aws.iam.get_role, RoleName=role_name)["Role"]
    return Role(role["RoleName"], role["Arn"])


# --- secrets ----------------------------------------------------------------------------------------------------------


def _describe_secret(aws: Aws, property_name: str, secret_id: str) -> DescribeSecretResponseTypeDef:
    subject = f"{property_name} {quoted(secret_id)}"
    try:
        secret = aws.call(aws.secretsmanager.describe_secret, SecretId=secret_id)
    except AccessDeniedError as error:
        # AWS also denies a name that does not exist, because there is no ARN to match SecretNamePattern, and no tag.
        raise AccessDeniedError(
            error.action,
            error.message,
            f"{subject}: AWS denies the provider {error.action}. If the secret exists in {aws.region()}, check"
            f" {what_limits(error.action)}.",
        ) from error
    except AwsApiError as error:
        if error.code == "ResourceNotFoundException":
            raise RequestError(
                f"{subject}: the secret does not exist in {aws.region()}. Correct {property_name}, or create the secret"
                f" first (DependsOn).",
                ErrorCode.NOT_FOUND,
            ) from error
        raise
    if secret.get("DeletedDate"):
        raise RequestError(
            f"{subject}: the secret is scheduled for deletion. Restore it (aws secretsmanager restore-secret), or use"
            f" another secret.",
            ErrorCode.RESOURCE_CONFLICT,
        )
    return secret


def _check_function_can_rotate(subject: str, secret: Description) -> None:
    """Raise `RequestError` if the secret is rotated without a function, or only its primary secret is rotated."""
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/service-linked-secrets.html
    if owner := secret.get("OwningService"):
        raise RequestError(
            f"{subject}: the service {quoted(owner)} manages this secret and rotates it without a function. Remove this"
            f" resource, or use the secret as SuperuserSecretId.",
        )
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/managed-external-secrets.html
    if partner := secret.get("Type"):
        raise RequestError(
            f"{subject}: this is a managed external secret of {quoted(partner)}, which Secrets Manager rotates without"
            f" a function. Remove this resource.",
        )
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html
    if primary := primary_of(secret):
        raise RequestError(
            f"{subject}: this secret is a replica, and only its primary secret in {primary} can be rotated. Move this"
            f" resource to a stack there.",
        )


def primary_of(secret: Description) -> str:
    """Return the region or the account of a replica's primary secret; empty if the secret is not a replica."""
    # The types are those of an older botocore.
    if primary := cast(dict[str, Any], secret).get("CrossAccountPrimary"):
        return f"the account {arn.parse(primary['PrimarySecretARN']).account}"
    region = secret.get("PrimaryRegion")
    return region if region and region != arn.parse(secret["ARN"]).region else ""


_ROTATED_LABELS = ("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS")
"""The versions of a rotated secret that AWS's rotation functions read."""
_SUPERUSER_LABELS = ("AWSCURRENT",)
_MANAGING_SERVICES = ("rds", "redshift")
"""The owners of managed superuser secrets, whose tags name the database."""


def rotated_secret(keys: Keys, property_name: str, secret: Description) -> Secret:
    """Return the state of a rotated secret.

    Args:
        keys: looks up the keys.
        property_name: the property that names the secret, for error messages.
        secret: response of DescribeSecret, or its member in a response of ListSecrets.

    Raises:
        RequestError: the secret's key, or an earlier key of a version in use, cannot be used, or an AWS call failed.
    """
    return _secret(keys, property_name, secret, _ROTATED_LABELS)


def _secret(keys: Keys, property_name: str, secret: Description, labels: tuple[str, ...]) -> Secret:
    return Secret(
        secret["ARN"],
        keys.customer_managed_key_arn(property_name, secret),
        _tags(secret),
        earlier_key_arns=keys.earlier_key_arns(property_name, secret, labels),
    )


def superuser_secret_of(keys: Keys, property_name: str, secret: Description) -> Secret:
    """Return the state of a superuser secret. Arguments and errors as for `rotated_secret`."""
    superuser_secret = _secret(keys, property_name, secret, _SUPERUSER_LABELS)
    owner = secret.get("OwningService", "")
    if owner not in _MANAGING_SERVICES:
        # Any user can set the tags of such a secret.
        return superuser_secret
    return replace(superuser_secret, managed_by=owner, database_arns=_database_arns(secret))


def _database_arns(secret: Description) -> tuple[str, ...]:
    """Return the databases that the tags of a managed secret name. The case of the tags' keys varies."""
    values = {key.lower(): value for key, value in _tags(secret)}
    database_arns = []
    for row in TARGET_TYPES:
        value = values.get(row.superuser_tag.lower())
        if value is None:
            continue
        if not row.pattern.fullmatch(value):
            raise RequestError(
                f"SuperuserSecretId {quoted(secret['Name'])}: the tag {row.superuser_tag} has the value"
                f" {quoted(value)}, which is not the ARN of {row.name}. Use a superuser secret that contains the"
                f" host of the database.",
            )
        database_arns.append(value)
    return tuple(database_arns)


def _tags(secret: Description) -> tuple[tuple[str, str], ...]:
    return tuple((tag["Key"], tag.get("Value", "")) for tag in secret.get("Tags", ()))


# --- function and role ------------------------------------------------------------------------------------------------


def _get_function(
    aws: Aws, properties: Properties, secrets: list[DescribeSecretResponseTypeDef], account: str
) -> Function:
    """Return the rotation function: inspected, or as declared."""
    if properties.subnet_ids is not None:
        return Function("", _declared_role(aws, str(properties.role_name)), bool(properties.subnet_ids))
    return _function_of_role(aws, properties, secrets, account)


def function_from(configuration: FunctionConfigurationResponseTypeDef) -> Function:
    """Return the function with this response of GetFunctionConfiguration."""
    vpc = configuration.get("VpcConfig") or {}
    in_vpc = bool(vpc.get("VpcId") or vpc.get("SubnetIds"))
    role = Role(arn.role_name(configuration["Role"]), configuration["Role"])
    return Function(arn.split_qualifier(configuration["FunctionArn"])[0], role, in_vpc)


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


def get_function_configuration(aws: Aws, function_id: str) -> FunctionConfigurationResponseTypeDef:
    """Return the configuration of a function, or of a version or alias of it. Raises `RequestError` as `Aws.call`."""
    name, qualifier = arn.split_qualifier(function_id)
    parameters: GetFunctionConfigurationRequestTypeDef = {"FunctionName": name}
    if qualifier:
        parameters["Qualifier"] = qualifier
    return aws.call(aws.lambda_.get_function_configuration, **parameters)


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


def _declared_role(aws: Aws, role_id: str) -> Role:
    """Return the role with this name or ARN, and check that Lambda can assume it."""
    try:
        description = aws.call_on_role(aws.iam.get_role, RoleName=arn.role_name(role_id))["Role"]
    except AwsApiError as error:
        if error.code == "NoSuchEntity":
            raise RequestError(
                f"RoleName {quoted(role_id)}: the role does not exist in this account. Create the role first, or"
                f" correct the name.",
                ErrorCode.NOT_FOUND,
            ) from error
        raise
    role = Role(description["RoleName"], description["Arn"])
    if role_id not in (role.name, role.arn):
        raise RequestError(
            f"RoleName {quoted(role_id)} is not the ARN of the role with this name, which is {quoted(role.arn)}. Use"
            f" this ARN, or the name.",
        )
    # botocore decodes the document.
    if not lambda_can_assume(cast(dict[str, Any], description["AssumeRolePolicyDocument"])):
        raise RequestError(
            f"RoleName {quoted(role.name)}: Lambda cannot assume this role. Allow sts:AssumeRole to the service"
            f" principal lambda.amazonaws.com in the role's trust policy.",
        )
    return role


def lambda_can_assume(trust_policy: dict[str, Any]) -> bool:
    """Return whether a statement of the trust policy allows ``lambda.amazonaws.com`` to assume the role.

    Conditions are not evaluated. Lambda checks them when it creates the function.
    """
    for statement in as_list(trust_policy.get("Statement", [])):
        principal = statement.get("Principal", {})
        services = as_list(principal.get("Service", [])) if isinstance(principal, dict) else [principal]
        actions = as_list(statement.get("Action", []))
        if (
            statement.get("Effect") == "Allow"
            and {"lambda.amazonaws.com", "*"} & set(services)
            and any(matches(action, "sts:AssumeRole", ignore_case=True) for action in actions)
        ):
            return True
    return False


def _log(state: State) -> None:
    superuser = state.superuser_secret
    logger.info(
        "inspected",
        extra={
            "customer_managed_keys": {secret.arn: secret.key_arn for secret in state.secrets},
            "earlier_keys": {secret.arn: secret.earlier_key_arns for secret in state.all_secrets},
            "superuser_secret": {superuser.arn: superuser.key_arn} if superuser else None,
            "role": state.role.arn,
            "function": state.function_arn or "declared",
            "in_vpc": state.in_vpc,
        },
    )
