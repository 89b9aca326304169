"""Look up which resource of which stack has put a policy on a role (`ownership`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from itertools import islice
from typing import Any, NamedTuple

from rotation_role_policy.audit.facts import Known, Problem, Unknown
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.audit.ownership import (
    Owner,
    Ownership,
    StackResource,
    Unproven,
    is_cut,
    is_in_progress,
    owner_of,
    regions_of_secrets,
    stacks_by_policy_name,
)
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AwsApiError, RequestError
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.lookup.stacks import event_properties, is_event_of_resource
from rotation_role_policy.rules.identity import logical_id_in
from rotation_role_policy.rules.properties import Properties, parse_properties

_THREADS = 2
_LOGICAL_IDS = 16
"""Of which the names of the policies in all stacks are kept. An account can have thousands of stacks."""
_EVENT_PAGES = 10
"""Of 100 events. CloudFormation keeps the events of 90 days, and a stack can have many resources."""
_COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


class _Place(NamedTuple):
    stack_id: str
    logical_id: str


class Stacks:
    """The stacks of a region, and their resources.

    Args:
        aws: makes the calls in the region, in several threads.
        workers: of the audit.
    """

    def __init__(self, aws: Aws, workers: Workers) -> None:
        self.region = aws.region()
        self._listed: Lookups[str, Mapping[str, str]] = Lookups(workers, "stacks", 1, lambda _: _list_stacks(aws))
        self._resources = Lookups(workers, "stacks", _THREADS, partial(_resource, aws))
        self._properties = Lookups(workers, "stacks", _THREADS, partial(_completed_properties, aws))
        # Most stacks of an account name the resource alike. Each name takes a hash for each stack.
        self._by_policy_name = lru_cache(_LOGICAL_IDS)(self._stacks_by_policy_name)

    def listed(self) -> Known[Mapping[str, str]] | Unknown:
        """Return the statuses of the stacks by their IDs. They are listed once, if somebody asks for them."""
        return self._listed.get(self.region)

    def stack_of(self, name: str) -> str:
        """Return the ID of the stack to whose resource the name of a policy belongs; empty if it is none of these."""
        return self._by_policy_name(logical_id_in(name)).get(name, "")

    def _stacks_by_policy_name(self, logical_id: str) -> dict[str, str]:
        listed = self.listed()
        return stacks_by_policy_name(logical_id, listed.value) if isinstance(listed, Known) else {}

    def resource(self, stack_id: str, logical_id: str) -> Known[StackResource | None] | Unknown:
        """Return a resource of a stack; None if there is none."""
        return self._resources.get(_Place(stack_id, logical_id))

    def properties(self, owner: Owner) -> Properties | None:
        """Return the properties of a resource; None if CloudFormation does not have them, or does not give them."""
        found = self._properties.get(_Place(owner.stack_id, owner.logical_id))
        return found.value if isinstance(found, Known) else None

    def failures(self) -> list[Problem]:
        """Return why stacks or resources could not be read, as far as they were needed."""
        lookups: list[Lookups[Any, Any]] = [self._listed, self._resources, self._properties]
        return [problem for each in lookups for problem in each.failures()]


def owners(stacks: Iterable[Stacks], role_name: str, inline: Mapping[str, JsonDocument]) -> dict[str, Owner | Unproven]:
    """Return who has put inline policies on a role. Policies that certainly no stack has put there are left out.

    Args:
        stacks: of the regions that are audited.
        role_name: of the role.
        inline: documents by the name of the policy.
    """
    by_region = {each.region: each for each in stacks}
    found = {
        name: _owner(by_region, role_name, name, document) for name, document in inline.items() if logical_id_in(name)
    }
    return {name: ownership for name, ownership in found.items() if ownership}


def _owner(stacks: Mapping[str, Stacks], role_name: str, name: str, document: JsonDocument) -> Ownership:
    are_all_listed = True
    for region in stacks.values():
        listed = region.listed()
        if isinstance(listed, Unknown):
            are_all_listed = False
        elif stack_id := region.stack_of(name):
            if is_in_progress(listed.value[stack_id]):
                return Unproven.IN_PROGRESS
            resource = region.resource(stack_id, logical_id_in(name))
            if isinstance(resource, Unknown):
                return Unproven.NOT_LISTED
            return owner_of(role_name, name, stack_id, resource.value)
    if not are_all_listed:
        return Unproven.NOT_LISTED
    if is_cut(name):
        return Unproven.CUT_NAME
    return Unproven.OTHER_REGION if regions_of_secrets(document) - stacks.keys() else None


# --- the look-ups -----------------------------------------------------------------------------------------------------


def _list_stacks(aws: Aws) -> Mapping[str, str]:
    """Return the statuses of all stacks of the region that are not deleted, by the ID of the stack."""
    shape: Any = aws.cloudformation.meta.service_model.shape_for("StackStatus")
    existing = [status for status in shape.enum if status != "DELETE_COMPLETE"]
    pages = aws.paginate(aws.cloudformation.list_stacks, StackStatusFilter=existing)
    return {stack["StackId"]: stack["StackStatus"] for page in pages for stack in page["StackSummaries"]}


def _resource(aws: Aws, place: _Place) -> StackResource | None:
    method = aws.cloudformation.describe_stack_resource
    try:
        found = aws.call(method, StackName=place.stack_id, LogicalResourceId=place.logical_id)["StackResourceDetail"]
    except AwsApiError as error:
        # The stack has no such resource (any more).
        if error.code == "ValidationError":
            return None
        raise
    return StackResource(found["ResourceType"], found.get("PhysicalResourceId", ""), found["ResourceStatus"])


def _completed_properties(aws: Aws, place: _Place) -> Properties | None:
    """Return the properties of the last Create or Update of a resource that has succeeded."""
    pages = aws.paginate(aws.cloudformation.describe_stack_events, StackName=place.stack_id)
    for stack_event in (each for page in islice(pages, _EVENT_PAGES) for each in page["StackEvents"]):
        if is_event_of_resource(stack_event, place.logical_id) and stack_event["ResourceStatus"] in _COMPLETE:
            properties = event_properties(stack_event)
            try:
                return parse_properties(properties) if isinstance(properties, dict) else None
            except RequestError:
                # CloudFormation masks the values of NoEcho parameters, and an older version accepted other values.
                return None
    return None
