"""Look-ups in threads: once each, until all are done or the audit is stopped."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, SSOTokenLoadError

from rotation_role_policy.audit.bulk import StoppedError
from rotation_role_policy.audit.facts import FailedCall, InternalError, Known, Stopped, Unknown, UnusableKey
from rotation_role_policy.audit.lookups import Lookups, Workers, is_expired, problem_of
from rotation_role_policy.audit.messages import failures as messages
from rotation_role_policy.aws.errors import to_request_error
from rotation_role_policy.errors import ErrorCode, RequestError
from rotation_role_policy.lookup.keys import KeyUnusableError
from rotation_role_policy.rules.state import KeyProblem
from tests.support.account import error

STOPPED = Unknown(Stopped())


def request_error(exception: Exception) -> RequestError:
    """Return the error of a call of GetRole."""
    return to_request_error(exception, "iam:GetRole", {"RoleName": "x"}, in_doubt=False)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


def start(lookups: Lookups[Any, Any], keys: Iterable[Any]) -> None:
    """Start several look-ups."""
    for key in keys:
        lookups.start(key)


def test_each_key_is_looked_up_once(workers: Workers) -> None:
    looked_up: Counter[int] = Counter()

    def look_up(key: int) -> int:
        looked_up[key] += 1
        return key * 10

    lookups = Lookups(workers, "numbers", 4, look_up)
    for _ in range(3):
        start(lookups, range(20))
    assert [lookups.get(key) for key in range(20)] == [Known(key * 10) for key in range(20)]
    assert lookups.get(0) == Known(0)
    assert looked_up == Counter(range(20))


def test_a_result_needs_no_start(workers: Workers) -> None:
    lookups: Lookups[int, int] = Lookups(workers, "numbers", 1, lambda key: key + 1)
    assert lookups.get(1) == Known(2)


def test_an_error_concerns_only_its_key(workers: Workers) -> None:
    def look_up(key: str) -> str:
        if key == "bad":
            raise request_error(error("Throttling"))
        return key

    lookups = Lookups(workers, "numbers", 2, look_up)
    assert lookups.get("good") == Known("good")
    assert lookups.get("bad") == Unknown(FailedCall("iam:GetRole", "Throttling", "no", is_denied=False))
    assert lookups.get("better") == Known("better")
    assert not workers.stopped.is_set()


def test_an_error_of_the_program_is_raised_where_the_result_is_needed(workers: Workers) -> None:
    values: dict[str, int] = {}
    lookups: Lookups[str, int] = Lookups(workers, "numbers", 1, lambda key: values[key])
    lookups.start("missing")
    with pytest.raises(KeyError):
        lookups.get("missing")


@pytest.mark.parametrize(
    "exception",
    [
        error("ExpiredToken"),
        error("ExpiredTokenException"),
        error("RequestExpired"),
        error("InvalidClientTokenId"),
        error("UnrecognizedClientException"),
        NoCredentialsError(),
        SSOTokenLoadError(error_msg="expired"),
    ],
)
def test_expired_credentials_stop_all_look_ups(workers: Workers, exception: Exception) -> None:
    looked_up = []

    def look_up(key: int) -> int:
        looked_up.append(key)
        if key == 2:
            raise request_error(exception)
        return key

    lookups = Lookups(workers, "numbers", 1, look_up)
    start(lookups, range(50))
    results = [lookups.get(key) for key in range(50)]
    assert looked_up == [0, 1, 2]
    assert results == [Known(0), Known(1), *[STOPPED] * 48]
    assert workers.stopped.is_set()
    assert "expired" in workers.reason
    assert lookups.get(99) == STOPPED
    assert looked_up == [0, 1, 2]


@pytest.mark.parametrize(
    "exception", [error("AccessDenied"), error("NoSuchEntity"), EndpointConnectionError(endpoint_url="https://x")]
)
def test_another_error_does_not_stop_the_audit(exception: Exception) -> None:
    assert not is_expired(request_error(exception))


def test_the_first_reason_to_stop_counts(workers: Workers) -> None:
    workers.stop("first")
    workers.stop("second")
    assert workers.reason == "first"


def test_a_stopped_audit_does_not_wait_for_calls_that_hang(workers: Workers) -> None:
    begun, may_end = Event(), Event()

    def look_up(key: int) -> int:
        begun.set()
        may_end.wait(30)
        return key

    lookups = Lookups(workers, "numbers", 1, look_up)
    start(lookups, [1, 2])
    begun.wait(5)
    workers.stop("enough")
    assert (lookups.get(1), lookups.get(2)) == (STOPPED, STOPPED)
    may_end.set()


def test_a_look_up_of_a_stopped_audit_leaves_no_result(workers: Workers) -> None:
    def look_up(key: int) -> int:
        raise StoppedError

    assert Lookups(workers, "numbers", 1, look_up).get(1) == STOPPED


def test_the_progress_counts_the_look_ups_of_all_kinds() -> None:
    seen: list[tuple[str, int, int]] = []
    with Workers(lambda *progress: seen.append(progress)) as workers:
        first: Lookups[int, int] = Lookups(workers, "first", 1, lambda key: key)
        second: Lookups[int, int] = Lookups(workers, "second", 1, lambda key: key)
        start(first, range(7))
        assert [first.get(key) for key in range(7)] == [Known(key) for key in range(7)]
        start(second, range(2))
        assert [second.get(key) for key in range(2)] == [Known(key) for key in range(2)]
    assert [what for what, _, _ in seen] == ["first"] * 7 + ["second"] * 2
    assert [done for _, done, _ in seen] == list(range(1, 10))
    assert seen[-1][2] == 9


def wait_until(condition: Callable[[], bool]) -> bool:
    """Wait until something is true in another thread, at most ten seconds. Returns whether it is."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_progress_that_fails_does_not_keep_look_ups_waiting(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise OSError("the terminal is closed")

    with Workers(fail) as workers:
        lookups: Lookups[int, int] = Lookups(workers, "numbers", 1, lambda key: key)
        start(lookups, range(3))
        assert [lookups.get(key) for key in range(3)] == [Known(key) for key in range(3)]
    # The result is known before the failure is logged.
    assert wait_until(lambda: len(caplog.records) == 3)
    assert {record.getMessage() for record in caplog.records} == {"the progress of the audit failed"}


def test_after_the_end_a_look_up_starts_no_thread() -> None:
    with Workers() as workers:
        lookups: Lookups[int, int] = Lookups(workers, "numbers", 1, lambda key: key)
        assert lookups.get(1) == Known(1)
    lookups.start(2)
    assert (lookups.get(1), lookups.get(2)) == (Known(1), STOPPED)


def test_one_look_up_can_be_waited_for_while_others_run(workers: Workers) -> None:
    may_end = Event()

    def look_up(key: str) -> str:
        if key == "slow":
            may_end.wait(5)
        return key

    lookups = Lookups(workers, "words", 2, look_up)
    start(lookups, ["slow", "fast"])
    assert lookups.get("fast") == Known("fast")
    may_end.set()
    assert lookups.get("slow") == Known("slow")


def test_the_end_drops_look_ups_that_have_not_started() -> None:
    begun, may_end = Event(), Event()
    looked_up = []

    def look_up(key: int) -> None:
        looked_up.append(key)
        begun.set()
        may_end.wait(5)

    with Workers() as workers:
        start(Lookups(workers, "numbers", 1, look_up), range(5))
        begun.wait(5)
    may_end.set()
    assert looked_up == [0]


def test_at_the_end_nobody_waits_for_a_look_up_any_more() -> None:
    begun, may_end = Event(), Event()

    def look_up(key: int) -> int:
        begun.set()
        may_end.wait(30)
        return key

    with Workers() as workers:
        lookups = Lookups(workers, "numbers", 1, look_up)
        start(lookups, [1, 2])
        waiting = workers.executor(1).submit(lookups.get, 2)
        begun.wait(5)
    try:
        assert waiting.result(5) == STOPPED
    finally:
        # Otherwise a thread that still waits would keep the tests from ending.
        may_end.set()
        workers.stop("")


def test_an_error_of_the_audit_itself_becomes_data(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rotation_role_policy.audit.lookups.CONTAINED_ERRORS", (Exception,))
    values: dict[str, int] = {}
    lookups: Lookups[str, int] = Lookups(workers, "numbers", 1, lambda key: values[key])
    assert lookups.get("missing") == Unknown(InternalError("KeyError", "'missing'"))
    assert messages.problem(InternalError("KeyError", "'missing'")) == "Internal error (KeyError): 'missing'"
    [record] = caplog.records
    assert (record.getMessage(), bool(record.exc_info)) == ("internal error in the audit of missing", True)


def test_an_error_becomes_data_and_is_described_without_advice_for_the_provider() -> None:
    denied = problem_of(request_error(error("AccessDenied", "User x is not authorized")))
    assert denied == FailedCall("iam:GetRole", "AccessDenied", "User x is not authorized", is_denied=True)
    assert messages.problem(denied) == "AWS denies iam:GetRole: User x is not authorized"
    failed = problem_of(request_error(error("NoSuchEntity", "gone")))
    assert messages.problem(failed) == "iam:GetRole failed with NoSuchEntity: gone"
    key = KeyProblem("arn:key", "Disabled")
    unusable = problem_of(KeyUnusableError("no", ErrorCode.RESOURCE_CONFLICT, "db", key, ["AWSCURRENT"]))
    assert unusable == UnusableKey("db", key, ("AWSCURRENT",))
    assert messages.problem(problem_of(RequestError("The tag is wrong."))) == "The tag is wrong"
