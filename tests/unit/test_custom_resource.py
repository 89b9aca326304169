"""Create, Update and Delete: identity, ownership, what each writes, and what each costs in AWS calls."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from rotation_role_policy import __version__, attributes, custom_resource, identity, inspection, policy
from rotation_role_policy.cloudformation import stack
from rotation_role_policy.errors import Undelivered
from rotation_role_policy.properties import declare
from tests.support.world import ACCOUNT, LOGICAL_ID, OWN_POLICY, REGION, STACK_ID, Context, WatchedAws, World, error

OWN_ID = f"rotation-role/{OWN_POLICY}"
PROPERTIES = {"SecretId": "prod/db", "RotationLambdaARN": "rotate-db"}


@pytest.fixture
def secret(world: World) -> str:
    """A secret's ARN, with a rotation function ``rotate-db`` under the role ``rotation-role``."""
    world.function(world.role())
    return world.secret()


def foreign_policy(world: World, name: str = "somebody-elses", role: str = "rotation-role") -> dict[str, Any]:
    """A policy on the role that this resource did not put there."""
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}],
    }
    world.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    return document


# --- identity ---


def test_the_policy_is_named_after_one_resource_of_one_stack(world: World) -> None:
    digits = hashlib.sha256(f"{STACK_ID}/{LOGICAL_ID}".encode()).hexdigest()[:12]
    assert custom_resource.policy_name(world.request("Create", {})) == f"{LOGICAL_ID}-{digits}" == OWN_POLICY


def test_a_long_logical_id_is_cut_so_that_the_name_fits_128_characters(world: World) -> None:
    one, other = (
        custom_resource.policy_name(world.request("Create", {}, LogicalResourceId="A" * 250 + last)) for last in "xy"
    )
    assert len(one) == len(other) == 128
    assert one.startswith("A" * 115 + "-")
    assert one != other


# --- Create ---


def test_a_policys_name_tells_of_which_resource_it_may_be() -> None:
    for logical_id in (LOGICAL_ID, "A" * 250):
        name = identity.policy_name("a stack", logical_id)
        assert identity.may_be_named(name, logical_id)
        assert identity.may_be_named(name, "")
        assert not identity.may_be_named(name, "Other")
        assert not identity.may_be_named(f"{name}0", "")
    assert not identity.may_be_named("theirs", "")


def test_create_puts_the_policy_and_answers_with_where_it_stands(world: World, secret: str) -> None:
    answer = world.create(**PROPERTIES)
    assert answer == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": OWN_ID,
        "StackId": STACK_ID,
        "RequestId": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "LogicalResourceId": LOGICAL_ID,
        "Data": {
            "PolicyName": OWN_POLICY,
            "RoleName": "rotation-role",
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/rotation-role",
            "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db",
            "InVpc": "false",
            "SecretArns": secret,
            "KmsKeyArns": "",
        },
    }
    [statement, _] = world.policies()[OWN_POLICY]["Statement"]
    assert statement["Sid"] == "RotateSecret"
    assert statement["Resource"] == secret


def test_the_attributes_name_every_secret_and_each_key_once(world: World) -> None:
    world.function(world.role(), vpc=world.vpc())
    key, superuser_key = world.key(), world.key()
    arns = [world.secret(name, key) for name in ("b", "a")]
    world.secret("superuser", superuser_key)
    answer = world.create(SecretIds=["b", "a"], SuperuserSecretId="superuser", RotationLambdaARN="rotate-db")
    assert answer["Data"]["SecretArns"] == ",".join(arns)
    assert answer["Data"]["KmsKeyArns"] == f"{key},{superuser_key}"
    assert answer["Data"]["InVpc"] == "true"


def test_in_declared_mode_the_function_attribute_is_empty(world: World) -> None:
    world.secret()
    world.role()
    answer = world.create(SecretId="prod/db", RoleName="rotation-role", VpcConfig={"SubnetIds": ["subnet-1"]})
    assert answer["Status"] == "SUCCESS", answer["Reason"]
    assert answer["Data"]["FunctionArn"] == ""
    assert answer["Data"]["InVpc"] == "true"


def test_every_attribute_is_a_string_whatever_the_mode(world: World, secret: str) -> None:
    for properties in (PROPERTIES, {"SecretId": "prod/db", "RoleName": "rotation-role", "VpcConfig": {}}):
        data = world.create(**properties)["Data"]
        assert list(data) == [
            "PolicyName", "RoleName", "RoleArn", "FunctionArn", "InVpc", "SecretArns", "KmsKeyArns",
        ]  # fmt: skip
        assert all(isinstance(value, str) for value in data.values())


def test_a_repeated_create_gives_the_same_answer_and_changes_nothing(world: World, secret: str) -> None:
    first = world.create(**PROPERTIES)
    assert world.slept == [10]
    again = world.create(**PROPERTIES)
    assert again == first
    assert "iam:PutRolePolicy" not in world.actions()
    assert world.slept == [10, 10], "the first delivery may have written a moment ago"


def test_an_unchanged_create_makes_three_calls(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    world.create(**PROPERTIES)
    assert world.actions() == [
        "secretsmanager:DescribeSecret",
        "lambda:GetFunctionConfiguration",
        "iam:GetRolePolicy",
    ]


def test_a_first_create_simulates_and_puts_besides_and_reads_no_other_policy(world: World, secret: str) -> None:
    foreign_policy(world)
    world.create(**PROPERTIES)
    assert world.actions() == [
        "secretsmanager:DescribeSecret",
        "lambda:GetFunctionConfiguration",
        "iam:GetRolePolicy",
        # One for each statement.
        "iam:SimulatePrincipalPolicy",
        "iam:SimulatePrincipalPolicy",
        "iam:PutRolePolicy",
        "cloudformation:DescribeStackEvents",
    ]


def test_without_the_access_check_nothing_is_simulated(world: World, secret: str) -> None:
    assert world.create(**PROPERTIES, AccessCheck="Off")["Status"] == "SUCCESS"
    assert "iam:SimulatePrincipalPolicy" not in world.actions()


@pytest.mark.parametrize(
    ("delay", "seconds"), [({}, 10), ({"PropagationDelay": "0"}, 0), ({"PropagationDelay": 60}, 60)]
)
def test_a_changed_policy_is_given_time_to_propagate(
    world: World, secret: str, delay: dict[str, Any], seconds: int
) -> None:
    world.create(**PROPERTIES, **delay)
    assert sum(world.slept) == seconds


def test_the_propagation_delay_leaves_time_to_answer(world: World, secret: str) -> None:
    event = world.request("Create", PROPERTIES | {"PropagationDelay": "60"})
    assert world.send(event, Context(milliseconds=80_000))["Status"] == "SUCCESS"
    # 15 seconds for the answer, 21 to take a policy back, 10 to ask whether anybody waits.
    assert sum(world.slept) == pytest.approx(80 - 15 - 65 / 3 - 10, abs=1)


# --- a Create that fails ---


def test_a_create_that_fails_before_the_role_is_known_has_an_id_without_a_slash(world: World) -> None:
    answer = world.create(SecretId="nowhere")
    assert answer["Status"] == "FAILED"
    assert answer["PhysicalResourceId"] == f"uncreated-{LOGICAL_ID}"
    assert answer["Data"] == {}


def test_a_create_that_fails_when_the_role_is_known_has_the_id_of_its_policy(world: World, secret: str) -> None:
    world.faults["iam:PutRolePolicy"] = [error("MalformedPolicyDocument")]
    answer = world.create(**PROPERTIES)
    assert answer["Status"] == "FAILED"
    assert answer["PhysicalResourceId"] == OWN_ID


@pytest.mark.parametrize("action", ["iam:GetRolePolicy", "iam:SimulatePrincipalPolicy", "iam:PutRolePolicy"])
def test_a_create_on_a_role_out_of_reach_does_not_strand_the_stack(world: World, secret: str, action: str) -> None:
    world.faults[action] = [error("AccessDenied", "User is not authorized")]
    answer = world.create(**PROPERTIES)
    assert answer["Status"] == "FAILED"
    assert action in answer["Reason"]
    assert "RoleNamePattern" in answer["Reason"][-240:]

    world.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")]
    assert world.delete(answer["PhysicalResourceId"], **PROPERTIES)["Status"] == "SUCCESS"


def test_a_refused_request_writes_nothing_and_keeps_the_names_of_others(world: World, secret: str) -> None:
    theirs = foreign_policy(world)
    for properties in (
        {"SecretId": "prod/db", "RotationLambda": "rotate-db"},
        {"SecretId": "nowhere", "RotationLambdaARN": "rotate-db"},
        {"SecretId": "prod/db", "RotationLambdaARN": "nowhere"},
        PROPERTIES | {"RoleName": "other"},
    ):
        answer = world.create(**properties)
        assert answer["Status"] == "FAILED"
        assert len(answer["Reason"]) <= 240
        assert world.policies() == {"somebody-elses": theirs}


def test_an_answer_that_cloudformation_would_not_take_is_refused_before_anything_is_written(world: World) -> None:
    world.function(world.role())
    names = [f"{'n' * 100}{number}" for number in range(30)]
    for name in names:
        world.secret(name)
    answer = world.create(SecretIds=names, RotationLambdaARN="rotate-db")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("SecretIds: 30 secrets are too many for one resource")
    assert "CloudFormation takes 4,096" in answer["Reason"]
    assert world.policies() == {}
    fitting = world.create(SecretIds=names[:15], RotationLambdaARN="rotate-db", AccessCheck="Off")
    assert fitting["Status"] == "SUCCESS", fitting["Reason"]
    assert max(world.answers.sizes) <= 4096


def test_an_unexpected_failure_says_where_to_look_and_shows_no_stack(
    world: World, secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(attributes, "attributes", lambda *_: 1 / 0)
    answer = world.create(**PROPERTIES)
    assert answer["Reason"] == (
        "The provider function failed unexpectedly (ZeroDivisionError)."
        " Its log stream 2026/01/01/[$LATEST]0123 says where."
    )
    assert "Traceback" in capsys.readouterr().out


# --- Update ---


def test_an_update_with_the_same_role_puts_in_place(world: World, secret: str) -> None:
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    key = world.key()
    world.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=key)
    answer = world.update(physical_id, **PROPERTIES, Triggers={"Key": key})
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", physical_id)
    assert world.policies()[OWN_POLICY]["Statement"][2]["Resource"] == key


def test_an_update_that_changes_nothing_writes_nothing(world: World, secret: str) -> None:
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    world.slept.clear()
    assert world.update(physical_id, **PROPERTIES, Triggers={"Again": "1"})["Status"] == "SUCCESS"
    assert "iam:PutRolePolicy" not in world.actions()
    assert world.slept == [10], "another delivery may have written a moment ago"


def test_a_changed_role_is_a_replacement_that_leaves_the_old_policy_to_its_delete(world: World, secret: str) -> None:
    old_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    world.function(world.role("successor"), "rotate-db-2")
    answer = world.update(old_id, SecretId="prod/db", RotationLambdaARN="rotate-db-2")
    assert answer["PhysicalResourceId"] == f"successor/{OWN_POLICY}"
    assert list(world.policies()) == list(world.policies("successor")) == [OWN_POLICY]

    world.delete(old_id, **PROPERTIES)
    assert world.policies() == {}
    assert list(world.policies("successor")) == [OWN_POLICY]


def test_an_update_of_the_role_that_is_rolled_back_ends_where_it_began(world: World, secret: str) -> None:
    old_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    before = world.policies()
    world.function(world.role("successor"), "rotate-db-2")
    new_id = world.update(old_id, SecretId="prod/db", RotationLambdaARN="rotate-db-2")["PhysicalResourceId"]
    assert world.update_in_rollback(new_id, **PROPERTIES)["PhysicalResourceId"] == old_id
    world.delete(new_id, SecretId="prod/db", RotationLambdaARN="rotate-db-2")
    assert world.policies() == before
    assert world.policies("successor") == {}


@pytest.mark.parametrize(
    "bad",
    [
        {"SecretId": "nowhere", "RotationLambdaARN": "rotate-db"},
        {"SecretId": "prod/db", "Unknown": "x"},
        {"SecretId": "prod/db", "RotationLambdaARN": "rotate-db", "RoleName": "other"},
    ],
)
def test_a_failed_update_changes_nothing_and_answers_with_the_id_it_got(
    world: World, secret: str, bad: dict[str, Any]
) -> None:
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    before = world.policies()
    answer = world.update(physical_id, **bad)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", physical_id)
    assert world.policies() == before


def test_a_failed_replacement_answers_with_the_id_it_got(world: World, secret: str) -> None:
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    world.function(world.role("successor"), "rotate-db-2")
    for code in ("AccessDenied", "ServiceFailure"):
        world.faults["iam:PutRolePolicy"] = [error(code)]
        answer = world.update(physical_id, SecretId="prod/db", RotationLambdaARN="rotate-db-2")
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", physical_id)
        assert world.policies("successor") == {}


# --- a write that comes to nothing ---

DOCUMENTED = PROPERTIES | {"PolicyProfile": "Documented"}
SUCCESSOR = {"SecretId": "prod/db", "RotationLambdaARN": "rotate-db-2"}
CLOSED = ConnectionClosedError(endpoint_url="https://iam.amazonaws.com/")


@pytest.fixture
def successor(world: World) -> None:
    """A rotation function ``rotate-db-2`` under the role ``successor``."""
    world.function(world.role("successor"), "rotate-db-2")


def test_a_write_whose_response_is_lost_is_made_again(world: World, secret: str) -> None:
    world.lost["iam:PutRolePolicy"] = [CLOSED, CLOSED]
    assert world.create(**PROPERTIES)["Status"] == "SUCCESS"
    assert list(world.policies()) == [OWN_POLICY]


def test_a_delete_whose_response_is_lost_succeeds(world: World, secret: str) -> None:
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    world.lost["iam:DeleteRolePolicy"] = [CLOSED]
    assert world.delete(physical_id)["Status"] == "SUCCESS"
    assert world.policies() == {}


def test_a_write_in_doubt_that_fails_in_the_end_is_taken_back(world: World, secret: str, successor: None) -> None:
    def lose_and_fail() -> None:
        world.lost["iam:PutRolePolicy"] = [CLOSED]
        world.faults["iam:PutRolePolicy"] = [lambda: None, error("MalformedPolicyDocument")]

    lose_and_fail()
    assert world.create(**PROPERTIES)["Status"] == "FAILED"
    assert world.policies() == {}
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    before = world.policies()
    for properties in (DOCUMENTED, SUCCESSOR):
        lose_and_fail()
        answer = world.update(physical_id, **properties)
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", physical_id)
        assert "MalformedPolicyDocument" in answer["Reason"]
        assert world.policies() == before
        assert world.policies("successor") == {}


def test_a_write_that_was_turned_away_leaves_nothing_to_take_back(world: World, secret: str) -> None:
    world.faults["iam:PutRolePolicy"] = [error("Throttling"), error("MalformedPolicyDocument")]
    assert world.create(**PROPERTIES)["Status"] == "FAILED"
    assert "iam:DeleteRolePolicy" not in world.actions()


def test_an_update_that_fails_after_its_write_puts_the_old_document_back(
    world: World, secret: str, successor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    before = world.policies()
    monkeypatch.setattr(custom_resource.resource, "refuse_late", lambda: 1 / 0)
    for properties in (DOCUMENTED, SUCCESSOR):
        answer = world.update(physical_id, **properties)
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", physical_id)
        assert world.policies() == before
        assert world.policies("successor") == {}


def test_an_update_whose_write_cannot_be_taken_back_says_where_to_look(
    world: World, secret: str, successor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    monkeypatch.setattr(custom_resource.resource, "refuse_late", lambda: 1 / 0)
    world.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")]
    answer = world.update(physical_id, **SUCCESSOR)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", physical_id)
    assert len(answer["Reason"]) <= 240
    assert f'the policy "{OWN_POLICY}" of role "successor"' in answer["Reason"]


def test_a_create_whose_write_cannot_be_taken_back_leaves_it_to_its_delete(
    world: World, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_resource.resource, "refuse_late", lambda: 1 / 0)
    world.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")]
    answer = world.create(**PROPERTIES)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", OWN_ID)
    assert "failed unexpectedly" in answer["Reason"]
    world.delete(answer["PhysicalResourceId"])
    assert world.policies() == {}


@pytest.mark.parametrize("action", ["secretsmanager:DescribeSecret", "iam:GetRolePolicy", "iam:PutRolePolicy"])
def test_a_request_that_is_throttled_to_the_end_is_answered_in_time(world: World, secret: str, action: str) -> None:
    world.faults[action] = [error("Throttling")] * 1000
    context = Context()
    answer = world.send(world.request("Create", PROPERTIES), context)
    assert answer["Status"] == "FAILED"
    assert f"{action} answered Throttling" in answer["Reason"]
    assert context.get_remaining_time_in_millis() >= 15_000
    assert world.policies() == {}


# --- time runs out ---


def time_runs_out(world: World) -> Callable[[], None]:
    """Takes until the timer has answered, as a call does that hangs."""

    def until_answered() -> None:
        world.slept.append(custom_resource.resource.answers_by - time.monotonic())
        custom_resource.resource._timer.function()

    return until_answered


@pytest.mark.parametrize(
    ("action", "physical_id"),
    [
        ("lambda:GetFunctionConfiguration", f"uncreated-{LOGICAL_ID}"),
        ("iam:GetRolePolicy", f"uncreated-{LOGICAL_ID}"),
        ("iam:SimulatePrincipalPolicy", OWN_ID),
    ],
)
def test_when_time_runs_out_before_the_write_nothing_is_written(
    world: World, secret: str, action: str, physical_id: str
) -> None:
    world.lost[action] = [time_runs_out(world)]
    answer = world.create(**PROPERTIES)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("The provider function ran out of time")
    assert world.calls[-1][0] == action
    assert answer["PhysicalResourceId"] == physical_id


@pytest.mark.parametrize("action", ["iam:PutRolePolicy", "cloudformation:DescribeStackEvents"])
def test_when_time_runs_out_at_the_write_it_is_rolled_back(
    world: World, secret: str, successor: None, action: str
) -> None:
    world.lost[action] = [time_runs_out(world)]
    answer = world.create(**PROPERTIES)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", OWN_ID)
    assert world.policies() == {}

    world.create(**PROPERTIES)
    before = world.policies()
    for changed in (DOCUMENTED, SUCCESSOR):
        # An Update asks CloudFormation before it writes, too.
        world.lost[action] = [time_runs_out(world)]
        if action == "cloudformation:DescribeStackEvents":
            world.lost[action].insert(0, lambda: None)
        answer = world.update(OWN_ID, **changed)
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", OWN_ID)
        assert world.policies() == before
        assert world.policies("successor") == {}


# --- superseded ---

MADE_UP_ID = "database_DatabaseRotationPolicy_1ABCDEFG"
"""What CloudFormation calls a resource that has not said its ID."""


def cancel_create(world: World, stack_status: str) -> None:
    """Another resource fails, or the stack is deleted: the Create is cancelled."""
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_FAILED", MADE_UP_ID, PROPERTIES, "cancelled")
    world.cloudformation.set_status(STACK_ID, stack_status)


@pytest.mark.parametrize(
    "status",
    [
        "ROLLBACK_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "DELETE_IN_PROGRESS",
        "DELETE_COMPLETE",
    ],
)
@pytest.mark.parametrize(
    "moment", ["secretsmanager:DescribeSecret", "iam:GetRolePolicy", "iam:SimulatePrincipalPolicy"]
)
def test_a_create_that_its_delete_overtakes_leaves_no_policy(
    world: World, secret: str, status: str, moment: str
) -> None:
    theirs = foreign_policy(world)

    def cancel() -> None:
        cancel_create(world, status)
        delete = world.request("Delete", PROPERTIES, stack_status=status, PhysicalResourceId=MADE_UP_ID)
        assert world.send_elsewhere(delete)["Status"] == "SUCCESS"

    create = world.request("Create", PROPERTIES)
    world.faults[moment] = [cancel]
    answer = world.send(create)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("CloudFormation no longer waits for this request: since then, the ")
    assert world.policies() == {"somebody-elses": theirs}


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "DELETE_COMPLETE"])
def test_a_create_that_is_delivered_long_after_its_delete_leaves_no_policy(
    world: World, secret: str, status: str
) -> None:
    event = world.request("Create", PROPERTIES)
    world.delete(world.send(event)["PhysicalResourceId"])
    world.cloudformation.set_status(STACK_ID, status)
    assert world.send(event)["Status"] == "FAILED"
    assert world.policies() == {}


def test_a_create_that_is_superseded_leaves_nothing_of_an_earlier_delivery_either(world: World, secret: str) -> None:
    event = world.request("Create", DOCUMENTED)
    world.send(event)
    cancel_create(world, "ROLLBACK_IN_PROGRESS")
    world.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=world.key())
    assert world.send(event)["Status"] == "FAILED"
    assert world.policies() == {}


def test_a_create_of_a_stack_that_is_rolled_back_leaves_nothing_though_cloudformation_does_not_tell_of_its_resource(
    world: World, secret: str
) -> None:
    event = world.request("Create", DOCUMENTED)
    world.send(event)
    cancel_create(world, "ROLLBACK_IN_PROGRESS")
    world.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=world.key())
    world.faults["cloudformation:DescribeStackResource"] = [error("AccessDenied")]
    assert world.send(event)["Status"] == "FAILED"
    assert world.policies() == {}


def test_a_create_that_starts_after_an_update_of_its_resource_leaves_what_the_update_put(
    world: World, secret: str
) -> None:
    create = world.request("Create", PROPERTIES)
    world.send(create)
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, PROPERTIES)
    world.update(OWN_ID, **DOCUMENTED)
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, DOCUMENTED)
    world.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE")
    before = world.policies()
    assert world.send(create)["Status"] == "FAILED"
    assert "iam:PutRolePolicy" not in world.actions()
    assert world.policies() == before


def fail_update(world: World, properties: dict[str, Any]) -> None:
    """Another resource fails: the Update of ours is cancelled, and the stack rolls back."""
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_FAILED", OWN_ID, properties, "cancelled")
    world.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")


def roll_back(world: World, physical_id: str = OWN_ID) -> dict[str, Any]:
    """The request of the rollback."""
    status = "UPDATE_ROLLBACK_IN_PROGRESS"
    return world.request("Update", PROPERTIES, stack_status=status, PhysicalResourceId=physical_id)


def end_rollback(world: World) -> None:
    """The rollback has succeeded."""
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, PROPERTIES)
    for status in ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"):
        world.cloudformation.set_status(STACK_ID, status)


@pytest.mark.parametrize("changed", [DOCUMENTED, SUCCESSOR])
@pytest.mark.parametrize("is_over", [True, False])
def test_an_update_that_its_rollback_overtakes_undoes_what_it_put(
    world: World, secret: str, successor: None, is_over: bool, changed: dict[str, Any]
) -> None:
    world.create(**PROPERTIES)
    before = world.policies()
    forward = world.request("Update", changed, PhysicalResourceId=OWN_ID)

    def overtake() -> None:
        fail_update(world, changed)
        assert world.send_elsewhere(roll_back(world))["PhysicalResourceId"] == OWN_ID
        if is_over:
            end_rollback(world)

    world.faults["iam:PutRolePolicy"] = [overtake]
    assert world.send(forward)["Status"] == "FAILED"
    assert world.policies() == before
    assert world.policies("successor") == {}


@pytest.mark.parametrize("changed", [DOCUMENTED, SUCCESSOR])
@pytest.mark.parametrize("served_before", [True, False])
@pytest.mark.parametrize("when", ["before the rollback's own Update", "after it", "after the rollback", "much later"])
def test_a_forward_update_that_starts_late_writes_nothing_and_leaves_nothing(
    world: World, secret: str, successor: None, changed: dict[str, Any], served_before: bool, when: str
) -> None:
    world.create(**PROPERTIES)
    before = world.policies()
    forward = world.request("Update", changed, PhysicalResourceId=OWN_ID)
    if served_before:
        # Lambda runs an event again if the answer was not taken.
        world.answers.statuses.append(403)
        with pytest.raises(Undelivered):
            custom_resource.handler(forward, Context())
    fail_update(world, changed)
    if when != "before the rollback's own Update":
        assert world.send(roll_back(world))["PhysicalResourceId"] == OWN_ID
    if when in ("after the rollback", "much later"):
        end_rollback(world)
    if when == "much later":
        world.cloudformation.page_size = 2
        world.send(world.request("Update", PROPERTIES | {"Triggers": {"a": "b"}}, PhysicalResourceId=OWN_ID))
    answer = world.send(forward)
    assert answer["Status"] == "FAILED"
    assert "CloudFormation no longer waits for this request" in answer["Reason"]
    assert "iam:PutRolePolicy" not in world.actions()
    assert world.policies("successor") == {} or when == "much later"
    if when == "before the rollback's own Update":
        assert world.send(roll_back(world))["Status"] == "SUCCESS"
    assert world.policies() == before


@pytest.mark.parametrize("newer_leads_there", [True, False])
def test_a_late_update_removes_its_policy_unless_a_newer_one_is_about_to_put_it(
    world: World, secret: str, successor: None, newer_leads_there: bool
) -> None:
    world.create(**PROPERTIES)
    first = world.request("Update", SUCCESSOR, PhysicalResourceId=OWN_ID)
    world.answers.statuses.append(403)
    with pytest.raises(Undelivered):
        custom_resource.handler(first, Context())
    fail_update(world, SUCCESSOR)
    world.send(roll_back(world))
    end_rollback(world)
    corrected = (SUCCESSOR if newer_leads_there else PROPERTIES) | {"Triggers": {"corrected": "1"}}
    second = world.request("Update", corrected, PhysicalResourceId=OWN_ID)
    world.faults["iam:GetRolePolicy"] = [lambda: world.send_elsewhere(first)]
    answer = world.send(second)
    assert answer["Status"] == "SUCCESS"
    assert list(world.policies("successor")) == ([OWN_POLICY] if newer_leads_there else [])
    assert list(world.policies(answer["Data"]["RoleName"])) == [OWN_POLICY]


def test_a_late_update_leaves_its_policy_if_a_newer_one_leads_nobody_knows_where(
    world: World, secret: str, successor: None
) -> None:
    world.create(**PROPERTIES)
    first = world.request("Update", SUCCESSOR, PhysicalResourceId=OWN_ID)
    world.answers.statuses.append(403)
    with pytest.raises(Undelivered):
        custom_resource.handler(first, Context())
    fail_update(world, SUCCESSOR)
    world.send(roll_back(world))
    end_rollback(world)
    world.request("Update", {"SecretId": "prod/db", "RotationLambdaARN": "nowhere"}, PhysicalResourceId=OWN_ID)
    assert world.send(first)["Status"] == "FAILED"
    assert list(world.policies("successor")) == [OWN_POLICY]


def test_a_superseded_update_leaves_the_document_that_the_rollback_put(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    forward = world.request("Update", DOCUMENTED, PhysicalResourceId=OWN_ID)

    def overtake() -> None:
        fail_update(world, DOCUMENTED)
        # The rollback leads to another document than the one that stood before.
        world.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=world.key())
        assert world.send_elsewhere(roll_back(world))["Status"] == "SUCCESS"

    world.lost["iam:PutRolePolicy"] = [overtake]
    assert world.send(forward)["Status"] == "FAILED"
    [_, _, use_key] = world.policies()[OWN_POLICY]["Statement"]
    assert use_key["Sid"] == "UseSecretKey"


def test_an_update_that_is_delivered_when_the_stack_is_deleted_leaves_no_policy(world: World, secret: str) -> None:
    event = world.request("Update", PROPERTIES, PhysicalResourceId=OWN_ID)
    world.cloudformation.set_status(STACK_ID, "DELETE_COMPLETE")
    assert world.send(event)["Status"] == "FAILED"
    assert world.policies() == {}


@pytest.mark.parametrize("moment", ["iam:GetRolePolicy", "iam:PutRolePolicy"])
@pytest.mark.parametrize("changed", [DOCUMENTED, SUCCESSOR])
def test_an_update_that_is_delivered_twice_at_once_keeps_what_it_put(
    world: World, secret: str, successor: None, moment: str, changed: dict[str, Any]
) -> None:
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    event = world.request("Update", changed, PhysicalResourceId=physical_id)
    answers = []

    def once_more() -> None:
        answers.append(world.send_elsewhere(event))
        new_id = answers[0]["PhysicalResourceId"]
        if new_id != physical_id:
            reason = "Requested update required the provider to create a new physical resource"
            world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", new_id, changed, reason)
        world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", new_id, changed)
        world.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        if new_id != physical_id:
            world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "DELETE_IN_PROGRESS", physical_id)
        world.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE")

    world.faults[moment] = [once_more]
    assert world.send(event) == answers[0]
    assert answers[0]["Status"] == "SUCCESS"
    [statement, *_] = world.policies(answers[0]["Data"]["RoleName"])[OWN_POLICY]["Statement"]
    assert ("Sid" in statement) is (changed == SUCCESSOR)


LOOKS = ["cloudformation:DescribeStacks", "cloudformation:DescribeStackEvents", "cloudformation:DescribeStackResource"]


@pytest.mark.parametrize("code", ["AccessDenied", "ValidationError"])
def test_where_cloudformation_does_not_tell_the_request_is_served(world: World, secret: str, code: str) -> None:
    world.faults = {action: [error(code)] * 9 for action in LOOKS}
    assert world.create(**PROPERTIES)["Status"] == "SUCCESS"
    assert world.update(OWN_ID, **DOCUMENTED)["Status"] == "SUCCESS"
    assert "Sid" not in world.policies()[OWN_POLICY]["Statement"][0]
    answer = world.update(OWN_ID, SecretId="nowhere", RotationLambdaARN="rotate-db")
    assert answer["Status"] == "FAILED"


def test_cloudformation_is_asked_for_no_longer_than_ten_seconds_at_a_time(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    world.slept.clear()
    world.faults = {action: [error("Throttling")] * 1000 for action in LOOKS}
    assert world.update(OWN_ID, **DOCUMENTED, PropagationDelay="0")["Status"] == "SUCCESS"
    # Its status, twice, and its events, before the write and after it.
    assert 0 < sum(world.slept) < 60


def test_the_stack_is_asked_by_its_id(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    assert world.calls[-1] == ("cloudformation:DescribeStackEvents", {"StackName": STACK_ID})
    world.update(OWN_ID, **DOCUMENTED)
    assert world.calls[0] == ("cloudformation:DescribeStacks", {"StackName": STACK_ID})


def test_a_policy_is_rolled_back_before_lambda_ends_the_invocation(world: World, secret: str) -> None:
    context = Context()
    world.lost["iam:PutRolePolicy"] = [CLOSED] * 1000
    world.faults["iam:DeleteRolePolicy"] = [CLOSED] * 1000
    assert world.send(world.request("Create", PROPERTIES), context)["PhysicalResourceId"] == OWN_ID
    # A call takes 13 seconds at most.
    assert context.get_remaining_time_in_millis() >= 13_000


@pytest.mark.parametrize("seconds", ["60", 60])
def test_the_answer_is_in_time_where_cloudformation_waits_a_shorter_time(
    world: World, secret: str, seconds: Any
) -> None:
    world.faults["iam:PutRolePolicy"] = [error("Throttling")] * 1000
    assert world.create(**PROPERTIES, ServiceTimeout=seconds)["Status"] == "FAILED"
    assert 20 < sum(world.slept) < 45


# --- a rollback ---


def disable_key(world: World) -> None:
    """The secret's key can't be used any more."""
    key_arn = world.client("secretsmanager").describe_secret(SecretId="prod/db")["KmsKeyId"]
    world.client("kms").disable_key(KeyId=key_arn.rpartition("/")[2])


def delete_secret(world: World) -> None:
    """The secret is scheduled for deletion."""
    world.client("secretsmanager").delete_secret(SecretId="prod/db")


def remove_secret(world: World) -> None:
    """The secret is gone."""
    world.client("secretsmanager").delete_secret(SecretId="prod/db", ForceDeleteWithoutRecovery=True)


def delete_function(world: World) -> None:
    """The function is gone."""
    world.client("lambda").delete_function(FunctionName="rotate-db")


def deny_put(world: World) -> None:
    """The role has lost the tag or boundary that the provider demands."""
    world.faults["iam:PutRolePolicy"] = [error("AccessDenied")] * 9


def fill_role(world: World) -> None:
    """The role has no room left."""
    world.faults["iam:PutRolePolicy"] = [error("LimitExceeded")] * 9


def throttle_secrets_manager(world: World) -> None:
    """Hundreds of resources are rolled back at the same time."""
    world.faults["secretsmanager:DescribeSecret"] = [error("ThrottlingException")] * 10_000


def lose_every_put(world: World) -> None:
    """IAM does not answer."""
    world.lost["iam:PutRolePolicy"] = [CLOSED] * 10_000


CHANGES = [
    disable_key, delete_secret, remove_secret, delete_function, deny_put, fill_role, throttle_secrets_manager,
    lose_every_put,
]  # fmt: skip


@pytest.fixture
def keyed_secret(world: World) -> str:
    """As `secret`, under a customer managed key; the function is in a VPC."""
    world.function(world.role(path="/app/"), vpc=world.vpc())
    return world.secret(key=world.key())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("served", [True, False])
def test_a_rollback_succeeds_whatever_has_changed_meanwhile(
    world: World,
    keyed_secret: str,
    successor: None,
    change: Callable[[World], None],
    in_place: bool,
    served: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    created = world.create(**PROPERTIES)
    before = world.policies()
    changed = DOCUMENTED if in_place else SUCCESSOR
    physical_id = world.update(OWN_ID, **changed)["PhysicalResourceId"] if served else OWN_ID
    fail_update(world, changed)
    change(world)
    capsys.readouterr()
    answer = world.send(roll_back(world, physical_id))
    assert answer["Status"] == "SUCCESS", answer["Reason"]
    # The old policy still stands on the old role: that is what CloudFormation has to believe in again.
    assert answer["PhysicalResourceId"] == OWN_ID
    if not (in_place and served):
        assert world.policies() == before
    assert set(answer["Data"]) == set(created["Data"])
    if change is delete_function:
        created["Data"]["FunctionArn"] = ""
    assert answer["Data"] == created["Data"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["RollbackWarnings"] for line in lines if line["message"] == "answering"] == [1]
    [warning] = [line for line in lines if line["message"] == "rolled back to the policy that stands"]
    assert warning["why"]


@pytest.mark.parametrize(
    "properties", [PROPERTIES, {"SecretId": "prod/db", "RoleName": "rotation-role", "VpcConfig": {}}]
)
def test_a_rollback_succeeds_though_its_role_is_gone(world: World, secret: str, properties: dict[str, Any]) -> None:
    world.create(**properties)
    fail_update(world, DOCUMENTED)
    iam = world.client("iam")
    iam.delete_role_policy(RoleName="rotation-role", PolicyName=OWN_POLICY)
    iam.delete_role(RoleName="rotation-role")
    answer = world.update_in_rollback(OWN_ID, **properties)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
    assert answer["Data"]["RoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/rotation-role"
    assert answer["Data"]["SecretArns"] == ""


def test_a_rollback_writes_even_what_seems_to_stand_there(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    world.update(OWN_ID, **DOCUMENTED)
    fail_update(world, DOCUMENTED)
    old = policy_document(world, PROPERTIES)
    # IAM is eventually consistent: it still returns what was there before the Update.
    world.responses["iam:GetRolePolicy"] = lambda _: {"PolicyDocument": json.dumps(old)}
    assert world.send(roll_back(world))["Status"] == "SUCCESS"
    del world.responses["iam:GetRolePolicy"]
    assert world.policies()[OWN_POLICY] == old


def policy_document(world: World, properties: dict[str, Any]) -> Any:
    """The document that these properties lead to."""
    situation = inspection.inspect(WatchedAws(World(world.answers)), declare(properties), ACCOUNT)
    return policy.document(situation, declare(properties).policy_profile)


@pytest.mark.parametrize("denied", [False, True])
def test_a_rollback_onto_a_third_role_leaves_no_policy_on_the_first(
    world: World, secret: str, successor: None, denied: bool
) -> None:
    world.create(**PROPERTIES)
    new_id = world.update(OWN_ID, **SUCCESSOR)["PhysicalResourceId"]
    fail_update(world, SUCCESSOR)
    # Somebody has given the function another role, outside CloudFormation.
    world.client("lambda").update_function_configuration(FunctionName="rotate-db", Role=world.role("third"))
    world.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")] if denied else []
    answer = world.send(roll_back(world, new_id))
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", f"third/{OWN_POLICY}")
    assert list(world.policies("third")) == [OWN_POLICY]
    assert bool(world.policies()) is denied
    # The clean-up's Delete is for this one.
    assert list(world.policies("successor")) == [OWN_POLICY]


def test_a_rollback_is_not_checked_for_access(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    world.update(OWN_ID, **DOCUMENTED)
    fail_update(world, DOCUMENTED)
    world.simulate = lambda params: [
        {"EvalActionName": action, "EvalResourceName": params["ResourceArns"][0], "EvalDecision": "explicitDeny"}
        for action in params["ActionNames"]
    ]
    assert world.send(roll_back(world))["Status"] == "SUCCESS"
    assert "iam:SimulatePrincipalPolicy" not in world.actions()
    assert "Sid" in world.policies()[OWN_POLICY]["Statement"][0]


@pytest.mark.parametrize("trouble", [error("Throttling"), ReadTimeoutError(endpoint_url="https://cloudformation")])
@pytest.mark.parametrize("change", [None, remove_secret])
@pytest.mark.parametrize("times", [1, 3, 10_000])
def test_a_rollback_succeeds_though_cloudformation_does_not_answer(
    world: World, secret: str, trouble: Exception, change: Callable[[World], None] | None, times: int
) -> None:
    world.create(**PROPERTIES)
    before = world.policies()
    world.update(OWN_ID, **DOCUMENTED)
    fail_update(world, DOCUMENTED)
    if change:
        change(world)
    world.faults = {action: [trouble] * times for action in LOOKS}
    context = Context()
    answer = world.send(roll_back(world), context)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", OWN_ID), answer["Reason"]
    assert context.get_remaining_time_in_millis() > 1000 * custom_resource.resource.answers_by - 1000 * time.monotonic()
    if not change:
        assert world.policies() == before


def test_an_update_that_is_refused_waits_for_cloudformations_word(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    event = world.request("Update", {"SecretId": "nowhere"}, PhysicalResourceId=OWN_ID)
    world.faults["cloudformation:DescribeStacks"] = [error("Throttling")] * 12
    answer = world.send(event)
    assert answer["Status"] == "FAILED"
    assert "there is no such secret" in answer["Reason"]


def test_when_time_runs_out_in_an_update_the_answer_is_failed_though_cloudformation_was_slow(
    world: World, secret: str
) -> None:
    world.create(**PROPERTIES)
    before = world.policies()

    def hang() -> None:
        world.slept.append(stack.LOOK_SECONDS)
        raise ReadTimeoutError(endpoint_url="https://cloudformation")

    world.faults["cloudformation:DescribeStacks"] = [hang]
    world.lost["iam:PutRolePolicy"] = [time_runs_out(world)]
    answer = world.update(OWN_ID, **DOCUMENTED)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", OWN_ID)
    assert world.policies() == before


def test_when_time_runs_out_in_a_rollback_the_answer_is_what_stands(
    world: World, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.create(**PROPERTIES)
    world.update(OWN_ID, **DOCUMENTED)
    before = world.policies()
    fail_update(world, DOCUMENTED)
    for action in ("secretsmanager:DescribeSecret", "lambda:GetFunctionConfiguration", "iam:PutRolePolicy"):
        world.lost[action] = [time_runs_out(world)]
        capsys.readouterr()
        answer = world.send(roll_back(world))
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
        assert answer["Data"]["RoleName"] == "rotation-role"
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["RollbackWarnings"] for line in lines if line["message"] == "answering"] == [1]
        # What was written is what the old properties lead to: it stays.
        assert (world.policies() == before) is (action != "iam:PutRolePolicy")
    assert world.policies()[OWN_POLICY] == policy_document(world, PROPERTIES)


def test_not_even_a_fault_of_the_provider_strands_a_rollback(
    world: World, secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.create(**PROPERTIES)
    before = world.policies()
    fail_update(world, DOCUMENTED)
    monkeypatch.setattr(policy, "document", lambda *_: 1 / 0)
    answer = world.send(roll_back(world))
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
    assert world.policies() == before
    assert "ZeroDivisionError" in capsys.readouterr().out


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("triggered", [False, True])
def test_a_duplicate_that_comes_to_its_end_late_leaves_what_the_other_delivery_put(
    world: World, secret: str, masked: bool, triggered: bool
) -> None:
    properties = PROPERTIES | {"Triggers": {"Key": "secret"}}
    shown = PROPERTIES | {"Triggers": {"Key": "****"}} if masked else properties
    create = world.request("Create", properties)

    def answered() -> None:
        assert world.send_elsewhere(create)["Status"] == "SUCCESS"
        world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, shown)
        world.cloudformation.set_status(STACK_ID, "CREATE_COMPLETE")
        if triggered:
            newer = PROPERTIES | {"Triggers": {"Key": "other"}}
            update = world.request("Update", newer, PhysicalResourceId=OWN_ID)
            assert world.send_elsewhere(update)["Status"] == "SUCCESS"
            world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, newer)

    world.faults["iam:PutRolePolicy"] = [answered]
    assert world.send(create)["Status"] == ("FAILED" if triggered else "SUCCESS")
    assert list(world.policies()) == [OWN_POLICY]


def test_a_duplicate_update_that_comes_to_its_end_late_does_not_put_the_old_document_back(
    world: World, secret: str
) -> None:
    world.create(**PROPERTIES)
    first = world.request("Update", DOCUMENTED, PhysicalResourceId=OWN_ID)

    def answered() -> None:
        assert world.send_elsewhere(first)["Status"] == "SUCCESS"
        world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, DOCUMENTED)
        world.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE")
        newer = DOCUMENTED | {"Triggers": {"Key": "other"}}
        second = world.request("Update", newer, PhysicalResourceId=OWN_ID)
        assert world.send_elsewhere(second)["Status"] == "SUCCESS"
        world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, newer)

    world.faults["iam:PutRolePolicy"] = [answered]
    assert world.send(first)["Status"] == "FAILED"
    assert world.policies()[OWN_POLICY] == policy_document(world, DOCUMENTED)


@pytest.mark.parametrize("code", ["Throttling", "AccessDenied"])
def test_a_late_create_removes_nothing_if_cloudformation_does_not_tell_what_is_in_use(
    world: World, secret: str, code: str
) -> None:
    create = world.request("Create", PROPERTIES)
    world.send(create)
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, PROPERTIES)
    world.update(OWN_ID, **DOCUMENTED)
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, DOCUMENTED)
    before = world.policies()
    world.faults["cloudformation:DescribeStackResource"] = [error(code)] * 100
    assert world.send(create)["Status"] == "FAILED"
    assert world.policies() == before


def test_a_rollback_is_told_by_cloudformations_second_word(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    fail_update(world, DOCUMENTED)
    event = roll_back(world)
    remove_secret(world)
    told = iter(["UPDATE_IN_PROGRESS"])

    def respond(_: Any) -> dict[str, Any]:
        return {"Stacks": [{"StackStatus": next(told, "UPDATE_ROLLBACK_IN_PROGRESS")}]}

    world.responses["cloudformation:DescribeStacks"] = respond
    assert world.send(event)["Status"] == "SUCCESS"


def test_when_time_runs_out_after_cloudformation_has_told_that_it_is_a_rollback(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    fail_update(world, DOCUMENTED)
    event = roll_back(world)
    world.faults["cloudformation:DescribeStacks"] = [error("AccessDenied")]
    world.faults["secretsmanager:DescribeSecret"] = [error("InternalFailure"), time_runs_out(world)]
    assert world.send(event)["Status"] == "SUCCESS"


def test_the_answer_of_a_rollback_that_keeps_much_is_not_too_long(world: World, secret: str) -> None:
    world.create(**PROPERTIES)
    fail_update(world, DOCUMENTED)
    event = roll_back(world)
    document = world.policies()[OWN_POLICY]
    document["Statement"][0]["Resource"] = [f"{secret}{number}" for number in range(60)]
    text = json.dumps(document)
    world.client("iam").put_role_policy(RoleName="rotation-role", PolicyName=OWN_POLICY, PolicyDocument=text)
    remove_secret(world)
    answer = world.send(event)
    assert (answer["Status"], answer["Data"]["SecretArns"]) == ("SUCCESS", "")
    assert max(world.answers.sizes) <= 4096


def test_a_rollback_succeeds_though_what_stands_cannot_be_read(world: World, secret: str, successor: None) -> None:
    world.create(**PROPERTIES)
    new_id = world.update(OWN_ID, **SUCCESSOR)["PhysicalResourceId"]
    fail_update(world, SUCCESSOR)
    remove_secret(world)
    event = roll_back(world, new_id)
    world.faults["iam:GetRolePolicy"] = [error("AccessDenied")] * 9
    assert world.send(event)["PhysicalResourceId"] == OWN_ID
    world.faults.clear()
    world.responses["lambda:GetFunctionConfiguration"] = lambda _: {}
    world.responses["iam:GetRolePolicy"] = lambda _: {"PolicyDocument": json.dumps({"Statement": ["?"]})}
    answer = world.send(event)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", new_id)


@pytest.mark.parametrize("seconds", ["20", "60"])
def test_a_delete_by_another_id_has_time_left_when_cloudformation_does_not_answer(
    world: World, secret: str, seconds: str
) -> None:
    world.create(**PROPERTIES)

    def hang() -> None:
        world.slept.append(10)
        raise ReadTimeoutError(endpoint_url="https://cloudformation")

    event = world.request("Delete", PROPERTIES | {"ServiceTimeout": seconds}, PhysicalResourceId=MADE_UP_ID)
    world.slept.clear()
    world.faults["cloudformation:DescribeStackResource"] = [hang] * 100
    assert world.send(event)["Status"] == "SUCCESS"
    assert world.policies() == {}


def test_an_update_of_a_rollback_by_an_id_that_names_no_role_keeps_that_id(world: World, secret: str) -> None:
    fail_update_of_nothing = world.request("Update", PROPERTIES, PhysicalResourceId=MADE_UP_ID)
    assert fail_update_of_nothing
    world.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    remove_secret(world)
    answer = world.send(roll_back(world, MADE_UP_ID))
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", MADE_UP_ID)
    assert all(isinstance(value, str) for value in answer["Data"].values())


# --- roles that were created a moment ago ---


@pytest.mark.parametrize("action", ["iam:GetRole", "iam:SimulatePrincipalPolicy", "iam:PutRolePolicy"])
def test_a_role_that_iam_does_not_know_yet_is_waited_for(world: World, action: str) -> None:
    world.secret()
    world.role()
    world.faults[action] = [error("NoSuchEntity")] * 5
    declared = {"SecretId": "prod/db", "RoleName": "rotation-role", "VpcConfig": {}}
    answer = world.create(**declared, PropagationDelay="0")
    assert answer["Status"] == "SUCCESS", answer["Reason"]
    assert sum(world.slept) == 10


def test_a_role_that_does_not_come_is_refused_after_a_quarter_of_a_minute(world: World) -> None:
    world.secret()
    answer = world.create(SecretId="prod/db", RoleName="nowhere", VpcConfig={})
    assert answer["Status"] == "FAILED"
    assert 'RoleName "nowhere": this account has no such role' in answer["Reason"]
    assert 10 <= sum(world.slept) <= 15


# --- Delete ---


def test_a_delete_by_its_own_id_makes_exactly_one_call(world: World, secret: str) -> None:
    theirs = foreign_policy(world)
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    world.slept.clear()
    assert world.delete(physical_id, **PROPERTIES)["Status"] == "SUCCESS"
    assert world.calls == [("iam:DeleteRolePolicy", {"RoleName": "rotation-role", "PolicyName": OWN_POLICY})]
    assert world.policies() == {"somebody-elses": theirs}
    assert world.slept == []


@pytest.mark.parametrize("role", ["rotation-role", "gone"])
def test_a_delete_of_what_is_gone_succeeds(world: World, secret: str, role: str) -> None:
    answer = world.delete(f"{role}/{OWN_POLICY}", **PROPERTIES)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", f"{role}/{OWN_POLICY}")
    assert world.actions() == ["iam:DeleteRolePolicy"]


@pytest.mark.parametrize("properties", [{}, {"Nonsense": []}, {"SecretId": "gone"}, "no object", None])
def test_a_delete_by_its_own_id_needs_neither_secret_nor_function_nor_properties(world: World, properties: Any) -> None:
    world.role()
    foreign_policy(world, OWN_POLICY)
    answer = world.send(world.request("Delete", properties, PhysicalResourceId=OWN_ID))
    assert answer["Status"] == "SUCCESS"
    assert world.policies() == {}


def test_a_delete_that_is_denied_fails_for_the_policy_still_stands(world: World, secret: str) -> None:
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    world.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")]
    answer = world.delete(physical_id, **PROPERTIES)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", physical_id)
    assert "iam:DeleteRolePolicy" in answer["Reason"]


FOREIGN_IDS = [
    f"uncreated-{LOGICAL_ID}",
    "database-DatabaseRotationPolicy-1ABCDEFGHIJKL",
    "rotation-role/somebody-elses",
    f"/{OWN_POLICY}",
    f"rotation-role/{OWN_POLICY}/x",
    f"a/b/{OWN_POLICY}",
    f"*/{OWN_POLICY}",
]


@pytest.mark.parametrize("physical_id", FOREIGN_IDS)
@pytest.mark.parametrize("by_role", [True, False])
def test_a_delete_by_another_id_finds_its_own_policy_through_the_properties(
    world: World, secret: str, physical_id: str, by_role: bool
) -> None:
    theirs = foreign_policy(world)
    world.create(**PROPERTIES)
    properties = {"SecretId": "prod/db", "RoleName": "rotation-role"} if by_role else PROPERTIES
    answer = world.delete(physical_id, **properties)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", physical_id)
    assert world.policies() == {"somebody-elses": theirs}


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"SecretId": "gone"},
        {"SecretId": "prod/db"},
        {"SecretId": "prod/db", "RotationLambdaARN": "gone"},
        {"SecretId": "prod/db", "RoleName": "gone"},
        {"SecretId": "*", "RoleName": "*"},
    ],
)
def test_a_delete_by_another_id_succeeds_whatever_the_look_ups_say(
    world: World, secret: str, properties: dict[str, Any]
) -> None:
    assert world.delete(f"uncreated-{LOGICAL_ID}", **properties)["Status"] == "SUCCESS"


def test_a_delete_by_another_id_succeeds_though_a_look_up_returns_nonsense(
    world: World, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.responses["lambda:GetFunctionConfiguration"] = lambda _: {}
    assert world.delete(MADE_UP_ID, **PROPERTIES)["Status"] == "SUCCESS"
    assert "KeyError" in capsys.readouterr().out


@pytest.mark.parametrize("code", ["AccessDeniedException", "InternalServiceError"])
def test_a_delete_by_another_id_succeeds_where_the_look_ups_fail(world: World, secret: str, code: str) -> None:
    for action in ("secretsmanager:DescribeSecret", "lambda:GetFunctionConfiguration"):
        world.faults = {action: [error(code)]}
        properties = {"SecretId": "prod/db"} if action.startswith("secrets") else PROPERTIES
        assert world.delete(f"uncreated-{LOGICAL_ID}", **properties)["Status"] == "SUCCESS"


@pytest.mark.parametrize("physical_id", [f"uncreated-{LOGICAL_ID}", MADE_UP_ID])
@pytest.mark.parametrize("by_role", [True, False])
def test_a_delete_of_a_failed_create_leaves_what_its_successor_put(
    world: World, secret: str, physical_id: str, by_role: bool
) -> None:
    """With ``--disable-rollback``: the clean-up comes when the next operation has created the resource."""
    world.create(**PROPERTIES)
    before = world.policies()
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, PROPERTIES)
    world.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    world.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "DELETE_IN_PROGRESS", physical_id)
    event = world.request("Delete", {}, StackId="arn:aws:cloudformation:::stack/other/1") | {"StackId": STACK_ID}
    failed = {"SecretId": "nowhere", "RoleName": "rotation-role"} if by_role else PROPERTIES
    event |= {"PhysicalResourceId": physical_id, "ResourceProperties": failed}
    assert world.send(event)["Status"] == "SUCCESS"
    assert world.policies() == before


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling"])
@pytest.mark.parametrize(("physical_id", "is_left"), [(f"uncreated-{LOGICAL_ID}", True), (MADE_UP_ID, False)])
def test_where_cloudformation_does_not_tell_a_create_that_put_nothing_has_nothing_to_delete(
    world: World, secret: str, code: str, physical_id: str, is_left: bool
) -> None:
    world.create(**PROPERTIES)
    world.faults["cloudformation:DescribeStackResource"] = [error(code)] * 1000
    assert world.delete(physical_id, **PROPERTIES)["Status"] == "SUCCESS"
    assert bool(world.policies()) is is_left


# --- ownership ---


def test_no_policy_that_somebody_else_put_there_is_ever_touched(world: World, secret: str) -> None:
    theirs = {name: foreign_policy(world, name) for name in ("a", f"{OWN_POLICY}x", LOGICAL_ID)}
    physical_id = world.create(**PROPERTIES)["PhysicalResourceId"]
    world.update(physical_id, **PROPERTIES, PolicyProfile="Documented")
    world.delete("rotation-role/a", **PROPERTIES)
    world.delete(physical_id, **PROPERTIES)
    assert world.policies() == theirs


def test_the_same_resource_in_another_stack_has_a_policy_of_its_own(world: World, secret: str) -> None:
    other_stack = STACK_ID.replace("6b1e1c50", "7b1e1c50")
    world.create(**PROPERTIES)
    event = world.request("Create", PROPERTIES, StackId=other_stack)
    other_id = world.send(event)["PhysicalResourceId"]
    assert other_id != OWN_ID
    assert len(world.policies()) == 2
    world.send(world.request("Delete", PROPERTIES, StackId=other_stack, PhysicalResourceId=OWN_ID))
    assert list(world.policies()) == [OWN_POLICY]


# --- the log ---


def test_the_log_says_what_was_decided_and_why_in_json_lines_without_the_signed_url(
    world: World, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = world.key()
    world.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=key, SecretString="sentinel-value")
    world.create(**PROPERTIES)
    world.create(**PROPERTIES)
    world.create(SecretId="nowhere")
    output = capsys.readouterr().out
    lines = [json.loads(line) for line in output.splitlines()]
    messages = [line["message"] for line in lines]
    assert messages == [
        *["request", "key", "inspected", "written", "answering"],
        *["request", "key", "inspected", "unchanged", "answering"],
        *["request", "refused", "answering"],
    ]
    assert {line["resource"] for line in lines} == {LOGICAL_ID}
    assert {line["provider_version"] for line in lines} == {__version__}
    assert (lines[1]["key"], lines[1]["manager"]) == (key, "CUSTOMER")
    assert lines[2]["in_vpc"] is False
    assert "sentinel" not in output
    assert world.answers.url not in output


def test_each_answer_is_a_metric_of_the_provider_by_which_failures_are_counted(
    world: World, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    custom_resource.resource._is_first = True
    world.create(**PROPERTIES)
    world.create(SecretId="nowhere")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    answers = [line for line in lines if line["message"] == "answering"]
    assert [(one["Requests"], one["FailedRequests"], one["ColdStarts"], one.get("Kind")) for one in answers] == [
        (1, 0, 1, None),
        (1, 1, 0, "Secret"),
    ]
    of_each = {
        "Namespace": "RotationRolePolicy",
        "Dimensions": [["Provider"]],
        "Metrics": [
            {"Name": "Requests", "Unit": "Count"},
            {"Name": "FailedRequests", "Unit": "Count"},
            {"Name": "Duration", "Unit": "Milliseconds"},
            {"Name": "ColdStarts", "Unit": "Count"},
            {"Name": "AccessCheckWarnings", "Unit": "Count"},
            {"Name": "RollbackWarnings", "Unit": "Count"},
        ],
    }
    of_failed = {
        "Namespace": "RotationRolePolicy",
        "Dimensions": [["Provider", "Kind"]],
        "Metrics": [{"Name": "FailedRequests", "Unit": "Count"}],
    }
    assert [one["_aws"]["CloudWatchMetrics"] for one in answers] == [[of_each], [of_each, of_failed]]
    for one in answers:
        assert abs(one["_aws"]["Timestamp"] / 1000 - time.time()) < 60
        assert one["Provider"] == "provider"
        # The clock of these tests goes only where somebody sleeps.
        assert one["Duration"] >= 0


def test_a_key_that_was_taken_unseen_is_warned_of(
    world: World, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = f"arn:aws:kms:{REGION}:999999999999:key/11111111-1111-1111-1111-111111111111"
    world.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=theirs)
    world.faults["kms:DescribeKey"] = [error("AccessDeniedException")]
    assert world.create(**PROPERTIES)["Data"]["KmsKeyArns"] == theirs
    [warning] = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["level"] == "WARNING"]
    assert warning["message"] == "key not inspected: kms:DescribeKey is denied"
    assert warning["key"] == theirs
