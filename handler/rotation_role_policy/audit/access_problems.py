"""Calls that a role may not make, or of which that is not known. `access` finds them, `checks.access` reports them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy.audit.coverage import Coverage
from rotation_role_policy.audit.facts import Problem
from rotation_role_policy.iam.document import PolicyKind
from rotation_role_policy.iam.evaluation import Blocker
from rotation_role_policy.iam.simulation import Denial

DISPENSABLE_ACTIONS = {"ec2:DetachNetworkInterface"}
"""Actions of the policy whose absence does not fail a rotation. AWS's own AWSLambdaVPCAccessExecutionRole lacks them.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions"""


class StatementName(NamedTuple):
    """A statement of a policy. Its content may not be for everybody who sees the report."""

    number: int
    """Its place in the document, from 1."""
    sid: str
    """Empty if it has none."""


class DoubtKind(Enum):
    """Why it is not known whether calls are allowed."""

    SIMULATION = auto()
    """The policy simulator denies them, and proves nothing."""
    DENIAL_OPEN = auto()
    """Whether a Deny of the resource's policy applies depends on something that is not known."""
    ALLOW_OPEN = auto()
    """Whether an Allow of the resource's policy applies depends on something that is not known, and it is needed."""
    SECOND_POLICY = auto()
    """The policy of the key does not allow them, and its second policy cannot be read."""
    OTHER_ACCOUNT = auto()
    """The role's policies do not allow them, and the policy of another account's key cannot be read."""


@dataclass(frozen=True)
class Doubt:
    """What leaves open whether calls are allowed."""

    kind: DoubtKind
    keys: tuple[str, ...] = ()
    """The context keys on which it depends, as the policies write them; empty if it depends on something else."""
    policy: PolicyKind | None = None
    """Whose policy it is, for the kinds that are about the policy of a secret or a key."""
    statements: tuple[StatementName, ...] = ()
    """The statements on which it depends."""
    denial: Denial | None = None
    """The result of the simulator."""


@dataclass(frozen=True)
class AccessProblem:
    """Calls that a role may not make, or about which nothing is known.

    If `blocker`, `doubt` and `problem` are absent, no policy allows the calls.
    """

    coverage: Coverage
    role_arn: str
    boundary_arn: str
    actions: tuple[str, ...]
    resource: str
    secret_arn: str
    """The secret that the calls are for; empty if they are for all secrets of the function."""
    blocker: Blocker | None = None
    """What certainly blocks the calls."""
    statement: StatementName | None = None
    """The Deny that blocks them, if it is in the policy of the secret or key."""
    doubt: Doubt | None = None
    """Why it is not known whether they are allowed."""
    problem: Problem | None = None
    """Why nothing is known."""
    is_for_assumed: bool = False
    """Whether the calls are for a secret that is only assumed to be the superuser secret, so that they are no error."""

    def of_rotation(self) -> AccessProblem | None:
        """Return the problem without the actions that no rotation needs; None if there are no others."""
        actions = tuple(action for action in self.actions if action not in DISPENSABLE_ACTIONS)
        return replace(self, actions=actions) if actions else None

    def of_provider(self) -> AccessProblem | None:
        """Return the problem with those of them for which the provider refuses the policy; None if there are none."""
        actions = tuple(action for action in self.actions if action in DISPENSABLE_ACTIONS)
        return replace(self, actions=actions) if actions and self.blocker else None

    @property
    def is_for_network_interfaces(self) -> bool:
        """Whether Lambda makes the calls, to connect the function to its VPC."""
        return all(action.startswith("ec2:") for action in self.actions)
