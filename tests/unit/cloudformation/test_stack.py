"""What the provider reads from CloudFormation: is the stack rolling back, has a request been superseded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from rotation_role_policy.cloudformation import request, stack
from rotation_role_policy.cloudformation.stack import RequestSupersededError, ResourceStatus, StackStatus
from tests.support.fake_cloudformation import FakeCloudFormation
from tests.support.world import LOGICAL_ID, OWN_POLICY, STACK_ID, WatchedAws, World, error

OWN_ID = f"rotation-role/{OWN_POLICY}"
NEW_ID = f"successor/{OWN_POLICY}"
OLD = {"SecretId": "prod/db", "PropagationDelay": "10", "SecretIds": ["a"], "VpcConfig": {"x": "true"}}
NEW = OLD | {"SecretId": "prod/other"}


@pytest.fixture
def cloudformation(world: World) -> FakeCloudFormation:
    """With a stack whose resource was created a while ago."""
    fake = world.cloudformation
    fake.set_status(STACK_ID, "CREATE_IN_PROGRESS")
    fake.set_resource(STACK_ID, LOGICAL_ID, "CREATE_IN_PROGRESS", "", OLD)
    fake.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, OLD)
    fake.set_status(STACK_ID, "CREATE_COMPLETE")
    return fake


@pytest.fixture
def forward(world: World, cloudformation: FakeCloudFormation) -> dict[str, Any]:
    """An Update, sent a moment ago."""
    return world.request("Update", NEW, PhysicalResourceId=OWN_ID)


def superseded(world: World, event: dict[str, Any], physical_id: str = OWN_ID) -> str:
    """Why the request is superseded; empty where it is not."""
    aws = WatchedAws(world)
    reasons = []
    # Whether the status was asked for already, or is asked for if need be.
    for status in (stack.status(aws, event), None):
        world.calls.clear()
        try:
            stack.raise_if_superseded(aws, event, physical_id, status)
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
        # The next Update is already another operation's.
        ("UPDATE_ROLLBACK_COMPLETE", False),
        ("", False),
    ],
)
def test_a_stack_rolls_back_while_its_rollback_is_in_progress(
    world: World, forward: dict[str, Any], value: str, is_rollback: bool
) -> None:
    world.cloudformation.set_status(STACK_ID, value)
    status = stack.status(WatchedAws(world), forward)
    assert (status.value, status.is_rollback, status.is_unanswered) == (value, is_rollback, False)


@pytest.mark.parametrize(
    ("trouble", "is_unanswered"),
    [
        (error("Throttling"), True),
        (ReadTimeoutError(endpoint_url="https://cloudformation"), True),
        (error("ServiceUnavailable"), True),
        (error("AccessDenied"), False),
        (error("ValidationError", "Stack does not exist"), False),
    ],
)
def test_a_status_that_is_not_known_may_still_be_told(
    world: World, forward: dict[str, Any], trouble: Exception, is_unanswered: bool
) -> None:
    world.faults["cloudformation:DescribeStacks"] = [trouble] * 1000
    assert stack.status(WatchedAws(world), forward) == StackStatus(is_unanswered=is_unanswered)


# --- superseded ---


def test_a_request_that_cloudformation_waits_for_is_not_superseded(world: World, forward: dict[str, Any]) -> None:
    assert superseded(world, forward) == ""
    world.cloudformation.set_resource(STACK_ID, "Other", "CREATE_FAILED", "other", {})
    assert superseded(world, forward) == ""


@pytest.mark.parametrize("physical_id", [OWN_ID, NEW_ID])
def test_a_rollbacks_own_update_is_not_superseded(world: World, forward: dict[str, Any], physical_id: str) -> None:
    fake = world.cloudformation
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_FAILED", OWN_ID, NEW, "Resource update cancelled")
    fake.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    own = world.request("Update", OLD, stack_status="UPDATE_ROLLBACK_IN_PROGRESS", PhysicalResourceId=physical_id)
    assert superseded(world, own) == ""
    assert superseded(world, forward) == (
        "CloudFormation no longer waits for this request: since then, the resource was UPDATE_IN_PROGRESS."
    )


def test_a_rollback_that_begins_in_the_second_of_its_request_is_not_superseded(
    world: World, cloudformation: FakeCloudFormation
) -> None:
    # A signature has whole seconds: the request seems to be older than the events before it.
    cloudformation.pace = timedelta(milliseconds=50)
    cloudformation.now = datetime(2026, 1, 1, 13, 0, 0, 100_000, UTC)
    world.request("Update", NEW, PhysicalResourceId=OWN_ID)
    cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_FAILED", OWN_ID, NEW, "it failed")
    own = world.request("Update", OLD, stack_status="UPDATE_ROLLBACK_IN_PROGRESS", PhysicalResourceId=OWN_ID)
    assert superseded(world, own) == ""
    # Nor is it where CloudFormation does not show the last events yet.
    del cloudformation.stacks[STACK_ID].events[-1]
    assert superseded(world, own) == ""


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS"])
def test_a_request_is_superseded_when_the_stack_rolls_back_or_is_deleted(
    world: World, forward: dict[str, Any], status: str
) -> None:
    world.cloudformation.set_status(STACK_ID, status)
    assert status in superseded(world, forward)


def test_a_rollback_of_a_nested_stack_is_not_that_of_the_stack(world: World, forward: dict[str, Any]) -> None:
    world.cloudformation.set_resource(STACK_ID, "Nested", "UPDATE_ROLLBACK_IN_PROGRESS", "arn:nested", {})
    assert superseded(world, forward) == ""


def test_a_request_is_superseded_when_its_resource_failed(world: World, forward: dict[str, Any]) -> None:
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_FAILED", OWN_ID, NEW, "timed out")
    assert "the resource was UPDATE_FAILED" in superseded(world, forward)


def test_another_delivery_that_was_answered_does_not_supersede(world: World, forward: dict[str, Any]) -> None:
    fake = world.cloudformation
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", NEW_ID, NEW, "Requested update required a new one")
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", NEW_ID, NEW)
    fake.set_status(STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    fake.set_resource(STACK_ID, LOGICAL_ID, "DELETE_IN_PROGRESS", OWN_ID)
    assert superseded(world, forward, NEW_ID) == ""
    # The function has got another role since: nobody would delete the policy there.
    assert "UPDATE_COMPLETE" in superseded(world, forward, f"third/{OWN_POLICY}")


def test_a_request_is_superseded_when_its_resource_was_taken_out_of_the_template(
    world: World, forward: dict[str, Any]
) -> None:
    world.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "DELETE_COMPLETE", OWN_ID)
    assert "DELETE_COMPLETE" in superseded(world, forward)


@pytest.mark.parametrize(
    ("shown", "is_same"),
    [
        (NEW | {"PropagationDelay": 10, "VpcConfig": {"x": True}}, True),
        (NEW | {"ServiceToken": "{{resolve:ssm:/rotation-role-policy/service-token}}", "ServiceTimeout": 60}, True),
        (NEW | {"SecretIds": ["b"]}, False),
        (NEW | {"Triggers": {}}, False),
    ],
)
def test_an_event_shows_a_requests_properties_in_whatever_form(
    world: World, forward: dict[str, Any], shown: dict[str, Any], is_same: bool
) -> None:
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", OWN_ID, shown)
    assert (superseded(world, forward) == "") is is_same


def test_a_late_request_is_told_in_a_stack_of_many_resources(world: World, forward: dict[str, Any]) -> None:
    fake = world.cloudformation
    fake.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    for number in range(500):
        fake.set_resource(STACK_ID, f"Other{number}", "UPDATE_COMPLETE", "other", {})
    assert "UPDATE_ROLLBACK_IN_PROGRESS" in superseded(world, forward)


def test_while_the_operation_just_goes_on_one_page_of_events_is_enough(world: World, forward: dict[str, Any]) -> None:
    fake = world.cloudformation
    for number in range(500):
        fake.set_resource(STACK_ID, f"Other{number}", "CREATE_COMPLETE", "other", {})
    assert superseded(world, forward) == ""
    assert world.actions() == ["cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks"]
    fake.stacks[STACK_ID].events[:-50] = []
    assert superseded(world, forward) == ""
    assert world.actions() == ["cloudformation:DescribeStackEvents"]


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
def test_where_the_events_are_not_told_the_status_tells_what_it_can(
    world: World, forward: dict[str, Any], request_type: str, status: str, is_superseded: bool
) -> None:
    world.cloudformation.set_status(STACK_ID, status)
    world.faults["cloudformation:DescribeStackEvents"] = [error("AccessDenied")] * 2
    assert bool(superseded(world, forward | {"RequestType": request_type})) is is_superseded


def test_without_the_time_of_a_request_its_properties_decide(world: World, forward: dict[str, Any]) -> None:
    by_hand = forward | {"ResponseURL": world.answers.url}
    assert request.sent_at(by_hand) is None
    assert superseded(world, by_hand) == ""
    world.request("Update", OLD, stack_status="UPDATE_ROLLBACK_IN_PROGRESS", PhysicalResourceId=OWN_ID)
    assert "UPDATE_IN_PROGRESS" in superseded(world, by_hand)


@pytest.mark.parametrize("unreadable", [{}, {"ResourceProperties": '{"SecretId": "prod/'}])
def test_events_without_properties_supersede_nothing(
    world: World, forward: dict[str, Any], unreadable: dict[str, str]
) -> None:
    by_hand = forward | {"ResponseURL": world.answers.url}
    for stack_event in world.cloudformation.stacks[STACK_ID].events:
        if stack_event.pop("ResourceProperties", None):
            stack_event |= unreadable
    assert superseded(world, by_hand) == ""


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
def test_a_request_was_sent_when_its_response_url_was_signed(query: str, time: datetime | None) -> None:
    assert request.sent_at({"ResponseURL": f"https://example.com/a?{query}"}) == time


# --- physical IDs ---


def test_the_previous_physical_id_is_that_before_the_operation(world: World, forward: dict[str, Any]) -> None:
    fake = world.cloudformation
    fake.page_size = 2
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", NEW_ID, NEW, "Requested update required a new one")
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", NEW_ID, NEW)
    in_place = {"StackId": STACK_ID, "LogicalResourceId": LOGICAL_ID, "PhysicalResourceId": OWN_ID}
    replaced = in_place | {"PhysicalResourceId": NEW_ID}
    aws = WatchedAws(world)
    fake.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", NEW_ID, OLD)
    assert stack.previous_physical_id(aws, replaced) == OWN_ID
    # What another operation has replaced is gone.
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, OLD)
    fake.set_status(STACK_ID, "UPDATE_IN_PROGRESS")
    fake.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", OWN_ID, NEW)
    assert stack.previous_physical_id(aws, in_place) == ""
    world.faults["cloudformation:DescribeStackEvents"] = [error("AccessDenied")]
    assert stack.previous_physical_id(aws, replaced) == ""


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
            ResourceStatus(OWN_ID, is_deleted=False, requested=OLD, is_in_progress=True),
        ),
        ("CREATE_IN_PROGRESS", "", ResourceStatus("", is_deleted=False, requested=OLD, is_in_progress=True)),
    ],
)
def test_the_status_of_a_resource_tells_what_cloudformation_believes(
    world: World, forward: dict[str, Any], status: str, physical_id: str, expected: ResourceStatus
) -> None:
    world.cloudformation.page_size = 1
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, status, physical_id, OLD)
    world.cloudformation.set_resource(STACK_ID, "Other", "UPDATE_IN_PROGRESS", "other", {})
    # That of another physical ID, in the clean-up.
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "DELETE_IN_PROGRESS", "old/id")
    assert stack.resource_status(WatchedAws(world), forward) == expected


@pytest.mark.parametrize("action", ["DescribeStackResource", "DescribeStackEvents"])
def test_the_status_of_a_resource_may_not_be_told(world: World, forward: dict[str, Any], action: str) -> None:
    world.faults[f"cloudformation:{action}"] = [error("AccessDenied")]
    assert stack.resource_status(WatchedAws(world), forward) is None


@pytest.mark.parametrize(
    ("code", "current"), [("", OWN_ID), ("ValidationError", ""), ("AccessDenied", None), ("Throttling", None)]
)
def test_the_current_physical_id_is_asked_for_a_minute(
    world: World, forward: dict[str, Any], code: str, current: str | None
) -> None:
    world.faults["cloudformation:DescribeStackResource"] = [error(code)] * 1000 if code else []
    assert stack.current_physical_id(WatchedAws(world), forward) == current
    assert sum(world.slept) <= 60
    if code == "Throttling":
        assert sum(world.slept) > 40
