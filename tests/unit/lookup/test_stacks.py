"""Lookups in CloudFormation: stack status, superseded requests, and physical IDs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from rotation_role_policy.lookup import stacks
from rotation_role_policy.lookup.stacks import ResourceStatus, StackStatus
from rotation_role_policy.provider.request import parse_request
from rotation_role_policy.provider.superseded import RequestSupersededError, raise_if_superseded
from tests.support.account import LOGICAL_ID, OWN_POLICY, STACK_ID, Account, WatchedAws, error
from tests.support.fake_cloudformation import FakeCloudFormation

OWN_ID = f"rotation-role/{OWN_POLICY}"
NEW_ID = f"successor/{OWN_POLICY}"
OLD = {"SecretId": "prod/db", "PropagationDelay": "10", "SecretIds": ["a"], "VpcConfig": {"x": "true"}}
NEW = OLD | {"SecretId": "prod/other"}


@pytest.fixture
def cloudformation(account: Account) -> FakeCloudFormation:
    """Return CloudFormation with a stack whose resource was created a while ago."""
    fake = account.cloudformation
    fake.set_status(STACK_ID, "CREATE_IN_PROGRESS")
    fake.set_resource(STACK_ID, LOGICAL_ID, "CREATE_IN_PROGRESS", "", OLD)
    fake.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, OLD)
    fake.set_status(STACK_ID, "CREATE_COMPLETE")
    return fake


@pytest.fixture
def forward(account: Account, cloudformation: FakeCloudFormation) -> dict[str, Any]:
    """Return an Update that was just sent."""
    return account.request("Update", NEW, PhysicalResourceId=OWN_ID)


def reason_superseded(account: Account, event: dict[str, Any], physical_id: str = OWN_ID) -> str:
    """Return why the request is superseded; empty if it is not."""
    aws = WatchedAws(account)
    reasons = []
    # The result is the same, whether or not the status was looked up before.
    for status in (stacks.get_status(aws, STACK_ID), None):
        account.calls.clear()
        try:
            raise_if_superseded(aws, parse_request(event), physical_id, status)
        except RequestSupersededError as why:
            reasons.append(str(why))
        else:
            reasons.append("")
    assert bool(reasons[0]) is bool(reasons[1])
    return reasons[0]


# --- the status ---


@pytest.mark.parametrize(
    ("value", "is_rollback"),
    [
        ("UPDATE_IN_PROGRESS", False),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", False),
        ("UPDATE_ROLLBACK_IN_PROGRESS", True),
        ("ROLLBACK_IN_PROGRESS", True),
        ("IMPORT_ROLLBACK_IN_PROGRESS", True),
        # The next Update belongs to another operation.
        ("UPDATE_ROLLBACK_COMPLETE", False),
        ("", False),
    ],
)
def test_a_stack_rolls_back_while_its_rollback_is_in_progress(
    account: Account, forward: dict[str, Any], value: str, is_rollback: bool
) -> None:
    account.cloudformation.set_status(STACK_ID, value)
    status = stacks.get_status(WatchedAws(account), STACK_ID)
    assert (status.value, status.is_rollback, status.can_retry) == (value, is_rollback, False)


@pytest.mark.parametrize(
    ("fault", "can_retry"),
    [
        (error("Throttling"), True),
        (ReadTimeoutError(endpoint_url="https://cloudformation"), True),
        (error("ServiceUnavailable"), True),
        (error("AccessDenied"), False),
        (error("ValidationError", "Stack does not exist"), False),
    ],
)
def test_the_lookup_of_a_stack_status_can_be_retried_only_after_temporary_errors(
    account: Account, forward: dict[str, Any], fault: Exception, can_retry: bool
) -> None:
    account.faults["cloudformation:DescribeStacks"] = [fault] * 1000
    assert stacks.get_status(WatchedAws(account), STACK_ID) == StackStatus(can_retry=can_retry)


# --- superseded ---


def test_a_request_that_cloudformation_waits_for_is_not_superseded(account: Account, forward: dict[str, Any]) -> None:
    assert reason_superseded(account, forward) == ""
    account.cloudformation.set_resource(STACK_ID, "Other", "CREATE_FAILED", "other", {})
    assert reason_superseded(account, forward) == ""


@pytest.mark.parametrize("physical_id", [OWN_ID, NEW_ID])
def test_the_update_of_a_rollback_is_not_superseded(
    account: Account, forward: dict[str, Any], physical_id: str
) -> None:
    fake = account.cloudformation
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_FAILED", OWN_ID, NEW, "Resource update cancelled")
    fake.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    own = account.request("Update", OLD, stack_status="UPDATE_ROLLBACK_IN_PROGRESS", PhysicalResourceId=physical_id)
    assert reason_superseded(account, own) == ""
    assert reason_superseded(account, forward) == (
        "CloudFormation no longer waits for this request: since then, the resource was UPDATE_IN_PROGRESS."
    )


def test_a_rollback_that_begins_in_the_second_of_its_request_is_not_superseded(
    account: Account, cloudformation: FakeCloudFormation
) -> None:
    # A signature has whole seconds, so the request seems to be older than the events before it.
    cloudformation.pace = timedelta(milliseconds=50)
    cloudformation.now = datetime(2026, 1, 1, 13, 0, 0, 100_000, UTC)
    account.request("Update", NEW, PhysicalResourceId=OWN_ID)
    cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_FAILED", OWN_ID, NEW, "it failed")
    own = account.request("Update", OLD, stack_status="UPDATE_ROLLBACK_IN_PROGRESS", PhysicalResourceId=OWN_ID)
    assert reason_superseded(account, own) == ""
    # The same applies if CloudFormation does not report the last events yet.
    del cloudformation.stacks[STACK_ID].events[-1]
    assert reason_superseded(account, own) == ""


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS"])
def test_a_request_is_superseded_when_the_stack_rolls_back_or_is_deleted(
    account: Account, forward: dict[str, Any], status: str
) -> None:
    account.cloudformation.set_status(STACK_ID, status)
    assert status in reason_superseded(account, forward)


def test_a_rollback_of_a_nested_stack_does_not_supersede_the_request(account: Account, forward: dict[str, Any]) -> None:
    account.cloudformation.set_resource(STACK_ID, "Nested", "UPDATE_ROLLBACK_IN_PROGRESS", "arn:nested", {})
    assert reason_superseded(account, forward) == ""


def test_a_request_is_superseded_when_its_resource_failed(account: Account, forward: dict[str, Any]) -> None:
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_FAILED", OWN_ID, NEW, "timed out")
    assert "the resource was UPDATE_FAILED" in reason_superseded(account, forward)


def test_the_success_of_a_duplicate_delivery_does_not_supersede_the_request(
    account: Account, forward: dict[str, Any]
) -> None:
    fake = account.cloudformation
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", NEW_ID, NEW, "Requested update required a new one")
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", NEW_ID, NEW)
    fake.set_status(STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    fake.set_resource(STACK_ID, LOGICAL_ID, "DELETE_IN_PROGRESS", OWN_ID)
    assert reason_superseded(account, forward, NEW_ID) == ""
    # The function has a third role now. CloudFormation would never delete the policy on that role.
    assert "UPDATE_COMPLETE" in reason_superseded(account, forward, f"third/{OWN_POLICY}")


def test_a_request_is_superseded_when_its_resource_was_removed_from_the_template(
    account: Account, forward: dict[str, Any]
) -> None:
    account.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "DELETE_COMPLETE", OWN_ID)
    assert "DELETE_COMPLETE" in reason_superseded(account, forward)


@pytest.mark.parametrize(
    ("reported", "is_same"),
    [
        (NEW | {"PropagationDelay": 10, "VpcConfig": {"x": True}}, True),
        (NEW | {"ServiceToken": "{{resolve:ssm:/rotation-role-policy/service-token}}", "ServiceTimeout": 60}, True),
        (NEW | {"SecretIds": ["b"]}, False),
        (NEW | {"Triggers": {}}, False),
    ],
)
def test_properties_in_stack_events_are_compared_regardless_of_scalar_types(
    account: Account, forward: dict[str, Any], reported: dict[str, Any], is_same: bool
) -> None:
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", OWN_ID, reported)
    assert (reason_superseded(account, forward) == "") is is_same


def test_a_late_request_is_superseded_in_a_stack_with_many_resources(account: Account, forward: dict[str, Any]) -> None:
    fake = account.cloudformation
    fake.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    for number in range(500):
        fake.set_resource(STACK_ID, f"Other{number}", "UPDATE_COMPLETE", "other", {})
    assert "UPDATE_ROLLBACK_IN_PROGRESS" in reason_superseded(account, forward)


def test_one_page_of_events_is_enough_while_the_operation_continues(account: Account, forward: dict[str, Any]) -> None:
    fake = account.cloudformation
    for number in range(500):
        fake.set_resource(STACK_ID, f"Other{number}", "CREATE_COMPLETE", "other", {})
    assert reason_superseded(account, forward) == ""
    assert account.actions() == ["cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks"]
    fake.stacks[STACK_ID].events[:-50] = []
    assert reason_superseded(account, forward) == ""
    assert account.actions() == ["cloudformation:DescribeStackEvents"]


@pytest.mark.parametrize(
    ("request_type", "status", "is_superseded"),
    [
        ("Create", "ROLLBACK_COMPLETE", True),
        ("Create", "UPDATE_ROLLBACK_IN_PROGRESS", True),
        ("Create", "DELETE_COMPLETE", True),
        ("Create", "UPDATE_IN_PROGRESS", False),
        ("Update", "DELETE_IN_PROGRESS", True),
        ("Update", "UPDATE_ROLLBACK_IN_PROGRESS", False),
    ],
)
def test_without_access_to_the_events_the_stack_status_decides(
    account: Account, forward: dict[str, Any], request_type: str, status: str, is_superseded: bool
) -> None:
    account.cloudformation.set_status(STACK_ID, status)
    account.faults["cloudformation:DescribeStackEvents"] = [error("AccessDenied")] * 2
    assert bool(reason_superseded(account, forward | {"RequestType": request_type})) is is_superseded


def test_without_the_time_of_the_request_its_properties_decide(account: Account, forward: dict[str, Any]) -> None:
    by_hand = forward | {"ResponseURL": account.responses.url}
    assert parse_request(by_hand).signed_at is None
    assert reason_superseded(account, by_hand) == ""
    account.request("Update", OLD, stack_status="UPDATE_ROLLBACK_IN_PROGRESS", PhysicalResourceId=OWN_ID)
    assert "UPDATE_IN_PROGRESS" in reason_superseded(account, by_hand)


@pytest.mark.parametrize("unreadable", [{}, {"ResourceProperties": '{"SecretId": "prod/'}])
def test_events_without_properties_do_not_supersede_a_request(
    account: Account, forward: dict[str, Any], unreadable: dict[str, str]
) -> None:
    by_hand = forward | {"ResponseURL": account.responses.url}
    for stack_event in account.cloudformation.stacks[STACK_ID].events:
        if stack_event.pop("ResourceProperties", None):
            stack_event |= unreadable
    assert reason_superseded(account, by_hand) == ""


@pytest.mark.parametrize(
    ("query", "time"),
    [
        ("X-Amz-Date=20260102T030405Z&X-Amz-Expires=7200", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("X-Amz-Date=yesterday", None),
        ("X-Amz-Date=", None),
        ("Expires=1", None),
        ("", None),
    ],
)
def test_the_time_of_a_request_is_the_time_when_its_response_url_was_signed(
    forward: dict[str, Any], query: str, time: datetime | None
) -> None:
    assert parse_request(forward | {"ResponseURL": f"https://example.com/a?{query}"}).signed_at == time


# --- physical IDs ---


def test_the_previous_physical_id_is_the_one_before_the_operation(account: Account, forward: dict[str, Any]) -> None:
    fake = account.cloudformation
    fake.page_size = 2
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", NEW_ID, NEW, "Requested update required a new one")
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", NEW_ID, NEW)
    aws = WatchedAws(account)
    fake.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", NEW_ID, OLD)
    assert stacks.previous_physical_id(aws, STACK_ID, LOGICAL_ID, NEW_ID) == OWN_ID
    # The resource of a former operation no longer exists.
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, OLD)
    fake.set_status(STACK_ID, "UPDATE_IN_PROGRESS")
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", OWN_ID, NEW)
    assert stacks.previous_physical_id(aws, STACK_ID, LOGICAL_ID, OWN_ID) == ""
    account.faults["cloudformation:DescribeStackEvents"] = [error("AccessDenied")]
    assert stacks.previous_physical_id(aws, STACK_ID, LOGICAL_ID, NEW_ID) == ""


@pytest.mark.parametrize(
    ("status", "physical_id", "expected"),
    [
        ("UPDATE_COMPLETE", OWN_ID, ResourceStatus(OWN_ID, is_deleted=False)),
        ("UPDATE_FAILED", NEW_ID, ResourceStatus(NEW_ID, is_deleted=False)),
        ("CREATE_FAILED", "made-up", ResourceStatus("made-up", is_deleted=False)),
        ("DELETE_IN_PROGRESS", OWN_ID, ResourceStatus(OWN_ID, is_deleted=True)),
        ("DELETE_COMPLETE", OWN_ID, ResourceStatus(OWN_ID, is_deleted=True)),
        ("DELETE_FAILED", OWN_ID, ResourceStatus(OWN_ID, is_deleted=False)),
        (
            "UPDATE_IN_PROGRESS",
            OWN_ID,
            ResourceStatus(OWN_ID, is_deleted=False, requested_properties=OLD, is_in_progress=True),
        ),
        ("CREATE_IN_PROGRESS", "", ResourceStatus("", is_deleted=False, requested_properties=OLD, is_in_progress=True)),
    ],
)
def test_the_resource_status_has_the_physical_id_and_the_requested_properties(
    account: Account, forward: dict[str, Any], status: str, physical_id: str, expected: ResourceStatus
) -> None:
    account.cloudformation.page_size = 1
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, status, physical_id, OLD)
    account.cloudformation.set_resource(STACK_ID, "Other", "UPDATE_IN_PROGRESS", "other", {})
    # An event of another physical ID, in the clean-up.
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "DELETE_IN_PROGRESS", "old/id")
    assert stacks.get_resource_status(WatchedAws(account), STACK_ID, LOGICAL_ID) == expected


@pytest.mark.parametrize("action", ["DescribeStackResource", "DescribeStackEvents"])
def test_the_resource_status_is_none_if_access_is_denied(
    account: Account, forward: dict[str, Any], action: str
) -> None:
    account.faults[f"cloudformation:{action}"] = [error("AccessDenied")]
    assert stacks.get_resource_status(WatchedAws(account), STACK_ID, LOGICAL_ID) is None


@pytest.mark.parametrize(
    ("code", "current"), [("", OWN_ID), ("ValidationError", ""), ("AccessDenied", None), ("Throttling", None)]
)
def test_the_lookup_of_the_current_physical_id_is_retried_for_at_most_a_minute(
    account: Account, forward: dict[str, Any], code: str, current: str | None
) -> None:
    account.faults["cloudformation:DescribeStackResource"] = [error(code)] * 1000 if code else []
    assert stacks.current_physical_id(WatchedAws(account), STACK_ID, LOGICAL_ID) == current
    assert sum(account.slept) <= 60
    if code == "Throttling":
        assert sum(account.slept) > 40
