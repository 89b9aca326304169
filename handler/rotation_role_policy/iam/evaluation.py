"""Decide from policy documents alone whether they allow a call, where that is plain.

The evaluation follows IAM's logic for one account: an explicit deny, else an allow that the permissions boundary allows
too. A condition is evaluated if its operator is in `_OPERATORS` and the values of its context keys are known.
Everything else leaves the call open, for IAM's policy simulator.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy.iam.wildcard import as_list, matches
from rotation_role_policy.rules.calls import Calls
from rotation_role_policy.rules.policy import Document, Statement


class Outcome(Enum):
    """What the documents say about a call."""

    ALLOWED = auto()
    NOT_ALLOWED = auto()
    """No statement allows it."""
    BLOCKED = auto()
    """A statement denies it, or the boundary does not allow it."""
    OPEN = auto()


class Decision(NamedTuple):
    """The outcome of one call."""

    action: str
    resource: str
    outcome: Outcome
    blocker: str = ""
    """What blocks the call, to complete a sentence."""


class _Context(NamedTuple):
    values: Mapping[str, str]
    """By context key in lower case."""
    absent_keys: frozenset[str]
    """In lower case."""


def evaluate(documents: Mapping[str, Document], boundary: Document | None, calls: Calls) -> Iterator[Decision]:
    """Yield a decision for each action on each resource.

    Args:
        documents: the policies of the role, keyed by their names in words, such as ``the inline policy "x"``.
        boundary: the permissions boundary of the role.
        calls: the calls, and what is known about their context.
    """
    values = {
        key.lower(): str(value).lower() if isinstance(value, bool) else value for key, value in calls.context.items()
    }
    context = _Context(values, calls.absent_keys)
    for resource in calls.resources:
        for action in calls.actions:
            yield Decision(action, resource, *_outcome(documents, boundary, action, resource, context))


def _outcome(
    documents: Mapping[str, Document], boundary: Document | None, action: str, resource: str, context: _Context
) -> tuple[Outcome, str]:
    allowed: bool | None = False
    is_open = False
    for name, document in documents.items():
        denied = _applies(document, "Deny", action, resource, context)
        if denied:
            return Outcome.BLOCKED, f"an explicit deny in {name}"
        is_open = is_open or denied is None
        allowed = _any((allowed, _applies(document, "Allow", action, resource, context)))
    if boundary is not None:
        if _applies(boundary, "Deny", action, resource, context):
            return Outcome.BLOCKED, "an explicit deny in the role's permissions boundary"
        if _applies(boundary, "Allow", action, resource, context) is False:
            return Outcome.BLOCKED, "the role's permissions boundary"
        is_open = is_open or None in (
            _applies(boundary, "Allow", action, resource, context),
            _applies(boundary, "Deny", action, resource, context),
        )
    if allowed is False:
        return Outcome.NOT_ALLOWED, ""
    return (Outcome.OPEN if is_open or allowed is None else Outcome.ALLOWED), ""


def _applies(document: Document, effect: str, action: str, resource: str, context: _Context) -> bool | None:
    """Return whether a statement with this effect applies to the call; None if that is not known."""
    return _any(
        _statement_applies(statement, action, resource, context)
        for statement in as_list(document.get("Statement", []))
        if statement.get("Effect") == effect
    )


def _statement_applies(statement: Statement, action: str, resource: str, context: _Context) -> bool | None:
    action_is_included = _includes(statement, "Action", action, ignore_case=True)
    if action_is_included is False:
        return False
    resource_is_included = _includes(statement, "Resource", resource, ignore_case=False)
    return _all((action_is_included, resource_is_included, _condition_holds(statement, context)))


def _includes(statement: Statement, element: str, value: str, *, ignore_case: bool) -> bool | None:
    """Return whether an element of a statement, or its Not form, includes a value; None if a variable decides it."""
    is_negated = f"Not{element}" in statement
    patterns = as_list(statement.get(f"Not{element}" if is_negated else element, []))
    found = _any(
        # `matches` takes a policy variable for a wildcard.
        None if "${" in pattern else True
        for pattern in patterns
        if matches(pattern, value, ignore_case=ignore_case)
    )
    return _not(found) if is_negated else found


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


def _condition_holds(statement: Statement, context: _Context) -> bool | None:
    return _all(
        _operator_holds(operator.lower(), key.lower(), [str(value) for value in as_list(values)], context)
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def _operator_holds(operator: str, key: str, patterns: list[str], context: _Context) -> bool | None:
    is_known = key in context.values
    if operator == "null":
        if not is_known and key not in context.absent_keys:
            return None
        return (patterns[0].lower() == "true") != is_known
    name = operator.removesuffix("ifexists")
    is_negated = name in _NEGATED
    compare = _OPERATORS.get(_NEGATED.get(name, name))
    if compare is None:
        return None
    if key in context.absent_keys:
        return is_negated or name != operator
    if not is_known or any("${" in pattern for pattern in patterns):
        return None
    found = _any(compare(pattern, context.values[key]) for pattern in patterns)
    return _not(found) if is_negated else found


# --- logic with an unknown value, as in SQL ---------------------------------------------------------------------------


def _all(values: "Iterator[bool | None] | tuple[bool | None, ...]") -> bool | None:
    result: bool | None = True
    for value in values:
        if value is False:
            return False
        result = result if value else None
    return result


def _any(values: "Iterator[bool | None] | tuple[bool | None, ...]") -> bool | None:
    result: bool | None = False
    for value in values:
        if value:
            return True
        result = result if value is False else None
    return result


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value
