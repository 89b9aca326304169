"""The words of findings about superuser secrets, and of what is assumed about them."""

from collections.abc import Iterator

from rotation_role_policy.audit.coverage import Coverage
from rotation_role_policy.audit.facts import Known, RoleFacts, Unknown
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.commands import aws
from rotation_role_policy.audit.messages.failures import problem
from rotation_role_policy.audit.messages.phrases import join
from rotation_role_policy.errors import quoted


def superuser_missing(superuser_arn: str, coverage: Coverage) -> Words:
    """Return the words for a provider's policy whose superuser secret is gone."""
    restore = aws("secretsmanager restore-secret", superuser_arn, secret_id=superuser_arn)
    return Words(
        f"The superuser secret {superuser_arn} of the policy {quoted(coverage.policy_name)} on the role"
        f" {coverage.details.function.role.arn} does not exist, or is scheduled for deletion.",
        f"Restore the secret ({restore}), or change SuperuserSecretId of the Custom::RotationRolePolicy.",
        (restore,),
    )


def unknowns(facts: RoleFacts, coverage: Coverage) -> tuple[str, ...]:
    """Return what the audit assumes of a rotation and only a person can know, as sentences.

    Nothing, if a resource says it.
    """
    return () if coverage.policy_name else tuple(_unknowns(facts, coverage))


def _unknowns(facts: RoleFacts, coverage: Coverage) -> Iterator[str]:
    needs, others = coverage.needs, coverage.rotated_by_others
    can_be = [*needs.superuser_ids, *needs.wildcards]
    if coverage.superuser_id:
        yield f"The role may read {coverage.superuser_id}, which is taken for the superuser secret of the function."
    elif len(needs.superuser_ids) == len(can_be) == 1:
        [candidate] = can_be
        yield f"The role may read {candidate}, which can be the superuser secret of the function."
        yield from _missing(facts, coverage, candidate)
    elif needs.superuser_ids:
        yield (
            "The role may read several other secrets, and one of them can be the superuser secret of the function:"
            f" {', '.join(can_be)}."
        )
    elif needs.wildcards:
        yield (
            f"The role may read other secrets by {join(needs.wildcards)}, so its policies do not show whether the"
            " function reads a superuser secret."
        )
    elif len(coverage.function.secrets) > 1:
        yield (
            "The function rotates several secrets, and one of them can be the superuser secret for the others. The role"
            " shows no other candidate."
        )
    elif not others:
        yield "The role may read no other secret, so no superuser secret is assumed."
    writable = [each for each in needs.superuser_ids if each in needs.writable_ids]
    if writable:
        yield (
            f"It may also write {join(writable)}. If the function rotates this too, as it does with the keytabs of a"
            " directory, it belongs to SecretIds."
        )
    if others:
        yield (
            f"Other functions with the role rotate {join(others)}, and one of these can be the superuser secret of this"
            " function."
        )


def _missing(facts: RoleFacts, coverage: Coverage, candidate: str) -> Iterator[str]:
    """Yield why the only candidate for the superuser secret is not taken for it."""
    match facts.superusers.get(candidate, Known(None)):
        case Unknown(reason):
            yield f"It was not inspected. {problem(reason)}."
        case _ if coverage.missing_calls:
            calls = dict.fromkeys(
                f"{action} on {join(each.resources)}" for each in coverage.missing_calls for action in each.actions
            )
            yield (
                "But it may not make all calls on it that a superuser secret needs, or only under a condition:"
                f" {', '.join(calls)}."
            )
