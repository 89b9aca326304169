"""Partial ARNs of secrets whose names end in a hyphen and six characters, which AWS takes for full ARNs."""

from collections.abc import Callable
from typing import Any

import pytest

from rotation_role_policy.errors import RequestError
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.lookup.resource import inspect
from rotation_role_policy.provider.messages import reason
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import State
from rotation_role_policy.rules.warnings import WarningKind, warnings_of
from tests.support.account import ACCOUNT, LOGICAL_ID, OWN_POLICY, PLACE, REGION, STACK_ID, Account, WatchedAws, error

PREFIX = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
NAME = "prod/mysql-master"
PARTIAL = PREFIX + NAME


@pytest.fixture
def secret(account: Account) -> str:
    """Create the secret, its superuser secret and the function, and return the ARN of the secret."""
    account.function(account.role())
    account.secret("prod/db")
    return account.secret(NAME)


def answer_as_aws(account: Account, code: str) -> None:
    """Answer as AWS does: a partial ARN that looks like a full one is not found, or access to it is denied."""
    describe = account.client("secretsmanager").describe_secret

    def respond(parameters: dict[str, Any]) -> dict[str, Any]:
        if parameters["SecretId"][-7] == "-" and parameters["SecretId"] == PARTIAL:
            raise error(code)
        response: dict[str, Any] = describe(**parameters)
        return response

    account.api_responses["secretsmanager:DescribeSecret"] = respond


def look_up(account: Account, existing: Callable[[], JsonDocument | None] = lambda: None, **properties: Any) -> State:
    """Return the state."""
    return inspect(
        WatchedAws(account), parse_properties({"RotationLambdaARN": "rotate-db"} | properties), PLACE, existing
    )


CODES = ["ResourceNotFoundException", "AccessDeniedException"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", ["SecretId", "SuperuserSecretId"])
def test_the_secret_is_looked_up_by_its_name_with_a_warning(
    account: Account, secret: str, code: str, name: str
) -> None:
    answer_as_aws(account, code)
    properties: dict[str, Any] = {"SecretId": "prod/db"} | {name: PARTIAL}
    state = look_up(account, **properties)
    found = state.secrets[0] if name == "SecretId" else state.superuser_secret
    assert found
    assert (found.arn, found.partial_arn) == (secret, PARTIAL)
    [warning] = warnings_of(state)
    assert (warning.kind, warning.resource) == (WarningKind.PARTIAL_ARN, PARTIAL)
    assert warning.detail == f"the secret is {secret}"


@pytest.mark.parametrize("code", CODES)
def test_an_arn_in_the_existing_policy_was_a_full_arn_of_a_secret_that_is_gone(
    account: Account, secret: str, code: str
) -> None:
    answer_as_aws(account, code)
    document = {
        "Statement": [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": ["x", PARTIAL]}]
    }
    with pytest.raises(RequestError) as rejected:
        look_up(account, lambda: document, SecretId=PARTIAL)
    assert PARTIAL in reason(rejected.value)
    assert account.actions().count("secretsmanager:DescribeSecret") == 1


def _another_secret(account: Account) -> None:
    account.client("secretsmanager").delete_secret(SecretId=NAME, ForceDeleteWithoutRecovery=True)


def _not_that_secret(account: Account) -> None:
    respond = account.api_responses["secretsmanager:DescribeSecret"]
    account.api_responses["secretsmanager:DescribeSecret"] = lambda parameters: (
        respond(parameters) | {"ARN": f"{PREFIX}prod/other-AbCdEf"}
    )


def _policy_not_readable(account: Account) -> None:
    account.faults["iam:GetRolePolicy"] = [error("AccessDenied")]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("change", [_another_secret, _not_that_secret, _policy_not_readable])
def test_the_first_error_is_reported_if_the_name_proves_nothing(
    account: Account, secret: str, code: str, change: Callable[[Account], None]
) -> None:
    answer_as_aws(account, code)
    change(account)
    physical_id = f"rotation-role/{OWN_POLICY}"
    response = account.update(physical_id, SecretId=PARTIAL, RotationLambdaARN="rotate-db")
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith(f'SecretId "{PARTIAL}": ')
    expected = (
        "the secret does not exist" if code == CODES[0] else "AWS denies the provider secretsmanager:DescribeSecret"
    )
    assert expected in response["Reason"]


@pytest.mark.parametrize("given", [f"{PREFIX}prod/mysql-masters", "prod/nowhere-master", f"{PREFIX}prod/db_master"])
def test_a_name_or_an_arn_in_another_form_is_not_looked_up_twice(account: Account, secret: str, given: str) -> None:
    with pytest.raises(RequestError):
        look_up(account, SecretId=given)
    assert account.actions().count("secretsmanager:DescribeSecret") == 1


def test_an_update_reads_the_policy_that_its_physical_id_names(account: Account, secret: str) -> None:
    answer_as_aws(account, CODES[0])
    created = account.create(SecretId=PARTIAL, RotationLambdaARN="rotate-db")
    assert created["Data"]["SecretArns"] == secret
    again = account.update(created["PhysicalResourceId"], SecretId=PARTIAL, RotationLambdaARN="rotate-db")
    assert (again["Status"], again["Data"]) == ("SUCCESS", created["Data"])


def test_a_delete_of_a_cancelled_create_finds_the_role_by_the_name_of_the_secret(account: Account, secret: str) -> None:
    function = account.client("lambda").get_function_configuration(FunctionName="rotate-db")["FunctionArn"]
    account.client("secretsmanager").rotate_secret(SecretId=NAME, RotationLambdaARN=function)
    answer_as_aws(account, CODES[0])
    assert account.create(SecretId=PARTIAL)["Status"] == "SUCCESS"
    assert account.policies()
    account.cloudformation.set_resource(STACK_ID, LOGICAL_ID, "CREATE_FAILED", "", {"SecretId": PARTIAL})
    assert account.delete("database-DatabaseRotationPolicy-ABCDEFGH", SecretId=PARTIAL)["Status"] == "SUCCESS"
    assert account.policies() == {}
