"""CloudFormation as the provider sees it: the status, events and resources of stacks. A test sets them.

The events have the form of recorded events of real stacks: `ResourceProperties` is a JSON string, a Create begins
without a physical ID, and a Delete of the clean-up has no properties.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

CLEAN_UP_TYPE = "AWS::CloudFormation::CustomResource"
"""The type that a resource has in the events of a clean-up."""


@dataclass
class FakeStack:
    """One stack."""

    status: str = ""
    created: datetime | None = None
    updated: datetime | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    """Oldest first."""
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By logical ID, as DescribeStackResource returns them."""


@dataclass
class FakeCloudFormation:
    """The stacks of an account. Each event moves the time forward by `pace`."""

    now: datetime = datetime(2026, 1, 1, 12, 0, 0, 700_000, UTC)
    pace: timedelta = timedelta(seconds=3)
    page_size: int = 100
    stacks: dict[str, FakeStack] = field(default_factory=dict)

    # --- set by a test ---

    def set_status(self, stack_id: str, status: str) -> None:
        """Set the status of the stack."""
        self.now += self.pace
        stack = self.stacks.setdefault(stack_id, FakeStack())
        stack.status = status
        if status == "CREATE_IN_PROGRESS":
            stack.created = self.now
        elif status == "UPDATE_IN_PROGRESS":
            stack.updated = self.now
        self._record(stack_id, stack_id.split("/")[1], "AWS::CloudFormation::Stack", status, stack_id)

    def begin(self, stack_id: str, status: str) -> None:
        """Set the status of the stack, unless it has this status already."""
        if stack_id not in self.stacks or self.stacks[stack_id].status != status:
            self.set_status(stack_id, status)

    def set_resource(
        self,
        stack_id: str,
        logical_id: str,
        status: str,
        physical_id: str = "",
        properties: Any = None,
        reason: str = "",
    ) -> None:
        """Set the status of a custom resource. Without `properties`, it is an event of a clean-up."""
        self.now += self.pace
        stack = self.stacks[stack_id]
        known = stack.resources.get(logical_id)
        if properties is not None or known is None or known["PhysicalResourceId"] == physical_id:
            stack.resources[logical_id] = {
                "ResourceStatus": status,
                "PhysicalResourceId": physical_id,
                "ResourceType": "Custom::RotationRolePolicy",
            }
        members = {"ResourceStatusReason": reason} if reason else {}
        resource_type = CLEAN_UP_TYPE
        if properties is not None:
            members["ResourceProperties"] = json.dumps(properties)
            resource_type = "Custom::RotationRolePolicy"
        self._record(stack_id, logical_id, resource_type, status, physical_id, **members)

    def _record(
        self, stack_id: str, logical_id: str, resource_type: str, status: str, physical_id: str, **members: str
    ) -> None:
        self.stacks[stack_id].events.append(
            {
                "StackId": stack_id,
                "LogicalResourceId": logical_id,
                "ResourceType": resource_type,
                "ResourceStatus": status,
                "PhysicalResourceId": physical_id,
                "Timestamp": self.now,
                **members,
            }
        )

    def response_url(self, url: str) -> str:
        """Return `url` as CloudFormation signs it now, shortly after the last event."""
        sent = self.now + timedelta(milliseconds=200)
        return f"{url}&X-Amz-Date={sent:%Y%m%dT%H%M%SZ}&X-Amz-Expires=7200"

    # --- API ---

    def respond(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to an operation. Raises `ClientError` for an unknown stack, resource or operation."""
        if operation == "ListStacks":
            listed = [
                {"StackId": stack_id, "StackStatus": stack.status}
                for stack_id, stack in self.stacks.items()
                if stack.status in parameters["StackStatusFilter"]
            ]
            return {"StackSummaries": listed}
        stack = self.stacks.get(parameters["StackName"])
        if stack is None:
            raise _validation_error(f"Stack with id {parameters['StackName']} does not exist")
        if operation == "DescribeStacks":
            times = {"CreationTime": stack.created, "LastUpdatedTime": stack.updated}
            known = {name: time for name, time in times.items() if time}
            return {"Stacks": [{"StackStatus": stack.status, **known}]}
        if operation == "DescribeStackEvents":
            newest_first = stack.events[::-1]
            begin = int(parameters.get("NextToken", 0))
            end = begin + self.page_size
            token = {"NextToken": str(end)} if end < len(newest_first) else {}
            return {"StackEvents": newest_first[begin:end], **token}
        resource = stack.resources.get(parameters["LogicalResourceId"])
        if operation != "DescribeStackResource" or resource is None:
            raise _validation_error(f"Resource {parameters['LogicalResourceId']} does not exist")
        return {"StackResourceDetail": {"LogicalResourceId": parameters["LogicalResourceId"], **resource}}


def _validation_error(message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "Operation")
