"""Which policies on a role grant more than the narrow one does, so that it narrows nothing.

Judged are the grants of the document that name a resource: is the same action allowed elsewhere on a pattern that holds
this resource and others, together with other actions, or under another condition than the document's? Not judged: what
denies, boundaries and SCPs take away again, and grants that the document has nothing to do with.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rotation_role_policy.policy import Document, Statement
from rotation_role_policy.policy_grammar import as_list, matches

_ANY_RANDOM_SUFFIX = re.compile(r"-\?{6}$")
"""The six characters that Secrets Manager puts at the end of a secret's ARN: such a pattern means one secret."""


@dataclass(frozen=True)
class Broader:
    """A statement elsewhere on the role that makes a part of the document moot."""

    policy: str
    """Where it stands, in words, such as ``inline policy "x"``."""
    actions: tuple[str, ...]
    """Its patterns that hold actions of the document's."""
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
    """The actions by which `other` allows more than the document does, by its pattern of resources."""
    covered: dict[str, dict[str, None]] = {}
    for action, resource, own_condition in _narrow_grants(document):
        if _allows(other, "Action", action, ignore_case=True) and _allows(other, "Resource", resource):
            resources, actions = _widest(other, "Resource", resource), _widest(other, "Action", action)
            more_resources = "NotResource" in other or (resources != resource and not _is_one_secret(resources))
            more_actions = actions.lower() != action.lower()
            other_condition = bool(own_condition) and other.get("Condition") != own_condition
            if more_resources or more_actions or other_condition:
                covered.setdefault(resources, {})[actions] = None
    return {pattern: list(actions) for pattern, actions in covered.items()}


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


def _widest(statement: Statement, element: str, value: str) -> str:
    """The pattern of the statement's `element` that holds the value; of several, one that holds others too."""
    if f"Not{element}" in statement:
        return f"all but {', '.join(as_list(statement[f'Not{element}']))}"
    patterns = _matching(statement[element], value, ignore_case=element == "Action")
    return min(patterns, key=lambda pattern: (pattern.lower() == value.lower(), _is_one_secret(pattern), len(pattern)))


def _matching(patterns: Any, value: str, ignore_case: bool) -> list[str]:
    return [pattern for pattern in as_list(patterns) if matches(pattern, value, ignore_case=ignore_case)]


def _is_one_secret(pattern: str) -> bool:
    bare = _ANY_RANDOM_SUFFIX.sub("", pattern)
    return bare != pattern and not set("*?$") & set(bare)
