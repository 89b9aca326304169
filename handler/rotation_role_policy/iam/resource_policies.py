"""What the resource-based policy of a secret or of a KMS key decides about the calls of a role.

A Deny in it counts whatever the policies of the role allow. The policy of a key must also allow a call: to the role, or
to the account of the role, which delegates to the role's policies.
Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html,
https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, PolicyName, Statement
from rotation_role_policy.iam.evaluation import Calls, applies
from rotation_role_policy.iam.principals import is_about_account, is_about_role, unique_ids


class CallingRole(NamedTuple):
    """What is known about the role that makes the calls."""

    arn: str
    """Full ARN, with its path."""
    has_boundary: bool | None
    """Whether it has a permissions boundary; None if that is not known."""
    unique_id: str | None
    """`RoleId`, such as ``AROAEXAMPLE``, by which a policy can name the role; None if that is not known."""


class PolicyDecision(NamedTuple):
    """What a resource-based policy says about one action."""

    action: str
    denied_by: Statement | None
    """A Deny that certainly applies."""
    open_denials: tuple[Statement, ...]
    """Each Deny for which it is not known whether it applies."""
    is_allowed: bool | None
    """Whether an Allow applies; None if that is not known."""
    open_allows: tuple[Statement, ...]
    """Each Allow for which it is not known whether it applies."""


def is_key(resource: str) -> bool:
    """Return whether an ARN is that of a KMS key, not of a secret."""
    return arn.service(resource) == "kms"


def resource_policy_of(resource: str, document: JsonDocument) -> Policy:
    """Return the policy of a secret or key (full ARN) with this document."""
    return Policy(PolicyName(PolicyKind.KEY if is_key(resource) else PolicyKind.SECRET, resource), document)


def decide(
    policy: Policy, role: CallingRole, calls: Calls, *others: Calls, account_delegates: bool
) -> list[PolicyDecision]:
    """Return what a policy says about each of the actions, on the one resource that has the policy.

    Args:
        policy: of the resource.
        role: makes the calls.
        calls: the actions and their context.
        others: the same calls with other contexts. It is not known which of the contexts the real calls have, so
            nothing is certain that does not hold in each of them.
        account_delegates: whether an Allow for the account of the role counts, because the policies of the role allow
            the calls.

    Raises:
        ValueError: the document does not follow IAM's grammar.
    """
    return [_decide(policy, role, action, (calls, *others), account_delegates) for action in calls.actions]


def depends_on_identity(statement: Statement, role_arn: str) -> bool:
    """Return whether a statement depends on the role's permissions boundary, or on its unique ID."""
    possible = {
        is_about_role(statement, role_arn, has_boundary=has_boundary, unique_id=unique_id)
        for has_boundary in (False, True)
        for unique_id in ("", *unique_ids(statement))
    }
    return len(possible) > 1


def _decide(
    policy: Policy, role: CallingRole, action: str, contexts: Sequence[Calls], account_delegates: bool
) -> PolicyDecision:
    is_about_this_role = partial(
        is_about_role, role_arn=role.arn, has_boundary=role.has_boundary, unique_id=role.unique_id
    )

    def is_about_caller(statement: Statement) -> bool | None:
        return (account_delegates and is_about_account(statement, role.arn)) or is_about_this_role(statement)

    certain, open_ = _applying(policy, action, contexts, is_about_caller)
    open_allows = tuple(each for each in open_ if each.allows)
    return PolicyDecision(
        action,
        next((each for each in certain if each.effect == "Deny"), None),
        tuple(each for each in open_ if each.effect == "Deny"),
        True if any(each.allows for each in certain) else None if open_allows else False,
        open_allows,
    )


def _applying(
    policy: Policy, action: str, contexts: Sequence[Calls], is_about_caller: Callable[[Statement], bool | None]
) -> tuple[list[Statement], list[Statement]]:
    """Return the statements that certainly apply to an action, and those of which that is not known."""
    certain, open_ = [], []
    for statement in policy.statements:
        found = {applies(statement, each._replace(actions=(action,)), is_about_caller) for each in contexts}
        if found == {True}:
            certain.append(statement)
        elif found != {False}:
            open_.append(statement)
    return certain, open_
