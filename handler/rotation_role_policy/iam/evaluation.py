"""Decide from policies alone whether they allow a call, where that is plain.

The evaluation follows IAM's logic for one account: an explicit deny, else an allow that the permissions boundary allows
too. What the conditions of `conditions` do not decide leaves the call open, for IAM's policy simulator.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy.iam.conditions import Context, KnownContext, holds
from rotation_role_policy.iam.document import Element, Policy, PolicyName, Statement
from rotation_role_policy.iam.resource_patterns import completed, includes
from rotation_role_policy.iam.tristate import all_of, any_of, opposite
from rotation_role_policy.iam.wildcard import matches


class Calls(NamedTuple):
    """Each action on each resource, with a context."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: Context
    absent_keys: frozenset[str] = frozenset()
    """Context keys that the real call also lacks, in lower case. A decision without them is certain."""
    checked: Mapping[str, tuple[str, ...]] = {}
    """By action: the resources that IAM checks for a call on ``*``. The call needs all of them."""


class Outcome(Enum):
    """What the policies say about a call, best first."""

    ALLOWED = auto()
    OPEN = auto()
    NOT_ALLOWED = auto()
    """No statement allows it."""
    BLOCKED = auto()
    """A statement denies it, or the boundary does not allow it."""


class BlockedBy(Enum):
    """How a policy blocks a call."""

    DENY = auto()
    """A statement denies it."""
    BOUNDARY = auto()
    """The permissions boundary does not allow it."""
    KEY_POLICY = auto()
    """The policy of the key neither allows it nor delegates to the policies of the role."""


class Blocker(NamedTuple):
    """What certainly blocks a call."""

    by: BlockedBy
    policy: PolicyName | None = None
    """None if the policy is not known."""


class Decision(NamedTuple):
    """The outcome of one call."""

    action: str
    resource: str
    outcome: Outcome
    blocker: Blocker | None = None


class _Call(NamedTuple):
    action: str
    resource: str
    context: KnownContext
    is_about_caller: Callable[[Statement], bool | None]


def evaluate(
    policies: Sequence[Policy],
    boundary: Policy | None,
    calls: Calls,
    is_about_caller: Callable[[Statement], bool | None] = lambda _: True,
) -> Iterator[Decision]:
    """Yield a decision for each action on each resource.

    If IAM checks several resources for a call on ``*`` and decides differently about them, the decision is about the
    resource for which it is worst.

    Args:
        policies: the policies of the role, or a resource-based policy.
        boundary: the permissions boundary of the role.
        calls: the calls, and what is known about their context.
        is_about_caller: whether the principals of a statement include the caller; None if that is not known.
    """
    for call in _each(calls, is_about_caller):
        checked = calls.checked.get(call.action, ()) if call.resource == "*" else ()
        decisions = [
            Decision(call.action, resource, *_outcome(policies, boundary, call._replace(resource=resource)))
            for resource in checked or [call.resource]
        ]
        worst = max(decisions, key=lambda decision: decision.outcome.value)
        is_alike = all(decision.outcome is worst.outcome for decision in decisions)
        # A simulation of what is open needs a resource.
        yield worst._replace(resource=call.resource) if is_alike and worst.outcome is not Outcome.OPEN else worst


def applies(
    statement: Statement, calls: Calls, is_about_caller: Callable[[Statement], bool | None] = lambda _: True
) -> bool | None:
    """Return whether a statement applies to each of some calls; None if that is not known. Arguments as above."""
    return all_of(_statement_applies(statement, call) for call in _each(calls, is_about_caller))


def _each(calls: Calls, is_about_caller: Callable[[Statement], bool | None]) -> Iterator[_Call]:
    context = KnownContext.of(calls.context, calls.absent_keys)
    for resource in calls.resources:
        for action in calls.actions:
            yield _Call(action, resource, context, is_about_caller)


def _outcome(policies: Sequence[Policy], boundary: Policy | None, call: _Call) -> tuple[Outcome, Blocker | None]:
    allowed: bool | None = False
    is_open = False
    for policy in policies:
        denied = _applies(policy, "Deny", call)
        if denied:
            return Outcome.BLOCKED, Blocker(BlockedBy.DENY, policy.name)
        is_open = is_open or denied is None
        allowed = any_of((allowed, _applies(policy, "Allow", call)))
    if boundary is not None:
        denied, within_boundary = _applies(boundary, "Deny", call), _applies(boundary, "Allow", call)
        if denied:
            return Outcome.BLOCKED, Blocker(BlockedBy.DENY, boundary.name)
        if within_boundary is False:
            return Outcome.BLOCKED, Blocker(BlockedBy.BOUNDARY, boundary.name)
        is_open = is_open or None in (denied, within_boundary)
    if allowed is False:
        return Outcome.NOT_ALLOWED, None
    return (Outcome.OPEN if is_open or allowed is None else Outcome.ALLOWED), None


def _applies(policy: Policy, effect: str, call: _Call) -> bool | None:
    """Return whether a statement with this effect applies to the call; None if that is not known."""
    return any_of(_statement_applies(each, call) for each in policy.statements if each.effect == effect)


def _statement_applies(statement: Statement, call: _Call) -> bool | None:
    action_is_included = _includes(statement.actions, call.action, _action_matches)
    if action_is_included is False:
        return False
    # Only policies of an identity have no principals.
    is_of_identity = statement.principals is None
    resource_is_included = _includes(
        statement.resources, call.resource, includes if is_of_identity else _includes_as_written
    )
    if resource_is_included is False:
        return False
    conditions = (holds(condition, call.context) for condition in statement.conditions)
    return all_of((action_is_included, resource_is_included, call.is_about_caller(statement), all_of(conditions)))


def _includes(element: Element, value: str, matching: Callable[[str, str], bool | None]) -> bool | None:
    """Return whether an element of a statement includes a value; None if a variable decides it."""
    found = any_of(
        # The patterns take a policy variable for a wildcard.
        matched and (None if "${" in pattern else True)
        for pattern in element.patterns
        if (matched := matching(pattern, value)) is not False
    )
    return opposite(found) if element.is_negated else found


def _action_matches(pattern: str, action: str) -> bool:
    return matches(pattern, action, ignore_case=True)


def _includes_as_written(pattern: str, resource: str) -> bool | None:
    """Return whether a pattern in a resource-based policy matches. For them, AWS documents no completion of ARNs."""
    found = includes(pattern, resource)
    return None if found and completed(pattern) != pattern else found
