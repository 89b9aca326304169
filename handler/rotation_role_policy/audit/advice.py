"""What has to happen before a grant is removed, so that no rotation breaks.

It holds for functions that make the calls of `rules.calls`. Of other code, nobody but its owner knows what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.coverage import Coverage, proven_policies, rotating, unnamed_candidates
from rotation_role_policy.audit.facts import Known, RoleFacts
from rotation_role_policy.audit.ownership import Owner, Unproven
from rotation_role_policy.iam.document import Element, JsonStatement, Policy, PolicyKind, Statement, as_list
from rotation_role_policy.iam.evaluation import Calls, Outcome, evaluate
from rotation_role_policy.iam.resource_patterns import includes_any
from rotation_role_policy.iam.wildcard import matches_any
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.calls import certain_calls
from rotation_role_policy.rules.excess import Excess, ExcessKind
from rotation_role_policy.rules.targets import TARGET_TYPES

_READ, _WRITE = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"
_DESCRIBE = "secretsmanager:DescribeSecret"
_OF_KEYS = {
    ExcessKind.OTHER_KEYS,
    ExcessKind.KEY_NOT_NEEDED,
    ExcessKind.KEY_FOR_EVERYTHING,
    ExcessKind.KEY_FOR_EVERY_SECRET,
    ExcessKind.KEY_FOR_OTHER_SECRETS,
}
_NOT_REMOVED = {ExcessKind.INTERFACES_OPEN_TO_CODE, ExcessKind.INTERFACES_OUTSIDE_VPC}
"""Lambda needs the grant, or does so for some minutes after the function has left its VPC."""
_TARGET_ACTIONS = {action for row in TARGET_TYPES for action in (*row.actions, *row.superuser_actions)}
_KNOWN_SERVICES = ("secretsmanager", "kms", "ec2")


class NeededCalls(NamedTuple):
    """Calls that a rotation makes on one resource."""

    coverage: Coverage
    calls: Calls
    statement: JsonStatement
    """The provider's statement that allows them, among others."""
    is_safety_net: bool

    @property
    def resource(self) -> str:
        """The resource of the calls."""
        [resource] = self.calls.resources
        return resource


@dataclass(frozen=True)
class Advice:
    """What has to happen before a grant is removed."""

    at_risk: tuple[NeededCalls, ...]
    """Calls of rotations that the grant allows, and that the provider's own policy does not."""
    is_used: bool
    """Whether rotations use the grant today."""
    secret_arns: tuple[str, ...] = ()
    """The secrets of rotations that are turned on and use the grant, or may do so. A rotation shows it."""
    candidates: tuple[str, ...] = ()
    """Secrets, and patterns, that the grant lets the role read: one can be the superuser secret of a rotation."""
    is_for_writing: bool = False
    """Whether the grant lets the role write one of them, so that a function can rotate it with another secret."""
    is_for_candidates_key: bool = False
    """Whether the grant is for keys, and one of them can be that of the superuser secret."""
    may_be_for_targets: bool = False
    """Whether the grant allows calls of targets, which only a person knows."""
    may_be_for_redshift: bool = False
    """Whether the grant allows to describe a superuser secret, as AWS's function for Redshift does."""
    replica_account: str = ""
    """Another account that has the key of the grant, and perhaps a replica of a secret under it; empty if there is
    none."""
    has_other_permissions: bool = False
    """Whether more goes with the grant than what the audit looks at, such as the permissions for a log."""
    has_denials: bool = False
    """Whether a Deny goes with the grant."""
    other_functions: tuple[str, ...] = ()
    """Functions with the role that rotate nothing. Nobody but their owner knows what they need."""
    unproven: Unproven | None = None
    """Why it is not known whether a stack has put the policy on the role. It must then not be removed."""

    @property
    def is_open(self) -> bool:
        """Whether a person has to find something out, or to do something, before the grant is removed or replaced."""
        return bool(
            self.candidates
            or self.is_for_candidates_key
            or self.may_be_for_targets
            or self.may_be_for_redshift
            or self.replica_account
            or self.has_other_permissions
            or self.has_denials
            or self.other_functions
            or self.unproven
        )

    @property
    def needs_adoption(self) -> bool:
        """Whether rotations that no `Custom::RotationRolePolicy` covers need the grant."""
        return any(not each.coverage.policy_name for each in self.at_risk)

    @property
    def outdated(self) -> list[tuple[str, Owner | Unproven | None]]:
        """The provider's policies that do not allow what their rotations need, with their owners."""
        covered = (each.coverage for each in self.at_risk)
        return list(dict.fromkeys((each.policy_name, each.owner) for each in covered if each.policy_name))


def advise(facts: RoleFacts, covered: Sequence[Coverage], found: Excess) -> Advice:
    """Return what has to happen before a grant is removed.

    Args:
        facts: of the role.
        covered: all rotations of the role.
        found: the grant.
    """
    statements = _removed_statements(facts, found)
    removed = [(each.actions, each.resources) for each in statements if each.allows] or [
        (found.actions, found.resource)
    ]
    proven = proven_policies(facts)
    used = [each for each in _needed_calls(facts, covered) if _allows(removed, each.calls)]
    at_risk = [rest for each in used if (rest := _without_allowed(each, proven.get(each.coverage.policy_name)))]
    unnamed = unnamed_candidates(facts, covered)
    can_be_superuser = [*unnamed.superuser_ids, *unnamed.wildcards]
    candidates = [each for each in can_be_superuser if _can_be_for(removed, _READ, each)]
    is_for_targets = any(_includes(actions, action) for actions, _ in removed for action in _TARGET_ACTIONS)
    is_for_key = bool(can_be_superuser) and found.kind in _OF_KEYS
    may_be_used = candidates or is_for_key or is_for_targets
    tried = rotating(covered if may_be_used else [each.coverage for each in used])
    ownership = facts.owners.get(found.policy.name) if found.policy.kind is PolicyKind.INLINE else None
    return Advice(
        tuple(at_risk),
        bool(used),
        tuple(dict.fromkeys(secret.arn for each in tried for secret in each.secrets)),
        tuple(candidates),
        any(_can_be_for(removed, _WRITE, each) for each in candidates),
        is_for_key,
        is_for_targets,
        any(_can_be_for(removed, _DESCRIBE, each) for each in (*candidates, *_not_described(facts, covered))),
        _other_account(facts, found),
        any(_has_other_services(actions) for actions, _ in removed),
        any(not each.allows for each in statements),
        _other_functions(facts),
        ownership if isinstance(ownership, Unproven) else None,
    )


def replacement(found: Excess, advice: Advice) -> tuple[JsonStatement, ...] | None:
    """Return the statements that can be put in the place of a grant at once, so that no rotation breaks.

    None if the grant has to stay, or if a person has to find something out before it is changed.
    """
    if found.kind is ExcessKind.INCOMPLETE_ARN:
        # It has no effect today.
        return ()
    if advice.is_open or found.kind in _NOT_REMOVED:
        return None
    statements: list[JsonStatement] = []
    for each in advice.at_risk:
        resources = as_list(each.statement["Resource"])
        resource = each.resource if each.resource in resources else each.statement["Resource"]
        needed = {**each.statement, "Action": list(each.calls.actions), "Resource": resource}
        if needed not in statements:
            statements.append(needed)
    return tuple(statements)


_Removed = tuple[Element, Element]
"""Actions and resource."""


def _removed_statements(facts: RoleFacts, found: Excess) -> list[Statement]:
    """Return the statements that go with the grant: all of a managed policy, which is detached, else none."""
    if found.policy.kind is not PolicyKind.MANAGED:
        return []
    return [statement for each in _policies(facts) if each.name == found.policy for statement in each.statements]


def _not_described(facts: RoleFacts, covered: Iterable[Coverage]) -> Iterator[str]:
    """Yield the superuser secrets that the provider's policy does not allow to describe."""
    for coverage in covered:
        state = coverage.state(facts)
        if state and state.superuser_secret:
            superuser = state.superuser_secret.arn
            grants = [grant.statement for grant in policy.grants(state)]
            if not any(_DESCRIBE in each["Action"] and superuser in as_list(each["Resource"]) for each in grants):
                yield superuser


def _other_account(facts: RoleFacts, found: Excess) -> str:
    """Return the account of the key that the grant names, if the key belongs to another one."""
    owners = {arn.account(each) for each in found.resource.patterns if arn.KEY.fullmatch(each)}
    return "".join(owners - {arn.account(facts.role_arn)}) if found.kind is ExcessKind.KEY_NOT_NEEDED else ""


def _other_functions(facts: RoleFacts) -> tuple[str, ...]:
    return tuple(sorted(facts.sharing - {arn.split_qualifier(each.function_id)[0] for each in facts.functions}))


def _policies(facts: RoleFacts) -> Sequence[Policy]:
    return facts.role.value.policies if isinstance(facts.role, Known) and facts.role.value else ()


def _needed_calls(facts: RoleFacts, covered: Iterable[Coverage]) -> Iterator[NeededCalls]:
    for coverage in covered:
        state = coverage.state(facts)
        for grant in policy.grants(state) if state else ():
            if state and grant.statement["Effect"] == "Allow":
                safety_net = Calls(tuple(grant.statement["Action"]), tuple(as_list(grant.statement["Resource"])), {})
                for calls in certain_calls(state, grant, ()) if not grant.is_safety_net else [safety_net]:
                    for resource in calls.resources:
                        needed = calls._replace(resources=(resource,))
                        yield NeededCalls(coverage, needed, grant.statement, grant.is_safety_net)


def _allows(removed: Iterable[_Removed], calls: Calls) -> bool:
    on = {action: calls.checked.get(action, calls.resources) for action in calls.actions}
    return any(
        _includes(actions, action) and any(_is_on(resources, each) for each in on[action])
        for actions, resources in removed
        for action in calls.actions
    )


def _without_allowed(needed: NeededCalls, own: Policy | None) -> NeededCalls | None:
    """Return the calls without those that the provider's own policy allows; None if there are none left."""
    decisions = evaluate([own], None, needed.calls) if own else ()
    # Of a safety net, the context is not known, so its conditions are open.
    allowing = {Outcome.ALLOWED, Outcome.OPEN} if needed.is_safety_net else {Outcome.ALLOWED}
    allowed = {decision.action for decision in decisions if decision.outcome in allowing}
    actions = tuple(action for action in needed.calls.actions if action not in allowed)
    return needed._replace(calls=needed.calls._replace(actions=actions)) if actions else None


def _includes(actions: Element, action: str) -> bool:
    return matches_any(actions.patterns, action, ignore_case=True) != actions.is_negated


def _is_on(resources: Element, resource: str) -> bool:
    return includes_any(resources.patterns, resource) != resources.is_negated


def _can_be_for(removed: Iterable[_Removed], action: str, candidate: str) -> bool:
    """Return whether a grant allows an action on a candidate for the superuser secret, or on its pattern."""
    return any(_includes(actions, action) and _includes_candidate(resource, candidate) for actions, resource in removed)


def _includes_candidate(resource: Element, candidate: str) -> bool:
    if candidate in resource.patterns and not resource.is_negated:
        return True
    example = arn.ANY_RANDOM_SUFFIX.sub("-AbCdEf", candidate)
    return _is_on(resource, example)


def _has_other_services(actions: Element) -> bool:
    services = {pattern.partition(":")[0].lower() for pattern in actions.patterns}
    return actions.is_negated or not services <= set(_KNOWN_SERVICES)
