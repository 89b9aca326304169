"""The table of what a Create or Update does, by where its stack is going, and by the roles that can have the policy."""

from dataclasses import dataclass

import pytest

from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.provider.operation import (
    Direction,
    Operation,
    Recovery,
    Steps,
    Timeout,
    after_failure,
    at_timeout,
)
from rotation_role_policy.rules.plan import Plan

WANTED: JsonDocument = {"Version": "2012-10-17", "Statement": []}
OTHER: JsonDocument = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}

NEW = Plan(WANTED, None, is_changed=True, needs_access_check=True)
CHANGED = Plan(WANTED, OTHER, is_changed=True, needs_access_check=True)
UNCHECKED = Plan(WANTED, OTHER, is_changed=True, needs_access_check=False)
SAME = Plan(WANTED, WANTED, is_changed=False, needs_access_check=False)


@dataclass
class Expected:
    """What a request does if its stack goes in one direction."""

    steps: dict[str, Steps]
    """Before a write, by plan."""
    failure: Recovery
    timeout: Timeout
    timeout_with_policy: Timeout
    """The same, if the planned role has the policy already."""
    stays: bool = False
    """Whether a write stays after a failure if the timer has named the planned role."""


#                       superseded, access, write, undo in doubt, clean up
FORWARD_STEPS = {
    "new":       Steps(True,       True,   True,  True,  False),
    "changed":   Steps(True,       True,   True,  True,  False),
    "unchecked": Steps(True,       False,  True,  True,  False),
    "same":      Steps(True,       False,  False, True,  False),
}  # fmt: skip
TABLE = {
    Direction.CREATE: Expected(
        FORWARD_STEPS | {"new": Steps(False, True, True, True, False), "same": Steps(False, False, False, True, False)},
        Recovery.FAIL, Timeout.FAIL, Timeout.FAIL,
    ),
    Direction.FORWARD: Expected(FORWARD_STEPS, Recovery.LOOK_UP_STATUS, Timeout.FAIL, Timeout.FAIL),
    Direction.NOT_REPORTED: Expected(FORWARD_STEPS, Recovery.RETRY_STATUS, Timeout.FAIL, Timeout.FAIL),
    Direction.UNKNOWN: Expected(
        FORWARD_STEPS, Recovery.RETRY_STATUS, Timeout.KEEP_EXISTING, Timeout.KEEP_EXISTING
    ),
    Direction.ROLLBACK: Expected(
        dict.fromkeys(FORWARD_STEPS, Steps(True, False, True, False, True)),
        Recovery.KEEP_EXISTING, Timeout.KEEP_EXISTING, Timeout.NAME_PLANNED, stays=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("direction", Direction)
def test_the_direction_of_the_stack_decides_what_a_request_does(direction: Direction) -> None:
    expected = TABLE[direction]

    def operation(current: str, planned: str) -> Operation:
        return Operation(direction, current, planned, follows_report=False)

    for current in ("", "role", "other"):
        plans = {"new": NEW, "changed": CHANGED, "unchecked": UNCHECKED, "same": SAME}
        steps = {name: operation(current, "role").before_write(plan) for name, plan in plans.items()}
        assert steps == expected.steps

    assert after_failure(direction, is_superseded=False, has_responded=False) is expected.failure
    for superseded, responded in ((True, False), (False, True), (True, True)):
        assert after_failure(direction, is_superseded=superseded, has_responded=responded) is Recovery.FAIL
    assert at_timeout(direction, is_policy_on_planned_role=False) is expected.timeout
    assert at_timeout(direction, is_policy_on_planned_role=True) is expected.timeout_with_policy

    assert operation("current", "planned").stays_after_failure("planned") is expected.stays
    for role_of_response in ("current", ""):
        assert operation("current", "planned").stays_after_failure(role_of_response) is False

    for current, planned, previous, cleaned in [
        ("second", "third", "first", "first"),
        # The function got the new role during the update, so that the rollback leads to the new role too.
        ("second", "second", "first", "first"),
        # The rollback returns to the previous role.
        ("second", "first", "first", ""),
        # The physical ID has not changed, or the previous one is unknown.
        ("second", "third", "", ""),
    ]:
        assert operation(current, planned).role_to_clean_up(previous) == cleaned
