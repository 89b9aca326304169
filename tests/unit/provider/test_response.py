"""The size and the delivery of responses."""

import http.client
import json
import socket
import time

import pytest

from rotation_role_policy.errors import (
    RequestError,
    ResponseDeliveryError,
)
from rotation_role_policy.provider import metrics
from rotation_role_policy.provider import response as response_module
from tests.support.account import LOGICAL_ID, STACK_ID, Context
from tests.support.served import Served

# --- size ---


def test_a_response_that_would_exceed_4096_bytes_is_rejected_before_it_is_sent(served: Served) -> None:
    served.serve = lambda: response_module.Success("role/policy", {"A": "ü" * 500})
    served.send()
    [size] = served.responses.sizes
    # This many characters of one byte fill the response.
    longest = {"A": "ü" * 500 + "x" * (response_module.RESPONSE_LIMIT - size)}
    response_module.check_response_size(IDS, "SecretIds", 50, "role/policy", longest)
    with pytest.raises(RequestError) as rejected:
        response_module.check_response_size(IDS, "SecretIds", 50, "role/policy", longest | {"A": longest["A"] + "x"})
    assert str(rejected.value) == (
        "SecretIds: 50 secrets are too many for one resource. The response would have 4,097 bytes, and CloudFormation"
        " accepts 4,096. Distribute the secrets over several functions with a role and a resource each."
    )
    assert rejected.value.error_code == "ServiceLimitExceeded"


IDS = response_module.RequestIds(STACK_ID, "r" * 36, LOGICAL_ID)


def attributes_of_size(name: str, size: int) -> dict[str, str]:
    """Return attributes with which a response has `size` bytes. The attribute `name` is the long one."""
    attributes = {"PolicyName": "p", "SecretArns": "s", "KmsKeyArns": "k", "FunctionArn": "f"} | {name: ""}
    length = len(response_module.serialize(response_module.build(IDS, "SUCCESS", "", "role/policy", attributes)))
    return attributes | {name: "x" * (size - length)}


@pytest.mark.parametrize("name", ["SecretArns", "KmsKeyArns", "FunctionArn", "PolicyName"])
def test_attributes_that_fit_into_the_response_are_kept(name: str) -> None:
    attributes = attributes_of_size(name, response_module.RESPONSE_LIMIT)
    assert response_module.fit_attributes(IDS, "role/policy", attributes) == attributes


@pytest.mark.parametrize(
    ("name", "emptied"),
    [
        ("SecretArns", ["SecretArns"]),
        ("KmsKeyArns", ["SecretArns", "KmsKeyArns"]),
        ("FunctionArn", ["SecretArns", "KmsKeyArns", "FunctionArn"]),
    ],
)
def test_long_attributes_are_emptied_in_order_until_the_response_fits(name: str, emptied: list[str]) -> None:
    attributes = attributes_of_size(name, response_module.RESPONSE_LIMIT + 3)
    fitted = response_module.fit_attributes(IDS, "role/policy", attributes)
    assert fitted == attributes | dict.fromkeys(emptied, "")


def test_the_physical_id_counts_towards_the_size_of_a_response() -> None:
    attributes = attributes_of_size("SecretArns", response_module.RESPONSE_LIMIT)
    assert response_module.fit_attributes(IDS, "role/policy" + "x", attributes)["SecretArns"] == ""


# --- delivery ---


@pytest.mark.parametrize("statuses", [[500], [503, 503], [429, 500]])
def test_a_response_is_sent_again_after_a_429_or_5xx(served: Served, statuses: list[int]) -> None:
    served.responses.statuses = statuses
    assert served.send()["Status"] == "SUCCESS"


@pytest.mark.parametrize("statuses", [[403], [404], [500] * 6])
def test_an_undelivered_response_fails_the_invocation(served: Served, statuses: list[int]) -> None:
    served.responses.statuses = [*statuses]
    with pytest.raises(ResponseDeliveryError):
        served.resource(served.request(), Context())
    assert served.responses.received == []
    assert served.responses.statuses == [], "there are no further attempts"


class Attempts:
    """A replacement for `response._put` with the given outcomes. It records the timeout of each attempt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *outcomes: int | Exception) -> None:
        self.outcomes = [*outcomes]
        self.timeouts: list[float] = []
        monkeypatch.setattr(response_module, "_put", self._put)

    def _put(self, url: str, body: bytes, timeout: float) -> int:
        assert (url, body) == ("https://localhost/", b"{}")
        self.timeouts.append(timeout)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def send(self, seconds: float) -> None:
        """Send with this number of seconds remaining."""
        response_module.send("https://localhost/", b"{}", time.monotonic() + seconds)


@pytest.mark.parametrize("status", [200, 201, 299])
def test_a_2xx_means_that_the_response_is_delivered(
    served: Served, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    Attempts(monkeypatch, status).send(60)


@pytest.mark.parametrize(
    "failure",
    [199, 300, 399, 429, 500, 599, ConnectionResetError(), TimeoutError(), http.client.BadStatusLine("")],
)
def test_temporary_failures_are_retried(
    served: Served, monkeypatch: pytest.MonkeyPatch, failure: int | Exception
) -> None:
    Attempts(monkeypatch, failure, failure, 200).send(60)
    attempts = Attempts(monkeypatch, *[failure] * 6)
    with pytest.raises(ResponseDeliveryError) as undelivered:
        attempts.send(60)
    problem = type(failure).__name__ if isinstance(failure, Exception) else f"HTTP {failure}"
    assert str(undelivered.value) == f"the response could not be delivered to CloudFormation: {problem}"
    assert attempts.outcomes == []


@pytest.mark.parametrize("status", [400, 403, 428, 430, 499])
def test_a_4xx_response_is_not_retried(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    metrics.configure()
    attempts = Attempts(monkeypatch, 500, status)
    with pytest.raises(ResponseDeliveryError, match=f"HTTP {status}"):
        attempts.send(60)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["logger"] for line in lines} == {response_module.__name__}
    assert [(line["message"], line["attempt"], line["problem"]) for line in lines] == [
        ("response not delivered", 1, "HTTP 500"),
        ("response not delivered", 2, f"HTTP {status}"),
    ]


@pytest.mark.parametrize(("seconds", "timeout"), [(60, 10), (5, 5), (0.5, 1)])
def test_an_attempt_times_out_after_10_seconds_or_at_the_deadline(
    served: Served, monkeypatch: pytest.MonkeyPatch, seconds: float, timeout: float
) -> None:
    attempts = Attempts(monkeypatch, 200)
    attempts.send(seconds)
    assert attempts.timeouts == [pytest.approx(timeout, abs=0.1)]


def test_an_unreachable_host_fails_the_invocation(served: Served) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(ResponseDeliveryError):
        served.resource(served.request(ResponseURL=f"https://localhost:{port}/"), Context())


def test_pauses_between_attempts_double_until_the_deadline(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    served.responses.statuses = [500] * 6
    with pytest.raises(ResponseDeliveryError):
        served.resource(served.request(), Context())
    assert pauses == [0.5, 1, 2, 4, 8]

    pauses.clear()
    served.responses.statuses = [500] * 6
    with pytest.raises(ResponseDeliveryError):
        served.resource(served.request(), Context(milliseconds=3000))
    assert pauses == [0.5, 1, 2]


def test_a_host_that_accepts_the_connection_but_does_not_respond_does_not_block(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_module, "_ATTEMPT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/"
        with pytest.raises(ResponseDeliveryError, match="no response was delivered"):
            served.resource(served.request(ResponseURL=url), Context(milliseconds=2600))
