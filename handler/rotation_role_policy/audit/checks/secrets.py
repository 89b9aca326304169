"""Findings about a secret: its keys, its schedule, its replicas, and its function's permission to be invoked."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from rotation_role_policy import arn
from rotation_role_policy.audit import schedule
from rotation_role_policy.audit.facts import (
    FailedCall,
    FunctionFacts,
    Known,
    SecretFacts,
    Stopped,
    Unknown,
    UnusableKey,
)
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Subject
from rotation_role_policy.audit.invocation import may_invoke, sids
from rotation_role_policy.audit.messages import secrets as messages
from rotation_role_policy.audit.uninspected import uninspected
from rotation_role_policy.rules.state import KeyProblem

_UNFINISHED_AFTER = timedelta(days=1)
"""A rotation, or the test of a schedule, has the version AWSPENDING for a while."""


def check(function: FunctionFacts, secret: SecretFacts, now: datetime) -> Iterator[Finding]:
    """Yield the findings about a secret of a function, at the time `now`."""
    subject = Subject(secret.arn, function.function_id)
    if not secret.listed.is_enabled:
        words = messages.rotation_disabled(secret.listed)
        yield Finding(FindingType.ROTATION_DISABLED, subject, secret.arn, words)
        yield from _of_unknown(secret, subject)
        return
    yield from _of_keys(secret, subject)
    yield from _of_schedule(secret, subject, now)
    yield from _of_replicas(secret, subject)
    # A function that does not exist has a finding of its own.
    if (
        isinstance(function.invoke_policy, Known)
        and isinstance(function.details, Known)
        and not may_invoke(function.invoke_policy.value, function.function_id, secret.arn)
    ):
        words = messages.invoke_not_allowed(secret.listed, sids(function.invoke_policy.value))
        yield Finding(FindingType.INVOKE_NOT_ALLOWED, subject, function.function_id, words)


def _of_unknown(secret: SecretFacts, subject: Subject) -> Iterator[Finding]:
    match secret.state:
        case Unknown(problem) if not isinstance(problem, Stopped | UnusableKey):
            yield uninspected(subject, secret.arn, problem)


def _of_keys(secret: SecretFacts, subject: Subject) -> Iterator[Finding]:
    yield from _of_unknown(secret, subject)
    if isinstance(secret.state, Unknown):
        if isinstance(key := secret.state.problem, UnusableKey):
            yield Finding(FindingType.KEY_UNUSABLE, subject, secret.arn, messages.key_unusable(key))
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
    return uninspected(subject, key.key_id, denied)


def _of_schedule(secret: SecretFacts, subject: Subject, now: datetime) -> Iterator[Finding]:
    listed = secret.listed
    pending_since = secret.state.value.pending_since if isinstance(secret.state, Known) else None
    due = schedule.due(listed)
    if due and schedule.is_overdue(listed, now):
        words = messages.rotation_overdue(listed, due, pending_since)
        yield Finding(FindingType.ROTATION_OVERDUE, subject, secret.arn, words)
        return
    if pending_since and now - pending_since > _UNFINISHED_AFTER:
        words = messages.rotation_unfinished(listed, pending_since)
        yield Finding(FindingType.ROTATION_UNFINISHED, subject, secret.arn, words)
    if schedule.is_late(listed, now):
        yield Finding(FindingType.ROTATION_LATE, subject, secret.arn, messages.rotation_late(listed))


def _of_replicas(secret: SecretFacts, subject: Subject) -> Iterator[Finding]:
    match secret.failed_replicas:
        case Known(replicas) if replicas:
            words = messages.replication_failed(secret.arn, replicas)
            yield Finding(FindingType.REPLICATION_FAILED, subject, secret.arn, words)
        case Unknown(problem) if not isinstance(problem, Stopped):
            yield uninspected(subject, secret.arn, problem, f"The replication of {secret.arn}")
