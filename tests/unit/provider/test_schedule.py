"""The schedule of an invocation: each instant, in seconds after its start."""

import time
from dataclasses import astuple
from typing import Any

import pytest

from rotation_role_policy.provider.request import parse_request
from rotation_role_policy.provider.schedule import Schedule
from tests.support.served import Served


@pytest.mark.parametrize(
    ("request_type", "properties", "seconds", "instants"),
    [
        # 15 seconds to respond, before them 30 to undo, in thirds for an Update that cannot be served.
        ("Update", {}, 600, (555, 565, 575, 584, 585, 586.5, 600)),
        ("Create", {}, 600, (555, 565, 575, 584, 585, 586.5, 600)),
        # A Delete has nothing to undo.
        ("Delete", {}, 600, (585, 585, 585, 584, 585, 586.5, 600)),
        # A quarter of a short time to respond, and a third of the rest to undo.
        ("Update", {}, 40, (20, 70 / 3, 80 / 3, 29, 30, 31, 40)),
        # CloudFormation stops waiting before Lambda ends the invocation.
        ("Update", {"ServiceTimeout": "40"}, 600, (20, 70 / 3, 80 / 3, 29, 30, 31, 40)),
    ],
)
def test_each_instant_of_an_invocation_follows_from_its_length(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    request_type: str,
    properties: dict[str, str],
    seconds: float,
    instants: Any,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    request = parse_request(
        served.request(RequestType=request_type, PhysicalResourceId="x", ResourceProperties=properties)
    )
    assert astuple(Schedule.of(request, seconds)) == pytest.approx([1000 + instant for instant in instants])
