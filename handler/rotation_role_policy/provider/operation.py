"""What a Create, an Update or an Update of a rollback does: before a write, after it, after a failure, at a timeout.

One table, no calls.

In a rollback, an Update must not fail, because the stack would be left in UPDATE_ROLLBACK_FAILED. Whether it belongs to
a rollback, only CloudFormation tells. Source: docs/guarantees.md, "Rollbacks".
"""

from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any, NamedTuple

from rotation_role_policy.rules.plan import Plan


class Direction(StrEnum):
    """Where the stack of a request is going, as far as CloudFormation tells."""

    CREATE = auto()
    """The request is a Create. A rollback sends none."""
    FORWARD = auto()
    """The stack is not rolling back. A rollback can begin at any time."""
    ROLLBACK = auto()
    """The stack is rolling back, or is assumed to be."""
    UNKNOWN = auto()
    """CloudFormation did not respond in time. A later look-up can succeed."""
    NOT_REPORTED = auto()
    """CloudFormation denies the look-up, or does not know the stack. Served as if the stack went forward, but after a
    failure its status is looked up for longer."""


class Timeout(StrEnum):
    """What the timer responds, if time runs out."""

    FAIL = auto()
    KEEP_EXISTING = auto()
    """SUCCESS with the existing policy: the physical ID of the request."""
    NAME_PLANNED = auto()
    """SUCCESS with the planned role, which has the policy already, in one version or the other."""


class Recovery(StrEnum):
    """What follows if the request cannot be served."""

    FAIL = auto()
    LOOK_UP_STATUS = auto()
    """Look up the stack's status again. If the stack is rolling back by now, serve the request in that direction."""
    RETRY_STATUS = auto()
    """Likewise, for as long as there is time. If CloudFormation never responds, assume a rollback."""
    KEEP_EXISTING = auto()
    """Respond with SUCCESS and the existing policy."""


class DocumentedProfile(StrEnum):
    """What follows if the properties ask for the profile `Documented`, and the provider must not write it."""

    REFUSE = auto()
    """Nothing is written. In a rollback, the existing policy stays."""
    WRITE_STRICT = auto()


class _Row(NamedTuple):
    """What a request does if its stack goes in one direction."""

    at_timeout: Timeout
    after_failure: Recovery
    is_access_checked: bool
    """Whether the access check is made, if the plan needs one."""
    is_always_written: bool
    """Whether the document is written even if the role seems to have it."""
    is_undone_in_doubt: bool
    """Whether a write with unknown outcome is undone."""
    cleans_up: bool
    """Whether the policy of the role from before the stack's operation is deleted after the write."""


_TABLE = {
    #                            at a timeout           after a failure          access  always  undo in  clean
    #                                                                            check   write   doubt    up
    Direction.CREATE:       _Row(Timeout.FAIL,          Recovery.FAIL,           True,   False,  True,    False),
    Direction.FORWARD:      _Row(Timeout.FAIL,          Recovery.LOOK_UP_STATUS, True,   False,  True,    False),
    Direction.NOT_REPORTED: _Row(Timeout.FAIL,          Recovery.RETRY_STATUS,   True,   False,  True,    False),
    Direction.UNKNOWN:      _Row(Timeout.KEEP_EXISTING, Recovery.RETRY_STATUS,   True,   False,  True,    False),
    # IAM may still return the document from before the update, so the policy is always written. Whatever the outcome of
    # the write is, both documents are valid.
    Direction.ROLLBACK:     _Row(Timeout.KEEP_EXISTING, Recovery.KEEP_EXISTING,  False,  True,   False,   True),
}  # fmt: skip


def after_failure(direction: Direction, *, is_superseded: bool, has_responded: bool) -> Recovery:
    """Return what follows a failure.

    Args:
        direction: of the stack.
        is_superseded: whether CloudFormation no longer waits for the request, and ignores the response.
        has_responded: whether the timer has responded. The rollback that follows is not this request's.
    """
    return Recovery.FAIL if is_superseded or has_responded else _TABLE[direction].after_failure


def at_timeout(direction: Direction, *, is_policy_on_planned_role: bool) -> Timeout:
    """Return what the timer responds. A planned role that is not known yet counts as a role without the policy."""
    if direction is Direction.ROLLBACK and is_policy_on_planned_role:
        return Timeout.NAME_PLANNED
    return _TABLE[direction].at_timeout


def if_documented_is_not_allowed(direction: Direction, old_profile: Any) -> DocumentedProfile:
    """Return what a Create or Update with the profile `Documented` does if the provider's stack does not allow it.

    Anybody who may deploy can send an Update of a stack that is rolling back, so a rollback writes no such policy.

    Args:
        direction: of the stack.
        old_profile: `PolicyProfile` of the old properties, as CloudFormation sends it. In a rollback, it is that of the
            failed update. If that was `Documented` too, the update has been refused, and the policy is older.
    """
    if direction is Direction.ROLLBACK and old_profile != "Documented":
        return DocumentedProfile.WRITE_STRICT
    return DocumentedProfile.REFUSE


class Steps(NamedTuple):
    """What a Create or Update does to the policy."""

    check_superseded: bool
    """Check before the write that CloudFormation still waits for the request."""
    check_access: bool
    write: bool
    undo_in_doubt: bool
    """Undo a write with unknown outcome."""
    clean_up: bool
    """Look up the role from before the stack's operation after the write (`Operation.role_to_clean_up`)."""


@dataclass(frozen=True)
class Operation:
    """A Create or Update whose planned role is known."""

    direction: Direction
    current_role: str
    """The role that the physical ID of the request names; empty if it names none."""
    planned_role: str
    """The role that the properties lead to."""
    follows_report: bool
    """Whether only the secrets' configuration leads to the planned role: the properties name neither it nor a function.
    """

    def may_follow_report(self, previous_role: str) -> bool:
        """Return whether the planned role may get the policy, as far as the secrets' configuration leads to it.

        Whoever may configure the rotation of a secret would otherwise decide which role may read all the secrets of the
        resource. Only a first Create, or an Update whose physical ID names no role, takes the role from the secrets.

        Args:
            previous_role: as for `role_to_clean_up`. It counts only in a rollback.
        """
        if not self.follows_report or self.direction is Direction.CREATE or not self.current_role:
            return True
        is_previous = self.direction is Direction.ROLLBACK and self.planned_role == previous_role
        return self.planned_role == self.current_role or is_previous

    def before_write(self, plan: Plan) -> Steps:
        """Return what to do to the policy on the planned role."""
        row = _TABLE[self.direction]
        is_of_earlier_delivery = plan.existing_document is not None and plan.is_changed
        follows_report = self.follows_report and plan.is_changed
        return Steps(
            # A first Create finds no policy. If one is superseded after that, its write is undone. But a Create that is
            # delivered again must not write to the role to which the secrets lead by now, not even for a moment.
            check_superseded=self.direction is not Direction.CREATE or is_of_earlier_delivery or follows_report,
            check_access=plan.needs_access_check and row.is_access_checked,
            write=plan.is_changed or row.is_always_written,
            undo_in_doubt=row.is_undone_in_doubt,
            clean_up=row.cleans_up,
        )

    def stays_after_failure(self, role_of_response: str) -> bool:
        """Return whether a written policy stays if the request fails after the write.

        In a rollback it stays if the timer has already told CloudFormation that the planned role has the policy.
        """
        return self.direction is Direction.ROLLBACK and role_of_response == self.planned_role

    def role_to_clean_up(self, previous_role: str) -> str:
        """Return the role from which the policy is deleted after the write; empty if there is none.

        A function can get another role during an update. If the rollback then puts the policy on a third role, or on
        the new one, CloudFormation never deletes the policy of the role from before the update.

        Args:
            previous_role: the role before the stack's current operation; empty if it is unknown or the current role.
        """
        return previous_role if previous_role != self.planned_role else ""
