"""Findings about what the policies of a role grant too much."""

from collections.abc import Iterator, Sequence

from rotation_role_policy.audit.advice import advise, replacement
from rotation_role_policy.audit.coverage import Coverage, found_superuser, is_gone, other_policies, secrets_of
from rotation_role_policy.audit.facts import Known, RoleFacts
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Grant, Subject
from rotation_role_policy.audit.messages import excess as messages
from rotation_role_policy.rules.excess import ExcessKind, find_excess
from rotation_role_policy.rules.needed import Needed, needed_by
from rotation_role_policy.rules.state import State

FINDING_TYPES = {
    ExcessKind.OTHER_SECRETS: FindingType.OTHER_SECRETS,
    ExcessKind.SECRET_NOT_NEEDED: FindingType.UNNEEDED_GRANT,
    ExcessKind.SECRET_MANAGEMENT: FindingType.UNNEEDED_GRANT,
    ExcessKind.SUPERUSER_WRITABLE: FindingType.UNNEEDED_GRANT,
    ExcessKind.SECRET_SHARING: FindingType.UNNEEDED_GRANT,
    ExcessKind.INCOMPLETE_ARN: FindingType.INCOMPLETE_ARN,
    ExcessKind.OTHER_KEYS: FindingType.KMS_ALL_KEYS,
    ExcessKind.KEY_NOT_NEEDED: FindingType.UNNEEDED_GRANT,
    ExcessKind.KEY_ALIAS: FindingType.UNNEEDED_GRANT,
    ExcessKind.KEY_FOR_EVERYTHING: FindingType.KMS_WITHOUT_CONTEXT,
    ExcessKind.KEY_FOR_EVERY_SECRET: FindingType.KMS_WITHOUT_CONTEXT,
    ExcessKind.KEY_FOR_OTHER_SECRETS: FindingType.UNNEEDED_GRANT,
    ExcessKind.KEY_MANAGEMENT: FindingType.UNNEEDED_GRANT,
    ExcessKind.KEY_SHARING: FindingType.UNNEEDED_GRANT,
    ExcessKind.INTERFACES_OUTSIDE_VPC: FindingType.UNNEEDED_GRANT,
    ExcessKind.INTERFACES_OPEN_TO_CODE: FindingType.NETWORK_INTERFACES_OPEN,
}
"""The type of the finding about each kind of excess."""


def check(facts: RoleFacts, covered: Sequence[Coverage]) -> Iterator[Finding]:
    """Yield what the policies of a role grant too much. Those that a stack has put there have their own check.

    Args:
        facts: of the role, whose functions were all inspected.
        covered: all rotations of the role.
    """
    if not isinstance(facts.role, Known) or facts.role.value is None or not covered:
        return
    role, subject = facts.role.value, Subject(role_arn=facts.role_arn)
    states = [state for coverage in covered if (state := coverage.state(facts))]
    needed = _needed(facts, covered, states)
    is_in_vpc = any(coverage.details.function.in_vpc for coverage in covered)
    for found in find_excess(other_policies(facts), role.policies, role.boundary_policy, needed):
        if found.kind is ExcessKind.INTERFACES_OPEN_TO_CODE and not is_in_vpc:
            # The grant is for another function. No resource denies it to the code of a function outside a VPC.
            continue
        advice = advise(facts, covered, found)
        words = messages.excess(role.role, found, advice)
        statement = found.sid or found.statement
        grant = Grant(statement, found.actions, found.resource, replacement(found, advice))
        policy = found.policy.name
        yield Finding(FINDING_TYPES[found.kind], subject, facts.role_arn, words, policy=policy, grants=(grant,))


def _needed(facts: RoleFacts, covered: Sequence[Coverage], states: Sequence[State]) -> Needed:
    """Return what the functions of the role need. What is not known of other functions counts as needed."""
    needed = needed_by(states)
    # Keys of other secrets are known only as the listing has them.
    other = facts.other_secrets
    listed = {secret.arn for coverage in covered for secret in coverage.secrets}
    # A secret without a rotation of its own is not inspected.
    without_rotation = secrets_of(facts) - listed
    superusers = {superuser for coverage in covered for superuser in _superusers(facts, coverage)}
    found = [secret for each in superusers if (secret := found_superuser(facts, each))]
    key_arns = {key for secret in found for key in (secret.key_arn, *secret.earlier_key_arns) if key}
    return needed._replace(
        rotated_arns={*listed, *without_rotation, *(secret.arn for secret in other)},
        superuser_arns=superusers | {secret.arn for secret in found},
        key_arns={*needed.key_arns, *key_arns, *(secret.description.get("KmsKeyId", "") for secret in other)},
        # Whether other functions with this role are in a VPC is not known.
        in_vpc=any(coverage.details.function.in_vpc for coverage in covered)
        or not facts.are_functions_known
        or not facts.sharing <= {coverage.details.function.arn for coverage in covered},
        function_arns=tuple(dict.fromkeys(coverage.details.function.arn for coverage in covered)),
        regions=facts.regions if facts.are_functions_known else frozenset(),
        # If a secret was not inspected, it is not known which keys are needed.
        are_all_keys_known=sum(len(state.secrets) for state in states) == sum(len(each.secrets) for each in covered)
        and not other
        and not without_rotation,
    )


def _superusers(facts: RoleFacts, coverage: Coverage) -> Iterator[str]:
    """Yield the superuser secret, or the only candidate for it. Of several candidates, not all are needed.

    A candidate that the role may write, too, is not only read if it is needed.
    """
    remaining = [each for each in coverage.needs.superuser_ids if not is_gone(facts, each)]
    if len(remaining) == 1 and remaining[0] not in coverage.needs.writable_ids:
        yield remaining[0]
