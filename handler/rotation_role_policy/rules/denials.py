"""What a Deny leaves of a wildcard: people allow everything, and deny it for all but some resources."""

from collections.abc import Collection, Sequence

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Element, Policy
from rotation_role_policy.iam.evaluation import BlockedBy, Calls, evaluate
from rotation_role_policy.rules.breadth import can_be_of, examples, is_one, untouched_keys


def left_by_denials(
    actions: Sequence[str],
    resource: Element,
    service: str,
    policies: Sequence[Policy],
    boundary: Policy | None,
    secret_arns: Collection[str],
) -> list[str] | None:
    """Return the resources that denials except, if they deny a wildcard for all others; None if they do not.

    Args:
        actions: that a statement allows.
        resource: of the statement.
        service: of the actions.
        policies: of the role.
        boundary: its permissions boundary. Its denials count too.
        secret_arns: secrets of the account.
    """
    denying = [*policies, *([boundary] if boundary else [])]
    absent = untouched_keys(policies, boundary)

    def are_denied(resources: tuple[str, ...]) -> bool:
        decisions = evaluate(policies, boundary, Calls(tuple(actions), resources, {}, absent))
        return all(each.blocker is not None and each.blocker.by is BlockedBy.DENY for each in decisions)

    if not are_denied(examples(resource, service, secret_arns)):
        return None
    excepted = dict.fromkeys(
        pattern
        for policy in denying
        for statement in policy.statements
        if statement.effect == "Deny" and statement.resources.is_negated
        for pattern in statement.resources.patterns
        if can_be_of(pattern, service)
    )
    remaining = [each for each in excepted if not are_denied((arn.ANY_RANDOM_SUFFIX.sub("-AbCdEf", each),))]
    return remaining if all(map(is_one, remaining)) else None
