"""Which policies on a role grant more than the narrow one does, so that it narrows nothing.

Judged are the grants of the document that name a resource: is the same action allowed elsewhere on a pattern that holds
this resource and others, or without the document's condition? Not judged: what denies, boundaries and SCPs could take
away again.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rotation_role_policy.grammar import as_list, matches
from rotation_role_policy.policy import Document, Statement

_ANY_RANDOM_SUFFIX = re.compile(r"-\?{6}$")
"""The six characters that Secrets Manager puts at the end of a secret's ARN: such a pattern means one secret."""


@dataclass(frozen=True)
class Broader:
    """A statement elsewhere on the role that makes a part of the document moot."""

    policy: str
    """Where it stands, in words, such as ``inline policy "x"``."""
    actions: tuple[str, ...]
    """Those of the document's actions that it allows."""
    resource: str
    """Its pattern."""
    is_conditional: bool
    """Whether it has a Condition, which may narrow it again."""


def broader(document: Document, others: Mapping[str, Document]) -> list[Broader]:
    """What makes grants of `document` moot, in `others`: the role's other policies by their names in words."""
    found = []
    for name, other in others.items():
        for statement in as_list(other.get("Statement", [])):
            if statement.get("Effect") == "Allow":
                for pattern, actions in _covered(document, statement).items():
                    found.append(Broader(name, tuple(actions), pattern, bool(statement.get("Condition"))))
    return found


def _covered(document: Document, other: Statement) -> dict[str, list[str]]:
    """The document's actions that `other` allows more broadly, by the pattern of `other` that does it."""
    covered: dict[str, list[str]] = {}
    for action, resource, own_condition in _narrow_grants(document):
        if _allows(other, "Action", action, ignore_case=True) and _allows(other, "Resource", resource):
            pattern = _widest(other, resource)
            wider = pattern != resource and not _is_one_secret(pattern)
            unconditional = bool(own_condition) and not other.get("Condition")
            if (wider or unconditional) and action not in covered.setdefault(pattern, []):
                covered[pattern].append(action)
    return {pattern: actions for pattern, actions in covered.items() if actions}


def _narrow_grants(document: Document) -> Iterator[tuple[str, str, Any]]:
    """Each action with each resource that the document allows by its ARN, and the condition."""
    for statement in document["Statement"]:
        if statement["Effect"] == "Allow":
            for action in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    if resource != "*":
                        yield action, resource, statement.get("Condition")


def _allows(statement: Statement, element: str, value: str, *, ignore_case: bool = False) -> bool:
    """Whether the statement's `element`, or its Not form, admits the value."""
    if f"Not{element}" in statement:
        return not _matching(statement[f"Not{element}"], value, ignore_case)
    return bool(_matching(statement.get(element, []), value, ignore_case))


def _widest(statement: Statement, resource: str) -> str:
    """The pattern that holds the resource; of several, the one with wildcards."""
    if "NotResource" in statement:
        return f"all but {', '.join(as_list(statement['NotResource']))}"
    patterns = _matching(statement["Resource"], resource, ignore_case=False)
    return min(patterns, key=lambda pattern: (pattern == resource, _is_one_secret(pattern), len(pattern)))


def _matching(patterns: Any, value: str, ignore_case: bool) -> list[str]:
    return [pattern for pattern in as_list(patterns) if matches(pattern, value, ignore_case=ignore_case)]


def _is_one_secret(pattern: str) -> bool:
    bare = _ANY_RANDOM_SUFFIX.sub("", pattern)
    return bare != pattern and not set("*?$") & set(bare)
