"""Decide from policies alone whether they allow a call, where that is plain.

The evaluation follows IAM's logic for one account: an explicit deny, else an allow that the permissions boundary allows
too. A condition is evaluated if its operator is in `_OPERATORS` and the values of its context keys are known.
Everything else leaves the call open, for IAM's policy simulator.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy.iam.document import Condition, Element, Policy, PolicyName, Statement
from rotation_role_policy.iam.wildcard import matches

Context = Mapping[str, str | bool]
"""The values of context keys."""


class Calls(NamedTuple):
    """Each action on each resource, with a context."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: Context
    absent_keys: frozenset[str] = frozenset()
    """Context keys that the real call also lacks, in lower case. A decision without them is certain."""


class Outcome(Enum):
    """What the policies say about a call."""

    ALLOWED = auto()
    NOT_ALLOWED = auto()
    """No statement allows it."""
    BLOCKED = auto()
    """A statement denies it, or the boundary does not allow it."""
    OPEN = auto()


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
    context: Mapping[str, str]
    """By context key in lower case."""
    absent_keys: frozenset[str]
    """In lower case."""
    is_about_caller: Callable[[Statement], bool | None]


def evaluate(
    policies: Sequence[Policy],
    boundary: Policy | None,
    calls: Calls,
    is_about_caller: Callable[[Statement], bool | None] = lambda _: True,
) -> Iterator[Decision]:
    """Yield a decision for each action on each resource.

    Args:
        policies: the policies of the role, or a resource-based policy.
        boundary: the permissions boundary of the role.
        calls: the calls, and what is known about their context.
        is_about_caller: whether the principals of a statement include the caller; None if that is not known.
    """
    for call in _each(calls, is_about_caller):
        yield Decision(call.action, call.resource, *_outcome(policies, boundary, call))


def applies(
    statement: Statement, calls: Calls, is_about_caller: Callable[[Statement], bool | None] = lambda _: True
) -> bool | None:
    """Return whether a statement applies to each of some calls; None if that is not known. Arguments as above."""
    return _all(_statement_applies(statement, call) for call in _each(calls, is_about_caller))


def _each(calls: Calls, is_about_caller: Callable[[Statement], bool | None]) -> Iterator[_Call]:
    context = {
        key.lower(): str(value).lower() if isinstance(value, bool) else value for key, value in calls.context.items()
    }
    for resource in calls.resources:
        for action in calls.actions:
            yield _Call(action, resource, context, calls.absent_keys, is_about_caller)


def _outcome(policies: Sequence[Policy], boundary: Policy | None, call: _Call) -> tuple[Outcome, Blocker | None]:
    allowed: bool | None = False
    is_open = False
    for policy in policies:
        denied = _applies(policy, "Deny", call)
        if denied:
            return Outcome.BLOCKED, Blocker(BlockedBy.DENY, policy.name)
        is_open = is_open or denied is None
        allowed = _any((allowed, _applies(policy, "Allow", call)))
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
    return _any(_statement_applies(each, call) for each in policy.statements if each.effect == effect)


def _statement_applies(statement: Statement, call: _Call) -> bool | None:
    action_is_included = _includes(statement.actions, call.action, ignore_case=True)
    if action_is_included is False:
        return False
    resource_is_included = _includes(statement.resources, call.resource, ignore_case=False)
    if resource_is_included is False:
        return False
    conditions = (_condition_holds(condition, call) for condition in statement.conditions)
    return _all((action_is_included, resource_is_included, call.is_about_caller(statement), _all(conditions)))


def _includes(element: Element, value: str, *, ignore_case: bool) -> bool | None:
    """Return whether an element of a statement includes a value; None if a variable decides it."""
    found = _any(
        # `matches` takes a policy variable for a wildcard.
        None if "${" in pattern else True
        for pattern in element.patterns
        if matches(pattern, value, ignore_case=ignore_case)
    )
    return _not(found) if element.is_negated else found


# --- conditions -------------------------------------------------------------------------------------------------------


def _arn_matches(pattern: str, value: str) -> bool | None:
    """Return whether a pattern matches an ARN; None if it does only by a wildcard that spans colons.

    IAM checks each of the six components of an ARN separately.
    """
    if not matches(pattern, value):
        return False
    patterns, values = pattern.split(":", 5), value.split(":", 5)
    return True if len(patterns) == len(values) and all(map(matches, patterns, values)) else None


_OPERATORS: dict[str, Callable[[str, str], bool | None]] = {
    "stringequals": lambda pattern, value: pattern == value,
    "stringequalsignorecase": lambda pattern, value: pattern.lower() == value.lower(),
    "stringlike": matches,
    "arnequals": _arn_matches,
    "arnlike": _arn_matches,
    "bool": lambda pattern, value: pattern.lower() == value.lower(),
}
"""In lower case. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html"""
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
}


def _condition_holds(condition: Condition, call: _Call) -> bool | None:
    operator, key, patterns = condition.operator.lower(), condition.key.lower(), condition.values
    if not patterns:
        # IAM does not say what a condition without a value means.
        return None
    is_known, is_absent = key in call.context, key in call.absent_keys
    if operator == "null":
        return (patterns[0].lower() == "true") != is_known if is_known or is_absent else None
    name = operator.removesuffix("ifexists")
    is_negated = name in _NEGATED
    compare = _OPERATORS.get(_NEGATED.get(name, name))
    if compare is None:
        return None
    if is_absent:
        return is_negated or name != operator
    if not is_known or any("${" in pattern for pattern in patterns):
        return None
    found = _any(compare(pattern, call.context[key]) for pattern in patterns)
    return _not(found) if is_negated else found


# --- logic with an unknown value, as in SQL ---------------------------------------------------------------------------


def _all(values: Iterable[bool | None]) -> bool | None:
    result: bool | None = True
    for value in values:
        if value is False:
            return False
        result = result if value else None
    return result


def _any(values: Iterable[bool | None]) -> bool | None:
    result: bool | None = False
    for value in values:
        if value:
            return True
        result = result if value is False else None
    return result


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value
