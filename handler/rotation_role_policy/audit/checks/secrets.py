"""Findings about a secret: its keys, its schedule, and its function's permission to be invoked."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import (
    FailedCall,
    FunctionFacts,
    Known,
    SecretFacts,
    Stopped,
    Unknown,
    UnusableKey,
)
from rotation_role_policy.audit.findings import Finding, FindingType, Subject
from rotation_role_policy.audit.invocation import may_invoke
from rotation_role_policy.audit.messages import secrets as messages
from rotation_role_policy.audit.messages.failures import not_inspected
from rotation_role_policy.rules.state import KeyProblem

_GRACE = timedelta(days=1)
"""A rotation can happen at any time of the day on which it is due."""


def check(function: FunctionFacts, secret: SecretFacts, now: datetime) -> Iterator[Finding]:
    """Yield the findings about a secret of a function, at the time `now`."""
    subject = Subject(secret.arn, function.function_id)
    yield from _of_keys(secret, subject)
    yield from _of_schedule(secret, subject, now)
    # A function that does not exist has a finding of its own.
    if (
        isinstance(function.invoke_policy, Known)
        and isinstance(function.details, Known)
        and not may_invoke(function.invoke_policy.value, function.function_id, secret.arn)
    ):
        words = messages.invoke_not_allowed(secret.listed)
        yield Finding(FindingType.INVOKE_NOT_ALLOWED, subject, function.function_id, words)


def _of_keys(secret: SecretFacts, subject: Subject) -> Iterator[Finding]:
    match secret.state:
        case Unknown(Stopped()):
            return
        case Unknown(UnusableKey() as key):
            yield Finding(FindingType.KEY_UNUSABLE, subject, secret.arn, messages.key_unusable(key))
            return
        case Unknown(problem):
            words = not_inspected(secret.arn, problem)
            yield Finding(FindingType.NOT_INSPECTED, subject, secret.arn, words)
            return
    state = secret.state.value
    for not_described in state.keys_not_described:
        key_arn = not_described.key_id
        if arn.parse(key_arn).account == arn.parse(secret.arn).account:
            yield _not_described(subject, not_described)
        else:
            # The policy of a key of another account need not allow anybody here to describe it.
            words = messages.key_of_other_account(secret.arn, key_arn)
            yield Finding(FindingType.ACCESS_UNDECIDED, subject, key_arn, words)
    if previous := state.unreadable_previous:
        if previous.denied:
            yield _not_described(subject, previous)
        else:
            words = messages.previous_version_unreadable(secret.arn, previous)
            yield Finding(FindingType.PREVIOUS_VERSION_UNREADABLE, subject, secret.arn, words)


def _not_described(subject: Subject, key: KeyProblem) -> Finding:
    denied = FailedCall("kms:DescribeKey", "AccessDeniedException", key.denied, is_denied=True)
    return Finding(FindingType.NOT_INSPECTED, subject, key.key_id, not_inspected(key.key_id, denied))


def _of_schedule(secret: SecretFacts, subject: Subject, now: datetime) -> Iterator[Finding]:
    listed = secret.listed
    if not listed.is_enabled:
        return
    due = listed.next_rotation
    # NextRotationDate is the end of the rotation window.
    # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
    if due is None and listed.days:
        last = listed.last_rotated or listed.created
        due = last and last + timedelta(days=listed.days) + _GRACE
    if due and due < now:
        yield Finding(FindingType.ROTATION_OVERDUE, subject, secret.arn, messages.rotation_overdue(listed, due))
