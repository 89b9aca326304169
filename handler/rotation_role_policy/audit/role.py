"""Audit one role: from its facts to findings. Pure: no call, no clock.

`audit.audit_one` collects the facts, and then calls `audit_role`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from rotation_role_policy.audit.access import problems, settled
from rotation_role_policy.audit.access_problems import AccessProblem
from rotation_role_policy.audit.checks import (
    access,
    environment,
    excess,
    functions,
    own_policies,
    roles,
    secrets,
    superusers,
)
from rotation_role_policy.audit.coverage import Coverage, coverages, form_of_policy, rotating, unproven_policy
from rotation_role_policy.audit.facts import FunctionFacts, InternalError, Known, RoleFacts, Stopped, Unknown
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Subject
from rotation_role_policy.audit.messages.access import policy_refused
from rotation_role_policy.audit.messages.roles import no_policy, policy_elsewhere, policy_unproven
from rotation_role_policy.audit.messages.superusers import unknowns
from rotation_role_policy.audit.ownership import Owner
from rotation_role_policy.audit.report import RoleStatement, Rotation
from rotation_role_policy.audit.uninspected import uninspected
from rotation_role_policy.iam.document import as_list
from rotation_role_policy.rules.needed import rotation_actions


@dataclass(frozen=True, slots=True)
class RoleResult:
    """The result of the audit of one role, or of a function whose role is not known."""

    rotations: tuple[Rotation, ...] = ()
    """Of the selected secrets that were looked up."""
    findings: tuple[Finding, ...] = ()
    excess: tuple[Finding, ...] = ()
    """The findings about what is too much, which follow from what all functions need. They hold only if the audit has
    looked up all functions."""
    statements: Mapping[str, tuple[RoleStatement, ...]] = field(default_factory=dict)
    """As in `Report.role_statements`."""


def audit_role(facts: RoleFacts, now: datetime) -> RoleResult:
    """Audit a role with its rotation functions.

    Args:
        facts: of the role.
        now: the time of the audit, in UTC.
    """
    covered = coverages(facts)
    blocked = problems(facts, covered)
    covered = settled(covered, blocked)
    in_use = rotating(covered)
    refused = _refused(blocked)
    found = [
        *(finding for function in facts.functions for finding in _of_function(function, now)),
        *roles.check(facts),
        *environment.check(facts, covered),
        *superusers.check(facts, in_use),
        *access.check(facts, blocked),
    ]
    found += _without_policy(facts, in_use, refused, [each for each in found if each.is_obstacle])
    too_much = tuple(excess.check(facts, covered))
    too_much += _not_reported(own_policies.check(facts, covered, now), too_much)
    selected = _selected(facts.functions, found)
    return RoleResult(tuple(_rotations(facts, covered, refused)), selected, too_much, _statements(facts))


def audit_function(facts: FunctionFacts, now: datetime) -> RoleResult:
    """Audit a function whose role is not known, because the function could not be looked up."""
    return RoleResult(tuple(_rotations_without_role([facts])), _selected([facts], _of_function(facts, now)))


def failed(role_arn: str, audited: Iterable[FunctionFacts], error: InternalError) -> RoleResult:
    """Return the result for a role with which the audit itself failed."""
    finding = uninspected(Subject(role_arn=role_arn), role_arn, error)
    return RoleResult(tuple(_rotations_without_role(audited)), (finding,))


def _of_function(function: FunctionFacts, now: datetime) -> Iterator[Finding]:
    for secret in function.secrets:
        yield from secrets.check(function, secret, now)
    yield from functions.check(function)


def _refused(blocked: Iterable[AccessProblem]) -> dict[str, tuple[str, ...]]:
    """Return why the provider would refuse the policies of functions although their rotations work, as sentences."""
    refused: dict[str, list[str]] = {}
    for problem in blocked:
        if dispensable := problem.of_provider():
            refused.setdefault(problem.coverage.function.function_id, []).append(policy_refused(dispensable))
    return {function_id: tuple(dict.fromkeys(reasons)) for function_id, reasons in refused.items()}


def _without_policy(
    facts: RoleFacts, covered: Iterable[Coverage], refused: Mapping[str, tuple[str, ...]], obstacles: Sequence[Finding]
) -> Iterator[Finding]:
    for coverage in covered:
        is_declared = isinstance(coverage.owner, Owner) and coverage.owner.properties is not None
        for secret in coverage.secrets:
            subject = Subject(secret.arn, coverage.function.function_id, facts.role_arn)
            elsewhere = facts.elsewhere.get(secret.arn)
            if elsewhere and not is_declared:
                words = policy_elsewhere(secret.arn, coverage, elsewhere)
            elif coverage.policy_name:
                continue
            elif unproven := unproven_policy(facts, secret.arn):
                words = policy_unproven(secret.arn, *unproven)
            else:
                said = (*unknowns(facts, coverage), *refused.get(coverage.function.function_id, ()))
                scopes = (secret.arn, coverage.function.function_id, facts.role_arn)
                first = [each.type.code for each in obstacles if each.subject.scope in scopes]
                words = no_policy(secret.arn, said, first, is_elsewhere_known=facts.is_elsewhere_known)
            yield Finding(FindingType.NO_POLICY, subject, facts.role_arn, words)


def _not_reported(found: Iterable[Finding], reported: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings without the repeated grants in statements that are reported already."""
    known = {(each.policy, grant.statement) for each in reported for grant in each.grants}
    return tuple(
        each
        for each in found
        if each.type is not FindingType.REDUNDANT_GRANT
        or known.isdisjoint((each.policy, grant.statement) for grant in each.grants)
    )


def _selected(audited: Iterable[FunctionFacts], findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings without those about secrets that are not selected."""
    selected = {"", *(secret.arn for function in audited for secret in function.secrets if secret.is_selected)}
    return tuple(finding for finding in findings if finding.subject.secret_arn in selected)


# --- rotations --------------------------------------------------------------------------------------------------------


def _rotations(
    facts: RoleFacts, covered: Iterable[Coverage], refused: Mapping[str, tuple[str, ...]]
) -> Iterator[Rotation]:
    by_secret = {secret.arn: coverage for coverage in covered for secret in coverage.secrets}
    role = facts.role.value if isinstance(facts.role, Known) else None
    inline = role.inline if role else {}
    for rotation in _rotations_without_role(facts.functions):
        if coverage := by_secret.get(rotation.secret_arn):
            yield replace(
                rotation,
                state=coverage.state(facts, (rotation.secret_arn,)),
                policy_name=coverage.policy_name,
                declared_in=_declared_in(coverage),
                kms_scope=form_of_policy(coverage.policy_name, inline.get(coverage.policy_name, {}), facts).kms_scope,
                owner=role.owner_tags if role else {},
                is_adoptable=facts.is_elsewhere_known
                and rotation.secret_arn not in facts.elsewhere
                and unproven_policy(facts, rotation.secret_arn) is None,
                obstacles=refused.get(rotation.function_arn, ()),
                unknowns=unknowns(facts, coverage),
            )
        else:
            yield rotation


def _declared_in(coverage: Coverage) -> tuple[str, str] | None:
    owner = coverage.owner
    return (owner.stack_name, owner.logical_id) if isinstance(owner, Owner) else None


def _rotations_without_role(audited: Iterable[FunctionFacts]) -> Iterator[Rotation]:
    """Yield the rotations of the selected secrets, without those that a stopped audit has not looked up."""
    for function in audited:
        for secret in function.secrets:
            if secret.is_selected and secret.state != Unknown(Stopped()):
                yield Rotation(
                    secret.arn,
                    secret.listed.name,
                    function.function_id,
                    function.role_arn,
                    last_rotated=secret.listed.last_rotated,
                    next_rotation=secret.listed.next_rotation,
                    tags={tag["Key"]: tag.get("Value", "") for tag in secret.listed.description.get("Tags", ())},
                )


# --- statements -------------------------------------------------------------------------------------------------------


def _statements(facts: RoleFacts) -> Mapping[str, tuple[RoleStatement, ...]]:
    """Return the statements of the role today that are about services of a rotation; empty if they are not known."""
    if not isinstance(facts.role, Known) or facts.role.value is None:
        return {}
    found = (
        RoleStatement(policy.name.name, statement.label, document)
        for policy in facts.role.value.policies
        for statement, document in zip(policy.statements, as_list(policy.json.get("Statement", [])), strict=True)
        if statement.actions.is_negated or rotation_actions(statement.actions)
    )
    return {facts.role_arn: tuple(found)}
