"""Look-ups in threads: once each, until all are done or the audit is stopped."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from threading import Event

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, SSOTokenLoadError

from rotation_role_policy.audit.bulk import StoppedError
from rotation_role_policy.audit.lookups import Lookups, Workers, describe, is_expired
from rotation_role_policy.aws.client import to_request_error
from rotation_role_policy.errors import RequestError
from tests.support.account import error


def request_error(exception: Exception) -> RequestError:
    """Return the error of a call of GetRole."""
    return to_request_error(exception, "iam:GetRole", {"RoleName": "x"}, in_doubt=False)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with closing(Workers(lambda *_: None)) as workers:
        yield workers


def test_each_key_is_looked_up_once(workers: Workers) -> None:
    looked_up: Counter[int] = Counter()

    def look_up(key: int) -> int:
        looked_up[key] += 1
        return key * 10

    lookups = Lookups(workers, "numbers", 4, look_up)
    for _ in range(3):
        lookups.add_all(range(20))
    lookups.wait()
    lookups.add(0)
    lookups.wait()
    assert looked_up == Counter(range(20))
    assert lookups.values == {key: key * 10 for key in range(20)}


def test_an_error_concerns_only_its_key(workers: Workers) -> None:
    def look_up(key: str) -> str:
        if key == "bad":
            raise request_error(error("Throttling"))
        return key

    lookups = Lookups(workers, "numbers", 2, look_up)
    lookups.add_all(["good", "bad", "better"])
    lookups.wait()
    assert set(lookups.values) == {"good", "better"}
    assert [(key, str(describe(failed))) for key, failed in lookups.errors.items()] == [
        ("bad", "iam:GetRole failed with Throttling: no")
    ]
    assert not workers.stopped.is_set()


def test_an_error_of_the_program_is_raised_where_the_audit_waits(workers: Workers) -> None:
    values: dict[str, int] = {}
    lookups: Lookups[str, int] = Lookups(workers, "numbers", 1, lambda key: values[key])
    lookups.add("missing")
    with pytest.raises(KeyError):
        lookups.wait()


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
    lookups.add_all(range(50))
    lookups.wait()
    assert looked_up == [0, 1, 2]
    assert (set(lookups.values), lookups.errors) == ({0, 1}, {})
    assert workers.stopped.is_set()
    assert "expired" in workers.reason
    lookups.add(99)
    lookups.wait()
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


def test_a_look_up_of_a_stopped_audit_leaves_no_result(workers: Workers) -> None:
    def look_up(key: int) -> int:
        raise StoppedError

    lookups = Lookups(workers, "numbers", 1, look_up)
    lookups.add(1)
    lookups.wait()
    assert (lookups.values, lookups.errors) == ({}, {})


def test_the_progress_counts_the_look_ups_of_all_kinds() -> None:
    seen: list[tuple[str, int, int]] = []
    with closing(Workers(lambda *progress: seen.append(progress))) as workers:
        first: Lookups[int, int] = Lookups(workers, "first", 3, lambda key: key)
        second: Lookups[int, int] = Lookups(workers, "second", 3, lambda key: key)
        first.add_all(range(7))
        first.wait()
        second.add_all(range(2))
        second.wait()
    assert list(dict.fromkeys((what, total) for what, _, total in seen)) == [("first", 7), ("second", 9)]
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_some_look_ups_can_be_waited_for_while_others_run(workers: Workers) -> None:
    may_end = Event()

    def look_up(key: str) -> str:
        if key == "slow":
            may_end.wait(5)
        return key

    lookups = Lookups(workers, "words", 2, look_up)
    lookups.add_all(["slow", "fast"])
    lookups.wait(["fast", "never added"])
    assert lookups.values == {"fast": "fast"}
    may_end.set()
    lookups.wait()
    assert set(lookups.values) == {"fast", "slow"}


def test_close_drops_look_ups_that_have_not_started() -> None:
    begun, may_end = Event(), Event()
    looked_up = []

    def look_up(key: int) -> None:
        looked_up.append(key)
        begun.set()
        may_end.wait(5)

    with closing(Workers(lambda *_: None)) as workers:
        Lookups(workers, "numbers", 1, look_up).add_all(range(5))
        begun.wait(5)
    may_end.set()
    assert looked_up == [0]


def test_an_error_is_described_without_advice_for_the_provider() -> None:
    denied = request_error(error("AccessDenied", "User x is not authorized"))
    assert describe(denied) == "AWS denies iam:GetRole: User x is not authorized"
    assert describe(request_error(error("NoSuchEntity", "gone"))) == "iam:GetRole failed with NoSuchEntity: gone"
    assert describe(RequestError("The key is disabled.")) == "The key is disabled."
