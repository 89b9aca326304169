"""Calls to AWS: which errors are retried, for how long, and how errors are reported."""

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError
from moto.core.botocore_stubber import MockRawResponse
from samtranslator.yaml_helper import yaml_parse

from rotation_role_policy.aws.errors import iam_action
from rotation_role_policy.aws.session import Session
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, DeadlineExceededError
from tests import ROOT
from tests.support.account import Account, WatchedAws, error

URL = "https://iam.amazonaws.com/"
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())


def response_error(status: int, code: str = "") -> ClientError:
    """Return an error response of AWS with an HTTP status."""
    response: Any = {"Error": {"Code": code or str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutRolePolicy")


TRANSIENT = [
    error("Throttling"),
    error("ThrottlingException"),
    error("RequestLimitExceeded"),
    error("TooManyRequestsException"),
    error("ConcurrentModification"),
    error("EntityTemporarilyUnmodifiable"),
    error("RequestTimeout"),
    response_error(429),
    response_error(500, "ServiceFailure"),
    response_error(502),
    response_error(503, "ServiceUnavailable"),
    ConnectionClosedError(endpoint_url=URL),
    EndpointConnectionError(endpoint_url=URL, error="reset"),
    ConnectTimeoutError(endpoint_url=URL),
    ReadTimeoutError(endpoint_url=URL),
    ResponseParserError("not XML"),
]
"""Errors after which the same call can succeed a little later."""

PERMANENT = [
    error("NoSuchEntity"),
    error("LimitExceeded"),
    error("MalformedPolicyDocument"),
    response_error(400, "InvalidInput"),
]
"""Errors that retries do not help."""

NO_RESPONSE = TRANSIENT[8:]


def name(fault: Exception) -> str:
    """Return the ID of a test's parameter."""
    return fault.response["Error"]["Code"] if isinstance(fault, ClientError) else type(fault).__name__


@pytest.fixture
def aws(account: Account) -> WatchedAws:
    """Return `Aws` with a deadline in a minute."""
    account.role()
    aws = WatchedAws(account)
    aws.deadline = time.monotonic() + 60
    return aws


def role_name(aws: WatchedAws) -> str:
    """Return the name in the response of GetRole."""
    return aws.call(aws.iam.get_role, RoleName="rotation-role")["Role"]["RoleName"]


@pytest.mark.parametrize("fault", TRANSIENT, ids=name)
def test_a_transient_error_is_retried_until_the_call_succeeds(
    aws: WatchedAws, account: Account, fault: Exception
) -> None:
    account.faults["iam:GetRole"] = [fault] * 4
    assert role_name(aws) == "rotation-role"
    assert len(account.slept) == 4


@pytest.mark.parametrize("fault", TRANSIENT, ids=name)
def test_an_error_that_persists_is_retried_until_the_deadline(
    aws: WatchedAws, account: Account, fault: Exception
) -> None:
    account.faults["iam:GetRole"] = [fault] * 1000
    with pytest.raises(AwsApiError, match=name(fault)):
        role_name(aws)
    assert 60 - 10 <= sum(account.slept) < 60


@pytest.mark.parametrize("fault", PERMANENT, ids=name)
def test_a_permanent_error_is_not_retried(aws: WatchedAws, account: Account, fault: Exception) -> None:
    account.faults["iam:GetRole"] = [fault]
    with pytest.raises(AwsApiError, match=name(fault)):
        role_name(aws)
    assert account.slept == []


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
def test_a_denied_call_is_not_retried_and_the_error_has_the_action_and_the_resource(
    aws: WatchedAws, account: Account, code: str
) -> None:
    account.faults["iam:GetRole"] = [error(code)]
    with pytest.raises(AccessDeniedError) as denied:
        role_name(aws)
    assert (denied.value.action, denied.value.resource) == ("iam:GetRole", "rotation-role")
    assert account.slept == []


def test_the_number_of_results_is_not_the_resource_of_a_call(aws: WatchedAws, account: Account) -> None:
    account.faults["secretsmanager:ListSecrets"] = [error("AccessDenied")]
    with pytest.raises(AccessDeniedError) as denied:
        list(aws.paginate(aws.secretsmanager.list_secrets, MaxResults=100))
    assert denied.value.resource == ""


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Record the bounds of each random pause. Each pause is the longest possible."""
    drawn: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    monkeypatch.setattr("random.uniform", longest)
    return drawn


OTHER_FAULT = pytest.mark.parametrize("code", ["ConcurrentModification", "RequestTimeout", "500"])


@OTHER_FAULT
def test_pauses_after_other_errors_double_up_to_ten_seconds(
    aws: WatchedAws, account: Account, bounds: list[tuple[float, float]], code: str
) -> None:
    aws.begin_request(math.inf)
    account.faults["iam:GetRole"] = [response_error(500 if code == "500" else 409, code)] * 6
    role_name(aws)
    assert bounds == [(0, 1), (0, 2), (0, 4), (0, 8), (0, 10), (0, 10)]
    assert account.slept == [1, 2, 4, 8, 10, 10]


@OTHER_FAULT
def test_pauses_after_other_errors_start_again_with_each_call_despite_throttling(
    aws: WatchedAws, account: Account, bounds: list[tuple[float, float]], code: str
) -> None:
    aws.begin_request(math.inf)
    fault = response_error(500 if code == "500" else 409, code)
    account.faults["iam:GetRole"] = [fault, error("Throttling"), fault]
    role_name(aws)
    assert bounds == [(0, 1), (0, 4), (0, 2)]
    bounds.clear()
    account.faults["iam:GetRole"] = [fault]
    role_name(aws)
    assert bounds == [(0.5, 1.5), (0, 1)], "the interval, and the first pause"


def test_pauses_after_throttling_grow_with_the_request(
    aws: WatchedAws, account: Account, bounds: list[tuple[float, float]]
) -> None:
    aws.begin_request(math.inf)
    account.faults["iam:GetRole"] = [error("Throttling")] * 2
    role_name(aws)
    assert bounds == [(0, 4), (2, 16)]
    bounds.clear()
    # The count stays after a call that succeeds, because hundreds of other requests still wait.
    account.faults["iam:GetRole"] = [response_error(429)] * 4
    role_name(aws)
    assert bounds == [(0.5, 1.5), (10, 26), (16, 26), (16, 26), (16, 26)]
    assert account.slept == [4, 16, 1.5, 26, 26, 26, 26]


def test_a_request_that_is_not_throttled_does_not_pause(aws: WatchedAws, account: Account) -> None:
    for _ in range(9):
        role_name(aws)
    assert account.slept == []


def test_throttling_does_not_count_for_another_service(
    aws: WatchedAws, account: Account, bounds: list[tuple[float, float]]
) -> None:
    aws.begin_request(math.inf)
    account.secret()
    account.faults["iam:GetRole"] = [error("Throttling")] * 4
    role_name(aws)
    bounds.clear()
    account.faults["secretsmanager:DescribeSecret"] = [error("ThrottlingException")]
    aws.call(aws.secretsmanager.describe_secret, SecretId="prod/db")
    assert bounds == [(0, 4)]


def test_throttling_does_not_count_for_the_next_request(
    aws: WatchedAws, account: Account, bounds: list[tuple[float, float]]
) -> None:
    account.faults["iam:GetRole"] = [error("Throttling")] * 3
    role_name(aws)
    aws.begin_request(math.inf)
    bounds.clear()
    account.faults["iam:GetRole"] = [error("Throttling")]
    role_name(aws)
    assert bounds == [(0, 4)]


@pytest.mark.parametrize(("seconds", "pause"), [(1000, 26), (200, 20), (100, 10), (30, 4)])
def test_after_its_first_pauses_a_throttled_request_pauses_for_a_tenth_of_the_remaining_time(
    aws: WatchedAws, account: Account, bounds: list[tuple[float, float]], seconds: int, pause: float
) -> None:
    aws.begin_request(math.inf)
    account.faults["iam:GetRole"] = [error("Throttling")] * 3
    role_name(aws)
    account.slept.clear()
    aws.deadline = time.monotonic() + seconds + 1.5
    account.faults["iam:GetRole"] = [error("Throttling")]
    role_name(aws)
    assert account.slept == [1.5, pytest.approx(pause, abs=0.1)]


def test_the_interval_of_a_throttled_request_does_not_exceed_the_deadline(
    aws: WatchedAws, account: Account, bounds: list[tuple[float, float]]
) -> None:
    account.faults["iam:GetRole"] = [error("Throttling")]
    role_name(aws)
    account.slept.clear()
    aws.deadline = time.monotonic() + 1
    role_name(aws)
    assert account.slept == [pytest.approx(0.1, abs=0.05)]


def test_no_call_begins_after_the_deadline(aws: WatchedAws, account: Account) -> None:
    aws.deadline = time.monotonic()
    with pytest.raises(DeadlineExceededError, match="is used up"):
        role_name(aws)
    assert account.calls == []


@pytest.mark.parametrize("fault", NO_RESPONSE, ids=name)
def test_a_call_that_once_got_no_response_is_in_doubt_regardless_of_the_last_error(
    aws: WatchedAws, account: Account, fault: Exception
) -> None:
    account.faults["iam:GetRole"] = [fault, error("Throttling"), error("NoSuchEntity")]
    with pytest.raises(AwsApiError) as failed:
        role_name(aws)
    assert failed.value.in_doubt


def test_a_call_that_aws_rejected_is_not_in_doubt(aws: WatchedAws, account: Account) -> None:
    account.faults["iam:GetRole"] = [error("Throttling"), error("ConcurrentModification"), error("NoSuchEntity")]
    with pytest.raises(AwsApiError) as failed:
        role_name(aws)
    assert not failed.value.in_doubt


def test_botocore_itself_does_not_retry(aws: WatchedAws) -> None:
    role_name(aws)
    config: Any = aws.iam.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (3, 10)


def test_iam_action_returns_the_iam_action_of_a_method(aws: WatchedAws) -> None:
    methods: list[Callable[..., Any]] = [
        aws.iam.get_role,
        aws.lambda_.get_function_configuration,
        aws.secretsmanager.describe_secret,
        aws.kms.describe_key,
        aws.cloudformation.describe_stack_resource,
    ]
    assert [iam_action(method) for method in methods] == [
        "iam:GetRole",
        "lambda:GetFunctionConfiguration",
        "secretsmanager:DescribeSecret",
        "kms:DescribeKey",
        "cloudformation:DescribeStackResource",
    ]


def test_a_client_is_built_once(aws: WatchedAws) -> None:
    assert aws.iam is aws.iam


@pytest.mark.parametrize("fault", [error("ConcurrentModification"), ReadTimeoutError(endpoint_url=URL)], ids=name)
def test_a_limit_of_attempts_counts_each_failure_except_throttling(
    aws: WatchedAws, account: Account, fault: Exception
) -> None:
    account.faults["iam:GetRole"] = [fault, error("Throttling"), fault, error("Throttling"), fault, fault]
    with aws.max_attempts(3), pytest.raises(AwsApiError, match=name(fault)):
        role_name(aws)
    assert len(account.calls) == 5


def test_a_limit_of_attempts_ends_with_its_block(aws: WatchedAws, account: Account) -> None:
    account.faults["iam:GetRole"] = [error("ConcurrentModification")] * 4
    with aws.max_attempts(1), pytest.raises(AwsApiError):
        role_name(aws)
    assert role_name(aws) == "rotation-role"


def test_all_pages_of_iam_are_read(aws: WatchedAws, account: Account) -> None:
    pages: list[dict[str, Any]] = [
        {"PolicyNames": ["a", "b"], "IsTruncated": True, "Marker": "one"},
        {"IsTruncated": True, "Marker": "two"},
        {"PolicyNames": ["c"], "IsTruncated": False},
    ]
    responses = iter(pages)
    account.api_responses["iam:ListRolePolicies"] = lambda _: next(responses)
    assert list(aws.paginate(aws.iam.list_role_policies, RoleName="r")) == pages
    assert account.calls == [
        ("iam:ListRolePolicies", {"RoleName": "r"} | marker) for marker in ({}, {"Marker": "one"}, {"Marker": "two"})
    ]


def test_all_pages_of_cloudformation_are_read(aws: WatchedAws, account: Account) -> None:
    pages: list[dict[str, Any]] = [{"StackEvents": [], "NextToken": "one"}, {"StackEvents": []}]
    responses = iter(pages)
    account.api_responses["cloudformation:DescribeStackEvents"] = lambda _: next(responses)
    assert list(aws.paginate(aws.cloudformation.describe_stack_events, StackName="s")) == pages
    assert account.calls == [
        ("cloudformation:DescribeStackEvents", {"StackName": "s"} | token) for token in ({}, {"NextToken": "one"})
    ]


def test_a_page_is_requested_only_when_it_is_needed(aws: WatchedAws, account: Account) -> None:
    account.api_responses["cloudformation:ListExports"] = lambda _: {"Exports": [], "NextToken": "more"}
    next(aws.paginate(aws.cloudformation.list_exports))
    assert len(account.calls) == 1


def test_the_primary_secret_in_another_account_is_kept_although_botocore_does_not_know_it(account: Account) -> None:
    replicas = [{"ReplicaSecretARN": "arn:replica", "ReplicationStatus": "Failed"}]
    primary = {"PrimarySecretARN": "arn:aws:secretsmanager:eu-central-1:999999999999:secret:primary-AbCdEf"}

    def respond(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        headers: Any = {}
        members = {"CrossAccountPrimary": primary, "CrossAccountReplicas": replicas}
        body = json.dumps({"ARN": "arn", "Name": "replica", **members}).encode()
        return AWSResponse(request.url, 200, headers, MockRawResponse(body))

    secretsmanager = Session(prepare=lambda _: None).client("secretsmanager")
    secretsmanager.meta.events.register("before-send.secretsmanager.DescribeSecret", respond)
    described: dict[str, Any] = {**secretsmanager.describe_secret(SecretId="replica")}
    assert (described["Name"], described["CrossAccountPrimary"]) == ("replica", primary)
    assert described["CrossAccountReplicas"] == replicas


@pytest.mark.parametrize("body", [b"", b"<html>503 Service Unavailable</html>", b'{"__type": "InternalServiceError"}'])
def test_a_response_of_describe_secret_with_an_error_is_botocore_s_error_whatever_its_body_is(body: bytes) -> None:
    def respond(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        headers: Any = {}
        return AWSResponse(request.url, 503, headers, MockRawResponse(body))

    secretsmanager = Session(prepare=lambda _: None).client("secretsmanager")
    secretsmanager.meta.events.register("before-send.secretsmanager.DescribeSecret", respond)
    with pytest.raises(ClientError) as failure:
        secretsmanager.describe_secret(SecretId="s")
    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
