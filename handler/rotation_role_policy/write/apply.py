"""Change one inline policy: put it, wait until IAM is consistent, and undo the change if it must not stay.

It knows no CloudFormation. The caller says what to check after the write, and how to undo it.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum, auto

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import RequestError, UndoFailedError
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.write import inline_policy

logger = logging.getLogger(__name__)


class Undo(StrEnum):
    """How a change is undone."""

    KEEP = auto()
    """Not at all: the policy stays as it is."""
    REMOVE = auto()
    """The role gets no policy."""
    RESTORE = auto()
    """The role gets the document from before the change."""
    RESTORE_OWN = auto()
    """Likewise, but a third document stays, which somebody else has written since."""


@dataclass(frozen=True)
class Change:
    """A change of the inline policy `policy_name` on a role."""

    role_name: str
    policy_name: str
    previous: JsonDocument | None
    """The document from before the change; None if there was no policy."""
    document: JsonDocument
    profile: str
    """The policy profile of `document`, for the log."""
    undo_until: float
    """When no further attempt to undo begins, in seconds of `time.monotonic`."""
    must_be_undone: bool
    """Whether it is an error if the change cannot be undone. Otherwise the caller removes the policy later."""

    @property
    def log_fields(self) -> dict[str, str]:
        """The fields of each log line about the policy."""
        return {"role": self.role_name, "policy": self.policy_name}


def apply(
    aws: Aws,
    change: Change,
    *,
    delay: float,
    wait_until: float,
    check: Callable[[], None],
    undo_after: Callable[[Exception], Undo],
    undo_in_doubt: bool,
) -> None:
    """Put the document, wait and check. If anything fails, undo the change before the failure is raised.

    Args:
        aws: makes the calls.
        change: what to write.
        delay: seconds to wait until IAM is consistent, but not beyond `wait_until` (seconds of `time.monotonic`).
        check: raises an exception if the change must not stay.
        undo_after: returns how to undo the change after an exception of `check`.
        undo_in_doubt: whether a write with unknown outcome is undone.

    Raises:
        RequestError: as `inline_policy.put`.
        UndoFailedError: the change must be undone, and could not be.
        Exception: as `check`.
    """
    try:
        inline_policy.put(aws, change.role_name, change.policy_name, change.document)
    except RequestError as error:
        if error.in_doubt and undo_in_doubt:
            undo(aws, change, Undo.RESTORE)
        raise
    logger.info("policy written", extra={**change.log_fields, "profile": change.profile, "document": change.document})
    try:
        wait(delay, wait_until)
        check()
    except Exception as error:
        undo(aws, change, undo_after(error))
        raise


def undo(aws: Aws, change: Change, how: Undo) -> None:
    """Undo a change, in the time that is kept free for it. Raises `UndoFailedError` as `apply`."""
    if how is Undo.KEEP:
        return
    aws.deadline = change.undo_until
    if how is Undo.RESTORE_OWN and _is_written_by_others(aws, change):
        return
    previous = None if how is Undo.REMOVE else change.previous
    try:
        inline_policy.restore(aws, change.role_name, change.policy_name, previous)
    except RequestError as error:
        logger.warning("roll back failed", extra={**change.log_fields, "reason": str(error)})
        if change.must_be_undone:
            raise UndoFailedError(change.role_name, change.policy_name) from error
    else:
        logger.info("rolled back", extra={**change.log_fields, "document": previous})


def wait(seconds: float, until: float) -> None:
    """Wait `seconds`, but not beyond `until` (seconds of `time.monotonic`)."""
    time.sleep(max(0.0, min(seconds, until - time.monotonic())))


def _is_written_by_others(aws: Aws, change: Change) -> bool:
    """Return whether the role has a third document. IAM may return either of the two documents of the change."""
    with suppress(RequestError):
        return inline_policy.read(aws, change.role_name, change.policy_name) not in (change.document, change.previous)
    return False
