"""The key of a function's environment variables: what is found, and that nothing about it fails a request."""

from typing import Any

import pytest

from rotation_role_policy.lookup.resource import inspect
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import State
from rotation_role_policy.rules.warnings import WarningKind, warnings_of
from tests.support.account import ACCOUNT, PLACE, REGION, STACK_ID, Account, AlteredAws, error

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db"
GONE = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/99999999-9999-9999-9999-999999999999"
NO_ALIAS = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/nowhere"


@pytest.fixture
def key(account: Account) -> str:
    """Create the function, its secret and a key with an alias, and return the ARN of the key."""
    account.function(account.role())
    account.secret()
    key = account.key()
    account.client("kms").create_alias(AliasName="alias/environment", TargetKeyId=key)
    return key


def look_up(account: Account, key_id: str, *, declared: bool = False, **alter: Any) -> State:
    """Return the state of a function whose environment variables are under a key."""
    # Moto knows no KMSKeyArn.
    aws = AlteredAws(account, GetFunctionConfiguration=lambda response: response | {"KMSKeyArn": key_id}, **alter)
    properties: dict[str, Any] = {"RotationLambdaARN": "rotate-db"}
    if declared:
        properties = {"RoleName": "rotation-role", "VpcConfig": {}, "KmsKeyArn": key_id}
    return inspect(aws, parse_properties({"SecretId": "prod/db"} | properties), PLACE)


def kinds(state: State) -> list[WarningKind]:
    return [warning.kind for warning in warnings_of(state)]


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("given", ["key", "alias"])
def test_a_key_is_found_by_its_arn_and_by_its_alias(account: Account, key: str, given: str, declared: bool) -> None:
    key_id = key if given == "key" else f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/environment"
    state = look_up(account, key_id, declared=declared)
    assert (state.environment_key.arn, kinds(state)) == (key, [])
    assert state.key_arns == (key,)
    assert state.secret_key_arns == ()
    assert account.actions().count("kms:DescribeKey") == 1


def test_a_key_that_also_encrypts_the_secret_is_described_once(account: Account, key: str) -> None:
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=key)
    assert look_up(account, key).key_arns == (key,)
    assert account.actions().count("kms:DescribeKey") == 1


def test_a_function_without_a_key_needs_no_call(account: Account, key: str) -> None:
    assert look_up(account, "").environment_key.arn == ""
    assert "kms:DescribeKey" not in account.actions()


def test_a_key_that_aws_manages_needs_no_statement(account: Account, key: str) -> None:
    state = look_up(
        account, key, DescribeKey=lambda response: {"KeyMetadata": response["KeyMetadata"] | {"KeyManager": "AWS"}}
    )
    assert (state.environment_key.arn, kinds(state)) == ("", [])


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("state_of_key", ["Disabled", "PendingDeletion", "PendingImport", "Unavailable"])
def test_a_key_that_cannot_be_used_has_its_statement_and_a_warning(
    account: Account, key: str, state_of_key: str, declared: bool
) -> None:
    state = look_up(
        account,
        key,
        declared=declared,
        DescribeKey=lambda response: {"KeyMetadata": response["KeyMetadata"] | {"KeyState": state_of_key}},
    )
    assert (state.environment_key.arn, kinds(state)) == (key, [WarningKind.ENVIRONMENT_KEY_UNUSABLE])
    [warning] = warnings_of(state)
    assert (warning.resource, warning.detail) == (key, f"the key is {state_of_key}, not Enabled")


def test_a_key_that_does_not_exist_has_its_statement_and_a_warning(account: Account, key: str) -> None:
    state = look_up(account, GONE)
    assert (state.environment_key.arn, kinds(state)) == (GONE, [WarningKind.ENVIRONMENT_KEY_UNUSABLE])


def test_an_alias_that_does_not_exist_has_no_statement_and_a_warning(account: Account, key: str) -> None:
    state = look_up(account, NO_ALIAS)
    assert (state.environment_key.arn, kinds(state)) == ("", [WarningKind.ENVIRONMENT_KEY_LEFT_OUT])


@pytest.mark.parametrize("code", ["AccessDeniedException", "KMSInternalException", "ThrottlingException", "Odd"])
@pytest.mark.parametrize("given", ["key", "alias"])
def test_a_key_that_cannot_be_described_fails_no_request(account: Account, key: str, code: str, given: str) -> None:
    account.faults["kms:DescribeKey"] = [error(code, "no")] * 100
    state = look_up(account, key if given == "key" else NO_ALIAS)
    expected = WarningKind.ENVIRONMENT_KEY_UNKNOWN if given == "key" else WarningKind.ENVIRONMENT_KEY_LEFT_OUT
    assert (state.environment_key.arn, kinds(state)) == (key if given == "key" else "", [expected])
    assert sum(account.slept) <= 10
    [warning] = warnings_of(state)
    assert warning.detail == "no"


def test_the_policy_and_the_attributes_have_the_key(account: Account, key: str) -> None:
    created = account.create(SecretId="prod/db", RoleName="rotation-role", VpcConfig={}, KmsKeyArn=key)
    assert (created["Status"], created["Data"]["KmsKeyArns"]) == ("SUCCESS", key)
    [document] = account.policies().values()
    assert document["Statement"][-1] == {
        "Sid": "DecryptEnvironment",
        "Effect": "Allow",
        "Action": ["kms:Decrypt"],
        "Resource": key,
        "Condition": {
            "StringLike": {
                "kms:EncryptionContext:aws:lambda:FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:*"
            }
        },
    }
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    account.client("secretsmanager").delete_secret(SecretId="prod/db")
    kept = account.update_in_rollback(
        created["PhysicalResourceId"], SecretId="prod/db", RoleName="rotation-role", VpcConfig={}, KmsKeyArn=key
    )
    assert kept["Data"] == created["Data"]


def test_the_key_of_the_environment_is_not_simulated(account: Account, key: str) -> None:
    account.simulate = lambda parameters: [
        {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": "explicitDeny"}
        for action in parameters["ActionNames"]
        if action == "kms:Decrypt"
    ]
    created = account.create(SecretId="prod/db", RoleName="rotation-role", VpcConfig={}, KmsKeyArn=key)
    assert created["Status"] == "SUCCESS"
    actions = [parameters["ActionNames"] for name, parameters in account.calls if name == "iam:SimulatePrincipalPolicy"]
    assert actions
    assert not [names for names in actions if "kms:Decrypt" in names]


def test_the_function_arn_of_the_condition_is_that_of_the_function(account: Account, key: str) -> None:
    for profile in ("Strict", "Documented"):
        statement = policy.document(look_up(account, key), profile)["Statement"][-1]
        patterns = statement["Condition"]["StringLike"]["kms:EncryptionContext:aws:lambda:FunctionArn"]
        assert patterns == [FUNCTION, f"{FUNCTION}:*"]
        assert ("Sid" in statement) is (profile == "Strict")
