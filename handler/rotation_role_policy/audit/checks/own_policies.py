"""Findings about policies that a resource of a stack has put on a role: edited, outdated, repeated elsewhere."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rotation_role_policy import arn
from rotation_role_policy.audit.coverage import (
    Coverage,
    expected_document,
    found_superuser,
    other_policies,
    proven_policies,
)
from rotation_role_policy.audit.facts import Known, RoleFacts
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Grant, Subject
from rotation_role_policy.audit.messages import own_policies as messages
from rotation_role_policy.audit.ownership import Owner
from rotation_role_policy.iam.difference import difference
from rotation_role_policy.iam.document import Policy, PolicyKind
from rotation_role_policy.rules.policy import form_of
from rotation_role_policy.rules.redundant import is_redundant
from rotation_role_policy.rules.state import Role
from rotation_role_policy.rules.widening import Declared, named_secrets, widenings


def check(facts: RoleFacts, covered: Sequence[Coverage], now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with the policies that a resource of a stack has put on the role.

    Args:
        facts: of the role, whose functions were all inspected.
        covered: all rotations of the role.
        now: the time of the audit, in UTC.
    """
    if not isinstance(facts.role, Known) or facts.role.value is None:
        return
    subject = Subject(role_arn=facts.role_arn)
    as_written = []
    for name, own in proven_policies(facts).items():
        owner = facts.owners[name]
        if not isinstance(owner, Owner):
            continue
        declared = _declared(facts, covered, own, owner)
        found = list(widenings(own.statements, declared))
        expected = expected_document(name, own.json, facts, covered, now)
        changes = difference(own.json, expected) if expected and expected != own.json else ()
        shown = _taken_from_policy(covered, name, owner)
        if found:
            words = messages.policy_widened(facts.role_arn, name, owner, found, shown)
            grants = tuple(
                Grant(own.statements[each.statement - 1].label, each.actions, each.resource) for each in found
            )
            yield Finding(
                FindingType.POLICY_WIDENED, subject, facts.role_arn, words, changes, policy=name, grants=grants
            )
            continue
        as_written.append(own)
        if declared.profile == "Documented":
            words = messages.policy_documented(facts.role_arn, name, owner)
            yield Finding(FindingType.POLICY_WIDENED, subject, facts.role_arn, words, policy=name)
        unused = [] if owner.properties else sorted(named_secrets(own) - _rotated(facts))
        if changes or unused:
            words = messages.policy_drift(facts.role_arn, name, owner, shown, unused)
            yield Finding(FindingType.POLICY_DRIFT, subject, facts.role_arn, words, changes, policy=name)
    in_use = {coverage.policy_name for coverage in covered}
    yield from _redundant(facts, facts.role.value.role, [each for each in as_written if each.name.name in in_use])


def _declared(facts: RoleFacts, covered: Sequence[Coverage], own: Policy, owner: Owner) -> Declared:
    """Return what the policy is for: by its properties or, if these are not known, by the rotations of the role."""
    name = own.name.name
    rotated = _rotated(facts)
    superusers, targets = set(), set()
    for coverage in covered:
        if coverage.policy_name == name:
            superuser = found_superuser(facts, coverage.superuser_id)
            superusers |= {coverage.superuser_id, superuser.arn if superuser else ""} - {""}
            targets |= {*coverage.target_arns, *(superuser.database_arns if superuser else ())}
    place = arn.region(owner.stack_id), arn.account(owner.stack_id)
    if properties := owner.properties:
        superusers |= {properties.superuser_secret_id or ""} - {""}
        return Declared(
            properties.secret_ids,
            superusers,
            {*targets, *properties.target_arns},
            properties.policy_profile,
            place,
            properties.subnet_ids is not None,
        )
    return Declared([*rotated, *named_secrets(own)], superusers, targets, form_of(own.json).profile, place, True)


def _rotated(facts: RoleFacts) -> set[str]:
    """Return the secrets that functions of the role rotate."""
    own = (secret.arn for function in facts.functions for secret in function.secrets)
    return {*own, *(secret.arn for secret in facts.other_secrets)}


def _taken_from_policy(covered: Sequence[Coverage], name: str, owner: Owner) -> list[str]:
    """Return the superuser secret and the targets that only the policy shows."""
    if owner.properties:
        return []
    own = [coverage for coverage in covered if coverage.policy_name == name]
    return list(
        dict.fromkeys(each for coverage in own for each in (coverage.superuser_id, *coverage.target_arns) if each)
    )


def _redundant(facts: RoleFacts, role: Role, as_written: Sequence[Policy]) -> Iterator[Finding]:
    """Yield the statements of other policies that grant nothing beyond the policies of resources."""
    subject = Subject(role_arn=facts.role_arn)
    own = [statement for each in as_written for statement in each.statements]
    secrets = [secret for function in facts.functions for secret in function.secrets]
    secret_arns = tuple(secret.arn for secret in secrets if secret.listed.is_enabled)
    for each in other_policies(facts):
        if each.name.kind is PolicyKind.INLINE and each.name.name in facts.owners:
            # Whose policy this is is not known.
            continue
        redundant = [statement for statement in each.statements if is_redundant(statement, own)]
        if each.name.kind is PolicyKind.MANAGED and len(redundant) < len(each.statements):
            # Other roles can have the policy, and to detach it would take the other statements too.
            continue
        # A managed policy is detached as a whole.
        parts = [redundant] if each.name.kind is PolicyKind.MANAGED else [[statement] for statement in redundant]
        for statements in filter(None, parts):
            own_names = [one.name for one in as_written]
            words = messages.redundant_grant(role, each.name, statements, own_names, secret_arns)
            grants = tuple(Grant(one.label, one.actions, one.resources, ()) for one in statements)
            yield Finding(
                FindingType.REDUNDANT_GRANT, subject, facts.role_arn, words, policy=each.name.name, grants=grants
            )
