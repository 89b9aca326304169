"""Which tags a secret can have that no function of a role needs. The role itself may give it some.

The values that a condition demands count only if the role may give them to the secret, or if no secret that the role
needs has one of them. Otherwise, the condition is a limit.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_tags.html
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from rotation_role_policy.iam.conditions import Context
from rotation_role_policy.iam.document import Statement
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.iam.wildcard import UNNAMED, filled
from rotation_role_policy.rules.breadth import TAG_KEYS
from rotation_role_policy.rules.reach import conditions_on, is_reached, prepared, used_keys
from rotation_role_policy.rules.secret_calls import (
    REQUEST_TAG,
    REQUEST_TAG_KEYS,
    TAG_PREFIXES,
    Role,
    Values,
    contexts,
    lacked,
)

_ACTION = "secretsmanager:TagResource"


def tagging_statements(statements: Collection[Statement]) -> tuple[Statement, ...]:
    """Return the statements that allow to tag secrets, without the conditions that other tags of a call can satisfy.

    ``ForAnyValue`` asks for one of the tags that a call gives. The call can give another one besides.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
    """
    return tuple(
        replace(statement, conditions=tuple(each for each in statement.conditions if not _asks_for_any(*each[:2])))
        for statement in prepared(statements)
        if statement.allows and statement.includes_action(_ACTION)
    )


def tags_of_others(secret_arn: str, statements: Collection[Statement], role: Role) -> dict[str, Values]:
    """Return the values that the tags of a secret can have, by tag in lower case.

    Args:
        secret_arn: full ARN of a secret that no function of the role needs.
        statements: that decide about calls on the secret.
        role: may give it tags.
    """
    before = {tag: (None, UNNAMED, *_not_of_needed(tag, statements, role)) for tag in _tags(statements)}
    given = dict(_given(secret_arn, before, statements, role)) if role.tagging else {}
    return {tag: tuple(dict.fromkeys((*values, *given.get(tag, ())))) for tag, values in before.items()}


def _asks_for_any(operator: str, key: str) -> bool:
    return operator.lower().startswith("foranyvalue:") and key.lower() == REQUEST_TAG_KEYS


def _tags(statements: Collection[Statement]) -> list[str]:
    """Return the tags that conditions are on, in lower case: IAM ignores the case of context keys."""
    return sorted({match["tag"] for key in used_keys(statements) if (match := TAG_KEYS.fullmatch(key))})


def _not_of_needed(tag: str, statements: Collection[Statement], role: Role) -> Iterator[str]:
    """Yield the values that conditions demand and that no secret which the role needs has."""
    for prefix in TAG_PREFIXES:
        for condition, statement in conditions_on(statements, prefix + tag):
            if not role.needed.can_satisfy(condition, is_wanted=statement.allows):
                yield from map(filled, condition.values)


def _given(
    secret_arn: str, before: Mapping[str, Values], statements: Collection[Statement], role: Role
) -> Iterator[tuple[str, Values]]:
    """Yield the values of each tag that the role may give a secret which does not have them yet.

    Nobody may give a tag that begins with ``aws:``. The other tags of the secret can have any value: the role may reach
    it by another tag, and give it this one.
    """
    deciding = (*role.limits.statements, *role.tagging)
    every = (*statements, *role.tagging)
    of_others = {tag: (None, UNNAMED, *_mentioned(tag, every)) for tag in _tags(deciding)}
    for tag in (each for each in before if not each.startswith("aws:")):
        tags = of_others | ({tag: before[tag]} if tag in of_others else {})
        possible = list(contexts(secret_arn, tags, deciding, role))
        values = (
            value
            for value in dict.fromkeys(_mentioned(tag, every))
            if any(
                is_reached(statement, role.limits, _call(secret_arn, {**context, **request}, deciding))
                for request in _requests(tag, value, deciding)
                for context in possible
                for statement in role.tagging
            )
        )
        yield tag, tuple(values)


def _call(secret_arn: str, context: Context, statements: Collection[Statement]) -> Calls:
    """Return the call with a tag. Whether it has other tags besides is not known."""
    return Calls((_ACTION,), (secret_arn,), context, lacked(_ACTION, used_keys(statements), context))


def _mentioned(tag: str, statements: Collection[Statement]) -> Iterator[str]:
    """Yield the values of a tag in conditions on the secret, or on the tags that a call gives."""
    for prefix in (*TAG_PREFIXES, REQUEST_TAG):
        for condition, _ in conditions_on(statements, prefix + tag):
            yield from map(filled, condition.values)


def _requests(tag: str, value: str, statements: Collection[Statement]) -> Iterator[dict[str, str]]:
    """Yield what calls that give a tag say about it: its name in each spelling, and its value."""
    conditions = conditions_on(statements, REQUEST_TAG_KEYS)
    names = {name for condition, _ in conditions for name in condition.values if name.lower() == tag}
    for name in {tag, *names}:
        yield {REQUEST_TAG_KEYS: name, REQUEST_TAG + tag: value}
