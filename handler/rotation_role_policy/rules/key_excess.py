"""What a statement grants on keys beyond what the functions of the role need."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.conditions import OF_ROLE
from rotation_role_policy.iam.document import Statement
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.iam.resource_patterns import includes
from rotation_role_policy.iam.wildcard import UNNAMED, filled
from rotation_role_policy.rules.actions import (
    ALIAS_ACTIONS,
    KEY_ACTIONS,
    KEY_MANAGEMENT,
    KEY_SHARING,
    KEY_USE,
)
from rotation_role_policy.rules.breadth import granted, is_one, resources_of
from rotation_role_policy.rules.examples import examples_within, unnamed
from rotation_role_policy.rules.grants import ExcessKind, Grant, grants_of
from rotation_role_policy.rules.needed import Needed
from rotation_role_policy.rules.reach import VIA_SERVICE_KEY, conditions_on, is_reached, used_keys
from rotation_role_policy.rules.secret_calls import Role

_SERVICE = "kms"
_CONTEXT = "kms:encryptioncontext:secretarn"
_FOR_AWS_RESOURCE = "kms:grantisforawsresource"
"""In lower case, as all keys here."""
_GRANT = ("kms:CreateGrant",)
_WITHOUT_CONTEXT = tuple(each for each in KEY_ACTIONS if each not in (*KEY_USE, *_GRANT))
"""The actions whose calls have no encryption context. That of CreateGrant is the one that the grant is limited to."""
_ANY_SERVICE = f"{UNNAMED}.{UNNAMED}.amazonaws.com"


def of_keys(statement: Statement, role: Role) -> Iterator[Grant]:
    """Yield the grants of a statement that are too much, one resource after the other."""
    needed = role.needed
    if granted(statement, KEY_ACTIONS) is None:
        return
    for resource in resources_of(statement, _SERVICE, needed.rotated_arns):
        one = replace(statement, resources=resource)
        pattern = "*" if resource.is_negated else resource.patterns[0]
        if ":alias/" in pattern:
            on_keys = [action for action in KEY_ACTIONS if action not in ALIAS_ACTIONS]
            yield from grants_of(one, (), (ExcessKind.KEY_ALIAS, on_keys))
        elif not is_one(pattern):
            yield from _of_wildcard(one, role)
        else:
            yield from _of_one(one, pattern, role)


def _of_wildcard(one: Statement, role: Role) -> Iterator[Grant]:
    """Yield what is too much of a statement for many keys. What limits it can leave named keys."""
    needed = role.needed
    patterns = [each for each in role.limits.named(_SERVICE) if ":alias/" not in each]
    broad = (each for each in patterns if not is_one(each))
    others = [
        _reached(one, each, role) for each in examples_within(one.resources, broad, _SERVICE, needed.rotated_arns)
    ]
    if found := {action for each in others for action in each.for_any_context}:
        yield from grants_of(one, (), (ExcessKind.OTHER_KEYS, found))
        return
    limited = (
        (ExcessKind.KEY_FOR_OTHER_SECRETS, {action for each in others for action in each.for_other_secrets}),
        (ExcessKind.KEY_SHARING, {action for each in others for action in each.for_own_secrets.intersection(_GRANT)}),
    )
    if any(found for _, found in limited):
        yield from grants_of(one, (), *limited)
        return
    left = {each: _reached(one, filled(each), role).for_any_context for each in patterns if _is_unneeded(each, needed)}
    if found := {action for each in left.values() for action in each}:
        yield from grants_of(one, tuple(each for each in left if left[each]), (ExcessKind.OTHER_KEYS, found))
        return
    # Of a key that was not inspected, only an ID or an alias is known.
    for key_arn in sorted(each for each in {*needed.key_arns, *needed.other_key_arns} if ":key/" in each):
        yield from _of_known(one, key_arn, role, (key_arn,))


def _of_one(one: Statement, pattern: str, role: Role) -> Iterator[Grant]:
    """Yield what is too much of a statement for one key."""
    needed = role.needed
    matched = [each for each in sorted({*needed.key_arns, *needed.other_key_arns}) if includes(pattern, each)]
    if _is_unneeded(pattern, needed):
        yield from grants_of(one, (), (ExcessKind.KEY_NOT_NEEDED, _reached(one, filled(pattern), role).all_actions))
    for key_arn in matched:
        yield from _of_known(one, key_arn, role, ())


def _of_known(one: Statement, key_arn: str, role: Role, remaining: tuple[str, ...]) -> Iterator[Grant]:
    """Yield what is too much of a statement on a key of the role's secrets, or of its functions."""
    reached = _reached(one, key_arn, role)
    # How a function uses a key for other things, such as its environment variables, is not known.
    if key_arn in role.needed.key_arns:
        use = [action for action in reached.direct if action in KEY_USE]
        through_service = [action for action in reached.through_service if action in KEY_USE]
        if use or through_service:
            kind = ExcessKind.KEY_FOR_EVERYTHING if use else ExcessKind.KEY_FOR_EVERY_SECRET
            yield from grants_of(one, remaining, (kind, {*use, *through_service}))
        else:
            yield from grants_of(one, remaining, (ExcessKind.KEY_FOR_OTHER_SECRETS, reached.for_other_secrets))
    managing = {*reached.direct, *reached.for_own_secrets}
    yield from grants_of(
        one,
        remaining,
        (ExcessKind.KEY_MANAGEMENT, managing.intersection(KEY_MANAGEMENT)),
        (ExcessKind.KEY_SHARING, managing.intersection(KEY_SHARING)),
    )


def _is_unneeded(pattern: str, needed: Needed) -> bool:
    """Return whether the pattern of one key is certainly for none that the functions of the role need."""
    known = (*needed.key_arns, *needed.other_key_arns)
    is_known = any(includes(pattern, key_arn) for key_arn in known)
    return is_one(pattern) and needed.are_all_keys_known and needed.is_in_regions(pattern) and not is_known


# --- calls ------------------------------------------------------------------------------------------------------------


class _Reached(NamedTuple):
    """The actions that a statement allows on a key, by the encryption context of the calls."""

    direct: frozenset[str]
    """Without one or with any, by the function itself."""
    through_service: frozenset[str]
    """For any secret, by Secrets Manager."""
    for_other_secrets: frozenset[str]
    """For secrets that a condition names, and that no function of the role needs."""
    for_own_secrets: frozenset[str]
    """For the secrets of the role. The use of a key is what a rotation needs, to share the use is not."""

    @property
    def for_any_context(self) -> frozenset[str]:
        return self.direct | self.through_service

    @property
    def all_actions(self) -> frozenset[str]:
        return frozenset().union(*self)


def _reached(one: Statement, key_arn: str, role: Role) -> _Reached:
    statements = (one, *role.limits.statements)
    used = used_keys(statements)
    any_secret = (None, *unnamed("secretsmanager", role.needed.rotated_arns))
    secretsmanager = tuple(_services(statements, role.needed))

    def reached(actions: Collection[str], secrets: Iterable[str | None], services: Iterable[str | None]) -> set[str]:
        # A grant that the function makes is for no AWS resource. Whether the call then has the key is not documented.
        for_aws = (None, "false") if _FOR_AWS_RESOURCE in used else (None,)
        contexts = tuple(
            {_CONTEXT: secret, VIA_SERVICE_KEY: service, _FOR_AWS_RESOURCE: flag}
            for secret, service, flag in product(secrets, services, for_aws)
        )
        return {
            action
            for action in actions
            if one.includes_action(action)
            and any(is_reached(one, role.limits, _call(action, key_arn, each, used)) for each in contexts)
        }

    def reached_for(secrets: Collection[str]) -> set[str]:
        # Secrets Manager uses keys, and makes no grants.
        return reached(KEY_USE, secrets, (None, *secretsmanager)) | reached(_GRANT, secrets, (None, _ANY_SERVICE))

    return _Reached(
        direct=frozenset(
            reached(KEY_USE, any_secret, (None,))
            | reached(_GRANT, any_secret, (None, _ANY_SERVICE))
            | reached(_WITHOUT_CONTEXT, (None,), (None, _ANY_SERVICE))
        ),
        through_service=frozenset(reached(KEY_USE, any_secret, secretsmanager)),
        for_other_secrets=frozenset(reached_for(list(_other_secrets(statements, role.needed)))),
        for_own_secrets=frozenset(reached_for(role.needed.secret_arns)),
    )


def _call(action: str, key_arn: str, values: Mapping[str, str | None], used: Collection[str]) -> Calls:
    """Return a call with the values of context keys. None: the call lacks the key."""
    context = {key: value for key, value in values.items() if value is not None}
    without_context = ("kms:encryptioncontext",) if action in _WITHOUT_CONTEXT else ()
    lacked = (*values, "secretsmanager:", *without_context)
    absent = frozenset(key for key in used if key.startswith(lacked) and key not in context)
    return Calls((action,), (key_arn,), context, absent)


def _services(statements: Collection[Statement], needed: Needed) -> Iterator[str]:
    """Yield the names that Secrets Manager can have in ``kms:ViaService``."""
    for region in sorted({arn.region(secret_arn) for secret_arn in needed.rotated_arns}):
        yield f"secretsmanager.{region}.amazonaws.com"
        yield f"secretsmanager.{region}.amazonaws.com.cn"
    for condition, _ in conditions_on(statements, VIA_SERVICE_KEY):
        yield from (filled(value) for value in condition.values if value.startswith("secretsmanager."))


def _other_secrets(statements: Collection[Statement], needed: Needed) -> Iterator[str]:
    """Yield the secrets that conditions on the encryption context name, and that the role does not need."""
    for condition, _ in conditions_on(statements, _CONTEXT):
        for value in condition.values:
            # What depends on the role alone is one secret.
            if value != OF_ROLE and needed.is_in_regions(value) and not needed.is_own_secret(value):
                yield filled(value)
