"""Whether a role may make the calls that its rotations need.

First the policies are evaluated (`iam.evaluation`). What that leaves open goes to IAM's policy simulator. What no
policy of the role allows can still be allowed by the resource policy of the secret or by the policy of the key. The
policy of each key is read: IAM policies count only if it delegates to them.
https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html

`examine` makes no call. It yields questions for the facts that it lacks, and the collector answers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.coverage import Coverage, rotating
from rotation_role_policy.audit.facts import Known, Problem, RoleFacts, Simulation, Stopped, Unknown
from rotation_role_policy.audit.resources import ResourceFact, ResourceQuestion
from rotation_role_policy.iam.evaluation import BlockedBy, Blocker, Calls, Outcome, evaluate
from rotation_role_policy.iam.resource_policies import CallingRole, decide, is_key, resource_policy_of
from rotation_role_policy.iam.simulation import Denial
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.calls import calls_of
from rotation_role_policy.rules.state import RolePolicies
from rotation_role_policy.rules.statements import SECRET_ARN_KEY

DISPENSABLE_ACTIONS = {"ec2:DetachNetworkInterface"}
"""Needed actions whose absence does not fail a rotation. AWS's own AWSLambdaVPCAccessExecutionRole lacks them.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions"""

RANDOM_ACTION = "secretsmanager:GetRandomPassword"
"""A custom function can make its passwords itself."""

_ROTATION_FUNCTION_KEY = "secretsmanager:resource/AllowRotationLambdaArn"
"""Context key by which the policies of AWS's published rotation functions are limited to the secrets of a function.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html"""


@dataclass(frozen=True)
class AccessProblem:
    """Calls that a role may not make, or about which nothing is known.

    If `blocker`, `undecided` and `problem` are absent, no policy allows the calls.
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
    undecided: Denial | None = None
    """The result of the simulator, if it proves nothing."""
    problem: Problem | None = None
    """Why nothing is known."""

    @property
    def is_for_network_interfaces(self) -> bool:
        """Whether Lambda makes the calls, to connect the function to its VPC."""
        return all(action.startswith("ec2:") for action in self.actions)


def questions(facts: RoleFacts, covered: Iterable[Coverage]) -> list[Simulation | ResourceQuestion]:
    """Return what else must be known to decide whether the rotations have access."""
    found = examine(facts, covered)
    return list(dict.fromkeys(each for each in found if isinstance(each, Simulation | ResourceQuestion)))


def problems(facts: RoleFacts, covered: Iterable[Coverage]) -> list[AccessProblem]:
    """Return what blocks the rotations, and what could not be decided."""
    return [each for each in examine(facts, covered) if isinstance(each, AccessProblem)]


def examine(facts: RoleFacts, covered: Iterable[Coverage]) -> Iterator[AccessProblem | Simulation | ResourceQuestion]:
    """Yield the problems of a role's rotations, and the questions that have no answer in `facts` yet.

    Args:
        facts: of the role.
        covered: the rotations of the role.
    """
    if not isinstance(facts.role, Known) or facts.role.value is None:
        return
    for coverage in rotating(covered):
        examination = _Examination(facts, facts.role.value, coverage)
        for calls in _needed_calls(facts, coverage):
            yield from examination.of_calls(calls)


def _needed_calls(facts: RoleFacts, coverage: Coverage) -> Iterator[Calls]:
    state = coverage.state(facts)
    if state is None:
        return
    rotated = {secret.arn for secret in state.secrets}
    for grant in policy.grants(state):
        if grant.statement["Effect"] == "Allow":
            for calls in calls_of(state, grant):
                # The superuser secret can have another function, or none.
                is_for_rotated = rotated.issuperset(calls.resources)
                known = {_ROTATION_FUNCTION_KEY: coverage.function.function_id} if is_for_rotated else {}
                yield calls._replace(context={**calls.context, **known})


class _Examination(NamedTuple):
    """The examination of the rotations that one policy covers."""

    facts: RoleFacts
    role: RolePolicies
    coverage: Coverage

    def of_calls(self, calls: Calls) -> Iterator[AccessProblem | Simulation | ResourceQuestion]:
        """Yield problems and questions for some calls, those with the same outcome together."""
        actions: dict[tuple[Outcome, str, Blocker | None], list[str]] = {}
        for decision in evaluate(self.role.policies, self.role.boundary_policy, calls):
            if decision.action not in DISPENSABLE_ACTIONS:
                key = (decision.outcome, decision.resource, decision.blocker)
                actions.setdefault(key, []).append(decision.action)
        for (outcome, resource, blocker), names in actions.items():
            some = calls._replace(actions=tuple(names), resources=(resource,))
            match outcome:
                case Outcome.BLOCKED:
                    yield self._problem(some, blocker=blocker)
                case Outcome.OPEN:
                    yield from self._of_open(some)
                case Outcome.NOT_ALLOWED:
                    yield from self._of_not_allowed(some)
                case Outcome.ALLOWED if is_key(resource):
                    yield from self._of_allowed_on_key(some)

    def _problem(
        self,
        calls: Calls,
        *,
        blocker: Blocker | None = None,
        undecided: Denial | None = None,
        problem: Problem | None = None,
    ) -> AccessProblem:
        [resource] = calls.resources
        secret = calls.context.get(SECRET_ARN_KEY) or resource
        is_own = secret in {each.arn for each in self.coverage.secrets}
        return AccessProblem(
            self.coverage,
            self.role.role.arn,
            self.role.boundary_arn,
            calls.actions,
            resource,
            str(secret) if is_own else "",
            blocker,
            undecided,
            problem,
        )

    def _of_unknown(self, calls: Calls, unknown: Unknown) -> Iterator[AccessProblem]:
        # A report that was stopped says nothing about what was not looked up.
        if not isinstance(unknown.problem, Stopped):
            yield self._problem(calls, problem=unknown.problem)

    def _of_open(self, calls: Calls) -> Iterator[AccessProblem | Simulation | ResourceQuestion]:
        simulation = Simulation(
            self.role.role.arn, calls.actions, calls.resources, tuple(calls.context.items()), calls.absent_keys
        )
        answers = [each.denials for each in self.facts.simulations if each.simulation == simulation]
        if not answers:
            yield simulation
            return
        [answer] = answers
        if isinstance(answer, Unknown):
            yield from self._of_unknown(calls, answer)
            return
        for denial in answer.value:
            denied = calls._replace(actions=denial.actions, resources=denial.resources)
            if denial.is_implicit:
                yield from self._of_not_allowed(denied)
            elif denial.is_certain:
                yield self._problem(denied, blocker=denial.blocker)
            else:
                yield self._problem(denied, undecided=denial)

    def _of_not_allowed(self, calls: Calls) -> Iterator[AccessProblem | ResourceQuestion]:
        """Yield the calls as a problem, without those that the policy of the secret or key allows."""
        [resource] = calls.resources
        if not _has_policy(resource):
            yield self._problem(calls)
            return
        found = self.facts.resource_policies.get(resource)
        if found is None:
            yield ResourceQuestion(ResourceFact.POLICY, resource, self.coverage.function.region)
        elif isinstance(found, Unknown):
            yield from self._of_unknown(calls, found)
        else:
            resource_policy = resource_policy_of(resource, found.value)
            # What counts is whether the policy allows the calls to the role itself.
            decisions = decide(resource_policy, self._calling_role, calls, account_delegates=False)
            if actions := tuple(each.action for each in decisions if each.denied_by or each.is_allowed is False):
                yield self._problem(calls._replace(actions=actions))

    def _of_allowed_on_key(self, calls: Calls) -> Iterator[AccessProblem | ResourceQuestion]:
        """Yield calls that the policies of the role allow as a problem if the policy of the key blocks them."""
        [key_arn] = calls.resources
        found = self.facts.resource_policies.get(key_arn)
        if found is None:
            yield ResourceQuestion(ResourceFact.POLICY, key_arn, self.coverage.function.region)
        elif isinstance(found, Unknown):
            # The owner of another account's key need not let anybody here read its policy.
            if arn.parse(key_arn).account == arn.parse(self.role.role.arn).account:
                yield from self._of_unknown(calls, found)
        else:
            key_policy = resource_policy_of(key_arn, found.value)
            decisions = decide(key_policy, self._calling_role, calls, account_delegates=True)
            blocked = {
                BlockedBy.DENY: [each.action for each in decisions if each.denied_by],
                BlockedBy.KEY_POLICY: [
                    each.action for each in decisions if not each.denied_by and each.is_allowed is False
                ],
            }
            for by, actions in blocked.items():
                if actions:
                    yield self._problem(calls._replace(actions=tuple(actions)), blocker=Blocker(by, key_policy.name))

    @property
    def _calling_role(self) -> CallingRole:
        # A policy that names a role by its unique ID names one that was deleted.
        return CallingRole(self.role.role.arn, self.role.boundary_policy is not None, unique_id="")


def _has_policy(resource: str) -> bool:
    return arn.service(resource) in ("kms", "secretsmanager")
