"""Which other policies on a role grant more than the least-privilege policy, so that it limits nothing.

The check covers the grants of the document that name a resource. Such a grant is pointless if another policy allows the
same action on more resources, together with more actions, or under another condition. The check does not cover what
Deny statements, permissions boundaries and SCPs take away again, nor grants of actions that the document does not have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rotation_role_policy import arn
from rotation_role_policy.iam.wildcard import as_list, matches
from rotation_role_policy.rules.policy import Document, Statement


@dataclass(frozen=True)
class OverlyPermissiveGrant:
    """A statement of another policy on the role that grants more than the document does."""

    policy: str
    """The policy in words, such as ``inline policy "x"``."""
    actions: tuple[str, ...]
    """The statement's patterns that match actions of the document."""
    resource: str
    """The statement's pattern that matches a resource of the document."""
    is_conditional: bool
    """Whether the statement has a Condition, which may limit the grant."""


def find_overly_permissive(document: Document, others: Mapping[str, Document]) -> list[OverlyPermissiveGrant]:
    """Find the grants in `others` that include grants of `document` and more.

    `others` are the role's other policies, keyed by their names in words.
    """
    return [
        OverlyPermissiveGrant(policy, tuple(actions), resource, bool(statement.get("Condition")))
        for policy, other in others.items()
        for statement in as_list(other.get("Statement", []))
        if statement.get("Effect") == "Allow"
        for resource, actions in _excess(document, statement).items()
    ]


def _excess(document: Document, other: Statement) -> dict[str, list[str]]:
    """Return the action patterns by which `other` allows more than the document, keyed by its resource patterns."""
    excess: dict[str, dict[str, None]] = {}
    for action, resource, own_condition in _narrow_grants(document):
        if _allows(other, "Action", action, ignore_case=True) and _allows(other, "Resource", resource):
            resources, actions = _broadest(other, "Resource", resource), _broadest(other, "Action", action)
            more_resources = "NotResource" in other or (resources != resource and not _is_one_secret(resources))
            more_actions = actions.lower() != action.lower()
            other_condition = bool(own_condition) and other.get("Condition") != own_condition
            if more_resources or more_actions or other_condition:
                excess.setdefault(resources, {})[actions] = None
    return {pattern: list(actions) for pattern, actions in excess.items()}


def _narrow_grants(document: Document) -> Iterator[tuple[str, str, Any]]:
    """Yield each action with each ARN that the document allows it on, and the condition."""
    for statement in document["Statement"]:
        if statement["Effect"] == "Allow":
            for action in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    if resource != "*":
                        yield action, resource, statement.get("Condition")


def _allows(statement: Statement, element: str, value: str, *, ignore_case: bool = False) -> bool:
    """Return whether the statement's `element`, or its Not form, includes the value."""
    if f"Not{element}" in statement:
        return not _matching(statement[f"Not{element}"], value, ignore_case)
    return bool(_matching(statement.get(element, []), value, ignore_case))


def _broadest(statement: Statement, element: str, value: str) -> str:
    """Return the broadest pattern of the statement's `element` that matches the value."""
    if f"Not{element}" in statement:
        return f"all but {', '.join(as_list(statement[f'Not{element}']))}"

    def breadth(pattern: str) -> tuple[bool, bool, int]:
        # A pattern that matches more than the value comes first, then the pattern with the fewest characters.
        return pattern.lower() != value.lower(), not _is_one_secret(pattern), -len(pattern)

    return max(_matching(statement[element], value, ignore_case=element == "Action"), key=breadth)


def _matching(patterns: Any, value: str, ignore_case: bool) -> list[str]:
    return [pattern for pattern in as_list(patterns) if matches(pattern, value, ignore_case=ignore_case)]


def _is_one_secret(pattern: str) -> bool:
    """Return whether the pattern matches one secret: a whole ARN but for its random characters."""
    without_suffix = arn.ANY_RANDOM_SUFFIX.sub("", pattern)
    return without_suffix != pattern and not set("*?$") & set(without_suffix)
