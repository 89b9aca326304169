"""What the policies of a role grant beyond what the functions of the role need.

The check covers Secrets Manager, KMS and network interfaces. Of other services, only the owner of a function knows what
it needs.
The audit and the preview use it, so that they call the same grants too much.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Element, Policy, PolicyName, Statement
from rotation_role_policy.iam.evaluation import Calls, Outcome, evaluate
from rotation_role_policy.rules.actions import INTERFACE_ACTIONS
from rotation_role_policy.rules.breadth import can_be_interface, granted, is_included, resources_of
from rotation_role_policy.rules.calls import checked_interfaces
from rotation_role_policy.rules.grants import ExcessKind, Grant
from rotation_role_policy.rules.key_excess import of_keys
from rotation_role_policy.rules.needed import Needed
from rotation_role_policy.rules.reach import limits_of, prepared
from rotation_role_policy.rules.secret_calls import Role
from rotation_role_policy.rules.secret_excess import of_secrets
from rotation_role_policy.rules.statements import SOURCE_FUNCTION_KEY
from rotation_role_policy.rules.tagging import tagging_statements

__all__ = ["Excess", "ExcessKind", "find_excess"]

_ANY_FUNCTION = "arn:aws:lambda:xx-any-1:000000000000:function:any"
"""A function that no policy names, in place of one that does not exist yet."""


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
    """What the permissions boundary, the denials and the conditions leave of a wildcard, if they leave named resources
    only."""
    instead: str = ""
    """A resource for this grant: the ARN that is incomplete as a whole, or a pattern that matches one secret only."""


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
    every = [statement for policy in all_policies for statement in policy.statements]
    role = Role(needed, limits_of(all_policies, boundary), tagging_statements(every))
    found: dict[Excess, Excess] = {}
    for policy in policies:
        for statement in prepared(each for each in policy.statements if each.allows):
            grants = (
                *of_secrets(statement, role),
                *of_keys(statement, role),
                *_of_interfaces(statement, all_policies, boundary, needed),
            )
            for grant in _once(grants, statement):
                excess = Excess(grant.kind, policy.name, statement.number, statement.sid, *grant[1:])
                # Two statements of a policy can grant the same.
                found.setdefault(excess._replace(statement=0), excess)
    return list(found.values())


def _once(grants: Iterable[Grant], statement: Statement) -> Iterator[Grant]:
    """Yield the grants of a statement. One for every service is reported once, for the secrets."""
    is_every_service = statement.actions.is_negated or "*" in statement.actions.patterns
    reported: set[Element] = set()
    for grant in grants:
        if grant.resource not in reported:
            yield grant
        if grant.kind is ExcessKind.OTHER_SECRETS and is_every_service:
            reported.add(grant.resource)


def _of_interfaces(
    statement: Statement, policies: Sequence[Policy], boundary: Policy | None, needed: Needed
) -> Iterator[Grant]:
    actions = granted(statement, INTERFACE_ACTIONS)
    resources = [each for each in resources_of(statement, "ec2", needed.rotated_arns) if can_be_interface(each)]
    included = tuple(action for action in INTERFACE_ACTIONS if is_included(statement, action, boundary))
    if actions is None or not resources or not included:
        return
    if not needed.in_vpc:
        yield Grant(ExcessKind.INTERFACES_OUTSIDE_VPC, actions, resources[0])
        return
    # The functions are where their secrets are.
    secret_arn = next(iter(needed.rotated_arns))
    for function_arn in needed.function_arns or (_ANY_FUNCTION,):
        checked = checked_interfaces(arn.parse(secret_arn))
        calls = Calls(included, ("*",), {SOURCE_FUNCTION_KEY: function_arn}, checked=checked)
        if any(decision.outcome is Outcome.ALLOWED for decision in evaluate(policies, boundary, calls)):
            yield Grant(ExcessKind.INTERFACES_OPEN_TO_CODE, actions, resources[0])
            return
