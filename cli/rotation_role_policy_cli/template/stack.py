"""A stack as it stands."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from rotation_role_policy.errors import AwsApiError
from rotation_role_policy_cli.caller_aws import CallerAws
from rotation_role_policy_cli.schema import TYPE
from rotation_role_policy_cli.template.file import Unresolved


class Deployed(NamedTuple):
    """A resource of a stack."""

    type: str
    physical_id: str


class Stack:
    """A stack as it stands: its id, its parameters, its resources. Raises as `Aws.call` does."""

    def __init__(self, aws: CallerAws, name: str) -> None:
        self._aws = aws
        try:
            self._described = aws.call("cloudformation", "DescribeStacks", StackName=name)["Stacks"][0]
        except AwsApiError as failure:
            if failure.code == "ValidationError":
                raise Unresolved(f"--stack {name}: there is no such stack in {aws.region()}.") from failure
            raise
        self.id: str = self._described["StackId"]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """By name, as they were given: of a parameter that names an SSM parameter, that name."""
        return {one["ParameterKey"]: one["ParameterValue"] for one in self._described.get("Parameters", ())}

    @cached_property
    def resources(self) -> dict[str, Deployed]:
        """Those that are there, by logical id."""
        found = pages(self._aws, "ListStackResources", "StackResourceSummaries", StackName=self.id)
        return {
            one["LogicalResourceId"]: Deployed(one["ResourceType"], one["PhysicalResourceId"])
            for one in found
            if one.get("PhysicalResourceId")
        }

    @property
    def own_policies(self) -> dict[str, str]:
        """The physical ids of its `Custom::RotationRolePolicy` resources that have a policy, by logical id."""
        ours = {logical_id: one.physical_id for logical_id, one in self.resources.items() if one.type == TYPE}
        return {logical_id: physical_id for logical_id, physical_id in ours.items() if "/" in physical_id}


def pages(aws: CallerAws, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    """The items under `key` in all pages of an operation of CloudFormation's."""
    token: dict[str, str] = {}
    while True:
        page = aws.call("cloudformation", operation, **parameters, **token)
        yield from page[key]
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}
