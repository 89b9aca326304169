"""The calls on a secret that no function of a role needs, by what can be true of the secret.

It is rotated by nobody or by any other function, and has some values of tags.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.conditions import Context
from rotation_role_policy.iam.document import Statement
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.iam.wildcard import UNNAMED, filled
from rotation_role_policy.rules.actions import SECRET_TAGGING
from rotation_role_policy.rules.breadth import ROTATION_FUNCTION_KEY, SECRET_ID_KEY
from rotation_role_policy.rules.examples import unnamed
from rotation_role_policy.rules.needed import Needed
from rotation_role_policy.rules.reach import Limits, conditions_on, used_keys

TAG_PREFIXES = ("aws:resourcetag/", "secretsmanager:resourcetag/")
"""Beginnings of context keys for the tags of a secret, in lower case."""
REQUEST_TAG, REQUEST_TAG_KEYS = "aws:requesttag/", "aws:tagkeys"
"""For the tags that a call gives, in lower case."""
_LACKED = (*TAG_PREFIXES, "secretsmanager:resource/", "secretsmanager:name", "kms:")
"""Beginnings of context keys, in lower case, that a call has only if its context says so."""
_MOST_CONTEXTS = 200
"""Of one secret. The number of combinations grows exponentially with the number of tags in the policies of a role."""

Values = tuple[str | None, ...]
"""What a context key can be. None: it is absent."""


class Role(NamedTuple):
    """What decides besides a statement itself whether the role reaches a secret by it."""

    needed: Needed
    limits: Limits
    tagging: tuple[Statement, ...]
    """What allows the role to tag secrets."""


def contexts(
    secret_arn: str, tags: Mapping[str, Values], statements: Collection[Statement], role: Role
) -> Iterator[Context]:
    """Yield what can be true of a secret.

    Args:
        secret_arn: full ARN.
        tags: the values that its tags can have.
        statements: that decide about the call.
        role: whose call it is.
    """
    used = used_keys(statements)
    functions: Values = (None, *_other_functions(statements, role)) if ROTATION_FUNCTION_KEY in used else (None,)
    # A call can name the secret in another way, if a condition does.
    named = {filled(value) for condition, _ in conditions_on(statements, SECRET_ID_KEY) for value in condition.values}
    ids = (secret_arn, *sorted(named & arn.ids_of_secret(secret_arn) - {secret_arn}))
    for function, secret_id, *values in _combinations((functions, ids, *tags.values())):
        by_key = {ROTATION_FUNCTION_KEY: function, SECRET_ID_KEY: secret_id}
        for tag, value in zip(tags, values, strict=True):
            by_key.update(dict.fromkeys((prefix + tag for prefix in TAG_PREFIXES), value))
        yield {key: value for key, value in by_key.items() if value is not None}


def _combinations(possible: Sequence[Values]) -> Iterator[Values]:
    """Yield combinations of possible values: first those in which all keys have their first, their second value, ..."""
    for number in range(max(map(len, possible))):
        yield tuple(values[min(number, len(values) - 1)] for values in possible)
    yield from islice(product(*possible), _MOST_CONTEXTS)


def call(action: str, secret_arn: str, context: Context, statements: Collection[Statement]) -> Calls:
    """Return a call with what can be true of the secret. One that changes tags is for any tag."""
    used = used_keys(statements)
    return Calls((action,), (secret_arn,), {**request(action, used), **context}, lacked(action, used, context))


def request(action: str, used: Collection[str]) -> Context:
    """Return the tags that a call changes, if it changes tags: any tag that no policy names."""
    of_request = {REQUEST_TAG_KEYS, *(key for key in used if key.startswith(REQUEST_TAG))}
    return dict.fromkeys(sorted(of_request), UNNAMED) if action in SECRET_TAGGING else {}


def lacked(action: str, used: Collection[str], context: Context) -> frozenset[str]:
    """Return the context keys, of those that policies use, that a call on a secret lacks if its context does."""
    of_request = () if action in SECRET_TAGGING else (REQUEST_TAG, REQUEST_TAG_KEYS)
    return frozenset(key for key in used if key.startswith((*_LACKED, *of_request)) and key not in context)


def _other_functions(statements: Collection[Statement], role: Role) -> Iterator[str]:
    """Yield functions that are not those of the role: of any name, and those that conditions name."""
    yield from unnamed("lambda", role.needed.rotated_arns)
    for condition, _ in conditions_on(statements, ROTATION_FUNCTION_KEY):
        yield from (filled(each) for each in condition.values if not role.needed.can_be_own_function(each))
