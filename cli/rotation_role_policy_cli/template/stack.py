"""A deployed stack."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from rotation_role_policy.errors import AwsApiError
from rotation_role_policy_cli.caller_aws import CallerAws
from rotation_role_policy_cli.schema import TYPE
from rotation_role_policy_cli.template.file import TemplateError


class StackResource(NamedTuple):
    """A resource of a stack."""

    type: str
    physical_id: str


class Stack:
    """The ID, the parameters and the resources of a deployed stack. Look-ups raise as `Aws.call` does.

    Raises `TemplateError` if there is no stack of this name.
    """

    def __init__(self, aws: CallerAws, name: str) -> None:
        self._aws = aws
        try:
            self._description = aws.call("cloudformation", "DescribeStacks", StackName=name)["Stacks"][0]
        except AwsApiError as failure:
            if failure.code == "ValidationError":
                raise TemplateError(f"--stack {name}: {aws.region()} has no such stack.") from failure
            raise
        self.id: str = self._description["StackId"]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The values of the parameters as they were given: for an SSM parameter type, the name of the parameter."""
        parameters = self._description.get("Parameters", ())
        return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in parameters}

    @cached_property
    def resources(self) -> dict[str, StackResource]:
        """The resources that have a physical ID, keyed by logical ID."""
        summaries = pages(self._aws, "ListStackResources", "StackResourceSummaries", StackName=self.id)
        return {
            summary["LogicalResourceId"]: StackResource(summary["ResourceType"], summary["PhysicalResourceId"])
            for summary in summaries
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


def pages(aws: CallerAws, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    """Yield the items under `key` in all pages of a CloudFormation operation."""
    token: dict[str, str] = {}
    while True:
        page = aws.call("cloudformation", operation, **parameters, **token)
        yield from page[key]
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}
