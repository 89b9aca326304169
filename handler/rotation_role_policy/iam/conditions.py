"""Whether the conditions of a statement hold, where that is certain.

A condition is evaluated if its operator is in `_OPERATORS` and it is known whether the call has its context key, and
with which value. Operators for numbers, dates and addresses are not evaluated.
Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from rotation_role_policy.iam.document import Condition
from rotation_role_policy.iam.tristate import any_of, opposite
from rotation_role_policy.iam.wildcard import matches

Context = Mapping[str, str | bool]
"""The values of context keys."""

_OPERATOR = re.compile(r"(?P<set>forallvalues:|foranyvalue:)?(?P<name>[a-z]+?)(?P<if_exists>ifexists)?")
"""In lower case."""
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_ROLE_VARIABLE = re.compile(
    r"\$\{\s*(aws:Principal[^,}]*|aws:userid|aws:username|lambda:SourceFunctionArn)(,\s*'(?P<default>[^']*)')?\s*\}",
    re.IGNORECASE,
)
"""A policy variable that has one value for a role or its function."""
OF_ROLE = "\N{WHITE DIAMOND}"
"""A character that no policy contains: the unknown value of such a variable."""


class KnownContext(NamedTuple):
    """What is known about the context keys of a call."""

    values: Mapping[str, str]
    """By context key in lower case."""
    absent_keys: frozenset[str] = frozenset()
    """Context keys that the call certainly lacks, in lower case."""

    @classmethod
    def of(cls, context: Context, absent_keys: frozenset[str] = frozenset()) -> KnownContext:
        """Return what `context` and the absent keys (in lower case) say."""
        values = {
            key.lower(): str(value).lower() if isinstance(value, bool) else value for key, value in context.items()
        }
        return cls(values, absent_keys)


def holds(condition: Condition, context: KnownContext) -> bool | None:
    """Return whether a condition holds; None if that is not known."""
    key, patterns = condition.key.lower(), condition.values
    value, is_absent = context.values.get(key), key in context.absent_keys
    if not patterns:
        # IAM does not say what a condition without a value means.
        return None
    if condition.operator.lower() == "null":
        if {"true", "false"} <= {pattern.lower() for pattern in patterns}:
            return True
        return any_of(_is_null(pattern.lower(), value, is_absent) for pattern in patterns)
    operator = _OPERATOR.fullmatch(condition.operator.lower())
    name = operator["name"] if operator else ""
    is_negated = name in _NEGATED
    compare = _NEGATED.get(name) or _OPERATORS.get(name)
    if operator is None or compare is None:
        return None
    if is_absent:
        return _holds_without_key(operator, is_negated=is_negated)
    if value is None or any("${" in pattern for pattern in patterns):
        return None
    # All context keys that are known have one value, which the set operators compare as the others do.
    found = any_of(compare(pattern, value) for pattern in patterns)
    return opposite(found) if is_negated else found


def excludes(condition: Condition, probe: str) -> bool:
    """Return whether a condition certainly excludes a value of its context key, and calls without the key.

    A policy variable is taken for a value that the probe does not contain.
    """
    fixed = condition._replace(values=tuple(_VARIABLE.sub("variable", value) for value in condition.values))
    key = condition.key.lower()
    with_probe, without = KnownContext({key: probe}), KnownContext({}, frozenset({key}))
    return holds(fixed, with_probe) is False and holds(fixed, without) is False


def with_role_variables(condition: Condition) -> Condition:
    """Return a condition with `OF_ROLE`, or their default, for the variables that have one value for a role.

    What stays a variable depends on the call or on its resource, such as ``${secretsmanager:SecretId}``. Whoever calls
    can choose it, so a condition with it holds or not: `holds` returns None.
    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    """

    def text(variable: re.Match[str]) -> str:
        return OF_ROLE if variable["default"] is None else variable["default"]

    return condition._replace(values=tuple(_ROLE_VARIABLE.sub(text, value) for value in condition.values))


def context_keys(conditions: Iterable[Condition]) -> set[str]:
    """Return the context keys of conditions, in lower case. IAM ignores the case of their names."""
    return {condition.key.lower() for condition in conditions}


def _is_null(pattern: str, value: str | None, is_absent: bool) -> bool | None:
    """Return whether a value of the operator ``Null`` holds: ``true`` if the context key is absent, else ``false``."""
    if pattern not in ("true", "false") or (value is None and not is_absent):
        return None
    return (pattern == "true") == is_absent


def _holds_without_key(operator: re.Match[str], *, is_negated: bool) -> bool:
    if operator["if_exists"] or operator["set"] == "forallvalues:":
        return True
    return is_negated and operator["set"] != "foranyvalue:"


def _compare_arns(pattern: str, value: str) -> bool | None:
    """Return whether a pattern matches an ARN; None if AWS does not say.

    IAM checks each of the six components of an ARN separately. What a wildcard that spans colons does, and what IAM
    makes of a text that is no ARN, is not documented.
    """
    patterns, values = pattern.split(":", 5), value.split(":", 5)
    if not len(patterns) == len(values) == 6 or not patterns[0] == values[0] == "arn":
        return None
    if all(map(matches, patterns, values)):
        return True
    return None if matches(pattern, value) else False


_OPERATORS: dict[str, Callable[[str, str], bool | None]] = {
    "stringequals": lambda pattern, value: pattern == value,
    "stringequalsignorecase": lambda pattern, value: pattern.lower() == value.lower(),
    "stringlike": matches,
    # Without a match in any reading, the condition does not hold, whether or not both are ARNs.
    "arnequals": lambda pattern, value: matches(pattern, value) and _compare_arns(pattern, value),
    "arnlike": lambda pattern, value: matches(pattern, value) and _compare_arns(pattern, value),
    "bool": lambda pattern, value: pattern.lower() == value.lower(),
}
"""In lower case."""
_NEGATED: dict[str, Callable[[str, str], bool | None]] = {
    "stringnotequals": _OPERATORS["stringequals"],
    "stringnotequalsignorecase": _OPERATORS["stringequalsignorecase"],
    "stringnotlike": _OPERATORS["stringlike"],
    "arnnotequals": _compare_arns,
    "arnnotlike": _compare_arns,
}
"""Each holds if none of the values of the condition matches."""
