"""Whether a statement lets the role make a call, within the denials of the role and its permissions boundary.

A call counts if nothing certainly prevents it: of most conditions, it is not known whether they hold.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from rotation_role_policy.iam.conditions import context_keys, with_role_variables
from rotation_role_policy.iam.document import Condition, Policy, Statement
from rotation_role_policy.iam.evaluation import Calls, applies
from rotation_role_policy.rules.breadth import can_be_of

VIA_SERVICE_KEY = "kms:viaservice"
"""In lower case."""


class Limits(NamedTuple):
    """The statements that limit what the policies of a role allow."""

    denials: tuple[Statement, ...]
    """Of the policies and of the permissions boundary."""
    boundary: tuple[Statement, ...] | None
    """What the permissions boundary allows; None if there is none."""

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All of them."""
        return (*self.denials, *(self.boundary or ()))

    def named(self, service: str) -> Iterator[str]:
        """Yield the patterns of a service that a Deny excepts, or that the permissions boundary allows."""
        for statement in self.statements:
            if statement.allows != statement.resources.is_negated:
                yield from (each for each in statement.resources.patterns if can_be_of(each, service))


def limits_of(policies: Sequence[Policy], boundary: Policy | None) -> Limits:
    """Return the statements that limit what the policies of a role allow."""
    of_boundary = prepared(boundary.statements) if boundary else ()
    of_policies = prepared(statement for policy in policies for statement in policy.statements)
    return Limits(
        tuple(each for each in (*of_policies, *of_boundary) if each.effect == "Deny"),
        tuple(each for each in of_boundary if each.allows) if boundary else None,
    )


def prepared(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Return statements without the variables of conditions that have one value for a role.

    That value is no name of a secret, function or tag that somebody else has. It can be the name of a service.
    """
    return tuple(
        replace(each, conditions=tuple(map(_prepared, each.conditions))) if each.conditions else each
        for each in statements
    )


def _prepared(condition: Condition) -> Condition:
    return condition if condition.key.lower() == VIA_SERVICE_KEY else with_role_variables(condition)


def is_reached(statement: Statement, limits: Limits, calls: Calls) -> bool:
    """Return whether nothing certainly prevents a call that a statement is for.

    Args:
        statement: allows something.
        limits: of the role.
        calls: one action on one resource.
    """
    if applies(statement, calls) is False or any(applies(each, calls) for each in limits.denials):
        return False
    return limits.boundary is None or any(applies(each, calls) is not False for each in limits.boundary)


def used_keys(statements: Iterable[Statement]) -> frozenset[str]:
    """Return the context keys of statements, in lower case."""
    return frozenset(key for statement in statements for key in context_keys(statement.conditions))


def conditions_on(statements: Iterable[Statement], key: str) -> Iterator[tuple[Condition, Statement]]:
    """Yield the conditions on a context key, in lower case, each with its statement."""
    for statement in statements:
        for condition in statement.conditions:
            if condition.key.lower() == key:
                yield condition, statement
