"""What a statement allows on secrets that no function of the role needs.

Such an outsider has a name that no policy names, or one that a condition names.
"""

from collections.abc import Collection, Iterator

from rotation_role_policy.iam.conditions import OF_ROLE
from rotation_role_policy.iam.document import Statement
from rotation_role_policy.rules.breadth import SECRET_ID_KEY, is_one, names_secret
from rotation_role_policy.rules.examples import examples_within
from rotation_role_policy.rules.reach import conditions_on, is_reached
from rotation_role_policy.rules.secret_calls import Role, call, contexts
from rotation_role_policy.rules.tagging import tags_of_others

_SERVICE = "secretsmanager"


def reached_on_others(statement: Statement, actions: Collection[str], role: Role) -> tuple[str, ...]:
    """Return the actions, of those given, that a statement allows on secrets which no function of the role needs.

    Args:
        statement: for many secrets.
        actions: on secrets.
        role: has the statement.
    """
    missing = dict.fromkeys(action for action in actions if statement.includes_action(action))
    found: list[str] = []
    for secret_arn in dict.fromkeys(_secrets(statement, role)):
        if not missing:
            break
        for action in reached_on_other(secret_arn, statement, tuple(missing), role):
            del missing[action]
            found.append(action)
    return tuple(found)


def reached_on_other(secret_arn: str, statement: Statement, actions: Collection[str], role: Role) -> tuple[str, ...]:
    """Return the actions that a statement allows on one such secret. Its resources include the secret or not."""
    statements = (statement, *role.limits.statements)
    possible = list(contexts(secret_arn, tags_of_others(secret_arn, statements, role), statements, role))
    return tuple(
        action
        for action in actions
        if any(is_reached(statement, role.limits, call(action, secret_arn, each, statements)) for each in possible)
    )


def _secrets(statement: Statement, role: Role) -> Iterator[str]:
    """Yield ARNs of secrets: one for each form that makes a difference."""
    rotated_arns, needed_arns = role.needed.rotated_arns, role.needed.secret_arns
    others = (each for each in _patterns(statement, role) if not (is_one(each) and names_secret(each, needed_arns)))
    found = examples_within(statement.resources, others, _SERVICE, rotated_arns)
    return (each for each in found if each not in needed_arns)


def _patterns(statement: Statement, role: Role) -> Iterator[str]:
    """Yield the patterns that decide for which secrets the statement is, besides its own."""
    # What a Deny excepts by name, or a boundary allows by name, is no wildcard.
    yield from (each for each in role.limits.named(_SERVICE) if not is_one(each))
    for each in role.tagging:
        if not each.resources.is_negated:
            yield from each.resources.patterns
    for condition, _ in conditions_on((statement, *role.limits.statements, *role.tagging), SECRET_ID_KEY):
        for value in condition.values:
            # What depends on the role alone is one secret.
            if value != OF_ROLE and not role.needed.is_own_secret(value):
                secret_arn = value if value.startswith("arn:") else f"arn:*:{_SERVICE}:*:*:secret:{value}"
                yield from (secret_arn, f"{secret_arn}-??????")
