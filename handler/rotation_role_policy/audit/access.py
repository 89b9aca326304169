"""Whether a role may make the calls that its rotations need.

First the policies of the role are evaluated (`iam.evaluation`). What that leaves open goes to IAM's policy simulator.
Then the policy of each secret and of each key counts: a Deny in it blocks what the role's policies allow, and it can
allow what they do not. IAM policies count for a key only if the key's policy delegates to them. What the policy of a
key does not allow, a grant on the key can allow.
https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html

`examine` makes no call. It yields questions for the facts that it lacks, and the collector answers them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.access_problems import AccessProblem, Doubt, DoubtKind, StatementName
from rotation_role_policy.audit.coverage import Coverage, rotating
from rotation_role_policy.audit.facts import Known, Problem, RoleFacts, Simulation, Stopped, Unknown
from rotation_role_policy.audit.resources import (
    ResourceFact,
    ResourceQuestion,
    answer,
    calling_role,
    is_granted,
    is_of_other_account,
)
from rotation_role_policy.iam.conditions import context_keys
from rotation_role_policy.iam.document import Policy, PolicyKind, PolicyName, Statement
from rotation_role_policy.iam.evaluation import BlockedBy, Blocker, Calls, Outcome, evaluate
from rotation_role_policy.iam.principals import session_prefix
from rotation_role_policy.iam.resource_policies import PolicyDecision, decide, is_key, resource_policy_of
from rotation_role_policy.iam.simulation import Denial
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.calls import certain_calls
from rotation_role_policy.rules.resource_policy_calls import encryption_context, with_certain_context
from rotation_role_policy.rules.state import RolePolicies, State
from rotation_role_policy.rules.statements import SECRET_ARN_KEY

RANDOM_ACTION = "secretsmanager:GetRandomPassword"
"""A custom function can make its passwords itself."""

_ROTATION_FUNCTION_KEY = "secretsmanager:resource/AllowRotationLambdaArn"
"""Context key by which the policies of AWS's published rotation functions are limited to the secrets of a function.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html"""

Question = Simulation | ResourceQuestion


def questions(facts: RoleFacts, covered: Iterable[Coverage]) -> list[Question]:
    """Return what else must be known to decide whether the rotations have access."""
    return list(dict.fromkeys(each for each in examine(facts, covered) if isinstance(each, Question)))


def problems(facts: RoleFacts, covered: Iterable[Coverage]) -> list[AccessProblem]:
    """Return what blocks the rotations, and what could not be decided."""
    return [each for each in examine(facts, covered) if isinstance(each, AccessProblem)]


def settled(covered: Iterable[Coverage], found: Iterable[AccessProblem]) -> list[Coverage]:
    """Return the coverages without the assumed superuser secrets on which the role may not make all calls today.

    Args:
        covered: the rotations of the role.
        found: the problems of these rotations.
    """
    missing: dict[str, list[Calls]] = {}
    for each in found:
        if each.is_for_assumed:
            calls = Calls(each.actions, (each.resource,), {})
            missing.setdefault(each.coverage.superuser_id, []).append(calls)
    return [
        replace(each, superuser_id="", missing_calls=tuple(missing[each.superuser_id]))
        if each.is_superuser_assumed and each.superuser_id in missing
        else each
        for each in covered
    ]


def examine(facts: RoleFacts, covered: Iterable[Coverage]) -> Iterator[AccessProblem | Question]:
    """Yield the problems of a role's rotations, and the questions that have no answer in `facts` yet.

    Args:
        facts: of the role.
        covered: the rotations of the role. Of what nobody rotates, nothing is examined.
    """
    if not isinstance(facts.role, Known) or facts.role.value is None:
        return
    role = facts.role.value
    for coverage in rotating(covered):
        certain = coverage.without_assumption()
        state = certain.state(facts)
        if state is None:
            continue
        examination = _Examination(facts, role, certain, state)
        needed = list(_needed_calls(role, certain, state))
        for calls in needed:
            yield from examination.of_calls(calls)
        assumed = coverage.state(facts)
        if coverage.is_superuser_assumed and assumed:
            examination = _Examination(facts, role, coverage, assumed)
            for calls in _needed_calls(role, coverage, assumed):
                if calls not in needed:
                    yield from examination.of_calls(calls)


def _needed_calls(role: RolePolicies, coverage: Coverage, state: State) -> Iterator[Calls]:
    all_policies = [*role.policies, *([role.boundary_policy] if role.boundary_policy else [])]
    used = {key for each in all_policies for statement in each.statements for key in context_keys(statement.conditions)}
    rotated = {secret.arn for secret in state.secrets}
    for grant in policy.grants(state):
        if grant.statement["Effect"] == "Allow":
            for calls in certain_calls(state, grant, used):
                # The superuser secret can have another function, or none.
                is_for_rotated = rotated.issuperset(calls.resources)
                known = {_ROTATION_FUNCTION_KEY: coverage.function.function_id} if is_for_rotated else {}
                yield calls._replace(context={**calls.context, **known})


class _Verdict(NamedTuple):
    """What the policy of a secret or key means for a call, together with the policies of the role."""

    denied_by: StatementName | None = None
    """The statement that certainly denies it."""
    doubt: Doubt | None = None
    is_lacking: bool = False
    """Whether neither the policies of the role nor that of the resource allow it."""


class _Examination(NamedTuple):
    """The examination of the rotations that one policy covers."""

    facts: RoleFacts
    role: RolePolicies
    coverage: Coverage
    state: State

    def of_calls(self, calls: Calls) -> Iterator[AccessProblem | Question]:
        """Yield problems and questions for some calls, those with the same outcome together."""
        actions: dict[tuple[Outcome, str, Blocker | None], list[str]] = {}
        for decision in evaluate(self.role.policies, self.role.boundary_policy, calls):
            key = (decision.outcome, decision.resource, decision.blocker)
            actions.setdefault(key, []).append(decision.action)
        for (outcome, resource, blocker), names in actions.items():
            some = calls._replace(actions=tuple(names), resources=(resource,))
            match outcome:
                case Outcome.BLOCKED if blocker:
                    yield from self._of_blocked(some, blocker)
                case Outcome.OPEN:
                    yield from self._of_open(some)
                case _:
                    yield from self._of_decided(some, is_allowed=outcome is Outcome.ALLOWED)

    def _problem(
        self,
        calls: Calls,
        *,
        blocker: Blocker | None = None,
        statement: StatementName | None = None,
        doubt: Doubt | None = None,
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
            statement,
            doubt,
            problem,
            self.coverage.is_superuser_assumed,
        )

    def _of_unknown(self, calls: Calls, unknown: Unknown) -> Iterator[AccessProblem]:
        # A report that was stopped says nothing about what was not looked up.
        if not isinstance(unknown.problem, Stopped):
            yield self._problem(calls, problem=unknown.problem)

    # --- what the policies of the role say ---

    def _of_open(self, calls: Calls) -> Iterator[AccessProblem | Question]:
        simulation = Simulation(
            self.role.role.arn, calls.actions, calls.resources, tuple(calls.context.items()), calls.absent_keys
        )
        answers = [each.denials for each in self.facts.simulations if each.simulation == simulation]
        if not answers:
            yield simulation
            return
        [found] = answers
        if isinstance(found, Unknown):
            yield from self._of_unknown(calls, found)
            return
        # Each result of the simulator is about one action, and several have the same reason.
        by_reason: dict[Denial, list[str]] = {}
        for denial in found.value:
            by_reason.setdefault(replace(denial, actions=()), []).extend(denial.actions)
        for denial, actions in by_reason.items():
            denied = calls._replace(actions=tuple(actions))
            if denial.is_implicit:
                yield from self._of_decided(denied, is_allowed=False)
            elif denial.is_certain and denial.blocker:
                yield from self._of_blocked(denied, denial.blocker)
            else:
                keys = denial.missing_keys
                yield self._problem(denied, doubt=Doubt(DoubtKind.SIMULATION, keys, denial=denial))
        denied_actions = {action for denial in found.value for action in denial.actions}
        if allowed := tuple(action for action in calls.actions if action not in denied_actions):
            yield from self._of_decided(calls._replace(actions=allowed), is_allowed=True)

    def _of_blocked(self, calls: Calls, blocker: Blocker) -> Iterator[AccessProblem | Question]:
        """Yield calls as a problem that a Deny of the role, or its boundary, blocks.

        A boundary that does not allow a call does not limit what a resource policy allows to a session of the role.
        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-reqcontext.html
        """
        [resource] = calls.resources
        if blocker.by is not BlockedBy.BOUNDARY or not _has_policy(resource):
            yield self._problem(calls, blocker=blocker)
            return
        document = yield from self._read(ResourceFact.POLICY, calls, is_allowed=False)
        if document is None:
            return
        allows = tuple(_allows_for_sessions(resource_policy_of(resource, document), self.role.role.arn))
        for action in calls.actions:
            call = calls._replace(actions=(action,))
            if open_ := tuple(each for each in allows if each.includes_action(action)):
                yield self._problem(call, doubt=_doubt(DoubtKind.ALLOW_OPEN, resource, open_, ()))
        certain = [action for action in calls.actions if not any(each.includes_action(action) for each in allows)]
        if certain:
            yield self._problem(calls._replace(actions=tuple(certain)), blocker=blocker)

    # --- what the policy of the secret or key says ---

    def _of_decided(self, calls: Calls, *, is_allowed: bool) -> Iterator[AccessProblem | Question]:
        """Yield calls as a problem that the policies of the role and of the secret or key do not allow together.

        Args:
            calls: on one resource.
            is_allowed: whether the policies of the role allow them.
        """
        [resource] = calls.resources
        if not _has_policy(resource):
            if not is_allowed:
                yield self._problem(calls)
            return
        document = yield from self._read(ResourceFact.POLICY, calls, is_allowed=is_allowed)
        if document is not None:
            yield from self._with_policy(calls, resource_policy_of(resource, document), is_allowed=is_allowed)

    def _read(
        self, fact: ResourceFact, calls: Calls, *, is_allowed: bool
    ) -> Generator[AccessProblem | Question, None, Any | None]:
        """Return a fact about the resource of calls. If it is not known, yield why, and return None.

        Args:
            fact: the fact.
            calls: on one resource, about which the fact decides.
            is_allowed: whether the policies of the role allow them.
        """
        question = ResourceQuestion(fact, calls.resources[0], self.coverage.function.region)
        match answer(self.facts, question):
            case Known(value):
                return value
            case Unknown() as unknown:
                yield from self._of_unread(calls, unknown, is_allowed=is_allowed)
            case None:
                yield question
        return None

    def _of_unread(self, calls: Calls, unknown: Unknown, *, is_allowed: bool) -> Iterator[AccessProblem]:
        [resource] = calls.resources
        if not (is_key(resource) and is_of_other_account(resource, self.role)):
            yield from self._of_unknown(calls, unknown)
        elif not is_allowed:
            # The owner of another account's key need not let anybody here read its policy.
            yield self._problem(calls, doubt=Doubt(DoubtKind.OTHER_ACCOUNT, policy=PolicyKind.KEY))

    def _with_policy(
        self, calls: Calls, resource_policy: Policy, *, is_allowed: bool
    ) -> Iterator[AccessProblem | Question]:
        contexts: tuple[Calls, ...] = (calls,)
        if resource_policy.statements:
            contexts = with_certain_context(self.state, calls, resource_policy)
        decisions = decide(resource_policy, calling_role(self.role), *contexts, account_delegates=is_allowed)
        actions: dict[_Verdict, list[str]] = {}
        for decision in decisions:
            verdict = _verdict(decision, resource_policy, contexts, is_allowed=is_allowed)
            actions.setdefault(verdict, []).append(decision.action)
        for verdict, names in actions.items():
            some = calls._replace(actions=tuple(names))
            if verdict.denied_by:
                blocker = Blocker(BlockedBy.DENY, resource_policy.name)
                yield self._problem(some, blocker=blocker, statement=verdict.denied_by)
            elif verdict.is_lacking and is_key(resource_policy.name.name):
                yield from self._without_key_policy(some, resource_policy.name, verdict.doubt, is_allowed=is_allowed)
            elif verdict.is_lacking:
                yield self._problem(some)
            elif verdict.doubt:
                yield self._problem(some, doubt=verdict.doubt)

    def _without_key_policy(
        self, calls: Calls, key_policy: PolicyName, doubt: Doubt | None, *, is_allowed: bool
    ) -> Iterator[AccessProblem | Question]:
        """Yield calls as a problem that the policy of a key does not allow, unless a grant or a second policy can.

        Args:
            calls: on the key.
            key_policy: the policy.
            doubt: what remains open if a grant allows the calls.
            is_allowed: whether the policies of the role allow them.
        """
        grants = yield from self._read(ResourceFact.GRANTS, calls, is_allowed=False)
        if grants is None:
            return
        context = encryption_context(str(calls.context[SECRET_ARN_KEY]))
        granted = [action for action in calls.actions if is_granted(grants, self.role, action, context)]
        if granted and doubt:
            yield self._problem(calls._replace(actions=tuple(granted)), doubt=doubt)
        remaining = tuple(action for action in calls.actions if action not in granted)
        if not remaining:
            return
        lacking = calls._replace(actions=remaining)
        names = yield from self._read(ResourceFact.POLICY_NAMES, lacking, is_allowed=False)
        if names is None:
            return
        if set(names) - {"default"}:
            yield self._problem(lacking, doubt=Doubt(DoubtKind.SECOND_POLICY, policy=PolicyKind.KEY))
        else:
            yield self._problem(lacking, blocker=Blocker(BlockedBy.KEY_POLICY, key_policy) if is_allowed else None)


def _verdict(
    decision: PolicyDecision, resource_policy: Policy, contexts: Sequence[Calls], *, is_allowed: bool
) -> _Verdict:
    """Return what a decision about an action means. `is_allowed`: whether the policies of the role allow it."""
    if decision.denied_by:
        return _Verdict(denied_by=_name(decision.denied_by))
    resource = resource_policy.name.name
    doubt = None
    if decision.open_denials:
        doubt = _doubt(DoubtKind.DENIAL_OPEN, resource, decision.open_denials, contexts)
    if decision.is_allowed or (is_allowed and not is_key(resource)):
        return _Verdict(doubt=doubt)
    open_allows = decision.open_allows or tuple(filter(_excepts, resource_policy.statements))
    if decision.is_allowed is None or open_allows:
        return _Verdict(doubt=_doubt(DoubtKind.ALLOW_OPEN, resource, open_allows, contexts))
    return _Verdict(doubt=doubt, is_lacking=True)


def _doubt(kind: DoubtKind, resource: str, statements: Sequence[Statement], contexts: Sequence[Calls]) -> Doubt:
    known = {key.lower() for calls in contexts for key in (*calls.context, *calls.absent_keys)}
    keys = dict.fromkeys(
        condition.key
        for statement in statements
        for condition in statement.conditions
        if condition.key.lower() not in known
    )
    of = PolicyKind.KEY if is_key(resource) else PolicyKind.SECRET
    return Doubt(kind, tuple(sorted(keys, key=str.lower)), of, tuple(map(_name, statements)))


def _name(statement: Statement) -> StatementName:
    return StatementName(statement.number, statement.sid)


def _excepts(statement: Statement) -> bool:
    """Return whether a statement allows everybody but some. Whether their sessions are excepted is not documented."""
    return statement.allows and statement.principals is not None and statement.principals.is_negated


def _allows_for_sessions(resource_policy: Policy, role_arn: str) -> Iterator[Statement]:
    """Yield each Allow that can be for the sessions of a role, and not only for the role."""
    for statement in resource_policy.statements:
        names = statement.principals.names.get("AWS", ()) if statement.principals else ()
        if _excepts(statement) or (
            statement.allows and any(name == "*" or name.startswith(session_prefix(role_arn)) for name in names)
        ):
            yield statement


def _has_policy(resource: str) -> bool:
    return arn.service(resource) in ("kms", "secretsmanager")
