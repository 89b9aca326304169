"""Validation of events: only CloudFormation requests are valid."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from rotation_role_policy.errors import (
    InvalidEventError,
    RequestError,
)
from rotation_role_policy.provider.request import Request, parse_request
from tests.support.account import LOGICAL_ID, OWN_POLICY, STACK_ID, Context
from tests.support.served import Served, failing


@pytest.mark.parametrize("missing", ["RequestType", "ResponseURL", "StackId", "RequestId", "LogicalResourceId"])
@pytest.mark.parametrize("value", [None, "", 7, ["x"]])
def test_an_event_with_a_missing_or_invalid_member_is_rejected_without_a_response(
    served: Served, missing: str, value: Any
) -> None:
    with pytest.raises(InvalidEventError, match=f"{missing} is missing or not an ASCII string"):
        served.resource(served.request(**{missing: value}), Context())
    without = served.request()
    del without[missing]
    with pytest.raises(InvalidEventError, match=missing):
        served.resource(without, Context())
    assert served.requests == []
    assert served.responses.received == []


@pytest.mark.parametrize(
    "event",
    [None, [], "Create", {}, {"RequestType": "Create"}, {"Records": [{"body": "{}"}]}, {"Step": "createSecret"}],
)
def test_an_event_from_another_source_is_rejected(served: Served, event: Any) -> None:
    with pytest.raises(InvalidEventError):
        served.resource(event, Context())


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/x",
        "https://",
        "https:///path",
        "https://[x/",
        "file:///etc/passwd",
        "localhost/x",
        "ftp://localhost",
    ],
)
def test_a_response_url_that_is_not_https_with_a_host_is_rejected(served: Served, url: str) -> None:
    with pytest.raises(InvalidEventError, match="ResponseURL is not an https URL with a host"):
        served.resource(served.request(ResponseURL=url), Context())
    assert served.requests == []


def test_an_unknown_request_type_or_an_invalid_physical_id_is_rejected(served: Served) -> None:
    with pytest.raises(InvalidEventError, match="RequestType is not Create, Update or Delete"):
        served.resource(served.request(RequestType="create"), Context())
    for physical_id in ({}, {"PhysicalResourceId": 7}):
        with pytest.raises(InvalidEventError, match="PhysicalResourceId"):
            served.resource(served.request(RequestType="Delete", **physical_id), Context())


@pytest.mark.parametrize("name", ["StackId", "RequestId", "LogicalResourceId"])
@pytest.mark.parametrize("value", ["with\nline", "\u00fc", "\ud800", "\x7f"])
def test_an_id_that_is_not_printable_ascii_is_rejected(served: Served, name: str, value: str) -> None:
    with pytest.raises(InvalidEventError, match=f"{name} is missing or not an ASCII string"):
        served.resource(served.request(**{name: value}), Context())


@pytest.mark.parametrize(
    "url",
    [
        "https://user@localhost/",
        "https://user:password@localhost/",
        "https://localhost:0/",
        "https://localhost:99999/",
        "https://localhost:x/",
        "https://localhost/a b",
        "https://localhost/a\r\nHost:other",
        "https://localhost/\u00fc",
    ],
)
def test_a_response_url_with_credentials_invalid_port_or_unsafe_characters_is_rejected(
    served: Served, url: str
) -> None:
    with pytest.raises(InvalidEventError, match="ResponseURL is"):
        served.resource(served.request(ResponseURL=url), Context())


@pytest.mark.parametrize("url", ["https://localhost", "https://localhost:443/x?y=z", "HTTPS://localhost:1/"])
def test_a_plain_https_response_url_is_accepted(served: Served, url: str) -> None:
    assert parse_request(served.request(ResponseURL=url)).response_url == url


@pytest.mark.parametrize("request_type", ["Create", "Delete"])
def test_ids_that_leave_less_than_a_quarter_of_the_response_for_the_reason_are_rejected(
    served: Served, request_type: str
) -> None:
    def response_bytes(stack_id: str) -> int:
        """Return the size of a response with an empty reason."""
        names = {"StackId": stack_id, "RequestId": request["RequestId"], "LogicalResourceId": LOGICAL_ID}
        response = {"Status": "FAILED", "Reason": "", "PhysicalResourceId": physical_id, **names, "Data": {}}
        return len(json.dumps(response))

    request = served.request(RequestType=request_type, PhysicalResourceId="p" * 100)
    physical_id = f"uncreated-{LOGICAL_ID}" if request_type == "Create" else "p" * 100
    longest = "s" * (3072 - response_bytes(""))
    assert parse_request(request | {"StackId": longest}).stack_id == longest
    with pytest.raises(InvalidEventError, match="its IDs are too long for a response"):
        parse_request(request | {"StackId": longest + "s"})


def test_the_physical_id_in_a_create_request_is_ignored(served: Served) -> None:
    served.serve = failing(RequestError("no"))
    response = served.send(PhysicalResourceId="given")
    assert response["PhysicalResourceId"] == f"uncreated-{LOGICAL_ID}"
    assert served.requests[0].physical_id == ""


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ({"RequestId": None}, "RequestId is missing or not an ASCII string"),
        ({"RequestType": "create"}, "RequestType is not Create, Update or Delete"),
        ({"ResponseURL": "http://x"}, "ResponseURL is not an https URL with a host"),
        ({"RequestType": "Delete"}, "PhysicalResourceId is missing or not a string"),
        ({"StackId": "s" * 4000}, "its IDs are too long for a response"),
    ],
)
def test_the_error_for_an_invalid_event_names_the_problem(served: Served, damage: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidEventError) as rejected:
        parse_request(served.request(**damage))
    assert str(rejected.value) == f"the event is not a CloudFormation request: {problem}"
    with pytest.raises(InvalidEventError) as rejected:
        parse_request("Create")
    assert str(rejected.value) == "the event is not an object, so it is not a CloudFormation request"


def test_the_handler_receives_only_the_members_of_a_cloudformation_request(served: Served) -> None:
    event = served.request(RequestType="Update", PhysicalResourceId="given", OldResourceProperties={"SecretId": "x"})
    served.resource(event | {"Extra": "x", "CrHelperPoll": True}, Context())
    assert served.requests == [
        Request(
            type="Update",
            response_url=event["ResponseURL"],
            stack_id=STACK_ID,
            request_id="aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            resource_type="Custom::RotationRolePolicy",
            logical_id=LOGICAL_ID,
            physical_id="given",
            properties={"SecretId": "db"},
            old_properties={"SecretId": "x"},
        )
    ]


@pytest.mark.parametrize(
    ("physical_id", "role_name"),
    [(f"rotation-role/{OWN_POLICY}", "rotation-role"), ("rotation-role/foreign", ""), (f"uncreated-{LOGICAL_ID}", "")],
)
def test_a_request_names_a_role_only_by_the_id_of_its_own_policy(
    served: Served, physical_id: str, role_name: str
) -> None:
    request = parse_request(served.request(RequestType="Update", PhysicalResourceId=physical_id))
    assert (request.policy_name, request.role_name) == (OWN_POLICY, role_name)


# --- the service timeout ---


@pytest.mark.parametrize(
    ("properties", "seconds"),
    [
        ({"ServiceTimeout": "1"}, 1),
        ({"ServiceTimeout": "3600"}, 3600),
        ({"ServiceTimeout": 90}, 90),
        ({"ServiceTimeout": "0"}, math.inf),
        ({"ServiceTimeout": "-5"}, math.inf),
        ({"ServiceTimeout": "12345"}, math.inf),
        ({"ServiceTimeout": "1.5"}, math.inf),
        ({"ServiceTimeout": None}, math.inf),
        ({"servicetimeout": "90"}, math.inf),
        ({}, math.inf),
        ("no object", math.inf),
        (None, math.inf),
    ],
)
def test_the_service_timeout_is_that_of_the_properties_or_unlimited(
    served: Served, properties: Any, seconds: float
) -> None:
    assert parse_request(served.request(ResourceProperties=properties)).service_timeout == seconds


def test_a_request_without_properties_has_empty_ones_and_an_unlimited_service_timeout(served: Served) -> None:
    event = served.request()
    del event["ResourceProperties"]
    request = parse_request(event)
    assert (request.properties, request.service_timeout) == ({}, math.inf)


def test_of_several_signing_times_the_first_counts(served: Served) -> None:
    url = "https://example.com/a?X-Amz-Date=20260102T030405Z&X-Amz-Date=20270102T030405Z"
    assert parse_request(served.request(ResponseURL=url)).signed_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
