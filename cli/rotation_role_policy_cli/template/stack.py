"""A deployed stack."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AwsApiError
from rotation_role_policy_cli.schema import TYPE

if TYPE_CHECKING:
    from types_boto3_cloudformation.type_defs import StackTypeDef


class StackResource(NamedTuple):
    """A resource of a stack."""

    type: str
    physical_id: str


class DeployedStack:
    """The ID, the parameters and the resources of a deployed stack. Look-ups raise as `Aws.call` does.

    `description` is the stack in a response of DescribeStacks.
    """

    def __init__(self, aws: Aws, description: StackTypeDef) -> None:
        self._aws = aws
        self._description = description
        self.id = description["StackId"]

    @classmethod
    def find(cls, aws: Aws, name: str) -> DeployedStack | None:
        """Return the stack with a name; None if there is none. Raises as `Aws.call` does."""
        try:
            return cls(aws, aws.call(aws.cloudformation.describe_stacks, StackName=name)["Stacks"][0])
        except AwsApiError as failure:
            if failure.code == "ValidationError":
                return None
            raise

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The values of the parameters as they were given: for an SSM parameter type, the name of the parameter."""
        parameters = self._description.get("Parameters", [])
        return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in parameters}

    @cached_property
    def resources(self) -> dict[str, StackResource]:
        """The resources that have a physical ID, keyed by logical ID."""
        pages = self._aws.paginate(self._aws.cloudformation.list_stack_resources, StackName=self.id)
        return {
            summary["LogicalResourceId"]: StackResource(summary["ResourceType"], summary["PhysicalResourceId"])
            for page in pages
            for summary in page["StackResourceSummaries"]
            if summary.get("PhysicalResourceId")
        }

    @property
    def policy_ids(self) -> dict[str, str]:
        """The physical IDs of the `Custom::RotationRolePolicy` resources that have a policy, keyed by logical ID."""
        return {
            logical_id: resource.physical_id
            for logical_id, resource in self.resources.items()
            # Without a slash it is the ID of a Create that failed.
            if resource.type == TYPE and "/" in resource.physical_id
        }
