"""What the policies of a role grant beyond what the functions of the role need.

The check covers Secrets Manager, KMS and network interfaces. Of other services, only the owner of a function knows what
it needs.
The audit and the preview use it, so that they call the same grants too much.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Element, Policy, PolicyName, Statement
from rotation_role_policy.iam.evaluation import Calls, Outcome, evaluate
from rotation_role_policy.iam.resource_patterns import includes, includes_any
from rotation_role_policy.iam.wildcard import matches_any
from rotation_role_policy.rules.actions import (
    INTERFACE_ACTIONS,
    KEY_ACTIONS,
    KEY_MANAGEMENT,
    KEY_SHARING,
    KEY_USE,
    SECRET_ACTIONS,
    SECRET_MANAGEMENT,
    SECRET_SHARING,
    SUPERUSER_WRITE,
)
from rotation_role_policy.rules.breadth import (
    CONTEXT_KEY,
    SECRET_KEYS,
    VIA_SERVICE_KEY,
    can_be_interface,
    completed_secret,
    ending_in_one,
    granted,
    is_for_another_service,
    is_included,
    is_limited,
    is_one,
    limits,
    names_secret,
    resources_of,
)
from rotation_role_policy.rules.calls import checked_interfaces
from rotation_role_policy.rules.denials import left_by_denials
from rotation_role_policy.rules.needed import Needed
from rotation_role_policy.rules.statements import ROTATE_ACTIONS, SOURCE_FUNCTION_KEY
from rotation_role_policy.rules.tagging import can_give

_FOR_AWS_RESOURCE_KEY = re.compile(r"kms:GrantIsForAWSResource$", re.IGNORECASE)

_ANY_FUNCTION = "arn:aws:lambda:xx-any-1:000000000000:function:any"
"""A function that no policy names, in place of one that does not exist yet."""


class ExcessKind(Enum):
    """In which way a grant is too much."""

    OTHER_SECRETS = auto()
    """A pattern matches secrets that the functions do not rotate, or can match them later."""
    SECRET_NOT_NEEDED = auto()
    """No function of the role rotates or reads the secret."""
    SECRET_MANAGEMENT = auto()
    """The function can also delete the secret."""
    SUPERUSER_WRITABLE = auto()
    """The function only reads the superuser secret, but may also write it."""
    SECRET_SHARING = auto()
    """The function can also give itself and others access to the secret."""
    INCOMPLETE_ARN = auto()
    """The ARN of a secret lacks its six random characters, so the grant has no effect."""
    OTHER_KEYS = auto()
    """A pattern matches other keys, without a condition on the encryption context."""
    KEY_NOT_NEEDED = auto()
    """The key encrypts no secret of the role."""
    KEY_ALIAS = auto()
    """A grant on an alias has no effect."""
    KEY_FOR_EVERYTHING = auto()
    """Without a condition on the encryption context, the grant covers everything under the key."""
    KEY_FOR_EVERY_SECRET = auto()
    """The same, limited to Secrets Manager: every secret under the key."""
    KEY_MANAGEMENT = auto()
    """The function can also delete the key."""
    KEY_SHARING = auto()
    """The function can also give itself and others the use of the key."""
    INTERFACES_OUTSIDE_VPC = auto()
    """No function of the role is in a VPC."""
    INTERFACES_OPEN_TO_CODE = auto()
    """Only Lambda itself needs the grant, and the code of the function has it too."""


_NAMED = {
    ExcessKind.OTHER_SECRETS: ExcessKind.SECRET_NOT_NEEDED,
    ExcessKind.OTHER_KEYS: ExcessKind.KEY_NOT_NEEDED,
}
"""By kind of a wildcard: the kind of a grant that names a resource. A wildcard is only as broad as the permissions
boundary, which can leave named resources of it."""


class Excess(NamedTuple):
    """One grant beyond what is needed."""

    kind: ExcessKind
    policy: PolicyName
    statement: int
    """The number of the statement, from 1."""
    sid: str
    """Of the statement; empty if it has none."""
    actions: Element
    """As the policy has them."""
    resource: Element
    """As the policy has it."""
    remaining: tuple[str, ...] = ()
    """What the permissions boundary, or a Deny, leaves of a wildcard, if those are resources that are not needed."""
    instead: str = ""
    """A resource for this grant: the ARN that is incomplete as a whole, or a pattern that matches one secret only."""


class _Grant(NamedTuple):
    """A grant that is too much: the members of `Excess` that do not depend on the policy."""

    kind: ExcessKind
    actions: Element
    resource: Element
    remaining: tuple[str, ...] = ()
    instead: str = ""


class _Role(NamedTuple):
    """What decides besides the statement itself whether one of its grants is too much."""

    needed: Needed
    policies: Sequence[Policy]
    """All policies of the role."""
    boundary: Policy | None


def find_excess(
    policies: Sequence[Policy], all_policies: Sequence[Policy], boundary: Policy | None, needed: Needed
) -> list[Excess]:
    """Return what `policies` grant beyond what is needed.

    Args:
        policies: the policies to check. The provider's own policies are not among them: they are compared with what the
            provider would write.
        all_policies: all policies of the role. Their denials count.
        boundary: the permissions boundary of the role. A grant is only as broad as the boundary.
        needed: what the functions of the role need.
    """
    role = _Role(needed, all_policies, boundary)
    left = _left_by_boundary(role)
    found: dict[Excess, Excess] = {}
    for policy in policies:
        for statement in policy.statements:
            grants = (*_of_secrets_and_keys(statement, role), *_of_interfaces(statement, role))
            kept = (part for each in grants for part in _remaining(each, left, role))
            for grant in _once(kept, statement):
                excess = Excess(grant.kind, policy.name, statement.number, statement.sid, *grant[1:])
                # Two statements of a policy can grant the same.
                found.setdefault(excess._replace(statement=0), excess)
    return list(found.values())


def _left_by_boundary(role: _Role) -> dict[ExcessKind, list[str]]:
    """Return what the permissions boundary leaves of wildcards, by their kind: resources that are not needed.

    A kind is missing if the boundary has a wildcard too, or if there is no boundary.
    """
    if role.boundary is None:
        return {}
    grants = [each for statement in role.boundary.statements for each in _of_secrets_and_keys(statement, role)]
    kinds = {grant.kind for grant in grants}
    return {
        kind: [pattern for grant in grants if grant.kind is named for pattern in grant.resource.patterns]
        for kind, named in _NAMED.items()
        if kind not in kinds
    }


def _remaining(grant: _Grant, left: dict[ExcessKind, list[str]], role: _Role) -> Iterator[_Grant]:
    """Yield a grant as far as the permissions boundary and the denials of the role leave it."""
    named = left.get(grant.kind)
    if named is None:
        named = _left_by_denials(grant, role)
    if named is None:
        yield grant
        return
    patterns, is_negated = grant.resource
    remaining = tuple(dict.fromkeys(each for each in named if includes_any(patterns, each) != is_negated))
    if remaining:
        yield grant._replace(remaining=remaining)


def _left_by_denials(grant: _Grant, role: _Role) -> list[str] | None:
    """Return what denials leave of a wildcard, without what is needed; None if they do not limit it."""
    needed = role.needed
    if grant.kind is ExcessKind.OTHER_SECRETS:
        left = _denied_elsewhere(grant, "secretsmanager", SECRET_ACTIONS, role)
        return left and [each for each in left if not names_secret(each, needed.secret_arns)]
    if grant.kind is ExcessKind.OTHER_KEYS:
        left = _denied_elsewhere(grant, "kms", KEY_ACTIONS, role)
        known = (*needed.key_arns, *needed.other_key_arns)
        return left and [each for each in left if not any(includes(each, key_arn) for key_arn in known)]
    return None


def _denied_elsewhere(grant: _Grant, service: str, actions: Sequence[str], role: _Role) -> list[str] | None:
    patterns, is_negated = grant.actions
    allowed = [action for action in actions if matches_any(patterns, action, ignore_case=True) != is_negated]
    return left_by_denials(allowed, grant.resource, service, role.policies, role.boundary, role.needed.rotated_arns)


def _of_secrets_and_keys(statement: Statement, role: _Role) -> Iterator[_Grant]:
    if statement.allows:
        yield from _of_secrets(statement, role)
        yield from _of_keys(statement, role.needed)


def _once(grants: Iterable[_Grant], statement: Statement) -> Iterator[_Grant]:
    """Yield the grants of a statement. One for every service is reported once, for the secrets."""
    is_every_service = statement.actions.is_negated or "*" in statement.actions.patterns
    reported: set[Element] = set()
    for grant in grants:
        if grant.resource not in reported:
            yield grant
        if grant.kind is ExcessKind.OTHER_SECRETS and is_every_service:
            reported.add(grant.resource)


# --- secrets ----------------------------------------------------------------------------------------------------------


def _of_secrets(statement: Statement, role: _Role) -> Iterator[_Grant]:
    actions, needed = granted(statement, SECRET_ACTIONS), role.needed
    needed_arns = needed.secret_arns
    for resource in resources_of(statement, "secretsmanager", needed.rotated_arns):
        # A negated element is as broad as a wildcard.
        pattern = "*" if resource.is_negated else resource.patterns[0]
        if whole := completed_secret(pattern, needed_arns):
            if of_secret := granted(statement, (*SECRET_ACTIONS, *ROTATE_ACTIONS)):
                yield _Grant(ExcessKind.INCOMPLETE_ARN, of_secret, resource, instead=whole)
        elif actions is None:
            continue
        elif not is_one(pattern):
            if not _is_limited_to_secrets(statement, resource, role):
                narrower = ending_in_one(pattern, needed_arns)
                yield _Grant(ExcessKind.OTHER_SECRETS, actions, resource, instead=narrower)
        elif names_secret(pattern, needed_arns):
            is_only_read = not names_secret(pattern, needed.rotated_arns) and needed.is_in_regions(pattern)
            yield from _of_management(
                statement,
                resource,
                (ExcessKind.SECRET_MANAGEMENT, SECRET_MANAGEMENT),
                (ExcessKind.SECRET_SHARING, SECRET_SHARING),
                (ExcessKind.SUPERUSER_WRITABLE, SUPERUSER_WRITE if is_only_read else ()),
            )
        elif needed.is_in_regions(pattern):
            yield _Grant(ExcessKind.SECRET_NOT_NEEDED, actions, resource)


def _is_limited_to_secrets(statement: Statement, resource: Element, role: _Role) -> bool:
    """Return whether a condition limits a wildcard to the role's secrets, or to a tag that the role cannot give."""
    return any(
        role.needed.can_be_for(condition)
        and not can_give(condition, resource, role.policies, role.boundary, role.needed.rotated_arns)
        for condition in limits(statement, SECRET_KEYS)
    )


def _of_management(
    statement: Statement, resource: Element, *kinds: tuple[ExcessKind, Collection[str]]
) -> Iterator[_Grant]:
    """Yield the management of a needed resource, by kind with its actions. A pattern of actions is reported once."""
    reported: set[str] = set()
    for kind, actions in kinds:
        management = granted(statement, actions)
        if management and not reported.issuperset(management.patterns):
            yield _Grant(kind, management, resource)
            reported.update(management.patterns)


# --- keys -------------------------------------------------------------------------------------------------------------


def _of_keys(statement: Statement, needed: Needed) -> Iterator[_Grant]:
    actions = granted(statement, _key_actions(statement))
    if actions is None or is_for_another_service(statement):
        return
    has_context = is_limited(statement, CONTEXT_KEY)
    for resource in resources_of(statement, "kms", needed.rotated_arns):
        pattern = "*" if resource.is_negated else resource.patterns[0]
        if ":alias/" in pattern:
            yield _Grant(ExcessKind.KEY_ALIAS, actions, resource)
        elif not is_one(pattern):
            if not has_context:
                yield _Grant(ExcessKind.OTHER_KEYS, actions, resource)
        elif not any(includes(pattern, key_arn) for key_arn in needed.key_arns):
            if _is_needed_nowhere(pattern, needed):
                yield _Grant(ExcessKind.KEY_NOT_NEEDED, actions, resource)
        elif not has_context:
            yield from _of_key_without_context(statement, resource)


def _key_actions(statement: Statement) -> tuple[str, ...]:
    """Return the actions on keys that count. A grant for an AWS resource is made by a service, not by the function."""
    is_for_aws = any(
        condition.operator.lower() == "bool" and condition.values == ("true",)
        for condition in statement.conditions
        if _FOR_AWS_RESOURCE_KEY.match(condition.key)
    )
    return tuple(action for action in KEY_ACTIONS if not (is_for_aws and action == "kms:CreateGrant"))


def _is_needed_nowhere(pattern: str, needed: Needed) -> bool:
    is_other = any(includes(pattern, key_arn) for key_arn in needed.other_key_arns)
    return needed.are_all_keys_known and needed.is_in_regions(pattern) and not is_other


def _of_key_without_context(statement: Statement, resource: Element) -> Iterator[_Grant]:
    is_through_service = is_limited(statement, VIA_SERVICE_KEY)
    if use := granted(statement, KEY_USE):
        kind = ExcessKind.KEY_FOR_EVERY_SECRET if is_through_service else ExcessKind.KEY_FOR_EVERYTHING
        yield _Grant(kind, use, resource)
    # With an encryption context or a service, the management is not allowed: the function's own call to delete the key
    # has neither.
    if not is_through_service:
        sharing = tuple(action for action in _key_actions(statement) if action in KEY_SHARING)
        yield from _of_management(
            statement,
            resource,
            (ExcessKind.KEY_MANAGEMENT, KEY_MANAGEMENT),
            (ExcessKind.KEY_SHARING, sharing),
        )


# --- network interfaces -----------------------------------------------------------------------------------------------


def _of_interfaces(statement: Statement, role: _Role) -> Iterator[_Grant]:
    needed, boundary = role.needed, role.boundary
    actions = granted(statement, INTERFACE_ACTIONS)
    resources = [each for each in resources_of(statement, "ec2", needed.rotated_arns) if can_be_interface(each)]
    included = tuple(action for action in INTERFACE_ACTIONS if is_included(statement, action, boundary))
    if actions is None or not resources or not included:
        return
    if not needed.in_vpc:
        yield _Grant(ExcessKind.INTERFACES_OUTSIDE_VPC, actions, resources[0])
        return
    # The functions are where their secrets are.
    secret_arn = next(iter(needed.rotated_arns))
    for function_arn in needed.function_arns or (_ANY_FUNCTION,):
        checked = checked_interfaces(arn.parse(secret_arn))
        calls = Calls(included, ("*",), {SOURCE_FUNCTION_KEY: function_arn}, checked=checked)
        if any(decision.outcome is Outcome.ALLOWED for decision in evaluate(role.policies, boundary, calls)):
            yield _Grant(ExcessKind.INTERFACES_OPEN_TO_CODE, actions, resources[0])
            return
