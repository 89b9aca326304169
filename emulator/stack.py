"""A CloudFormation stack in the emulator.

shop = Stack(aws, "shop")
shop.create(template, RotationCode=source)
shop.physical_id("RotationRolePolicy")
shop.delete()
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from emulator.server import Emulator

_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
_POLL_SECONDS = 0.1


class Failure(NamedTuple):
    """The failure of a resource, from the stack's events. `reason` is unchanged from a custom resource's response."""

    logical_id: str
    status: str
    reason: str


class StackError(Exception):
    """A stack operation did not succeed. `failures` are in order of time, so that the first is the cause."""

    def __init__(self, name: str, status: str, failures: list[Failure]) -> None:
        self.status = status
        self.failures = failures
        reasons = "; ".join(f"{failure.logical_id}: {failure.reason}" for failure in failures)
        super().__init__(f"stack {name} is {status}: {reasons or '(no failed event)'}")

    @property
    def reason(self) -> str:
        """The reason of the first failure; empty if the events have none."""
        return self.failures[0].reason if self.failures else ""


class Stack:
    """A stack. Each operation waits until it has ended.

    Args:
        emulator: the emulator with the stack.
        name: the stack's name.
        timeout: seconds after which an operation counts as failed.
        credentials: of the user who makes the operations, as for `Emulator.client`.

    Attributes:
        name: the stack's name.
        id: the name, or the stack's ARN after `create`. A deleted stack can be described only by its ARN.
    """

    def __init__(
        self, emulator: Emulator, name: str, timeout: float = 60, *, credentials: Mapping[str, Any] | None = None
    ) -> None:
        self.name = name
        self.id = name
        self._timeout = timeout
        self._cloudformation = emulator.client("cloudformation", credentials=credentials)

    def create(self, template: str, **parameters: str) -> None:
        """Create the stack. `template` is its text. Raises `StackError`."""
        created = self._cloudformation.create_stack(**self._request(template, parameters))
        self.id = created["StackId"]
        self._wait("CREATE_COMPLETE", known=set())

    def update(self, template: str, **parameters: str) -> None:
        """Update the stack. `template` is its text. Raises `StackError`, even if the rollback has succeeded."""
        known = {event["EventId"] for event in self.events()}
        self._cloudformation.update_stack(**self._request(template, parameters))
        self._wait("UPDATE_COMPLETE", known)

    def delete(self) -> None:
        """Delete the stack. Raises `StackError`."""
        known = {event["EventId"] for event in self.events()}
        self._cloudformation.delete_stack(StackName=self.name)
        self._wait("DELETE_COMPLETE", known)

    @property
    def status(self) -> str:
        """The stack's status, such as ``UPDATE_COMPLETE``; ``DELETE_COMPLETE`` if the stack does not exist."""
        try:
            return str(self._describe()["StackStatus"])
        except ClientError as error:
            if "does not exist" in str(error):
                return "DELETE_COMPLETE"
            raise

    @property
    def outputs(self) -> dict[str, str]:
        """The values of the stack's outputs, by key."""
        return {output["OutputKey"]: output["OutputValue"] for output in self._describe().get("Outputs", ())}

    def physical_id(self, logical_id: str) -> str:
        """Return the physical ID of a resource, which is the value of `Ref`."""
        described = self._cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=logical_id)
        return str(described["StackResourceDetail"]["PhysicalResourceId"])

    def events(self) -> list[dict[str, Any]]:
        """Return all events of the stack, the newest first."""
        pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=self.id)
        return [event for page in pages for event in page["StackEvents"]]

    def _request(self, template: str, parameters: dict[str, str]) -> dict[str, Any]:
        return {
            "StackName": self.name,
            "TemplateBody": template,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": _CAPABILITIES,
        }

    def _describe(self) -> dict[str, Any]:
        stack: dict[str, Any] = self._cloudformation.describe_stacks(StackName=self.id)["Stacks"][0]
        return stack

    def _wait(self, expected_status: str, known: set[str]) -> None:
        """Wait for the end of an operation. `known` are the IDs of the events before it."""
        deadline = time.monotonic() + self._timeout
        while (status := self.status).endswith("_IN_PROGRESS"):
            if time.monotonic() > deadline:
                raise StackError(self.name, f"still {status} after {self._timeout:g} s", self._failures(known))
            time.sleep(_POLL_SECONDS)
        if status != expected_status:
            raise StackError(self.name, status, self._failures(known))

    def _failures(self, known: set[str]) -> list[Failure]:
        return [
            Failure(event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", ""))
            for event in reversed(self.events())
            if event["EventId"] not in known and event["ResourceStatus"].endswith("_FAILED")
        ]
