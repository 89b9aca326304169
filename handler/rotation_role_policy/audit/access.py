"""Whether a role may make the calls that its rotations need.

First the policies are evaluated here (`evaluation`), without a call. What that leaves open goes to IAM's policy
simulator. What no policy of the role allows can still be allowed by the resource policy of the secret, which is read
then, or by the policy of the key. The policy of each key is read: IAM policies count only if it delegates to them.
https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from rotation_role_policy import arn
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.audit.roles import RolePolicies
from rotation_role_policy.audit.units import Unit
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import RequestError
from rotation_role_policy.iam.evaluation import Outcome, evaluate
from rotation_role_policy.iam.wildcard import as_list
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.calls import Calls, Context, calls_of
from rotation_role_policy.rules.policy import Document, Statement
from rotation_role_policy.rules.state import Role
from rotation_role_policy.write import access_check
from rotation_role_policy.write.access_check import Denial

_THREADS = 4

DISPENSABLE_ACTIONS = {"ec2:DetachNetworkInterface"}
"""Needed actions whose absence does not fail a rotation. AWS's own AWSLambdaVPCAccessExecutionRole lacks them.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions"""

_ROTATION_FUNCTION_KEY = "secretsmanager:resource/AllowRotationLambdaArn"
"""Context key by which the policies of AWS's published rotation functions are limited to the secrets of a function.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html"""


@dataclass(frozen=True)
class Problem:
    """Calls that the role may not make, or about which nothing is known."""

    unit: Unit
    role: RolePolicies
    calls: Calls
    denial: Denial
    error: RequestError | None = None
    """Why nothing is known."""


class AccessCheck:
    """Checks the roles of an audit. The calls of the first roles run while further roles are added."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._problems: list[Problem] = []
        self._not_allowed: list[Problem] = []
        self._questions: list[Problem] = []
        self._allowed_on_keys: list[Problem] = []
        """Not problems, unless the policy of the key says otherwise."""
        self._simulations: Lookups[int, list[Denial]] = Lookups(
            workers, "policy simulator", _THREADS, lambda number: _simulate(self._questions[number])
        )
        self._resource_policies: dict[str, Lookups[str, Document]] = {}
        """By region."""

    def add(self, units: Iterable[Unit], role: RolePolicies) -> None:
        """Evaluate the policies of a role, and begin the calls for what they leave open or do not allow."""
        for unit in units:
            for calls in _needed_calls(unit):
                for outcome, denial in _evaluate(role, calls):
                    self._add(outcome, Problem(unit, role, denied_calls(calls, denial), denial))

    def _add(self, outcome: Outcome, calls: Problem) -> None:
        [resource] = calls.denial.resources
        if outcome is Outcome.OPEN:
            self._questions.append(calls)
            self._simulations.add(len(self._questions) - 1)
        elif outcome is Outcome.BLOCKED:
            self._problems.append(calls)
        elif outcome is Outcome.NOT_ALLOWED:
            self._add_not_allowed(calls)
        elif _is_key(resource):
            self._allowed_on_keys.append(calls)
            self._policies_of_region(calls).add(resource)

    def wait(self) -> None:
        """Wait for the calls, so far as the simulator does not require more of them."""
        self._simulations.wait()
        for read in self._resource_policies.values():
            read.wait()

    def finish(self) -> list[Problem]:
        """Return what blocks the rotations, and what could not be decided: in a stopped audit, what is known so far."""
        self._simulations.wait()
        for number, question in enumerate(self._questions):
            for denial in self._simulations.values.get(number, ()):
                problem = replace(question, calls=denied_calls(question.calls, denial), denial=denial)
                if denial.is_implicit:
                    self._add_not_allowed(problem)
                else:
                    self._problems.append(problem)
            if error := self._simulations.errors.get(number):
                self._problems.append(replace(question, error=error))
        for read in self._resource_policies.values():
            read.wait()
        not_allowed = map(self._unless_allowed_by_resource, self._not_allowed)
        blocked_by_key = map(self._if_blocked_by_key, self._allowed_on_keys)
        return self._problems + [problem for problem in (*not_allowed, *blocked_by_key) if problem]

    def _add_not_allowed(self, problem: Problem) -> None:
        self._not_allowed.append(problem)
        [resource] = problem.denial.resources
        if _has_policy(resource):
            self._policies_of_region(problem).add(resource)

    def _policies_of_region(self, problem: Problem) -> Lookups[str, Document]:
        inventory = problem.unit.inventory
        if inventory.region not in self._resource_policies:
            self._resource_policies[inventory.region] = Lookups(
                self._workers, "resource policies", _THREADS, partial(_resource_policy, inventory.aws)
            )
        return self._resource_policies[inventory.region]

    def _unless_allowed_by_resource(self, problem: Problem) -> Problem | None:
        """Return the problem without the actions that the policy of the secret or key allows; None if none remain."""
        [resource] = problem.denial.resources
        if not _has_policy(resource):
            return problem
        read = self._policies_of_region(problem)
        if error := read.errors.get(resource):
            return replace(problem, error=error)
        if resource not in read.values:
            # The audit was stopped.
            return None
        actions = tuple(
            action
            for action in problem.denial.actions
            if not _allows_role(read.values[resource], problem.role.role, problem.calls, action)
        )
        return replace(problem, denial=replace(problem.denial, actions=actions)) if actions else None

    def _if_blocked_by_key(self, allowed: Problem) -> Problem | None:
        """Return the calls that the role's policies allow as a problem if the policy of the key blocks them."""
        [key_arn] = allowed.denial.resources
        read = self._policies_of_region(allowed)
        if error := read.errors.get(key_arn):
            # The policy of a key of another account is the business of its owner.
            is_own = arn.parse(key_arn).account == arn.parse(allowed.role.role.arn).account
            return replace(allowed, error=error) if is_own else None
        document = read.values.get(key_arn)
        if document is None:
            return None
        statements = _for_account(document, allowed.role.role)
        blockers = {
            decision.blocker or "the key's policy, which neither allows the role nor delegates to IAM policies"
            for decision in evaluate({"the key's policy": statements}, None, allowed.calls)
            if decision.outcome in (Outcome.NOT_ALLOWED, Outcome.BLOCKED)
        }
        return replace(allowed, denial=replace(allowed.denial, blocker=min(blockers))) if blockers else None


def denied_calls(calls: Calls, denial: Denial) -> Calls:
    """Return those of the calls that a denial is about."""
    return calls._replace(actions=list(denial.actions), resources=list(denial.resources))


def _needed_calls(unit: Unit) -> Iterator[Calls]:
    state = unit.state()
    if state is None:
        return
    rotated = {secret.arn for secret in state.secrets}
    for grant in policy.grants(state):
        if grant.statement["Effect"] == "Allow":
            for calls in calls_of(state, grant):
                known: Context = {_ROTATION_FUNCTION_KEY: unit.function_id} if rotated >= set(calls.resources) else {}
                yield calls._replace(context=calls.context | known)


def _evaluate(role: RolePolicies, calls: Calls) -> Iterator[tuple[Outcome, Denial]]:
    """Yield the calls by outcome: a denial for each resource and blocker. Those that are allowed have one too."""
    actions: dict[tuple[Outcome, str, str], list[str]] = {}
    for decision in evaluate(role.documents(), role.boundary, calls):
        if decision.action not in DISPENSABLE_ACTIONS:
            actions.setdefault((decision.outcome, decision.resource, decision.blocker), []).append(decision.action)
    for (outcome, resource, blocker), denied in actions.items():
        yield outcome, Denial(tuple(denied), (resource,), blocker=blocker, is_implicit=outcome is Outcome.NOT_ALLOWED)


def _simulate(question: Problem) -> list[Denial]:
    return access_check.simulate(question.unit.inventory.aws, question.role.role.arn, question.calls)


# --- resource-based policies ------------------------------------------------------------------------------------------


def _has_policy(resource: str) -> bool:
    return _is_key(resource) or resource.split(":")[2:3] == ["secretsmanager"]


def _is_key(resource: str) -> bool:
    return resource.split(":")[2:3] == ["kms"]


def _resource_policy(aws: Aws, resource: str) -> Document:
    """Return the policy of a secret or a key; an empty document if there is none."""
    if ":kms:" in resource:
        text = aws.call(aws.kms.get_key_policy, KeyId=resource, PolicyName="default")["Policy"]
    else:
        text = aws.call(aws.secretsmanager.get_resource_policy, SecretId=resource).get("ResourcePolicy", "")
    return cast(Document, json.loads(text)) if text else {}


def _allows_role(document: Document, role: Role, calls: Calls, action: str) -> bool:
    """Return whether a resource's policy allows the action to the role itself, or whether that is open."""
    statements = [each for each in as_list(document.get("Statement", [])) if _names_role(each, role)]
    decisions = evaluate({"": {"Statement": statements}}, None, calls._replace(actions=[action]))
    return all(decision.outcome in (Outcome.ALLOWED, Outcome.OPEN) for decision in decisions)


def _for_account(document: Document, role: Role) -> Document:
    """Return the statements of a key's policy for the role, or for its account, which delegate to IAM policies."""
    owner = arn.parse(role.arn)
    names = ("*", role.arn, owner.account, f"arn:{owner.partition}:iam::{owner.account}:root")
    return {"Statement": [each for each in as_list(document.get("Statement", [])) if _names_any(each, role, names)]}


def _names_role(statement: Statement, role: Role) -> bool:
    """Return whether the role is a principal of the statement. The account alone is not: it delegates to IAM."""
    return _names_any(statement, role, ("*", role.arn))


def _names_any(statement: Statement, role: Role, names: Collection[str]) -> bool:
    """Return whether one of the names, or a session of the role, is a principal of the statement."""
    principal = statement.get("Principal", {})
    principals = as_list(principal.get("AWS", [])) if isinstance(principal, dict) else [principal]
    return any(each in names or f":assumed-role/{role.name}/" in each for each in principals)
