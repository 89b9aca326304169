"""Whether a statement grants nothing beyond other statements."""

from collections.abc import Iterable

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Condition, Statement
from rotation_role_policy.iam.wildcard import has_wildcard


def is_redundant(statement: Statement, others: Iterable[Statement]) -> bool:
    """Return whether each action on each resource of a statement is granted by one of the others, in all cases.

    A wildcard can grant more than all others together, so it is not redundant. A pattern for one secret, whatever its
    random characters are, counts as the secret.
    """
    if not statement.allows or statement.actions.is_negated or statement.resources.is_negated:
        return False
    granting = [each for each in others if each.allows and _conditions(each) <= _conditions(statement)]
    granted = {
        (action.lower(), resource)
        for each in granting
        for action in each.actions.patterns
        for written in each.resources.patterns
        for resource in _forms(written)
    }
    wanted = {
        (action.lower(), resource) for action in statement.actions.patterns for resource in statement.resources.patterns
    }
    return bool(wanted) and not any(has_wildcard(action) for action, _ in wanted) and wanted <= granted


def _forms(resource: str) -> set[str]:
    """Return a resource and, for a secret, the pattern for it."""
    is_secret = arn.service(resource) == "secretsmanager" and not has_wildcard(resource)
    return {resource, f"{resource[:-6]}??????"} if is_secret else {resource}


def _conditions(statement: Statement) -> set[tuple[str, str, frozenset[str]]]:
    return {_normalized(condition) for condition in statement.conditions}


def _normalized(condition: Condition) -> tuple[str, str, frozenset[str]]:
    return condition.operator.lower(), condition.key.lower(), frozenset(condition.values)
