"""Invalid input: properties, physical IDs and events at random.

Each event gets one response, or an error without a response. No other policy on the role changes, and no wildcard from
the input becomes part of a policy.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rotation_role_policy.errors import InvalidEventError
from rotation_role_policy.provider import handler
from rotation_role_policy.provider.request import parse_request
from rotation_role_policy.rules.properties import PROPERTIES
from tests.support.account import ACCOUNT, OWN_POLICY, REGION, Account, Context, connected
from tests.support.response_server import ResponseServer

MANY = settings(max_examples=4 * settings().max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""More examples than usual, because each takes little time."""

HOSTILE = st.sampled_from(
    [
        "",
        " ",
        "*",
        "?",
        "prod/*",
        "rotation-*",
        "${aws:username}",
        "../../etc/passwd",
        "rotation-role\n",
        "rotation-role\x00",
        "prod/db\u2028",
        "\ud800",
        "\uff11\uff12",  # digits, but not ASCII
        "rotation-role/other-policy",
        f"rotation-role/{OWN_POLICY}/other-policy",
        f"*/{OWN_POLICY}",
        "arn:aws:iam::aws:role/*",
        f"arn:aws:iam::{ACCOUNT}:role/rotation-*",
        f"arn:aws:iam::{ACCOUNT}:role/x/../rotation-role",
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*",
        "arn:aws:secretsmanager:*:*:secret:prod/db-??????",
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/db\nx",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:*",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db:*",
        f"arn:aws:lambda:{REGION}:999999999999:function:rotate-db:1:2",
        "arn:aws:::::",
        "x" * 5000,
        "true",
        "1e1",
        "-0",
        "99999999999999999999",
        '{"Fn::Sub": "${AWS::AccountId}"}',
    ]
)
TEXT = HOSTILE | st.text(max_size=200)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)

VALID = {"SecretId": "prod/db", "RotationLambdaARN": "rotate-db"}
WITH_VPC_CONFIG = {
    "SecretIds": ["prod/db", "other"],
    "RoleName": "rotation-role",
    "VpcConfig": {"SubnetIds": ["subnet-1"]},
}
NAMES = st.sampled_from([row.name for row in PROPERTIES]) | TEXT
DAMAGED_PROPERTIES = st.builds(
    lambda properties, damage: properties | damage,
    st.sampled_from([VALID, WITH_VPC_CONFIG]),
    st.dictionaries(NAMES, JSON, max_size=2),
)

EVENT_KEYS = st.sampled_from(
    [
        "RequestType",
        "StackId",
        "RequestId",
        "LogicalResourceId",
        "PhysicalResourceId",
        "ResourceProperties",
        "OldResourceProperties",
        "ResourceType",
        "CrHelperPoll",
        "CrHelperData",
        "CrHelperRule",
        "CrHelperPermission",
    ]
)
OTHER_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}],
}


@pytest.fixture(scope="module")
def populated_account(_shared_responses: ResponseServer) -> Iterator[Account]:
    """One account for all tests in this file. Its role has another inline policy, which must not change."""
    with connected(_shared_responses) as account:
        account.function(account.role())
        account.secret()
        account.secret("other", account.key())
        account.client("iam").put_role_policy(
            RoleName="rotation-role", PolicyName="other-policy", PolicyDocument=json.dumps(OTHER_POLICY)
        )
        yield account


def serve(account: Account, event: Any) -> dict[str, Any] | None:
    """Serve an event. Return the one response, or None if the event is rejected without a response."""
    account.responses.clear()
    account.calls.clear()
    account.slept.clear()
    try:
        handler.handler(event, Context())
    except InvalidEventError as error:
        assert str(error).isprintable()
        assert (account.responses.received, account.calls) == ([], [])
        return None
    [response] = account.responses.received
    assert max(account.responses.sizes) <= 4096
    assert response["Status"] in ("SUCCESS", "FAILED")
    assert isinstance(response["PhysicalResourceId"], str)
    assert response["PhysicalResourceId"]
    assert response["Reason"].isprintable()
    assert bool(response["Reason"]) is (response["Status"] == "FAILED")
    assert "Traceback" not in response["Reason"]
    assert "unexpected" not in response["Reason"]
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        assert response[name] == event[name]
    return response


def check_policies(account: Account, event: Any) -> None:
    """Check that the other policy is unchanged, and that the own policy names only existing secrets and keys.

    The resource `*` is allowed only for the actions that need it. The own policy is deleted.
    """
    existing_arns = {
        *(secret["ARN"] for secret in account.client("secretsmanager").list_secrets()["SecretList"]),
        *(key["KeyArn"] for key in account.client("kms").list_keys()["Keys"]),
    }
    policies = account.policies()
    assert policies.pop("other-policy") == OTHER_POLICY
    for name, document in policies.items():
        assert name == parse_request(event).policy_name
        for statement in document["Statement"]:
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            if resources == ["*"]:
                assert statement["Action"][0].startswith(("secretsmanager:GetRandomPassword", "ec2:"))
            else:
                assert set(resources) <= existing_arns
    for name in policies:
        account.client("iam").delete_role_policy(RoleName="rotation-role", PolicyName=name)


@MANY
@given(properties=DAMAGED_PROPERTIES | JSON, request_type=st.sampled_from(["Create", "Update", "Delete"]))
@example(properties=VALID, request_type="Create")
@example(properties=WITH_VPC_CONFIG, request_type="Update")
def test_invalid_properties_get_a_response(populated_account: Account, properties: Any, request_type: str) -> None:
    physical_id = {} if request_type == "Create" else {"PhysicalResourceId": f"rotation-role/{OWN_POLICY}"}
    event = populated_account.request(request_type, properties, **physical_id)
    assert serve(populated_account, event)
    check_policies(populated_account, event)


@MANY
@given(
    physical_id=TEXT,
    request_type=st.sampled_from(["Update", "Delete"]),
    properties=st.sampled_from([VALID, WITH_VPC_CONFIG, {}, {"SecretId": "*", "RoleName": "*"}]),
)
def test_an_invalid_physical_id_changes_no_other_policy(
    populated_account: Account, physical_id: str, request_type: str, properties: Any
) -> None:
    event = populated_account.request(request_type, properties, PhysicalResourceId=physical_id)
    response = serve(populated_account, event)
    if response and physical_id and (request_type == "Delete" or response["Status"] == "FAILED"):
        assert response["PhysicalResourceId"] == physical_id
    if response and request_type == "Delete":
        assert response["Status"] == "SUCCESS"
    check_policies(populated_account, event)


@MANY
@given(
    damage=st.dictionaries(EVENT_KEYS, JSON, max_size=2),
    removed=st.sets(EVENT_KEYS, max_size=2),
    request_type=st.sampled_from(["Create", "Update", "Delete"]),
)
@example(damage={"LogicalResourceId": "x" * 2000}, removed=set(), request_type="Create")
@example(damage={"StackId": "\u00fc" * 1000}, removed=set(), request_type="Create")
@example(damage={"CrHelperPoll": True, "CrHelperData": {"x": "y"}}, removed=set(), request_type="Delete")
def test_an_invalid_event_gets_a_response_or_is_rejected(
    populated_account: Account, damage: dict[str, Any], removed: set[str], request_type: str
) -> None:
    valid_event = populated_account.request(request_type, VALID, PhysicalResourceId=f"rotation-role/{OWN_POLICY}")
    event = {key: value for key, value in (valid_event | damage).items() if key not in removed}
    serve(populated_account, event)
    if isinstance(event.get("LogicalResourceId"), str) and isinstance(event.get("StackId"), str):
        check_policies(populated_account, event)


@MANY
@given(event=JSON)
def test_a_value_that_is_not_an_event_is_rejected(populated_account: Account, event: Any) -> None:
    assert serve(populated_account, event) is None


@MANY
@given(url=TEXT | st.builds("https://{}".format, TEXT) | st.builds("https://localhost/{}".format, TEXT) | JSON)
@example(url="https://user@localhost/")
@example(url="https://localhost:0/")
@example(url="https://localhost:99999/")
@example(url="https://localhost:x/")
@example(url="https://local host/")
@example(url="https://localhost/a b")
@example(url="https://localhost/a\r\nHost: other")
@example(url="https://localhost/ü")
def test_a_response_url_is_a_plain_https_url_or_the_event_is_rejected(populated_account: Account, url: Any) -> None:
    event = populated_account.request("Create", VALID, ResponseURL=url)
    try:
        accepted_url = parse_request(event).response_url
    except InvalidEventError:
        return
    assert accepted_url == url
    assert url.startswith("https://") or url.lower().startswith("https://")
    assert url.isascii()
    assert url.isprintable()
    assert not set(" @") & set(url.split("?")[0].split("/")[2])


def test_the_name_of_the_policy_depends_only_on_stack_id_and_logical_id(populated_account: Account) -> None:
    event = populated_account.request("Update", {}, RequestId="another", PhysicalResourceId="x")
    assert parse_request(event).policy_name == OWN_POLICY
