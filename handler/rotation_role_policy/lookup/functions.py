"""Look up rotation functions."""

from __future__ import annotations

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
    return Function(function_arn, role, in_vpc, configuration.get("KMSKeyArn", ""))


def get_function_configuration(aws: Aws, function_id: str) -> FunctionConfigurationResponseTypeDef:
    """Return the configuration of a function, or of a version or alias of it. Raises `RequestError` as `Aws.call`."""
    name, qualifier = arn.split_qualifier(function_id)
    parameters: GetFunctionConfigurationRequestTypeDef = {"FunctionName": name}
    if qualifier:
        parameters["Qualifier"] = qualifier
    return aws.call(aws.lambda_.get_function_configuration, **parameters)
