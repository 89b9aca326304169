"""Whether a role may make the calls that its rotations need.

First the policies are evaluated here (`evaluation`), without a call. What that leaves open goes to IAM's policy
simulator. What no policy of the role allows can still be allowed by the resource policy of the secret or by the policy
of the key, so these are read then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from rotation_role_policy import access_check, policy
from rotation_role_policy.access_check import Denial
from rotation_role_policy.audit.evaluation import Outcome, evaluate
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.audit.roles import RolePolicies
from rotation_role_policy.audit.units import Unit
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.calls import Calls, Context, calls_of
from rotation_role_policy.errors import RequestError
from rotation_role_policy.policy import Document, Statement
from rotation_role_policy.policy_grammar import as_list
from rotation_role_policy.state import Role

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
                    problem = Problem(unit, role, denied_calls(calls, denial), denial)
                    if outcome is Outcome.OPEN:
                        self._questions.append(problem)
                        self._simulations.add(len(self._questions) - 1)
                    elif outcome is Outcome.BLOCKED:
                        self._problems.append(problem)
                    else:
                        self._add_not_allowed(problem)

    def finish(self) -> list[Problem]:
        """Return what blocks the rotations, and what could not be decided."""
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
        return self._problems + [
            remaining for problem in self._not_allowed if (remaining := self._unless_allowed_by_resource(problem))
        ]

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
    """Yield the calls that are not plainly allowed, by outcome: a denial for each resource and blocker."""
    actions: dict[tuple[Outcome, str, str], list[str]] = {}
    for decision in evaluate(role.documents(), role.boundary, calls):
        if decision.outcome is not Outcome.ALLOWED and decision.action not in DISPENSABLE_ACTIONS:
            actions.setdefault((decision.outcome, decision.resource, decision.blocker), []).append(decision.action)
    for (outcome, resource, blocker), denied in actions.items():
        yield outcome, Denial(tuple(denied), (resource,), blocker=blocker, is_implicit=not blocker)


def _simulate(question: Problem) -> list[Denial]:
    return access_check.simulate(question.unit.inventory.aws, question.role.role.arn, question.calls)


# --- resource-based policies ------------------------------------------------------------------------------------------


def _has_policy(resource: str) -> bool:
    return resource.split(":")[2:3] in (["secretsmanager"], ["kms"])


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


def _names_role(statement: Statement, role: Role) -> bool:
    """Return whether the role is a principal of the statement. The account alone is not: it delegates to IAM."""
    principal = statement.get("Principal", {})
    names = as_list(principal.get("AWS", [])) if isinstance(principal, dict) else [principal]
    session = f":assumed-role/{role.name}/"
    return any(name in ("*", role.arn) or session in name for name in names)
