"""Look up rotation functions."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.rules.state import Function, Role

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import (
        FunctionConfigurationResponseTypeDef,
        GetFunctionConfigurationRequestTypeDef,
    )


def function_from(configuration: FunctionConfigurationResponseTypeDef) -> Function:
    """Return the function with this response of GetFunctionConfiguration."""
    vpc = configuration.get("VpcConfig") or {}
    in_vpc = bool(vpc.get("VpcId") or vpc.get("SubnetIds"))
    role = Role(arn.role_name(configuration["Role"]), configuration["Role"])
    function_arn, _ = arn.split_qualifier(configuration["FunctionArn"])
    last_modified = _time(configuration.get("LastModified", ""))
    return Function(function_arn, role, in_vpc, configuration.get("KMSKeyArn", ""), last_modified=last_modified)


def _time(text: str) -> datetime | None:
    """Return a time such as ``2026-01-01T12:00:00.000+0000``; None if it is in another form or has no time zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None


def get_function_configuration(aws: Aws, function_id: str) -> FunctionConfigurationResponseTypeDef:
    """Return the configuration of a function, or of a version or alias of it. Raises `RequestError` as `Aws.call`."""
    name, qualifier = arn.split_qualifier(function_id)
    parameters: GetFunctionConfigurationRequestTypeDef = {"FunctionName": name}
    if qualifier:
        parameters["Qualifier"] = qualifier
    return aws.call(aws.lambda_.get_function_configuration, **parameters)
