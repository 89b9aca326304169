"""What is known about the superuser secret and the targets of a rotation.

No API reports the superuser secret and the targets of a rotation function. The properties of the
`Custom::RotationRolePolicy` name them; without these, its policy shows them. Where there is no such policy, the grants
of the role show candidates.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Condition, Policy
from rotation_role_policy.iam.resource_patterns import completed, includes, includes_any
from rotation_role_policy.iam.wildcard import has_wildcard
from rotation_role_policy.rules.breadth import can_be_of, is_one, limits_functions
from rotation_role_policy.rules.properties import Properties
from rotation_role_policy.rules.targets import ACTIONS_WITHOUT_RESOURCE, ANY_TARGET, TARGET_TYPES, target_type

_RANDOM_SUFFIX = re.compile(r"-([A-Za-z0-9]{6}|\?{6})$")
MAX_CANDIDATES = 20
"""Candidates for the superuser secret that are looked up."""
_GET, _PUT = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"
_DESCRIBE = "secretsmanager:DescribeSecret"
_ASKED = (_GET, _PUT, _DESCRIBE, *dict.fromkeys(action for row in TARGET_TYPES for action in row.actions))
_ROTATION_FUNCTION_KEY = "secretsmanager:resource/allowrotationlambdaarn"
"""In lower case. A condition on it leaves only the secrets that a function rotates."""


class Needs(NamedTuple):
    """What is known about the superuser secret and the targets of a rotation."""

    superuser_ids: tuple[str, ...] = ()
    """The superuser secret, or the candidates for it: more than one leaves it unknown. A full ARN, or a pattern for one
    as a policy has it; in properties also a name or a partial ARN."""
    target_arns: tuple[str, ...] = ()
    describes_superuser: bool = False
    """Whether the function may describe the superuser secret."""
    wildcards: tuple[str, ...] = ()
    """Patterns by which the role may read other secrets too, so that the superuser secret can be any of them."""
    writable_ids: frozenset[str] = frozenset()
    """Those of the candidates that the role may write, too. The function can rotate such a secret with another one, as
    it does with the keytabs of a directory."""
    are_declared: bool = False
    """Whether the properties of a resource say so."""


def declared_needs(properties: Properties) -> Needs:
    """Return what the properties of a resource declare."""
    superuser = properties.superuser_secret_id
    return Needs((superuser,) if superuser else (), properties.target_arns, are_declared=True)


def shown_needs(own: Policy, rotated_arns: Collection[str]) -> Needs:
    """Return what the policy of a resource shows, if its properties are not known. Arguments as for `infer_needs`.

    The provider grants only reading on the superuser secret, and on a target all that its type needs.
    """
    writable = {resource for actions, resource in _grants([own]) if _PUT in actions}
    inferred = infer_needs([own], rotated_arns)
    granted = {(action, resource) for actions, resource in _grants([own]) for action in actions}
    targets = (each for each in inferred.target_arns if _is_whole_target(each, granted))
    superusers = tuple(each for each in inferred.superuser_ids if each not in writable)
    return Needs(superusers, tuple(targets), _describes(own, superusers), inferred.wildcards)


def _is_whole_target(target: str, granted: Collection[tuple[str, str]]) -> bool:
    return all(
        (action, "*" if action in ACTIONS_WITHOUT_RESOURCE else target) in granted
        for action in target_type(target).actions
    )


def infer_needs(policies: Sequence[Policy], rotated_arns: Collection[str]) -> Needs:
    """Return the candidates that the policies of a role show.

    A secret that the role may read, and that none of its functions rotates, is a candidate for the superuser secret,
    whatever else the role may do with it. A target that the role may use is one.

    Args:
        policies: of the role.
        rotated_arns: the secrets that the functions of the role rotate.
    """
    readable: dict[str, None] = {}
    written: list[str] = []
    targets: dict[str, None] = {}
    wildcards: dict[str, None] = {}
    for actions, resource in _grants(policies):
        if is_named(resource, rotated_arns):
            continue
        if _PUT in actions:
            written.append(resource)
        if is_one_secret(resource):
            if _GET in actions:
                readable[resource] = None
        elif _is_pattern_of_secrets(resource):
            if _GET in actions:
                wildcards[resource] = None
        elif ANY_TARGET.fullmatch(resource) and not actions.isdisjoint(target_type(resource).actions):
            targets[resource] = None
    superusers = tuple(_without_repetitions(readable))
    writable = {each for each in superusers if _includes_one_of(written, each)}
    describes = any(_describes(each, superusers) for each in policies)
    return Needs(superusers, tuple(targets), describes, tuple(wildcards), frozenset(writable))


def may_write(granting: Policy, secret_arn: str) -> bool:
    """Return whether a policy allows a rotation to write a secret, by its ARN or by a pattern."""
    return any(
        statement.allows
        and statement.includes_action(_PUT)
        and includes_any(statement.resources.patterns, secret_arn) != statement.resources.is_negated
        for statement in granting.statements
    )


def is_one_secret(resource: str) -> bool:
    """Return whether a resource is the whole ARN of a secret, or a pattern for its random characters.

    A secret's ARN always ends in a hyphen and six characters, so an ARN without them is that of no secret.
    """
    match = _RANDOM_SUFFIX.search(resource)
    return match is not None and arn.SECRET.fullmatch(resource[: match.start()]) is not None


def is_named(resource: str, secret_arns: Iterable[str]) -> bool:
    """Return whether a resource is one of these secrets: by its ARN, or by a pattern that matches it alone."""
    return is_one(resource) and any(includes(resource, each) for each in secret_arns)


def _includes_one_of(patterns: Collection[str], secret: str) -> bool:
    """Return whether a pattern can be for a secret, which is itself a whole ARN or a pattern for one."""
    return includes_any(patterns, arn.ANY_RANDOM_SUFFIX.sub("-AbCdEf", secret)) or is_named(secret, patterns)


def _without_repetitions(resources: Iterable[str]) -> Iterator[str]:
    """Yield whole ARNs, and those patterns that none of them matches."""
    whole = [resource for resource in resources if not has_wildcard(resource)]
    yield from (resource for resource in resources if resource in whole or not is_named(resource, whole))


def _describes(granting: Policy, superusers: Collection[str]) -> bool:
    return any(_DESCRIBE in actions and resource in superusers for actions, resource in _grants([granting]))


class _Grant(NamedTuple):
    actions: frozenset[str]
    """Those of `_ASKED` that are granted."""
    resource: str
    """As the policy has it; ``*`` for a `NotResource`."""


def _grants(policies: Iterable[Policy]) -> Iterator[_Grant]:
    """Yield each resource of the statements that allow something that counts here.

    Statements that a condition limits to the secrets that a function rotates are left out.
    """
    for statement in (statement for each in policies for statement in each.statements):
        if statement.allows and not any(map(_is_for_own_secrets, statement.conditions)):
            actions = frozenset(action for action in _ASKED if statement.includes_action(action))
            resources = statement.resources
            if actions:
                # All but some resources are as many as all.
                for resource in ("*",) if resources.is_negated else resources.patterns:
                    yield _Grant(actions, resource)


def _is_for_own_secrets(condition: Condition) -> bool:
    return condition.key.lower() == _ROTATION_FUNCTION_KEY and limits_functions(condition)


def _is_pattern_of_secrets(resource: str) -> bool:
    return has_wildcard(completed(resource)) and can_be_of(resource, "secretsmanager")


def secret_id_of(candidate: str, region: str, account: str) -> str:
    """Return the ID by which to look up a secret that a policy names by a whole ARN or by a pattern for one.

    By its partial ARN, AWS does not find a secret whose name ends in a hyphen and six characters, so the name counts.
    """
    partial_arn = arn.ANY_RANDOM_SUFFIX.sub("", candidate)
    if partial_arn == candidate:
        return candidate
    owner = arn.parse(partial_arn)
    return owner.resource.removeprefix("secret:") if (owner.region, owner.account) == (region, account) else partial_arn
