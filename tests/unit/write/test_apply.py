"""A change of one inline policy: write, wait, check, undo."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from rotation_role_policy.errors import AccessDeniedError, AwsApiError, UndoFailedError
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.provider import metrics
from rotation_role_policy.write.apply import Change, Undo, apply, undo, wait
from tests.support.account import Account, WatchedAws, error


def document(action: str) -> JsonDocument:
    """Return a document that allows an action."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": [action], "Resource": "*"}]}


OLD, NEW, THIRD = (document(f"s3:Get{name}") for name in ("Old", "New", "Third"))
CHANGE = Change(
    "rotation-role", "own", previous=OLD, document=NEW, profile="Strict", undo_until=10_000_000, must_be_undone=True
)
LOST = ConnectionClosedError(endpoint_url="https://iam.amazonaws.com/")


@pytest.fixture
def aws(account: Account) -> WatchedAws:
    """Return AWS with the role ``rotation-role`` that has the old document."""
    account.role()
    put(account, OLD)
    return WatchedAws(account)


def put(account: Account, text: JsonDocument) -> None:
    """Put the policy ``own``, as somebody else does."""
    WatchedAws(account).iam.put_role_policy(RoleName="rotation-role", PolicyName="own", PolicyDocument=json.dumps(text))
    account.calls.clear()


def run(aws: WatchedAws, change: Change = CHANGE, how: Undo = Undo.RESTORE, **changed: Any) -> None:
    """Apply a change, without a wait. `how` is how to undo it after an error."""
    options: dict[str, Any] = {"delay": 0, "wait_until": 0, "check": lambda: None, "undo_in_doubt": True}
    apply(aws, change, **options | {"undo_after": lambda _: how} | changed)


def fail() -> None:
    """Fail as a check does."""
    raise ZeroDivisionError


def test_a_change_is_written_then_waited_for_then_checked(aws: WatchedAws, account: Account) -> None:
    seen: list[Any] = []
    run(aws, delay=7, wait_until=time.monotonic() + 60, check=lambda: seen.append((account.policies(), account.slept)))
    assert seen == [({"own": NEW}, [7])]
    assert account.actions() == ["iam:PutRolePolicy"]


@pytest.mark.parametrize(("seconds", "left", "waited"), [(10, 60, 10), (10, 4, 4), (10, -4, 0), (0, 60, 0)])
def test_a_wait_ends_in_time(account: Account, seconds: float, left: float, waited: float) -> None:
    wait(seconds, time.monotonic() + left)
    assert account.slept == pytest.approx([waited], abs=0.5)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Undo.KEEP, {"own": NEW}),
        (Undo.REMOVE, {}),
        (Undo.RESTORE, {"own": OLD}),
        (Undo.RESTORE_OWN, {"own": OLD}),
    ],
)
def test_a_change_that_must_not_stay_is_undone_as_the_caller_says(
    aws: WatchedAws, account: Account, how: Undo, expected: dict[str, JsonDocument]
) -> None:
    with pytest.raises(ZeroDivisionError):
        run(aws, how=how, check=fail)
    assert account.policies() == expected


def test_the_caller_decides_by_the_error(aws: WatchedAws) -> None:
    errors: list[Exception] = []

    def decide(caught: Exception) -> Undo:
        errors.append(caught)
        return Undo.KEEP

    with pytest.raises(ZeroDivisionError) as raised:
        run(aws, check=fail, undo_after=decide)
    assert errors == [raised.value]


def test_a_new_policy_is_removed_to_restore_what_was_there_before(account: Account) -> None:
    account.role()
    with pytest.raises(ZeroDivisionError):
        run(WatchedAws(account), replace(CHANGE, previous=None), check=fail)
    assert account.policies() == {}


@pytest.mark.parametrize(
    ("how", "expected"), [(Undo.RESTORE_OWN, THIRD), (Undo.RESTORE, OLD)], ids=["only its own", "any"]
)
def test_a_third_document_stays_only_if_the_caller_says_so(
    aws: WatchedAws, account: Account, how: Undo, expected: JsonDocument
) -> None:
    def overtake() -> None:
        put(account, THIRD)
        fail()

    with pytest.raises(ZeroDivisionError):
        run(aws, how=how, check=overtake)
    assert account.policies() == {"own": expected}


def test_a_document_that_cannot_be_read_counts_as_its_own(aws: WatchedAws, account: Account) -> None:
    account.faults["iam:GetRolePolicy"] = [error("AccessDenied")]
    with pytest.raises(ZeroDivisionError):
        run(aws, how=Undo.RESTORE_OWN, check=fail)
    assert account.policies() == {"own": OLD}


@pytest.mark.parametrize(("undo_in_doubt", "expected"), [(True, OLD), (False, NEW)])
def test_a_write_with_unknown_outcome_is_undone_if_the_caller_says_so(
    aws: WatchedAws, account: Account, undo_in_doubt: bool, expected: JsonDocument
) -> None:
    account.lost["iam:PutRolePolicy"] = [LOST]
    account.faults["iam:PutRolePolicy"] = [lambda: None, error("MalformedPolicyDocument")]
    with pytest.raises(AwsApiError, match="MalformedPolicyDocument"):
        run(aws, undo_in_doubt=undo_in_doubt)
    assert account.policies() == {"own": expected}


def test_a_write_that_iam_rejects_is_not_undone(aws: WatchedAws, account: Account) -> None:
    account.faults["iam:PutRolePolicy"] = [error("AccessDenied")]
    with pytest.raises(AccessDeniedError):
        run(aws)
    assert account.actions() == ["iam:PutRolePolicy"]


def test_a_change_that_cannot_be_undone_is_an_error_only_if_it_must_be_undone(
    aws: WatchedAws, account: Account
) -> None:
    account.faults["iam:PutRolePolicy"] = [error("AccessDenied")] * 2
    with pytest.raises(UndoFailedError, match='The policy "own" on the role "rotation-role"'):
        undo(aws, CHANGE, Undo.RESTORE)
    undo(aws, replace(CHANGE, must_be_undone=False), Undo.RESTORE)
    assert account.actions() == ["iam:PutRolePolicy"] * 2


def test_a_change_is_undone_even_if_the_time_of_the_request_is_used_up(aws: WatchedAws, account: Account) -> None:
    def time_runs_out() -> None:
        aws.deadline = time.monotonic()
        fail()

    with pytest.raises(ZeroDivisionError):
        run(aws, check=time_runs_out)
    assert account.policies() == {"own": OLD}
    assert aws.deadline == CHANGE.undo_until


def test_the_log_has_each_write_and_undo_with_its_document(
    aws: WatchedAws, account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.configure()
    with pytest.raises(ZeroDivisionError):
        run(aws, check=fail)
    account.faults["iam:PutRolePolicy"] = [error("AccessDenied")]
    undo(aws, replace(CHANGE, must_be_undone=False), Undo.RESTORE)
    own = {"role": "rotation-role", "policy": "own"}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected: list[dict[str, Any]] = [
        own | {"message": "policy written", "profile": "Strict", "document": NEW},
        own | {"message": "rolled back", "document": OLD},
        own | {"message": "roll back failed", "level": "WARNING"},
    ]
    assert [{name: line[name] for name in row} for line, row in zip(lines, expected, strict=True)] == expected
    assert "iam:PutRolePolicy failed with AccessDenied" in lines[-1]["reason"]
