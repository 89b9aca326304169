"""Create, Update and Delete: identity, ownership, written policies, and AWS calls."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from rotation_role_policy import __version__
from rotation_role_policy.errors import ResponseDeliveryError
from rotation_role_policy.lookup import resource, stacks
from rotation_role_policy.provider import handler, serve
from rotation_role_policy.provider.request import parse_request
from rotation_role_policy.provider.single_response import SingleResponse
from rotation_role_policy.rules import identity, policy
from rotation_role_policy.rules.properties import parse_properties
from tests.support.account import (
    ACCOUNT,
    LOGICAL_ID,
    OWN_POLICY,
    PLACE,
    REGION,
    STACK_ID,
    Account,
    Context,
    WatchedAws,
    error,
)

OWN_ID = f"rotation-role/{OWN_POLICY}"
PROPERTIES = {"SecretId": "prod/db", "RotationLambdaARN": "rotate-db"}


@pytest.fixture
def secret(account: Account) -> str:
    """Create a secret and the rotation function ``rotate-db`` with ``rotation-role``. Return the secret's ARN."""
    account.function(account.role())
    return account.secret()


def foreign_policy(account: Account, name: str = "foreign", role: str = "rotation-role") -> dict[str, Any]:
    """Put a policy on the role that does not belong to the resource, and return its document."""
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}],
    }
    account.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    return document


# --- identity ---


def test_the_policy_name_is_derived_from_the_stack_id_and_the_logical_id(account: Account) -> None:
    digits = hashlib.sha256(f"{STACK_ID}/{LOGICAL_ID}".encode()).hexdigest()[:12]
    assert parse_request(account.request("Create", {})).policy_name == f"{LOGICAL_ID}-{digits}" == OWN_POLICY


def test_a_long_logical_id_is_truncated_so_that_the_policy_name_has_128_characters(account: Account) -> None:
    first, second = (
        parse_request(account.request("Create", {}, LogicalResourceId="A" * 250 + last)).policy_name for last in "xy"
    )
    assert len(first) == len(second) == 128
    assert first.startswith("A" * 115 + "-")
    assert first != second


def test_a_policy_name_is_possible_only_for_its_own_logical_id() -> None:
    for logical_id in (LOGICAL_ID, "A" * 250):
        name = identity.policy_name("a stack", logical_id)
        assert identity.is_possible_policy_name(name, logical_id)
        assert identity.is_possible_policy_name(name, "")
        assert not identity.is_possible_policy_name(name, "Other")
        assert not identity.is_possible_policy_name(f"{name}0", "")
    assert not identity.is_possible_policy_name("other", "")


# --- Create ---


def test_create_puts_the_policy_and_returns_its_attributes(account: Account, secret: str) -> None:
    response = account.create(**PROPERTIES)
    assert response == {
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
    [statement, _] = account.policies()[OWN_POLICY]["Statement"]
    assert statement["Sid"] == "RotateSecret"
    assert statement["Resource"] == secret


def test_the_attributes_list_every_secret_and_each_key_once(account: Account) -> None:
    account.function(account.role(), vpc=account.vpc())
    key, superuser_key = account.key(), account.key()
    arns = [account.secret(name, key) for name in ("b", "a")]
    account.secret("superuser", superuser_key)
    response = account.create(SecretIds=["b", "a"], SuperuserSecretId="superuser", RotationLambdaARN="rotate-db")
    assert response["Data"]["SecretArns"] == ",".join(arns)
    assert response["Data"]["KmsKeyArns"] == f"{key},{superuser_key}"
    assert response["Data"]["InVpc"] == "true"


def test_in_declared_mode_the_function_attribute_is_empty(account: Account) -> None:
    account.secret()
    account.role()
    response = account.create(SecretId="prod/db", RoleName="rotation-role", VpcConfig={"SubnetIds": ["subnet-1"]})
    assert response["Status"] == "SUCCESS", response["Reason"]
    assert response["Data"]["FunctionArn"] == ""
    assert response["Data"]["InVpc"] == "true"


def test_every_attribute_is_a_string_in_both_modes(account: Account, secret: str) -> None:
    for properties in (PROPERTIES, {"SecretId": "prod/db", "RoleName": "rotation-role", "VpcConfig": {}}):
        data = account.create(**properties)["Data"]
        assert list(data) == [
            "PolicyName", "RoleName", "RoleArn", "FunctionArn", "InVpc", "SecretArns", "KmsKeyArns",
        ]  # fmt: skip
        assert all(isinstance(value, str) for value in data.values())


def test_a_repeated_create_returns_the_same_response_and_changes_nothing(account: Account, secret: str) -> None:
    first = account.create(**PROPERTIES)
    assert account.slept == [10]
    again = account.create(**PROPERTIES)
    assert again == first
    assert "iam:PutRolePolicy" not in account.actions()
    assert account.slept == [10, 10], "the first delivery may just have written the policy"


def test_an_unchanged_create_makes_four_calls(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    account.create(**PROPERTIES)
    assert account.actions() == [
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecretVersionIds",
        "lambda:GetFunctionConfiguration",
        "iam:GetRolePolicy",
    ]


def test_a_first_create_also_simulates_and_puts_and_reads_no_other_policy(account: Account, secret: str) -> None:
    foreign_policy(account)
    account.create(**PROPERTIES)
    assert account.actions() == [
        "secretsmanager:DescribeSecret",
        "secretsmanager:ListSecretVersionIds",
        "lambda:GetFunctionConfiguration",
        "iam:GetRolePolicy",
        # One for each statement.
        "iam:SimulatePrincipalPolicy",
        "iam:SimulatePrincipalPolicy",
        "secretsmanager:GetResourcePolicy",
        "iam:PutRolePolicy",
        "cloudformation:DescribeStackEvents",
    ]


CHECKS = {
    "iam:SimulatePrincipalPolicy",
    "secretsmanager:GetResourcePolicy",
    "kms:GetKeyPolicy",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
}
"""The calls of the access check."""


def use_key(account: Account, *statements: dict[str, Any]) -> str:
    """Encrypt the secret with a new key that has a policy with these statements, and return the key's ARN."""
    key = account.key()
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        account.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=document)
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=key)
    return key


def deny_all(account: Account) -> None:
    """Put a resource policy on the secret that denies everything to everybody."""
    statement = {"Sid": "Nobody", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.client("secretsmanager").put_resource_policy(SecretId="prod/db", ResourcePolicy=document)


def test_a_first_create_reads_one_policy_for_each_secret_and_key(account: Account, secret: str) -> None:
    use_key(account)
    account.create(**PROPERTIES)
    checks = [action for action in account.actions() if action in CHECKS]
    assert checks == [
        *["iam:SimulatePrincipalPolicy"] * 3,
        "secretsmanager:GetResourcePolicy",
        "kms:GetKeyPolicy",
    ]


def test_an_unchanged_policy_is_not_checked(account: Account, secret: str) -> None:
    use_key(account)
    created = account.create(**PROPERTIES)
    deny_all(account)
    assert account.create(**PROPERTIES) == created
    assert account.update(created["PhysicalResourceId"], **PROPERTIES)["Status"] == "SUCCESS"
    assert CHECKS.isdisjoint(account.actions())


def test_without_the_access_check_nothing_is_checked(account: Account, secret: str) -> None:
    use_key(account)
    deny_all(account)
    assert account.create(**PROPERTIES, AccessCheck="Off")["Status"] == "SUCCESS"
    assert CHECKS.isdisjoint(account.actions())


def test_a_resource_policy_that_blocks_the_rotation_fails_the_create(account: Account, secret: str) -> None:
    deny_all(account)
    response = account.create(**PROPERTIES)
    assert response["Status"] == "FAILED"
    assert 'blocked by the statement "Nobody" in the resource policy of the secret.' in response["Reason"][-240:]
    assert secret in response["Reason"]
    assert account.policies() == {}


def test_a_key_policy_that_does_not_allow_the_role_fails_the_create(account: Account, secret: str) -> None:
    principal = {"AWS": "arn:aws:iam::123456789012:role/dba"}
    key = use_key(account, {"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"})
    response = account.create(**PROPERTIES)
    assert response["Status"] == "FAILED"
    assert f'kms:Decrypt and kms:GenerateDataKey on "{key}" are blocked by the policy of the key' in response["Reason"]
    assert [action for action in account.actions() if action in CHECKS][-3:] == [
        "kms:GetKeyPolicy",
        "kms:ListGrants",
        "kms:ListKeyPolicies",
    ]
    assert account.policies() == {}


def test_what_a_resource_policy_leaves_open_is_a_warning(
    account: Account, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = use_key(account)
    account.faults["secretsmanager:GetResourcePolicy"] = [error("AccessDeniedException")]
    account.faults["kms:GetKeyPolicy"] = [error("AccessDeniedException")]
    assert account.create(**PROPERTIES)["Status"] == "SUCCESS"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    warnings = [line for line in lines if line["message"] == "access check undecided"]
    assert [(line["level"], line["resources"]) for line in warnings] == [("WARNING", [secret]), ("WARNING", [key])]
    assert warnings[0]["reason"] == (
        "the resource policy of the secret was not read (AWS denies secretsmanager:GetResourcePolicy)"
    )
    assert warnings[1]["actions"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert [line["AccessCheckWarnings"] for line in lines if "AccessCheckWarnings" in line] == [2]


@pytest.mark.parametrize(
    ("delay", "seconds"), [({}, 10), ({"PropagationDelay": "0"}, 0), ({"PropagationDelay": 60}, 60)]
)
def test_the_provider_waits_for_the_propagation_of_a_changed_policy(
    account: Account, secret: str, delay: dict[str, Any], seconds: int
) -> None:
    account.create(**PROPERTIES, **delay)
    assert sum(account.slept) == seconds


def test_the_propagation_delay_leaves_time_for_the_response(account: Account, secret: str) -> None:
    event = account.request("Create", PROPERTIES | {"PropagationDelay": "60"})
    assert account.send(event, Context(milliseconds=80_000))["Status"] == "SUCCESS"
    # 15 seconds for the response, 21 to roll back, 10 to look up whether the request is superseded.
    assert sum(account.slept) == pytest.approx(80 - 15 - 65 / 3 - 10, abs=1)


# --- failed Creates ---


def test_a_create_that_fails_before_the_role_is_known_has_a_physical_id_without_a_slash(account: Account) -> None:
    response = account.create(SecretId="nowhere")
    assert response["Status"] == "FAILED"
    assert response["PhysicalResourceId"] == f"uncreated-{LOGICAL_ID}"
    assert response["Data"] == {}


def test_a_create_that_fails_after_the_role_is_known_has_the_physical_id_of_its_policy(
    account: Account, secret: str
) -> None:
    account.faults["iam:PutRolePolicy"] = [error("MalformedPolicyDocument")]
    response = account.create(**PROPERTIES)
    assert response["Status"] == "FAILED"
    assert response["PhysicalResourceId"] == OWN_ID


@pytest.mark.parametrize("action", ["iam:GetRolePolicy", "iam:SimulatePrincipalPolicy", "iam:PutRolePolicy"])
def test_a_create_that_is_denied_access_to_the_role_can_be_deleted(account: Account, secret: str, action: str) -> None:
    account.faults[action] = [error("AccessDenied", "User is not authorized")]
    response = account.create(**PROPERTIES)
    assert response["Status"] == "FAILED"
    assert action in response["Reason"]
    assert "RoleNamePattern" in response["Reason"][-240:]

    account.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")]
    assert account.delete(response["PhysicalResourceId"], **PROPERTIES)["Status"] == "SUCCESS"


def test_a_rejected_request_writes_nothing_and_keeps_other_policies(account: Account, secret: str) -> None:
    foreign_document = foreign_policy(account)
    for properties in (
        {"SecretId": "prod/db", "RotationLambda": "rotate-db"},
        {"SecretId": "nowhere", "RotationLambdaARN": "rotate-db"},
        {"SecretId": "prod/db", "RotationLambdaARN": "nowhere"},
        PROPERTIES | {"RoleName": "other"},
    ):
        response = account.create(**properties)
        assert response["Status"] == "FAILED"
        assert len(response["Reason"]) <= 240
        assert account.policies() == {"foreign": foreign_document}


def test_a_response_that_is_too_long_is_rejected_before_the_policy_is_written(account: Account) -> None:
    account.function(account.role())
    names = [f"{'n' * 100}{number}" for number in range(30)]
    for name in names:
        account.secret(name)
    response = account.create(SecretIds=names, RotationLambdaARN="rotate-db")
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith("SecretIds: 30 secrets are too many for one resource")
    assert "CloudFormation accepts 4,096" in response["Reason"]
    assert account.policies() == {}
    fit_attributes = account.create(SecretIds=names[:15], RotationLambdaARN="rotate-db", AccessCheck="Off")
    assert fit_attributes["Status"] == "SUCCESS", fit_attributes["Reason"]
    assert max(account.responses.sizes) <= 4096


def test_the_reason_of_an_internal_error_has_the_log_stream_and_no_traceback(
    account: Account, secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "attributes", lambda *_: 1 / 0)
    response = account.create(**PROPERTIES)
    assert response["Reason"] == (
        "The provider function failed with an internal error (ZeroDivisionError)."
        " See its log stream 2026/01/01/[$LATEST]0123."
    )
    assert "stackTrace" in capsys.readouterr().out


# --- Update ---


def test_an_update_with_the_same_role_changes_the_policy_in_place(account: Account, secret: str) -> None:
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    key = account.key()
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=key)
    response = account.update(physical_id, **PROPERTIES, Triggers={"Key": key})
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", physical_id)
    assert account.policies()[OWN_POLICY]["Statement"][2]["Resource"] == key


def test_an_update_that_changes_nothing_writes_nothing(account: Account, secret: str) -> None:
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    account.slept.clear()
    assert account.update(physical_id, **PROPERTIES, Triggers={"Again": "1"})["Status"] == "SUCCESS"
    assert "iam:PutRolePolicy" not in account.actions()
    assert account.slept == [10], "another delivery may just have written the policy"


def test_a_changed_role_is_a_replacement_whose_delete_removes_the_old_policy(account: Account, secret: str) -> None:
    old_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    account.function(account.role("successor"), "rotate-db-2")
    response = account.update(old_id, SecretId="prod/db", RotationLambdaARN="rotate-db-2")
    assert response["PhysicalResourceId"] == f"successor/{OWN_POLICY}"
    assert list(account.policies()) == list(account.policies("successor")) == [OWN_POLICY]

    account.delete(old_id, **PROPERTIES)
    assert account.policies() == {}
    assert list(account.policies("successor")) == [OWN_POLICY]


def test_a_rollback_of_a_changed_role_ends_with_the_old_policy(account: Account, secret: str) -> None:
    old_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    before = account.policies()
    account.function(account.role("successor"), "rotate-db-2")
    new_id = account.update(old_id, SecretId="prod/db", RotationLambdaARN="rotate-db-2")["PhysicalResourceId"]
    assert account.update_in_rollback(new_id, **PROPERTIES)["PhysicalResourceId"] == old_id
    account.delete(new_id, SecretId="prod/db", RotationLambdaARN="rotate-db-2")
    assert account.policies() == before
    assert account.policies("successor") == {}


@pytest.mark.parametrize(
    "bad",
    [
        {"SecretId": "nowhere", "RotationLambdaARN": "rotate-db"},
        {"SecretId": "prod/db", "Unknown": "x"},
        {"SecretId": "prod/db", "RotationLambdaARN": "rotate-db", "RoleName": "other"},
    ],
)
def test_a_failed_update_changes_nothing_and_returns_the_physical_id_of_the_request(
    account: Account, secret: str, bad: dict[str, Any]
) -> None:
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    before = account.policies()
    response = account.update(physical_id, **bad)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", physical_id)
    assert account.policies() == before


def test_a_failed_replacement_returns_the_physical_id_of_the_request(account: Account, secret: str) -> None:
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    account.function(account.role("successor"), "rotate-db-2")
    for code in ("AccessDenied", "ServiceFailure"):
        account.faults["iam:PutRolePolicy"] = [error(code)]
        response = account.update(physical_id, SecretId="prod/db", RotationLambdaARN="rotate-db-2")
        assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", physical_id)
        assert account.policies("successor") == {}


# --- failed writes ---

DOCUMENTED = PROPERTIES | {"PolicyProfile": "Documented"}
SUCCESSOR = {"SecretId": "prod/db", "RotationLambdaARN": "rotate-db-2"}
CLOSED = ConnectionClosedError(endpoint_url="https://iam.amazonaws.com/")


@pytest.fixture
def successor(account: Account) -> None:
    """Create a rotation function ``rotate-db-2`` with the role ``successor``."""
    account.function(account.role("successor"), "rotate-db-2")


def test_a_write_whose_response_is_lost_is_retried(account: Account, secret: str) -> None:
    account.lost["iam:PutRolePolicy"] = [CLOSED, CLOSED]
    assert account.create(**PROPERTIES)["Status"] == "SUCCESS"
    assert list(account.policies()) == [OWN_POLICY]


def test_a_delete_whose_response_is_lost_succeeds(account: Account, secret: str) -> None:
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    account.lost["iam:DeleteRolePolicy"] = [CLOSED]
    assert account.delete(physical_id)["Status"] == "SUCCESS"
    assert account.policies() == {}


def test_a_write_in_doubt_that_finally_fails_is_rolled_back(account: Account, secret: str, successor: None) -> None:
    def lose_and_fail() -> None:
        account.lost["iam:PutRolePolicy"] = [CLOSED]
        account.faults["iam:PutRolePolicy"] = [lambda: None, error("MalformedPolicyDocument")]

    lose_and_fail()
    assert account.create(**PROPERTIES)["Status"] == "FAILED"
    assert account.policies() == {}
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    before = account.policies()
    for properties in (DOCUMENTED, SUCCESSOR):
        lose_and_fail()
        response = account.update(physical_id, **properties)
        assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", physical_id)
        assert "MalformedPolicyDocument" in response["Reason"]
        assert account.policies() == before
        assert account.policies("successor") == {}


def test_a_rejected_write_is_not_rolled_back(account: Account, secret: str) -> None:
    account.faults["iam:PutRolePolicy"] = [error("Throttling"), error("MalformedPolicyDocument")]
    assert account.create(**PROPERTIES)["Status"] == "FAILED"
    assert "iam:DeleteRolePolicy" not in account.actions()


def test_an_update_that_fails_after_its_write_restores_the_old_document(
    account: Account, secret: str, successor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    before = account.policies()
    monkeypatch.setattr(SingleResponse, "raise_if_timed_out", lambda _: 1 / 0)
    for properties in (DOCUMENTED, SUCCESSOR):
        response = account.update(physical_id, **properties)
        assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", physical_id)
        assert account.policies() == before
        assert account.policies("successor") == {}


def test_an_update_that_cannot_be_rolled_back_names_the_policy_and_the_role(
    account: Account, secret: str, successor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    monkeypatch.setattr(SingleResponse, "raise_if_timed_out", lambda _: 1 / 0)
    account.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")]
    response = account.update(physical_id, **SUCCESSOR)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", physical_id)
    assert len(response["Reason"]) <= 240
    assert f'the policy "{OWN_POLICY}" on the role "successor"' in response["Reason"]


def test_a_delete_removes_the_policy_of_a_create_that_could_not_be_rolled_back(
    account: Account, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SingleResponse, "raise_if_timed_out", lambda _: 1 / 0)
    account.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")]
    response = account.create(**PROPERTIES)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", OWN_ID)
    assert "failed with an internal error" in response["Reason"]
    account.delete(response["PhysicalResourceId"])
    assert account.policies() == {}


@pytest.mark.parametrize("action", ["secretsmanager:DescribeSecret", "iam:GetRolePolicy", "iam:PutRolePolicy"])
def test_a_request_that_is_throttled_until_its_deadline_gets_a_response_in_time(
    account: Account, secret: str, action: str
) -> None:
    account.faults[action] = [error("Throttling")] * 1000
    context = Context()
    response = account.send(account.request("Create", PROPERTIES), context)
    assert response["Status"] == "FAILED"
    assert f"{action} failed with Throttling" in response["Reason"]
    assert context.get_remaining_time_in_millis() >= 15_000
    assert account.policies() == {}


# --- time runs out ---


def time_runs_out(account: Account) -> Callable[[], None]:
    """Wait until the timer has responded, as a call that hangs does."""

    def until_responded() -> None:
        account.slept.append(handler.resource.schedule.respond_at - time.monotonic())
        handler.resource.response.time_out()

    return until_responded


@pytest.mark.parametrize(
    ("action", "physical_id"),
    [
        ("lambda:GetFunctionConfiguration", f"uncreated-{LOGICAL_ID}"),
        ("iam:GetRolePolicy", f"uncreated-{LOGICAL_ID}"),
        ("iam:SimulatePrincipalPolicy", OWN_ID),
    ],
)
def test_when_time_runs_out_before_the_write_nothing_is_written(
    account: Account, secret: str, action: str, physical_id: str
) -> None:
    account.lost[action] = [time_runs_out(account)]
    response = account.create(**PROPERTIES)
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith("The provider function ran out of time")
    assert account.calls[-1][0] == action
    assert response["PhysicalResourceId"] == physical_id


@pytest.mark.parametrize("action", ["iam:PutRolePolicy", "cloudformation:DescribeStackEvents"])
def test_when_time_runs_out_during_the_write_the_write_is_rolled_back(
    account: Account, secret: str, successor: None, action: str
) -> None:
    account.lost[action] = [time_runs_out(account)]
    response = account.create(**PROPERTIES)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", OWN_ID)
    assert account.policies() == {}

    account.create(**PROPERTIES)
    before = account.policies()
    for changed in (DOCUMENTED, SUCCESSOR):
        # An Update also looks up the stack before it writes.
        account.lost[action] = [time_runs_out(account)]
        if action == "cloudformation:DescribeStackEvents":
            account.lost[action].insert(0, lambda: None)
        response = account.update(OWN_ID, **changed)
        assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", OWN_ID)
        assert account.policies() == before
        assert account.policies("successor") == {}


# --- superseded requests ---

GENERATED_ID = "database_DatabaseRotationPolicy_1ABCDEFG"
"""The physical ID that CloudFormation generates for a resource that did not return one."""


def cancel_create(account: Account, stack_status: str) -> None:
    """Cancel the Create, because another resource failed or the stack is deleted."""
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_FAILED", GENERATED_ID, PROPERTIES, "cancelled")
    account.cloudformation.set_status(STACK_ID, stack_status)


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
def test_a_create_that_is_overtaken_by_its_delete_leaves_no_policy(
    account: Account, secret: str, status: str, moment: str
) -> None:
    foreign_document = foreign_policy(account)

    def cancel() -> None:
        cancel_create(account, status)
        delete = account.request("Delete", PROPERTIES, stack_status=status, PhysicalResourceId=GENERATED_ID)
        assert account.send_elsewhere(delete)["Status"] == "SUCCESS"

    create = account.request("Create", PROPERTIES)
    account.faults[moment] = [cancel]
    response = account.send(create)
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith("CloudFormation no longer waits for this request: since then, the ")
    assert account.policies() == {"foreign": foreign_document}


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "DELETE_COMPLETE"])
def test_a_create_that_is_delivered_long_after_its_delete_leaves_no_policy(
    account: Account, secret: str, status: str
) -> None:
    event = account.request("Create", PROPERTIES)
    account.delete(account.send(event)["PhysicalResourceId"])
    account.cloudformation.set_status(STACK_ID, status)
    assert account.send(event)["Status"] == "FAILED"
    assert account.policies() == {}


def test_a_superseded_create_removes_the_policy_of_an_earlier_delivery(account: Account, secret: str) -> None:
    event = account.request("Create", DOCUMENTED)
    account.send(event)
    cancel_create(account, "ROLLBACK_IN_PROGRESS")
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=account.key())
    assert account.send(event)["Status"] == "FAILED"
    assert account.policies() == {}


def test_a_superseded_create_leaves_no_policy_if_describe_stack_resource_is_denied(
    account: Account, secret: str
) -> None:
    event = account.request("Create", DOCUMENTED)
    account.send(event)
    cancel_create(account, "ROLLBACK_IN_PROGRESS")
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=account.key())
    account.faults["cloudformation:DescribeStackResource"] = [error("AccessDenied")]
    assert account.send(event)["Status"] == "FAILED"
    assert account.policies() == {}


def test_a_create_that_starts_after_an_update_keeps_the_policy_of_the_update(account: Account, secret: str) -> None:
    create = account.request("Create", PROPERTIES)
    account.send(create)
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, PROPERTIES)
    account.update(OWN_ID, **DOCUMENTED)
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, DOCUMENTED)
    account.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE")
    before = account.policies()
    assert account.send(create)["Status"] == "FAILED"
    assert "iam:PutRolePolicy" not in account.actions()
    assert account.policies() == before


def fail_update(account: Account, properties: dict[str, Any]) -> None:
    """Cancel the Update, because another resource failed. The stack rolls back."""
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_FAILED", OWN_ID, properties, "cancelled")
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")


def roll_back(account: Account, physical_id: str = OWN_ID) -> dict[str, Any]:
    """Return the request of the rollback."""
    status = "UPDATE_ROLLBACK_IN_PROGRESS"
    return account.request("Update", PROPERTIES, stack_status=status, PhysicalResourceId=physical_id)


def end_rollback(account: Account) -> None:
    """Complete the rollback."""
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, PROPERTIES)
    for status in ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"):
        account.cloudformation.set_status(STACK_ID, status)


@pytest.mark.parametrize("changed", [DOCUMENTED, SUCCESSOR])
@pytest.mark.parametrize("is_over", [True, False])
def test_an_update_that_is_overtaken_by_its_rollback_restores_the_old_policy(
    account: Account, secret: str, successor: None, is_over: bool, changed: dict[str, Any]
) -> None:
    account.create(**PROPERTIES)
    before = account.policies()
    forward = account.request("Update", changed, PhysicalResourceId=OWN_ID)

    def overtake() -> None:
        fail_update(account, changed)
        assert account.send_elsewhere(roll_back(account))["PhysicalResourceId"] == OWN_ID
        if is_over:
            end_rollback(account)

    account.faults["iam:PutRolePolicy"] = [overtake]
    assert account.send(forward)["Status"] == "FAILED"
    assert account.policies() == before
    assert account.policies("successor") == {}


@pytest.mark.parametrize("changed", [DOCUMENTED, SUCCESSOR])
@pytest.mark.parametrize("served_before", [True, False])
@pytest.mark.parametrize("when", ["before the rollback's own Update", "after it", "after the rollback", "much later"])
def test_a_forward_update_that_starts_late_writes_nothing_and_leaves_no_policy(
    account: Account, secret: str, successor: None, changed: dict[str, Any], served_before: bool, when: str
) -> None:
    account.create(**PROPERTIES)
    before = account.policies()
    forward = account.request("Update", changed, PhysicalResourceId=OWN_ID)
    if served_before:
        # Lambda runs an event again if the response was not delivered.
        account.responses.statuses.append(403)
        with pytest.raises(ResponseDeliveryError):
            handler.handler(forward, Context())
    fail_update(account, changed)
    if when != "before the rollback's own Update":
        assert account.send(roll_back(account))["PhysicalResourceId"] == OWN_ID
    if when in ("after the rollback", "much later"):
        end_rollback(account)
    if when == "much later":
        account.cloudformation.page_size = 2
        account.send(account.request("Update", PROPERTIES | {"Triggers": {"a": "b"}}, PhysicalResourceId=OWN_ID))
    response = account.send(forward)
    assert response["Status"] == "FAILED"
    assert "CloudFormation no longer waits for this request" in response["Reason"]
    assert "iam:PutRolePolicy" not in account.actions()
    assert account.policies("successor") == {} or when == "much later"
    if when == "before the rollback's own Update":
        assert account.send(roll_back(account))["Status"] == "SUCCESS"
    assert account.policies() == before


@pytest.mark.parametrize("newer_has_same_role", [True, False])
def test_a_late_update_removes_its_policy_unless_a_newer_update_has_the_same_role(
    account: Account, secret: str, successor: None, newer_has_same_role: bool
) -> None:
    account.create(**PROPERTIES)
    first = account.request("Update", SUCCESSOR, PhysicalResourceId=OWN_ID)
    account.responses.statuses.append(403)
    with pytest.raises(ResponseDeliveryError):
        handler.handler(first, Context())
    fail_update(account, SUCCESSOR)
    account.send(roll_back(account))
    end_rollback(account)
    corrected = (SUCCESSOR if newer_has_same_role else PROPERTIES) | {"Triggers": {"corrected": "1"}}
    second = account.request("Update", corrected, PhysicalResourceId=OWN_ID)
    account.faults["iam:GetRolePolicy"] = [lambda: account.send_elsewhere(first)]
    response = account.send(second)
    assert response["Status"] == "SUCCESS"
    assert list(account.policies("successor")) == ([OWN_POLICY] if newer_has_same_role else [])
    assert list(account.policies(response["Data"]["RoleName"])) == [OWN_POLICY]


def test_a_late_update_keeps_its_policy_if_the_role_of_a_newer_update_is_unknown(
    account: Account, secret: str, successor: None
) -> None:
    account.create(**PROPERTIES)
    first = account.request("Update", SUCCESSOR, PhysicalResourceId=OWN_ID)
    account.responses.statuses.append(403)
    with pytest.raises(ResponseDeliveryError):
        handler.handler(first, Context())
    fail_update(account, SUCCESSOR)
    account.send(roll_back(account))
    end_rollback(account)
    account.request("Update", {"SecretId": "prod/db", "RotationLambdaARN": "nowhere"}, PhysicalResourceId=OWN_ID)
    assert account.send(first)["Status"] == "FAILED"
    assert list(account.policies("successor")) == [OWN_POLICY]


def test_a_superseded_update_keeps_the_document_of_the_rollback(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    forward = account.request("Update", DOCUMENTED, PhysicalResourceId=OWN_ID)

    def overtake() -> None:
        fail_update(account, DOCUMENTED)
        # The document of the rollback differs from the former document.
        account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=account.key())
        assert account.send_elsewhere(roll_back(account))["Status"] == "SUCCESS"

    account.lost["iam:PutRolePolicy"] = [overtake]
    assert account.send(forward)["Status"] == "FAILED"
    [_, _, use_key] = account.policies()[OWN_POLICY]["Statement"]
    assert use_key["Sid"] == "UseSecretKey"


def test_an_update_that_is_delivered_after_the_stack_is_deleted_leaves_no_policy(account: Account, secret: str) -> None:
    event = account.request("Update", PROPERTIES, PhysicalResourceId=OWN_ID)
    account.cloudformation.set_status(STACK_ID, "DELETE_COMPLETE")
    assert account.send(event)["Status"] == "FAILED"
    assert account.policies() == {}


@pytest.mark.parametrize("moment", ["iam:GetRolePolicy", "iam:PutRolePolicy"])
@pytest.mark.parametrize("changed", [DOCUMENTED, SUCCESSOR])
def test_an_update_that_is_delivered_twice_at_the_same_time_keeps_its_policy(
    account: Account, secret: str, successor: None, moment: str, changed: dict[str, Any]
) -> None:
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    event = account.request("Update", changed, PhysicalResourceId=physical_id)
    responses = []

    def once_more() -> None:
        responses.append(account.send_elsewhere(event))
        new_id = responses[0]["PhysicalResourceId"]
        if new_id != physical_id:
            reason = "Requested update required the provider to create a new physical resource"
            account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_IN_PROGRESS", new_id, changed, reason)
        account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", new_id, changed)
        account.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        if new_id != physical_id:
            account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "DELETE_IN_PROGRESS", physical_id)
        account.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE")

    account.faults[moment] = [once_more]
    assert account.send(event) == responses[0]
    assert responses[0]["Status"] == "SUCCESS"
    [statement, *_] = account.policies(responses[0]["Data"]["RoleName"])[OWN_POLICY]["Statement"]
    assert ("Sid" in statement) is (changed == SUCCESSOR)


LOOKUPS = [
    "cloudformation:DescribeStacks",
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeStackResource",
]


@pytest.mark.parametrize("code", ["AccessDenied", "ValidationError"])
def test_a_request_is_served_if_the_lookups_in_cloudformation_fail(account: Account, secret: str, code: str) -> None:
    account.faults = {action: [error(code)] * 9 for action in LOOKUPS}
    assert account.create(**PROPERTIES)["Status"] == "SUCCESS"
    assert account.update(OWN_ID, **DOCUMENTED)["Status"] == "SUCCESS"
    assert "Sid" not in account.policies()[OWN_POLICY]["Statement"][0]
    response = account.update(OWN_ID, SecretId="nowhere", RotationLambdaARN="rotate-db")
    assert response["Status"] == "FAILED"


def test_each_lookup_in_cloudformation_is_retried_for_at_most_10_seconds(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    account.slept.clear()
    account.faults = {action: [error("Throttling")] * 1000 for action in LOOKUPS}
    assert account.update(OWN_ID, **DOCUMENTED, PropagationDelay="0")["Status"] == "SUCCESS"
    # There are several lookups: the stack status, twice, and the events, before and after the write.
    assert 0 < sum(account.slept) < 60


def test_the_stack_is_looked_up_by_its_id(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    assert account.calls[-1] == ("cloudformation:DescribeStackEvents", {"StackName": STACK_ID})
    account.update(OWN_ID, **DOCUMENTED)
    assert account.calls[0] == ("cloudformation:DescribeStacks", {"StackName": STACK_ID})


def test_a_policy_is_rolled_back_before_lambda_ends_the_invocation(account: Account, secret: str) -> None:
    context = Context()
    account.lost["iam:PutRolePolicy"] = [CLOSED] * 1000
    account.faults["iam:DeleteRolePolicy"] = [CLOSED] * 1000
    assert account.send(account.request("Create", PROPERTIES), context)["PhysicalResourceId"] == OWN_ID
    # A call takes 13 seconds at most.
    assert context.get_remaining_time_in_millis() >= 13_000


@pytest.mark.parametrize("seconds", ["60", 60])
def test_the_response_is_sent_before_a_short_service_timeout(account: Account, secret: str, seconds: Any) -> None:
    account.faults["iam:PutRolePolicy"] = [error("Throttling")] * 1000
    assert account.create(**PROPERTIES, ServiceTimeout=seconds)["Status"] == "FAILED"
    assert 20 < sum(account.slept) < 45


# --- rollbacks ---


def disable_key(account: Account) -> None:
    """Disable the secret's key."""
    key_arn = account.client("secretsmanager").describe_secret(SecretId="prod/db")["KmsKeyId"]
    account.client("kms").disable_key(KeyId=key_arn.rpartition("/")[2])


def delete_secret(account: Account) -> None:
    """Schedule the secret for deletion."""
    account.client("secretsmanager").delete_secret(SecretId="prod/db")


def remove_secret(account: Account) -> None:
    """Delete the secret without a recovery window."""
    account.client("secretsmanager").delete_secret(SecretId="prod/db", ForceDeleteWithoutRecovery=True)


def delete_function(account: Account) -> None:
    """Delete the rotation function."""
    account.client("lambda").delete_function(FunctionName="rotate-db")


def deny_put(account: Account) -> None:
    """Deny the provider access, as if the role had lost the required tag or boundary."""
    account.faults["iam:PutRolePolicy"] = [error("AccessDenied")] * 9


def fill_role(account: Account) -> None:
    """Reject each write, as if the role were full."""
    account.faults["iam:PutRolePolicy"] = [error("LimitExceeded")] * 9


def throttle_secrets_manager(account: Account) -> None:
    """Throttle the calls, as if hundreds of resources were rolled back at the same time."""
    account.faults["secretsmanager:DescribeSecret"] = [error("ThrottlingException")] * 10_000


def lose_every_put(account: Account) -> None:
    """Lose each response to PutRolePolicy."""
    account.lost["iam:PutRolePolicy"] = [CLOSED] * 10_000


CHANGES = [
    disable_key, delete_secret, remove_secret, delete_function, deny_put, fill_role, throttle_secrets_manager,
    lose_every_put,
]  # fmt: skip


@pytest.fixture
def keyed_secret(account: Account) -> str:
    """Create a secret under a customer managed key and a rotation function in a VPC. Return the secret's ARN."""
    account.function(account.role(path="/app/"), vpc=account.vpc())
    return account.secret(key=account.key())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("served", [True, False])
def test_a_rollback_succeeds_despite_changes_outside_the_stack(
    account: Account,
    keyed_secret: str,
    successor: None,
    change: Callable[[Account], None],
    in_place: bool,
    served: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    created = account.create(**PROPERTIES)
    before = account.policies()
    changed = DOCUMENTED if in_place else SUCCESSOR
    physical_id = account.update(OWN_ID, **changed)["PhysicalResourceId"] if served else OWN_ID
    fail_update(account, changed)
    change(account)
    capsys.readouterr()
    response = account.send(roll_back(account, physical_id))
    assert response["Status"] == "SUCCESS", response["Reason"]
    # The old policy still exists on the old role, so the response must have its physical ID.
    assert response["PhysicalResourceId"] == OWN_ID
    if not (in_place and served):
        assert account.policies() == before
    assert set(response["Data"]) == set(created["Data"])
    if change is delete_function:
        created["Data"]["FunctionArn"] = ""
    assert response["Data"] == created["Data"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["RollbackWarnings"] for line in lines if line["message"] == "sending response"] == [1]
    [warning] = [line for line in lines if line["message"] == "rollback kept the existing policy"]
    assert warning["reason"]


@pytest.mark.parametrize(
    "properties", [PROPERTIES, {"SecretId": "prod/db", "RoleName": "rotation-role", "VpcConfig": {}}]
)
def test_a_rollback_succeeds_if_its_role_no_longer_exists(
    account: Account, secret: str, properties: dict[str, Any]
) -> None:
    account.create(**properties)
    fail_update(account, DOCUMENTED)
    iam = account.client("iam")
    iam.delete_role_policy(RoleName="rotation-role", PolicyName=OWN_POLICY)
    iam.delete_role(RoleName="rotation-role")
    response = account.update_in_rollback(OWN_ID, **properties)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
    assert response["Data"]["RoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/rotation-role"
    assert response["Data"]["SecretArns"] == ""


def test_a_rollback_writes_the_policy_even_if_it_seems_unchanged(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    account.update(OWN_ID, **DOCUMENTED)
    fail_update(account, DOCUMENTED)
    old = policy_document(account, PROPERTIES)
    # IAM is eventually consistent. It still returns the document from before the Update.
    account.api_responses["iam:GetRolePolicy"] = lambda _: {"PolicyDocument": json.dumps(old)}
    assert account.send(roll_back(account))["Status"] == "SUCCESS"
    del account.api_responses["iam:GetRolePolicy"]
    assert account.policies()[OWN_POLICY] == old


def policy_document(account: Account, properties: dict[str, Any]) -> Any:
    """Return the document for these properties."""
    state = resource.inspect(WatchedAws(Account(account.responses)), parse_properties(properties), PLACE)
    return policy.document(state, parse_properties(properties).policy_profile)


@pytest.mark.parametrize("denied", [False, True])
def test_a_rollback_to_a_third_role_removes_the_policy_from_the_first_role(
    account: Account, secret: str, successor: None, denied: bool
) -> None:
    account.create(**PROPERTIES)
    new_id = account.update(OWN_ID, **SUCCESSOR)["PhysicalResourceId"]
    fail_update(account, SUCCESSOR)
    # The function was given another role outside CloudFormation.
    account.client("lambda").update_function_configuration(FunctionName="rotate-db", Role=account.role("third"))
    account.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")] if denied else []
    response = account.send(roll_back(account, new_id))
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", f"third/{OWN_POLICY}")
    assert list(account.policies("third")) == [OWN_POLICY]
    assert bool(account.policies()) is denied
    # The Delete of the clean-up removes this policy.
    assert list(account.policies("successor")) == [OWN_POLICY]


def test_a_rollback_to_the_role_of_the_failed_update_removes_the_policy_from_the_first_role(
    account: Account, secret: str, successor: None
) -> None:
    """The function was given the new role outside CloudFormation, so the old properties lead to the new role too."""
    account.create(**PROPERTIES)
    new_id = account.update(OWN_ID, **SUCCESSOR)["PhysicalResourceId"]
    fail_update(account, SUCCESSOR)
    successor_role = f"arn:aws:iam::{ACCOUNT}:role/successor"
    account.client("lambda").update_function_configuration(FunctionName="rotate-db", Role=successor_role)
    response = account.send(roll_back(account, new_id))
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", new_id)
    assert list(account.policies("successor")) == [OWN_POLICY]
    # The physical ID stays, so CloudFormation would never delete the first policy.
    assert account.policies() == {}


def test_an_update_of_a_stack_that_goes_forward_fails_although_its_status_was_unknown_first(
    account: Account, secret: str
) -> None:
    """The second look-up shows that the stack goes forward, so the failure is not assumed to be in a rollback."""
    account.create(**PROPERTIES)
    responds = [False]

    def look_up() -> None:
        if not responds[0]:
            raise ReadTimeoutError(endpoint_url="https://cloudformation")

    def moment(_when: str, action: str) -> None:
        if action in ("secretsmanager:DescribeSecret", "iam:PutRolePolicy"):
            # CloudFormation responds between these two calls.
            responds[0] = action != "iam:PutRolePolicy"

    account.moment = moment
    account.faults = {action: [look_up] * 1000 for action in LOOKUPS}
    account.faults["iam:PutRolePolicy"] = [error("AccessDenied")]
    response = account.update(OWN_ID, **DOCUMENTED)
    assert (response["Status"], "AWS denies the provider iam:PutRolePolicy" in response["Reason"]) == ("FAILED", True)


def test_a_request_whose_timer_has_responded_is_not_served_again_as_a_rollback(account: Account, secret: str) -> None:
    """CloudFormation rolls back because of this response. The rollback sends an Update of its own."""
    account.create(**PROPERTIES)
    before = account.policies()

    def time_out(_when: str, action: str) -> None:
        if (_when, action) == ("after", "iam:PutRolePolicy") and not handler.resource.response.physical_id:
            handler.resource.response.time_out()
            account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")

    account.moment = time_out
    account.faults["cloudformation:DescribeStackEvents"] = [error("AccessDenied")] * 1000
    response = account.update(OWN_ID, **DOCUMENTED)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", OWN_ID)
    assert account.policies() == before
    assert account.actions().count("iam:PutRolePolicy") == 2, "the write, and its undo"


def test_a_rollback_makes_no_access_check(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    account.update(OWN_ID, **DOCUMENTED)
    fail_update(account, DOCUMENTED)
    account.simulate = lambda params: [
        {"EvalActionName": action, "EvalResourceName": params["ResourceArns"][0], "EvalDecision": "explicitDeny"}
        for action in params["ActionNames"]
    ]
    deny_all(account)
    assert account.send(roll_back(account))["Status"] == "SUCCESS"
    assert CHECKS.isdisjoint(account.actions())
    assert "Sid" in account.policies()[OWN_POLICY]["Statement"][0]


@pytest.mark.parametrize("fault", [error("Throttling"), ReadTimeoutError(endpoint_url="https://cloudformation")])
@pytest.mark.parametrize("change", [None, remove_secret])
@pytest.mark.parametrize("times", [1, 3, 10_000])
def test_a_rollback_succeeds_if_cloudformation_does_not_respond(
    account: Account, secret: str, fault: Exception, change: Callable[[Account], None] | None, times: int
) -> None:
    account.create(**PROPERTIES)
    before = account.policies()
    account.update(OWN_ID, **DOCUMENTED)
    fail_update(account, DOCUMENTED)
    if change:
        change(account)
    account.faults = {action: [fault] * times for action in LOOKUPS}
    context = Context()
    response = account.send(roll_back(account), context)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", OWN_ID), response["Reason"]
    assert (
        context.get_remaining_time_in_millis() > 1000 * handler.resource.schedule.respond_at - 1000 * time.monotonic()
    )
    if not change:
        assert account.policies() == before


def test_a_rejected_update_retries_the_lookup_of_the_stack_status(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    event = account.request("Update", {"SecretId": "nowhere"}, PhysicalResourceId=OWN_ID)
    account.faults["cloudformation:DescribeStacks"] = [error("Throttling")] * 12
    response = account.send(event)
    assert response["Status"] == "FAILED"
    assert "the secret does not exist" in response["Reason"]


def test_when_time_runs_out_in_an_update_the_response_is_failed_if_cloudformation_is_slow(
    account: Account, secret: str
) -> None:
    account.create(**PROPERTIES)
    before = account.policies()

    def hang() -> None:
        account.slept.append(stacks.LOOKUP_SECONDS)
        raise ReadTimeoutError(endpoint_url="https://cloudformation")

    account.faults["cloudformation:DescribeStacks"] = [hang]
    account.lost["iam:PutRolePolicy"] = [time_runs_out(account)]
    response = account.update(OWN_ID, **DOCUMENTED)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", OWN_ID)
    assert account.policies() == before


def test_when_time_runs_out_in_a_rollback_the_response_describes_the_existing_policy(
    account: Account, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    account.create(**PROPERTIES)
    account.update(OWN_ID, **DOCUMENTED)
    before = account.policies()
    fail_update(account, DOCUMENTED)
    for action in ("secretsmanager:DescribeSecret", "lambda:GetFunctionConfiguration", "iam:PutRolePolicy"):
        account.lost[action] = [time_runs_out(account)]
        capsys.readouterr()
        response = account.send(roll_back(account))
        assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
        assert response["Data"]["RoleName"] == "rotation-role"
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["RollbackWarnings"] for line in lines if line["message"] == "sending response"] == [1]
        # The written document is that of the old properties, so it stays.
        assert (account.policies() == before) is (action != "iam:PutRolePolicy")
    assert account.policies()[OWN_POLICY] == policy_document(account, PROPERTIES)


def test_a_rollback_succeeds_despite_an_internal_error(
    account: Account, secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account.create(**PROPERTIES)
    before = account.policies()
    fail_update(account, DOCUMENTED)
    monkeypatch.setattr(policy, "document", lambda *_: 1 / 0)
    response = account.send(roll_back(account))
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
    assert account.policies() == before
    assert "ZeroDivisionError" in capsys.readouterr().out


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("triggered", [False, True])
def test_a_duplicate_that_ends_late_keeps_the_policy_of_the_other_delivery(
    account: Account, secret: str, masked: bool, triggered: bool
) -> None:
    properties = PROPERTIES | {"Triggers": {"Key": "secret"}}
    reported = PROPERTIES | {"Triggers": {"Key": "****"}} if masked else properties
    create = account.request("Create", properties)

    def complete_other_delivery() -> None:
        assert account.send_elsewhere(create)["Status"] == "SUCCESS"
        account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, reported)
        account.cloudformation.set_status(STACK_ID, "CREATE_COMPLETE")
        if triggered:
            newer = PROPERTIES | {"Triggers": {"Key": "other"}}
            update = account.request("Update", newer, PhysicalResourceId=OWN_ID)
            assert account.send_elsewhere(update)["Status"] == "SUCCESS"
            account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, newer)

    account.faults["iam:PutRolePolicy"] = [complete_other_delivery]
    assert account.send(create)["Status"] == ("FAILED" if triggered else "SUCCESS")
    assert list(account.policies()) == [OWN_POLICY]


def test_a_duplicate_update_that_ends_late_does_not_restore_the_old_document(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    first = account.request("Update", DOCUMENTED, PhysicalResourceId=OWN_ID)

    def complete_other_delivery() -> None:
        assert account.send_elsewhere(first)["Status"] == "SUCCESS"
        account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, DOCUMENTED)
        account.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE")
        newer = DOCUMENTED | {"Triggers": {"Key": "other"}}
        second = account.request("Update", newer, PhysicalResourceId=OWN_ID)
        assert account.send_elsewhere(second)["Status"] == "SUCCESS"
        account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, newer)

    account.faults["iam:PutRolePolicy"] = [complete_other_delivery]
    assert account.send(first)["Status"] == "FAILED"
    assert account.policies()[OWN_POLICY] == policy_document(account, DOCUMENTED)


@pytest.mark.parametrize("code", ["Throttling", "AccessDenied"])
def test_a_late_create_removes_nothing_if_the_resource_status_is_unknown(
    account: Account, secret: str, code: str
) -> None:
    create = account.request("Create", PROPERTIES)
    account.send(create)
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, PROPERTIES)
    account.update(OWN_ID, **DOCUMENTED)
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "UPDATE_COMPLETE", OWN_ID, DOCUMENTED)
    before = account.policies()
    account.faults["cloudformation:DescribeStackResource"] = [error(code)] * 100
    assert account.send(create)["Status"] == "FAILED"
    assert account.policies() == before


def test_a_rollback_is_recognized_by_a_second_lookup_of_the_stack_status(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    fail_update(account, DOCUMENTED)
    event = roll_back(account)
    remove_secret(account)
    statuses = iter(["UPDATE_IN_PROGRESS"])

    def respond(_: Any) -> dict[str, Any]:
        return {"Stacks": [{"StackStatus": next(statuses, "UPDATE_ROLLBACK_IN_PROGRESS")}]}

    account.api_responses["cloudformation:DescribeStacks"] = respond
    assert account.send(event)["Status"] == "SUCCESS"


def test_a_rollback_succeeds_when_time_runs_out_after_it_was_recognized(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    fail_update(account, DOCUMENTED)
    event = roll_back(account)
    account.faults["cloudformation:DescribeStacks"] = [error("AccessDenied")]
    account.faults["secretsmanager:DescribeSecret"] = [error("InternalFailure"), time_runs_out(account)]
    assert account.send(event)["Status"] == "SUCCESS"


def test_the_response_of_a_rollback_with_many_secrets_is_not_too_long(account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    fail_update(account, DOCUMENTED)
    event = roll_back(account)
    document = account.policies()[OWN_POLICY]
    document["Statement"][0]["Resource"] = [f"{secret}{number}" for number in range(60)]
    text = json.dumps(document)
    account.client("iam").put_role_policy(RoleName="rotation-role", PolicyName=OWN_POLICY, PolicyDocument=text)
    remove_secret(account)
    response = account.send(event)
    assert (response["Status"], response["Data"]["SecretArns"]) == ("SUCCESS", "")
    assert max(account.responses.sizes) <= 4096


def test_a_rollback_succeeds_if_the_existing_policy_cannot_be_read(
    account: Account, secret: str, successor: None
) -> None:
    account.create(**PROPERTIES)
    new_id = account.update(OWN_ID, **SUCCESSOR)["PhysicalResourceId"]
    fail_update(account, SUCCESSOR)
    remove_secret(account)
    event = roll_back(account, new_id)
    account.faults["iam:GetRolePolicy"] = [error("AccessDenied")] * 9
    assert account.send(event)["PhysicalResourceId"] == OWN_ID
    account.faults.clear()
    account.api_responses["lambda:GetFunctionConfiguration"] = lambda _: {}
    account.api_responses["iam:GetRolePolicy"] = lambda _: {"PolicyDocument": json.dumps({"Statement": ["?"]})}
    response = account.send(event)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", new_id)


@pytest.mark.parametrize("seconds", ["20", "60"])
def test_a_delete_by_another_id_removes_the_policy_if_cloudformation_does_not_respond(
    account: Account, secret: str, seconds: str
) -> None:
    account.create(**PROPERTIES)

    def hang() -> None:
        account.slept.append(10)
        raise ReadTimeoutError(endpoint_url="https://cloudformation")

    event = account.request("Delete", PROPERTIES | {"ServiceTimeout": seconds}, PhysicalResourceId=GENERATED_ID)
    account.slept.clear()
    account.faults["cloudformation:DescribeStackResource"] = [hang] * 100
    assert account.send(event)["Status"] == "SUCCESS"
    assert account.policies() == {}


def test_a_rollback_by_a_physical_id_without_a_role_returns_that_id(account: Account, secret: str) -> None:
    failed_update = account.request("Update", PROPERTIES, PhysicalResourceId=GENERATED_ID)
    assert failed_update
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    remove_secret(account)
    response = account.send(roll_back(account, GENERATED_ID))
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", GENERATED_ID)
    assert all(isinstance(value, str) for value in response["Data"].values())


# --- roles that were just created ---


@pytest.mark.parametrize("action", ["iam:GetRole", "iam:SimulatePrincipalPolicy", "iam:PutRolePolicy"])
def test_the_provider_waits_for_a_role_that_iam_does_not_return_yet(account: Account, action: str) -> None:
    account.secret()
    account.role()
    account.faults[action] = [error("NoSuchEntity")] * 5
    declared = {"SecretId": "prod/db", "RoleName": "rotation-role", "VpcConfig": {}}
    response = account.create(**declared, PropagationDelay="0")
    assert response["Status"] == "SUCCESS", response["Reason"]
    assert sum(account.slept) == 10


def test_a_role_that_does_not_exist_is_rejected_after_at_most_15_seconds(account: Account) -> None:
    account.secret()
    response = account.create(SecretId="prod/db", RoleName="nowhere", VpcConfig={})
    assert response["Status"] == "FAILED"
    assert 'RoleName "nowhere": the role does not exist in this account' in response["Reason"]
    assert 10 <= sum(account.slept) <= 15


# --- Delete ---


def test_a_delete_by_its_own_id_makes_exactly_one_call(account: Account, secret: str) -> None:
    foreign_document = foreign_policy(account)
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    account.slept.clear()
    assert account.delete(physical_id, **PROPERTIES)["Status"] == "SUCCESS"
    assert account.calls == [("iam:DeleteRolePolicy", {"RoleName": "rotation-role", "PolicyName": OWN_POLICY})]
    assert account.policies() == {"foreign": foreign_document}
    assert account.slept == []


@pytest.mark.parametrize("role", ["rotation-role", "gone"])
def test_a_delete_succeeds_if_the_policy_or_the_role_does_not_exist(account: Account, secret: str, role: str) -> None:
    response = account.delete(f"{role}/{OWN_POLICY}", **PROPERTIES)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", f"{role}/{OWN_POLICY}")
    assert account.actions() == ["iam:DeleteRolePolicy"]


@pytest.mark.parametrize("properties", [{}, {"Nonsense": []}, {"SecretId": "gone"}, "no object", None])
def test_a_delete_by_its_own_id_needs_neither_secret_nor_function_nor_properties(
    account: Account, properties: Any
) -> None:
    account.role()
    foreign_policy(account, OWN_POLICY)
    response = account.send(account.request("Delete", properties, PhysicalResourceId=OWN_ID))
    assert response["Status"] == "SUCCESS"
    assert account.policies() == {}


@pytest.mark.parametrize("exists", ["does not exist", "exists", "unknown"])
def test_a_denied_delete_succeeds_only_if_iam_says_that_there_is_no_policy(
    account: Account, secret: str, exists: str
) -> None:
    """The role of a provider, for example: a Create has failed after the role was known, and wrote nothing."""
    if exists == "exists":
        account.create(**PROPERTIES)
    account.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")] * 2
    account.faults["iam:GetRolePolicy"] = [error("AccessDenied")] if exists == "unknown" else []
    response = account.delete(OWN_ID, **PROPERTIES)
    assert response["Status"] == ("SUCCESS" if exists == "does not exist" else "FAILED")
    assert account.actions() == ["iam:DeleteRolePolicy", "iam:GetRolePolicy"]


def test_the_look_ups_of_a_delete_leave_time_for_its_response(account: Account) -> None:
    """Each throttled secret is tried until the time is over, and then the next."""
    names = [f"prod/{number}" for number in range(100)]
    account.faults["secretsmanager:DescribeSecret"] = [error("ThrottlingException")] * 100_000
    context = Context(milliseconds=24_000)
    response = account.send(
        account.request("Delete", {"SecretIds": names}, PhysicalResourceId=f"uncreated-{LOGICAL_ID}"), context
    )
    assert response["Status"] == "SUCCESS"
    assert context.get_remaining_time_in_millis() > 10_000


def test_a_delete_that_is_denied_fails_because_the_policy_still_exists(account: Account, secret: str) -> None:
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    account.faults["iam:DeleteRolePolicy"] = [error("AccessDenied")]
    response = account.delete(physical_id, **PROPERTIES)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", physical_id)
    assert "iam:DeleteRolePolicy" in response["Reason"]


FOREIGN_IDS = [
    f"uncreated-{LOGICAL_ID}",
    "database-DatabaseRotationPolicy-1ABCDEFGHIJKL",
    "rotation-role/foreign",
    f"/{OWN_POLICY}",
    f"rotation-role/{OWN_POLICY}/x",
    f"a/b/{OWN_POLICY}",
    f"*/{OWN_POLICY}",
]


@pytest.mark.parametrize("physical_id", FOREIGN_IDS)
@pytest.mark.parametrize("by_role", [True, False])
def test_a_delete_by_another_id_finds_its_own_policy_through_the_properties(
    account: Account, secret: str, physical_id: str, by_role: bool
) -> None:
    foreign_document = foreign_policy(account)
    account.create(**PROPERTIES)
    properties = {"SecretId": "prod/db", "RoleName": "rotation-role"} if by_role else PROPERTIES
    response = account.delete(physical_id, **properties)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", physical_id)
    assert account.policies() == {"foreign": foreign_document}


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
def test_a_delete_by_another_id_succeeds_if_the_lookups_find_nothing(
    account: Account, secret: str, properties: dict[str, Any]
) -> None:
    assert account.delete(f"uncreated-{LOGICAL_ID}", **properties)["Status"] == "SUCCESS"


def test_a_delete_by_another_id_succeeds_if_a_lookup_returns_an_invalid_response(
    account: Account, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    account.api_responses["lambda:GetFunctionConfiguration"] = lambda _: {}
    assert account.delete(GENERATED_ID, **PROPERTIES)["Status"] == "SUCCESS"
    assert "KeyError" in capsys.readouterr().out


@pytest.mark.parametrize("code", ["AccessDeniedException", "InternalServiceError"])
def test_a_delete_by_another_id_succeeds_if_the_lookups_fail(account: Account, secret: str, code: str) -> None:
    for action in ("secretsmanager:DescribeSecret", "lambda:GetFunctionConfiguration"):
        account.faults = {action: [error(code)]}
        properties = {"SecretId": "prod/db"} if action.startswith("secrets") else PROPERTIES
        assert account.delete(f"uncreated-{LOGICAL_ID}", **properties)["Status"] == "SUCCESS"


@pytest.mark.parametrize("physical_id", [f"uncreated-{LOGICAL_ID}", GENERATED_ID])
@pytest.mark.parametrize("by_role", [True, False])
def test_a_delete_of_a_failed_create_keeps_the_policy_of_a_later_create(
    account: Account, secret: str, physical_id: str, by_role: bool
) -> None:
    """With ``--disable-rollback``, the clean-up runs after the next operation has created the resource."""
    account.create(**PROPERTIES)
    before = account.policies()
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_COMPLETE", OWN_ID, PROPERTIES)
    account.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "DELETE_IN_PROGRESS", physical_id)
    event = account.request("Delete", {}, StackId="arn:aws:cloudformation:::stack/other/1") | {"StackId": STACK_ID}
    failed = {"SecretId": "nowhere", "RoleName": "rotation-role"} if by_role else PROPERTIES
    event |= {"PhysicalResourceId": physical_id, "ResourceProperties": failed}
    assert account.send(event)["Status"] == "SUCCESS"
    assert account.policies() == before


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling"])
@pytest.mark.parametrize(("physical_id", "is_left"), [(f"uncreated-{LOGICAL_ID}", True), (GENERATED_ID, False)])
def test_without_the_resource_status_a_delete_keeps_the_policy_only_for_an_uncreated_id(
    account: Account, secret: str, code: str, physical_id: str, is_left: bool
) -> None:
    account.create(**PROPERTIES)
    account.faults["cloudformation:DescribeStackResource"] = [error(code)] * 1000
    assert account.delete(physical_id, **PROPERTIES)["Status"] == "SUCCESS"
    assert bool(account.policies()) is is_left


# --- ownership ---


def test_policies_of_others_on_the_role_are_never_changed(account: Account, secret: str) -> None:
    foreign_documents = {name: foreign_policy(account, name) for name in ("a", f"{OWN_POLICY}x", LOGICAL_ID)}
    physical_id = account.create(**PROPERTIES)["PhysicalResourceId"]
    account.update(physical_id, **PROPERTIES, PolicyProfile="Documented")
    account.delete("rotation-role/a", **PROPERTIES)
    account.delete(physical_id, **PROPERTIES)
    assert account.policies() == foreign_documents


def test_the_same_resource_in_another_stack_has_its_own_policy(account: Account, secret: str) -> None:
    other_stack = STACK_ID.replace("6b1e1c50", "7b1e1c50")
    account.create(**PROPERTIES)
    event = account.request("Create", PROPERTIES, StackId=other_stack)
    other_id = account.send(event)["PhysicalResourceId"]
    assert other_id != OWN_ID
    assert len(account.policies()) == 2
    account.send(account.request("Delete", PROPERTIES, StackId=other_stack, PhysicalResourceId=OWN_ID))
    assert list(account.policies()) == [OWN_POLICY]


# --- the log ---


def test_the_log_has_a_json_line_for_each_decision_and_not_the_signed_url(
    account: Account, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = account.key()
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=key, SecretString="sentinel-value")
    account.create(**PROPERTIES)
    account.create(**PROPERTIES)
    account.create(SecretId="nowhere")
    output = capsys.readouterr().out
    lines = [json.loads(line) for line in output.splitlines()]
    messages = [line["message"] for line in lines]
    assert messages == [
        *["request received", "inspected", "policy written", "sending response"],
        *["request received", "inspected", "policy unchanged", "sending response"],
        *["request received", "request failed", "sending response"],
    ]
    assert {line["resource"] for line in lines} == {LOGICAL_ID}
    assert {line["provider_version"] for line in lines} == {__version__}
    assert list(lines[1]["customer_managed_keys"].values()) == [key]
    assert lines[1]["in_vpc"] is False
    assert "sentinel" not in output
    assert account.responses.url not in output


def test_each_response_is_logged_with_metrics_that_count_requests_and_failures(
    account: Account, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.resource._is_cold_start = True
    account.create(**PROPERTIES)
    account.create(SecretId="nowhere")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    responses = [line for line in lines if line["message"] == "sending response"]
    assert [
        (line["Requests"], line["FailedRequests"], line["ColdStarts"], line.get("ErrorCode")) for line in responses
    ] == [
        (1, 0, 1, None),
        (1, 1, 0, "NotFound"),
    ]
    metrics_of_requests = {
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
    metrics_of_failures = {
        "Namespace": "RotationRolePolicy",
        "Dimensions": [["Provider", "ErrorCode"]],
        "Metrics": [{"Name": "FailedRequests", "Unit": "Count"}],
    }
    assert [line["_aws"]["CloudWatchMetrics"] for line in responses] == [
        [metrics_of_requests],
        [metrics_of_requests, metrics_of_failures],
    ]
    for line in responses:
        assert abs(line["_aws"]["Timestamp"] / 1000 - time.time()) < 60
        assert line["Provider"] == "provider"
        # The clock of these tests moves only with `time.sleep`.
        assert line["Duration"] >= 0


def test_a_warning_is_logged_for_a_key_that_was_not_inspected(
    account: Account, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key_arn = f"arn:aws:kms:{REGION}:999999999999:key/11111111-1111-1111-1111-111111111111"
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=key_arn)
    account.faults["kms:DescribeKey"] = [error("AccessDeniedException")]
    assert account.create(**PROPERTIES)["Data"]["KmsKeyArns"] == key_arn
    [warning] = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["level"] == "WARNING"]
    assert warning["message"] == "key not inspected: kms:DescribeKey is denied"
    assert warning["resource_arn"] == key_arn
