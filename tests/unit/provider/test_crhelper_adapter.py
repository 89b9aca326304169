"""`CustomResource` sends one response to each request: content, log and timeouts."""

import json
import logging
import os
import threading
import time
from typing import Any
from unittest import mock

import boto3
import pytest
from crhelper import CfnResource

from rotation_role_policy.aws import transport
from rotation_role_policy.errors import (
    AccessDeniedError,
    AwsApiError,
    DeadlineExceededError,
    ErrorCode,
    InvalidEventError,
    RequestError,
    ResponseDeliveryError,
)
from rotation_role_policy.provider import handler, metrics, single_response
from rotation_role_policy.provider import response as response_module
from rotation_role_policy.provider.crhelper_adapter import CustomResource
from rotation_role_policy.provider.request import parse_request
from rotation_role_policy.provider.response import Success
from rotation_role_policy.provider.single_response import SingleResponse
from tests.support.account import LOGICAL_ID, STACK_ID, Account, Context
from tests.support.response_server import ResponseServer
from tests.support.served import SUCCESS, Served, failing

# --- crhelper ---


def test_crhelper_builds_no_clients_and_leaves_the_environment_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(boto3, "client", failing(AssertionError("a client was built")))
    monkeypatch.delenv("AWS_SAM_LOCAL", raising=False)
    assert CustomResource(mock.Mock())._init_failed is None  # type: ignore[attr-defined]
    assert "AWS_SAM_LOCAL" not in os.environ
    monkeypatch.setenv("AWS_SAM_LOCAL", "outside")
    CustomResource(mock.Mock())
    assert os.environ["AWS_SAM_LOCAL"] == "outside"


def test_a_delete_does_not_wait_for_cloudwatch_logs(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    # crhelper has bound its sleep at import.
    monkeypatch.setattr(CfnResource._wait_for_cwlogs, "__defaults__", (account.slept.append,))  # type: ignore[attr-defined]
    event = account.request("Delete", {}, PhysicalResourceId=f"uncreated-{LOGICAL_ID}")
    assert account.send(event, Context(milliseconds=180_000))["Status"] == "SUCCESS"
    assert account.slept == []


def test_crhelper_keys_in_an_event_are_ignored(served: Served) -> None:
    response = served.send(CrHelperPoll=True, CrHelperData={"x": "y"}, CrHelperRule="r", CrHelperPermission="p")
    assert response["Status"] == "SUCCESS"
    assert response["Data"] == {}


def test_warm_invocations_share_no_state(served: Served) -> None:
    served.serve = lambda: Success("role/policy", {"Extra": "x"})
    assert served.send()["Data"] == {"Extra": "x"}
    served.responses.clear()
    served.serve = failing(RequestError("no"))
    response = served.send()
    assert response["Data"] == {}
    assert response["PhysicalResourceId"] == f"uncreated-{LOGICAL_ID}"


def test_crhelper_makes_up_no_physical_id(served: Served) -> None:
    served.serve = failing(RequestError("no"))
    # crhelper would look for the name of the stack in its ID.
    response = served.send(StackId="without-a-name")
    assert (response["Reason"], response["PhysicalResourceId"]) == ("no", f"uncreated-{LOGICAL_ID}")


# --- the response ---


def test_the_response_has_the_members_of_the_contract_and_goes_to_the_response_url(served: Served) -> None:
    served.serve = lambda: Success("role/policy", {"PolicyName": "policy"})
    assert served.send(RequestId="request-7") == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": "role/policy",
        "StackId": STACK_ID,
        "RequestId": "request-7",
        "LogicalResourceId": LOGICAL_ID,
        "Data": {"PolicyName": "policy"},
    }
    [path] = served.responses.paths
    assert path.startswith("/answer?signature=sentinel-signature&X-Amz-Date=")


@pytest.mark.parametrize(
    ("path", "sent"), [("", "/"), ("/a%2Fb", "/a%2Fb"), ("?x=y", "/?x=y"), ("/a?x=%7C", "/a?x=%7C")]
)
def test_the_path_of_the_response_url_is_sent_as_it_was_signed(served: Served, path: str, sent: str) -> None:
    host = served.responses.url.partition("/answer")[0]
    served.send(ResponseURL=host + path)
    assert served.responses.paths == [sent]


def test_the_reason_of_an_internal_error_names_the_log_stream(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.configure()
    served.serve = failing(ZeroDivisionError("secret"))
    assert served.send()["Reason"] == (
        "The provider function failed with an internal error (ZeroDivisionError). See its log stream"
        " 2026/01/01/[$LATEST]0123."
    )
    first, _ = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["message"], first["level"]) == ("internal failure", "ERROR")
    assert first["errorType"] == "ZeroDivisionError"


def test_the_log_has_the_error_message_of_aws(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.configure()
    served.serve = failing(AwsApiError("iam:GetRole", "ServiceFailure", "down"))
    served.send()
    first, _ = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["message"], first["error_code"], first["aws"], first["level"]) == (
        *("request failed", "GeneralServiceException", "down"),
        "WARNING",
    )


def test_crhelper_does_not_log(served: Served) -> None:
    assert served.resource._log_level == "WARNING"  # type: ignore[attr-defined]
    assert logging.getLogger("crhelper").level == logging.CRITICAL
    for name in ("boto3", "botocore"):
        assert logging.getLogger(name).level == logging.WARNING


def test_each_response_counts_a_request_and_a_failure_counts_a_failed_request(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.configure()
    served.send(Context(function_name="the-provider"))
    served.responses.clear()
    served.serve = failing(RequestError("no"))
    served.send(Context(function_name="the-provider"))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == ["sending response", "request failed", "sending response"]
    assert (lines[1]["error_code"], lines[1]["reason"], lines[1]["aws"]) == ("InvalidRequest", "no", None)
    counted = [lines[0], lines[2]]
    assert [(line["Provider"], line["Requests"], line["FailedRequests"]) for line in counted] == [
        ("the-provider", 1, 0),
        ("the-provider", 1, 1),
    ]
    assert [(line["status"], line["reason"], line["physical_id"]) for line in counted] == [
        ("SUCCESS", "", "role/policy"),
        ("FAILED", "no", f"uncreated-{LOGICAL_ID}"),
    ]


@pytest.mark.parametrize(
    ("failure", "error_code"),
    [
        (RequestError("no"), "InvalidRequest"),
        (RequestError("no", ErrorCode.RESOURCE_CONFLICT), "ResourceConflict"),
        (AccessDeniedError("iam:GetRole", "no", "no"), "AccessDenied"),
        (AwsApiError("iam:GetRole", "ServiceFailure", "down"), "GeneralServiceException"),
        (DeadlineExceededError(), "DeadlineExceeded"),
        (ZeroDivisionError(), "InternalFailure"),
    ],
)
def test_a_failed_request_is_counted_by_its_error_code(
    served: Served, capsys: pytest.CaptureFixture[str], failure: Exception, error_code: str
) -> None:
    metrics.configure()
    served.serve = failing(failure)
    served.send()
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["message"], last["FailedRequests"], last["ErrorCode"]) == ("sending response", 1, error_code)


def test_a_late_response_counts_as_deadline_exceeded_despite_a_later_error(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.configure()

    def after_the_deadline() -> Success:
        served.response.time_out()
        raise RequestError("no")

    served.serve = after_the_deadline
    served.send()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["ErrorCode"] for line in lines if line["message"] == "sending response"] == ["DeadlineExceeded"]


def test_the_log_of_a_response_has_its_duration_in_milliseconds(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics.configure()
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    response = SingleResponse(parse_request(served.request()), Context(), 200.0, is_cold_start=False)
    clock[0] = 102.5
    response.succeed(SUCCESS)
    [line] = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert line["Duration"] == 2500


def test_the_log_of_a_response_says_whether_there_was_a_cold_start(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.configure()
    served.send()
    served.responses.clear()
    served.send()
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["ColdStarts"], second["ColdStarts"]) == (1, 0)
    # A request that succeeds has no error code.
    assert "ErrorCode" not in first


def test_the_reason_of_a_failure_is_sent_in_full_without_control_characters(served: Served) -> None:
    served.serve = failing(RequestError("first\nsecond\x00\x1b[31m\u2028" + "x" * 300))
    response = served.send()
    assert response["Status"] == "FAILED"
    assert response["Reason"] == "first second  [31m " + "x" * 300


def test_a_response_is_at_most_4096_bytes_and_keeps_the_end_of_its_reason(served: Served) -> None:
    served.serve = failing(RequestError("ü" * 5000 + " the point"))
    response = served.send()
    assert response["Reason"].endswith(" the point")
    assert 3000 < served.responses.sizes[0] <= 4096


@pytest.mark.parametrize("too_many", [0, 1, 2, 3, 100])
def test_a_long_reason_fills_the_response_to_exactly_4096_bytes(served: Served, too_many: int) -> None:
    served.serve = failing(RequestError(""))
    served.send()
    reason = "x" * (4096 - served.responses.sizes[0] + too_many)
    served.responses.clear()
    served.serve = failing(RequestError(reason))
    served.send()
    assert served.responses.sizes == [4096]


def test_an_error_in_crhelper_is_sent_as_a_failed_response(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("why")

    served.serve = lambda: Success("role/policy", {"PolicyName": "policy"})
    monkeypatch.setattr(served.resource, "_cfn_response", fail)
    response = served.send()
    assert (response["Status"], response["Reason"], response["Data"]) == ("FAILED", "why", {})


def test_the_response_uses_the_tls_context_of_the_aws_calls(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = mock.Mock(wraps=transport.ssl_context)
    monkeypatch.setattr(transport, "ssl_context", tls)
    served.send()
    assert tls.call_count == 1


def test_a_failed_update_or_delete_returns_the_physical_id_of_the_request(served: Served) -> None:
    served.serve = failing(RequestError("no"))
    for request_type in ("Update", "Delete"):
        served.responses.clear()
        assert served.send(RequestType=request_type, PhysicalResourceId="given")["PhysicalResourceId"] == "given"


def test_the_response_has_the_empty_content_type_that_the_url_was_signed_for(served: Served) -> None:
    served.send()
    assert served.responses.content_types == [""]


# --- timeouts ---


@pytest.mark.parametrize(
    ("request_type", "members", "expected_id"),
    [
        ("Create", {}, f"uncreated-{LOGICAL_ID}"),
        ("Update", {"PhysicalResourceId": "given"}, "given"),
        ("Delete", {"PhysicalResourceId": "given"}, "given"),
    ],
)
def test_when_time_runs_out_the_provider_sends_one_failed_response_with_a_physical_id(
    responses: ResponseServer, request_type: str, members: dict[str, str], expected_id: str
) -> None:
    served = Served(responses)
    late = threading.Event()

    def slow() -> Success:
        late.wait(5)
        return SUCCESS

    served.serve = slow
    # The timer fires after three quarters of such a short time.
    threading.Timer(1.0, late.set).start()
    started = time.monotonic()
    response = served.send(Context(milliseconds=700), RequestType=request_type, **members)
    assert time.monotonic() - started >= 0.9, "the handler ran to its end"
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", expected_id)
    assert response["Reason"].startswith("The provider function ran out of time")


@pytest.mark.parametrize(
    ("milliseconds", "declared", "seconds", "kept"),
    [
        (100_000, {}, 100, 15),
        (100_000, {"ServiceTimeout": "50"}, 50, 12.5),
        (100_000, {"ServiceTimeout": 80}, 80, 15),
        (100_000, {"ServiceTimeout": "9999"}, 100, 15),
        (100_000, {"ServiceTimeout": "10000"}, 100, 15),
        (100_000, {"ServiceTimeout": "0"}, 100, 15),
        (100_000, {"ServiceTimeout": "x1"}, 100, 15),
        (100_000, "no object", 100, 15),
        (40_000, {}, 40, 10),
        (10_000_000, {}, 10_000, 15),
    ],
)
def test_the_response_deadline_leaves_15_seconds_or_a_quarter_of_a_short_time(
    served: Served, milliseconds: int, declared: Any, seconds: float, kept: float
) -> None:
    begun = time.monotonic()
    served.send(Context(milliseconds=milliseconds), ResourceProperties=declared)
    assert served.resource.schedule.deliver_until - begun == pytest.approx(seconds, abs=0.5)
    assert served.resource.schedule.deliver_until - served.resource.schedule.respond_at == pytest.approx(kept, abs=0.1)
    assert served.resource._timer.interval == pytest.approx(seconds - kept, abs=0.5)
    assert served.resource._timer.daemon


def test_a_request_without_properties_has_the_deadline_of_its_invocation(served: Served) -> None:
    event = served.request()
    del event["ResourceProperties"]
    begun = time.monotonic()
    served.resource(event, Context(milliseconds=100_000))
    assert served.resource.schedule.deliver_until - begun == pytest.approx(100, abs=0.5)


def test_the_timer_sends_no_response_after_raise_if_timed_out(served: Served) -> None:
    def ruled_out() -> Success:
        served.response.raise_if_timed_out()
        served.response.time_out()
        return SUCCESS

    served.serve = ruled_out
    assert served.send()["Status"] == "SUCCESS"


def test_raise_if_timed_out_raises_after_the_timer_has_responded(served: Served) -> None:
    caught = []

    def after_the_deadline() -> Success:
        served.response.time_out()
        with pytest.raises(DeadlineExceededError) as late:
            served.response.raise_if_timed_out()
        caught.append(late)
        return SUCCESS

    served.serve = after_the_deadline
    assert served.send()["Status"] == "FAILED"
    assert caught


@pytest.mark.parametrize(("request_type", "expected_id"), [("Create", "role/policy"), ("Update", "given")])
def test_a_late_response_has_the_physical_id_of_the_existing_policy(
    served: Served, request_type: str, expected_id: str
) -> None:
    def after_the_deadline() -> Success:
        served.response.failed_create_id = "role/policy"
        served.response.time_out()
        return SUCCESS

    served.serve = after_the_deadline
    response = served.send(RequestType=request_type, PhysicalResourceId="given")
    assert (response["PhysicalResourceId"], response["Data"]) == (expected_id, {})


def test_a_late_timer_does_not_respond_to_another_request(served: Served) -> None:
    served.send()
    timer = served.resource._timer
    served.responses.clear()

    def fire_old_timer() -> Success:
        timer.function()
        return SUCCESS

    served.serve = fire_old_timer
    assert served.send(RequestId="another")["Status"] == "SUCCESS"


def test_an_undelivered_late_response_fails_the_invocation(served: Served) -> None:
    continued: list[bool] = []

    def after_the_deadline() -> Success:
        served.responses.statuses = [403]
        served.response.time_out()
        continued.append(True)
        return SUCCESS

    served.serve = after_the_deadline
    with pytest.raises(ResponseDeliveryError, match="no response was delivered for request aaaaaaaa"):
        served.resource(served.request(), Context())
    assert continued
    assert served.responses.received == []


def test_the_invocation_waits_for_a_response_that_is_being_sent(
    responses: ResponseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(responses)
    send = response_module.send

    def slowly(*arguments: Any) -> None:
        time.sleep(1)
        send(*arguments)

    def until_the_timer_has_fired() -> Success:
        time.sleep(0.8)
        return SUCCESS

    monkeypatch.setattr(single_response, "send", slowly)
    served.serve = until_the_timer_has_fired
    assert served.send(Context(milliseconds=700))["Status"] == "FAILED"


# --- the whole handler ---


def test_the_handler_serves_requests_and_rejects_other_events(account: Account) -> None:
    assert account.create()["StackId"] == STACK_ID
    with pytest.raises(InvalidEventError):
        handler.handler({"Step": "createSecret"}, Context())


def test_the_signed_url_is_not_logged_even_if_delivery_fails(
    account: Account, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    account.responses.statuses = [500, 403]
    with pytest.raises(ResponseDeliveryError) as undelivered:
        handler.handler(account.request("Create", {}), Context())
    output = capsys.readouterr()
    lines = [json.loads(line) for line in output.out.splitlines()]
    assert [line["problem"] for line in lines if line["message"] == "response not delivered"] == [
        "HTTP 500",
        "HTTP 403",
    ]
    assert "sentinel" not in output.out + output.err + caplog.text + str(undelivered.value)


# --- warnings, and a timeout with SUCCESS ---


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return line


def test_the_metrics_count_the_warnings_of_the_request(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.configure()

    def warn_twice() -> Success:
        served.response.warnings["AccessCheckWarnings"] += 1
        served.response.warnings["AccessCheckWarnings"] += 1
        return SUCCESS

    served.serve = warn_twice
    served.send()
    line = last_line(capsys)
    assert (line["AccessCheckWarnings"], line["RollbackWarnings"]) == (2, 0)
    served.responses.clear()
    served.serve = lambda: SUCCESS
    served.send()
    line = last_line(capsys)
    assert (line["AccessCheckWarnings"], line["RollbackWarnings"]) == (0, 0)


def test_a_timeout_can_respond_with_success_and_counts_a_warning(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.configure()
    sent_ids = []

    def time_out() -> Success:
        served.response.on_timeout = Success("role/existing", {"RoleName": "role"})
        sent_ids.append(served.response.physical_id)
        served.response.time_out()
        served.response.time_out()
        sent_ids.append(served.response.physical_id)
        return Success("role/new", {})

    served.serve = time_out
    response = served.send(RequestType="Update", PhysicalResourceId="role/old")
    assert (response["Status"], response["Reason"]) == ("SUCCESS", "")
    assert (response["PhysicalResourceId"], response["Data"]) == ("role/existing", {"RoleName": "role"})
    line = last_line(capsys)
    assert (line["RollbackWarnings"], line["FailedRequests"], line["status"]) == (1, 0, "SUCCESS")
    assert sent_ids == ["", "role/existing"]


def test_a_timeout_responds_with_failed_by_default(served: Served) -> None:
    def time_out() -> Success:
        served.response.time_out()
        return Success("role/new", {})

    served.serve = time_out
    response = served.send(RequestType="Update", PhysicalResourceId="role/old")
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", "role/old")


def test_a_request_is_served_with_its_schedule_and_the_arn_of_the_provider(served: Served) -> None:
    serve = mock.Mock(return_value=SUCCESS)
    resource = CustomResource(serve)
    resource(served.request(), Context(invoked_function_arn="an ARN"))
    assert serve.mock_calls == [mock.call(resource.response, resource.schedule, "an ARN")]
