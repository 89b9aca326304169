"""What a statement grants on secrets beyond what the functions of the role need."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from rotation_role_policy.iam.document import Statement
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.iam.resource_patterns import includes
from rotation_role_policy.iam.wildcard import filled
from rotation_role_policy.rules.actions import SECRET_ACTIONS, SECRET_MANAGEMENT, SECRET_SHARING, SUPERUSER_WRITE
from rotation_role_policy.rules.breadth import (
    TAG_KEYS,
    completed_secret,
    ending_in_one,
    granted,
    is_one,
    names_secret,
    resources_of,
)
from rotation_role_policy.rules.grants import ExcessKind, Grant, grants_of
from rotation_role_policy.rules.outsiders import reached_on_other, reached_on_others
from rotation_role_policy.rules.reach import is_reached, used_keys
from rotation_role_policy.rules.secret_calls import Role, request
from rotation_role_policy.rules.statements import ROTATE_ACTIONS

_MANAGED = (*SECRET_MANAGEMENT, *SECRET_SHARING)


def of_secrets(statement: Statement, role: Role) -> Iterator[Grant]:
    """Yield the grants of a statement that are too much, one resource after the other."""
    needed = role.needed
    for resource in resources_of(statement, "secretsmanager", needed.rotated_arns):
        one = replace(statement, resources=resource)
        # A negated element is as broad as a wildcard.
        pattern = "*" if resource.is_negated else resource.patterns[0]
        if whole := completed_secret(pattern, needed.secret_arns):
            if of_secret := granted(one, (*SECRET_ACTIONS, *ROTATE_ACTIONS)):
                yield Grant(ExcessKind.INCOMPLETE_ARN, of_secret, resource, instead=whole)
        elif granted(one, SECRET_ACTIONS) is None:
            continue
        elif not is_one(pattern):
            yield from _of_wildcard(one, pattern, role)
        elif names_secret(pattern, needed.secret_arns):
            yield from _of_named(one, pattern, role)
        elif needed.is_in_regions(pattern):
            reached = _reached(one, filled(pattern), SECRET_ACTIONS, role)
            yield from grants_of(one, (), (ExcessKind.SECRET_NOT_NEEDED, reached))


def _of_wildcard(one: Statement, pattern: str, role: Role) -> Iterator[Grant]:
    """Yield what is too much of a statement for many secrets. What limits it can leave named secrets."""
    needed = role.needed
    if actions := granted(one, reached_on_others(one, SECRET_ACTIONS, role)):
        narrower = ending_in_one(pattern, needed.secret_arns)
        yield Grant(ExcessKind.OTHER_SECRETS, actions, one.resources, instead=narrower)
        return
    left = {
        each: reached_on_other(filled(each), one, SECRET_ACTIONS, role)
        for each in role.limits.named("secretsmanager")
        if is_one(each) and needed.is_in_regions(each) and not completed_secret(each, needed.secret_arns)
        if not names_secret(each, needed.secret_arns)
    }
    if actions := granted(one, {action for found in left.values() for action in found}):
        remaining = tuple(each for each, found in left.items() if found)
        yield Grant(ExcessKind.OTHER_SECRETS, actions, one.resources, remaining)
        return
    # Conditions on the rotation function and on tags are for rotated secrets. They leave no superuser secret.
    unneeded = {
        **{each: _reached(one, each, _MANAGED, role) for each in sorted(needed.rotated_arns)},
        **{
            each: set(reached_on_other(each, one, (*_MANAGED, *SUPERUSER_WRITE), role))
            for each in sorted(needed.secret_arns.difference(needed.rotated_arns))
            if needed.is_in_regions(each)
        },
    }
    yield from _of_needed(one, unneeded, tuple(each for each, found in unneeded.items() if found))


def _of_named(one: Statement, pattern: str, role: Role) -> Iterator[Grant]:
    """Yield what is too much of a statement for one needed secret."""
    needed = role.needed
    matched = [each for each in sorted(needed.secret_arns) if includes(pattern, each)] or [filled(pattern)]
    is_only_read = not names_secret(pattern, needed.rotated_arns) and needed.is_in_regions(pattern)
    actions = (*_MANAGED, *(SUPERUSER_WRITE if is_only_read else ()))
    yield from _of_needed(one, {each: _reached(one, each, actions, role) for each in matched}, ())


def _of_needed(one: Statement, unneeded: Mapping[str, set[str]], remaining: tuple[str, ...]) -> Iterator[Grant]:
    """Yield grants of the actions on needed secrets that no rotation needs, by the ARNs of the secrets."""
    actions = {action for found in unneeded.values() for action in found}
    yield from grants_of(
        one,
        remaining,
        (ExcessKind.SECRET_MANAGEMENT, actions.intersection(SECRET_MANAGEMENT)),
        (ExcessKind.SECRET_SHARING, actions.intersection(SECRET_SHARING)),
        (ExcessKind.SUPERUSER_WRITABLE, actions.intersection(SUPERUSER_WRITE)),
    )


def _reached(one: Statement, secret_arn: str, actions: Collection[str], role: Role) -> set[str]:
    """Return the actions that a statement allows on a secret, of which only the ARN and perhaps the tags are known."""
    used = used_keys((one, *role.limits.statements))
    tags = role.needed.known_tags(secret_arn, [key for key in used if TAG_KEYS.fullmatch(key)])
    absent = tags.absent_keys | {key for key in used if key.startswith("kms:")}
    calls = {
        action: Calls((action,), (secret_arn,), {**tags.values, **request(action, used)}, absent) for action in actions
    }
    return {action for action, call in calls.items() if is_reached(one, role.limits, call)}
