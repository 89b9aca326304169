"""The configuration of a rotation does not decide where an existing policy goes.

Somebody who may only call RotateSecret on a secret lets the secret report a function of his own, or one with another
role. The template of the resource names neither a function nor a role.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from rotation_role_policy.provider.operation import Direction, Operation
from tests.support.account import ACCOUNT, LOGICAL_ID, OWN_POLICY, REGION, STACK_ID, Account, error

OWN_ID = f"rotation-role/{OWN_POLICY}"
PROPERTIES: dict[str, Any] = {"SecretIds": ["prod/a", "prod/b"], "SuperuserSecretId": "prod/superuser"}
CHANGED = PROPERTIES | {"Triggers": {"Key": "new"}}
ATTACKERS_FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:attacker"


def report(account: Account, function: str) -> None:
    """Let the secrets report a rotation function, as after RotateSecret."""
    for name in ("prod/a", "prod/b"):
        account.client("secretsmanager").rotate_secret(SecretId=name, RotationLambdaARN=function)


@pytest.fixture
def created(account: Account) -> dict[str, Any]:
    """Create the resource on the role of the reported function. Return the inline policies of its role."""
    function = account.function(account.role())
    account.function(account.role("attacker"), "attacker")
    for name in ("prod/a", "prod/b", "prod/superuser"):
        account.secret(name)
    report(account, function)
    assert account.create(**PROPERTIES)["PhysicalResourceId"] == OWN_ID
    return account.policies()


def other_function(account: Account) -> None:
    """Let the secrets report the attacker's function."""
    report(account, ATTACKERS_FUNCTION)


def one_secret_reports_it(account: Account) -> None:
    """Let one secret report the attacker's function, and the other none."""
    account.client("secretsmanager").rotate_secret(SecretId="prod/a", RotationLambdaARN=ATTACKERS_FUNCTION)
    account.client("secretsmanager").cancel_rotate_secret(SecretId="prod/b")
    described = account.client("secretsmanager").describe_secret

    def without_function(parameters: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = described(**parameters)
        if response["Name"] == "prod/b":
            response.pop("RotationLambdaARN", None)
        return response

    account.api_responses["secretsmanager:DescribeSecret"] = without_function


def other_role(account: Account) -> None:
    """Give the reported function the attacker's role."""
    role_arn = f"arn:aws:iam::{ACCOUNT}:role/attacker"
    account.client("lambda").update_function_configuration(FunctionName="rotate-db", Role=role_arn)


def copied_policy(account: Account) -> None:
    """Let the secrets report the attacker's function, and put a policy with the resource's name on its role."""
    report(account, ATTACKERS_FUNCTION)
    [document] = account.policies().values()
    put = account.client("iam").put_role_policy
    put(RoleName="attacker", PolicyName=OWN_POLICY, PolicyDocument=json.dumps(document))


def one_of_two(account: Account) -> None:
    """Let one secret report the attacker's function, while the other still reports the right one."""
    account.client("secretsmanager").rotate_secret(SecretId="prod/a", RotationLambdaARN=ATTACKERS_FUNCTION)


REDIRECTIONS = [other_function, one_secret_reports_it, one_of_two, other_role, copied_policy]


@pytest.mark.parametrize("redirect", REDIRECTIONS)
def test_a_forward_update_fails_and_names_both_roles_and_the_reported_function(
    account: Account, created: dict[str, Any], redirect: Callable[[Account], None], capsys: pytest.CaptureFixture[str]
) -> None:
    redirect(account)
    attackers = account.policies("attacker")
    capsys.readouterr()
    response = account.update(OWN_ID, **CHANGED)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", OWN_ID)
    assert '"error_code": "ResourceConflict"' in capsys.readouterr().out
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{'rotate-db' if redirect is other_role else 'attacker'}"
    assert f'reports the rotation function "{function}" with the role "attacker"' in response["Reason"]
    assert 'the policy of this resource is on the role "rotation-role"' in response["Reason"]
    assert response["Reason"].endswith(
        "If this change is yours, give RotationLambdaARN. Otherwise correct the secret's rotation."
    )
    assert (account.policies(), account.policies("attacker")) == (created, attackers)
    assert not [action for action in account.actions() if action.startswith("iam:")]


@pytest.mark.parametrize("redirect", REDIRECTIONS)
@pytest.mark.parametrize("status", ["reported", "does not respond"])
def test_an_update_of_a_rollback_keeps_the_existing_policy(
    account: Account, created: dict[str, Any], redirect: Callable[[Account], None], status: str
) -> None:
    redirect(account)
    attackers = account.policies("attacker")
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    if status == "does not respond":
        account.faults["cloudformation:DescribeStacks"] = [error("ServiceUnavailable")] * 10_000
    response = account.update_in_rollback(OWN_ID, **PROPERTIES)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", OWN_ID), response["Reason"]
    assert response["Data"]["RoleName"] == "rotation-role"
    assert response["Data"]["SecretArns"].count("secret:prod/") == 2
    assert (account.policies(), account.policies("attacker")) == (created, attackers)


@pytest.mark.parametrize("redirect", REDIRECTIONS)
def test_a_rollback_from_another_role_returns_to_the_role_from_before_the_update(
    account: Account, created: dict[str, Any], redirect: Callable[[Account], None]
) -> None:
    account.function(account.role("successor"), "successor")
    new_id = account.update(OWN_ID, **PROPERTIES, RotationLambdaARN="successor")["PhysicalResourceId"]
    assert new_id == f"successor/{OWN_POLICY}"
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", new_id, PROPERTIES)
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    redirect(account)
    attackers = account.policies("attacker")
    response = account.update_in_rollback(new_id, **PROPERTIES)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
    assert (account.policies(), account.policies("attacker")) == (created, attackers)


def test_a_rollback_writes_to_the_role_from_before_the_update_if_the_report_leads_there(
    account: Account, created: dict[str, Any]
) -> None:
    account.function(account.role("successor"), "successor")
    new_id = account.update(OWN_ID, **PROPERTIES, RotationLambdaARN="successor")["PhysicalResourceId"]
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", new_id, PROPERTIES)
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    account.client("iam").delete_role_policy(RoleName="rotation-role", PolicyName=OWN_POLICY)
    assert account.update_in_rollback(new_id, **PROPERTIES)["PhysicalResourceId"] == OWN_ID
    assert account.policies() == created


def test_an_update_that_removes_the_function_or_changes_the_secret_keeps_to_the_role(
    account: Account, created: dict[str, Any]
) -> None:
    named = PROPERTIES | {"RotationLambdaARN": "rotate-db"}
    assert account.update(OWN_ID, **named)["Status"] == "SUCCESS"
    report(account, ATTACKERS_FUNCTION)
    assert account.update(OWN_ID, **PROPERTIES)["Status"] == "FAILED"
    assert account.update(OWN_ID, SecretId="prod/a")["Status"] == "FAILED"
    assert account.policies("attacker") == {}
    # The template decides.
    assert account.update(OWN_ID, **named)["Status"] == "SUCCESS"
    moved = account.update(OWN_ID, **PROPERTIES, RotationLambdaARN="attacker")
    assert moved["PhysicalResourceId"] == f"attacker/{OWN_POLICY}"


def test_only_a_first_create_takes_the_role_from_the_report(account: Account, created: dict[str, Any]) -> None:
    report(account, ATTACKERS_FUNCTION)
    assert account.create(**PROPERTIES)["PhysicalResourceId"] == f"attacker/{OWN_POLICY}"
    # An Update whose physical ID names no role counts as one.
    account.client("iam").delete_role_policy(RoleName="attacker", PolicyName=OWN_POLICY)
    uncreated = account.update(f"uncreated-{LOGICAL_ID}", **PROPERTIES)
    assert uncreated["PhysicalResourceId"] == f"attacker/{OWN_POLICY}"


@pytest.mark.parametrize("redirect", [other_function, one_secret_reports_it, one_of_two, other_role])
def test_a_create_that_is_delivered_again_writes_nothing_to_another_role(
    account: Account, created: dict[str, Any], redirect: Callable[[Account], None]
) -> None:
    event = account.request("Create", PROPERTIES)
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, PROPERTIES)
    account.cloudformation.set_status(STACK_ID, "CREATE_COMPLETE")
    redirect(account)
    assert account.send(event)["Status"] == "FAILED"
    assert "iam:PutRolePolicy" not in account.actions(), "not even while the provider waits for IAM"
    assert (account.policies(), account.policies("attacker")) == (created, {})


@pytest.mark.parametrize(
    "function",
    [
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nowhere",
        f"arn:aws:lambda:{REGION}:999999999999:function:attacker",
        f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:attacker",
    ],
)
def test_a_function_that_is_not_found_here_is_no_less_redirected(
    account: Account, created: dict[str, Any], function: str
) -> None:
    described = account.client("secretsmanager").describe_secret

    def reporting(parameters: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = described(**parameters)
        return response | ({"RotationLambdaARN": function} if response["Name"] == "prod/b" else {})

    account.api_responses["secretsmanager:DescribeSecret"] = reporting
    for properties in (PROPERTIES, {"SecretId": "prod/b"}):
        response = account.update(OWN_ID, **properties)
        assert response["Status"] == "FAILED"
        name = next(iter(properties))
        assert response["Reason"].startswith(
            f'{name} "prod/b" reports the rotation function "{function}", which was not found in this account and'
            ' region, but the policy of this resource is on the role "rotation-role".'
        )
        looked_up = [values["FunctionName"] for action, values in account.calls if action.startswith("lambda:")]
        assert ("nowhere" in function) == (function in looked_up), "no call on what is elsewhere"
        rolled_back = account.update_in_rollback(OWN_ID, **properties)
        assert (rolled_back["Status"], rolled_back["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
    assert account.policies() == created


def test_different_functions_with_the_same_role_need_rotation_lambda_arn(
    account: Account, created: dict[str, Any]
) -> None:
    function = account.function(f"arn:aws:iam::{ACCOUNT}:role/rotation-role", "second")
    account.client("secretsmanager").rotate_secret(SecretId="prod/b", RotationLambdaARN=function)
    reason = account.update(OWN_ID, **CHANGED)["Reason"]
    assert reason.startswith("SecretIds: the secrets report different rotation functions")


def test_a_first_create_asks_cloudformation_before_it_writes_and_an_unchanged_one_does_not(
    account: Account, created: dict[str, Any]
) -> None:
    assert account.create(SecretId="prod/a")["Status"] == "SUCCESS"
    assert account.create(SecretId="prod/a")["Status"] == "SUCCESS"
    unchanged = ["secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds"]
    assert account.actions() == [*unchanged, "lambda:GetFunctionConfiguration", "iam:GetRolePolicy"]
    account.client("iam").delete_role_policy(RoleName="rotation-role", PolicyName=OWN_POLICY)
    account.create(SecretId="prod/a")
    actions = account.actions()
    assert actions.index("cloudformation:DescribeStackEvents") < actions.index("iam:PutRolePolicy")


def test_the_reason_names_a_secret_that_reports_the_function(account: Account, created: dict[str, Any]) -> None:
    one_secret_reports_it(account)
    reverse = PROPERTIES | {"SecretIds": ["prod/b", "prod/a"]}
    reason = account.update(OWN_ID, **reverse)["Reason"]
    assert reason.startswith('SecretIds "prod/a" reports the rotation function')


@pytest.mark.parametrize("stack_name", ["database", LOGICAL_ID])
def test_a_rollback_returns_to_the_first_role_whatever_the_name_of_the_stack(
    account: Account, created: dict[str, Any], stack_name: str
) -> None:
    stack_id = STACK_ID.replace("stack/database/", f"stack/{stack_name}/")
    first = account.send(account.request("Create", PROPERTIES, StackId=stack_id))["PhysicalResourceId"]
    account.cloudformation.set_resource(stack_id, LOGICAL_ID, "CREATE_COMPLETE", first, PROPERTIES)
    account.function(account.role("successor"), "successor")
    named = PROPERTIES | {"RotationLambdaARN": "successor"}
    members: dict[str, Any] = {"StackId": stack_id, "OldResourceProperties": PROPERTIES}
    moved = account.send(account.request("Update", named, PhysicalResourceId=first, **members))["PhysicalResourceId"]
    assert moved.startswith("successor/")
    account.cloudformation.set_resource(stack_id, LOGICAL_ID, "UPDATE_COMPLETE", moved, named)
    status = "UPDATE_ROLLBACK_IN_PROGRESS"
    request = account.request("Update", PROPERTIES, stack_status=status, PhysicalResourceId=moved, **members)
    assert account.send(request)["PhysicalResourceId"] == first


def test_the_reported_role_is_not_recommended_if_the_template_names_another(
    account: Account, created: dict[str, Any]
) -> None:
    report(account, ATTACKERS_FUNCTION)
    response = account.update(OWN_ID, **PROPERTIES, RoleName="rotation-role")
    assert response["Status"] == "FAILED"
    assert response["Reason"] == (
        f'RoleName "rotation-role" is not the execution role of the function "{ATTACKERS_FUNCTION}" that the secret'
        ' "prod/a" reports, which has the role "attacker". If this change is yours, give RotationLambdaARN. Otherwise'
        " correct the secret's rotation."
    )
    rolled_back = account.update_in_rollback(OWN_ID, **PROPERTIES, RoleName="rotation-role")
    assert (rolled_back["Status"], rolled_back["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
    assert account.policies() == created


def test_a_superseded_update_asks_the_physical_id_and_not_the_report_whether_its_policy_is_in_use(
    account: Account, created: dict[str, Any]
) -> None:
    update = account.request(
        "Update",
        PROPERTIES | {"RotationLambdaARN": "attacker"},
        PhysicalResourceId=OWN_ID,
        OldResourceProperties=PROPERTIES,
    )

    def supersede(when: str, action: str) -> None:
        if (when, action) == ("after", "iam:PutRolePolicy"):
            account.moment = lambda _when, _action: None
            # The rollback's Update is in progress. The secrets report the function with the new role.
            report(account, ATTACKERS_FUNCTION)
            account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_FAILED", OWN_ID, CHANGED, "cancelled")
            account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
            account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", OWN_ID, PROPERTIES)

    account.moment = supersede
    assert account.send(update)["Status"] == "FAILED"
    assert account.policies("attacker") == {}
    assert account.policies() == created


def test_a_late_delivery_keeps_the_policy_of_the_role_to_which_a_rollback_returns(
    account: Account, created: dict[str, Any]
) -> None:
    members: dict[str, Any] = {"PhysicalResourceId": OWN_ID, "OldResourceProperties": PROPERTIES}
    update = account.request("Update", CHANGED, **members)
    account.function(account.role("successor"), "successor")
    # A later update of the resource has moved the policy, and its rollback is in progress.
    moved = f"successor/{OWN_POLICY}"
    named = PROPERTIES | {"RotationLambdaARN": "successor"}
    for status in ("UPDATE_COMPLETE", "UPDATE_IN_PROGRESS"):
        account.cloudformation.set_status(STACK_ID, status)
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", OWN_ID, named)
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", moved, named)
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", moved, PROPERTIES)
    account.faults["cloudformation:DescribeStacks"] = [error("AccessDenied")] * 9
    assert account.send(update)["Status"] == "FAILED"
    assert account.policies() == created


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(
    ("current", "planned", "previous", "expected"),
    [
        ("role", "role", "", True),
        ("role", "other", "", False),
        ("role", "other", "first", False),
        ("role", "other", "other", "in a rollback"),
        ("", "other", "", True),
    ],
)
def test_the_planned_role_may_follow_the_report(
    direction: Direction, current: str, planned: str, previous: str, expected: bool | str
) -> None:
    is_expected = direction is Direction.ROLLBACK if expected == "in a rollback" else bool(expected)
    allowed = Operation(direction, current, planned, follows_report=True).may_follow_report(previous)
    assert allowed is (is_expected or direction is Direction.CREATE)
    assert Operation(direction, current, planned, follows_report=False).may_follow_report(previous), (
        "the template names the role"
    )
